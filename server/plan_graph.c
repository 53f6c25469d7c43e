/* plan_graph.c - plans of posted graphs: solved by engine/plan/dag, proven by its judge and counted anew here, step by
 * step. The clock that ends a search is here too. */
#include <math.h>

#include "engine/base/units.h"
#include "server/clock.h"
#include "server/plan_posted.h"

#define EXACT_STATES  ((uint64_t)1 << 20)
#define SEARCH_BYTES  (PLAN_POSTED_ARENA_BYTES / 2) /* of a solve; what is told of it takes less */
#define SEARCH_ROUNDS 20000u                        /* of an answer at once, where its time does not end it */
#define LEAST_STATES  ((uint64_t)1 << 16)
#define SEARCH_SEED   1
#define SWEEP_POINTS  16u /* of a frontier, where not fewer are asked for */

/* ---- the clock ---- */

struct search {
    const struct plan_posted *q;
    struct plan_posted_watch *watch;
    uint64_t begun_ns, limit_ns;
    double least_cost;
    bool quiet; /* what is searched for is no plan of the question */
};

/* Costs as the client counts them. */
static double told(const struct plan_posted *q, uint64_t cost) {
    return (double)cost * q->graph.unit;
}

static bool ask(void *user, const struct dag_progress *p) {
    struct search *s = user;
    const uint64_t past_ns = clock_now_ns() - s->begun_ns;
    const bool found = p->cost != UINT64_MAX && !s->quiet;
    const bool bounded = p->lower_bound != UINT64_MAX && !s->quiet;
    const double cost = found ? told(s->q, p->cost) : 0,
                 lower = bounded ? fmax(s->least_cost, told(s->q, p->lower_bound)) : s->least_cost;
    const struct plan_posted_progress progress = {.found = found,
                                                  .in_seconds = plan_posted_in_seconds(s->q),
                                                  .cost = cost,
                                                  .overhead_pct = plan_posted_overhead(cost, s->least_cost),
                                                  .gap_pct = plan_posted_overhead(cost, lower),
                                                  .lower_bound = lower,
                                                  .elapsed_seconds = (double)past_ns * 1e-9,
                                                  .peak_bytes = found ? p->bytes : 0,
                                                  .states = p->states};
    const bool over = past_ns >= s->limit_ns || (s->watch->ask && s->watch->ask(s->watch->user, &progress));
    s->watch->cut |= over;
    if (over && s->q->bounds)
        s->q->bounds->stop = NULL; /* what was found is told: that takes milliseconds */
    return over;
}

static struct search search_for(const struct plan_posted *q, struct plan_posted_watch *watch, double seconds) {
    struct search s = {.q = q, .watch = watch, .begun_ns = clock_now_ns(), .limit_ns = (uint64_t)(seconds * 1e9)};
    for (uint32_t i = 0; i < q->graph.dag.n_nodes; i++)
        s.least_cost += told(q, q->graph.dag.nodes[i].cost);
    return s;
}

static struct dag_limits limits_of(const struct plan_posted *q, struct search *s, uint64_t budget_bytes) {
    return (struct dag_limits){.budget_bytes = budget_bytes,
                               .reorder = q->reorder,
                               .exact_states = EXACT_STATES,
                               .memory_bytes = SEARCH_BYTES,
                               .rounds =
                                   q->time_limit_seconds > PLAN_POSTED_SECONDS_AT_ONCE ? UINT64_MAX : SEARCH_ROUNDS,
                               .seed = SEARCH_SEED,
                               .ask = ask,
                               .user = s};
}

/* ---- a plan, counted anew ---- */

struct count {
    const struct plan_posted *q;
    const uint32_t *sequence;
    uint32_t n;
    uint32_t *ends;   /* by step, twice: 1 + the first life that ends with it; 0: none */
    uint32_t *next;   /* by life: 1 + another that ends there */
    uint32_t *values; /* by life */
    uint32_t n_lives;
    uint64_t given_bytes; /* alive before the first step */
};

/* A life that ends with step `last`. */
static void life_add(struct count *c, uint32_t value, uint32_t last) {
    c->values[c->n_lives] = value;
    c->next[c->n_lives] = c->ends[last];
    c->ends[last] = ++c->n_lives;
}

