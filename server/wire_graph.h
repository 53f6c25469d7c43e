/* wire_graph.h - a graph as requests post it:
 *
 *   {"nodes": [{"id", "seconds" or "flops", "bytes", "workspace_bytes", "phase"}],
 *    "edges": [[from, to]], "outputs": [ids]}
 *
 * Each node makes one value of `bytes`; an edge says that `to` reads what `from` makes. Nodes of phase "input" are
 * there from the start and run nothing. Nodes run in the order they are listed, unless they may be reordered. */
#ifndef REMATD_SERVER_WIRE_GRAPH_H
#define REMATD_SERVER_WIRE_GRAPH_H

#include "engine/plan/dag.h"
#include "server/wire.h"

#define WIRE_GRAPH_NODES_MAX   100000u
#define WIRE_GRAPH_EDGES_MAX   1000000u
#define WIRE_GRAPH_SECONDS_MAX 1e15
#define WIRE_GRAPH_COST_MAX    ((uint64_t)1 << 60) /* of one run of every node, in FLOPs */

/* Value i of the dag is what the i-th listed node makes. */
struct wire_graph {
    struct dag dag;          /* nodes: those that are no inputs, in the order they run first */
    const char *const *ids;  /* by value: as it was posted, JSON */
    const uint32_t *node_of; /* by value: the dag's node that makes it; DAG_NONE: given */
    const bool *backward;    /* by node: its phase */
    const double *seconds;   /* by node; NULL: costs are FLOPs */
    double unit; /* seconds of one unit of a node's cost: a power of two such that one run of every node costs
                    less than 2^50, as precisely as that allows; 1 with FLOPs */
};

/* Refuses by name: nodes and edges that are unknown, there twice or in a circle, costs of two kinds, sizes that cannot
 * be summed; and unless reorder, an edge against the listed order. Everything lives in a. */
PROBLEM_MUST_CHECK bool wire_graph_read(const struct wire_value *v, bool reorder, struct arena *a,
                                        struct wire_graph *out, struct problem *why);

#endif
