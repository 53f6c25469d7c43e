/* model_lower.c - one training step of a model as a graph: embedding, stacks of layers, final norm, head, loss. The
 * words are in lower.h, the sub-layers in lower_attention.c and lower_mlp.c. */
#include <math.h>

#include "engine/base/units.h"
#include "engine/models/lower.h"

enum { LAYER_TENSORS = 56, LAYER_OPS = 24 }; /* about what a layer makes */

/* ---- layers ---- */

struct sub_layer {
    unsigned part;
    const char *before[3], *after[3], *sum;
    uint32_t (*body)(struct lowering *, uint32_t);
};
#define SUB_LAYER(part, name, body)                                                                                    \
    {                                                                                                                  \
        part, {name ".norm", name ".norm.weight", name ".norm.bias"},                                                  \
            {name ".post_norm", name ".post_norm.weight", name ".post_norm.bias"}, name ".residual", body              \
    }
static const struct sub_layer attention_sub_layer = SUB_LAYER(PART_ATTENTION, "attention", lower_attention),
                              cross_sub_layer = SUB_LAYER(PART_ATTENTION, "cross", lower_cross_attention),
                              mlp_sub_layer = SUB_LAYER(PART_MLP, "mlp", lower_feed_forward);

static uint32_t sub_layer(struct lowering *l, uint32_t x, const struct sub_layer *s) {
    const struct model *m = l->m;
    l->parts = s->part;
    if (m->post_norm)
        return lower_norm(l, s->before, lower_add(l, s->sum, x, s->body(l, x)), m->d_model);
    uint32_t n = m->output_norm ? x : lower_norm(l, s->before, x, m->d_model);
    uint32_t y = s->body(l, n);
    if (m->sandwich_norm || m->output_norm)
        y = lower_norm(l, s->after, y, m->d_model);
    return lower_add(l, s->sum, m->norm_residual ? n : x, y);
}

static uint32_t parallel_layer(struct lowering *l, uint32_t x) {
    const struct model *m = l->m;
    uint32_t n = lower_norm(l, LOWER_NAMES("norm"), x, m->d_model);
    uint32_t n_mlp = m->two_norms ? lower_norm(l, LOWER_NAMES("mlp.norm"), x, m->d_model) : n;
    l->parts = PART_ATTENTION;
    uint32_t a = lower_attention(l, n);
    l->parts = PART_MLP;
    uint32_t both = lower_add(l, "parallel", a, lower_feed_forward(l, n_mlp));
    l->parts = 0;
    return lower_add(l, "residual", x, both);
}

static uint32_t layer(struct lowering *l, uint32_t x) {
    if (l->m->parallel)
        return parallel_layer(l, x);
    x = sub_layer(l, x, &attention_sub_layer);
    if (l->memory != GRAPH_NONE)
        x = sub_layer(l, x, &cross_sub_layer);
    x = sub_layer(l, x, &mlp_sub_layer);
    l->parts = 0;
    return x;
}

/* Layers are numbered through the graph; `before` of them are in an earlier stack. */
static uint32_t stack(struct lowering *l, uint32_t x, uint64_t layers, uint64_t before) {
    for (l->index = 0; x != GRAPH_NONE && l->index < layers; l->index++) {
        l->layer = (uint32_t)before + l->index;
        x = layer(l, x);
    }
    l->layer = GRAPH_NONE;
    return x;
}

/* ---- before them ---- */

/* What a stack starts from: token ids, or an image. */
struct entry {
    uint32_t tokens, types, table;
    const char *table_name, *norm[3];
};

static uint32_t input(struct lowering *l, const char *name, enum dtype dtype, unsigned rank, const uint64_t *shape) {
    return graph_tensor(l->g, TENSOR_INPUT, name, dtype, rank, shape, false, l->why);
}

static uint32_t ids(struct lowering *l, const char *name) {
    return input(l, name, DTYPE_INT32, 2, (uint64_t[]){l->w->batch, l->tokens});
}

static uint32_t positions(struct lowering *l, uint32_t x, const char *name, uint64_t width) {
    const uint32_t table = lower_parameter(l, name, 2, (uint64_t[]){l->m->max_positions, width});
    const struct op op = {.kind = OP_POSITIONS, .positions = {.first = l->m->reserved_positions}};
    return lower_op(l, "positions", op, (uint32_t[]){x, table}, 2);
}

static uint32_t types(struct lowering *l, uint32_t x, uint32_t type_ids, uint64_t width) {
    const uint32_t table = lower_parameter(l, "embedding.types", 2, (uint64_t[]){l->m->type_vocab, width});
    uint32_t t = lower_op(l, "types", (struct op){.kind = OP_EMBEDDING}, (uint32_t[]){type_ids, table}, 2);
    return lower_add(l, "types.sum", x, t);
}

