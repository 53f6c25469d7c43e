/* dag_solve.c - which solver a graph gets: the given order where it fits, A* where it is small, the walk otherwise. */
#include <string.h>

#include "engine/base/units.h"
#include "engine/plan/dag_inner.h"

bool dag_try_asks(struct dag_try *t) {
    const struct dag_progress p = {
        .cost = t->best_cost, .bytes = t->best_peak, .lower_bound = t->bound, .states = t->states + t->rounds};
    if (!t->stopped && t->limits->ask)
        t->stopped = t->limits->ask(t->limits->user, &p);
    return t->stopped;
}

void dag_try_keep(struct dag_try *t, const uint32_t *seq, uint32_t n, const struct dag_weight *w) {
    memcpy(t->best, seq, n * sizeof *seq);
    t->n_best = n;
    t->best_cost = w->cost;
    t->best_peak = w->peak;
}

/* ---- one solve ---- */

static bool try_make(struct dag_try *t, const struct dag *d, const struct dag_limits *l, struct arena *a,
                     struct problem *why) {
    uint64_t cap = units_max(8 * (uint64_t)d->n_nodes + 1024, 2 * (uint64_t)l->n_start);
    *t = (struct dag_try){.d = d, .limits = l, .best_cost = UINT64_MAX, .best_peak = UINT64_MAX};
    if (cap >= DAG_NONE / 2)
        return problem_set(why, PROBLEM_LIMIT, "/nodes", "the graph is too long");
    if (!dag_line_make(&t->line, d, (uint32_t)cap, a, why) || !(t->best = arena_new(a, uint32_t, cap, why)))
        return false;
    t->line.budget = l->budget_bytes;
    t->line.reorder = l->reorder;
    return true;
}

/* The given order, where it fits: nothing is run again, and nothing is cheaper. */
static bool try_order(struct dag_try *t, struct arena *a, struct problem *why) {
    struct dag_weight w;
    uint32_t *seq = arena_new(a, uint32_t, t->d->n_nodes, why);
    if (!seq)
        return false;
    for (uint32_t v = 0; v < t->d->n_nodes; v++)
        seq[v] = v;
    if (!dag_line_weigh(&t->line, seq, t->d->n_nodes, &w))
        return problem_set(why, PROBLEM_INTERNAL, "", "the given order is no plan");
    if (w.peak <= t->line.budget)
        dag_try_keep(t, seq, t->d->n_nodes, &w);
    return true;
}

static bool try_solvers(struct dag_try *t, struct arena *a, const char **solver, struct problem *why) {
    const struct dag *d = t->d;
    uint64_t rounds = t->limits->rounds, some = rounds;
    uint32_t node;
    *solver = "order";
    if (!try_order(t, a, why) || !dag_bound_make(t, a, why))
        return false;
    if (dag_floor_bytes(d, &node) > t->line.budget)
        t->bound = UINT64_MAX;
    if (t->bound == UINT64_MAX || t->best_cost == t->bound)
        return true;
    bool small = d->n_nodes <= DAG_EXACT_MAX && d->n_values <= DAG_EXACT_MAX && t->limits->exact_states;
    if (small)
        some = units_min(rounds, 64 * (uint64_t)d->n_nodes);
    *solver = "search";
    if (!dag_search_run(t, some, a, why))
        return false;
    if (small && !t->stopped && t->best_cost != t->bound) {
        if (!dag_exact_run(t, a, why))
            return false;
        if (t->proven)
            *solver = "exact";
    }
    return t->proven || t->stopped || rounds == some || dag_search_run(t, rounds - some, a, why);
}

static void try_tell(const struct dag_try *t, const char *solver, struct dag_solution *out) {
    bool found = t->best_cost != UINT64_MAX;
    *out = (struct dag_solution){.sequence = found ? t->best : NULL,
                                 .n = t->n_best,
                                 .cost = t->best_cost,
                                 .peak_bytes = t->best_peak,
                                 .lower_bound = t->bound,
                                 .exact = t->proven || t->best_cost == t->bound,
                                 .stopped = t->stopped,
                                 .states = t->states + t->rounds,
                                 .solver = solver};
}

/* What is taken from the arena stays within l->memory_bytes; past it the problem says so. */
static bool within_memory(const struct dag_limits *l, struct arena *a, uint64_t *was) {
    uint64_t limit;
    *was = a->limit_bytes;
    if (!units_add(a->taken_bytes, l->memory_bytes, &limit) || limit >= *was)
        return false;
    a->limit_bytes = limit;
    return true;
}

