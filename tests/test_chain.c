/* test_chain.c - frontiers of chains: against best(m, i, j) for every m and against lists of all plans on random
 * chains, against published breakpoints, and every point's schedule run step by step. REMATD_TESTS_LONG=1 takes many
 * more. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support.h"
#include "tests/support_chain.h"

static const struct chain_limits all_of_it = {.bytes = UINT64_MAX, .cost = UINT64_MAX, .states = 1 << 24};

static uint64_t cases(uint64_t few, uint64_t many) {
#ifdef __SANITIZE_THREAD__
    few = few / 8 + 1;
#endif
    return getenv("REMATD_TESTS_LONG") ? many : few;
}

static struct chain_solver *solve(const struct chain *c, const struct chain_limits *limits, struct arena *a) {
    struct problem why = {0};
    struct chain_solver *s = chain_solve(c, limits, a, &why);
    cr_assert(s, "%s: %s", why.where, why.detail);
    return s;
}

/* Every point's schedule is one of its bytes and cost, and needs no more step by step. */
static void judge_schedules(const struct chain *c, const struct chain_solver *s, struct arena *a, uint64_t seed) {
    uint32_t n, n_steps;
    const struct chain_point *points = chain_frontier(s, &n);
    for (uint32_t i = 0; i < n; i++) {
        struct problem why = {0};
        const struct chain_step *steps;
        cr_assert(chain_schedule(s, &points[i], a, &steps, &n_steps, &why), "%lu: %s", seed, why.detail);
        const struct chain_point windows = support_chain_windows(c, steps, n_steps),
                                 replay = support_chain_replay(c, steps, n_steps);
        cr_assert_eq(windows.bytes, points[i].bytes, "%lu: point %u: %lu bytes, not %lu", seed, i, windows.bytes,
                     points[i].bytes);
        cr_assert_eq(windows.cost, points[i].cost, "%lu: point %u: cost %lu, not %lu", seed, i, windows.cost,
                     points[i].cost);
        cr_assert_eq(replay.cost, points[i].cost);
        cr_assert_leq(replay.bytes, points[i].bytes, "%lu: point %u: %lu bytes step by step", seed, i, replay.bytes);
    }
}

static void same_points(const struct chain_point *found, uint32_t n_found, const struct chain_point *true_points,
                        uint32_t n_true, const char *what, uint64_t seed) {
    for (uint32_t i = 0; i < n_found && i < n_true; i++)
        cr_assert(found[i].bytes == true_points[i].bytes && found[i].cost == true_points[i].cost,
                  "%s %lu: point %u is (%lu, %lu), not (%lu, %lu)", what, seed, i, found[i].bytes, found[i].cost,
                  true_points[i].bytes, true_points[i].cost);
    cr_assert_eq(n_found, n_true, "%s %lu: %u points, not %u", what, seed, n_found, n_true);
}

/* ---- random chains ---- */

static struct support_chain_shape shape_of(uint64_t seed) {
    uint64_t state = (seed << 32) + (1u << 20);
    return (struct support_chain_shape){.stages = 1 + (uint32_t)support_random(&state, 8),
                                        .options = 1 + (uint32_t)support_random(&state, 4),
                                        .period = (uint32_t)support_random(&state, 4),
                                        .sizes = 1 + support_random(&state, 12),
                                        .costs = 1 + support_random(&state, support_random(&state, 2) ? 4 : 1000)};
}

static void random_chain(uint64_t seed, bool posted, struct arena *a, struct chain *c) {
    const struct support_chain_shape shape = shape_of(seed);
    struct chain_posted p;
    if (posted) {
        support_chain_posted(seed, &shape, a, &p);
        *c = support_chain_of(&p, a, NULL);
    } else
        support_chain_random(seed, &shape, a, c);
}

static void frontiers_are_exact(bool posted, uint64_t n_cases) {
    for (uint64_t seed = 0; seed < n_cases; seed++) {
        struct arena a;
        struct chain c;
        struct problem why = {0};
        uint32_t n, n_true;
        uint64_t least;
        arena_init(&a, 0);
        random_chain(seed, posted, &a, &c);
        const struct chain_solver *s = solve(&c, &all_of_it, &a);
        const struct chain_point *points = chain_frontier(s, &n), *all = support_chain_frontier(&c, &a, &n_true);
        same_points(points, n, all, n_true, posted ? "posted" : "any", seed);
        cr_assert(chain_exact(s));
        judge_schedules(&c, s, &a, seed);
        cr_assert(chain_least_bytes(&c, &a, &least, &why), "%s", why.detail);
        cr_assert_eq(least, points[0].bytes);
        arena_free(&a);
    }
}