static uint32_t project(struct lowering *l, uint32_t x) {
    return lower_linear(l, LOWER_NAMES("embedding.project"), x, l->m->embedding_width, l->m->d_model,
                        l->m->project_bias);
}

static uint32_t embed(struct lowering *l, const struct entry *e) {
    const struct model *m = l->m;
    const bool narrow = m->embedding_width != 0, late = narrow && m->project_late;
    const uint64_t width = late ? m->embedding_width : m->d_model;
    uint32_t x = lower_op(l, "embedding", (struct op){.kind = OP_EMBEDDING}, (uint32_t[]){e->tokens, e->table}, 2);
    if (m->embedding_scale)
        x = lower_op(l, "embedding.scale", (struct op){.kind = OP_SCALE, .scale = {sqrtf((float)m->d_model)}}, &x, 1);
    if (narrow && !late)
        x = project(l, x);
    if (m->positions == MODEL_LEARNED)
        x = positions(l, x, e->table_name, width);
    if (m->type_vocab)
        x = types(l, x, e->types, width);
    if (m->embedding_norm)
        x = lower_norm(l, e->norm, x, width);
    x = lower_dropout(l, "embedding.dropout", x);
    return late ? project(l, x) : x;
}

/* Patches of an image, the class token before them, positions. */
static uint32_t embed_image(struct lowering *l, uint32_t image) {
    const struct model *m = l->m;
    const uint64_t window[] = {m->d_model, m->patch_height, m->patch_width, m->channels};
    const uint32_t inputs[] = {image, lower_parameter(l, "patches.weight", 4, window),
                               lower_parameter(l, "patches.bias", 1, &m->d_model)};
    const struct op patches = {.kind = OP_CONVOLUTION, .convolution = {.stride = {m->patch_height, m->patch_width}}};
    uint32_t x = lower_op(l, "patches", patches, inputs, 3);
    x = lower_view(l, x, 3, (uint64_t[]){l->w->batch, l->tokens - 1, m->d_model});
    const uint32_t first = lower_parameter(l, "class_token", 1, &m->d_model);
    x = lower_op(l, "class_token.prepend", (struct op){.kind = OP_PREPEND}, (uint32_t[]){x, first}, 2);
    return lower_dropout(l, "embedding.dropout", positions(l, x, "embedding.positions", m->d_model));
}

static uint32_t listen(struct lowering *l, const char *const names[3], uint32_t x, uint64_t in, uint64_t stride) {
    const uint64_t width = l->m->d_model;
    const uint32_t inputs[] = {x, lower_parameter(l, names[1], 3, (uint64_t[]){width, 3, in}),
                               lower_parameter(l, names[2], 1, &width)};
    x = lower_op(l, names[0], (struct op){.kind = OP_CONVOLUTION, .convolution = {{stride}, {1}}}, inputs, 3);
    return lower_op(l, "sound.activation", lower_activation(l->m->mlp), &x, 1);
}

/* Two convolutions, the second over every other frame; positions that are not trained. */
static uint32_t embed_sound(struct lowering *l, uint32_t sound) {
    const struct model *m = l->m;
    const uint64_t table[] = {m->source_positions, m->d_model};
    uint32_t x = listen(l, LOWER_NAMES("sound.first"), sound, m->mel_bins, 1);
    x = listen(l, LOWER_NAMES("sound.second"), x, m->d_model, 2);
    const uint32_t rows =
        graph_tensor(l->g, TENSOR_PARAMETER, "source.positions", l->w->dtype, 2, table, false, l->why);
    x = lower_op(l, "source.positions.add", (struct op){.kind = OP_POSITIONS}, (uint32_t[]){x, rows}, 2);
    return lower_dropout(l, "source.dropout", x);
}

/* One bias for all layers of a stack. */
static uint32_t relative_bias(struct lowering *l, const char *name, const char *table_name) {
    const struct model *m = l->m;
    if (m->positions != MODEL_RELATIVE)
        return GRAPH_NONE;
    const uint32_t table = lower_parameter(l, table_name, 2, (uint64_t[]){m->relative_buckets, l->heads});
    const struct op op = {.kind = OP_RELATIVE_BIAS,
                          .relative_bias = {.n_q = l->tokens,
                                            .n_k = l->tokens,
                                            .bidirectional = l->bidirectional,
                                            .max_distance = m->relative_distance}};
    return lower_op(l, name, op, &table, 1);
}

