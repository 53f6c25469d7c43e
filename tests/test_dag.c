/* test_dag.c - recomputation over any graph: against exhaustive search, an independent judge, laws and recorded bests.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "tests/dag_graphs.h"

static const struct dag_limits generous = {.exact_states = 1 << 20, .memory_bytes = 1 << 30, .rounds = 2000, .seed = 7};

/* ---- exhaustive search, for at most 8 nodes and 8 values ---- */

struct brute {
    const struct dag *d;
    uint64_t budget;
    bool reorder;
    uint32_t *cost;  /* by done << 8 | here; UINT32_MAX: not reached */
    uint32_t *queue; /* states to look at again: costs only fall, so it ends */
    uint32_t head, tail;
    bool *queued;
};

static void brute_reach(struct brute *b, uint32_t state, uint32_t cost) {
    if (cost >= b->cost[state])
        return;
    b->cost[state] = cost;
    if (b->queued[state])
        return;
    b->queued[state] = true;
    b->queue[b->tail++ & 0xffff] = state;
}

static void brute_run(struct brute *b, uint32_t state, uint32_t v) {
    const struct dag *d = b->d;
    uint32_t done = state >> 8, here = state & 0xff, reads = 0, makes = 0;
    bool again = done >> v & 1;
    for (uint32_t k = 0; k < d->nodes[v].n_reads; k++)
        reads |= 1u << d->nodes[v].reads[k];
    for (uint32_t k = 0; k < d->nodes[v].n_makes; k++)
        makes |= 1u << d->nodes[v].makes[k];
    if ((reads & ~here) || (again && d->nodes[v].once) || (!again && !b->reorder && done != (1u << v) - 1))
        return;
    uint64_t bytes = d->nodes[v].work_bytes;
    for (uint32_t x = 0; x < d->n_values; x++)
        bytes += (here | makes) >> x & 1 ? d->values[x].bytes : 0;
    uint32_t after = done | 1u << v;
    for (uint32_t i = 0; i < d->n_nodes; i++) {
        bool next = i + 1 < d->n_nodes && (after >> (i + 1) & 1);
        if ((after >> i & 1) && (!next || (i == v && !again)))
            bytes += d->nodes[i].beside_bytes;
    }
    if (bytes <= b->budget)
        brute_reach(b, after << 8 | here | makes, b->cost[state] + (uint32_t)d->nodes[v].cost);
}

/* UINT32_MAX: no plan. */
static uint32_t brute_least(const struct dag *d, uint64_t budget, bool reorder) {
    struct brute b = {.d = d, .budget = budget, .reorder = reorder};
    uint32_t given = 0, wanted = 0, least = UINT32_MAX, all = (1u << d->n_nodes) - 1;
    b.cost = malloc(sizeof *b.cost << 16);
    b.queue = malloc(sizeof *b.queue << 16);
    b.queued = calloc(1 << 16, sizeof *b.queued);
    memset(b.cost, 0xff, sizeof *b.cost << 16);
    for (uint32_t x = 0; x < d->n_values; x++) {
        given |= d->values[x].given ? 1u << x : 0;
        wanted |= d->values[x].wanted ? 1u << x : 0;
    }
    brute_reach(&b, given, 0);
    while (b.head != b.tail) {
        uint32_t state = b.queue[b.head++ & 0xffff];
        b.queued[state] = false;
        for (uint32_t v = 0; v < d->n_nodes; v++)
            brute_run(&b, state, v);
        for (uint32_t x = 0; x < d->n_values; x++)
            if (state >> x & 1)
                brute_reach(&b, state & ~(1u << x), b.cost[state]);
    }
    for (uint32_t here = 0; here < 256; here++)
        if (!(wanted & ~here) && b.cost[all << 8 | here] < least)
            least = b.cost[all << 8 | here];
    free(b.cost);
    free(b.queue);
    free(b.queued);
    return least;
}

static void judged(const struct dag *d, const struct dag_solution *s, uint64_t budget, struct arena *a) {
    uint64_t cost, peak;
    struct problem why = {0};
    cr_assert(dag_judge(d, s->sequence, s->n, &cost, &peak, a, &why), "%s", why.detail);
    cr_assert_eq(cost, s->cost);
    cr_assert_eq(peak, s->peak_bytes);
    cr_assert(peak <= budget && s->lower_bound <= cost);
}

static void solve(const struct dag *d, const struct dag_limits *l, struct arena *a, struct dag_solution *s) {
    struct problem why = {0};
    cr_assert(dag_solve(d, l, a, s, &why), "%s", why.detail);
    if (s->sequence)
        judged(d, s, l->budget_bytes, a);
}

static void tiny(uint64_t seed, struct arena *a, struct dag *d) {
    struct problem why = {0};
    cr_assert(dag_graphs_make(DAG_TINY, 3 + (uint32_t)(seed % 6), seed, a, d) && dag_check(d, &why), "%s", why.detail);
}

/* Every budget from below the floor to the peak of the given order. */
static void against_brute(uint64_t seed, bool reorder, bool searched) {
    struct arena a;
    struct dag d;
    struct dag_solution s;
    uint32_t node;
    arena_init(&a, 0);
    tiny(seed, &a, &d);
    uint64_t floor = dag_floor_bytes(&d, &node), peak = dag_graphs_peak(&d);
    for (uint64_t budget = floor ? floor - 1 : 0; budget <= peak; budget++) {
        struct dag_limits l = generous;
        l.budget_bytes = budget;
        l.reorder = reorder;
        l.rounds = searched ? 300 : 0;
        solve(&d, &l, &a, &s);
        uint32_t least = brute_least(&d, budget, reorder);
        cr_assert(s.exact, "seed %llu budget %llu", (unsigned long long)seed, (unsigned long long)budget);
        cr_assert_eq(s.sequence ? s.cost : UINT32_MAX, least, "seed %llu budget %llu: %llu, not %u",
                     (unsigned long long)seed, (unsigned long long)budget, (unsigned long long)s.cost, least);
        cr_assert_eq(s.lower_bound, s.sequence ? s.cost : UINT64_MAX);
    }
    arena_free(&a);
}

static uint64_t many(uint64_t n) {
    return getenv("REMATD_TESTS_LONG") ? 20 * n : n;
}

Test(dag, exact_is_what_exhaustive_search_finds_in_the_given_order) {
    for (uint64_t seed = 0; seed < many(600); seed++)
        against_brute(seed, false, seed % 2);
}

Test(dag, exact_is_what_exhaustive_search_finds_in_any_order) {
    for (uint64_t seed = 10000; seed < 10000 + many(150); seed++)
        against_brute(seed, true, seed % 2);
}
