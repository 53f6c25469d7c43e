/* update.c - see update.h */
#include "engine/kernels/update.h"

#include <math.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"

/* What every number of one call shares: of Adam's rule the corrections are in these two. */
struct shared {
    const struct update *u;
    float rate, root; /* adamw: rate / (1 - b1^t), 1 / sqrt(1 - b2^t) */
    void (*body)(const struct shared *s, uint64_t at, uint64_t n, const float *g, float *p);
};

static void sgd(const struct shared *s, uint64_t at, uint64_t n, const float *g, float *p) {
    const struct update_rule *r = &s->u->rule;
    (void)at;
    for (uint64_t i = 0; i < n; i++)
        p[i] -= r->rate * (s->u->factor * g[i] + r->decay * p[i]);
}

static void sgd_momentum(const struct shared *s, uint64_t at, uint64_t n, const float *g, float *p) {
    const struct update_rule *r = &s->u->rule;
    float *u = s->u->state[0] + at;
    for (uint64_t i = 0; i < n; i++) {
        u[i] = r->momentum * u[i] + (s->u->factor * g[i] + r->decay * p[i]);
        p[i] -= r->rate * u[i];
    }
}

static void adamw(const struct shared *s, uint64_t at, uint64_t n, const float *g, float *p) {
    const struct update_rule *r = &s->u->rule;
    const float keep = 1 - r->rate * r->decay;
    float *m = s->u->state[0] + at, *v = s->u->state[1] + at;
    for (uint64_t i = 0; i < n; i++) {
        const float gi = s->u->factor * g[i];
        m[i] = r->beta1 * m[i] + (1 - r->beta1) * gi;
        v[i] = r->beta2 * v[i] + (1 - r->beta2) * gi * gi;
        p[i] = keep * p[i] - s->rate * m[i] / (sqrtf(v[i]) * s->root + r->epsilon);
    }
}

static void lion(const struct shared *s, uint64_t at, uint64_t n, const float *g, float *p) {
    const struct update_rule *r = &s->u->rule;
    float *m = s->u->state[0] + at;
    for (uint64_t i = 0; i < n; i++) {
        const float gi = s->u->factor * g[i], c = r->beta1 * m[i] + (1 - r->beta1) * gi;
        const float sign = c > 0 ? 1 : c < 0 ? -1 : c; /* NaN stays */
        p[i] -= r->rate * (sign + r->decay * p[i]);
        m[i] = r->beta2 * m[i] + (1 - r->beta2) * gi;
    }
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

static void run(const struct update *u, struct shared s) {
    s.u = u;
    eltwise_run(u->pool, u->n, blocks, &s);
}

void update_sgd(const struct update *u) {
    run(u, (struct shared){.body = sgd});
}

void update_sgd_momentum(const struct update *u) {
    run(u, (struct shared){.body = sgd_momentum});
}

void update_adamw(const struct update *u) {
    const double t = (double)u->step;
    run(u, (struct shared){.body = adamw,
                           .rate = (float)(u->rule.rate / (1 - pow((double)u->rule.beta1, t))),
                           .root = (float)(1 / sqrt(1 - pow((double)u->rule.beta2, t)))});
}

void update_lion(const struct update *u) {
    run(u, (struct shared){.body = lion});
}

/* ---- sums of squares ---- */

enum { RANGES = 64, LANES = 8 };

struct squares {
    struct numbers x;
    uint64_t n;
    double sum[RANGES];
};

static void squares_task(void *arg, uint64_t index, unsigned slot) {
    struct squares *s = arg;
    const uint64_t each = units_ceil_div(units_ceil_div(s->n, RANGES), NUMBERS_BLOCK) * NUMBERS_BLOCK;
    const uint64_t to = units_min(s->n, (index + 1) * each);
    double lanes[LANES] = {0};
    float buffer[NUMBERS_BLOCK];
    (void)slot;
    for (uint64_t from = index * each, n; from < to; from += n) {
        n = units_min(NUMBERS_BLOCK, to - from);
        const float *x = numbers_read(s->x, from, n, buffer);
        for (uint64_t i = 0; i < n; i++)
            lanes[i % LANES] += (double)x[i] * (double)x[i];
    }
    for (unsigned lane = 0; lane < LANES; lane++)
        s->sum[index] += lanes[lane];
}

double update_squares(struct pool *pool, struct numbers x, uint64_t n) {
    struct squares s = {.x = x, .n = n};
    double sum = 0;
    pool_run(pool, RANGES, squares_task, &s);
    for (unsigned range = 0; range < RANGES; range++)
        sum += s.sum[range];
    return sum;
}
