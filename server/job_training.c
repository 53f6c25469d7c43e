/* job_training.c - jobs of kind `training_step`: steps of a whole transformer, under any strategy. */
#include "server/job_training.h"

#include <math.h>
#include <string.h>

#include "engine/base/units.h"
#include "engine/exec/exec.h"
#include "server/plan_optimal.h"

/* What `auto` tries where whole logits do not fit: so few tokens at once that their logits are a small thing. */
#define AUTOMATIC_CHUNK 512u

#define AUTOMATIC_OPTIMAL 100u /* layers of a model whose optimal plan is found within about a second */
/* What `auto` plans in all, candidates times layers: about a second. Deeper models get fewer candidates. */
#define AUTOMATIC_LAYERS 8192u

/* Candidates of build beyond the list of `auto`. */
enum { OWN = 2 * PLAN_CANDIDATES_MAX, COMPARE };

/* ---- reading ---- */

static const struct {
    const char *name;
    size_t offset;
    double least, most;
    bool general; /* of every optimizer; the others of those whose rule has one */
} rule_fields[] = {{"learning_rate", offsetof(struct update_rule, rate), 0, 1e6, true},
                   {"beta1", offsetof(struct update_rule, beta1), 0, 1, false},
                   {"beta2", offsetof(struct update_rule, beta2), 0, 1, false},
                   {"epsilon", offsetof(struct update_rule, epsilon), 0, 1, false},
                   {"weight_decay", offsetof(struct update_rule, decay), 0, 1e6, true},
                   {"momentum", offsetof(struct update_rule, momentum), 0, 1, false}};

static bool useless(const struct wire_value *v, const struct optimizer *o, struct problem *why) {
    return wire_fail(v, why, PROBLEM_UNSUPPORTED, "has no use where the optimizer is %s", o->name);
}

/* Of the optimizer, where it takes a step. */
static bool rule_read(const struct wire_value *request, const struct optimizer *o, struct training_spec *spec,
                      struct problem *why) {
    struct wire_value v;
    spec->rule = o->rule;
    for (size_t i = 0; i < sizeof rule_fields / sizeof rule_fields[0]; i++) {
        float *to = (float *)(void *)((char *)&spec->rule + rule_fields[i].offset);
        double value;
        if (!wire_get(request, rule_fields[i].name, &v))
            continue;
        if (!o->steps || (!rule_fields[i].general && *to == 0))
            return useless(&v, o, why);
        if (!wire_real(&v, rule_fields[i].least, rule_fields[i].most, &value, why))
            return false;
        *to = (float)value;
        if (rule_fields[i].most == 1 && *to >= 1)
            return wire_fail(&v, why, PROBLEM_LIMIT, "must be less than 1");
    }
    if (wire_get(request, "clip_norm", &v) && !o->steps)
        return useless(&v, o, why);
    return wire_real_of(request, "clip_norm", 0, 1e30, &spec->clip_norm, why);
}

static bool outputs_read(const struct wire_value *request, unsigned *outputs, struct problem *why) {
    static const struct {
        const char *name;
        enum training_output bit;
    } names[] = {{"gradients", TRAINING_GRADIENTS},
                 {"weights", TRAINING_WEIGHTS},
                 {"initial_weights", TRAINING_INITIAL_WEIGHTS}};
    enum { NAMES = sizeof names / sizeof names[0] };
    struct wire_value list;
    if (!wire_get(request, "outputs", &list))
        return true;
    if (!wire_array(&list, 0, NAMES, why))
        return false;
    for (size_t i = 0; i < wire_length(&list); i++) {
        struct wire_value v = wire_at(&list, i);
        const char *name;
        unsigned n = 0;
        if (!wire_string(&v, &name, why))
            return false;
        while (n < NAMES && strcmp(names[n].name, name) != 0)
            n++;
        if (n == NAMES)
            return wire_fail(&v, why, PROBLEM_LIMIT, "must be gradients, weights or initial_weights");
        *outputs |= names[n].bit;
    }
    return true;
}

static bool workload_read(const struct wire_value *request, struct arena *a, struct training_spec *spec,
                          struct problem *why) {
    struct wire_value v, field;
    if (!wire_need(request, "workload", &v, why) || !wire_workload_read(&v, false, a, &spec->w, why))
        return false;
    if (spec->w.megatron && wire_get(&v, "framework", &field))
        return wire_fail(&field, why, PROBLEM_UNSUPPORTED, "is megatron, which is closed forms: rematd runs");
    if (spec->w.any_attention && wire_get(&v, "attention", &field))
        return wire_fail(&field, why, PROBLEM_UNSUPPORTED, "is any, which plans alone take: standard and flash run");
    spec->w.workload.seed = spec->seed;
    return true;
}

