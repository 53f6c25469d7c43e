/* test_plan.c - plans: known peaks worked out by hand, laws over random graphs of kernels, illegal programs. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/laws.h"
#include "tests/support.h"

static const struct strategy_layer custom_layers[] = {{LAYER_KEEP, {0, 0}},
                                                      {LAYER_CHECKPOINT, {0, 0}},
                                                      {LAYER_RECOMPUTE, {PART_MLP, 0}},
                                                      {LAYER_RECOMPUTE, {0, 1u << OP_GELU | 1u << OP_ATTENTION}}};

/* Every named strategy that fits a graph of four layers. */
static const struct strategy strategies[] = {
    {.planner = &planner_standard},
    {.planner = &planner_every_layer},
    {.planner = &planner_every_n, .n = 2},
    {.planner = &planner_every_n, .n = 3},
    {.planner = &planner_uniform, .k = 1},
    {.planner = &planner_sqrt_n},
    {.planner = &planner_uniform, .k = 3},
    {.planner = &planner_uniform, .segments = 2},
    {.planner = &planner_uniform, .segments = 4},
    {.planner = &planner_block, .k = 2},
    {.planner = &planner_block, .k = 99},
    {.planner = &planner_selective, .selection = {.parts = PART_ATTENTION}},
    {.planner = &planner_selective, .selection = {.parts = PART_ATTENTION_CORE}},
    {.planner = &planner_selective, .selection = {.parts = PART_MLP | PART_NORM}},
    {.planner = &planner_selective, .selection = {.op_kinds = UINT64_C(1) << OP_GELU | UINT64_C(1) << OP_LINEAR}},
    {.planner = &planner_selective, .selection = {.parts = PART_NORM, .op_kinds = UINT64_C(1) << OP_GELU}},
    {.planner = &planner_selective, .selection = {.parts = PART_ATTENTION, .op_kinds = UINT64_C(1) << OP_LAYER_NORM}},
    {.planner = &planner_custom, .layers = custom_layers, .n_layers = 4},
};
#define STRATEGIES (sizeof strategies / sizeof strategies[0])

static void plan_assert(const struct plan *p) {
    struct problem why = {0};
    cr_assert(laws_judge(p, &why), "%s", why.detail);
}

Test(plan, random_graphs_obey_the_laws_under_every_strategy) {
    unsigned over_1 = 0, over_5 = 0, plans = 0;
    double worst = 1;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct arena a;
        struct graph g;
        arena_init(&a, 0);
        support_random_graph(&g, &a, seed, 4 + (uint32_t)(seed % 29));
        for (size_t s = 0; s < STRATEGIES; s++) {
            struct plan p;
            struct problem why = {0};
            if (!planner_plan(&g, &strategies[s], &a, &p, &why)) { /* custom and segments may not fit the layers */
                cr_assert(why.kind == PROBLEM_SHAPE || why.kind == PROBLEM_LIMIT, "%s: %s", why.where, why.detail);
                continue;
            }
            plan_assert(&p);
            cr_assert(p.recompute_flops == 0 || s > 0);
            double waste = (double)p.slab_bytes / (double)p.live_peak_bytes;
            plans++;
            over_1 += waste > 1.01;
            over_5 += waste > 1.05;
            worst = waste > worst ? waste : worst;
        }
        arena_free(&a);
    }
    cr_log_info("layout waste over %u plans of random graphs: %u above 1 %%, %u above 5 %%, worst %.4f", plans, over_1,
                over_5, worst);
    cr_assert(plans > 1000 && over_5 < plans / 20, "%u plans, %u above 1 %%, %u above 5 %%, worst %.4f", plans, over_1,
              over_5, worst);
}

