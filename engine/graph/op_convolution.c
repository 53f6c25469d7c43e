/* op_convolution.c - convolution over one or two spatial dimensions, channels last: what patches of an image and frames
 * of a sound become tokens by. The kernel gathers windows into rows as it goes: its workspace is some of them. */
#include "engine/base/units.h"
#include "engine/graph/op_rows.h"
#include "engine/kernels/convolution.h"

/* weight [out, window.., C] for x [B, spatial.., C]. */
static bool ranks_check(const struct tensor *x, const struct tensor *w, struct problem *why) {
    if (x->rank < 3 || x->rank > 4)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/0", "must be [batch, length, channels] or an image");
    if (w->rank != x->rank || w->shape[w->rank - 1] != x->shape[x->rank - 1])
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must be [out, window, %llu]",
                           (unsigned long long)x->shape[x->rank - 1]);
    return true;
}

/* x's spatial dimensions become those of the result. */
static bool slide(const struct op *op, struct tensor *x, const struct tensor *w, struct problem *why) {
    for (unsigned i = 1; i + 1 < x->rank; i++) {
        const uint64_t stride = op->convolution.stride[i - 1], padding = op->convolution.padding[i - 1];
        if (stride == 0 || padding >= w->shape[i])
            return problem_set(why, PROBLEM_LIMIT, "/stride",
                               "must be at least 1, and the padding less than the window");
        const uint64_t room = x->shape[i] + 2 * padding;
        if (room < w->shape[i])
            return problem_set(why, PROBLEM_SHAPE, "/inputs/0", "is smaller than the window");
        x->shape[i] = (room - w->shape[i]) / stride + 1;
    }
    return true;
}

/* One dimension is an image that is one number wide. */
static struct convolution convolution_of(const struct graph *g, const struct op *op) {
    const struct tensor *x = op_input(g, op, 0), *w = op_input(g, op, 1), *y = &g->tensors[op->outputs[0]];
    struct convolution c = {.batch = x->shape[0],
                            .channels = x->shape[x->rank - 1],
                            .out = w->shape[0],
                            .size = {1, 1},
                            .window = {1, 1},
                            .stride = {1, 1},
                            .made = {1, 1},
                            .narrow = y->dtype == DTYPE_BFLOAT16};
    for (uint32_t i = 0; i < op->n_inputs; i++)
        c.narrow |= op_input(g, op, i)->dtype == DTYPE_BFLOAT16;
    for (unsigned i = 0; i + 2 < x->rank; i++) {
        c.size[i] = x->shape[1 + i];
        c.window[i] = w->shape[1 + i];
        c.stride[i] = op->convolution.stride[i];
        c.padding[i] = op->convolution.padding[i];
        c.made[i] = y->shape[1 + i];
    }
    return c;
}

/* What products take. */
static bool is_small(const struct graph *g, const struct op *op) {
    const struct convolution c = convolution_of(g, op);
    return c.out <= CONVOLUTION_SIZE_MAX && op_elements(g, op, 1) / c.out <= CONVOLUTION_SIZE_MAX &&
           c.size[1] * c.channels <= CONVOLUTION_SIZE_MAX;
}

static void work_set(const struct graph *g, struct op *op) {
    const struct convolution c = convolution_of(g, op);
    if (!is_small(g, op))
        return; /* planned, not run */
    op->forward_work_bytes = convolution_forward_bytes(&c, g->threads);
    op->backward_work_bytes =
        convolution_backward_bytes(&c, op_input(g, op, 0)->needs_grad, op_input(g, op, 1)->needs_grad, g->threads);
}

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 2, 3, why))
        return false;
    struct tensor x = *op_input(g, op, 0);
    const struct tensor w = *op_input(g, op, 1);
    const bool x_grad = x.needs_grad;
    uint64_t flops;
    if (!ranks_check(&x, &w, why) || (op->n_inputs == 3 && !op_vector_check(g, op, 2, w.shape[0], why)) ||
        !slide(op, &x, &w, why))
        return false;
    x.shape[x.rank - 1] = w.shape[0];
    uint32_t made = graph_output(g, op, NULL, x.dtype, x.rank, x.shape, true, why);
    if (made == GRAPH_NONE)
        return false;
    if (!units_product((const uint64_t[]){2, g->tensors[made].elements, w.elements / w.shape[0]}, 3, &flops) ||
        flops > UINT64_MAX / 4)
        return op_too_large(op, 0, "FLOPs", why);
    work_set(g, op);
    op->forward_flops = flops;
    op->backward_flops = x_grad ? 2 * flops : flops;
    return graph_save(g, op, op->inputs[0], why) && graph_save(g, op, op->inputs[1], why);
}

static bool runs(const struct graph *g, const struct op *op, struct problem *why) {
    return is_small(g, op) || problem_set(why, PROBLEM_UNSUPPORTED, "",
                                          "%s runs with windows and rows of at most 2^31 - 1 numbers", op->name);
}

static struct convolution call_of(const struct op_call *c) {
    struct convolution f = convolution_of(c->graph, c->op);
    f.pool = c->pool;
    f.work = c->work;
    f.x = op_numbers_in(c, 0);
    f.weight = op_numbers_in(c, 1);
    return f;
}

static bool forward(const struct op_call *c, struct problem *why) {
    struct convolution f = call_of(c);
    (void)why;
    if (c->op->n_inputs == 3)
        f.bias = op_numbers_in(c, 2);
    f.y = op_numbers_out(c, 0);
    convolution_forward(&f);
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    struct convolution f = call_of(c);
    (void)why;
    f.d_y = op_numbers_d_out(c, 0);
    f.d_x = op_numbers_d_in(c, 0);
    f.d_weight = op_numbers_d_in(c, 1);
    if (c->op->n_inputs == 3)
        f.d_bias = op_numbers_d_in(c, 2);
    convolution_backward(&f);
    return true;
}

/* Sum over the window of one position and channel. */
static double window_sum(const struct convolution *c, uint64_t t, const double *x, const double *weight) {
    const uint64_t i = t / c->made[1] % c->made[0], j = t % c->made[1], b = t / (c->made[0] * c->made[1]);
    double sum = 0;
    for (uint64_t u = 0; u < c->window[0]; u++)
        for (uint64_t v = 0; v < c->window[1]; v++) {
            const uint64_t row = i * c->stride[0] + u - c->padding[0], column = j * c->stride[1] + v - c->padding[1];
            for (uint64_t z = 0; row < c->size[0] && column < c->size[1] && z < c->channels; z++)
                sum += x[((b * c->size[0] + row) * c->size[1] + column) * c->channels + z] *
                       weight[(u * c->window[1] + v) * c->channels + z];
        }
    return sum;
}

static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    const struct convolution c = convolution_of(g, op);
    const uint64_t k = c.window[0] * c.window[1] * c.channels;
    (void)scratch;
    for (uint64_t t = 0; t < c.batch * c.made[0] * c.made[1]; t++)
        for (uint64_t o = 0; o < c.out; o++)
            out[0][t * c.out + o] = (op->n_inputs == 3 ? in[2][o] : 0) + window_sum(&c, t, in[0], in[1] + o * k);
}

const struct op_row op_convolution_row = {.name = "convolution",
                                          .narrow = true,
                                          .shape = shape,
                                          .runs = runs,
                                          .forward = forward,
                                          .backward = backward,
                                          .reference = reference};
