/* gemm.c - see gemm.h */
#include "engine/kernels/gemm.h"

#include <string.h>

#include "engine/kernels/tile.h"

void gemm(uint64_t m, uint64_t n, uint64_t k, float factor, struct gemm_matrix a, struct gemm_matrix b, bool sum,
          float *c, uint64_t c_row) {
    if (m == 0 || n == 0)
        return;
    if (k == 0)
        for (uint64_t r = 0; !sum && r < m; r++)
            memset(c + r * c_row, 0, n * sizeof *c);
    else
        tile_best()->product(&(struct tile_product){m, n, k, factor, a, b, sum, c, c_row});
}
