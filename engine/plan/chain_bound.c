/* chain_bound.c - what no plan can beat, so that curves need only hold what may be part of a best plan.
 *
 * Lagrangian bounds, for a few slopes x (cost per byte): G[x](i,j) is at most F(i,j)(b) + x b for every b up to
 * `bytes`. It follows the recursion of the curves with every peak forgotten but the one where all that is kept is there
 * at once: an option costs its cost and x times what it keeps; a split costs x times what enters its second part, and
 * the first part, which comes later and may have all bytes, at least the largest of G[y] - y bytes over all slopes y.
 * And b is never below the window's least bytes.
 *
 * P[x](i), of what lies before stage i, is the same from the left: at least the cost of the stages before i plus x
 * times what they hold when stages from i on are worked on. A window i..j that costs c in b bytes leaves `bytes` - b to
 * what lies before, whatever the plan and at whatever depth it is run, and what lies after costs at least S(j + 1) =
 * max G[y](j + 1, last) - y bytes. So the whole costs at least c + P[x](i) - x (bytes - b) + S(j + 1). */
#include <math.h>
#include <stdlib.h>

#include "engine/base/units.h"
#include "engine/plan/chain_windows.h"

struct bounding {
    const struct chain_windows *w;
    double bytes;
    double slopes[CHAIN_SLOPES_MAX];
    uint32_t n;
    double **again_of, *first;             /* G, n a window */
    double **least_again_of, *least_first; /* max over slopes of G - x bytes, and 0 */
    double *before;                        /* P, n a start */
    double *fast;                          /* of the first pass: sums of fast costs of stages before */
    double *fast_again;
};

/* ---- slopes ---- */

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* What two ways of keeping a stage exchange: bytes for cost. */
static bool slopes_find(struct bounding *b, struct arena *a, struct problem *why) {
    const struct chain *c = &b->w->chain;
    size_t room = 0, n = 0;
    for (uint32_t s = 0; s < c->n; s++)
        if (s == 0 || c->stages[s].options != c->stages[s > 1 ? s - 2 : 0].options)
            room += (size_t)c->stages[s].n_options * (c->stages[s].n_options + 1);
    double *all = arena_new(a, double, room + 1, why);
    if (!all)
        return false;
    for (uint32_t s = 0; s < c->n; s++) {
        const struct chain_stage *stage = &c->stages[s];
        if (s != 0 && stage->options == c->stages[s > 1 ? s - 2 : 0].options)
            continue;
        for (uint32_t k = 0; k < stage->n_options; k++) {
            const struct chain_option *o = &stage->options[k];
            const double kept = (double)o->kept, cost = (double)o->backward_cost;
            for (uint32_t l = 0; l < stage->n_options; l++)
                if (stage->options[l].kept < o->kept && (double)stage->options[l].backward_cost > cost)
                    all[n++] =
                        ((double)stage->options[l].backward_cost - cost) / (kept - (double)stage->options[l].kept);
            if (stage->n_singles && kept > 0 && (double)stage->singles[0].cost > cost)
                all[n++] = ((double)stage->singles[0].cost - cost) / kept;
        }
    }
    if (n)
        qsort(all, n, sizeof *all, by_value);
    b->n = 0;
    b->slopes[b->n++] = 0;
    for (uint32_t i = 1; n && i < CHAIN_SLOPES_MAX; i++) {
        const double slope = all[(size_t)((double)i * (double)(n - 1) / (CHAIN_SLOPES_MAX - 1))];
        if (slope > b->slopes[b->n - 1])
            b->slopes[b->n++] = slope;
    }
    return true;
}

/* ---- G ---- */

static double *g_at(const struct bounding *b, uint32_t i, uint32_t j) {
    return j == b->w->chain.n - 1 ? &b->first[(size_t)i * b->n] : b->again_of[b->w->alias[i]] + (size_t)(j - i) * b->n;
}

static double *least_at(const struct bounding *b, uint32_t i, uint32_t j) {
    return j == b->w->chain.n - 1 ? &b->least_first[i] : &b->least_again_of[b->w->alias[i]][j - i];
}

