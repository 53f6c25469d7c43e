/* test_optimal.c - laws of planners that choose within a budget, over random training steps: what their curve says is
 * what their plans take; none of the named strategies does better; budgets are kept and never wasted. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plan/planner_optimal.h"
#include "tests/laws.h"

static uint64_t cases(uint64_t few, uint64_t many) {
#ifdef __SANITIZE_ADDRESS__ /* memory is touched alike by all of them, and five times as slowly */
    few = few / 5;
#endif
    return getenv("REMATD_TESTS_LONG") ? many : few;
}

struct step_case {
    uint64_t seed;
    struct workload w;
    struct arena arena;
    struct graph g;
    struct optimal optimal;
    char text[1024];
};

/* A step small enough that its whole curve is exact within the test's patience. */
static void case_make(struct step_case *c, uint64_t seed) {
    struct problem why = {0};
    memset(c, 0, sizeof *c);
    c->seed = seed;
    c->w = laws_workload(seed);
    laws_workload_text(&c->w, c->text, sizeof c->text);
    arena_init(&c->arena, 0);
    cr_assert(model_lower(&c->w, &c->arena, &c->g, &why), "%s: %s %s", c->text, why.where, why.detail);
    cr_assert(planner_optimal_open(&c->g, NULL, 0, NULL, &c->arena, &c->optimal, &why), "%s: %s", c->text, why.detail);
}

static void within(const struct step_case *c, uint64_t budget, struct arena *a, struct plan *out) {
    struct problem why = {0};
    uint32_t of;
    cr_assert(planner_optimal_within(&c->optimal, budget, a, out, &of, &why), "%s: %s", c->text, why.detail);
    cr_assert(laws_judge(out, &why), "seed %lu: %s: %s", c->seed, c->text, why.detail);
    cr_assert_eq(out->recompute_flops, out->optimality.cost, "seed %lu: %s: cost %lu, recomputes %lu", c->seed, c->text,
                 out->optimality.cost, out->recompute_flops);
    cr_assert(out->optimality.lower_bound <= out->optimality.cost);
}

/* Encoders' outputs and relative biases that nothing saves may go earlier than a curve assumes. */
static bool is_plain(const struct workload *w) {
    return w->model.family != MODEL_ENCODER_DECODER && w->model.positions != MODEL_RELATIVE;
}

Test(optimal, a_point_of_the_curve_is_a_plan_of_its_bytes_and_cost) {
    uint64_t points_seen = 0;
    for (uint64_t seed = 1; seed <= cases(15, 1000); seed++) {
        struct step_case c;
        struct problem why = {0};
        uint32_t n;
        case_make(&c, seed);
        const struct chain_solver *s = planner_optimal_solve(&c.optimal, 0, UINT64_MAX, 300000, &c.arena, &why);
        cr_assert(s, "%s: %s", c.text, why.detail);
        const struct chain_point *p = chain_frontier(s, &n);
        cr_assert(n > 0);
        for (uint32_t i = 0; i < n; i += 1 + n / 12) {
            struct arena a;
            struct plan plan;
            uint32_t of;
            arena_init(&a, 0);
            cr_assert(i == 0 || (p[i].bytes > p[i - 1].bytes && p[i].cost < p[i - 1].cost));
            cr_assert(planner_optimal_point(&c.optimal, s, &p[i], &a, &plan, &of, &why), "seed %lu: %s: %s %s", seed,
                      c.text, why.where, why.detail);
            cr_assert(laws_judge(&plan, &why), "seed %lu: %s: %s", seed, c.text, why.detail);
            cr_assert_eq(plan.recompute_flops, p[i].cost);
            cr_assert(plan.live_peak_bytes <= p[i].bytes, "seed %lu: %s: %lu live, %lu said", seed, c.text,
                      plan.live_peak_bytes, p[i].bytes);
            cr_assert(!chain_exact(s) || !is_plain(&c.w) || plan.live_peak_bytes == p[i].bytes,
                      "seed %lu: %s: %lu live, %lu said", seed, c.text, plan.live_peak_bytes, p[i].bytes);
            points_seen++;
            arena_free(&a);
        }
        arena_free(&c.arena);
    }
    cr_assert(points_seen >= cases(15, 1000) * 3);
}

/* Norms and ops by name may drop what leaves a stage, which no persistent plan of stages does. */
static bool is_of_the_class(const struct strategy *s) {
    bool is = s->planner != &planner_optimal && !s->selection.op_kinds && !(s->selection.parts & PART_NORM);
    for (uint64_t l = 0; l < s->n_layers; l++)
        is &= s->layers[l].policy != LAYER_RECOMPUTE ||
              (!s->layers[l].selection.op_kinds && !(s->layers[l].selection.parts & PART_NORM));
    return is;
}

Test(optimal, no_named_strategy_does_better_in_the_same_bytes) {
    uint64_t compared = 0;
    for (uint64_t seed = 1; seed <= cases(10, 600); seed++) {
        struct step_case c;
        struct laws_strategies named;
        case_make(&c, seed);
        laws_strategies_make(&c.g, seed, &named);
        for (unsigned i = 0; i < named.n; i++) {
            struct arena a;
            struct plan theirs, mine;
            struct problem why = {0};
            char text[512];
            if (!is_of_the_class(&named.list[i]))
                continue;
            arena_init(&a, 0);
            cr_assert(planner_plan(&c.g, &named.list[i], &a, &theirs, &why));
            within(&c, theirs.peak_bytes, &a, &mine);
            cr_assert(mine.recompute_flops <= theirs.recompute_flops || !mine.optimality.exact || !is_plain(&c.w),
                      "seed %lu: %s: %s recomputes %lu in %lu, optimal %lu in %lu", seed, c.text,
                      laws_strategy_text(&named.list[i], text, sizeof text), theirs.recompute_flops, theirs.peak_bytes,
                      mine.recompute_flops, mine.peak_bytes);
            compared++;
            arena_free(&a);
        }
        arena_free(&c.arena);
    }
    cr_assert(compared >= cases(10, 600) * 5);
}

Test(optimal, budgets_are_kept_and_more_never_costs_more) {
    for (uint64_t seed = 1; seed <= cases(10, 600); seed++) {
        struct step_case c;
        struct arena a;
        struct plan least, all, p;
        uint64_t before = UINT64_MAX;
        bool exact = true;
        case_make(&c, seed);
        arena_init(&a, 0);
        within(&c, 1, &a, &least);
        within(&c, UINT64_MAX, &a, &all);
        cr_assert_eq(all.recompute_flops, 0);
        within(&c, least.peak_bytes - 1, &a, &p);
        cr_assert_eq(p.peak_bytes, least.peak_bytes, "a byte less than the least: the least is what is answered");
        for (uint64_t i = 0; i <= 8 && all.peak_bytes > least.peak_bytes; i++) {
            const uint64_t budget = least.peak_bytes + (all.peak_bytes - least.peak_bytes) * i / 8;
            within(&c, budget, &a, &p);
            exact &= p.optimality.exact;
            cr_assert(p.peak_bytes <= budget, "seed %lu: %s: %lu in a budget of %lu", seed, c.text, p.peak_bytes,
                      budget);
            cr_assert(!exact || p.recompute_flops <= before, "seed %lu: %s: more bytes cost more", seed, c.text);
            before = p.recompute_flops;
        }
        arena_free(&a);
        arena_free(&c.arena);
    }
}
