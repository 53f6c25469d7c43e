/* op_gated.c - elementwise ops of decoder models: gated activations (SwiGLU, GeGLU), rotary positions. */
#include "engine/graph/op_rows.h"

static bool gated_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 2, 2, why))
        return false;
    const struct tensor *gate = op_input(g, op, 0), *up = op_input(g, op, 1);
    bool same = gate->rank == up->rank;
    for (unsigned i = 0; same && i < gate->rank; i++)
        same = gate->shape[i] == up->shape[i];
    if (!same)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must have the shape of the gate");
    return op_elementwise(g, op, why) && graph_save(g, op, op->inputs[0], why) && graph_save(g, op, op->inputs[1], why);
}

static bool rotary_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 1, 1, why) || !op_elementwise(g, op, why))
        return false;
    op->forward_flops *= 3; /* two products and a sum; at most 2^60 elements */
    op->backward_flops *= 3;
    return true;
}

const struct op_row op_gated_row = {.name = "gated", .shape = gated_shape};
const struct op_row op_rotary_row = {.name = "rotary", .shape = rotary_shape};
