/* plan_query.c - requests for plans: read, planned, answered; see plan_query.h. */
#include "server/plan_query.h"

#include <string.h>

#include "engine/base/units.h"

/* ---- reading ---- */

static bool include_read(const struct wire_value *v, unsigned *include, struct problem *why) {
    static const struct {
        const char *name;
        unsigned bit;
    } names[] = {{"timeline", PLAN_INCLUDE_TIMELINE}, {"steps", PLAN_INCLUDE_STEPS},
                 {"layers", PLAN_INCLUDE_LAYERS},     {"alive_at_peak", PLAN_INCLUDE_ALIVE},
                 {"apply", PLAN_INCLUDE_APPLY},       {"explain", PLAN_INCLUDE_EXPLAIN}};
    enum { NAMES = sizeof names / sizeof names[0] };
    if (!wire_array(v, 0, 16, why))
        return false;
    for (size_t i = 0; i < wire_length(v); i++) {
        struct wire_value element = wire_at(v, i);
        const char *name;
        unsigned n = 0;
        if (!wire_string(&element, &name, why))
            return false;
        while (n < NAMES && strcmp(names[n].name, name) != 0)
            n++;
        if (n == NAMES)
            return wire_fail(&element, why, PROBLEM_LIMIT,
                             "must be timeline, steps, layers, alive_at_peak, apply or explain");
        *include |= names[n].bit;
    }
    return true;
}

static bool find_read(const struct wire_value *v, enum plan_find *find, struct problem *why) {
    static const char *const names[] = {
        [PLAN_FIND_SEQ_LEN] = "seq_len", [PLAN_FIND_BATCH] = "batch", [PLAN_FIND_LAYERS] = "layers"};
    struct wire_value what;
    const char *name;
    if (!wire_need(v, "find", &what, why) || !wire_string(&what, &name, why))
        return false;
    for (*find = PLAN_FIND_SEQ_LEN; *find <= PLAN_FIND_LAYERS; ++*find)
        if (strcmp(names[*find], name) == 0)
            return true;
    if (strcmp(name, "devices") == 0)
        return wire_fail(&what, why, PROBLEM_UNSUPPORTED, "is devices, which is not built yet");
    return wire_fail(&what, why, PROBLEM_LIMIT, "must be seq_len, batch or layers");
}

static bool budget_read(const struct wire_value *v, struct plan_host *host, struct arena *a, struct plan_query *out,
                        struct problem *why) {
    if (!plan_device_read(v, host, a, &out->device, why))
        return false;
    out->budget_bytes = out->device ? out->device->memory_bytes : UINT64_MAX;
    return wire_uint_of(v, "budget_bytes", 1, WIRE_INTEGER_MAX, &out->budget_bytes, why);
}

static bool objective_check(const struct plan_query *q, struct problem *why) {
    return q->strategy.strategy.objective == OBJECTIVE_FLOPS || q->device ||
           problem_set(why, PROBLEM_MISSING_FIELD, "/device", "is required where seconds are the objective");
}

bool plan_query_read(const struct wire_value *v, enum plan_form form, struct plan_host *host, struct arena *a,
                     struct plan_query *out, struct problem *why) {
    static const char *const fields[][9] = {
        [PLAN_FORM_PLAN] = {"workload", "strategy", "budget_bytes", "device", "include", "max_points"},
        [PLAN_FORM_CAPACITY] = {"workload", "strategy", "budget_bytes", "device", "include", "max_points", "find"},
        [PLAN_FORM_JOB] = {"workload", "strategy", "budget_bytes", "device", "include", "max_points", "kind"},
    };
    const bool capacity = form == PLAN_FORM_CAPACITY;
    struct wire_value field;
    *out = (struct plan_query){.max_points = PLAN_QUERY_POINTS};
    out->strategy = wire_strategy_plain(&planner_standard, "\"standard\"");
    if (!wire_object(v, fields[form], why))
        return false;
    if (!wire_need(v, "workload", &field, why) || (capacity && !find_read(v, &out->find, why)) ||
        !wire_workload_read(&field, out->find == PLAN_FIND_SEQ_LEN, a, &out->w, why) ||
        (wire_get(v, "strategy", &field) && !wire_strategy_read(&field, false, a, &out->strategy, why)) ||
        (wire_get(v, "include", &field) && !include_read(&field, &out->include, why)) ||
        !wire_uint_of(v, "max_points", 1, 100000, &out->max_points, why) || !budget_read(v, host, a, out, why))
        return false;
    if (out->find == PLAN_FIND_SEQ_LEN && out->w.workload.model.family == MODEL_VISION && wire_get(v, "find", &field))
        return wire_fail(&field, why, PROBLEM_LIMIT, "is seq_len, which the image fixes: find batch or layers");
    if (!objective_check(out, why))
        return false;
    if (capacity && plan_query_budget(out) == UINT64_MAX)
        return problem_set(why, PROBLEM_MISSING_FIELD, "/budget_bytes", "is required, or a device");
    return true;
}

