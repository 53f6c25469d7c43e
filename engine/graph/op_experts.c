/* op_experts.c - mixture of experts between the choice of op_route.c and the next layer: rows of tokens for the experts
 * they go to, one linear layer an expert, sum. Sizes depend on T k alone, not on where tokens go. */
#include "engine/kernels/experts.h"
#include "engine/base/units.h"
#include "engine/graph/op_rows.h"
#include "engine/kernels/gemm.h"

/* The numbers of input i, where it is there. */
static bool numbers_check(const struct graph *g, const struct op *op, uint32_t i, struct problem *why) {
    const enum dtype dtype = op_input(g, op, i)->dtype;
    if (dtype == DTYPE_FLOAT32 || dtype == DTYPE_BFLOAT16 || dtype == DTYPE_FLOAT16)
        return true;
    problem_set(why, PROBLEM_UNSUPPORTED, "", "is %s; this op takes float32, bfloat16 or float16", dtype_name(dtype));
    return problem_nest(why, "/inputs/%u", i);
}

/* at_least..at_most inputs, numbers all but input `ids`, the experts [tokens, k] of `rows` rows (0: of each token). */
static bool inputs_check(const struct graph *g, const struct op *op, uint32_t at_least, uint32_t at_most, uint32_t ids,
                         struct problem *why) {
    if (op->n_inputs < at_least || op->n_inputs > at_most)
        return problem_set(why, PROBLEM_SHAPE, "/inputs", "%s reads %u to %u tensors, not %u", op->name, at_least,
                           at_most, op->n_inputs);
    for (uint32_t i = 0; i < op->n_inputs; i++)
        if (i != ids && !numbers_check(g, op, i, why))
            return false;
    if (op_input(g, op, ids)->dtype == DTYPE_INT32 && op_input(g, op, ids)->rank == 2)
        return true;
    problem_set(why, PROBLEM_SHAPE, "", "must be the experts [tokens, k], int32");
    return problem_nest(why, "/inputs/%u", ids);
}

/* ---- dispatch ---- */

static bool dispatch_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!inputs_check(g, op, 2, 2, 1, why))
        return false;
    const struct tensor x = *op_input(g, op, 0), ids = *op_input(g, op, 1);
    if (x.rank == 0 || x.elements / x.shape[x.rank - 1] != ids.shape[0])
        return problem_set(why, PROBLEM_SHAPE, "/inputs/0", "must be %llu tokens", (unsigned long long)ids.shape[0]);
    const uint64_t shape[] = {ids.elements, x.shape[x.rank - 1]};
    uint32_t made = graph_output(g, op, NULL, x.dtype, 2, shape, true, why);
    if (made == GRAPH_NONE)
        return false;
    op->backward_flops = g->tensors[made].elements;
    return graph_save(g, op, op->inputs[1], why);
}

static struct experts_dispatch dispatch_of(const struct op_call *c) {
    const struct tensor *x = op_input(c->graph, c->op, 0), *ids = op_input(c->graph, c->op, 1);
    return (struct experts_dispatch){
        .tokens = ids->shape[0], .per_token = ids->shape[1], .d = x->shape[x->rank - 1], .pool = c->pool};
}

static bool dispatch_forward(const struct op_call *c, struct problem *why) {
    struct experts_dispatch f = dispatch_of(c);
    (void)why;
    f.x = op_numbers_in(c, 0);
    f.y = op_numbers_out(c, 0);
    experts_dispatch_forward(&f);
    return true;
}

static bool dispatch_backward(const struct op_call *c, struct problem *why) {
    struct experts_dispatch f = dispatch_of(c);
    (void)why;
    f.d_y = op_numbers_d_out(c, 0);
    f.d_x = op_numbers_d_in(c, 0);
    if (f.d_x.at)
        experts_dispatch_backward(&f);
    return true;
}

static void dispatch_reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                               double *scratch) {
    const struct tensor *x = op_input(g, op, 0), *ids = op_input(g, op, 1);
    const uint64_t d = x->shape[x->rank - 1];
    (void)scratch;
    for (uint64_t row = 0; row < ids->elements; row++)
        for (uint64_t c = 0; c < d; c++)
            out[0][row * d + c] = in[0][row / ids->shape[1] * d + c];
}

