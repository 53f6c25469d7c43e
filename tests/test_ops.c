/* test_ops.c - every row of op_table: against its reference in double, gradients against central differences, bits for
 * any number of threads, bfloat16 against float32, memory, and what is refused. A row without a case here fails. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"
#include "engine/kernels/numbers.h"
#include "tests/support_ops.h"

#define ATTENTION(k, l, h, kv, b, a, p)                                                                                \
    {                                                                                                                  \
        .kind = OP_ATTENTION, .attention = { &attn_table[k], l, h, kv, b, a, 0, {p, 77} }                              \
    }

/* check(k) for every case there is */
static void every_case(void (*check)(const struct op_case *k)) {
    for (const struct op_case_list *const *list = op_case_lists; *list; list++)
        for (unsigned i = 0; i < (*list)->n; i++)
            check(&(*list)->cases[i]);
}

static const struct op_case *case_find(const char *name) {
    for (const struct op_case_list *const *list = op_case_lists; *list; list++)
        for (unsigned i = 0; i < (*list)->n; i++)
            if (strcmp((*list)->cases[i].name, name) == 0)
                return &(*list)->cases[i];
    return NULL;
}

TestSuite(ops, .timeout = 120);

static bool has_case(unsigned kind) {
    for (const struct op_case_list *const *list = op_case_lists; *list; list++)
        for (unsigned i = 0; i < (*list)->n; i++)
            if ((*list)->cases[i].op.kind == kind)
                return true;
    return false;
}

Test(ops, every_row_that_runs_has_a_case) {
    for (unsigned kind = 0; kind < OP_KINDS; kind++) {
        cr_assert(kind == OP_FUNCTION || !op_table[kind]->forward || has_case(kind), "%s", op_table[kind]->name);
        cr_assert((op_table[kind]->reference == NULL) == (kind == OP_FUNCTION || !op_table[kind]->forward));
    }
}

static void forward_check(const struct op_case *k) {
    struct op_run r;
    op_run_init(k, DTYPE_FLOAT32, false, 2, 0, &r);
    struct op_reference d = op_reference_new(k, &r);
    for (uint32_t i = 0; i < r.op->n_results; i++) {
        const struct tensor *t = &r.g.tensors[r.op->outputs[i]];
        for (uint64_t e = 0; e < t->elements; e++)
            cr_assert_float_eq(op_run_number(t, r.out[i], e), d.out[i][e], k->tolerance != 0 ? k->tolerance : 4e-6f,
                               "%s: result %u [%llu] %g, not %g", k->name, i, (unsigned long long)e,
                               op_run_number(t, r.out[i], e), d.out[i][e]);
    }
    op_reference_free(k, &r, &d);
    op_run_free(k, &r);
}

Test(ops, forward_is_the_reference) {
    every_case(forward_check);
}

/* What the gradients of the results weigh. */
static double weighed(const struct op_run *r, const struct op_reference *d) {
    double sum = 0;
    for (uint32_t i = 0; i < r->op->n_results; i++) {
        const struct tensor *t = &r->g.tensors[r->op->outputs[i]];
        for (uint64_t e = 0; r->d_out[i] && e < t->elements; e++)
            sum += d->out[i][e] * op_run_number(t, r->d_out[i], e);
    }
    return sum;
}

/* Of n elements every so many is looked at: some dozens all over, with REMATD_TESTS_LONG each. */
static uint64_t stride(uint64_t n) {
    return getenv("REMATD_TESTS_LONG") ? 1 : (n / 48 | 1);
}

