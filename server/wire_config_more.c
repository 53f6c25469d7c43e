/* wire_config_more.c - what rows cannot say of a config.json: which layers have a window or experts, fields that mean
 * several things. */
#include <math.h>
#include <string.h>

#include "server/wire_config.h"

/* ---- which layers have the window ---- */

/* As every p-th layer is full, the others sliding, for some p (or all are alike); else one by one. */
static bool layers_fit(const bool *sliding, struct model *m) {
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
    m->window_listed = true;
    for (uint32_t i = 0; i < m->layers; i++)
        if (sliding[i])
            layer_set_add(&m->window_layers, i);
    return true;
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
    return layers_fit(sliding, m);
}

const char *const wire_config_qwen_keys[] = {"use_sliding_window", "max_window_layers", "layer_types", NULL};

bool wire_config_qwen(const struct wire_value *config, struct model *m, struct problem *why) {
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
    return layers_fit(sliding, m);
}

const char *const wire_config_layers_keys[] = {"layer_types", NULL};

bool wire_config_layers(const struct wire_value *config, struct model *m, struct problem *why) {
    struct wire_value v;
    m->window_pattern = 2;
    return !wire_get(config, "layer_types", &v) || wire_type(&v) == WIRE_NULL || layer_types_read(&v, m, why);
}

const char *const wire_config_gemma3_keys[] = {"layer_types", "sliding_window_pattern", NULL};

bool wire_config_gemma3(const struct wire_value *config, struct model *m, struct problem *why) {
    struct wire_value v;
    m->window_pattern = 6;
    if (!wire_uint_of(config, "sliding_window_pattern", 1, MODEL_LAYERS_MAX, &m->window_pattern, why))
        return false;
    if (m->window_pattern == 1)
        m->window = 0;
    return !wire_get(config, "layer_types", &v) || wire_type(&v) == WIRE_NULL || layer_types_read(&v, m, why);
}

/* [[["global", "local"], 12]]: the names, as often as the number says. */
const char *const wire_config_gpt_neo_keys[] = {"attention_types", NULL};

static bool gpt_neo_names(const struct wire_value *pair, bool *sliding, uint64_t *n, const struct model *m,
                          struct problem *why) {
    struct wire_value names, times;
    uint64_t count = 0;
    if (!wire_array(pair, 2, 2, why))
        return false;
    names = wire_at(pair, 0);
    times = wire_at(pair, 1);
    if (!wire_array(&names, 1, MODEL_LAYERS_MAX, why) || !wire_uint(&times, 1, MODEL_LAYERS_MAX, &count, why))
        return false;
    for (uint64_t i = 0; i < count * wire_length(&names); i++) {
        struct wire_value element = wire_at(&names, i % wire_length(&names));
        const char *name;
        if (!wire_string(&element, &name, why))
            return false;
        if (strcmp(name, "local") != 0 && strcmp(name, "global") != 0)
            return wire_fail(&element, why, PROBLEM_LIMIT, "is '%.40s'; it must be global or local", name);
        if (*n == m->layers)
            return wire_fail(pair, why, PROBLEM_LIMIT, "has more than num_layers, %llu", (unsigned long long)m->layers);
        sliding[(*n)++] = name[0] == 'l';
    }
    return true;
}

bool wire_config_gpt_neo(const struct wire_value *config, struct model *m, struct problem *why) {
    bool sliding[MODEL_LAYERS_MAX];
    struct wire_value v = *config;
    uint64_t n = 0;
    const bool given = wire_get(config, "attention_types", &v) && wire_type(&v) != WIRE_NULL;
    for (; !given && n < m->layers && n < 24; n++)
        sliding[n] = n % 2;
    if (given && !wire_array(&v, 1, MODEL_LAYERS_MAX, why))
        return false;
    for (size_t i = 0; given && i < wire_length(&v); i++) {
        struct wire_value pair = wire_at(&v, i);
        if (!gpt_neo_names(&pair, sliding, &n, m, why))
            return false;
    }
    if (n != m->layers || (!given && n != 24))
        return wire_fail(&v, why, PROBLEM_LIMIT, "attention_types has %llu layers, num_layers is %llu",
                         (unsigned long long)(given ? n : 24), (unsigned long long)m->layers);
    return layers_fit(sliding, m);
}

/* ---- experts ---- */

const char *const wire_config_moe_keys[] = {"decoder_sparse_step", "mlp_only_layers", "use_sliding_window",
                                            "max_window_layers",   "layer_types",     NULL};