bool plan_query_frontier_read(const struct wire_value *v, struct plan_host *host, struct arena *a,
                              struct plan_query *out, struct problem *why) {
    static const char *const fields[] = {"workload", "device", "objective", "points", NULL};
    struct wire_value field;
    *out = (struct plan_query){.max_points = PLAN_QUERY_POINTS, .budget_bytes = UINT64_MAX};
    return wire_object(v, fields, why) && wire_need(v, "workload", &field, why) &&
           wire_workload_read(&field, false, a, &out->w, why) &&
           wire_uint_of(v, "points", 1, PLAN_QUERY_POINTS, &out->max_points, why) &&
           budget_read(v, host, a, out, why) && wire_strategy_objective(v, &out->strategy.strategy.objective, why) &&
           objective_check(out, why);
}

/* ---- planning ---- */

static uint64_t passes(const struct plan_query *q) {
    return q->w.workload.gradient_accumulation ? q->w.workload.gradient_accumulation : 1;
}

/* A step is so many passes over the graph; their FLOPs can be counted like those of one. */
static bool step_check(const struct plan_query *q, const struct plan *p, struct problem *why) {
    const uint64_t pass = p->forward_flops + p->backward_flops + p->recompute_flops; /* at most 2^62 */
    if (pass <= ((uint64_t)1 << 62) / passes(q))
        return true;
    return problem_set(why, PROBLEM_LIMIT, "/workload/gradient_accumulation",
                       "makes more than 2^62 operations of a step");
}

bool plan_query_tokens(const struct plan_query *q, uint64_t *tokens, struct problem *why) {
    const struct workload *w = &q->w.workload;
    if (units_product((const uint64_t[]){w->batch, w->seq_len, passes(q)}, 3, tokens))
        return true;
    return problem_set(why, PROBLEM_LIMIT, "/workload/gradient_accumulation", "makes more than 2^64 tokens a step");
}

static bool lower(const struct plan_query *q, uint64_t loss_chunk, struct arena *scratch, struct graph *g,
                  struct problem *why) {
    struct workload w = q->w.workload;
    w.loss_chunk = loss_chunk;
    if (model_lower(&w, scratch, g, why))
        return true;
    why->where[0] = '\0'; /* an op's own name for what is too large: it was read, so it is the whole */
    return problem_nest(why, "/workload");
}

static bool whole_make(const struct plan_query *q, struct arena *scratch, struct plan_made *m, struct problem *why) {
    m->whole = m->graph;
    if (m->loss_chunk && !lower(q, 0, scratch, &m->whole, why))
        return false;
    m->whole_flops = 0; /* graph_finish has seen that they can be added */
    for (uint32_t i = 0; i < m->whole.n_ops; i++)
        m->whole_flops += m->whole.ops[i].forward_flops + m->whole.ops[i].backward_flops;
    return true;
}

double plan_query_overhead_pct(const struct plan_made *m, const struct plan *p) {
    const uint64_t all = p->forward_flops + p->backward_flops + p->recompute_flops;
    return 100 * ((double)all - (double)m->whole_flops) / (double)m->whole_flops;
}

/* Of the request and of the strategy, the smaller. */
uint64_t plan_query_budget(const struct plan_query *q) {
    const uint64_t own = q->strategy.strategy.budget_bytes;
    return own ? units_min(own, q->budget_bytes) : q->budget_bytes;
}

static bool optimal_make(const struct plan_query *q, struct arena *scratch, struct plan_made *made,
                         struct problem *why) {
    struct plan_optimal o;
    uint32_t which;
    if (!plan_query_optimal(q, scratch, &o, why))
        return false;
    if (!plan_optimal_within(&o, plan_query_budget(q), scratch, &made->plan, &which, why))
        return problem_nest(why, "/strategy");
    made->graph = o.graphs[which];
    made->loss_chunk = o.chunks[which];
    return true;
}

