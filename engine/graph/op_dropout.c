/* op_dropout.c - dropout. Saves nothing: its backward, and any second run, draws the same numbers. */
#include "engine/base/rng.h"
#include "engine/graph/op_rows.h"
#include "engine/kernels/dropout.h"

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    if (!(op->dropout.p >= 0 && op->dropout.p < 1))
        return problem_set(why, PROBLEM_LIMIT, "/p", "must be at least 0 and less than 1");
    return op_inputs_check(g, op, 1, 1, why) && op_elementwise(g, op, why);
}

static uint64_t seed_of(const struct op_call *c) {
    return op_pass_seed(c->op->dropout.seed, c->pass);
}

static bool forward(const struct op_call *c, struct problem *why) {
    (void)why;
    dropout_forward(c->pool, op_elements(c->graph, c->op, 0), c->op->dropout.p, seed_of(c), op_numbers_in(c, 0),
                    op_numbers_out(c, 0));
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    (void)why;
    if (c->d_inputs[0])
        dropout_backward(c->pool, op_elements(c->graph, c->op, 0), c->op->dropout.p, seed_of(c), op_numbers_d_out(c, 0),
                         op_numbers_d_in(c, 0));
    return true;
}

static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    (void)scratch;
    for (uint64_t i = 0; i < op_elements(g, op, 0); i++) {
        uint32_t words[4];
        rng_words(op->dropout.seed, (uint32_t)(i / 4), (uint32_t)(i / 4 >> 32), 0, RNG_DROPOUT, words);
        out[0][i] = words[i % 4] >= rng_threshold(op->dropout.p) ? in[0][i] / (1 - op->dropout.p) : 0;
    }
}

const struct op_row op_dropout_row = {.name = "dropout",
                                      .narrow = true,
                                      .shape = shape,
                                      .forward = forward,
                                      .backward = backward,
                                      .reference = reference};
