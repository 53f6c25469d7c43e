/* checkpoint_run.c - see checkpoint_run.h */
#include "engine/checkpoint_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool checkpoint_tell(bool ok, const struct problem *inner, struct remat_problem *why) {
    if (ok || !why)
        return ok;
    *why = (struct remat_problem){0};
    snprintf(why->kind, sizeof why->kind, "%s", problem_slug(inner->kind));
    memcpy(why->where, inner->where, sizeof why->where);
    memcpy(why->detail, inner->detail, sizeof why->detail);
    return false;
}

struct remat_run *checkpoint_run_new(const struct remat_options *options, struct problem *why) {
    struct remat_run *r = calloc(1, sizeof *r);
    if (!r) {
        problem_set(why, PROBLEM_MEMORY, "", "there is no memory for a handle");
        return NULL;
    }
    if (options)
        r->options = *options;
    if (r->options.threads == 0)
        r->options.threads = 1;
    arena_init(&r->arena, 0);
    r->pool = pool_new(r->options.threads, why);
    r->slab = r->pool ? slab_new(why) : NULL;
    r->persistent = r->slab ? slab_new(why) : NULL;
    if (r->persistent)
        return r;
    checkpoint_run_free(r);
    return NULL;
}

void checkpoint_run_free(struct remat_run *r) {
    if (!r)
        return;
    exec_free(r->exec);
    slab_free(r->persistent);
    slab_free(r->slab);
    pool_free(r->pool);
    arena_free(&r->arena);
    free(r->own);
    free(r);
}

bool checkpoint_run_start(struct remat_run *r, struct problem *why) {
    exec_free(r->exec);
    r->exec = NULL;
    arena_free(&r->arena);
    r->bindings = NULL;
    r->n_bindings = r->bindings_room = 0;
    r->state = RUN_FRESH;
    r->report = (struct remat_report){0};
    return graph_init(&r->graph, &r->arena, r->options.threads, true, why);
}

static bool binding_add(struct remat_run *r, uint32_t value, const float *from, struct problem *why) {
    if (r->n_bindings == r->bindings_room) {
        uint32_t room = r->bindings_room ? r->bindings_room * 2 : 8;
        struct binding *larger = arena_new(&r->arena, struct binding, room, why);
        if (!larger)
            return false;
        if (r->n_bindings)
            memcpy(larger, r->bindings, r->n_bindings * sizeof *larger);
        r->bindings = larger;
        r->bindings_room = room;
    }
    r->bindings[r->n_bindings++] = (struct binding){value, from};
    return true;
}

uint32_t checkpoint_run_input(struct remat_run *r, const char *where, const char *name, const struct remat_tensor *from,
                              bool needs_grad, struct problem *why) {
    if (!from || !from->data) {
        problem_set(why, PROBLEM_MISSING_FIELD, where, "has no data");
        return GRAPH_NONE;
    }
    uint32_t t = graph_tensor(&r->graph, TENSOR_INPUT, name, DTYPE_FLOAT32, from->rank, from->size, needs_grad, why);
    if (t == GRAPH_NONE)
        problem_nest(why, "%s", where);
    return t != GRAPH_NONE && binding_add(r, t, from->data, why) ? t : GRAPH_NONE;
}

/* Does the caller's tensor have the shape of the graph's, and data? */
static bool same_shape(const struct remat_run *r, const struct remat_tensor *mine, uint32_t tensor, const char *where,
                       struct problem *why) {
    const struct tensor *t = &r->graph.tensors[tensor];
    if (!mine || !mine->data)
        return problem_set(why, PROBLEM_MISSING_FIELD, where, "has no data");
    bool same = mine->rank == t->rank;
    for (unsigned i = 0; same && i < t->rank; i++)
        same = mine->size[i] == t->shape[i];
    return same ||
           problem_set(why, PROBLEM_SHAPE, where, "has not the shape of %s, which has %u dimensions and %llu elements",
                       t->name, t->rank, (unsigned long long)t->elements);
}

