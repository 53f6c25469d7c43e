/* job_sequential.c - jobs of kind `sequential`: a list of functions, checkpointed by any strategy of the planner table.
 */
#include <stdio.h>
#include <string.h>

#include "engine/models/stack.h"
#include "server/job_program.h"
#include "server/wire_functions.h"
#include "server/wire_strategy.h"

#define INPUTS_MAX 64

/* What `auto` chooses from; among equals in recomputation the first. */
static const struct wire_strategy automatic[] = {
    {.strategy = {.planner = &planner_standard}, .json = "\"standard\""},
    {.strategy = {.planner = &planner_selective, .selection = {.parts = PART_NORM}},
     .json = "{\"name\":\"selective\",\"ops\":[\"norm\"]}"},
    {.strategy = {.planner = &planner_selective, .selection = {.parts = PART_ATTENTION_CORE}},
     .json = "{\"name\":\"selective\",\"ops\":[\"attention_core\"]}"},
    {.strategy = {.planner = &planner_selective, .selection = {.parts = PART_ATTENTION}},
     .json = "{\"name\":\"selective\",\"ops\":[\"attention\"]}"},
    {.strategy = {.planner = &planner_selective, .selection = {.parts = PART_MLP}},
     .json = "{\"name\":\"selective\",\"ops\":[\"mlp\"]}"},
    {.strategy = {.planner = &planner_every_n, .n = 4}, .json = "{\"n\":4,\"name\":\"every_n\"}"},
    {.strategy = {.planner = &planner_every_n, .n = 2}, .json = "{\"n\":2,\"name\":\"every_n\"}"},
    {.strategy = {.planner = &planner_every_layer}, .json = "\"every_layer\""},
    {.strategy = {.planner = &planner_uniform, .k = 2}, .json = "{\"k\":2,\"name\":\"uniform\"}"},
    {.strategy = {.planner = &planner_uniform, .k = 3}, .json = "{\"k\":3,\"name\":\"uniform\"}"},
    {.strategy = {.planner = &planner_uniform, .k = 4}, .json = "{\"k\":4,\"name\":\"uniform\"}"},
    {.strategy = {.planner = &planner_uniform, .k = 8}, .json = "{\"k\":8,\"name\":\"uniform\"}"},
};
enum { AUTOMATIC = sizeof automatic / sizeof automatic[0], OWN = AUTOMATIC, COMPARE, CANDIDATES };

struct spec {
    struct wire_tensor *inputs, *grad_outputs; /* grad_outputs NULL: ones */
    uint32_t n_inputs, n_grad_outputs;
    bool one_input, one_grad, segments; /* which of the short fields were used */
    const struct stack_function *functions;
    uint64_t n_functions;
    struct wire_strategy own, compare;
    bool compared;
    struct job_common common;
};

/* ---- reading ---- */

struct reading {
    struct job *job;
    const struct job_context *c;
};

static bool note(void *user, const struct wire_tensor *t, struct problem *why) {
    const struct reading *r = user;
    return job_tensor_note(r->job, t, r->c->arena, why);
}

/* `several`: an array of tensors, or `one`: a tensor. Neither: *n stays 0. */
static bool tensors_read(struct reading *r, const struct wire_value *request, const char *several, const char *one,
                         struct wire_tensor **out, uint32_t *n, bool *was_one, struct problem *why) {
    struct wire_tensor_rules rules = {.blobs = r->c->blobs, .arena = r->c->arena, .rank_min = 2, .rank_max = 3};
    struct wire_value list, single;
    *was_one = wire_get(request, one, &single);
    if (!wire_get(request, several, &list)) {
        if (!*was_one)
            return true;
        *n = 1;
    } else if (*was_one) {
        return wire_fail(&single, why, PROBLEM_UNSUPPORTED, "and %s say the same thing; give one of them", several);
    } else if (!wire_array(&list, 1, INPUTS_MAX, why)) {
        return false;
    } else {
        *n = (uint32_t)wire_length(&list);
    }
    *out = arena_new(r->c->arena, struct wire_tensor, *n, why);
    for (uint32_t i = 0; *out && i < *n; i++) {
        struct wire_value v = *was_one ? single : wire_at(&list, i);
        if (!wire_tensor_read(&v, &rules, &(*out)[i], why) || !note(r, &(*out)[i], why))
            return false;
    }
    return *out != NULL;
}

