/* job_program.h - what the computing kinds share: a planned graph, where its tensors come from, what it yields; running
 * one, running its comparison, and the result they make.
 *
 * A kind fills in struct job_computation and hands `build`, which makes the program of one strategy. */
#ifndef REMATD_SERVER_JOB_PROGRAM_H
#define REMATD_SERVER_JOB_PROGRAM_H

#include "engine/models/stack.h"
#include "engine/plan/planner.h"
#include "server/job.h"
#include "server/wire_tensor.h"

/* A tensor that is given: its numbers, and its name in the result's "inputs" if they came from a seed. */
struct job_feed {
    uint32_t value;                   /* as exec's load asks for it */
    const struct wire_tensor *tensor; /* or, NULL, */
    const struct stack_origin *origin;
    const char *group, *name; /* "parameters", "0.linear.weight"; group NULL: at the top */
    unsigned rank;
    uint64_t shape[GRAPH_RANK_MAX]; /* as the client sees it */
};

/* An output or gradient. Those of one group are a list (name NULL) or an object in the result; group NULL: at the top.
 */
struct job_yield {
    uint32_t value;
    const char *group, *name;
    unsigned rank;
    uint64_t shape[GRAPH_RANK_MAX];
};

struct job_program {
    struct graph graph;
    struct plan plan;
    struct job_feed *feeds;
    uint32_t n_feeds;
    uint32_t *feed_of; /* by value: 1 + index of its feed; 0: none */
    struct job_yield *yields;
    uint32_t n_yields;
    const char *strategy; /* JSON */
};

/* Room for the lists; the graph is complete. */
PROBLEM_MUST_CHECK bool job_program_room(struct job_program *p, uint32_t feeds, uint32_t yields, struct problem *why);
struct job_feed *job_program_feed(struct job_program *p, uint32_t value, const struct wire_tensor *tensor,
                                  const char *group, const char *name);
struct job_yield *job_program_yield(struct job_program *p, uint32_t value, const char *group, const char *name);

/* Candidates are numbers that `build` knows. Of those that fit, the one that recomputes least is taken; among equals
 * the first. Where the ops themselves differ in one arithmetic (a chunked loss makes its logits twice), their FLOPs
 * count too. */
struct job_computation {
    bool (*build)(const void *spec, unsigned candidate, const struct job_context *c, struct job_program *p,
                  struct problem *why);
    const unsigned *candidates;
    unsigned n_candidates;
    bool automatic; /* the client asked for the fastest that fits */
    bool ops_differ;
    int compare_candidate;                 /* < 0: none */
    uint64_t budget_bytes, strategy_bytes; /* budgets of the request and of its strategy; 0: none */
    bool witness;                          /* fill and scan the slab */
};

struct job_pair {
    struct job_program own, compare;
    bool compared, witness, ops_differ;
};

/* The smaller of both budgets; 0: there is none. */
static inline uint64_t job_program_budget(uint64_t budget_bytes, uint64_t strategy_bytes) {
    return strategy_bytes && (budget_bytes == 0 || strategy_bytes < budget_bytes) ? strategy_bytes : budget_bytes;
}
/* "/objective" where a strategy spares seconds: jobs run here, whose rates are not known. */
PROBLEM_MUST_CHECK bool job_program_objective(const struct strategy *s, struct problem *why);
/* Chooses, checks against budget and limit, sets job->program (a struct job_pair), plan, admission_bytes, planned. */
PROBLEM_MUST_CHECK bool job_program_plan(struct job *job, const struct job_computation *computation,
                                         const struct job_context *c, struct problem *why);
/* The kinds' run. */
PROBLEM_MUST_CHECK bool job_program_run(const struct job *job, const struct job_context *c, struct job_run *run,
                                        struct problem *why);

/* Whether admission_bytes stays within the limit; sets admission_bytes from peak_bytes. */
PROBLEM_MUST_CHECK bool job_admit(struct job *job, uint64_t peak_bytes, const struct job_context *c,
                                  struct problem *why);

#endif
