/* attn_standard.c - attention that makes the weights and keeps them; products by OpenBLAS, one row block a task.
 *
 * A task is ROWS queries of one head. In the backward all tasks of one key head add to the same d_k and d_v: they do so
 * in task order, chunk of keys by chunk of keys, each task following the one before it, so that one head alone still
 * keeps several threads busy and the sums never depend on how many there are. */
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/attn_drop.h"
#include "engine/kernels/attn_kernels.h"
#include "engine/kernels/gemm.h"
#include "engine/kernels/tile.h"

enum { ROWS = 64, CHUNK = 512 };

/* Workspace: in the backward the progress of every task first; then a slot per thread: t[rows][keys], whose last line
 * every task writes, however few rows and keys it has. */
struct room {
    uint64_t rows, keys, blocks, tasks, progress_bytes, slot_bytes;
};

static struct room room_of(const struct attn_shape *s, const struct attn_mask *m, bool backward) {
    struct room r = {.rows = units_min(ROWS, s->n_q), .keys = s->n_k, .blocks = units_ceil_div(s->n_q, ROWS)};
    uint64_t span;
    /* a window lets a block of rows see no more than this many keys */
    if (units_add(m->behind, m->ahead, &span) && units_add(span, r.rows, &span))
        r.keys = units_max(1, units_min(s->n_k, span));
    r.tasks = s->batch * s->heads * r.blocks;
    r.progress_bytes = backward ? units_extent(r.tasks * sizeof(uint64_t)) : 0;
    r.slot_bytes = units_extent(r.rows * r.keys * sizeof(float));
    return r;
}

uint64_t attn_standard_work_bytes(const struct attn_shape *s, const struct attn_mask *m, bool backward,
                                  unsigned threads) {
    const uint64_t most = (uint64_t)1 << 62;
    struct room r = room_of(s, m, backward);
    uint64_t bytes;
    if (!units_mul(units_min(threads, r.tasks), r.slot_bytes, &bytes) || !units_add(bytes, r.progress_bytes, &bytes))
        return most;
    return units_min(bytes, most);
}

unsigned attn_standard_aux_shape(const struct attn_shape *s, uint64_t shape[4]) {
    shape[0] = s->batch;
    shape[1] = s->heads;
    shape[2] = s->n_q;
    shape[3] = s->n_k;
    return 4;
}

struct standard {
    const struct attn_call *c;
    const struct tile *tile;
    struct room room;
    uint64_t chains; /* key heads: tasks of one chain share d_k and d_v */
    atomic_uint_fast64_t *progress;
};

/* What one task works on: rows i .. i + rows of head h, keys lo .. hi. */
struct block {
    const struct attn_call *c;
    uint64_t b, h, h_k, i, rows, lo, hi;
    float *p; /* weights, row i of the head: n_k apart */
    float *t; /* [rows][hi - lo] */
    uint64_t q_at, k_at, v_at, o_at;
};

static struct block block_of(const struct standard *f, uint64_t index, unsigned slot) {
    const struct attn_call *c = f->c;
    const struct attn_shape *s = &c->shape;
    const uint64_t group = s->heads / s->kv_heads, chain = index % f->chains, place = index / f->chains;
    struct block k = {.c = c, .b = chain / s->kv_heads, .h_k = chain % s->kv_heads};
    uint64_t unused;
    k.h = k.h_k * group + place / f->room.blocks;
    k.i = place % f->room.blocks * ROWS;
    k.rows = units_min(ROWS, s->n_q - k.i);
    attn_key_range(s, &c->mask, k.i, &k.lo, &unused);
    attn_key_range(s, &c->mask, k.i + k.rows - 1, &unused, &k.hi);
    k.hi = units_max(k.lo, k.hi);
    k.p = c->aux + ((k.b * s->heads + k.h) * s->n_q + k.i) * s->n_k;
    k.t = (float *)((unsigned char *)c->work + f->room.progress_bytes + slot * f->room.slot_bytes);
    k.q_at = k.b * s->q.batch + k.h * s->q.head + k.i * s->q.row;
    k.o_at = k.b * s->o.batch + k.h * s->o.head + k.i * s->o.row;
    k.k_at = k.b * s->k.batch + k.h_k * s->k.head + k.lo * s->k.row;
    k.v_at = k.b * s->v.batch + k.h_k * s->v.head + k.lo * s->v.row;
    memset((unsigned char *)k.t + f->room.slot_bytes - UNITS_EXTENT, 0, UNITS_EXTENT);
    return k;
}

