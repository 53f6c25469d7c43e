/* checkpoint_run.h - what every handle of remat.h holds: a graph, its plan and the executor half way through it.
 *
 * A handle starts a run (arena reset), builds its graph, and hands over tensors; forward stops at the turn, backward
 * goes to the end. */
#ifndef REMATD_ENGINE_CHECKPOINT_RUN_H
#define REMATD_ENGINE_CHECKPOINT_RUN_H

#include "engine/exec/exec.h"
#include "engine/plan/planner.h"
#include "engine/remat.h"

/* A caller's tensor that stands for a value of the graph. */
struct binding {
    uint32_t value;
    const float *from;
};

struct remat_run {
    struct remat_options options;
    struct arena arena;
    struct pool *pool;
    struct slab *slab, *persistent;
    struct graph graph;
    struct plan plan;
    struct exec *exec;
    struct binding *bindings; /* inputs; then gradients of outputs */
    uint32_t n_bindings, bindings_room;
    uint32_t *inputs, *outputs; /* tensors of the graph */
    uint32_t n_inputs, n_outputs;
    enum { RUN_FRESH, RUN_FORWARDED, RUN_DONE } state;
    struct remat_report report;
    void *own; /* the handle's, freed with free */
};

struct remat_run *checkpoint_run_new(const struct remat_options *options, struct problem *why);
void checkpoint_run_free(struct remat_run *r);

/* Forgets the last run and starts an empty graph. */
PROBLEM_MUST_CHECK bool checkpoint_run_start(struct remat_run *r, struct problem *why);
/* Adds an input tensor with the caller's data. where names it in problems. */
uint32_t checkpoint_run_input(struct remat_run *r, const char *where, const char *name, const struct remat_tensor *from,
                              bool needs_grad, struct problem *why);
/* inputs and outputs are set: requests them, plans (keep: everything, else the strategy), runs to the turn, copies out.
 */
PROBLEM_MUST_CHECK bool checkpoint_run_forward(struct remat_run *r, const struct strategy *strategy,
                                               struct remat_tensor *const *outputs, const char *const *names,
                                               struct problem *why);
/* Runs to the end with the gradients given; copies the gradients of r->inputs out. */
PROBLEM_MUST_CHECK bool checkpoint_run_backward(struct remat_run *r, const struct remat_tensor *const *grad_outputs,
                                                struct remat_tensor *const *grad_inputs, const char *const *names,
                                                struct problem *why);

/* from engine/base/problem.h to remat.h's; returns ok. */
bool checkpoint_tell(bool ok, const struct problem *inner, struct remat_problem *why);

#endif
