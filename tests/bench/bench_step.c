/* bench_step.c - a training step of GPT-2 small in rematd's own engine: one JSON line, beside step_torch.py's.
 *
 *   bench_step SEQ standard|flash standard|every_layer|every_2 THREADS ROUNDS [by]
 *
 * float32, batch 1, no dropout, no optimizer: forward, loss and backward, as in step_torch.py. The first step warms up;
 * of the others seconds is the median, fastest the least, cpu the least processor time. `by` adds the seconds of each
 * kind of op. saved_bytes and slab_bytes are the plan's; peak_bytes counts parameters and gradients too, as the run had
 * them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/exec/train.h"
#include "engine/models/init.h"
#include "engine/models/presets.h"
#include "engine/plan/planner.h"

struct bench {
    struct workload w;
    struct arena arena;
    struct graph g;
    struct plan plan;
    struct pool *pool;
    struct exec *exec;
};

static double seconds(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool load(void *user, uint32_t value, void *dst, struct problem *why) {
    struct bench *b = user;
    const struct graph *g = &b->g;
    (void)why;
    if (value >= g->n_tensors)
        *(float *)dst = 1;
    else if (g->tensors[value].role == TENSOR_PARAMETER)
        init_fill(&b->w, g, value, 1, b->pool, dst);
    else
        for (uint64_t i = 0; i < g->tensors[value].elements; i++)
            ((int32_t *)dst)[i] = (int32_t)(i * 7919 % b->w.model.vocab);
    return true;
}

static void die(const struct problem *why) {
    fprintf(stderr, "bench_step: %s %s\n", why->where, why->detail);
    exit(1);
}

static int ascending(const void *a, const void *b) {
    return *(const double *)a > *(const double *)b ? 1 : -1;
}

static void steps(struct bench *b, unsigned rounds, char **argv) {
    double clock[64], cpu[64];
    struct problem why = {0};
    for (unsigned r = 0; r <= rounds && r < 64; r++) {
        if (r) {
            exec_clear_gradients(b->exec);
            if (!exec_rewind(b->exec, &why))
                die(&why);
        }
        clock[r] = -seconds(CLOCK_MONOTONIC);
        cpu[r] = -seconds(CLOCK_PROCESS_CPUTIME_ID);
        if (!exec_run(b->exec, b->plan.n_steps, &why))
            die(&why);
        clock[r] += seconds(CLOCK_MONOTONIC);
        cpu[r] += seconds(CLOCK_PROCESS_CPUTIME_ID);
    }
    const float loss = *(float *)exec_value(b->exec, model_loss(&b->g));
    qsort(clock + 1, rounds, sizeof *clock, ascending);
    qsort(cpu + 1, rounds, sizeof *cpu, ascending);
    printf("{\"who\": \"rematd\", \"seq\": %s, \"attention\": \"%s\", \"strategy\": \"%s\", \"threads\": %s, "
           "\"seconds\": %.4f, \"fastest\": %.4f, \"cpu\": %.4f, \"saved_bytes\": %llu, \"slab_bytes\": %llu, "
           "\"peak_bytes\": %llu, \"loss\": %.6f, \"gflop\": %.1f}\n",
           argv[1], argv[2], argv[3], argv[4], clock[1 + (rounds - 1) / 2], clock[1], cpu[1],
           (unsigned long long)b->plan.saved_activations_bytes, (unsigned long long)b->plan.slab_bytes,
           (unsigned long long)exec_peak_bytes(b->exec), (double)loss,
           1e-9 * (double)(b->plan.forward_flops + b->plan.backward_flops + b->plan.recompute_flops));
}

/* The same program again, op by op: how long each kind took. */
static void by_kind(struct bench *b) {
    double at[3][OP_KINDS] = {{0}};
    bool *ran = calloc(b->g.n_ops, 1);
    struct problem why = {0};
    exec_clear_gradients(b->exec);
    if (!ran || !exec_rewind(b->exec, &why))
        die(&why);
    for (uint32_t s = 0; s < b->plan.n_steps; s++) {
        const struct step *step = &b->plan.steps[s];
        const double start = seconds(CLOCK_MONOTONIC);
        if (!exec_run(b->exec, s + 1, &why))
            die(&why);
        if (step->op == STEP_FREE)
            continue;
        const unsigned column = step->op == STEP_GRAD ? 2 : ran[step->of];
        ran[step->of] = true;
        at[column][b->g.ops[step->of].kind] += seconds(CLOCK_MONOTONIC) - start;
    }
    for (unsigned k = 0; k < OP_KINDS; k++)
        if (at[0][k] + at[2][k] > 0)
            printf("  %-22s forward %7.2f ms, again %7.2f ms, backward %7.2f ms\n", op_table[k]->name, 1e3 * at[0][k],
                   1e3 * at[1][k], 1e3 * at[2][k]);
    free(ran);
}

int main(int argc, char **argv) {
    struct bench b = {.w = {.batch = 1, .dtype = DTYPE_FLOAT32}};
    struct problem why = {0};
    if (argc < 6) {
        fprintf(stderr, "usage: bench_step SEQ standard|flash standard|every_layer|every_2 THREADS ROUNDS [by]\n");
        return 2;
    }
    struct strategy s = {.planner = planner_find(strcmp(argv[3], "every_2") == 0 ? "every_n" : argv[3]), .n = 2};
    b.w.model = presets_find("gpt2")->model;
    model_defaults(&b.w.model);
    b.w.seq_len = strtoull(argv[1], NULL, 10);
    b.w.attention = &attn_table[strcmp(argv[2], "flash") == 0 ? ATTN_FLASH : ATTN_STANDARD];
    b.w.threads = (unsigned)atoi(argv[4]);
    b.w.optimizer = optimizer_find("none");
    arena_init(&b.arena, 0);
    if (!model_lower(&b.w, &b.arena, &b.g, &why) || !planner_plan(&b.g, &s, &b.arena, &b.plan, &why) ||
        !(b.pool = pool_new(b.w.threads, &why)))
        die(&why);
    struct slab *slab = slab_new(&why), *persistent = slab_new(&why);
    const struct exec_options options = {.pool = b.pool, .load = load, .user = &b};
    b.exec = slab && persistent ? exec_new(&b.plan, slab, persistent, &options, &why) : NULL;
    if (!b.exec)
        die(&why);
    steps(&b, (unsigned)atoi(argv[5]), argv);
    if (argc > 6)
        by_kind(&b);
    exec_free(b.exec);
    slab_free(slab);
    slab_free(persistent);
    pool_free(b.pool);
    arena_free(&b.arena);
    return 0;
}
