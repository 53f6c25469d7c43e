/* chain_peaks.c - what no plan can beat, with a price for every peak.
 *
 * The first pass cuts the chain into stages with an option and stretches that keep nothing and are run again. Each has
 * a peak of its own: what stages before it hold, and its own need. Give a byte of the peak at stage i a price, and a
 * stretch i..l - 1 the prices of its stages together, w. Then a plan of m bytes costs at least the least of
 *
 *   cost + sum of price[i] (held before i + need of i)  -  m sum of price
 *
 * in which what a stage keeps pays the prices of all later peaks. A stretch that needs b bytes has cost + w b of at
 * least G[w] (chain_bound.c); between two slopes that is on the chord or above, for it is concave in w.
 *
 * Subgradient steps raise the bound: a peak beyond m becomes dearer, one below cheaper. For a window that begins at i
 * and ends with the chain, costs c and needs b, all peaks from i on are one: the whole costs at least before[i] + c +
 * later[i] b - later[0] m. */
#include <math.h>
#include <string.h>

#include "engine/plan/chain_windows.h"

enum { STEPS = 200, PATIENCE = 5 };

/* Sums of what is not negative are as true as this; so bounds stay below the truth however dear bytes become. */
#define ROUNDING 1e-12

struct pricing {
    const struct chain_windows *w;
    const struct chain_growth *growth;
    double bytes;
    double *price, *later;  /* later[i] = price[i] + price[i + 1] + ..; n + 1 */
    double *after, *before; /* least of cost and what peaks cost: of stages i to last; of stages before i */
    double *excess;         /* of each peak over `bytes`, in the plan of `after` */
    int32_t *choice;        /* of it, >= 0: an option or single; < 0: a stretch of -choice stages */
    double **needs;         /* of option k of stage i, in the first pass */
};

/* G[w] of stages i to l - 1, *x the slope at or below w, which never falls; *bytes: by how much it grows with w. */
static double stretch_at(const struct pricing *p, uint32_t i, uint32_t l, double w, uint32_t *x, double *bytes) {
    const struct chain_growth *g = p->growth;
    const double *cost = g->again_of[p->w->alias[i]] + (size_t)(l - 1 - i) * g->n;
    while (*x + 1 < g->n && g->slopes[*x + 1] <= w)
        ++*x;
    *bytes = *x + 1 < g->n ? (cost[*x + 1] - cost[*x]) / (g->slopes[*x + 1] - g->slopes[*x])
                           : (double)*chain_table_at(p->w, &p->w->least, i, l - 1);
    return cost[*x] + (w - g->slopes[*x]) * *bytes;
}

/* The least of plans of `bytes`, where `priced` is the least with what peaks cost. */
static double unpriced(const struct pricing *p, double priced) {
    return priced * (1 - ROUNDING) - p->later[0] * p->bytes * (1 + ROUNDING);
}

static double option_cost(const struct pricing *p, uint32_t i, uint32_t k) {
    const struct chain_option *o = &p->w->chain.stages[i].options[k];
    return (double)o->forward_cost[CHAIN_FIRST] + (double)o->backward_cost + p->price[i] * p->needs[i][k] +
           p->later[i + 1] * (double)o->kept;
}

static double stretch_whole(const struct pricing *p, uint32_t i, uint32_t l, uint32_t *x) {
    double bytes;
    return p->growth->fast[l] - p->growth->fast[i] + p->later[l] * (double)p->w->chain.stages[l].input +
           stretch_at(p, i, l, p->later[i] - p->later[l], x, &bytes);
}

/* after[] and the plan it is of. */
static void after_find(struct pricing *p) {
    const struct chain *c = &p->w->chain;
    const uint32_t last = c->n - 1;
    p->later[c->n] = 0;
    for (uint32_t i = c->n; i-- > 0;)
        p->later[i] = p->later[i + 1] + p->price[i];
    p->after[last] = INFINITY;
    for (uint32_t k = 0; k < c->stages[last].n_singles; k++) {
        const struct chain_single *s = &c->stages[last].singles[k];
        const double cost = (double)s->cost + p->price[last] * (double)s->need;
        if (cost < p->after[last]) {
            p->after[last] = cost;
            p->choice[last] = (int32_t)k;
        }
    }
    for (uint32_t i = last; i-- > 0;) {
        double least = INFINITY;
        for (uint32_t k = 0; k < c->stages[i].n_options; k++) {
            const double cost = option_cost(p, i, k) + p->after[i + 1];
            if (cost < least) {
                least = cost;
                p->choice[i] = (int32_t)k;
            }
        }
        for (uint32_t l = i + 1, x = 0; l <= last; l++) {
            const double cost = stretch_whole(p, i, l, &x) + p->after[l];
            if (cost < least) {
                least = cost;
                p->choice[i] = -(int32_t)(l - i);
            }
        }
        p->after[i] = least;
    }
}

