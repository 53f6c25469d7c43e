/* plan_posted.c - plans of posted graphs and chains: read, and written; see plan_posted.h. */
#include "server/plan_posted.h"

#include <math.h>
#include <string.h>

#include "engine/base/units.h"
#include "server/plan_query.h"

/* ---- reading ---- */

bool plan_posted_is(const struct wire_value *v) {
    struct wire_value field;
    return wire_type(v) == WIRE_OBJECT && (wire_get(v, "graph", &field) || wire_get(v, "chain", &field));
}

/* Of the three that may be planned, one is. */
static bool one_is(const struct wire_value *v, struct problem *why) {
    static const char *const names[] = {"workload", "graph", "chain"};
    struct wire_value field;
    const char *first = NULL;
    for (unsigned i = 0; i < 3; i++) {
        if (!wire_get(v, names[i], &field))
            continue;
        if (first)
            return wire_fail(&field, why, PROBLEM_LIMIT,
                             "stands beside %s: one of workload, graph and chain is planned", first);
        first = names[i];
    }
    return true;
}

static const struct {
    const char *name;
    enum plan_posted_strategy strategy;
    bool of_graphs;
    const char *fields[6];
} strategies[] = {
    {"standard", PLAN_POSTED_STANDARD, true, {"name"}},
    {"none", PLAN_POSTED_STANDARD, true, {"name"}},
    {"optimal", PLAN_POSTED_OPTIMAL, false, {"name", "objective", "budget_bytes"}},
    {"optimal_dag",
     PLAN_POSTED_OPTIMAL_DAG,
     true,
     {"name", "objective", "budget_bytes", "time_limit_seconds", "reorder"}},
};
#define STRATEGIES (sizeof strategies / sizeof strategies[0])

static bool time_limit_read(const struct wire_value *v, const char *key, enum plan_posted_form form, double *out,
                            struct problem *why) {
    struct wire_value field;
    if (!wire_real_of(v, key, 0, PLAN_POSTED_SECONDS_OF_JOBS, out, why))
        return false;
    if (form == PLAN_POSTED_JOB || *out <= PLAN_POSTED_SECONDS_AT_ONCE || !wire_get(v, key, &field))
        return true;
    return wire_fail(&field, why, PROBLEM_LIMIT,
                     "is %g: what is answered at once may take %d s; a job of kind plan (POST /v1/jobs) up to %d", *out,
                     PLAN_POSTED_SECONDS_AT_ONCE, PLAN_POSTED_SECONDS_OF_JOBS);
}

static bool strategy_object_read(const struct wire_value *v, size_t row, enum plan_posted_form form,
                                 struct plan_posted *out, struct problem *why) {
    return wire_object(v, strategies[row].fields, why) &&
           wire_uint_of(v, "budget_bytes", 1, WIRE_INTEGER_MAX, &out->budget_bytes, why) &&
           time_limit_read(v, "time_limit_seconds", form, &out->time_limit_seconds, why) &&
           wire_bool_of(v, "reorder", &out->reorder, why);
}

static bool strategy_read(const struct wire_value *v, enum plan_posted_form form, struct arena *a,
                          struct plan_posted *out, struct problem *why) {
    struct wire_value named = *v;
    const char *name;
    size_t row = 0;
    const bool object = wire_type(v) == WIRE_OBJECT;
    if ((object && !wire_need(v, "name", &named, why)) || !wire_string(&named, &name, why))
        return false;
    while (row < STRATEGIES && strcmp(strategies[row].name, name) != 0)
        row++;
    if (row == STRATEGIES)
        return wire_fail(&named, why, PROBLEM_LIMIT, "is none for a posted %s: there are %s",
                         out->is_chain ? "chain" : "graph",
                         out->is_chain ? "standard, optimal and optimal_dag" : "standard and optimal_dag");
    if (!out->is_chain && !strategies[row].of_graphs)
        return wire_fail(&named, why, PROBLEM_LIMIT, "is optimal, which chains have: of a graph ask optimal_dag");
    out->strategy = strategies[row].strategy;
    if (object && !strategy_object_read(v, row, form, out, why))
        return false;
    out->json = object && strategies[row].fields[1] ? wire_json(v, a, why) : arena_printf(a, why, "\"%s\"", name);
    return out->json != NULL;
}

