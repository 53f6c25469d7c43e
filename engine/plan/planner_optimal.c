/* planner_optimal.c - the cheapest persistent plan that fits: see planner_optimal.h and chain.h.
 *
 * Curves are of live bytes; a budget bounds the slab. So the points within a budget are laid out, cheapest first, until
 * one's slab fits: a larger budget has the same points and more, so it never costs more. */
#include "engine/plan/planner_optimal.h"

#include <math.h>

#include "engine/base/units.h"

/* ---- costs ---- */

static bool flops_fill(const struct graph *g, struct arena *a, struct chain_costs *out, struct problem *why) {
    uint64_t *forward = arena_new(a, uint64_t, g->n_ops, why), *backward = arena_new(a, uint64_t, g->n_ops, why);
    if (!forward || !backward)
        return false;
    for (uint32_t o = 0; o < g->n_ops; o++) {
        forward[o] = g->ops[o].forward_flops;
        backward[o] = g->ops[o].needs_grad ? g->ops[o].backward_flops : 0;
    }
    *out = (struct chain_costs){forward, backward};
    return true;
}

/* In parts of a second such that a step has 2^40 of them. */
static double unit_of(const struct graph *g, const struct cost_rates *r) {
    double seconds = 0;
    for (uint32_t o = 0; o < g->n_ops; o++)
        seconds += cost_seconds(g, &(struct step){STEP_RUN, o}, r) + cost_seconds(g, &(struct step){STEP_GRAD, o}, r);
    return seconds > 0 ? seconds / 0x1p40 : 1;
}

static bool seconds_fill(const struct graph *g, const struct cost_rates *r, double unit, struct arena *a,
                         struct chain_costs *out, struct problem *why) {
    uint64_t *forward = arena_new(a, uint64_t, g->n_ops, why), *backward = arena_new(a, uint64_t, g->n_ops, why);
    if (!forward || !backward)
        return false;
    for (uint32_t o = 0; o < g->n_ops; o++) {
        forward[o] = (uint64_t)llround(cost_seconds(g, &(struct step){STEP_RUN, o}, r) / unit);
        backward[o] =
            g->ops[o].needs_grad ? (uint64_t)llround(cost_seconds(g, &(struct step){STEP_GRAD, o}, r) / unit) : 0;
    }
    *out = (struct chain_costs){forward, backward};
    return true;
}

bool planner_optimal_open(const struct graph *g, const struct graph *others, uint32_t n_others,
                          const struct cost_rates *rates, struct arena *a, struct optimal *out, struct problem *why) {
    struct chain_costs *costs = arena_new(a, struct chain_costs, (size_t)n_others + 1, why);
    if (!costs)
        return false;
    if (!g->backward)
        return problem_set(why, PROBLEM_UNSUPPORTED, "", "optimal plans are of a forward and a backward");
    if (g->layers > OPTIMAL_STAGES / 2)
        return problem_set(why, PROBLEM_LIMIT, "", "has %u layers; optimal plans are found for at most %u", g->layers,
                           OPTIMAL_STAGES / 2);
    *out = (struct optimal){.graph = g, .others = others, .n_others = n_others};
    out->unit = rates ? unit_of(g, rates) : 0;
    for (uint32_t i = 0; i <= n_others; i++) {
        const struct graph *of = i ? &others[i - 1] : g;
        if (!(rates ? seconds_fill(of, rates, out->unit, a, &costs[i], why) : flops_fill(of, a, &costs[i], why)))
            return false;
    }
    for (uint32_t o = 0; o < g->n_ops; o++)
        out->base_cost += costs[0].forward[o] + costs[0].backward[o];
    out->persistent_bytes = graph_persistent_bytes(g);
    out->chain = chain_graph_make(g, others, n_others, costs, a, why);
    if (!out->chain)
        return false;
    const uint32_t stages = chain_graph_chain(out->chain)->n;
    return stages <= OPTIMAL_STAGES ||
           problem_set(why, PROBLEM_LIMIT, "", "is a chain of %u stages; optimal plans are found for at most %u",
                       stages, OPTIMAL_STAGES);
}

/* ---- points ---- */

struct chain_solver *planner_optimal_solve(const struct optimal *o, uint64_t from_bytes, uint64_t bytes,
                                           uint64_t effort, struct arena *a, struct problem *why) {
    const struct chain_limits limits = {
        .from_bytes = from_bytes, .bytes = bytes, .cost = UINT64_MAX, .states = OPTIMAL_STATES, .effort = effort};
    return chain_solve(chain_graph_chain(o->chain), &limits, a, why);
}

bool planner_optimal_point(const struct optimal *o, const struct chain_solver *s, const struct chain_point *p,
                           struct arena *a, struct plan *plan, uint32_t *of, struct problem *why) {
    const struct chain_step *steps;
    struct step *moves;
    uint32_t n, n_moves;
    if (!chain_schedule(s, p, a, &steps, &n, why) ||
        !chain_graph_moves(o->chain, steps, n, a, &moves, &n_moves, of, why) ||
        !plan_make(*of ? &o->others[*of - 1] : o->graph, moves, n_moves, a, plan, why))
        return false;
    plan->optimality = (struct plan_optimality){.class = "persistent",
                                                .solver = "chain",
                                                .cost = p->cost,
                                                .lower_bound = chain_exact(s) ? p->cost : 0,
                                                .unit = o->unit,
                                                .states = chain_states(s),
                                                .exact = chain_exact(s) && chain_graph_exact(o->chain)};
    return true;
}

struct trying {
    const struct optimal *o;
    struct arena *a;
    struct plan *plan;
    uint32_t *of;
    struct problem *why;
};

