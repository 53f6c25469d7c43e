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
    static const char *const narrow[] = {/* without AVX2; no more of them will be made */
                                         "Katmai",      "Coppermine", "Northwood",    "Prescott",   "Banias",
                                         "Atom",        "Core2",      "Penryn",       "Dunnington", "Nehalem",
                                         "Athlon",      "Opteron",    "Opteron_SSE3", "Barcelona",  "Nano",
                                         "Sandybridge", "Bobcat",     "Bulldozer",    "Piledriver", "Steamroller"};
    for (unsigned i = 0; i < sizeof narrow / sizeof narrow[0]; i++)
        if (strcmp(gemm_core(), narrow[i]) == 0)
            return tile_best() == &tile_avx512 ? "SkylakeX" : tile_best() == &tile_avx2 ? "Haswell" : NULL;
#endif
    return NULL;
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
