/* attn_case.h - one attention problem with its truth, and a kernel run on it between guard bytes. For the tests of
 * kernels.
 *
 * Everything that comes out is contiguous [batch, heads, n, d], however the kernel was told to read and write. */
#ifndef REMATD_TESTS_ATTN_CASE_H
#define REMATD_TESTS_ATTN_CASE_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/attn.h"
#include "engine/kernels/attn_ref.h"

enum { GUARD = 64, PATTERN = 0xA5, OUTPUTS = 4 };
static const char *const output_names[OUTPUTS] = {"output", "grad_q", "grad_k", "grad_v"};

struct attn_case {
    struct attn_shape s; /* contiguous strides */
    struct attn_mask m;
    float scale;
    struct attn_dropout dropout;
    float *q, *k, *v, *d_o, *bias, *sinks;
    uint64_t sizes[OUTPUTS];
};

/* What one run made: sizes of the case, and the kernel's aux. */
struct attn_result {
    float *out[OUTPUTS];
    float *aux;
    uint64_t aux_size;
};

enum attn_order {
    HEADS_FIRST,
    ROWS_FIRST,
    ROWS_APART,
    ATTN_ORDERS
}; /* APART: a gap after every row, as in a fused QKV */

static inline void *attn_alloc(uint64_t bytes) {
    void *p = aligned_alloc(GUARD, units_extent(bytes ? bytes : 1));
    cr_assert(p != NULL);
    return p;
}

static inline float *attn_random(uint64_t n, uint64_t seed, float deviation) {
    float *x = attn_alloc(n * sizeof *x);
    rng_fill_normal(x, n, seed, RNG_TENSOR, deviation);
    return x;
}

/* Sizes, then random tensors; the mask is open, scale 1 / sqrt(d), no dropout. */
static inline struct attn_case attn_case_of_values(uint64_t batch, uint64_t heads, uint64_t kv_heads, uint64_t n_q,
                                                   uint64_t n_k, uint64_t d, uint64_t d_v) {
    struct attn_case c = {
        .s = {.batch = batch, .heads = heads, .kv_heads = kv_heads, .n_q = n_q, .n_k = n_k, .d = d, .value_dim = d_v}};
    c.s = attn_contiguous(&c.s);
    c.m = (struct attn_mask){.behind = ATTN_FAR, .ahead = ATTN_FAR};
    c.scale = (float)(1 / sqrt((double)d));
    c.sizes[0] = batch * heads * n_q * d_v;
    c.sizes[1] = batch * heads * n_q * d;
    c.sizes[2] = batch * kv_heads * n_k * d;
    c.sizes[3] = batch * kv_heads * n_k * d_v;
    c.q = attn_random(c.sizes[1], 1, 1);
    c.k = attn_random(c.sizes[2], 2, 1);
    c.v = attn_random(c.sizes[3], 3, 1);
    c.d_o = attn_random(c.sizes[0], 4, 1);
    return c;
}

static inline struct attn_case attn_case_new(uint64_t batch, uint64_t heads, uint64_t kv_heads, uint64_t n_q,
                                             uint64_t n_k, uint64_t d) {
    return attn_case_of_values(batch, heads, kv_heads, n_q, n_k, d, d);
}

static inline void attn_case_free(struct attn_case *c) {
    free(c->q);
    free(c->k);
    free(c->v);
    free(c->d_o);
    free(c->bias);
    free(c->sinks);
}

/* Guarded memory: PATTERN before, in and after. */
static inline unsigned char *guarded_new(uint64_t bytes) {
    unsigned char *p = attn_alloc(bytes + 2 * GUARD);
    memset(p, PATTERN, bytes + 2 * GUARD);
    return p + GUARD;
}

static inline bool guarded_intact(const unsigned char *p, uint64_t bytes) {
    for (unsigned i = 0; i < GUARD; i++)
        if (p[-1 - (int)i] != PATTERN || p[bytes + i] != PATTERN)
            return false;
    return true;
}

static inline void guarded_free(void *p) {
    free((unsigned char *)p - GUARD);
}

/* One tensor of the call in some order, and back. */
struct attn_laid {
    uint64_t batch, heads, n, d, floats;
    struct attn_stride stride;
    float *at;
};

