/* job_attention.c - jobs of kind `attention`: one attention call, forward and backward, by one of four strategies. */
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "engine/plan/planner.h"
#include "server/job_program.h"

enum { Q, K, V, GRAD_OUTPUT, INPUTS };
static const char *const input_names[] = {"q", "k", "v", "grad_output"};

enum { STRATEGIES = 8 };

struct spec {
    struct wire_tensor inputs[INPUTS];
    struct wire_mask mask;
    float scale; /* 0: 1 / sqrt(d) */
    struct attn_dropout dropout;
    struct job_common common;
    unsigned candidates[STRATEGIES], n_candidates;
    bool automatic;
    int compare;
};

/* ---- reading ---- */

static bool same_shape(const struct wire_tensor *a, const struct wire_tensor *b) {
    return a->rank == b->rank && memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0;
}

static bool inputs_read(struct job *job, const struct wire_value *request, const struct job_context *c,
                        struct spec *spec, struct problem *why) {
    static const char *const fields[] = {"q", "k", "v", "grad_output", NULL};
    struct wire_tensor_rules rules = {.blobs = c->blobs, .arena = c->arena, .rank_min = 2, .rank_max = 4};
    struct wire_value inputs, tensor;
    if (!wire_need(request, "inputs", &inputs, why) || !wire_object(&inputs, fields, why))
        return false;
    for (unsigned i = Q; i <= V; i++) {
        struct wire_tensor *t = &spec->inputs[i];
        if (!wire_need(&inputs, input_names[i], &tensor, why) || !wire_tensor_read(&tensor, &rules, t, why) ||
            !job_tensor_note(job, t, c->arena, why))
            return false;
        if (t->rank != spec->inputs[Q].rank)
            return wire_fail(&tensor, why, PROBLEM_SHAPE, "has rank %u, q has %u", t->rank, spec->inputs[Q].rank);
    }
    const struct wire_tensor *q = &spec->inputs[Q];
    struct wire_tensor *grad = &spec->inputs[GRAD_OUTPUT];
    if (!wire_get(&inputs, input_names[GRAD_OUTPUT], &tensor)) {
        *grad = wire_tensor_ones(q->rank, q->shape, q->elements);
        return true;
    }
    if (!spec->common.backward)
        return wire_fail(&tensor, why, PROBLEM_UNSUPPORTED, "has no use where backward is false");
    if (!wire_tensor_read(&tensor, &rules, grad, why) || !job_tensor_note(job, grad, c->arena, why))
        return false;
    return same_shape(grad, q) ||
           wire_fail(&tensor, why, PROBLEM_SHAPE, "must have the shape of the output, which is q's");
}

static bool strategy_read(const struct wire_value *v, bool may_be_auto, int *row, struct problem *why) {
    static const char *const fields[] = {"name", NULL};
    struct wire_value named = *v;
    const char *name;
    if (wire_type(v) == WIRE_OBJECT && (!wire_object(v, fields, why) || !wire_need(v, "name", &named, why)))
        return false;
    if (!wire_string(&named, &name, why))
        return false;
    *row = -1;
    if (may_be_auto && strcmp(name, "auto") == 0)
        return true;
    const struct attention_strategy *found = attention_strategy_find(strcmp(name, "none") == 0 ? "standard" : name);
    if (!found)
        return wire_fail(&named, why, PROBLEM_LIMIT, "must be standard, checkpointed, flash%s",
                         may_be_auto ? ", flash_checkpointed or auto" : " or flash_checkpointed");
    *row = (int)(found - attention_strategy_table);
    return true;
}

static bool strategies_read(const struct wire_value *request, struct spec *spec, struct problem *why) {
    struct wire_value v;
    int row = (int)(attention_strategy_find("checkpointed") - attention_strategy_table);
    spec->compare = -1;
    if (wire_get(request, "strategy", &v) && !strategy_read(&v, true, &row, why))
        return false;
    if (wire_get(request, "compare_with", &v) && !strategy_read(&v, false, &spec->compare, why))
        return false;
    spec->automatic = row < 0;
    spec->n_candidates = row < 0 ? attention_strategy_table_length : 1;
    for (unsigned i = 0; i < spec->n_candidates && i < STRATEGIES; i++)
        spec->candidates[i] = row < 0 ? i : (unsigned)row;
    return true;
}

static bool read(struct job *job, const struct wire_value *request, const struct job_context *c, struct problem *why) {
    static const char *const fields[] = {"kind",     "inputs",   "dtype",   "mask",         "scale",        "dropout",
                                         "strategy", "backward", "witness", "compare_with", "budget_bytes", NULL};
    struct wire_tensor_rules rules = {.blobs = c->blobs, .arena = c->arena};
    struct spec *spec = arena_new(c->arena, struct spec, 1, why);
    struct wire_value v;
    double scale = 0;
    if (!spec || !wire_object(request, fields, why) || !job_common_read(request, &spec->common, why) ||
        !inputs_read(job, request, c, spec, why) || !strategies_read(request, spec, why))
        return false;
    spec->mask = (struct wire_mask){.behind = ATTN_FAR, .ahead = ATTN_FAR};
    if (wire_get(request, "mask", &v) &&
        (!wire_mask_read(&v, &rules, &spec->mask, why) || !job_tensor_note(job, spec->mask.bias, c->arena, why)))
        return false;
    if (wire_get(request, "scale", &v)) {
        if (!wire_real(&v, -(double)FLT_MAX, (double)FLT_MAX, &scale, why))
            return false;
        spec->scale = (float)scale;
        if (spec->scale == 0)
            return wire_fail(&v, why, PROBLEM_LIMIT, "is 0 in float32; every weight would be alike");
    }
    if (wire_get(request, "dropout", &v) && !wire_dropout_read(&v, &spec->dropout, why))
        return false;
    job->spec = spec;
    return true;
}

