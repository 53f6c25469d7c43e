/* op_gelu.c - GELU, by erf or by tanh. Saves its input. */
#include <math.h>

#include "engine/graph/op_rows.h"
#include "engine/kernels/act.h"

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    return op_inputs_check(g, op, 1, 1, why) && op_elementwise(g, op, why) && graph_save(g, op, op->inputs[0], why);
}

static bool forward(const struct op_call *c, struct problem *why) {
    (void)why;
    act_gelu(c->pool, op_elements(c->graph, c->op, 0), c->op->gelu.tanh_form, op_numbers_in(c, 0),
             op_numbers_out(c, 0));
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    (void)why;
    if (c->d_inputs[0])
        act_gelu_backward(c->pool, op_elements(c->graph, c->op, 0), c->op->gelu.tanh_form, op_numbers_in(c, 0),
                          op_numbers_d_out(c, 0), op_numbers_d_in(c, 0));
    return true;
}

static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    (void)scratch;
    for (uint64_t i = 0; i < op_elements(g, op, 0); i++) {
        double x = in[0][i];
        out[0][i] = op->gelu.tanh_form ? x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)))
                                       : x / 2 * erfc(-x * M_SQRT1_2);
    }
}

const struct op_row op_gelu_row = {
    .name = "gelu", .narrow = true, .shape = shape, .forward = forward, .backward = backward, .reference = reference};
