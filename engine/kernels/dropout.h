/* dropout.h - dropout of n numbers: nothing is saved, the backward draws the same numbers again. */
#ifndef REMATD_KERNELS_DROPOUT_H
#define REMATD_KERNELS_DROPOUT_H

#include "engine/kernels/numbers.h"

struct pool;

/* Element i is kept iff word >= rng_threshold(p), lane i mod 4 of rng_words(seed, i / 4 low, i / 4 high, 0,
 * RNG_DROPOUT). y = kept ? x / (1 - p) : 0 */
void dropout_forward(struct pool *pool, uint64_t n, double p, uint64_t seed, struct numbers x, struct numbers y);
/* d_x += kept ? d_y / (1 - p) : 0 */
void dropout_backward(struct pool *pool, uint64_t n, double p, uint64_t seed, struct numbers d_y, struct numbers d_x);

#endif