/* sum(out d_out) of the reference, as a function of in[x][e], moves by d_in[x][e] */
static void slope_check(const struct op_case *k) {
    struct op_run r;
    op_run_init(k, DTYPE_FLOAT32, false, 2, 0, &r);
    struct op_reference d = op_reference_new(k, &r);
    for (uint32_t x = 0; x < (k->same_inputs ? 1 : r.op->n_inputs); x++)
        for (uint64_t e = 0, n = r.g.tensors[r.op->inputs[x]].elements; r.d_in[x] && e < n; e += stride(n)) {
            const double h = 1e-5, at = d.in[x][e];
            double sum[2];
            for (unsigned side = 0; side < 2; side++) {
                d.in[x][e] = side ? at + h : at - h;
                op_reference_run(&r, &d);
                sum[side] = weighed(&r, &d);
            }
            d.in[x][e] = at;
            cr_assert_float_eq(((float *)r.d_in[x])[e], (sum[1] - sum[0]) / (2 * h), 2e-5,
                               "%s: input %u [%llu]: %g, not %g", k->name, x, (unsigned long long)e,
                               (double)((float *)r.d_in[x])[e], (sum[1] - sum[0]) / (2 * h));
        }
    op_reference_free(k, &r, &d);
    op_run_free(k, &r);
}

Test(ops, backward_is_the_slope_of_the_reference) {
    every_case(slope_check);
}

/* The gradient that was there stays in the sum. */
static void adds_check(const struct op_case *k) {
    struct op_run zero, one;
    op_run_init(k, DTYPE_FLOAT32, false, 1, 0, &zero);
    op_run_init(k, DTYPE_FLOAT32, false, 1, 1, &one);
    for (uint32_t x = 0; x < zero.op->n_inputs; x++)
        for (uint64_t e = 0; zero.d_in[x] && e < zero.g.tensors[zero.op->inputs[x]].elements; e++)
            cr_assert_float_eq(((float *)one.d_in[x])[e], 1 + ((float *)zero.d_in[x])[e], 4e-6, "%s", k->name);
    op_run_free(k, &zero);
    op_run_free(k, &one);
}

Test(ops, backward_adds) {
    every_case(adds_check);
}

static void same_bits_as(const struct op_case *k, enum dtype dtype) {
    struct op_run one, many;
    op_run_init(k, dtype, false, 1, 0, &one);
    for (unsigned threads = 1; threads <= 3; threads++) {
        op_run_init(k, dtype, false, threads, 0, &many);
        for (uint32_t x = 0; x < one.op->n_outputs; x++)
            cr_assert(memcmp(one.out[x], many.out[x], one.g.tensors[one.op->outputs[x]].bytes) == 0, "%s: output %u",
                      k->name, x);
        for (uint32_t x = 0; x < one.op->n_inputs; x++)
            cr_assert(!one.d_in[x] || memcmp(one.d_in[x], many.d_in[x], one.g.tensors[one.op->inputs[x]].bytes) == 0,
                      "%s: gradient of input %u", k->name, x);
        op_run_free(k, &many);
    }
    op_run_free(k, &one);
}

static void same_bits(const struct op_case *k) {
    same_bits_as(k, DTYPE_FLOAT32);
    if (op_table[k->op.kind]->narrow)
        same_bits_as(k, DTYPE_BFLOAT16);
}

Test(ops, any_number_of_threads_gives_the_same_bits) {
    every_case(same_bits);
}

/* Close by the rounding of a few numbers of 8 bits, in units of the largest. */
static void close_by(const char *name, const char *what, const struct tensor *t, const void *narrow,
                     const struct tensor *like, const void *full) {
    double most = 0;
    for (uint64_t e = 0; e < t->elements; e++)
        most = fmax(most, fabs(op_run_number(like, full, e)));
    for (uint64_t e = 0; e < t->elements; e++) {
        const double x = op_run_number(t, narrow, e), y = op_run_number(like, full, e);
        cr_assert(fabs(x - y) <= fabs(y) / 128 + most * 0.02, "%s: %s [%llu] is %g in bfloat16, %g in float32", name,
                  what, (unsigned long long)e, x, y);
    }
}