/* A list of functions has no loss. */
static bool no_loss_check(const struct wire_value *request, const char *field, const struct wire_strategy *s,
                          struct problem *why) {
    struct wire_value v, chunk;
    return s->strategy.loss_chunk == 0 || !wire_get(request, field, &v) || !wire_get(&v, "loss_chunk", &chunk) ||
           wire_fail(&chunk, why, PROBLEM_UNSUPPORTED, "is of a loss; functions have none");
}

static bool strategies_read(const struct wire_value *request, struct arena *a, struct spec *spec, struct problem *why) {
    struct wire_value v, segments;
    spec->own = wire_strategy_plain(&planner_every_layer, "\"every_layer\"");
    if (wire_get(request, "strategy", &v) && !wire_strategy_read(&v, true, a, &spec->own, why))
        return false;
    spec->segments = wire_get(request, "segments", &segments);
    if (spec->segments) {
        struct strategy uniform = {.planner = &planner_uniform};
        if (wire_get(request, "strategy", &v))
            return wire_fail(&segments, why, PROBLEM_UNSUPPORTED, "is short for a strategy; one is given already");
        if (!wire_uint(&segments, 1, WIRE_INTEGER_MAX, &uniform.segments, why))
            return false;
        spec->own = (struct wire_strategy){.strategy = uniform};
        spec->own.json =
            arena_printf(a, why, "{\"name\":\"uniform\",\"segments\":%llu}", (unsigned long long)uniform.segments);
        if (!spec->own.json)
            return false;
    }
    spec->compared = wire_get(request, "compare_with", &v);
    return (!spec->compared || wire_strategy_read(&v, false, a, &spec->compare, why)) &&
           no_loss_check(request, "strategy", &spec->own, why) &&
           no_loss_check(request, "compare_with", &spec->compare, why);
}

static bool read(struct job *job, const struct wire_value *request, const struct job_context *c, struct problem *why) {
    static const char *const fields[] = {"kind",     "inputs",       "input",        "functions",   "strategy",
                                         "segments", "dtype",        "grad_outputs", "grad_output", "backward",
                                         "witness",  "compare_with", "budget_bytes", NULL};
    struct wire_tensor_rules rules = {.blobs = c->blobs, .arena = c->arena};
    struct reading r = {job, c};
    struct spec *spec = arena_new(c->arena, struct spec, 1, why);
    struct wire_value v;
    if (!spec || !wire_object(request, fields, why) || !job_common_read(request, &spec->common, why) ||
        !tensors_read(&r, request, "inputs", "input", &spec->inputs, &spec->n_inputs, &spec->one_input, why))
        return false;
    if (spec->n_inputs == 0)
        return wire_need(request, "inputs", &v, why);
    if (!tensors_read(&r, request, "grad_outputs", "grad_output", &spec->grad_outputs, &spec->n_grad_outputs,
                      &spec->one_grad, why))
        return false;
    if (spec->n_grad_outputs && !spec->common.backward &&
        wire_get(request, spec->one_grad ? "grad_output" : "grad_outputs", &v))
        return wire_fail(&v, why, PROBLEM_UNSUPPORTED, "has no use where backward is false");
    job->spec = spec;
    return wire_need(request, "functions", &v, why) &&
           wire_functions_read(&v, &rules, note, &r, &spec->functions, &spec->n_functions, why) &&
           strategies_read(request, c->arena, spec, why);
}

/* ---- the graph ---- */

/* The engine's pointers where they are not the request's: "/functions/0/inputs/3" is the mask, "/inputs/0" may be
 * "/input". */
static bool stack_problem(const struct spec *spec, struct problem *why) {
    char *at = strstr(why->where, "/inputs/");
    if (!at)
        return false;
    if (at != why->where)
        strcpy(at, strcmp(at, "/inputs/3") == 0 ? "/mask" : "");
    else if (spec->one_input)
        strcpy(at, "/input");
    return false;
}

