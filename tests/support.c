/* support.c - see support.h */
#include "tests/support.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"

struct source {
    const struct graph *g;
    const struct stack *stack;
};

static bool load(void *user, uint32_t value, void *dst, struct problem *why) {
    const struct source *s = user;
    (void)why;
    for (uint32_t i = 0; s->stack && i < s->stack->n_origins; i++)
        if (s->stack->origins[i].tensor == value && s->g->tensors[value].role == TENSOR_PARAMETER) {
            stack_origin_fill(&s->stack->origins[i], dst, s->g->tensors[value].elements);
            return true;
        }
    rng_fill_normal(dst, plan_value_bytes(s->g, value) / sizeof(float), value + 1, RNG_TENSOR, 1);
    return true;
}

struct support_run support_run_plan(const struct plan *plan, const struct stack *stack, unsigned threads) {
    struct problem why = {0};
    struct support_run run = {0};
    struct source source = {plan->graph, stack};
    struct slab *slab = slab_new(&why), *persistent = slab_new(&why);
    struct pool *pool = pool_new(threads, &why);
    const struct exec_options options = {
        .pool = pool, .load = load, .user = &source, .witness = true, .check_recompute = true};
    struct exec *e = exec_new(plan, slab, persistent, &options, &why);
    cr_assert(e, "%s: %s", why.where, why.detail);
    cr_assert(exec_run(e, plan->n_steps, &why), "%s: %s", why.where, why.detail);
    cr_assert(exec_finish(e, &run.report, &why), "%s: %s", why.where, why.detail);
    for (uint32_t value = 0; value < 2 * plan->graph->n_tensors; value++)
        if (exec_value(e, value))
            run.digest = digest_add(run.digest, exec_value(e, value), plan_value_bytes(plan->graph, value));
    exec_free(e);
    pool_free(pool);
    slab_free(slab);
    slab_free(persistent);
    return run;
}

struct support_run support_run(const struct graph *g, const struct stack *stack, const struct strategy *s,
                               unsigned threads) {
    struct arena a;
    struct plan plan;
    struct problem why = {0};
    arena_init(&a, 0);
    cr_assert(planner_plan(g, s, &a, &plan, &why), "%s: %s: %s", s->planner->name, why.where, why.detail);
    struct support_run run = support_run_plan(&plan, stack, threads);
    cr_assert_eq(run.report.measured_peak_bytes, plan.peak_bytes, "%s: measured %lu, predicted %lu", s->planner->name,
                 run.report.measured_peak_bytes, plan.peak_bytes);
    cr_assert_eq(run.report.live_peak_bytes, plan.live_peak_bytes);
    cr_assert_eq(run.report.retained_peak_bytes, plan.retained_peak_bytes);
    cr_assert_eq(run.report.saved_bytes, plan.saved_activations_bytes);
    cr_assert_eq(run.report.recompute_flops, plan.recompute_flops);
    cr_assert(run.report.touched_bytes <= plan.slab_bytes);
    cr_assert(threads < g->threads ||
                  run.report.touched_bytes + UNITS_EXTENT > plan.slab_bytes, /* else slots stay empty */
              "%s: touched %lu of %lu", s->planner->name, run.report.touched_bytes, plan.slab_bytes);
    arena_free(&a);
    return run;
}

void support_transformer(struct graph *g, struct stack *stack, struct arena *a, uint64_t layers, uint64_t n, uint64_t d,
                         const struct attn_kernel *kernel, double p, unsigned threads) {
    const struct stack_function attention[] = {{.kind = STACK_LAYER_NORM, .norm = {.epsilon = 1e-5f}},
                                               {.kind = STACK_ATTENTION,
                                                .seed = 1,
                                                .attention = {.heads = d / 8,
                                                              .kv_heads = d / 16,
                                                              .behind = ATTN_FAR,
                                                              .ahead = 1,
                                                              .kernel = kernel,
                                                              .dropout = {p, 3},
                                                              .projections = true,
                                                              .bias = true}},
                                               {.kind = STACK_DROPOUT, .seed = 5, .dropout = {p}}};
    const struct stack_function mlp[] = {
        {.kind = STACK_RMS_NORM, .norm = {.epsilon = 1e-5f}},
        {.kind = STACK_FFN, .seed = 2, .ffn = {.hidden = 4 * d, .activation = STACK_GELU, .bias = true}}};
    const struct stack_function layer[] = {
        {.kind = STACK_RESIDUAL, .group = {.functions = attention, .n_functions = p > 0 ? 3 : 2}},
        {.kind = STACK_RESIDUAL, .group = {.functions = mlp, .n_functions = 2}}};
    const struct stack_function all = {.kind = STACK_LAYER,
                                       .group = {.functions = layer, .n_functions = 2, .repeat = layers}};
    const uint64_t shape[1][GRAPH_RANK_MAX] = {{2, n, d}};
    const unsigned rank = 3;
    struct problem why = {0};
    cr_assert(graph_init(g, a, threads, true, &why));
    cr_assert(stack_make(g, shape, &rank, 1, &all, 1, stack, &why), "%s: %s", why.where, why.detail);
}