/* Every so many of the list, and every_layer, which needs least. */
static unsigned thin_out(struct plan_candidate *list, unsigned n, uint64_t layers) {
    const uint64_t every = units_ceil_div(n * layers, AUTOMATIC_LAYERS);
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++)
        if (i % every == 0 || list[i].strategy.planner == &planner_every_layer)
            list[kept++] = list[i];
    return kept;
}

static bool strategies_read(const struct wire_value *request, struct arena *a, struct training_spec *spec,
                            struct problem *why) {
    struct wire_value v;
    spec->own = wire_strategy_plain(&planner_standard, "\"standard\"");
    if (wire_get(request, "strategy", &v) && !wire_strategy_read(&v, true, a, &spec->own, why))
        return false;
    if (spec->own.automatic) {
        const uint64_t layers = model_graph_layers(&spec->w.workload.model);
        unsigned n, chunked;
        spec->candidates = arena_new(a, struct plan_candidate, 2 * PLAN_CANDIDATES_MAX, why);
        if (!spec->candidates || !plan_candidates_make(layers, 0, a, spec->candidates, &n, why) ||
            !plan_candidates_make(layers, AUTOMATIC_CHUNK, a, spec->candidates + n, &chunked, why))
            return false;
        spec->n_candidates = thin_out(spec->candidates, n + chunked, layers);
        if (layers <= AUTOMATIC_OPTIMAL &&
            spec->n_candidates < 2 * PLAN_CANDIDATES_MAX) /* within the budget, or the smallest there is */
            spec->candidates[spec->n_candidates++] =
                (struct plan_candidate){.strategy = {.planner = &planner_optimal}, .json = "\"optimal\""};
    }
    spec->compared = wire_get(request, "compare_with", &v);
    return !spec->compared || wire_strategy_read(&v, false, a, &spec->compare, why);
}

static bool read(struct job *job, const struct wire_value *request, const struct job_context *c, struct problem *why) {
    static const char *const fields[] = {
        "kind",    "workload", "strategy",     "budget_bytes", "seed",          "tokens",  "text",
        "inputs",  "steps",    "compare_with", "witness",      "learning_rate", "beta1",   "beta2",
        "epsilon", "momentum", "weight_decay", "clip_norm",    "outputs",       "weights", NULL};
    struct training_spec *spec = arena_new(c->arena, struct training_spec, 1, why);
    if (!spec)
        return false;
    spec->steps = 1;
    job->spec = spec;
    return wire_object(request, fields, why) &&
           wire_uint_of(request, "budget_bytes", 1, WIRE_INTEGER_MAX, &spec->budget_bytes, why) &&
           wire_uint_of(request, "seed", 0, WIRE_INTEGER_MAX, &spec->seed, why) &&
           wire_uint_of(request, "steps", 1, TRAINING_STEPS_MAX, &spec->steps, why) &&
           wire_bool_of(request, "witness", &spec->witness, why) && workload_read(request, c->arena, spec, why) &&
           strategies_read(request, c->arena, spec, why) && rule_read(request, spec->w.workload.optimizer, spec, why) &&
           outputs_read(request, &spec->outputs, why) &&
           job_training_weights_read(job, request, c, &spec->weights, why) &&
           job_training_data_read(job, request, c, &spec->w.workload, spec->seed, &spec->data, why);
}

/* ---- planning ---- */

static bool planner_problem(unsigned candidate, struct problem *why) {
    if (why->kind == PROBLEM_BUDGET || why->kind == PROBLEM_MEMORY)
        return false;
    return problem_nest(why, candidate == COMPARE ? "/compare_with" : "/strategy");
}

static bool workload_problem(struct problem *why) {
    why->where[0] = '\0'; /* an op's own name for what is too large: it was read, so it is the whole */
    return problem_nest(why, "/workload");
}

static bool named_build(struct workload *w, const struct strategy *s, unsigned candidate, const struct job_context *c,
                        struct job_program *p, struct problem *why) {
    w->loss_chunk = s->loss_chunk;
    if (!model_lower(w, c->arena, &p->graph, why))
        return workload_problem(why);
    return planner_plan(&p->graph, s, c->arena, &p->plan, why) || planner_problem(candidate, why);
}