/* Layer i has experts where decoder_sparse_step divides i + 1 and mlp_only_layers does not name it. */
static bool sparse_layers(const struct wire_value *config, struct model *m, struct problem *why) {
    struct wire_value v;
    uint64_t step = 1;
    if (!wire_uint_of(config, "decoder_sparse_step", 1, MODEL_LAYERS_MAX, &step, why))
        return false;
    for (uint32_t i = 0; i < MODEL_LAYERS_MAX; i++)
        if ((i + 1) % step)
            layer_set_add(&m->dense_layers, i);
    if (!wire_get(config, "mlp_only_layers", &v) || wire_type(&v) == WIRE_NULL)
        return true;
    if (!wire_array(&v, 0, MODEL_LAYERS_MAX, why))
        return false;
    for (size_t i = 0; i < wire_length(&v); i++) {
        struct wire_value element = wire_at(&v, i);
        uint64_t layer = 0;
        if (!wire_uint(&element, 0, MODEL_LAYERS_MAX - 1, &layer, why))
            return false;
        layer_set_add(&m->dense_layers, (uint32_t)layer);
    }
    return true;
}

bool wire_config_moe(const struct wire_value *config, struct model *m, struct problem *why) {
    struct wire_value v;
    bool use = false, sliding[MODEL_LAYERS_MAX] = {false};
    uint64_t first = 28;
    if (!sparse_layers(config, m, why) || !wire_bool_of(config, "use_sliding_window", &use, why) ||
        !wire_uint_of(config, "max_window_layers", 0, WIRE_INTEGER_MAX, &first, why))
        return false;
    if (!use)
        m->window = 0;
    if (wire_get(config, "layer_types", &v) && wire_type(&v) != WIRE_NULL)
        return layer_types_read(&v, m, why);
    for (uint64_t i = 0; i < m->layers; i++) /* Qwen2-MoE: every other layer of the first; Qwen3-MoE: all */
        sliding[i] = m->qk_norm || (i % 2 == 0 && i < first);
    return !m->window || layers_fit(sliding, m);
}

/* Version 2 has its groups where topk_method says so, version 3 always. */
static bool groups_read(const struct wire_value *config, struct model *m, struct problem *why) {
    struct wire_value v;
    const char *method = "greedy";
    if (m->route.corrected)
        return true;
    if (wire_get(config, "topk_method", &v) && wire_type(&v) != WIRE_NULL && !wire_string(&v, &method, why))
        return false;
    if (strcmp(method, "greedy") == 0)
        return true;
    if (strcmp(method, "group_limited_greedy") != 0) {
        m->missing = "a topk_method other than greedy and group_limited_greedy";
        return true;
    }
    return wire_need(config, "n_group", &v, why) && wire_uint(&v, 1, 64, &m->route.groups, why) &&
           wire_need(config, "topk_group", &v, why) && wire_uint(&v, 1, 64, &m->route.kept_groups, why);
}

const char *const wire_config_deepseek_keys[] = {"qk_nope_head_dim", "n_shared_experts",    "first_k_dense_replace",
                                                 "head_dim",         "num_key_value_heads", "topk_method",
                                                 "n_group",          "topk_group",          NULL};

bool wire_config_deepseek(const struct wire_value *config, struct model *m, struct problem *why) {
    struct wire_value v;
    uint64_t own = 128, shared = m->shared_gate ? 2 : 1, dense = m->shared_gate ? 0 : 3;
    if (!wire_uint_of(config, "qk_nope_head_dim", 1, 65536, &own, why) ||
        !wire_uint_of(config, "n_shared_experts", 0, MODEL_SIZE_MAX, &shared, why) ||
        !wire_uint_of(config, "first_k_dense_replace", 0, MODEL_LAYERS_MAX, &dense, why) ||
        !groups_read(config, m, why))
        return false;
    if (m->shared_gate && !wire_need(config, "num_experts_per_tok", &v, why))
        return false; /* version 2's class has no number of its own */
    m->shared_gate = false;
    m->head_dim = own + m->latent.rope_dim;
    m->kv_heads = m->heads;
    if (m->rope.scaling != MODEL_ROPE_PLAIN && m->rope.magnitude_all > 0)
        m->attention_divisor =
            (double)m->head_dim / pow(model_rope_magnitude(m->rope.factor, m->rope.magnitude_all), 4);
    m->shared_d_ff = shared * m->expert_d_ff; /* both at most 2^24 */
    for (uint32_t i = 0; i < dense && i < MODEL_LAYERS_MAX; i++)
        layer_set_add(&m->dense_layers, i);
    return true;
}

