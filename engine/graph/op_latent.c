/* op_latent.c - what latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1) makes queries and keys of: a row cut
 * in two, and keys put together from each head's own part and the rotated part that all heads share. */
#include "engine/graph/op_rows.h"

static bool split_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 1, 1, why))
        return false;
    struct tensor x = *op_input(g, op, 0);
    const uint64_t whole = x.rank ? x.shape[x.rank - 1] : 0, first = op->split.first;
    if (first == 0 || first >= whole)
        return problem_set(why, PROBLEM_LIMIT, "/first", "is %llu of %llu", (unsigned long long)first,
                           (unsigned long long)whole);
    op->backward_flops = x.elements;
    x.shape[x.rank - 1] = first;
    if (graph_output(g, op, "first", x.dtype, x.rank, x.shape, true, why) == GRAPH_NONE)
        return false;
    x.shape[x.rank - 1] = whole - first;
    return graph_output(g, op, "second", x.dtype, x.rank, x.shape, true, why) != GRAPH_NONE;
}

static bool latent_keys_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 2, 2, why))
        return false;
    struct tensor kv = *op_input(g, op, 0);
    const struct tensor rope = *op_input(g, op, 1);
    const uint64_t heads = op->latent_keys.heads, value = op->latent_keys.value_dim;
    const uint64_t width = kv.rank ? kv.shape[kv.rank - 1] : 0;
    if (heads == 0 || width % heads || width / heads <= value || value == 0)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/0", "must be %llu heads of keys and %llu wide values",
                           (unsigned long long)heads, (unsigned long long)value);
    if (rope.rank != kv.rank || rope.elements / rope.shape[rope.rank - 1] != kv.elements / width)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must have the rows of the keys");
    op->backward_flops = kv.elements;
    kv.shape[kv.rank - 1] = heads * (width / heads - value + rope.shape[rope.rank - 1]);
    if (graph_output(g, op, "keys", kv.dtype, kv.rank, kv.shape, true, why) == GRAPH_NONE)
        return false;
    kv.shape[kv.rank - 1] = heads * value;
    return graph_output(g, op, "values", kv.dtype, kv.rank, kv.shape, true, why) != GRAPH_NONE;
}

const struct op_row op_split_row = {.name = "split", .shape = split_shape};
const struct op_row op_latent_keys_row = {.name = "latent_keys", .shape = latent_keys_shape};
