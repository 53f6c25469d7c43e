/* gemm.h - a product on this thread alone (tile_product.h). A number of c depends on its row of a, its column of b and
 * k, and not on how large the product is or what part of a larger one: blocks may be cut as is best. Takes 0.8 MiB of
 * the stack. */
#ifndef REMATD_KERNELS_GEMM_H
#define REMATD_KERNELS_GEMM_H

#include "engine/kernels/numbers.h"

/* Sizes and row strides are at most this: no product of two of them overflows. */
#define GEMM_SIZE_MAX ((uint64_t)INT32_MAX)

/* A row-major matrix; rows are `row` numbers apart; `turned` reads it transposed. */
struct gemm_matrix {
    const void *at;
    uint64_t row;
    bool turned;
    bool narrow; /* bfloat16; else float32 */
};

/* x from number `from` on. */
static inline struct gemm_matrix gemm_part(struct numbers x, uint64_t from, uint64_t row, bool turned) {
    return (struct gemm_matrix){numbers_from(x, from).at, row, turned, x.narrow};
}

/* c[m][n] = or, with `sum`, += factor a[m][k] b[k][n]; rows of c are c_row apart. Any size may be 0. */
void gemm(uint64_t m, uint64_t n, uint64_t k, float factor, struct gemm_matrix a, struct gemm_matrix b, bool sum,
          float *c, uint64_t c_row);

#endif