/* Points of fewer bytes than `above`, from the cheapest on, until the peak of one is within peak_bytes. */
static bool cheapest_find(struct trying *t, const struct chain_solver *s, uint64_t above, uint64_t peak_bytes,
                          bool *found) {
    uint32_t n;
    const struct chain_point *points = chain_frontier(s, &n);
    *found = false;
    for (uint32_t i = n; !*found && i-- > 0;) {
        if (points[i].bytes >= above)
            continue;
        if (!planner_optimal_point(t->o, s, &points[i], t->a, t->plan, t->of, t->why))
            return false;
        *found = t->plan->peak_bytes <= peak_bytes;
    }
    return true;
}

/* What live bytes alone allow within a budget: layouts can only cost more. */
static void bound_put(struct plan *plan, const struct chain_solver *s, uint64_t bytes) {
    plan->optimality.lower_bound = units_min(plan->optimality.cost, chain_lower_bound(s, bytes));
}

/* Lays out points from the smallest on, as long as one's live bytes lie below the smallest slab so far. */
static bool smaller_find(struct trying *t, const struct chain_solver *s, uint64_t *best) {
    uint32_t n;
    const struct chain_point *points = chain_frontier(s, &n);
    for (uint32_t i = 0; i < n && points[i].bytes <= *best; i++) {
        struct plan plan;
        uint32_t of;
        if (!planner_optimal_point(t->o, s, &points[i], t->a, &plan, &of, t->why))
            return false;
        if (plan.slab_bytes <= *best) { /* of equals the later one costs less */
            *best = plan.slab_bytes;
            *t->plan = plan;
            *t->of = of;
        }
    }
    return *best != UINT64_MAX || problem_set(t->why, PROBLEM_INTERNAL, "", "a chain has no plan at all");
}

/* The smallest slab: nearly always that of the fewest live bytes; where it wastes some, another's may be smaller. */
static bool smallest_find(struct trying *t, uint64_t least) {
    uint64_t best = UINT64_MAX;
    const struct chain_solver *s = planner_optimal_solve(t->o, least, least, OPTIMAL_EFFORT, t->a, t->why);
    if (!s || !smaller_find(t, s, &best))
        return false;
    if (best > least) {
        s = planner_optimal_solve(t->o, least, best, OPTIMAL_EFFORT, t->a, t->why);
        if (!s || !smaller_find(t, s, &best))
            return false;
    }
    bound_put(t->plan, s, units_max(t->plan->live_peak_bytes, least));
    return true;
}

/* Where exactness was given up a greedy plan may be cheaper: then it is the answer, under the same bound. */
static bool greedy_try(struct trying *t, uint64_t peak_bytes) {
    const struct plan_optimality claim = t->plan->optimality;
    struct plan plan;
    uint32_t of;
    if (claim.exact || claim.cost == claim.lower_bound)
        return true;
    if (!planner_greedy_within(t->o, peak_bytes, t->a, &plan, &of, t->why))
        return false;
    if (plan.peak_bytes > peak_bytes || plan.optimality.cost >= claim.cost)
        return true;
    const uint64_t cost = plan.optimality.cost;
    plan.optimality = claim;
    plan.optimality.cost = cost;
    plan.optimality.solver = "greedy";
    *t->plan = plan;
    *t->of = of;
    return true;
}

bool planner_optimal_within(const struct optimal *o, uint64_t peak_bytes, struct arena *a, struct plan *plan,
                            uint32_t *of, struct problem *why) {
    struct trying t = {.o = o, .a = a, .plan = plan, .of = of, .why = why};
    uint64_t least, budget = peak_bytes == UINT64_MAX           ? UINT64_MAX
                             : peak_bytes > o->persistent_bytes ? peak_bytes - o->persistent_bytes
                                                                : 0;
    bool found = false;
    if (!chain_least_bytes(chain_graph_chain(o->chain), a, &least, why))
        return false;
    if (budget < least)
        return smallest_find(&t, least);
    const struct chain_solver *at_budget = NULL;
    for (uint64_t to = budget, above = UINT64_MAX; !found && above > least;) {
        const uint64_t from = at_budget ? units_max(least, to - to / 32) : to;
        const struct chain_solver *s = planner_optimal_solve(o, from, to, OPTIMAL_EFFORT, a, why);
        if (!s || !cheapest_find(&t, s, above, peak_bytes, &found))
            return false;
        uint32_t n;
        const struct chain_point *points = chain_frontier(s, &n);
        above = to = n ? units_min(from, points[0].bytes) : from;
        at_budget = at_budget ? at_budget : s;
    }
    if (!found)
        return smallest_find(&t, least);
    bound_put(plan, at_budget, budget);
    return greedy_try(&t, peak_bytes);
}

static bool plan(const struct graph *g, const struct strategy *s, struct arena *arena, struct plan *out,
                 struct problem *why) {
    struct optimal o;
    uint32_t of;
    return planner_optimal_open(g, NULL, 0, s->objective == OBJECTIVE_SECONDS ? s->rates : NULL, arena, &o, why) &&
           planner_optimal_within(&o, s->budget_bytes ? s->budget_bytes : UINT64_MAX, arena, out, &of, why);
}

const struct planner planner_optimal = {.name = "optimal",
                                        .description = "the least recomputation within the budget, of all persistent "
                                                       "plans of the chain of stages, with a certificate",
                                        .known_as = "rotor (Beaumont et al. 2019), rockmate (Zhao et al. 2023)",
                                        .parameters = STRATEGY_TAKES_BUDGET | STRATEGY_TAKES_OBJECTIVE,
                                        .plan = plan};