static bool planner_problem(const struct spec *spec, unsigned candidate, struct problem *why) {
    if (why->kind == PROBLEM_BUDGET || why->kind == PROBLEM_MEMORY)
        return false;
    if (candidate == COMPARE)
        return problem_nest(why, "/compare_with");
    return spec->segments ? false : problem_nest(why, "/strategy");
}

static bool same_but_batch(const struct wire_tensor *t, const struct tensor *like) {
    unsigned skip = like->rank - t->rank; /* [N, D] for [1, N, D] */
    for (unsigned i = 0; i < skip; i++)
        if (like->shape[i] != 1)
            return false;
    return memcmp(t->shape, like->shape + skip, t->rank * sizeof *t->shape) == 0;
}

/* Gradients of the outputs as given, else ones. */
static bool gradients_feed(const struct spec *spec, const struct stack *stack, struct job_program *p,
                           struct problem *why) {
    const struct graph *g = &p->graph;
    const char *field = spec->one_grad ? "/grad_output" : "/grad_outputs";
    if (spec->n_grad_outputs && spec->n_grad_outputs != stack->n_outputs)
        return problem_set(why, PROBLEM_SHAPE, field, "there are %u outputs", stack->n_outputs);
    for (uint32_t i = 0; i < stack->n_outputs; i++) {
        const struct tensor *output = &g->tensors[stack->outputs[i]];
        struct wire_tensor *t;
        const char *name = arena_printf(g->arena, why, stack->n_outputs == 1 ? "grad_output" : "grad_output.%u", i);
        if (!name)
            return false;
        if (spec->n_grad_outputs) {
            t = &spec->grad_outputs[i];
            if (t->rank > output->rank || !same_but_batch(t, output)) {
                problem_set(why, PROBLEM_SHAPE, "", "must have the shape of output %u", i);
                return spec->one_grad ? problem_nest(why, "%s", field) : problem_nest(why, "%s/%u", field, i);
            }
        } else {
            t = arena_new(g->arena, struct wire_tensor, 1, why);
            if (!t)
                return false;
            *t = wire_tensor_ones(output->rank, output->shape, output->elements);
        }
        struct job_feed *feed = job_program_feed(p, g->n_tensors + stack->outputs[i], t, NULL, name);
        feed->rank = t->rank;
        memcpy(feed->shape, t->shape, sizeof feed->shape);
    }
    return true;
}

/* Inputs, masks, then parameters: neighbours of one group belong together in the result. */
static bool feeds_add(const struct spec *spec, const struct stack *stack, struct job_program *p, struct problem *why) {
    const struct graph *g = &p->graph;
    for (uint32_t i = 0; i < stack->n_inputs; i++) {
        struct job_feed *feed =
            job_program_feed(p, stack->inputs[i], &spec->inputs[i], NULL, g->tensors[stack->inputs[i]].name);
        feed->rank = spec->inputs[i].rank;
        memcpy(feed->shape, spec->inputs[i].shape, sizeof feed->shape);
    }
    for (unsigned parameters = 0; parameters < 2; parameters++)
        for (uint32_t i = 0; i < stack->n_origins; i++) {
            const struct stack_origin *origin = &stack->origins[i];
            const struct tensor *t = &g->tensors[origin->tensor];
            if ((t->role == TENSOR_PARAMETER) != (bool)parameters)
                continue;
            struct job_feed *feed =
                job_program_feed(p, origin->tensor, origin->given, parameters ? "parameters" : NULL, t->name);
            feed->origin = origin;
        }
    return !g->backward || gradients_feed(spec, stack, p, why);
}

/* One is itself, several are a list; without a batch in the inputs there is none in the answer. */
static void tensors_yield(const struct spec *spec, struct job_program *p, const uint32_t *tensors, uint32_t n,
                          uint32_t base, const char *name) {
    for (uint32_t i = 0; i < n; i++) {
        struct job_yield *yield = job_program_yield(p, base + tensors[i], n == 1 ? NULL : name, n == 1 ? name : NULL);
        if (spec->inputs[i < spec->n_inputs ? i : 0].rank == 2 && yield->rank == 3) {
            yield->rank = 2;
            memmove(yield->shape, yield->shape + 1, 2 * sizeof *yield->shape);
        }
    }
}

