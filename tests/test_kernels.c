/* test_kernels.c - every row of attn_table against the double judge: shapes, masks, dropout, orders, threads, memory.
 */
#include "tests/attn_case.h"

#include "engine/kernels/attn_drop.h"
#include "engine/kernels/tile.h"

/* The error budget: |x - truth| <= BUDGET S. */
#define BUDGET 2e-6

enum {
    MASK_NONE,
    MASK_CAUSAL,
    MASK_WINDOW,
    MASK_TWO_SIDED,
    MASK_BIAS,
    MASK_PADDED_KEYS,
    MASK_CAUSAL_BIAS,
    MASK_SINKS,
    MASK_CAPPED_ALIBI,
    MASKS
};
static const char *const mask_names[MASKS] = {"none",        "causal",        "window 5",
                                              "two-sided 3", "bias, rows",    "padded keys",
                                              "causal bias", "causal, sinks", "softcap, ALiBi"};

static struct pool *pools[4]; /* [threads] */

static void pools_start(void) {
    struct problem why = {0};
    for (unsigned t = 1; t <= 3; t++)
        cr_assert((pools[t] = pool_new(t, &why)) != NULL);
}

static void pools_stop(void) {
    for (unsigned t = 1; t <= 3; t++)
        pool_free(pools[t]);
}

TestSuite(kernels, .timeout = 300);

#define POOLS .init = pools_start, .fini = pools_stop

/* A random bias of [heads, n_q, n_k], broadcast over the batch, with minus infinity here and there and in whole rows.
 */
static void bias_full(struct attn_case *c) {
    const uint64_t n = c->s.heads * c->s.n_q * c->s.n_k;
    c->bias = attn_random(n, 5, 1);
    for (uint64_t e = 0; e < n; e++)
        if (e % 7 == 3 || e / c->s.n_k % 5 == 2)
            c->bias[e] = -INFINITY;
    c->m.bias = c->bias;
    c->m.bias_stride[1] = c->s.n_q * c->s.n_k;
    c->m.bias_stride[2] = c->s.n_k;
    c->m.bias_stride[3] = 1;
}

/* [batch, 1, 1, n_k]: the first two thirds of the keys count. */
static void bias_padding(struct attn_case *c) {
    c->bias = attn_random(c->s.batch * c->s.n_k, 5, 0);
    for (uint64_t e = 0; e < c->s.batch * c->s.n_k; e++)
        c->bias[e] = e % c->s.n_k <= c->s.n_k * 2 / 3 ? 0 : -INFINITY;
    c->m.bias = c->bias;
    c->m.bias_stride[0] = c->s.n_k;
    c->m.bias_stride[3] = 1;
}

static void mask_set(struct attn_case *c, unsigned mask) {
    if (mask == MASK_CAUSAL || mask == MASK_CAUSAL_BIAS || mask == MASK_SINKS)
        c->m.ahead = 1;
    if (mask == MASK_WINDOW) {
        c->m.behind = 5;
        c->m.ahead = 1;
    }
    if (mask == MASK_TWO_SIDED)
        c->m.behind = c->m.ahead = 3;
    if (mask == MASK_BIAS || mask == MASK_CAUSAL_BIAS)
        bias_full(c);
    if (mask == MASK_PADDED_KEYS)
        bias_padding(c);
    if (mask == MASK_SINKS)
        c->m.sinks = c->sinks = attn_random(c->s.heads, 6, 2);
    if (mask == MASK_CAPPED_ALIBI) {
        c->m.softcap = 1.5f;
        c->m.alibi = true;
    }
}

static void judge(const struct attn_case *c, const struct attn_result *r, double *const truth[OUTPUTS], double budget,
                  const char *what) {
    /* Where one weight is nearly all, dP - delta cancels and the true gradient vanishes: four roundings of the largest
     * gradient stay. Dropout leaves the rounding of 1 / (1 - p) too. */
    const double share = c->dropout.p > 0 ? 1 : 1e-3, rest = 0x1p-22 * attn_size_of(truth, c->sizes, 1, 1);
    for (unsigned i = 0; i < OUTPUTS; i++) {
        double error = attn_error(r->out[i], truth[i], c->sizes[i]), size = attn_size_of(truth, c->sizes, i, share);
        cr_assert(
            error <= budget * size + (i ? rest : 0),
            "%s: %s is off by %g where the largest is %g (batch %llu heads %llu/%llu n %llu x %llu d %llu dropout %g)",
            what, output_names[i], error, size, (unsigned long long)c->s.batch, (unsigned long long)c->s.heads,
            (unsigned long long)c->s.kv_heads, (unsigned long long)c->s.n_q, (unsigned long long)c->s.n_k,
            (unsigned long long)c->s.d, c->dropout.p);
    }
}

