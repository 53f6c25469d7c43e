/* bench_attention.c - GFLOP/s of every attention kernel, beside an OpenBLAS product in the same process and minute.
 *
 *   bench_attention [threads] [rounds]
 *
 * Machines are shared: the product of 768^3 runs between the rounds of each line, and the last two columns divide by it
 * (times the threads). FLOPs are those of memory-model.md: allowed pairs alone, 4 d forward, 8 d or 10 d backward. */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/pool.h"
#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/attn.h"
#include "engine/kernels/attn_ref.h"

enum { PRODUCT = 768, ROUNDS_MAX = 64 };

static const struct {
    const char *name;
    uint64_t batch, heads, kv_heads, n_q, n_k, d;
    uint64_t behind, ahead;
    double dropout;
} lines[] = {
    {"H 8 N 1024 d 64", 1, 8, 8, 1024, 1024, 64, ATTN_FAR, ATTN_FAR, 0},
    {"H 8 N 2048 d 64", 1, 8, 8, 2048, 2048, 64, ATTN_FAR, ATTN_FAR, 0},
    {"H 8 N 1024 d 64 causal", 1, 8, 8, 1024, 1024, 64, ATTN_FAR, 1, 0},
    {"H 8 N 512 d 64 causal", 1, 8, 8, 512, 512, 64, ATTN_FAR, 1, 0},
    {"H 12 N 1024 d 128", 1, 12, 12, 1024, 1024, 128, ATTN_FAR, ATTN_FAR, 0},
    {"H 8/2 N 1024 d 64", 1, 8, 2, 1024, 1024, 64, ATTN_FAR, ATTN_FAR, 0},
    {"H 8 N 1024 d 64 dropout", 1, 8, 8, 1024, 1024, 64, ATTN_FAR, ATTN_FAR, 0.1},
    {"H 1 N 2048 d 64", 1, 1, 1, 2048, 2048, 64, ATTN_FAR, ATTN_FAR, 0},
    {"H 1 N 2048 d 512", 1, 1, 1, 2048, 2048, 512, ATTN_FAR, ATTN_FAR, 0},
    {"H 8 N 2048 d 64 window 256", 1, 8, 8, 2048, 2048, 64, 256, 1, 0},
    {"H 12 N 128 d 32", 1, 12, 12, 128, 128, 32, ATTN_FAR, ATTN_FAR, 0},
    {"H 8 N 1024 d 80", 1, 8, 8, 1024, 1024, 80, ATTN_FAR, ATTN_FAR, 0},
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *tensor(uint64_t n, uint64_t seed) {
    float *x = aligned_alloc(64, units_extent(n * sizeof *x));
    if (!x)
        exit(1);
    rng_fill_normal(x, n, seed, RNG_TENSOR, 1);
    return x;
}

static double product(void) {
    static float *a, *b, *c;
    if (!a) {
        a = tensor(PRODUCT * PRODUCT, 1);
        b = tensor(PRODUCT * PRODUCT, 2);
        c = tensor(PRODUCT * PRODUCT, 3);
    }
    double start = now();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, PRODUCT, PRODUCT, PRODUCT, 1, a, PRODUCT, b, PRODUCT, 0, c,
                PRODUCT);
    return 2e-9 * PRODUCT * PRODUCT * PRODUCT / (now() - start);
}

static int rising(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double median(double *x, unsigned n) {
    qsort(x, n, sizeof *x, rising);
    return x[n / 2];
}

static void line(unsigned i, const struct attn_kernel *kernel, struct pool *pool, unsigned threads, unsigned rounds) {
    struct attn_shape s = {.batch = lines[i].batch,
                           .heads = lines[i].heads,
                           .kv_heads = lines[i].kv_heads,
                           .n_q = lines[i].n_q,
                           .n_k = lines[i].n_k,
                           .d = lines[i].d};
    s = attn_contiguous(&s);
    const uint64_t n_q = s.batch * s.q.batch, n_k = s.batch * s.k.batch;
    struct attn_call c = {.shape = s,
                          .mask = {.behind = lines[i].behind, .ahead = lines[i].ahead},
                          .scale = (float)(1 / sqrt((double)s.d)),
                          .dropout = {lines[i].dropout, 1},
                          .pool = pool};
    float *q = tensor(n_q, 1), *k = tensor(n_k, 2), *v = tensor(n_k, 3), *d_o = tensor(n_q, 4);
    uint64_t aux[4], aux_size = 1;
    for (unsigned r = kernel->aux_shape(&s, aux); r-- > 0;)
        aux_size *= aux[r];
    c.q = q;
    c.k = k;
    c.v = v;
    c.d_o = d_o;
    c.o = tensor(n_q, 5);
    c.d_q = tensor(n_q, 6);
    c.d_k = tensor(n_k, 7);
    c.d_v = tensor(n_k, 8);
    c.aux = tensor(aux_size, 9);
    c.work = tensor(
        units_max(kernel->work_bytes(&s, &c.mask, false, threads), kernel->work_bytes(&s, &c.mask, true, threads)) / 4,
        10);
    const double flops = 1e-9 * (double)(s.batch * s.heads * s.d) * (double)attn_pairs(&s, &c.mask);
    double forward[ROUNDS_MAX], backward[ROUNDS_MAX], sgemm[ROUNDS_MAX];
    kernel->forward(&c);
    for (unsigned r = 0; r < rounds; r++) {
        sgemm[r] = product();
        double start = now();
        kernel->forward(&c);
        double middle = now();
        kernel->backward(&c);
        double end = now();
        forward[r] = flops * kernel->forward_flops / (middle - start);
        backward[r] = flops * kernel->backward_flops / (end - middle);
    }
    double f = median(forward, rounds), b = median(backward, rounds), g = median(sgemm, rounds);
    printf("%-9s %-27s %8.1f %8.1f %8.1f %8.2f %8.2f\n", kernel->name, lines[i].name, f, b, g, f / g / threads,
           b / g / threads);
    fflush(stdout);
    float *all[] = {q, k, v, d_o, c.o, c.d_q, c.d_k, c.d_v, c.aux, c.work};
    for (unsigned x = 0; x < sizeof all / sizeof all[0]; x++)
        free(all[x]);
}

int main(int argc, char **argv) {
    const unsigned threads = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    const unsigned rounds = argc > 2 ? (unsigned)units_min((uint64_t)atoi(argv[2]), ROUNDS_MAX) : 7;
    struct problem why = {0};
    struct pool *pool = threads && rounds ? pool_new(threads, &why) : NULL;
    if (!pool) {
        fprintf(stderr, "usage: bench_attention [threads] [rounds]\n");
        return 2;
    }
    printf("GFLOP/s, median of %u rounds, %u threads\n%-9s %-27s %8s %8s %8s %8s %8s\n", rounds, threads, "kernel",
           "shape", "forward", "backward", "sgemm", "f/sgemm", "b/sgemm");
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++)
        for (unsigned row = 0; row < attn_table_length; row++)
            line(i, &attn_table[row], pool, threads, rounds);
    pool_free(pool);
    return 0;
}
