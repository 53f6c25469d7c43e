/* case_rows.c - norms, rotary positions and cross entropy: kernels that memory bounds; see cases.h
 *
 * Tensors are larger than most caches. Cross entropy exists only together with the head that makes its logits: with
 * hidden states of one number the products are next to nothing, and count against us. Forward, logits are written and
 * read; backward they are read and their gradients written: two passes each. */
#include <math.h>
#include <stdlib.h>

#include "engine/base/units.h"
#include "engine/kernels/loss.h"
#include "engine/kernels/norm.h"
#include "engine/kernels/rotary.h"
#include "tests/bench/cases.h"

enum { BIG = 5, HEAD = 128 };

struct rows_case {
    const struct case_rows *what;
    float *big[BIG];  /* [rows][width]: x y d_y d_x, one to spare */
    float *row[4];    /* [width]: weight bias d_weight d_bias */
    float *column[4]; /* [rows]: mean rstd, x and d_x of the loss */
    int32_t *targets; /* [rows] */
    float loss[1], *work;
    struct side {
        struct rows_case *c;
        struct pool *pool;
    } side[CASE_THREADS];
};

static struct norm norm_of(const struct side *s, bool with_mean) {
    const struct rows_case *c = s->c;
    return (struct norm){.rows = c->what->rows,
                         .n = c->what->width,
                         .heads = 1,
                         .epsilon = 1e-5f,
                         .pool = s->pool,
                         .x = numbers_float(c->big[0]),
                         .weight = numbers_float(c->row[0]),
                         .bias = numbers_float(with_mean ? c->row[1] : NULL),
                         .y = numbers_float(c->big[1]),
                         .mean = with_mean ? c->column[0] : NULL,
                         .rstd = c->column[1],
                         .d_y = numbers_float(c->big[2]),
                         .d_x = numbers_float(c->big[3]),
                         .d_weight = numbers_float(c->row[2]),
                         .d_bias = numbers_float(with_mean ? c->row[3] : NULL)};
}

static void layer_norm(void *side) {
    const struct norm n = norm_of(side, true);
    norm_forward(&n);
}

static void layer_norm_backward(void *side) {
    const struct norm n = norm_of(side, true);
    norm_backward(&n);
}

static void rms_norm(void *side) {
    const struct norm n = norm_of(side, false);
    norm_forward(&n);
}

static void rms_norm_backward(void *side) {
    const struct norm n = norm_of(side, false);
    norm_backward(&n);
}

static struct rotary rotary_of(const struct side *s) {
    const struct rows_case *c = s->c;
    return (struct rotary){.batch = 1,
                           .rows = c->what->rows,
                           .heads = c->what->width / HEAD,
                           .width = HEAD,
                           .dim = HEAD,
                           .frequencies = c->row[0],
                           .factor = 1,
                           .pool = s->pool,
                           .x = numbers_float(c->big[0]),
                           .y = numbers_float(c->big[1])};
}

static void rotary(void *side) {
    const struct rotary r = rotary_of(side);
    rotary_forward(&r);
}

static void rotary_gradient(void *side) {
    const struct rotary r = rotary_of(side);
    rotary_backward(&r);
}

static struct loss loss_of(const struct side *s) {
    struct rows_case *c = s->c;
    return (struct loss){.tokens = c->what->rows,
                         .in = 1,
                         .vocab = c->what->width,
                         .scale = 1,
                         .pool = s->pool,
                         .x = numbers_float(c->column[2]),
                         .weight = numbers_float(c->row[0]),
                         .targets = c->targets,
                         .logits = numbers_float(c->big[0]),
                         .log_sum_exp = c->column[1],
                         .loss = c->loss,
                         .d_loss = 1,
                         .d_x = numbers_float(c->column[3]),
                         .d_weight = numbers_float(c->row[2]),
                         .work = c->work};
}

static void cross_entropy(void *side) {
    const struct loss l = loss_of(side);
    loss_forward(&l);
}

static void cross_entropy_backward(void *side) {
    const struct loss l = loss_of(side);
    loss_backward(&l);
}

const struct case_rows case_rows_table[] = {
    {"layer_norm", 2, 8192, 4096, layer_norm},
    {"layer_norm backward", 4, 8192, 4096, layer_norm_backward},
    {"rms_norm", 2, 8192, 4096, rms_norm},
    {"rms_norm backward", 4, 8192, 4096, rms_norm_backward},
    {"rotary", 2, 8192, 4096, rotary},
    {"rotary backward", 3, 8192, 4096, rotary_gradient},
    {"cross_entropy", 2, 1024, 50257, cross_entropy},
    {"cross_entropy backward", 2, 1024, 50257, cross_entropy_backward},
};
const unsigned case_rows_length = sizeof case_rows_table / sizeof case_rows_table[0];

static void loss_prepare(struct rows_case *c) {
    const struct loss l = loss_of(&c->side[CASE_THREADS - 1]);
    const uint64_t work = units_max(loss_forward_work(&l, CASE_THREADS), loss_backward_work(&l, CASE_THREADS));
    c->work = bench_tensor(work / sizeof(float) + 1, 1);
    for (uint64_t i = 0; i < l.tokens; i++)
        c->targets[i] = (int32_t)(i * 7919 % l.vocab);
    cross_entropy(&c->side[CASE_THREADS - 1]); /* what the backward reads */
}

struct rows_case *rows_case_new(const struct case_rows *what, const struct case_pools *pools) {
    struct rows_case *c = calloc(1, sizeof *c);
    if (!c)
        exit(1);
    c->what = what;
    for (unsigned i = 0; i < BIG; i++)
        c->big[i] = bench_tensor(what->rows * what->width, i + 1);
    for (unsigned i = 0; i < 4; i++) {
        c->row[i] = bench_tensor(what->width, i + 1);
        c->column[i] = bench_tensor(what->rows, i + 1);
    }
    c->targets = (int32_t *)bench_tensor(what->rows, 1);
    for (unsigned t = 0; t < CASE_THREADS; t++)
        c->side[t] = (struct side){c, pools->pool[t]};
    if (what->run == cross_entropy || what->run == cross_entropy_backward)
        loss_prepare(c);
    return c;
}

void rows_case_free(struct rows_case *c) {
    for (unsigned i = 0; i < BIG; i++)
        free(c->big[i]);
    for (unsigned i = 0; i < 4; i++) {
        free(c->row[i]);
        free(c->column[i]);
    }
    free(c->targets);
    free(c->work);
    free(c);
}

struct bench_work rows_case_work(struct rows_case *c, unsigned column) {
    const double bytes = c->what->passes * (double)(c->what->rows * c->what->width) * sizeof(float);
    return (struct bench_work){bytes, c->what->run, &c->side[column]};
}