/* ---- behind them ---- */

static uint32_t final_norm(struct lowering *l, const char *const names[3], uint32_t x) {
    if (!l->m->post_norm && !l->m->no_final_norm)
        x = lower_norm(l, names, x, l->m->d_model);
    return l->m->positions == MODEL_RELATIVE ? lower_dropout(l, "final.dropout", x) : x;
}

/* What masked language models do before the head. */
static uint32_t transform(struct lowering *l, uint32_t x, uint64_t width) {
    const struct model *m = l->m;
    x = lower_linear(l, LOWER_NAMES("head.dense"), x, m->d_model, width, true);
    x = lower_op(l, "head.activation", lower_activation(m->head_gelu ? MODEL_GELU : m->mlp), &x, 1);
    return lower_norm(l, LOWER_NAMES("head.norm"), x, width);
}

/* The head and the loss are one op, so that logits need not be whole. */
static uint32_t cross_entropy(struct lowering *l, uint32_t x, uint32_t table, uint32_t targets, uint64_t outputs,
                              bool bias) {
    const uint32_t inputs[] = {x, table, targets, bias ? lower_parameter(l, "head.bias", 1, &outputs) : GRAPH_NONE};
    const struct op spec = {
        .kind = OP_LINEAR_CROSS_ENTROPY,
        .linear_cross_entropy = {l->w->loss_chunk, (float)l->m->final_softcap, (float)l->m->logit_scale}};
    return lower_op(l, "loss", spec, inputs, bias ? 4 : 3);
}

static uint32_t loss(struct lowering *l, uint32_t x, uint32_t table, uint32_t targets) {
    const struct model *m = l->m;
    const uint64_t width = m->embedding_width ? m->embedding_width : m->d_model;
    if (m->mlm_head)
        x = transform(l, x, width);
    else if (m->embedding_width)
        x = lower_linear(l, LOWER_NAMES("head.project"), x, m->d_model, width, m->project_bias);
    if (m->head_scale)
        x = lower_op(l, "head.scale", (struct op){.kind = OP_SCALE, .scale = {1 / sqrtf((float)m->d_model)}}, &x, 1);
    if (m->spare_head_bias && !m->tied_embeddings &&
        graph_tensor(l->g, TENSOR_PARAMETER, "head.spare_bias", l->w->dtype, 1, &m->vocab, false, l->why) == GRAPH_NONE)
        return GRAPH_NONE;
    if (!m->tied_embeddings)
        table = lower_parameter(l, "head.weight", 2, (uint64_t[]){m->vocab, width});
    return cross_entropy(l, x, table, targets, m->vocab, m->mlm_head || m->head_bias);
}

/* ---- families ---- */

static uint32_t language_step(struct lowering *l) {
    const struct model *m = l->m;
    const uint64_t width = m->embedding_width ? m->embedding_width : m->d_model;
    struct entry e = {.table_name = "embedding.positions",
                      .norm = {"embedding.norm", "embedding.norm.weight", "embedding.norm.bias"}};
    l->bidirectional = m->bidirectional;
    e.tokens = ids(l, "tokens");
    uint32_t targets = ids(l, "targets");
    e.table = lower_parameter(l, "embedding.weight", 2, (uint64_t[]){m->vocab, width});
    e.types = m->type_vocab ? ids(l, "token_types") : GRAPH_NONE;
    uint32_t x = embed(l, &e);
    l->relative_bias = relative_bias(l, "relative_bias", "relative_bias.weight");
    x = stack(l, x, m->layers, 0);
    return loss(l, final_norm(l, LOWER_NAMES("final_norm"), x), e.table, targets);
}

static uint32_t vision_step(struct lowering *l) {
    const struct model *m = l->m;
    const uint64_t image[] = {l->w->batch, m->image_height, m->image_width, m->channels};
    l->bidirectional = true;
    uint32_t pixels = input(l, "image", l->w->dtype, 4, image);
    uint32_t targets = input(l, "targets", DTYPE_INT32, 1, &l->w->batch);
    uint32_t x = stack(l, embed_image(l, pixels), m->layers, 0);
    x = final_norm(l, LOWER_NAMES("final_norm"), x);
    x = lower_op(l, "class_token.take", (struct op){.kind = OP_TAKE_TOKEN}, &x, 1);
    const uint32_t table = lower_parameter(l, "head.weight", 2, (uint64_t[]){m->classes, m->d_model});
    return cross_entropy(l, x, table, targets, m->classes, true);
}

