/* test_ops.c - every row of op_table: against its reference in double, gradients against central differences, bits for
 * any number of threads, memory, and what is refused. A row without a case here fails. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/graph/graph.h"

enum { INPUTS_MAX = 4, GUARD = 64, PATTERN = 0xA5 };

/* An op on random inputs. One dimension list per input, ended by 0. */
struct op_case {
    const char *name;
    struct op op;
    uint64_t shapes[INPUTS_MAX][5];
    bool no_grad[INPUTS_MAX];
    bool same_inputs; /* every input is the first tensor */
};

#define ATTENTION(k, l, h, kv, b, a, p)                                                                                \
    {                                                                                                                  \
        .kind = OP_ATTENTION, .attention = { &attn_table[k], l, h, kv, b, a, 0, {p, 77} }                              \
    }

static struct op_case cases[] = {
    {"attention standard",
     ATTENTION(ATTN_STANDARD, ATTN_HEADS_FIRST, 0, 0, ATTN_FAR, 1, 0),
     {{1, 2, 5, 4}, {1, 1, 7, 4}, {1, 1, 7, 4}},
     {0},
     0},
    {"attention flash",
     ATTENTION(ATTN_FLASH, ATTN_HEADS_FIRST, 0, 0, ATTN_FAR, 1, 0.3),
     {{1, 2, 5, 4}, {1, 1, 7, 4}, {1, 1, 7, 4}},
     {0},
     0},
    {"attention rows first",
     ATTENTION(ATTN_STANDARD, ATTN_ROWS_FIRST, 4, 2, 4, 1, 0.2),
     {{2, 5, 12}, {2, 6, 6}, {2, 6, 6}},
     {0},
     0},
    {"attention flash rows first",
     ATTENTION(ATTN_FLASH, ATTN_ROWS_FIRST, 4, 2, 4, 4, 0),
     {{2, 5, 12}, {2, 6, 6}, {2, 6, 6}},
     {0},
     0},
    {"attention bias",
     ATTENTION(ATTN_STANDARD, ATTN_HEADS_FIRST, 0, 0, ATTN_FAR, ATTN_FAR, 0),
     {{2, 2, 3, 4}, {2, 2, 5, 4}, {2, 2, 5, 4}, {2, 3, 5}},
     {0, 0, 0, 1},
     0},
    {"attention flash bias",
     ATTENTION(ATTN_FLASH, ATTN_HEADS_FIRST, 0, 0, ATTN_FAR, ATTN_FAR, 0),
     {{2, 2, 3, 4}, {2, 2, 5, 4}, {2, 2, 5, 4}, {2, 1, 1, 5}},
     {0, 0, 0, 1},
     0},
    {"attention of one tensor",
     ATTENTION(ATTN_STANDARD, ATTN_ROWS_FIRST, 2, 2, ATTN_FAR, 1, 0),
     {{1, 6, 8}, {1, 6, 8}, {1, 6, 8}},
     {0},
     1},
    {"attention flash of one tensor",
     ATTENTION(ATTN_FLASH, ATTN_ROWS_FIRST, 2, 2, ATTN_FAR, 1, 0),
     {{1, 6, 8}, {1, 6, 8}, {1, 6, 8}},
     {0},
     1},
    {"attention without grad_k",
     ATTENTION(ATTN_FLASH, ATTN_HEADS_FIRST, 0, 0, ATTN_FAR, 1, 0),
     {{1, 2, 5, 4}, {1, 1, 7, 4}, {1, 1, 7, 4}},
     {0, 1, 0},
     0},
    {"linear", {.kind = OP_LINEAR}, {{2, 3, 5}, {7, 5}}, {0}, 0},
    {"linear bias", {.kind = OP_LINEAR, .linear = {7}}, {{4, 5}, {7, 5}, {7}}, {0}, 0},
    {"linear frozen weight", {.kind = OP_LINEAR}, {{4, 5}, {7, 5}, {7}}, {0, 1, 0}, 0},
    {"linear first layer", {.kind = OP_LINEAR}, {{4, 5}, {7, 5}}, {1, 0}, 0},
    {"gelu erf", {.kind = OP_GELU}, {{3, 50}}, {0}, 0},
    {"gelu tanh", {.kind = OP_GELU, .gelu = {true}}, {{3, 50}}, {0}, 0},
    {"relu", {.kind = OP_RELU}, {{151}}, {0}, 0},
    {"silu", {.kind = OP_SILU}, {{3, 50}}, {0}, 0},
    {"layer_norm", {.kind = OP_LAYER_NORM, .norm = {1e-5f}}, {{2, 3, 21}, {21}, {21}}, {0}, 0},
    {"layer_norm of a vector", {.kind = OP_LAYER_NORM, .norm = {1e-3f}}, {{19}, {19}, {19}}, {0}, 0},
    {"rms_norm", {.kind = OP_RMS_NORM, .norm = {1e-6f}}, {{2, 3, 21}, {21}}, {0}, 0},
    {"dropout", {.kind = OP_DROPOUT, .dropout = {0.4, 12}}, {{7, 11}}, {0}, 0},
    {"dropout off", {.kind = OP_DROPOUT, .dropout = {0, 12}}, {{7}}, {0}, 0},
    {"add", {.kind = OP_ADD}, {{3, 4}, {3, 4}}, {0}, 0},
    {"add of one tensor", {.kind = OP_ADD}, {{3, 4}, {3, 4}}, {0}, 1},
    {"scale", {.kind = OP_SCALE, .scale = {-2.5f}}, {{3, 4}}, {0}, 0},
};
enum { CASES = sizeof cases / sizeof cases[0] };

