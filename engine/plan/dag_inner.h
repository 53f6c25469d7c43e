/* dag_inner.h - what the files of dag share: sequences and their weight, bounds, and the two searches. */
#ifndef REMATD_PLAN_DAG_INNER_H
#define REMATD_PLAN_DAG_INNER_H

#include "engine/plan/dag.h"

/* ---- sequences ---- */

/* What a sequence weighs. over: bytes above the budget, summed over steps, in budgets. */
struct dag_weight {
    uint64_t cost, peak;
    double over;
};

/* Weighs sequences of one graph, in time that grows with their length alone. */
struct dag_line {
    const struct dag *d;
    uint64_t budget;
    bool reorder;
    uint32_t cap;        /* the longest sequence */
    uint32_t *maker;     /* by value; DAG_NONE: given or never there */
    uint64_t *own;       /* by node: bytes it reads, makes, works with, and beside it */
    uint32_t *last;      /* by value: the last step so far that touched it; DAG_NONE: not there yet */
    uint32_t *last_init; /* what `last` begins with */
    uint64_t given;      /* bytes there before the first step */
    uint32_t *first;     /* by node: the step of its first run */
    int64_t *turn;       /* by step: bytes that come there, less what went just before */
    uint64_t total;      /* cost of every node once */
};
PROBLEM_MUST_CHECK bool dag_line_make(struct dag_line *l, const struct dag *d, uint32_t cap, struct arena *a,
                                      struct problem *why);
/* False: not legal (a read before its value, a first run out of turn, once twice, a node missing). */
PROBLEM_MUST_CHECK bool dag_line_weigh(struct dag_line *l, const uint32_t *seq, uint32_t n, struct dag_weight *out);
/* Bytes at step t of the sequence weighed last. */
void dag_line_bytes(const struct dag_line *l, const uint32_t *seq, uint32_t n, uint64_t *bytes);

/* ---- one solve ---- */

struct dag_starter;
struct dag_walk;
struct dag_exact;

struct dag_try {
    const struct dag *d;
    const struct dag_limits *limits;
    struct dag_line line;
    uint32_t *best; /* room for line.cap */
    uint32_t n_best;
    uint64_t best_cost, best_peak; /* UINT64_MAX: none within the budget yet */
    uint64_t bound;                /* of the cost of any plan; UINT64_MAX: there is none */
    uint64_t *bound_after; /* [n_nodes + 1]: what any plan pays for runs again after the first run of node p began, of
                              those that a first run at or after p makes needed; in the given order alone */
    uint64_t states, rounds;
    bool stopped, proven;
    bool any; /* any plan within the budget will do */
    /* made when first needed: a second run, for another budget, takes no more memory */
    struct dag_starter *starter;
    struct dag_walk *walk;
    struct dag_exact *exact;
};
bool dag_try_asks(struct dag_try *t); /* true: stop */
void dag_try_keep(struct dag_try *t, const uint32_t *seq, uint32_t n, const struct dag_weight *w);

PROBLEM_MUST_CHECK bool dag_bound_make(struct dag_try *t, struct arena *a, struct problem *why);
struct dag_cut;
PROBLEM_MUST_CHECK struct dag_cut *dag_cut_make(const struct dag_try *t, const uint32_t *last_first, struct arena *a,
                                                struct problem *why);
/* What must be paid for runs after node p's first: as bound_after[p], of this node alone. */
uint64_t dag_cut_at(struct dag_cut *c, uint32_t p);
/* Plans of a few simple rules. seq, n: the one nearest to the budget, with room for line.cap; kept where within it. */
PROBLEM_MUST_CHECK bool dag_start_find(struct dag_try *t, uint32_t *seq, uint32_t *n, struct arena *a,
                                       struct problem *why);
/* At most `rounds` more rounds. */
PROBLEM_MUST_CHECK bool dag_search_run(struct dag_try *t, uint64_t rounds, struct arena *a, struct problem *why);
#define DAG_EXACT_MAX 64u /* nodes, and values */
PROBLEM_MUST_CHECK bool dag_exact_run(struct dag_try *t, struct arena *a, struct problem *why);

#endif