static void same_bits(const struct attn_case *c, const struct attn_result *a, const struct attn_result *b,
                      const char *what) {
    for (unsigned i = 0; i < OUTPUTS; i++)
        cr_assert(memcmp(a->out[i], b->out[i], c->sizes[i] * sizeof(float)) == 0, "%s: %s differs", what,
                  output_names[i]);
    cr_assert(memcmp(a->aux, b->aux, a->aux_size * sizeof(float)) == 0, "%s: aux differs", what);
}

/* Every kernel on one case: against the truth once, then other orders and thread counts bit for bit. */
static void kernels_check(const struct attn_case *c, unsigned mask, double *const truth[OUTPUTS], const char *set) {
    for (unsigned row = 0; row < attn_table_length; row++) {
        const struct attn_kernel *kernel = &attn_table[row];
        char what[96];
        snprintf(what, sizeof what, "%s (%s), %s", kernel->name, set, mask_names[mask]);
        struct attn_result first = attn_run(c, &(struct attn_how){kernel, pools[1], 1, HEADS_FIRST, 0});
        judge(c, &first, truth, BUDGET, what);
        for (unsigned threads = 2; threads <= 3; threads++) {
            enum attn_order order = threads == 2 ? ROWS_APART : ROWS_FIRST;
            struct attn_result other = attn_run(c, &(struct attn_how){kernel, pools[threads], threads, order, 0});
            same_bits(c, &first, &other, what);
            attn_result_free(&other);
        }
        attn_result_free(&first);
    }
}

/* The same for every instruction set that this processor runs. */
static void case_check(struct attn_case *c, unsigned mask) {
    double *truth[OUTPUTS];
    mask_set(c, mask);
    attn_truth(c, truth);
    for (unsigned i = 0; i < tile_table_length; i++) {
        if (!tile_runs(tile_table[i]))
            continue;
        cr_assert(setenv(TILE_VARIABLE, tile_table[i]->name, 1) == 0 && tile_best() == tile_table[i]);
        kernels_check(c, mask, truth, tile_table[i]->name);
    }
    unsetenv(TILE_VARIABLE);
    for (unsigned i = 0; i < OUTPUTS; i++)
        free(truth[i]);
    attn_case_free(c);
}

static const uint64_t lengths[] = {1, 2, 7, 13, 64, 97, 128, 257};
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

Test(kernels, every_pair_of_lengths_and_every_mask, POOLS) {
    for (unsigned q = 0; q < LENGTHS; q++)
        for (unsigned k = 0; k < LENGTHS; k++)
            for (unsigned mask = 0; mask < MASKS; mask++) {
                struct attn_case c = attn_case_new(1, 2, 1, lengths[q], lengths[k], 16);
                c.dropout = (struct attn_dropout){mask % 2 ? 0.2 : 0, 7};
                case_check(&c, mask);
            }
}

Test(kernels, every_head_size, POOLS) {
    static const uint64_t sizes[] = {1, 2, 3, 5, 8, 15, 16, 17, 33, 64, 80, 96, 128, 129, 256, 512};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (unsigned mask = 0; mask < 4; mask++) {
            struct attn_case c = attn_case_new(1, 1, 1, 29, 53, sizes[i]);
            c.dropout = (struct attn_dropout){mask == 3 ? 0.5 : 0, 9};
            case_check(&c, mask);
        }
}

Test(kernels, values_of_another_size, POOLS) {
    static const uint64_t sizes[][2] = {{8, 5}, {5, 8}, {16, 40}, {24, 16}, {192, 128}, {33, 64}, {7, 17}};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (unsigned mask = 0; mask < MASKS; mask++) {
            struct attn_case c = attn_case_of_values(2, 2, 1, 48 + mask, 203, sizes[i][0], sizes[i][1]);
            c.dropout = (struct attn_dropout){mask % 2 ? 0.2 : 0, 13};
            case_check(&c, mask);
        }
}

