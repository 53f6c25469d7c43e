/* test_dag.c - recomputation over any graph: against exhaustive search, an independent judge, laws and recorded bests.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "tests/dag_graphs.h"
#include "tests/data/dag_best.h"

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
    for (uint64_t seed = 0; seed < many(3000); seed++)
        against_brute(seed, false, seed % 2);
}

Test(dag, exact_is_what_exhaustive_search_finds_in_any_order) {
    for (uint64_t seed = 10000; seed < 10000 + many(600); seed++)
        against_brute(seed, true, seed % 2);
}

/* ---- laws ---- */

Test(dag, least_bytes_are_met_and_one_byte_less_is_not) {
    for (uint64_t seed = 500; seed < 500 + many(100); seed++) {
        struct arena a;
        struct dag d;
        struct problem why = {0};
        uint64_t bytes;
        bool exact;
        arena_init(&a, 0);
        tiny(seed, &a, &d);
        struct dag_limits l = generous;
        l.reorder = seed % 2;
        cr_assert(dag_least_bytes(&d, &l, &a, &bytes, &exact, &why) && exact);
        cr_assert_neq(brute_least(&d, bytes, l.reorder), UINT32_MAX);
        cr_assert(bytes == 0 || brute_least(&d, bytes - 1, l.reorder) == UINT32_MAX, "seed %llu",
                  (unsigned long long)seed);
        arena_free(&a);
    }
}

static void net(enum dag_family family, uint32_t nodes, uint64_t seed, struct arena *a, struct dag *d) {
    struct problem why = {0};
    cr_assert(dag_graphs_make(family, nodes, seed, a, d) && dag_check(d, &why), "%s", why.detail);
}

Test(dag, budgets_from_the_floor_to_the_peak_are_met_bounded_and_judged) {
    for (enum dag_family f = 0; f < DAG_TINY; f++)
        for (uint32_t eighths = 1; eighths <= 8; eighths++) {
            struct arena a;
            struct dag d;
            struct dag_solution s;
            uint32_t node;
            arena_init(&a, 0);
            net(f, 40, f, &a, &d);
            uint64_t floor = dag_floor_bytes(&d, &node), peak = dag_graphs_peak(&d);
            struct dag_limits l = generous;
            l.exact_states = 3000;
            l.budget_bytes = peak * eighths / 8;
            solve(&d, &l, &a, &s);
            cr_assert(l.budget_bytes >= floor || (!s.sequence && s.exact && s.lower_bound == UINT64_MAX));
            cr_assert(eighths < 8 || (s.exact && s.n == d.n_nodes && s.cost == s.lower_bound));
            cr_assert(!s.exact || s.lower_bound == s.cost);
            arena_free(&a);
        }
}

Test(dag, another_order_never_costs_more) {
    for (uint64_t seed = 0; seed < many(200); seed++) {
        struct arena a;
        struct dag d;
        struct dag_solution given, any;
        arena_init(&a, 0);
        tiny(seed, &a, &d);
        struct dag_limits l = generous;
        l.budget_bytes = dag_graphs_peak(&d) * 3 / 4;
        solve(&d, &l, &a, &given);
        l.reorder = true;
        solve(&d, &l, &a, &any);
        cr_assert(given.exact && any.exact && any.cost <= given.cost);
        arena_free(&a);
    }
}

Test(dag, searches_in_another_order_are_plans_too) {
    for (enum dag_family f = 0; f < DAG_TINY; f++) {
        struct arena a;
        struct dag d;
        struct dag_solution s;
        arena_init(&a, 0);
        net(f, 80, f, &a, &d);
        struct dag_limits l = generous;
        l.reorder = true;
        l.rounds = 20000;
        l.budget_bytes = dag_graphs_peak(&d) * 4 / 5;
        solve(&d, &l, &a, &s);
        cr_assert_not_null(s.sequence);
        arena_free(&a);
    }
}

Test(dag, same_problem_and_limits_give_the_same_sequence) {
    struct arena a;
    struct dag d;
    struct dag_solution s, t;
    arena_init(&a, 0);
    net(DAG_UNET, 120, 3, &a, &d);
    struct dag_limits l = generous;
    l.budget_bytes = dag_graphs_peak(&d) / 2;
    solve(&d, &l, &a, &s);
    solve(&d, &l, &a, &t);
    cr_assert(s.sequence && s.n == t.n && !memcmp(s.sequence, t.sequence, s.n * sizeof *s.sequence));
    l.start = s.sequence;
    l.n_start = s.n;
    l.rounds = 0;
    solve(&d, &l, &a, &t);
    cr_assert(t.sequence && t.cost <= s.cost);
    arena_free(&a);
}