static void g_options(const struct bounding *b, uint32_t i, uint32_t j, double *g) {
    const struct chain_stage *stage = &b->w->chain.stages[i];
    const enum chain_pass pass = chain_pass_of(b->w, j);
    const double *rest = g_at(b, i + 1, j);
    for (uint32_t k = 0; k < stage->n_options; k++) {
        const struct chain_option *o = &stage->options[k];
        const double cost = (double)o->forward_cost[pass] + (double)o->backward_cost, kept = (double)o->kept;
        for (uint32_t x = 0; x < b->n; x++)
            g[x] = fmin(g[x], cost + b->slopes[x] * kept + rest[x]);
    }
}

static void g_splits(const struct bounding *b, uint32_t i, uint32_t j, double *g) {
    const struct chain *c = &b->w->chain;
    const double *fast = chain_pass_of(b->w, j) == CHAIN_FIRST ? b->fast : b->fast_again;
    for (uint32_t l = i + 1; l <= j; l++) {
        const double cost = fast[l] - fast[i] + *least_at(b, i, l - 1), input = (double)c->stages[l].input;
        const double *right = g_at(b, l, j);
        for (uint32_t x = 0; x < b->n; x++) {
            const double whole = cost + b->slopes[x] * input + right[x];
            g[x] = whole < g[x] ? whole : g[x];
        }
    }
}

static void g_find(const struct bounding *b, uint32_t i, uint32_t j) {
    const struct chain_stage *stage = &b->w->chain.stages[i];
    double *g = g_at(b, i, j), *least = least_at(b, i, j);
    const uint64_t bytes = *chain_table_at(b->w, &b->w->least, i, j);
    for (uint32_t x = 0; x < b->n; x++)
        g[x] = INFINITY;
    for (uint32_t k = 0; i == j && k < stage->n_singles; k++)
        for (uint32_t x = 0; x < b->n; x++)
            g[x] = fmin(g[x], (double)stage->singles[k].cost + b->slopes[x] * (double)stage->singles[k].need);
    if (i < j) {
        g_options(b, i, j, g);
        g_splits(b, i, j, g);
    }
    *least = (double)bytes <= b->bytes ? 0 : INFINITY;
    for (uint32_t x = 0; x < b->n; x++)
        *least = fmax(*least, g[x] - b->slopes[x] * b->bytes);
    for (uint32_t x = 0; x < b->n; x++)
        g[x] = fmax(g[x], *least + b->slopes[x] * (double)bytes);
}

/* ---- P ---- */

static void before_find(struct bounding *b) {
    const struct chain *c = &b->w->chain;
    for (uint32_t x = 0; x < b->n; x++)
        b->before[x] = 0;
    for (uint32_t i = 1; i < c->n; i++) {
        double *p = &b->before[(size_t)i * b->n];
        for (uint32_t x = 0; x < b->n; x++)
            p[x] = INFINITY;
        const struct chain_stage *stage = &c->stages[i - 1];
        const double *one = p - b->n;
        for (uint32_t k = 0; k < stage->n_options; k++) {
            const double cost =
                (double)stage->options[k].forward_cost[CHAIN_FIRST] + (double)stage->options[k].backward_cost;
            for (uint32_t x = 0; x < b->n; x++)
                p[x] = fmin(p[x], one[x] + cost + b->slopes[x] * (double)stage->options[k].kept);
        }
        for (uint32_t from = 0; from < i; from++) {
            const double cost = b->fast[i] - b->fast[from] + *least_at(b, from, i - 1),
                         input = (double)c->stages[i].input;
            const double *q = &b->before[(size_t)from * b->n];
            for (uint32_t x = 0; x < b->n; x++) {
                const double whole = q[x] + cost + b->slopes[x] * input;
                p[x] = whole < p[x] ? whole : p[x];
            }
        }
    }
}

/* ---- all of it ---- */

static bool tables_make(struct bounding *b, struct arena *a, struct problem *why) {
    const uint32_t n = b->w->chain.n, last = n - 1;
    b->again_of = arena_new(a, double *, n, why);
    b->least_again_of = arena_new(a, double *, n, why);
    b->first = arena_new(a, double, (size_t)n * b->n, why);
    b->least_first = arena_new(a, double, n, why);
    b->before = arena_new(a, double, (size_t)n * b->n, why);
    b->fast = arena_new(a, double, n, why);
    b->fast_again = arena_new(a, double, n, why);
    if (!b->again_of || !b->least_again_of || !b->first || !b->least_first || !b->before || !b->fast || !b->fast_again)
        return false;
    for (uint32_t i = 0; i < last; i++)
        if (b->w->alias[i] == i && (!(b->again_of[i] = arena_new(a, double, (size_t)(last - i) * b->n, why)) ||
                                    !(b->least_again_of[i] = arena_new(a, double, last - i, why))))
            return false;
    for (uint32_t i = 1; i < n; i++) {
        b->fast[i] = b->fast[i - 1] + (double)b->w->chain.stages[i - 1].fast_cost[CHAIN_FIRST];
        b->fast_again[i] = b->fast_again[i - 1] + (double)b->w->chain.stages[i - 1].fast_cost[CHAIN_AGAIN];
    }
    return true;
}

