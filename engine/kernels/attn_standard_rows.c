/* attn_standard_rows.c - the standard kernel where queries are few (attn_standard.h): weights lie as whole rows,
 * products are gemm's.
 *
 * One task a key head: its query heads one after the other, so nothing has to wait. Work is t[queries][keys]. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/attn_drop.h"
#include "engine/kernels/attn_standard.h"
#include "engine/kernels/gemm.h"

static uint64_t slot_bytes(const struct attn_shape *s, const struct attn_mask *m) {
    uint64_t keys = s->n_k, span;
    /* a window lets all of them see no more than this many keys */
    if (units_add(m->behind, m->ahead, &span) && units_add(span, s->n_q, &span))
        keys = units_max(1, units_min(s->n_k, span));
    return units_extent(s->n_q * keys * sizeof(float));
}

uint64_t standard_rows_work_bytes(const struct attn_shape *s, const struct attn_mask *m, unsigned threads) {
    const uint64_t most = (uint64_t)1 << 62;
    uint64_t bytes;
    if (!units_mul(units_min(threads, s->batch * s->kv_heads), slot_bytes(s, m), &bytes))
        return most;
    return units_min(bytes, most);
}

/* The queries of one head, and its keys lo .. hi. */
struct head {
    const struct attn_call *c;
    uint64_t b, h, lo, hi;
    float *p; /* weights [n_q][n_k] */
    float *t; /* [n_q][hi - lo] */
    struct gemm_matrix q, k, v, d_o;
};

static struct head head_of(const struct attn_call *c, uint64_t b, uint64_t h, unsigned slot) {
    const struct attn_shape *s = &c->shape;
    const uint64_t h_k = h / (s->heads / s->kv_heads), bytes = slot_bytes(s, &c->mask);
    struct head x = {.c = c, .b = b, .h = h, .p = c->aux + (b * s->heads + h) * s->n_q * s->n_k};
    unsigned char *work = (unsigned char *)c->work + slot * bytes;
    uint64_t unused;
    attn_key_range(s, &c->mask, 0, &x.lo, &unused);
    attn_key_range(s, &c->mask, s->n_q - 1, &unused, &x.hi);
    x.hi = units_max(x.lo, x.hi);
    x.t = (float *)(void *)work;
    x.q = (struct gemm_matrix){c->q + b * s->q.batch + h * s->q.head, s->q.row, false};
    x.k = (struct gemm_matrix){c->k + b * s->k.batch + h_k * s->k.head + x.lo * s->k.row, s->k.row, false};
    x.v = (struct gemm_matrix){c->v + b * s->v.batch + h_k * s->v.head + x.lo * s->v.row, s->v.row, false};
    if (c->d_o)
        x.d_o = (struct gemm_matrix){c->d_o + b * s->o.batch + h * s->o.head, s->o.row, false};
    memset(work + bytes - UNITS_EXTENT, 0, UNITS_EXTENT);
    return x;
}

static struct gemm_matrix turned(struct gemm_matrix x) {
    x.turned = !x.turned;
    return x;
}

/* t = D x for x[n_q][n], rows x_row apart. Keys outside a row's own are 0 in P, and so in D P. */
static void drop(const struct head *x, const float *from, uint64_t row) {
    enum { KEYS = 64 };
    const struct attn_call *c = x->c;
    const uint64_t n = x->hi - x->lo, rows = c->shape.n_q, head = attn_head_number(&c->shape, x->b, x->h);
    const float factor = attn_drop_factor(&c->dropout);
    uint64_t bits[KEYS];
    for (uint64_t at = 0; at < n; at += KEYS) {
        const uint64_t keys = units_min(KEYS, n - at);
        attn_drop_bits(tile_best(), &c->dropout, head, 0, (unsigned)rows, x->lo + at, keys, bits);
        for (uint64_t r = 0; r < rows; r++)
            for (uint64_t j = 0; j < keys; j++)
                x->t[r * n + at + j] = (bits[j] >> r & 1) ? from[r * row + at + j] * factor : 0;
    }
}

/* x = cap tanh(x / cap) */
static void cap(uint64_t n, float softcap, float *x) {
    for (uint64_t e = 0; e < n; e++)
        x[e] = softcap * tanhf(x[e] / softcap);
}

