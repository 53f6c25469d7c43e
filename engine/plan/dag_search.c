/* dag_search.c - simulated annealing over sequences: where runs again are put in, taken out and moved.
 *
 * Any sequence in which a run again comes after the node's first is legal, whatever lies between: lives follow from it.
 * So a move is free to put a run anywhere, and bytes above the budget are a price: cost + price * over, the price
 * rising while the walk is above the budget and falling while it is within. Kept is the cheapest plan within.
 *
 * A run is put in where it helps: at a use of a value that lies idle before it, over the step that is above the budget;
 * with it, in turn, the makers of what it reads and nobody else waits for. Walks come in cycles, each half as long
 * again and starting from the best: the search may be ended at any time and has a bound of rounds, not of seconds. */
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/plan/dag_inner.h"

#define ASK_EVERY 64u
#define NEEDS_MAX 64u /* runs put in by one move */

struct dag_walk {
    struct dag_try *t;
    const struct dag *d;
    uint32_t *now, *next; /* sequences, with room for line.cap */
    uint32_t n_now, n_next;
    struct dag_weight at, trial;
    uint32_t *again; /* steps of `now` that are runs again */
    uint32_t n_again;
    uint64_t *bytes; /* by step of `now` */
    uint32_t worst;  /* the step of most bytes */
    bool *waited;    /* by value */
    uint32_t needs[NEEDS_MAX], n_needs;
    uint64_t random;
    double price, heat;
};

static uint32_t pick(struct dag_walk *w, uint32_t n) {
    return (uint32_t)((rng_mix(w->random += RNG_MIX_STEP) >> 32) * n >> 32);
}

static double uniform(struct dag_walk *w) {
    return (double)(rng_mix(w->random += RNG_MIX_STEP) >> 11) * 0x1p-53;
}

/* ---- what a sequence looks like around a step ---- */

static bool in(const uint32_t *list, uint32_t n, uint32_t x) {
    for (uint32_t k = 0; k < n; k++)
        if (list[k] == x)
            return true;
    return false;
}

/* The last step before u that touches x; DAG_NONE: none. */
static uint32_t touched_before(const struct dag_walk *w, uint32_t u, uint32_t x) {
    while (u-- > 0) {
        const struct dag_node *node = &w->d->nodes[w->now[u]];
        if (in(node->reads, node->n_reads, x) || in(node->makes, node->n_makes, x))
            return u;
    }
    return DAG_NONE;
}

/* Whether somebody from step u on reads x before it is made again. */
static bool waited_from(const struct dag_walk *w, uint32_t u, uint32_t x) {
    uint32_t m = w->t->line.maker[x];
    for (; u < w->n_now; u++) {
        if (w->now[u] == m)
            return false;
        const struct dag_node *node = &w->d->nodes[w->now[u]];
        if (in(node->reads, node->n_reads, x))
            return true;
    }
    return w->d->values[x].wanted;
}

static bool can_make(const struct dag_walk *w, uint32_t x) {
    uint32_t m = w->t->line.maker[x];
    return m != DAG_NONE && !w->d->nodes[m].once;
}

/* ---- moves: each writes `next` from `now`; false: nothing to do ---- */

static void next_copy(struct dag_walk *w) {
    memcpy(w->next, w->now, w->n_now * sizeof *w->now);
    w->n_next = w->n_now;
}

/* Puts in n nodes before step u of `next`. */
static bool next_insert(struct dag_walk *w, uint32_t u, const uint32_t *nodes, uint32_t n) {
    if (w->n_next + n > w->t->line.cap)
        return false;
    memmove(w->next + u + n, w->next + u, (w->n_next - u) * sizeof *w->next);
    memcpy(w->next + u, nodes, n * sizeof *nodes);
    w->n_next += n;
    return true;
}

static void next_remove(struct dag_walk *w, uint32_t u, uint32_t n) {
    memmove(w->next + u, w->next + u + n, (w->n_next - u - n) * sizeof *w->next);
    w->n_next -= n;
}

/* Takes out runs again whose results nobody waits for: cheaper, and never more bytes. */
static void next_prune(struct dag_walk *w) {
    const struct dag *d = w->d;
    uint32_t to = w->n_next;
    for (uint32_t x = 0; x < d->n_values; x++)
        w->waited[x] = d->values[x].wanted;
    for (uint32_t t = w->n_next; t-- > 0;) {
        uint32_t v = w->next[t];
        const struct dag_node *node = &d->nodes[v];
        bool needed = node->once || t <= w->t->line.first[v];
        for (uint32_t k = 0; k < node->n_makes; k++)
            needed |= w->waited[node->makes[k]];
        if (!needed)
            continue;
        for (uint32_t k = 0; k < node->n_makes; k++)
            w->waited[node->makes[k]] = false;
        for (uint32_t k = 0; k < node->n_reads; k++)
            w->waited[node->reads[k]] = true;
        w->next[--to] = v;
    }
    memmove(w->next, w->next + to, (w->n_next - to) * sizeof *w->next);
    w->n_next -= to;
}

