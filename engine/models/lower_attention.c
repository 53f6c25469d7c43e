/* lower_attention.c - the attention sub-layers: from projections or from latent vectors, and across to an encoder. */
#include <math.h>

#include "engine/models/lower.h"

/* ---- norms of queries and keys, positions ---- */

/* Of every head alone, or of the whole row. */
static uint32_t head_norm(struct lowering *l, const char *const names[3], uint32_t x, uint64_t heads) {
    const struct model *m = l->m;
    const uint64_t apart[] = {l->w->batch, l->tokens, heads, l->head_dim};
    const uint64_t together[] = {l->w->batch, l->tokens, heads * l->head_dim};
    if (m->qk_norm_over == MODEL_OVER_ROW)
        return lower_norm(l, names, x, heads * l->head_dim);
    x = lower_view(l, x, 4, apart);
    if (m->qk_norm_over == MODEL_OVER_HEAD) {
        x = lower_norm(l, names, x, l->head_dim);
    } else {
        const uint32_t inputs[] = {x, lower_parameter(l, names[1], 2, (uint64_t[]){heads, l->head_dim})};
        x = lower_op(l, names[0], lower_norm_op(m), inputs, 2);
    }
    return lower_view(l, x, 3, together);
}

/* ---- queries, keys and values ---- */

struct heads {
    uint32_t q, k, v;
};

static struct heads project(struct lowering *l, uint32_t x) {
    const struct model *m = l->m;
    const uint64_t q_width = l->heads * l->head_dim, kv_width = l->kv_heads * l->head_dim;
    struct heads h = {
        lower_linear(l, LOWER_NAMES("attention.q"), x, m->d_model, q_width, m->bias_qkv),
        lower_linear(l, LOWER_NAMES("attention.k"), x, m->d_model, kv_width, m->bias_qkv && !m->no_key_bias),
        lower_linear(l, LOWER_NAMES("attention.v"), x, m->d_model, kv_width, m->bias_qkv),
    };
    if (m->qk_norm) {
        h.q = head_norm(l, LOWER_NAMES("attention.q_norm"), h.q, l->heads);
        h.k = head_norm(l, LOWER_NAMES("attention.k_norm"), h.k, l->kv_heads);
    }
    h.q = lower_rotary(l, "attention.q_rotary", h.q, l->heads);
    h.k = lower_rotary(l, "attention.k_rotary", h.k, l->kv_heads);
    return h;
}

static uint32_t latent_norm(struct lowering *l, const char *const names[3], uint32_t x, uint64_t width) {
    struct op op = lower_norm_op(l->m);
    op.norm.epsilon = 1e-6f;
    return lower_op(l, names[0], op, (uint32_t[]){x, lower_parameter(l, names[1], 1, &width)}, 2);
}

/* Queries and keys by way of latent vectors (arXiv 2405.04434, section 2.1); the rotated part of the keys is one for
 * all heads. */
static struct heads project_latent(struct lowering *l, uint32_t x) {
    const struct model *m = l->m;
    const uint64_t own = l->head_dim - m->latent.rope_dim, q_width = l->heads * l->head_dim;
    struct heads h;
    uint32_t q = x;
    uint64_t q_in = m->d_model;
    if (m->latent.q_rank) {
        q = lower_linear(l, LOWER_NAMES("attention.q_down"), x, m->d_model, m->latent.q_rank, m->bias_qkv);
        q = latent_norm(l, LOWER_NAMES("attention.q_norm"), q, m->latent.q_rank);
        q_in = m->latent.q_rank;
    }
    q = lower_linear(l, LOWER_NAMES("attention.q"), q, q_in, q_width, false);
    h.q = lower_rotary(l, "attention.q_rotary", q, l->heads);
    uint32_t kv = lower_linear(l, LOWER_NAMES("attention.kv_down"), x, m->d_model,
                               m->latent.kv_rank + m->latent.rope_dim, m->bias_qkv);
    const uint32_t cut =
        lower_ops(l, "attention.kv_split", (struct op){.kind = OP_SPLIT, .split = {m->latent.kv_rank}}, &kv, 1);
    uint32_t rope = lower_rotary(l, "attention.k_rotary", lower_result(l, cut, 1), 1);
    kv = latent_norm(l, LOWER_NAMES("attention.kv_norm"), lower_result(l, cut, 0), m->latent.kv_rank);
    kv = lower_linear(l, LOWER_NAMES("attention.kv"), kv, m->latent.kv_rank, l->heads * (own + m->latent.value_dim),
                      false);
    const struct op join = {.kind = OP_LATENT_KEYS, .latent_keys = {l->heads, m->latent.value_dim}};
    const uint32_t made = lower_ops(l, "attention.keys", join, (uint32_t[]){kv, rope}, 2);
    h.k = lower_result(l, made, 0);
    h.v = lower_result(l, made, 1);
    return h;
}