static unsigned rank_of(const uint64_t *shape) {
    unsigned rank = 0;
    while (rank < 5 && shape[rank])
        rank++;
    return rank;
}

static uint32_t inputs_of(const struct op_case *k) {
    uint32_t n = 0;
    while (n < INPUTS_MAX && k->shapes[n][0])
        n++;
    return n;
}

/* A graph of one op; GRAPH_NONE and a problem if it is refused. */
static uint32_t graph_of(const struct op_case *k, struct graph *g, struct arena *arena, unsigned threads,
                         struct problem *why) {
    uint32_t ids[INPUTS_MAX];
    if (!graph_init(g, arena, threads, true, why))
        return GRAPH_NONE;
    for (uint32_t i = 0; i < inputs_of(k); i++) {
        ids[i] = k->same_inputs && i ? ids[0]
                                     : graph_tensor(g, TENSOR_INPUT, "x", DTYPE_FLOAT32, rank_of(k->shapes[i]),
                                                    k->shapes[i], !k->no_grad[i], why);
        if (ids[i] == GRAPH_NONE)
            return GRAPH_NONE;
    }
    struct op spec = k->op;
    spec.name = k->name;
    spec.inputs = ids;
    spec.n_inputs = inputs_of(k);
    spec.layer = GRAPH_NONE;
    return graph_op(g, &spec, why);
}

static void *alloc(uint64_t bytes) {
    void *p = aligned_alloc(GUARD, units_extent(bytes ? bytes : 1));
    cr_assert(p != NULL);
    return p;
}

static unsigned char *guarded(uint64_t bytes) {
    unsigned char *p = alloc(bytes + 2 * GUARD);
    memset(p, PATTERN, bytes + 2 * GUARD);
    return p + GUARD;
}

static void guarded_free(unsigned char *p, uint64_t bytes) {
    for (unsigned i = 0; i < GUARD; i++)
        cr_assert(p[-1 - (int)i] == PATTERN && p[bytes + i] == PATTERN, "bytes beside a buffer were written");
    free(p - GUARD);
}

/* Every tensor of the op, its gradients, and what was left for the backward: the saved set alone. */
struct run {
    struct graph g;
    struct arena arena;
    const struct op *op;
    void *in[INPUTS_MAX], *d_in[INPUTS_MAX], *out[INPUTS_MAX], *d_out[1];
};