/* The slope of the row's head, and the bias. */
static void bias_add(const struct block *k, uint64_t r, uint64_t lo, uint64_t hi, float *t) {
    const struct attn_mask *m = &k->c->mask;
    const float slope = attn_slope(&k->c->shape, m, k->b, k->h);
    for (uint64_t j = lo; slope != 0 && j < hi; j++)
        t[j - lo] -= slope * (float)attn_distance(&k->c->shape, k->i + r, j);
    if (!m->bias)
        return;
    const float *bias = m->bias + k->b * m->bias_stride[0] + k->h * m->bias_stride[1] + (k->i + r) * m->bias_stride[2];
    for (uint64_t j = lo; j < hi; j++)
        t[j - lo] += bias[j * m->bias_stride[3]];
}

/* t = D x for x[rows][n], rows x_row apart. Keys outside a row's own are 0 in P, and so in D P. */
static void drop(const struct block *k, const float *x, uint64_t x_row) {
    const uint64_t n = k->hi - k->lo, head = attn_head_number(&k->c->shape, k->b, k->h);
    attn_drop_rows(&k->c->dropout, head, k->i, k->rows, k->lo, n, x, x_row, k->t, n);
}

/* x = cap tanh(x / cap) */
static void cap(uint64_t n, float softcap, float *x) {
    for (uint64_t e = 0; e < n; e++)
        x[e] = softcap * tanhf(x[e] / softcap);
}

/* p = softmax of s and the sink: where s alone gives p, its largest e^top / sum, all of it shrinks by
 * sum / (sum + e^sink). */
static void sink_share(uint64_t n, float top, float sink, float *p) {
    float most = 0;
    for (uint64_t j = 0; j < n; j++)
        most = p[j] > most ? p[j] : most;
    if (most == 0) /* nothing allowed */
        return;
    const float share = (float)(1 / (1 + (double)most * exp((double)sink - (double)top)));
    for (uint64_t j = 0; j < n; j++)
        p[j] *= share;
}

static void softmax(const struct standard *f, const struct block *k, uint64_t n, const float *t, float *p) {
    const float *sinks = f->c->mask.sinks;
    float top = -INFINITY;
    for (uint64_t j = 0; sinks && j < n; j++)
        top = t[j] > top ? t[j] : top;
    f->tile->softmax(n, t, p);
    if (sinks)
        sink_share(n, top, sinks[k->h], p);
}

static void forward_task(void *arg, uint64_t index, unsigned slot) {
    const struct standard *f = arg;
    const struct attn_call *c = f->c;
    const struct attn_shape *s = &c->shape;
    struct block k = block_of(f, index, slot);
    const uint64_t n = k.hi - k.lo;
    const bool drops = c->dropout.p > 0;

    /* 1. T = scale Q K^T */
    gemm(k.rows, n, s->d, c->scale, (struct gemm_matrix){c->q + k.q_at, s->q.row, 0},
         (struct gemm_matrix){c->k + k.k_at, s->k.row, 1}, 0, k.t, n);
    if (c->mask.softcap != 0)
        cap(k.rows * n, c->mask.softcap, k.t);
    /* 2. P = softmax(T + bias), 0 where forbidden */
    for (uint64_t r = 0; r < k.rows; r++) {
        uint64_t lo, hi;
        float *p = k.p + r * s->n_k;
        attn_key_range(s, &c->mask, k.i + r, &lo, &hi);
        memset(p, 0, lo * sizeof *p);
        memset(p + hi, 0, (s->n_k - hi) * sizeof *p);
        bias_add(&k, r, lo, hi, k.t + r * n + lo - k.lo);
        softmax(f, &k, hi - lo, k.t + r * n + lo - k.lo, p + lo);
    }
    /* 3. O = (D P) V */
    if (drops)
        drop(&k, k.p + k.lo, s->n_k);
    struct gemm_matrix weights = drops ? (struct gemm_matrix){k.t, n, 0} : (struct gemm_matrix){k.p + k.lo, s->n_k, 0};
    gemm(k.rows, attn_value_dim(s), n, 1, weights, (struct gemm_matrix){c->v + k.v_at, s->v.row, 0}, 0, c->o + k.o_at,
         s->o.row);
}