/* Backwards: the first read that is met is the last of its life. last_read[value]: 0: none yet, else 1 + step. */
static void lives_find(struct count *c, uint32_t *last_read) {
    const struct dag *d = &c->q->graph.dag;
    for (uint32_t v = 0; v < d->n_values; v++)
        last_read[v] = d->values[v].wanted ? c->n + 1 : 0;
    for (uint32_t step = c->n; step-- > 0;) {
        const struct dag_node *node = &d->nodes[c->sequence[step]];
        const uint32_t made = node->makes[0];
        if (last_read[made] <= c->n)
            life_add(c, made, last_read[made] ? last_read[made] - 1 : step);
        last_read[made] = 0;
        for (uint32_t i = 0; i < node->n_reads; i++)
            if (last_read[node->reads[i]] == 0)
                last_read[node->reads[i]] = step + 1;
    }
    for (uint32_t v = 0; v < d->n_values; v++) {
        if (!d->values[v].given || last_read[v] == 0)
            continue;
        c->given_bytes += d->values[v].bytes;
        if (last_read[v] <= c->n)
            life_add(c, v, last_read[v] - 1);
    }
}

static void cost_add(const struct wire_graph *g, uint32_t node, bool again, struct plan_posted_plan *plan) {
    const uint64_t cost = g->seconds ? 0 : g->dag.nodes[node].cost;
    plan->seconds += g->seconds ? g->seconds[node] : 0;
    *(again ? &plan->recompute : g->backward[node] ? &plan->backward : &plan->forward) += cost;
}

static void steps_write(const struct count *c, struct plan_posted_step *steps, bool *ran,
                        struct plan_posted_plan *plan) {
    const struct wire_graph *g = &c->q->graph;
    uint64_t live = c->given_bytes;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        const uint32_t node = c->sequence[i], value = g->dag.nodes[node].makes[0];
        live += g->dag.values[value].bytes;
        steps[n] = (struct plan_posted_step){.what = g->backward[node] ? PLAN_POSTED_GRAD : PLAN_POSTED_RUN,
                                             .of = value,
                                             .keep = DAG_NONE,
                                             .live_bytes = live + g->dag.nodes[node].work_bytes};
        if (steps[n].live_bytes > plan->peak_bytes) {
            plan->peak_bytes = steps[n].live_bytes;
            plan->peak_step = n;
        }
        n++;
        cost_add(g, node, ran[node], plan);
        ran[node] = true;
        for (uint32_t life = c->ends[i]; life > 0; life = c->next[life - 1]) {
            steps[n++] = (struct plan_posted_step){PLAN_POSTED_FREE, c->values[life - 1], DAG_NONE, live};
            live -= g->dag.values[c->values[life - 1]].bytes;
        }
    }
    plan->steps = steps;
    plan->n_steps = n;
}

/* The judge's word, and ours beside it. */
static bool counted(const struct plan_posted *q, const uint32_t *sequence, uint32_t n, struct arena *scratch,
                    struct plan_posted_plan *out, uint64_t *cost, struct problem *why) {
    const struct dag *d = &q->graph.dag;
    struct count c = {.q = q, .sequence = sequence, .n = n};
    const size_t lives = (size_t)n + d->n_values;
    uint64_t peak_bytes;
    if (!dag_judge(d, sequence, n, cost, &peak_bytes, scratch, why))
        return false;
    c.ends = arena_new(scratch, uint32_t, n, why);
    c.next = arena_new(scratch, uint32_t, lives, why);
    c.values = arena_new(scratch, uint32_t, lives, why);
    uint32_t *last_read = arena_new(scratch, uint32_t, d->n_values, why);
    bool *ran = arena_new(scratch, bool, d->n_nodes, why);
    struct plan_posted_step *steps = arena_new(scratch, struct plan_posted_step, n + lives, why);
    if (!c.ends || !c.next || !c.values || !last_read || !ran || !steps)
        return false;
    *out = (struct plan_posted_plan){.n_steps = 0};
    lives_find(&c, last_read);
    steps_write(&c, steps, ran, out);
    return out->peak_bytes == peak_bytes ||
           problem_set(why, PROBLEM_PLAN, "", "a graph's plan takes %llu bytes where its judge counts %llu",
                       (unsigned long long)out->peak_bytes, (unsigned long long)peak_bytes);
}