/* bfloat16 is float32 on rounded inputs, rounded at the op's boundary. */
static void narrow_check(const struct op_case *k) {
    struct op_run narrow, full;
    if (!op_table[k->op.kind]->narrow)
        return;
    op_run_init(k, DTYPE_BFLOAT16, false, 2, 0, &narrow);
    op_run_init(k, DTYPE_FLOAT32, true, 2, 0, &full);
    for (uint32_t i = 0; i < full.op->n_results; i++)
        close_by(k->name, "a result", &narrow.g.tensors[narrow.op->outputs[i]], narrow.out[i],
                 &full.g.tensors[full.op->outputs[i]], full.out[i]);
    for (uint32_t i = 0; i < full.op->n_inputs; i++)
        if (full.d_in[i])
            close_by(k->name, "a gradient", &narrow.g.tensors[narrow.op->inputs[i]], narrow.d_in[i],
                     &full.g.tensors[full.op->inputs[i]], full.d_in[i]);
    op_run_free(k, &narrow);
    op_run_free(k, &full);
}

Test(ops, bfloat16_is_float32_rounded) {
    every_case(narrow_check);
}

/* Far out activations are x or 0, their slopes 1 or 0; nothing becomes infinite on the way. */
Test(ops, activations_far_out) {
    static const float far_out[] = {20, 1e3f, 1e15f, 1e20f, 1e37f};
    static const char *const names[] = {"gelu erf", "gelu tanh", "silu", "relu"};
    for (unsigned n = 0; n < 4; n++)
        for (unsigned i = 0; i < 10; i++) {
            const struct op_case *k = case_find(names[n]);
            const float x = i < 5 ? far_out[i] : -far_out[i - 5];
            struct op_run r;
            op_run_init(k, DTYPE_FLOAT32, false, 1, 0, &r);
            ((float *)r.in[0])[0] = x;
            ((float *)r.d_out[0])[0] = 1;
            ((float *)r.d_in[0])[0] = 0;
            op_run_step(&r, NULL, false);
            op_run_step(&r, NULL, true);
            cr_assert_float_eq(((float *)r.out[0])[0], x > 0 ? x : 0, 1e-6f, "%s of %g", k->name, (double)x);
            cr_assert_float_eq(((float *)r.d_in[0])[0], x > 0, 1e-6f, "slope of %s at %g", k->name, (double)x);
            op_run_free(k, &r);
        }
}

/* Sizes that are cut into several tasks. */
Test(ops, large_ops_too) {
    static const struct op_case large[] = {
        {"linear", {.kind = OP_LINEAR}, {{700, 130}, {190, 130}, {190}}, .no_grad = {0}},
        {"linear, few rows", {.kind = OP_LINEAR}, {{3, 130}, {900, 130}, {900}}, .no_grad = {0}},
        {"linear, deep", {.kind = OP_LINEAR}, {{300, 1100}, {520, 1100}, {520}}, .tolerance = 4e-4f},
        {"gelu", {.kind = OP_GELU}, {{5, 10001}}, .no_grad = {0}},
        {"silu", {.kind = OP_SILU}, {{5, 10001}}, .no_grad = {0}},
        {"relu", {.kind = OP_RELU}, {{5, 10001}}, .no_grad = {0}},
        {"layer_norm", {.kind = OP_LAYER_NORM, .norm = {1e-5f}}, {{301, 200}, {200}, {200}}, .no_grad = {0}},
        {"rms_norm", {.kind = OP_RMS_NORM, .norm = {1e-5f}}, {{301, 200}, {200}}, .no_grad = {0}},
        {"layer_norm, wide", {.kind = OP_LAYER_NORM, .norm = {1e-5f}}, {{40, 700}, {700}, {700}}, .no_grad = {0}},
        {"rms_norm of heads", {.kind = OP_RMS_NORM, .norm = {1e-5f, 1}}, {{60, 3, 300}, {3, 300}}, .no_grad = {0}},
        {"dropout", {.kind = OP_DROPOUT, .dropout = {0.4, 12}}, {{5, 10001}}, .no_grad = {0}},
        {"add", {.kind = OP_ADD}, {{5, 10001}, {5, 10001}}, .no_grad = {0}},
        {"scale", {.kind = OP_SCALE, .scale = {3}}, {{5, 10001}}, .no_grad = {0}},
        {"gated", {.kind = OP_GATED}, {{5, 10001}, {5, 10001}}, .no_grad = {0}},
        {"embedding", {.kind = OP_EMBEDDING}, {{700}, {90, 130}}, .ids = {90}},
        {"positions", {.kind = OP_POSITIONS}, {{3, 70, 130}, {90, 130}}, .no_grad = {0}},
        {"split", {.kind = OP_SPLIT, .split = {300}}, {{70, 1001}}, .no_grad = {0}},
        {"token_gate", {.kind = OP_TOKEN_GATE}, {{70, 1001}, {70}}, .no_grad = {0}},
        {"convolution",
         {.kind = OP_CONVOLUTION, .convolution = {{2}, {1}}},
         {{2, 300, 60}, {300, 3, 60}, {300}},
         .no_grad = {0}},
        {"attention, long",
         ATTENTION(ATTN_STANDARD, ATTN_ROWS_FIRST, 4, 2, ATTN_FAR, 1, 0.1),
         {{2, 300, 80}, {2, 310, 40}, {2, 310, 40}, {4, 300, 310}},
         .no_grad = {0}},
        {"attention flash, long",
         ATTENTION(ATTN_FLASH, ATTN_ROWS_FIRST, 4, 2, ATTN_FAR, 1, 0.1),
         {{2, 300, 80}, {2, 310, 40}, {2, 310, 40}, {4, 300, 310}},
         .no_grad = {0}},
    };
    for (unsigned i = 0; i < sizeof large / sizeof large[0]; i++) {
        struct op_run r;
        same_bits(&large[i]);
        narrow_check(&large[i]);
        op_run_init(&large[i], DTYPE_FLOAT32, false, 2, 0, &r);
        struct op_reference d = op_reference_new(&large[i], &r);
        for (uint64_t e = 0; e < r.g.tensors[r.op->outputs[0]].elements; e++)
            cr_assert_float_eq(((float *)r.out[0])[e], d.out[0][e],
                               large[i].tolerance != 0 ? large[i].tolerance : 1e-4f, "%s", large[i].name);
        op_reference_free(&large[i], &r, &d);
        op_run_free(&large[i], &r);
    }
}

