/* linear.h - y[rows][out] = x[rows][in] weight[out][in]^T + bias[out], and its gradients. All contiguous. */
#ifndef REMATD_KERNELS_LINEAR_H
#define REMATD_KERNELS_LINEAR_H

#include "engine/kernels/numbers.h"

struct pool;

struct linear {
    uint64_t rows, in, out; /* each at most GEMM_SIZE_MAX */
    struct pool *pool;
    void *work;                     /* 64-byte aligned; NULL where x, weight and y are float32 */
    struct numbers x, weight, bias; /* no bias: none. backward: x is read for d_weight, weight for d_x */
    struct numbers y;
    struct numbers d_y, d_x, d_weight, d_bias; /* added into; none where not wanted */
};

/* What is not all float32 needs workspace: for the forward, and for the backward with those gradients. */
uint64_t linear_forward_bytes(uint64_t rows, uint64_t out, unsigned threads);
uint64_t linear_backward_bytes(uint64_t rows, uint64_t in, uint64_t out, bool d_x, bool d_weight, unsigned threads);

void linear_forward(const struct linear *l);
void linear_backward(const struct linear *l);

#endif
