/* bench_kernels.c - every kernel at its rate, beside what OpenBLAS, or memory, does on this machine at that moment.
 *
 *   bench_kernels [--quick] [--rounds N] [--ratios] [beginnings of names ...]
 *
 * Rows of the tables below are what is measured: adding one is adding a line. Targets are goals for the ratio, "must"
 * and in brackets "stretch". --ratios prints what bench-check keeps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/table.h"

enum { FULL = 1 }; /* rows that --quick leaves out */

static struct case_pools pools;
static struct bench_work product[CASE_THREADS], copy[CASE_THREADS];

static struct line line_of(const char *name, const struct bench_work beside[CASE_THREADS], struct target ratio) {
    struct line l = {.name = name, .ratio = ratio, .unit = 1e-9};
    memcpy(l.beside, beside, sizeof l.beside);
    return l;
}

/* ---- attention ---- */

enum mask { PLAIN, CAUSAL, WINDOW };
static const struct attn_mask masks[] = {[PLAIN] = {.behind = ATTN_FAR, .ahead = ATTN_FAR},
                                         [CAUSAL] = {.behind = ATTN_FAR, .ahead = 1},
                                         [WINDOW] = {.behind = 256, .ahead = 1}};
static const char *const mask_names[] = {"", ", causal", ", window 256"};

struct attention_row {
    unsigned kernel;
    uint64_t heads, kv_heads, n, d;
    enum mask mask;
    double dropout;
    struct target forward, backward, speedup;
    unsigned full;
};

#define WIDE_64                                                                                                        \
    {0.94, 1.00}, {0.96, 1.02}, {                                                                                      \
        1.80, 1.95                                                                                                     \
    }
#define WIDE_128                                                                                                       \
    {0.97, 1.02}, {0.96, 1.02}, {                                                                                      \
        1.80, 1.95                                                                                                     \
    }
#define TRIANGLE                                                                                                       \
    {0.90, 0.95}, {0.90, 0.95}, {                                                                                      \
        1.80, 1.95                                                                                                     \
    }
#define SMALL                                                                                                          \
    {0.82, 0.90}, {0.82, 0.90}, {                                                                                      \
        0, 0                                                                                                           \
    }
#define NO_GOAL                                                                                                        \
    {0, 0}, {0, 0}, {                                                                                                  \
        0, 0                                                                                                           \
    }

static const struct attention_row attention_rows[] = {
    {ATTN_FLASH, 8, 8, 1024, 64, PLAIN, 0, WIDE_64, 0},      {ATTN_FLASH, 8, 8, 2048, 64, PLAIN, 0, WIDE_64, 0},
    {ATTN_FLASH, 8, 8, 4096, 64, PLAIN, 0, WIDE_64, FULL},   {ATTN_FLASH, 8, 8, 8192, 64, PLAIN, 0, WIDE_64, FULL},
    {ATTN_FLASH, 8, 8, 1024, 128, PLAIN, 0, WIDE_128, 0},    {ATTN_FLASH, 8, 8, 2048, 128, PLAIN, 0, WIDE_128, FULL},
    {ATTN_FLASH, 8, 8, 4096, 128, PLAIN, 0, WIDE_128, FULL}, {ATTN_FLASH, 8, 8, 512, 64, CAUSAL, 0, SMALL, 0},
    {ATTN_FLASH, 8, 8, 1024, 64, CAUSAL, 0, TRIANGLE, 0},    {ATTN_FLASH, 8, 8, 2048, 64, CAUSAL, 0, TRIANGLE, FULL},
    {ATTN_FLASH, 8, 8, 4096, 64, CAUSAL, 0, TRIANGLE, FULL}, {ATTN_FLASH, 8, 8, 512, 128, CAUSAL, 0, SMALL, FULL},
    {ATTN_FLASH, 8, 8, 1024, 128, CAUSAL, 0, TRIANGLE, 0},   {ATTN_FLASH, 1, 1, 1024, 64, PLAIN, 0, WIDE_64, 0},
    {ATTN_FLASH, 1, 1, 4096, 64, PLAIN, 0, WIDE_64, 0},      {ATTN_FLASH, 1, 1, 4096, 64, CAUSAL, 0, TRIANGLE, 0},
    {ATTN_FLASH, 8, 2, 1024, 64, PLAIN, 0, NO_GOAL, FULL},   {ATTN_FLASH, 8, 8, 1024, 80, PLAIN, 0, NO_GOAL, FULL},
    {ATTN_FLASH, 12, 12, 128, 32, PLAIN, 0, NO_GOAL, FULL},  {ATTN_FLASH, 1, 1, 2048, 512, PLAIN, 0, NO_GOAL, FULL},
    {ATTN_FLASH, 8, 8, 2048, 64, WINDOW, 0, NO_GOAL, FULL},  {ATTN_FLASH, 8, 8, 1024, 64, PLAIN, 0.1, NO_GOAL, 0},
    {ATTN_STANDARD, 8, 8, 1024, 64, PLAIN, 0, NO_GOAL, 0},   {ATTN_STANDARD, 8, 8, 1024, 64, CAUSAL, 0, NO_GOAL, 0},
};