static bool named_make(const struct plan_query *q, struct arena *scratch, struct plan_made *made, struct problem *why) {
    const struct cost_rates rates = q->device ? plan_query_rates(q) : (struct cost_rates){0};
    struct strategy s = q->strategy.strategy;
    s.budget_bytes = plan_query_budget(q) == UINT64_MAX ? 0 : plan_query_budget(q);
    s.rates = q->device ? &rates : NULL;
    made->loss_chunk = s.loss_chunk;
    return lower(q, s.loss_chunk, scratch, &made->graph, why) &&
           (planner_plan(&made->graph, &s, scratch, &made->plan, why) || problem_nest(why, "/strategy"));
}

bool plan_query_optimal(const struct plan_query *q, struct arena *scratch, struct plan_optimal *out,
                        struct problem *why) {
    const struct cost_rates rates = q->device ? plan_query_rates(q) : (struct cost_rates){0};
    if (plan_optimal_open(&q->w.workload, &q->strategy.strategy, q->device ? &rates : NULL, scratch, out, why))
        return true;
    why->where[0] = '\0'; /* an op's own name for what is too large: it was read, so it is the whole */
    return problem_nest(why, "/workload");
}

/* Where the workload leaves the kernel open, both are planned: the faster of those that fit, or the smaller. */
static bool is_better(const struct plan_query *q, const struct plan *a, const struct plan *b) {
    const uint64_t budget = plan_query_budget(q);
    if ((a->peak_bytes <= budget) != (b->peak_bytes <= budget))
        return a->peak_bytes <= budget;
    if (a->peak_bytes > budget)
        return a->peak_bytes < b->peak_bytes;
    if (q->device && q->strategy.strategy.objective == OBJECTIVE_SECONDS)
        return plan_query_seconds(q, a) < plan_query_seconds(q, b);
    return a->forward_flops + a->backward_flops + a->recompute_flops <
           b->forward_flops + b->backward_flops + b->recompute_flops;
}

static bool one_make(const struct plan_query *q, struct arena *scratch, struct plan_made *made, struct problem *why) {
    const bool optimal = q->strategy.strategy.planner == &planner_optimal;
    return (optimal ? optimal_make : named_make)(q, scratch, made, why) && whole_make(q, scratch, made, why);
}

bool plan_query_make(const struct plan_query *q, struct arena *scratch, struct plan_made *made, struct problem *why) {
    struct plan_query one = *q;
    if (!one_make(&one, scratch, made, why))
        return false;
    made->attention = one.w.workload.attention;
    for (unsigned k = ATTN_FLASH; q->w.any_attention && k <= ATTN_FLASH; k++) {
        struct plan_made other;
        one.w.workload.attention = &attn_table[k];
        if (!one_make(&one, scratch, &other, why))
            return false;
        other.attention = &attn_table[k];
        if (is_better(&one, &other.plan, &made->plan))
            *made = other;
    }
    made->plan.graph = &made->graph; /* wherever it was planned */
    if (!step_check(q, &made->plan, why))
        return false;
    made->parameters = model_parameters(&made->graph);
    made->persistent = model_persistent(&made->graph);
    return true;
}

struct cost_rates plan_query_rates(const struct plan_query *q) {
    return devices_rates(q->device, q->w.workload.dtype);
}

/* Once for every microbatch. At peak rates a lower bound; at measured ones what it takes, but for the update. */
double plan_query_seconds(const struct plan_query *q, const struct plan *p) {
    const struct cost_rates rates = plan_query_rates(q);
    double seconds = 0;
    for (uint32_t i = 0; i < p->n_steps; i++)
        seconds += cost_seconds(p->graph, &p->steps[i], &rates);
    return seconds * (double)passes(q);
}

/* ---- answering ---- */

static void put_model(const struct plan_query *q, uint64_t parameters, struct wire_out *o) {
    wire_open(o, "model", '{');
    wire_put_string(o, "family", model_family_name(q->w.model.model.family));
    wire_put_uint(o, "parameters", parameters);
    if (q->w.model.ignored) {
        wire_open(o, "ignored_fields", '[');
        for (unsigned i = 0; i < q->w.model.n_ignored; i++)
            wire_put_string(o, NULL, q->w.model.ignored[i]);
        wire_close(o, ']');
    }
    wire_close(o, '}');
}

