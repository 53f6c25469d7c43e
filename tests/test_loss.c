/* test_loss.c - the head and the loss as one op: the same bits however logits are cut, targets that are not counted,
 * far logits. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/pool.h"
#include "tests/support_ops.h"

#define LOSS(...)                                                                                                      \
    {                                                                                                                  \
        .kind = OP_LINEAR_CROSS_ENTROPY, .linear_cross_entropy = { __VA_ARGS__ }                                       \
    }

TestSuite(loss, .timeout = 120);

/* Targets of half the tokens are given by hand; forward and backward again. */
static void again(struct op_run *r, unsigned threads) {
    struct problem why = {0};
    struct pool *pool = pool_new(threads, &why);
    cr_assert(pool != NULL);
    const struct tensor *targets = &r->g.tensors[r->op->inputs[2]];
    const int32_t vocab = (int32_t)r->g.tensors[r->op->inputs[1]].shape[0];
    for (uint64_t t = 0; t < targets->elements; t += 2)
        ((int32_t *)r->in[2])[t] = t % 3 == 0 ? -100 : t % 5 == 0 ? INT32_MAX : (int32_t)t % vocab;
    for (uint32_t i = 0; i < r->op->n_inputs; i++)
        if (r->d_in[i])
            memset(r->d_in[i], 0, r->g.tensors[r->op->inputs[i]].bytes);
    op_run_step(r, pool, false);
    op_run_step(r, pool, true);
    pool_free(pool);
}

static void same(const struct op_run *one, const struct op_run *two, const char *name, uint64_t chunk) {
    cr_assert(memcmp(one->out[0], two->out[0], sizeof(float)) == 0, "%s, %llu tokens at once: loss", name,
              (unsigned long long)chunk);
    cr_assert(memcmp(one->out[1], two->out[1], one->g.tensors[one->op->outputs[1]].bytes) == 0);
    for (uint32_t i = 0; i < one->op->n_inputs; i++)
        cr_assert(!one->d_in[i] || memcmp(one->d_in[i], two->d_in[i], one->g.tensors[one->op->inputs[i]].bytes) == 0,
                  "%s, %llu tokens at once: gradient of input %u", name, (unsigned long long)chunk, i);
}

static void every_cut(const struct op_case *whole, enum dtype dtype) {
    static const uint64_t chunks[] = {0, 128, 256, 512, 4096};
    struct op_run one;
    op_run_init(whole, dtype, false, 1, 0, &one);
    again(&one, 1);
    cr_assert(*(float *)one.out[0] > 0 && isfinite(*(float *)one.out[0]));
    for (unsigned c = 0; c < sizeof chunks / sizeof chunks[0]; c++)
        for (unsigned threads = 1; threads <= 3; threads++) {
            struct op_case k = *whole;
            struct op_run r;
            k.op.linear_cross_entropy.chunk = chunks[c];
            op_run_init(&k, dtype, false, threads, 0, &r);
            again(&r, threads);
            same(&one, &r, k.name, chunks[c]);
            op_run_free(&k, &r);
        }
    op_run_free(whole, &one);
}

/* Tokens are no whole number of blocks or pieces, the vocabulary none of tiles. */
static const struct op_case cuts[] = {
    {"many tokens", LOSS(0, 0), {{1301, 40}, {500, 40}, {1301}, {500}}, .ids = {0, 0, 500}},
    {"many words", LOSS(0, 5), {{3, 47, 56}, {5003, 56}, {3, 47}}, .ids = {0, 0, 5003}},
    {"wide", LOSS(0, 0), {{530, 800}, {1100, 800}, {530}, {1100}}, .ids = {0, 0, 1100}},
    {"one word", LOSS(0, 0), {{130, 8}, {2, 8}, {130}}, .ids = {0, 0, 2}},
};

Test(loss, the_same_bits_for_every_chunk_and_any_number_of_threads) {
    for (unsigned i = 0; i < sizeof cuts / sizeof cuts[0]; i++)
        every_cut(&cuts[i], DTYPE_FLOAT32);
}

Test(loss, the_same_bits_in_bfloat16) {
    for (unsigned i = 0; i < sizeof cuts / sizeof cuts[0]; i++)
        every_cut(&cuts[i], DTYPE_BFLOAT16);
}