static bool optimal_build(const struct workload *w, const struct strategy *s, unsigned candidate,
                          const struct job_context *c, struct job_program *p, struct problem *why) {
    struct plan_optimal o;
    uint32_t which;
    if (!plan_optimal_open(w, s, NULL, c->arena, &o, why))
        return workload_problem(why);
    if (!plan_optimal_within(&o, s->budget_bytes ? s->budget_bytes : UINT64_MAX, c->arena, &p->plan, &which, why))
        return planner_problem(candidate, why);
    p->graph = o.graphs[which];
    p->plan.graph = &p->graph;
    return true;
}

static bool build(const void *from, unsigned candidate, const struct job_context *c, struct job_program *p,
                  struct problem *why) {
    const struct training_spec *spec = from;
    const struct plan_candidate *listed = candidate < OWN ? &spec->candidates[candidate % OWN] : NULL;
    const struct wire_strategy *named = candidate == COMPARE ? &spec->compare : &spec->own;
    struct strategy strategy = listed ? listed->strategy : named->strategy;
    struct workload w = spec->w.workload;
    w.threads = c->threads;
    strategy.budget_bytes = job_program_budget(spec->budget_bytes, strategy.budget_bytes);
    if (!job_program_objective(&strategy, why))
        return planner_problem(candidate, why);
    if (strategy.planner == &planner_optimal ? !optimal_build(&w, &strategy, candidate, c, p, why)
                                             : !named_build(&w, &strategy, candidate, c, p, why))
        return false;
    p->strategy = listed ? listed->json : named->json;
    return true;
}

/* A job's tensors are fetched as one file. */
static bool outputs_check(const struct training_spec *spec, const struct graph *g, struct problem *why) {
    uint32_t n = 0;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        if (g->tensors[t].role == TENSOR_PARAMETER)
            n += !!(spec->outputs & TRAINING_WEIGHTS) + !!(spec->outputs & TRAINING_INITIAL_WEIGHTS) +
                 (spec->outputs & TRAINING_GRADIENTS && graph_is_trained(g, t));
    return n <= TENSOR_FILE_ENTRIES_MAX ||
           problem_set(why, PROBLEM_LIMIT, "/outputs", "are %u tensors; the most is %u", n, TENSOR_FILE_ENTRIES_MAX);
}

/* What is planned is to be run, on what is given. */
static bool runs(struct training_spec *spec, const struct graph *g, struct arena *a, struct problem *why) {
    const struct optimizer *o = spec->w.workload.optimizer;
    if (o->steps && !o->update)
        return problem_set(why, PROBLEM_UNSUPPORTED, "/workload/optimizer", "is %s, which is planned and not run yet",
                           o->name);
    if (spec->w.workload.dtype == DTYPE_FLOAT16)
        return problem_set(why, PROBLEM_UNSUPPORTED, "/workload/dtype",
                           "is float16, which is planned and not run yet: float32 and bfloat16 are");
    if (!model_runs(&spec->w.workload.model, why) || !exec_runs(g, why))
        return problem_nest(why, "/workload");
    return job_training_data_check(&spec->data, g, why) && outputs_check(spec, g, why) &&
           job_training_weights_map(&spec->weights, g, spec->w.model.type, a, why);
}

static bool plan(struct job *job, const struct job_context *c, struct problem *why) {
    struct training_spec *spec = job->spec;
    unsigned candidates[2 * PLAN_CANDIDATES_MAX] = {OWN};
    for (unsigned i = 0; i < spec->n_candidates; i++)
        candidates[i] = i;
    if (!job_program_plan(job,
                          &(struct job_computation){.build = build,
                                                    .candidates = candidates,
                                                    .n_candidates = spec->n_candidates ? spec->n_candidates : 1,
                                                    .automatic = spec->own.automatic,
                                                    .ops_differ = true,
                                                    .compare_candidate = spec->compared ? COMPARE : -1,
                                                    .budget_bytes = spec->budget_bytes,
                                                    .strategy_bytes = spec->own.strategy.budget_bytes,
                                                    .witness = spec->witness},
                          c, why))
        return false;
    return runs(spec, &((const struct job_pair *)job->program)->own.graph, c->arena, why);
}

const struct job_kind job_training = {.name = "training_step",
                                      .description = "steps of training a transformer, under any strategy",
                                      .read = read,
                                      .plan = plan,
                                      .run = job_training_run};
