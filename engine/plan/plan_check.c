/* plan_check.c - is this a legal program? A judge that knows the rules of memory-model.md section 2 and nothing of how
 * plans are made, simulated or run. */
#include "engine/plan/plan.h"

struct judge {
    const struct graph *g;
    bool *tensor_here, *gradient_here; /* by tensor */
    bool *graded;                      /* by op */
    uint32_t next_grad;                /* ops at and above it have had their turn */
    uint32_t step;
};

static bool wrong(const struct judge *j, struct problem *why, const char *what, const char *name) {
    problem_set(why, PROBLEM_PLAN, "", "%s (%s)", what, name);
    return problem_nest(why, "/steps/%u", j->step);
}

static bool readable(const struct judge *j, uint32_t t) {
    return j->g->tensors[t].role == TENSOR_PARAMETER || j->tensor_here[t];
}

static bool judge_run(struct judge *j, uint32_t id, struct problem *why) {
    const struct op *op = &j->g->ops[id];
    for (uint32_t i = 0; i < op->n_inputs; i++)
        if (!readable(j, op->reads[i]))
            return wrong(j, why, "an op runs without its input", j->g->tensors[op->reads[i]].name);
    for (uint32_t i = 0; i < op->n_outputs; i++)
        j->tensor_here[op->outputs[i]] = true;
    return true;
}

static bool judge_grad(struct judge *j, uint32_t id, struct problem *why) {
    const struct op *op = &j->g->ops[id];
    if (j->graded[id] || id >= j->next_grad)
        return wrong(j, why, "a gradient is taken twice or out of order", op->name);
    for (uint32_t o = id + 1; o < j->next_grad; o++)
        if (j->g->ops[o].needs_grad)
            return wrong(j, why, "the gradient of a later op is still owed", j->g->ops[o].name);
    j->graded[id] = true;
    j->next_grad = id;
    for (uint32_t i = 0; i < op->n_saved; i++)
        if (!readable(j, op->saved[i]))
            return wrong(j, why, "a gradient is taken without a saved tensor", j->g->tensors[op->saved[i]].name);
    for (uint32_t i = 0; i < op->n_results; i++)
        if (j->g->tensors[op->outputs[i]].needs_grad)
            j->gradient_here[op->outputs[i]] = true;
    for (uint32_t i = 0; i < op->n_inputs; i++)
        if (j->g->tensors[op->reads[i]].needs_grad)
            j->gradient_here[op->reads[i]] = true;
    return true;
}

static bool judge_free(struct judge *j, uint32_t value, struct problem *why) {
    bool gradient = value >= j->g->n_tensors;
    uint32_t t = gradient ? value - j->g->n_tensors : value;
    const struct tensor *tensor = &j->g->tensors[t];
    bool *here = gradient ? &j->gradient_here[t] : &j->tensor_here[t];
    if (!*here)
        return wrong(j, why, "something is freed that is not there", tensor->name);
    if (gradient && tensor->producer != GRAPH_NONE && !j->graded[tensor->producer])
        return wrong(j, why, "a gradient is freed before its op has used it", tensor->name);
    *here = false;
    return true;
}

static bool judge_end(struct judge *j, struct problem *why) {
    for (uint32_t o = 0; j->g->backward && o < j->g->n_ops; o++)
        if (j->g->ops[o].needs_grad && !j->graded[o])
            return wrong(j, why, "a gradient is never taken", j->g->ops[o].name);
    for (uint32_t t = 0; t < j->g->n_tensors; t++) {
        const struct tensor *tensor = &j->g->tensors[t];
        if (tensor->role != TENSOR_PARAMETER && j->tensor_here[t] != tensor->requested)
            return wrong(j, why, tensor->requested ? "an output is not there at the end" : "a tensor is never freed",
                         tensor->name);
        if (tensor->role != TENSOR_PARAMETER && j->gradient_here[t] != tensor->grad_requested)
            return wrong(j, why,
                         tensor->grad_requested ? "a gradient is not there at the end" : "a gradient is never freed",
                         tensor->name);
    }
    return true;
}

static bool judge_step(struct judge *j, struct step step, struct problem *why) {
    uint32_t bound = step.op == STEP_FREE ? 2 * j->g->n_tensors : j->g->n_ops;
    if (step.of >= bound)
        return wrong(j, why, "a step names nothing that exists", plan_step_name(step.op));
    switch (step.op) {
    case STEP_RUN:
        return judge_run(j, step.of, why);
    case STEP_GRAD:
        return judge_grad(j, step.of, why);
    case STEP_FREE:
        return judge_free(j, step.of, why);
    case STEP_OPS:
        break;
    }
    return wrong(j, why, "a step has no known op", "?");
}

bool plan_check(const struct plan *plan, struct arena *arena, struct problem *why) {
    const struct graph *g = plan->graph;
    struct judge j = {.g = g, .next_grad = g->n_ops};
    j.tensor_here = arena_new(arena, bool, g->n_tensors, why);
    j.gradient_here = arena_new(arena, bool, g->n_tensors, why);
    j.graded = arena_new(arena, bool, g->n_ops, why);
    if (!j.tensor_here || !j.gradient_here || !j.graded)
        return false;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        j.tensor_here[t] = g->tensors[t].role == TENSOR_INPUT;
    for (; j.step < plan->n_steps; j.step++)
        if (!judge_step(&j, plan->steps[j.step], why))
            return false;
    return judge_end(&j, why);
}