/* excess[] of that plan; the squares of it where prices may still move. */
static double excess_find(struct pricing *p) {
    const struct chain *c = &p->w->chain;
    const uint32_t last = c->n - 1;
    double held = 0, squares = 0;
    for (uint32_t i = 0; i <= last;) {
        uint32_t l = i + 1, x = 0;
        double need, keeps;
        if (p->choice[i] < 0) {
            l = i + (uint32_t)-p->choice[i];
            keeps = (double)c->stages[l].input;
            stretch_at(p, i, l, p->later[i] - p->later[l], &x, &need);
        } else {
            const uint32_t k = (uint32_t)p->choice[i];
            need = i == last ? (double)c->stages[i].singles[k].need : p->needs[i][k];
            keeps = i == last ? 0 : (double)c->stages[i].options[k].kept;
        }
        for (; i < l; i++) {
            p->excess[i] = held + need - p->bytes;
            squares += p->excess[i] < 0 && p->price[i] <= 0 ? 0 : p->excess[i] * p->excess[i];
        }
        held += keeps;
    }
    return squares;
}

static void before_find(struct pricing *p) {
    const struct chain *c = &p->w->chain;
    p->before[0] = 0;
    for (uint32_t i = 1; i < c->n; i++)
        p->before[i] = INFINITY;
    for (uint32_t i = 0; i + 1 < c->n; i++) {
        for (uint32_t k = 0; k < c->stages[i].n_options; k++)
            p->before[i + 1] = fmin(p->before[i + 1], p->before[i] + option_cost(p, i, k));
        for (uint32_t l = i + 1, x = 0; l < c->n; l++)
            p->before[l] = fmin(p->before[l], p->before[i] + stretch_whole(p, i, l, &x));
    }
}

/* Steps after Polyak, towards a little above the best bound: less and less, while that is out of reach. */
static void prices_find(struct pricing *p, double *best_price) {
    const uint32_t n = p->w->chain.n;
    double best = -INFINITY, hope = 0;
    for (unsigned step = 0, since = 0; step < STEPS; step++) {
        after_find(p);
        const double value = unpriced(p, p->after[0]);
        if (value > best) {
            since = value > best + hope / 8 ? 0 : since + 1;
            best = value;
            memcpy(best_price, p->price, n * sizeof *best_price);
        } else {
            since++;
        }
        if (step == 0)
            hope = 0.01 * fabs(best);
        if (since >= PATIENCE) {
            hope /= 2;
            since = 0;
            memcpy(p->price, best_price, n * sizeof *best_price);
            after_find(p);
        }
        const double squares = excess_find(p);
        if (squares <= 0 || hope < 1e-6 * fabs(best))
            break;
        const double length = (best + hope - value) / squares;
        for (uint32_t i = 0; i < n; i++)
            p->price[i] = fmax(0, p->price[i] + length * p->excess[i]);
    }
    memcpy(p->price, best_price, n * sizeof *best_price);
    after_find(p);
}

/* ---- windows that run again ---- */

/* What a stage costs at least where it runs again, forward and backward. */
static double stage_least(const struct chain_stage *s) {
    double least = INFINITY;
    for (uint32_t k = 0; k < s->n_singles; k++)
        least = fmin(least, (double)s->singles[k].cost);
    for (uint32_t k = 0; k < s->n_options; k++)
        least = fmin(least, (double)s->options[k].forward_cost[CHAIN_AGAIN] + (double)s->options[k].backward_cost);
    return least;
}

/* A window i..j that runs again, at whatever depth, lies in a stretch of the first pass: `within`, the least of all
 * plans with such a stretch, whose stages cost no less than stage_least (`sum`: of those before a stage), and whose
 * price is no lower than that of i..j as a stretch. Gathered in *line, over all windows alike: the least if it needs
 * its fewest bytes, and if it needs all of them. */
