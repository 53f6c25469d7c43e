/* norm.h - layer norm and RMS norm over the last dimension: x[rows][n], contiguous.
 *
 *   layer norm: y = (x - mean) rstd weight + bias, rstd = 1 / sqrt(mean of (x - mean)^2 + epsilon)
 *   RMS norm:   y = x rstd weight,                 rstd = 1 / sqrt(mean of x^2 + epsilon) */
#ifndef REMATD_KERNELS_NORM_H
#define REMATD_KERNELS_NORM_H

#include <stdint.h>

struct pool;

/* mean and bias NULL: RMS norm. */
struct norm {
    uint64_t rows, n;
    float epsilon;
    struct pool *pool;
    const float *x, *weight, *bias;
    float *y, *mean, *rstd; /* forward: written; backward: mean and rstd are read */
    const float *d_y;
    float *d_x, *d_weight, *d_bias; /* added into; NULL where not wanted */
};

void norm_forward(const struct norm *f);
void norm_backward(const struct norm *f);

#endif
