/* lower.c - see lower.h */
#include "engine/models/lower.h"

#include "engine/base/rng.h"

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

struct op lower_norm_op(const struct model *m) {
    return (struct op){
        .kind = m->norm == MODEL_RMSNORM ? OP_RMS_NORM : OP_LAYER_NORM,
        .parts = PART_NORM,
        .norm = {.epsilon = m->norm_epsilon > 0 ? (float)m->norm_epsilon : 1e-5f, .offset = (float)m->norm_offset}};
}

uint32_t lower_norm(struct lowering *l, const char *const names[3], uint32_t x, uint64_t width) {
    static const unsigned inputs_of[] = {
        [MODEL_LAYERNORM] = 3, [MODEL_RMSNORM] = 2, [MODEL_LAYERNORM_NO_BIAS] = 2, [MODEL_LAYERNORM_PLAIN] = 1};
    const unsigned n = inputs_of[l->m->norm];
    const uint32_t inputs[] = {x, n > 1 ? lower_parameter(l, names[1], 1, &width) : GRAPH_NONE,
                               n > 2 ? lower_parameter(l, names[2], 1, &width) : GRAPH_NONE};
    return lower_op(l, names[0], lower_norm_op(l->m), inputs, n);
}

uint64_t lower_seed(const struct lowering *l) {
    return rng_mix(rng_mix(l->w->seed + RNG_MIX_STEP) + (l->g->n_ops + (uint64_t)1) * RNG_MIX_STEP);
}

uint32_t lower_dropout(struct lowering *l, const char *name, uint32_t x) {
    if (l->w->dropout == 0)
        return x;
    return lower_op(l, name, (struct op){.kind = OP_DROPOUT, .dropout = {.p = l->w->dropout, .seed = lower_seed(l)}},
                    &x, 1);
}

uint32_t lower_add(struct lowering *l, const char *name, uint32_t a, uint32_t b) {
    return lower_op(l, name, (struct op){.kind = OP_ADD}, (uint32_t[]){a, b}, 2);
}

/* What a feed-forward does between its linear layers. */
static const struct {
    enum op_kind kind;
    bool tanh_form;
    enum gate gate;
} activations[] = {
    [MODEL_GELU] = {OP_GELU, false, 0},
    [MODEL_GELU_TANH] = {OP_GELU, true, 0},
    [MODEL_RELU] = {OP_RELU, false, 0},
    [MODEL_SILU] = {OP_SILU, false, 0},
    [MODEL_SWIGLU] = {OP_GATED, false, GATE_SILU},
    [MODEL_GEGLU] = {OP_GATED, false, GATE_GELU},
    [MODEL_GEGLU_TANH] = {OP_GATED, false, GATE_GELU_TANH},
    [MODEL_REGLU] = {OP_GATED, false, GATE_RELU},
};

bool lower_is_gated(const struct model *m) {
    return activations[m->mlp].kind == OP_GATED;
}

struct op lower_activation(enum model_mlp mlp) {
    struct op op = {.kind = activations[mlp].kind};
    if (op.kind == OP_GELU)
        op.gelu.tanh_form = activations[mlp].tanh_form;
    if (op.kind == OP_GATED)
        op.gated.gate = activations[mlp].gate;
    return op;
}

bool lower_windowed(const struct lowering *l) {
    const struct model *m = l->m;
    if (m->window_listed)
        return m->window && layer_set_has(&m->window_layers, l->index);
    return m->window && !(m->window_pattern && l->index % m->window_pattern == m->window_pattern - 1);
}