static bool past_memory(const struct dag_limits *l, const struct problem *mine, bool limited, struct problem *why) {
    if (mine->kind == PROBLEM_MEMORY && limited)
        return problem_set(why, PROBLEM_LIMIT, "", "the solve needs more than the %llu bytes it may take",
                           (unsigned long long)l->memory_bytes);
    return problem_set(why, mine->kind, mine->where, "%s", mine->detail);
}

bool dag_solve(const struct dag *d, const struct dag_limits *l, struct arena *a, struct dag_solution *out,
               struct problem *why) {
    struct dag_try t;
    struct problem mine = {0};
    const char *solver = "order";
    uint64_t was;
    bool limited = within_memory(l, a, &was);
    bool ok = try_make(&t, d, l, a, &mine) && try_solvers(&t, a, &solver, &mine);
    a->limit_bytes = was;
    if (!ok)
        return past_memory(l, &mine, limited, why);
    try_tell(&t, solver, out);
    return true;
}

/* ---- the least bytes ---- */

#define LEAST_SHARES 16 /* of the rounds: one for each budget tried */

/* Is there a plan of at most `bytes`? found: there is; t->proven without it: there is none. */
static bool least_try(struct dag_try *t, uint64_t bytes, bool exact, bool *found, struct arena *a,
                      struct problem *why) {
    t->line.budget = bytes;
    t->best_cost = t->best_peak = UINT64_MAX;
    t->proven = false;
    t->bound = 0;
    bool ok = exact ? dag_exact_run(t, a, why) : dag_search_run(t, t->limits->rounds / LEAST_SHARES + 1, a, why);
    *found = t->best_cost != UINT64_MAX;
    return ok;
}

/* Narrows [*low, *high], where *high is met by a plan, until they meet or a try tells nothing. */
static bool least_exact(struct dag_try *t, uint64_t *low, uint64_t *high, struct arena *a, struct problem *why) {
    bool found;
    while (*low < *high && !t->stopped) {
        uint64_t mid = *low + (*high - *low) / 2;
        if (!least_try(t, mid, true, &found, a, why))
            return false;
        if (found)
            *high = t->best_peak;
        else if (t->proven)
            *low = mid + 1;
        else
            break;
    }
    return true;
}

/* Steps down as far as the search follows. */
static bool least_search(struct dag_try *t, uint64_t low, uint64_t *high, struct arena *a, struct problem *why) {
    uint64_t step = (*high - low + 1) / 2;
    bool found;
    for (int i = 0; i < LEAST_SHARES && step && *high > low && !t->stopped; i++) {
        if (!least_try(t, *high - units_min(step, *high - low), false, &found, a, why))
            return false;
        if (found)
            *high = t->best_peak;
        step = units_min(found ? step : step / 2, (*high - low + 1) / 2);
    }
    return true;
}

/* nodes: those of t->d. Nothing costs anything at first: then A* goes straight for the end. */
static bool least_run(struct dag_try *t, struct dag_node *nodes, uint64_t *low, uint64_t *high, struct arena *a,
                      struct problem *why) {
    uint32_t node;
    t->any = true;
    t->line.budget = UINT64_MAX;
    if (!try_order(t, a, why) || !(t->bound_after = arena_new(a, uint64_t, (size_t)t->d->n_nodes + 1, why)))
        return false;
    *low = dag_floor_bytes(t->d, &node);
    *high = t->best_peak;
    if (t->d->n_nodes <= DAG_EXACT_MAX && t->d->n_values <= DAG_EXACT_MAX && t->limits->exact_states &&
        !least_exact(t, low, high, a, why))
        return false;
    for (uint32_t v = 0; v < t->d->n_nodes; v++)
        nodes[v].cost = 1;
    t->line.total = t->d->n_nodes;
    return least_search(t, *low, high, a, why);
}

bool dag_least_bytes(const struct dag *d, const struct dag_limits *l, struct arena *a, uint64_t *bytes, bool *exact,
                     struct problem *why) {
    struct dag_try t;
    struct problem mine = {0};
    struct dag free_of_cost = *d;
    uint64_t was, low = 0;
    bool limited = within_memory(l, a, &was);
    struct dag_node *nodes = arena_copy(a, d->nodes, d->n_nodes * sizeof *nodes, &mine);
    for (uint32_t v = 0; nodes && v < d->n_nodes; v++)
        nodes[v].cost = 0;
    free_of_cost.nodes = nodes;
    bool ok = nodes && try_make(&t, &free_of_cost, l, a, &mine) && least_run(&t, nodes, &low, bytes, a, &mine);
    a->limit_bytes = was;
    *exact = ok && low == *bytes;
    return ok || past_memory(l, &mine, limited, why);
}
