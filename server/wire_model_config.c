/* wire_model_config.c - Hugging Face config.json as models: one row per model_type, with the fields, defaults and
 * nullability of transformers' own configuration classes (5.23). Numbers as strings and nulls where the class has none
 * are refused by name, as the class does. */
#include <stdlib.h>
#include <string.h>

#include "server/wire_model.h"

#define AT(field) offsetof(struct model, field)

enum row_kind { SIZE, FLAG, REAL };

struct row {
    const char *key, *alias;
    enum row_kind kind;
    size_t offset;
    double fallback; /* SIZE 0: model_defaults derives it */
    bool nullable;   /* null is as 0: derived, or none */
    uint64_t most;   /* SIZE */
};

struct config_type {
    const char *name;
    struct model base;
    const char *activation_key, *activation;
    bool gated;
    bool divides; /* the class refuses widths that heads do not divide */
    const struct row *rows;
    const char *const *window_keys;
    bool (*window)(const struct wire_value *config, struct model *m, struct problem *why);
};

/* What most of them share. */
#define COMMON(vocab_, width, ff, layers_, heads_)                                                                     \
    {"vocab_size", NULL, SIZE, AT(vocab), vocab_, false, MODEL_SIZE_MAX},                                              \
        {"hidden_size", NULL, SIZE, AT(d_model), width, false, MODEL_SIZE_MAX},                                        \
        {"intermediate_size", NULL, SIZE, AT(d_ff), ff, false, MODEL_SIZE_MAX},                                        \
        {"num_hidden_layers", NULL, SIZE, AT(layers), layers_, false, MODEL_LAYERS_MAX}, {                             \
        "num_attention_heads", NULL, SIZE, AT(heads), heads_, false, MODEL_SIZE_MAX                                    \
    }
#define KV_HEADS(n, null)                                                                                              \
    { "num_key_value_heads", NULL, SIZE, AT(kv_heads), n, null, MODEL_SIZE_MAX }
#define HEAD_DIM(n, null)                                                                                              \
    { "head_dim", NULL, SIZE, AT(head_dim), n, null, 65536 }
#define POSITIONS(n)                                                                                                   \
    { "max_position_embeddings", NULL, SIZE, AT(max_positions), n, false, MODEL_SEQ_MAX }
#define TIED(yes)                                                                                                      \
    { "tie_word_embeddings", NULL, FLAG, AT(tied_embeddings), yes, false, 0 }
#define FLAG_ROW(key, field)                                                                                           \
    { key, NULL, FLAG, AT(field), 0, false, 0 }
#define ATTENTION_BIAS FLAG_ROW("attention_bias", bias_qkv), FLAG_ROW("attention_bias", bias_out)

static const struct row gpt2_rows[] = {
    {"vocab_size", NULL, SIZE, AT(vocab), 50257, false, MODEL_SIZE_MAX},
    {"n_positions", "max_position_embeddings", SIZE, AT(max_positions), 1024, false, MODEL_SEQ_MAX},
    {"n_embd", "hidden_size", SIZE, AT(d_model), 768, false, MODEL_SIZE_MAX},
    {"n_layer", "num_hidden_layers", SIZE, AT(layers), 12, false, MODEL_LAYERS_MAX},
    {"n_head", "num_attention_heads", SIZE, AT(heads), 12, false, MODEL_SIZE_MAX},
    {"n_inner", NULL, SIZE, AT(d_ff), 0, true, MODEL_SIZE_MAX},
    TIED(true),
    {0}};
static const struct row llama_rows[] = {COMMON(32000, 4096, 11008, 32, 32),
                                        KV_HEADS(0, true),
                                        HEAD_DIM(0, true),
                                        POSITIONS(2048),
                                        TIED(false),
                                        ATTENTION_BIAS,
                                        FLAG_ROW("mlp_bias", bias_mlp),
                                        {0}};
static const struct row mistral_rows[] = {COMMON(32000, 4096, 14336, 32, 32),
                                          KV_HEADS(8, false),
                                          HEAD_DIM(0, true),
                                          POSITIONS(131072),
                                          TIED(false),
                                          {"sliding_window", NULL, SIZE, AT(window), 4096, true, MODEL_SEQ_MAX},
                                          {0}};
