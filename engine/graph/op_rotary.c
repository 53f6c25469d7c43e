/* op_rotary.c - positions as rotations of queries and keys, x [.., rows, heads width]; row n is position n. Saves
 * nothing: the gradient is turned back. */
#include <math.h>

#include "engine/graph/op_rows.h"
#include "engine/kernels/rotary.h"

/* The numbers of a head that turn. */
static uint64_t dim_of(const struct op *op, uint64_t width) {
    return op->rotary.dim ? op->rotary.dim : width;
}

static bool heads_check(const struct graph *g, const struct op *op, struct problem *why) {
    const struct tensor *x = op_input(g, op, 0);
    const uint64_t heads = op->rotary.heads, whole = x->rank ? x->shape[x->rank - 1] : 0;
    if (x->rank < 2 || whole % heads)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/0", "must be rows of %llu heads", (unsigned long long)heads);
    if (dim_of(op, whole / heads) % 2 || op->rotary.dim > whole / heads)
        return problem_set(why, PROBLEM_LIMIT, "/dim", "must be even, and at most the head's %llu",
                           (unsigned long long)(whole / heads));
    return isfinite(op->rotary.factor) || problem_set(why, PROBLEM_LIMIT, "/factor", "must be finite");
}

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 1, 1, why) || (op->rotary.heads && !heads_check(g, op, why)) ||
        !op_elementwise(g, op, why))
        return false;
    op->forward_flops *= 3; /* two products and a sum; at most 2^60 elements */
    op->backward_flops *= 3;
    return true;
}

static bool runs(const struct graph *g, const struct op *op, struct problem *why) {
    (void)g;
    if (op->rotary.heads && op->rotary.frequencies)
        return true;
    return problem_set(why, PROBLEM_UNSUPPORTED, "", "%s is planned and not run without its heads and frequencies",
                       op->name);
}

static struct rotary rotary_of(const struct op_call *c) {
    const struct tensor *x = op_input(c->graph, c->op, 0);
    const struct op_rotary *o = &c->op->rotary;
    const uint64_t rows = x->shape[x->rank - 2], width = x->shape[x->rank - 1] / o->heads, dim = dim_of(c->op, width);
    return (struct rotary){.batch = x->elements / (rows * width * o->heads),
                           .rows = rows,
                           .heads = o->heads,
                           .width = width,
                           .first = o->last ? width - dim : 0,
                           .dim = dim,
                           .interleaved = o->interleaved,
                           .frequencies = o->frequencies,
                           .factor = o->factor == 0 ? 1 : o->factor,
                           .pool = c->pool};
}

static bool forward(const struct op_call *c, struct problem *why) {
    struct rotary r = rotary_of(c);
    (void)why;
    r.x = op_numbers_in(c, 0);
    r.y = op_numbers_out(c, 0);
    rotary_forward(&r);
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    struct rotary r = rotary_of(c);
    (void)why;
    r.x = op_numbers_d_out(c, 0);
    r.y = op_numbers_d_in(c, 0);
    if (r.y.at)
        rotary_backward(&r);
    return true;
}

/* Angles are those of float32: at position 4096 their rounding is what moves a result most. */
static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    const struct tensor *x = op_input(g, op, 0);
    const uint64_t whole = x->shape[x->rank - 1], rows = x->shape[x->rank - 2], width = whole / op->rotary.heads;
    const uint64_t dim = dim_of(op, width), first = op->rotary.last ? width - dim : 0;
    const double factor = op->rotary.factor == 0 ? 1 : (double)op->rotary.factor;
    (void)scratch;
    for (uint64_t i = 0; i < x->elements; i++) {
        const uint64_t at = i % width - first; /* before `first` it is large */
        out[0][i] = in[0][i];
        if (at >= dim)
            continue;
        const uint64_t pair = op->rotary.interleaved ? at / 2 : at % (dim / 2);
        const bool second = op->rotary.interleaved ? at % 2 : at >= dim / 2;
        const uint64_t away = op->rotary.interleaved ? 1 : dim / 2;
        const double angle = (double)((float)(i / whole % rows) * op->rotary.frequencies[pair]);
        const double other = second ? in[0][i - away] : -in[0][i + away];
        out[0][i] = factor * (in[0][i] * cos(angle) + other * sin(angle));
    }
}

const struct op_row op_rotary_row = {.name = "rotary",
                                     .narrow = true,
                                     .shape = shape,
                                     .runs = runs,
                                     .forward = forward,
                                     .backward = backward,
                                     .reference = reference};
