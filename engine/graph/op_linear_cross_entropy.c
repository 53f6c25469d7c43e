/* op_linear_cross_entropy.c - the head and the loss: mean over counted tokens of log-sum-exp minus the target's logit,
 * logits being scale x weight^T [+ bias], softly capped or not. With chunk 0 logits are whole and saved, otherwise the
 * backward makes them again, a stripe at a time; which is its own work, not a recomputation. */
#include <math.h>

#include "engine/base/units.h"
#include "engine/graph/op_rows.h"
#include "engine/kernels/gemm.h"
#include "engine/kernels/loss.h"

enum { X, WEIGHT, TARGETS, BIAS, INPUTS };

/* Sizes and what work bytes depend on. */
static struct loss loss_of(const struct graph *g, const struct op *op) {
    const struct tensor *x = op_input(g, op, X);
    const uint64_t in = x->shape[x->rank - 1];
    return (struct loss){.tokens = x->elements / in,
                         .in = in,
                         .vocab = op_input(g, op, WEIGHT)->shape[0],
                         .chunk = op->linear_cross_entropy.chunk,
                         .cap = op->linear_cross_entropy.cap,
                         .scale = op->linear_cross_entropy.scale > 0 ? op->linear_cross_entropy.scale : 1,
                         .narrow = x->dtype != DTYPE_FLOAT32};
}

/* Floating, and of the dtype of x. */
static bool floating(const struct graph *g, const struct op *op, uint32_t i, struct problem *why) {
    const enum dtype d = op_input(g, op, i)->dtype, x = op_input(g, op, X)->dtype;
    if (d == x && (d == DTYPE_FLOAT32 || d == DTYPE_BFLOAT16 || d == DTYPE_FLOAT16))
        return true;
    problem_set(why, PROBLEM_UNSUPPORTED, "", "is %s; this op takes float32, bfloat16 or float16, and one of them",
                dtype_name(d));
    return problem_nest(why, "/inputs/%u", i);
}

static bool inputs_check(const struct graph *g, const struct op *op, struct problem *why) {
    if (op->n_inputs < BIAS || op->n_inputs > INPUTS || op_input(g, op, TARGETS)->dtype != DTYPE_INT32)
        return problem_set(why, PROBLEM_SHAPE, "/inputs", "%s reads x, a weight, int32 targets and perhaps a bias",
                           op->name);
    if (!floating(g, op, X, why) || !floating(g, op, WEIGHT, why) ||
        (op->n_inputs > BIAS && !floating(g, op, BIAS, why)))
        return false;
    const struct tensor *x = op_input(g, op, X), *w = op_input(g, op, WEIGHT);
    if (x->rank == 0)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/0", "needs at least one dimension");
    if (w->rank != 2 || w->shape[1] != x->shape[x->rank - 1])
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must be a matrix [vocabulary, %llu]",
                           (unsigned long long)x->shape[x->rank - 1]);
    const struct loss l = loss_of(g, op);
    if (l.tokens > GEMM_SIZE_MAX || l.in > GEMM_SIZE_MAX || l.vocab > GEMM_SIZE_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/inputs/0", "tokens, width and vocabulary are at most 2^31 - 1 each");
    if (op_elements(g, op, TARGETS) != l.tokens)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/2", "must be one target a row of x");
    return op->n_inputs == BIAS || op_vector_check(g, op, BIAS, l.vocab, why);
}

static bool fields_check(const struct op *op, struct problem *why) {
    if (op->linear_cross_entropy.chunk % LOSS_BLOCK)
        return problem_set(why, PROBLEM_LIMIT, "/chunk", "must be a multiple of %d tokens", LOSS_BLOCK);
    if (!(op->linear_cross_entropy.cap >= 0) || !isfinite(op->linear_cross_entropy.cap))
        return problem_set(why, PROBLEM_LIMIT, "/cap", "must be a finite number, at least 0");
    if (!(op->linear_cross_entropy.scale >= 0) || !isfinite(op->linear_cross_entropy.scale))
        return problem_set(why, PROBLEM_LIMIT, "/scale", "must be a finite number, at least 0");
    return true;
}

/* As a linear layer, 1 a logit for a soft cap, 5 for the loss; in the backward those of the logits again in chunks. */
static bool flops_set(const struct graph *g, struct op *op, struct problem *why) {
    const struct loss l = loss_of(g, op);
    const uint64_t logits = l.tokens * l.vocab,
                   wanted = (uint64_t)op_input(g, op, X)->needs_grad + op_input(g, op, WEIGHT)->needs_grad;
    const uint64_t bias = op->n_inputs > BIAS ? logits : 0, cap = l.cap > 0 ? logits : 0;
    uint64_t product;
    if (!units_product((const uint64_t[]){2, logits, l.in}, 3, &product) || product > UINT64_MAX / 8)
        return op_too_large(op, X, "FLOPs", why);
    op->forward_flops = product + bias + cap + 5 * logits; /* 2 in logits are less than 2^61 */
    op->backward_flops = wanted * product + bias + cap + 5 * logits + (l.chunk ? product + bias + cap : 0);
    op->forward_work_bytes = loss_forward_work(&l, g->threads);
    op->backward_work_bytes = loss_backward_work(&l, g->threads);
    return true;
}

