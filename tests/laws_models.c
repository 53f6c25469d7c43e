/* laws_models.c - random training steps: a table of what differs between models, each row drawn by itself. */
#include <stdio.h>

#include "tests/laws.h"

uint64_t laws_random(uint64_t *state, uint64_t bound) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % bound;
}

static bool coin(uint64_t *r) {
    return laws_random(r, 2) == 0;
}

static bool one_in(uint64_t *r, uint64_t n) {
    return laws_random(r, n) == 0;
}

static uint64_t from_to(uint64_t *r, uint64_t least, uint64_t most) {
    return least + laws_random(r, most - least + 1);
}

static uint64_t one_of(uint64_t *r, const uint64_t *list, size_t n) {
    return list[laws_random(r, n)];
}
#define ONE_OF(r, ...)                                                                                                 \
    one_of(r, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* Up to 2^bits, small ones as likely as large ones. */
static uint64_t any_size(uint64_t *r, unsigned bits) {
    return from_to(r, 1, (uint64_t)1 << laws_random(r, bits + 1));
}

/* ---- the rows ---- */

static void layers(struct workload *w, uint64_t *r) {
    w->model.layers = from_to(r, 1, 6);
}

static void width(struct workload *w, uint64_t *r) {
    w->model.d_model = ONE_OF(r, 8, 24, 64, 96, 256, 768, 1024, 4096, 5120) + (one_in(r, 4) ? 2 : 0);
}

static void heads(struct workload *w, uint64_t *r) {
    w->model.kv_heads = ONE_OF(r, 1, 1, 2, 3, 8);
    w->model.heads = w->model.kv_heads * ONE_OF(r, 1, 2, 4, 6);
    w->model.head_dim = ONE_OF(r, 2, 16, 64, 80, 128, 256);
}

static void feed_forward(struct workload *w, uint64_t *r) {
    w->model.mlp = (enum model_mlp)laws_random(r, MODEL_REGLU + 1);
    w->model.d_ff = coin(r) ? 4 * w->model.d_model : any_size(r, 14);
}

static void vocabulary(struct workload *w, uint64_t *r) {
    w->model.vocab = ONE_OF(r, 2, 257, 50257, 128256, any_size(r, 16));
    w->model.tied_embeddings = coin(r);
    w->model.embedding_scale = one_in(r, 4);
    w->model.final_softcap = one_in(r, 4) ? 30 : 0;
    w->model.embedding_width = one_in(r, 5) ? any_size(r, 10) : 0;
    w->model.project_bias = coin(r);
    w->model.project_late = coin(r);
}

static void tokens(struct workload *w, uint64_t *r) {
    w->seq_len = any_size(r, 13);
    w->batch = from_to(r, 1, 4);
}

static void positions(struct workload *w, uint64_t *r) {
    w->model.positions = (enum model_positions)laws_random(r, MODEL_RELATIVE + 1);
    w->model.relative_buckets = from_to(r, 1, 32);
    w->model.reserved_positions = one_in(r, 4) ? 2 : 0;
    w->model.max_positions = w->model.reserved_positions + 4 * w->seq_len; /* room to grow */
}

static void norms(struct workload *w, uint64_t *r) {
    w->model.norm = (enum model_norm)laws_random(r, MODEL_LAYERNORM_PLAIN + 1);
    w->model.qk_norm = one_in(r, 3);
    w->model.qk_norm_over = (enum model_qk_norm)laws_random(r, MODEL_OVER_EACH_HEAD + 1);
    w->model.sandwich_norm = one_in(r, 3);
    w->model.output_norm = one_in(r, 5);
    w->model.norm_residual = one_in(r, 5);
    w->model.no_final_norm = one_in(r, 5);
    w->model.two_norms = coin(r);
    w->model.post_norm = one_in(r, 3);
    w->model.embedding_norm = one_in(r, 3);
    w->model.parallel = one_in(r, 4);
}

static void biases(struct workload *w, uint64_t *r) {
    w->model.bias_qkv = coin(r);
    w->model.bias_out = coin(r);
    w->model.bias_mlp = coin(r);
    w->model.no_key_bias = one_in(r, 4);
    w->model.head_bias = one_in(r, 4);
    w->model.head_scale = one_in(r, 4);
}

static struct layer_set some_layers(uint64_t *r) {
    struct layer_set s = {{laws_random(r, (uint64_t)1 << 8)}};
    return s;
}

static void masks(struct workload *w, uint64_t *r) {
    w->model.bidirectional = one_in(r, 3);
    w->model.window = one_in(r, 3) ? any_size(r, 13) : 0;
    w->model.window_pattern = coin(r) ? from_to(r, 1, 4) : 0;
    w->model.attention_softcap = one_in(r, 4) ? 50 : 0;
    w->model.sinks = one_in(r, 5);
    w->model.window_listed = one_in(r, 4);
    w->model.window_layers = some_layers(r);
}

static void latent(struct workload *w, uint64_t *r) {
    if (!one_in(r, 5))
        return;
    w->model.latent.kv_rank = any_size(r, 9);
    w->model.latent.q_rank = coin(r) ? any_size(r, 10) : 0;
    w->model.latent.rope_dim = from_to(r, 1, w->model.head_dim - 1);
    w->model.latent.value_dim = ONE_OF(r, 1, 16, 128);
}

static void experts(struct workload *w, uint64_t *r) {
    if (!one_in(r, 4))
        return;
    w->model.experts = from_to(r, 1, 9);
    w->model.experts_per_token = from_to(r, 1, w->model.experts);
    w->model.expert_d_ff = any_size(r, 13);
    w->model.shared_d_ff = coin(r) ? any_size(r, 12) : 0;
    w->model.shared_gate = coin(r);
    w->model.router_bias = coin(r);
    w->model.expert_bias = coin(r);
    w->model.route.corrected = one_in(r, 3);
    if (w->model.experts % 2 == 0 && coin(r)) {
        w->model.route.groups = 2;
        w->model.route.kept_groups = w->model.experts_per_token > w->model.experts / 2 ? 2 : 1;
    }
    w->model.dense_layers = one_in(r, 3) ? some_layers(r) : (struct layer_set){{0}};
}

/* ---- families ---- */

static void encoder(struct model *m, struct workload *w, uint64_t *r) {
    (void)w;
    m->bidirectional = true;
    m->type_vocab = laws_random(r, 3);
    m->spare_head_bias = coin(r);
    m->mlm_head = m->mlp < MODEL_SWIGLU && coin(r); /* its activation has one input */
}

static void vision(struct model *m, struct workload *w, uint64_t *r) {
    m->patch_height = from_to(r, 1, 16);
    m->patch_width = from_to(r, 1, 16);
    m->image_height = m->patch_height * from_to(r, 1, 20) + laws_random(r, m->patch_height);
    m->image_width = m->patch_width * from_to(r, 1, 20);
    m->channels = ONE_OF(r, 1, 3);
    m->classes = ONE_OF(r, 1, 10, 1000);
    m->reserved_positions = 0;
    w->seq_len = model_tokens(m);
}

static void encoder_decoder(struct model *m, struct workload *w, uint64_t *r) {
    m->source_layers = from_to(r, 1, 4);
    m->source_heads = ONE_OF(r, 1, 2, 4);
    m->source_head_dim = ONE_OF(r, 2, 64, 100);
    m->source_d_ff = any_size(r, 13);
    m->own_tables = coin(r);
    w->source_len = coin(r) ? from_to(r, 1, w->seq_len) : 0;
    m->parallel = false; /* those have no place for the encoder's output, nor for these: */
    m->embedding_width = 0;
    m->latent.kv_rank = 0;
    if (m->mlp >= MODEL_SWIGLU || one_in(r, 2))
        return;
    m->mel_bins = ONE_OF(r, 1, 80);
    m->source_positions = any_size(r, 11);
    w->source_len = 0;
}

static void family(struct workload *w, uint64_t *r) {
    static void (*const more[])(struct model *, struct workload *,
                                uint64_t *) = {[MODEL_DECODER] = NULL,
                                               [MODEL_ENCODER] = encoder,
                                               [MODEL_VISION] = vision,
                                               [MODEL_ENCODER_DECODER] = encoder_decoder};
    w->model.family = (enum model_family)laws_random(r, sizeof more / sizeof more[0]);
    if (more[w->model.family])
        more[w->model.family](&w->model, w, r);
}

static void step(struct workload *w, uint64_t *r) {
    w->dtype = (enum dtype)laws_random(r, DTYPE_FLOAT16 + 1);
    w->attention = &attn_table[laws_random(r, attn_table_length)];
    w->dropout = one_in(r, 3) ? 0.1 : 0;
    w->optimizer = &optimizer_table[laws_random(r, optimizer_table_length)];
    w->threads = (unsigned)laws_random(r, 5);
    w->gradient_accumulation = laws_random(r, 4);
}

/* In order: later rows may read what earlier ones drew. */
const struct laws_variation laws_variations[] = {
    {"layers", layers},         {"width", width},   {"heads", heads},         {"feed_forward", feed_forward},
    {"vocabulary", vocabulary}, {"tokens", tokens}, {"positions", positions}, {"norms", norms},
    {"biases", biases},         {"masks", masks},   {"latent", latent},       {"experts", experts},
    {"family", family},         {"step", step},
};
const unsigned laws_variations_length = sizeof laws_variations / sizeof laws_variations[0];

struct workload laws_workload(uint64_t seed) {
    struct workload w = {0};
    for (unsigned i = 0; i < laws_variations_length; i++) {
        uint64_t own = seed * 1000 + i; /* a new row leaves what the others draw as it was */
        laws_variations[i].vary(&w, &own);
    }
    model_defaults(&w.model);
    return w;
}

const char *laws_workload_text(const struct workload *w, char *text, size_t room) {
    const struct model *m = &w->model;
    snprintf(text, room,
             "%s layers %lu+%lu d_model %lu heads %lu/%lu x %lu d_ff %lu vocab %lu mlp %d norm %d positions %d "
             "experts %lu/%lu latent %lu window %lu/%lu post %d parallel %d sandwich %d qk %d tied %d seq_len %lu+%lu "
             "batch %lu %s %s dropout %g threads %u",
             model_family_name(m->family), m->layers, m->source_layers, m->d_model, m->heads, m->kv_heads, m->head_dim,
             m->d_ff, m->vocab, m->mlp, m->norm, m->positions, m->experts_per_token, m->experts, m->latent.kv_rank,
             m->window, m->window_pattern, m->post_norm, m->parallel, m->sandwich_norm, m->qk_norm, m->tied_embeddings,
             w->seq_len, w->source_len, w->batch, dtype_name(w->dtype), w->attention->name, w->dropout, w->threads);
    return text;
}
