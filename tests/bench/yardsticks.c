/* yardsticks.c - what the machine can do while a kernel is measured: products, multiply-adds, copies. See bench.h. */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"
#include "engine/kernels/tile.h"
#include "tests/bench/bench.h"

enum { THREADS_MAX = 64, PEAK_SUMS = 12, PEAK_ROUNDS = 1 << 20, COPY_FLOATS = 16 << 20, COPY_PART = 1 << 16 };

/* ---- products ---- */

static float *products[THREADS_MAX][3];

static void product_task(void *pool, uint64_t index, unsigned slot) {
    const int n = BENCH_PRODUCT;
    float **m = products[slot];
    (void)pool, (void)index;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, m[0], n, m[1], n, 0, m[2], n);
}

static void product_run(void *pool) {
    pool_run(pool, pool_threads(pool), product_task, pool);
}

struct bench_work bench_product(struct pool *pool) {
    const unsigned threads = (unsigned)units_min(pool_threads(pool), THREADS_MAX);
    for (unsigned t = 0; t < threads; t++)
        for (unsigned i = 0; i < 3 && !products[t][i]; i++)
            products[t][i] = bench_tensor((uint64_t)BENCH_PRODUCT * BENCH_PRODUCT, i + 1);
    return (struct bench_work){2.0 * threads * BENCH_PRODUCT * BENCH_PRODUCT * BENCH_PRODUCT, product_run, pool};
}

/* ---- multiply-adds ---- */

#if defined(__x86_64__)
/* s += x x, twelve sums a round, all 0: latency 4 and two units a cycle need 8 of them. */
#define ADD(v, s) "vfmadd231ps %%" v "mm12, %%" v "mm12, %%" v "mm" s "\n\t"
#define ADD_ALL(v)                                                                                                     \
    ADD(v, "0")                                                                                                        \
    ADD(v, "1")                                                                                                        \
    ADD(v, "2")                                                                                                        \
    ADD(v, "3") ADD(v, "4") ADD(v, "5") ADD(v, "6") ADD(v, "7") ADD(v, "8") ADD(v, "9") ADD(v, "10") ADD(v, "11")
#define PEAK(v, rounds)                                                                                                \
    __asm__ volatile("vzeroall\n1:\n\t" ADD_ALL(v) "dec %0\n\tjnz 1b\n\tvzeroupper"                                    \
                     : "+r"(rounds)                                                                                    \
                     :                                                                                                 \
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",  \
                       "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

static void peak_avx2(uint64_t rounds) {
    PEAK("y", rounds);
}

static void peak_avx512(uint64_t rounds) {
    PEAK("z", rounds);
}

static unsigned peak_lanes(void) {
    if (!__builtin_cpu_supports("fma"))
        return 0;
    return __builtin_cpu_supports("avx512f") ? 16 : 8;
}

static void peak_task(void *pool, uint64_t index, unsigned slot) {
    (void)pool, (void)index, (void)slot;
    (peak_lanes() == 16 ? peak_avx512 : peak_avx2)(PEAK_ROUNDS);
}
#else
static unsigned peak_lanes(void) {
    return 0;
}

static void peak_task(void *pool, uint64_t index, unsigned slot) {
    (void)pool, (void)index, (void)slot;
}
#endif

static void peak_run(void *pool) {
    pool_run(pool, pool_threads(pool), peak_task, pool);
}

struct bench_work bench_peak(struct pool *pool) {
    return (struct bench_work){2.0 * PEAK_SUMS * PEAK_ROUNDS * peak_lanes() * pool_threads(pool),
                               peak_lanes() ? peak_run : NULL, pool};
}

/* ---- copies ---- */

static float *copy_from, *copy_to;

static void copy_task(void *pool, uint64_t index, unsigned slot) {
    (void)pool, (void)slot;
    memcpy(copy_to + index * COPY_PART, copy_from + index * COPY_PART, COPY_PART * sizeof(float));
}

static void copy_run(void *pool) {
    pool_run(pool, COPY_FLOATS / COPY_PART, copy_task, pool);
}

struct bench_work bench_copy(struct pool *pool) {
    if (!copy_from) {
        copy_from = bench_tensor(COPY_FLOATS, 1);
        copy_to = bench_tensor(COPY_FLOATS, 2);
    }
    return (struct bench_work){2.0 * COPY_FLOATS * sizeof(float), copy_run, pool};
}

/* ---- what runs here ---- */

void bench_print_machine(void) {
    const unsigned lanes = peak_lanes();
    printf("rematd's tiles: %s; OpenBLAS %s for %s; multiply-adds of %u floats\n", tile_best()->name,
           openblas_get_config(), openblas_get_corename(), lanes ? lanes : 1);
}