static void put_bytes(const struct plan_made *m, struct wire_out *o) {
    wire_put_uint(o, "peak_bytes", m->plan.peak_bytes);
    wire_put_uint(o, "slab_bytes", m->plan.slab_bytes);
    wire_put_uint(o, "live_peak_bytes", m->plan.live_peak_bytes);
    wire_put_uint(o, "retained_peak_bytes", m->plan.retained_peak_bytes);
    wire_open(o, "memory", '{');
    wire_put_uint(o, "parameters_bytes", m->persistent.parameters_bytes);
    wire_put_uint(o, "gradients_bytes", m->persistent.gradients_bytes);
    wire_put_uint(o, "optimizer_bytes", m->persistent.optimizer_bytes);
    wire_put_uint(o, "saved_activations_bytes", m->plan.saved_activations_bytes);
    wire_close(o, '}');
}

static void put_peak(const struct plan *p, struct wire_out *o) {
    const struct step *s = &p->steps[p->peak_step];
    const struct op *op = s->op == STEP_FREE ? NULL : &p->graph->ops[s->of];
    wire_open(o, "peak_at", '{');
    wire_put_uint(o, "step", p->peak_step);
    wire_put_string(o, "phase", p->peak_step < p->turn ? "forward" : "backward");
    if (op && op->layer != GRAPH_NONE)
        wire_put_uint(o, "layer", op->layer);
    else
        wire_put_json(o, "layer", NULL);
    wire_put_string(o, "op", op ? op->name : NULL);
    wire_open(o, "memory", '{');
    wire_put_uint(o, "saved_activations_bytes", p->peak.saved_activations_bytes);
    wire_put_uint(o, "recomputed_bytes", p->peak.recomputed_bytes);
    wire_put_uint(o, "activation_gradients_bytes", p->peak.activation_gradients_bytes);
    wire_put_uint(o, "inputs_outputs_bytes", p->peak.inputs_outputs_bytes);
    wire_put_uint(o, "transient_bytes", p->peak.transient_bytes);
    wire_put_uint(o, "workspace_bytes", p->peak.workspace_bytes);
    wire_close(o, '}');
    wire_close(o, '}');
}

static void put_cost(const struct plan_query *q, const struct plan_made *m, const struct plan *standard,
                     struct wire_out *o) {
    const struct plan *p = &m->plan;
    wire_open(o, "standard", '{');
    wire_put_uint(o, "peak_bytes", standard->peak_bytes);
    wire_put_uint(o, "saved_activations_bytes", standard->saved_activations_bytes);
    wire_close(o, '}');
    wire_put_real(o, "memory_saved_pct", 100 * (1 - (double)p->peak_bytes / (double)standard->peak_bytes));
    wire_put_real(o, "compute_overhead_pct", plan_query_overhead_pct(m, p));
    wire_open(o, "flops", '{');
    wire_put_uint(o, "forward", p->forward_flops * passes(q));
    wire_put_uint(o, "backward", p->backward_flops * passes(q));
    wire_put_uint(o, "recompute", p->recompute_flops * passes(q));
    wire_close(o, '}');
    if (q->device)
        wire_put_real(o, "step_seconds", plan_query_seconds(q, p));
    else
        wire_put_json(o, "step_seconds", NULL);
}

/* Nothing recomputed, logits whole. */
static bool standard_plan(const struct plan_query *q, const struct plan_made *m, struct arena *scratch,
                          struct plan *standard, struct problem *why) {
    *standard = m->plan;
    return (q->strategy.strategy.planner == &planner_standard && !m->loss_chunk) ||
           planner_plan(&m->whole, &(struct strategy){.planner = &planner_standard}, scratch, standard, why);
}

/* Of a pass, in the unit the plan was asked to spare: all of it. */
static double optimality_whole(const struct plan_query *q, const struct plan_made *m) {
    const struct plan_optimality *x = &m->plan.optimality;
    return x->unit > 0 ? plan_query_seconds(q, &m->plan) / (double)passes(q) / x->unit
                       : (double)(m->plan.forward_flops + m->plan.backward_flops) + (double)x->cost;
}