Test(kernels, batches_and_grouped_heads, POOLS) {
    static const uint64_t heads[][2] = {{1, 1}, {3, 3}, {4, 2}, {6, 1}, {6, 3}};
    for (unsigned i = 0; i < sizeof heads / sizeof heads[0]; i++)
        for (uint64_t batch = 1; batch <= 2; batch++)
            for (unsigned mask = 0; mask < MASKS; mask++) {
                struct attn_case c = attn_case_new(batch, heads[i][0], heads[i][1], 50, 61, 24);
                c.dropout = (struct attn_dropout){mask % 2 ? 0 : 0.1, 11};
                case_check(&c, mask);
            }
}

Test(kernels, one_head_over_many_blocks, POOLS) {
    static const uint64_t n[][2] = {{600, 1100}, {1100, 600}, {1024, 1024}};
    for (unsigned i = 0; i < sizeof n / sizeof n[0]; i++)
        for (unsigned mask = 0; mask < 3; mask++) {
            struct attn_case c = attn_case_new(1, 1, 1, n[i][0], n[i][1], 16);
            c.dropout = (struct attn_dropout){mask ? 0.1 : 0, 3};
            case_check(&c, mask);
        }
}

/* A wide window: tiles wholly inside, at either edge, and outside. */
Test(kernels, wide_windows, POOLS) {
    static const uint64_t windows[][2] = {{200, 1}, {130, 130},      {1, 1},         {1, 300},
                                          {24, 25}, {ATTN_FAR, 100}, {100, ATTN_FAR}};
    for (unsigned i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        struct attn_case c = attn_case_new(1, 2, 2, 500, 450, 8);
        c.m.behind = windows[i][0];
        c.m.ahead = windows[i][1];
        case_check(&c, MASK_NONE);
    }
}

/* Scores of +-100 and bias of the same size. Rounding a score of s costs a weight s 2^-24: the budget grows with it. */
Test(kernels, large_scores, POOLS) {
    for (unsigned row = 0; row < attn_table_length; row++) {
        struct attn_case c = attn_case_new(1, 2, 2, 64, 97, 32);
        double *truth[OUTPUTS];
        c.scale = 5;
        attn_truth(&c, truth);
        struct attn_result r = attn_run(&c, &(struct attn_how){&attn_table[row], pools[2], 2, HEADS_FIRST, 0});
        judge(&c, &r, truth, 4e-5, attn_table[row].name);
        attn_result_free(&r);
        for (unsigned i = 0; i < OUTPUTS; i++)
            free(truth[i]);
        attn_case_free(&c);
    }
}

Test(kernels, gradients_are_added, POOLS) {
    for (unsigned row = 0; row < attn_table_length; row++) {
        struct attn_case c = attn_case_new(2, 4, 2, 45, 70, 24);
        struct attn_how how = {&attn_table[row], pools[2], 2, HEADS_FIRST, 0};
        mask_set(&c, MASK_CAUSAL);
        struct attn_result zero = attn_run(&c, &how);
        how.before = 1;
        struct attn_result one = attn_run(&c, &how);
        for (unsigned i = 1; i < OUTPUTS; i++)
            for (uint64_t e = 0; e < c.sizes[i]; e++)
                cr_assert_float_eq(one.out[i][e], 1 + zero.out[i][e], 1e-5, "%s: %s", attn_table[row].name,
                                   output_names[i]);
        attn_result_free(&zero);
        attn_result_free(&one);
        attn_case_free(&c);
    }
}