Test(ops, dropout_keeps_its_share) {
    const struct op_case k = {"dropout", {.kind = OP_DROPOUT, .dropout = {0.25, 5}}, {{40000}}, .no_grad = {0}};
    struct op_run r;
    unsigned kept = 0;
    op_run_init(&k, DTYPE_FLOAT32, false, 2, 0, &r);
    for (unsigned e = 0; e < 40000; e++) {
        float x = ((float *)r.in[0])[e], y = ((float *)r.out[0])[e];
        cr_assert(y == 0 || fabsf(y - x / 0.75f) < 1e-5f);
        kept += y != 0;
    }
    cr_assert_float_eq(kept / 40000.0, 0.75, 0.01); /* four standard deviations are 0.0087 */
    op_run_free(&k, &r);
}

static void flops_are(const struct op_case *k, uint64_t forward, uint64_t backward) {
    struct arena arena;
    struct graph g;
    struct problem why = {0};
    arena_init(&arena, 0);
    uint32_t op = op_case_graph(k, DTYPE_FLOAT32, &g, &arena, 1, &why);
    cr_assert(op != GRAPH_NONE);
    cr_assert_eq(g.ops[op].forward_flops, forward, "%s: %llu", k->name, (unsigned long long)g.ops[op].forward_flops);
    cr_assert_eq(g.ops[op].backward_flops, backward, "%s: %llu", k->name, (unsigned long long)g.ops[op].backward_flops);
    arena_free(&arena);
}

