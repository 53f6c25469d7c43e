/* plan_print.c - a plan as text: one step a line, `run` again where it is a recomputation, live bytes beside it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/plan/plan.h"

struct text {
    char *at;
    size_t left;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->at, t->left, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < t->left) {
        t->at += n;
        t->left -= (size_t)n;
    }
}

static const char *step_object(const struct plan *plan, uint32_t step, struct arena *arena, struct problem *why) {
    const struct step *s = &plan->steps[step];
    return s->op == STEP_FREE ? plan_value_name(plan->graph, s->of, arena, why)
                              : plan_op_name(plan->graph, s->of, arena, why);
}

static void print_step(struct text *t, const struct plan *plan, uint32_t step, const char *name, uint64_t live_bytes,
                       bool again) {
    text_add(t, "%5u  %-4s  %-40s %16llu%s%s\n", step, plan_step_name(plan->steps[step].op), name,
             (unsigned long long)live_bytes, again ? "  again" : "", step == plan->peak_step ? "  <- peak" : "");
}

const char *plan_print(const struct plan *plan, struct arena *arena, struct problem *why) {
    const struct graph *g = plan->graph;
    struct plan copy = *plan; /* simulated afresh; its extents are not the plan's */
    struct plan_moment *moments = arena_new(arena, struct plan_moment, plan->n_steps, why);
    bool *ran = arena_new(arena, bool, g->n_ops, why);
    size_t bytes = 512 + (size_t)plan->n_steps * 256;
    char *out = arena_new(arena, char, bytes, why);
    if (!moments || !ran || !out || !plan_simulate(&copy, arena, moments, why))
        return NULL;
    struct text t = {out, bytes};
    text_add(&t, " step  do    of                                             live bytes\n");
    for (uint32_t step = 0; step < plan->n_steps; step++) {
        const char *name = step_object(plan, step, arena, why);
        if (!name)
            return NULL;
        const struct step *s = &plan->steps[step];
        print_step(&t, plan, step, name, moments[step].live_bytes, s->op == STEP_RUN && ran[s->of]);
        if (s->op == STEP_RUN)
            ran[s->of] = true;
    }
    text_add(&t, "slab %llu bytes, live peak %llu, retained peak %llu, persistent %llu\n",
             (unsigned long long)plan->slab_bytes, (unsigned long long)plan->live_peak_bytes,
             (unsigned long long)plan->retained_peak_bytes, (unsigned long long)plan->persistent_bytes);
    return out;
}
