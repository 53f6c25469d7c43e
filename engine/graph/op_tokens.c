/* op_tokens.c - ops on single tokens of a sequence: one put before it, the first one taken, a gate for each. */
#include "engine/graph/op_rows.h"

static bool sequence_check(const struct graph *g, const struct op *op, struct problem *why) {
    return op_input(g, op, 0)->rank == 3 ||
           problem_set(why, PROBLEM_SHAPE, "/inputs/0", "must be [batch, tokens, width]");
}

static bool prepend_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 2, 2, why) || !sequence_check(g, op, why))
        return false;
    struct tensor x = *op_input(g, op, 0);
    if (!op_vector_check(g, op, 1, x.shape[2], why))
        return false;
    x.shape[1]++;
    op->backward_flops = x.shape[0] * x.shape[2]; /* the token's gradient is a sum over the batch */
    return graph_output(g, op, NULL, x.dtype, 3, x.shape, true, why) != GRAPH_NONE;
}

static bool take_token_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 1, 1, why) || !sequence_check(g, op, why))
        return false;
    const struct tensor x = *op_input(g, op, 0);
    const uint64_t shape[] = {x.shape[0], x.shape[2]};
    op->backward_flops = x.shape[0] * x.shape[2];
    return graph_output(g, op, NULL, x.dtype, 2, shape, true, why) != GRAPH_NONE;
}

static bool token_gate_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 2, 2, why))
        return false;
    const struct tensor *x = op_input(g, op, 0), *gate = op_input(g, op, 1);
    if (x->rank == 0 || gate->elements != x->elements / x->shape[x->rank - 1])
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must be one number a token");
    if (!op_elementwise(g, op, why) || !graph_save(g, op, op->inputs[0], why) || !graph_save(g, op, op->inputs[1], why))
        return false;
    op->backward_flops *= 3;
    return true;
}

const struct op_row op_prepend_row = {.name = "prepend", .shape = prepend_shape};
const struct op_row op_take_token_row = {.name = "take_token", .shape = take_token_shape};
const struct op_row op_token_gate_row = {.name = "token_gate", .shape = token_gate_shape};
