/* model_lower.c - one training step of a decoder or encoder as a graph: embedding, layers, final norm, head, loss.
 *
 * Tensors are [batch, seq_len, width]; heads lie side by side in a row, as linear layers make them. Names are static:
 * the layer stands beside them (graph.borrow_names). */
#include <math.h>

#include "engine/base/units.h"
#include "engine/models/model.h"

struct lowering {
    const struct workload *w;
    const struct model *m;
    struct graph *g;
    uint32_t layer;
    unsigned parts;
    struct problem *why;
};

/* ---- words of the language below; each gives GRAPH_NONE where an input is GRAPH_NONE ---- */

static uint32_t parameter(struct lowering *l, const char *name, unsigned rank, const uint64_t *shape) {
    return graph_tensor(l->g, TENSOR_PARAMETER, name, l->w->dtype, rank, shape, true, l->why);
}

static uint32_t op_add(struct lowering *l, const char *name, struct op spec, const uint32_t *inputs, uint32_t n) {
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

static uint32_t result(struct lowering *l, uint32_t op, uint32_t i) {
    return op == GRAPH_NONE ? GRAPH_NONE : graph_result(l->g, op, i);
}

static uint32_t apply(struct lowering *l, const char *name, struct op spec, const uint32_t *inputs, uint32_t n) {
    return result(l, op_add(l, name, spec, inputs, n), 0);
}

static uint32_t view(struct lowering *l, uint32_t x, unsigned rank, const uint64_t *shape) {
    return x == GRAPH_NONE ? GRAPH_NONE : graph_view(l->g, x, rank, shape, l->why);
}

/* names: of the op, its weight and its bias */
static uint32_t linear(struct lowering *l, const char *const names[3], uint32_t x, uint64_t in, uint64_t out,
                       bool bias) {
    const uint32_t inputs[] = {x, parameter(l, names[1], 2, (uint64_t[]){out, in}),
                               bias ? parameter(l, names[2], 1, &out) : GRAPH_NONE};
    return apply(l, names[0], (struct op){.kind = OP_LINEAR}, inputs, bias ? 3 : 2);
}
#define NAMES(n) ((const char *const[]){n, n ".weight", n ".bias"})

static uint32_t norm(struct lowering *l, const char *const names[3], uint32_t x, uint64_t width) {
    bool layer_norm = l->m->norm == MODEL_LAYERNORM;
    const uint32_t inputs[] = {x, parameter(l, names[1], 1, &width),
                               layer_norm ? parameter(l, names[2], 1, &width) : GRAPH_NONE};
    const struct op op = {
        .kind = layer_norm ? OP_LAYER_NORM : OP_RMS_NORM, .parts = PART_NORM, .norm = {.epsilon = 1e-5f}};
    return apply(l, names[0], op, inputs, layer_norm ? 3 : 2);
}

static uint32_t dropout(struct lowering *l, const char *name, uint32_t x) {
    if (l->w->dropout == 0)
        return x;
    return apply(l, name, (struct op){.kind = OP_DROPOUT, .dropout = {.p = l->w->dropout, .seed = l->g->n_ops}}, &x, 1);
}

static uint32_t add(struct lowering *l, const char *name, uint32_t a, uint32_t b) {
    return apply(l, name, (struct op){.kind = OP_ADD}, (uint32_t[]){a, b}, 2);
}

/* ---- attention ---- */

/* RMS norm of every head: seen as [batch, seq_len, heads, head_dim]. */
static uint32_t head_norm(struct lowering *l, const char *const names[2], uint32_t x, uint64_t heads) {
    const struct model *m = l->m;
    const uint64_t apart[] = {l->w->batch, l->w->seq_len, heads, m->head_dim};
    const uint64_t together[] = {l->w->batch, l->w->seq_len, heads * m->head_dim};
    const uint32_t inputs[] = {view(l, x, 4, apart), parameter(l, names[1], 1, &m->head_dim)};
    const struct op op = {.kind = OP_RMS_NORM, .parts = PART_NORM, .norm = {.epsilon = 1e-6f}};
    return view(l, apply(l, names[0], op, inputs, 2), 3, together);
}

static uint32_t rotary(struct lowering *l, const char *name, uint32_t x) {
    return l->m->positions == MODEL_ROTARY ? apply(l, name, (struct op){.kind = OP_ROTARY}, &x, 1) : x;
}

static bool windowed(const struct model *m, uint32_t layer) {
    return m->window && !(m->window_pattern && layer % m->window_pattern == m->window_pattern - 1);
}

static uint32_t attention(struct lowering *l, uint32_t x) {
    const struct model *m = l->m;
    const uint64_t q_width = m->heads * m->head_dim, kv_width = m->kv_heads * m->head_dim;
    uint32_t q = linear(l, NAMES("attention.q"), x, m->d_model, q_width, m->bias_qkv);
    uint32_t k = linear(l, NAMES("attention.k"), x, m->d_model, kv_width, m->bias_qkv);
    uint32_t v = linear(l, NAMES("attention.v"), x, m->d_model, kv_width, m->bias_qkv);
    if (m->qk_norm) {
        q = head_norm(l, NAMES("attention.q_norm"), q, m->heads);
        k = head_norm(l, NAMES("attention.k_norm"), k, m->kv_heads);
    }
    q = rotary(l, "attention.q_rotary", q);
    k = rotary(l, "attention.k_rotary", k);
    const struct op core = {.kind = OP_ATTENTION,
                            .parts = PART_ATTENTION_CORE,
                            .attention = {.kernel = l->w->attention,
                                          .layout = ATTN_ROWS_FIRST,
                                          .heads = m->heads,
                                          .kv_heads = m->kv_heads,
                                          .behind = windowed(m, l->layer) ? m->window : ATTN_FAR,
                                          .ahead = m->bidirectional ? ATTN_FAR : 1,
                                          .dropout = {l->w->dropout, l->g->n_ops}}};
    uint32_t o = apply(l, "attention", core, (uint32_t[]){q, k, v}, 3);
    o = linear(l, NAMES("attention.out"), o, q_width, m->d_model, m->bias_out);
    return dropout(l, "attention.dropout", o);
}

/* ---- feed-forward ---- */

static bool gated(const struct model *m) {
    return m->mlp == MODEL_SWIGLU || m->mlp == MODEL_GEGLU;
}

static struct op activation(const struct model *m) {
    static const enum op_kind kinds[] = {[MODEL_GELU] = OP_GELU, [MODEL_GELU_TANH] = OP_GELU, [MODEL_RELU] = OP_RELU,
                                         [MODEL_SILU] = OP_SILU, [MODEL_SWIGLU] = OP_GATED,   [MODEL_GEGLU] = OP_GATED};
    struct op op = {.kind = kinds[m->mlp]};
    if (op.kind == OP_GELU)
        op.gelu.tanh_form = m->mlp == MODEL_GELU_TANH;
    return op;
}

static uint32_t dense(struct lowering *l, uint32_t x) {
    const struct model *m = l->m;
    uint32_t inner[2];
    inner[0] = gated(m) ? linear(l, NAMES("mlp.gate"), x, m->d_model, m->d_ff, m->bias_mlp) : GRAPH_NONE;
    inner[gated(m)] = linear(l, NAMES("mlp.up"), x, m->d_model, m->d_ff, m->bias_mlp);
    uint32_t a = apply(l, "mlp.activation", activation(m), inner, gated(m) ? 2 : 1);
    return linear(l, NAMES("mlp.down"), a, m->d_ff, m->d_model, m->bias_mlp);
}

static uint32_t expert_linear(struct lowering *l, const char *const names[2], uint32_t x, uint32_t experts, uint64_t in,
                              uint64_t out) {
    const uint32_t inputs[] = {x, experts, parameter(l, names[1], 3, (uint64_t[]){l->m->experts, out, in})};
    return apply(l, names[0], (struct op){.kind = OP_EXPERT_LINEAR}, inputs, 3);
}

static uint32_t mixture(struct lowering *l, uint32_t x) {
    const struct model *m = l->m;
    const uint64_t flat[] = {l->w->batch * l->w->seq_len, m->d_model};
    const uint64_t full[] = {l->w->batch, l->w->seq_len, m->d_model};
    uint32_t tokens = view(l, x, 2, flat);
    uint32_t scores = linear(l, NAMES("experts.router"), tokens, m->d_model, m->experts, false);
    uint32_t route =
        op_add(l, "experts.route", (struct op){.kind = OP_ROUTE, .route = {m->experts_per_token}}, &scores, 1);
    uint32_t weights = result(l, route, 0), experts = result(l, route, 1);
    uint32_t sent = apply(l, "experts.dispatch", (struct op){.kind = OP_DISPATCH}, (uint32_t[]){tokens, experts}, 2);
    uint32_t inner[2];
    inner[0] =
        gated(m) ? expert_linear(l, NAMES("experts.gate"), sent, experts, m->d_model, m->expert_d_ff) : GRAPH_NONE;
    inner[gated(m)] = expert_linear(l, NAMES("experts.up"), sent, experts, m->d_model, m->expert_d_ff);
    uint32_t a = apply(l, "experts.activation", activation(m), inner, gated(m) ? 2 : 1);
    uint32_t y = expert_linear(l, NAMES("experts.down"), a, experts, m->expert_d_ff, m->d_model);
    y = apply(l, "experts.combine", (struct op){.kind = OP_COMBINE}, (uint32_t[]){y, weights, experts}, 3);
    return view(l, y, 3, full);
}

static uint32_t feed_forward(struct lowering *l, uint32_t x) {
    return dropout(l, "mlp.dropout", l->m->experts ? mixture(l, x) : dense(l, x));
}

/* ---- the whole ---- */

enum { LAYER_TENSORS = 48, LAYER_OPS = 20 }; /* about what a layer makes */

static uint32_t sub_layer(struct lowering *l, uint32_t x, unsigned part, const char *const before[3],
                          const char *const after[3], const char *sum, uint32_t (*body)(struct lowering *, uint32_t)) {
    l->parts = part;
    if (l->m->post_norm)
        return norm(l, before, add(l, sum, x, body(l, x)), l->m->d_model);
    uint32_t y = body(l, norm(l, before, x, l->m->d_model));
    if (l->m->sandwich_norm)
        y = norm(l, after, y, l->m->d_model);
    return add(l, sum, x, y);
}

static uint32_t layer(struct lowering *l, uint32_t x) {
    if (l->m->parallel) {
        uint32_t n = norm(l, NAMES("norm"), x, l->m->d_model);
        l->parts = PART_ATTENTION;
        uint32_t a = attention(l, n);
        l->parts = PART_MLP;
        uint32_t both = add(l, "parallel", a, feed_forward(l, n));
        l->parts = 0;
        return add(l, "residual", x, both);
    }
    x = sub_layer(l, x, PART_ATTENTION, NAMES("attention.norm"), NAMES("attention.post_norm"), "attention.residual",
                  attention);
    x = sub_layer(l, x, PART_MLP, NAMES("mlp.norm"), NAMES("mlp.post_norm"), "mlp.residual", feed_forward);
    l->parts = 0;
    return x;
}

static uint32_t types(struct lowering *l, uint32_t x, uint32_t ids) {
    const uint32_t table = parameter(l, "embedding.types", 2, (uint64_t[]){l->m->type_vocab, l->m->d_model});
    uint32_t t = apply(l, "types", (struct op){.kind = OP_EMBEDDING}, (uint32_t[]){ids, table}, 2);
    return add(l, "types.sum", x, t);
}

static uint32_t embed(struct lowering *l, uint32_t ids, uint32_t type_ids, uint32_t table) {
    const struct model *m = l->m;
    uint32_t x = apply(l, "embedding", (struct op){.kind = OP_EMBEDDING}, (uint32_t[]){ids, table}, 2);
    if (m->embedding_scale)
        x = apply(l, "embedding.scale", (struct op){.kind = OP_SCALE, .scale = {sqrtf((float)m->d_model)}}, &x, 1);
    if (m->positions == MODEL_LEARNED) {
        uint32_t positions = parameter(l, "embedding.positions", 2, (uint64_t[]){m->max_positions, m->d_model});
        x = apply(l, "positions", (struct op){.kind = OP_POSITIONS}, (uint32_t[]){x, positions}, 2);
    }
    if (m->type_vocab)
        x = types(l, x, type_ids);
    if (m->embedding_norm)
        x = norm(l, NAMES("embedding.norm"), x, m->d_model);
    return dropout(l, "embedding.dropout", x);
}

/* What masked language models do before the head. */
static uint32_t transform(struct lowering *l, uint32_t x) {
    const struct model *m = l->m;
    x = linear(l, NAMES("head.dense"), x, m->d_model, m->d_model, true);
    x = apply(l, "head.activation", activation(m), &x, 1);
    return norm(l, NAMES("head.norm"), x, m->d_model);
}

static uint32_t loss(struct lowering *l, uint32_t x, uint32_t table, uint32_t targets) {
    const struct model *m = l->m;
    if (!m->post_norm)
        x = norm(l, NAMES("final_norm"), x, m->d_model);
    if (m->mlm_head)
        x = transform(l, x);
    if (m->spare_head_bias && !m->tied_embeddings &&
        graph_tensor(l->g, TENSOR_PARAMETER, "head.spare_bias", l->w->dtype, 1, &m->vocab, false, l->why) == GRAPH_NONE)
        return GRAPH_NONE;
    if (!m->tied_embeddings)
        table = parameter(l, "head.weight", 2, (uint64_t[]){m->vocab, m->d_model});
    const uint32_t inputs[] = {x, table, m->mlm_head ? parameter(l, "head.bias", 1, &m->vocab) : GRAPH_NONE};
    uint32_t logits = apply(l, "head", (struct op){.kind = OP_LINEAR}, inputs, m->mlm_head ? 3 : 2);
    if (m->final_softcap > 0)
        logits = apply(l, "head.softcap", (struct op){.kind = OP_SOFTCAP}, &logits, 1);
    return apply(l, "loss", (struct op){.kind = OP_CROSS_ENTROPY}, (uint32_t[]){logits, targets}, 2);
}

static bool optimizer_bytes(const struct workload *w, struct graph *g, struct problem *why) {
    bool master = w->optimizer->steps && dtype_bytes(w->dtype) < sizeof(float);
    for (uint32_t t = 0; t < g->n_tensors; t++) {
        const struct tensor *p = &g->tensors[t];
        if (p->role == TENSOR_PARAMETER &&
            !units_add(g->optimizer_bytes, w->optimizer->state_bytes(p) + (master ? 4 * p->elements : 0),
                       &g->optimizer_bytes))
            return problem_set(why, PROBLEM_LIMIT, "/model", "has more parameters than can be counted");
    }
    return true;
}

bool model_lower(const struct workload *w, struct arena *arena, struct graph *g, struct problem *why) {
    struct lowering l = {.w = w, .m = &w->model, .g = g, .layer = GRAPH_NONE, .why = why};
    if (!workload_check(w, why) || !graph_init(g, arena, w->threads ? w->threads : 1, true, why))
        return false;
    g->borrow_names = true;
    if (!graph_reserve(g, 16 + (uint32_t)w->model.layers * LAYER_TENSORS, 16 + (uint32_t)w->model.layers * LAYER_OPS,
                       why))
        return false;
    const uint64_t tokens[] = {w->batch, w->seq_len};
    uint32_t ids = graph_tensor(g, TENSOR_INPUT, "tokens", DTYPE_INT32, 2, tokens, false, why);
    uint32_t targets = graph_tensor(g, TENSOR_INPUT, "targets", DTYPE_INT32, 2, tokens, false, why);
    uint32_t table = parameter(&l, "embedding.weight", 2, (uint64_t[]){w->model.vocab, w->model.d_model});
    uint32_t type_ids = w->model.type_vocab
                            ? graph_tensor(g, TENSOR_INPUT, "token_types", DTYPE_INT32, 2, tokens, false, why)
                            : GRAPH_NONE;
    uint32_t x = embed(&l, ids, type_ids, table);
    for (l.layer = 0; x != GRAPH_NONE && l.layer < w->model.layers; l.layer++)
        x = layer(&l, x);
    l.layer = GRAPH_NONE;
    uint32_t end = x == GRAPH_NONE ? GRAPH_NONE : loss(&l, x, table, targets);
    if (end == GRAPH_NONE)
        return false;
    graph_request(g, end);
    return optimizer_bytes(w, g, why) && graph_finish(g, why);
}
