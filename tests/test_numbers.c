/* test_numbers.c - bfloat16: how it rounds, and products of tensors kept either way. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/product.h"

TestSuite(numbers, .timeout = 120);

static void *alloc(uint64_t bytes) {
    void *p = aligned_alloc(64, units_extent(bytes));
    cr_assert(p != NULL);
    return p;
}

static float of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* To nearest, ties to even; what is too large becomes infinite, NaN stays NaN, denormals are numbers like others. */
Test(numbers, bfloat16_rounds_to_nearest) {
    static const struct {
        uint32_t from;
        uint16_t to;
    } rounded[] = {
        {0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x3F800000, 0x3F80}, /* exact */
        {0x3F808000, 0x3F80}, {0x3F818000, 0x3F82}, {0xBF818000, 0xBF82}, /* ties */
        {0x3F808001, 0x3F81}, {0x3F817FFF, 0x3F81},                       /* beside them */
        {0x3FFFFFFF, 0x4000}, {0x7F7FFFFF, 0x7F80}, {0xFF7F8000, 0xFF80}, /* carries, into infinity too */
        {0x7F7F7FFF, 0x7F7F}, {0x7F800000, 0x7F80}, {0xFF800000, 0xFF80}, /* the largest; infinities */
        {0x00000001, 0x0000}, {0x00008001, 0x0001}, {0x00018000, 0x0002}, {0x007FFFFF, 0x0080}, /* denormals */
    };
    for (unsigned i = 0; i < sizeof rounded / sizeof rounded[0]; i++) {
        const float x = of_bits(rounded[i].from);
        uint16_t y;
        numbers_round(&x, 1, &y);
        cr_assert_eq(y, rounded[i].to, "%08x became %04x", rounded[i].from, y);
    }
    static const uint32_t nans[] = {0x7F800001, 0x7FC00000, 0xFF80FFFF, 0x7FFFFFFF, 0xFFFFFFFF};
    for (unsigned i = 0; i < 5; i++) {
        const float x = of_bits(nans[i]);
        uint16_t y;
        float back;
        numbers_round(&x, 1, &y);
        numbers_widen(&y, 1, &back);
        cr_assert(isnan(back) && !signbit(back) == !signbit(x));
    }
}

/* Every bfloat16 there is comes back as it was, alone and among others. */
Test(numbers, bfloat16_is_exact_in_float32) {
    enum { ALL = 1 << 16 };
    uint16_t *from = alloc(ALL * sizeof *from), *to = alloc(ALL * sizeof *to);
    float *wide = alloc(ALL * sizeof *wide);
    for (unsigned i = 0; i < ALL; i++)
        from[i] = (uint16_t)i;
    numbers_widen(from, ALL, wide);
    numbers_round(wide, ALL, to);
    for (unsigned i = 0; i < ALL; i++) {
        const struct numbers x = {from, true}, y = {to, true};
        cr_assert(to[i] == i || (isnan(wide[i]) && to[i] == (i | 0x40)), "%04x became %04x", i, to[i]);
        numbers_set(y, i, numbers_get(x, i));
        cr_assert(to[i] == i || isnan(wide[i]));
    }
    free(from);
    free(to);
    free(wide);
}

/* A matrix of random numbers that bfloat16 holds, kept either way. */
static struct numbers random_numbers(uint64_t n, uint64_t seed, bool narrow) {
    float *x = alloc(n * sizeof *x);
    rng_fill_normal(x, n, seed, RNG_TENSOR, 1);
    uint16_t *rounded = alloc(n * sizeof *rounded);
    numbers_round(x, n, rounded);
    numbers_widen(rounded, n, x);
    free(narrow ? (void *)x : (void *)rounded);
    return (struct numbers){narrow ? (void *)rounded : (void *)x, narrow};
}

/* Sizes beyond a block, parts of rows, turned or not, whichever of the three are bfloat16. */
static void product_check(struct pool *pool, bool narrow_a, bool narrow_b, bool narrow_c, unsigned turned,
                          unsigned from) {
    enum { M = 270, N = 310, K = 700, LEFT = 3, ROW = 720 };
    const struct numbers a = random_numbers(ROW * ROW, 1, narrow_a), b = random_numbers(ROW * ROW, 2, narrow_b);
    const struct numbers c = random_numbers(M * ROW, 3, narrow_c), before = random_numbers(M * ROW, 3, narrow_c);
    const struct numbers bias = random_numbers(N, 4, narrow_a);
    const struct product p = {.m = M,
                              .n = N,
                              .k = K,
                              .a = {numbers_from(a, LEFT), ROW, turned & 1},
                              .b = {numbers_from(b, LEFT), ROW, turned >> 1},
                              .c = numbers_from(c, LEFT),
                              .c_row = ROW,
                              .sum = from == 1,
                              .bias = from == 2 ? bias : (struct numbers){NULL, false}};
    const uint64_t work_bytes = product_work_bytes(M, N, 2);
    unsigned char *work = alloc(work_bytes + 64);
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

Test(numbers, products_of_any_width) {
    struct problem why = {0};
    struct pool *pool = pool_new(2, &why);
    cr_assert(pool != NULL);
    for (unsigned i = 0; i < 8; i++)
        product_check(pool, i & 1, i >> 1 & 1, i >> 2, i % 4, i % 3);
    for (unsigned turned = 0; turned < 4; turned++)
        product_check(pool, true, true, true, turned, 1);
    pool_free(pool);
}
