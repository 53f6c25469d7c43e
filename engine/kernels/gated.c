/* gated.c - see gated.h. Block by block: the activation and its slope into buffers, then the products. Formulas are
 * those of act.c. */
#include "engine/kernels/gated.h"

#include <stddef.h>

#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/tile.h"

#define TWICE_SQRT_2_PI 1.595769121605730711f /* 2 sqrt(2 / pi) */
#define GELU_CUBIC      0.044715f

enum { BLOCK = NUMBERS_BLOCK };

/* y[n] = activation(x), and its slope unless that is NULL. */
typedef void (*activation)(const struct tile *tile, uint64_t n, const float *x, float *y, float *slope);

static void silu(const struct tile *tile, uint64_t n, const float *x, float *y, float *slope) {
    float share[BLOCK], rest[BLOCK];
    tile->sigmoid(n, x, share, rest);
    for (uint64_t i = 0; i < n; i++)
        y[i] = x[i] * share[i];
    if (slope)
        for (uint64_t i = 0; i < n; i++)
            slope[i] = share[i] * (1 + x[i] * rest[i]);
}

static void gelu(const struct tile *tile, uint64_t n, const float *x, float *y, float *slope) {
    float below[BLOCK], density[BLOCK];
    tile->normal(n, x, below, density);
    for (uint64_t i = 0; i < n; i++)
        y[i] = x[i] * below[i];
    if (slope)
        for (uint64_t i = 0; i < n; i++)
            slope[i] = below[i] + x[i] * density[i];
}

static void gelu_tanh_slope(uint64_t n, const float *x, const float *share, const float *rest, float *slope) {
    for (uint64_t i = 0; i < n; i++) {
        const float steep = TWICE_SQRT_2_PI * (1 + 3 * GELU_CUBIC * x[i] * x[i]), both = share[i] * rest[i];
        const float bend = x[i] * both * steep;
        slope[i] = share[i] + (both < 1e-30f ? 0 : bend); /* far out steep is infinite, and the curve straight */
    }
}

static void gelu_tanh(const struct tile *tile, uint64_t n, const float *x, float *y, float *slope) {
    float share[BLOCK], rest[BLOCK];
    for (uint64_t i = 0; i < n; i++) /* y holds what goes into the sigmoid first */
        y[i] = TWICE_SQRT_2_PI * (x[i] + GELU_CUBIC * x[i] * x[i] * x[i]);
    tile->sigmoid(n, y, share, rest);
    for (uint64_t i = 0; i < n; i++)
        y[i] = x[i] * share[i];
    if (slope)
        gelu_tanh_slope(n, x, share, rest, slope);
}

static void relu(const struct tile *tile, uint64_t n, const float *x, float *y, float *slope) {
    (void)tile;
    for (uint64_t i = 0; i < n; i++)
        y[i] = x[i] <= 0 ? 0 : x[i];
    if (slope)
        for (uint64_t i = 0; i < n; i++)
            slope[i] = x[i] <= 0 ? 0 : 1;
}

static const activation activations[] = {
    [GATED_SILU] = silu, [GATED_GELU] = gelu, [GATED_GELU_TANH] = gelu_tanh, [GATED_RELU] = relu};

struct blocks {
    const struct gated *g;
    const struct tile *tile;
    activation of;
};

static void forward_block(const struct blocks *b, uint64_t at, uint64_t n) {
    const struct gated *g = b->g;
    float buffers[3][BLOCK], value[BLOCK];
    const float *gate = numbers_read(g->gate, at, n, buffers[0]), *up = numbers_read(g->up, at, n, buffers[1]);
    float *y = numbers_open(g->y, at, buffers[2]);
    b->of(b->tile, n, gate, value, NULL);
    for (uint64_t i = 0; i < n; i++)
        y[i] = value[i] * up[i];
    numbers_close(g->y, at, n, y);
}

/* to += a b */
static void add_product(struct numbers to, uint64_t at, uint64_t n, const float *a, const float *b) {
    float buffer[BLOCK];
    float *sum = numbers_open_sum(to, at, n, buffer);
    for (uint64_t i = 0; i < n; i++)
        sum[i] += a[i] * b[i];
    numbers_close(to, at, n, sum);
}

static void backward_block(const struct blocks *b, uint64_t at, uint64_t n) {
    const struct gated *g = b->g;
    float buffers[3][BLOCK], value[BLOCK], slope[BLOCK];
    const float *gate = numbers_read(g->gate, at, n, buffers[0]), *d_y = numbers_read(g->d_y, at, n, buffers[1]);
    b->of(b->tile, n, gate, value, slope);
    if (g->d_up.at)
        add_product(g->d_up, at, n, d_y, value);
    if (!g->d_gate.at)
        return;
    const float *up = numbers_read(g->up, at, n, buffers[2]);
    for (uint64_t i = 0; i < n; i++)
        slope[i] *= up[i];
    add_product(g->d_gate, at, n, d_y, slope);
}

static void forward(void *arg, uint64_t from, uint64_t to) {
    for (; from < to; from += BLOCK)
        forward_block(arg, from, units_min(BLOCK, to - from));
}

static void backward(void *arg, uint64_t from, uint64_t to) {
    for (; from < to; from += BLOCK)
        backward_block(arg, from, units_min(BLOCK, to - from));
}

void gated_forward(const struct gated *g) {
    eltwise_run(g->pool, g->n, forward, &(struct blocks){g, tile_best(), activations[g->by]});
}

void gated_backward(const struct gated *g) {
    eltwise_run(g->pool, g->n, backward, &(struct blocks){g, tile_best(), activations[g->by]});
}
