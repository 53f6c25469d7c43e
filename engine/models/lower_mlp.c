/* lower_mlp.c - the feed-forward sub-layers: dense, and mixtures of experts. */
#include "engine/models/lower.h"

/* A feed-forward of two or three linear layers, named by what it is part of. */
struct mlp_names {
    const char *gate[3], *up[3], *down[3], *activation;
};
#define MLP_NAMES(n)                                                                                                   \
    {                                                                                                                  \
        {n ".gate", n ".gate.weight", n ".gate.bias"}, {n ".up", n ".up.weight", n ".up.bias"},                        \
            {n ".down", n ".down.weight", n ".down.bias"}, n ".activation"                                             \
    }
static const struct mlp_names mlp_names = MLP_NAMES("mlp"), shared_names = MLP_NAMES("shared"),
                              expert_names = MLP_NAMES("experts");

static uint32_t dense(struct lowering *l, const struct mlp_names *names, uint32_t x, uint64_t d_ff) {
    const struct model *m = l->m;
    const bool gated = lower_is_gated(m);
    uint32_t inner[2];
    inner[0] = gated ? lower_linear(l, names->gate, x, m->d_model, d_ff, m->bias_mlp) : GRAPH_NONE;
    inner[gated] = lower_linear(l, names->up, x, m->d_model, d_ff, m->bias_mlp);
    uint32_t a = lower_op(l, names->activation, lower_activation(m->mlp), inner, gated ? 2 : 1);
    return lower_linear(l, names->down, a, d_ff, m->d_model, m->bias_mlp);
}

static uint32_t expert_linear(struct lowering *l, const char *const names[3], uint32_t x, uint32_t experts, uint64_t in,
                              uint64_t out) {
    const bool bias = l->m->expert_bias;
    const uint32_t inputs[] = {x, experts, lower_parameter(l, names[1], 3, (uint64_t[]){l->m->experts, out, in}),
                               bias ? lower_parameter(l, names[2], 2, (uint64_t[]){l->m->experts, out}) : GRAPH_NONE};
    return lower_op(l, names[0], (struct op){.kind = OP_EXPERT_LINEAR}, inputs, bias ? 4 : 3);
}

/* The expert that every token goes to, behind a gate of its own in some. */
static uint32_t shared(struct lowering *l, uint32_t x) {
    const uint32_t y = dense(l, &shared_names, x, l->m->shared_d_ff);
    if (!l->m->shared_gate)
        return y;
    const uint32_t gate = lower_linear(l, LOWER_NAMES("shared.token_gate"), x, l->m->d_model, 1, false);
    return lower_op(l, "shared.gated", (struct op){.kind = OP_TOKEN_GATE}, (uint32_t[]){y, gate}, 2);
}

/* What is added to the experts' scores as they are chosen: moved between steps by how many tokens each got, if at all.
 */
static uint32_t correction(struct lowering *l) {
    return graph_tensor(l->g, TENSOR_PARAMETER, "experts.correction_bias", l->w->dtype, 1, &l->m->experts, false,
                        l->why);
}

static uint32_t mixture(struct lowering *l, uint32_t x) {
    const struct model *m = l->m;
    const bool gated = lower_is_gated(m);
    const uint64_t flat[] = {l->w->batch * l->tokens, m->d_model};
    const uint64_t full[] = {l->w->batch, l->tokens, m->d_model};
    const struct mlp_names *names = &expert_names;
    uint32_t tokens = lower_view(l, x, 2, flat);
    uint32_t scores = lower_linear(l, LOWER_NAMES("experts.router"), tokens, m->d_model, m->experts, m->router_bias);
    const struct op choice = {.kind = OP_ROUTE,
                              .route = {.per_token = m->experts_per_token,
                                        .normalise = m->route.normalise,
                                        .sigmoid = m->route.sigmoid,
                                        .factor = (float)m->route.factor,
                                        .groups = m->route.groups,
                                        .kept_groups = m->route.kept_groups}};
    const uint32_t chosen_by[] = {scores, m->route.corrected ? correction(l) : GRAPH_NONE};
    uint32_t route = lower_ops(l, "experts.route", choice, chosen_by, m->route.corrected ? 2 : 1);
    uint32_t weights = lower_result(l, route, 0), experts = lower_result(l, route, 1);
    uint32_t sent = lower_op(l, "experts.dispatch", (struct op){.kind = OP_DISPATCH}, (uint32_t[]){tokens, experts}, 2);
    uint32_t inner[2];
    inner[0] = gated ? expert_linear(l, names->gate, sent, experts, m->d_model, m->expert_d_ff) : GRAPH_NONE;
    inner[gated] = expert_linear(l, names->up, sent, experts, m->d_model, m->expert_d_ff);
    uint32_t a = lower_op(l, names->activation, lower_activation(m->mlp), inner, gated ? 2 : 1);
    uint32_t y = expert_linear(l, names->down, a, experts, m->expert_d_ff, m->d_model);
    y = lower_op(l, "experts.combine", (struct op){.kind = OP_COMBINE}, (uint32_t[]){y, weights, experts}, 3);
    y = lower_view(l, y, 3, full);
    return m->shared_d_ff ? lower_add(l, "experts.sum", y, shared(l, x)) : y;
}

uint32_t lower_feed_forward(struct lowering *l, uint32_t x) {
    const bool experts = l->m->experts && !layer_set_has(&l->m->dense_layers, l->index);
    return lower_dropout(l, "mlp.dropout", experts ? mixture(l, x) : dense(l, &mlp_names, x, l->d_ff));
}
