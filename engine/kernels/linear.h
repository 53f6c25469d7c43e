/* linear.h - y[rows][out] = x[rows][in] weight[out][in]^T + bias[out], and its gradients. All contiguous. */
#ifndef REMATD_KERNELS_LINEAR_H
#define REMATD_KERNELS_LINEAR_H

#include <stdint.h>

struct pool;

struct linear {
    uint64_t rows, in, out; /* each at most GEMM_SIZE_MAX */
    struct pool *pool;
    const float *x, *weight, *bias; /* bias NULL: none. backward: x is read for d_weight, weight for d_x */
    float *y;
    const float *d_y;
    float *d_x, *d_weight, *d_bias; /* added into; NULL where not wanted */
};

void linear_forward(const struct linear *l);
void linear_backward(const struct linear *l);

#endif
