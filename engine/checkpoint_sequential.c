/* checkpoint_sequential.c - checkpoint_sequential, and CheckpointedFunction, which is the list of one. */
#include <stdlib.h>
#include <string.h>

#include "engine/checkpoint_run.h"

/* A user's function with what preserves its random state. Lives in the handle, behind the run. */
struct wrapped {
    struct remat_function f;
    unsigned char *state; /* as it was before the first run; then as much again for what to go back to */
    bool ran;
};

struct sequence {
    unsigned n_functions, segments;
    struct wrapped *functions;
};

static bool wrapped_forward(void *context, const float *const *inputs, float *const *outputs, float *const *saved,
                            void *work) {
    struct wrapped *w = context;
    size_t bytes = w->f.random_state ? w->f.random_state_bytes : 0;
    if (bytes == 0 || !w->ran) {
        if (bytes)
            memcpy(w->state, w->f.random_state, bytes);
        w->ran = true;
        return w->f.forward(w->f.context, inputs, outputs, saved, work);
    }
    memcpy(w->state + bytes, w->f.random_state, bytes);
    memcpy(w->f.random_state, w->state, bytes);
    bool ok = w->f.forward(w->f.context, inputs, outputs, saved, work);
    memcpy(w->f.random_state, w->state + bytes, bytes);
    return ok;
}

static bool wrapped_backward(void *context, const float *const *inputs, const float *const *saved,
                             const float *const *d_outputs, float *const *d_inputs, void *work) {
    struct wrapped *w = context;
    return w->f.backward(w->f.context, inputs, saved, d_outputs, d_inputs, work);
}

static void sequence_free(struct remat_run *r) {
    struct sequence *s = r ? r->own : NULL;
    for (unsigned i = 0; s && i < s->n_functions; i++)
        free(s->functions[i].state);
    if (s)
        free(s->functions);
    checkpoint_run_free(r);
}

static bool function_check(const struct remat_function *f, struct problem *why) {
    if (!f->forward || !f->backward)
        return problem_set(why, PROBLEM_MISSING_FIELD, f->forward ? "/backward" : "/forward", "is missing");
    if (f->n_inputs == 0 || !f->inputs)
        return problem_set(why, PROBLEM_MISSING_FIELD, "/inputs", "a function takes at least one input");
    if (f->n_outputs == 0 || !f->outputs)
        return problem_set(why, PROBLEM_MISSING_FIELD, "/outputs", "a function makes at least one output");
    if (f->n_saved && !f->saved)
        return problem_set(why, PROBLEM_MISSING_FIELD, "/saved", "has no shapes");
    return true;
}

static struct remat_run *sequence_new(const struct remat_function *functions, unsigned n, unsigned segments,
                                      const struct remat_options *options, struct problem *why) {
    struct remat_run *r = checkpoint_run_new(options, why);
    struct sequence *s = r ? calloc(1, sizeof *s) : NULL;
    if (s && (s->functions = calloc(n ? n : 1, sizeof *s->functions))) {
        s->n_functions = n;
        s->segments = segments;
    }
    if (r)
        r->own = s;
    bool ok = s && s->functions;
    if (r && !ok)
        problem_set(why, PROBLEM_MEMORY, "", "there is no memory for a handle");
    for (unsigned i = 0; ok && i < n; i++) {
        s->functions[i].f = functions[i];
        ok = function_check(&functions[i], why) || problem_nest(why, "/functions/%u", i);
        if (ok && functions[i].random_state && functions[i].random_state_bytes &&
            !(s->functions[i].state = calloc(2, functions[i].random_state_bytes)))
            ok = problem_set(why, PROBLEM_MEMORY, "", "there is no memory for a random state");
    }
    if (ok)
        return r;
    sequence_free(r);
    return NULL;
}

