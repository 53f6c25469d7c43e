/* measure.c - runs what measure_cases.c planned; see measure.h. */
#include "engine/exec/measure.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"
#include "engine/models/optimizer.h"

#define COPY_BYTES ((uint64_t)256 << 10) /* of one task */

struct rounds {
    uint64_t ns[2][MEASURE_ROUNDS_MAX];
    unsigned n;
};

static int by_size(const void *left, const void *right) {
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* A clock too coarse for what it times says one nanosecond: rates are divided by it. */
static double median(uint64_t *ns, unsigned n) {
    qsort(ns, n, sizeof *ns, by_size);
    const double middle = n % 2 ? (double)ns[n / 2] : ((double)ns[n / 2 - 1] + (double)ns[n / 2]) / 2;
    return (middle < 1 ? 1 : middle) * 1e-9;
}

static bool may_go_on(const struct measure_options *o, const struct rounds *r, uint64_t begun_ns) {
    return r->n == 0 || (r->n < MEASURE_ROUNDS_MAX && o->now_ns() - begun_ns < o->share_ns);
}

static bool is_cancelled(const struct measure_options *o, struct problem *why) {
    return o->cancelled && o->cancelled(o->user) &&
           !problem_set(why, PROBLEM_CANCELLED, "", "cancelled between two measurements");
}

/* ---- ops ---- */

/* Numbers in [-1, 1) that do not repeat within a row, ids within every table; cheap, for they are made each round. */
static void fill(const struct tensor *t, uint64_t ids_below, void *dst) {
    const struct numbers to = {dst, t->dtype == DTYPE_BFLOAT16};
    float buffer[NUMBERS_BLOCK];
    uint32_t state = 12345;
    for (uint64_t from = 0, some; from < t->elements; from += some) {
        some = units_min(NUMBERS_BLOCK, t->elements - from);
        float *at = t->dtype == DTYPE_INT32 ? NULL : numbers_open(to, from, buffer);
        for (uint64_t i = 0; i < some; i++) {
            state = state * 1664525u + 1013904223u;
            if (at)
                at[i] = (float)(state >> 8) * 0x1p-23f - 1;
            else
                ((int32_t *)dst)[from + i] = (int32_t)(((uint64_t)state * ids_below) >> 32);
        }
        if (at)
            numbers_close(to, from, some, buffer);
    }
}

static bool load(void *user, uint32_t value, void *dst, struct problem *why) {
    const struct measure *m = user;
    const struct graph *g = &m->graph;
    uint64_t ids_below = UINT32_MAX;
    (void)why;
    for (uint32_t i = 0; i < g->ops[0].n_inputs; i++) /* rows of the matrix that they choose from */
        if (g->tensors[g->ops[0].inputs[i]].role == TENSOR_PARAMETER)
            ids_below = units_min(ids_below, g->tensors[g->ops[0].inputs[i]].shape[0]);
    fill(&g->tensors[value < g->n_tensors ? value : value - g->n_tensors], ids_below, dst);
    return true;
}

/* One run, which the executor times by itself: loading and clearing are not part of it. */
static bool op_round(const struct measure *m, struct exec *e, bool again, struct exec_report *report,
                     struct problem *why) {
    return (!again || exec_rewind(e, why)) && exec_run(e, m->plan.n_steps, why) && exec_finish(e, report, why);
}

static bool op_rounds(const struct measure *m, const struct measure_options *o, struct exec *e, struct rounds *r,
                      struct exec_report *report, struct problem *why) {
    if (!op_round(m, e, false, report, why))
        return false;
    for (const uint64_t begun_ns = o->now_ns(); may_go_on(o, r, begun_ns); r->n++) {
        const struct exec_report before = *report;
        if (is_cancelled(o, why) || !op_round(m, e, true, report, why))
            return false;
        r->ns[0][r->n] = report->forward_ns - before.forward_ns;
        r->ns[1][r->n] = report->backward_ns - before.backward_ns;
    }
    return true;
}

static bool op_measure(const struct measure *m, const struct measure_options *o, struct rounds *r,
                       struct measure_figures *out, struct problem *why) {
    const struct exec_options options = {.pool = o->pool, .load = load, .user = (void *)m, .now_ns = o->now_ns};
    struct exec_report report;
    struct exec *e = exec_new(&m->plan, o->slab, o->persistent, &options, why);
    const bool ok = e && op_rounds(m, o, e, r, &report, why);
    exec_free(e);
    if (ok)
        out->peak_bytes = report.measured_peak_bytes;
    return ok;
}

/* ---- copy and update ---- */

struct piece {
    const struct measure *m;
    unsigned char *at;
    struct update update;
};

static void copy_task(void *arg, uint64_t index, unsigned slot) {
    const struct piece *p = arg;
    const uint64_t bytes = p->m->elements * dtype_bytes(p->m->dtype), from = index * COPY_BYTES;
    (void)slot;
    memcpy(p->at + bytes + from, p->at + from, units_min(COPY_BYTES, bytes - from));
}

static void piece_do(struct piece *p, struct pool *pool) {
    const uint64_t bytes = p->m->elements * dtype_bytes(p->m->dtype);
    if (p->m->row == MEASURE_COPY)
        pool_run(pool, units_ceil_div(bytes, COPY_BYTES), copy_task, p);
    else
        update_adamw(&p->update);
}

/* Floats first, which want their alignment: both moments, perhaps the master copy; then parameter and gradient. */
static void update_place(struct piece *p, struct pool *pool) {
    const uint64_t n = p->m->elements;
    const bool narrow = p->m->dtype == DTYPE_BFLOAT16;
    float *floats = (float *)p->at;
    unsigned char *own = p->at + (narrow ? 3 : 2) * n * sizeof *floats;
    p->update = (struct update){.n = n,
                                .pool = pool,
                                .parameter = {own, narrow},
                                .gradient = {own + n * dtype_bytes(p->m->dtype), narrow},
                                .master = narrow ? floats + 2 * n : NULL,
                                .state = {floats, floats + n},
                                .rule = optimizer_find("adamw")->rule,
                                .factor = 1,
                                .step = 1};
}

static bool piece_measure(const struct measure *m, const struct measure_options *o, struct rounds *r,
                          struct measure_figures *out, struct problem *why) {
    struct piece p = {.m = m, .at = slab_reserve(o->slab, m->peak_bytes, why)};
    if (!p.at)
        return false;
    memset(p.at, 0, m->peak_bytes);
    update_place(&p, o->pool);
    piece_do(&p, o->pool);
    for (const uint64_t begun_ns = o->now_ns(); may_go_on(o, r, begun_ns); r->n++) {
        if (is_cancelled(o, why))
            return false;
        const uint64_t start_ns = o->now_ns();
        piece_do(&p, o->pool);
        r->ns[0][r->n] = o->now_ns() - start_ns;
    }
    out->peak_bytes = m->peak_bytes;
    return true;
}

bool measure_run(const struct measure *m, const struct measure_options *o, struct measure_figures *out,
                 struct problem *why) {
    struct rounds r = {.n = 0};
    *out = (struct measure_figures){0};
    if (!(m->row < COST_ROWS ? op_measure : piece_measure)(m, o, &r, out, why))
        return false;
    out->rounds = r.n;
    for (unsigned phase = 0; phase < m->n_phases; phase++)
        out->seconds[phase] = median(r.ns[phase], r.n);
    return true;
}
