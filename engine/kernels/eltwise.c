/* eltwise.c - see eltwise.h */
#include "engine/kernels/eltwise.h"

#include "engine/base/pool.h"
#include "engine/base/units.h"

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
        for (uint64_t i = 0; i < n; i++)
            y[i] = a[i] + b[i];
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
        for (uint64_t i = 0; i < n; i++)
            y[i] = o->factor * a[i];
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
        for (uint64_t i = 0; i < n; i++)
            y[i] += o->factor * a[i];
        numbers_close(o->y, from, n, y_block);
    }
}

void eltwise_add(struct pool *pool, uint64_t n, struct numbers a, struct numbers b, struct numbers y) {
    eltwise_run(pool, n, add_body, &(struct operands){1, a, b, y});
}

void eltwise_scale(struct pool *pool, uint64_t n, float factor, struct numbers x, struct numbers y) {
    eltwise_run(pool, n, scale_body, &(struct operands){.factor = factor, .a = x, .y = y});
}

void eltwise_accumulate(struct pool *pool, uint64_t n, float factor, struct numbers x, struct numbers y) {
    eltwise_run(pool, n, accumulate_body, &(struct operands){.factor = factor, .a = x, .y = y});
}

/* ---- sums of rows ---- */

void eltwise_strip_accumulate(const uint32_t *list, uint64_t rows, uint64_t width, uint64_t from, struct numbers x,
                              struct numbers y, uint64_t y_from) {
    const uint64_t n = units_min(ELTWISE_STRIP, width - from);
    double sum[ELTWISE_STRIP] = {0};
    float buffer[ELTWISE_STRIP];
    for (uint64_t r = 0; r < rows; r++) {
        const float *row = numbers_read(x, (list ? list[r] : r) * width + from, n, buffer);
        for (uint64_t c = 0; c < n; c++)
            sum[c] += (double)row[c];
    }
    float *to = numbers_open_sum(y, y_from + from, n, buffer);
    for (uint64_t c = 0; c < n; c++)
        to[c] += (float)sum[c];
    numbers_close(y, y_from + from, n, to);
}

struct rows {
    uint64_t n, width;
    struct numbers x, y;
};

static void strip_task(void *arg, uint64_t index, unsigned slot) {
    const struct rows *r = arg;
    (void)slot;
    eltwise_strip_accumulate(NULL, r->n, r->width, index * ELTWISE_STRIP, r->x, r->y, 0);
}

void eltwise_rows_accumulate(struct pool *pool, uint64_t rows, uint64_t width, struct numbers x, struct numbers y) {
    struct rows r = {rows, width, x, y};
    pool_run(pool, units_ceil_div(width, ELTWISE_STRIP), strip_task, &r);
}
