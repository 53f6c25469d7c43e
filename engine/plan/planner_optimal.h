/* planner_optimal.h - the exact frontier of a training step: plans by what they cost and keep. For the planner of that
 * name and for whoever asks for the whole of it. Everything lives in the arena given. */
#ifndef REMATD_PLAN_PLANNER_OPTIMAL_H
#define REMATD_PLAN_PLANNER_OPTIMAL_H

#include "engine/plan/chain_graph.h"
#include "engine/plan/planner.h"

#define OPTIMAL_EFFORT       UINT64_C(5000000)  /* of one solve, before exactness is given up: a tenth of a second */
#define OPTIMAL_CURVE_EFFORT UINT64_C(8000000)  /* of a whole curve */
#define OPTIMAL_STATES       UINT64_C(16000000) /* kept at most: 256 MB */
#define OPTIMAL_STAGES       400u

struct optimal {
    const struct graph *graph, *others; /* as given: the same step, its loss lowered otherwise */
    uint32_t n_others;
    const struct chain_graph *chain;
    double unit;        /* seconds of one unit of cost; 0: costs are FLOPs */
    uint64_t base_cost; /* of the forward and backward everybody runs */
    uint64_t persistent_bytes;
};

/* rates NULL: the least FLOPs, else the least seconds. */
PROBLEM_MUST_CHECK bool planner_optimal_open(const struct graph *g, const struct graph *others, uint32_t n_others,
                                             const struct cost_rates *rates, struct arena *a, struct optimal *out,
                                             struct problem *why);
/* The curve between from_bytes and bytes of live memory, exact if `effort` allows. */
PROBLEM_MUST_CHECK struct chain_solver *planner_optimal_solve(const struct optimal *o, uint64_t from_bytes,
                                                              uint64_t bytes, uint64_t effort, struct arena *a,
                                                              struct problem *why);
/* The plan of one point, laid out. *of: 0 is graph, 1.. others. */
PROBLEM_MUST_CHECK bool planner_optimal_point(const struct optimal *o, const struct chain_solver *s,
                                              const struct chain_point *p, struct arena *a, struct plan *plan,
                                              uint32_t *of, struct problem *why);
/* The cheapest plan whose peak is within peak_bytes (UINT64_MAX: whatever it is), or where there is none, the one of
 * the smallest peak. */
PROBLEM_MUST_CHECK bool planner_optimal_within(const struct optimal *o, uint64_t peak_bytes, struct arena *a,
                                               struct plan *plan, uint32_t *of, struct problem *why);
/* The plain baseline over the same stages: drops what frees most bytes for its cost until it fits, or everything; its
 * cost is that of optimality, it claims nothing. */
PROBLEM_MUST_CHECK bool planner_greedy_within(const struct optimal *o, uint64_t peak_bytes, struct arena *a,
                                              struct plan *plan, uint32_t *of, struct problem *why);

#endif
