/* softcap.c - see softcap.h. tanh(u) is sigmoid(2 u) - sigmoid(-2 u); near 0, where that cancels, its series. */
#include "engine/kernels/softcap.h"

#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/tile.h"

enum { BLOCK = NUMBERS_BLOCK };

struct operands {
    const struct tile *tile;
    float cap;
    struct numbers x, d_y, to; /* x: the result in the backward */
};

/* u - u^3 / 3 + ...; below 1/4 what is left out is less than 1e-8 of it */
static float small_tanh(float u) {
    const float s = u * u;
    return u + u * s * (-1.0f / 3 + s * (2.0f / 15 + s * (-17.0f / 315 + s * (62.0f / 2835))));
}

static void forward_block(const struct operands *o, uint64_t at, uint64_t n) {
    float buffers[2][BLOCK], u[BLOCK] = {0}, above[BLOCK], below[BLOCK];
    const float *x = numbers_read(o->x, at, n, buffers[0]), cap = o->cap, scale = 2 / o->cap;
    float *y = numbers_open(o->to, at, buffers[1]);
    for (uint64_t i = 0; i < n; i++)
        u[i] = scale * x[i];
    o->tile->sigmoid(n, u, above, below);
    for (uint64_t i = 0; i < n; i++) {
        const float near = small_tanh(u[i] / 2), far = above[i] - below[i];
        y[i] = cap * (u[i] * u[i] < 0.25f ? near : far);
    }
    numbers_close(o->to, at, n, y);
}

static void backward_block(const struct operands *o, uint64_t at, uint64_t n) {
    float buffers[3][BLOCK];
    const float *y = numbers_read(o->x, at, n, buffers[0]), *d_y = numbers_read(o->d_y, at, n, buffers[1]);
    float *d_x = numbers_open_sum(o->to, at, n, buffers[2]);
    const float inverse = 1 / o->cap;
    for (uint64_t i = 0; i < n; i++) {
        const float tanh = y[i] * inverse;
        d_x[i] += d_y[i] * (1 - tanh * tanh);
    }
    numbers_close(o->to, at, n, d_x);
}

static void forward(void *arg, uint64_t from, uint64_t to) {
    for (; from < to; from += BLOCK)
        forward_block(arg, from, units_min(BLOCK, to - from));
}

static void backward(void *arg, uint64_t from, uint64_t to) {
    for (; from < to; from += BLOCK)
        backward_block(arg, from, units_min(BLOCK, to - from));
}

void softcap_forward(struct pool *pool, uint64_t n, float cap, struct numbers x, struct numbers y) {
    eltwise_run(pool, n, forward, &(struct operands){.tile = tile_best(), .cap = cap, .x = x, .to = y});
}

void softcap_backward(struct pool *pool, uint64_t n, float cap, struct numbers y, struct numbers d_y,
                      struct numbers d_x) {
    eltwise_run(pool, n, backward, &(struct operands){.cap = cap, .x = y, .d_y = d_y, .to = d_x});
}