/* ---- the graph ---- */

/* The engine knows inputs by number. */
static bool named_problem(struct problem *why) {
    static const char *const names[] = {"/inputs/q", "/inputs/k", "/inputs/v", "/mask"};
    for (unsigned i = 0; i < 4; i++) {
        char number[16];
        snprintf(number, sizeof number, "/inputs/%u", i);
        if (strcmp(why->where, number) == 0)
            snprintf(why->where, sizeof why->where, "%s", names[i]);
    }
    return false;
}

/* As [B, H, N, D]. */
static uint32_t input_add(struct graph *g, const struct wire_tensor *t, const char *name, struct problem *why) {
    uint64_t shape[4] = {1, 1, 1, 1};
    for (unsigned i = 0; i < t->rank; i++)
        shape[4 - t->rank + i] = t->shape[i];
    return graph_tensor(g, TENSOR_INPUT, name, DTYPE_FLOAT32, 4, shape, true, why);
}

static void shaped(unsigned *rank, uint64_t shape[GRAPH_RANK_MAX], const struct wire_tensor *like) {
    *rank = like->rank;
    memcpy(shape, like->shape, like->rank * sizeof *shape);
}

static bool ends_add(const struct spec *spec, const uint32_t tensors[4], uint32_t output, struct job_program *p,
                     struct problem *why) {
    static const char *const gradient_names[] = {"grad_q", "grad_k", "grad_v"};
    if (!job_program_room(p, 5, 4, why))
        return false;
    for (unsigned i = Q; i <= V; i++) {
        struct job_feed *feed = job_program_feed(p, tensors[i], &spec->inputs[i], NULL, input_names[i]);
        shaped(&feed->rank, feed->shape, &spec->inputs[i]);
    }
    if (spec->mask.bias)
        job_program_feed(p, tensors[3], spec->mask.bias, NULL, "mask");
    struct job_yield *yield = job_program_yield(p, output, NULL, "output");
    shaped(&yield->rank, yield->shape, &spec->inputs[Q]);
    if (!spec->common.backward)
        return true;
    const uint32_t gradient = p->graph.n_tensors;
    struct job_feed *feed = job_program_feed(p, gradient + output, &spec->inputs[GRAD_OUTPUT], NULL, "grad_output");
    shaped(&feed->rank, feed->shape, &spec->inputs[GRAD_OUTPUT]);
    for (unsigned i = Q; i <= V; i++) {
        yield = job_program_yield(p, gradient + tensors[i], NULL, gradient_names[i]);
        shaped(&yield->rank, yield->shape, &spec->inputs[i]);
    }
    return true;
}

static bool build(const void *from, unsigned candidate, const struct job_context *c, struct job_program *p,
                  struct problem *why) {
    const struct spec *spec = from;
    const struct attention_strategy *row = &attention_strategy_table[candidate];
    const struct strategy strategy = attention_strategy_plan(row);
    uint32_t tensors[4];
    if (!graph_init(&p->graph, c->arena, c->threads, spec->common.backward, why))
        return false;
    for (unsigned i = Q; i <= V; i++)
        if ((tensors[i] = input_add(&p->graph, &spec->inputs[i], input_names[i], why)) == GRAPH_NONE)
            return problem_nest(why, "/inputs/%s", input_names[i]);
    const struct wire_tensor *bias = spec->mask.bias;
    if (bias && (tensors[3] = graph_tensor(&p->graph, TENSOR_INPUT, "mask", DTYPE_FLOAT32, bias->rank, bias->shape,
                                           false, why)) == GRAPH_NONE)
        return problem_nest(why, "/mask");
    const struct op op = {.kind = OP_ATTENTION,
                          .name = "attention",
                          .inputs = tensors,
                          .n_inputs = bias ? 4 : 3,
                          .parts = PART_ATTENTION | PART_ATTENTION_CORE,
                          .attention = {.kernel = row->kernel,
                                        .layout = ATTN_HEADS_FIRST,
                                        .behind = spec->mask.behind,
                                        .ahead = spec->mask.ahead,
                                        .scale = spec->scale,
                                        .dropout = spec->dropout}};
    uint32_t id = graph_op(&p->graph, &op, why);
    if (id == GRAPH_NONE)
        return named_problem(why);
    uint32_t output = graph_result(&p->graph, id, 0);
    graph_request(&p->graph, output);
    for (unsigned i = Q; i <= V; i++)
        graph_request_grad(&p->graph, tensors[i]);
    p->strategy = arena_printf(c->arena, why, "\"%s\"", row->name);
    return p->strategy && graph_finish(&p->graph, why) && planner_plan(&p->graph, &strategy, c->arena, &p->plan, why) &&
           ends_add(spec, tensors, output, p, why);
}

static bool plan(struct job *job, const struct job_context *c, struct problem *why) {
    const struct spec *spec = job->spec;
    return job_program_plan(job,
                            &(struct job_computation){.build = build,
                                                      .candidates = spec->candidates,
                                                      .n_candidates = spec->n_candidates,
                                                      .automatic = spec->automatic,
                                                      .compare_candidate = spec->compare,
                                                      .budget_bytes = spec->common.budget_bytes,
                                                      .witness = spec->common.witness},
                            c, why);
}

const struct job_kind job_attention = {.name = "attention",
                                       .description = "one attention call, forward and backward",
                                       .read = read,
                                       .plan = plan,
                                       .run = job_program_run};