/* Any of the three gradients may be unwanted; the others keep their bits. */
Test(kernels, unwanted_gradients, POOLS) {
    for (unsigned row = 0; row < attn_table_length; row++)
        for (unsigned wanted = 0; wanted < 8; wanted++) {
            const struct attn_kernel *kernel = &attn_table[row];
            struct attn_case c = attn_case_new(1, 2, 1, 75, 130, 16);
            struct attn_result all = attn_run(&c, &(struct attn_how){kernel, pools[1], 1, HEADS_FIRST, 0});
            float *d[OUTPUTS] = {NULL};
            for (unsigned i = 1; i < OUTPUTS; i++) {
                d[i] = attn_alloc(c.sizes[i] * sizeof(float));
                memset(d[i], 0, c.sizes[i] * sizeof(float));
            }
            struct attn_call call = {.shape = c.s,
                                     .mask = c.m,
                                     .scale = c.scale,
                                     .pool = pools[2],
                                     .q = c.q,
                                     .k = c.k,
                                     .v = c.v,
                                     .o = all.out[0],
                                     .aux = all.aux,
                                     .d_o = c.d_o,
                                     .d_q = wanted & 1 ? d[1] : NULL,
                                     .d_k = wanted & 2 ? d[2] : NULL,
                                     .d_v = wanted & 4 ? d[3] : NULL};
            call.work = attn_alloc(kernel->work_bytes(&c.s, &c.m, true, 2));
            kernel->backward(&call);
            for (unsigned i = 1; i < OUTPUTS; i++)
                cr_assert(!(wanted >> (i - 1) & 1) || memcmp(d[i], all.out[i], c.sizes[i] * sizeof(float)) == 0,
                          "%s: %s", kernel->name, output_names[i]);
            for (unsigned i = 1; i < OUTPUTS; i++)
                free(d[i]);
            free(call.work);
            attn_result_free(&all);
            attn_case_free(&c);
        }
}

/* What a bias and sinks get from one call; bias of as many rows and keys as the strides of *m say. */
struct sums {
    float *bias, *sinks;
};

static struct sums sums_of(const struct attn_case *c, const struct attn_kernel *kernel, unsigned threads) {
    const struct attn_result r = attn_run(c, &(struct attn_how){kernel, pools[threads], threads, HEADS_FIRST, 0});
    const uint64_t pairs = c->s.n_q * c->s.n_k;
    struct sums sums = {attn_alloc(c->s.heads * pairs * sizeof(float)), attn_alloc(c->s.heads * sizeof(float))};
    struct attn_call call = {.shape = c->s,
                             .mask = c->m,
                             .scale = c->scale,
                             .dropout = c->dropout,
                             .pool = pools[threads],
                             .q = c->q,
                             .k = c->k,
                             .v = c->v,
                             .o = r.out[0],
                             .aux = r.aux,
                             .d_o = c->d_o,
                             .d_bias = sums.bias,
                             .d_sinks = sums.sinks};
    memset(sums.bias, 0, c->s.heads * pairs * sizeof(float));
    memset(sums.sinks, 0, c->s.heads * sizeof(float));
    call.work = attn_alloc(kernel->work_bytes(&c->s, &c->m, true, threads));
    kernel->backward(&call);
    free(call.work);
    for (unsigned i = 0; i < OUTPUTS; i++)
        free(r.out[i]);
    free(r.aux);
    return sums;
}

/* Both kernels find the same, and the same bits for any number of threads; test_ops.c holds them to the slope. */
Test(kernels, gradients_of_bias_and_sinks, POOLS) {
    static const unsigned broadcasts[] = {0, 1, 2, 4, 7, 15}; /* bits: batch, head, query, key */
    for (unsigned i = 0; i < sizeof broadcasts / sizeof broadcasts[0]; i++) {
        struct attn_case c = attn_case_new(1, 4, 2, 150, 230, 16);
        const uint64_t bias = c.s.heads * c.s.n_q * c.s.n_k, step[] = {0, c.s.n_q * c.s.n_k, c.s.n_k, 1};
        struct sums first[2];
        c.m.ahead = 40;
        c.dropout = (struct attn_dropout){i % 2 ? 0.2 : 0, 17};
        c.m.bias = c.bias = attn_random(bias, 5, 1);
        c.m.sinks = c.sinks = attn_random(c.s.heads, 6, 2);
        for (unsigned x = 0; x < 4; x++)
            c.m.bias_stride[x] = broadcasts[i] >> x & 1 ? 0 : step[x];
        for (unsigned row = 0; row < 2; row++) {
            first[row] = sums_of(&c, &attn_table[row], 1);
            for (unsigned threads = 2; threads <= 3; threads++) {
                struct sums other = sums_of(&c, &attn_table[row], threads);
                cr_assert(memcmp(first[row].bias, other.bias, bias * sizeof(float)) == 0);
                cr_assert(memcmp(first[row].sinks, other.sinks, c.s.heads * sizeof(float)) == 0);
                free(other.bias);
                free(other.sinks);
            }
        }
        for (uint64_t e = 0; e < bias; e++)
            cr_assert_float_eq(first[0].bias[e], first[1].bias[e], 2e-5, "broadcast %u: %g, %g", broadcasts[i],
                               (double)first[0].bias[e], (double)first[1].bias[e]);
        for (uint64_t h = 0; h < c.s.heads; h++)
            cr_assert_float_eq(first[0].sinks[h], first[1].sinks[h], 2e-5, "sink: %g, %g", (double)first[0].sinks[h],
                               (double)first[1].sinks[h]);
        for (unsigned row = 0; row < 2; row++) {
            free(first[row].bias);
            free(first[row].sinks);
        }
        attn_case_free(&c);
    }
}

