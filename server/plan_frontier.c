/* plan_frontier.c - memory against recomputation: the frontier of all persistent plans, and where the named strategies
 * lie beside it. */
#include <stdlib.h>

#include "server/plan_candidates.h"
#include "server/plan_query.h"

/* Examined in all, while points of a curve on a grid are planned once more: a few seconds. */
#define AGAIN_STATES UINT64_C(60000000)

struct candidate {
    struct strategy strategy;
    const char *json;
    uint64_t peak_bytes, slab_bytes, recompute_flops;
    double overhead_pct, step_seconds;
};

struct frontier {
    const struct plan_query *q;
    struct arena *a;
    struct candidate list[PLAN_CANDIDATES_MAX];
    unsigned n;
    struct problem *why;
};

static bool candidate_plan(const struct frontier *f, struct candidate *c) {
    struct plan_query q = *f->q;
    struct plan_made m;
    struct arena scratch;
    q.strategy.strategy = c->strategy;
    arena_init_within(&scratch, PLAN_QUERY_ARENA_BYTES, f->q->bounds);
    bool ok = plan_query_make(&q, &scratch, &m, f->why);
    if (ok) {
        c->peak_bytes = m.plan.peak_bytes;
        c->slab_bytes = m.plan.slab_bytes;
        c->recompute_flops = m.plan.recompute_flops;
        c->overhead_pct = plan_query_overhead_pct(&m, &m.plan);
        c->step_seconds = q.device ? plan_query_seconds(&q, &m.plan) : 0;
    }
    arena_free(&scratch);
    return ok;
}

/* Least recomputation first; among equals the smaller, then the one named earlier. */
static int by_cost(const void *left, const void *right) {
    const struct candidate *a = *(const struct candidate *const *)left, *b = *(const struct candidate *const *)right;
    if (a->recompute_flops != b->recompute_flops)
        return a->recompute_flops < b->recompute_flops ? -1 : 1;
    if (a->peak_bytes != b->peak_bytes)
        return a->peak_bytes < b->peak_bytes ? -1 : 1;
    return a < b ? -1 : a > b;
}

static void put(const struct frontier *f, const struct candidate *c, bool is_point, bool is_knee, struct wire_out *o) {
    wire_open(o, NULL, '{');
    wire_put_uint(o, "peak_bytes", c->peak_bytes);
    wire_put_uint(o, "slab_bytes", c->slab_bytes);
    wire_put_real(o, "compute_overhead_pct", c->overhead_pct);
    if (is_point && f->q->device)
        wire_put_real(o, "step_seconds", c->step_seconds);
    else if (is_point)
        wire_put_json(o, "step_seconds", NULL);
    wire_put_json(o, "strategy", c->json);
    if (is_knee)
        wire_put_bool(o, "knee", true);
    wire_close(o, '}');
}

/* Farthest from the line between both ends, each axis taken as long as the other. */
static unsigned knee_of(const struct candidate *points, unsigned n) {
    const double width = (double)(points[0].peak_bytes - points[n - 1].peak_bytes),
                 height = points[n - 1].overhead_pct - points[0].overhead_pct;
    double best = 0;
    unsigned knee = 0;
    for (unsigned i = 1; i + 1 < n; i++) {
        const double x = (double)(points[0].peak_bytes - points[i].peak_bytes) / width,
                     y = (points[i].overhead_pct - points[0].overhead_pct) / height;
        if (x - y > best) {
            best = x - y;
            knee = i;
        }
    }
    return knee;
}

static const char *optimal_json(const struct plan_query *q, uint64_t peak_bytes, struct arena *a, struct problem *why) {
    return arena_printf(a, why, "{\"name\":\"optimal\"%s,\"budget_bytes\":%llu}",
                        q->strategy.strategy.objective == OBJECTIVE_SECONDS ? ",\"objective\":\"seconds\"" : "",
                        (unsigned long long)peak_bytes);
}

static void point_put(const struct plan_query *q, const struct plan *plan, uint64_t whole_flops,
                      struct candidate *out) {
    const struct plan_made made = {.whole_flops = whole_flops};
    *out = (struct candidate){.peak_bytes = plan->peak_bytes,
                              .slab_bytes = plan->slab_bytes,
                              .recompute_flops = plan->recompute_flops,
                              .overhead_pct = plan_query_overhead_pct(&made, plan),
                              .step_seconds = q->device ? plan_query_seconds(q, plan) : 0};
}

/* One point of the curve, laid out. */
static bool point_plan(const struct plan_query *q, const struct plan_optimal *optimal, const struct chain_solver *s,
                       const struct chain_point *p, uint64_t whole_flops, struct candidate *out, struct problem *why) {
    struct arena scratch;
    struct plan plan;
    uint32_t which;
    arena_init_within(&scratch, PLAN_QUERY_ARENA_BYTES, q->bounds);
    const bool ok = planner_optimal_point(&optimal->of, s, p, &scratch, &plan, &which, why);
    if (ok)
        point_put(q, &plan, whole_flops, out);
    arena_free(&scratch);
    return ok;
}

