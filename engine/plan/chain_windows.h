/* chain_windows.h - the windows of a chain under solution: which of them are alike, and the curve of each. For
 * chain_solve.c and chain_schedule.c alone. */
#ifndef REMATD_PLAN_CHAIN_WINDOWS_H
#define REMATD_PLAN_CHAIN_WINDOWS_H

#include "engine/plan/chain.h"

/* Least cost by bytes: strictly increasing bytes, strictly decreasing cost; none below the first point. */
struct chain_curve {
    const struct chain_point *points;
    uint32_t n;
};

struct chain_solver {
    struct chain chain;
    struct chain_limits limits;
    struct arena *arena;
    uint32_t *alias;            /* by start: the earliest with the same stages up to the one before the last */
    struct chain_curve **again; /* by start that is its own alias, then by length - 1 */
    struct chain_curve *first;  /* by start: windows that end with the last stage */
    uint64_t **moving;          /* by start as `again`, by length - 1: the most moving_need [AGAIN] of stages past the
                                   start, and before the last of the window */
    uint64_t *moving_first;     /* the same of the first pass, by start */
    uint64_t kept, states;
};

/* Without curves. The chain's stages are read until the solver is done with. */
PROBLEM_MUST_CHECK struct chain_solver *chain_windows_new(const struct chain *c, struct arena *a, struct problem *why);

static inline enum chain_pass chain_pass_of(const struct chain_solver *s, uint32_t j) {
    return j == s->chain.n - 1 ? CHAIN_FIRST : CHAIN_AGAIN;
}

static inline struct chain_curve *chain_window_slot(const struct chain_solver *s, uint32_t i, uint32_t j) {
    return j == s->chain.n - 1 ? &s->first[i] : &s->again[s->alias[i]][j - i];
}

static inline const struct chain_curve *chain_window(const struct chain_solver *s, uint32_t i, uint32_t j) {
    return chain_window_slot(s, i, j);
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
uint64_t chain_window_floor(const struct chain_solver *s, uint32_t i, uint32_t j);
/* The same for option k of stage i, its own forward and backward counted. */
uint64_t chain_option_floor(const struct chain_solver *s, uint32_t i, uint32_t j, uint32_t k, uint64_t floor);

#endif
