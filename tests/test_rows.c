/* test_rows.c - struct rows: every instruction set that runs here makes the bits of the portable one, but for
 * exponentials, which stay within their error. Each function is run on every length below, with numbers of all kinds.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/kernels/rows.h"

enum { MOST = 300 };
static const uint64_t lengths[] = {0, 1, 3, 8, 15, 16, 17, 31, 32, 33, 64, 100, 255, 256, 257, MOST};

/* What a function may read and write; the same for both sides before it runs. */
struct desk {
    float a[MOST], b[MOST], c[MOST], d[MOST], y[MOST], z[MOST];
    double sums[MOST], more[MOST];
    uint16_t narrow[MOST], rounded[MOST];
    uint32_t words[4 * MOST];
    float lanes[2][ROWS_SUMS];
    double squares[ROWS_SQUARES];
};

static const struct rows_update update = {.factor = 0.7f,
                                          .rate = 1e-3f,
                                          .root = 1.3f,
                                          .keep = 0.999f,
                                          .beta1 = 0.9f,
                                          .beta2 = 0.95f,
                                          .epsilon = 1e-8f,
                                          .decay = 0.01f,
                                          .momentum = 0.9f};

#define RUNNER(name, ...)                                                                                              \
    static void run_##name(const struct rows *r, uint64_t n, struct desk *k) {                                         \
        r->name(n, __VA_ARGS__);                                                                                       \
    }
RUNNER(widen, k->narrow, k->y)
RUNNER(round, k->a, k->rounded)
RUNNER(add, k->a, k->b, k->y)
RUNNER(accumulate, 0.3f, k->a, k->y)
RUNNER(scale, 0.3f, k->a, k->y)
RUNNER(multiply, k->a, k->b, k->y)
RUNNER(product_add, k->a, k->b, k->y)
RUNNER(sums, k->a, k->sums)
RUNNER(squares, k->a, k->squares)
RUNNER(norm_sum, k->a, k->lanes[0])
RUNNER(norm_spread, k->a, k->a, 0.1f, k->lanes[0])
RUNNER(norm_apply, k->a, 0.1f, 1.7f, k->b, n % 2 ? k->c : NULL, k->y)
RUNNER(norm_sums, k->a, k->b, 0.1f, 1.7f, k->b, k->c, k->lanes[0], k->lanes[1])
RUNNER(norm_d_x, k->a, 0.1f, 1.7f, k->b, k->c, 0.2f, 0.3f, k->y)
RUNNER(norm_columns, k->a, 0.1f, 1.7f, k->b, k->sums, k->more)
RUNNER(angles, 300, k->a, 1.1f, -1.1f, k->y, k->z)
RUNNER(turn, k->a, k->b, k->c, k->d, k->y, k->z)
RUNNER(turn_add, k->a, k->b, k->c, k->d, k->y, k->z)
RUNNER(drop, k->words, 1u << 31, 2, k->a, k->y)
RUNNER(drop_add, k->words, 1u << 31, 2, k->a, k->y)
RUNNER(sgd, &update, k->a, k->y)
RUNNER(sgd_momentum, &update, k->a, k->y, k->z)
RUNNER(adamw, &update, k->a, k->y, k->z, k->d)
RUNNER(lion, &update, k->a, k->y, k->z)
static void run_words(const struct rows *r, uint64_t n, struct desk *k) {
    r->words(0x123456789ABCDEF0u, (1ull << 32) - n / 2, RNG_DROPOUT, n, k->words);
}
static void run_relu(const struct rows *r, uint64_t n, struct desk *k) {
    r->relu.value(n, k->a, k->y);
    r->relu.slope(n, k->a, k->z, k->d);
}
static void run_silu(const struct rows *r, uint64_t n, struct desk *k) {
    r->silu.value(n, k->a, k->y);
    r->silu.slope(n, k->a, k->z, k->d);
}
static void run_gelu(const struct rows *r, uint64_t n, struct desk *k) {
    r->gelu.value(n, k->a, k->y);
    r->gelu.slope(n, k->a, k->z, k->d);
}
static void run_gelu_tanh(const struct rows *r, uint64_t n, struct desk *k) {
    r->gelu_tanh.value(n, k->a, k->y);
    r->gelu_tanh.slope(n, k->a, k->z, k->d);
}