/* What a budget of the point's own peak plans: on a grid that may be cheaper. *states: those left for it. */
static bool point_again(const struct plan_query *q, const struct plan_optimal *optimal, uint64_t whole_flops,
                        uint64_t *states, struct candidate *out, struct problem *why) {
    struct arena scratch;
    struct plan plan;
    uint32_t which;
    if (*states == 0)
        return true;
    arena_init_within(&scratch, PLAN_QUERY_ARENA_BYTES, q->bounds);
    const bool ok = plan_optimal_within(optimal, out->peak_bytes, &scratch, &plan, &which, why);
    if (ok) {
        *states -= plan.optimality.states < *states ? plan.optimality.states : *states;
        point_put(q, &plan, whole_flops, out);
    }
    arena_free(&scratch);
    return ok;
}

/* The plan that recomputes nothing, of the smallest there are: a curve on a grid may end a little before it. */
static bool first_point(const struct plan_query *q, const struct plan_optimal *optimal, uint64_t whole_flops,
                        struct candidate *out, struct arena *a, struct problem *why) {
    const struct chain_solver *s = planner_optimal_solve(&optimal->of, UINT64_MAX, UINT64_MAX, OPTIMAL_EFFORT, a, why);
    uint32_t n = 0;
    const struct chain_point *points = s ? chain_frontier(s, &n) : NULL;
    return points && point_plan(q, optimal, s, &points[n - 1], whole_flops, out, why);
}

/* The whole curve, or at most q->max_points of it, evenly, with both ends; *n of them, those dropped that others beat
 * once they are laid out. Least recomputation first. */
static bool points_make(const struct plan_query *q, struct arena *a, struct candidate **out, unsigned *n,
                        struct problem *why) {
    struct plan_optimal optimal;
    struct arena scratch;
    uint32_t all = 0;
    uint64_t flops = 0, states = AGAIN_STATES;
    arena_init_within(&scratch, PLAN_QUERY_ARENA_BYTES, q->bounds);
    bool ok = plan_query_optimal(q, &scratch, &optimal, why);
    const struct chain_solver *s =
        ok ? planner_optimal_solve(&optimal.of, 0, UINT64_MAX, OPTIMAL_CURVE_EFFORT, &scratch, why) : NULL;
    const struct chain_point *points = s ? chain_frontier(s, &all) : NULL;
    const unsigned shown = all < q->max_points ? all : (unsigned)q->max_points;
    ok = points && (*out = arena_new(a, struct candidate, (size_t)shown + 1, why));
    for (uint32_t i = 0; ok && i < optimal.graphs[0].n_ops; i++)
        flops += optimal.graphs[0].ops[i].forward_flops + optimal.graphs[0].ops[i].backward_flops;
    *n = 0;
    for (unsigned i = 0; ok && i < shown; i++) {
        const uint32_t at = shown > 1 ? all - 1 - (uint32_t)((uint64_t)i * (all - 1) / (shown - 1)) : all - 1;
        struct candidate *c = &(*out)[*n];
        ok = i == 0 && !chain_exact(s) ? first_point(q, &optimal, flops, c, &scratch, why)
                                       : point_plan(q, &optimal, s, &points[at], flops, c, why);
        if (ok && !chain_exact(s))
            ok = point_again(q, &optimal, flops, &states, c, why);
        if (ok && (*n == 0 || (c->peak_bytes < c[-1].peak_bytes && c->overhead_pct > c[-1].overhead_pct))) {
            ok = (c->json = optimal_json(q, c->peak_bytes, a, why)) != NULL;
            ++*n;
        }
    }
    arena_free(&scratch);
    return ok;
}

/* Every candidate planned, and all of them by_cost. NULL with a problem. */
static struct frontier *planned(const struct plan_query *q, struct arena *a, const struct candidate **order,
                                struct problem *why) {
    struct frontier *f = arena_new(a, struct frontier, 1, why);
    struct plan_candidate *named = arena_new(a, struct plan_candidate, PLAN_CANDIDATES_MAX, why);
    if (!f || !named ||
        !plan_candidates_make(model_graph_layers(&q->w.workload.model), q->strategy.strategy.loss_chunk, a, named,
                              &f->n, why))
        return NULL;
    f->q = q;
    f->a = a;
    f->why = why;
    for (unsigned i = 0; i < f->n; i++) {
        f->list[i] = (struct candidate){.strategy = named[i].strategy, .json = named[i].json};
        if (!candidate_plan(f, &f->list[i]))
            return NULL;
        order[i] = &f->list[i];
    }
    qsort(order, f->n, sizeof order[0], by_cost);
    return f;
}

static struct plan_named named_of(const struct candidate *c) {
    return (struct plan_named){{.strategy = c->strategy, .json = c->json}, c->peak_bytes, c->overhead_pct};
}