static void ends_find(const struct pricing *p, const double *sum, double *within, struct chain_line *const *lines) {
    const struct chain *c = &p->w->chain;
    const uint32_t last = c->n - 1;
    for (uint32_t i = 0; i < last; i++)
        for (uint32_t j = last; j-- > i;) { /* within[j]: so far of stretches that begin before i */
            const double stages = sum[j + 1] - sum[i], price = p->later[i] - p->later[j + 1];
            const double stretch = p->before[i] + p->growth->fast[j + 1] - p->growth->fast[i] +
                                   p->later[j + 1] * (double)c->stages[j + 1].input + p->after[j + 1] + stages;
            within[j] = fmin(fmin(within[j], unpriced(p, stretch)), within[j + 1]);
            struct chain_line *line = &lines[p->w->alias[i]][j - i];
            const double fewest = (double)*chain_table_at(p->w, &p->w->least, i, j);
            line->rest = fmin(line->rest, within[j] - stages + price * fewest);
            line->slope = fmin(line->slope, within[j] - stages + price * p->bytes);
        }
}

static bool agains_find(const struct pricing *p, struct arena *a, struct chain_line ***out, struct problem *why) {
    const uint32_t n = p->w->chain.n, last = n - 1;
    double *sum = arena_new(a, double, n, why), *within = arena_new(a, double, n, why);
    struct chain_line **lines = *out = arena_new(a, struct chain_line *, n, why);
    if (!sum || !within || !lines)
        return false;
    for (uint32_t i = 0; i < n; i++)
        within[i] = INFINITY;
    for (uint32_t i = 0; i < last; i++) {
        sum[i + 1] = sum[i] + stage_least(&p->w->chain.stages[i]);
        if (p->w->alias[i] == i && !(lines[i] = arena_new(a, struct chain_line, last - i, why)))
            return false;
        for (uint32_t length = 1; p->w->alias[i] == i && length <= last - i; length++)
            lines[i][length - 1] = (struct chain_line){INFINITY, INFINITY};
    }
    ends_find(p, sum, within, lines);
    /* a line through both ends lies below the least of lines, which is concave */
    for (uint32_t i = 0; i < last; i++)
        for (uint32_t j = i; p->w->alias[i] == i && j < last; j++) {
            struct chain_line *line = &lines[i][j - i];
            const double fewest = (double)*chain_table_at(p->w, &p->w->least, i, j), at_fewest = line->rest;
            line->slope = fewest < p->bytes ? fmax(0, (line->slope - at_fewest) / (p->bytes - fewest)) : 0;
            line->rest = at_fewest - line->slope * fewest;
        }
    return true;
}

static bool tables_make(struct pricing *p, struct arena *a, struct problem *why) {
    const struct chain *c = &p->w->chain;
    const uint32_t last = c->n - 1;
    p->price = arena_new(a, double, c->n, why);
    p->later = arena_new(a, double, (size_t)c->n + 1, why);
    p->after = arena_new(a, double, c->n, why);
    p->before = arena_new(a, double, c->n, why);
    p->excess = arena_new(a, double, c->n, why);
    p->choice = arena_new(a, int32_t, c->n, why);
    p->needs = arena_new(a, double *, c->n, why);
    if (!p->price || !p->later || !p->after || !p->before || !p->excess || !p->choice || !p->needs)
        return false;
    for (uint32_t i = 0; i < last; i++) {
        const uint64_t floor = chain_window_floor(p->w, i, last);
        if (!(p->needs[i] = arena_new(a, double, c->stages[i].n_options + 1, why)))
            return false;
        for (uint32_t k = 0; k < c->stages[i].n_options; k++)
            p->needs[i][k] = (double)chain_option_floor(p->w, i, last, k, floor);
    }
    return true;
}

bool chain_peaks_find(const struct chain_windows *w, const struct chain_growth *growth, uint64_t bytes, double slope,
                      struct arena *a, struct chain_peaks *out, struct problem *why) {
    struct pricing p = {.w = w, .growth = growth, .bytes = (double)bytes};
    const uint32_t n = w->chain.n;
    double *best = arena_new(a, double, n, why), *rest = arena_new(a, double, n, why);
    if (!best || !rest || !tables_make(&p, a, why))
        return false;
    for (uint32_t i = 0; i < n; i++)
        p.price[i] = i == n - 1 ? slope : 0;
    prices_find(&p, best);
    before_find(&p);
    for (uint32_t i = 0; i < n; i++)
        rest[i] = unpriced(&p, p.before[i]);
    struct chain_line **again;
    if (!agains_find(&p, a, &again, why))
        return false;
    for (uint32_t i = 0; i < n; i++)
        p.after[i] -= ROUNDING * (p.after[i] + p.later[0] * p.bytes);
    *out = (struct chain_peaks){.rest = rest, .later = p.later, .again = again, .after = p.after};
    return true;
}