Test(loss, large_ones_are_the_reference) {
    for (unsigned i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct op_run r;
        op_run_init(&cuts[i], DTYPE_FLOAT32, false, 2, 0, &r);
        struct op_reference d = op_reference_new(&cuts[i], &r);
        cr_assert_float_eq(*(float *)r.out[0], d.out[0][0], 1e-5 * d.out[0][0], "%s: %.9g, not %.9g", cuts[i].name,
                           (double)*(float *)r.out[0], d.out[0][0]);
        op_reference_free(&cuts[i], &r, &d);
        op_run_free(&cuts[i], &r);
    }
}

Test(loss, nothing_is_counted) {
    for (unsigned chunk = 0; chunk <= 128; chunk += 128) {
        const struct op_case k = {"loss", LOSS(chunk, 0), {{6, 5}, {7, 5}, {6}}, .ids = {0, 0, 7}};
        struct op_run r;
        op_run_init(&k, DTYPE_FLOAT32, false, 1, 0, &r);
        for (unsigned t = 0; t < 6; t++)
            ((int32_t *)r.in[2])[t] = t % 2 ? -1 : 7;
        memset(r.d_in[0], 0, 6 * 5 * sizeof(float));
        memset(r.d_in[1], 0, 7 * 5 * sizeof(float));
        op_run_step(&r, NULL, false);
        op_run_step(&r, NULL, true);
        cr_assert(*(float *)r.out[0] == 0);
        for (unsigned i = 0; i < 30; i++)
            cr_assert(((float *)r.d_in[0])[i] == 0 && ((float *)r.d_in[1])[i] == 0);
        op_run_free(&k, &r);
    }
}

/* Logits of +-3,000: powers neither overflow nor vanish; a loss that is not a number is not hidden. */
Test(loss, far_logits) {
    struct op_case k = {
        "loss", LOSS(0, 0), {{6, 5}, {700, 5}, {6}}, .ids = {0, 0, 700}, .spread = {30, 30}, .tolerance = 1e-2f};
    struct op_run r;
    for (unsigned chunk = 0; chunk <= 128; chunk += 128) {
        k.op.linear_cross_entropy.chunk = chunk;
        op_run_init(&k, DTYPE_FLOAT32, false, 2, 0, &r);
        struct op_reference d = op_reference_new(&k, &r);
        cr_assert_float_eq(*(float *)r.out[0], d.out[0][0], 1e-6 * d.out[0][0]);
        for (unsigned i = 0; i < 30; i++)
            cr_assert(isfinite(((float *)r.d_in[0])[i]));
        ((float *)r.in[0])[7] = NAN;
        op_run_step(&r, NULL, false);
        cr_assert(isnan(*(float *)r.out[0]));
        op_reference_free(&k, &r, &d);
        op_run_free(&k, &r);
    }
}

static const struct op *op_alone(const struct op_case *k, enum dtype dtype, unsigned threads, struct graph *g,
                                 struct arena *a) {
    struct problem why = {0};
    arena_init(a, 0);
    const uint32_t op = op_case_graph(k, dtype, g, a, threads, &why);
    cr_assert(op != GRAPH_NONE, "%s %s", why.where, why.detail);
    return &g->ops[op];
}

/* GPT-2 small, 1,024 tokens. Forward: a largest logit and a sum for each of 99 tiles, a target's logit, in chunks a
 * cell for each thread. Backward: a stripe of 8 tiles; in bfloat16 the sums of d_x, and for each thread a cell and both
 * operands, as wide as gradients are cut, or whole where logits are made again. */
Test(loss, workspace_and_flops_are_what_is_counted_by_hand) {
    enum { T = 1024, D = 768, V = 50257, ROW = 528, CELL = 512 * 512 };
    struct op_case k = {"loss", LOSS(0, 0), {{T, D}, {V, D}, {T}}, .ids = {0, 0, V}};
    struct graph g;
    struct arena a;
    const uint64_t product = 2ull * T * D * V, five = 5ull * T * V;
    const struct op *op = op_alone(&k, DTYPE_FLOAT32, 2, &g, &a);
    cr_expect_eq(op->forward_work_bytes, 99 * T * 8 + T * 4);
    cr_expect_eq(op->backward_work_bytes, 8 * T * ROW * 4);
    cr_expect_eq(op->forward_flops, product + five);
    cr_expect_eq(op->backward_flops, 2 * product + five);
    arena_free(&a);
    op = op_alone(&k, DTYPE_BFLOAT16, 2, &g, &a);
    cr_expect_eq(op->forward_work_bytes, 99 * T * 8 + T * 4 + 2 * 4 * CELL);
    cr_expect_eq(op->backward_work_bytes, 8 * T * ROW * 2 + T * D * 4 + 2 * 4 * 512 * 384);
    arena_free(&a);
    k.op.linear_cross_entropy.chunk = 128; /* 11 tiles, of which 8 are enough */
    op = op_alone(&k, DTYPE_FLOAT32, 2, &g, &a);
    cr_expect_eq(op->forward_work_bytes, 99 * T * 8 + T * 4 + 2 * 4 * CELL);
    cr_expect_eq(op->backward_work_bytes, 8 * T * ROW * 4);
    cr_expect_eq(op->forward_flops, product + five);
    cr_expect_eq(op->backward_flops, 3 * product + five);
    arena_free(&a);
    k.shapes[0][0] = k.shapes[2][0] = 4096; /* 128 of 4,096 tokens of 50,257 words are 2.97 tiles of all tokens */
    op = op_alone(&k, DTYPE_FLOAT32, 2, &g, &a);
    cr_expect_eq(op->backward_work_bytes, 2 * 4096ull * ROW * 4);
    arena_free(&a);
}

