/* experts_linear.c - the linear layers of experts.h.
 *
 * Rows are listed by expert, within one in token order. A task takes ROWS places of that list (several experts, where
 * they end in it) and COLUMNS of the result; the rows of each expert are gathered into a tile, DEPTH of the inner
 * dimension at a time, multiplied by that piece of the weight and scattered back. d_weight is one task a tile of the
 * weight, over all rows of its expert, ROWS at a time. Everything is cut by shapes and ids alone. */
#include <stddef.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/experts.h"
#include "engine/kernels/gemm.h"

enum { ROWS = 128, COLUMNS = NUMBERS_BLOCK, DEPTH = COLUMNS };

/* ---- workspace ---- */

/* start[experts + 1] and order[rows]: expert e has order[start[e]] up to order[start[e + 1]]; then tiles a thread:
 * rows by inner, rows by columns, and sums of a piece of d_weight where that is narrow. */
struct lists {
    const uint32_t *start, *order;
};

static uint64_t lists_bytes(const struct experts_linear *f) {
    return units_extent((f->experts + 1 + f->rows) * sizeof(uint32_t));
}

static uint64_t side(uint64_t n) {
    return units_min(COLUMNS, n);
}

static uint64_t rows_bytes(const struct experts_linear *f, uint64_t width) {
    return units_extent(units_min(ROWS, f->rows) * side(width) * sizeof(float));
}

static uint64_t slot_bytes(const struct experts_linear *f) {
    const uint64_t sums = f->weight.narrow ? units_extent(side(f->in) * side(f->out) * sizeof(float)) : 0;
    return rows_bytes(f, f->in) + rows_bytes(f, f->out) + sums;
}

/* Tasks of y or d_x, and of d_weight: where there are few, so are the threads that take tiles. */
static uint64_t product_tasks(const struct experts_linear *f, uint64_t width) {
    return units_ceil_div(f->rows, ROWS) * units_ceil_div(width, COLUMNS);
}

static uint64_t d_weight_tasks(const struct experts_linear *f) {
    return f->experts * units_ceil_div(f->out, COLUMNS) * units_ceil_div(f->in, COLUMNS);
}

uint64_t experts_linear_work_bytes(const struct experts_linear *f, bool backward, unsigned threads) {
    const uint64_t tasks = backward ? units_max(product_tasks(f, f->in), d_weight_tasks(f)) : product_tasks(f, f->out);
    return lists_bytes(f) + units_min(threads, tasks) * slot_bytes(f);
}

struct tiles {
    float *in, *out, *sums; /* in, out: rows by that much of x or d_x, y or d_y */
};

static struct tiles tiles_of(const struct experts_linear *f, unsigned slot) {
    char *at = (char *)f->work + lists_bytes(f) + slot * slot_bytes(f);
    char *out = at + rows_bytes(f, f->in);
    return (struct tiles){(float *)at, (float *)out, (float *)(out + rows_bytes(f, f->out))};
}

static bool lists_make(const struct experts_linear *f, struct lists *made, struct problem *why) {
    uint32_t *start = f->work, *order = start + f->experts + 1;
    memset(start, 0, (f->experts + 1) * sizeof *start);
    for (uint64_t r = 0; r < f->rows; r++) {
        if (f->ids[r] < 0 || (uint64_t)f->ids[r] >= f->experts)
            return problem_set(why, PROBLEM_LIMIT, "", "row %llu goes to expert %d of %llu", (unsigned long long)r,
                               f->ids[r], (unsigned long long)f->experts);
        start[f->ids[r] + 1]++;
    }
    for (uint64_t e = 0; e < f->experts; e++)
        start[e + 1] += start[e];
    for (uint64_t r = 0; r < f->rows; r++) /* start[e] runs on to where e ends, which is start[e + 1] */
        order[start[f->ids[r]]++] = (uint32_t)r;
    memmove(start + 1, start, f->experts * sizeof *start);
    start[0] = 0;
    *made = (struct lists){start, order};
    return true;
}

/* Columns [from, from + n) of the listed rows, `width` wide, side by side. */
static void gather(struct numbers x, uint64_t width, const uint32_t *rows, uint64_t n_rows, uint64_t from, uint64_t n,
                   float *to) {
    for (uint64_t i = 0; i < n_rows; i++, to += n) {
        const float *row = numbers_read(x, rows[i] * width + from, n, to);
        if (row != to)
            memcpy(to, row, n * sizeof *to);
    }
}

/* ---- y and d_x: rows times a weight ---- */

struct product {
    const struct experts_linear *f;
    struct lists lists;
    struct numbers a, c;   /* [rows][inner] times weight is [rows][width] */
    uint64_t inner, width; /* in and out, or the other way round */
    bool d_x;
};

static void bias_fill(struct numbers bias, uint64_t from, uint64_t rows, uint64_t n, float *to) {
    float buffer[NUMBERS_BLOCK];
    const float *row = numbers_read(bias, from, n, buffer);
    for (uint64_t r = 0; r < rows; r++)
        memcpy(to + r * n, row, n * sizeof *to);
}

static void scatter(const struct product *p, const uint32_t *rows, uint64_t n_rows, uint64_t from, uint64_t n,
                    const float *tile) {
    float buffer[NUMBERS_BLOCK];
    for (uint64_t i = 0; i < n_rows; i++, tile += n) {
        const uint64_t at = rows[i] * p->width + from;
        if (p->d_x) {
            float *to = numbers_open_sum(p->c, at, n, buffer);
            for (uint64_t c = 0; c < n; c++)
                to[c] += tile[c];
            numbers_close(p->c, at, n, buffer);
        } else if (p->c.narrow)
            numbers_round(tile, n, (uint16_t *)p->c.at + at);
        else
            memcpy((float *)p->c.at + at, tile, n * sizeof *tile);
    }
}

