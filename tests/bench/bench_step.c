/* bench_step.c - a training step of GPT-2 small in rematd's own engine: one JSON line, beside step_torch.py's.
 *
 *   bench_step SEQ standard|flash standard|every_layer|every_2|selective THREADS ROUNDS [by]
 *
 * The step is case_step.c's, as step_torch.py does it. The first one warms up; of the others seconds is the median,
 * fastest the least, cpu the least processor time. `by` adds the seconds of each kind of op. saved_bytes and slab_bytes
 * are the plan's; peak_bytes counts parameters and gradients too, as the run had them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"
#include "engine/exec/exec.h"
#include "tests/bench/cases.h"

enum { ROUNDS_MAX = 64 };

static void steps(struct step_case *c, unsigned rounds, char **argv) {
    double clock[ROUNDS_MAX], cpu[ROUNDS_MAX];
    const struct bench_work step = step_case_work(c);
    const struct plan *plan = step_case_plan(c);
    step.run(step.state);
    for (unsigned r = 0; r < rounds; r++) {
        cpu[r] = -bench_processor();
        clock[r] = bench_seconds(&step, 1);
        cpu[r] += bench_processor();
    }
    printf("{\"who\": \"rematd\", \"seq\": %s, \"attention\": \"%s\", \"strategy\": \"%s\", \"threads\": %s, "
           "\"seconds\": %.4f, \"fastest\": %.4f, \"cpu\": %.4f, \"saved_bytes\": %llu, \"slab_bytes\": %llu, "
           "\"peak_bytes\": %llu, \"loss\": %.6f, \"gflop\": %.1f}\n",
           argv[1], argv[2], argv[3], argv[4], bench_median(clock, rounds), bench_quantile(clock, rounds, 0),
           bench_quantile(cpu, rounds, 0), (unsigned long long)plan->saved_activations_bytes,
           (unsigned long long)plan->slab_bytes, (unsigned long long)exec_peak_bytes(step_case_exec(c)),
           (double)step_case_loss(c),
           1e-9 * (double)(plan->forward_flops + plan->backward_flops + plan->recompute_flops));
}

/* The same program again, op by op: how long each kind took. */
static void by_kind(struct step_case *c) {
    const struct plan *plan = step_case_plan(c);
    const struct graph *g = plan->graph;
    struct exec *exec = step_case_exec(c);
    double at[3][OP_KINDS] = {{0}};
    bool *ran = calloc(g->n_ops, 1);
    struct problem why = {0};
    exec_clear_gradients(exec);
    if (!ran || !exec_rewind(exec, &why))
        bench_die(&why);
    for (uint32_t s = 0; s < plan->n_steps; s++) {
        const struct step *step = &plan->steps[s];
        const double start = bench_now();
        if (!exec_run(exec, s + 1, &why))
            bench_die(&why);
        if (step->op == STEP_FREE)
            continue;
        const unsigned column = step->op == STEP_GRAD ? 2 : ran[step->of];
        ran[step->of] = true;
        at[column][g->ops[step->of].kind] += bench_now() - start;
    }
    for (unsigned k = 0; k < OP_KINDS; k++)
        if (at[0][k] + at[2][k] > 0)
            printf("  %-22s forward %7.2f ms, again %7.2f ms, backward %7.2f ms\n", op_table[k]->name, 1e3 * at[0][k],
                   1e3 * at[1][k], 1e3 * at[2][k]);
    free(ran);
}

int main(int argc, char **argv) {
    const unsigned rounds = argc > 5 ? (unsigned)units_min((uint64_t)atoi(argv[5]), ROUNDS_MAX) : 0;
    if (!rounds) {
        fprintf(stderr,
                "usage: bench_step SEQ standard|flash standard|every_layer|every_2|selective THREADS ROUNDS [by]\n");
        return 2;
    }
    struct step_case *c = step_case_new(&(struct case_step){strtoull(argv[1], NULL, 10),
                                                            strcmp(argv[2], "flash") ? ATTN_STANDARD : ATTN_FLASH,
                                                            argv[3], (unsigned)atoi(argv[4])});
    steps(c, rounds, argv);
    if (argc > 6)
        by_kind(c);
    step_case_free(c);
    return 0;
}
