/* bench_chain.c - how long chains take to solve: the measured chain of tests/data/chain13.json whole, and 200 different
 * stages of 16 options within one budget. One thread; medians. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/plan/chain_any.h"
#include "tests/bench/bench.h"

#define ROUNDS_MAX 101
#define EFFORT     5000000 /* as planners have */

static void check(bool ok, const struct problem *why) {
    if (ok)
        return;
    fprintf(stderr, "bench_chain: %s %s\n", why->where, why->detail);
    exit(1);
}

/* ---- chains ---- */

#define OPTIONS_MAX 16
#define STAGES_MAX  200

static struct chain_posted_option options[STAGES_MAX][OPTIONS_MAX];
static struct chain_posted_stage stages[STAGES_MAX];

/* What stands behind `"name": ` first from *at on, if before `end` does; *at moves behind it. */
static bool number_of(const char **at, const char *name, const char *end, double *out) {
    char quoted[32];
    snprintf(quoted, sizeof quoted, "\"%s\": ", name);
    const char *found = strstr(*at, quoted);
    if (!found || (end && found > end))
        return false;
    char *behind;
    *out = strtod(found + strlen(quoted), &behind);
    *at = behind;
    return true;
}

static double number(const char **at, const char *name) {
    double x = 0;
    if (!number_of(at, name, NULL, &x)) {
        fprintf(stderr, "bench_chain: tests/data/chain13.json has no %s\n", name);
        exit(1);
    }
    return x;
}

/* The file is always written in one order, so its numbers can be picked one after the other. */
static struct chain_posted chain13(void) {
    static char text[1 << 15];
    FILE *file = fopen("tests/data/chain13.json", "rb");
    const size_t bytes = file ? fread(text, 1, sizeof text - 1, file) : 0;
    uint32_t n = 0;
    double x;
    if (file)
        fclose(file);
    text[bytes] = 0;
    const char *at = text;
    for (; number_of(&at, "input_size", NULL, &x); n++) {
        struct chain_posted_stage *s = &stages[n];
        *s = (struct chain_posted_stage){.input_size = (uint64_t)x, .options = options[n]};
        s->fast_forward_time = number(&at, "time");
        s->fast_forward_workspace = (uint64_t)number(&at, "workspace");
        while (number_of(&at, "forward", strstr(at, "\"input_size\": "), &x)) {
            struct chain_posted_option *o = &options[n][s->n_options++];
            o->forward = x;
            o->backward = number(&at, "backward");
            o->kept = (uint64_t)number(&at, "kept");
            o->forward_workspace = (uint64_t)number(&at, "forward_workspace");
            o->backward_workspace = (uint64_t)number(&at, "backward_workspace");
        }
    }
    return (struct chain_posted){stages, n, 0};
}

static uint64_t below(uint64_t *state, uint64_t bound) {
    *state += RNG_MIX_STEP;
    return rng_mix(*state) % bound;
}

/* Sizes of 1 to 64 MiB, no two stages alike; the more an option keeps the less its backward takes. */
static struct chain_posted different(uint32_t n) {
    uint64_t state = 1;
    for (uint32_t i = 0; i < n; i++)
        stages[i] = (struct chain_posted_stage){.input_size = 1 + below(&state, 64 << 20),
                                                .fast_forward_time = 1e-3 * (double)(100 + below(&state, 900)),
                                                .fast_forward_workspace = below(&state, 16 << 20),
                                                .options = options[i],
                                                .n_options = OPTIONS_MAX};
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t output = i + 1 < n ? stages[i + 1].input_size : 0;
        double backward = stages[i].fast_forward_time;
        uint64_t kept = output + OPTIONS_MAX * (uint64_t)(16 << 20);
        for (uint32_t k = 0; k < OPTIONS_MAX; k++) {
            options[i][k] = (struct chain_posted_option){.forward = stages[i].fast_forward_time,
                                                         .backward = backward,
                                                         .kept = kept,
                                                         .forward_workspace = below(&state, 16 << 20),
                                                         .backward_workspace = below(&state, 16 << 20)};
            kept -= below(&state, 16 << 20);
            backward += 1e-3 * (double)below(&state, 200);
        }
    }
    return (struct chain_posted){stages, n, 0};
}