struct patience {
    uint64_t asked, until;
    struct dag_progress last;
};
static bool stop_after(void *user, const struct dag_progress *p) {
    struct patience *it = user;
    cr_assert(!it->asked || (p->cost <= it->last.cost && p->lower_bound >= it->last.lower_bound));
    it->last = *p;
    return ++it->asked >= it->until;
}

Test(dag, who_says_stop_gets_the_best_so_far) {
    struct arena a;
    struct dag d;
    struct dag_solution s;
    arena_init(&a, 0);
    net(DAG_RESNET, 200, 1, &a, &d);
    for (uint64_t until = 1; until < 400; until += 57) {
        struct patience it = {.until = until};
        struct dag_limits l = generous;
        l.rounds = UINT64_MAX;
        l.budget_bytes = dag_graphs_peak(&d) / 2;
        l.ask = stop_after;
        l.user = &it;
        solve(&d, &l, &a, &s);
        cr_assert(s.stopped && it.asked == until && s.cost <= it.last.cost && !s.exact);
        cr_assert(until < 100 || s.sequence);
    }
    arena_free(&a);
}

Test(dag, short_searches_come_near_the_best_known) {
    for (size_t i = 0; i < sizeof dag_best / sizeof dag_best[0]; i++) {
        const struct dag_best *row = &dag_best[i];
        struct arena a;
        struct dag d;
        struct dag_solution s;
        arena_init(&a, 0);
        net(row->family, row->nodes, 1, &a, &d);
        struct dag_limits l = {.memory_bytes = 1 << 26, .rounds = 30000};
        l.budget_bytes = dag_graphs_peak(&d) * row->percent / 100;
        solve(&d, &l, &a, &s);
        cr_assert(s.sequence && (double)s.cost <= (double)row->cost * (1 + row->tolerance),
                  "%s, %u nodes: costs %llu; the best known is %llu", dag_graphs_names[row->family], d.n_nodes,
                  (unsigned long long)s.cost, (unsigned long long)row->cost);
        cr_assert(s.lower_bound <= row->cost, "the bound %llu is above the best known",
                  (unsigned long long)s.lower_bound);
        arena_free(&a);
    }
}

/* The same graph with costs 2^40 times as large: the same plan, and a bound that loses next to nothing. */
Test(dag, large_costs_are_bounded_as_well) {
    struct arena a;
    struct dag d;
    struct dag_solution s, t;
    arena_init(&a, 0);
    net(DAG_RESNET, 100, 1, &a, &d);
    struct dag_limits l = generous;
    l.budget_bytes = dag_graphs_peak(&d) * 3 / 5;
    solve(&d, &l, &a, &s);
    for (uint32_t v = 0; v < d.n_nodes; v++)
        ((struct dag_node *)d.nodes)[v].cost <<= 40;
    solve(&d, &l, &a, &t);
    cr_assert(s.sequence && t.cost == s.cost << 40);
    cr_assert(t.lower_bound <= s.lower_bound << 40 && t.lower_bound >= (s.lower_bound - 2) << 40);
    arena_free(&a);
}

/* ---- bounds ---- */

Test(dag, a_solve_stays_within_its_memory_and_says_so) {
    struct arena a;
    struct dag d;
    struct dag_solution s;
    arena_init(&a, 0);
    net(DAG_VGG, 60, 1, &a, &d);
    struct dag_limits l = generous;
    l.budget_bytes = dag_graphs_peak(&d) / 2;
    l.exact_states = UINT64_MAX;
    bool once = false;
    for (l.memory_bytes = 1; l.memory_bytes <= 1 << 22; l.memory_bytes *= 4) {
        struct problem why = {0};
        uint64_t before = a.taken_bytes;
        bool ok = dag_solve(&d, &l, &a, &s, &why);
        cr_assert(ok || why.kind == PROBLEM_LIMIT);
        cr_assert(a.taken_bytes - before <= l.memory_bytes && a.limit_bytes == UINT64_MAX);
        cr_assert(ok || !once, "less memory was enough");
        once |= ok;
    }
    cr_assert(once);
    arena_free(&a);
}

Test(dag, every_take_may_fail) {
    struct arena a;
    struct dag d;
    struct dag_solution s;
    arena_init(&a, 0);
    tiny(3, &a, &d);
    struct dag_limits l = generous;
    l.budget_bytes = dag_graphs_peak(&d) - 1;
    l.rounds = 10;
    l.memory_bytes = UINT64_MAX;
    for (uint64_t i = 0;; i++) {
        struct problem why = {0};
        struct arena b;
        arena_init(&b, 0);
        b.fail_at = i;
        bool ok = dag_solve(&d, &l, &b, &s, &why);
        arena_free(&b);
        if (ok)
            break;
        cr_assert(why.kind == PROBLEM_MEMORY && i < 1000);
    }
    arena_free(&a);
}

