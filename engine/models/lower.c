/* lower.c - see lower.h */
#include "engine/models/lower.h"

uint32_t lower_parameter(struct lowering *l, const char *name, unsigned rank, const uint64_t *shape) {
    return graph_tensor(l->g, TENSOR_PARAMETER, name, l->w->dtype, rank, shape, true, l->why);
}

uint32_t lower_ops(struct lowering *l, const char *name, struct op spec, const uint32_t *inputs, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (inputs[i] == GRAPH_NONE)
            return GRAPH_NONE;
    spec.name = name;
    spec.inputs = inputs;
    spec.n_inputs = n;
    spec.layer = l->layer;
    spec.parts |= l->parts;
    return graph_op(l->g, &spec, l->why);
}

uint32_t lower_result(struct lowering *l, uint32_t op, uint32_t i) {
    return op == GRAPH_NONE ? GRAPH_NONE : graph_result(l->g, op, i);
}

uint32_t lower_op(struct lowering *l, const char *name, struct op spec, const uint32_t *inputs, uint32_t n) {
    return lower_result(l, lower_ops(l, name, spec, inputs, n), 0);
}

uint32_t lower_view(struct lowering *l, uint32_t x, unsigned rank, const uint64_t *shape) {
    return x == GRAPH_NONE ? GRAPH_NONE : graph_view(l->g, x, rank, shape, l->why);
}

uint32_t lower_linear(struct lowering *l, const char *const names[3], uint32_t x, uint64_t in, uint64_t out,
                      bool bias) {
    const uint32_t inputs[] = {x, lower_parameter(l, names[1], 2, (uint64_t[]){out, in}),
                               bias ? lower_parameter(l, names[2], 1, &out) : GRAPH_NONE};
    return lower_op(l, names[0], (struct op){.kind = OP_LINEAR}, inputs, bias ? 3 : 2);
}

uint32_t lower_norm(struct lowering *l, const char *const names[3], uint32_t x, uint64_t width) {
    static const unsigned inputs_of[] = {
        [MODEL_LAYERNORM] = 3, [MODEL_RMSNORM] = 2, [MODEL_LAYERNORM_NO_BIAS] = 2, [MODEL_LAYERNORM_PLAIN] = 1};
    const unsigned n = inputs_of[l->m->norm];
    const uint32_t inputs[] = {x, n > 1 ? lower_parameter(l, names[1], 1, &width) : GRAPH_NONE,
                               n > 2 ? lower_parameter(l, names[2], 1, &width) : GRAPH_NONE};
    const struct op op = {.kind = l->m->norm == MODEL_RMSNORM ? OP_RMS_NORM : OP_LAYER_NORM,
                          .parts = PART_NORM,
                          .norm = {.epsilon = 1e-5f}};
    return lower_op(l, names[0], op, inputs, n);
}

uint32_t lower_dropout(struct lowering *l, const char *name, uint32_t x) {
    if (l->w->dropout == 0)
        return x;
    return lower_op(l, name, (struct op){.kind = OP_DROPOUT, .dropout = {.p = l->w->dropout, .seed = l->g->n_ops}}, &x,
                    1);
}

uint32_t lower_add(struct lowering *l, const char *name, uint32_t a, uint32_t b) {
    return lower_op(l, name, (struct op){.kind = OP_ADD}, (uint32_t[]){a, b}, 2);
}

bool lower_is_gated(const struct model *m) {
    return m->mlp == MODEL_SWIGLU || m->mlp == MODEL_GEGLU || m->mlp == MODEL_REGLU;
}

struct op lower_activation(const struct model *m) {
    static const enum op_kind kinds[] = {
        [MODEL_GELU] = OP_GELU,    [MODEL_GELU_TANH] = OP_GELU, [MODEL_RELU] = OP_RELU,   [MODEL_SILU] = OP_SILU,
        [MODEL_SWIGLU] = OP_GATED, [MODEL_GEGLU] = OP_GATED,    [MODEL_REGLU] = OP_GATED,
    };
    struct op op = {.kind = kinds[m->mlp]};
    if (op.kind == OP_GELU)
        op.gelu.tanh_form = m->mlp == MODEL_GELU_TANH;
    return op;
}