static bool is_saved(const struct op *op, uint32_t tensor) {
    for (uint32_t i = 0; i < op->n_saved; i++)
        if (op->saved[i] == tensor)
            return true;
    return false;
}

static void step(struct run *r, struct pool *pool, bool backward) {
    struct problem why = {0};
    void *in[INPUTS_MAX], *out[INPUTS_MAX];
    uint64_t bytes = backward ? r->op->backward_work_bytes : r->op->forward_work_bytes;
    unsigned char *work = guarded(bytes);
    for (uint32_t i = 0; i < r->op->n_inputs; i++)
        in[i] = backward && !is_saved(r->op, r->op->inputs[i]) ? NULL : r->in[i];
    for (uint32_t i = 0; i < r->op->n_outputs; i++)
        out[i] = backward && !is_saved(r->op, r->op->outputs[i]) ? NULL : r->out[i];
    struct op_call call = {.graph = &r->g,
                           .op = r->op,
                           .pool = pool,
                           .inputs = (const void *const *)in,
                           .outputs = out,
                           .d_outputs = (const void *const *)r->d_out,
                           .d_inputs = r->d_in,
                           .work = work};
    cr_assert(backward ? op_backward(&call, &why) : op_forward(&call, &why), "%s: %s", r->op->name, why.detail);
    guarded_free(work, bytes);
}

/* Forward and backward; gradients start at `before`. */
static void run(const struct op_case *k, unsigned threads, float before, struct run *r) {
    struct problem why = {0};
    struct pool *pool = pool_new(threads, &why);
    cr_assert(pool != NULL);
    *r = (struct run){0};
    arena_init(&r->arena, 0);
    uint32_t op = graph_of(k, &r->g, &r->arena, threads, &why);
    cr_assert(op != GRAPH_NONE, "%s: %s %s", k->name, why.where, why.detail);
    r->op = &r->g.ops[op];
    for (uint32_t i = 0; i < r->op->n_inputs; i++) {
        const struct tensor *t = &r->g.tensors[r->op->inputs[i]];
        r->in[i] = alloc(t->bytes);
        rng_fill_normal(r->in[i], t->elements, k->same_inputs ? 0 : i, RNG_TENSOR, 1);
        if (!t->needs_grad)
            continue;
        r->d_in[i] = guarded(t->bytes);
        for (uint64_t e = 0; e < t->elements; e++)
            ((float *)r->d_in[i])[e] = before;
    }
    for (uint32_t i = 0; k->same_inputs && i < r->op->n_inputs; i++)
        if (i) {
            guarded_free(r->d_in[i], r->g.tensors[r->op->inputs[i]].bytes);
            r->d_in[i] = r->d_in[0];
        }
    for (uint32_t i = 0; i < r->op->n_outputs; i++)
        r->out[i] = guarded(r->g.tensors[r->op->outputs[i]].bytes);
    const struct tensor *y = &r->g.tensors[r->op->outputs[0]];
    r->d_out[0] = alloc(y->bytes);
    rng_fill_normal(r->d_out[0], y->elements, 9, RNG_TENSOR, 1);
    step(r, pool, false);
    step(r, pool, true);
    pool_free(pool);
}

static void run_free(const struct op_case *k, struct run *r) {
    for (uint32_t i = 0; i < r->op->n_inputs; i++) {
        free(r->in[i]);
        if (r->d_in[i] && (i == 0 || !k->same_inputs))
            guarded_free(r->d_in[i], r->g.tensors[r->op->inputs[i]].bytes);
    }
    for (uint32_t i = 0; i < r->op->n_outputs; i++)
        guarded_free(r->out[i], r->g.tensors[r->op->outputs[i]].bytes);
    free(r->d_out[0]);
    arena_free(&r->arena);
}

