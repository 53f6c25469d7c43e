/* plan_posted.h - plans of graphs and chains that are posted: {"graph" or "chain", "strategy", "budget_bytes",
 * "device", "include", "max_points"}. What both say is read and written here; what each is, in plan_graph.c and
 * plan_chain.c.
 *
 * Where no time limit cuts a search short an answer is a function of the request. Any thread. */
#ifndef REMATD_SERVER_PLAN_POSTED_H
#define REMATD_SERVER_PLAN_POSTED_H

#include "server/plan_device.h"
#include "server/wire_chain.h"
#include "server/wire_graph.h"

#define PLAN_POSTED_ARENA_BYTES     ((uint64_t)512 << 20) /* of one answer */
#define PLAN_POSTED_SECONDS         10                    /* the time limit where none is given */
#define PLAN_POSTED_SECONDS_AT_ONCE 60                    /* the longest of what is answered at once */
#define PLAN_POSTED_SECONDS_OF_JOBS 86400

enum plan_posted_strategy { PLAN_POSTED_STANDARD, PLAN_POSTED_OPTIMAL, PLAN_POSTED_OPTIMAL_DAG };

struct plan_posted {
    bool is_chain;
    struct wire_graph graph;
    struct chain_posted chain;
    enum plan_posted_strategy strategy;
    const char *json; /* of the strategy, as it goes out again */
    const struct device *device;
    uint64_t budget_bytes; /* UINT64_MAX: none */
    unsigned include;      /* PLAN_INCLUDE_STEPS, PLAN_INCLUDE_TIMELINE */
    uint64_t max_points;   /* of a timeline; of a frontier */
    double time_limit_seconds;
    bool reorder;
    struct arena_bounds *bounds; /* of what planning it takes; NULL: none. Set by who asks */
};

enum plan_posted_form { PLAN_POSTED_AT_ONCE, PLAN_POSTED_FRONTIER, PLAN_POSTED_JOB };

/* Whether v asks for a graph or chain (and not for a workload). */
bool plan_posted_is(const struct wire_value *v);
/* Problems point into the request. Everything lives in a, nothing in the document. */
PROBLEM_MUST_CHECK bool plan_posted_read(const struct wire_value *v, enum plan_posted_form form, struct plan_host *host,
                                         struct arena *a, struct plan_posted *out, struct problem *why);
/* The time limit of the search that v asks for, in seconds; 0 where it asks for none, or wrongly. */
double plan_posted_seconds(const struct wire_value *v);

/* What a search knows so far, in the client's own seconds or in FLOPs. */
struct plan_posted_progress {
    bool found, in_seconds;
    double cost, overhead_pct, gap_pct, lower_bound, elapsed_seconds;
    uint64_t peak_bytes, states;
};

/* Who watches a search; ask is called now and then and may end it. All of it may be NULL. */
struct plan_posted_watch {
    bool (*ask)(void *user, const struct plan_posted_progress *p);
    void *user;
    bool cut; /* set where the time limit or ask ended a search before it was done */
};

/* Appends the answer, an object under key. */
PROBLEM_MUST_CHECK bool plan_posted_answer(const struct plan_posted *q, struct plan_posted_watch *watch,
                                           struct wire_out *o, const char *key, struct problem *why);
/* Of a frontier's answer. */
PROBLEM_MUST_CHECK bool plan_posted_frontier(const struct plan_posted *q, struct plan_posted_watch *watch,
                                             struct wire_out *o, struct problem *why);

/* ---- for plan_graph.c and plan_chain.c ---- */

enum plan_posted_do { PLAN_POSTED_RUN, PLAN_POSTED_GRAD, PLAN_POSTED_FREE };

/* One instruction. */
struct plan_posted_step {
    enum plan_posted_do what;
    uint32_t of;         /* value of a graph, stage of a chain */
    uint32_t keep;       /* chains: the option; DAG_NONE: none */
    uint64_t live_bytes; /* while it runs; what FREE frees among them */
};

/* A plan that was proven and counted anew. */
struct plan_posted_plan {
    const struct plan_posted_step *steps;
    uint32_t n_steps;
    uint32_t peak_step;
    uint64_t peak_bytes;
    double seconds;                        /* its own units; without meaning where costs are FLOPs */
    uint64_t forward, backward, recompute; /* FLOPs */
};

/* What became of a question. */
struct plan_posted_result {
    struct plan_posted_plan plan, standard; /* plan.n_steps 0: there is none */
    double least_cost, cost;                /* of running everything once; of the plan: in seconds or FLOPs */
    bool undecided;                         /* no plan was found, and that there is none was not proven */
    uint64_t minimum_budget_bytes;          /* for which a plan is known; where there is none in the budget */
    bool minimum_exact;                     /* fewer will not do */
    uint32_t binds;                         /* value or stage, where there is no plan */
    bool binds_backward;
    const char *class, *solver; /* of the proof; class NULL: nothing is proven */
    double lower_bound;         /* as cost */
    uint64_t lower_bound_flops, states;
    bool exact;
};

/* Of a posted graph's plan: fills in everything. */
PROBLEM_MUST_CHECK bool plan_graph_solve(const struct plan_posted *q, struct plan_posted_watch *watch,
                                         struct arena *scratch, struct plan_posted_result *out, struct problem *why);
PROBLEM_MUST_CHECK bool plan_chain_solve(const struct plan_posted *q, struct plan_posted_watch *watch,
                                         struct arena *scratch, struct plan_posted_result *out, struct problem *why);

/* Of a chain, among all plans; out is what is known of persistent ones, whose best costs `cost` (UINT64_MAX: there is
 * none) in units of c, and is made better where it can be. */
PROBLEM_MUST_CHECK bool plan_chain_any(const struct plan_posted *q, const struct chain *c, double unit, uint64_t cost,
                                       struct arena *scratch, struct plan_posted_result *out, struct problem *why);

/* A point of a frontier. */
struct plan_posted_point {
    uint64_t bytes;
    double cost;
    bool exact;
};
/* At most max_points; bytes strictly fall and costs strictly rise. least_cost: of running everything once. */
struct plan_posted_curve {
    const struct plan_posted_point *points;
    uint32_t n;
    double least_cost;
    uint64_t standard_bytes;
    double standard_cost;
    bool exact; /* these are all the breakpoints there are, or of them */
};
PROBLEM_MUST_CHECK bool plan_graph_frontier(const struct plan_posted *q, struct plan_posted_watch *watch,
                                            struct arena *scratch, struct plan_posted_curve *out, struct problem *why);
PROBLEM_MUST_CHECK bool plan_chain_frontier(const struct plan_posted *q, struct arena *scratch,
                                            struct plan_posted_curve *out, struct problem *why);

/* 100 (cost - least) / least; 0 where that is 0. */
double plan_posted_overhead(double cost, double least);
/* Whether costs are the client's seconds, and not FLOPs. */
bool plan_posted_in_seconds(const struct plan_posted *q);

#endif