double plan_query_gap_pct(const struct plan_query *q, const struct plan_made *m) {
    const struct plan_optimality *x = &m->plan.optimality;
    const double behind = (double)(x->cost - x->lower_bound);
    return x->class ? 100 * behind / (optimality_whole(q, m) - behind) : 0;
}

/* What it claims. */
static void put_optimality(const struct plan_query *q, const struct plan_made *m, struct wire_out *o) {
    const struct plan_optimality *x = &m->plan.optimality;
    if (!x->class) {
        wire_put_json(o, "optimality", NULL);
        return;
    }
    const double least = optimality_whole(q, m) - (double)(x->cost - x->lower_bound);
    wire_open(o, "optimality", '{');
    wire_put_string(o, "class", x->class);
    if (x->unit > 0)
        wire_put_real(o, "lower_bound_seconds", least * x->unit * (double)passes(q));
    else
        wire_put_uint(o, "lower_bound_flops", x->lower_bound * passes(q));
    wire_put_real(o, "gap_pct", plan_query_gap_pct(q, m));
    wire_put_bool(o, "exact", x->exact && x->cost == x->lower_bound);
    wire_put_string(o, "solver", x->solver);
    wire_put_uint(o, "states", x->states);
    wire_put_uint(o, "loss_chunk", m->loss_chunk);
    wire_close(o, '}');
}

static bool answer(const struct plan_query *q, struct arena *scratch, struct wire_out *o, const char *key,
                   struct problem *why) {
    struct plan_made m;
    struct plan standard;
    uint64_t tokens = 0;
    if (!plan_query_tokens(q, &tokens, why) || !plan_query_make(q, scratch, &m, why) ||
        !standard_plan(q, &m, scratch, &standard, why))
        return false;
    bool feasible = m.plan.peak_bytes <= plan_query_budget(q);
    wire_open(o, key, '{');
    wire_put_bool(o, "feasible", feasible);
    wire_put_json(o, "strategy", q->strategy.json);
    if (q->budget_bytes == UINT64_MAX)
        wire_put_json(o, "budget_bytes", NULL);
    else
        wire_put_uint(o, "budget_bytes", q->budget_bytes);
    wire_put_string(o, "device", q->device ? q->device->name : NULL);
    if (!feasible)
        wire_put_uint(o, "minimum_budget_bytes", m.plan.peak_bytes); /* of what fits no budget the smallest is made */
    put_model(q, m.parameters, o);
    if (q->w.any_attention)
        wire_put_string(o, "attention", m.attention->name);
    wire_put_uint(o, "tokens_per_step", tokens);
    put_bytes(&m, o);
    put_peak(&m.plan, o);
    put_cost(q, &m, &standard, o);
    put_optimality(q, &m, o);
    bool ok = plan_include_put(q, &m.plan, scratch, o, why);
    if (ok && q->include & PLAN_INCLUDE_APPLY)
        ok = plan_apply_put(q, &m, scratch, o, why);
    if (ok && q->include & PLAN_INCLUDE_EXPLAIN)
        ok = plan_explain_put(q, &m, &standard, scratch, o, why);
    wire_close(o, '}');
    return ok;
}

bool plan_query_answer(const struct plan_query *q, struct wire_out *o, const char *key, struct problem *why) {
    struct arena scratch;
    arena_init_within(&scratch, PLAN_QUERY_ARENA_BYTES, q->bounds);
    bool ok = (q->w.megatron ? plan_megatron_answer : answer)(q, &scratch, o, key, why);
    arena_free(&scratch);
    return ok;
}

/* ---- capacity ---- */

struct search {
    struct plan_query q;
    uint64_t *value; /* inside q */
    uint64_t most;
    bool bounds;        /* of what cannot fit a bound of its peak is enough */
    bool positions;     /* most is where learned positions end */
    uint64_t unplanned; /* the last value that was too large to be planned here; 0: none was */
};

/* Whether a plan failed since a request may have no more memory; *bounds are as before then. */
static bool is_past(const struct problem *why, const struct arena *scratch, struct arena_bounds *bounds) {
    const bool past = scratch->past || (bounds && bounds->past);
    if (bounds)
        bounds->past = false;
    return past && why->kind == PROBLEM_MEMORY;
}