static void attention_name(const struct attention_row *row, bool backward, char *name, size_t room) {
    char heads[24] = "";
    if (row->kv_heads != row->heads)
        snprintf(heads, sizeof heads, "/%u", (unsigned)row->kv_heads);
    snprintf(name, room, "%s %s H %u%s N %u d %u%s%s", attn_table[row->kernel].name, backward ? "backward" : "forward",
             (unsigned)row->heads, heads, (unsigned)row->n, (unsigned)row->d, mask_names[row->mask],
             row->dropout > 0 ? ", dropout" : "");
}

static struct attention_case *attention_make(const struct attention_row *row, bool backward) {
    const struct case_attention what = {
        .kernel = &attn_table[row->kernel],
        .shape =
            {.batch = 1, .heads = row->heads, .kv_heads = row->kv_heads, .n_q = row->n, .n_k = row->n, .d = row->d},
        .mask = masks[row->mask],
        .dropout = row->dropout,
        .backward = backward};
    return attention_case_new(&what, &pools);
}

static void attention_line(const struct table_options *o, const struct attention_row *row, bool backward) {
    char name[80];
    attention_name(row, backward, name, sizeof name);
    if (!table_wants(o, name))
        return;
    struct attention_case *c = attention_make(row, backward);
    struct line l = line_of(name, product, backward ? row->backward : row->forward);
    for (unsigned t = 0; t < CASE_THREADS; t++)
        l.work[t] = (backward ? attention_case_backward : attention_case_forward)(c, t);
    l.speedup = row->speedup;
    table_line(o, &l);
    attention_case_free(c);
}

static void attention(const struct table_options *o, bool quick) {
    table_head("attention", "GFLOP/s of allowed pairs", "OpenBLAS on products of 768^3");
    for (unsigned backward = 0; backward < 2; backward++)
        for (unsigned i = 0; i < sizeof attention_rows / sizeof attention_rows[0]; i++)
            if (!quick || !attention_rows[i].full)
                attention_line(o, &attention_rows[i], backward);
}

/* One head so long that no N x N matrix of it fits (69 GB): once through, on two threads. */
static void long_attention(const struct table_options *o, bool quick) {
    const struct attention_row row = {ATTN_FLASH, 1, 1, quick ? 32768 : 131072, 64, CAUSAL, 0, NO_GOAL, 0};
    struct table_options once = *o;
    char name[80], note[80];
    attention_name(&row, true, name, sizeof name);
    if (o->ratios || !(table_wants(o, name) || table_wants(o, "flash forward H 1 N 131072")))
        return;
    struct attention_case *c = attention_make(&row, true);
    once.rounds = once.least = 1;
    snprintf(note, sizeof note, "%.0f bytes a token, N x N would be %.0f",
             (double)attention_case_bytes(c) / (double)row.n, 4.0 * (double)row.n);
    for (unsigned backward = 0; backward < 2; backward++) {
        attention_name(&row, backward, name, sizeof name);
        struct line l = line_of(name, product, (struct target){0.90, 0.95});
        l.work[1] = (backward ? attention_case_backward : attention_case_forward)(c, 1);
        l.note = note;
        table_line(&once, &l);
    }
    attention_case_free(c);
}

