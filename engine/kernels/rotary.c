/* rotary.c - see rotary.h. A task is a few positions of the whole batch: cosines and sines are made once for each and
 * serve every sequence and head. */
#include "engine/kernels/rotary.h"

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/rows.h"

enum { POSITIONS = 4, PAIRS = NUMBERS_BLOCK / 2 };

struct turn {
    const struct rows *rows;
    const struct rotary *r;
    bool back; /* the other way, and added */
};

/* Some pairs of one position. */
struct angles {
    uint64_t from, n;
    float cosines[PAIRS], sines[PAIRS];
};

static void angles_of(const struct turn *t, uint64_t position, struct angles *a) {
    const float factor = t->r->factor;
    t->rows->angles(a->n, (float)position, t->r->frequencies + a->from, factor, t->back ? -factor : factor, a->cosines,
                    a->sines);
}

static float *place(const struct turn *t, uint64_t at, uint64_t n, float *buffer) {
    return t->back ? numbers_open_sum(t->r->y, at, n, buffer) : numbers_open(t->r->y, at, buffer);
}

static void halves(const struct turn *t, const struct angles *a, uint64_t at) {
    const uint64_t first = at + a->from, second = first + t->r->dim / 2, n = a->n;
    float buffers[4][PAIRS];
    const float *x = numbers_read(t->r->x, first, n, buffers[0]), *z = numbers_read(t->r->x, second, n, buffers[1]);
    float *y = place(t, first, n, buffers[2]), *w = place(t, second, n, buffers[3]);
    (t->back ? t->rows->turn_add : t->rows->turn)(n, x, z, a->cosines, a->sines, y, w);
    numbers_close(t->r->y, first, n, y);
    numbers_close(t->r->y, second, n, w);
}

static void neighbours(const struct turn *t, const struct angles *a, uint64_t at) {
    const uint64_t first = at + 2 * a->from, n = a->n;
    float buffers[2][2 * PAIRS];
    const float *x = numbers_read(t->r->x, first, 2 * n, buffers[0]);
    float *y = place(t, first, 2 * n, buffers[1]);
    for (uint64_t i = 0; i < n; i++) {
        const float even = x[2 * i] * a->cosines[i] - x[2 * i + 1] * a->sines[i];
        const float odd = x[2 * i + 1] * a->cosines[i] + x[2 * i] * a->sines[i];
        y[2 * i] = t->back ? y[2 * i] + even : even;
        y[2 * i + 1] = t->back ? y[2 * i + 1] + odd : odd;
    }
    numbers_close(t->r->y, first, 2 * n, y);
}

/* Numbers [at, end), which do not turn. */
static void pass(const struct turn *t, uint64_t at, uint64_t end) {
    float buffers[2][NUMBERS_BLOCK];
    for (uint64_t n; at < end; at += n) {
        n = units_min(NUMBERS_BLOCK, end - at);
        const float *x = numbers_read(t->r->x, at, n, buffers[0]);
        float *y = place(t, at, n, buffers[1]);
        for (uint64_t i = 0; i < n; i++)
            y[i] = t->back ? y[i] + x[i] : x[i];
        numbers_close(t->r->y, at, n, y);
    }
}

/* Every head of every sequence at one position; `angles` NULL: what does not turn. */
static void heads(const struct turn *t, const struct angles *a, uint64_t position) {
    const struct rotary *r = t->r;
    for (uint64_t b = 0; b < r->batch; b++)
        for (uint64_t h = 0; h < r->heads; h++) {
            const uint64_t at = ((b * r->rows + position) * r->heads + h) * r->width;
            if (!a) {
                pass(t, at, at + r->first);
                pass(t, at + r->first + r->dim, at + r->width);
            } else if (r->interleaved)
                neighbours(t, a, at + r->first);
            else
                halves(t, a, at + r->first);
        }
}

static void positions_task(void *arg, uint64_t index, unsigned slot) {
    const struct turn *t = arg;
    const uint64_t pairs = t->r->dim / 2;
    struct angles a;
    (void)slot;
    for (uint64_t p = index * POSITIONS; p < units_min(t->r->rows, (index + 1) * POSITIONS); p++) {
        for (a.from = 0; a.from < pairs; a.from += a.n) {
            a.n = units_min(PAIRS, pairs - a.from);
            angles_of(t, p, &a);
            heads(t, &a, p);
        }
        if (t->r->dim < t->r->width)
            heads(t, NULL, p);
    }
}

void rotary_forward(const struct rotary *r) {
    pool_run(r->pool, units_ceil_div(r->rows, POSITIONS), positions_task, &(struct turn){rows_best(), r, false});
}

void rotary_backward(const struct rotary *r) {
    pool_run(r->pool, units_ceil_div(r->rows, POSITIONS), positions_task, &(struct turn){rows_best(), r, true});
}
