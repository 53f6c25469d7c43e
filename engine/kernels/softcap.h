/* softcap.h - y = cap tanh(x / cap) of n numbers; the backward reads the result. */
#ifndef REMATD_KERNELS_SOFTCAP_H
#define REMATD_KERNELS_SOFTCAP_H

#include "engine/kernels/numbers.h"

struct pool;

void softcap_forward(struct pool *pool, uint64_t n, float cap, struct numbers x, struct numbers y);
/* d_x += d_y (1 - (y / cap)^2) */
void softcap_backward(struct pool *pool, uint64_t n, float cap, struct numbers y, struct numbers d_y,
                      struct numbers d_x);

#endif