/* Every node once, in the given order. */
static bool standard_make(const struct plan_posted *q, struct arena *scratch, struct plan_posted_plan *out,
                          uint64_t *cost, struct problem *why) {
    uint32_t *sequence = arena_new(scratch, uint32_t, q->graph.dag.n_nodes, why);
    for (uint32_t i = 0; sequence && i < q->graph.dag.n_nodes; i++)
        sequence[i] = i;
    return sequence && counted(q, sequence, q->graph.dag.n_nodes, scratch, out, cost, why);
}

/* ---- answers ---- */

static double cost_of(const struct plan_posted *q, const struct plan_posted_plan *p) {
    return plan_posted_in_seconds(q) ? p->seconds : (double)(p->forward + p->backward + p->recompute);
}

static void bound_take(const struct plan_posted *q, uint64_t lower_bound, struct plan_posted_result *out) {
    out->lower_bound_flops = lower_bound;
    out->lower_bound = told(q, lower_bound);
    if (out->plan.n_steps && (out->exact || out->lower_bound > out->cost)) /* but for what rounding took */
        out->lower_bound = out->cost;
}

/* No plan within the budget: which budget has one, and the node that needs most by itself. */
static bool least_find(const struct plan_posted *q, struct search *s, struct arena *scratch,
                       struct plan_posted_result *out, struct problem *why) {
    const struct dag_limits limits = limits_of(q, s, UINT64_MAX);
    uint32_t node;
    uint64_t least;
    s->quiet = true;
    dag_floor_bytes(&q->graph.dag, &node);
    out->binds = q->graph.dag.nodes[node].makes[0];
    out->binds_backward = q->graph.backward[node];
    if (!dag_least_bytes(&q->graph.dag, &limits, scratch, &least, &out->minimum_exact, why))
        return problem_nest(why, "/graph");
    out->minimum_budget_bytes = units_min(least, out->standard.peak_bytes);
    return true;
}

static bool found_take(const struct plan_posted *q, const struct dag_solution *found, struct arena *scratch,
                       struct plan_posted_result *out, struct problem *why) {
    uint64_t cost;
    if (!counted(q, found->sequence, found->n, scratch, &out->plan, &cost, why))
        return false;
    out->cost = cost_of(q, &out->plan);
    return (cost == found->cost && out->plan.peak_bytes <= q->budget_bytes) ||
           problem_set(why, PROBLEM_PLAN, "", "a graph's plan takes %llu bytes of %llu",
                       (unsigned long long)out->plan.peak_bytes, (unsigned long long)q->budget_bytes);
}

static bool searched(const struct plan_posted *q, struct search *s, uint64_t least, struct arena *scratch,
                     struct plan_posted_result *out, struct problem *why) {
    const struct dag_limits limits = limits_of(q, s, q->budget_bytes);
    struct dag_solution found;
    if (!dag_solve(&q->graph.dag, &limits, scratch, &found, why))
        return problem_nest(why, "/graph");
    out->solver = found.solver;
    out->states = found.states;
    out->exact = found.exact;
    out->undecided = !found.sequence && !found.exact;
    if (found.sequence ? !found_take(q, &found, scratch, out, why) : !least_find(q, s, scratch, out, why))
        return false;
    bound_take(q, units_max(found.lower_bound, least), out);
    return true;
}

static bool optimal(const struct plan_posted *q, struct search *s, uint64_t least, struct arena *scratch,
                    struct plan_posted_result *out, struct problem *why) {
    uint32_t node;
    out->class = "all";
    out->solver = "bounds";
    out->exact = true;
    if (out->standard.peak_bytes <= q->budget_bytes) { /* nothing is cheaper than everything once */
        out->plan = out->standard;
        out->cost = cost_of(q, &out->plan);
        bound_take(q, least, out);
        return true;
    }
    if (dag_floor_bytes(&q->graph.dag, &node) <= q->budget_bytes)
        return searched(q, s, least, scratch, out, why);
    return least_find(q, s, scratch, out, why);
}