static const struct row mixtral_rows[] = {
    COMMON(32000, 4096, 14336, 32, 32),
    KV_HEADS(8, false),
    HEAD_DIM(0, true),
    POSITIONS(131072),
    TIED(false),
    {"sliding_window", NULL, SIZE, AT(window), 0, true, MODEL_SEQ_MAX},
    {"num_local_experts", "num_experts", SIZE, AT(experts), 8, false, MODEL_SIZE_MAX},
    {"num_experts_per_tok", NULL, SIZE, AT(experts_per_token), 2, false, MODEL_SIZE_MAX},
    {0}};
static const struct row qwen2_rows[] = {COMMON(151936, 4096, 22016, 32, 32),
                                        KV_HEADS(32, true),
                                        HEAD_DIM(0, false),
                                        POSITIONS(32768),
                                        TIED(false),
                                        {"sliding_window", NULL, SIZE, AT(window), 4096, true, MODEL_SEQ_MAX},
                                        {0}};
static const struct row qwen3_rows[] = {COMMON(151936, 4096, 22016, 32, 32),
                                        KV_HEADS(32, true),
                                        HEAD_DIM(128, false),
                                        POSITIONS(32768),
                                        TIED(false),
                                        ATTENTION_BIAS,
                                        {"sliding_window", NULL, SIZE, AT(window), 4096, true, MODEL_SEQ_MAX},
                                        {0}};
static const struct row gemma2_rows[] = {COMMON(256000, 2304, 9216, 26, 8),
                                         KV_HEADS(4, false),
                                         HEAD_DIM(256, false),
                                         POSITIONS(8192),
                                         TIED(true),
                                         ATTENTION_BIAS,
                                         {"sliding_window", NULL, SIZE, AT(window), 4096, true, MODEL_SEQ_MAX},
                                         {"attn_logit_softcapping", NULL, REAL, AT(attention_softcap), 50, true, 0},
                                         {"final_logit_softcapping", NULL, REAL, AT(final_softcap), 30, true, 0},
                                         {0}};

#define TYPES_ROW(n)                                                                                                   \
    { "type_vocab_size", NULL, SIZE, AT(type_vocab), n, false, MODEL_SIZE_MAX }
static const struct row bert_rows[] = {COMMON(30522, 768, 3072, 12, 12), POSITIONS(512), TIED(true), TYPES_ROW(2), {0}};
static const struct row roberta_rows[] = {
    COMMON(50265, 768, 3072, 12, 12), POSITIONS(512), TIED(true), TYPES_ROW(2), {0}};
static const struct row distilbert_rows[] = {
    {"vocab_size", NULL, SIZE, AT(vocab), 30522, false, MODEL_SIZE_MAX},
    {"dim", "hidden_size", SIZE, AT(d_model), 768, false, MODEL_SIZE_MAX},
    {"hidden_dim", NULL, SIZE, AT(d_ff), 3072, false, MODEL_SIZE_MAX},
    {"n_layers", "num_hidden_layers", SIZE, AT(layers), 6, false, MODEL_LAYERS_MAX},
    {"n_heads", "num_attention_heads", SIZE, AT(heads), 12, false, MODEL_SIZE_MAX},
    POSITIONS(512),
    TIED(true),
    {0}};

/* ---- which layers have the window ---- */

/* As every p-th layer is full, the others sliding, for some p (or all are alike). */
static bool layers_fit(const struct wire_value *v, const bool *sliding, struct model *m, struct problem *why) {
    for (uint64_t p = 0; p <= m->layers; p++) {
        uint64_t i = 0;
        while (i < m->layers && sliding[i] == (p == 0 || i % p != p - 1))
            i++;
        if (i == m->layers) {
            if (p == 1)
                m->window = 0;
            m->window_pattern = p == 1 ? 0 : p;
            return true;
        }
    }
    return wire_fail(v, why, PROBLEM_UNSUPPORTED,
                     "mixes sliding and full attention in a way that is not built yet: every n-th layer full is");
}

