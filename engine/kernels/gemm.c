/* gemm.c - see gemm.h */
#include "engine/kernels/gemm.h"

#include <cblas.h>
#include <string.h>

#include "engine/kernels/tile.h"

const char *gemm_core(void) {
    return openblas_get_corename();
}

const char *gemm_core_better(void) {
#if defined(__x86_64__)
    static const char *const wide[] = {"Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids"};
    const char *core = gemm_core();
    for (unsigned i = 0; i < sizeof wide / sizeof wide[0]; i++)
        if (strcmp(core, wide[i]) == 0)
            return NULL;
    return tile_best() == &tile_avx512 ? "SkylakeX" : tile_best() == &tile_avx2 ? "Haswell" : NULL;
#else
    return NULL;
#endif
}

void gemm(uint64_t m, uint64_t n, uint64_t k, float alpha, struct gemm_matrix a, struct gemm_matrix b, float beta,
          float *c, uint64_t c_row) {
    if (m == 0 || n == 0)
        return;
    if (k == 0) {
        for (uint64_t r = 0; beta == 0 && r < m; r++)
            memset(c + r * c_row, 0, n * sizeof *c);
        return;
    }
    cblas_sgemm(CblasRowMajor, a.turned ? CblasTrans : CblasNoTrans, b.turned ? CblasTrans : CblasNoTrans, (int)m,
                (int)n, (int)k, alpha, a.at, (int)a.row, b.at, (int)b.row, beta, c, (int)c_row);
}