/* ---- what is no graph, and what is no plan ---- */

static void refused(const struct dag *d, const char *where) {
    struct problem why = {0};
    cr_assert_not(dag_check(d, &why));
    cr_assert_str_eq(why.where, where, "%s %s", why.where, why.detail);
}

Test(dag, what_is_no_graph_is_refused_where_it_is_none) {
    static const uint32_t v0[] = {0}, v1[] = {1}, v9[] = {9}, twice[] = {0, 0};
    struct dag_value values[2] = {{.bytes = 1}, {.bytes = 2}};
    struct dag_node nodes[2] = {{.makes = v0, .n_makes = 1}, {.reads = v0, .n_reads = 1, .makes = v1, .n_makes = 1}};
    struct dag d = {nodes, values, 2, 2};
    struct problem why = {0};
    cr_assert(dag_check(&d, &why));
    refused(&(struct dag){nodes, values, 0, 2}, "/nodes");
    nodes[1].reads = v9;
    refused(&d, "/nodes/1");
    nodes[1].reads = twice;
    nodes[1].n_reads = 2;
    refused(&d, "/nodes/1");
    nodes[1].reads = v1;
    nodes[1].n_reads = 1;
    refused(&d, "/nodes/1");
    nodes[1].reads = v0;
    nodes[1].makes = v0;
    refused(&d, "/nodes/1");
    nodes[1].makes = v9;
    refused(&d, "/nodes/1");
    nodes[1].makes = v1;
    values[1].given = true;
    refused(&d, "/nodes/1");
    values[1] = (struct dag_value){.bytes = UINT64_C(1) << 62};
    refused(&d, "/values");
    values[1].bytes = 1;
    nodes[0].cost = nodes[1].cost = UINT64_C(1) << 61;
    refused(&d, "/nodes");
    nodes[0].cost = nodes[1].cost = UINT64_MAX;
    refused(&d, "/nodes");
    nodes[0].cost = nodes[1].cost = 1;
    nodes[1].makes = NULL;
    nodes[1].n_makes = 0;
    values[1].wanted = true;
    refused(&d, "/values/1");
}

Test(dag, the_judge_counts_by_hand_and_refuses_what_is_no_plan) {
    /* a: makes x (5); b: reads x, makes y (3), workspace 2; c: reads x and y, makes z (1), beside it 4; once */
    static const uint32_t x[] = {0}, y[] = {1}, z[] = {2}, xy[] = {0, 1};
    static const struct dag_value values[] = {{.bytes = 5}, {.bytes = 3}, {.bytes = 1, .wanted = true}};
    static const struct dag_node nodes[] = {
        {.cost = 10, .makes = x, .n_makes = 1},
        {.cost = 20, .reads = x, .n_reads = 1, .makes = y, .n_makes = 1, .work_bytes = 2},
        {.cost = 5, .reads = xy, .n_reads = 2, .makes = z, .n_makes = 1, .once = true, .beside_bytes = 4}};
    const struct dag d = {nodes, values, 3, 3};
    struct arena a;
    uint64_t cost, peak;
    arena_init(&a, 0);
    cr_assert(dag_judge(&d, (uint32_t[]){0, 1, 2}, 3, &cost, &peak, &a, NULL));
    cr_assert(cost == 35 && peak == 13);
    cr_assert(dag_judge(&d, (uint32_t[]){0, 1, 0, 2, 1}, 5, &cost, &peak, &a, NULL));
    cr_assert(cost == 65 && peak == 15); /* the last step: x, y, z, workspace 2, beside 4 */
    cr_assert_not(dag_judge(&d, (uint32_t[]){1, 0, 2}, 3, &cost, &peak, &a, NULL));
    cr_assert_not(dag_judge(&d, (uint32_t[]){0, 1}, 2, &cost, &peak, &a, NULL));
    cr_assert_not(dag_judge(&d, (uint32_t[]){0, 1, 2, 2}, 4, &cost, &peak, &a, NULL));
    cr_assert_not(dag_judge(&d, (uint32_t[]){0, 1, 3}, 3, &cost, &peak, &a, NULL));
    arena_free(&a);
}

Test(dag, a_hundred_thousand_nodes_are_read) {
    struct arena a;
    struct dag d;
    struct problem why = {0};
    arena_init(&a, 0);
    cr_assert(dag_graphs_make(DAG_RESNET, 100000, 1, &a, &d) && dag_check(&d, &why), "%s", why.detail);
    cr_assert(d.n_nodes >= 100000 && dag_graphs_peak(&d));
    arena_free(&a);
}
