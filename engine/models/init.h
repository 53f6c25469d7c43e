/* init.h - weights from a seed, the same on every machine.
 *
 *   biases, sinks                              0
 *   weights of norms                           1 (0 where the norm adds 1 to them)
 *   the linear layers that end a sub-layer     uniform, deviation 0.02 / sqrt(2 layers)   (GPT-2)
 *   everything else                            uniform, deviation 0.02
 *
 * A deviation s is the interval [-s sqrt 3, s sqrt 3). Element i of the k-th parameter tensor (k = 0, 1, ... in the
 * graph's order) is rng_fill_uniform's, from the seed and domain RNG_PARAMETER + (k << 8); in bfloat16 it is rounded.
 */
#ifndef REMATD_MODELS_INIT_H
#define REMATD_MODELS_INIT_H

#include "engine/models/model.h"

struct pool;

/* dst has the parameter's bytes. Any thread; the pool shares the work out. */
void init_fill(const struct workload *w, const struct graph *g, uint32_t parameter, uint64_t seed, struct pool *pool,
               void *dst);

#endif
