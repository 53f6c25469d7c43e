/* tokens.c - see tokens.h */
#include "engine/kernels/tokens.h"

#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/tile.h"

enum { ROWS = 32, COLUMNS = 64, GATES = 8, LANES = 8 };

struct move {
    const struct tokens_rows *r;
    const struct tokens_place *from, *to;
    bool add;
};

static uint64_t place(const struct tokens_place *p, uint64_t b, uint64_t i) {
    return p->first + b * p->outer + i * p->inner;
}

static void move_row(const struct move *m, uint64_t from, uint64_t to) {
    float buffers[2][NUMBERS_BLOCK];
    for (uint64_t c = 0; c < m->r->n; c += NUMBERS_BLOCK) {
        const uint64_t n = units_min(NUMBERS_BLOCK, m->r->n - c);
        const float *x = numbers_read(m->from->at, from + c, n, buffers[0]);
        float *y =
            m->add ? numbers_open_sum(m->to->at, to + c, n, buffers[1]) : numbers_open(m->to->at, to + c, buffers[1]);
        if (m->add)
            for (uint64_t i = 0; i < n; i++)
                y[i] += x[i];
        else
            memcpy(y, x, n * sizeof *y);
        numbers_close(m->to->at, to + c, n, y);
    }
}

static void rows_task(void *arg, uint64_t index, unsigned slot) {
    const struct move *m = arg;
    const uint64_t rows = m->r->rows, end = units_min(m->r->batch * rows, (index + 1) * ROWS);
    (void)slot;
    for (uint64_t r = index * ROWS; r < end; r++)
        move_row(m, place(m->from, r / rows, r % rows), place(m->to, r / rows, r % rows));
}

static void move_all(const struct move *m) {
    pool_run(m->r->pool, units_ceil_div(m->r->batch * m->r->rows, ROWS), rows_task, (void *)m);
}

void tokens_copy(const struct tokens_rows *r, const struct tokens_place *from, const struct tokens_place *to) {
    move_all(&(struct move){r, from, to, false});
}

void tokens_add(const struct tokens_rows *r, const struct tokens_place *from, const struct tokens_place *to) {
    if (from->at.at && to->at.at)
        move_all(&(struct move){r, from, to, true});
}

/* A strip of columns of one sum. */
static void sum_task(void *arg, uint64_t index, unsigned slot) {
    const struct move *m = arg;
    const uint64_t strips = units_ceil_div(m->r->n, COLUMNS), b = index / strips, c = index % strips * COLUMNS;
    const uint64_t n = units_min(COLUMNS, m->r->n - c), to = place(m->to, b, 0) + c;
    float sums[COLUMNS], buffer[COLUMNS];
    (void)slot;
    float *sum = numbers_open_sum(m->to->at, to, n, sums);
    for (uint64_t r = 0; r < m->r->rows; r++) {
        const float *x = numbers_read(m->from->at, place(m->from, b, r) + c, n, buffer);
        for (uint64_t i = 0; i < n; i++)
            sum[i] += x[i];
    }
    numbers_close(m->to->at, to, n, sum);
}

void tokens_sum(const struct tokens_rows *r, const struct tokens_place *from, const struct tokens_place *to) {
    if (from->at.at && to->at.at)
        pool_run(r->pool, r->batch * units_ceil_div(r->n, COLUMNS), sum_task, &(struct move){r, from, to, true});
}

/* A task's gates and their sigmoids. */
struct gates {
    uint64_t from, n;
    float share[GATES], rest[GATES];
};

static void gates_of(const struct tokens_gated *g, uint64_t index, struct gates *a) {
    float buffer[GATES];
    a->from = index * GATES;
    a->n = units_min(GATES, g->rows - a->from);
    tile_best()->sigmoid(a->n, numbers_read(g->gate, a->from, a->n, buffer), a->share, a->rest);
}

static void gate_task(void *arg, uint64_t index, unsigned slot) {
    const struct tokens_gated *g = arg;
    struct gates a;
    float buffers[2][NUMBERS_BLOCK];
    (void)slot;
    gates_of(g, index, &a);
    for (uint64_t r = 0; r < a.n; r++)
        for (uint64_t c = 0; c < g->n; c += NUMBERS_BLOCK) {
            const uint64_t at = (a.from + r) * g->n + c, n = units_min(NUMBERS_BLOCK, g->n - c);
            const float *x = numbers_read(g->x, at, n, buffers[0]);
            float *y = numbers_open(g->y, at, buffers[1]);
            for (uint64_t i = 0; i < n; i++)
                y[i] = a.share[r] * x[i];
            numbers_close(g->y, at, n, y);
        }
}

void tokens_gate(const struct tokens_gated *g) {
    pool_run(g->pool, units_ceil_div(g->rows, GATES), gate_task, (void *)g);
}

static void d_x_row(const struct tokens_gated *g, uint64_t row, float share) {
    float buffers[2][NUMBERS_BLOCK];
    for (uint64_t c = 0; c < g->n; c += NUMBERS_BLOCK) {
        const uint64_t at = row * g->n + c, n = units_min(NUMBERS_BLOCK, g->n - c);
        const float *d_y = numbers_read(g->d_y, at, n, buffers[0]);
        float *d_x = numbers_open_sum(g->d_x, at, n, buffers[1]);
        for (uint64_t i = 0; i < n; i++)
            d_x[i] += share * d_y[i];
        numbers_close(g->d_x, at, n, d_x);
    }
}

/* The sum of d_y x over a row, in lanes that are added in order. */
static float row_dot(const struct tokens_gated *g, uint64_t row) {
    float buffers[2][NUMBERS_BLOCK], lanes[LANES] = {0}, sum = 0;
    for (uint64_t c = 0; c < g->n; c += NUMBERS_BLOCK) {
        const uint64_t at = row * g->n + c, n = units_min(NUMBERS_BLOCK, g->n - c);
        const float *d_y = numbers_read(g->d_y, at, n, buffers[0]), *x = numbers_read(g->x, at, n, buffers[1]);
        uint64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            for (unsigned lane = 0; lane < LANES; lane++)
                lanes[lane] += d_y[i + lane] * x[i + lane];
        for (; i < n; i++)
            lanes[i % LANES] += d_y[i] * x[i];
    }
    for (unsigned lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

static void gate_backward_task(void *arg, uint64_t index, unsigned slot) {
    const struct tokens_gated *g = arg;
    struct gates a;
    float buffer[GATES];
    (void)slot;
    gates_of(g, index, &a);
    for (uint64_t r = 0; g->d_x.at && r < a.n; r++)
        d_x_row(g, a.from + r, a.share[r]);
    if (!g->d_gate.at)
        return;
    float *d_gate = numbers_open_sum(g->d_gate, a.from, a.n, buffer);
    for (uint64_t r = 0; r < a.n; r++)
        d_gate[r] += a.share[r] * a.rest[r] * row_dot(g, a.from + r);
    numbers_close(g->d_gate, a.from, a.n, d_gate);
}

void tokens_gate_backward(const struct tokens_gated *g) {
    pool_run(g->pool, units_ceil_div(g->rows, GATES), gate_backward_task, (void *)g);
}
