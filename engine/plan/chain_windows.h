/* chain_windows.h - the windows of a chain under solution: which of them are alike, the curve of each, and what no plan
 * can beat. For chain_solve.c, chain_bound.c and chain_schedule.c alone. */
#ifndef REMATD_PLAN_CHAIN_WINDOWS_H
#define REMATD_PLAN_CHAIN_WINDOWS_H

#include "engine/plan/chain.h"

/* Least cost by bytes: strictly increasing bytes, strictly decreasing cost; none below the first point. */
struct chain_curve {
    const struct chain_point *points;
    uint32_t n;
};

/* One number for each window that is not another's alias: again[start][length - 1] and first[start]. */
struct chain_table {
    uint64_t **again, *first;
};

struct chain_windows {
    struct chain chain;
    uint32_t *alias;           /* by start: the earliest with the same stages up to the one before the last */
    struct chain_table moving; /* the most moving_need of stages past the start and before the last of the window */
    struct chain_table least;  /* the fewest bytes of any plan; UINT64_MAX: there is none */
};

/* The chain's stages are read until the windows are done with. */
PROBLEM_MUST_CHECK struct chain_windows *chain_windows_new(const struct chain *c, struct arena *a, struct problem *why);
PROBLEM_MUST_CHECK bool chain_table_make(const struct chain_windows *w, struct arena *a, struct chain_table *t,
                                         struct problem *why);

static inline enum chain_pass chain_pass_of(const struct chain_windows *w, uint32_t j) {
    return j == w->chain.n - 1 ? CHAIN_FIRST : CHAIN_AGAIN;
}

static inline uint64_t *chain_table_at(const struct chain_windows *w, const struct chain_table *t, uint32_t i,
                                       uint32_t j) {
    return j == w->chain.n - 1 ? &t->first[i] : &t->again[w->alias[i]][j - i];
}

/* UINT64_MAX where no plan is that small. */
static inline uint64_t chain_curve_cost(const struct chain_curve *f, uint64_t bytes) {
    if (f->n == 0 || bytes < f->points[0].bytes)
        return UINT64_MAX;
    uint32_t from = 0, to = f->n - 1;
    while (from < to) {
        const uint32_t middle = to - (to - from) / 2;
        if (f->points[middle].bytes <= bytes)
            from = middle;
        else
            to = middle - 1;
    }
    return f->points[from].cost;
}

/* Bytes below which nothing of window i..j, i < j, can run: every stage but the last is run forward in it, with what
 * enters it there, and the gradient of what leaves j beside it. */
uint64_t chain_window_floor(const struct chain_windows *w, uint32_t i, uint32_t j);
/* The same for option k of stage i, its own forward and backward counted. */
uint64_t chain_option_floor(const struct chain_windows *w, uint32_t i, uint32_t j, uint32_t k, uint64_t floor);

/* ---- what no plan can beat ---- */

#define CHAIN_SLOPES_MAX 24u

/* G of chain_bound.c by window, for each of n slopes: again_of[alias][(length - 1) n + x]; fast[i]: of the first pass,
 * the fast costs of stages before i. */
struct chain_growth {
    const double *slopes;
    uint32_t n;
    double **again_of;
    const double *fast;
};

/* Prices of peaks, stage by stage, see chain_peaks.c: a plan of at most `bytes` in which stages i to last cost c and
 * need b bytes costs at least rest[i] + c + later[i] b. */
struct chain_line {
    double rest, slope;
};
struct chain_peaks {
    const double *rest, *later;
    struct chain_line **again; /* [alias][length - 1]: the same for windows that run again */
    const double *after;       /* stages i to last in m bytes cost at least after[i] - later[i] m */
    double total;              /* after[0] */
};
static inline struct chain_line chain_peaks_line(const struct chain_windows *w, const struct chain_peaks *p, uint32_t i,
                                                 uint32_t j) {
    return j == w->chain.n - 1 ? (struct chain_line){p->rest[i], p->later[i]} : p->again[w->alias[i]][j - i];
}
/* Made for plans of `bytes`; `slope` is the price that is known to be good where all that is kept is there at once. */
PROBLEM_MUST_CHECK bool chain_peaks_find(const struct chain_windows *w, const struct chain_growth *growth,
                                         uint64_t bytes, double slope, struct arena *a, struct chain_peaks *out,
                                         struct problem *why);

/* What every plan of at most `bytes` costs besides the cost c of a window run in b bytes: at least the largest of
 * rest[window][x] + slopes[x] b, which may be negative. See chain_bound.c. */
struct chain_bound {
    const double *slopes;
    uint32_t n_slopes;
    double **again_rest, *first_rest; /* n_slopes numbers a window, as in chain_table */
    double total[CHAIN_SLOPES_MAX];   /* by slope: a plan of m bytes costs at least total[x] - slopes[x] m */
    struct chain_peaks peaks;
};
PROBLEM_MUST_CHECK bool chain_bound_make(const struct chain_windows *w, uint64_t bytes, struct arena *a,
                                         struct chain_bound *out, struct problem *why);
/* Of the cost of any plan in `bytes`, at most those the bound was made for. */
double chain_bound_total(const struct chain_bound *b, uint64_t bytes);
const double *chain_bound_rest(const struct chain_windows *w, const struct chain_bound *b, uint32_t i, uint32_t j);

/* A copy of a chain with the options on the hull of each stage alone, and costs in units. In chain_coarse.c. */
PROBLEM_MUST_CHECK struct chain *chain_coarse(const struct chain *c, uint64_t unit, struct arena *a,
                                              struct problem *why);
/* More than any plan needs to pay if it runs every stage `times` times. */
uint64_t chain_cost_of_all(const struct chain *c, uint64_t times);

/* ---- curves of one range of bytes ---- */

/* Exact where a plan of at most `to` bytes and `cost` may need them; elsewhere above the truth, but of real plans. */
struct chain_range {
    uint64_t to, cost;
    struct chain_curve **again, *first; /* as in chain_table */
};
static inline struct chain_curve *chain_range_at(const struct chain_windows *w, const struct chain_range *r, uint32_t i,
                                                 uint32_t j) {
    return j == w->chain.n - 1 ? &r->first[i] : &r->again[w->alias[i]][j - i];
}

struct chain_solver {
    const struct chain *chain;     /* as it was given */
    struct chain_windows *windows; /* of it, or of its coarse copy: there choices are indices of its options */
    bool coarse;
    struct chain_windows *exact_windows;
    struct chain_limits limits;
    struct arena *arena;
    struct chain_range *ranges; /* by bytes */
    uint32_t n_ranges;
    struct chain_curve frontier;
    uint64_t kept, states;
};

#endif