/* ---- words and shapes of single types ---- */

const char *const wire_config_gpt2_keys[] = {"scale_attn_weights", "scale_attn_by_inverse_layer_idx", NULL};

bool wire_config_gpt2(const struct wire_value *config, struct model *m, struct problem *why) {
    bool scaled = true;
    if (!wire_bool_of(config, "scale_attn_weights", &scaled, why) ||
        !wire_bool_of(config, "scale_attn_by_inverse_layer_idx", &m->attention_by_depth, why))
        return false;
    m->attention_divisor = scaled ? 0 : 1;
    return true;
}

/* Its class reads "gelu" as the tanh form, which older files mean by it. */
bool wire_config_gemma(const struct wire_value *config, struct model *m, struct problem *why) {
    (void)config;
    (void)why;
    if (m->mlp == MODEL_GEGLU)
        m->mlp = MODEL_GEGLU_TANH;
    return true;
}

const char *const wire_config_roberta_keys[] = {"pad_token_id", NULL};

/* Positions begin behind the padding's. */
bool wire_config_roberta(const struct wire_value *config, struct model *m, struct problem *why) {
    struct wire_value v;
    uint64_t padding = 1;
    if (wire_get(config, "pad_token_id", &v) && wire_type(&v) != WIRE_NULL &&
        !wire_uint(&v, 0, MODEL_SIZE_MAX, &padding, why))
        return false;
    m->reserved_positions = padding + 1;
    return true;
}

const char *const wire_config_opt_keys[] = {"do_layer_norm_before", "enable_bias", "layer_norm_elementwise_affine",
                                            "word_embed_proj_dim", NULL};

bool wire_config_opt(const struct wire_value *config, struct model *m, struct problem *why) {
    struct wire_value v;
    bool before = true, bias = true, affine = true;
    if (!wire_bool_of(config, "do_layer_norm_before", &before, why) ||
        !wire_bool_of(config, "enable_bias", &bias, why) ||
        !wire_bool_of(config, "layer_norm_elementwise_affine", &affine, why))
        return false;
    if (wire_get(config, "word_embed_proj_dim", &v) && wire_type(&v) != WIRE_NULL &&
        !wire_uint(&v, 1, MODEL_SIZE_MAX, &m->embedding_width, why))
        return false;
    if (m->embedding_width == m->d_model)
        m->embedding_width = 0;
    m->post_norm = !before;
    m->bias_qkv = m->bias_out = m->bias_mlp = bias;
    m->norm = affine ? MODEL_LAYERNORM : MODEL_LAYERNORM_PLAIN;
    m->max_positions += m->reserved_positions; /* the table has both */
    return true;
}

const char *const wire_config_falcon_keys[] = {
    "alibi",         "bias", "multi_query", "new_decoder_architecture", "num_kv_heads", "num_ln_in_parallel_attn",
    "parallel_attn", NULL};

static bool null_or_bool(const struct wire_value *config, const char *key, bool *out, struct problem *why) {
    struct wire_value v;
    if (!wire_get(config, key, &v))
        return true;
    if (wire_type(&v) == WIRE_NULL) {
        *out = false;
        return true;
    }
    return wire_bool(&v, out, why);
}

static bool null_or_uint(const struct wire_value *config, const char *key, uint64_t most, uint64_t *out,
                         struct problem *why) {
    struct wire_value v;
    return !wire_get(config, key, &v) || wire_type(&v) == WIRE_NULL || wire_uint(&v, 1, most, out, why);
}

bool wire_config_falcon(const struct wire_value *config, struct model *m, struct problem *why) {
    bool alibi = false, bias = false, one_key = true, new = false, parallel = true;
    uint64_t kv_heads = m->heads, norms = 0;
    if (!null_or_bool(config, "alibi", &alibi, why) || !null_or_bool(config, "bias", &bias, why) ||
        !null_or_bool(config, "multi_query", &one_key, why) ||
        !null_or_bool(config, "new_decoder_architecture", &new, why) ||
        !null_or_bool(config, "parallel_attn", &parallel, why) ||
        !null_or_uint(config, "num_kv_heads", MODEL_SIZE_MAX, &kv_heads, why) ||
        !null_or_uint(config, "num_ln_in_parallel_attn", 2, &norms, why))
        return false;
    m->positions = alibi ? MODEL_ALIBI : MODEL_ROTARY;
    m->bias_qkv = m->bias_out = m->bias_mlp = bias;
    m->kv_heads = new ? kv_heads : one_key ? 1 : m->heads;
    m->parallel = parallel;
    m->two_norms = parallel && new &&norms != 1;
    return true;
}