static bool layer_types_read(const struct wire_value *v, struct model *m, struct problem *why) {
    bool sliding[MODEL_LAYERS_MAX];
    if (!wire_array(v, m->layers, m->layers, why))
        return false;
    for (size_t i = 0; i < m->layers; i++) {
        struct wire_value element = wire_at(v, i);
        const char *name;
        if (!wire_string(&element, &name, why))
            return false;
        sliding[i] = strcmp(name, "sliding_attention") == 0;
        if (!sliding[i] && strcmp(name, "full_attention") != 0)
            return wire_fail(&element, why, PROBLEM_UNSUPPORTED,
                             "is '%.40s'; full_attention and sliding_attention are built", name);
    }
    return layers_fit(v, sliding, m, why);
}

static const char *const qwen_window_keys[] = {"use_sliding_window", "max_window_layers", "layer_types", NULL};

static bool qwen_window(const struct wire_value *config, struct model *m, struct problem *why) {
    struct wire_value v;
    bool use = false, sliding[MODEL_LAYERS_MAX];
    uint64_t first = 28;
    if (!wire_bool_of(config, "use_sliding_window", &use, why) ||
        !wire_uint_of(config, "max_window_layers", 0, WIRE_INTEGER_MAX, &first, why))
        return false;
    if (!use)
        m->window = 0;
    if (wire_get(config, "layer_types", &v) && wire_type(&v) != WIRE_NULL)
        return layer_types_read(&v, m, why);
    if (m->window == 0)
        return true;
    for (uint64_t i = 0; i < m->layers; i++)
        sliding[i] = i >= first;
    if (!wire_get(config, "max_window_layers", &v) && !wire_get(config, "use_sliding_window", &v))
        v = *config;
    return layers_fit(&v, sliding, m, why);
}

static const char *const gemma_window_keys[] = {"layer_types", NULL};

static bool gemma2_window(const struct wire_value *config, struct model *m, struct problem *why) {
    struct wire_value v;
    m->window_pattern = 2;
    return !wire_get(config, "layer_types", &v) || wire_type(&v) == WIRE_NULL || layer_types_read(&v, m, why);
}

/* ---- the types ---- */

/* With the head of masked language modelling, whatever "architectures" says. */
#define ENCODER                                                                                                        \
    .family = MODEL_ENCODER, .norm = MODEL_LAYERNORM, .positions = MODEL_LEARNED, .bidirectional = true,               \
    .post_norm = true, .embedding_norm = true, .mlm_head = true, .bias_qkv = true, .bias_out = true, .bias_mlp = true
#define LLAMA .norm = MODEL_RMSNORM, .positions = MODEL_ROTARY

static const struct config_type types[] = {
    {.name = "gpt2",
     .base =
         {.norm = MODEL_LAYERNORM, .positions = MODEL_LEARNED, .bias_qkv = true, .bias_out = true, .bias_mlp = true},
     .activation_key = "activation_function",
     .activation = "gelu_new",
     .divides = true,
     .rows = gpt2_rows},
    {"llama", {LLAMA}, "hidden_act", "silu", true, true, llama_rows, NULL, NULL},
    {"mistral", {LLAMA}, "hidden_act", "silu", true, false, mistral_rows, NULL, NULL},
    {"mixtral", {LLAMA}, "hidden_act", "silu", true, false, mixtral_rows, NULL, NULL},
    {"qwen2", {LLAMA, .bias_qkv = true}, "hidden_act", "silu", true, false, qwen2_rows, qwen_window_keys, qwen_window},
    {"qwen3", {LLAMA, .qk_norm = true}, "hidden_act", "silu", true, false, qwen3_rows, qwen_window_keys, qwen_window},
    {"gemma2",
     {LLAMA, .sandwich_norm = true, .embedding_scale = true},
     "hidden_activation",
     "gelu_pytorch_tanh",
     true,
     true,
     gemma2_rows,
     gemma_window_keys,
     gemma2_window},
    {"bert", {ENCODER, .spare_head_bias = true}, "hidden_act", "gelu", false, true, bert_rows, NULL, NULL},
    {"roberta",
     {ENCODER, .reserved_positions = 2, .spare_head_bias = true},
     "hidden_act",
     "gelu",
     false,
     true,
     roberta_rows,
     NULL,
     NULL},
    {"distilbert", {ENCODER}, "activation", "gelu", false, true, distilbert_rows, NULL, NULL},
};
#define TYPES (sizeof types / sizeof types[0])