/* ---- linear layers ---- */

static const struct linear_row {
    const char *name;
    uint64_t rows, in, out;
    unsigned full;
} linear_rows[] = {
    {"GPT-2 out", 512, 768, 768, 0},
    {"GPT-2 qkv", 512, 768, 2304, 0},
    {"GPT-2 up", 512, 768, 3072, 0},
    {"GPT-2 down", 512, 3072, 768, 0},
    {"GPT-2 out", 1024, 768, 768, FULL},
    {"GPT-2 qkv", 1024, 768, 2304, FULL},
    {"GPT-2 up", 1024, 768, 3072, 0},
    {"GPT-2 down", 1024, 3072, 768, FULL},
    {"GPT-2 head", 1024, 768, 50257, FULL},
    {"Llama-3-8B q", 512, 4096, 4096, 0},
    {"Llama-3-8B k", 512, 4096, 1024, FULL},
    {"Llama-3-8B up", 512, 4096, 14336, FULL},
    {"Llama-3-8B down", 512, 14336, 4096, FULL},
};

static void linear(const struct table_options *o, bool quick) {
    static const char *const directions[] = {"forward", "d_x", "d_weight"};
    table_head("linear layers", "GFLOP/s", "OpenBLAS on products of 768^3");
    for (unsigned i = 0; i < sizeof linear_rows / sizeof linear_rows[0]; i++) {
        const struct linear_row *row = &linear_rows[i];
        char name[80];
        snprintf(name, sizeof name, "linear %s %u", row->name, (unsigned)row->rows);
        if ((quick && row->full) || !table_wants(o, name))
            continue;
        struct linear_case *c = linear_case_new(row->rows, row->in, row->out, &pools);
        for (unsigned d = 0; d < CASE_DIRECTIONS; d++) {
            snprintf(name, sizeof name, "linear %s %u %s", row->name, (unsigned)row->rows, directions[d]);
            struct line l = line_of(name, product, (struct target){0.97, 1.02});
            for (unsigned t = 0; t < CASE_THREADS; t++)
                l.work[t] = linear_case_work(c, (enum case_direction)d, t);
            table_line(o, &l);
        }
        linear_case_free(c);
    }
}

/* ---- rows ---- */

static void rows(const struct table_options *o) {
    table_head("bound by memory", "GB/s that must be read and written", "memcpy");
    for (unsigned i = 0; i < case_rows_length; i++) {
        const struct case_rows *what = &case_rows_table[i];
        if (!table_wants(o, what->name))
            continue;
        struct rows_case *c = rows_case_new(what, &pools);
        struct line l = line_of(what->name, copy, (struct target){0.70, 0.80});
        for (unsigned t = 0; t < CASE_THREADS; t++)
            l.work[t] = rows_case_work(c, t);
        table_line(o, &l);
        rows_case_free(c);
    }
}

/* ---- training steps ---- */

static void step_rate(const struct table_options *o, uint64_t seq_len, unsigned attention, const char *name) {
    struct step_case *c[CASE_THREADS];
    struct line l = line_of(name, product, (struct target){0.85, 0.93});
    if (!table_wants(o, name))
        return;
    for (unsigned t = 0; t < CASE_THREADS; t++) {
        const struct case_step what = {seq_len, attention, "standard", t + 1};
        c[t] = step_case_new(&what);
        l.work[t] = step_case_work(c[t]);
    }
    table_line(o, &l);
    for (unsigned t = 0; t < CASE_THREADS; t++)
        step_case_free(c[t]);
}

static void step_overhead(const struct table_options *o, uint64_t seq_len, unsigned attention, const char *strategy,
                          const char *name, struct target most) {
    if (!table_wants(o, name))
        return;
    struct step_case *plain = step_case_new(&(struct case_step){seq_len, attention, "standard", CASE_THREADS});
    struct step_case *again = step_case_new(&(struct case_step){seq_len, attention, strategy, CASE_THREADS});
    const struct bench_work work = step_case_work(plain), longer = step_case_work(again);
    table_overhead(o, name, &longer, &work, most);
    step_case_free(plain);
    step_case_free(again);
}