/* 4 n^2 d forward, 8 or 10 backward, by allowed pairs; see op_rows.h */
Test(ops, flops) {
    flops_are(&(struct op_case){"none",
                                ATTENTION(ATTN_STANDARD, 0, 0, 0, ATTN_FAR, ATTN_FAR, 0),
                                {{2, 4, 10, 8}, {2, 2, 10, 8}, {2, 2, 10, 8}},
                                .no_grad = {0}},
              4 * 100 * 8 * 8, 8 * 100 * 8 * 8);
    flops_are(&(struct op_case){"causal",
                                ATTENTION(ATTN_FLASH, 0, 0, 0, ATTN_FAR, 1, 0),
                                {{1, 1, 10, 8}, {1, 1, 10, 8}, {1, 1, 10, 8}},
                                .no_grad = {0}},
              4 * 55 * 8, 10 * 55 * 8);
    flops_are(&(struct op_case){"linear", {.kind = OP_LINEAR}, {{6, 5}, {7, 5}, {7}}, .no_grad = {0}},
              2 * 6 * 5 * 7 + 42, 4 * 6 * 5 * 7 + 42);
    flops_are(&(struct op_case){"frozen", {.kind = OP_LINEAR}, {{6, 5}, {7, 5}}, .no_grad = {0, 1}}, 2 * 6 * 5 * 7,
              2 * 6 * 5 * 7);
    flops_are(&(struct op_case){"gelu", {.kind = OP_GELU}, {{6, 5}}, .no_grad = {0}}, 30, 30);
    flops_are(&(struct op_case){"norm", {.kind = OP_RMS_NORM}, {{6, 5}, {5}}, .no_grad = {0}}, 150, 300);
}

static void saves_are(const struct op_case *k, unsigned inputs, unsigned outputs) {
    struct op_run r;
    op_run_init(k, DTYPE_FLOAT32, false, 1, 0, &r);
    for (uint32_t i = 0; i < r.op->n_inputs; i++)
        cr_assert(op_run_saves(r.op, r.op->inputs[i]) == (inputs >> i & 1), "%s: input %u", k->name, i);
    for (uint32_t i = 0; i < r.op->n_outputs; i++)
        cr_assert(op_run_saves(r.op, r.op->outputs[i]) == (outputs >> i & 1), "%s: output %u", k->name, i);
    op_run_free(k, &r);
}

/* What PyTorch's derivative formulas save. Bits: input or output number. */
Test(ops, saved_sets) {
    static const struct {
        const char *name;
        unsigned inputs, outputs;
    } saved[] = {{"attention standard", 7, 2},
                 {"attention flash", 7, 3},
                 {"attention bias", 7, 2},
                 {"attention flash bias", 15, 3},
                 {"linear bias", 3, 0},
                 {"linear frozen weight", 2, 0},
                 {"linear first layer", 1, 0},
                 {"gelu erf", 1, 0},
                 {"relu", 0, 1},
                 {"silu", 1, 0},
                 {"layer_norm", 3, 6},
                 {"rms_norm", 3, 2},
                 {"rms_norm without weight", 1, 2},
                 {"rms_norm of heads", 3, 2},
                 {"layer_norm without bias", 3, 6},
                 {"dropout", 0, 0},
                 {"add", 0, 0},
                 {"scale", 0, 0}};
    for (unsigned s = 0; s < sizeof saved / sizeof saved[0]; s++)
        saves_are(case_find(saved[s].name), saved[s].inputs, saved[s].outputs);
}