static inline struct attn_laid attn_lay(uint64_t batch, uint64_t heads, uint64_t n, uint64_t d, enum attn_order order) {
    struct attn_laid t = {batch, heads, n, d, 0, {heads * n * d, n * d, d}, NULL};
    const uint64_t gap = order == ROWS_APART ? 5 : 0;
    if (order != HEADS_FIRST)
        t.stride = (struct attn_stride){n * (heads * d + gap), d, heads * d + gap};
    t.floats = batch * t.stride.batch;
    t.at = (float *)guarded_new(t.floats * sizeof(float));
    return t;
}

/* from NULL fills with `value`; the gaps keep the pattern */
static inline void attn_put(struct attn_laid *t, const float *from, float value) {
    for (uint64_t b = 0, e = 0; b < t->batch; b++)
        for (uint64_t h = 0; h < t->heads; h++)
            for (uint64_t i = 0; i < t->n; i++)
                for (uint64_t c = 0; c < t->d; c++, e++)
                    t->at[b * t->stride.batch + h * t->stride.head + i * t->stride.row + c] = from ? from[e] : value;
}

/* Contiguous copy; frees the guarded memory after checking guards and gaps. */
static inline float *attn_take_out(struct attn_laid *t) {
    float *out = attn_alloc(t->batch * t->heads * t->n * t->d * sizeof *out);
    float gap;
    memset(&gap, PATTERN, sizeof gap);
    for (uint64_t b = 0, e = 0; b < t->batch; b++)
        for (uint64_t h = 0; h < t->heads; h++)
            for (uint64_t i = 0; i < t->n; i++) {
                float *row = t->at + b * t->stride.batch + h * t->stride.head + i * t->stride.row;
                for (uint64_t c = 0; c < t->d; c++, e++)
                    out[e] = row[c];
                if (h + 1 == t->heads && t->stride.row > t->heads * t->d)
                    cr_assert(memcmp(row + t->d, &gap, sizeof gap) == 0, "the gap behind row %llu was written",
                              (unsigned long long)i);
            }
    cr_assert(guarded_intact((unsigned char *)t->at, t->floats * sizeof(float)), "bytes beside a tensor were written");
    guarded_free(t->at);
    return out;
}

struct attn_how {
    const struct attn_kernel *kernel;
    struct pool *pool; /* of `threads` */
    unsigned threads;
    enum attn_order order;
    float before; /* what gradients hold already */
};

/* A guarded workspace whose last 64 bytes must change. */
static inline void attn_step(const struct attn_how *how, struct attn_call *call, bool backward) {
    uint64_t bytes = how->kernel->work_bytes(&call->shape, &call->mask, backward, how->threads);
    unsigned char *work = guarded_new(bytes), untouched[GUARD];
    call->work = work;
    (backward ? how->kernel->backward : how->kernel->forward)(call);
    memset(untouched, PATTERN, GUARD);
    cr_assert(bytes % 64 == 0);
    cr_assert(guarded_intact(work, bytes), "%s wrote beyond its workspace", how->kernel->name);
    cr_assert(bytes == 0 || memcmp(work + bytes - GUARD, untouched, GUARD) != 0, "%s asks for more than it writes (%s)",
              how->kernel->name, backward ? "backward" : "forward");
    guarded_free(work);
}