/* Node v before step u, after those it needs. deep: of 4, how often what nobody waits for is made again, too, rather
 * than kept until then. */
static void needs_add(struct dag_walk *w, uint32_t u, uint32_t v, uint32_t deep, uint32_t depth) {
    const struct dag_node *node = &w->d->nodes[v];
    for (uint32_t k = 0; k < node->n_reads && depth < NEEDS_MAX && w->n_needs < NEEDS_MAX; k++) {
        uint32_t y = node->reads[k];
        if (can_make(w, y) && !in(w->needs, w->n_needs, w->t->line.maker[y]) && pick(w, 4) < deep &&
            !waited_from(w, u, y))
            needs_add(w, u, w->t->line.maker[y], deep, depth + 1);
    }
    if (w->n_needs < NEEDS_MAX)
        w->needs[w->n_needs++] = v;
}

/* A use, at a step after `over`, of a value idle over it: its maker runs again before the use. */
static bool insert_somewhere(struct dag_walk *w) {
    static const uint32_t depths[] = {0, 2, 4, 4};
    uint32_t over = w->at.over > 0 ? w->worst : DAG_NONE;
    for (uint32_t tries = 0; tries < 16; tries++) {
        uint32_t from = over == DAG_NONE ? 1 : over + 1;
        if (from >= w->n_now)
            return false;
        uint32_t u = from + pick(w, w->n_now - from);
        const struct dag_node *node = &w->d->nodes[w->now[u]];
        if (!node->n_reads)
            continue;
        uint32_t x = node->reads[pick(w, node->n_reads)];
        if (!can_make(w, x))
            continue;
        uint32_t before = touched_before(w, u, x);
        if (before + 1 >= u || (over != DAG_NONE && before >= over))
            continue;
        uint32_t to = pick(w, 4) ? u : before + 2 + pick(w, u - before - 1);
        w->n_needs = 0;
        needs_add(w, to, w->t->line.maker[x], depths[pick(w, 4)], 0);
        if (w->n_needs == NEEDS_MAX)
            return false;
        next_copy(w);
        return next_insert(w, to, w->needs, w->n_needs);
    }
    return false;
}

/* One run again, or a few that follow each other, out. */
static bool remove_some(struct dag_walk *w) {
    if (!w->n_again)
        return false;
    uint32_t n = 1, i = pick(w, w->n_again);
    if (!pick(w, 3))
        while (n < 16 && i + n < w->n_again && pick(w, 4))
            n++;
    next_copy(w);
    while (n-- > 0)
        next_remove(w, w->again[i + n], 1);
    return true;
}

/* One run again elsewhere: a few steps away, or anywhere; before its first it is not legal, or is the first. */
static bool shift_one(struct dag_walk *w) {
    static const uint32_t reach[] = {2, 8, 32, UINT32_MAX};
    if (!w->n_again)
        return false;
    uint32_t from = w->again[pick(w, w->n_again)], far = (uint32_t)units_min(reach[pick(w, 4)], w->n_now - 1);
    if (!far)
        return false;
    uint32_t by = 1 + pick(w, far), v = w->now[from], to = pick(w, 2) ? from + by : from - by;
    if (to >= w->n_now)
        return false;
    next_copy(w);
    next_remove(w, from, 1);
    return next_insert(w, to, &v, 1);
}

/* A run again in, another out. */
static bool exchange(struct dag_walk *w) {
    if (!w->n_again || !insert_somewhere(w))
        return false;
    uint32_t i = pick(w, w->n_again), at = w->again[i], to = 0;
    while (to < w->n_now && w->next[to] == w->now[to])
        to++;
    next_remove(w, at < to ? at : at + w->n_needs, 1);
    return true;
}

/* Another order: any step a few places away; what is not legal is found out. */
static bool reorder_one(struct dag_walk *w) {
    uint32_t from = pick(w, w->n_now), by = 1 + pick(w, 1 + pick(w, 24)), v = w->now[from];
    uint32_t to = pick(w, 2) ? from + by : from - by;
    if (to >= w->n_now)
        return false;
    next_copy(w);
    next_remove(w, from, 1);
    return next_insert(w, to, &v, 1);
}

static bool move(struct dag_walk *w) {
    static bool (*const moves[])(struct dag_walk *) = {insert_somewhere, insert_somewhere, remove_some,
                                                       remove_some,      shift_one,        exchange};
    if (w->t->line.reorder && !pick(w, 4))
        return reorder_one(w);
    return moves[pick(w, sizeof moves / sizeof moves[0])](w);
}

/* ---- the walk ---- */

