/* act.c - see act.h */
#include "engine/kernels/act.h"

#include <math.h>
#include <stddef.h>

#include "engine/kernels/eltwise.h"

#define SQRT_HALF   0.707106781186547524f
#define SQRT_2_PI   0.797884560802865356f /* sqrt(2 / pi) */
#define NORMAL_PEAK 0.398942280401432678f /* 1 / sqrt(2 pi) */
#define GELU_CUBIC  0.044715f

struct operands {
    const float *x, *d_y;
    float *y; /* or d_x */
};

static void gelu_erf(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    for (uint64_t i = from; i < to; i++)
        o->y[i] = 0.5f * o->x[i] * (1 + erff(o->x[i] * SQRT_HALF));
}

static void gelu_erf_backward(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    for (uint64_t i = from; i < to; i++) {
        float x = o->x[i], below = 0.5f * (1 + erff(x * SQRT_HALF));
        o->y[i] += o->d_y[i] * (below + x * NORMAL_PEAK * expf(-0.5f * x * x));
    }
}

static void gelu_tanh(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    for (uint64_t i = from; i < to; i++) {
        float x = o->x[i];
        o->y[i] = 0.5f * x * (1 + tanhf(SQRT_2_PI * (x + GELU_CUBIC * x * x * x)));
    }
}

static void gelu_tanh_backward(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    for (uint64_t i = from; i < to; i++) {
        float x = o->x[i], t = tanhf(SQRT_2_PI * (x + GELU_CUBIC * x * x * x));
        float slope = SQRT_2_PI * (1 + 3 * GELU_CUBIC * x * x);
        /* 1 - t^2 is 0 where the slope has long overflowed: no 0 inf */
        float rest = 1 - t * t, bend = rest == 0 ? 0 : x * rest * slope;
        o->y[i] += o->d_y[i] * 0.5f * (1 + t + bend);
    }
}

static void relu(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    for (uint64_t i = from; i < to; i++)
        o->y[i] = o->x[i] <= 0 ? 0 : o->x[i];
}

static void relu_backward(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    for (uint64_t i = from; i < to; i++)
        o->y[i] += o->x[i] <= 0 ? 0 : o->d_y[i];
}

static void silu(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    for (uint64_t i = from; i < to; i++)
        o->y[i] = o->x[i] / (1 + expf(-o->x[i]));
}

static void silu_backward(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    for (uint64_t i = from; i < to; i++) {
        float x = o->x[i], share = 1 / (1 + expf(-x));
        o->y[i] += o->d_y[i] * share * (1 + x * (1 - share));
    }
}

void act_gelu(struct pool *pool, uint64_t n, bool tanh_form, const float *x, float *y) {
    eltwise_run(pool, n, tanh_form ? gelu_tanh : gelu_erf, &(struct operands){x, NULL, y});
}

void act_gelu_backward(struct pool *pool, uint64_t n, bool tanh_form, const float *x, const float *d_y, float *d_x) {
    eltwise_run(pool, n, tanh_form ? gelu_tanh_backward : gelu_erf_backward, &(struct operands){x, d_y, d_x});
}

void act_relu(struct pool *pool, uint64_t n, const float *x, float *y) {
    eltwise_run(pool, n, relu, &(struct operands){x, NULL, y});
}

void act_relu_backward(struct pool *pool, uint64_t n, const float *y, const float *d_y, float *d_x) {
    eltwise_run(pool, n, relu_backward, &(struct operands){y, d_y, d_x});
}

void act_silu(struct pool *pool, uint64_t n, const float *x, float *y) {
    eltwise_run(pool, n, silu, &(struct operands){x, NULL, y});
}

void act_silu_backward(struct pool *pool, uint64_t n, const float *x, const float *d_y, float *d_x) {
    eltwise_run(pool, n, silu_backward, &(struct operands){x, d_y, d_x});
}
