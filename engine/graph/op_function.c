/* op_function.c - somebody's forward and backward as an op: the checkpointed-function protocol of remat.h. */
#include <stdio.h>

#include "engine/base/units.h"
#include "engine/graph/graph.h"

static bool outputs_make(struct graph *g, struct op *op, struct problem *why) {
    const struct op_function *f = &op->function;
    for (uint32_t i = 0; i < f->n_results + f->n_saved; i++) {
        bool result = i < f->n_results;
        char suffix[32];
        snprintf(suffix, sizeof suffix, result ? "%u" : "saved%u", result ? i : i - f->n_results);
        uint32_t made = graph_output(g, op, result && f->n_results == 1 ? NULL : suffix, DTYPE_FLOAT32, f->ranks[i],
                                     f->shapes[i], result, why);
        if (made == GRAPH_NONE || (!result && !graph_save(g, op, made, why)))
            return problem_nest(why, "/%s/%u", result ? "outputs" : "saved", result ? i : i - f->n_results);
    }
    return true;
}

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    const struct op_function *f = &op->function;
    if (!f->forward)
        return problem_set(why, PROBLEM_MISSING_FIELD, "/forward", "a function needs a forward");
    if (!f->backward && g->backward)
        return problem_set(why, PROBLEM_MISSING_FIELD, "/backward",
                           "a function whose gradient is wanted needs a backward");
    if (f->n_results == 0)
        return problem_set(why, PROBLEM_MISSING_FIELD, "/outputs", "a function makes at least one output");
    if (f->workspace_bytes > (uint64_t)1 << 62)
        return problem_set(why, PROBLEM_LIMIT, "/workspace_bytes", "is more than 2^62");
    if (!outputs_make(g, op, why))
        return false;
    for (uint32_t i = 0; f->keeps_inputs && i < op->n_inputs; i++)
        if (!graph_save(g, op, op->inputs[i], why))
            return false;
    op->forward_flops = f->forward_flops;
    op->backward_flops = f->backward_flops;
    op->forward_work_bytes = op->backward_work_bytes = units_extent(f->workspace_bytes);
    return true;
}

static bool forward(const struct op_call *c, struct problem *why) {
    const struct op_function *f = &c->op->function;
    if (f->forward(f->context, (const float *const *)c->inputs, (float *const *)c->outputs,
                   (float *const *)c->outputs + f->n_results, c->work))
        return true;
    return problem_set(why, PROBLEM_STATE, "", "the forward of function %s failed", c->op->name);
}

static bool backward(const struct op_call *c, struct problem *why) {
    const struct op_function *f = &c->op->function;
    if (f->backward(f->context, (const float *const *)c->inputs, (const float *const *)c->outputs + f->n_results,
                    (const float *const *)c->d_outputs, (float *const *)c->d_inputs, c->work))
        return true;
    return problem_set(why, PROBLEM_STATE, "", "the backward of function %s failed", c->op->name);
}

const struct op_row op_function_row = {.name = "function", .shape = shape, .forward = forward, .backward = backward};