const struct op_row op_dispatch_row = {.name = "dispatch",
                                       .narrow = true,
                                       .shape = dispatch_shape,
                                       .forward = dispatch_forward,
                                       .backward = dispatch_backward,
                                       .reference = dispatch_reference};

/* ---- expert_linear ---- */

static struct experts_linear linear_sizes(const struct graph *g, const struct op *op) {
    const struct tensor *x = op_input(g, op, 0), *w = op_input(g, op, 2);
    return (struct experts_linear){.rows = x->shape[0],
                                   .in = w->shape[2],
                                   .out = w->shape[1],
                                   .experts = w->shape[0],
                                   .weight.narrow = w->dtype != DTYPE_FLOAT32};
}

static bool linear_check(const struct graph *g, const struct op *op, struct problem *why) {
    const struct tensor *x = op_input(g, op, 0), *w = op_input(g, op, 2);
    const struct tensor *bias = op->n_inputs > 3 ? op_input(g, op, 3) : NULL;
    if (x->rank != 2 || x->shape[0] != op_input(g, op, 1)->elements)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/0", "must be a row for each token and expert it goes to");
    if (w->rank != 3 || w->shape[2] != x->shape[1])
        return problem_set(why, PROBLEM_SHAPE, "/inputs/2", "must be a matrix [out, %llu] for each expert",
                           (unsigned long long)x->shape[1]);
    if (bias && (bias->rank != 2 || bias->shape[0] != w->shape[0] || bias->shape[1] != w->shape[1]))
        return problem_set(why, PROBLEM_SHAPE, "/inputs/3", "must be a vector [out] for each expert");
    if (x->shape[0] > GEMM_SIZE_MAX || w->shape[0] > GEMM_SIZE_MAX || w->shape[1] > GEMM_SIZE_MAX ||
        w->shape[2] > GEMM_SIZE_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/inputs/0", "rows, experts, in and out are at most 2^31 - 1 each");
    return true;
}

static bool linear_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!inputs_check(g, op, 3, 4, 1, why) || !linear_check(g, op, why))
        return false;
    const struct experts_linear f = linear_sizes(g, op);
    const uint64_t shape[] = {f.rows, f.out};
    uint64_t product;
    if (!units_product((const uint64_t[]){2, f.rows, f.out, f.in}, 4, &product) || product > UINT64_MAX / 4)
        return op_too_large(op, 0, "FLOPs", why);
    op->forward_flops = product;
    op->backward_flops = 2 * product;
    op->forward_work_bytes = experts_linear_work_bytes(&f, false, g->threads);
    op->backward_work_bytes = experts_linear_work_bytes(&f, true, g->threads);
    return graph_output(g, op, NULL, op_input(g, op, 0)->dtype, 2, shape, true, why) != GRAPH_NONE &&
           graph_save(g, op, op->inputs[0], why) && graph_save(g, op, op->inputs[1], why) &&
           graph_save(g, op, op->inputs[2], why);
}

static struct experts_linear linear_of(const struct op_call *c) {
    struct experts_linear f = linear_sizes(c->graph, c->op);
    f.pool = c->pool;
    f.work = c->work;
    f.x = op_numbers_in(c, 0);
    f.ids = c->inputs[1];
    f.weight = op_numbers_in(c, 2);
    return f;
}

static bool linear_forward(const struct op_call *c, struct problem *why) {
    struct experts_linear f = linear_of(c);
    if (c->op->n_inputs > 3)
        f.bias = op_numbers_in(c, 3);
    f.y = op_numbers_out(c, 0);
    return experts_linear_forward(&f, why);
}

static bool linear_backward(const struct op_call *c, struct problem *why) {
    struct experts_linear f = linear_of(c);
    f.d_y = op_numbers_d_out(c, 0);
    f.d_x = op_numbers_d_in(c, 0);
    f.d_weight = op_numbers_d_in(c, 2);
    if (c->op->n_inputs > 3)
        f.d_bias = op_numbers_d_in(c, 3);
    return experts_linear_backward(&f, why);
}