static bool rests_find(const struct bounding *b, struct arena *a, struct chain_bound *out, struct problem *why) {
    const uint32_t n = b->w->chain.n, last = n - 1;
    out->first_rest = arena_new(a, double, (size_t)n * b->n, why);
    out->again_rest = arena_new(a, double *, n, why);
    if (!out->first_rest || !out->again_rest)
        return false;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t x = 0; x < b->n; x++)
            out->first_rest[(size_t)i * b->n + x] = b->before[(size_t)i * b->n + x] - b->slopes[x] * b->bytes;
    for (uint32_t i = 0; i < last; i++) {
        const uint32_t alias = b->w->alias[i];
        if (alias == i) {
            const size_t room = (size_t)(last - i) * b->n;
            if (!(out->again_rest[i] = arena_new(a, double, room, why)))
                return false;
            for (size_t k = 0; k < room; k++)
                out->again_rest[i][k] = INFINITY;
        }
        for (uint32_t j = i; j < last; j++)
            for (uint32_t x = 0; x < b->n; x++) {
                double *rest = &out->again_rest[alias][(size_t)(j - i) * b->n + x];
                const double here = b->before[(size_t)i * b->n + x] - b->slopes[x] * b->bytes + b->least_first[j + 1];
                *rest = here < *rest ? here : *rest;
            }
    }
    return true;
}

/* The slope that says most of the whole. */
static double best_slope(const struct bounding *b) {
    const double *g = g_at(b, 0, b->w->chain.n - 1);
    uint32_t best = 0;
    for (uint32_t x = 1; x < b->n; x++)
        if (g[x] - b->slopes[x] * b->bytes > g[best] - b->slopes[best] * b->bytes)
            best = x;
    return b->slopes[best];
}

bool chain_bound_make(const struct chain_windows *w, uint64_t bytes, struct arena *a, struct chain_bound *out,
                      struct problem *why) {
    struct bounding b = {.w = w, .bytes = (double)bytes};
    const uint32_t last = w->chain.n - 1;
    if (!slopes_find(&b, a, why) || !tables_make(&b, a, why))
        return false;
    for (uint32_t length = 1; length <= last; length++)
        for (uint32_t i = 0; i + length <= last; i++)
            if (w->alias[i] == i)
                g_find(&b, i, i + length - 1);
    for (uint32_t i = w->chain.n; i-- > 0;)
        g_find(&b, i, last);
    const struct chain_growth growth = {b.slopes, b.n, b.again_of, b.fast};
    *out = (struct chain_bound){.n_slopes = b.n};
    if (!chain_peaks_find(w, &growth, bytes, best_slope(&b), a, &out->peaks, why))
        return false;
    for (uint32_t i = 0; i <= last; i++)
        b.least_first[i] = fmax(b.least_first[i], out->peaks.after[i] - out->peaks.later[i] * b.bytes);
    before_find(&b);
    for (uint32_t x = 0; x < b.n; x++)
        out->total[x] = g_at(&b, 0, last)[x];
    out->slopes = arena_copy(a, b.slopes, b.n * sizeof *b.slopes, why);
    return out->slopes && rests_find(&b, a, out, why);
}

double chain_bound_total(const struct chain_bound *b, uint64_t bytes) {
    double least = fmax(0, b->peaks.after[0] - b->peaks.later[0] * (double)bytes);
    for (uint32_t x = 0; x < b->n_slopes; x++)
        least = fmax(least, b->total[x] - b->slopes[x] * (double)bytes);
    return least;
}

const double *chain_bound_rest(const struct chain_windows *w, const struct chain_bound *b, uint32_t i, uint32_t j) {
    return j == w->chain.n - 1 ? &b->first_rest[(size_t)i * b->n_slopes]
                               : b->again_rest[w->alias[i]] + (size_t)(j - i) * b->n_slopes;
}