/* Rows of one expert, columns [from, from + n). */
static void segment(const struct product *p, struct tiles tiles, uint64_t expert, const uint32_t *rows, uint64_t m,
                    uint64_t from, uint64_t n) {
    const struct experts_linear *f = p->f;
    float *a = p->d_x ? tiles.out : tiles.in, *c = p->d_x ? tiles.in : tiles.out;
    const bool bias = !p->d_x && f->bias.at;
    if (bias)
        bias_fill(f->bias, expert * f->out + from, m, n, c);
    for (uint64_t k = 0; k < p->inner; k += DEPTH) {
        const uint64_t deep = units_min(DEPTH, p->inner - k);
        const uint64_t o = p->d_x ? k : from, i = p->d_x ? from : k; /* of the weight's outs and ins */
        gather(p->a, p->inner, rows, m, k, deep, a);
        gemm(m, n, deep, 1, (struct gemm_matrix){a, deep, false},
             gemm_part(f->weight, (expert * f->out + o) * f->in + i, f->in, !p->d_x), bias || k, c, n);
    }
    scatter(p, rows, m, from, n, c);
}

static void product_task(void *arg, uint64_t index, unsigned slot) {
    const struct product *p = arg;
    const struct experts_linear *f = p->f;
    const uint64_t across = units_ceil_div(p->width, COLUMNS);
    const uint64_t from = index % across * COLUMNS, n = units_min(COLUMNS, p->width - from);
    const uint32_t *row = p->lists.order + index / across * ROWS;
    const uint32_t *end = p->lists.order + units_min(f->rows, (index / across + 1) * ROWS), *next;
    for (; row < end; row = next) {
        const int32_t expert = f->ids[*row];
        for (next = row + 1; next < end && f->ids[*next] == expert; next++)
            ;
        segment(p, tiles_of(f, slot), (uint64_t)expert, row, (uint64_t)(next - row), from, n);
    }
}

static void product_run(const struct product *p) {
    pool_run(p->f->pool, product_tasks(p->f, p->width), product_task, (void *)p);
}

bool experts_linear_forward(const struct experts_linear *f, struct problem *why) {
    struct product p = {.f = f, .a = f->x, .c = f->y, .inner = f->in, .width = f->out};
    if (!lists_make(f, &p.lists, why))
        return false;
    product_run(&p);
    return true;
}

/* ---- d_weight, d_bias: sums over the rows of an expert ---- */

/* Where a tile of d_weight is summed: in place, or widened. */
static float *d_weight_open(const struct experts_linear *f, uint64_t at, uint64_t n_out, uint64_t n_in, float *tile) {
    if (!f->d_weight.narrow)
        return (float *)f->d_weight.at + at;
    for (uint64_t r = 0; r < n_out; r++)
        numbers_read(f->d_weight, at + r * f->in, n_in, tile + r * n_in);
    return tile;
}

static void d_weight_task(void *arg, uint64_t index, unsigned slot) {
    const struct product *p = arg;
    const struct experts_linear *f = p->f;
    const uint64_t down = units_ceil_div(f->out, COLUMNS), across = units_ceil_div(f->in, COLUMNS);
    const uint64_t expert = index / across / down, o = index / across % down * COLUMNS, i = index % across * COLUMNS;
    const uint64_t n_out = units_min(COLUMNS, f->out - o), n_in = units_min(COLUMNS, f->in - i);
    const uint64_t at = (expert * f->out + o) * f->in + i, end = p->lists.start[expert + 1];
    const struct tiles tiles = tiles_of(f, slot);
    if (p->lists.start[expert] == end)
        return;
    float *sum = d_weight_open(f, at, n_out, n_in, tiles.sums);
    for (uint64_t r = p->lists.start[expert]; r < end; r += ROWS) {
        const uint64_t m = units_min(ROWS, end - r);
        gather(f->d_y, f->out, p->lists.order + r, m, o, n_out, tiles.out);
        gather(f->x, f->in, p->lists.order + r, m, i, n_in, tiles.in);
        gemm(n_out, n_in, m, 1, (struct gemm_matrix){tiles.out, n_out, true},
             (struct gemm_matrix){tiles.in, n_in, false}, 1, sum, f->d_weight.narrow ? n_in : f->in);
    }
    for (uint64_t r = 0; r < n_out; r++)
        numbers_close(f->d_weight, at + r * f->in, n_in, sum + r * n_in);
}

static void d_bias_task(void *arg, uint64_t index, unsigned slot) {
    const struct product *p = arg;
    const struct experts_linear *f = p->f;
    const uint64_t across = units_ceil_div(f->out, ELTWISE_STRIP), expert = index / across;
    const uint32_t *start = p->lists.start + expert;
    (void)slot;
    eltwise_strip_accumulate(p->lists.order + start[0], start[1] - start[0], f->out, index % across * ELTWISE_STRIP,
                             f->d_y, f->d_bias, expert * f->out);
}

bool experts_linear_backward(const struct experts_linear *f, struct problem *why) {
    struct product p = {.f = f, .a = f->d_y, .c = f->d_x, .inner = f->out, .width = f->in, .d_x = true};
    if (!lists_make(f, &p.lists, why))
        return false;
    if (f->d_x.at)
        product_run(&p);
    if (f->d_weight.at)
        pool_run(f->pool, d_weight_tasks(f), d_weight_task, &p);
    if (f->d_bias.at)
        pool_run(f->pool, f->experts * units_ceil_div(f->out, ELTWISE_STRIP), d_bias_task, &p);
    return true;
}
