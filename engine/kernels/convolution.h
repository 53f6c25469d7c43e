/* convolution.h - windows of an image, channels last, times weights: what patches and frames become tokens by.
 *
 *   y[b][i][j][o] = bias[o] + sum over u, v, c of x[b][i stride - padding + u][j stride - padding + v][c]
 *                                                  weight[o][u][v][c]
 *
 * x is 0 outside. One spatial dimension is an image one number wide. Windows are gathered into rows of workspace and
 * multiplied (Chellapilla et al. 2006, "High performance convolutional neural networks for document processing"). */
#ifndef REMATD_KERNELS_CONVOLUTION_H
#define REMATD_KERNELS_CONVOLUTION_H

#include "engine/kernels/numbers.h"

struct pool;

struct convolution {
    uint64_t batch, channels, out;
    uint64_t size[2], window[2], stride[2], padding[2], made[2]; /* of x, of weight; made: of y */
    struct pool *pool;
    bool narrow; /* any tensor is bfloat16: blocks of it are widened in workspace */
    float *work; /* see below */
    struct numbers x, weight, bias, y;
    struct numbers d_y, d_x, d_weight, d_bias; /* the last three are added into; none where not wanted */
};

/* out, and the numbers of a window and of a row of x, are at most this. */
#define CONVOLUTION_SIZE_MAX ((uint64_t)INT32_MAX)

/* Of *c only sizes and `narrow` are read. */
uint64_t convolution_forward_bytes(const struct convolution *c, unsigned threads);
uint64_t convolution_backward_bytes(const struct convolution *c, bool d_x, bool d_weight, unsigned threads);

void convolution_forward(const struct convolution *c);
void convolution_backward(const struct convolution *c);

#endif
