/* act.h - activation functions of n floats: gelu (erf and tanh forms), relu, silu. Backwards add into d_x. */
#ifndef REMATD_KERNELS_ACT_H
#define REMATD_KERNELS_ACT_H

#include <stdbool.h>
#include <stdint.h>

struct pool;

/* x/2 (1 + erf(x / sqrt 2)), or x/2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
void act_gelu(struct pool *pool, uint64_t n, bool tanh_form, const float *x, float *y);
void act_gelu_backward(struct pool *pool, uint64_t n, bool tanh_form, const float *x, const float *d_y, float *d_x);

/* max(x, 0), NaN stays; the backward reads the result */
void act_relu(struct pool *pool, uint64_t n, const float *x, float *y);
void act_relu_backward(struct pool *pool, uint64_t n, const float *y, const float *d_y, float *d_x);

/* x / (1 + e^-x) */
void act_silu(struct pool *pool, uint64_t n, const float *x, float *y);
void act_silu_backward(struct pool *pool, uint64_t n, const float *x, const float *d_y, float *d_x);

#endif