static void search_init(struct search *s, const struct plan_query *q) {
    *s = (struct search){.q = *q};
    s->q.budget_bytes = plan_query_budget(q);
    if (q->strategy.strategy.planner == &planner_optimal)
        s->q.strategy.strategy.budget_bytes = 1; /* whether anything fits: the smallest plan says */
    s->bounds = q->strategy.strategy.planner == &planner_optimal && !q->w.any_attention;
    struct workload *w = &s->q.w.workload;
    s->value = q->find == PLAN_FIND_BATCH ? &w->batch : q->find == PLAN_FIND_LAYERS ? &w->model.layers : &w->seq_len;
    s->most = q->find == PLAN_FIND_BATCH    ? MODEL_BATCH_MAX
              : q->find == PLAN_FIND_LAYERS ? MODEL_LAYERS_MAX
                                            : MODEL_SEQ_MAX;
    if (q->find == PLAN_FIND_SEQ_LEN && q->w.megatron)
        w->model.max_positions = s->most; /* the closed forms count none */
    else if (q->find == PLAN_FIND_SEQ_LEN && w->model.positions == MODEL_LEARNED && w->model.max_positions < s->most) {
        s->positions = true;
        s->most = w->model.max_positions - w->model.reserved_positions;
    }
}

/* 0 where it is not known: what is wrong is said when it is planned. */
static uint64_t peak_bound(const struct search *s, struct arena *scratch) {
    struct plan_optimal o;
    struct problem ignored = {0};
    uint64_t least;
    const bool known = s->bounds && plan_query_optimal(&s->q, scratch, &o, &ignored) &&
                       plan_optimal_least(&o, scratch, &least, &ignored);
    if (!known)
        scratch->past = false; /* what was too large is not what was asked */
    if (!known && s->q.bounds)
        s->q.bounds->past = false;
    return known ? least : 0;
}

/* *peak is UINT64_MAX where the bytes or FLOPs are past counting, or their plan past the memory there is for it: it
 * does not fit. */
static bool peak_at(struct search *s, uint64_t value, uint64_t *peak, struct problem *why) {
    struct problem past = {0};
    struct plan_made m;
    struct megatron_bytes forms;
    struct arena scratch;
    *s->value = value;
    arena_init_within(&scratch, PLAN_QUERY_ARENA_BYTES, s->q.bounds);
    uint64_t measured = peak_bound(s, &scratch);
    if (measured > s->q.budget_bytes) {
        *peak = measured;
        arena_free(&scratch);
        return true;
    }
    bool ok = s->q.w.megatron ? plan_megatron_measure(&s->q, &forms, &measured, &past)
                              : plan_query_make(&s->q, &scratch, &m, &past);
    *peak = !ok ? UINT64_MAX : s->q.w.megatron ? measured : m.plan.peak_bytes;
    arena_free(&scratch);
    if (!ok && value > 1 && is_past(&past, &scratch, s->q.bounds)) {
        s->unplanned = value;
        return true;
    }
    if (!ok && (past.kind != PROBLEM_LIMIT || value == 1 || strncmp(past.where, "/strategy", 9) == 0))
        return problem_set(why, past.kind, past.where, "%s", past.detail);
    return true;
}

/* What is known: low fits (0: nothing does yet), high does not (0: nothing is known not to). */
struct bracket {
    uint64_t low, low_peak, high, high_peak;
};

/* Where the peak would meet the budget if it grew evenly from low on, to high or as from `from`. */
static uint64_t along_the_line(const struct bracket *b, uint64_t from, uint64_t from_peak, uint64_t budget) {
    double slope = b->high ? ((double)b->high_peak - (double)b->low_peak) / (double)(b->high - b->low)
                           : ((double)b->low_peak - (double)from_peak) / (double)(b->low - from);
    double reach = slope > 0 ? ((double)budget - (double)b->low_peak) / slope : 9e18;
    return b->low + (uint64_t)(reach < 9e18 ? reach : 9e18);
}

static uint64_t between(uint64_t value, uint64_t least, uint64_t most) {
    return value < least ? least : value > most ? most : value;
}

/* The next value to try. Outwards in leaps of at most 64 times; inwards along the line and by halves in turn, since the
 * peak bends upwards with the square of seq_len. */