static void linear_reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                             double *scratch) {
    const struct experts_linear f = linear_sizes(g, op);
    (void)scratch;
    for (uint64_t r = 0; r < f.rows; r++)
        for (uint64_t y = 0; y < f.out; y++) {
            const uint64_t at = (uint64_t)in[1][r] * f.out + y;
            double sum = op->n_inputs > 3 ? in[3][at] : 0;
            for (uint64_t x = 0; x < f.in; x++)
                sum += in[0][r * f.in + x] * in[2][at * f.in + x];
            out[0][r * f.out + y] = sum;
        }
}

const struct op_row op_expert_linear_row = {.name = "expert_linear",
                                            .narrow = true,
                                            .shape = linear_shape,
                                            .forward = linear_forward,
                                            .backward = linear_backward,
                                            .reference = linear_reference};

/* ---- combine ---- */

static bool combine_check(const struct graph *g, const struct op *op, struct problem *why) {
    const struct tensor *y = op_input(g, op, 0), *weights = op_input(g, op, 1), *ids = op_input(g, op, 2);
    if (y->rank != 2 || y->shape[0] != ids->elements)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/0", "must be a row for each token and expert it goes to");
    if (weights->dtype != DTYPE_FLOAT32 || weights->rank != 2 || weights->shape[0] != ids->shape[0] ||
        weights->shape[1] != ids->shape[1])
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must be weights [%llu, %llu], float32",
                           (unsigned long long)ids->shape[0], (unsigned long long)ids->shape[1]);
    return true;
}

static bool combine_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!inputs_check(g, op, 3, 3, 2, why) || !combine_check(g, op, why))
        return false;
    const struct tensor y = *op_input(g, op, 0), ids = *op_input(g, op, 2);
    const uint64_t shape[] = {ids.shape[0], y.shape[1]};
    op->forward_flops = 2 * y.elements;
    op->backward_flops = 4 * y.elements;
    return graph_output(g, op, NULL, y.dtype, 2, shape, true, why) != GRAPH_NONE &&
           graph_save(g, op, op->inputs[0], why) && graph_save(g, op, op->inputs[1], why) &&
           graph_save(g, op, op->inputs[2], why);
}

static struct experts_combine combine_of(const struct op_call *c) {
    const struct tensor *y = op_input(c->graph, c->op, 0), *ids = op_input(c->graph, c->op, 2);
    return (struct experts_combine){.tokens = ids->shape[0],
                                    .per_token = ids->shape[1],
                                    .d = y->shape[1],
                                    .pool = c->pool,
                                    .y = op_numbers_in(c, 0),
                                    .weights = op_in(c, 1)};
}

static bool combine_forward(const struct op_call *c, struct problem *why) {
    struct experts_combine f = combine_of(c);
    (void)why;
    f.out = op_numbers_out(c, 0);
    experts_combine_forward(&f);
    return true;
}

static bool combine_backward(const struct op_call *c, struct problem *why) {
    struct experts_combine f = combine_of(c);
    (void)why;
    f.d_out = op_numbers_d_out(c, 0);
    f.d_y = op_numbers_d_in(c, 0);
    f.d_weights = op_d_in(c, 1);
    experts_combine_backward(&f);
    return true;
}

static void combine_reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                              double *scratch) {
    const struct tensor *y = op_input(g, op, 0), *ids = op_input(g, op, 2);
    const uint64_t d = y->shape[1], k = ids->shape[1];
    (void)scratch;
    for (uint64_t t = 0; t < ids->shape[0]; t++)
        for (uint64_t c = 0; c < d; c++) {
            out[0][t * d + c] = 0;
            for (uint64_t row = t * k; row < (t + 1) * k; row++)
                out[0][t * d + c] += in[1][row] * in[0][row * d + c];
        }
}

const struct op_row op_combine_row = {.name = "combine",
                                      .narrow = true,
                                      .shape = combine_shape,
                                      .forward = combine_forward,
                                      .backward = combine_backward,
                                      .reference = combine_reference};