/* The costs that are posted are the objective; another one cannot be. */
static bool objective_read(const struct wire_value *strategy, const struct plan_posted *out, struct problem *why) {
    struct wire_value field;
    const char *name;
    const char *own = plan_posted_in_seconds(out) ? "seconds" : "flops";
    if (wire_type(strategy) != WIRE_OBJECT || !wire_get(strategy, "objective", &field))
        return true;
    if (!wire_string(&field, &name, why))
        return false;
    if (strcmp(name, "seconds") != 0 && strcmp(name, "flops") != 0)
        return wire_fail(&field, why, PROBLEM_LIMIT, "must be flops or seconds");
    return strcmp(name, own) == 0 ||
           wire_fail(&field, why, PROBLEM_LIMIT, "is %s, and what is posted costs %s", name, own);
}

static bool include_read(const struct wire_value *v, unsigned *include, struct problem *why) {
    if (!wire_array(v, 0, 16, why))
        return false;
    for (size_t i = 0; i < wire_length(v); i++) {
        const struct wire_value element = wire_at(v, i);
        const char *name;
        if (!wire_string(&element, &name, why))
            return false;
        if (strcmp(name, "timeline") != 0 && strcmp(name, "steps") != 0)
            return wire_fail(&element, why, PROBLEM_LIMIT, "must be timeline or steps: the others are of a workload");
        *include |= *name == 't' ? PLAN_INCLUDE_TIMELINE : PLAN_INCLUDE_STEPS;
    }
    return true;
}

/* A device's memory is a budget; a budget beside it, or in the strategy, counts where it is less. */
static bool budget_read(const struct wire_value *v, struct plan_host *host, struct arena *a, struct plan_posted *out,
                        struct problem *why) {
    uint64_t budget_bytes = UINT64_MAX;
    if (!plan_device_read(v, host, a, &out->device, why))
        return false;
    if (!wire_uint_of(v, "budget_bytes", 1, WIRE_INTEGER_MAX, &budget_bytes, why))
        return false;
    out->budget_bytes = units_min(out->budget_bytes, budget_bytes);
    if (out->device && out->budget_bytes == UINT64_MAX)
        out->budget_bytes = out->device->memory_bytes;
    return true;
}

bool plan_posted_read(const struct wire_value *v, enum plan_posted_form form, struct plan_host *host, struct arena *a,
                      struct plan_posted *out, struct problem *why) {
    static const char *const fields[][10] = {
        [PLAN_POSTED_AT_ONCE] = {"graph", "chain", "workload", "strategy", "budget_bytes", "device", "include",
                                 "max_points"},
        [PLAN_POSTED_FRONTIER] = {"graph", "chain", "workload", "points", "time_limit_seconds"},
        [PLAN_POSTED_JOB] = {"graph", "chain", "workload", "strategy", "budget_bytes", "device", "include",
                             "max_points", "kind"},
    };
    struct wire_value posted, field, strategy;
    *out = (struct plan_posted){.json = "\"standard\"",
                                .budget_bytes = UINT64_MAX,
                                .max_points = PLAN_QUERY_POINTS,
                                .time_limit_seconds = PLAN_POSTED_SECONDS};
    if (!wire_object(v, fields[form], why) || !one_is(v, why))
        return false;
    out->is_chain = wire_get(v, "chain", &posted);
    const bool has_strategy = wire_get(v, "strategy", &strategy);
    if ((has_strategy && !strategy_read(&strategy, form, a, out, why)) ||
        (wire_get(v, "include", &field) && !include_read(&field, &out->include, why)) ||
        !wire_uint_of(v, "max_points", 1, 100000, &out->max_points, why) ||
        !wire_uint_of(v, "points", 1, PLAN_QUERY_POINTS, &out->max_points, why) || !budget_read(v, host, a, out, why) ||
        (form == PLAN_POSTED_FRONTIER &&
         !time_limit_read(v, "time_limit_seconds", form, &out->time_limit_seconds, why)))
        return false;
    const bool ok = out->is_chain
                        ? wire_chain_read(&posted, a, &out->chain, why)
                        : wire_get(v, "graph", &posted) && wire_graph_read(&posted, out->reorder, a, &out->graph, why);
    return ok && (!has_strategy || objective_read(&strategy, out, why));
}