/* dst rows of one chunk of keys += a[rows][chunk]^T x[rows][width], when the task before has done that step. */
static void chunks_add(const struct standard *f, const struct block *k, uint64_t index, uint64_t first_step,
                       struct gemm_matrix a, struct gemm_matrix x, uint64_t width, float *dst, uint64_t row) {
    const struct attn_shape *s = &f->c->shape;
    const float *a_lo = a.at;
    for (uint64_t from = 0, step = first_step + 1; from < s->n_k; from += CHUNK, step++) {
        uint64_t lo = units_max(from, k->lo), hi = units_min(units_min(from + CHUNK, s->n_k), k->hi);
        for (unsigned spins = 0;
             index >= f->chains && atomic_load_explicit(&f->progress[index - f->chains], memory_order_acquire) < step;
             spins++)
            if (spins > 64)
                sched_yield();
        a.at = a_lo + (lo - k->lo);
        if (dst && lo < hi)
            gemm(hi - lo, width, k->rows, 1, a, x, 1, dst + (lo - k->lo) * row, row);
        atomic_store_explicit(&f->progress[index], step, memory_order_release);
    }
}

/* delta = sum_j P_j D_j dP_j of one row; t holds D dP. */
static float delta_of(const float *p, const float *t, uint64_t n) {
    float lanes[16] = {0}, delta = 0;
    uint64_t j = 0;
    for (; j + 16 <= n; j += 16)
        for (unsigned lane = 0; lane < 16; lane++)
            lanes[lane] += p[j + lane] * t[j + lane];
    for (; j < n; j++)
        lanes[j % 16] += p[j] * t[j];
    for (unsigned lane = 0; lane < 16; lane++)
        delta += lanes[lane];
    return delta;
}

/* t = dS = P (D dP - delta); t holds D dP. */
static void slopes(const struct block *k) {
    const uint64_t n = k->hi - k->lo;
    for (uint64_t r = 0; r < k->rows; r++) {
        float *t = k->t + r * n;
        const float *p = k->p + r * k->c->shape.n_k + k->lo, delta = delta_of(p, t, n);
        for (uint64_t j = 0; j < n; j++)
            t[j] = p[j] * (t[j] - delta);
    }
}

/* t = D dP; forward 3: d(D P) = dO V^T */
static void weights_gradient(const struct block *k) {
    const struct attn_call *c = k->c;
    const struct attn_shape *s = &c->shape;
    const uint64_t n = k->hi - k->lo;
    gemm(k->rows, n, attn_value_dim(s), 1, (struct gemm_matrix){c->d_o + k->o_at, s->o.row, 0},
         (struct gemm_matrix){c->v + k->v_at, s->v.row, 1}, 0, k->t, n);
    if (c->dropout.p > 0)
        drop(k, k->t, n);
}

/* t = what the scores' gradient is, before the cap and the scale: forward 3, then forward 2 */
static void scores_gradient(const struct block *k) {
    weights_gradient(k);
    slopes(k);
}

