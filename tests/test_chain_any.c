/* test_chain_any.c - all plans of small chains: against a sweep over all states, against persistent plans, and run step
 * by step. REMATD_TESTS_LONG=1 takes many more. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/support.h"
#include "tests/support_chain.h"

static uint64_t cases(uint64_t few, uint64_t many) {
#ifdef __SANITIZE_THREAD__
    few = few / 8 + 1;
#endif
    return getenv("REMATD_TESTS_LONG") ? many : few;
}

static const struct chain_point *persistent(const struct chain *c, struct arena *a, uint32_t *n) {
    struct problem why = {0};
    const struct chain_limits limits = {.bytes = UINT64_MAX, .cost = UINT64_MAX, .states = 1 << 24};
    const struct chain_solver *s = chain_solve(c, &limits, a, &why);
    cr_assert(s, "%s", why.detail);
    return chain_frontier(s, n);
}

static struct chain_any_plan best(const struct chain *c, uint64_t bytes, uint64_t cost, uint64_t states,
                                  struct arena *a) {
    struct problem why = {0};
    struct chain_any_plan plan;
    const struct chain_any_limits limits = {bytes, cost, states};
    cr_assert(chain_any_solve(c, &limits, a, &plan, &why), "%s", why.detail);
    if (plan.steps) {
        const struct chain_point replay = support_chain_replay_any(c, &plan);
        cr_assert_eq(replay.cost, plan.cost);
        cr_assert_eq(replay.bytes, plan.bytes);
        cr_assert_leq(replay.bytes, bytes);
        cr_assert_leq(plan.lower_bound, plan.cost);
        cr_assert(!plan.exact || plan.lower_bound == plan.cost);
    }
    return plan;
}

static void random_posted(uint64_t seed, uint32_t stages, uint32_t options, struct arena *a, struct chain *c) {
    uint64_t state = (seed << 32) + (1u << 20);
    const struct support_chain_shape shape = {.stages = 1 + (uint32_t)support_random(&state, stages),
                                              .options = 1 + (uint32_t)support_random(&state, options),
                                              .period = (uint32_t)support_random(&state, 3),
                                              .sizes = 1 + support_random(&state, 8),
                                              .costs = 1 + support_random(&state, 8)};
    struct chain_posted p;
    support_chain_posted(seed, &shape, a, &p);
    *c = support_chain_of(&p, a, NULL);
}

Test(chain_any, every_budget_of_small_chains_is_solved_exactly) {
    for (uint64_t seed = 0; seed < cases(150, 1500); seed++) {
        struct arena a;
        struct chain c;
        uint32_t n;
        arena_init(&a, 0);
        random_posted(seed, 4, 2, &a, &c);
        const struct chain_point *points = persistent(&c, &a, &n);
        for (uint64_t bytes = points[0].bytes / 2; bytes <= points[n - 1].bytes; bytes += 1 + bytes / 16) {
            const struct chain_any_plan plan = best(&c, bytes, UINT64_MAX, 1 << 20, &a);
            const uint64_t truth = support_chain_any(&c, bytes, false);
            cr_assert(plan.exact);
            cr_assert_eq(plan.steps != NULL, truth != UINT64_MAX, "%lu: in %lu", seed, bytes);
            cr_assert(!plan.steps || plan.cost == truth, "%lu: in %lu: %lu, not %lu", seed, bytes, plan.cost, truth);
        }
        arena_free(&a);
    }
}

Test(chain_any, no_persistent_plan_is_better) {
    for (uint64_t seed = 0; seed < cases(400, 4000); seed++) {
        struct arena a;
        struct chain c;
        uint32_t n;
        arena_init(&a, 0);
        random_posted(seed, 6, 3, &a, &c);
        const struct chain_point *points = persistent(&c, &a, &n);
        for (uint32_t i = 0; i < n; i++) {
            const struct chain_any_plan plan = best(&c, points[i].bytes, points[i].cost, 1 << 20, &a);
            cr_assert(plan.exact && plan.steps);
            const uint64_t least = plan.cost;
            cr_assert_leq(least, points[i].cost, "%lu: point %u: %lu", seed, i, least);
            const struct chain_any_plan none = best(&c, points[i].bytes, least - 1, 1 << 20, &a);
            cr_assert(least == 0 || (none.exact && !none.steps && none.lower_bound >= least));
        }
        arena_free(&a);
    }
}

Test(chain_any, where_states_run_out_the_bound_holds) {
    uint64_t short_of = 0;
    for (uint64_t seed = 0; seed < cases(200, 2000); seed++) {
        struct arena a;
        struct chain c;
        uint32_t n;
        arena_init(&a, 0);
        random_posted(seed, 6, 3, &a, &c);
        const struct chain_point *points = persistent(&c, &a, &n);
        const struct chain_any_plan truth = best(&c, points[0].bytes, UINT64_MAX, 1 << 20, &a);
        for (uint64_t states = 1; states < truth.states; states *= 2) {
            const struct chain_any_plan plan = best(&c, points[0].bytes, UINT64_MAX, states, &a);
            cr_assert_leq(plan.lower_bound, truth.cost);
            cr_assert_leq(plan.states, states);
            short_of += !plan.exact;
        }
        arena_free(&a);
    }
    cr_assert_gt(short_of, 0);
}

Test(chain_any, chains_too_large_to_write_down_are_left_alone) {
    struct arena a;
    struct chain_posted p;
    const struct support_chain_shape shape = {.stages = 40, .options = 12, .sizes = 100, .costs = 100};
    arena_init(&a, 0);
    support_chain_posted(1, &shape, &a, &p);
    const struct chain c = support_chain_of(&p, &a, NULL);
    const struct chain_any_plan plan = best(&c, 1 << 20, UINT64_MAX, 1 << 20, &a);
    cr_assert(!plan.exact && !plan.steps && plan.lower_bound == 0);
    arena_free(&a);
}

/* Chains on which the recursion's answer is the best persistent plan, and not the best. */
Test(chain_any, stored_chains_have_better_plans_than_persistent_ones) {
    struct wire_document *d = support_chain_open("tests/data/chain_any.json");
    const struct wire_value root = wire_root(d);
    struct wire_value list;
    cr_assert(wire_get(&root, "cases", &list) && wire_length(&list) == 3);
    for (size_t i = 0; i < 3; i++) {
        const struct wire_value v = wire_at(&list, i);
        struct problem why = {0};
        struct arena a;
        struct chain_posted p;
        uint64_t budget = 0, kept = 0, all = 0;
        double unit;
        uint32_t n, at = 0, n_true;
        arena_init(&a, 0);
        support_chain_value(&v, &a, &p);
        cr_assert(wire_uint_of(&v, "budget", 0, 1000, &budget, &why) &&
                  wire_uint_of(&v, "persistent", 0, 1000, &kept, &why) && wire_uint_of(&v, "all", 0, 1000, &all, &why));
        const struct chain c = support_chain_of(&p, &a, &unit);
        const struct chain_point *points = persistent(&c, &a, &n), *truth = support_chain_frontier(&c, &a, &n_true);
        while (at + 1 < n && points[at + 1].bytes <= budget)
            at++;
        cr_assert_eq((double)points[at].cost * unit, (double)kept);
        cr_assert_eq(points[at].cost, truth[at].cost);
        cr_assert_eq((double)support_chain_any(&c, budget, true) * unit, (double)kept);
        const struct chain_any_plan plan = best(&c, budget, points[at].cost, 1 << 20, &a);
        cr_assert(plan.exact && plan.steps);
        cr_assert_eq((double)plan.cost * unit, (double)all);
        cr_assert_eq(chain_posted_seconds(&p, &c, plan.steps, plan.n), (double)all);
        cr_assert_lt(all, kept);
        arena_free(&a);
    }
    wire_document_free(d);
}
