/* update.h - what an optimizer does to one parameter tensor of n numbers, given its gradient.
 *
 *   sgd           p -= rate (g + decay p)
 *   sgd_momentum  u = momentum u + g + decay p;                    p -= rate u
 *   adamw         m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2; p -= rate (m^ / (sqrt(v^) + epsilon) + decay p),
 *                 m^ = m / (1 - b1^t), v^ = v / (1 - b2^t)         (Loshchilov and Hutter 2019, algorithm 2)
 *   lion          p -= rate (sign(b1 m + (1 - b1) g) + decay p);   m = b2 m + (1 - b2) g  (Chen et al. 2023)
 *
 * g is the gradient times `factor` (what clipping leaves of it). Each number is computed alone: no sums, so no order.
 * In bfloat16 p is a float32 master copy that is rounded into the parameter. */
#ifndef REMATD_KERNELS_UPDATE_H
#define REMATD_KERNELS_UPDATE_H

#include "engine/kernels/numbers.h"

struct pool;

struct update_rule {
    float rate, beta1, beta2, epsilon, decay, momentum;
};

struct update {
    uint64_t n;
    struct pool *pool;
    struct numbers parameter, gradient;
    float *master;   /* [n]; NULL where the parameter is float32 */
    float *state[2]; /* [n] each, as many as the optimizer has: momentum; or m, v */
    struct update_rule rule;
    float factor;
    uint64_t step; /* t: 1, 2, ... */
};

void update_sgd(const struct update *u);
void update_sgd_momentum(const struct update *u);
void update_adamw(const struct update *u);
void update_lion(const struct update *u);

/* Sum of squares, in double, in an order that n alone decides. */
double update_squares(struct pool *pool, struct numbers x, uint64_t n);

#endif
