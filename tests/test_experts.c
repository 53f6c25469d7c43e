/* test_experts.c - mixtures of experts beyond what test_ops.c asks of every op: ties, numbers that are none, ids that
 * are no experts, sizes that are cut into many tiles. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_ops.h"

enum { TOKENS = 3, EXPERTS = 6, PER_TOKEN = 3 };

TestSuite(experts, .timeout = 120);

static const struct op_case route_case = {
    "route", {.kind = OP_ROUTE, .route = {PER_TOKEN}}, .shapes = {{TOKENS, EXPERTS}}, .no_grad = {0}};

/* The case once more, forward and backward, on logits of our own. */
static void route_again(const struct op_case *k, const float *logits, struct op_run *r) {
    op_run_init(k, DTYPE_FLOAT32, false, 1, 0, r);
    memcpy(r->in[0], logits, TOKENS * EXPERTS * sizeof *logits);
    op_run_step(r, NULL, false);
    op_run_step(r, NULL, true);
}

Test(experts, falling_probability_then_rising_number) {
    static const float logits[TOKENS][EXPERTS] = {{1, 5, 3, 5, 3, 0}, {2, 2, 2, 2, 2, 2}, {-1, 0, 1, 2, 3, 4}};
    static const int32_t chosen[TOKENS][PER_TOKEN] = {{1, 3, 2}, {0, 1, 2}, {5, 4, 3}};
    for (unsigned sigmoid = 0; sigmoid < 2; sigmoid++) {
        struct op_case k = route_case;
        struct op_run r;
        k.op.route.sigmoid = sigmoid;
        route_again(&k, &logits[0][0], &r);
        cr_assert(memcmp(r.out[1], chosen, sizeof chosen) == 0);
        op_run_free(&k, &r);
    }
}

/* Whatever comes out: k different experts of those there are. */
Test(experts, logits_that_are_no_numbers) {
    static const float logits[][TOKENS][EXPERTS] = {
        {{NAN, NAN, NAN, NAN, NAN, NAN}, {1, NAN, 2, 3, 4, 5}, {-NAN, 1, 1, 1, 1, NAN}},
        {{INFINITY, INFINITY, 1, 2, 3, 4}, {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY}, {0}},
        {{1e38f, -1e38f, 1e38f, 0, 0, 0}, {-1e38f, -2e38f, -3e38f, -1e38f, -2e38f, -3e38f}, {INFINITY, NAN}}};
    for (unsigned i = 0; i < 3 * 4; i++) {
        struct op_case k = route_case;
        struct op_run r;
        k.op.route.sigmoid = i & 1;
        k.op.route.normalise = i & 2;
        route_again(&k, &logits[i / 4][0][0], &r);
        for (unsigned t = 0; t < TOKENS; t++) {
            unsigned seen = 0;
            for (unsigned j = 0; j < PER_TOKEN; j++) {
                const int32_t id = ((int32_t *)r.out[1])[t * PER_TOKEN + j];
                cr_assert(id >= 0 && id < EXPERTS && !(seen >> id & 1), "token %u of %u: %d", t, i, id);
                seen |= 1u << id;
            }
        }
        op_run_free(&k, &r);
    }
}

/* Nothing to divide by: weights and slopes are 0. */
Test(experts, no_expert_at_all) {
    float logits[TOKENS * EXPERTS];
    struct op_case k = route_case;
    struct op_run r;
    for (unsigned i = 0; i < TOKENS * EXPERTS; i++)
        logits[i] = -1e30f;
    k.op.route.sigmoid = k.op.route.normalise = true;
    op_run_init(&k, DTYPE_FLOAT32, false, 1, 0, &r);
    memset(r.d_in[0], 0, sizeof logits);
    memcpy(r.in[0], logits, sizeof logits);
    op_run_step(&r, NULL, false);
    op_run_step(&r, NULL, true);
    for (unsigned i = 0; i < TOKENS * PER_TOKEN; i++)
        cr_assert(((float *)r.out[0])[i] == 0);
    for (unsigned i = 0; i < TOKENS * EXPERTS; i++)
        cr_assert(((float *)r.d_in[0])[i] == 0);
    op_run_free(&k, &r);
}