Test(plan, every_strategy_gives_the_bits_of_standard_on_random_graphs) {
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct arena a;
        struct graph g;
        arena_init(&a, 0);
        support_random_graph(&g, &a, seed, 6 + (uint32_t)(seed % 17));
        struct support_run plain = support_run(&g, NULL, &strategies[0], 1);
        for (size_t s = 1; s < STRATEGIES; s++) {
            struct plan p;
            struct problem why = {0};
            if (!planner_plan(&g, &strategies[s], &a, &p, &why))
                continue;
            struct support_run run = support_run(&g, NULL, &strategies[s], 1 + s % 2);
            cr_assert(digest_same(plain.digest, run.digest), "seed %lu, strategy %zu (%s)", seed, s,
                      strategies[s].planner->name);
        }
        arena_free(&a);
    }
}

Test(plan, transformer_layouts_waste_at_most_one_percent) {
    for (unsigned kernel = 0; kernel < attn_table_length; kernel++)
        for (size_t s = 0; s < STRATEGIES; s++) {
            struct arena a;
            struct graph g;
            struct stack stack;
            struct plan p;
            struct problem why = {0};
            arena_init(&a, 0);
            support_transformer(&g, &stack, &a, 4, 128, 64, &attn_table[kernel], 0.1, 2);
            cr_assert(planner_plan(&g, &strategies[s], &a, &p, &why), "%s: %s", why.where, why.detail);
            plan_assert(&p);
            cr_assert(p.slab_bytes >= 1 << 20, "large enough for the law");
            cr_assert((double)p.slab_bytes <= 1.01 * (double)p.live_peak_bytes, "%s, %s: %lu of %lu",
                      strategies[s].planner->name, attn_table[kernel].name, p.slab_bytes, p.live_peak_bytes);
            arena_free(&a);
        }
}

/* ---- a peak worked out by hand ---- */

/* x [16] -> relu -> a -> relu -> b, both tensors 64 bytes. relu saves its result. */
static void two_relus(struct graph *g, struct arena *a) {
    struct problem why = {0};
    const uint64_t shape[] = {16};
    cr_assert(graph_init(g, a, 1, true, &why));
    uint32_t t = graph_tensor(g, TENSOR_INPUT, "x", DTYPE_FLOAT32, 1, shape, true, &why);
    graph_request_grad(g, t);
    for (uint32_t i = 0; i < 2; i++)
        t = graph_result(
            g,
            graph_op(g, &(struct op){.kind = OP_RELU, .name = i ? "b" : "a", .inputs = &t, .n_inputs = 1, .layer = i},
                     &why),
            0);
    graph_request(g, t);
    cr_assert(graph_finish(g, &why));
}

Test(plan, a_peak_worked_out_by_hand) {
    struct arena a;
    struct graph g;
    struct plan p;
    struct problem why = {0};
    arena_init(&a, 0);
    two_relus(&g, &a);
    cr_assert(planner_plan(&g, &strategies[0], &a, &p, &why));
    /* run a (x, a), free x, run b (a, b), grad b (a, b, db, da), free db, grad a (a, b, da, dx), free a, free da */
    static const struct step expected[] = {{STEP_RUN, 0},  {STEP_FREE, 0}, {STEP_RUN, 1},  {STEP_GRAD, 1},
                                           {STEP_FREE, 5}, {STEP_GRAD, 0}, {STEP_FREE, 1}, {STEP_FREE, 4}};
    cr_assert_eq(p.n_steps, 8u);
    for (uint32_t i = 0; i < p.n_steps; i++)
        cr_assert(p.steps[i].op == expected[i].op && (p.steps[i].op == STEP_FREE || p.steps[i].of == expected[i].of),
                  "step %u", i);
    cr_assert_eq(p.live_peak_bytes, 256u);
    cr_assert_eq(p.slab_bytes, 256u);
    cr_assert_eq(p.turn, 3u);
    cr_assert_eq(p.saved_activations_bytes, 128u, "a and b");
    cr_assert_eq(p.retained_peak_bytes, 128u);
    /* the program can be read aloud */
    const char *text = plan_print(&p, &a, &why);
    cr_assert(text && strstr(text, "d(b)") && strstr(text, "grad") && strstr(text, "slab 256 bytes"), "%s", text);
    arena_free(&a);
}

