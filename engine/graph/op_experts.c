/* op_experts.c - mixture of experts: route T tokens to k experts each, gather them, one linear layer an expert, sum.
 * Sizes depend on T k alone, not on where tokens go. */
#include "engine/base/units.h"
#include "engine/graph/op_rows.h"

static bool experts_check(const struct graph *g, const struct op *op, uint32_t i, struct problem *why) {
    if (op->n_inputs > i && op_input(g, op, i)->dtype == DTYPE_INT32 && op_input(g, op, i)->rank == 2)
        return true;
    return problem_set(why, PROBLEM_SHAPE, "/inputs", "%s reads the experts [tokens, k] as input %u", op->name, i);
}

static bool route_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 1, 1, why))
        return false;
    const struct tensor x = *op_input(g, op, 0);
    uint64_t experts = x.rank ? x.shape[x.rank - 1] : 0, k = op->route.per_token;
    if (k == 0 || k > experts)
        return problem_set(why, PROBLEM_LIMIT, "/per_token", "is %llu of %llu experts", (unsigned long long)k,
                           (unsigned long long)experts);
    const uint64_t chosen[] = {x.elements / experts, k}, all[] = {x.elements / experts, experts};
    uint32_t weights = graph_output(g, op, "weights", DTYPE_FLOAT32, 2, chosen, true, why);
    uint32_t ids =
        weights == GRAPH_NONE ? GRAPH_NONE : graph_output(g, op, "experts", DTYPE_INT32, 2, chosen, true, why);
    if (ids == GRAPH_NONE)
        return false;
    g->tensors[ids].needs_grad = false; /* which expert is no number to differentiate */
    uint32_t probabilities = graph_output(g, op, "probabilities", DTYPE_FLOAT32, 2, all, false, why);
    op->forward_flops = op->backward_flops = 5 * x.elements;
    return probabilities != GRAPH_NONE && graph_save(g, op, ids, why) && graph_save(g, op, probabilities, why);
}

static bool dispatch_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!experts_check(g, op, 1, why))
        return false;
    const struct tensor x = *op_input(g, op, 0);
    const uint64_t shape[] = {op_input(g, op, 1)->elements, x.shape[x.rank - 1]};
    uint32_t made = graph_output(g, op, NULL, x.dtype, 2, shape, true, why);
    if (made == GRAPH_NONE)
        return false;
    op->backward_flops = g->tensors[made].elements;
    return graph_save(g, op, op->inputs[1], why);
}

static bool expert_linear_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!experts_check(g, op, 1, why))
        return false;
    const struct tensor x = *op_input(g, op, 0), w = *op_input(g, op, 2);
    const struct tensor *bias = op->n_inputs > 3 ? op_input(g, op, 3) : NULL;
    uint64_t product;
    if (bias && (bias->rank != 2 || w.rank != 3 || bias->elements != w.shape[0] * w.shape[1]))
        return problem_set(why, PROBLEM_SHAPE, "/inputs/3", "must be a vector [out] for each expert");
    if (x.rank != 2 || w.rank != 3 || w.shape[2] != x.shape[1])
        return problem_set(why, PROBLEM_SHAPE, "/inputs/2", "must be a matrix [out, %llu] for each expert",
                           (unsigned long long)x.shape[x.rank - 1]);
    const uint64_t shape[] = {x.shape[0], w.shape[1]};
    if (!units_product((const uint64_t[]){2, x.shape[0], w.shape[1], w.shape[2]}, 4, &product) ||
        product > UINT64_MAX / 4)
        return op_too_large(op, 0, "FLOPs", why);
    op->forward_flops = product;
    op->backward_flops = 2 * product;
    return graph_output(g, op, NULL, x.dtype, 2, shape, true, why) != GRAPH_NONE &&
           graph_save(g, op, op->inputs[0], why) && graph_save(g, op, op->inputs[1], why) &&
           graph_save(g, op, op->inputs[2], why);
}

static bool combine_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!experts_check(g, op, 2, why))
        return false;
    const struct tensor y = *op_input(g, op, 0), ids = *op_input(g, op, 2);
    const uint64_t shape[] = {ids.shape[0], y.shape[1]};
    op->forward_flops = 2 * y.elements;
    op->backward_flops = 4 * y.elements;
    return graph_output(g, op, NULL, y.dtype, 2, shape, true, why) != GRAPH_NONE &&
           graph_save(g, op, op->inputs[0], why) && graph_save(g, op, op->inputs[1], why) &&
           graph_save(g, op, op->inputs[2], why);
}

const struct op_row op_route_row = {.name = "route", .shape = route_shape};
const struct op_row op_dispatch_row = {.name = "dispatch", .shape = dispatch_shape};
const struct op_row op_expert_linear_row = {.name = "expert_linear", .shape = expert_linear_shape};
const struct op_row op_combine_row = {.name = "combine", .shape = combine_shape};
