/* op_norm.c - see op_norm.h */
#include "engine/graph/op_norm.h"

#include <math.h>

#include "engine/base/units.h"
#include "engine/graph/op_rows.h"
#include "engine/kernels/norm.h"

static uint64_t width(const struct graph *g, const struct op *op) {
    const struct tensor *x = op_input(g, op, 0);
    return x->shape[x->rank - 1];
}

static uint64_t heads(const struct graph *g, const struct op *op) {
    const struct tensor *w = op->n_inputs > 1 ? op_input(g, op, 1) : NULL;
    return w && w->rank == 2 ? w->shape[0] : 1;
}

/* One number per row, made for the backward alone. */
static bool row_output(struct graph *g, struct op *op, const char *suffix, struct problem *why) {
    const struct tensor x = *op_input(g, op, 0);
    uint32_t made = graph_output(g, op, suffix, DTYPE_FLOAT32, x.rank - 1, x.shape, false, why);
    return made != GRAPH_NONE && graph_save(g, op, made, why);
}

/* A vector, or one for each of the heads before the last dimension. */
static bool weight_check(const struct graph *g, const struct op *op, struct problem *why) {
    const struct tensor *x = op_input(g, op, 0), *w = op->n_inputs > 1 ? op_input(g, op, 1) : NULL;
    if (!w ||
        (w->rank == 2 && x->rank >= 2 && w->shape[1] == x->shape[x->rank - 1] && w->shape[0] == x->shape[x->rank - 2]))
        return true;
    return op_vector_check(g, op, 1, width(g, op), why);
}

bool op_norm_shape(struct graph *g, struct op *op, bool centred, struct problem *why) {
    if (!op_inputs_check(g, op, 1, centred ? 3 : 2, why))
        return false;
    if (op_input(g, op, 0)->rank == 0)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/0", "needs a dimension to normalise over");
    if (!(op->norm.epsilon >= 0) || !isfinite(op->norm.epsilon))
        return problem_set(why, PROBLEM_LIMIT, "/epsilon", "must be a finite number, at least 0");
    if (!isfinite(op->norm.offset))
        return problem_set(why, PROBLEM_LIMIT, "/offset", "must be a finite number");
    if (!weight_check(g, op, why) || (op->n_inputs > 2 && !op_vector_check(g, op, 2, width(g, op), why)))
        return false;
    uint64_t elements = op_elements(g, op, 0);
    if (!op_elementwise(g, op, why) || !graph_save(g, op, op->inputs[0], why) ||
        (op->n_inputs > 1 && !graph_save(g, op, op->inputs[1], why)))
        return false;
    op->forward_flops = 5 * elements; /* at most 2^60 elements: no overflow */
    op->backward_flops = 10 * elements;
    return (!centred || row_output(g, op, "mean", why)) && row_output(g, op, "rstd", why);
}

static struct norm norm_of(const struct op_call *c, bool centred) {
    const struct op *op = c->op;
    const uint64_t n = width(c->graph, op);
    return (struct norm){.rows = op_elements(c->graph, op, 0) / n,
                         .n = n,
                         .heads = heads(c->graph, op),
                         .epsilon = op->norm.epsilon,
                         .offset = op->norm.offset,
                         .pool = c->pool,
                         .x = op_numbers_in(c, 0),
                         .weight = op->n_inputs > 1 ? op_numbers_in(c, 1) : (struct numbers){NULL, false},
                         .mean = centred ? op_out(c, 1) : NULL,
                         .rstd = op_out(c, centred ? 2 : 1)};
}

void op_norm_forward(const struct op_call *c, bool centred) {
    struct norm f = norm_of(c, centred);
    if (c->op->n_inputs > 2)
        f.bias = op_numbers_in(c, 2);
    f.y = op_numbers_out(c, 0);
    norm_forward(&f);
}

void op_norm_backward(const struct op_call *c, bool centred) {
    struct norm f = norm_of(c, centred);
    f.d_y = op_numbers_d_out(c, 0);
    f.d_x = op_numbers_d_in(c, 0);
    if (c->op->n_inputs > 1)
        f.d_weight = op_numbers_d_in(c, 1);
    if (c->op->n_inputs > 2)
        f.d_bias = op_numbers_d_in(c, 2);
    norm_backward(&f);
}

void op_norm_reference(const struct graph *g, const struct op *op, bool centred, const double *const *in,
                       double *const *out) {
    const uint64_t n = width(g, op), rows = op_elements(g, op, 0) / n;
    for (uint64_t r = 0; r < rows; r++) {
        const double *x = in[0] + r * n;
        double mean = 0, spread = 0;
        for (uint64_t c = 0; centred && c < n; c++)
            mean += x[c] / (double)n;
        for (uint64_t c = 0; c < n; c++)
            spread += (x[c] - mean) * (x[c] - mean) / (double)n;
        double rstd = 1 / sqrt(spread + (double)op->norm.epsilon);
        const double *weight = op->n_inputs > 1 ? in[1] + r % heads(g, op) * n : NULL;
        for (uint64_t c = 0; c < n; c++)
            out[0][r * n + c] = (x[c] - mean) * rstd * (weight ? (double)op->norm.offset + weight[c] : 1) +
                                (op->n_inputs > 2 ? in[2][c] : 0);
    }
}