/* The op's reference on doubles. */
struct reference {
    double *in[INPUTS_MAX], *out, *scratch;
};

static void reference_run(const struct run *r, struct reference *d) {
    op_table[r->op->kind]->reference(&r->g, r->op, (const double *const *)d->in, &d->out, d->scratch);
}

static struct reference reference_of(const struct op_case *k, const struct run *r) {
    struct reference d = {{NULL}, NULL, NULL};
    uint64_t most = 1;
    for (uint32_t t = 0; t < r->g.n_tensors; t++)
        most = units_max(most, r->g.tensors[t].elements);
    for (uint32_t i = 0; i < r->op->n_inputs; i++) {
        const struct tensor *t = &r->g.tensors[r->op->inputs[i]];
        d.in[i] = k->same_inputs && i ? d.in[0] : alloc(t->elements * sizeof(double));
        for (uint64_t e = 0; e < t->elements; e++)
            d.in[i][e] = ((float *)r->in[i])[e];
    }
    d.out = alloc(r->g.tensors[r->op->outputs[0]].elements * sizeof(double));
    d.scratch = alloc(most * sizeof(double));
    reference_run(r, &d);
    return d;
}

static void reference_free(const struct op_case *k, const struct run *r, struct reference *d) {
    for (uint32_t i = 0; i < r->op->n_inputs; i++)
        if (i == 0 || !k->same_inputs)
            free(d->in[i]);
    free(d->out);
    free(d->scratch);
}

TestSuite(ops, .timeout = 120);

Test(ops, every_row_that_runs_has_a_case) {
    for (unsigned kind = 0; kind < OP_KINDS; kind++) {
        bool found = kind == OP_FUNCTION || !op_table[kind]->forward; /* planned, not run */
        for (unsigned i = 0; i < CASES; i++)
            found |= cases[i].op.kind == kind;
        cr_assert(found, "%s", op_table[kind]->name);
        cr_assert((op_table[kind]->reference == NULL) == (kind == OP_FUNCTION || !op_table[kind]->forward));
    }
}

Test(ops, forward_is_the_reference) {
    for (unsigned i = 0; i < CASES; i++) {
        struct run r;
        run(&cases[i], 2, 0, &r);
        struct reference d = reference_of(&cases[i], &r);
        for (uint64_t e = 0; e < r.g.tensors[r.op->outputs[0]].elements; e++)
            cr_assert_float_eq(((float *)r.out[0])[e], d.out[e], 4e-6, "%s [%llu]", cases[i].name,
                               (unsigned long long)e);
        reference_free(&cases[i], &r, &d);
        run_free(&cases[i], &r);
    }
}

/* sum(out d_out) of the reference, as a function of in[i][e], moves by d_in[i][e] */
Test(ops, backward_is_the_slope_of_the_reference) {
    for (unsigned i = 0; i < CASES; i++) {
        struct run r;
        run(&cases[i], 2, 0, &r);
        struct reference d = reference_of(&cases[i], &r);
        const uint64_t outputs = r.g.tensors[r.op->outputs[0]].elements;
        for (uint32_t x = 0; x < (cases[i].same_inputs ? 1 : r.op->n_inputs); x++)
            for (uint64_t e = 0; r.d_in[x] && e < r.g.tensors[r.op->inputs[x]].elements; e++) {
                const double h = 1e-5, at = d.in[x][e];
                double sum[2] = {0};
                for (unsigned side = 0; side < 2; side++) {
                    d.in[x][e] = side ? at + h : at - h;
                    reference_run(&r, &d);
                    for (uint64_t o = 0; o < outputs; o++)
                        sum[side] += d.out[o] * (double)((float *)r.d_out[0])[o];
                }
                d.in[x][e] = at;
                cr_assert_float_eq(((float *)r.d_in[x])[e], (sum[1] - sum[0]) / (2 * h), 2e-5, "%s: input %u [%llu]",
                                   cases[i].name, x, (unsigned long long)e);
            }
        reference_free(&cases[i], &r, &d);
        run_free(&cases[i], &r);
    }
}

