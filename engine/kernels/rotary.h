/* rotary.h - positions as rotations (Su et al. 2021, arXiv 2104.09864, section 3.2.2): x[batch][rows][heads][width], of
 * each head `dim` numbers from `first` on, in pairs. Pair i of row n turns by the angle n f[i]. */
#ifndef REMATD_KERNELS_ROTARY_H
#define REMATD_KERNELS_ROTARY_H

#include "engine/kernels/numbers.h"

struct pool;

struct rotary {
    uint64_t batch, rows, heads, width;
    uint64_t first, dim;      /* dim even, first + dim <= width */
    bool interleaved;         /* pairs are (2 i, 2 i + 1), else (i, i + dim / 2) */
    const float *frequencies; /* [dim / 2] */
    float factor;             /* of cosine and sine */
    struct pool *pool;
    struct numbers x, y;
};

/* y = x turned; the rest is copied. */
void rotary_forward(const struct rotary *r);
/* y += x turned back: x is the gradient of the result, y that of what was turned. */
void rotary_backward(const struct rotary *r);

#endif
