/* chain_options.h - what a stage may keep: its options, found from its ops. For chain_graph.c alone. */
#ifndef REMATD_PLAN_CHAIN_OPTIONS_H
#define REMATD_PLAN_CHAIN_OPTIONS_H

#include "engine/plan/chain_stage.h"

/* One choice: the ops whose saved outputs are dropped, of which lowering, and when they are made again. */
struct stage_choice {
    const bool *drop; /* by op of the stage */
    uint32_t of;      /* 0: the graph; 1..: an other one */
    bool early;
};

/* Bytes are those of the stage's values alone, what enters counted. */
struct stage_options {
    uint64_t fast_cost, fast_need[CHAIN_PASSES], moving_need[CHAIN_PASSES];
    struct chain_option *options;
    struct chain_single *singles;
    uint32_t n_options, n_singles;
    const struct stage_choice *choices; /* what chain_option.choice and chain_single.choice count */
    uint32_t n_choices;
    bool exact;
};

/* forward: cost of a run by op of the graph. last: it ends the chain: singles are of the first pass, nothing leaves. */
PROBLEM_MUST_CHECK bool chain_options_find(struct local_stage *s, const uint64_t *forward, bool last, struct arena *a,
                                           struct stage_options *out, struct problem *why);
/* The best of both, in out: more's choices are of lowering `of` and cost `extra` more. */
PROBLEM_MUST_CHECK bool chain_options_join(struct stage_options *out, const struct stage_options *more, uint32_t of,
                                           uint64_t extra, struct arena *a, struct problem *why);

#endif