Test(chain, frontiers_of_posted_chains_are_exact) {
    frontiers_are_exact(true, cases(3000, 60000));
}

Test(chain, frontiers_of_any_chains_are_exact) {
    frontiers_are_exact(false, cases(3000, 60000));
}

/* The judge is judged. */
Test(chain, budgets_and_lists_agree) {
    for (uint64_t seed = 0; seed < cases(300, 3000); seed++) {
        struct arena a;
        struct chain c;
        uint32_t n, n_listed;
        struct support_chain_shape shape = shape_of(seed);
        arena_init(&a, 0);
        shape.stages = 1 + shape.stages % 4;
        shape.options = 1 + shape.options % 3;
        support_chain_random(seed, &shape, &a, &c);
        const struct chain_point *points = support_chain_frontier(&c, &a, &n),
                                 *listed = support_chain_listed(&c, &a, &n_listed);
        same_points(points, n, listed, n_listed, "listed", seed);
        arena_free(&a);
    }
}

/* Where effort is short, exactness may go: points stay real, and their bounds true. */
Test(chain, with_little_effort_points_are_real_and_bounds_true) {
    uint64_t exact = 0, coarse = 0;
    for (uint64_t seed = 0; seed < cases(1500, 30000); seed++) {
        struct arena a;
        struct chain c;
        uint32_t n, n_true, t = 0;
        arena_init(&a, 0);
        random_chain(seed, seed % 2, &a, &c);
        const struct chain_solver *s = solve(
            &c,
            &(struct chain_limits){.effort = 1 + seed % 60, .bytes = UINT64_MAX, .cost = UINT64_MAX, .states = 1 << 24},
            &a);
        const struct chain_point *points = chain_frontier(s, &n), *all = support_chain_frontier(&c, &a, &n_true);
        *(chain_exact(s) ? &exact : &coarse) += 1;
        if (chain_exact(s))
            same_points(points, n, all, n_true, "little effort", seed);
        for (uint32_t i = 0; i < n; i++) {
            while (t + 1 < n_true && all[t + 1].bytes <= points[i].bytes)
                t++;
            cr_assert_leq(chain_lower_bound(s, points[i].bytes), all[t].cost, "%lu: point %u: bound", seed, i);
            cr_assert(i == 0 || (points[i].bytes > points[i - 1].bytes && points[i].cost < points[i - 1].cost));
        }
        cr_assert_gt(n, 0);
        judge_schedules(&c, s, &a, seed);
        arena_free(&a);
    }
    cr_assert(exact > 0 && coarse > 0, "%lu exact, %lu not", exact, coarse);
}

/* ---- limits ---- */

static uint32_t last_within(const struct chain_point *all, uint32_t n, uint64_t bytes) {
    uint32_t i = 0;
    while (i + 1 < n && all[i + 1].bytes <= bytes)
        i++;
    return i;
}

Test(chain, limits_give_their_part_of_the_frontier) {
    for (uint64_t seed = 0; seed < cases(600, 10000); seed++) {
        struct arena a;
        struct chain c;
        uint32_t n, n_all;
        uint64_t state = (seed << 32) + (2u << 20);
        arena_init(&a, 0);
        random_chain(seed, seed % 2, &a, &c);
        const struct chain_point *all = support_chain_frontier(&c, &a, &n_all);
        const uint64_t bytes = support_random(&state, all[n_all - 1].bytes + 2),
                       cost = support_random(&state, all[0].cost + 2), from = support_random(&state, bytes + 1);
        const struct chain_point *points = chain_frontier(
            solve(&c, &(struct chain_limits){.bytes = bytes, .cost = UINT64_MAX, .states = 1 << 24}, &a), &n);
        const uint32_t end = all[0].bytes <= bytes ? last_within(all, n_all, bytes) + 1 : 0;
        same_points(points, n, all, end, "bytes", seed);
        uint32_t begin = 0;
        while (begin < n_all && all[begin].cost > cost)
            begin++;
        points = chain_frontier(
            solve(&c, &(struct chain_limits){.cost = cost, .bytes = UINT64_MAX, .states = 1 << 24}, &a), &n);
        same_points(points, n, all + begin, n_all - begin, "cost", seed);
        begin = last_within(all, n_all, from);
        points = chain_frontier(
            solve(&c, &(struct chain_limits){.from_bytes = from, .bytes = bytes, .cost = UINT64_MAX, .states = 1 << 24},
                  &a),
            &n);
        same_points(points, n, all + begin, end > begin ? end - begin : 0, "from", seed);
        points = chain_frontier(
            solve(&c,
                  &(struct chain_limits){.from_bytes = bytes, .bytes = bytes, .cost = UINT64_MAX, .states = 1 << 24},
                  &a),
            &n);
        begin = last_within(all, n_all, bytes);
        same_points(points, n, all + begin, end ? 1 : 0, "one budget", seed);
        arena_free(&a);
    }
}