/* ---- the sub-layers ---- */

/* What self- and cross-attention share. */
static struct op core(const struct lowering *l, uint64_t kv_heads) {
    const struct model *m = l->m;
    struct op op = {.kind = OP_ATTENTION,
                    .parts = PART_ATTENTION_CORE,
                    .attention = {.kernel = l->w->attention,
                                  .layout = ATTN_ROWS_FIRST,
                                  .heads = l->heads,
                                  .kv_heads = kv_heads,
                                  .behind = ATTN_FAR,
                                  .ahead = ATTN_FAR,
                                  .softcap = (float)m->attention_softcap,
                                  .dropout = {l->w->dropout, lower_seed(l)}}};
    const double divisor = m->attention_divisor > 0 ? m->attention_divisor : (double)l->head_dim;
    if (m->attention_divisor > 0 || m->attention_by_depth)
        op.attention.scale = (float)(1 / sqrt(divisor) / (m->attention_by_depth ? l->index + 1 : 1));
    return op;
}

uint32_t lower_attention(struct lowering *l, uint32_t x) {
    const struct model *m = l->m;
    const bool latent = m->latent.kv_rank != 0;
    const struct heads h = latent ? project_latent(l, x) : project(l, x);
    struct op op = core(l, latent ? l->heads : l->kv_heads);
    op.attention.sinks = m->sinks;
    op.attention.alibi = m->positions == MODEL_ALIBI;
    if (lower_windowed(l))
        op.attention.behind = m->window;
    if (!l->bidirectional)
        op.attention.ahead = 1;
    uint32_t inputs[5] = {h.q, h.k, h.v}, n = 3;
    if (l->relative_bias != GRAPH_NONE)
        inputs[n++] = l->relative_bias;
    if (m->sinks)
        inputs[n++] = lower_parameter(l, "attention.sinks", 1, &l->heads);
    uint32_t o = lower_op(l, "attention", op, inputs, n);
    const uint64_t width = l->heads * (latent ? m->latent.value_dim : l->head_dim);
    o = lower_linear(l, LOWER_NAMES("attention.out"), o, width, m->d_model, m->bias_out);
    return lower_dropout(l, "attention.dropout", o);
}

uint32_t lower_cross_attention(struct lowering *l, uint32_t x) {
    const struct model *m = l->m;
    const uint64_t width = l->heads * l->head_dim;
    const uint32_t inputs[] = {
        lower_linear(l, LOWER_NAMES("cross.q"), x, m->d_model, width, m->bias_qkv),
        lower_linear(l, LOWER_NAMES("cross.k"), l->memory, m->d_model, width, m->bias_qkv && !m->no_key_bias),
        lower_linear(l, LOWER_NAMES("cross.v"), l->memory, m->d_model, width, m->bias_qkv)};
    uint32_t o = lower_op(l, "cross", core(l, l->heads), inputs, 3);
    o = lower_linear(l, LOWER_NAMES("cross.out"), o, width, m->d_model, m->bias_out);
    return lower_dropout(l, "cross.dropout", o);
}
