/* test_product.c - products: the tiles' own, on every instruction set there is: against sums in double precision, in
 * every way that matrices lie; and their bits, which may depend on nothing but a row, a column and the inner dimension;
 * and those of tensors kept either way, cut for a pool. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/numbers.h"
#include "engine/kernels/product.h"
#include "engine/kernels/tile.h"

TestSuite(product, .timeout = 120);

enum { PAD = 5, SIZES = 11 };

static const struct size {
    uint64_t m, n, k;
} sizes[SIZES] = {{1, 1, 1},      {12, 32, 256}, {13, 33, 257}, {1, 100, 300}, {100, 1, 31}, {7, 800, 17},
                  {25, 779, 513}, {6, 16, 3},    {64, 64, 64},  {300, 3, 270}, {40, 7, 90}};

/* [rows][row] of numbers that bfloat16 holds, kept either way. */
static struct numbers random_matrix(uint64_t rows, uint64_t row, uint64_t seed, bool narrow) {
    float *x = malloc(rows * row * sizeof *x);
    uint16_t *rounded = malloc(rows * row * sizeof *rounded);
    cr_assert(x && rounded);
    rng_fill_normal(x, rows * row, seed, RNG_TENSOR, 1);
    numbers_round(x, rows * row, rounded);
    numbers_widen(rounded, rows * row, x);
    free(narrow ? (void *)x : (void *)rounded);
    return (struct numbers){narrow ? (void *)rounded : (void *)x, narrow};
}

static double entry(const struct gemm_matrix *x, uint64_t r, uint64_t c) {
    const struct numbers n = {(void *)x->at, x->narrow};
    return (double)numbers_get(n, x->turned ? c * x->row + r : r * x->row + c);
}

/* What the reference says, and nothing beside it written. */
static void check(const struct tile *tile, const struct tile_product *p, const float *before) {
    for (uint64_t i = 0; i < p->m; i++)
        for (uint64_t j = 0; j < p->c_row; j++) {
            const float got = p->c[i * p->c_row + j];
            double sum = 0, size = 0;
            if (j >= p->n) {
                cr_assert(got == before[i * p->c_row + j], "%s wrote beside row %u", tile->name, (unsigned)i);
                continue;
            }
            for (uint64_t k = 0; k < p->k; k++) {
                const double term = entry(&p->a, i, k) * entry(&p->b, k, j) * (double)p->factor;
                sum += term;
                size += fabs(term);
            }
            sum += p->sum ? (double)before[i * p->c_row + j] : 0;
            cr_assert_float_eq(got, sum, 2e-6 * (size + 1), "%s %u x %u x %u at %u, %u: %g for %g", tile->name,
                               (unsigned)p->m, (unsigned)p->n, (unsigned)p->k, (unsigned)i, (unsigned)j, (double)got,
                               sum);
        }
}

static void lies_every_way(const struct tile *tile, const struct size *s, unsigned way) {
    const bool a_turned = way & 1, b_turned = way >> 1 & 1, a_narrow = way >> 2 & 1, b_narrow = way >> 3 & 1;
    const uint64_t a_row = (a_turned ? s->m : s->k) + PAD, b_row = (b_turned ? s->k : s->n) + PAD;
    const struct numbers a = random_matrix(a_turned ? s->k : s->m, a_row, 1, a_narrow);
    const struct numbers b = random_matrix(b_turned ? s->n : s->k, b_row, 2, b_narrow);
    const struct numbers c = random_matrix(s->m, s->n + PAD, 3, false),
                         before = random_matrix(s->m, s->n + PAD, 3, false);
    const struct tile_product p = {s->m,
                                   s->n,
                                   s->k,
                                   way % 3 ? 1.0f : 0.3f,
                                   {a.at, a_row, a_turned, a_narrow},
                                   {b.at, b_row, b_turned, b_narrow},
                                   way % 2 == 0,
                                   c.at,
                                   s->n + PAD};
    if (!p.sum) /* is not read */
        for (uint64_t i = 0; i < s->m; i++)
            for (uint64_t j = 0; j < s->n; j++)
                p.c[i * p.c_row + j] = NAN;
    tile->product(&p);
    check(tile, &p, before.at);
    free(a.at), free(b.at), free(c.at), free(before.at);
}

Test(product, is_the_sum_on_every_instruction_set) {
    for (unsigned t = 0; t < tile_table_length; t++)
        for (unsigned s = 0; s < SIZES && tile_runs(tile_table[t]); s++)
            for (unsigned way = 0; way < 16; way++)
                lies_every_way(tile_table[t], &sizes[s], way);
}

Test(product, what_is_not_finite_stays_where_it_is) {
    enum { M = 14, N = 40, K = 20 };
    float a[M * K], b[K * N], c[M * N];
    for (unsigned t = 0; t < tile_table_length; t++) {
        if (!tile_runs(tile_table[t]))
            continue;
        for (unsigned i = 0; i < M * K; i++)
            a[i] = i == 13 * K + 3 ? INFINITY : 1;
        for (unsigned i = 0; i < K * N; i++)
            b[i] = i == 5 * N + 39 ? NAN : 1;
        tile_table[t]->product(&(struct tile_product){M, N, K, 1, {a, K}, {b, N}, false, c, N});
        for (unsigned i = 0; i < M; i++)
            for (unsigned j = 0; j < N; j++) {
                const float got = c[i * N + j];
                cr_assert(j == 39 ? isnan(got) : i == 13 ? isinf(got) : got == K, "%u, %u: %g", i, j, (double)got);
            }
    }
}