/* The paper's own example, and 12 heads: 8 of their own, 4 between those of 16. */
Test(kernels, slopes_of_alibi) {
    for (uint64_t h = 0; h < 8; h++)
        cr_assert_float_eq(attn_alibi_slope(h, 8), exp2(-(double)(h + 1)), 1e-9);
    for (uint64_t h = 0; h < 12; h++)
        cr_assert_float_eq(attn_alibi_slope(h, 12), h < 8 ? exp2(-(double)(h + 1)) : exp2(-(double)(h - 8) - 0.5),
                           1e-7);
    cr_assert_eq(attn_alibi_slope(0, 1), exp2f(-8));
}

Test(kernels, rows_with_nothing_allowed_give_zeros, POOLS) {
    for (unsigned row = 0; row < attn_table_length; row++) {
        struct attn_case c = attn_case_new(1, 1, 1, 40, 30, 16); /* causal: queries 0..9 stand before the first key */
        mask_set(&c, MASK_CAUSAL);
        struct attn_result r = attn_run(&c, &(struct attn_how){&attn_table[row], pools[2], 2, HEADS_FIRST, 0});
        for (uint64_t e = 0; e < 10 * c.s.d; e++)
            cr_assert(r.out[0][e] == 0 && r.out[1][e] == 0, "%s", attn_table[row].name);
        cr_assert(r.out[0][10 * c.s.d] != 0);
        for (unsigned i = 0; attn_table[row].saves_output && i < 10; i++)
            cr_assert(r.aux[i] == -INFINITY);
        attn_result_free(&r);
        attn_case_free(&c);
    }
}

/* Not-a-number and infinity go through: their own row is not a number, the other head never notices. */
Test(kernels, infinities_and_nan_pass_through, POOLS) {
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f, 1e-42f};
    for (unsigned row = 0; row < attn_table_length; row++)
        for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
            for (unsigned where = 0; where < 3; where++) {
                struct attn_case c = attn_case_new(1, 2, 2, 50, 50, 16);
                float *into[] = {c.q, c.k, c.v};
                mask_set(&c, MASK_CAUSAL);
                into[where][17 * 16 + 3] = bad[i]; /* head 0, row 17 */
                struct attn_result r = attn_run(&c, &(struct attn_how){&attn_table[row], pools[2], 2, HEADS_FIRST, 0});
                const uint64_t head = c.s.n_q * c.s.d;
                for (uint64_t e = 0; e < head; e++)
                    cr_assert(isfinite(r.out[0][head + e]) && isfinite(r.out[1][head + e]), "the other head");
                if (isnan(bad[i]))
                    cr_assert(isnan(r.out[0][17 * 16 + 3]), "%s: NaN in %u", attn_table[row].name, where);
                attn_result_free(&r);
                attn_case_free(&c);
            }
}

Test(kernels, dropout_is_the_same_everywhere_and_fair) {
    const struct attn_dropout d = {0.3, 0x123456789abcdef};
    enum { ROWS = 24, KEYS = 1000 };
    uint64_t kept = 0;
    uint64_t bits[KEYS];
    for (uint64_t from = 0; from < 7; from++) {
        attn_drop_bits(tile_best(), &d, 5, 100, ROWS, from, KEYS - from, bits);
        for (unsigned r = 0; r < ROWS; r++)
            for (uint64_t j = 0; j < KEYS - from; j++) {
                bool keeps = attn_drop_keeps(&d, 5, 100 + r, from + j);
                cr_assert((bits[j] >> r & 1) == keeps);
                kept += from == 0 && keeps;
            }
    }
    /* 24,000 draws: four standard deviations are 1.2 % */
    cr_assert_float_eq((double)kept / (ROWS * KEYS), 0.7, 0.012);
}