double plan_posted_seconds(const struct wire_value *v) {
    struct problem ignored = {0};
    struct wire_value strategy, name;
    const char *text;
    double seconds = PLAN_POSTED_SECONDS;
    if (!plan_posted_is(v) || !wire_get(v, "strategy", &strategy))
        return 0;
    name = strategy;
    if (wire_type(&strategy) == WIRE_OBJECT &&
        (!wire_get(&strategy, "name", &name) ||
         !wire_real_of(&strategy, "time_limit_seconds", 0, PLAN_POSTED_SECONDS_OF_JOBS, &seconds, &ignored)))
        return 0;
    return wire_string(&name, &text, &ignored) && strcmp(text, "optimal_dag") == 0 ? seconds : 0;
}

/* ---- writing ---- */

double plan_posted_overhead(double cost, double least) {
    return least > 0 ? fmax(0, 100 * (cost - least) / least) : 0; /* sums in another order round otherwise */
}

bool plan_posted_in_seconds(const struct plan_posted *q) {
    return q->is_chain || q->graph.seconds;
}

static void put_of(const struct plan_posted *q, const char *key, uint32_t of, struct wire_out *o) {
    if (q->is_chain)
        wire_put_uint(o, key, of);
    else
        wire_put_json(o, key, q->graph.ids[of]);
}

static bool is_backward(const struct plan_posted *q, const struct plan_posted_step *s) {
    return s->what == PLAN_POSTED_GRAD || (!q->is_chain && q->graph.backward[q->graph.node_of[s->of]]);
}

static void put_peak_at(const struct plan_posted *q, const struct plan_posted_result *r, struct wire_out *o) {
    const struct plan_posted_plan *p = &r->plan;
    const struct plan_posted_step *s = p->n_steps ? &p->steps[p->peak_step] : NULL;
    wire_open(o, "peak_at", '{');
    if (s)
        wire_put_uint(o, "step", p->peak_step);
    else
        wire_put_json(o, "step", NULL);
    wire_put_string(o, "phase", (s ? is_backward(q, s) : r->binds_backward) ? "backward" : "forward");
    put_of(q, q->is_chain ? "stage" : "node", s ? s->of : r->binds, o);
    wire_close(o, '}');
}

static void put_bytes(const struct plan_posted_result *r, struct wire_out *o) {
    static const char *const names[] = {"peak_bytes", "slab_bytes", "live_peak_bytes"}; /* without addresses all one */
    for (unsigned i = 0; i < 3; i++)
        if (r->plan.n_steps)
            wire_put_uint(o, names[i], r->plan.peak_bytes);
        else
            wire_put_json(o, names[i], NULL);
}

static void put_real(struct wire_out *o, const char *key, bool known, double value) {
    if (known)
        wire_put_real(o, key, value);
    else
        wire_put_json(o, key, NULL);
}