/* Known, and not built yet. */
static const char *const later[] = {
    "gpt_neo",     "gpt_neox", "gptj", "opt",      "bloom",      "falcon",  "qwen2_moe", "qwen3_moe",   "gemma",
    "gemma3_text", "phi",      "phi3", "stablelm", "starcoder2", "olmo2",   "cohere",    "deepseek_v2", "deepseek_v3",
    "gpt_oss",     "electra",  "vit",  "t5",       "bart",       "whisper", NULL};

static const struct {
    const char *name;
    enum model_mlp plain, gated;
} activations[] = {{"silu", MODEL_SILU, MODEL_SWIGLU},
                   {"swish", MODEL_SILU, MODEL_SWIGLU},
                   {"gelu", MODEL_GELU, MODEL_GEGLU},
                   {"gelu_new", MODEL_GELU_TANH, MODEL_GEGLU},
                   {"gelu_fast", MODEL_GELU_TANH, MODEL_GEGLU},
                   {"gelu_pytorch_tanh", MODEL_GELU_TANH, MODEL_GEGLU},
                   {"relu", MODEL_RELU, MODEL_RELU}};

static bool type_read(const struct wire_value *config, const struct config_type **out, struct problem *why) {
    struct wire_value v, text;
    const char *name, *state = "is not known";
    if (!wire_need(config, "model_type", &v, why) || !wire_string(&v, &name, why))
        return false;
    for (*out = types; *out < types + TYPES; ++*out)
        if (strcmp((*out)->name, name) == 0)
            return true;
    for (const char *const *l = later; *l; l++)
        if (strcmp(*l, name) == 0)
            state = "is not built yet";
    if (wire_get(config, "text_config", &text) || wire_get(config, "llm_config", &text))
        state = "has parts beside its text model, which are not built yet: send its text_config alone";
    return wire_fail(
        &v, why, PROBLEM_UNSUPPORTED,
        "'%.40s' %s; gpt2, llama, mistral, mixtral, qwen2, qwen3, gemma2, bert, roberta and distilbert are understood",
        name, state);
}

static bool row_read(const struct wire_value *config, const struct row *row, struct model *m, struct problem *why) {
    void *to = (char *)m + row->offset;
    struct wire_value v;
    bool there = wire_get(config, row->key, &v) || (row->alias && wire_get(config, row->alias, &v));
    bool null = there && row->nullable && wire_type(&v) == WIRE_NULL;
    if (row->kind == FLAG) {
        *(bool *)to = row->fallback != 0;
        return !there || wire_bool(&v, to, why);
    }
    if (row->kind == REAL) {
        *(double *)to = null ? 0 : row->fallback;
        return !there || null || wire_real(&v, 0, 1e6, to, why);
    }
    *(uint64_t *)to = null ? 0 : (uint64_t)row->fallback;
    return !there || null || wire_uint(&v, 1, row->most, to, why);
}

static bool activation_read(const struct wire_value *config, const struct config_type *type, struct model *m,
                            struct problem *why) {
    struct wire_value v = *config;
    const char *name = type->activation;
    if (wire_get(config, type->activation_key, &v) && !wire_string(&v, &name, why))
        return false;
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
        if (strcmp(activations[i].name, name) == 0 && !(type->gated && activations[i].gated == MODEL_RELU)) {
            m->mlp = type->gated ? activations[i].gated : activations[i].plain;
            return true;
        }
    return wire_fail(&v, why, PROBLEM_UNSUPPORTED, "is '%.40s', an activation that is not built%s", name,
                     type->gated ? " with a gate" : "");
}