bool plan_graph_solve(const struct plan_posted *q, struct plan_posted_watch *watch, struct arena *scratch,
                      struct plan_posted_result *out, struct problem *why) {
    struct search s = search_for(q, watch, q->time_limit_seconds);
    uint64_t least;
    if (!dag_check(&q->graph.dag, why))
        return problem_nest(why, "/graph");
    if (!standard_make(q, scratch, &out->standard, &least, why))
        return false;
    out->least_cost = cost_of(q, &out->standard);
    if (q->strategy == PLAN_POSTED_OPTIMAL_DAG)
        return optimal(q, &s, least, scratch, out, why);
    out->plan = out->standard;
    out->cost = out->least_cost;
    out->minimum_budget_bytes = out->standard.peak_bytes;
    out->minimum_exact = true;
    return true;
}

/* ---- frontiers ---- */

/* One budget of a sweep; *there false: no plan was found. */
static bool sweep_point(const struct plan_posted *q, struct plan_posted_watch *watch, uint64_t budget_bytes,
                        double seconds, struct plan_posted_point *out, bool *there, struct problem *why) {
    struct plan_posted one = *q;
    struct plan_posted_result r = {.class = NULL};
    struct arena scratch;
    one.strategy = PLAN_POSTED_OPTIMAL_DAG;
    one.budget_bytes = budget_bytes;
    one.time_limit_seconds = seconds;
    arena_init_within(&scratch, PLAN_POSTED_ARENA_BYTES, q->bounds);
    const bool ok = plan_graph_solve(&one, watch, &scratch, &r, why);
    arena_free(&scratch);
    *there = r.plan.n_steps > 0;
    *out = (struct plan_posted_point){r.plan.peak_bytes, r.cost, r.exact};
    return ok;
}

/* Down from what a plan without recomputation takes; a point that no more bytes than the one before it, or that costs
 * no more, stands in its place. */
static bool sweep(const struct plan_posted *q, struct plan_posted_watch *watch, uint64_t least, uint64_t most,
                  struct plan_posted_point *list, uint32_t budgets, uint32_t *n, bool *exact, struct problem *why) {
    for (uint32_t i = 0; i < budgets; i++) {
        const uint64_t budget = most - (budgets > 1 ? (uint64_t)((double)(most - least) * i / (budgets - 1)) : 0);
        struct plan_posted_point p;
        bool there;
        if (*n > 0 && list[*n - 1].bytes <= budget) /* the plan before is within it, and the best for more */
            continue;
        if (!sweep_point(q, watch, budget, q->time_limit_seconds / 2 / budgets, &p, &there, why))
            return false;
        *exact = *exact && p.exact;
        while (there && *n > 0 && list[*n - 1].cost >= p.cost)
            --*n;
        if (there)
            list[(*n)++] = p;
    }
    return true;
}

bool plan_graph_frontier(const struct plan_posted *q, struct plan_posted_watch *watch, struct arena *scratch,
                         struct plan_posted_curve *out, struct problem *why) {
    const uint32_t budgets = (uint32_t)units_min(q->max_points, SWEEP_POINTS);
    struct search s = search_for(q, watch, q->time_limit_seconds / 2);
    struct dag_limits limits = limits_of(q, &s, UINT64_MAX);
    struct plan_posted_point *list = arena_new(scratch, struct plan_posted_point, budgets, why);
    struct plan_posted_plan standard;
    uint64_t cost, least;
    uint32_t n = 0;
    bool exact;
    limits.exact_states = LEAST_STATES; /* a sweep begins somewhere */
    s.quiet = true;
    if (!list || !dag_check(&q->graph.dag, why) || !standard_make(q, scratch, &standard, &cost, why) ||
        !dag_least_bytes(&q->graph.dag, &limits, scratch, &least, &exact, why) ||
        !sweep(q, watch, units_min(least, standard.peak_bytes), standard.peak_bytes, list, budgets, &n, &exact, why))
        return false;
    *out = (struct plan_posted_curve){.points = list,
                                      .n = n,
                                      .least_cost = cost_of(q, &standard),
                                      .standard_bytes = standard.peak_bytes,
                                      .standard_cost = cost_of(q, &standard),
                                      .exact = exact};
    return true;
}