static void put_cost(const struct plan_posted *q, const struct plan_posted_result *r, struct wire_out *o) {
    const struct plan_posted_plan *p = &r->plan;
    const bool known = p->n_steps > 0;
    const uint64_t standard = r->standard.peak_bytes;
    wire_open(o, "standard", '{');
    wire_put_uint(o, "peak_bytes", standard);
    wire_close(o, '}');
    put_real(o, "memory_saved_pct", known, standard ? 100 * (1 - (double)p->peak_bytes / (double)standard) : 0);
    put_real(o, "compute_overhead_pct", known, plan_posted_overhead(r->cost, r->least_cost));
    if (known && !plan_posted_in_seconds(q)) {
        wire_open(o, "flops", '{');
        wire_put_uint(o, "forward", p->forward);
        wire_put_uint(o, "backward", p->backward);
        wire_put_uint(o, "recompute", p->recompute);
        wire_close(o, '}');
    } else {
        wire_put_json(o, "flops", NULL);
    }
    put_real(o, "step_seconds", known && plan_posted_in_seconds(q), r->cost);
}

static void put_optimality(const struct plan_posted *q, const struct plan_posted_result *r, struct wire_out *o) {
    if (!r->class) {
        wire_put_json(o, "optimality", NULL);
        return;
    }
    const bool planned = r->plan.n_steps > 0;
    wire_open(o, "optimality", '{');
    wire_put_string(o, "class", r->class);
    put_real(o, "lower_bound", planned || !r->exact, r->lower_bound);
    if (!plan_posted_in_seconds(q) && (planned || !r->exact))
        wire_put_uint(o, "lower_bound_flops", r->lower_bound_flops);
    put_real(o, "gap_pct", planned, plan_posted_overhead(r->cost, r->lower_bound));
    wire_put_string(o, "solver", r->solver);
    wire_put_uint(o, "states", r->states);
    wire_put_bool(o, "exact", r->exact);
    wire_close(o, '}');
}

static void put_steps(const struct plan_posted *q, const struct plan_posted_plan *p, struct wire_out *o) {
    static const char *const names[] = {
        [PLAN_POSTED_RUN] = "run", [PLAN_POSTED_GRAD] = "grad", [PLAN_POSTED_FREE] = "free"};
    wire_open(o, "steps", '[');
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const struct plan_posted_step *s = &p->steps[i];
        wire_open(o, NULL, '{');
        wire_put_string(o, "do", names[s->what]);
        put_of(q, "of", s->of, o);
        if (q->is_chain && s->keep != DAG_NONE)
            wire_put_uint(o, "keep", s->keep);
        else if (q->is_chain)
            wire_put_json(o, "keep", NULL);
        wire_close(o, '}');
    }
    wire_close(o, ']');
}

/* Each point is the highest step of its share. */
static void put_timeline(const struct plan_posted_plan *p, uint64_t points, struct wire_out *o) {
    points = units_min(points, p->n_steps);
    wire_open(o, "timeline", '[');
    for (uint64_t i = 0; i < points; i++) {
        const uint32_t from = (uint32_t)(i * p->n_steps / points), to = (uint32_t)((i + 1) * p->n_steps / points);
        uint32_t highest = from;
        for (uint32_t step = from; step < to; step++)
            if (p->steps[step].live_bytes > p->steps[highest].live_bytes)
                highest = step;
        wire_open(o, NULL, '{');
        wire_put_uint(o, "step", highest);
        wire_put_uint(o, "live_bytes", p->steps[highest].live_bytes);
        wire_close(o, '}');
    }
    wire_close(o, ']');
}

static void put_feasible(const struct plan_posted *q, const struct plan_posted_result *r, struct wire_out *o) {
    const bool feasible = r->plan.n_steps > 0 && r->plan.peak_bytes <= q->budget_bytes;
    if (r->undecided)
        wire_put_json(o, "feasible", NULL);
    else
        wire_put_bool(o, "feasible", feasible);
    wire_put_json(o, "strategy", q->json);
    if (q->budget_bytes == UINT64_MAX)
        wire_put_json(o, "budget_bytes", NULL);
    else
        wire_put_uint(o, "budget_bytes", q->budget_bytes);
    wire_put_string(o, "device", q->device ? q->device->name : NULL);
    if (feasible)
        return;
    wire_put_uint(o, "minimum_budget_bytes", r->minimum_budget_bytes);
    wire_put_bool(o, "minimum_budget_exact", r->minimum_exact);
}