/* What changes the graph in ways no row says. */
static bool extras_check(const struct wire_value *config, struct problem *why) {
    struct wire_value v;
    if (wire_get(config, "quantization_config", &v) && wire_type(&v) != WIRE_NULL)
        return wire_fail(&v, why, PROBLEM_UNSUPPORTED, "is not built: weights are trained in the workload's dtype");
    bool cross = false;
    if (!wire_bool_of(config, "add_cross_attention", &cross, why))
        return false;
    return !cross || (wire_get(config, "add_cross_attention", &v) &&
                      wire_fail(&v, why, PROBLEM_UNSUPPORTED, "is true: cross-attention is not built yet"));
}

/* Names the config's own field where the engine named the model's. */
static bool model_problem(const struct wire_value *config, const struct config_type *type, struct problem *why) {
    static const struct {
        const char *where;
        size_t offset;
    } fields[] = {{"/kv_heads", AT(kv_heads)},
                  {"/heads", AT(heads)},
                  {"/head_dim", AT(head_dim)},
                  {"/d_ff", AT(d_ff)},
                  {"/experts_per_token", AT(experts_per_token)}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        for (const struct row *row = type->rows; strcmp(why->where, fields[i].where) == 0 && row->key; row++)
            if (row->offset == fields[i].offset) {
                why->where[0] = '\0';
                problem_nest(why, "/%s", row->key);
            }
    return wire_nest(config, why);
}

static bool divides_check(const struct config_type *type, const struct model *m, struct problem *why) {
    if (m->heads && m->d_model % m->heads && (type->divides || m->head_dim == 0))
        return problem_set(why, PROBLEM_SHAPE, "/heads", "is %llu, which does not divide the hidden size, %llu",
                           (unsigned long long)m->heads, (unsigned long long)m->d_model);
    return true;
}

static bool key_used(const struct config_type *type, const char *key) {
    for (const struct row *row = type->rows; row->key; row++)
        if (strcmp(row->key, key) == 0 || (row->alias && strcmp(row->alias, key) == 0))
            return true;
    for (const char *const *w = type->window_keys; w && *w; w++)
        if (strcmp(*w, key) == 0)
            return true;
    return strcmp(key, "model_type") == 0 || strcmp(key, type->activation_key) == 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool ignored_list(const struct wire_value *config, const struct config_type *type, struct arena *a,
                         struct wire_model *out, struct problem *why) {
    struct wire_value field;
    const char **list = arena_new(a, const char *, WIRE_MODEL_FIELDS_MAX, why);
    if (!list)
        return false;
    for (size_t i = 0; wire_member(config, i, &field); i++) {
        if (i == WIRE_MODEL_FIELDS_MAX)
            return wire_fail(config, why, PROBLEM_LIMIT, "has more than %u fields", WIRE_MODEL_FIELDS_MAX);
        if (key_used(type, field.key))
            continue;
        list[out->n_ignored] = arena_copy(a, field.key, strlen(field.key) + 1, why);
        if (!list[out->n_ignored++])
            return false;
    }
    qsort(list, out->n_ignored, sizeof *list, by_name);
    out->ignored = list;
    return true;
}

bool wire_model_config_read(const struct wire_value *v, struct arena *a, struct wire_model *out, struct problem *why) {
    const struct config_type *type = NULL;
    struct model *m = &out->model;
    *out = (struct wire_model){0};
    if (wire_type(v) != WIRE_OBJECT)
        return wire_fail(v, why, PROBLEM_MALFORMED, "must be an object: a config.json as it is");
    if (!type_read(v, &type, why) || !ignored_list(v, type, a, out, why) || !extras_check(v, why))
        return false;
    *m = type->base;
    for (const struct row *row = type->rows; row->key; row++)
        if (!row_read(v, row, m, why))
            return false;
    if (!activation_read(v, type, m, why) || (type->window && !type->window(v, m, why)))
        return false;
    if (!divides_check(type, m, why))
        return model_problem(v, type, why);
    model_defaults(m);
    return model_check(m, why) || model_problem(v, type, why);
}
