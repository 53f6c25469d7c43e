/* op_gated.c - a gate's activation times up: SwiGLU, GeGLU and their like (Shazeer 2020, arXiv 2002.05202). */
#include <math.h>

#include "engine/graph/op_rows.h"
#include "engine/kernels/gated.h"

static const enum gated_by by[] = {
    [GATE_SILU] = GATED_SILU, [GATE_GELU] = GATED_GELU, [GATE_GELU_TANH] = GATED_GELU_TANH, [GATE_RELU] = GATED_RELU};
_Static_assert(sizeof by / sizeof by[0] == GATES, "one kernel a gate");

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 2, 2, why))
        return false;
    const struct tensor *gate = op_input(g, op, 0), *up = op_input(g, op, 1);
    bool same = gate->rank == up->rank;
    for (unsigned i = 0; same && i < gate->rank; i++)
        same = gate->shape[i] == up->shape[i];
    if (!same)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must have the shape of the gate");
    return op_elementwise(g, op, why) && graph_save(g, op, op->inputs[0], why) && graph_save(g, op, op->inputs[1], why);
}

static struct gated gated_of(const struct op_call *c) {
    return (struct gated){.n = op_elements(c->graph, c->op, 0),
                          .by = by[c->op->gated.gate],
                          .pool = c->pool,
                          .gate = op_numbers_in(c, 0),
                          .up = op_numbers_in(c, 1)};
}

static bool forward(const struct op_call *c, struct problem *why) {
    struct gated f = gated_of(c);
    (void)why;
    f.y = op_numbers_out(c, 0);
    gated_forward(&f);
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    struct gated f = gated_of(c);
    (void)why;
    f.d_y = op_numbers_d_out(c, 0);
    f.d_gate = op_numbers_d_in(c, 0);
    f.d_up = op_numbers_d_in(c, 1);
    gated_backward(&f);
    return true;
}

static double gate_of(enum gate gate, double x) {
    if (gate == GATE_SILU)
        return x / (1 + exp(-x));
    if (gate == GATE_GELU)
        return x / 2 * (1 + erf(x / sqrt(2)));
    if (gate == GATE_GELU_TANH)
        return x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    return x > 0 ? x : 0;
}

static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    (void)scratch;
    for (uint64_t i = 0; i < op_elements(g, op, 0); i++)
        out[0][i] = gate_of(op->gated.gate, in[0][i]) * in[1][i];
}

const struct op_row op_gated_row = {
    .name = "gated", .narrow = true, .shape = shape, .forward = forward, .backward = backward, .reference = reference};
