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

static void bias_add(const struct block *k, uint64_t r, uint64_t lo, uint64_t hi, float *t) {
    const struct attn_mask *m = &k->c->mask;
    if (!m->bias)
        return;
    const float *bias = m->bias + k->b * m->bias_stride[0] + k->h * m->bias_stride[1] + (k->i + r) * m->bias_stride[2];
    for (uint64_t j = lo; j < hi; j++)
        t[j - lo] += bias[j * m->bias_stride[3]];
}

/* t = D x for x[rows][n], rows x_row apart. Keys outside a row's own are 0 in P, and so in D P. */
static void drop(const struct block *k, const float *x, uint64_t x_row) {
    const uint64_t n = k->hi - k->lo, head = k->b * k->c->shape.heads + k->h;
    attn_drop_rows(&k->c->dropout, head, k->i, k->rows, k->lo, n, x, x_row, k->t, n);
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
    /* 2. P = softmax(T + bias), 0 where forbidden */
    for (uint64_t r = 0; r < k.rows; r++) {
        uint64_t lo, hi;
        float *p = k.p + r * s->n_k;
        attn_key_range(s, &c->mask, k.i + r, &lo, &hi);
        memset(p, 0, lo * sizeof *p);
        memset(p + hi, 0, (s->n_k - hi) * sizeof *p);
        bias_add(&k, r, lo, hi, k.t + r * n + lo - k.lo);
        f->tile->softmax(hi - lo, k.t + r * n + lo - k.lo, p + lo);
    }
    /* 3. O = (D P) V */
    if (drops)
        drop(&k, k.p + k.lo, s->n_k);
    struct gemm_matrix weights = drops ? (struct gemm_matrix){k.t, n, 0} : (struct gemm_matrix){k.p + k.lo, s->n_k, 0};
    gemm(k.rows, s->d, n, 1, weights, (struct gemm_matrix){c->v + k.v_at, s->v.row, 0}, 0, c->o + k.o_at, s->o.row);
}

/* dst rows of one chunk of keys += a[rows][chunk]^T x[rows][d], when the task before has done that step. */
static void chunks_add(const struct standard *f, const struct block *k, uint64_t index, uint64_t first_step,
                       struct gemm_matrix a, struct gemm_matrix x, float *dst, uint64_t row) {
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
            gemm(hi - lo, s->d, k->rows, 1, a, x, 1, dst + (lo - k->lo) * row, row);
        atomic_store_explicit(&f->progress[index], step, memory_order_release);
    }
}

/* t = dS = P (D dP - delta), delta_i = sum_j P_ij D_ij dP_ij; t holds dP. */
static void slopes(const struct block *k) {
    const struct attn_call *c = k->c;
    const uint64_t n = k->hi - k->lo;
    if (c->dropout.p > 0)
        drop(k, k->t, n);
    for (uint64_t r = 0; r < k->rows; r++) {
        float *t = k->t + r * n, lanes[16] = {0}, delta = 0;
        const float *p = k->p + r * c->shape.n_k + k->lo;
        uint64_t j = 0;
        for (; j + 16 <= n; j += 16)
            for (unsigned lane = 0; lane < 16; lane++)
                lanes[lane] += p[j + lane] * t[j + lane];
        for (; j < n; j++)
            lanes[j % 16] += p[j] * t[j];
        for (unsigned lane = 0; lane < 16; lane++)
            delta += lanes[lane];
        for (j = 0; j < n; j++)
            t[j] = p[j] * (t[j] - delta);
    }
}

static void backward_task(void *arg, uint64_t index, unsigned slot) {
    const struct standard *f = arg;
    const struct attn_call *c = f->c;
    const struct attn_shape *s = &c->shape;
    struct block k = block_of(f, index, slot);
    const uint64_t n = k.hi - k.lo, chunks = units_ceil_div(s->n_k, CHUNK);
    const bool drops = c->dropout.p > 0;
    const struct gemm_matrix q = {c->q + k.q_at, s->q.row, 0}, d_o = {c->d_o + k.o_at, s->o.row, 0};
    struct gemm_matrix weights = {k.p + k.lo, s->n_k, 1}, t = {k.t, n, 1};

    /* forward 3: dV += (D P)^T dO */
    if (drops) {
        drop(&k, k.p + k.lo, s->n_k);
        weights = t;
    }
    chunks_add(f, &k, index, 0, weights, d_o, c->d_v ? c->d_v + k.v_at : NULL, s->v.row);
    /* forward 3: d(D P) = dO V^T */
    gemm(k.rows, n, s->d, 1, d_o, (struct gemm_matrix){c->v + k.v_at, s->v.row, 1}, 0, k.t, n);
    /* forward 2 */
    slopes(&k);
    /* forward 1: dQ += scale dS K, dK += scale dS^T Q */
    for (uint64_t e = 0; e < k.rows * n; e++)
        k.t[e] *= c->scale;
    if (c->d_q)
        gemm(k.rows, s->d, n, 1, (struct gemm_matrix){k.t, n, 0}, (struct gemm_matrix){c->k + k.k_at, s->k.row, 0}, 1,
             c->d_q + k.q_at, s->q.row);
    chunks_add(f, &k, index, chunks, t, q, c->d_k ? c->d_k + k.k_at : NULL, s->k.row);
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

void attn_standard_backward(const struct attn_call *c) {
    struct standard f = standard_of(c, true);
    for (uint64_t i = 0; i < f.room.tasks; i++)
        atomic_init(&f.progress[i], 0);
    pool_run(c->pool, f.room.tasks, backward_task, &f);
}