static bool answer(const struct plan_posted *q, struct plan_posted_watch *watch, struct arena *scratch,
                   struct wire_out *o, const char *key, struct problem *why) {
    struct plan_posted_result r = {.class = NULL};
    if (!(q->is_chain ? plan_chain_solve : plan_graph_solve)(q, watch, scratch, &r, why))
        return false;
    wire_open(o, key, '{');
    put_feasible(q, &r, o);
    put_bytes(&r, o);
    put_peak_at(q, &r, o);
    put_cost(q, &r, o);
    put_optimality(q, &r, o);
    if (q->include & PLAN_INCLUDE_TIMELINE)
        put_timeline(&r.plan, q->max_points, o);
    if (q->include & PLAN_INCLUDE_STEPS)
        put_steps(q, &r.plan, o);
    wire_close(o, '}');
    return true;
}

bool plan_posted_answer(const struct plan_posted *q, struct plan_posted_watch *watch, struct wire_out *o,
                        const char *key, struct problem *why) {
    struct arena scratch;
    arena_init_within(&scratch, PLAN_POSTED_ARENA_BYTES, q->bounds);
    const bool ok = answer(q, watch, &scratch, o, key, why);
    arena_free(&scratch);
    return ok;
}

/* ---- frontiers ---- */

static void put_point(const struct plan_posted *q, const struct plan_posted_curve *c, const struct plan_posted_point *p,
                      bool standard, struct wire_out *o) {
    wire_open(o, NULL, '{');
    wire_put_uint(o, "peak_bytes", p->bytes);
    wire_put_uint(o, "slab_bytes", p->bytes);
    wire_put_real(o, "compute_overhead_pct", plan_posted_overhead(p->cost, c->least_cost));
    put_real(o, "step_seconds", plan_posted_in_seconds(q), p->cost);
    if (standard) {
        wire_put_string(o, "strategy", "standard");
    } else {
        wire_open(o, "strategy", '{');
        wire_put_string(o, "name", q->is_chain ? "optimal" : "optimal_dag");
        wire_put_uint(o, "budget_bytes", p->bytes);
        wire_close(o, '}');
        wire_put_bool(o, "exact", p->exact);
    }
    wire_close(o, '}');
}

static bool frontier(const struct plan_posted *q, struct plan_posted_watch *watch, struct arena *scratch,
                     struct wire_out *o, struct problem *why) {
    struct plan_posted_curve c = {.n = 0};
    if (!(q->is_chain ? plan_chain_frontier(q, scratch, &c, why) : plan_graph_frontier(q, watch, scratch, &c, why)))
        return false;
    const struct plan_posted_point standard = {c.standard_bytes, c.standard_cost, true};
    wire_open(o, NULL, '{');
    wire_open(o, "points", '[');
    for (uint32_t i = 0; i < c.n; i++)
        put_point(q, &c, &c.points[i], false, o);
    wire_close(o, ']');
    wire_open(o, "named", '[');
    put_point(q, &c, &standard, true, o);
    wire_close(o, ']');
    wire_put_bool(o, "exact", c.exact);
    wire_close(o, '}');
    return true;
}

bool plan_posted_frontier(const struct plan_posted *q, struct plan_posted_watch *watch, struct wire_out *o,
                          struct problem *why) {
    struct arena scratch;
    arena_init_within(&scratch, PLAN_POSTED_ARENA_BYTES, q->bounds);
    const bool ok = frontier(q, watch, &scratch, o, why);
    arena_free(&scratch);
    return ok;
}
