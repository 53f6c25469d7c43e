/* op_norm.h - what layer_norm (centred: a mean, and a bias if there is one) and rms_norm (neither) share. */
#ifndef REMATD_GRAPH_OP_NORM_H
#define REMATD_GRAPH_OP_NORM_H

#include "engine/graph/graph.h"

PROBLEM_MUST_CHECK bool op_norm_shape(struct graph *g, struct op *op, bool centred, struct problem *why);
void op_norm_forward(const struct op_call *c, bool centred);
void op_norm_backward(const struct op_call *c, bool centred);
void op_norm_reference(const struct graph *g, const struct op *op, bool centred, const double *const *in,
                       double *const *out);

#endif
