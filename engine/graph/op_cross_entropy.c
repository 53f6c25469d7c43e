/* op_cross_entropy.c - the loss: mean over tokens of log-sum-exp minus the target's logit. Saves the logits and one
 * log-sum-exp a token; the gradient of the logits is made from them. */
#include "engine/graph/op_rows.h"

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    if (op->n_inputs != 2 || op_input(g, op, 1)->dtype != DTYPE_INT32)
        return problem_set(why, PROBLEM_SHAPE, "/inputs", "cross_entropy reads logits and int32 targets");
    const struct tensor logits = *op_input(g, op, 0), targets = *op_input(g, op, 1);
    if (logits.rank == 0 || targets.elements != logits.elements / logits.shape[logits.rank - 1])
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must be one target a row of logits");
    uint32_t loss = graph_output(g, op, NULL, DTYPE_FLOAT32, 1, (const uint64_t[]){1}, true, why);
    uint32_t sums = loss == GRAPH_NONE
                        ? GRAPH_NONE
                        : graph_output(g, op, "log_sum_exp", DTYPE_FLOAT32, targets.rank, targets.shape, false, why);
    if (sums == GRAPH_NONE)
        return false;
    op->forward_flops = op->backward_flops = 5 * logits.elements; /* at most 2^60 elements */
    return graph_save(g, op, op->inputs[0], why) && graph_save(g, op, op->inputs[1], why) &&
           graph_save(g, op, sums, why);
}

const struct op_row op_cross_entropy_row = {.name = "cross_entropy", .shape = shape};