static inline struct attn_result attn_run(const struct attn_case *c, const struct attn_how *how) {
    const struct attn_shape *s = &c->s;
    const uint64_t d_v = attn_value_dim(s);
    struct attn_laid q = attn_lay(s->batch, s->heads, s->n_q, s->d, how->order);
    struct attn_laid d_q = attn_lay(s->batch, s->heads, s->n_q, s->d, how->order);
    struct attn_laid o = attn_lay(s->batch, s->heads, s->n_q, d_v, how->order);
    struct attn_laid d_o = attn_lay(s->batch, s->heads, s->n_q, d_v, how->order);
    struct attn_laid k = attn_lay(s->batch, s->kv_heads, s->n_k, s->d, how->order);
    struct attn_laid d_k = attn_lay(s->batch, s->kv_heads, s->n_k, s->d, how->order);
    struct attn_laid v = attn_lay(s->batch, s->kv_heads, s->n_k, d_v, how->order);
    struct attn_laid d_v_laid = attn_lay(s->batch, s->kv_heads, s->n_k, d_v, how->order);
    attn_put(&q, c->q, 0);
    attn_put(&k, c->k, 0);
    attn_put(&v, c->v, 0);
    attn_put(&d_o, c->d_o, 0);
    attn_put(&d_q, NULL, how->before);
    attn_put(&d_k, NULL, how->before);
    attn_put(&d_v_laid, NULL, how->before);
    struct attn_result r = {.aux_size = 1};
    uint64_t aux_shape[4];
    for (unsigned i = how->kernel->aux_shape(s, aux_shape); i-- > 0;)
        r.aux_size *= aux_shape[i];
    float *aux = (float *)guarded_new(r.aux_size * sizeof(float));
    struct attn_call call = {.shape = *s,
                             .mask = c->m,
                             .scale = c->scale,
                             .dropout = c->dropout,
                             .pool = how->pool,
                             .q = q.at,
                             .k = k.at,
                             .v = v.at,
                             .o = o.at,
                             .aux = aux};
    call.shape.q = q.stride;
    call.shape.k = k.stride;
    call.shape.v = v.stride;
    call.shape.o = o.stride;
    attn_step(how, &call, false);
    call.d_o = d_o.at;
    call.d_q = d_q.at;
    call.d_k = d_k.at;
    call.d_v = d_v_laid.at;
    if (!how->kernel->saves_output)
        call.o = NULL;
    attn_step(how, &call, true);
    cr_assert(guarded_intact((unsigned char *)aux, r.aux_size * sizeof(float)), "bytes beside aux were written");
    r.aux = attn_alloc(r.aux_size * sizeof(float));
    memcpy(r.aux, aux, r.aux_size * sizeof(float));
    guarded_free(aux);
    r.out[0] = attn_take_out(&o);
    r.out[1] = attn_take_out(&d_q);
    r.out[2] = attn_take_out(&d_k);
    r.out[3] = attn_take_out(&d_v_laid);
    free(attn_take_out(&q));
    free(attn_take_out(&k));
    free(attn_take_out(&v));
    free(attn_take_out(&d_o));
    return r;
}

static inline void attn_result_free(struct attn_result *r) {
    for (unsigned i = 0; i < OUTPUTS; i++)
        free(r->out[i]);
    free(r->aux);
}

static inline double *attn_widen(const float *x, uint64_t n) {
    double *wide = attn_alloc(n * sizeof *wide);
    for (uint64_t i = 0; i < n; i++)
        wide[i] = x[i];
    return wide;
}

/* truth[OUTPUTS] by attn_ref; the caller frees them. */
static inline void attn_truth(const struct attn_case *c, double *truth[OUTPUTS]) {
    double *q = attn_widen(c->q, c->sizes[1]), *k = attn_widen(c->k, c->sizes[2]), *v = attn_widen(c->v, c->sizes[3]);
    double *d_o = attn_widen(c->d_o, c->sizes[0]);
    double *weights = attn_alloc(c->s.n_k * sizeof *weights), *d_weights = attn_alloc(c->s.n_k * sizeof *weights);
    for (unsigned i = 0; i < OUTPUTS; i++)
        truth[i] = attn_alloc(c->sizes[i] * sizeof(double));
    attn_ref(&c->s, &c->m, (double)c->scale, &c->dropout, q, k, v, truth[0], d_o, truth[1], truth[2], truth[3], weights,
             d_weights);
    free(q);
    free(k);
    free(v);
    free(d_o);
    free(weights);
    free(d_weights);
}

static inline double attn_largest(const double *x, uint64_t n) {
    double most = 0;
    for (uint64_t i = 0; i < n; i++)
        most = fmax(most, fabs(x[i]));
    return most;
}

/* What errors of output i are measured by: its largest true value, or `share` of the largest gradient. */
static inline double attn_size_of(double *const truth[OUTPUTS], const uint64_t sizes[OUTPUTS], unsigned i,
                                  double share) {
    double own = attn_largest(truth[i], sizes[i]), gradients = 0;
    for (unsigned g = 1; g < OUTPUTS; g++)
        gradients = fmax(gradients, attn_largest(truth[g], sizes[g]));
    return i == 0 ? own : fmax(own, share * gradients);
}

/* The largest |x - truth|; a NaN counts as infinite. */
static inline double attn_error(const float *x, const double *truth, uint64_t n) {
    double most = 0;
    for (uint64_t i = 0; i < n; i++) {
        double error = fabs((double)x[i] - truth[i]);
        most = error <= most ? most : isnan(error) ? INFINITY : error;
    }
    return most;
}

#endif