/* Ids may be anybody's: what is no expert is refused before a row is touched. */
Test(experts, ids_that_are_no_experts) {
    static const struct op_case k = {
        "expert_linear", {.kind = OP_EXPERT_LINEAR}, .shapes = {{6, 3}, {3, 2}, {2, 4, 3}}, .ids = {0, 2}};
    static const int32_t bad[] = {-1, 2, INT32_MAX, INT32_MIN};
    for (unsigned i = 0; i < 4; i++) {
        struct op_run r;
        struct problem why = {0};
        op_run_init(&k, DTYPE_FLOAT32, false, 1, 0, &r);
        ((int32_t *)r.in[1])[4] = bad[i];
        void *work = aligned_alloc(64, r.op->forward_work_bytes);
        struct op_call call = {.graph = &r.g,
                               .op = r.op,
                               .inputs = (const void *const *)r.in,
                               .outputs = r.out,
                               .d_outputs = (const void *const *)r.d_out,
                               .d_inputs = r.d_in,
                               .work = work};
        cr_assert(!op_forward(&call, &why) && why.kind == PROBLEM_LIMIT, "%d", bad[i]);
        why = (struct problem){0};
        cr_assert(!op_backward(&call, &why) && why.kind == PROBLEM_LIMIT, "%d", bad[i]);
        free(work);
        op_run_free(&k, &r);
    }
}

/* sum over e of a[e * a_step] b[e * b_step] for the rows of one expert */
static double rows_sum(const struct op_run *r, int32_t expert, const float *a, uint64_t a_step, const float *b,
                       uint64_t b_step) {
    const int32_t *ids = r->in[1];
    double sum = 0;
    for (uint64_t row = 0; row < r->g.tensors[r->op->inputs[1]].elements; row++)
        if (ids[row] == expert)
            sum += (double)a[row * a_step] * (b ? (double)b[row * b_step] : 1);
    return sum;
}

/* Element e of each gradient of a linear layer of experts, from its definition. */
static void linear_slopes(const struct op_case *k, const struct op_run *r) {
    const uint64_t out = k->shapes[2][1], in = k->shapes[2][2];
    const float *x = r->in[0], *w = r->in[2], *d_y = r->d_out[0], *d_x = r->d_in[0], *d_w = r->d_in[2];
    for (uint64_t e = 0; e < k->shapes[0][0] * in; e += 97) {
        const float *from = w + (uint64_t)((int32_t *)r->in[1])[e / in] * out * in + e % in;
        double sum = 0;
        for (uint64_t o = 0; o < out; o++)
            sum += (double)d_y[e / in * out + o] * (double)from[o * in];
        cr_assert_float_eq(d_x[e], sum, 4e-4, "d_x [%llu]", (unsigned long long)e);
    }
    for (uint64_t e = 0; e < k->shapes[2][0] * out * in; e += 1009)
        cr_assert_float_eq(d_w[e], rows_sum(r, (int32_t)(e / in / out), d_y + e / in % out, out, x + e % in, in), 4e-4,
                           "d_weight [%llu]", (unsigned long long)e);
    for (uint64_t e = 0; r->op->n_inputs > 3 && e < k->shapes[2][0] * out; e++)
        cr_assert_float_eq(((float *)r->d_in[3])[e], rows_sum(r, (int32_t)(e / out), d_y + e % out, out, NULL, 0), 1e-4,
                           "d_bias [%llu]", (unsigned long long)e);
}

static void same_bits(const struct op_case *k, enum dtype dtype) {
    struct op_run one, many;
    op_run_init(k, dtype, true, 1, 0, &one);
    for (unsigned threads = 2; threads <= 3; threads++) {
        op_run_init(k, dtype, true, threads, 0, &many);
        for (uint32_t i = 0; i < one.op->n_results; i++)
            cr_assert(memcmp(one.out[i], many.out[i], one.g.tensors[one.op->outputs[i]].bytes) == 0, "%s", k->name);
        for (uint32_t i = 0; i < one.op->n_inputs; i++)
            cr_assert(!one.d_in[i] || memcmp(one.d_in[i], many.d_in[i], one.g.tensors[one.op->inputs[i]].bytes) == 0,
                      "%s: input %u", k->name, i);
        op_run_free(k, &many);
    }
    op_run_free(k, &one);
}

