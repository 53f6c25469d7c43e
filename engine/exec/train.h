/* train.h - training: steps of forward, backward and update over one executor, which keeps parameters, gradients and
 * what the optimizer remembers in its persistent memory from step to step.
 *
 * A step is `accumulation` runs of the plan (microbatches, in order), then one update. Gradients add up over the runs;
 * the caller's load gives the loss the gradient 1 / accumulation. Clipping divides all gradients by their joint norm
 * where it is above the bound (Pascanu et al. 2013). Every run of the plan is a pass of its own for dropout. Nothing
 * here depends on the plan: same bits under every one. */
#ifndef REMATD_EXEC_TRAIN_H
#define REMATD_EXEC_TRAIN_H

#include "engine/base/digest.h"
#include "engine/exec/exec.h"
#include "engine/models/optimizer.h"

struct train_options {
    struct exec *exec;                 /* fresh */
    const struct plan *plan;           /* that it runs */
    struct pool *pool;                 /* its own */
    uint32_t loss;                     /* the graph's output */
    uint64_t accumulation;             /* >= 1 */
    const struct optimizer *optimizer; /* with update, or one that does not step */
    struct update_rule rule;
    double clip_norm; /* 0: none */
    bool digest;      /* of every loss and every gradient, step after step */
    uint64_t (*now_ns)(void);
    bool (*cancelled)(void *user); /* asked between tensors of an update; NULL: never */
    void *user;
};

struct train {
    struct train_options options;
    bool ran;             /* the executor's plan has run before */
    uint64_t step;        /* steps taken */
    struct digest digest; /* so far */
    uint64_t update_ns;   /* of all steps */
};

/* What a step says of itself. */
struct train_step {
    double loss;          /* the mean over the microbatches */
    double gradient_norm; /* before clipping */
};

/* PROBLEM_UNSUPPORTED at /optimizer where its update is planned and not run yet. */
PROBLEM_MUST_CHECK bool train_init(struct train *t, const struct train_options *options, struct problem *why);
/* Forward, backward, update. The gradients stay, unclipped, until the next step. After a problem the executor can only
 * be freed. */
PROBLEM_MUST_CHECK bool train_step(struct train *t, struct train_step *out, struct problem *why);

#endif