/* t *= the slope of the cap, 1 - tanh^2; the products are made again, a few keys at a time. */
static void uncap(const struct block *k) {
    enum { KEYS = 32 };
    const struct attn_call *c = k->c;
    const struct attn_shape *s = &c->shape;
    const uint64_t n = k->hi - k->lo;
    float products[ROWS * KEYS];
    for (uint64_t from = 0; from < n; from += KEYS) {
        const uint64_t keys = units_min(KEYS, n - from);
        gemm(k->rows, keys, s->d, c->scale, (struct gemm_matrix){c->q + k->q_at, s->q.row, 0},
             (struct gemm_matrix){c->k + k->k_at + from * s->k.row, s->k.row, 1}, 0, products, keys);
        for (uint64_t r = 0; r < k->rows; r++)
            for (uint64_t j = 0; j < keys; j++) {
                const float y = tanhf(products[r * keys + j] / c->mask.softcap);
                k->t[r * n + from + j] *= 1 - y * y;
            }
    }
}

static void backward_task(void *arg, uint64_t index, unsigned slot) {
    const struct standard *f = arg;
    const struct attn_call *c = f->c;
    const struct attn_shape *s = &c->shape;
    struct block k = block_of(f, index, slot);
    const uint64_t n = k.hi - k.lo, chunks = units_ceil_div(s->n_k, CHUNK), d_v = attn_value_dim(s);
    const bool drops = c->dropout.p > 0;
    const struct gemm_matrix q = {c->q + k.q_at, s->q.row, 0}, d_o = {c->d_o + k.o_at, s->o.row, 0};
    struct gemm_matrix weights = {k.p + k.lo, s->n_k, 1}, t = {k.t, n, 1};

    /* forward 3: dV += (D P)^T dO */
    if (drops) {
        drop(&k, k.p + k.lo, s->n_k);
        weights = t;
    }
    chunks_add(f, &k, index, 0, weights, d_o, d_v, c->d_v ? c->d_v + k.v_at : NULL, s->v.row);
    scores_gradient(&k);
    if (c->mask.softcap != 0)
        uncap(&k);
    /* forward 1: dQ += scale dS K, dK += scale dS^T Q */
    for (uint64_t e = 0; e < k.rows * n; e++)
        k.t[e] *= c->scale;
    if (c->d_q)
        gemm(k.rows, s->d, n, 1, (struct gemm_matrix){k.t, n, 0}, (struct gemm_matrix){c->k + k.k_at, s->k.row, 0}, 1,
             c->d_q + k.q_at, s->q.row);
    chunks_add(f, &k, index, chunks, t, q, s->d, c->d_k ? c->d_k + k.k_at : NULL, s->k.row);
}

static struct standard standard_of(const struct attn_call *c, bool backward) {
    return (struct standard){.c = c,
                             .tile = tile_best(),
                             .room = room_of(&c->shape, &c->mask, backward),
                             .chains = c->shape.batch * c->shape.kv_heads,
                             .progress = c->work};
}

void attn_standard_forward(const struct attn_call *c) {
    struct standard f = standard_of(c, false);
    pool_run(c->pool, f.room.tasks, forward_task, &f);
}

/* ---- the gradients of bias and sinks ---- */

/* Rows of t into the bias: one number for each, or for all keys. */
static void bias_rows_add(const struct block *k) {
    const uint64_t *stride = k->c->mask.bias_stride, n = k->hi - k->lo;
    float *bias = k->c->d_bias + k->b * stride[0] + k->h * stride[1] + k->i * stride[2] + k->lo * stride[3];
    for (uint64_t r = 0; r < k->rows; r++, bias += stride[2]) {
        const float *t = k->t + r * n;
        double sum = 0;
        for (uint64_t j = 0; j < n; j++)
            if (stride[3])
                bias[j * stride[3]] += t[j];
            else
                sum += (double)t[j];
        if (!stride[3])
            *bias += (float)sum;
    }
}

