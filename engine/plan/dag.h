/* dag.h - recomputation over any graph: which nodes to run again, so that what is alive at every step stays within a
 * budget and the least is paid. All plans are allowed: a value may go and be made again as often as it likes.
 *
 * The problem of Checkmate (Jain et al. 2020, arXiv 1910.02653) and MOCCASIN (Bartan et al. 2023, arXiv 2304.14463). A
 * solution is a sequence of nodes: each at least once, and none before what it reads has been made. A value is alive
 * from a node that makes it to the last node that reads it before it is made again or the sequence ends; what is wanted
 * stays to the end. Bytes at a step: all that is alive before, at or beyond it, what the step reads and makes, its
 * workspace, and what lies beside it.
 *
 * No clock and no threads in here: `ask` is called now and then and may end a search. Same problem, same limits and the
 * same answers of `ask`: same result. Everything is made in the arena given. */
#ifndef REMATD_PLAN_DAG_H
#define REMATD_PLAN_DAG_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/problem.h"

#define DAG_NONE UINT32_MAX

struct dag_value {
    uint64_t bytes;
    bool given;  /* there before the first step, cannot be made again; alive until its last use */
    bool wanted; /* alive at the end */
};

struct dag_node {
    uint64_t cost;
    uint64_t work_bytes;
    const uint32_t *reads, *makes; /* values, each once; a value is made by one node at most */
    uint32_t n_reads, n_makes;
    bool once;             /* may not run again: a gradient that adds into others */
    uint64_t beside_bytes; /* alive from this node's first run to just before the next node's in the given order, under
                              every plan, and not among the values: gradients. Where the next ran before: during this
                              node's first run alone; of the last node: to the end */
};

/* Nodes are in a topological order: the given one. */
struct dag {
    const struct dag_node *nodes;
    const struct dag_value *values;
    uint32_t n_nodes, n_values;
};

struct dag_progress {
    uint64_t cost, bytes; /* of the best so far; UINT64_MAX: none yet */
    uint64_t lower_bound; /* of cost */
    uint64_t states;
};

struct dag_limits {
    uint64_t budget_bytes;
    bool reorder;          /* first runs need not follow the given order */
    uint64_t exact_states; /* the most states an exact search may keep; past it the answer is that of the search */
    uint64_t memory_bytes; /* of a solve; PROBLEM_LIMIT above it */
    uint64_t rounds;       /* of local search at most: a bound that does not depend on any clock */
    uint64_t seed;
    const uint32_t *start; /* a sequence to begin with, or NULL */
    uint32_t n_start;
    bool (*ask)(void *user, const struct dag_progress *p); /* true: stop now; may be NULL */
    void *user;
};

struct dag_solution {
    const uint32_t *sequence; /* nodes in the order they run; NULL: none was found */
    uint32_t n;
    uint64_t cost, peak_bytes;
    uint64_t lower_bound; /* of the cost of any plan within the budget */
    bool exact;           /* cost is proven to be the least; or with sequence NULL, that there is no plan */
    bool stopped;         /* ask said so */
    uint64_t states;      /* or rounds, examined */
    const char *solver;   /* "exact", "search", ... static */
};

/* Reads the graph alone: order, ids, sums that can be counted. `where` is "/nodes/3". */
PROBLEM_MUST_CHECK bool dag_check(const struct dag *d, struct problem *why);
/* False only with a problem (a budget that cannot be met is none: sequence is NULL). */
PROBLEM_MUST_CHECK bool dag_solve(const struct dag *d, const struct dag_limits *l, struct arena *a,
                                  struct dag_solution *out, struct problem *why);
/* Bytes of the busiest node alone: no plan needs fewer. *node is it. */
uint64_t dag_floor_bytes(const struct dag *d, uint32_t *node);
/* A plan of as few bytes as the search can find, whatever it costs (an upper bound of the least budget; *exact where it
 * is proven). */
PROBLEM_MUST_CHECK bool dag_least_bytes(const struct dag *d, const struct dag_limits *l, struct arena *a,
                                        uint64_t *bytes, bool *exact, struct problem *why);
/* Proves a sequence legal, counting peak and cost anew; shares no code with the solvers. */
PROBLEM_MUST_CHECK bool dag_judge(const struct dag *d, const uint32_t *sequence, uint32_t n, uint64_t *cost,
                                  uint64_t *peak_bytes, struct arena *a, struct problem *why);

#endif
