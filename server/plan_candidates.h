/* plan_candidates.h - the strategies that are tried where one is to be chosen: for a frontier, for a suggestion, for a
 * job whose strategy is "auto". */
#ifndef REMATD_SERVER_PLAN_CANDIDATES_H
#define REMATD_SERVER_PLAN_CANDIDATES_H

#include "engine/plan/planner.h"

#define PLAN_CANDIDATES_MAX 64u

struct plan_candidate {
    struct strategy strategy;
    const char *json; /* as requests say it; in the arena */
};

/* For a graph of so many layers, all with this loss_chunk: list has room for PLAN_CANDIDATES_MAX. */
PROBLEM_MUST_CHECK bool plan_candidates_make(uint64_t layers, uint64_t loss_chunk, struct arena *a,
                                             struct plan_candidate *list, unsigned *n, struct problem *why);

#endif
