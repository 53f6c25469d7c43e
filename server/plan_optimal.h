/* plan_optimal.h - optimal plans of a workload: its lowerings, and the frontier over all of them. For plans, frontiers
 * and jobs alike, so that what is planned is what is run. Everything lives in the arena given. */
#ifndef REMATD_SERVER_PLAN_OPTIMAL_H
#define REMATD_SERVER_PLAN_OPTIMAL_H

#include "engine/models/model.h"
#include "engine/plan/planner_optimal.h"

struct plan_optimal {
    struct optimal of;
    struct graph *graphs; /* as the strategy has its loss; behind it, where that is whole, the loss in chunks */
    uint64_t chunks[2];   /* of each: workload.loss_chunk */
    uint32_t n_graphs;
};

/* rates may be NULL where the objective is FLOPs. Problems of the workload point into it ("" for the whole). */
PROBLEM_MUST_CHECK bool plan_optimal_open(const struct workload *w, const struct strategy *s,
                                          const struct cost_rates *rates, struct arena *a, struct plan_optimal *out,
                                          struct problem *why);
/* The cheapest plan within peak_bytes or the smallest there is; *which of graphs it is over. */
PROBLEM_MUST_CHECK bool plan_optimal_within(const struct plan_optimal *p, uint64_t peak_bytes, struct arena *a,
                                            struct plan *plan, uint32_t *which, struct problem *why);
/* The live bytes that every plan takes, and what persists: no peak is smaller. Soon known. */
PROBLEM_MUST_CHECK bool plan_optimal_least(const struct plan_optimal *p, struct arena *a, uint64_t *peak_bytes,
                                           struct problem *why);

#endif
