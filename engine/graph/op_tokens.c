/* op_tokens.c - ops on single tokens of a sequence: one put before it, the first one taken, a gate for each. */
#include <math.h>

#include "engine/graph/op_rows.h"
#include "engine/kernels/tokens.h"

static bool sequence_check(const struct graph *g, const struct op *op, struct problem *why) {
    return op_input(g, op, 0)->rank == 3 ||
           problem_set(why, PROBLEM_SHAPE, "/inputs/0", "must be [batch, tokens, width]");
}

static bool prepend_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 2, 2, why) || !sequence_check(g, op, why))
        return false;
    struct tensor x = *op_input(g, op, 0);
    if (!op_vector_check(g, op, 1, x.shape[2], why))
        return false;
    x.shape[1]++;
    op->backward_flops = x.shape[0] * x.shape[2]; /* the token's gradient is a sum over the batch */
    return graph_output(g, op, NULL, x.dtype, 3, x.shape, true, why) != GRAPH_NONE;
}

/* The tokens of each sequence. */
static struct tokens_rows rows_of(const struct op_call *c) {
    const uint64_t *shape = op_input(c->graph, c->op, 0)->shape;
    return (struct tokens_rows){.batch = shape[0], .rows = shape[1], .n = shape[2], .pool = c->pool};
}

static bool prepend_run(const struct op_call *c, struct problem *why) {
    const struct tokens_rows x = rows_of(c), token = {x.batch, 1, x.n, x.pool};
    const struct numbers y = op_numbers_out(c, 0);
    (void)why;
    tokens_copy(&x, &(struct tokens_place){op_numbers_in(c, 0), 0, x.rows * x.n, x.n},
                &(struct tokens_place){y, x.n, (1 + x.rows) * x.n, x.n});
    tokens_copy(&token, &(struct tokens_place){op_numbers_in(c, 1), 0, 0, 0},
                &(struct tokens_place){y, 0, (1 + x.rows) * x.n, 0});
    return true;
}

static bool prepend_grad(const struct op_call *c, struct problem *why) {
    const struct tokens_rows x = rows_of(c), token = {1, x.batch, x.n, x.pool};
    const struct numbers d_y = op_numbers_d_out(c, 0);
    (void)why;
    tokens_add(&x, &(struct tokens_place){d_y, x.n, (1 + x.rows) * x.n, x.n},
               &(struct tokens_place){op_numbers_d_in(c, 0), 0, x.rows * x.n, x.n});
    tokens_sum(&token, &(struct tokens_place){d_y, 0, 0, (1 + x.rows) * x.n},
               &(struct tokens_place){op_numbers_d_in(c, 1), 0, 0, 0});
    return true;
}

static void prepend_reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                              double *scratch) {
    const uint64_t *shape = op_input(g, op, 0)->shape, n = shape[2];
    (void)scratch;
    for (uint64_t b = 0; b < shape[0]; b++)
        for (uint64_t i = 0; i < (1 + shape[1]) * n; i++)
            out[0][b * (1 + shape[1]) * n + i] = i < n ? in[1][i] : in[0][b * shape[1] * n + i - n];
}

static bool take_token_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 1, 1, why) || !sequence_check(g, op, why))
        return false;
    const struct tensor x = *op_input(g, op, 0);
    const uint64_t shape[] = {x.shape[0], x.shape[2]};
    op->backward_flops = x.shape[0] * x.shape[2];
    return graph_output(g, op, NULL, x.dtype, 2, shape, true, why) != GRAPH_NONE;
}

static bool take_token_run(const struct op_call *c, struct problem *why) {
    const struct tokens_rows x = rows_of(c), first = {x.batch, 1, x.n, x.pool};
    (void)why;
    tokens_copy(&first, &(struct tokens_place){op_numbers_in(c, 0), 0, x.rows * x.n, 0},
                &(struct tokens_place){op_numbers_out(c, 0), 0, x.n, 0});
    return true;
}

static bool take_token_grad(const struct op_call *c, struct problem *why) {
    const struct tokens_rows x = rows_of(c), first = {x.batch, 1, x.n, x.pool};
    (void)why;
    tokens_add(&first, &(struct tokens_place){op_numbers_d_out(c, 0), 0, x.n, 0},
               &(struct tokens_place){op_numbers_d_in(c, 0), 0, x.rows * x.n, 0});
    return true;
}

static void take_token_reference(const struct graph *g, const struct op *op, const double *const *in,
                                 double *const *out, double *scratch) {
    const uint64_t *shape = op_input(g, op, 0)->shape;
    (void)scratch;
    for (uint64_t i = 0; i < shape[0] * shape[2]; i++)
        out[0][i] = in[0][i / shape[2] * shape[1] * shape[2] + i % shape[2]];
}

static bool token_gate_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 2, 2, why))
        return false;
    const struct tensor *x = op_input(g, op, 0), *gate = op_input(g, op, 1);
    if (x->rank == 0 || gate->elements != x->elements / x->shape[x->rank - 1])
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must be one number a token");
    if (!op_elementwise(g, op, why) || !graph_save(g, op, op->inputs[0], why) || !graph_save(g, op, op->inputs[1], why))
        return false;
    op->backward_flops *= 3;
    return true;
}

static struct tokens_gated gated_of(const struct op_call *c) {
    const struct tensor *x = op_input(c->graph, c->op, 0);
    const uint64_t n = x->shape[x->rank - 1];
    return (struct tokens_gated){
        .rows = x->elements / n, .n = n, .pool = c->pool, .x = op_numbers_in(c, 0), .gate = op_numbers_in(c, 1)};
}

static bool token_gate_run(const struct op_call *c, struct problem *why) {
    struct tokens_gated f = gated_of(c);
    (void)why;
    f.y = op_numbers_out(c, 0);
    tokens_gate(&f);
    return true;
}

static bool token_gate_grad(const struct op_call *c, struct problem *why) {
    struct tokens_gated f = gated_of(c);
    (void)why;
    f.d_y = op_numbers_d_out(c, 0);
    f.d_x = op_numbers_d_in(c, 0);
    f.d_gate = op_numbers_d_in(c, 1);
    tokens_gate_backward(&f);
    return true;
}

static void token_gate_reference(const struct graph *g, const struct op *op, const double *const *in,
                                 double *const *out, double *scratch) {
    const struct tensor *x = op_input(g, op, 0);
    (void)scratch;
    for (uint64_t i = 0; i < x->elements; i++)
        out[0][i] = in[0][i] / (1 + exp(-in[1][i / x->shape[x->rank - 1]]));
}

const struct op_row op_prepend_row = {.name = "prepend",
                                      .narrow = true,
                                      .shape = prepend_shape,
                                      .forward = prepend_run,
                                      .backward = prepend_grad,
                                      .reference = prepend_reference};
const struct op_row op_take_token_row = {.name = "take_token",
                                         .narrow = true,
                                         .shape = take_token_shape,
                                         .forward = take_token_run,
                                         .backward = take_token_grad,
                                         .reference = take_token_reference};
const struct op_row op_token_gate_row = {.name = "token_gate",
                                         .narrow = true,
                                         .shape = token_gate_shape,
                                         .forward = token_gate_run,
                                         .backward = token_gate_grad,
                                         .reference = token_gate_reference};