/* The gradient that was there stays in the sum. */
Test(ops, backward_adds) {
    for (unsigned i = 0; i < CASES; i++) {
        struct run zero, one;
        run(&cases[i], 1, 0, &zero);
        run(&cases[i], 1, 1, &one);
        for (uint32_t x = 0; x < zero.op->n_inputs; x++)
            for (uint64_t e = 0; zero.d_in[x] && e < zero.g.tensors[zero.op->inputs[x]].elements; e++)
                cr_assert_float_eq(((float *)one.d_in[x])[e], 1 + ((float *)zero.d_in[x])[e], 4e-6, "%s",
                                   cases[i].name);
        run_free(&cases[i], &zero);
        run_free(&cases[i], &one);
    }
}

static void same_bits(const struct op_case *k) {
    struct run one, many;
    run(k, 1, 0, &one);
    for (unsigned threads = 1; threads <= 3; threads++) {
        run(k, threads, 0, &many);
        for (uint32_t x = 0; x < one.op->n_outputs; x++)
            cr_assert(memcmp(one.out[x], many.out[x], one.g.tensors[one.op->outputs[x]].bytes) == 0, "%s: output %u",
                      k->name, x);
        for (uint32_t x = 0; x < one.op->n_inputs; x++)
            cr_assert(!one.d_in[x] || memcmp(one.d_in[x], many.d_in[x], one.g.tensors[one.op->inputs[x]].bytes) == 0,
                      "%s: gradient of input %u", k->name, x);
        run_free(k, &many);
    }
    run_free(k, &one);
}

Test(ops, any_number_of_threads_gives_the_same_bits) {
    for (unsigned i = 0; i < CASES; i++)
        same_bits(&cases[i]);
}

/* Far out activations are x or 0, their slopes 1 or 0; nothing becomes infinite on the way. */
Test(ops, activations_far_out) {
    static const float far_out[] = {20, 1e3f, 1e15f, 1e20f, 1e37f};
    const struct op_case *k = cases;
    for (; k < cases + CASES; k++)
        for (unsigned i = 0; (k->op.kind == OP_GELU || k->op.kind == OP_SILU || k->op.kind == OP_RELU) && i < 10; i++) {
            const float x = i < 5 ? far_out[i] : -far_out[i - 5];
            struct run r;
            run(k, 1, 0, &r);
            ((float *)r.in[0])[0] = x;
            ((float *)r.d_out[0])[0] = 1;
            ((float *)r.d_in[0])[0] = 0;
            step(&r, NULL, false);
            step(&r, NULL, true);
            cr_assert_float_eq(((float *)r.out[0])[0], x > 0 ? x : 0, 1e-6f, "%s of %g", k->name, (double)x);
            cr_assert_float_eq(((float *)r.d_in[0])[0], x > 0, 1e-6f, "slope of %s at %g", k->name, (double)x);
            run_free(k, &r);
        }
}

/* Sizes that are cut into several tasks. */
Test(ops, large_ops_too) {
    static const struct op_case large[] = {
        {"linear", {.kind = OP_LINEAR}, {{700, 130}, {190, 130}, {190}}, {0}, 0},
        {"linear, few rows", {.kind = OP_LINEAR}, {{3, 130}, {900, 130}, {900}}, {0}, 0},
        {"gelu", {.kind = OP_GELU}, {{5, 10001}}, {0}, 0},
        {"silu", {.kind = OP_SILU}, {{5, 10001}}, {0}, 0},
        {"relu", {.kind = OP_RELU}, {{5, 10001}}, {0}, 0},
        {"layer_norm", {.kind = OP_LAYER_NORM, .norm = {1e-5f}}, {{301, 200}, {200}, {200}}, {0}, 0},
        {"rms_norm", {.kind = OP_RMS_NORM, .norm = {1e-5f}}, {{301, 200}, {200}}, {0}, 0},
        {"dropout", {.kind = OP_DROPOUT, .dropout = {0.4, 12}}, {{5, 10001}}, {0}, 0},
        {"add", {.kind = OP_ADD}, {{5, 10001}, {5, 10001}}, {0}, 0},
        {"scale", {.kind = OP_SCALE, .scale = {3}}, {{5, 10001}}, {0}, 0},
    };
    for (unsigned i = 0; i < sizeof large / sizeof large[0]; i++) {
        struct run r;
        same_bits(&large[i]);
        run(&large[i], 2, 0, &r);
        struct reference d = reference_of(&large[i], &r);
        for (uint64_t e = 0; e < r.g.tensors[r.op->outputs[0]].elements; e++)
            cr_assert_float_eq(((float *)r.out[0])[e], d.out[e], 1e-4, "%s", large[i].name);
        reference_free(&large[i], &r, &d);
        run_free(&large[i], &r);
    }
}