Test(ops, what_is_refused) {
    const uint64_t far = ATTN_FAR;
    const struct op_refusal bad[] = {
        {{"a", {.kind = OP_ATTENTION}, {{1, 1, 2, 4}, {1, 1, 2, 4}, {1, 1, 2, 4}}, .no_grad = {0}},
         PROBLEM_MISSING_FIELD,
         "/kernel"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 1, 2, 4}, {1, 1, 2, 4}}, .no_grad = {0}},
         PROBLEM_SHAPE,
         "/inputs"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 2, 4}, {1, 1, 2, 4}, {1, 1, 2, 4}}, .no_grad = {0}},
         PROBLEM_SHAPE,
         "/inputs/0"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 1, 2, 4}, {2, 1, 2, 4}, {1, 1, 2, 4}}, .no_grad = {0}},
         PROBLEM_SHAPE,
         "/inputs/1"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 1, 2, 4}, {1, 1, 2, 5}, {1, 1, 2, 5}}, .no_grad = {0}},
         PROBLEM_SHAPE,
         "/inputs/1"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 1, 2, 4}, {1, 1, 2, 4}, {1, 1, 3, 4}}, .no_grad = {0}},
         PROBLEM_SHAPE,
         "/inputs/2"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 3, 2, 4}, {1, 2, 2, 4}, {1, 2, 2, 4}}, .no_grad = {0}},
         PROBLEM_SHAPE,
         "/inputs/1"},
        {{"a", ATTENTION(0, 1, 3, 1, far, far, 0), {{1, 2, 4}, {1, 2, 4}, {1, 2, 4}}, .no_grad = {0}},
         PROBLEM_SHAPE,
         "/inputs/0"},
        {{"a", ATTENTION(0, 1, 0, 1, far, far, 0), {{1, 2, 4}, {1, 2, 4}, {1, 2, 4}}, .no_grad = {0}},
         PROBLEM_LIMIT,
         "/heads"},
        {{"a",
          ATTENTION(0, 0, 0, 0, far, far, 0),
          {{1, 1, 2, 4}, {1, 1, 3, 4}, {1, 1, 3, 4}, {2, 2}},
          .no_grad = {0, 0, 0, 1}},
         PROBLEM_SHAPE,
         "/inputs/3"},
        {{"a",
          ATTENTION(0, 0, 0, 0, far, far, 0),
          {{1, 1, 2, 4}, {1, 1, 3, 4}, {1, 1, 3, 4}, {3}},
          .no_grad = {0, 0, 0, 1}},
         PROBLEM_SHAPE,
         "/inputs/3"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 1), {{1, 1, 2, 4}, {1, 1, 2, 4}, {1, 1, 2, 4}}, .no_grad = {0}},
         PROBLEM_LIMIT,
         "/dropout/p"},
        {{"a",
          ATTENTION(0, 0, 0, 0, far, far, 0),
          {{1, 1, 2, 1 << 17}, {1, 1, 2, 1 << 17}, {1, 1, 2, 1 << 17}},
          .no_grad = {0}},
         PROBLEM_LIMIT,
         "/inputs/0"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 1, 1ull << 31, 4}, {1, 1, 2, 4}, {1, 1, 2, 4}}, .no_grad = {0}},
         PROBLEM_LIMIT,
         "/inputs/0"},
        {{"a",
          ATTENTION(0, 0, 0, 0, far, far, 0),
          {{1, 1, 2, 4}, {1, 1, 1ull << 31, 4}, {1, 1, 1ull << 31, 4}},
          .no_grad = {0}},
         PROBLEM_LIMIT,
         "/inputs/1"},
        {{"a",
          ATTENTION(0, 0, 0, 0, far, far, 0),
          {{1 << 20, 1 << 12, 1, 1}, {1 << 20, 1, 1, 1}, {1 << 20, 1, 1, 1}},
          .no_grad = {0}},
         PROBLEM_LIMIT,
         "/inputs/0"},
        {{"a",
          ATTENTION(0, 0, 0, 0, far, far, 0),
          {{1 << 10, 1 << 10, 2000000000, 1}, {1 << 10, 1, 2000000000, 1}, {1 << 10, 1, 2000000000, 1}},
          .no_grad = {0}},
         PROBLEM_LIMIT,
         "/inputs/0"},
        {{"l", {.kind = OP_LINEAR}, {{4, 5}, {7, 6}}, .no_grad = {0}}, PROBLEM_SHAPE, "/inputs/1"},
        {{"l", {.kind = OP_LINEAR}, {{4, 5}, {7, 5}, {6}}, .no_grad = {0}}, PROBLEM_SHAPE, "/inputs/2"},
        {{"l", {.kind = OP_LINEAR, .linear = {8}}, {{4, 5}, {7, 5}}, .no_grad = {0}}, PROBLEM_SHAPE, "/inputs/1"},
        {{"l", {.kind = OP_LINEAR}, {{1ull << 31, 5}, {7, 5}}, .no_grad = {0}}, PROBLEM_LIMIT, "/inputs/0"},
        {{"g", {.kind = OP_GELU}, {{4}, {4}}, .no_grad = {0}}, PROBLEM_SHAPE, "/inputs"},
        {{"n", {.kind = OP_RMS_NORM}, {{4, 5}, {5}, {5}}, .no_grad = {0}}, PROBLEM_SHAPE, "/inputs"},
        {{"n", {.kind = OP_LAYER_NORM}, {{4, 5}, {5}, {4}}, .no_grad = {0}}, PROBLEM_SHAPE, "/inputs/2"},
        {{"n", {.kind = OP_RMS_NORM}, {{4, 5}, {1, 5}}, .no_grad = {0}}, PROBLEM_SHAPE, "/inputs/1"},
        {{"n", {.kind = OP_RMS_NORM}, {{4, 3, 5}, {2, 5}}, .no_grad = {0}}, PROBLEM_SHAPE, "/inputs/1"},
        {{"n", {.kind = OP_RMS_NORM, .norm = {0, INFINITY}}, {{4, 5}, {5}}, .no_grad = {0}}, PROBLEM_LIMIT, "/offset"},
        {{"n", {.kind = OP_RMS_NORM, .norm = {-1}}, {{4, 5}, {5}}, .no_grad = {0}}, PROBLEM_LIMIT, "/epsilon"},
        {{"d", {.kind = OP_DROPOUT, .dropout = {-0.1, 1}}, {{4}}, .no_grad = {0}}, PROBLEM_LIMIT, "/p"},
        {{"d", {.kind = OP_DROPOUT, .dropout = {NAN, 1}}, {{4}}, .no_grad = {0}}, PROBLEM_LIMIT, "/p"},
        {{"s", {.kind = OP_SCALE, .scale = {INFINITY}}, {{4}}, .no_grad = {0}}, PROBLEM_LIMIT, "/factor"},
        {{"+", {.kind = OP_ADD}, {{4}, {5}}, .no_grad = {0}}, PROBLEM_SHAPE, "/inputs/1"},
        {{"+", {.kind = OP_ADD}, {{4}, {1, 4}}, .no_grad = {0}}, PROBLEM_SHAPE, "/inputs/1"},
    };
    op_refusals_check(bad, sizeof bad / sizeof bad[0]);
}