static const struct {
    const char *name;
    void (*run)(const struct rows *r, uint64_t n, struct desk *k);
    bool exponential;
} functions[] = {
#define ROW(name)                                                                                                      \
    { #name, run_##name, false }
    ROW(widen),
    ROW(round),
    ROW(add),
    ROW(accumulate),
    ROW(scale),
    ROW(multiply),
    ROW(product_add),
    ROW(sums),
    ROW(squares),
    ROW(norm_sum),
    ROW(norm_spread),
    ROW(norm_apply),
    ROW(norm_sums),
    ROW(norm_d_x),
    ROW(norm_columns),
    ROW(angles),
    ROW(turn),
    ROW(turn_add),
    ROW(words),
    ROW(drop),
    ROW(drop_add),
    ROW(sgd),
    ROW(sgd_momentum),
    ROW(adamw),
    ROW(lion),
    ROW(relu),
    {"silu", run_silu, true},
    {"gelu", run_gelu, true},
    {"gelu_tanh", run_gelu_tanh, true},
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

static void fill(float *x, uint64_t seed, float scale) {
    rng_fill_normal(x, MOST, seed, RNG_TENSOR, scale);
}

/* Numbers of all sizes; zeros, denormals; infinities and NaN among what is rounded. */
static void desk_fill(struct desk *k, bool wild) {
    memset(k, 0, sizeof *k);
    fill(k->a, 1, 3);
    fill(k->b, 2, 1);
    fill(k->c, 3, 1);
    fill(k->d, 4, 1);
    fill(k->y, 5, 1);
    fill(k->z, 6, 1);
    for (unsigned i = 0; i < MOST; i++) {
        uint64_t state = i;
        k->narrow[i] = (uint16_t)rng_mix(state * RNG_MIX_STEP + 1);
        k->d[i] = fabsf(k->d[i]); /* what adamw takes the root of */
    }
    for (unsigned i = 0; i < 4 * MOST; i++)
        k->words[i] = (uint32_t)rng_mix(i * RNG_MIX_STEP + 2);
    for (unsigned i = 0; wild && i + 6 < MOST; i += 37) {
        k->a[i] = NAN;
        k->a[i + 1] = INFINITY;
        k->a[i + 2] = -INFINITY;
        k->a[i + 3] = 0x1p-149f;
        k->a[i + 4] = 0x1.fffffep127f; /* rounds to infinity */
        k->a[i + 5] = 0x1.01p0f;       /* a tie, to even */
        k->a[i + 6] = 0x1.03p0f;
    }
}

static void same_but_for_errors(const float *x, const float *y, uint64_t n, const char *what) {
    for (uint64_t i = 0; i < n; i++)
        cr_assert(fabsf(x[i] - y[i]) <= 4e-7f * fmaxf(1, fabsf(y[i])), "%s: number %lu is %g, not %g", what, i,
                  (double)x[i], (double)y[i]);
}

static void judge(const struct rows *rows, unsigned f, uint64_t n, bool wild) {
    static struct desk mine, plain;
    char what[128];
    snprintf(what, sizeof what, "%s of %s, %lu numbers", functions[f].name, rows->name, n);
    desk_fill(&mine, wild);
    desk_fill(&plain, wild);
    functions[f].run(rows, n, &mine);
    functions[f].run(&rows_portable, n, &plain);
    if (!functions[f].exponential) {
        cr_assert(memcmp(&mine, &plain, sizeof mine) == 0, "%s: other bits", what);
        return;
    }
    same_but_for_errors(mine.y, plain.y, MOST, what);
    same_but_for_errors(mine.z, plain.z, MOST, what);
    same_but_for_errors(mine.d, plain.d, MOST, what);
}

Test(rows, every_instruction_set_makes_the_same_bits) {
    unsigned run = 0;
    for (unsigned i = 0; i < rows_table_length; i++)
        for (unsigned f = 0; rows_run(rows_table[i]) && f < FUNCTIONS; f++)
            for (unsigned l = 0; l < sizeof lengths / sizeof lengths[0]; l++, run++)
                judge(rows_table[i], f, lengths[l], false);
    cr_assert_gt(run, 0);
}

/* NaN stays quiet with its upper bits, ties go to even, the largest rounds to infinity. */
Test(rows, rounding_to_bfloat16_is_the_plain_one) {
    static struct desk k;
    for (unsigned i = 0; i < rows_table_length; i++) {
        if (!rows_run(rows_table[i]))
            continue;
        desk_fill(&k, true);
        rows_table[i]->round(MOST, k.a, k.rounded);
        for (unsigned e = 0; e < MOST; e++) {
            uint32_t bits;
            memcpy(&bits, &k.a[e], sizeof bits);
            const uint16_t low = (uint16_t)bits, up = (uint16_t)(bits >> 16);
            const bool higher = low > 0x8000 || (low == 0x8000 && up % 2);
            const uint16_t expected = isnan(k.a[e]) ? up | 0x40 : (uint16_t)(up + higher);
            cr_assert_eq(k.rounded[e], expected, "%s: number %u is %04x, not %04x", rows_table[i]->name, e,
                         k.rounded[e], expected);
        }
    }
}

/* Against double: half a unit in the last place and a little, near 0 by its size; far out they are libm's. */
Test(rows, sines_and_cosines_are_those_of_the_angle) {
    enum { N = 64 };
    static const float positions[] = {0, 1, 7, 511, 8191, 131071, 1e6f, 3e6f, 1e9f};
    float frequencies[N], cosines[N], sines[N];
    for (unsigned i = 0; i < N; i++)
        frequencies[i] = powf(10000, -(float)i / N);
    for (unsigned i = 0; i < rows_table_length; i++)
        for (unsigned p = 0; rows_run(rows_table[i]) && p < sizeof positions / sizeof positions[0]; p++) {
            rows_table[i]->angles(N, positions[p], frequencies, 1, -1, cosines, sines);
            for (unsigned e = 0; e < N; e++) {
                const double angle = (double)(positions[p] * frequencies[e]), c = cos(angle), s = -sin(angle);
                cr_assert(fabs((double)cosines[e] - c) <= 0x1p-24 * fabs(c) + 1e-10, "cos %g: %g", angle, c);
                cr_assert(fabs((double)sines[e] - s) <= 0x1p-24 * fabs(s) + 1e-10, "sin %g: %g", angle, s);
            }
        }
}
