/* job_training.h - what the files of kind `training_step` share: the request as read, and running it. */
#ifndef REMATD_SERVER_JOB_TRAINING_H
#define REMATD_SERVER_JOB_TRAINING_H

#include "server/job_program.h"
#include "server/job_training_data.h"
#include "server/job_training_weights.h"
#include "server/plan_candidates.h"
#include "server/wire_model.h"
#include "server/wire_strategy.h"

#define TRAINING_STEPS_MAX 10000u

/* What is kept as files when the job ends. */
enum training_output {
    TRAINING_GRADIENTS = 1,      /* of the last step, before clipping */
    TRAINING_WEIGHTS = 2,        /* after the last step */
    TRAINING_INITIAL_WEIGHTS = 4 /* before the first */
};

struct training_spec {
    struct wire_workload w;
    struct wire_strategy own, compare;
    bool compared, witness;
    struct plan_candidate *candidates; /* where the strategy is auto */
    unsigned n_candidates;
    uint64_t budget_bytes, seed, steps;
    struct update_rule rule;
    double clip_norm;
    unsigned outputs; /* enum training_output */
    struct training_data data;
    struct training_weights weights;
};

/* The kind's run; job->program is a struct job_pair, job->spec a struct training_spec. */
PROBLEM_MUST_CHECK bool job_training_run(const struct job *job, const struct job_context *c, struct job_run *run,
                                         struct problem *why);

#endif