/* Bytes near 2^40 and more: the same frontier, so many times as large. */
Test(chain, large_sizes_are_exact) {
    const uint64_t times = ((uint64_t)1 << 45) + 12345677;
    for (uint64_t seed = 0; seed < cases(200, 2000); seed++) {
        struct arena a;
        struct chain_posted p;
        uint32_t n, n_true;
        const struct support_chain_shape shape = shape_of(seed);
        arena_init(&a, 0);
        support_chain_posted(seed, &shape, &a, &p);
        struct chain c = support_chain_of(&p, &a, NULL);
        const struct chain_point *all = support_chain_frontier(&c, &a, &n_true);
        struct chain_posted_stage *stages = (struct chain_posted_stage *)p.stages;
        for (uint32_t i = 0; i < p.n; i++) {
            struct chain_posted_option *o = (struct chain_posted_option *)stages[i].options;
            stages[i].input_size *= times;
            stages[i].fast_forward_workspace *= times;
            for (uint32_t k = 0; k < stages[i].n_options; k++) {
                o[k].kept *= times;
                o[k].forward_workspace *= times;
                o[k].backward_workspace *= times;
            }
        }
        c = support_chain_of(&p, &a, NULL);
        const struct chain_point *points = chain_frontier(solve(&c, &all_of_it, &a), &n);
        cr_assert_eq(n, n_true);
        for (uint32_t i = 0; i < n; i++)
            cr_assert(points[i].bytes == times * all[i].bytes && points[i].cost == all[i].cost, "%lu: %u", seed, i);
        arena_free(&a);
    }
}

Test(chain, states_are_bounded) {
    struct arena a;
    struct chain c;
    uint32_t n_all, n;
    bool refused = false;
    arena_init(&a, 0);
    const struct support_chain_shape shape = {.stages = 8, .options = 4, .sizes = 12, .costs = 1000};
    support_chain_random(7, &shape, &a, &c);
    const struct chain_point *all = support_chain_frontier(&c, &a, &n_all);
    for (uint64_t states = 0;; states += 1 + states / 8) {
        struct problem why = {0};
        const struct chain_solver *s = chain_solve(
            &c, &(struct chain_limits){.states = states, .bytes = UINT64_MAX, .cost = UINT64_MAX}, &a, &why);
        if (s) {
            const struct chain_point *points = chain_frontier(s, &n);
            same_points(points, n, all, n_all, "states", states);
            break;
        }
        cr_assert_eq(why.kind, PROBLEM_LIMIT, "%s", why.detail);
        refused = true;
    }
    cr_assert(refused);
    arena_free(&a);
}

/* All there is to do with a posted chain. */
static bool do_everything(const struct chain_posted *p, uint64_t effort, struct arena *a, struct problem *why) {
    struct chain c;
    double unit;
    uint32_t n, n_steps;
    uint64_t least;
    const struct chain_step *steps;
    struct chain_any_plan plan;
    if (!chain_from_posted(p, a, &c, &unit, why) || !chain_least_bytes(&c, a, &least, why))
        return false;
    const struct chain_solver *s = chain_solve(
        &c, &(struct chain_limits){.effort = effort, .bytes = UINT64_MAX, .cost = UINT64_MAX, .states = 1 << 24}, a,
        why);
    if (!s)
        return false;
    const struct chain_point *points = chain_frontier(s, &n);
    const struct chain_any_limits limits = {points[0].bytes, UINT64_MAX, 1 << 20};
    return chain_schedule(s, &points[0], a, &steps, &n_steps, why) && chain_any_solve(&c, &limits, a, &plan, why);
}