static bool load(void *user, uint32_t value, void *dst, struct problem *why) {
    const struct remat_run *r = user;
    for (uint32_t i = 0; i < r->n_bindings; i++)
        if (r->bindings[i].value == value) {
            memcpy(dst, r->bindings[i].from, plan_value_bytes(&r->graph, value));
            return true;
        }
    return problem_set(why, PROBLEM_INTERNAL, "", "nothing is bound to value %u", value);
}

static bool exec_start(struct remat_run *r, const struct strategy *strategy, struct problem *why) {
    const struct strategy keep = {.planner = &planner_standard};
    const struct exec_options options = {.pool = r->pool,
                                         .load = load,
                                         .user = r,
                                         .now_ns = r->options.now_ns,
                                         .witness = r->options.witness,
                                         .check_recompute = r->options.check_recompute};
    if (!graph_finish(&r->graph, why) ||
        !planner_plan(&r->graph, r->options.keep ? &keep : strategy, &r->arena, &r->plan, why))
        return false;
    r->report.predicted_peak_bytes = r->plan.peak_bytes;
    r->exec = exec_new(&r->plan, r->slab, r->persistent, &options, why);
    return r->exec && exec_run(r->exec, r->plan.turn, why);
}

bool checkpoint_run_forward(struct remat_run *r, const struct strategy *strategy, struct remat_tensor *const *outputs,
                            const char *const *names, struct problem *why) {
    for (uint32_t i = 0; i < r->n_outputs; i++) {
        if (!same_shape(r, outputs[i], r->outputs[i], names[i], why))
            return false;
        graph_request(&r->graph, r->outputs[i]);
    }
    for (uint32_t i = 0; i < r->n_inputs; i++)
        graph_request_grad(&r->graph, r->inputs[i]);
    if (!exec_start(r, strategy, why))
        return false;
    for (uint32_t i = 0; i < r->n_outputs; i++)
        memcpy(outputs[i]->data, exec_value(r->exec, r->outputs[i]), plan_value_bytes(&r->graph, r->outputs[i]));
    r->state = RUN_FORWARDED;
    return true;
}

static bool report_fill(struct remat_run *r, struct problem *why) {
    struct exec_report e;
    if (!exec_finish(r->exec, &e, why))
        return false;
    r->report.measured_peak_bytes = e.measured_peak_bytes;
    r->report.touched_bytes = e.touched_bytes;
    r->report.saved_bytes = e.saved_bytes;
    r->report.retained_peak_bytes = e.retained_peak_bytes;
    r->report.forward_ns = e.forward_ns;
    r->report.recompute_ns = e.recompute_ns;
    r->report.backward_ns = e.backward_ns;
    r->report.forward_flops = e.forward_flops;
    r->report.recompute_flops = e.recompute_flops;
    r->report.backward_flops = e.backward_flops;
    return true;
}

bool checkpoint_run_backward(struct remat_run *r, const struct remat_tensor *const *grad_outputs,
                             struct remat_tensor *const *grad_inputs, const char *const *names, struct problem *why) {
    if (!r || r->state == RUN_FRESH)
        return problem_set(why, PROBLEM_STATE, "", "backward before forward");
    if (r->state == RUN_DONE)
        return problem_set(why, PROBLEM_STATE, "", "backward twice; run the forward again first");
    uint32_t gradient = r->graph.n_tensors;
    for (uint32_t i = 0; i < r->n_outputs; i++)
        if (!same_shape(r, grad_outputs[i], r->outputs[i], "/grad_output", why))
            return false;
    for (uint32_t i = 0; i < r->n_inputs; i++)
        if (!same_shape(r, grad_inputs[i], r->inputs[i], names[i], why))
            return false;
    for (uint32_t i = 0; i < r->n_outputs; i++)
        if (!binding_add(r, gradient + r->outputs[i], grad_outputs[i]->data, why))
            return false;
    r->state = RUN_DONE;
    if (!exec_run(r->exec, r->plan.n_steps, why) || !report_fill(r, why))
        return false;
    for (uint32_t i = 0; i < r->n_inputs; i++)
        memcpy(grad_inputs[i]->data, exec_value(r->exec, gradient + r->inputs[i]),
               plan_value_bytes(&r->graph, r->inputs[i]));
    return true;
}
