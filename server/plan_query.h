/* plan_query.h - what POST /v1/plans and /v1/capacity ask and answer. Functions of the request alone, and
 * where it names the device `host` of its calibration: the same bytes in give the same bytes out. Any thread. */
#ifndef REMATD_SERVER_PLAN_QUERY_H
#define REMATD_SERVER_PLAN_QUERY_H

#include "engine/plan/cost.h"
#include "server/plan_device.h"
#include "server/plan_optimal.h"
#include "server/wire_model.h"
#include "server/wire_strategy.h"

#define PLAN_QUERY_ARENA_BYTES ((uint64_t)512 << 20) /* of one plan */
#define PLAN_QUERY_POINTS      1000u                 /* of a timeline, unless max_points says otherwise */

enum plan_include {
    PLAN_INCLUDE_TIMELINE = 1,
    PLAN_INCLUDE_STEPS = 2,
    PLAN_INCLUDE_LAYERS = 4,
    PLAN_INCLUDE_ALIVE = 8,
    PLAN_INCLUDE_APPLY = 16,
    PLAN_INCLUDE_EXPLAIN = 32
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
    struct arena_bounds *bounds; /* of what planning it takes; NULL: none. Set by who asks */
};

enum plan_form { PLAN_FORM_PLAN, PLAN_FORM_CAPACITY, PLAN_FORM_JOB };

/* v: {"workload", "strategy", "budget_bytes", "device", "include", "max_points"}, with "find" for a capacity and the
 * "kind" of a job. */
PROBLEM_MUST_CHECK bool plan_query_read(const struct wire_value *v, enum plan_form form, struct plan_host *host,
                                        struct arena *a, struct plan_query *out, struct problem *why);
/* Appends the answer, an object under key. Problems point into the request as plan_query_read's do, relative to v. */
PROBLEM_MUST_CHECK bool plan_query_answer(const struct plan_query *q, struct wire_out *o, const char *key,
                                          struct problem *why);
PROBLEM_MUST_CHECK bool plan_query_capacity(const struct plan_query *q, struct wire_out *o, struct problem *why);

/* v: {"workload", "device", "points"}: what lies between memory and recomputation among the named strategies. In
 * plan_frontier.c. */
PROBLEM_MUST_CHECK bool plan_query_frontier_read(const struct wire_value *v, struct plan_host *host, struct arena *a,
                                                 struct plan_query *out, struct problem *why);
PROBLEM_MUST_CHECK bool plan_query_frontier(const struct plan_query *q, struct arena *a, struct wire_out *o,
                                            struct problem *why);

/* One plan, made in scratch. */
struct plan_made {
    struct graph graph;
    struct plan plan;
    uint64_t parameters;
    struct model_persistent persistent;
    uint64_t loss_chunk;                 /* of graph */
    const struct attn_kernel *attention; /* of graph */
    struct graph whole;                  /* graph, or where that chunks its loss the one that does not */
    uint64_t whole_flops;                /* of a pass of it that recomputes nothing */
};
/* What bounds the peak: the request's budget, or the strategy's where that is smaller. UINT64_MAX: nothing. */
uint64_t plan_query_budget(const struct plan_query *q);
/* What p, over made's graph, does beyond that, in percent of it. */
double plan_query_overhead_pct(const struct plan_made *made, const struct plan *p);
/* How much less than made's plan one of its class may cost in all, in percent: 0 where none costs less, or it claims
 * nothing. */
double plan_query_gap_pct(const struct plan_query *q, const struct plan_made *made);
PROBLEM_MUST_CHECK bool plan_query_make(const struct plan_query *q, struct arena *scratch, struct plan_made *made,
                                        struct problem *why);
/* q's workload, for its optimal plans. */
PROBLEM_MUST_CHECK bool plan_query_optimal(const struct plan_query *q, struct arena *scratch, struct plan_optimal *out,
                                           struct problem *why);
/* Under framework megatron; in plan_megatron.c. */
PROBLEM_MUST_CHECK bool plan_megatron_measure(const struct plan_query *q, struct megatron_bytes *out,
                                              uint64_t *peak_bytes, struct problem *why);
PROBLEM_MUST_CHECK bool plan_megatron_answer(const struct plan_query *q, struct arena *scratch, struct wire_out *o,
                                             const char *key, struct problem *why);
/* Of every microbatch of a step. */
PROBLEM_MUST_CHECK bool plan_query_tokens(const struct plan_query *q, uint64_t *tokens, struct problem *why);
/* Of q's device, which there is. */
struct cost_rates plan_query_rates(const struct plan_query *q);
/* Of a step on q's device: at its peak rates, or where it was measured, at those of each op. */
double plan_query_seconds(const struct plan_query *q, const struct plan *p);
/* The includes, into an open object; in plan_include.c and plan_apply.c. */
PROBLEM_MUST_CHECK bool plan_include_put(const struct plan_query *q, const struct plan *p, struct arena *scratch,
                                         struct wire_out *o, struct problem *why);
