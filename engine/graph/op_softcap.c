/* op_softcap.c - x -> cap tanh(x / cap): logits kept within bounds, as gemma-2 does. Saves its result. */
#include "engine/graph/op_rows.h"

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    return op_inputs_check(g, op, 1, 1, why) && op_elementwise(g, op, why) && graph_save(g, op, op->outputs[0], why);
}

const struct op_row op_softcap_row = {.name = "softcap", .shape = shape};
