/* op_linear.c - x [.., in] times weight [out, in] transposed, plus bias [out]. Saves each operand whose partner wants a
 * gradient. */
#include "engine/base/units.h"
#include "engine/graph/op_rows.h"
#include "engine/kernels/gemm.h"
#include "engine/kernels/linear.h"

struct sizes {
    uint64_t rows, in, out;
};

static struct sizes sizes_of(const struct graph *g, const struct op *op) {
    const struct tensor *x = op_input(g, op, 0), *w = op_input(g, op, 1);
    uint64_t in = x->shape[x->rank - 1];
    return (struct sizes){x->elements / in, in, w->shape[0]};
}

static bool inputs_check(const struct graph *g, const struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 2, 3, why))
        return false;
    const struct tensor *x = op_input(g, op, 0), *w = op_input(g, op, 1);
    if (x->rank == 0)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/0", "needs at least one dimension");
    if (w->rank != 2 || w->shape[1] != x->shape[x->rank - 1])
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must be a matrix [out, %llu]",
                           (unsigned long long)x->shape[x->rank - 1]);
    if (op->linear.out != 0 && op->linear.out != w->shape[0])
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "makes %llu outputs where out is %llu",
                           (unsigned long long)w->shape[0], (unsigned long long)op->linear.out);
    struct sizes s = sizes_of(g, op);
    if (s.rows > GEMM_SIZE_MAX || s.in > GEMM_SIZE_MAX || s.out > GEMM_SIZE_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/inputs/0", "rows, in and out are at most 2^31 - 1 each");
    return op->n_inputs < 3 || op_vector_check(g, op, 2, s.out, why);
}

static bool flops_set(const struct graph *g, struct op *op, struct problem *why) {
    const struct sizes s = sizes_of(g, op);
    const uint64_t bias = op->n_inputs == 3 ? s.rows * s.out : 0; /* sizes below 2^31: no overflow */
    const uint64_t wanted = (uint64_t)op_input(g, op, 0)->needs_grad + op_input(g, op, 1)->needs_grad;
    uint64_t product;
    if (!units_product((const uint64_t[]){2, s.rows, s.in, s.out}, 4, &product) || product > UINT64_MAX / 4)
        return op_too_large(op, 0, "FLOPs", why);
    op->forward_flops = product + bias;
    op->backward_flops = wanted * product + bias;
    return true;
}

/* Panels of what is not float32 are widened. */
static void work_set(const struct graph *g, struct op *op) {
    const struct sizes s = sizes_of(g, op);
    const struct tensor *x = op_input(g, op, 0), *w = op_input(g, op, 1);
    op->forward_work_bytes = op->backward_work_bytes = 0;
    if (x->dtype == DTYPE_FLOAT32 && w->dtype == DTYPE_FLOAT32)
        return;
    op->forward_work_bytes = linear_forward_bytes(s.rows, s.out, g->threads);
    op->backward_work_bytes = linear_backward_bytes(s.rows, s.in, s.out, x->needs_grad, w->needs_grad, g->threads);
}

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    if (!inputs_check(g, op, why) || !flops_set(g, op, why))
        return false;
    work_set(g, op);
    struct tensor y = *op_input(g, op, 0);
    const bool x_grad = y.needs_grad, weight_grad = op_input(g, op, 1)->needs_grad;
    y.shape[y.rank - 1] = sizes_of(g, op).out;
    return graph_output(g, op, NULL, y.dtype, y.rank, y.shape, true, why) != GRAPH_NONE &&
           (!weight_grad || graph_save(g, op, op->inputs[0], why)) &&
           (!x_grad || graph_save(g, op, op->inputs[1], why));
}

static struct linear linear_of(const struct op_call *c) {
    const struct sizes s = sizes_of(c->graph, c->op);
    return (struct linear){.rows = s.rows,
                           .in = s.in,
                           .out = s.out,
                           .pool = c->pool,
                           .work = c->work,
                           .x = op_numbers_in(c, 0),
                           .weight = op_numbers_in(c, 1)};
}

static bool forward(const struct op_call *c, struct problem *why) {
    struct linear l = linear_of(c);
    (void)why;
    if (c->op->n_inputs == 3)
        l.bias = op_numbers_in(c, 2);
    l.y = op_numbers_out(c, 0);
    linear_forward(&l);
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    struct linear l = linear_of(c);
    (void)why;
    l.d_y = op_numbers_d_out(c, 0);
    l.d_x = op_numbers_d_in(c, 0);
    l.d_weight = op_numbers_d_in(c, 1);
    if (c->op->n_inputs == 3)
        l.d_bias = op_numbers_d_in(c, 2);
    linear_backward(&l);
    return true;
}

static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    const struct sizes s = sizes_of(g, op);
    (void)scratch;
    for (uint64_t r = 0; r < s.rows; r++)
        for (uint64_t y = 0; y < s.out; y++) {
            double sum = op->n_inputs == 3 ? in[2][y] : 0;
            for (uint64_t x = 0; x < s.in; x++)
                sum += in[0][r * s.in + x] * in[1][y * s.in + x];
            out[0][r * s.out + y] = sum;
        }
}

const struct op_row op_linear_row = {
    .name = "linear", .narrow = true, .shape = shape, .forward = forward, .backward = backward, .reference = reference};
