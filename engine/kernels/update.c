/* update.c - see update.h */
#include "engine/kernels/update.h"

#include <math.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/rows.h"

/* What every number of one call shares. */
struct shared {
    const struct update *u;
    const struct rows *rows;
    struct rows_update rule;
    void (*body)(const struct shared *s, uint64_t at, uint64_t n, const float *g, float *p);
};

static void sgd(const struct shared *s, uint64_t at, uint64_t n, const float *g, float *p) {
    (void)at;
    s->rows->sgd(n, &s->rule, g, p);
}

static void sgd_momentum(const struct shared *s, uint64_t at, uint64_t n, const float *g, float *p) {
    s->rows->sgd_momentum(n, &s->rule, g, p, s->u->state[0] + at);
}

static void adamw(const struct shared *s, uint64_t at, uint64_t n, const float *g, float *p) {
    s->rows->adamw(n, &s->rule, g, p, s->u->state[0] + at, s->u->state[1] + at);
}

static void lion(const struct shared *s, uint64_t at, uint64_t n, const float *g, float *p) {
    s->rows->lion(n, &s->rule, g, p, s->u->state[0] + at);
}

static void blocks(void *arg, uint64_t from, uint64_t to) {
    const struct shared *s = arg;
    const struct update *u = s->u;
    float g[NUMBERS_BLOCK];
    for (uint64_t n; from < to; from += n) {
        n = units_min(NUMBERS_BLOCK, to - from);
        float *p = u->parameter.narrow ? u->master + from : (float *)u->parameter.at + from;
        s->body(s, from, n, numbers_read(u->gradient, from, n, g), p);
        numbers_close(u->parameter, from, n, p);
    }
}

static void run(const struct update *u, float rate, float root,
                void (*body)(const struct shared *s, uint64_t at, uint64_t n, const float *g, float *p)) {
    const struct update_rule *r = &u->rule;
    struct shared s = {.u = u,
                       .rows = rows_best(),
                       .rule = {.factor = u->factor,
                                .rate = rate,
                                .root = root,
                                .keep = 1 - r->rate * r->decay,
                                .beta1 = r->beta1,
                                .beta2 = r->beta2,
                                .epsilon = r->epsilon,
                                .decay = r->decay,
                                .momentum = r->momentum},
                       .body = body};
    eltwise_run(u->pool, u->n, blocks, &s);
}

void update_sgd(const struct update *u) {
    run(u, u->rule.rate, 0, sgd);
}

void update_sgd_momentum(const struct update *u) {
    run(u, u->rule.rate, 0, sgd_momentum);
}

/* Adam's corrections go into the rate and the root. */
void update_adamw(const struct update *u) {
    const double t = (double)u->step;
    run(u, (float)(u->rule.rate / (1 - pow((double)u->rule.beta1, t))),
        (float)(1 / sqrt(1 - pow((double)u->rule.beta2, t))), adamw);
}

void update_lion(const struct update *u) {
    run(u, u->rule.rate, 0, lion);
}

/* ---- sums of squares ---- */

enum { RANGES = 64 };

struct squares {
    const struct rows *rows;
    struct numbers x;
    uint64_t n;
    double sum[RANGES];
};

static void squares_task(void *arg, uint64_t index, unsigned slot) {
    struct squares *s = arg;
    const uint64_t each = units_ceil_div(units_ceil_div(s->n, RANGES), NUMBERS_BLOCK) * NUMBERS_BLOCK;
    const uint64_t to = units_min(s->n, (index + 1) * each);
    double lanes[ROWS_SQUARES] = {0};
    float buffer[NUMBERS_BLOCK];
    (void)slot;
    for (uint64_t from = index * each, n; from < to; from += n) {
        n = units_min(NUMBERS_BLOCK, to - from);
        const float *x = numbers_read(s->x, from, n, buffer);
        s->rows->squares(n, x, lanes);
    }
    for (unsigned lane = 0; lane < ROWS_SQUARES; lane++)
        s->sum[index] += lanes[lane];
}

double update_squares(struct pool *pool, struct numbers x, uint64_t n) {
    struct squares s = {.rows = rows_best(), .x = x, .n = n};
    double sum = 0;
    pool_run(pool, RANGES, squares_task, &s);
    for (unsigned range = 0; range < RANGES; range++)
        sum += s.sum[range];
    return sum;
}
