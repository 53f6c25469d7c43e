/* case_step.c - a training step of GPT-2 small on an executor of its own; see cases.h */
#include <stdlib.h>
#include <string.h>

#include "engine/exec/exec.h"
#include "engine/models/init.h"
#include "engine/models/presets.h"
#include "tests/bench/cases.h"

struct step_case {
    struct workload w;
    struct arena arena;
    struct graph g;
    struct plan plan;
    struct pool *pool;
    struct slab *slab, *persistent;
    struct exec *exec;
    bool ran;
};

static bool load(void *user, uint32_t value, void *dst, struct problem *why) {
    struct step_case *c = user;
    const struct graph *g = &c->g;
    (void)why;
    if (value >= g->n_tensors)
        *(float *)dst = 1;
    else if (g->tensors[value].role == TENSOR_PARAMETER)
        init_fill(&c->w, g, value, 1, c->pool, dst);
    else
        for (uint64_t i = 0; i < g->tensors[value].elements; i++)
            ((int32_t *)dst)[i] = (int32_t)(i * 7919 % c->w.model.vocab);
    return true;
}

static struct strategy strategy_of(const char *name) {
    struct strategy s = {.planner = planner_find(strcmp(name, "every_2") == 0 ? "every_n" : name), .n = 2};
    struct problem why = {0};
    if (!s.planner || (s.planner == &planner_selective && !selection_add(&s.selection, "attention_core"))) {
        problem_set(&why, PROBLEM_LIMIT, name, "is no strategy");
        bench_die(&why);
    }
    return s;
}

struct step_case *step_case_new(const struct case_step *what) {
    struct step_case *c = calloc(1, sizeof *c);
    const struct strategy s = strategy_of(what->strategy);
    struct problem why = {0};
    if (!c)
        exit(1);
    c->w = (struct workload){.batch = 1,
                             .dtype = DTYPE_FLOAT32,
                             .model = presets_find("gpt2")->model,
                             .seq_len = what->seq_len,
                             .attention = &attn_table[what->attention],
                             .threads = what->threads,
                             .optimizer = optimizer_find("none")};
    model_defaults(&c->w.model);
    arena_init(&c->arena, 0);
    c->pool = bench_pool(what->threads);
    if (!model_lower(&c->w, &c->arena, &c->g, &why) || !planner_plan(&c->g, &s, &c->arena, &c->plan, &why))
        bench_die(&why);
    const struct exec_options options = {.pool = c->pool, .load = load, .user = c};
    c->slab = slab_new(&why);
    c->persistent = c->slab ? slab_new(&why) : NULL;
    c->exec = c->persistent ? exec_new(&c->plan, c->slab, c->persistent, &options, &why) : NULL;
    if (!c->exec)
        bench_die(&why);
    return c;
}

void step_case_free(struct step_case *c) {
    exec_free(c->exec);
    slab_free(c->slab);
    slab_free(c->persistent);
    pool_free(c->pool);
    arena_free(&c->arena);
    free(c);
}

static void run(void *state) {
    struct step_case *c = state;
    struct problem why = {0};
    if (c->ran) {
        exec_clear_gradients(c->exec);
        if (!exec_rewind(c->exec, &why))
            bench_die(&why);
    }
    c->ran = true;
    if (!exec_run(c->exec, c->plan.n_steps, &why))
        bench_die(&why);
}

struct bench_work step_case_work(struct step_case *c) {
    return (struct bench_work){(double)(c->plan.forward_flops + c->plan.backward_flops), run, c};
}

const struct plan *step_case_plan(const struct step_case *c) {
    return &c->plan;
}

struct exec *step_case_exec(struct step_case *c) {
    return c->exec;
}

float step_case_loss(struct step_case *c) {
    return *(float *)exec_value(c->exec, model_loss(&c->g));
}
