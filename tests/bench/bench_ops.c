/* bench_ops.c - milliseconds a call of the ops of a training step that are not linear layers.
 *
 *   bench_ops [threads] [rounds] [rows|attention]
 *
 * Least time of the rounds, on the clock and of processor time of all threads. ops_torch.py prints the same lines.
 *
 * Ops on rows and on single numbers are bound by memory. Their last column is bytes they must move over time, over the
 * same of a memcpy that moves as many (half of them read) in the same rounds, on as many threads, both by processor
 * time: machines are shared. Tensors are larger than most caches; what a call reads twice from memory counts once.
 * Float32 lines first, then bfloat16. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/pool.h"
#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/act.h"
#include "engine/kernels/attn.h"
#include "engine/kernels/attn_ref.h"
#include "engine/kernels/dropout.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/embedding.h"
#include "engine/kernels/gated.h"
#include "engine/kernels/norm.h"
#include "engine/kernels/rotary.h"
#include "engine/kernels/update.h"

enum { WIDTH = 768, HEADS = 12, HEAD = 64, TENSORS = 8, ROWS = 8192, SIZE = ROWS * WIDTH };

struct bench {
    struct pool *pool;
    uint64_t n; /* tokens */
    bool narrow;
    float *t[TENSORS], *column[2];
    int32_t *ids;
    uint32_t *order;
    struct attn_call attention;
    const struct attn_kernel *kernel;
};

