/* chain_graph.h - a graph as a chain: cut where one tensor crosses, with the options of each stage found from its ops.
 *
 * A cut lies where, of what earlier ops made, later ops read one tensor, and some later op saves it. A tensor that ops
 * of several layers read, an input and a requested output are *resident*: there from their making to the backward of
 * the first stage that reads them, in no stage's options.
 *
 * An option of a stage is a set of its ops whose saved outputs are *dropped*: they are made again in its backward from
 * what is kept, each once, just before the first gradient that needs them ("late") or all before the first gradient
 * ("early"). All sets are tried up to CHAIN_GRAPH_EXACT droppers, else those that single ops and neighbours span
 * (`exact` says which it was); a set that runs an op again without dropping what that saves is beaten by the one that
 * does. Of all, the Pareto set in bytes kept, needs and costs remains. Stages with the same structure share it.
 *
 * Bytes are those of plan_simulate, extents included: the bytes of a point are the live_peak_bytes of its plan (or
 * more, where a resident tensor that nothing saves goes earlier than assumed). */
#ifndef REMATD_PLAN_CHAIN_GRAPH_H
#define REMATD_PLAN_CHAIN_GRAPH_H

#include "engine/plan/chain.h"
#include "engine/plan/plan.h"

#define CHAIN_GRAPH_EXACT 12u /* droppers of a stage of which every set is tried */

/* What an op costs, in whole units: its forward or backward. */
struct chain_costs {
    const uint64_t *forward, *backward; /* by op; what a plan pays beyond one run of each forward and backward counts */
};

struct chain_graph;

/* g: a finished graph with a backward. others: the same graph whose last op is lowered otherwise (the loss in chunks):
 * more options of the last stage. costs: one for g, then one for each of others. */
PROBLEM_MUST_CHECK struct chain_graph *chain_graph_make(const struct graph *g, const struct graph *others,
                                                        uint32_t n_others, const struct chain_costs *costs,
                                                        struct arena *a, struct problem *why);
const struct chain *chain_graph_chain(const struct chain_graph *c);
bool chain_graph_exact(const struct chain_graph *c);
/* The first op of each stage and, behind them, n_ops: *n + 1 numbers. */
const uint32_t *chain_graph_cuts(const struct chain_graph *c, uint32_t *n);

/* A schedule as moves for plan_make over the graph `*of` says: 0 is g, 1.. are others. */
PROBLEM_MUST_CHECK bool chain_graph_moves(const struct chain_graph *c, const struct chain_step *steps, uint32_t n,
                                          struct arena *a, struct step **moves, uint32_t *n_moves, uint32_t *of,
                                          struct problem *why);

#endif