/* ---- the checker's no ---- */

static bool legal(const struct graph *g, const struct step *steps, uint32_t n, struct arena *a) {
    struct problem why = {0};
    struct plan p = {.graph = g, .steps = (struct step *)steps, .n_steps = n};
    return plan_check(&p, a, &why);
}

Test(plan, the_checker_finds_every_single_change_to_a_legal_program) {
    struct arena a;
    struct graph g;
    struct plan p;
    struct problem why = {0};
    struct step steps[16];
    arena_init(&a, 0);
    two_relus(&g, &a);
    cr_assert(planner_plan(&g, &strategies[1], &a, &p, &why));
    cr_assert(legal(&g, p.steps, p.n_steps, &a));
    for (uint32_t i = 0; i < p.n_steps; i++) { /* leave one out */
        memcpy(steps, p.steps, p.n_steps * sizeof *steps);
        memmove(&steps[i], &steps[i + 1], (p.n_steps - i - 1) * sizeof *steps);
        cr_assert_not(legal(&g, steps, p.n_steps - 1, &a), "without step %u", i);
    }
    for (uint32_t i = 0; i < p.n_steps; i++) /* gradients and frees twice */
        if (p.steps[i].op != STEP_RUN) {
            memcpy(steps, p.steps, (i + 1) * sizeof *steps);
            steps[i + 1] = p.steps[i];
            memcpy(&steps[i + 2], &p.steps[i + 1], (p.n_steps - i - 1) * sizeof *steps);
            cr_assert_not(legal(&g, steps, p.n_steps + 1, &a), "step %u twice", i);
        }
    for (uint32_t i = 0; i < p.n_steps; i++) { /* names nothing */
        memcpy(steps, p.steps, p.n_steps * sizeof *steps);
        steps[i].of = 1000;
        cr_assert_not(legal(&g, steps, p.n_steps, &a));
    }
    const struct step too_early[] = {{STEP_GRAD, 1}};
    cr_assert_not(legal(&g, too_early, 1, &a));
    arena_free(&a);
}

Test(plan, bad_parameters_are_named) {
    struct arena a;
    struct graph g;
    struct plan p;
    arena_init(&a, 0);
    two_relus(&g, &a);
    const struct {
        struct strategy s;
        const char *where;
    } rows[] = {
        {{.planner = &planner_every_n}, "/n"},
        {{.planner = &planner_uniform}, ""},
        {{.planner = &planner_uniform, .k = 1, .segments = 1}, ""},
        {{.planner = &planner_uniform, .segments = 3}, "/segments"},
        {{.planner = &planner_block}, "/k"},
        {{.planner = &planner_selective}, "/ops"},
        {{.planner = &planner_custom, .layers = custom_layers, .n_layers = 3}, "/layers"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct problem why = {0};
        cr_assert_not(planner_plan(&g, &rows[i].s, &a, &p, &why));
        cr_assert_str_eq(why.where, rows[i].where);
    }
    cr_assert_eq(planner_find("none"), &planner_standard);
    cr_assert_null(planner_find("nonesuch"));
    arena_free(&a);
}

Test(plan, running_out_of_memory_anywhere_is_a_problem) {
    for (size_t s = 0; s < STRATEGIES; s++) {
        bool done = false;
        for (uint64_t fail = 0; !done; fail++) {
            struct arena graphs, plans;
            struct graph g;
            struct stack stack;
            struct plan p;
            struct problem why = {0};
            arena_init(&graphs, 0);
            arena_init(&plans, 0);
            support_transformer(&g, &stack, &graphs, 4, 8, 16, &attn_table[ATTN_FLASH], 0, 1);
            plans.fail_at = fail;
            done = planner_plan(&g, &strategies[s], &plans, &p, &why);
            cr_assert(done || why.kind == PROBLEM_MEMORY);
            cr_assert(fail < 100);
            arena_free(&graphs);
            arena_free(&plans);
        }
    }
}