/* The mean over many seeds of what dropout makes is what there is without it. */
Test(kernels, dropout_keeps_the_mean, POOLS) {
    enum { SEEDS = 400 };
    for (unsigned row = 0; row < attn_table_length; row++) {
        struct attn_case c = attn_case_new(1, 1, 1, 8, 40, 8);
        struct attn_how how = {&attn_table[row], pools[1], 1, HEADS_FIRST, 0};
        struct attn_result plain = attn_run(&c, &how);
        double sum[64] = {0};
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            c.dropout = (struct attn_dropout){0.25, seed};
            struct attn_result r = attn_run(&c, &how);
            for (unsigned e = 0; e < 64; e++)
                sum[e] += r.out[0][e];
            attn_result_free(&r);
        }
        for (unsigned e = 0; e < 64; e++)
            cr_assert_float_eq(sum[e] / SEEDS, plain.out[0][e], 0.1, "%s", attn_table[row].name);
        attn_result_free(&plain);
        attn_case_free(&c);
    }
}

/* attn_ref's gradients against central differences of its own forward: sum(o d_o) moves by d_x for every x. */
Test(kernels, judge_against_central_differences) {
    for (unsigned mask = 0; mask < MASKS; mask++) {
        struct attn_case c = attn_case_new(1, 4, 2, 5, 7, 3);
        double *truth[OUTPUTS], weights[7];
        mask_set(&c, mask);
        c.dropout = (struct attn_dropout){mask % 2 ? 0.3 : 0, 5};
        attn_truth(&c, truth);
        double *x[OUTPUTS] = {NULL, attn_widen(c.q, c.sizes[1]), attn_widen(c.k, c.sizes[2]),
                              attn_widen(c.v, c.sizes[3])};
        double *o = attn_alloc(c.sizes[0] * sizeof *o);
        for (unsigned i = 1; i < OUTPUTS; i++)
            for (uint64_t e = 0; e < c.sizes[i]; e++) {
                const double h = 1e-5, at = x[i][e];
                double sum[2] = {0};
                for (unsigned side = 0; side < 2; side++) {
                    x[i][e] = side ? at + h : at - h;
                    attn_ref(&c.s, &c.m, (double)c.scale, &c.dropout, x[1], x[2], x[3], o, NULL, NULL, NULL, NULL,
                             weights, NULL);
                    for (uint64_t out = 0; out < c.sizes[0]; out++)
                        sum[side] += o[out] * (double)c.d_o[out];
                }
                x[i][e] = at;
                cr_assert_float_eq((sum[1] - sum[0]) / (2 * h), truth[i][e], 1e-7, "%s, %s", mask_names[mask],
                                   output_names[i]);
            }
        free(o);
        for (unsigned i = 0; i < OUTPUTS; i++) {
            free(truth[i]);
            free(x[i]);
        }
        attn_case_free(&c);
    }
}

Test(kernels, pairs_and_ranges_agree_with_the_definition) {
    static const uint64_t reach[] = {0, 1, 2, 3, 5, 20, ATTN_FAR - 1, ATTN_FAR};
    for (uint64_t n_q = 1; n_q < 9; n_q++)
        for (uint64_t n_k = 1; n_k < 9; n_k++)
            for (unsigned b = 0; b < 8; b++)
                for (unsigned a = 0; a < 8; a++) {
                    struct attn_shape s = {.n_q = n_q, .n_k = n_k};
                    struct attn_mask m = {.behind = reach[b], .ahead = reach[a]};
                    uint64_t pairs = 0, lo, hi;
                    for (uint64_t i = 0; i < n_q; i++) {
                        attn_key_range(&s, &m, i, &lo, &hi);
                        cr_assert(lo <= hi && hi <= n_k);
                        for (uint64_t j = 0; j < n_k; j++) {
                            int64_t p = (int64_t)(i + n_k) - (int64_t)n_q, at = (int64_t)j;
                            bool behind = p <= at || (uint64_t)(p - at) < m.behind || m.behind == ATTN_FAR;
                            bool ahead = at <= p || (uint64_t)(at - p) < m.ahead || m.ahead == ATTN_FAR;
                            /* distance 0 counts against a reach of 0; so do negative ones against nothing */
                            if (p == at)
                                behind = m.behind > 0, ahead = m.ahead > 0;
                            else if (p < at)
                                behind = true;
                            bool allowed = behind && ahead;
                            cr_assert(allowed == (j >= lo && j < hi),
                                      "n %llu x %llu behind %llu ahead %llu i %llu j %llu", (unsigned long long)n_q,
                                      (unsigned long long)n_k, (unsigned long long)m.behind,
                                      (unsigned long long)m.ahead, (unsigned long long)i, (unsigned long long)j);
                            pairs += allowed;
                        }
                    }
                    cr_assert_eq(attn_pairs(&s, &m), pairs);
                }
    struct attn_shape large = {.n_q = 1u << 31, .n_k = 1u << 31};
    cr_assert_eq(attn_pairs(&large, &(struct attn_mask){.behind = ATTN_FAR, .ahead = ATTN_FAR}), (uint64_t)1 << 62);
    cr_assert_eq(attn_pairs(&large, &(struct attn_mask){.behind = ATTN_FAR, .ahead = 1}),
                 ((uint64_t)1 << 61) + ((uint64_t)1 << 30));
}