static bool function_add(struct remat_run *r, struct wrapped *w, uint32_t layer, struct problem *why) {
    const struct remat_function *f = &w->f;
    uint32_t n = f->n_outputs + f->n_saved;
    unsigned *ranks = arena_new(&r->arena, unsigned, n, why);
    uint64_t(*shapes)[8] = arena_take(&r->arena, n, sizeof *shapes, why);
    if (!ranks || !shapes)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const struct remat_shape *s = i < f->n_outputs ? &f->outputs[i] : &f->saved[i - f->n_outputs];
        ranks[i] = s->rank;
        memcpy(shapes[i], s->size, sizeof shapes[i]);
    }
    w->ran = false;
    struct op op = {.kind = OP_FUNCTION,
                    .name = f->name ? f->name : "function",
                    .inputs = r->outputs,
                    .n_inputs = r->n_outputs,
                    .layer = layer,
                    .function = {.context = w,
                                 .forward = wrapped_forward,
                                 .backward = wrapped_backward,
                                 .n_results = f->n_outputs,
                                 .n_saved = f->n_saved,
                                 .ranks = ranks,
                                 .shapes = (const uint64_t(*)[8])shapes,
                                 .keeps_inputs = f->keeps_inputs,
                                 .forward_flops = f->forward_flops,
                                 .backward_flops = f->backward_flops,
                                 .workspace_bytes = f->workspace_bytes}};
    uint32_t o = graph_op(&r->graph, &op, why);
    if (o == GRAPH_NONE)
        return false;
    r->outputs = r->graph.ops[o].outputs;
    r->n_outputs = f->n_outputs;
    return true;
}

/* What enters function f: as many tensors, of the shapes it says. */
static bool entry_check(const struct remat_run *r, const struct remat_function *f, struct problem *why) {
    if (f->n_inputs != r->n_outputs)
        return problem_set(why, PROBLEM_SHAPE, "/inputs", "are %u; %u arrive", f->n_inputs, r->n_outputs);
    for (uint32_t i = 0; i < f->n_inputs; i++) {
        const struct tensor *t = &r->graph.tensors[r->outputs[i]];
        bool same = t->rank == f->inputs[i].rank;
        for (unsigned d = 0; same && d < t->rank; d++)
            same = t->shape[d] == f->inputs[i].size[d];
        if (!same) {
            problem_set(why, PROBLEM_SHAPE, "", "is not the shape of what arrives, %s", t->name);
            return problem_nest(why, "/inputs/%u", i);
        }
    }
    return true;
}

static bool sequence_build(struct remat_run *r, const struct remat_tensor *inputs, unsigned n_inputs,
                           struct problem *why) {
    struct sequence *s = r->own;
    if (!checkpoint_run_start(r, why))
        return false;
    r->inputs = arena_new(&r->arena, uint32_t, n_inputs, why);
    if (!r->inputs)
        return false;
    for (unsigned i = 0; i < n_inputs; i++) {
        r->inputs[i] = checkpoint_run_input(r, "", "input", &inputs[i], true, why);
        if (r->inputs[i] == GRAPH_NONE)
            return problem_nest(why, "/inputs/%u", i);
    }
    r->n_inputs = r->n_outputs = n_inputs;
    r->outputs = r->inputs;
    for (unsigned i = 0; i < s->n_functions; i++)
        if (!entry_check(r, &s->functions[i].f, why) || !function_add(r, &s->functions[i], i, why))
            return problem_nest(why, "/functions/%u", i);
    return true;
}

/* Lists of pointers and of names "/inputs/0" for checkpoint_run. */
static struct remat_tensor **pointers(struct remat_run *r, struct remat_tensor *tensors, unsigned n,
                                      struct problem *why) {
    struct remat_tensor **list = arena_new(&r->arena, struct remat_tensor *, n, why);
    for (unsigned i = 0; list && i < n; i++)
        list[i] = &tensors[i];
    return list;
}

static const char **names(struct remat_run *r, const char *of, unsigned n, struct problem *why) {
    const char **list = arena_new(&r->arena, const char *, n, why);
    for (unsigned i = 0; list && i < n; i++)
        if (!(list[i] = arena_printf(&r->arena, why, "/%s/%u", of, i)))
            return NULL;
    return list;
}

static bool sequence_forward(struct remat_run *r, const struct remat_tensor *inputs, unsigned n_inputs,
                             struct remat_tensor *outputs, unsigned n_outputs, struct problem *why) {
    struct sequence *s = r->own;
    const struct strategy strategy = {.planner = s->segments ? &planner_uniform : &planner_every_layer,
                                      .segments = s->segments};
    if (!sequence_build(r, inputs, n_inputs, why))
        return false;
    if (n_outputs != r->n_outputs)
        return problem_set(why, PROBLEM_SHAPE, "/outputs", "are %u; the functions make %u", n_outputs, r->n_outputs);
    struct remat_tensor **to = pointers(r, outputs, n_outputs, why);
    const char **wheres = names(r, "outputs", n_outputs, why);
    return to && wheres && checkpoint_run_forward(r, &strategy, to, wheres, why);
}