static void yields_add(const struct spec *spec, const struct stack *stack, struct job_program *p) {
    const struct graph *g = &p->graph;
    tensors_yield(spec, p, stack->outputs, stack->n_outputs, 0, "output");
    if (!g->backward)
        return;
    tensors_yield(spec, p, stack->inputs, stack->n_inputs, g->n_tensors, "grad_input");
    for (uint32_t i = 0; i < stack->n_origins; i++) {
        uint32_t t = stack->origins[i].tensor;
        if (g->tensors[t].role == TENSOR_PARAMETER && g->tensors[t].needs_grad)
            job_program_yield(p, g->n_tensors + t, "grad_parameters", g->tensors[t].name);
    }
}

static bool stack_build(const struct spec *spec, struct graph *g, struct stack *stack, struct problem *why) {
    uint64_t(*shapes)[GRAPH_RANK_MAX] = arena_take(g->arena, spec->n_inputs, sizeof *shapes, why);
    unsigned *ranks = arena_new(g->arena, unsigned, spec->n_inputs, why);
    if (!shapes || !ranks)
        return false;
    for (uint32_t i = 0; i < spec->n_inputs; i++) {
        const struct wire_tensor *t = &spec->inputs[i];
        ranks[i] = 3;
        shapes[i][0] = 1;
        memcpy(shapes[i] + 3 - t->rank, t->shape, t->rank * sizeof *t->shape);
    }
    return stack_make(g, (const uint64_t(*)[GRAPH_RANK_MAX])shapes, ranks, spec->n_inputs, spec->functions,
                      spec->n_functions, stack, why) ||
           stack_problem(spec, why);
}

static bool build(const void *from, unsigned candidate, const struct job_context *c, struct job_program *p,
                  struct problem *why) {
    const struct spec *spec = from;
    const struct wire_strategy *strategy = candidate == OWN       ? &spec->own
                                           : candidate == COMPARE ? &spec->compare
                                                                  : &automatic[candidate];
    struct stack stack;
    if (!graph_init(&p->graph, c->arena, c->threads, spec->common.backward, why) ||
        !stack_build(spec, &p->graph, &stack, why))
        return false;
    struct strategy within = strategy->strategy;
    within.budget_bytes = job_program_budget(spec->common.budget_bytes, within.budget_bytes);
    if (!job_program_objective(&within, why) || !planner_plan(&p->graph, &within, c->arena, &p->plan, why))
        return planner_problem(spec, candidate, why);
    p->strategy = strategy->json;
    if (!job_program_room(p, stack.n_inputs + stack.n_origins + stack.n_outputs,
                          stack.n_outputs + stack.n_inputs + stack.n_origins, why) ||
        !feeds_add(spec, &stack, p, why))
        return false;
    yields_add(spec, &stack, p);
    return true;
}

static bool plan(struct job *job, const struct job_context *c, struct problem *why) {
    const struct spec *spec = job->spec;
    unsigned candidates[AUTOMATIC] = {OWN};
    for (unsigned i = 0; spec->own.automatic && i < AUTOMATIC; i++)
        candidates[i] = i;
    return job_program_plan(job,
                            &(struct job_computation){.build = build,
                                                      .candidates = candidates,
                                                      .n_candidates = spec->own.automatic ? AUTOMATIC : 1,
                                                      .automatic = spec->own.automatic,
                                                      .compare_candidate = spec->compared ? COMPARE : -1,
                                                      .budget_bytes = spec->common.budget_bytes,
                                                      .strategy_bytes = spec->own.strategy.budget_bytes,
                                                      .witness = spec->common.witness},
                            c, why);
}

const struct job_kind job_sequential = {.name = "sequential",
                                        .description = "functions one after another, checkpointed by any strategy",
                                        .read = read,
                                        .plan = plan,
                                        .run = job_program_run};
