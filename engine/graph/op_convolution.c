/* op_convolution.c - convolution over one or two spatial dimensions, channels last: what patches of an image and frames
 * of a sound become tokens by. The kernel gathers windows into rows as it goes: no workspace beyond tiles. */
#include "engine/base/units.h"
#include "engine/graph/op_rows.h"

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
    op->forward_flops = flops;
    op->backward_flops = x_grad ? 2 * flops : flops;
    return graph_save(g, op, op->inputs[0], why) && graph_save(g, op, op->inputs[1], why);
}

const struct op_row op_convolution_row = {.name = "convolution", .shape = shape};
