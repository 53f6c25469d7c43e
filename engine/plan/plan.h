/* plan.h - a plan is a program over a graph: run, grad, free. Planners write the moves, plan_make adds the frees and
 * has the result checked, simulated and laid out; the executor runs it. Everything lives in the arena given; a finished
 * plan is read-only. See docs/memory-model.md for what each figure means. */
#ifndef REMATD_PLAN_PLAN_H
#define REMATD_PLAN_PLAN_H

#include "engine/graph/graph.h"

enum step_op {
    STEP_RUN,  /* forward of an op; a second run of it is a recomputation */
    STEP_GRAD, /* backward of an op */
    STEP_FREE, /* a value goes */
    STEP_OPS
};

/* A value is a tensor (its id) or the gradient of one (n_tensors + its id). */
struct step {
    enum step_op op;
    uint32_t of; /* run, grad: op id; free: value */
};

#define EXTENT_WORK UINT32_MAX

/* A place in the slab for one life of one value, or for the workspace of one step. */
struct extent {
    uint32_t value;       /* EXTENT_WORK for workspace */
    uint32_t first, last; /* steps, both included */
    uint64_t bytes;       /* a multiple of UNITS_EXTENT */
    uint64_t offset;
};

/* What is in the slab at one step, by kind; extents, so they sum to live bytes. */
struct plan_moment {
    uint64_t live_bytes;
    uint64_t saved_activations_bytes, recomputed_bytes, activation_gradients_bytes, inputs_outputs_bytes,
        transient_bytes, workspace_bytes;
    uint64_t retained_bytes; /* saved plus recomputed, exact tensor sizes */
};

/* How good a plan is that claims to be: of whatever its class may do, none costs less than lower_bound. */
struct plan_optimality {
    const char *class;          /* "persistent", "all"; NULL: it claims nothing */
    const char *solver;         /* "chain", "exact", "search" */
    uint64_t cost, lower_bound; /* of recomputation, both in the planner's unit: FLOPs, or parts of a second */
    double unit;                /* seconds a unit; 0: FLOPs */
    uint64_t states;
    bool exact;
};

struct plan {
    const struct graph *graph;
    struct step *steps;
    uint32_t n_steps;
    uint32_t turn;          /* the first step of the backward; n_steps where there is none */
    struct extent *extents; /* by first step */
    uint32_t n_extents;

    uint64_t slab_bytes, live_peak_bytes;
    uint64_t retained_peak_bytes, saved_activations_bytes;
    uint64_t persistent_bytes, peak_bytes; /* peak = persistent + slab */
    uint32_t peak_step;
    struct plan_moment peak;
    uint64_t forward_flops, backward_flops, recompute_flops;
    struct plan_optimality optimality;
};

/* moves: runs and grads in order, without frees. Adds a free after the last use of every life of every value, then
 * checks, simulates and lays out. */
PROBLEM_MUST_CHECK bool plan_make(const struct graph *g, const struct step *moves, uint32_t n_moves,
                                  struct arena *arena, struct plan *plan, struct problem *why);

/* Proves that the steps are a legal program: inputs and saved sets resident, each gradient once and in reverse graph
 * order, everything made is freed, only what was requested is left. Shares no code with the planners or the simulator.
 */
PROBLEM_MUST_CHECK bool plan_check(const struct plan *plan, struct arena *arena, struct problem *why);

/* Fills in extents (offsets aside) and every figure but slab and peak bytes; moments[n_steps] too where not NULL. */
PROBLEM_MUST_CHECK bool plan_simulate(struct plan *plan, struct arena *arena, struct plan_moment *moments,
                                      struct problem *why);

/* Gives every extent an offset such that no two that live at once overlap; sets slab_bytes and peak_bytes.
 * Deterministic. */
PROBLEM_MUST_CHECK bool plan_layout(struct plan *plan, struct arena *arena, struct problem *why);

/* Names in the arena: an op's, a tensor's, or "d(NAME)"; with the layer before it where the graph borrows its names. */
const char *plan_op_name(const struct graph *g, uint32_t op, struct arena *arena, struct problem *why);
const char *plan_value_name(const struct graph *g, uint32_t value, struct arena *arena, struct problem *why);
uint64_t plan_value_bytes(const struct graph *g, uint32_t value);
/* "run", "grad", "free" */
const char *plan_step_name(enum step_op op);

/* The program for people, one step a line with live bytes, in the arena. NULL with a problem. */
const char *plan_print(const struct plan *plan, struct arena *arena, struct problem *why);

#endif
