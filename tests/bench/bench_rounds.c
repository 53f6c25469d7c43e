/* bench_rounds.c - one kernel, one run at a time, for scripts that time something else in between (peers.py).
 *
 * Reads lines, answers each with one:
 *
 *   case KERNEL BATCH HEADS N D CAUSAL     "ok": tensors are made; KERNEL standard or flash
 *   lab KERNEL BATCH HEADS N D CAUSAL      the same through remat.h's checkpointed attention, planning included
 *   forward THREADS RUNS                   seconds of a run, the mean of so many
 *   both THREADS RUNS                      forward and backward
 *   isa                                    what the kernels run on
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernels/tile.h"
#include "engine/remat.h"
#include "tests/bench/cases.h"

struct shape {
    char kernel[16];
    unsigned long long batch, heads, n, d;
    unsigned causal;
};

/* ---- kernels as they are ---- */

static struct case_pools pools;
static struct attention_case *kernel;

static void kernel_make(const struct shape *s) {
    const struct case_attention what = {
        .kernel = attn_find(s->kernel),
        .shape = {.batch = s->batch, .heads = s->heads, .kv_heads = s->heads, .n_q = s->n, .n_k = s->n, .d = s->d},
        .mask = {.behind = ATTN_FAR, .ahead = s->causal ? 1 : ATTN_FAR},
        .backward = true};
    if (!what.kernel)
        exit(2);
    kernel = attention_case_new(&what, &pools);
}

/* ---- the lab's handle ---- */

static struct lab {
    bool there;
    struct remat_checkpointed_attention handle[CASE_THREADS];
    struct remat_tensor tensors[8]; /* q k v o d_o d_q d_k d_v */
} lab;

static void lab_check(bool ok, const struct remat_problem *why) {
    if (ok)
        return;
    fprintf(stderr, "bench_rounds: %s %s\n", why->where, why->detail);
    exit(1);
}

static void lab_make(const struct shape *s) {
    struct remat_problem why = {0};
    const struct remat_attention what = {.kernel = strcmp(s->kernel, "flash") ? REMAT_STANDARD : REMAT_FLASH,
                                         .causal = s->causal};
    for (unsigned i = 0; i < 8; i++)
        lab.tensors[i] = (struct remat_tensor){.data = bench_tensor(s->batch * s->heads * s->n * s->d, i + 1),
                                               .rank = 4,
                                               .size = {s->batch, s->heads, s->n, s->d}};
    for (unsigned t = 0; t < CASE_THREADS; t++)
        lab_check(
            remat_checkpointed_attention_init(&lab.handle[t], &what, &(struct remat_options){.threads = t + 1}, &why),
            &why);
    lab.there = true;
}

static void lab_run(void *handle) {
    struct remat_tensor *x = lab.tensors;
    struct remat_problem why = {0};
    lab_check(remat_checkpointed_attention_forward(handle, &x[0], &x[1], &x[2], NULL, &x[3], &why) &&
                  remat_checkpointed_attention_backward(handle, &x[4], &x[5], &x[6], &x[7], &why),
              &why);
}

/* ---- lines ---- */

static void drop(void) {
    if (kernel)
        attention_case_free(kernel);
    kernel = NULL;
    for (unsigned t = 0; lab.there && t < CASE_THREADS; t++)
        remat_checkpointed_attention_free(&lab.handle[t]);
    for (unsigned i = 0; lab.there && i < 8; i++)
        free(lab.tensors[i].data);
    lab.there = false;
}

static double run(bool backward, unsigned threads, unsigned runs) {
    const struct bench_work whole = {0, lab_run, &lab.handle[threads - 1]};
    if (lab.there)
        return bench_seconds(&whole, runs);
    const struct bench_work f = attention_case_forward(kernel, threads - 1);
    const struct bench_work b = attention_case_backward(kernel, threads - 1);
    const double start = bench_now();
    for (unsigned r = 0; r < runs; r++) {
        f.run(f.state);
        if (backward)
            b.run(b.state);
    }
    return (bench_now() - start) / runs;
}

static bool answer(const char *line) {
    struct shape s;
    char word[16];
    unsigned threads, runs;
    if (sscanf(line, "%15s %15s %llu %llu %llu %llu %u", word, s.kernel, &s.batch, &s.heads, &s.n, &s.d, &s.causal) ==
        7) {
        drop();
        (strcmp(word, "lab") == 0 ? lab_make : kernel_make)(&s);
        puts("ok");
    } else if (sscanf(line, "%15s %u %u", word, &threads, &runs) == 3 && threads >= 1 && threads <= CASE_THREADS &&
               runs && (kernel || lab.there)) {
        printf("%.9f\n", run(strcmp(word, "both") == 0, threads, runs));
    } else if (strncmp(line, "isa", 3) == 0) {
        printf("%s, OpenBLAS for %s\n", tile_best()->name, openblas_get_corename());
    } else {
        return false;
    }
    return true;
}

int main(void) {
    char line[256];
    bool ok = true;
    for (unsigned t = 0; t < CASE_THREADS; t++)
        pools.pool[t] = bench_pool(t + 1);
    while (ok && fgets(line, sizeof line, stdin)) {
        ok = answer(line);
        fflush(stdout);
    }
    if (!ok)
        fprintf(stderr, "bench_rounds: what is \"%s\"?\n", line);
    drop();
    for (unsigned t = 0; t < CASE_THREADS; t++)
        pool_free(pools.pool[t]);
    return ok ? 0 : 2;
}
