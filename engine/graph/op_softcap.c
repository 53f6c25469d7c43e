/* op_softcap.c - x -> cap tanh(x / cap): logits kept within bounds, as gemma-2 does. Saves its result. */
#include <math.h>

#include "engine/graph/op_rows.h"
#include "engine/kernels/softcap.h"

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    if (!(op->softcap.cap >= 0) || !isfinite(op->softcap.cap))
        return problem_set(why, PROBLEM_LIMIT, "/cap", "must be a finite number, at least 0");
    return op_inputs_check(g, op, 1, 1, why) && op_elementwise(g, op, why) && graph_save(g, op, op->outputs[0], why);
}

static bool runs(const struct graph *g, const struct op *op, struct problem *why) {
    (void)g;
    return op->softcap.cap > 0 ||
           problem_set(why, PROBLEM_UNSUPPORTED, "", "%s is planned and not run without its cap", op->name);
}

static bool forward(const struct op_call *c, struct problem *why) {
    (void)why;
    softcap_forward(c->pool, op_elements(c->graph, c->op, 0), c->op->softcap.cap, op_numbers_in(c, 0),
                    op_numbers_out(c, 0));
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    (void)why;
    if (c->d_inputs[0])
        softcap_backward(c->pool, op_elements(c->graph, c->op, 0), c->op->softcap.cap, op_numbers_out(c, 0),
                         op_numbers_d_out(c, 0), op_numbers_d_in(c, 0));
    return true;
}

static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    const double cap = (double)op->softcap.cap;
    (void)scratch;
    for (uint64_t i = 0; i < op_elements(g, op, 0); i++)
        out[0][i] = cap * tanh(in[0][i] / cap);
}

const struct op_row op_softcap_row = {.name = "softcap",
                                      .narrow = true,
                                      .shape = shape,
                                      .runs = runs,
                                      .forward = forward,
                                      .backward = backward,
                                      .reference = reference};