static double seconds(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *tensor(uint64_t n, uint64_t seed) {
    float *x = aligned_alloc(64, units_extent(n * sizeof *x));
    if (!x)
        exit(1);
    rng_fill_normal(x, n, seed, RNG_TENSOR, 1);
    return x;
}

/* ---- ops on rows and single numbers ---- */

static struct numbers of(const struct bench *b, unsigned tensor) {
    return (struct numbers){b->t[tensor], b->narrow};
}

static void gelu(const struct bench *b) {
    act_gelu(b->pool, SIZE, true, of(b, 0), of(b, 1));
}

static void gelu_backward(const struct bench *b) {
    act_gelu_backward(b->pool, SIZE, true, of(b, 0), of(b, 1), of(b, 2));
}

static void gelu_erf(const struct bench *b) {
    act_gelu(b->pool, SIZE, false, of(b, 0), of(b, 1));
}

static void gelu_erf_backward(const struct bench *b) {
    act_gelu_backward(b->pool, SIZE, false, of(b, 0), of(b, 1), of(b, 2));
}

static struct gated swiglu_of(const struct bench *b) {
    return (struct gated){.n = SIZE,
                          .by = GATED_SILU,
                          .pool = b->pool,
                          .gate = of(b, 0),
                          .up = of(b, 1),
                          .y = of(b, 2),
                          .d_y = of(b, 3),
                          .d_gate = of(b, 4),
                          .d_up = of(b, 5)};
}

static void swiglu(const struct bench *b) {
    const struct gated g = swiglu_of(b);
    gated_forward(&g);
}

static void swiglu_backward(const struct bench *b) {
    const struct gated g = swiglu_of(b);
    gated_backward(&g);
}

static struct norm norm_of(const struct bench *b, bool centred) {
    const struct numbers none = {NULL, false};
    return (struct norm){.rows = ROWS,
                         .n = WIDTH,
                         .heads = 1,
                         .epsilon = 1e-5f,
                         .pool = b->pool,
                         .x = of(b, 0),
                         .weight = of(b, 1),
                         .bias = centred ? of(b, 2) : none,
                         .y = of(b, 3),
                         .mean = centred ? b->column[0] : NULL,
                         .rstd = b->column[1],
                         .d_y = of(b, 4),
                         .d_x = of(b, 5),
                         .d_weight = of(b, 6),
                         .d_bias = centred ? of(b, 7) : none};
}

static void layer_norm(const struct bench *b) {
    const struct norm n = norm_of(b, true);
    norm_forward(&n);
}

static void layer_norm_backward(const struct bench *b) {
    const struct norm n = norm_of(b, true);
    norm_backward(&n);
}

static void rms_norm(const struct bench *b) {
    const struct norm n = norm_of(b, false);
    norm_forward(&n);
}

static void rms_norm_backward(const struct bench *b) {
    const struct norm n = norm_of(b, false);
    norm_backward(&n);
}

static struct rotary rotary_of(const struct bench *b) {
    return (struct rotary){.batch = 1,
                           .rows = ROWS,
                           .heads = HEADS,
                           .width = HEAD,
                           .dim = HEAD,
                           .frequencies = b->column[1],
                           .factor = 1,
                           .pool = b->pool,
                           .x = of(b, 0),
                           .y = of(b, 1)};
}

static void rotary(const struct bench *b) {
    const struct rotary r = rotary_of(b);
    rotary_forward(&r);
}

static void rotary_gradient(const struct bench *b) {
    const struct rotary r = rotary_of(b);
    rotary_backward(&r);
}

static void add(const struct bench *b) {
    eltwise_add(b->pool, SIZE, of(b, 0), of(b, 1), of(b, 2));
}

static void accumulate(const struct bench *b) {
    eltwise_accumulate(b->pool, SIZE, 1, of(b, 0), of(b, 1));
}

static void rows_sum(const struct bench *b) {
    eltwise_rows_accumulate(b->pool, ROWS, WIDTH, of(b, 0), of(b, 1));
}

static void dropout(const struct bench *b) {
    dropout_forward(b->pool, SIZE, 0.1, 1, of(b, 0), of(b, 1));
}

static void dropout_gradient(const struct bench *b) {
    dropout_backward(b->pool, SIZE, 0.1, 1, of(b, 0), of(b, 1));
}

static struct embedding embedding_of(const struct bench *b) {
    return (struct embedding){.tokens = ROWS,
                              .rows = ROWS,
                              .d = WIDTH,
                              .pool = b->pool,
                              .ids = b->ids,
                              .table = of(b, 0),
                              .y = of(b, 1),
                              .d_y = of(b, 1),
                              .d_table = of(b, 2),
                              .order = b->narrow ? b->order : NULL};
}

static void embedding(const struct bench *b) {
    const struct embedding e = embedding_of(b);
    embedding_forward(&e);
}

static void embedding_gradient(const struct bench *b) {
    const struct embedding e = embedding_of(b);
    embedding_backward(&e);
}

static struct update update_of(const struct bench *b) {
    return (struct update){.n = SIZE,
                           .pool = b->pool,
                           .parameter = of(b, 0),
                           .gradient = of(b, 1),
                           .master = b->narrow ? b->t[2] : NULL,
                           .state = {b->t[3], b->t[4]},
                           .rule = {1e-9f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.9f},
                           .factor = 1e-3f,
                           .step = 10};
}

static void adamw(const struct bench *b) {
    const struct update u = update_of(b);
    update_adamw(&u);
}

static void momentum(const struct bench *b) {
    const struct update u = update_of(b);
    update_sgd_momentum(&u);
}

static void lion(const struct bench *b) {
    const struct update u = update_of(b);
    update_lion(&u);
}

static void squares(const struct bench *b) {
    b->column[0][0] = (float)update_squares(b->pool, of(b, 0), SIZE);
}

/* What each moves, in bytes for each of the SIZE numbers. */
static const struct row_op {
    const char *name;
    void (*run)(const struct bench *b);
    unsigned wide, narrow;
} row_ops[] = {{"gelu", gelu, 8, 4},
               {"gelu backward", gelu_backward, 16, 8},
               {"gelu erf", gelu_erf, 8, 4},
               {"gelu erf backward", gelu_erf_backward, 16, 8},
               {"swiglu", swiglu, 12, 6},
               {"swiglu backward", swiglu_backward, 28, 14},
               {"layer_norm", layer_norm, 8, 4},
               {"layer_norm backward", layer_norm_backward, 16, 8},
               {"rms_norm", rms_norm, 8, 4},
               {"rms_norm backward", rms_norm_backward, 16, 8},
               {"rotary", rotary, 8, 4},
               {"rotary backward", rotary_gradient, 12, 6},
               {"add", add, 12, 6},
               {"add backward, one of two", accumulate, 12, 6},
               {"bias backward", rows_sum, 4, 2},
               {"dropout", dropout, 8, 4},
               {"dropout backward", dropout_gradient, 12, 6},
               {"embedding", embedding, 8, 4},
               {"embedding backward", embedding_gradient, 12, 6},
               {"adamw", adamw, 28, 28},
               {"sgd momentum", momentum, 20, 20},
               {"lion", lion, 20, 20},
               {"squares", squares, 4, 2}};

/* memcpy that moves so many bytes, in pieces. */
struct copy {
    char *to;
    const char *from;
    uint64_t bytes, each;
};

static void copy_task(void *arg, uint64_t index, unsigned slot) {
    const struct copy *c = arg;
    (void)slot;
    memcpy(c->to + index * c->each, c->from + index * c->each, units_min(c->each, c->bytes - index * c->each));
}

static double copied(const struct bench *b, uint64_t moved) {
    struct copy c = {.to = (char *)b->t[6], .from = (char *)b->t[0], .bytes = moved / 2};
    double spent = 0;
    for (uint64_t left = moved / 2; left > 0; left -= c.bytes) {
        c.bytes = units_min(left, SIZE * sizeof(float));
        c.each = units_ceil_div(c.bytes, pool_threads(b->pool));
        const double start = seconds(CLOCK_PROCESS_CPUTIME_ID);
        pool_run(b->pool, pool_threads(b->pool), copy_task, &c);
        spent += seconds(CLOCK_PROCESS_CPUTIME_ID) - start;
    }
    return spent;
}

static void row_line(const struct row_op *op, unsigned rounds, const struct bench *b) {
    const uint64_t moved = (uint64_t)SIZE * (b->narrow ? op->narrow : op->wide);
    double clock = 1e9, processor = 1e9, copy = 1e9;
    for (unsigned r = 0; r < rounds; r++) {
        const double copying = copied(b, moved);
        const double start = seconds(CLOCK_MONOTONIC), spent = seconds(CLOCK_PROCESS_CPUTIME_ID);
        op->run(b);
        const double c = seconds(CLOCK_MONOTONIC) - start, p = seconds(CLOCK_PROCESS_CPUTIME_ID) - spent;
        clock = c < clock ? c : clock;
        processor = p < processor ? p : processor;
        copy = copying < copy ? copying : copy;
    }
    printf("%-30s %5s %9.3f %9.3f ms %7.1f GB/s %6.2f of memcpy\n", op->name, b->narrow ? "b16" : "f32", 1e3 * clock,
           1e3 * processor, 1e-9 * (double)moved / clock, copy / processor);
    fflush(stdout);
}

/* Numbers that are normal and finite in either storage. */
static void fill(struct bench *b) {
    for (unsigned i = 0; i < TENSORS; i++)
        for (uint64_t e = 0; e < SIZE; e++)
            numbers_set((struct numbers){b->t[i], b->narrow && i != 2}, e, (float)(e * 7919 % 1021) / 511 - 0.998f);
    for (uint64_t e = 0; e < SIZE; e++) /* v of Adam, and the master copy */
        b->t[4][e] = 0.5f, b->t[2][e] = 0.5f;
    for (uint64_t i = 0; i < ROWS; i++)
        b->ids[i] = (int32_t)(i * 7919 % ROWS), b->column[0][i] = 0, b->column[1][i] = 1;
}

static void row_lines(struct bench *b, unsigned rounds) {
    for (unsigned i = 0; i < TENSORS; i++)
        b->t[i] = tensor(SIZE, i + 1);
    b->column[0] = tensor(ROWS, 1), b->column[1] = tensor(ROWS, 2);
    b->ids = (int32_t *)tensor(ROWS, 3), b->order = (uint32_t *)tensor(2 * ROWS, 4);
    for (int narrow = 0; narrow < 2; narrow++) {
        b->narrow = narrow;
        for (unsigned i = 0; i < sizeof row_ops / sizeof row_ops[0]; i++) {
            fill(b);
            row_line(&row_ops[i], rounds, b);
        }
    }
    void *all[] = {b->column[0], b->column[1], b->ids, b->order};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    for (unsigned i = 0; i < TENSORS; i++)
        free(b->t[i]);
}

/* ---- attention ---- */

static void attention(const struct bench *b) {
    b->kernel->forward(&b->attention);
}

static void attention_backward(const struct bench *b) {
    b->kernel->backward(&b->attention);
}

static void line(const char *name, unsigned rounds, void (*run)(const struct bench *), const struct bench *b) {
    double clock = 1e9, processor = 1e9;
    for (unsigned r = 0; r < rounds; r++) {
        const double start = seconds(CLOCK_MONOTONIC), spent = seconds(CLOCK_PROCESS_CPUTIME_ID);
        run(b);
        const double c = seconds(CLOCK_MONOTONIC) - start, p = seconds(CLOCK_PROCESS_CPUTIME_ID) - spent;
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
    c->aux = tensor(aux, 9);
    c->work = tensor(work / sizeof(float), 10);
    snprintf(name, sizeof name, "attention %s", b->kernel->name);
    line(name, rounds, attention, b);
    snprintf(name, sizeof name, "attention %s backward", b->kernel->name);
    line(name, rounds, attention_backward, b);
    free(c->aux);
    free(c->work);
}

static void attention_lines(struct bench *b, unsigned rounds) {
    for (unsigned i = 0; i < TENSORS; i++)
        b->t[i] = tensor(b->n * 4 * WIDTH, i + 1);
    for (unsigned kernel = 0; kernel < attn_table_length; kernel++)
        lines_of_attention(b, kernel, rounds);
    for (unsigned i = 0; i < TENSORS; i++)
        free(b->t[i]);
}

int main(int argc, char **argv) {
    const unsigned threads = argc > 1 ? (unsigned)atoi(argv[1]) : 1, rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 15;
    struct problem why = {0};
    struct bench b = {.pool = threads && rounds ? pool_new(threads, &why) : NULL};
    if (!b.pool) {
        fprintf(stderr, "usage: bench_ops [threads] [rounds] [rows|attention]\n");
        return 2;
    }
    printf("%u threads, least of %u rounds, on the clock and of processor time\n", threads, rounds);
    if (argc <= 3 || strcmp(argv[3], "rows") == 0)
        row_lines(&b, rounds);
    for (b.n = 512; b.n <= 1024 && (argc <= 3 || strcmp(argv[3], "attention") == 0); b.n *= 2)
        attention_lines(&b, rounds);
    pool_free(b.pool);
    return 0;
}
