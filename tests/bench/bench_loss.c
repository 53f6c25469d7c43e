/* bench_loss.c - the head and the loss of GPT-2 small (1024 tokens of 768, 50257 words) beside a product of 768^3 by
 * OpenBLAS in the same rounds: medians, in GFLOP/s of what is counted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/rng.h"
#include "engine/graph/graph.h"
#include "tests/bench/bench.h"

enum { ROUNDS = 7, N = 768, TOKENS = 1024, VOCAB = 50257 };

static void *room(uint64_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!p)
        exit(1);
    return memset(p, 0, (bytes + 127) / 64 * 64);
}

struct bench {
    struct arena arena;
    struct graph g;
    const struct op *op;
    void *in[3], *d_in[3], *out[3], *d_out[1], *work[2];
};

static void bench_init(struct bench *b, uint64_t chunk, enum dtype dtype, unsigned threads) {
    static const uint64_t shapes[3][2] = {{TOKENS, N}, {VOCAB, N}, {TOKENS}};
    struct problem why = {0};
    uint32_t inputs[3];
    arena_init(&b->arena, 0);
    bool ok = graph_init(&b->g, &b->arena, threads, true, &why);
    for (unsigned i = 0; ok && i < 3; i++)
        inputs[i] =
            graph_tensor(&b->g, TENSOR_INPUT, "x", i < 2 ? dtype : DTYPE_INT32, i < 2 ? 2 : 1, shapes[i], i < 2, &why);
    const struct op spec = {.kind = OP_LINEAR_CROSS_ENTROPY,
                            .name = "loss",
                            .inputs = inputs,
                            .n_inputs = 3,
                            .layer = GRAPH_NONE,
                            .linear_cross_entropy = {chunk, 0}};
    const uint32_t op = ok ? graph_op(&b->g, &spec, &why) : GRAPH_NONE;
    if (op == GRAPH_NONE) {
        fprintf(stderr, "bench_loss: %s %s\n", why.where, why.detail);
        exit(1);
    }
    b->op = &b->g.ops[op];
    for (unsigned i = 0; i < 3; i++) {
        const struct tensor *t = &b->g.tensors[inputs[i]];
        b->in[i] = room(t->bytes);
        b->d_in[i] = i < 2 ? room(t->bytes) : NULL;
        if (i < 2 && dtype == DTYPE_FLOAT32)
            rng_fill_normal(b->in[i], t->elements, i, RNG_TENSOR, i ? 0.02f : 1);
    }
    for (uint32_t i = 0; i < b->op->n_outputs; i++)
        b->out[i] = room(b->g.tensors[b->op->outputs[i]].bytes);
    b->d_out[0] = room(sizeof(float));
    *(float *)b->d_out[0] = 1;
    b->work[0] = room(b->op->forward_work_bytes);
    b->work[1] = room(b->op->backward_work_bytes);
}

static double run(struct bench *b, struct pool *pool, bool backward) {
    struct problem why = {0};
    const struct op_call c = {.graph = &b->g,
                              .op = b->op,
                              .pool = pool,
                              .inputs = (const void *const *)b->in,
                              .outputs = b->out,
                              .d_outputs = (const void *const *)b->d_out,
                              .d_inputs = b->d_in,
                              .work = b->work[backward]};
    const double from = bench_now();
    if (!(backward ? op_backward(&c, &why) : op_forward(&c, &why)))
        exit(1);
    return (double)(backward ? b->op->backward_flops : b->op->forward_flops) / (bench_now() - from);
}

static void bench_free(struct bench *b) {
    for (unsigned i = 0; i < 3; i++) {
        free(b->in[i]);
        free(b->d_in[i]);
    }
    for (uint32_t i = 0; i < b->op->n_outputs; i++)
        free(b->out[i]);
    for (unsigned i = 0; i < 2; i++)
        free(b->work[i]);
    free(b->d_out[0]);
    arena_free(&b->arena);
}

static void report(uint64_t chunk, enum dtype dtype, unsigned threads) {
    struct pool *pool = bench_pool(threads);
    const struct bench_work product = bench_product(pool);
    struct bench b;
    double ratio[2][ROUNDS], rate[2][ROUNDS];
    bench_init(&b, chunk, dtype, threads);
    for (int r = 0; r < ROUNDS; r++)
        for (unsigned half = 0; half < 2; half++) {
            double beside = product.amount / bench_seconds(&product, 3);
            rate[half][r] = run(&b, pool, half);
            ratio[half][r] = rate[half][r] / ((beside + product.amount / bench_seconds(&product, 3)) / 2);
        }
    for (unsigned half = 0; half < 2; half++) {
        printf("%-9s %-8s chunk %5llu  %u threads  %6.1f GFLOP/s  %.2f of sgemm 768^3  work %6.1f MiB\n",
               half ? "backward" : "forward", dtype_name(dtype), (unsigned long long)chunk, threads,
               bench_median(rate[half], ROUNDS) / 1e9, bench_median(ratio[half], ROUNDS),
               (double)(half ? b.op->backward_work_bytes : b.op->forward_work_bytes) / 1048576);
    }
    fflush(stdout);
    bench_free(&b);
    pool_free(pool);
}

int main(void) {
    for (unsigned threads = 1; threads <= 2; threads++) {
        report(0, DTYPE_FLOAT32, threads);
        report(512, DTYPE_FLOAT32, threads);
        report(0, DTYPE_BFLOAT16, threads);
    }
    return 0;
}
