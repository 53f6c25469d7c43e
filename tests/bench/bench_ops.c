/* bench_ops.c - milliseconds a call of the ops of a GPT-2 small step that are not linear layers.
 *
 *   bench_ops [threads] [rounds]
 *
 * Least time of the rounds, on the clock and of processor time of all threads. ops_torch.py prints the same lines. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/pool.h"
#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/act.h"
#include "engine/kernels/attn.h"
#include "engine/kernels/attn_ref.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/norm.h"
#include "tests/bench/bench.h"

enum { WIDTH = 768, HEADS = 12, HEAD = 64, TENSORS = 8 };

struct bench {
    struct pool *pool;
    uint64_t n; /* tokens */
    float *t[TENSORS];
    struct norm norm;
    struct attn_call attention;
    const struct attn_kernel *kernel;
};

static void gelu(const struct bench *b) {
    act_gelu(b->pool, b->n * 4 * WIDTH, true, numbers_float(b->t[0]), numbers_float(b->t[1]));
}

static void gelu_backward(const struct bench *b) {
    act_gelu_backward(b->pool, b->n * 4 * WIDTH, true, numbers_float(b->t[0]), numbers_float(b->t[1]),
                      numbers_float(b->t[2]));
}

static void layer_norm(const struct bench *b) {
    norm_forward(&b->norm);
}

static void layer_norm_backward(const struct bench *b) {
    norm_backward(&b->norm);
}

static void add(const struct bench *b) {
    eltwise_add(b->pool, b->n * WIDTH, numbers_float(b->t[0]), numbers_float(b->t[1]), numbers_float(b->t[2]));
}

static void accumulate(const struct bench *b) {
    eltwise_accumulate(b->pool, b->n * WIDTH, 1, numbers_float(b->t[0]), numbers_float(b->t[1]));
}

static void attention(const struct bench *b) {
    b->kernel->forward(&b->attention);
}

static void attention_backward(const struct bench *b) {
    b->kernel->backward(&b->attention);
}

static void line(const char *name, unsigned rounds, void (*run)(const struct bench *), const struct bench *b) {
    double clock = 1e9, processor = 1e9;
    for (unsigned r = 0; r < rounds; r++) {
        const double start = bench_now(), spent = bench_processor();
        run(b);
        const double c = bench_now() - start, p = bench_processor() - spent;
        clock = c < clock ? c : clock;
        processor = p < processor ? p : processor;
    }
    printf("%-30s %5lu %9.3f %9.3f ms\n", name, b->n, 1e3 * clock, 1e3 * processor);
    fflush(stdout);
}

static void lines_of_attention(struct bench *b, unsigned kernel, unsigned rounds) {
    const struct attn_shape sizes = {
        .batch = 1, .heads = HEADS, .kv_heads = HEADS, .n_q = b->n, .n_k = b->n, .d = HEAD};
    uint64_t shape[4], aux = 1;
    struct attn_call *c = &b->attention;
    char name[64];
    b->kernel = &attn_table[kernel];
    *c = (struct attn_call){.shape = attn_contiguous(&sizes), .mask = {ATTN_FAR, 1, NULL, {0}}, .scale = 0.125f};
    for (unsigned r = b->kernel->aux_shape(&c->shape, shape); r-- > 0;)
        aux *= shape[r];
    const uint64_t work = units_max(b->kernel->work_bytes(&c->shape, &c->mask, false, pool_threads(b->pool)),
                                    b->kernel->work_bytes(&c->shape, &c->mask, true, pool_threads(b->pool)));
    c->pool = b->pool;
    c->q = b->t[0], c->k = b->t[1], c->v = b->t[2], c->d_o = b->t[3];
    c->o = b->t[4], c->d_q = b->t[5], c->d_k = b->t[6], c->d_v = b->t[7];
    c->aux = bench_tensor(aux, 9);
    c->work = bench_tensor(work / sizeof(float), 10);
    snprintf(name, sizeof name, "attention %s", b->kernel->name);
    line(name, rounds, attention, b);
    snprintf(name, sizeof name, "attention %s backward", b->kernel->name);
    line(name, rounds, attention_backward, b);
    free(c->aux);
    free(c->work);
}

static void lines(struct bench *b, unsigned rounds) {
    float *mean = bench_tensor(b->n, 11), *rstd = bench_tensor(b->n, 12);
    for (unsigned i = 0; i < TENSORS; i++)
        b->t[i] = bench_tensor(b->n * 4 * WIDTH, i + 1);
    b->norm = (struct norm){.rows = b->n,
                            .n = WIDTH,
                            .heads = 1,
                            .epsilon = 1e-5f,
                            .pool = b->pool,
                            .x = numbers_float(b->t[0]),
                            .weight = numbers_float(b->t[1]),
                            .bias = numbers_float(b->t[2]),
                            .y = numbers_float(b->t[3]),
                            .mean = mean,
                            .rstd = rstd,
                            .d_y = numbers_float(b->t[4]),
                            .d_x = numbers_float(b->t[5]),
                            .d_weight = numbers_float(b->t[6]),
                            .d_bias = numbers_float(b->t[7])};
    line("gelu", rounds, gelu, b);
    line("gelu backward", rounds, gelu_backward, b);
    line("layer_norm", rounds, layer_norm, b);
    line("layer_norm backward", rounds, layer_norm_backward, b);
    line("add", rounds, add, b);
    line("add backward, one of two", rounds, accumulate, b);
    for (unsigned kernel = 0; kernel < attn_table_length; kernel++)
        lines_of_attention(b, kernel, rounds);
    for (unsigned i = 0; i < TENSORS; i++)
        free(b->t[i]);
    free(mean);
    free(rstd);
}

int main(int argc, char **argv) {
    const unsigned threads = argc > 1 ? (unsigned)atoi(argv[1]) : 1, rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 15;
    struct problem why = {0};
    struct bench b = {.pool = threads && rounds ? pool_new(threads, &why) : NULL};
    if (!b.pool) {
        fprintf(stderr, "usage: bench_ops [threads] [rounds]\n");
        return 2;
    }
    printf("%u threads, least of %u rounds, on the clock and of processor time\n", threads, rounds);
    for (b.n = 512; b.n <= 1024; b.n *= 2)
        lines(&b, rounds);
    pool_free(b.pool);
    return 0;
}