static bool saves(struct graph *g, struct op *op, struct problem *why) {
    const bool again = op->linear_cross_entropy.chunk != 0;
    if ((again || op_input(g, op, WEIGHT)->needs_grad) && !graph_save(g, op, op->inputs[X], why))
        return false;
    if ((again || op_input(g, op, X)->needs_grad) && !graph_save(g, op, op->inputs[WEIGHT], why))
        return false;
    if (again && op->n_inputs > BIAS && !graph_save(g, op, op->inputs[BIAS], why))
        return false;
    return graph_save(g, op, op->inputs[TARGETS], why);
}

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    if (!inputs_check(g, op, why) || !fields_check(op, why) || !flops_set(g, op, why) || !saves(g, op, why))
        return false;
    struct tensor logits = *op_input(g, op, X);
    const struct tensor targets = *op_input(g, op, TARGETS); /* copies: making an output may move the list */
    logits.shape[logits.rank - 1] = op_input(g, op, WEIGHT)->shape[0];
    const uint64_t one = 1;
    if (graph_output(g, op, NULL, DTYPE_FLOAT32, 1, &one, true, why) == GRAPH_NONE)
        return false;
    const uint32_t sums = graph_output(g, op, "log_sum_exp", DTYPE_FLOAT32, targets.rank, targets.shape, false, why);
    if (sums == GRAPH_NONE || !graph_save(g, op, sums, why))
        return false;
    if (op->linear_cross_entropy.chunk)
        return true;
    const uint32_t whole = graph_output(g, op, "logits", logits.dtype, logits.rank, logits.shape, false, why);
    return whole != GRAPH_NONE && graph_save(g, op, whole, why);
}

static struct loss loss_call(const struct op_call *c) {
    struct loss l = loss_of(c->graph, c->op);
    l.pool = c->pool;
    l.x = op_numbers_in(c, X);
    l.weight = op_numbers_in(c, WEIGHT);
    l.targets = c->inputs[TARGETS];
    l.log_sum_exp = op_out(c, 1);
    if (c->op->n_inputs > BIAS)
        l.bias = op_numbers_in(c, BIAS);
    if (!l.chunk)
        l.logits = op_numbers_out(c, 2);
    l.work = c->work;
    return l;
}

static bool forward(const struct op_call *c, struct problem *why) {
    struct loss l = loss_call(c);
    (void)why;
    l.loss = op_out(c, 0);
    loss_forward(&l);
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    struct loss l = loss_call(c);
    (void)why;
    l.d_loss = op_d_out(c, 0)[0];
    l.d_x = op_numbers_d_in(c, X);
    l.d_weight = op_numbers_d_in(c, WEIGHT);
    if (c->op->n_inputs > BIAS)
        l.d_bias = op_numbers_d_in(c, BIAS);
    loss_backward(&l);
    return true;
}

/* Of one token, its logits made twice: for the largest, then for the sum. */
static double logit(const struct loss *l, const double *const *in, uint64_t token, uint64_t v, bool bias) {
    double sum = 0;
    for (uint64_t i = 0; i < l->in; i++)
        sum += in[X][token * l->in + i] * in[WEIGHT][v * l->in + i];
    sum = (double)l->scale * sum + (bias ? in[BIAS][v] : 0);
    return l->cap > 0 ? (double)l->cap * tanh(sum / (double)l->cap) : sum;
}

static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    const struct loss l = loss_of(g, op);
    const bool bias = op->n_inputs > BIAS;
    double total = 0, counted = 0;
    (void)scratch;
    for (uint64_t t = 0; t < l.tokens; t++) {
        const double target = in[TARGETS][t];
        double top = -INFINITY, sum = 0;
        if (target < 0 || target >= (double)l.vocab)
            continue;
        for (uint64_t v = 0; v < l.vocab; v++)
            top = fmax(top, logit(&l, in, t, v, bias));
        for (uint64_t v = 0; v < l.vocab; v++)
            sum += exp(logit(&l, in, t, v, bias) - top);
        total += top + log(sum) - logit(&l, in, t, (uint64_t)target, bias);
        counted++;
    }
    out[0][0] = counted > 0 ? total / counted : 0;
}

const struct op_row op_linear_cross_entropy_row = {.name = "linear_cross_entropy",
                                                   .narrow = true,
                                                   .shape = shape,
                                                   .forward = forward,
                                                   .backward = backward,
                                                   .reference = reference};
