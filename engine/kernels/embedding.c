/* embedding.c - see embedding.h. A row's gradient has one writer: tasks are strips of columns over all tokens, or
 * blocks of positions over the whole batch. */
#include "engine/kernels/embedding.h"

#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/rows.h"

enum { TOKENS = 64, COLUMNS = 1024, POSITIONS = 8, DIGIT = 11, DIGITS = 1 << DIGIT };

static bool is_row(const struct embedding *e, int32_t id) {
    return id >= 0 && (uint64_t)id < e->rows;
}

static void rows_task(void *arg, uint64_t index, unsigned slot) {
    const struct embedding *e = arg;
    const uint64_t bytes = e->d * (e->table.narrow ? sizeof(uint16_t) : sizeof(float));
    (void)slot;
    for (uint64_t t = index * TOKENS; t < units_min(e->tokens, (index + 1) * TOKENS); t++) {
        unsigned char *to = (unsigned char *)e->y.at + t * bytes;
        if (is_row(e, e->ids[t]))
            memcpy(to, (const unsigned char *)e->table.at + (uint64_t)e->ids[t] * bytes, bytes);
        else
            memset(to, 0, bytes);
    }
}

void embedding_forward(const struct embedding *e) {
    pool_run(e->pool, units_ceil_div(e->tokens, TOKENS), rows_task, (void *)e);
}

uint64_t embedding_order_bytes(uint64_t tokens) {
    return units_extent(2 * tokens * sizeof(uint32_t));
}

/* One digit of the ids, from `from` to `to`, equal ones in the order they have. */
static void digit_sort(const struct embedding *e, unsigned shift, const uint32_t *from, uint32_t *to) {
    uint32_t next[DIGITS] = {0}, sum = 0;
    for (uint64_t t = 0; t < e->tokens; t++)
        next[(uint32_t)e->ids[t] >> shift & (DIGITS - 1)]++;
    for (unsigned digit = 0; digit < DIGITS; digit++) {
        const uint32_t count = next[digit];
        next[digit] = sum;
        sum += count;
    }
    for (uint64_t t = 0; t < e->tokens; t++)
        to[next[(uint32_t)e->ids[from[t]] >> shift & (DIGITS - 1)]++] = from[t];
}

/* The tokens by id, and in their own order where ids are equal. */
static const uint32_t *tokens_sort(const struct embedding *e) {
    uint32_t *from = e->order, *to = e->order + e->tokens;
    for (uint32_t t = 0; t < e->tokens; t++)
        from[t] = t;
    for (unsigned shift = 0; shift < 32 && (e->rows - 1) >> shift; shift += DIGIT) {
        digit_sort(e, shift, from, to);
        uint32_t *sorted = to;
        to = from;
        from = sorted;
    }
    return from;
}

struct strips {
    const struct embedding *e;
    const struct rows *best;
    uint64_t each;         /* columns of a strip */
    const uint32_t *order; /* NULL: as they come */
};

/* One strip of a row and the run of tokens from place i on that have its id; returns the place after it. */
static uint64_t run_sum(const struct strips *s, uint64_t i, uint64_t from, uint64_t n) {
    const struct embedding *e = s->e;
    const int32_t id = e->ids[s->order ? s->order[i] : i];
    float sums[COLUMNS], buffer[COLUMNS];
    if (!is_row(e, id))
        return i + 1;
    const uint64_t at = (uint64_t)id * e->d + from;
    float *sum = numbers_open_sum(e->d_table, at, n, sums);
    for (uint64_t t; i < e->tokens && (t = s->order ? s->order[i] : i, e->ids[t] == id); i++) {
        const float *d_y = numbers_read(e->d_y, t * e->d + from, n, buffer);
        s->best->add(n, sum, d_y, sum);
    }
    numbers_close(e->d_table, at, n, sum);
    return i;
}

static void strip_task(void *arg, uint64_t index, unsigned slot) {
    const struct strips *s = arg;
    const uint64_t from = index * s->each, n = units_min(s->each, s->e->d - from);
    (void)slot;
    for (uint64_t i = 0; i < s->e->tokens;)
        i = run_sum(s, i, from, n);
}

void embedding_backward(const struct embedding *e) {
    struct strips s = {e, rows_best(), eltwise_strip(e->pool, e->d, COLUMNS), e->order ? tokens_sort(e) : NULL};
    pool_run(e->pool, units_ceil_div(e->d, s.each), strip_task, &s);
}

static void positions_task(void *arg, uint64_t index, unsigned slot) {
    const struct positions *p = arg;
    const uint64_t block = index % units_ceil_div(p->rows, POSITIONS), b = index / units_ceil_div(p->rows, POSITIONS);
    const uint64_t first = block * POSITIONS, end = units_min(p->rows, first + POSITIONS);
    float buffers[3][NUMBERS_BLOCK];
    (void)slot;
    uint64_t at = (b * p->rows + first) * p->d, row = (p->first + first) * p->d;
    for (uint64_t left = (end - first) * p->d, n; left > 0; left -= n, at += n, row += n) {
        n = units_min(left, NUMBERS_BLOCK);
        const float *x = numbers_read(p->x, at, n, buffers[0]), *table = numbers_read(p->table, row, n, buffers[1]);
        float *y = numbers_open(p->y, at, buffers[2]);
        rows_best()->add(n, x, table, y);
        numbers_close(p->y, at, n, y);
    }
}

void embedding_positions(const struct positions *p) {
    pool_run(p->pool, p->batch * units_ceil_div(p->rows, POSITIONS), positions_task, (void *)p);
}

static void add(struct numbers to, uint64_t at, uint64_t n, const float *d_y) {
    float buffer[NUMBERS_BLOCK];
    float *sum = numbers_open_sum(to, at, n, buffer);
    rows_best()->add(n, sum, d_y, sum);
    numbers_close(to, at, n, sum);
}

/* n numbers of the rows from a position on, over the batch. */
static void batch_sum(const struct positions *p, uint64_t within, uint64_t n) {
    const uint64_t row = p->first * p->d + within;
    float sums[NUMBERS_BLOCK], buffer[NUMBERS_BLOCK];
    float *sum = p->d_table.at ? numbers_open_sum(p->d_table, row, n, sums) : NULL;
    for (uint64_t b = 0; b < p->batch; b++) {
        const uint64_t at = b * p->rows * p->d + within;
        const float *d_y = numbers_read(p->d_y, at, n, buffer);
        if (sum)
            rows_best()->add(n, sum, d_y, sum);
        if (p->d_x.at)
            add(p->d_x, at, n, d_y);
    }
    if (sum)
        numbers_close(p->d_table, row, n, sum);
}

static void positions_backward_task(void *arg, uint64_t index, unsigned slot) {
    const struct positions *p = arg;
    const uint64_t end = units_min(p->rows, (index + 1) * POSITIONS) * p->d;
    (void)slot;
    for (uint64_t at = index * POSITIONS * p->d; at < end; at += NUMBERS_BLOCK)
        batch_sum(p, at, units_min(NUMBERS_BLOCK, end - at));
}

void embedding_positions_backward(const struct positions *p) {
    pool_run(p->pool, units_ceil_div(p->rows, POSITIONS), positions_backward_task, (void *)p);
}