/* bfloat16 is off by a rounding of each number, no more: its sums are float32's. */
static void rounded_from(const struct op_case *k, const struct op_run *full) {
    struct op_run narrow;
    op_run_init(k, DTYPE_BFLOAT16, true, 2, 0, &narrow);
    for (uint32_t i = 0; i < narrow.op->n_inputs; i++) {
        const struct tensor *t = &narrow.g.tensors[narrow.op->inputs[i]];
        for (uint64_t e = 0; narrow.d_in[i] && e < t->elements; e++) {
            const double x = (double)((float *)full->d_in[i])[e];
            cr_assert_float_eq(op_run_number(t, narrow.d_in[i], e), x, fabs(x) / 256 + 1e-4, "%s: input %u [%llu]",
                               k->name, i, (unsigned long long)e);
        }
    }
    const struct tensor *y = &narrow.g.tensors[narrow.op->outputs[0]];
    for (uint64_t e = 0; e < y->elements; e++) {
        const double x = (double)((float *)full->out[0])[e];
        cr_assert_float_eq(op_run_number(y, narrow.out[0], e), x, fabs(x) / 256 + 1e-4, "%s [%llu]", k->name,
                           (unsigned long long)e);
    }
    op_run_free(k, &narrow);
}

Test(experts, many_tiles) {
    static const struct op_case large[] = {
        {"many", {.kind = OP_EXPERT_LINEAR}, .shapes = {{1000, 300}, {500, 2}, {5, 270, 300}, {5, 270}}, .ids = {0, 5}},
        {"one", {.kind = OP_EXPERT_LINEAR}, .shapes = {{400, 515}, {400, 1}, {3, 260, 515}, {3, 260}}, .ids = {0, 1}},
        {"few", {.kind = OP_EXPERT_LINEAR}, .shapes = {{60, 40}, {30, 2}, {99, 600, 40}}, .ids = {0, 99}},
    };
    for (unsigned i = 0; i < sizeof large / sizeof large[0]; i++) {
        struct op_run r;
        op_run_init(&large[i], DTYPE_FLOAT32, true, 2, 0, &r);
        struct op_reference d = op_reference_new(&large[i], &r);
        for (uint64_t e = 0; e < r.g.tensors[r.op->outputs[0]].elements; e++)
            cr_assert_float_eq(((float *)r.out[0])[e], d.out[0][e], 2e-4, "%s", large[i].name);
        op_reference_free(&large[i], &r, &d);
        linear_slopes(&large[i], &r);
        rounded_from(&large[i], &r);
        op_run_free(&large[i], &r);
        same_bits(&large[i], DTYPE_FLOAT32);
        same_bits(&large[i], DTYPE_BFLOAT16);
    }
}

static void work_is(const struct op_case *k, enum dtype dtype, unsigned threads, uint64_t forward, uint64_t backward) {
    struct arena arena;
    struct graph g;
    struct problem why = {0};
    arena_init(&arena, 0);
    uint32_t op = op_case_graph(k, dtype, &g, &arena, threads, &why);
    cr_assert(op != GRAPH_NONE);
    cr_assert_eq(g.ops[op].forward_work_bytes, forward);
    cr_assert_eq(g.ops[op].backward_work_bytes, backward);
    arena_free(&arena);
}

/* Lists of 4 bytes a row and an expert, and tiles a thread: 128 rows by 256, both ways, and 256 by 256 of a narrow
 * weight. Threads without a task need none. */
Test(experts, workspace_is_bounded) {
    static const struct op_case large = {"large",
                                         {.kind = OP_EXPERT_LINEAR},
                                         .shapes = {{1 << 20, 4096}, {1 << 19, 2}, {8, 14336, 4096}},
                                         .ids = {0, 8}},
                                small = {"small",
                                         {.kind = OP_EXPERT_LINEAR},
                                         .shapes = {{130, 8}, {65, 2}, {3, 16, 8}},
                                         .ids = {0, 3}};
    const uint64_t rows = (4 * ((1 << 20) + 9) + 63) / 64 * 64, few = (4 * (130 + 4) + 63) / 64 * 64;
    const uint64_t tiles = 128 * (8 + 16) * 4, narrow = 8 * 16 * 4;
    for (unsigned threads = 1; threads <= 5; threads += 2) {
        const uint64_t wide = rows + (threads << 18);
        work_is(&large, DTYPE_FLOAT32, threads, wide, wide);
        work_is(&large, DTYPE_BFLOAT16, threads, wide + (threads << 18), wide + (threads << 18));
    }
    work_is(&small, DTYPE_FLOAT32, 1, few + tiles, few + tiles);
    work_is(&small, DTYPE_FLOAT32, 8, few + 2 * tiles, few + 3 * tiles);
    work_is(&small, DTYPE_BFLOAT16, 8, few + 2 * (tiles + narrow), few + 3 * (tiles + narrow));
}