const char *const wire_config_t5_keys[] = {"feed_forward_proj", "num_decoder_layers", "tie_word_embeddings", NULL};

/* "relu", "gated-silu"; and "gated-gelu", which means the tanh form. */
bool wire_config_t5(const struct wire_value *config, struct model *m, struct problem *why) {
    struct wire_value v = *config;
    const char *name = "relu";
    bool tied = true;
    m->layers = m->source_layers;
    if (!null_or_uint(config, "num_decoder_layers", MODEL_LAYERS_MAX, &m->layers, why) ||
        !wire_bool_of(config, "tie_word_embeddings", &tied, why) ||
        (wire_get(config, "feed_forward_proj", &v) && !wire_string(&v, &name, why)))
        return false;
    m->head_scale = tied; /* all the class takes from it: the head is tied either way */
    const bool gated = strncmp(name, "gated-", 6) == 0;
    const char *activation = gated ? name + 6 : name;
    if (gated && strcmp(activation, "gelu") == 0)
        activation = "gelu_new";
    return wire_config_activation(&v, activation, gated, m, why);
}

const char *const wire_config_vit_keys[] = {"id2label", "image_size", "label2id", "num_labels", "patch_size", NULL};

/* A number, or height and width. */
static bool sides_read(const struct wire_value *config, const char *key, uint64_t fallback, uint64_t *height,
                       uint64_t *width, struct problem *why) {
    struct wire_value v;
    *height = *width = fallback;
    if (!wire_get(config, key, &v))
        return true;
    if (wire_type(&v) != WIRE_ARRAY) {
        bool ok = wire_uint(&v, 1, 65536, height, why);
        *width = *height;
        return ok;
    }
    if (!wire_array(&v, 2, 2, why))
        return false;
    struct wire_value first = wire_at(&v, 0), second = wire_at(&v, 1);
    return wire_uint(&first, 1, 65536, height, why) && wire_uint(&second, 1, 65536, width, why);
}

bool wire_config_vit(const struct wire_value *config, struct model *m, struct problem *why) {
    struct wire_value v;
    m->classes = 2;
    if (wire_get(config, "id2label", &v) && wire_type(&v) != WIRE_NULL) {
        struct wire_value member;
        if (wire_type(&v) != WIRE_OBJECT)
            return wire_fail(&v, why, PROBLEM_MALFORMED, "must be an object");
        for (m->classes = 0; wire_member(&v, m->classes, &member);)
            m->classes++;
        if (m->classes == 0)
            return wire_fail(&v, why, PROBLEM_UNSUPPORTED, "is empty: a model without a head is not built");
    }
    if (!wire_uint_of(config, "num_labels", 1, 65536, &m->classes, why) ||
        !sides_read(config, "image_size", 224, &m->image_height, &m->image_width, why) ||
        !sides_read(config, "patch_size", 16, &m->patch_height, &m->patch_width, why))
        return false;
    if (m->patch_height <= m->image_height && m->patch_width <= m->image_width)
        return true;
    return wire_fail(wire_get(config, "patch_size", &v) ? &v : config, why, PROBLEM_LIMIT,
                     "patches of %llu x %llu are larger than the image, %llu x %llu",
                     (unsigned long long)m->patch_height, (unsigned long long)m->patch_width,
                     (unsigned long long)m->image_height, (unsigned long long)m->image_width);
}

const char *const wire_config_bart_keys[] = {NULL};

/* Tables have rows that no position takes; heads of the encoder are as wide as they make d_model. */
bool wire_config_bart(const struct wire_value *config, struct model *m, struct problem *why) {
    m->max_positions += m->reserved_positions;
    if (m->d_model % m->source_heads == 0)
        return true;
    return wire_fail(config, why, PROBLEM_SHAPE, "encoder_attention_heads, %llu, does not divide d_model, %llu",
                     (unsigned long long)m->source_heads, (unsigned long long)m->d_model);
}