/* The encoder's output stays: every layer of the decoder reads it. */
static uint32_t encode(struct lowering *l, uint32_t source, uint32_t table) {
    const struct model *m = l->m;
    const struct entry e = {source,
                            GRAPH_NONE,
                            table,
                            "source.positions",
                            {"source.embedding_norm", "source.embedding_norm.weight", "source.embedding_norm.bias"}};
    l->bidirectional = true;
    l->heads = l->kv_heads = m->source_heads;
    l->head_dim = m->source_head_dim;
    l->d_ff = m->source_d_ff;
    l->tokens = workload_source_len(l->w);
    uint32_t x = m->mel_bins ? embed_sound(l, source) : embed(l, &e);
    l->relative_bias = relative_bias(l, "source.relative_bias", "source.relative_bias.weight");
    return final_norm(l, LOWER_NAMES("source.final_norm"), stack(l, x, m->source_layers, 0));
}

static uint32_t translation_step(struct lowering *l) {
    const struct model *m = l->m;
    struct entry e = {.table_name = "embedding.positions",
                      .norm = {"embedding.norm", "embedding.norm.weight", "embedding.norm.bias"}};
    const uint64_t length = workload_source_len(l->w);
    const uint32_t source = m->mel_bins
                                ? input(l, "sound", l->w->dtype, 3, (uint64_t[]){l->w->batch, 2 * length, m->mel_bins})
                                : input(l, "source_tokens", DTYPE_INT32, 2, (uint64_t[]){l->w->batch, length});
    e.tokens = ids(l, "tokens");
    uint32_t targets = ids(l, "targets");
    e.table = lower_parameter(l, "embedding.weight", 2, (uint64_t[]){m->vocab, m->d_model});
    uint32_t source_table = e.table;
    if (m->own_tables && !m->tied_embeddings) {
        const uint64_t table[] = {m->vocab, m->d_model};
        source_table = lower_parameter(l, "source.embedding.weight", 2, table);
        if (graph_tensor(l->g, TENSOR_PARAMETER, "embedding.spare", l->w->dtype, 2, table, false, l->why) == GRAPH_NONE)
            return GRAPH_NONE;
    }
    const struct lowering decoder = *l;
    const uint32_t memory = encode(l, source, source_table);
    *l = decoder;
    uint32_t y = embed(l, &e);
    l->relative_bias = relative_bias(l, "relative_bias", "relative_bias.weight");
    l->memory = memory;
    y = memory == GRAPH_NONE ? GRAPH_NONE : stack(l, y, m->layers, m->source_layers);
    return loss(l, final_norm(l, LOWER_NAMES("final_norm"), y), e.table, targets);
}

/* Of what is trained: a parameter without a gradient has no states, and no copy to update. */
static bool optimizer_bytes(const struct workload *w, struct graph *g, struct problem *why) {
    bool master = w->optimizer->steps && dtype_bytes(w->dtype) < sizeof(float);
    for (uint32_t t = 0; t < g->n_tensors; t++) {
        const struct tensor *p = &g->tensors[t];
        if (graph_is_trained(g, t) &&
            !units_add(g->optimizer_bytes, w->optimizer->state_bytes(p) + (master ? 4 * p->elements : 0),
                       &g->optimizer_bytes))
            return problem_set(why, PROBLEM_LIMIT, "/model", "has more parameters than can be counted");
    }
    return true;
}

bool model_lower(const struct workload *w, struct arena *arena, struct graph *g, struct problem *why) {
    static uint32_t (*const steps[])(struct lowering *) = {[MODEL_DECODER] = language_step,
                                                           [MODEL_ENCODER] = language_step,
                                                           [MODEL_VISION] = vision_step,
                                                           [MODEL_ENCODER_DECODER] = translation_step};
    const struct model *m = &w->model;
    struct lowering l = {w,
                         m,
                         g,
                         .layer = GRAPH_NONE,
                         .why = why,
                         .heads = m->heads,
                         .kv_heads = m->kv_heads,
                         .head_dim = m->head_dim,
                         .d_ff = m->d_ff,
                         .tokens = w->seq_len,
                         .memory = GRAPH_NONE,
                         .relative_bias = GRAPH_NONE};
    if (!workload_check(w, why) || !graph_init(g, arena, w->threads ? w->threads : 1, true, why))
        return false;
    g->borrow_names = true;
    const uint32_t layers = (uint32_t)model_graph_layers(m);
    if (!graph_reserve(g, 32 + layers * LAYER_TENSORS, 32 + layers * LAYER_OPS, why))
        return false;
    uint32_t end = steps[m->family](&l);
    if (end == GRAPH_NONE)
        return false;
    graph_request(g, end);
    return optimizer_bytes(w, g, why) && graph_finish(g, why);
}
