/* chain.h - stages in a row, each with options, and the exact frontier of memory against cost of all persistent plans.
 *
 * After Herrmann, Beaumont, Eyraud-Dubois, Hermann, Joly, Shilova 2019, "Optimal checkpointing for heterogeneous
 * chains" (arXiv 1911.13214), with several options per stage as in rockmate (Zhao et al. 2023): what a stage keeps
 * stays until its own backward. The recursion is over windows of stages; for every window the whole step function from
 * bytes to least cost is computed, on exact bytes and exact integer costs. tests/data/chain13.json writes the recursion
 * out.
 *
 * The first *pass* over a window that ends with the last stage is the forward everybody runs; every other forward is a
 * recomputation. Numbers that differ between the two come in pairs, by enum chain_pass. Bytes are counted with what
 * enters a window's first stage not counted: whoever checkpointed it has counted it.
 *
 * Everything is made in the arena given and read-only afterwards. Pure functions, any thread. */
#ifndef REMATD_PLAN_CHAIN_H
#define REMATD_PLAN_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/problem.h"

enum chain_pass { CHAIN_FIRST, CHAIN_AGAIN, CHAIN_PASSES };

/* Keep this much of a stage from its forward to its backward, with later stages between. */
struct chain_option {
    uint64_t kept;                       /* bytes; what leaves the stage among them */
    uint64_t forward_need[CHAIN_PASSES]; /* bytes while its forward runs */
    uint64_t backward_need;              /* bytes while its backward runs, what it recomputes for itself included */
    uint64_t forward_cost[CHAIN_PASSES], backward_cost; /* [FIRST] <= its stage's fast_cost[FIRST] + [AGAIN] */
    uint32_t choice;                                    /* what it is, to whoever made the chain */
};

/* Forward and backward of a stage with nothing between: of the last stage in the first pass, of any other again. */
struct chain_single {
    uint64_t need, cost;
    uint32_t choice;
};

struct chain_stage {
    uint64_t input;                     /* bytes of what enters it */
    uint64_t fast_cost[CHAIN_PASSES];   /* of its forward when it keeps nothing but what leaves it */
    uint64_t fast_need[CHAIN_PASSES];   /* bytes of that where what enters stays: as the first stage of a window */
    uint64_t moving_need[CHAIN_PASSES]; /* where what enters goes: counted, as far as it is there; >= fast_need */
    uint64_t beside[2]; /* bytes beside any forward [0: fast, 1: with an option] while the backward of this stage is the
                           next: the gradient of what leaves it, and the like */
    const struct chain_option *options;
    const struct chain_single *singles;
    uint32_t n_options, n_singles;
};

/* At least one stage; the last one has singles alone, and every other has them for the second pass. */
struct chain {
    const struct chain_stage *stages;
    uint32_t n;
};

struct chain_point {
    uint64_t bytes, cost;
};

/* What bounds a solve. */
struct chain_limits {
    uint64_t from_bytes; /* the cheapest plan of so many bytes is wanted, if there is one, and those of more; 0: all */
    uint64_t bytes;      /* no plan of more is wanted; UINT64_MAX: all */
    uint64_t cost;       /* no plan of more is wanted; UINT64_MAX: all */
    uint64_t states;     /* the most points of step functions that are kept, 16 bytes each; PROBLEM_LIMIT past it */
    uint64_t effort;     /* states examined before exactness is given up; 0: never */
};

struct chain_solver;

/* The frontier within the limits: strictly increasing bytes, strictly decreasing cost, beginning with the point that
 * from_bytes buys (or with the least bytes there are). *n = 0 where no plan is within them. cost counts every forward
 * and backward cost that a plan runs. */
PROBLEM_MUST_CHECK struct chain_solver *chain_solve(const struct chain *c, const struct chain_limits *limits,
                                                    struct arena *a, struct problem *why);
const struct chain_point *chain_frontier(const struct chain_solver *s, uint32_t *n);
uint64_t chain_states(const struct chain_solver *s); /* points of step functions examined */
/* False where exactness was given up: then options that are on no convex hull of a stage's bytes and costs were left
 * out and costs compared as multiples of a grid; the points are real plans with their true costs, and how far the best
 * may lie below them, the bound says. */
bool chain_exact(const struct chain_solver *s);
/* No plan of at most `bytes`, which lie within the limits, costs less: where the solver is exact, what the curve says
 * (UINT64_MAX: there is none). */
uint64_t chain_lower_bound(const struct chain_solver *s, uint64_t bytes);

/* The fewest bytes any persistent plan needs. */
PROBLEM_MUST_CHECK bool chain_least_bytes(const struct chain *c, struct arena *a, uint64_t *bytes, struct problem *why);

enum chain_do {
    CHAIN_FAST,     /* forward of a stage, keeping what leaves it alone */
    CHAIN_FORWARD,  /* forward of a stage with an option */
    CHAIN_BACKWARD, /* its backward with that option */
    CHAIN_SINGLE    /* both at once, with one of its singles */
};
struct chain_step {
    enum chain_do what;
    enum chain_pass pass; /* of the window it is run for */
    uint32_t stage;
    uint32_t index; /* of the option or single */
    uint32_t first; /* FAST: the window's first stage: what enters it stays */
};
/* What the steps cost together. */
uint64_t chain_steps_cost(const struct chain *c, const struct chain_step *steps, uint32_t n);

/* The plan of a point of the frontier, in the arena. */
PROBLEM_MUST_CHECK bool chain_schedule(const struct chain_solver *s, const struct chain_point *point, struct arena *a,
                                       const struct chain_step **steps, uint32_t *n, struct problem *why);

/* ---- chains that are posted, as in tests/data/chain13.json ---- */

struct chain_posted_option {
    double forward, backward;
    uint64_t kept, forward_workspace, backward_workspace;
};
struct chain_posted_stage {
    uint64_t input_size;
    double fast_forward_time;
    uint64_t fast_forward_workspace;
    const struct chain_posted_option *options;
    uint32_t n_options;
};
struct chain_posted {
    const struct chain_posted_stage *stages;
    uint32_t n;
    uint64_t output_size;
};
/* The chain of it. Times become whole numbers: time / *unit, rounded, such that all costs a plan can reach stay below
 * 2^62; the loss is below one part in 2^40 of the total and is recovered by chain_posted_seconds. */
PROBLEM_MUST_CHECK bool chain_from_posted(const struct chain_posted *p, struct arena *a, struct chain *out,
                                          double *unit, struct problem *why);
/* The makespan of a schedule in the units posted, in double. */
double chain_posted_seconds(const struct chain_posted *p, const struct chain *c, const struct chain_step *steps,
                            uint32_t n);

#endif
