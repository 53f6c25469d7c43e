/* act.c - see act.h. Exponentials come from struct tile, NUMBERS_BLOCK numbers at a time: libm's take ten times as
 * long.
 *
 * gelu by tanh is x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3), since (1 + tanh u) / 2 = sigmoid(2 u). */
#include "engine/kernels/act.h"

#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/tile.h"

#define TWICE_SQRT_2_PI 1.595769121605730711f /* 2 sqrt(2 / pi) */
#define GELU_CUBIC      0.044715f

/* One block: x, d_y (backward) and y or d_x from there on. */
typedef void (*block_body)(const struct tile *tile, uint64_t n, const float *x, const float *d_y, float *y);

static void gelu_erf(const struct tile *tile, uint64_t n, const float *x, const float *d_y, float *y) {
    float below[NUMBERS_BLOCK], density[NUMBERS_BLOCK];
    (void)d_y;
    tile->normal(n, x, below, density);
    for (uint64_t i = 0; i < n; i++)
        y[i] = x[i] * below[i];
}

static void gelu_erf_backward(const struct tile *tile, uint64_t n, const float *x, const float *d_y, float *d_x) {
    float below[NUMBERS_BLOCK], density[NUMBERS_BLOCK];
    tile->normal(n, x, below, density);
    for (uint64_t i = 0; i < n; i++)
        d_x[i] += d_y[i] * (below[i] + x[i] * density[i]);
}

static void twice_u(uint64_t n, const float *x, float *u) {
    for (uint64_t i = 0; i < n; i++)
        u[i] = TWICE_SQRT_2_PI * (x[i] + GELU_CUBIC * x[i] * x[i] * x[i]);
}

static void gelu_tanh(const struct tile *tile, uint64_t n, const float *x, const float *d_y, float *y) {
    float u[NUMBERS_BLOCK] = {0}, share[NUMBERS_BLOCK], rest[NUMBERS_BLOCK];
    (void)d_y;
    twice_u(n, x, u);
    tile->sigmoid(n, u, share, rest);
    for (uint64_t i = 0; i < n; i++)
        y[i] = x[i] * share[i];
}

static void gelu_tanh_backward(const struct tile *tile, uint64_t n, const float *x, const float *d_y, float *d_x) {
    float u[NUMBERS_BLOCK] = {0}, share[NUMBERS_BLOCK], rest[NUMBERS_BLOCK];
    twice_u(n, x, u);
    tile->sigmoid(n, u, share, rest);
    for (uint64_t i = 0; i < n; i++) {
        float slope = TWICE_SQRT_2_PI * (1 + 3 * GELU_CUBIC * x[i] * x[i]), bend = share[i] * rest[i];
        bend = bend < 1e-30f ? 0 : x[i] * bend * slope; /* far out the slope is infinite, and the curve straight */
        d_x[i] += d_y[i] * (share[i] + bend);
    }
}

static void silu(const struct tile *tile, uint64_t n, const float *x, const float *d_y, float *y) {
    float share[NUMBERS_BLOCK], rest[NUMBERS_BLOCK];
    (void)d_y;
    tile->sigmoid(n, x, share, rest);
    for (uint64_t i = 0; i < n; i++)
        y[i] = x[i] * share[i];
}

static void silu_backward(const struct tile *tile, uint64_t n, const float *x, const float *d_y, float *d_x) {
    float share[NUMBERS_BLOCK], rest[NUMBERS_BLOCK];
    tile->sigmoid(n, x, share, rest);
    for (uint64_t i = 0; i < n; i++)
        d_x[i] += d_y[i] * share[i] * (1 + x[i] * rest[i]);
}

static void relu(const struct tile *tile, uint64_t n, const float *x, const float *d_y, float *y) {
    (void)tile;
    (void)d_y;
    for (uint64_t i = 0; i < n; i++)
        y[i] = x[i] <= 0 ? 0 : x[i];
}

static void relu_backward(const struct tile *tile, uint64_t n, const float *y, const float *d_y, float *d_x) {
    (void)tile;
    for (uint64_t i = 0; i < n; i++)
        d_x[i] += y[i] <= 0 ? 0 : d_y[i];
}

struct blocks {
    const struct tile *tile;
    block_body body;
    struct numbers x, d_y, y; /* d_y: of a backward, which adds into y */
};

static void blocks_run(void *arg, uint64_t from, uint64_t to) {
    const struct blocks *b = arg;
    float x_block[NUMBERS_BLOCK], d_y_block[NUMBERS_BLOCK], y_block[NUMBERS_BLOCK];
    for (; from < to; from += NUMBERS_BLOCK) {
        const uint64_t n = units_min(NUMBERS_BLOCK, to - from);
        const bool backward = b->d_y.at;
        float *y = backward ? numbers_open_sum(b->y, from, n, y_block) : numbers_open(b->y, from, y_block);
        b->body(b->tile, n, numbers_read(b->x, from, n, x_block),
                backward ? numbers_read(b->d_y, from, n, d_y_block) : NULL, y);
        numbers_close(b->y, from, n, y_block);
    }
}

static void forward_run(struct pool *pool, uint64_t n, block_body body, struct numbers x, struct numbers y) {
    eltwise_run(pool, n, blocks_run, &(struct blocks){.tile = tile_best(), .body = body, .x = x, .y = y});
}

static void backward_run(struct pool *pool, uint64_t n, block_body body, struct numbers x, struct numbers d_y,
                         struct numbers d_x) {
    eltwise_run(pool, n, blocks_run, &(struct blocks){tile_best(), body, x, d_y, d_x});
}

void act_gelu(struct pool *pool, uint64_t n, bool tanh_form, struct numbers x, struct numbers y) {
    forward_run(pool, n, tanh_form ? gelu_tanh : gelu_erf, x, y);
}

void act_gelu_backward(struct pool *pool, uint64_t n, bool tanh_form, struct numbers x, struct numbers d_y,
                       struct numbers d_x) {
    backward_run(pool, n, tanh_form ? gelu_tanh_backward : gelu_erf_backward, x, d_y, d_x);
}

void act_relu(struct pool *pool, uint64_t n, struct numbers x, struct numbers y) {
    forward_run(pool, n, relu, x, y);
}

void act_relu_backward(struct pool *pool, uint64_t n, struct numbers y, struct numbers d_y, struct numbers d_x) {
    backward_run(pool, n, relu_backward, y, d_y, d_x);
}

void act_silu(struct pool *pool, uint64_t n, struct numbers x, struct numbers y) {
    forward_run(pool, n, silu, x, y);
}

void act_silu_backward(struct pool *pool, uint64_t n, struct numbers x, struct numbers d_y, struct numbers d_x) {
    backward_run(pool, n, silu_backward, x, d_y, d_x);
}
