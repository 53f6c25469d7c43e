/* op_rms_norm.c - RMS norm over the last dimension. Saves its input, rstd and weight. */
#include "engine/graph/op_norm.h"

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    return op_norm_shape(g, op, false, why);
}

static bool forward(const struct op_call *c, struct problem *why) {
    (void)why;
    op_norm_forward(c, false);
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    (void)why;
    op_norm_backward(c, false);
    return true;
}

static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    (void)scratch;
    op_norm_reference(g, op, false, in, out);
}

const struct op_row op_rms_norm_row = {.name = "rms_norm",
                                       .shape = shape,
                                       .narrow = true,
                                       .forward = forward,
                                       .backward = backward,
                                       .reference = reference};
