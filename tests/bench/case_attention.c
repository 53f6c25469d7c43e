/* case_attention.c - one attention call, forward and backward, of any kernel; see cases.h */
#include <math.h>
#include <stdlib.h>

#include "engine/base/units.h"
#include "engine/kernels/attn_ref.h"
#include "tests/bench/cases.h"

enum { TENSORS = 10 };

struct attention_case {
    const struct attn_kernel *kernel;
    float *tensors[TENSORS]; /* q k v d_o o d_q d_k d_v aux work */
    uint64_t sizes[TENSORS];
    struct side {
        const struct attn_kernel *kernel;
        struct attn_call call;
    } side[CASE_THREADS];
    double pairs; /* allowed, times heads, times d */
};

static uint64_t aux_size(const struct attn_kernel *kernel, const struct attn_shape *s) {
    uint64_t shape[4], size = 1;
    for (unsigned r = kernel->aux_shape(s, shape); r-- > 0;)
        size *= shape[r];
    return size;
}

static void sizes_of(struct attention_case *c, const struct attn_shape *s, const struct attn_mask *m, bool backward) {
    const uint64_t n_q = s->batch * s->q.batch, n_k = s->batch * s->k.batch;
    const uint64_t gradients = backward ? UINT64_MAX : 0;
    const uint64_t sizes[TENSORS] = {
        n_q, n_k, n_k, n_q & gradients, n_q, n_q & gradients, n_k & gradients, n_k & gradients, aux_size(c->kernel, s)};
    uint64_t work = c->kernel->work_bytes(s, m, false, CASE_THREADS);
    if (backward)
        work = units_max(work, c->kernel->work_bytes(s, m, true, CASE_THREADS));
    for (unsigned i = 0; i < TENSORS; i++)
        c->sizes[i] = i + 1 < TENSORS ? sizes[i] : work / sizeof(float) + 1;
}

struct attention_case *attention_case_new(const struct case_attention *what, const struct case_pools *pools) {
    struct attention_case *c = calloc(1, sizeof *c);
    const struct attn_shape s = attn_contiguous(&what->shape);
    if (!c)
        exit(1);
    c->kernel = what->kernel;
    c->pairs = (double)(s.batch * s.heads * s.d) * (double)attn_pairs(&s, &what->mask);
    sizes_of(c, &s, &what->mask, what->backward);
    for (unsigned i = 0; i < TENSORS; i++)
        c->tensors[i] = c->sizes[i] ? bench_tensor(c->sizes[i], i + 1) : NULL;
    for (unsigned t = 0; t < CASE_THREADS; t++) {
        float **x = c->tensors;
        c->side[t] = (struct side){what->kernel,
                                   {.shape = s,
                                    .mask = what->mask,
                                    .scale = (float)(1 / sqrt((double)s.d)),
                                    .dropout = {what->dropout, 1},
                                    .pool = pools->pool[t],
                                    .q = x[0],
                                    .k = x[1],
                                    .v = x[2],
                                    .d_o = x[3],
                                    .o = x[4],
                                    .d_q = x[5],
                                    .d_k = x[6],
                                    .d_v = x[7],
                                    .aux = x[8],
                                    .work = x[9]}};
    }
    if (what->backward) /* which reads o and aux */
        c->kernel->forward(&c->side[CASE_THREADS - 1].call);
    return c;
}

void attention_case_free(struct attention_case *c) {
    for (unsigned i = 0; i < TENSORS; i++)
        free(c->tensors[i]);
    free(c);
}

static void forward(void *state) {
    const struct side *s = state;
    s->kernel->forward(&s->call);
}

static void backward(void *state) {
    const struct side *s = state;
    s->kernel->backward(&s->call);
}

struct bench_work attention_case_forward(struct attention_case *c, unsigned column) {
    return (struct bench_work){c->pairs * c->kernel->forward_flops, forward, &c->side[column]};
}

struct bench_work attention_case_backward(struct attention_case *c, unsigned column) {
    return (struct bench_work){c->pairs * c->kernel->backward_flops, backward, &c->side[column]};
}

uint64_t attention_case_bytes(const struct attention_case *c) {
    uint64_t floats = 0;
    for (unsigned i = 0; i < TENSORS; i++)
        floats += c->sizes[i];
    return floats * sizeof(float);
}