static void steps(const struct table_options *o, bool quick) {
    struct table_options few = *o;
    few.least = 3; /* a step takes seconds */
    table_head("training steps of GPT-2 small", "GFLOP/s of the model", "OpenBLAS on products of 768^3");
    step_rate(&few, 512, ATTN_STANDARD, "step 512, standard attention");
    step_rate(&few, 512, ATTN_FLASH, "step 512, flash");
    if (!quick)
        step_rate(&few, 1024, ATTN_STANDARD, "step 1024, standard attention");
    if (!quick)
        step_rate(&few, 1024, ATTN_FLASH, "step 1024, flash");
    step_overhead(&few, 512, ATTN_STANDARD, "every_layer", "step 512, every layer recomputed, over standard",
                  (struct target){1.33, 1.30});
    step_overhead(&few, 512, ATTN_FLASH, "selective", "step 512, flash, attention recomputed, over standard",
                  (struct target){1.05, 1.02});
    if (quick)
        return;
    step_overhead(&few, 1024, ATTN_STANDARD, "every_layer", "step 1024, every layer recomputed, over standard",
                  (struct target){1.33, 1.30});
    step_overhead(&few, 1024, ATTN_FLASH, "selective", "step 1024, flash, attention recomputed, over standard",
                  (struct target){1.05, 1.02});
}

/* ---- the yardsticks themselves ---- */

static void yardsticks(const struct table_options *o) {
    struct line l = line_of("OpenBLAS 768^3, over multiply-adds", product, (struct target){0, 0});
    if (o->ratios || !table_wants(o, "machine"))
        return;
    bench_print_machine();
    for (unsigned t = 0; t < CASE_THREADS; t++) {
        l.work[t] = product[t];
        l.beside[t] = bench_peak(pools.pool[t]);
    }
    struct table_options all = *o;
    all.n_names = 0;
    table_head("the machine", "GFLOP/s and GB/s", "the yardstick named");
    if (l.beside[0].run) {
        table_line(&all, &l);
        memcpy(l.work, l.beside, sizeof l.work);
        memcpy(l.beside, product, sizeof l.beside);
        l.name = "multiply-adds of registers, over OpenBLAS";
        table_line(&all, &l);
    }
    l.name = "memcpy beyond the caches, over itself: noise";
    memcpy(l.work, copy, sizeof l.work);
    memcpy(l.beside, copy, sizeof l.beside);
    table_line(&all, &l);
}

int main(int argc, char **argv) {
    struct table_options o = {.rounds = 15, .least = 5, .line_seconds = 20};
    bool quick = false;
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++)
        if (strcmp(argv[i], "--quick") == 0)
            quick = true;
        else if (strcmp(argv[i], "--ratios") == 0)
            o.ratios = true;
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            o.rounds = (unsigned)atoi(argv[++i]);
        else
            return fprintf(stderr, "usage: bench_kernels [--quick] [--rounds N] [--ratios] [names ...]\n"), 2;
    if (quick) { /* ratios are compared: they get more rounds */
        o.line_seconds = o.ratios ? 2 : 0.7;
        o.least = o.ratios ? 5 : 3;
    }
    o.names = argv + i;
    o.n_names = argc - i;
    for (unsigned t = 0; t < CASE_THREADS; t++) {
        pools.pool[t] = bench_pool(t + 1);
        product[t] = bench_product(pools.pool[t]);
        copy[t] = bench_copy(pools.pool[t]);
    }
    yardsticks(&o);
    attention(&o, quick);
    long_attention(&o, quick);
    linear(&o, quick);
    rows(&o);
    steps(&o, quick);
    if (!o.ratios)
        printf("\nMedians; * misses its must: %u values do\n", table_missed());
    for (unsigned t = 0; t < CASE_THREADS; t++)
        pool_free(pools.pool[t]);
    return 0;
}