/* m: what q's strategy makes. */
PROBLEM_MUST_CHECK bool plan_apply_put(const struct plan_query *q, const struct plan_made *m, struct arena *scratch,
                                       struct wire_out *o, struct problem *why);
bool plan_apply_is_checkpointed(const struct strategy *s, uint64_t layer); /* as a whole */

/* What is in the slab at the peak: one life of one value (EXTENT_WORK: workspace), and its category. */
struct plan_alive {
    uint32_t value;
    uint64_t bytes;
    const char *category;
};
PROBLEM_MUST_CHECK bool plan_include_alive(const struct plan *p, struct arena *scratch, const struct plan_alive **list,
                                           uint32_t *n, struct problem *why);

/* ---- in words: plan_explain.c; what it proposes is planned in plan_suggest.c ---- */

/* "explain" of the answer, into an open object. */
PROBLEM_MUST_CHECK bool plan_explain_put(const struct plan_query *q, const struct plan_made *m,
                                         const struct plan *standard, struct arena *scratch, struct wire_out *o,
                                         struct problem *why);
PROBLEM_MUST_CHECK bool plan_explain_megatron(const struct plan_query *q, const struct megatron_bytes *b,
                                              struct arena *scratch, struct wire_out *o, struct problem *why);

/* Tensors of one name and category, over the layers. */
struct plan_group {
    uint32_t value; /* one of them */
    const char *name, *category;
    uint64_t count, bytes;
};
#define PLAN_GROUPS_MAX 96u
/* Adds alive to the group it belongs to; *n of PLAN_GROUPS_MAX, past which it is left out. */
PROBLEM_MUST_CHECK bool plan_suggest_group(const struct graph *g, const struct plan_alive *alive,
                                           struct plan_group *list, unsigned *n, struct arena *a, struct problem *why);
/* Largest first. */
void plan_suggest_sort(struct plan_group *list, unsigned n);

struct plan_named {
    struct wire_strategy strategy; /* json NULL: there is none */
    uint64_t peak_bytes;
    double overhead_pct;
};

/* More recomputation: what is recomputed as well, the plan of that, and what of today's peak it does not keep. */
struct plan_drop {
    const char *recompute; /* a part's or an op's name; NULL: layers share checkpoints */
    struct plan_named named;
    uint64_t freed_bytes;     /* of the peak */
    uint64_t recompute_flops; /* of a pass, more than today */
    struct plan_group *tensors;
    unsigned n_tensors;
};
#define PLAN_DROPS_MAX 3u
/* Those that lower the peak, most bytes a FLOP first; *n of PLAN_DROPS_MAX. None of a strategy that chooses itself. */
PROBLEM_MUST_CHECK bool plan_suggest_drops(const struct plan_query *q, const struct plan_made *m,
                                           const struct plan_alive *alive, uint32_t n_alive, struct arena *a,
                                           struct plan_drop *drops, unsigned *n, struct problem *why);

/* A change that fits where q does not: what is changed, and all of how it stands then. */
struct plan_way {
    const char *change; /* "strategy", "gradient_accumulation", "batch", "seq_len" */
    struct plan_named named;
    uint64_t batch, gradient_accumulation, seq_len;
};
#define PLAN_WAYS_MAX 4u
/* The smallest change of each kind, what changes training least first: a named strategy; a smaller batch, with more of
 * them a step and without; a shorter sequence. Where no strategy does it alone, batch (if none fits under q's own) and
 * sequence under the lightest one too. *n may be 0. *lightest is of the least memory. */
PROBLEM_MUST_CHECK bool plan_suggest_ways(const struct plan_query *q, struct arena *a, struct plan_way *ways,
                                          unsigned *n, struct plan_named *lightest, struct problem *why);

/* The least recomputation that fits q's budget, and the least memory: optimal, and of workloads that have no optimal
 * plans, or where that may not be the best, what a frontier tries. */
PROBLEM_MUST_CHECK bool plan_frontier_pick(const struct plan_query *q, struct arena *a, struct plan_named *cheapest,
                                           struct plan_named *lightest, struct problem *why);
/* The same of those that have closed forms; overhead_pct is not known. */
PROBLEM_MUST_CHECK bool plan_megatron_pick(const struct plan_query *q, struct plan_named *cheapest,
                                           struct plan_named *lightest, struct problem *why);
/* The largest value of q->find that fits, at most `most` (0: not even 1), and its peak. */
PROBLEM_MUST_CHECK bool plan_query_largest(const struct plan_query *q, uint64_t most, uint64_t *fits,
                                           uint64_t *peak_bytes, struct problem *why);

#endif
