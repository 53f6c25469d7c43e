/* op_embedding.c - what comes before the first layer: token embeddings, and learned positions added to them. */
#include "engine/graph/op_rows.h"

static bool matrix_check(const struct graph *g, const struct op *op, uint32_t i, struct problem *why) {
    if (op_input(g, op, i)->rank == 2)
        return true;
    return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must be a matrix");
}

static bool embedding_shape(struct graph *g, struct op *op, struct problem *why) {
    if (op->n_inputs != 2 || op_input(g, op, 0)->dtype != DTYPE_INT32)
        return problem_set(why, PROBLEM_SHAPE, "/inputs", "embedding reads int32 ids and a table");
    if (!matrix_check(g, op, 1, why))
        return false;
    struct tensor x = *op_input(g, op, 0);
    const struct tensor *table = op_input(g, op, 1);
    if (x.rank + 1 > GRAPH_RANK_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/inputs/0", "has too many dimensions");
    x.shape[x.rank] = table->shape[1];
    uint32_t made = graph_output(g, op, NULL, table->dtype, x.rank + 1, x.shape, true, why);
    if (made == GRAPH_NONE || !graph_save(g, op, op->inputs[0], why))
        return false;
    op->backward_flops = g->tensors[made].elements;
    return true;
}

static bool positions_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 2, 2, why) || !matrix_check(g, op, 1, why))
        return false;
    const struct tensor *x = op_input(g, op, 0), *table = op_input(g, op, 1);
    if (x->rank < 2 || table->shape[1] != x->shape[x->rank - 1] || table->shape[0] < x->shape[x->rank - 2])
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must have a row of %llu numbers for each position",
                           (unsigned long long)x->shape[x->rank - 1]);
    return op_elementwise(g, op, why);
}

const struct op_row op_embedding_row = {.name = "embedding", .shape = embedding_shape};
const struct op_row op_positions_row = {.name = "positions", .shape = positions_shape};
