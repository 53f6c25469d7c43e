/* gemm.h - a product by OpenBLAS on this thread alone. Results depend on the shape and nothing else. */
#ifndef REMATD_KERNELS_GEMM_H
#define REMATD_KERNELS_GEMM_H

#include <stdint.h>

/* Sizes and row strides are at most this: OpenBLAS counts in int. */
#define GEMM_SIZE_MAX ((uint64_t)INT32_MAX)

/* A row-major matrix; rows are `row` floats apart; `turned` reads it transposed. */
struct gemm_matrix {
    const float *at;
    uint64_t row;
    int turned;
};

/* OpenBLAS chooses its kernels by a list of processors as old as itself; one that is younger it takes for the least of
 * all, at a quarter of the speed. The name to put into GEMM_CORE_VARIABLE before a program starts so that it chooses
 * what this processor runs; NULL where it has, or nothing better is known. */
#define GEMM_CORE_VARIABLE "OPENBLAS_CORETYPE"
const char *gemm_core_better(void);
const char *gemm_core(void); /* the one it has chosen; static */

/* c[m][n] = alpha a[m][k] b[k][n] + beta c; rows of c are c_row apart. beta 0 never reads c. Any size may be 0. */
void gemm(uint64_t m, uint64_t n, uint64_t k, float alpha, struct gemm_matrix a, struct gemm_matrix b, float beta,
          float *c, uint64_t c_row);

#endif
