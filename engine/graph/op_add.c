/* op_add.c - the sum of two tensors of one shape. Saves nothing. */
#include "engine/graph/op_rows.h"
#include "engine/kernels/eltwise.h"

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 2, 2, why))
        return false;
    const struct tensor *a = op_input(g, op, 0), *b = op_input(g, op, 1);
    if (a->rank != b->rank)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "has %u dimensions, the other summand %u", b->rank,
                           a->rank);
    for (unsigned i = 0; i < a->rank; i++)
        if (a->shape[i] != b->shape[i])
            return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "dimension %u is %llu, of the other summand %llu", i,
                               (unsigned long long)b->shape[i], (unsigned long long)a->shape[i]);
    return op_elementwise(g, op, why);
}

static bool forward(const struct op_call *c, struct problem *why) {
    (void)why;
    eltwise_add(c->pool, op_elements(c->graph, c->op, 0), op_numbers_in(c, 0), op_numbers_in(c, 1),
                op_numbers_out(c, 0));
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    (void)why;
    for (uint32_t i = 0; i < 2; i++)
        if (c->d_inputs[i])
            eltwise_accumulate(c->pool, op_elements(c->graph, c->op, 0), 1, op_numbers_d_out(c, 0),
                               op_numbers_d_in(c, i));
    return true;
}

static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    (void)scratch;
    for (uint64_t i = 0; i < op_elements(g, op, 0); i++)
        out[0][i] = in[0][i] + in[1][i];
}

const struct op_row op_add_row = {
    .name = "add", .narrow = true, .shape = shape, .forward = forward, .backward = backward, .reference = reference};