/* A part of a product has the bits it has within the whole. */
Test(product, bits_do_not_depend_on_the_cut) {
    enum { M = 50, N = 830, K = 600 };
    const struct numbers a = random_matrix(M, K, 1, false), b = random_matrix(K, N, 2, false);
    float *whole = malloc(M * N * sizeof *whole), *part = malloc(M * N * sizeof *part);
    cr_assert(whole && part);
    for (unsigned t = 0; t < tile_table_length; t++) {
        if (!tile_runs(tile_table[t]))
            continue;
        struct tile_product p = {M, N, K, 1, {a.at, K}, {b.at, N}, false, whole, N};
        tile_table[t]->product(&p);
        for (unsigned i = 0; i < 40; i++) {
            const uint64_t r = i % M, c = i * 37 % N, few = units_min(9, N - c); /* these are multiplied as rows */
            const uint64_t m = 1 + i * 7 % (M - r), n = 1 + i * 131 % (i % 3 ? N - c : few);
            p = (struct tile_product){m, n, K, 1, {(float *)a.at + r * K, K}, {(float *)b.at + c, N}, false, part, n};
            tile_table[t]->product(&p);
            for (uint64_t x = 0; x < m; x++)
                cr_assert(memcmp(part + x * n, whole + (r + x) * N + c, n * sizeof *part) == 0,
                          "%s: rows %u + %u, columns %u + %u", tile_table[t]->name, (unsigned)r, (unsigned)m,
                          (unsigned)c, (unsigned)n);
        }
    }
    free(whole), free(part), free(a.at), free(b.at);
}

/* Nor on the number of threads, where the result is bfloat16 or not. */
Test(product, bits_do_not_depend_on_threads) {
    enum { M = 300, N = 1700, K = 290, MOST = 7 };
    struct problem why = {0};
    for (unsigned narrow = 0; narrow < 2; narrow++) {
        const struct numbers a = random_matrix(M, K, 1, narrow), b = random_matrix(N, K, 2, narrow);
        const struct numbers first = random_matrix(M, N, 3, narrow), c = random_matrix(M, N, 3, narrow);
        for (unsigned threads = 1; threads <= MOST; threads++) {
            struct pool *pool = pool_new(threads, &why);
            void *work = aligned_alloc(64, product_work_bytes(M, N, threads));
            const struct product p = {.m = M,
                                      .n = N,
                                      .k = K,
                                      .a = gemm_part(a, 0, K, false),
                                      .b = gemm_part(b, 0, K, true),
                                      .c = threads == 1 ? first : c,
                                      .c_row = N};
            cr_assert(pool && work);
            product_run(pool, &p, work);
            cr_assert(threads == 1 || memcmp(c.at, first.at, (uint64_t)M * N * (narrow ? 2 : 4)) == 0, "%u threads",
                      threads);
            pool_free(pool);
            free(work);
        }
        free(a.at), free(b.at), free(c.at), free(first.at);
    }
}

/* Sizes beyond a block, parts of rows, turned or not, whichever of the three are bfloat16. */
static void product_check(struct pool *pool, bool narrow_a, bool narrow_b, bool narrow_c, unsigned turned,
                          unsigned from) {
    enum { M = 270, N = 310, K = 700, LEFT = 3, ROW = 720 };
    const struct numbers a = random_matrix(ROW, ROW, 1, narrow_a), b = random_matrix(ROW, ROW, 2, narrow_b);
    const struct numbers c = random_matrix(M, ROW, 3, narrow_c), before = random_matrix(M, ROW, 3, narrow_c);
    const struct numbers bias = random_matrix(1, N, 4, narrow_a);
    const struct product p = {.m = M,
                              .n = N,
                              .k = K,
                              .a = gemm_part(a, LEFT, ROW, turned & 1),
                              .b = gemm_part(b, LEFT, ROW, turned >> 1),
                              .c = numbers_from(c, LEFT),
                              .c_row = ROW,
                              .sum = from == 1,
                              .bias = from == 2 ? bias : (struct numbers){NULL, false}};
    const uint64_t work_bytes = product_work_bytes(M, N, 2);
    unsigned char *work = aligned_alloc(64, work_bytes + 64);
    cr_assert(work != NULL);
    memset(work + work_bytes, 0xA5, 64);
    product_run(pool, &p, work);
    for (unsigned i = 0; i < 64; i++)
        cr_assert(work[work_bytes + i] == 0xA5);
    for (uint64_t i = 0; i < M; i++)
        for (uint64_t j = 0; j < ROW; j += i % 30 ? 101 : 1) {
            double sum = (double)numbers_get(before, i * ROW + j);
            if (j >= LEFT && j < LEFT + N) {
                sum = from == 1 ? sum : from == 2 ? (double)numbers_get(bias, j - LEFT) : 0;
                for (uint64_t k = 0; k < K; k++)
                    sum += (double)numbers_get(a, LEFT + (turned & 1 ? k * ROW + i : i * ROW + k)) *
                           (double)numbers_get(b, LEFT + (turned >> 1 ? (j - LEFT) * ROW + k : k * ROW + j - LEFT));
            }
            cr_assert_float_eq(numbers_get(c, i * ROW + j), sum, narrow_c ? fabs(sum) / 256 + 1e-4 : 1e-4);
        }
    free(a.at);
    free(b.at);
    free(c.at);
    free(before.at);
    free(bias.at);
    free(work);
}

Test(product, of_any_width) {
    struct problem why = {0};
    struct pool *pool = pool_new(2, &why);
    cr_assert(pool != NULL);
    for (unsigned i = 0; i < 8; i++)
        product_check(pool, i & 1, i >> 1 & 1, i >> 2, i % 4, i % 3);
    for (unsigned turned = 0; turned < 4; turned++)
        product_check(pool, true, true, true, turned, 1);
    pool_free(pool);
}