/* Of the named strategies; *cheapest stands where none of them is cheaper. */
static bool named_pick(const struct plan_query *q, struct arena *a, struct plan_named *cheapest,
                       struct plan_named *lightest, struct problem *why) {
    const struct candidate *order[PLAN_CANDIDATES_MAX], *light = NULL, *cheap = NULL;
    const struct frontier *f = planned(q, a, order, why);
    if (!f)
        return false;
    for (unsigned i = 0; i < f->n; i++) {
        if (!cheap && order[i]->peak_bytes <= q->budget_bytes)
            cheap = order[i];
        if (!light || order[i]->peak_bytes < light->peak_bytes)
            light = order[i];
    }
    if (!lightest->strategy.json || light->peak_bytes < lightest->peak_bytes)
        *lightest = named_of(light);
    if (cheap && (!cheapest->strategy.json || cheap->overhead_pct < cheapest->overhead_pct))
        *cheapest = named_of(cheap);
    return true;
}

/* Within q's budget, or the smallest. named.strategy.json NULL: this workload has none. *certain: no other of any
 * strategy is better. */
static bool optimal_pick(const struct plan_query *q, struct arena *a, struct plan_named *named, bool *certain,
                         struct problem *why) {
    const struct strategy *s = &q->strategy.strategy;
    struct plan_query with = *q;
    struct plan_made m;
    struct arena scratch;
    struct problem none = {0};
    *named = (struct plan_named){0};
    with.strategy.strategy = (struct strategy){.planner = &planner_optimal,
                                               .budget_bytes = q->budget_bytes,
                                               .objective = s->objective,
                                               .loss_chunk = s->loss_chunk};
    with.strategy.json = wire_strategy_chunked(optimal_json(q, q->budget_bytes, a, why), s->loss_chunk, a, why);
    arena_init_within(&scratch, PLAN_QUERY_ARENA_BYTES, q->bounds);
    if (with.strategy.json && plan_query_make(&with, &scratch, &m, &none)) {
        *named = (struct plan_named){with.strategy, m.plan.peak_bytes, plan_query_overhead_pct(&m, &m.plan)};
        *certain = m.plan.peak_bytes > q->budget_bytes || s->objective == OBJECTIVE_SECONDS ||
                   m.plan.optimality.cost == m.plan.optimality.lower_bound;
    }
    arena_free(&scratch);
    if (none.kind == PROBLEM_MEMORY || none.kind == PROBLEM_CANCELLED) /* nothing is known of it then */
        return problem_set(why, none.kind, none.where, "%s", none.detail);
    return with.strategy.json != NULL;
}

bool plan_frontier_pick(const struct plan_query *q, struct arena *a, struct plan_named *cheapest,
                        struct plan_named *lightest, struct problem *why) {
    bool certain = false;
    if (!optimal_pick(q, a, lightest, &certain, why))
        return false;
    *cheapest = lightest->peak_bytes <= q->budget_bytes ? *lightest : (struct plan_named){0};
    return certain || named_pick(q, a, cheapest, lightest, why);
}

/* Of models too deep for optimal plans: the named strategies that none of the others beats, at most as many as asked.
 */
static bool named_points(const struct frontier *f, const struct candidate *const *order, struct arena *a,
                         struct candidate **out, unsigned *n, struct problem *why) {
    unsigned all = 0;
    struct candidate *list = arena_new(a, struct candidate, f->n, why);
    if (!list)
        return false;
    for (unsigned i = 0; i < f->n; i++)
        if (all == 0 || order[i]->peak_bytes < list[all - 1].peak_bytes)
            list[all++] = *order[i];
    *n = all < f->q->max_points ? all : (unsigned)f->q->max_points;
    for (unsigned i = 0; i < *n; i++) /* in place: none is taken from before where it goes */
        list[i] = list[*n > 1 ? (unsigned)((uint64_t)i * (all - 1) / (*n - 1)) : all - 1];
    *out = list;
    return true;
}

bool plan_query_frontier(const struct plan_query *q, struct arena *a, struct wire_out *o, struct problem *why) {
    const struct candidate *order[PLAN_CANDIDATES_MAX];
    struct candidate *points;
    unsigned n;
    if (q->w.megatron)
        return problem_set(why, PROBLEM_UNSUPPORTED, "/workload/framework",
                           "has no frontier: megatron is closed forms");
    if (q->w.any_attention)
        return problem_set(why, PROBLEM_UNSUPPORTED, "/workload/attention", "has a frontier for each kernel: name one");
    struct problem past = {0};
    const bool solved = points_make(q, a, &points, &n, &past);
    if (!solved && past.kind != PROBLEM_LIMIT)
        return problem_set(why, past.kind, past.where, "%s", past.detail);
    const struct frontier *f = planned(q, a, order, why);
    if (!f || (!solved && !named_points(f, order, a, &points, &n, why)))
        return false;
    const unsigned knee = n > 2 ? knee_of(points, n) : n;
    wire_open(o, NULL, '{');
    wire_open(o, "points", '[');
    for (unsigned i = 0; i < n; i++)
        put(f, &points[i], true, i == knee && knee > 0, o);
    wire_close(o, ']');
    wire_open(o, "named", '[');
    for (unsigned i = 0; i < f->n; i++)
        put(f, &f->list[i], false, false, o);
    wire_close(o, ']');
    wire_close(o, '}');
    return true;
}
