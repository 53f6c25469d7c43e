/* norm.h - layer norm and RMS norm over the last dimension: x[rows][n], contiguous.
 *
 *   layer norm: y = (x - mean) rstd (offset + weight) + bias, rstd = 1 / sqrt(mean of (x - mean)^2 + epsilon)
 *   RMS norm:   y = x rstd (offset + weight) + bias,          rstd = 1 / sqrt(mean of x^2 + epsilon)
 *
 * No weight: a factor of 1. A weight may be [heads][n], row r multiplied by that of head r mod heads; a bias is [n]. */
#ifndef REMATD_KERNELS_NORM_H
#define REMATD_KERNELS_NORM_H

#include "engine/kernels/numbers.h"

struct pool;

struct norm {
    uint64_t rows, n, heads; /* heads >= 1 divides rows */
    float epsilon, offset;
    struct pool *pool;
    struct numbers x, weight, bias, y;
    float *mean, *rstd; /* forward: written; backward: read. mean NULL: RMS norm */
    struct numbers d_y;
    struct numbers d_x, d_weight, d_bias; /* added into; none where not wanted */
};

void norm_forward(const struct norm *f);
void norm_backward(const struct norm *f);

#endif
