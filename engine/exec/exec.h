/* exec.h - runs a plan: every tensor at the place the layout gave it, in a slab of exactly the planned bytes.
 *
 * One executor belongs to one thread (its kernels use the pool). It can stop at the turn, between forward and backward,
 * and go on later; it can run its plan again on other inputs. What it reports it has counted itself while running; the
 * planner's figures are not consulted. */
#ifndef REMATD_EXEC_EXEC_H
#define REMATD_EXEC_EXEC_H

#include "engine/base/pool.h"
#include "engine/exec/slab.h"
#include "engine/kernels/numbers.h"
#include "engine/plan/plan.h"

struct exec_options {
    struct pool *pool; /* NULL: this thread alone. graph.threads must be at least its threads */

    /* Writes plan_value_bytes(value) bytes: an input or parameter (before the first step), or the gradient of a
     * requested output (just before it is first used). Required. */
    bool (*load)(void *user, uint32_t value, void *dst, struct problem *why);
    void *user;

    uint64_t (*now_ns)(void);                                    /* NULL: times stay 0 */
    bool (*cancelled)(void *user);                               /* asked before every step; NULL: never */
    void (*progress)(void *user, uint32_t done, uint32_t total); /* after every step; may be NULL */
    bool witness;         /* fill the slab first, scan it at the end (exec_finish), and clear what is freed */
    bool check_recompute; /* PROBLEM_NONDETERMINISTIC if a second run of an op gives other results than the first */
};

struct exec_report {
    uint64_t measured_peak_bytes; /* persistent bytes + the end of the highest extent in use */
    uint64_t live_peak_bytes;     /* counted step by step */
    uint64_t retained_peak_bytes; /* observed: tensors that the backward did read again, and recomputed ones */
    uint64_t saved_bytes;         /* of those, held at the turn */
    uint64_t touched_bytes;       /* with witness: end of the highest byte of the slab that was written */
    uint64_t forward_ns, recompute_ns, backward_ns;
    uint64_t forward_flops, recompute_flops, backward_flops;
};

struct exec;

/* Whether there are kernels for every op of the graph and its tensors; exec_new asks too. */
PROBLEM_MUST_CHECK bool exec_runs(const struct graph *g, struct problem *why);

/* Reserves slab and persistent memory, loads parameters and inputs. The plan, both slabs and the options' user outlive
 * it. */
PROBLEM_MUST_CHECK struct exec *exec_new(const struct plan *plan, struct slab *slab, struct slab *persistent,
                                         const struct exec_options *options, struct problem *why);
void exec_free(struct exec *e); /* NULL is fine; the slabs stay */

/* Runs steps up to (not including) `until`; plan->turn and plan->n_steps are the usual ones. After a problem the
 * executor can only be freed. */
PROBLEM_MUST_CHECK bool exec_run(struct exec *e, uint32_t until, struct problem *why);

/* Where a value lies now, or NULL if it is not there. Gradients: n_tensors + id. Values stay where they are until
 * freed. */
void *exec_value(const struct exec *e, uint32_t value);

/* The same as its kernels see it: in float32 or bfloat16. */
struct numbers exec_numbers(const struct exec *e, uint32_t value);

/* After the last step: back to the first. What is in the slab goes; parameters and their gradients, which go on adding
 * up, stay. Inputs and the outputs' gradients are loaded afresh; dropout draws other numbers. */
PROBLEM_MUST_CHECK bool exec_rewind(struct exec *e, struct problem *why);

/* Sets the gradients of all parameters to zero, as they are when the executor is made. */
void exec_clear_gradients(struct exec *e);

/* Persistent bytes and the end of the highest extent that was in use so far. */
uint64_t exec_peak_bytes(const struct exec *e);

/* graph.optimizer_bytes of persistent memory, aligned for floats; zero when the executor is made. */
void *exec_optimizer(const struct exec *e);

/* After the last step: fills the report (times and FLOPs are sums over all runs) and, with witness, checks the bytes
 * around the slab (PROBLEM_WITNESS). */
PROBLEM_MUST_CHECK bool exec_finish(struct exec *e, struct exec_report *report, struct problem *why);

#endif