/* What the sink weighs in a row: the weight p_j of the key that has most, times e^(sink - s_j), s_j made again. */
static double sink_weight(const struct block *k, uint64_t r) {
    const struct attn_call *c = k->c;
    const float *p = k->p + r * c->shape.n_k + k->lo, *q = c->q + k->q_at + r * c->shape.q.row;
    uint64_t at = 0;
    for (uint64_t j = 1; j < k->hi - k->lo; j++)
        at = p[j] > p[at] ? j : at;
    if (k->hi == k->lo || p[at] == 0)
        return 0; /* nothing is taken of any key, and the sink's gradient is 0 */
    const float *key = c->k + k->k_at + at * c->shape.k.row;
    float score = 0;
    for (uint64_t x = 0; x < c->shape.d; x++)
        score += q[x] * key[x];
    score *= c->scale;
    if (c->mask.softcap != 0)
        cap(1, c->mask.softcap, &score);
    bias_add(k, r, k->lo + at, k->lo + at + 1, &score);
    return (double)p[at] * exp((double)c->mask.sinks[k->h] - (double)score);
}

/* The sum over rows of the sink's weight times delta: less of it goes to the keys. */
static double sink_loss(const struct block *k) {
    const uint64_t n = k->hi - k->lo;
    double sum = 0;
    weights_gradient(k);
    for (uint64_t r = 0; r < k->rows; r++)
        sum += sink_weight(k, r) * (double)delta_of(k->p + r * k->c->shape.n_k + k->lo, k->t + r * n, n);
    return sum;
}

struct slices {
    struct standard f;
    uint64_t batch, heads, blocks; /* that have numbers of their own; the rest is summed over */
};

static struct block slice_block(const struct slices *l, uint64_t b, uint64_t h, uint64_t block, unsigned slot) {
    const struct attn_shape *s = &l->f.c->shape;
    const uint64_t group = s->heads / s->kv_heads, chain = b * s->kv_heads + h / group;
    return block_of(&l->f, (h % group * l->f.room.blocks + block) * l->f.chains + chain, slot);
}

static void bias_task(void *arg, uint64_t index, unsigned slot) {
    const struct slices *l = arg;
    const struct attn_shape *s = &l->f.c->shape;
    const uint64_t block = index % l->blocks, h = index / l->blocks % l->heads, b = index / l->blocks / l->heads;
    for (uint64_t b_i = b; b_i < s->batch; b_i += l->batch)
        for (uint64_t h_i = h; h_i < s->heads; h_i += l->heads)
            for (uint64_t block_i = block; block_i < l->f.room.blocks; block_i += l->blocks) {
                struct block k = slice_block(l, b_i, h_i, block_i, slot);
                scores_gradient(&k);
                bias_rows_add(&k);
            }
}

static void sink_task(void *arg, uint64_t index, unsigned slot) {
    const struct slices *l = arg;
    const struct attn_call *c = l->f.c;
    for (uint64_t b = 0; b < c->shape.batch; b++) {
        double sum = 0;
        for (uint64_t block = 0; block < l->f.room.blocks; block++) {
            struct block k = slice_block(l, b, index, block, slot);
            sum += sink_loss(&k);
        }
        c->d_sinks[index] -= (float)sum;
    }
}

static void sums_backward(const struct standard *f) {
    const struct attn_call *c = f->c;
    const uint64_t *stride = c->mask.bias_stride;
    struct slices l = {*f, stride[0] ? c->shape.batch : 1, stride[1] ? c->shape.heads : 1,
                       stride[2] ? f->room.blocks : 1};
    if (c->d_bias)
        pool_run(c->pool, l.batch * l.heads * l.blocks, bias_task, &l);
    if (c->d_sinks)
        pool_run(c->pool, c->shape.heads, sink_task, &l);
}

void attn_standard_backward(const struct attn_call *c) {
    struct standard f = standard_of(c, true);
    for (uint64_t i = 0; i < f.room.tasks; i++)
        atomic_init(&f.progress[i], 0);
    pool_run(c->pool, f.room.tasks, backward_task, &f);
    sums_backward(&f);
}
