/* eltwise.c - see eltwise.h */
#include "engine/kernels/eltwise.h"

#include <stddef.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"

enum { PIECE = 8192 };

struct cut {
    uint64_t n;
    void (*body)(void *, uint64_t, uint64_t);
    void *arg;
};

static void piece(void *arg, uint64_t index, unsigned slot) {
    const struct cut *c = arg;
    (void)slot;
    c->body(c->arg, index * PIECE, units_min(c->n, (index + 1) * PIECE));
}

void eltwise_run(struct pool *pool, uint64_t n, void (*body)(void *arg, uint64_t from, uint64_t to), void *arg) {
    struct cut c = {n, body, arg};
    pool_run(pool, units_ceil_div(n, PIECE), piece, &c);
}

struct operands {
    float factor;
    const float *a, *b;
    float *y;
};

static void add_body(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    for (uint64_t i = from; i < to; i++)
        o->y[i] = o->a[i] + o->b[i];
}

static void scale_body(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    for (uint64_t i = from; i < to; i++)
        o->y[i] = o->factor * o->a[i];
}

static void accumulate_body(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    for (uint64_t i = from; i < to; i++)
        o->y[i] += o->factor * o->a[i];
}

void eltwise_add(struct pool *pool, uint64_t n, const float *a, const float *b, float *y) {
    eltwise_run(pool, n, add_body, &(struct operands){1, a, b, y});
}

void eltwise_scale(struct pool *pool, uint64_t n, float factor, const float *x, float *y) {
    eltwise_run(pool, n, scale_body, &(struct operands){factor, x, NULL, y});
}

void eltwise_accumulate(struct pool *pool, uint64_t n, float factor, const float *x, float *y) {
    eltwise_run(pool, n, accumulate_body, &(struct operands){factor, x, NULL, y});
}
