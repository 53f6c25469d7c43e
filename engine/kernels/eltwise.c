/* eltwise.c - see eltwise.h */
#include "engine/kernels/eltwise.h"

#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/rows.h"

enum { PIECE = 32 * NUMBERS_BLOCK };

struct cut {
    uint64_t n;
    void (*body)(void *, uint64_t, uint64_t);
    void *arg;
};

static void piece(void *arg, uint64_t index, unsigned slot) {
    const struct cut *c = arg;
    (void)slot;
    c->body(c->arg, index * PIECE, units_min(c->n, (index + 1) * PIECE));
}

void eltwise_run(struct pool *pool, uint64_t n, void (*body)(void *arg, uint64_t from, uint64_t to), void *arg) {
    struct cut c = {n, body, arg};
    pool_run(pool, units_ceil_div(n, PIECE), piece, &c);
}

struct operands {
    const struct rows *rows;
    float factor;
    struct numbers a, b, y;
};

static void add_body(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    float a_block[NUMBERS_BLOCK], b_block[NUMBERS_BLOCK], y_block[NUMBERS_BLOCK];
    for (; from < to; from += NUMBERS_BLOCK) {
        const uint64_t n = units_min(NUMBERS_BLOCK, to - from);
        const float *a = numbers_read(o->a, from, n, a_block), *b = numbers_read(o->b, from, n, b_block);
        float *y = numbers_open(o->y, from, y_block);
        o->rows->add(n, a, b, y);
        numbers_close(o->y, from, n, y_block);
    }
}

static void scale_body(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    float a_block[NUMBERS_BLOCK], y_block[NUMBERS_BLOCK];
    for (; from < to; from += NUMBERS_BLOCK) {
        const uint64_t n = units_min(NUMBERS_BLOCK, to - from);
        const float *a = numbers_read(o->a, from, n, a_block);
        float *y = numbers_open(o->y, from, y_block);
        o->rows->scale(n, o->factor, a, y);
        numbers_close(o->y, from, n, y_block);
    }
}

static void accumulate_body(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    float a_block[NUMBERS_BLOCK], y_block[NUMBERS_BLOCK];
    for (; from < to; from += NUMBERS_BLOCK) {
        const uint64_t n = units_min(NUMBERS_BLOCK, to - from);
        const float *a = numbers_read(o->a, from, n, a_block);
        float *y = numbers_open_sum(o->y, from, n, y_block);
        o->rows->accumulate(n, o->factor, a, y);
        numbers_close(o->y, from, n, y_block);
    }
}

void eltwise_add(struct pool *pool, uint64_t n, struct numbers a, struct numbers b, struct numbers y) {
    eltwise_run(pool, n, add_body, &(struct operands){rows_best(), 1, a, b, y});
}

void eltwise_scale(struct pool *pool, uint64_t n, float factor, struct numbers x, struct numbers y) {
    eltwise_run(pool, n, scale_body, &(struct operands){.rows = rows_best(), .factor = factor, .a = x, .y = y});
}

void eltwise_accumulate(struct pool *pool, uint64_t n, float factor, struct numbers x, struct numbers y) {
    eltwise_run(pool, n, accumulate_body, &(struct operands){.rows = rows_best(), .factor = factor, .a = x, .y = y});
}

/* ---- sums of rows ---- */

enum { STRIP_MOST = 1024 };

/* y[y_from ..] += columns [from, from + n) of the rows, n at most STRIP_MOST. */
static void strip_sum(const uint32_t *list, uint64_t rows, uint64_t width, uint64_t from, uint64_t n, struct numbers x,
                      struct numbers y, uint64_t y_from) {
    const struct rows *best = rows_best();
    double sum[STRIP_MOST];
    float buffer[STRIP_MOST];
    memset(sum, 0, n * sizeof *sum);
    for (uint64_t r = 0; r < rows; r++)
        best->sums(n, numbers_read(x, (list ? list[r] : r) * width + from, n, buffer), sum);
    float *to = numbers_open_sum(y, y_from, n, buffer);
    for (uint64_t c = 0; c < n; c++)
        to[c] += (float)sum[c];
    numbers_close(y, y_from, n, to);
}

void eltwise_strip_accumulate(const uint32_t *list, uint64_t rows, uint64_t width, uint64_t from, struct numbers x,
                              struct numbers y, uint64_t y_from) {
    strip_sum(list, rows, width, from, units_min(ELTWISE_STRIP, width - from), x, y, y_from + from);
}

struct strips {
    uint64_t rows, width, each;
    struct numbers x, y;
};

static void strip_task(void *arg, uint64_t index, unsigned slot) {
    const struct strips *s = arg;
    const uint64_t from = index * s->each;
    (void)slot;
    strip_sum(NULL, s->rows, s->width, from, units_min(s->each, s->width - from), s->x, s->y, from);
}

uint64_t eltwise_strip(struct pool *pool, uint64_t width, uint64_t most) {
    const uint64_t share = units_ceil_div(units_ceil_div(width, pool_threads(pool)), 16) * 16;
    return units_min(units_max(share, ELTWISE_STRIP), most);
}

void eltwise_rows_accumulate(struct pool *pool, uint64_t rows, uint64_t width, struct numbers x, struct numbers y) {
    struct strips s = {rows, width, eltwise_strip(pool, width, STRIP_MOST), x, y};
    pool_run(pool, units_ceil_div(width, s.each), strip_task, &s);
}