Test(ops, dropout_keeps_its_share) {
    const struct op_case k = {"dropout", {.kind = OP_DROPOUT, .dropout = {0.25, 5}}, {{40000}}, {0}, 0};
    struct run r;
    unsigned kept = 0;
    run(&k, 2, 0, &r);
    for (unsigned e = 0; e < 40000; e++) {
        float x = ((float *)r.in[0])[e], y = ((float *)r.out[0])[e];
        cr_assert(y == 0 || fabsf(y - x / 0.75f) < 1e-5f);
        kept += y != 0;
    }
    cr_assert_float_eq(kept / 40000.0, 0.75, 0.01); /* four standard deviations are 0.0087 */
    run_free(&k, &r);
}

static void flops_are(const struct op_case *k, uint64_t forward, uint64_t backward) {
    struct arena arena;
    struct graph g;
    struct problem why = {0};
    arena_init(&arena, 0);
    uint32_t op = graph_of(k, &g, &arena, 1, &why);
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
                                {0},
                                0},
              4 * 100 * 8 * 8, 8 * 100 * 8 * 8);
    flops_are(&(struct op_case){"causal",
                                ATTENTION(ATTN_FLASH, 0, 0, 0, ATTN_FAR, 1, 0),
                                {{1, 1, 10, 8}, {1, 1, 10, 8}, {1, 1, 10, 8}},
                                {0},
                                0},
              4 * 55 * 8, 10 * 55 * 8);
    flops_are(&(struct op_case){"linear", {.kind = OP_LINEAR}, {{6, 5}, {7, 5}, {7}}, {0}, 0}, 2 * 6 * 5 * 7 + 42,
              4 * 6 * 5 * 7 + 42);
    flops_are(&(struct op_case){"frozen", {.kind = OP_LINEAR}, {{6, 5}, {7, 5}}, {0, 1}, 0}, 2 * 6 * 5 * 7,
              2 * 6 * 5 * 7);
    flops_are(&(struct op_case){"gelu", {.kind = OP_GELU}, {{6, 5}}, {0}, 0}, 30, 30);
    flops_are(&(struct op_case){"norm", {.kind = OP_RMS_NORM}, {{6, 5}, {5}}, {0}, 0}, 150, 300);
}

static void saves_are(const struct op_case *k, unsigned inputs, unsigned outputs) {
    struct run r;
    run(k, 1, 0, &r);
    for (uint32_t i = 0; i < r.op->n_inputs; i++)
        cr_assert(is_saved(r.op, r.op->inputs[i]) == (inputs >> i & 1), "%s: input %u", k->name, i);
    for (uint32_t i = 0; i < r.op->n_outputs; i++)
        cr_assert(is_saved(r.op, r.op->outputs[i]) == (outputs >> i & 1), "%s: output %u", k->name, i);
    run_free(k, &r);
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
                 {"dropout", 0, 0},
                 {"add", 0, 0},
                 {"scale", 0, 0}};
    for (unsigned s = 0; s < sizeof saved / sizeof saved[0]; s++)
        for (unsigned i = 0; i < CASES; i++)
            if (strcmp(cases[i].name, saved[s].name) == 0)
                saves_are(&cases[i], saved[s].inputs, saved[s].outputs);
}

