/* bench.c - see bench.h; the yardsticks are in yardsticks.c */
#include "tests/bench/bench.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/tile.h"

/* OpenBLAS chooses its kernels by a list of processors as old as itself, and takes one that is younger for the least of
 * all, at a quarter of the speed (0.3.21 an Emerald Rapids for a Pentium 4). The name of what runs here; NULL where it
 * has chosen well, or nothing better is known. */
static const char *core_better(void) {
    static const char *const narrow[] = {/* without AVX2; no more of them will be made */
                                         "Katmai",      "Coppermine", "Northwood",    "Prescott",   "Banias",
                                         "Atom",        "Core2",      "Penryn",       "Dunnington", "Nehalem",
                                         "Athlon",      "Opteron",    "Opteron_SSE3", "Barcelona",  "Nano",
                                         "Sandybridge", "Bobcat",     "Bulldozer",    "Piledriver", "Steamroller"};
    for (unsigned i = 0; i < sizeof narrow / sizeof narrow[0]; i++)
        if (strcmp(openblas_get_corename(), narrow[i]) == 0)
            for (unsigned t = 0; t < tile_table_length; t++)
                if (tile_runs(tile_table[t]))
                    return strcmp(tile_table[t]->name, "avx512") == 0 ? "SkylakeX"
                           : strcmp(tile_table[t]->name, "avx2") == 0 ? "Haswell"
                                                                      : NULL;
    return NULL;
}

/* The yardstick is OpenBLAS at its best on this processor, with one thread a call. It chooses before main: with better
 * kernels, the program starts again. */
__attribute__((constructor)) static void kernels_choose(int n_args, char *args[]) {
    const char *variable = "OPENBLAS_CORETYPE", *core = getenv(variable) ? NULL : core_better();
    (void)n_args;
    if (core && setenv(variable, core, 1) == 0)
        execv("/proc/self/exe", args);
    openblas_set_num_threads(1);
}

static double clock_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_now(void) {
    return clock_of(CLOCK_MONOTONIC);
}

double bench_processor(void) {
    return clock_of(CLOCK_PROCESS_CPUTIME_ID);
}

static int rising(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_quantile(double *x, unsigned n, double part) {
    const unsigned at = (unsigned)(part * n);
    qsort(x, n, sizeof *x, rising);
    return x[at < n ? at : n - 1];
}

double bench_median(double *x, unsigned n) {
    return bench_quantile(x, n, 0.5);
}

static float *room(uint64_t n) {
    float *x = aligned_alloc(64, units_extent(n * sizeof *x + 1));
    if (!x) {
        fprintf(stderr, "there is no memory for %llu floats\n", (unsigned long long)n);
        exit(1);
    }
    return x;
}

float *bench_tensor(uint64_t n, uint64_t seed) {
    float *x = room(n);
    rng_fill_normal(x, n, seed, RNG_TENSOR, 1);
    return x;
}

float *bench_tensor_uniform(uint64_t n, uint64_t seed) {
    float *x = room(n);
    rng_fill_uniform(x, n, seed, RNG_TENSOR, -1, 1);
    return x;
}

struct pool *bench_pool(unsigned threads) {
    struct problem why = {0};
    struct pool *pool = pool_new(threads, &why);
    if (!pool)
        bench_die(&why);
    return pool;
}

void bench_die(const struct problem *why) {
    fprintf(stderr, "%s %s\n", why->where, why->detail);
    exit(1);
}

double bench_seconds(const struct bench_work *w, unsigned runs) {
    const double start = bench_now();
    for (unsigned r = 0; r < runs; r++)
        w->run(w->state);
    return (bench_now() - start) / runs;
}

unsigned bench_runs(const struct bench_work *w, double seconds) {
    w->run(w->state); /* pages, caches */
    const double one = bench_seconds(w, 1);
    return one >= seconds ? 1 : 1 + (unsigned)(seconds / one);
}