/* `now` was weighed last: notes what moves look at. */
static void look_around(struct dag_walk *w) {
    w->n_again = 0;
    w->worst = 0;
    dag_line_bytes(&w->t->line, w->now, w->n_now, w->bytes);
    for (uint32_t t = 0; t < w->n_now; t++) {
        if (w->t->line.first[w->now[t]] != t)
            w->again[w->n_again++] = t;
        if (w->bytes[t] > w->bytes[w->worst])
            w->worst = t;
    }
    if (w->at.over > 0) /* any step above the budget, so that the walk does not insist on one */
        for (uint32_t tries = 0; tries < 8; tries++) {
            uint32_t t = pick(w, w->n_now);
            if (w->bytes[t] > w->t->line.budget) {
                w->worst = t;
                break;
            }
        }
}

static void step_to_next(struct dag_walk *w) {
    uint32_t *was = w->now;
    w->now = w->next;
    w->next = was;
    w->n_now = w->n_next;
    w->at = w->trial;
    look_around(w);
}

/* exp(-worse / heat) > uniform, with a polynomial in exp's place: the same bits everywhere. */
static bool accepts(struct dag_walk *w) {
    double worse = ((double)w->trial.cost - (double)w->at.cost) + w->price * (w->trial.over - w->at.over),
           x = worse / w->heat;
    return worse <= 0 || (x < 12 && uniform(w) * (1 + x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4)))) < 1);
}

static void round_once(struct dag_walk *w) {
    if (!move(w) || !dag_line_weigh(&w->t->line, w->next, w->n_next, &w->trial) || !accepts(w))
        return;
    next_prune(w);
    if (!dag_line_weigh(&w->t->line, w->next, w->n_next, &w->trial))
        return;
    if (w->trial.peak <= w->t->line.budget && w->trial.cost < w->t->best_cost)
        dag_try_keep(w->t, w->next, w->n_next, &w->trial);
    step_to_next(w);
}

/* From the best, or from where the walk is while there is none. */
static bool begin(struct dag_walk *w) {
    if (w->t->best_cost != UINT64_MAX) {
        memcpy(w->now, w->t->best, w->t->n_best * sizeof *w->now);
        w->n_now = w->t->n_best;
    }
    if (!dag_line_weigh(&w->t->line, w->now, w->n_now, &w->at))
        return false;
    look_around(w);
    return true;
}

static bool done(const struct dag_try *t) {
    return t->stopped || t->best_cost == t->bound || (t->any && t->best_cost != UINT64_MAX);
}

static double mean_cost(const struct dag_try *t) {
    return (double)t->line.total / t->d->n_nodes + 1e-9;
}

/* How hot a cycle begins, in costs of a mean node; all end at a hundredth of that. A cool one polishes what there is, a
 * hot one leaves it. cooling: the logarithm of how much; (1 - cooling / n)^n is near exp(-cooling). */
static const struct heat { double hot, cooling; } heats[] = {{0.5, 3.9}, {2, 5.3}, {0.5, 3.9}, {6, 6.4}};

/* One cycle of n rounds, cooling. */
static void cycle(struct dag_walk *w, uint64_t n, struct heat heat) {
    const double cool = 1 - heat.cooling / (double)n;
    double mean = mean_cost(w->t);
    uint32_t within = 0;
    w->heat = mean * heat.hot;
    for (uint64_t i = 1; i <= n && !done(w->t); i++, w->t->rounds++) {
        round_once(w);
        within += w->at.over <= 0;
        w->heat *= cool;
        if (i % ASK_EVERY)
            continue;
        w->price *= within < ASK_EVERY / 2 ? 1.1 : 1 / 1.1;
        w->price = w->price < mean * 1e-6 ? mean * 1e-6 : w->price > mean * 1e9 ? mean * 1e9 : w->price;
        within = 0;
        dag_try_asks(w->t);
    }
}

static bool walk_make(struct dag_try *t, struct arena *a, struct problem *why) {
    uint32_t cap = t->line.cap;
    struct dag_walk *w = t->walk = arena_new(a, struct dag_walk, 1, why);
    if (!w)
        return false;
    *w = (struct dag_walk){.t = t, .d = t->d, .random = rng_mix(t->limits->seed)};
    return (w->now = arena_new(a, uint32_t, cap, why)) && (w->next = arena_new(a, uint32_t, cap, why)) &&
           (w->again = arena_new(a, uint32_t, cap, why)) && (w->bytes = arena_new(a, uint64_t, cap, why)) &&
           (w->waited = arena_new(a, bool, t->d->n_values, why));
}

bool dag_search_run(struct dag_try *t, uint64_t rounds, struct arena *a, struct problem *why) {
    if (!t->walk && !walk_make(t, a, why))
        return false;
    struct dag_walk *w = t->walk;
    uint64_t n = units_max(2000, 64 * (uint64_t)t->d->n_nodes);
    w->price = mean_cost(t);
    if (!dag_start_find(t, w->now, &w->n_now, a, why))
        return false;
    for (uint64_t left = rounds, i = 0; left && !done(t); i++, n += n / 2) {
        if (!begin(w))
            return problem_set(why, PROBLEM_INTERNAL, "", "the search lost its way");
        n = units_min(n, left);
        cycle(w, n, heats[i % (sizeof heats / sizeof heats[0])]);
        left -= n;
    }
    return true;
}
