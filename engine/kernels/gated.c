/* gated.c - see gated.h. Block by block: the activation and its slope into buffers, then the products. */
#include "engine/kernels/gated.h"

#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/rows.h"

enum { BLOCK = NUMBERS_BLOCK };

struct blocks {
    const struct gated *g;
    const struct rows *rows;
    const struct rows_activation *of;
};

static void forward_block(const struct blocks *b, uint64_t at, uint64_t n) {
    const struct gated *g = b->g;
    float buffers[3][BLOCK], value[BLOCK];
    const float *gate = numbers_read(g->gate, at, n, buffers[0]), *up = numbers_read(g->up, at, n, buffers[1]);
    float *y = numbers_open(g->y, at, buffers[2]);
    b->of->value(n, gate, value);
    b->rows->multiply(n, value, up, y);
    numbers_close(g->y, at, n, y);
}

/* to += a b */
static void add_product(const struct rows *rows, struct numbers to, uint64_t at, uint64_t n, const float *a,
                        const float *b) {
    float buffer[BLOCK];
    float *sum = numbers_open_sum(to, at, n, buffer);
    rows->product_add(n, a, b, sum);
    numbers_close(to, at, n, sum);
}

static void backward_block(const struct blocks *b, uint64_t at, uint64_t n) {
    const struct gated *g = b->g;
    float buffers[3][BLOCK], value[BLOCK], slope[BLOCK];
    const float *gate = numbers_read(g->gate, at, n, buffers[0]), *d_y = numbers_read(g->d_y, at, n, buffers[1]);
    b->of->slope(n, gate, value, slope);
    if (g->d_up.at)
        add_product(b->rows, g->d_up, at, n, d_y, value);
    if (!g->d_gate.at)
        return;
    const float *up = numbers_read(g->up, at, n, buffers[2]);
    b->rows->multiply(n, slope, up, slope);
    add_product(b->rows, g->d_gate, at, n, d_y, slope);
}

static void forward(void *arg, uint64_t from, uint64_t to) {
    for (; from < to; from += BLOCK)
        forward_block(arg, from, units_min(BLOCK, to - from));
}

static void backward(void *arg, uint64_t from, uint64_t to) {
    for (; from < to; from += BLOCK)
        backward_block(arg, from, units_min(BLOCK, to - from));
}

static struct blocks blocks_of(const struct gated *g) {
    const struct rows *rows = rows_best();
    const struct rows_activation *by[] = {[GATED_SILU] = &rows->silu,
                                          [GATED_GELU] = &rows->gelu,
                                          [GATED_GELU_TANH] = &rows->gelu_tanh,
                                          [GATED_RELU] = &rows->relu};
    return (struct blocks){g, rows, by[g->by]};
}

void gated_forward(const struct gated *g) {
    struct blocks b = blocks_of(g);
    eltwise_run(g->pool, g->n, forward, &b);
}

void gated_backward(const struct gated *g) {
    struct blocks b = blocks_of(g);
    eltwise_run(g->pool, g->n, backward, &b);
}