/* What the slope of the head and the bias add to row r. */
static void bias_add(const struct head *x, uint64_t r, uint64_t lo, uint64_t hi, float *t) {
    for (uint64_t j = lo; j < hi; j++)
        t[j - lo] = standard_biased(x->c, x->b, x->h, r, j, t[j - lo]);
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

static void softmax(const struct head *x, uint64_t n, const float *t, float *p) {
    const float *sinks = x->c->mask.sinks;
    float top = -INFINITY;
    for (uint64_t j = 0; sinks && j < n; j++)
        top = t[j] > top ? t[j] : top;
    tile_best()->softmax(n, t, p);
    if (sinks)
        sink_share(n, top, sinks[x->h], p);
}

static void head_forward(const struct attn_call *c, uint64_t b, uint64_t h, unsigned slot) {
    const struct attn_shape *s = &c->shape;
    const struct head x = head_of(c, b, h, slot);
    const uint64_t n = x.hi - x.lo;
    struct gemm_matrix weights = {x.p + x.lo, s->n_k, false};
    /* 1. T = scale Q K^T */
    gemm(s->n_q, n, s->d, c->scale, x.q, turned(x.k), 0, x.t, n);
    if (c->mask.softcap != 0)
        cap(s->n_q * n, c->mask.softcap, x.t);
    /* 2. P = softmax(T + bias), 0 where forbidden */
    for (uint64_t r = 0; r < s->n_q; r++) {
        uint64_t lo, hi;
        float *p = x.p + r * s->n_k, *t = x.t + r * n;
        attn_key_range(s, &c->mask, r, &lo, &hi);
        memset(p, 0, lo * sizeof *p);
        memset(p + hi, 0, (s->n_k - hi) * sizeof *p);
        bias_add(&x, r, lo, hi, t + lo - x.lo);
        softmax(&x, hi - lo, t + lo - x.lo, p + lo);
    }
    /* 3. O = (D P) V */
    if (c->dropout.p > 0) {
        drop(&x, x.p + x.lo, s->n_k);
        weights = (struct gemm_matrix){x.t, n, false};
    }
    gemm(s->n_q, attn_value_dim(s), n, 1, weights, x.v, 0, c->o + b * s->o.batch + h * s->o.head, s->o.row);
}

/* t = D dP, delta = sum_j P_j D_j dP_j of each row; forward 3: d(D P) = dO V^T */
static void weights_gradient(const struct head *x, float delta[STANDARD_FEW]) {
    const struct attn_shape *s = &x->c->shape;
    const uint64_t n = x->hi - x->lo;
    gemm(s->n_q, n, attn_value_dim(s), 1, x->d_o, turned(x->v), 0, x->t, n);
    if (x->c->dropout.p > 0)
        drop(x, x->t, n);
    for (uint64_t r = 0; r < s->n_q; r++) {
        const float *p = x->p + r * s->n_k + x->lo, *t = x->t + r * n;
        double sum = 0;
        for (uint64_t j = 0; j < n; j++)
            sum += (double)(p[j] * t[j]);
        delta[r] = (float)sum;
    }
}

/* t = factor P (D dP - delta), the gradient of the scores: forward 2 */
static void scores_gradient(const struct head *x, const float delta[STANDARD_FEW], float factor) {
    const uint64_t n = x->hi - x->lo;
    for (uint64_t r = 0; r < x->c->shape.n_q; r++) {
        const float *p = x->p + r * x->c->shape.n_k + x->lo;
        float *t = x->t + r * n;
        for (uint64_t j = 0; j < n; j++)
            t[j] = factor * (p[j] * (t[j] - delta[r]));
    }
}

/* t *= the slope of the cap, 1 - tanh^2; the products are made again, a few keys at a time. */
static void uncap(const struct head *x) {
    enum { KEYS = 32 };
    const struct attn_call *c = x->c;
    const struct attn_shape *s = &c->shape;
    const uint64_t n = x->hi - x->lo;
    float products[STANDARD_FEW * KEYS];
    for (uint64_t from = 0; from < n; from += KEYS) {
        const uint64_t keys = units_min(KEYS, n - from);
        const struct gemm_matrix some = {(const float *)x->k.at + from * s->k.row, s->k.row, true};
        gemm(s->n_q, keys, s->d, c->scale, x->q, some, 0, products, keys);
        for (uint64_t r = 0; r < s->n_q; r++)
            for (uint64_t j = 0; j < keys; j++) {
                const float y = tanhf(products[r * keys + j] / c->mask.softcap);
                x->t[r * n + from + j] *= 1 - y * y;
            }
    }
}

static void head_backward(const struct attn_call *c, uint64_t b, uint64_t h, unsigned slot) {
    const struct attn_shape *s = &c->shape;
    const struct head x = head_of(c, b, h, slot);
    const uint64_t n = x.hi - x.lo, h_k = h / (s->heads / s->kv_heads);
    const struct gemm_matrix t = {x.t, n, false};
    struct gemm_matrix weights = {x.p + x.lo, s->n_k, false};
    float delta[STANDARD_FEW];
    /* forward 3: dV += (D P)^T dO */
    if (c->d_v && c->dropout.p > 0) {
        drop(&x, x.p + x.lo, s->n_k);
        weights = t;
    }
    if (c->d_v)
        gemm(n, attn_value_dim(s), s->n_q, 1, turned(weights), x.d_o, 1,
             c->d_v + b * s->v.batch + h_k * s->v.head + x.lo * s->v.row, s->v.row);
    weights_gradient(&x, delta);
    scores_gradient(&x, delta, c->scale);
    if (c->mask.softcap != 0)
        uncap(&x);
    /* forward 1: dQ += scale dS K, dK += scale dS^T Q */
    if (c->d_q)
        gemm(s->n_q, s->d, n, 1, t, x.k, 1, c->d_q + b * s->q.batch + h * s->q.head, s->q.row);
    if (c->d_k)
        gemm(n, s->d, s->n_q, 1, turned(t), x.q, 1, c->d_k + b * s->k.batch + h_k * s->k.head + x.lo * s->k.row,
             s->k.row);
}

static void each_head(const struct attn_call *c, uint64_t chain, unsigned slot,
                      void (*run)(const struct attn_call *, uint64_t b, uint64_t h, unsigned slot)) {
    const uint64_t group = c->shape.heads / c->shape.kv_heads, first = chain % c->shape.kv_heads * group;
    for (uint64_t h = first; h < first + group; h++)
        run(c, chain / c->shape.kv_heads, h, slot);
}

static void forward_task(void *arg, uint64_t index, unsigned slot) {
    each_head(arg, index, slot, head_forward);
}

static void backward_task(void *arg, uint64_t index, unsigned slot) {
    each_head(arg, index, slot, head_backward);
}

void standard_rows_forward(const struct attn_call *c) {
    pool_run(c->pool, c->shape.batch * c->shape.kv_heads, forward_task, (void *)c);
}

/* The gradients of bias and sinks, which heads and batches may share: on this thread, in order. */
static void bias_backward(const struct head *x) {
    const struct attn_call *c = x->c;
    const struct attn_shape *s = &c->shape;
    const uint64_t *stride = c->mask.bias_stride, n = x->hi - x->lo;
    float *bias = c->d_bias + x->b * stride[0] + x->h * stride[1] + x->lo * stride[3];
    for (uint64_t r = 0; r < s->n_q; r++, bias += stride[2]) {
        double sum = 0;
        for (uint64_t j = 0; j < n; j++)
            if (stride[3])
                bias[j * stride[3]] += x->t[r * n + j];
            else
                sum += (double)x->t[r * n + j];
        if (!stride[3])
            *bias += (float)sum;
    }
}

static double sink_loss(const struct head *x, const float delta[STANDARD_FEW]) {
    const struct attn_shape *s = &x->c->shape;
    double sum = 0;
    for (uint64_t r = 0; r < s->n_q; r++)
        sum += standard_sink_weight(x->c, x->b, x->h, r, x->lo, x->hi, x->p + r * s->n_k, 1) * (double)delta[r];
    return sum;
}

void standard_rows_backward(const struct attn_call *c) {
    const struct attn_shape *s = &c->shape;
    pool_run(c->pool, s->batch * s->kv_heads, backward_task, (void *)c);
    for (uint64_t h = 0; (c->d_bias || c->d_sinks) && h < s->heads; h++)
        for (uint64_t b = 0; b < s->batch; b++) {
            const struct head x = head_of(c, b, h, 0);
            float delta[STANDARD_FEW];
            weights_gradient(&x, delta);
            if (c->d_sinks)
                c->d_sinks[h] -= (float)sink_loss(&x, delta);
            scores_gradient(&x, delta, 1);
            if (c->d_bias)
                bias_backward(&x);
        }
}