Test(ops, what_is_refused) {
    const uint64_t far = ATTN_FAR;
    const struct {
        struct op_case k;
        enum problem_kind kind;
        const char *where;
    } bad[] = {
        {{"a", {.kind = OP_ATTENTION}, {{1, 1, 2, 4}, {1, 1, 2, 4}, {1, 1, 2, 4}}, {0}, 0},
         PROBLEM_MISSING_FIELD,
         "/kernel"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 1, 2, 4}, {1, 1, 2, 4}}, {0}, 0}, PROBLEM_SHAPE, "/inputs"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 2, 4}, {1, 1, 2, 4}, {1, 1, 2, 4}}, {0}, 0},
         PROBLEM_SHAPE,
         "/inputs/0"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 1, 2, 4}, {2, 1, 2, 4}, {1, 1, 2, 4}}, {0}, 0},
         PROBLEM_SHAPE,
         "/inputs/1"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 1, 2, 4}, {1, 1, 2, 5}, {1, 1, 2, 5}}, {0}, 0},
         PROBLEM_SHAPE,
         "/inputs/1"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 1, 2, 4}, {1, 1, 2, 4}, {1, 1, 3, 4}}, {0}, 0},
         PROBLEM_SHAPE,
         "/inputs/2"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 3, 2, 4}, {1, 2, 2, 4}, {1, 2, 2, 4}}, {0}, 0},
         PROBLEM_SHAPE,
         "/inputs/1"},
        {{"a", ATTENTION(0, 1, 3, 1, far, far, 0), {{1, 2, 4}, {1, 2, 4}, {1, 2, 4}}, {0}, 0},
         PROBLEM_SHAPE,
         "/inputs/0"},
        {{"a", ATTENTION(0, 1, 0, 1, far, far, 0), {{1, 2, 4}, {1, 2, 4}, {1, 2, 4}}, {0}, 0}, PROBLEM_LIMIT, "/heads"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 1, 2, 4}, {1, 1, 3, 4}, {1, 1, 3, 4}, {2, 2}}, {0, 0, 0, 1}, 0},
         PROBLEM_SHAPE,
         "/inputs/3"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 1, 2, 4}, {1, 1, 3, 4}, {1, 1, 3, 4}, {3}}, {0, 0, 0, 1}, 0},
         PROBLEM_SHAPE,
         "/inputs/3"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 1), {{1, 1, 2, 4}, {1, 1, 2, 4}, {1, 1, 2, 4}}, {0}, 0},
         PROBLEM_LIMIT,
         "/dropout/p"},
        {{"a",
          ATTENTION(0, 0, 0, 0, far, far, 0),
          {{1, 1, 2, 1 << 17}, {1, 1, 2, 1 << 17}, {1, 1, 2, 1 << 17}},
          {0},
          0},
         PROBLEM_LIMIT,
         "/inputs/0"},
        {{"a", ATTENTION(0, 0, 0, 0, far, far, 0), {{1, 1, 1ull << 31, 4}, {1, 1, 2, 4}, {1, 1, 2, 4}}, {0}, 0},
         PROBLEM_LIMIT,
         "/inputs/0"},
        {{"a",
          ATTENTION(0, 0, 0, 0, far, far, 0),
          {{1, 1, 2, 4}, {1, 1, 1ull << 31, 4}, {1, 1, 1ull << 31, 4}},
          {0},
          0},
         PROBLEM_LIMIT,
         "/inputs/1"},
        {{"a",
          ATTENTION(0, 0, 0, 0, far, far, 0),
          {{1 << 20, 1 << 12, 1, 1}, {1 << 20, 1, 1, 1}, {1 << 20, 1, 1, 1}},
          {0},
          0},
         PROBLEM_LIMIT,
         "/inputs/0"},
        {{"a",
          ATTENTION(0, 0, 0, 0, far, far, 0),
          {{1 << 10, 1 << 10, 2000000000, 1}, {1 << 10, 1, 2000000000, 1}, {1 << 10, 1, 2000000000, 1}},
          {0},
          0},
         PROBLEM_LIMIT,
         "/inputs/0"},
        {{"l", {.kind = OP_LINEAR}, {{4, 5}, {7, 6}}, {0}, 0}, PROBLEM_SHAPE, "/inputs/1"},
        {{"l", {.kind = OP_LINEAR}, {{4, 5}, {7, 5}, {6}}, {0}, 0}, PROBLEM_SHAPE, "/inputs/2"},
        {{"l", {.kind = OP_LINEAR, .linear = {8}}, {{4, 5}, {7, 5}}, {0}, 0}, PROBLEM_SHAPE, "/inputs/1"},
        {{"l", {.kind = OP_LINEAR}, {{1ull << 31, 5}, {7, 5}}, {0}, 0}, PROBLEM_LIMIT, "/inputs/0"},
        {{"g", {.kind = OP_GELU}, {{4}, {4}}, {0}, 0}, PROBLEM_SHAPE, "/inputs"},
        {{"n", {.kind = OP_RMS_NORM}, {{4, 5}, {5}, {5}}, {0}, 0}, PROBLEM_SHAPE, "/inputs"},
        {{"n", {.kind = OP_LAYER_NORM}, {{4, 5}, {5}, {4}}, {0}, 0}, PROBLEM_SHAPE, "/inputs/2"},
        {{"n", {.kind = OP_RMS_NORM}, {{4, 5}, {1, 5}}, {0}, 0}, PROBLEM_SHAPE, "/inputs/1"},
        {{"n", {.kind = OP_RMS_NORM, .norm = {-1}}, {{4, 5}, {5}}, {0}, 0}, PROBLEM_LIMIT, "/epsilon"},
        {{"d", {.kind = OP_DROPOUT, .dropout = {-0.1, 1}}, {{4}}, {0}, 0}, PROBLEM_LIMIT, "/p"},
        {{"d", {.kind = OP_DROPOUT, .dropout = {NAN, 1}}, {{4}}, {0}, 0}, PROBLEM_LIMIT, "/p"},
        {{"s", {.kind = OP_SCALE, .scale = {INFINITY}}, {{4}}, {0}, 0}, PROBLEM_LIMIT, "/factor"},
        {{"+", {.kind = OP_ADD}, {{4}, {5}}, {0}, 0}, PROBLEM_SHAPE, "/inputs/1"},
        {{"+", {.kind = OP_ADD}, {{4}, {1, 4}}, {0}, 0}, PROBLEM_SHAPE, "/inputs/1"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct arena arena;
        struct graph g;
        struct problem why = {0};
        arena_init(&arena, 0);
        cr_assert(graph_of(&bad[i].k, &g, &arena, 2, &why) == GRAPH_NONE, "row %u is accepted", i);
        cr_assert(why.kind == bad[i].kind && strcmp(why.where, bad[i].where) == 0, "row %u: %s at %s: %s", i,
                  problem_slug(why.kind), why.where, why.detail);
        arena_free(&arena);
    }
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
Test(ops, every_allocation_may_fail) {
    for (unsigned i = 0; i < CASES; i++) {
        struct arena arena;
        bool made = false;
        for (uint64_t fail_at = 0; !made; fail_at++) {
            struct graph g;
            struct problem why = {0};
            arena_init(&arena, 0);
            arena.fail_at = fail_at;
            made = graph_of(&cases[i], &g, &arena, 1, &why) != GRAPH_NONE;
            cr_assert(made || why.kind == PROBLEM_MEMORY, "%s: %s", cases[i].name, why.detail);
            cr_assert(fail_at < 200);
            arena_free(&arena);
        }
    }
}