static uint64_t next_try(const struct bracket *b, const struct bracket *before, unsigned turn, const struct search *s) {
    if (b->low == 0)
        return b->high ? b->high / 2 : 1;
    if (!b->high) {
        uint64_t leap = b->low < 64 ? 64 : along_the_line(b, before->low, before->low_peak, s->q.budget_bytes) + 1;
        return between(leap, b->low + 1, b->low > s->most / 64 ? s->most : between(64 * b->low, 1, s->most));
    }
    uint64_t line = b->high_peak == UINT64_MAX || turn % 2 ? b->low + (b->high - b->low) / 2
                                                           : along_the_line(b, 0, 0, s->q.budget_bytes);
    return between(line, b->low + 1, b->high - 1);
}

/* The largest value that fits is low (0: none does); high_peak is the peak of the one after it. */
static bool search_run(struct search *s, struct bracket *found, struct problem *why) {
    struct bracket b = {0}, before = {0};
    for (unsigned turn = 0; b.low < s->most && (b.high == 0 || b.high - b.low > 1); turn++) {
        uint64_t value = next_try(&b, &before, turn, s), peak;
        if (!peak_at(s, value, &peak, why))
            return false;
        before = b;
        if (peak <= s->q.budget_bytes)
            b.low = value, b.low_peak = peak;
        else
            b.high = value, b.high_peak = peak;
    }
    *found = b;
    return true;
}

bool plan_query_largest(const struct plan_query *q, uint64_t most, uint64_t *fits, uint64_t *peak_bytes,
                        struct problem *why) {
    struct search s;
    struct bracket found;
    search_init(&s, q);
    s.most = units_min(s.most, most);
    if (!search_run(&s, &found, why))
        return false;
    *fits = found.low;
    *peak_bytes = found.low_peak;
    return true;
}

/* The plan of the largest value. Where the next is too large to be planned, this one's answer may be as well. */
static bool largest_put(const struct search *s, bool unplanned, struct wire_out *o, struct problem *why) {
    struct problem past = {0};
    struct arena scratch;
    struct wire_out own;
    if (!unplanned)
        return plan_query_answer(&s->q, o, "plan", why);
    arena_init_within(&scratch, 0, s->q.bounds);
    wire_out_init(&own, &scratch, &past);
    const char *text = plan_query_answer(&s->q, &own, NULL, &past) ? wire_text(&own, NULL) : NULL;
    const bool ok = text || is_past(&past, &scratch, s->q.bounds);
    wire_put_json(o, "plan", text);
    arena_free(&scratch);
    return ok || problem_set(why, past.kind, past.where, "%s", past.detail);
}

static const char *limited_by(const struct search *s, uint64_t fits, bool uncounted) {
    if (fits == s->most)
        return s->positions ? "positions" : "bound";
    return !uncounted ? "memory" : s->unplanned == fits + 1 ? "planning" : "counting";
}

bool plan_query_capacity(const struct plan_query *q, struct wire_out *o, struct problem *why) {
    struct search s;
    struct bracket found;
    search_init(&s, q);
    if (!search_run(&s, &found, why))
        return false;
    const uint64_t fits = found.low;
    uint64_t lacks = found.high_peak;
    const bool bound = s.bounds && fits < s.most && lacks != UINT64_MAX;
    const char *limit = limited_by(&s, fits, lacks == UINT64_MAX);
    s.bounds = false;
    if (bound && !peak_at(&s, fits + 1, &lacks, why))
        return false;
    wire_open(o, NULL, '{');
    wire_put_uint(o, "value", fits);
    *s.value = fits;
    s.q.strategy.strategy.budget_bytes = q->strategy.strategy.budget_bytes;
    s.q.budget_bytes = q->budget_bytes;
    if (fits == 0)
        wire_put_json(o, "plan", NULL);
    else if (!largest_put(&s, strcmp(limit, "planning") == 0, o, why))
        return false;
    if (fits < s.most) {
        wire_open(o, "next", '{');
        wire_put_uint(o, "value", fits + 1);
        if (lacks == UINT64_MAX)
            wire_put_json(o, "shortfall_bytes", NULL);
        else
            wire_put_uint(o, "shortfall_bytes", lacks - plan_query_budget(q));
        wire_close(o, '}');
    } else {
        wire_put_json(o, "next", NULL);
    }
    wire_put_string(o, "limited_by", limit);
    wire_close(o, '}');
    return true;
}
