/* op_silu.c - x sigmoid(x). Saves its input. */
#include <math.h>

#include "engine/graph/op_rows.h"
#include "engine/kernels/act.h"

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    return op_inputs_check(g, op, 1, 1, why) && op_elementwise(g, op, why) && graph_save(g, op, op->inputs[0], why);
}

static bool forward(const struct op_call *c, struct problem *why) {
    (void)why;
    act_silu(c->pool, op_elements(c->graph, c->op, 0), op_numbers_in(c, 0), op_numbers_out(c, 0));
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    (void)why;
    if (c->d_inputs[0])
        act_silu_backward(c->pool, op_elements(c->graph, c->op, 0), op_numbers_in(c, 0), op_numbers_d_out(c, 0),
                          op_numbers_d_in(c, 0));
    return true;
}

static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    (void)scratch;
    for (uint64_t i = 0; i < op_elements(g, op, 0); i++)
        out[0][i] = in[0][i] / (1 + exp(-in[0][i]));
}

const struct op_row op_silu_row = {
    .name = "silu", .narrow = true, .shape = shape, .forward = forward, .backward = backward, .reference = reference};
