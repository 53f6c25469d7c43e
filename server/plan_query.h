/* plan_query.h - what POST /v1/plans and /v1/capacity ask and answer. Pure functions of the request: no store, no
 * clock; the same bytes in give the same bytes out. Any thread. */
#ifndef REMATD_SERVER_PLAN_QUERY_H
#define REMATD_SERVER_PLAN_QUERY_H

#include "engine/models/devices.h"
#include "server/wire_model.h"
#include "server/wire_strategy.h"

#define PLAN_QUERY_ARENA_BYTES ((uint64_t)512 << 20) /* of one plan */
#define PLAN_QUERY_POINTS      1000u                 /* of a timeline, unless max_points says otherwise */

enum plan_include {
    PLAN_INCLUDE_TIMELINE = 1,
    PLAN_INCLUDE_STEPS = 2,
    PLAN_INCLUDE_LAYERS = 4,
    PLAN_INCLUDE_ALIVE = 8,
    PLAN_INCLUDE_APPLY = 16
};

enum plan_find { PLAN_FIND_NOTHING, PLAN_FIND_SEQ_LEN, PLAN_FIND_BATCH, PLAN_FIND_LAYERS };

struct plan_query {
    struct wire_workload w;
    struct wire_strategy strategy;
    const struct device *device; /* NULL: none */
    uint64_t budget_bytes;       /* UINT64_MAX: unlimited */
    unsigned include;            /* enum plan_include */
    uint64_t max_points;
    enum plan_find find;
};

/* v: {"workload", "strategy", "budget_bytes", "device", "include", "max_points"}, with "find" if capacity. */
PROBLEM_MUST_CHECK bool plan_query_read(const struct wire_value *v, bool capacity, struct arena *a,
                                        struct plan_query *out, struct problem *why);
/* Appends the answer, an object under key. Problems point into the request as plan_query_read's do, relative to v. */
PROBLEM_MUST_CHECK bool plan_query_answer(const struct plan_query *q, struct wire_out *o, const char *key,
                                          struct problem *why);
PROBLEM_MUST_CHECK bool plan_query_capacity(const struct plan_query *q, struct wire_out *o, struct problem *why);

/* v: {"workload", "device", "points"}: what lies between memory and recomputation among the named strategies. In
 * plan_frontier.c. */
PROBLEM_MUST_CHECK bool plan_query_frontier_read(const struct wire_value *v, struct arena *a, struct plan_query *out,
                                                 struct problem *why);
PROBLEM_MUST_CHECK bool plan_query_frontier(const struct plan_query *q, struct arena *a, struct wire_out *o,
                                            struct problem *why);

/* One plan, made in scratch. */
struct plan_made {
    struct graph graph;
    struct plan plan;
    uint64_t parameters;
    struct model_persistent persistent;
};
PROBLEM_MUST_CHECK bool plan_query_make(const struct plan_query *q, struct arena *scratch, struct plan_made *made,
                                        struct problem *why);
/* Under framework megatron; in plan_megatron.c. */
PROBLEM_MUST_CHECK bool plan_megatron_measure(const struct plan_query *q, struct megatron_bytes *out,
                                              uint64_t *peak_bytes, struct problem *why);
PROBLEM_MUST_CHECK bool plan_megatron_answer(const struct plan_query *q, struct arena *scratch, struct wire_out *o,
                                             const char *key, struct problem *why);
/* Of every microbatch of a step. */
PROBLEM_MUST_CHECK bool plan_query_tokens(const struct plan_query *q, uint64_t *tokens, struct problem *why);
/* Of a step on q's device, at its peak rates. */
double plan_query_seconds(const struct plan_query *q, const struct plan *p);
/* The includes, into an open object; in plan_include.c and plan_apply.c. */
PROBLEM_MUST_CHECK bool plan_include_put(const struct plan_query *q, const struct plan *p, struct arena *scratch,
                                         struct wire_out *o, struct problem *why);
void plan_apply_put(const struct plan_query *q, struct wire_out *o);

#endif