/* ---- rows ---- */

static void row(const char *name, const struct chain_posted *p, const struct chain_limits *limits, unsigned rounds) {
    double ms[ROUNDS_MAX], unit = 0;
    uint32_t points = 0;
    uint64_t states = 0, taken = 0;
    bool exact = false;
    double gap = 0, seconds = 0;
    for (unsigned i = 0; i < rounds; i++) {
        struct arena a;
        struct chain c;
        struct problem why = {0};
        arena_init(&a, 0);
        const double begin = bench_now();
        check(chain_from_posted(p, &a, &c, &unit, &why), &why);
        const struct chain_solver *s = chain_solve(&c, limits, &a, &why);
        ms[i] = 1e3 * (bench_now() - begin);
        check(s, &why);
        const struct chain_point *f = chain_frontier(s, &points);
        states = chain_states(s);
        exact = chain_exact(s);
        if (points) { /* of the cheapest, beside all that the budget allows */
            const struct chain_point *last = &f[points - 1];
            seconds = (double)last->cost * unit;
            gap =
                100 * (1 - (double)chain_lower_bound(s, units_min(limits->bytes, UINT64_MAX / 4)) / (double)last->cost);
        }
        taken = a.taken_bytes;
        arena_free(&a);
    }
    bench_median(ms, (unsigned)rounds); /* sorts */
    printf("%-34s %10.3f ms  %6u points  %10lu states  %8.2f MiB  %s, cost %.4f, gap %.1f %%\n", name, ms[rounds / 2],
           points, states, (double)taken / 1048576, exact ? "exact" : "bounded", seconds, gap);
}

static void row_any(const char *name, const struct chain_posted *p, uint64_t bytes, double most, uint64_t states) {
    struct arena a;
    struct chain c;
    struct chain_any_plan plan;
    struct problem why = {0};
    double unit;
    arena_init(&a, 0);
    const double begin = bench_now();
    check(chain_from_posted(p, &a, &c, &unit, &why), &why);
    const struct chain_any_limits limits = {bytes, (uint64_t)(most / unit), states};
    check(chain_any_solve(&c, &limits, &a, &plan, &why), &why);
    printf("%-34s %10.3f ms  %6u steps   %10lu states  %8.2f MiB  %s, cost %.4f, no less than %.4f\n", name,
           1e3 * (bench_now() - begin), plan.n, plan.states, (double)a.taken_bytes / 1048576,
           plan.exact ? "exact" : "cut short", (double)plan.cost * unit, (double)plan.lower_bound * unit);
    arena_free(&a);
}

int main(void) {
    struct chain_limits limits = {.bytes = UINT64_MAX, .cost = UINT64_MAX, .states = 1 << 26};
    const struct chain_posted measured = chain13();
    row("chain13: frontier", &measured, &limits, ROUNDS_MAX);
    row_any("chain13: all plans in 743", &measured, 743, 82.5, 1 << 20);
    row_any("chain13: all plans in 680", &measured, 680, 84.01, 1 << 20);
    row_any("chain13: all plans in 602", &measured, 602, 85.15, 1 << 20);
    const struct chain_posted large = different(STAGES_MAX);
    static const unsigned shares[] = {5, 25, 80};
    uint64_t all = 0;
    for (uint32_t i = 0; i < large.n; i++)
        all += large.stages[i].options[0].kept;
    limits.effort = EFFORT;
    for (unsigned i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        char name[64];
        limits.from_bytes = limits.bytes = all / 100 * shares[i];
        snprintf(name, sizeof name, "200 stages x 16: %u %% of all", shares[i]);
        row(name, &large, &limits, 3);
    }
    return 0;
}
