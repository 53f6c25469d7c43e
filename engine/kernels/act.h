/* act.h - activation functions of n numbers: gelu (erf and tanh forms), relu, silu. Backwards add into d_x. */
#ifndef REMATD_KERNELS_ACT_H
#define REMATD_KERNELS_ACT_H

#include "engine/kernels/numbers.h"

struct pool;

/* x/2 (1 + erf(x / sqrt 2)), or x/2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
void act_gelu(struct pool *pool, uint64_t n, bool tanh_form, struct numbers x, struct numbers y);
void act_gelu_backward(struct pool *pool, uint64_t n, bool tanh_form, struct numbers x, struct numbers d_y,
                       struct numbers d_x);

/* max(x, 0), NaN stays; the backward reads the result */
void act_relu(struct pool *pool, uint64_t n, struct numbers x, struct numbers y);
void act_relu_backward(struct pool *pool, uint64_t n, struct numbers y, struct numbers d_y, struct numbers d_x);

/* x / (1 + e^-x) */
void act_silu(struct pool *pool, uint64_t n, struct numbers x, struct numbers y);
void act_silu_backward(struct pool *pool, uint64_t n, struct numbers x, struct numbers d_y, struct numbers d_x);

#endif
