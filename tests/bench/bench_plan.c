/* bench_plan.c - how long a training step takes to plan: lowering, strategy, check, simulation and layout, one thread.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/models/model.h"
#include "engine/plan/planner.h"
#include "tests/bench/bench.h"

#define ROUNDS 41

static void row(const char *name, const struct model *m, uint64_t seq_len, const struct strategy *s) {
    struct workload w = {.model = *m, .seq_len = seq_len, .batch = 1, .dtype = DTYPE_BFLOAT16};
    double lower[ROUNDS], plan[ROUNDS];
    struct plan p = {0};
    uint64_t bytes = 0;
    uint32_t ops = 0;
    model_defaults(&w.model);
    w.attention = &attn_table[ATTN_FLASH];
    w.optimizer = optimizer_find("adamw");
    for (int i = 0; i < ROUNDS; i++) {
        struct arena a;
        struct graph g;
        struct problem why = {0};
        arena_init(&a, 0);
        double t0 = 1e6 * bench_now();
        bool ok = model_lower(&w, &a, &g, &why);
        double t1 = 1e6 * bench_now();
        ok = ok && planner_plan(&g, s, &a, &p, &why);
        double t2 = 1e6 * bench_now();
        if (!ok) {
            fprintf(stderr, "bench_plan: %s %s\n", why.where, why.detail);
            exit(1);
        }
        lower[i] = t1 - t0;
        plan[i] = t2 - t1;
        bytes = a.taken_bytes;
        ops = g.n_ops;
        arena_free(&a);
    }
    double l = bench_median(lower, ROUNDS), q = bench_median(plan, ROUNDS);
    printf("%-12s %-12s %6u ops %7u steps  lower %8.1f us  plan %8.1f us  in all %8.1f us  %6.2f MiB  waste %.4f\n",
           name, s->planner->name, ops, p.n_steps, l, q, l + q, (double)bytes / 1048576,
           (double)p.slab_bytes / (double)p.live_peak_bytes);
}

int main(void) {
    mallopt(M_TRIM_THRESHOLD, 8 << 20); /* as the daemon does: pages that were touched stay for the next request */
    mallopt(M_MMAP_THRESHOLD, 8 << 20);
    const struct model gpt2 = {.layers = 12,
                               .d_model = 768,
                               .heads = 12,
                               .bias_qkv = true,
                               .bias_out = true,
                               .bias_mlp = true,
                               .tied_embeddings = true};
    const struct model llama = {.mlp = MODEL_SWIGLU,
                                .norm = MODEL_RMSNORM,
                                .positions = MODEL_ROTARY,
                                .layers = 80,
                                .d_model = 8192,
                                .heads = 64,
                                .kv_heads = 8,
                                .d_ff = 28672,
                                .vocab = 128256};
    const struct strategy strategies[] = {
        {.planner = &planner_standard},
        {.planner = &planner_every_layer},
        {.planner = &planner_every_n, .n = 2},
        {.planner = &planner_selective, .selection = {.parts = PART_ATTENTION}},
    };
    for (size_t s = 0; s < sizeof strategies / sizeof strategies[0]; s++)
        row("gpt2", &gpt2, 1024, &strategies[s]);
    for (size_t s = 0; s < sizeof strategies / sizeof strategies[0]; s++)
        row("llama-3-70b", &llama, 8192, &strategies[s]);
    return 0;
}
