/* op_relative_bias.c - what is added to attention's scores by the distance of query and key, read from a table of
 * buckets (T5, arXiv 1910.10683, section 2.1). */
#include "engine/base/units.h"
#include "engine/graph/op_rows.h"

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 1, 1, why))
        return false;
    const struct tensor table = *op_input(g, op, 0);
    if (table.rank != 2)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/0", "must be [buckets, heads]");
    const uint64_t made[] = {table.shape[1], op->relative_bias.n_q, op->relative_bias.n_k};
    uint32_t bias = graph_output(g, op, NULL, table.dtype, 3, made, true, why);
    if (bias == GRAPH_NONE)
        return false;
    op->backward_flops = g->tensors[bias].elements;
    return true;
}

const struct op_row op_relative_bias_row = {.name = "relative_bias", .shape = shape};
