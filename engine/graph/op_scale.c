/* op_scale.c - a tensor times a number. Saves nothing. */
#include <math.h>

#include "engine/graph/op_rows.h"
#include "engine/kernels/eltwise.h"

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    if (!isfinite(op->scale.factor))
        return problem_set(why, PROBLEM_LIMIT, "/factor", "must be a finite number");
    return op_inputs_check(g, op, 1, 1, why) && op_elementwise(g, op, why);
}

static bool forward(const struct op_call *c, struct problem *why) {
    (void)why;
    eltwise_scale(c->pool, op_elements(c->graph, c->op, 0), c->op->scale.factor, op_numbers_in(c, 0),
                  op_numbers_out(c, 0));
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    (void)why;
    if (c->d_inputs[0])
        eltwise_accumulate(c->pool, op_elements(c->graph, c->op, 0), c->op->scale.factor, op_numbers_d_out(c, 0),
                           op_numbers_d_in(c, 0));
    return true;
}

static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    (void)scratch;
    for (uint64_t i = 0; i < op_elements(g, op, 0); i++)
        out[0][i] = (double)op->scale.factor * in[0][i];
}

const struct op_row op_scale_row = {
    .name = "scale", .narrow = true, .shape = shape, .forward = forward, .backward = backward, .reference = reference};