/* Bits: inputs x, weight, targets, bias; outputs loss, log-sum-exp, logits. */
Test(loss, saved_sets) {
    static const struct {
        struct op_case k;
        unsigned inputs, outputs;
    } rows[] = {
        {{"whole", LOSS(0, 0), {{9, 5}, {19, 5}, {9}, {19}}, .ids = {0, 0, 19}}, 7, 6},
        {{"frozen head", LOSS(0, 0), {{9, 5}, {19, 5}, {9}}, .no_grad = {0, 1}, .ids = {0, 0, 19}}, 6, 6},
        {{"frozen layers", LOSS(0, 0), {{9, 5}, {19, 5}, {9}}, .no_grad = {1}, .ids = {0, 0, 19}}, 5, 6},
        {{"chunks", LOSS(128, 0), {{9, 5}, {19, 5}, {9}, {19}}, .no_grad = {1}, .ids = {0, 0, 19}}, 15, 2},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct graph g;
        struct arena a;
        const struct op *op = op_alone(&rows[r].k, DTYPE_FLOAT32, 1, &g, &a);
        for (uint32_t i = 0; i < op->n_inputs; i++)
            cr_expect(op_run_saves(op, op->inputs[i]) == (rows[r].inputs >> i & 1), "%s: input %u", op->name, i);
        for (uint32_t i = 0; i < op->n_outputs; i++)
            cr_expect(op_run_saves(op, op->outputs[i]) == (rows[r].outputs >> i & 1), "%s: output %u", op->name, i);
        arena_free(&a);
    }
}

Test(loss, what_is_refused) {
    static const struct op_refusal bad[] = {
        {{"l", LOSS(0, 0), {{4, 5}, {7, 5}}, .ids = {0}}, PROBLEM_SHAPE, "/inputs"},
        {{"l", LOSS(0, 0), {{4, 5}, {7, 5}, {4}}, .ids = {0}}, PROBLEM_SHAPE, "/inputs"},
        {{"l", LOSS(0, 0), {{4, 5}, {7, 5}, {4}}, .ids = {9, 0, 7}}, PROBLEM_UNSUPPORTED, "/inputs/0"},
        {{"l", LOSS(0, 0), {{4, 5}, {7, 6}, {4}}, .ids = {0, 0, 7}}, PROBLEM_SHAPE, "/inputs/1"},
        {{"l", LOSS(0, 0), {{4, 5}, {7, 5}, {5}}, .ids = {0, 0, 7}}, PROBLEM_SHAPE, "/inputs/2"},
        {{"l", LOSS(0, 0), {{4, 5}, {7, 5}, {4}, {4}}, .ids = {0, 0, 7}}, PROBLEM_SHAPE, "/inputs/3"},
        {{"l", LOSS(100, 0), {{4, 5}, {7, 5}, {4}}, .ids = {0, 0, 7}}, PROBLEM_LIMIT, "/chunk"},
        {{"l", LOSS(0, -1), {{4, 5}, {7, 5}, {4}}, .ids = {0, 0, 7}}, PROBLEM_LIMIT, "/cap"},
        {{"l", LOSS(0, 0, INFINITY), {{4, 5}, {7, 5}, {4}}, .ids = {0, 0, 7}}, PROBLEM_LIMIT, "/scale"},
        {{"l", LOSS(0, NAN), {{4, 5}, {7, 5}, {4}}, .ids = {0, 0, 7}}, PROBLEM_LIMIT, "/cap"},
    };
    op_refusals_check(bad, sizeof bad / sizeof bad[0]);
}