Test(kernels, workspace_never_overflows) {
    static const uint64_t sizes[] = {1, 1000, (uint64_t)1 << 31, (uint64_t)1 << 59};
    for (unsigned row = 0; row < attn_table_length; row++)
        for (unsigned which = 0; which < 4; which++)
            for (unsigned i = 0; i < 4; i++)
                for (unsigned threads = 1; threads < 100; threads += 49) {
                    struct attn_shape s = {.batch = 1, .heads = 1, .kv_heads = 1, .n_q = 1, .n_k = 1, .d = 1};
                    uint64_t *into[] = {&s.batch, &s.n_q, &s.n_k, &s.d};
                    struct attn_mask m = {.behind = ATTN_FAR, .ahead = ATTN_FAR};
                    *into[which] = sizes[i];
                    for (unsigned backward = 0; backward < 2; backward++) {
                        uint64_t bytes = attn_table[row].work_bytes(&s, &m, backward, threads);
                        cr_assert(bytes > 0 && bytes % 64 == 0 && bytes <= (uint64_t)1 << 63);
                        cr_assert(bytes >= attn_table[row].work_bytes(&s, &m, backward, 1));
                    }
                }
}

Test(kernels, table_finds_its_rows) {
    for (unsigned row = 0; row < attn_table_length; row++)
        cr_assert(attn_find(attn_table[row].name) == &attn_table[row]);
    cr_assert_null(attn_find("fast"));
}

Test(kernels, an_instruction_set_is_asked_for_by_name) {
    struct problem why = {0};
    for (unsigned i = 0; i < tile_table_length; i++) {
        const bool runs = tile_runs(tile_table[i]);
        setenv(TILE_VARIABLE, tile_table[i]->name, 1);
        cr_assert(tile_check(&why) == runs && (why.kind == PROBLEM_UNSUPPORTED) == !runs);
        cr_assert((tile_best() == tile_table[i]) == runs);
        why = (struct problem){0};
    }
    setenv(TILE_VARIABLE, "sse9", 1);
    const struct tile *ignored = tile_best();
    cr_assert(!tile_check(&why) && why.kind == PROBLEM_MALFORMED);
    unsetenv(TILE_VARIABLE);
    cr_assert(tile_best() == ignored && tile_runs(ignored));
}