Test(ops, dtypes_without_fractions_are_refused) {
    for (unsigned kind = 0; kind <= OP_SCALE; kind++) {
        struct arena arena;
        struct graph g;
        struct problem why = {0};
        uint32_t ids[3];
        arena_init(&arena, 0);
        cr_assert(graph_init(&g, &arena, 1, true, &why));
        uint32_t n = kind == OP_ATTENTION || kind == OP_LAYER_NORM                ? 3
                     : kind == OP_LINEAR || kind == OP_RMS_NORM || kind == OP_ADD ? 2
                                                                                  : 1;
        for (uint32_t i = 0; i < n; i++)
            ids[i] = graph_tensor(&g, TENSOR_INPUT, "x", DTYPE_INT32, 1, (const uint64_t[]){4}, true, &why);
        struct op spec = {.kind = kind, .name = "x", .inputs = ids, .n_inputs = n, .layer = GRAPH_NONE};
        if (kind == OP_ATTENTION)
            spec.attention.kernel = &attn_table[0];
        cr_assert(graph_op(&g, &spec, &why) == GRAPH_NONE);
        cr_assert(why.kind == PROBLEM_UNSUPPORTED && strcmp(why.where, "/inputs/0") == 0, "%s: %s",
                  op_table[kind]->name, why.detail);
        arena_free(&arena);
    }
}

/* Running out of memory at any take is a problem, not a crash. */
static void memory_check(const struct op_case *k) {
    struct arena arena;
    bool made = false;
    for (uint64_t fail_at = 0; !made; fail_at++) {
        struct graph g;
        struct problem why = {0};
        arena_init(&arena, 0);
        arena.fail_at = fail_at;
        made = op_case_graph(k, DTYPE_FLOAT32, &g, &arena, 1, &why) != GRAPH_NONE;
        cr_assert(made || why.kind == PROBLEM_MEMORY, "%s: %s", k->name, why.detail);
        cr_assert(fail_at < 200);
        arena_free(&arena);
    }
}

Test(ops, every_allocation_may_fail) {
    every_case(memory_check);
}
