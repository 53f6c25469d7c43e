/* test_chain.c - frontiers of chains: against best(m, i, j) for every m and against lists of all plans on random
 * chains, against published breakpoints, and every point's schedule run step by step. REMATD_TESTS_LONG=1 takes many
 * more. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support.h"
#include "tests/support_chain.h"

#define LIMITS(...)                                                                                                    \
    &(const struct chain_limits) {                                                                                     \
        .bytes = UINT64_MAX, .cost = UINT64_MAX, .states = 1 << 24, __VA_ARGS__                                        \
    }

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
        const struct chain_solver *s = solve(&c, LIMITS(), &a);
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