static bool sequence_backward(struct remat_run *r, const struct remat_tensor *grad_outputs,
                              struct remat_tensor *grad_inputs, struct problem *why) {
    if (!r || r->state != RUN_FORWARDED)
        return checkpoint_run_backward(r, NULL, NULL, NULL, why);
    const struct remat_tensor **from = arena_new(&r->arena, const struct remat_tensor *, r->n_outputs, why);
    struct remat_tensor **to = pointers(r, grad_inputs, r->n_inputs, why);
    const char **wheres = names(r, "grad_inputs", r->n_inputs, why);
    if (!from || !to || !wheres)
        return false;
    for (uint32_t i = 0; i < r->n_outputs; i++)
        from[i] = &grad_outputs[i];
    return checkpoint_run_backward(r, from, to, wheres, why);
}

static bool report_get(const struct remat_run *r, struct remat_report *report) {
    if (!r || r->state != RUN_DONE)
        return false;
    *report = r->report;
    return true;
}

/* ---- checkpoint_sequential ---- */

bool remat_checkpoint_sequential(struct remat_checkpointed_sequence *s, const struct remat_function *functions,
                                 unsigned n_functions, unsigned segments, const struct remat_options *options,
                                 const struct remat_tensor *inputs, unsigned n_inputs, struct remat_tensor *outputs,
                                 unsigned n_outputs, struct remat_problem *why) {
    struct problem inner = {0};
    s->run = NULL;
    if (n_functions == 0)
        return checkpoint_tell(problem_set(&inner, PROBLEM_MISSING_FIELD, "/functions", "there are none"), &inner, why);
    if (segments > n_functions)
        return checkpoint_tell(
            problem_set(&inner, PROBLEM_LIMIT, "/segments", "is %u; there are %u functions", segments, n_functions),
            &inner, why);
    s->run = sequence_new(functions, n_functions, segments, options, &inner);
    bool ok = s->run && sequence_forward(s->run, inputs, n_inputs, outputs, n_outputs, &inner);
    if (!ok)
        remat_checkpoint_sequential_free(s);
    return checkpoint_tell(ok, &inner, why);
}

bool remat_checkpoint_sequential_backward(struct remat_checkpointed_sequence *s,
                                          const struct remat_tensor *grad_outputs, struct remat_tensor *grad_inputs,
                                          struct remat_problem *why) {
    struct problem inner = {0};
    return checkpoint_tell(sequence_backward(s->run, grad_outputs, grad_inputs, &inner), &inner, why);
}

bool remat_checkpoint_sequential_report(const struct remat_checkpointed_sequence *s, struct remat_report *report) {
    return report_get(s->run, report);
}

void remat_checkpoint_sequential_free(struct remat_checkpointed_sequence *s) {
    sequence_free(s->run);
    s->run = NULL;
}

/* ---- CheckpointedFunction ---- */

bool remat_checkpointed_function_init(struct remat_checkpointed_function *f, const struct remat_function *function,
                                      const struct remat_options *options, struct remat_problem *why) {
    struct problem inner = {0};
    f->run = sequence_new(function, 1, 0, options, &inner);
    return checkpoint_tell(f->run != NULL, &inner, why);
}

bool remat_checkpointed_function_forward(struct remat_checkpointed_function *f, const struct remat_tensor *inputs,
                                         struct remat_tensor *outputs, struct remat_problem *why) {
    struct problem inner = {0};
    const struct sequence *s = f->run ? f->run->own : NULL;
    bool ok =
        s ? sequence_forward(f->run, inputs, s->functions[0].f.n_inputs, outputs, s->functions[0].f.n_outputs, &inner)
          : problem_set(&inner, PROBLEM_STATE, "", "forward before init");
    return checkpoint_tell(ok, &inner, why);
}

bool remat_checkpointed_function_backward(struct remat_checkpointed_function *f,
                                          const struct remat_tensor *grad_outputs, struct remat_tensor *grad_inputs,
                                          struct remat_problem *why) {
    struct problem inner = {0};
    return checkpoint_tell(sequence_backward(f->run, grad_outputs, grad_inputs, &inner), &inner, why);
}

bool remat_checkpointed_function_report(const struct remat_checkpointed_function *f, struct remat_report *report) {
    return report_get(f->run, report);
}

void remat_checkpointed_function_free(struct remat_checkpointed_function *f) {
    sequence_free(f->run);
    f->run = NULL;
}
