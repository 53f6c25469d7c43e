/* chain_stage.h - one stage of a graph by itself: its ops and values under numbers of its own, its runs as moves, and
 * what those take. For chain_graph*.c and chain_options.c alone. */
#ifndef REMATD_PLAN_CHAIN_STAGE_H
#define REMATD_PLAN_CHAIN_STAGE_H

#include "engine/plan/chain.h"
#include "engine/plan/plan.h"

/* When a value is there though the stage has not made it, or stays though the stage is done with it. */
enum local_there {
    LOCAL_START_FIRST = 1, /* before its forward, in the first pass; as for what enters, in every pass */
    LOCAL_END_FIRST = 2,
    LOCAL_START_AGAIN = 4, /* before and after its forward, again */
    LOCAL_END_AGAIN = 8,
    LOCAL_START_BACKWARD = 16,
    LOCAL_END_BACKWARD = 32,
    LOCAL_ENTERS = 64, /* what enters: before all of them, and after one where it stays */
    LOCAL_LEAVES = 128,
    LOCAL_OWN_SAVED = 256, /* made by the stage, read by its backward, nobody else's: may be kept or dropped */
};

struct local_value {
    uint64_t bytes; /* an extent */
    uint32_t value; /* of the graph; gradients follow tensors, as in struct plan */
    uint32_t maker; /* op of the stage, or GRAPH_NONE */
    unsigned there; /* enum local_there */
};

/* Values an op touches, by local number. */
struct local_list {
    uint32_t *of;
    uint32_t n;
};
struct local_op {
    struct local_list reads, makes, saved, gradients;
    uint64_t forward_work, backward_work; /* extents */
    bool needs_grad, function;
};

struct local_stage {
    const struct graph *graph;
    uint32_t first_op, n_ops, n_values;
    struct local_op *ops;
    struct local_value *values;
    /* scratch of moves and walks */
    unsigned char *next, *mark; /* by value */
    bool *have;                 /* by value */
    bool *run, *again;          /* by op */
    uint32_t *touched;          /* by value: the first move that touches it */
};

/* Ops first_op .. first_op + n_ops of g, values numbered as they are touched; `there` is left to the caller but for
 * LOCAL_OWN_SAVED. local: by value of the graph, all GRAPH_NONE, and so again afterwards. */
PROBLEM_MUST_CHECK bool chain_stage_make(const struct graph *g, uint32_t first_op, uint32_t n_ops, uint32_t *local,
                                         struct arena *a, struct local_stage *s, struct problem *why);

#define CHAIN_STAGE_MOVES(s) (3 * (size_t)(s)->n_ops + 1) /* at most, of a forward and a backward */

/* What is written behind moves[n]; ops are numbered within the stage. Returns the new n.
 * Forward: all ops in the first pass, else those that what it keeps (drop: by op, whether what it saves is dropped;
 * NULL: nothing is kept) and, with `leaves`, what leaves needs. */
uint32_t chain_stage_forward(struct local_stage *s, const bool *drop, enum chain_pass pass, bool leaves,
                             struct step *moves, uint32_t n);
/* Backward: what is dropped is made again just before the first gradient that reads it, or with `early` before all. */
uint32_t chain_stage_backward(struct local_stage *s, const bool *drop, bool early, struct step *moves, uint32_t n);

/* The most bytes of the stage's values that are there at once during the moves and after them. Before them gradients
 * with a flag of `start` are there, after them values with a flag of `end` and, with kept_end, what drop does not drop.
 */
struct walk {
    unsigned start, end;
    const bool *drop;
    bool kept_end;
};
uint64_t chain_stage_walk(struct local_stage *s, const struct step *moves, uint32_t n, const struct walk *w);

static inline bool chain_stage_keeps(const struct local_value *v, const bool *drop) {
    return v->there & LOCAL_OWN_SAVED && drop && !drop[v->maker];
}

#endif