/* Every instruction set this processor has makes the same tiles, to rounding. */
Test(kernels, tiles_agree) {
    enum { KEYS = 13, D = 20, WIDTH = 32, SETS = 8 };
    const struct tile_band whole = {TILE_PANEL, -TILE_FAR, TILE_FAR};
    uint64_t kept[SETS][16];
    float *a = attn_random(KEYS * WIDTH, 1, 1), *x = attn_random(D * TILE_PANEL, 2, 1), *y[SETS], *t[SETS];
    cr_assert(tile_table_length <= SETS && tile_table[tile_table_length - 1] == &tile_portable);
    for (unsigned i = tile_table_length; i-- > 0;) {
        const struct tile *tile = tile_runs(tile_table[i]) ? tile_table[i] : &tile_portable;
        float m[TILE_PANEL], l[TILE_PANEL] = {0}, alpha[TILE_PANEL];
        for (unsigned r = 0; r < TILE_PANEL; r++)
            m[r] = -INFINITY;
        t[i] = attn_random(KEYS * TILE_PANEL, 3, 1);
        y[i] = attn_random((KEYS + TILE_PANEL) * WIDTH, 4, 1);
        tile->dots(&whole, KEYS, D, a, WIDTH, x, t[i]);
        tile->soft(&whole, KEYS, t[i], m, l, alpha);
        tile->gather(&whole, KEYS, WIDTH, t[i], a, WIDTH, alpha, y[i]);
        tile->spread(&whole, KEYS, WIDTH, t[i], y[i], WIDTH, y[i] + TILE_PANEL * WIDTH, WIDTH);
        tile->draw(0xfedcba987654321, 7, UINT32_MAX - 3, 64, 5, 4, 1u << 31, kept[i]);
        cr_assert(alpha[0] == 0 && m[0] > -INFINITY && l[0] >= 1);
        const unsigned plain = tile_table_length - 1;
        cr_assert(memcmp(kept[i], kept[plain], sizeof kept[i]) == 0, "%s", tile->name);
        for (unsigned e = 0; e < KEYS * TILE_PANEL; e++)
            cr_assert_float_eq(t[i][e], t[plain][e], 1e-5, "%s", tile->name);
        for (unsigned e = 0; e < (KEYS + TILE_PANEL) * WIDTH; e++)
            cr_assert_float_eq(y[i][e], y[plain][e], 1e-4, "%s", tile->name);
    }
    for (unsigned i = 0; i < tile_table_length; i++) {
        free(t[i]);
        free(y[i]);
    }
    free(a);
    free(x);
}

/* exp2 of the tiles against libm, over all it is asked for; -inf is exactly 0, NaN stays. */
Test(kernels, powers_of_two) {
    const struct tile_band whole = {TILE_PANEL, -TILE_FAR, TILE_FAR};
    for (unsigned i = 0; i < tile_table_length; i++)
        for (float from = -126; tile_runs(tile_table[i]) && from < 20; from += 0.0371f) {
            float t[TILE_PANEL], top[TILE_PANEL] = {0};
            for (unsigned r = 0; r < TILE_PANEL; r++)
                t[r] = from + (float)r * 0.0013f;
            t[3] = -INFINITY;
            t[4] = NAN;
            tile_table[i]->powers(&whole, 1, t, top);
            for (unsigned r = 0; r < TILE_PANEL; r++) {
                double true_power = exp2((double)(from + (float)r * 0.0013f));
                if (r != 3 && r != 4)
                    cr_assert(fabs((double)t[r] - true_power) <= 1.3e-7 * true_power, "2^%g: %g", from, t[r]);
            }
            cr_assert(t[3] == 0 && isnan(t[4]));
        }
}

/* Sigmoid and normal distribution against libm, over all floats that matter; beyond, the limits. */
Test(kernels, sigmoid_and_normal) {
    enum { N = 13 };
    for (unsigned i = 0; i < tile_table_length; i++)
        for (float from = -40; tile_runs(tile_table[i]) && from < 40; from += 0.0173f) {
            float x[N], y[N], rest[N], below[N], density[N];
            for (unsigned e = 0; e < N; e++)
                x[e] = from + 0.001f * (float)e;
            tile_table[i]->sigmoid(N, x, y, rest);
            tile_table[i]->normal(N, x, below, density);
            for (unsigned e = 0; e < N; e++) {
                const double at = (double)x[e];
                cr_assert_float_eq(y[e], 1 / (1 + exp(-at)), 1.5e-7, "sigmoid %g", at);
                cr_assert_float_eq(rest[e], 1 / (1 + exp(at)), 1.5e-7, "1 - sigmoid %g", at);
                cr_assert_float_eq(below[e], erfc(-at * M_SQRT1_2) / 2, 1.5e-7, "normal %g", at);
                cr_assert_float_eq(density[e], exp(-at * at / 2) / sqrt(2 * M_PI), 1.5e-7, "density %g", at);
            }
        }
    for (unsigned i = 0; i < tile_table_length; i++) {
        float x[4] = {-3e38f, 3e38f, NAN, 1000}, y[4], rest[4], below[4], density[4];
        if (!tile_runs(tile_table[i]))
            continue;
        tile_table[i]->sigmoid(4, x, y, rest);
        tile_table[i]->normal(4, x, below, density);
        cr_assert(y[0] == 0 && y[1] == 1 && isnan(y[2]) && y[3] == 1 && rest[1] < 1e-37f && rest[0] == 1);
        cr_assert(below[0] == 0 && below[1] == 1 && isnan(below[2]) && density[0] == 0 && density[3] == 0);
    }
}
