/* relative_bias.h - a number for each head and distance of query and key, read from a table of buckets (T5, arXiv
 * 1910.10683, section 2.1): bias[h][i][j] = table[bucket(j - p)][h], query i standing at p = i + n_k - n_q.
 *
 * Keys at or before the query by distance (bidirectional: half of the buckets for those, the other half for later
 * keys): half of the buckets for one distance each, the others for distances growing by powers up to max_distance, the
 * last for all beyond. */
#ifndef REMATD_KERNELS_RELATIVE_BIAS_H
#define REMATD_KERNELS_RELATIVE_BIAS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/kernels/numbers.h"

struct pool;

struct relative_bias {
    uint64_t buckets, heads, n_q, n_k; /* n_q, n_k below 2^62 */
    bool bidirectional;                /* else later keys count as distance 0 */
    uint64_t max_distance;
    struct pool *pool;
    struct numbers table, d_table; /* [buckets][heads]; d_table added into */
    struct numbers bias, d_bias;   /* [heads][n_q][n_k] */
};

/* The row of the table for a key `distance` after (below 0: before) the query. */
uint64_t relative_bias_bucket(const struct relative_bias *f, int64_t distance);

void relative_bias_forward(const struct relative_bias *f);
void relative_bias_backward(const struct relative_bias *f);

#endif