uint64_t support_random(uint64_t *state, uint64_t bound) {
    uint32_t word[4];
    rng_words(*state >> 32, (uint32_t)*state, 0, 0, 99, word);
    ++*state;
    return (((uint64_t)word[0] << 32) | word[1]) % bound;
}

static uint32_t random_op(struct graph *g, uint64_t *state, uint32_t layer, struct problem *why) {
    static const enum op_kind kinds[] = {OP_ADD, OP_ADD, OP_SCALE, OP_RELU, OP_LINEAR, OP_RMS_NORM, OP_GELU};
    uint32_t inputs[2];
    struct op op = {
        .kind = kinds[support_random(state, 7)], .name = "op", .inputs = inputs, .n_inputs = 1, .layer = layer};
    do
        inputs[0] = (uint32_t)support_random(state, g->n_tensors);
    while (g->tensors[inputs[0]].role == TENSOR_PARAMETER || g->tensors[inputs[0]].rank != 2);
    const struct tensor t = g->tensors[inputs[0]];
    if (op.kind == OP_ADD) {
        inputs[1] = inputs[0];
        for (uint32_t i = 0; i < g->n_tensors; i++) {
            const struct tensor *other = &g->tensors[i];
            if (other->role != TENSOR_PARAMETER && other->rank == 2 && other->shape[0] == t.shape[0] &&
                other->shape[1] == t.shape[1] && support_random(state, 3) == 0)
                inputs[1] = i;
        }
        op.n_inputs = 2;
    } else if (op.kind == OP_LINEAR || op.kind == OP_RMS_NORM) {
        const uint64_t shape[] = {8 << support_random(state, 3), t.shape[1]};
        bool linear = op.kind == OP_LINEAR;
        inputs[1] = graph_tensor(g, TENSOR_PARAMETER, "w", DTYPE_FLOAT32, linear ? 2 : 1, linear ? shape : &shape[1],
                                 true, why);
        op.n_inputs = 2;
        if (!linear)
            op.norm.epsilon = 1e-5f;
    } else if (op.kind == OP_SCALE)
        op.scale.factor = 0.5f;
    return graph_op(g, &op, why);
}

void support_random_graph(struct graph *g, struct arena *a, uint64_t seed, uint32_t n_ops) {
    struct problem why = {0};
    uint64_t state = seed << 32;
    cr_assert(graph_init(g, a, 2, true, &why));
    for (int i = 0; i < 2; i++) {
        const uint64_t shape[] = {4 + support_random(&state, 60), 16};
        cr_assert_neq(graph_tensor(g, TENSOR_INPUT, "x", DTYPE_FLOAT32, 2, shape, true, &why), GRAPH_NONE);
    }
    uint32_t layer = 0, left = 1;
    for (uint32_t i = 0; i < n_ops; i++) {
        if (left-- == 0) {
            layer++;
            left = (uint32_t)support_random(&state, 4);
        }
        uint32_t o = random_op(g, &state, layer, &why);
        cr_assert_neq(o, GRAPH_NONE, "%s: %s", why.where, why.detail);
        if (i + 1 == n_ops || support_random(&state, 12) == 0)
            graph_request(g, graph_result(g, o, 0));
    }
    for (uint32_t o = 0; o < n_ops; o++) /* the gradients of the inputs that are read */
        for (uint32_t i = 0; i < g->ops[o].n_inputs; i++)
            if (g->tensors[g->ops[o].inputs[i]].role == TENSOR_INPUT)
                graph_request_grad(g, g->ops[o].inputs[i]);
    cr_assert(graph_finish(g, &why));
}