Test(chain, allocations_may_fail) {
    const struct support_chain_shape shape = {.stages = 6, .options = 3, .sizes = 8, .costs = 9};
    for (uint64_t effort = 0; effort < 30; effort += 29) {
        struct arena mine;
        struct chain_posted p;
        bool done = false;
        arena_init(&mine, 0);
        support_chain_posted(3, &shape, &mine, &p);
        for (uint64_t fail_at = 0; !done; fail_at++) {
            struct arena a;
            struct problem why = {0};
            arena_init(&a, 0);
            a.fail_at = fail_at;
            done = do_everything(&p, effort, &a, &why);
            cr_assert(done || why.kind == PROBLEM_MEMORY, "take %lu: %s", fail_at, why.detail);
            arena_free(&a);
        }
        arena_free(&mine);
    }
}

/* ---- posted chains ---- */

static void refused(const struct chain_posted *p, const char *where) {
    struct arena a;
    struct chain c;
    double unit;
    struct problem why = {0};
    arena_init(&a, 0);
    cr_assert_not(chain_from_posted(p, &a, &c, &unit, &why), "%s", where);
    cr_assert_eq(why.kind, PROBLEM_LIMIT);
    cr_assert_str_eq(why.where, where);
    arena_free(&a);
}

Test(chain, posted_numbers_are_checked) {
    struct chain_posted_option options[] = {{1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}};
    struct chain_posted_stage stages[] = {{1, 1, 1, options, 1}, {1, 1, 1, options, 2}};
    struct chain_posted p = {stages, 2, 1};
    const uint64_t large = (uint64_t)1 << 61;
    struct arena a;
    arena_init(&a, 0);
    support_chain_of(&p, &a, NULL);
    arena_free(&a);
    p.output_size = large;
    refused(&p, "/output_size");
    options[1].kept = large;
    refused(&p, "/stages/1/options/1/kept");
    options[1].forward = NAN;
    refused(&p, "/stages/1/options/1/forward");
    options[1].forward = -1;
    refused(&p, "/stages/1/options/1/forward");
    stages[1].n_options = 0;
    refused(&p, "/stages/1/options");
    stages[1].fast_forward_workspace = UINT64_MAX;
    refused(&p, "/stages/1/fast_forward/workspace");
    stages[1].fast_forward_time = INFINITY;
    refused(&p, "/stages/1/fast_forward/time");
    stages[1].input_size = UINT64_MAX;
    refused(&p, "/stages/1/input_size");
    p.output_size = 1;
    options[0].backward = 1e308;
    stages[0].fast_forward_time = 1e308;
    stages[1] = stages[0];
    refused(&p, "/stages");
    p.n = 0;
    refused(&p, "/stages");
}

/* Whatever a time is, it comes back. */
Test(chain, times_of_any_size_come_back) {
    for (int exponent = -930; exponent < 1010; exponent += 7) {
        struct arena a;
        struct problem why = {0};
        double unit;
        uint32_t n, n_steps;
        const struct chain_step *steps;
        const struct chain_posted_option option = {ldexp(1.25, exponent), ldexp(3, exponent), 1, 0, 0};
        const struct chain_posted_stage stages[] = {{1, ldexp(1.25, exponent), 0, &option, 1},
                                                    {1, ldexp(1.25, exponent), 0, &option, 1}};
        const struct chain_posted p = {stages, 2, 0};
        arena_init(&a, 0);
        const struct chain c = support_chain_of(&p, &a, &unit);
        const struct chain_solver *s = solve(&c, &all_of_it, &a);
        const struct chain_point *points = chain_frontier(s, &n);
        cr_assert(chain_schedule(s, &points[n - 1], &a, &steps, &n_steps, &why));
        cr_assert_eq((double)points[n - 1].cost * unit, ldexp(8.5, exponent), "2^%d", exponent);
        cr_assert_eq(chain_posted_seconds(&p, &c, steps, n_steps), ldexp(8.5, exponent));
        cr_assert_lt(points[0].cost, (uint64_t)1 << 62);
        arena_free(&a);
    }
}

/* ---- what is published ---- */

static struct wire_value member(const struct wire_value *object, const char *key) {
    struct wire_value v;
    cr_assert(wire_get(object, key, &v), "%s", key);
    return v;
}

static double number(const struct wire_value *v) {
    struct problem why = {0};
    double x = 0;
    cr_assert(wire_real(v, -1e300, 1e300, &x, &why), "%s: %s", why.where, why.detail);
    return x;
}

