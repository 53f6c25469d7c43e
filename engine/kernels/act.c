/* act.c - see act.h. Values and slopes come from struct rows, NUMBERS_BLOCK numbers at a time. */
#include "engine/kernels/act.h"

#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/rows.h"

struct blocks {
    const struct rows *rows;
    const struct rows_activation *of;
    struct numbers x, d_y, y; /* d_y: of a backward, which adds into y */
};

static void forward_body(void *arg, uint64_t from, uint64_t to) {
    const struct blocks *b = arg;
    float x_block[NUMBERS_BLOCK], y_block[NUMBERS_BLOCK];
    for (; from < to; from += NUMBERS_BLOCK) {
        const uint64_t n = units_min(NUMBERS_BLOCK, to - from);
        b->of->value(n, numbers_read(b->x, from, n, x_block), numbers_open(b->y, from, y_block));
        numbers_close(b->y, from, n, y_block);
    }
}

static void backward_body(void *arg, uint64_t from, uint64_t to) {
    const struct blocks *b = arg;
    float x_block[NUMBERS_BLOCK], d_y_block[NUMBERS_BLOCK], d_x_block[NUMBERS_BLOCK];
    float value[NUMBERS_BLOCK], slope[NUMBERS_BLOCK];
    for (; from < to; from += NUMBERS_BLOCK) {
        const uint64_t n = units_min(NUMBERS_BLOCK, to - from);
        b->of->slope(n, numbers_read(b->x, from, n, x_block), value, slope);
        float *d_x = numbers_open_sum(b->y, from, n, d_x_block);
        b->rows->product_add(n, numbers_read(b->d_y, from, n, d_y_block), slope, d_x);
        numbers_close(b->y, from, n, d_x_block);
    }
}

static void forward_run(struct pool *pool, uint64_t n, const struct rows_activation *of, struct numbers x,
                        struct numbers y) {
    eltwise_run(pool, n, forward_body, &(struct blocks){.of = of, .x = x, .y = y});
}

static void backward_run(struct pool *pool, uint64_t n, const struct rows_activation *of, struct numbers x,
                         struct numbers d_y, struct numbers d_x) {
    eltwise_run(pool, n, backward_body, &(struct blocks){rows_best(), of, x, d_y, d_x});
}

void act_gelu(struct pool *pool, uint64_t n, bool tanh_form, struct numbers x, struct numbers y) {
    forward_run(pool, n, tanh_form ? &rows_best()->gelu_tanh : &rows_best()->gelu, x, y);
}

void act_gelu_backward(struct pool *pool, uint64_t n, bool tanh_form, struct numbers x, struct numbers d_y,
                       struct numbers d_x) {
    backward_run(pool, n, tanh_form ? &rows_best()->gelu_tanh : &rows_best()->gelu, x, d_y, d_x);
}

void act_relu(struct pool *pool, uint64_t n, struct numbers x, struct numbers y) {
    forward_run(pool, n, &rows_best()->relu, x, y);
}

void act_relu_backward(struct pool *pool, uint64_t n, struct numbers y, struct numbers d_y, struct numbers d_x) {
    backward_run(pool, n, &rows_best()->relu, y, d_y, d_x);
}

void act_silu(struct pool *pool, uint64_t n, struct numbers x, struct numbers y) {
    forward_run(pool, n, &rows_best()->silu, x, y);
}

void act_silu_backward(struct pool *pool, uint64_t n, struct numbers x, struct numbers d_y, struct numbers d_x) {
    backward_run(pool, n, &rows_best()->silu, x, d_y, d_x);
}
