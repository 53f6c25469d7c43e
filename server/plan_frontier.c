/* plan_frontier.c - memory against recomputation: where the named strategies lie, and those of them that none of the
 * others beats in both. The frontier of what is named, not of all plans: an exact one is for the optimal planners. */
#include <stdlib.h>

#include "server/plan_candidates.h"
#include "server/plan_query.h"

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
    arena_init(&scratch, PLAN_QUERY_ARENA_BYTES);
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

static void put(const struct frontier *f, const struct candidate *c, bool seconds, struct wire_out *o) {
    wire_open(o, NULL, '{');
    wire_put_uint(o, "peak_bytes", c->peak_bytes);
    wire_put_uint(o, "slab_bytes", c->slab_bytes);
    wire_put_real(o, "compute_overhead_pct", c->overhead_pct);
    if (seconds && f->q->device)
        wire_put_real(o, "step_seconds", c->step_seconds);
    else if (seconds)
        wire_put_json(o, "step_seconds", NULL);
    wire_put_json(o, "strategy", c->json);
    wire_close(o, '}');
}

/* At most `most` of the n points, evenly, with both ends. */
static void put_points(const struct frontier *f, const struct candidate *const *points, unsigned n, uint64_t most,
                       struct wire_out *o) {
    unsigned shown = n < most ? n : (unsigned)most;
    wire_open(o, "points", '[');
    for (unsigned i = 0; i < shown; i++)
        put(f, points[shown > 1 ? (unsigned)((uint64_t)i * (n - 1) / (shown - 1)) : n - 1], true, o);
    wire_close(o, ']');
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

bool plan_frontier_pick(const struct plan_query *q, struct arena *a, struct plan_named *cheapest,
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
    *lightest =
        (struct plan_named){{.strategy = light->strategy, .json = light->json}, light->peak_bytes, light->overhead_pct};
    *cheapest = (struct plan_named){0};
    if (cheap)
        *cheapest = (struct plan_named){
            {.strategy = cheap->strategy, .json = cheap->json}, cheap->peak_bytes, cheap->overhead_pct};
    return true;
}

bool plan_query_frontier(const struct plan_query *q, struct arena *a, struct wire_out *o, struct problem *why) {
    const struct candidate *order[PLAN_CANDIDATES_MAX], *points[PLAN_CANDIDATES_MAX];
    unsigned n = 0;
    if (q->w.megatron)
        return problem_set(why, PROBLEM_UNSUPPORTED, "/workload/framework",
                           "has no frontier: megatron is closed forms");
    const struct frontier *f = planned(q, a, order, why);
    if (!f)
        return false;
    for (unsigned i = 0; i < f->n; i++)
        if (n == 0 || order[i]->peak_bytes < points[n - 1]->peak_bytes)
            points[n++] = order[i];
    wire_open(o, NULL, '{');
    put_points(f, points, n, q->max_points, o);
    wire_open(o, "named", '[');
    for (unsigned i = 0; i < f->n; i++)
        put(f, &f->list[i], false, o);
    wire_close(o, ']');
    wire_close(o, '}');
    return true;
}