static double number_of(const struct wire_value *object, const char *key) {
    const struct wire_value v = member(object, key);
    return number(&v);
}

Test(chain, the_measured_chain_of_thirteen_stages) {
    struct arena a;
    struct chain_posted p;
    double unit;
    uint32_t n, n_steps;
    arena_init(&a, 0);
    struct wire_document *d = support_chain_open("tests/data/chain13.json");
    const struct wire_value root = wire_root(d), frontier = member(&root, "frontier");
    support_chain_value(&root, &a, &p);
    const struct chain c = support_chain_of(&p, &a, &unit);
    const struct chain_solver *s = solve(&c, &all_of_it, &a);
    const struct chain_point *points = chain_frontier(s, &n);
    cr_assert_eq(n, wire_length(&frontier));
    cr_assert_eq(n, 13);
    for (uint32_t i = 0; i < n; i++) {
        const struct wire_value v = wire_at(&frontier, i);
        struct problem why = {0};
        const struct chain_step *steps;
        cr_assert_eq(points[i].bytes, (uint64_t)number_of(&v, "memory"));
        cr_assert_float_eq((double)points[i].cost * unit, number_of(&v, "makespan"), 0.51e-6);
        cr_assert(chain_schedule(s, &points[i], &a, &steps, &n_steps, &why), "%s", why.detail);
        cr_assert_float_eq(chain_posted_seconds(&p, &c, steps, n_steps), number_of(&v, "makespan"), 0.51e-6);
    }
    judge_schedules(&c, s, &a, 13);
    cr_assert_eq(number_of(&root, "infeasible_below"), 602);
    chain_frontier(solve(&c, &(struct chain_limits){.bytes = 602, .cost = UINT64_MAX, .states = 1 << 24}, &a), &n);
    cr_assert_eq(n, 1);
    chain_frontier(solve(&c, &(struct chain_limits){.bytes = 601, .cost = UINT64_MAX, .states = 1 << 24}, &a), &n);
    cr_assert_eq(n, 0);
    wire_document_free(d);
    arena_free(&a);
}

#define ITEMS_MAX 8

/* Keep or recompute as a chain: nothing but what is kept takes bytes, and running on without an option is too dear. */
static void knapsack(const struct wire_value *v) {
    struct chain_posted_option options[ITEMS_MAX][2], nothing = {0};
    struct chain_posted_stage stages[ITEMS_MAX + 1] = {0};
    const struct wire_value weights = member(v, "weights"), values = member(v, "values");
    const uint32_t items = (uint32_t)wire_length(&weights);
    struct arena a;
    double total = 0, unit;
    uint32_t n;
    cr_assert_leq(items, ITEMS_MAX);
    for (uint32_t i = 0; i < items; i++) {
        const struct wire_value weight = wire_at(&weights, i), value = wire_at(&values, i);
        options[i][0] = (struct chain_posted_option){.kept = (uint64_t)(2 * number(&weight))}; /* some are halves */
        options[i][1] = (struct chain_posted_option){.backward = number(&value)};
        stages[i] = (struct chain_posted_stage){.fast_forward_time = 1e6, .options = options[i], .n_options = 2};
        total += number(&value);
    }
    stages[items] = (struct chain_posted_stage){.options = &nothing, .n_options = 1};
    const struct chain_posted p = {stages, items + 1, 0};
    const uint64_t budget = (uint64_t)(2 * number_of(v, "budget"));
    arena_init(&a, 0);
    const struct chain c = support_chain_of(&p, &a, &unit);
    const struct chain_point *points = chain_frontier(
        solve(&c, &(struct chain_limits){.from_bytes = budget, .bytes = budget, .cost = UINT64_MAX, .states = 1 << 24},
              &a),
        &n);
    cr_assert_eq(n, 1);
    cr_assert_eq(total - (double)points[0].cost * unit, number_of(v, "optimum"));
    arena_free(&a);
}

Test(chain, keep_or_recompute_is_solved_exactly) {
    struct wire_document *d = support_chain_open("tests/data/knapsack.json");
    const struct wire_value root = wire_root(d), list = member(&root, "cases");
    cr_assert_eq(wire_length(&list), 11);
    for (size_t i = 0; i < wire_length(&list); i++) {
        const struct wire_value v = wire_at(&list, i);
        knapsack(&v);
    }
    wire_document_free(d);
}
