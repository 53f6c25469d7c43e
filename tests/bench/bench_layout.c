/* bench_layout.c - how much of a slab is waste: slab over live peak, over random training steps and random graphs under
 * random strategies. Each row of numbers is one kind of graph. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/laws.h"
#include "tests/bench/bench.h"

#define GRAPHS 1000

static bool training_step(struct graph *g, struct arena *a, uint64_t seed, struct problem *why) {
    struct workload w = laws_workload(seed);
    return model_lower(&w, a, g, why);
}

/* One of the strategies its layers allow. */
static void plan_one(bool (*make)(struct graph *, struct arena *, uint64_t, struct problem *), uint64_t seed,
                     double *waste, double *ms) {
    struct arena a;
    struct graph g;
    struct plan p;
    struct laws_strategies all;
    struct problem why = {0};
    arena_init(&a, 0);
    bool ok = make(&g, &a, seed, &why);
    double before = bench_now();
    if (ok) {
        laws_strategies_make(&g, seed, &all);
        ok = planner_plan(&g, &all.list[seed % all.n], &a, &p, &why);
    }
    if (!ok) {
        fprintf(stderr, "bench_layout: %s %s\n", why.where, why.detail);
        exit(1);
    }
    *ms = 1e3 * (bench_now() - before);
    *waste = 100 * ((double)p.slab_bytes / (double)p.live_peak_bytes - 1);
    arena_free(&a);
}

static void row(const char *name, bool (*make)(struct graph *, struct arena *, uint64_t, struct problem *)) {
    static double waste[GRAPHS], ms[GRAPHS];
    double sum = 0;
    unsigned none = 0, above = 0;
    for (uint64_t i = 0; i < GRAPHS; i++) {
        plan_one(make, i + 1, &waste[i], &ms[i]);
        none += waste[i] <= 0;
        above += waste[i] > 1;
        sum += waste[i];
    }
    bench_median(waste, GRAPHS); /* sorts */
    bench_median(ms, GRAPHS);
    printf("%-16s %6d plans  none %5u  above 1 %% %5u  mean %6.3f %%  median %6.3f %%  p90 %6.3f %%  p99 %6.3f %%  max "
           "%6.3f %%  %8.3f ms median  %8.3f ms p99\n",
           name, GRAPHS, none, above, sum / GRAPHS, waste[GRAPHS / 2], waste[GRAPHS * 9 / 10], waste[GRAPHS * 99 / 100],
           waste[GRAPHS - 1], ms[GRAPHS / 2], ms[GRAPHS * 99 / 100]);
}

int main(void) {
    row("training steps", training_step);
    row("random graphs", laws_graph);
    return 0;
}
