/* op_relative_bias.c - what is added to attention's scores by the distance of query and key, read from a table of
 * buckets (T5, arXiv 1910.10683, section 2.1). Saves nothing. */
#include "engine/kernels/relative_bias.h"
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

static struct relative_bias bias_of(const struct graph *g, const struct op *op) {
    const struct tensor *table = op_input(g, op, 0);
    return (struct relative_bias){.buckets = table->shape[0],
                                  .heads = table->shape[1],
                                  .n_q = op->relative_bias.n_q,
                                  .n_k = op->relative_bias.n_k,
                                  .bidirectional = op->relative_bias.bidirectional,
                                  .max_distance =
                                      op->relative_bias.max_distance ? op->relative_bias.max_distance : 128};
}

static bool forward(const struct op_call *c, struct problem *why) {
    struct relative_bias f = bias_of(c->graph, c->op);
    (void)why;
    f.pool = c->pool;
    f.table = op_numbers_in(c, 0);
    f.bias = op_numbers_out(c, 0);
    relative_bias_forward(&f);
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    struct relative_bias f = bias_of(c->graph, c->op);
    (void)why;
    f.pool = c->pool;
    f.d_bias = op_numbers_d_out(c, 0);
    f.d_table = op_numbers_d_in(c, 0);
    if (f.d_table.at)
        relative_bias_backward(&f);
    return true;
}

static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    const struct relative_bias f = bias_of(g, op);
    (void)scratch;
    for (uint64_t h = 0; h < f.heads; h++)
        for (uint64_t i = 0; i < f.n_q; i++)
            for (uint64_t j = 0; j < f.n_k; j++) {
                const int64_t distance = (int64_t)(j + f.n_q) - (int64_t)(i + f.n_k);
                out[0][(h * f.n_q + i) * f.n_k + j] = in[0][relative_bias_bucket(&f, distance) * f.heads + h];
            }
}

const struct op_row op_relative_bias_row = {.name = "relative_bias",
                                            .narrow = true,
                                            .shape = shape,
                                            .forward = forward,
                                            .backward = backward,
                                            .reference = reference};