Test(experts, what_is_refused) {
    static const struct op_refusal bad[] = {
        {{"r", {.kind = OP_ROUTE}, .shapes = {{3, 4}}}, PROBLEM_LIMIT, "/per_token"},
        {{"r", {.kind = OP_ROUTE, .route = {5}}, .shapes = {{3, 4}}}, PROBLEM_LIMIT, "/per_token"},
        {{"r", {.kind = OP_ROUTE, .route = {2, .groups = 3, .kept_groups = 1}}, .shapes = {{3, 4}}},
         PROBLEM_LIMIT,
         "/groups"},
        {{"r", {.kind = OP_ROUTE, .route = {3, .groups = 2, .kept_groups = 1}}, .shapes = {{3, 4}}},
         PROBLEM_LIMIT,
         "/kept_groups"},
        {{"r", {.kind = OP_ROUTE, .route = {2, .factor = NAN}}, .shapes = {{3, 4}}}, PROBLEM_LIMIT, "/factor"},
        {{"d", {.kind = OP_DISPATCH}, .shapes = {{3, 4}, {3, 2}}}, PROBLEM_SHAPE, "/inputs/1"},
        {{"d", {.kind = OP_DISPATCH}, .shapes = {{3, 4}, {6}}, .ids = {0, 2}}, PROBLEM_SHAPE, "/inputs/1"},
        {{"d", {.kind = OP_DISPATCH}, .shapes = {{3, 4}, {2, 2}}, .ids = {0, 2}}, PROBLEM_SHAPE, "/inputs/0"},
        {{"d", {.kind = OP_DISPATCH}, .shapes = {{3, 4}}}, PROBLEM_SHAPE, "/inputs"},
        {{"d", {.kind = OP_DISPATCH}, .shapes = {{3, 4}, {3, 2}}, .ids = {2, 2}}, PROBLEM_UNSUPPORTED, "/inputs/0"},
        {{"l", {.kind = OP_EXPERT_LINEAR}, .shapes = {{6, 3}, {3, 2}}, .ids = {0, 2}}, PROBLEM_SHAPE, "/inputs"},
        {{"l", {.kind = OP_EXPERT_LINEAR}, .shapes = {{5, 3}, {3, 2}, {2, 4, 3}}, .ids = {0, 2}},
         PROBLEM_SHAPE,
         "/inputs/0"},
        {{"l", {.kind = OP_EXPERT_LINEAR}, .shapes = {{6, 3}, {3, 2}, {2, 3, 4}}, .ids = {0, 2}},
         PROBLEM_SHAPE,
         "/inputs/2"},
        {{"l", {.kind = OP_EXPERT_LINEAR}, .shapes = {{6, 3}, {3, 2}, {2, 4, 3}, {4, 2}}, .ids = {0, 2}},
         PROBLEM_SHAPE,
         "/inputs/3"},
        {{"l", {.kind = OP_EXPERT_LINEAR}, .shapes = {{2, 3}, {1, 2}, {1ull << 31, 4, 3}}, .ids = {0, 2}},
         PROBLEM_LIMIT,
         "/inputs/0"},
        {{"c", {.kind = OP_COMBINE}, .shapes = {{5, 3}, {3, 2}, {3, 2}}, .ids = {0, 0, 2}}, PROBLEM_SHAPE, "/inputs/0"},
        {{"c", {.kind = OP_COMBINE}, .shapes = {{6, 3}, {2, 3}, {3, 2}}, .ids = {0, 0, 2}}, PROBLEM_SHAPE, "/inputs/1"},
        {{"c", {.kind = OP_COMBINE}, .shapes = {{6, 3}, {3, 2}, {3, 2}}}, PROBLEM_SHAPE, "/inputs/2"},
    };
    op_refusals_check(bad, sizeof bad / sizeof bad[0]);
}
