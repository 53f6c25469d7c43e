/* wire_model.c - presets, explicit models and workloads; see wire_model.h. */
#include "server/wire_model.h"

#include <string.h>

#include "engine/models/presets.h"

/* ---- words ---- */

struct word {
    const char *name;
    int value;
};
static const struct word mlp_words[] = {{"gelu", MODEL_GELU},
                                        {"gelu_tanh", MODEL_GELU_TANH},
                                        {"relu", MODEL_RELU},
                                        {"silu", MODEL_SILU},
                                        {"swiglu", MODEL_SWIGLU},
                                        {"geglu", MODEL_GEGLU},
                                        {"geglu_tanh", MODEL_GEGLU_TANH},
                                        {NULL, 0}};
static const struct word norm_words[] = {{"layernorm", MODEL_LAYERNORM}, {"rmsnorm", MODEL_RMSNORM}, {NULL, 0}};
static const struct word position_words[] = {{"learned", MODEL_LEARNED},
                                             {"rotary", MODEL_ROTARY},
                                             {"none", MODEL_NO_POSITIONS},
                                             {"alibi", MODEL_ALIBI},
                                             {NULL, 0}};

/* *out keeps its value where the field is absent. */
static bool word_of(const struct wire_value *object, const char *key, const struct word *words, int *out,
                    struct problem *why) {
    struct wire_value v;
    const char *name;
    char list[128] = "";
    if (!wire_get(object, key, &v))
        return true;
    if (!wire_string(&v, &name, why))
        return false;
    for (; words->name; words++) {
        if (strcmp(words->name, name) == 0) {
            *out = words->value;
            return true;
        }
        if (list[0])
            strcat(list, ", ");
        strcat(list, words->name);
    }
    return wire_fail(&v, why, PROBLEM_LIMIT, "is '%.40s'; it must be one of %s", name, list);
}

/* ---- explicit models ---- */

#define AT(field) offsetof(struct model, field)

static const struct {
    const char *name;
    size_t offset;
    uint64_t least, most;
    bool required;
} sizes[] = {
    {"layers", AT(layers), 1, MODEL_LAYERS_MAX, true},
    {"d_model", AT(d_model), 1, MODEL_SIZE_MAX, true},
    {"heads", AT(heads), 1, MODEL_SIZE_MAX, true},
    {"kv_heads", AT(kv_heads), 1, MODEL_SIZE_MAX, false},
    {"head_dim", AT(head_dim), 1, 65536, false},
    {"d_ff", AT(d_ff), 1, MODEL_SIZE_MAX, false},
    {"vocab", AT(vocab), 1, MODEL_SIZE_MAX, false},
    {"max_positions", AT(max_positions), 1, MODEL_SEQ_MAX, false},
    {"window", AT(window), 0, MODEL_SEQ_MAX, false},
    {"window_pattern", AT(window_pattern), 0, MODEL_LAYERS_MAX, false},
    {"experts", AT(experts), 0, MODEL_SIZE_MAX, false},
    {"experts_per_token", AT(experts_per_token), 1, MODEL_SIZE_MAX, false},
    {"expert_d_ff", AT(expert_d_ff), 1, MODEL_SIZE_MAX, false},
    {"rotary_dim", AT(rotary_dim), 2, 65536, false},
};
static const struct {
    const char *name;
    size_t offset;
    double least, most;
} reals[] = {
    {"attention_softcap", AT(attention_softcap), 0, 1e6},
    {"final_softcap", AT(final_softcap), 0, 1e6},
    {"norm_epsilon", AT(norm_epsilon), 1e-30, 1},
    {"norm_offset", AT(norm_offset), 0, 1},
    {"rope_theta", AT(rope.theta), 1, 1e15},
    {"attention_divisor", AT(attention_divisor), 1e-6, 1e6},
};
static const struct {
    const char *name;
    size_t offset;
} flags[] = {
    {"bias_qkv", AT(bias_qkv)},
    {"bias_out", AT(bias_out)},
    {"bias_mlp", AT(bias_mlp)},
    {"tied_embeddings", AT(tied_embeddings)},
    {"qk_norm", AT(qk_norm)},
    {"sandwich_norm", AT(sandwich_norm)},
    {"parallel", AT(parallel)},
    {"embedding_scale", AT(embedding_scale)},
    {"rotary_interleaved", AT(rotary_interleaved)},
    {"router_normalise", AT(route.normalise)},
};
#define SIZES (sizeof sizes / sizeof sizes[0])
#define FLAGS (sizeof flags / sizeof flags[0])
#define REALS (sizeof reals / sizeof reals[0])

static bool counts_read(const struct wire_value *v, struct model *m, struct problem *why) {
    struct wire_value field;
    bool bias = true;
    for (size_t i = 0; i < SIZES; i++) {
        uint64_t *to = (uint64_t *)((char *)m + sizes[i].offset);
        if (sizes[i].required && !wire_need(v, sizes[i].name, &field, why))
            return false;
        if (!wire_uint_of(v, sizes[i].name, sizes[i].least, sizes[i].most, to, why))
            return false;
    }
    if (!wire_bool_of(v, "bias", &bias, why))
        return false;
    m->bias_qkv = m->bias_out = m->bias_mlp = bias;
    m->tied_embeddings = m->route.normalise = true;
    for (size_t i = 0; i < FLAGS; i++)
        if (!wire_bool_of(v, flags[i].name, (bool *)((char *)m + flags[i].offset), why))
            return false;
    for (size_t i = 0; i < REALS; i++)
        if (!wire_real_of(v, reals[i].name, reals[i].least, reals[i].most, (double *)((char *)m + reals[i].offset),
                          why))
            return false;
    return true;
}

static bool words_read(const struct wire_value *v, struct model *m, struct problem *why) {
    int mlp = MODEL_GELU, norm = MODEL_LAYERNORM, positions = MODEL_LEARNED;
    if (!word_of(v, "mlp", mlp_words, &mlp, why) || !word_of(v, "norm", norm_words, &norm, why) ||
        !word_of(v, "positions", position_words, &positions, why))
        return false;
    m->mlp = (enum model_mlp)mlp;
    m->norm = (enum model_norm)norm;
    m->positions = (enum model_positions)positions;
    return true;
}

static bool family_read(const struct wire_value *v, struct problem *why) {
    struct wire_value family;
    const char *name;
    if (!wire_need(v, "family", &family, why) || !wire_string(&family, &name, why))
        return false;
    if (strcmp(name, "encoder") == 0 || strcmp(name, "encoder_decoder") == 0 || strcmp(name, "vision") == 0)
        return wire_fail(&family, why, PROBLEM_UNSUPPORTED, "is %s, which is read from an hf_config alone", name);
    return strcmp(name, "decoder") == 0 ||
           wire_fail(&family, why, PROBLEM_LIMIT, "is '%.40s'; it must be decoder", name);
}

static bool explicit_read(const struct wire_value *v, struct model *m, struct problem *why) {
    const char *fields[5 + SIZES + FLAGS + REALS + 1] = {"family", "mlp", "norm", "positions", "bias"};
    size_t n = 5;
    for (size_t i = 0; i < SIZES; i++)
        fields[n++] = sizes[i].name;
    for (size_t i = 0; i < FLAGS; i++)
        fields[n++] = flags[i].name;
    for (size_t i = 0; i < REALS; i++)
        fields[n++] = reals[i].name;
    if (!wire_object(v, fields, why) || !family_read(v, why) || !counts_read(v, m, why) || !words_read(v, m, why))
        return false;
    if (m->head_dim == 0 && m->d_model % m->heads) {
        problem_set(why, PROBLEM_SHAPE, "/heads", "is %llu, which does not divide d_model, %llu; give head_dim",
                    (unsigned long long)m->heads, (unsigned long long)m->d_model);
        return wire_nest(v, why);
    }
    model_defaults(m);
    return model_check(m, why) || wire_nest(v, why);
}

static bool preset_read(const struct wire_value *v, struct model *m, struct problem *why) {
    const char *name;
    if (!wire_string(v, &name, why))
        return false;
    const struct preset *preset = presets_find(name);
    if (!preset)
        return wire_fail(v, why, PROBLEM_LIMIT, "is '%.60s', which is no preset; GET /v1/models lists them", name);
    *m = preset->model;
    model_defaults(m);
    return true;
}

bool wire_model_read(const struct wire_value *v, struct arena *a, struct wire_model *out, struct problem *why) {
    static const char *const just_config[] = {"hf_config", NULL};
    struct wire_value config;
    *out = (struct wire_model){0};
    if (wire_type(v) == WIRE_STRING)
        return preset_read(v, &out->model, why);
    if (wire_type(v) != WIRE_OBJECT)
        return wire_fail(v, why, PROBLEM_MALFORMED,
                         "must be a preset's name, {\"hf_config\": {...}} or {\"family\": \"decoder\", ...}");
    if (wire_get(v, "hf_config", &config))
        return wire_object(v, just_config, why) && wire_model_config_read(&config, a, out, why);
    return explicit_read(v, &out->model, why);
}

/* ---- workloads ---- */

/* The four that Megatron-LM's closed forms know, and for the others what framework rematd plans: one device. */
static bool parallelism_read(const struct wire_value *v, struct wire_workload *w, struct problem *why) {
    struct megatron *p = &w->parallel;
    const struct {
        const char *name;
        uint64_t *to;
    } known[] = {{"tensor", &p->tensor}, {"pipeline", &p->pipeline}, {"pipeline_chunks", &p->pipeline_chunks}};
    static const char *const fields[] = {"tensor",   "context",    "pipeline", "pipeline_chunks", "expert", "data",
                                         "sequence", "zero_stage", NULL};
    if (!wire_object(v, fields, why))
        return false;
    for (size_t i = 0; fields[i]; i++) {
        struct wire_value field;
        bool sequence = false;
        uint64_t value = 1, neutral = strcmp(fields[i], "zero_stage") == 0 ? 0 : 1;
        if (!wire_get(v, fields[i], &field))
            continue;
        uint64_t *to = NULL;
        for (size_t k = 0; w->megatron && k < sizeof known / sizeof known[0]; k++)
            to = strcmp(known[k].name, fields[i]) == 0 ? known[k].to : to;
        if (to || (w->megatron && strcmp(fields[i], "sequence") == 0)) {
            if (!(to ? wire_uint(&field, 1, 1u << 20, to, why) : wire_bool(&field, &p->sequence, why)))
                return false;
            continue;
        }
        if (strcmp(fields[i], "sequence") == 0) {
            if (!wire_bool(&field, &sequence, why))
                return false;
        } else {
            if (!wire_uint(&field, neutral, neutral ? 1u << 20 : 3, &value, why))
                return false;
            sequence = value != neutral;
        }
        if (sequence)
            return wire_fail(
                &field, why, PROBLEM_UNSUPPORTED,
                "is not built yet: framework rematd plans for one device, megatron for tensor, sequence and "
                "pipeline parallelism");
    }
    return true;
}

static bool dtype_read(const struct wire_value *v, enum dtype *out, struct problem *why) {
    static const struct word words[] = {
        {"float32", DTYPE_FLOAT32}, {"bfloat16", DTYPE_BFLOAT16}, {"float16", DTYPE_FLOAT16}, {NULL, 0}};
    int dtype = DTYPE_FLOAT32;
    if (!word_of(v, "dtype", words, &dtype, why))
        return false;
    *out = (enum dtype)dtype;
    return true;
}

enum { REMATD, PYTORCH, MEGATRON };

static bool rows_read(const struct wire_value *v, struct workload *w, bool *megatron, bool *any, struct problem *why) {
    static const struct word kernels[] = {{"standard", ATTN_STANDARD}, {"flash", ATTN_FLASH}, {"any", -1}, {NULL, 0}};
    static const struct word frameworks[] = {
        {"rematd", REMATD}, {"pytorch", PYTORCH}, {"megatron", MEGATRON}, {NULL, 0}};
    struct wire_value field = {0};
    const char *optimizer = "adamw";
    int kernel = ATTN_STANDARD, framework = REMATD;
    if (!word_of(v, "attention", kernels, &kernel, why) || !word_of(v, "framework", frameworks, &framework, why) ||
        !wire_string_of(v, "optimizer", &optimizer, why))
        return false;
    if (framework == PYTORCH && wire_get(v, "framework", &field))
        return wire_fail(&field, why, PROBLEM_UNSUPPORTED,
                         "is pytorch, which is not built yet: rematd and megatron are");
    *megatron = framework == MEGATRON;
    *any = kernel < 0;
    w->attention = &attn_table[*any ? ATTN_STANDARD : kernel];
    w->optimizer = optimizer_find(optimizer);
    return w->optimizer || (wire_get(v, "optimizer", &field) &&
                            wire_fail(&field, why, PROBLEM_LIMIT,
                                      "is '%.40s'; it must be one of none, sgd, sgd_momentum, adamw, adamw_8bit, "
                                      "adafactor, lion, muon",
                                      optimizer));
}

/* Absent it is 1 where it will be searched for; of an image, its tokens. */
static bool seq_len_read(const struct wire_value *v, bool optional, struct workload *w, struct problem *why) {
    struct wire_value field;
    const bool image = w->model.family == MODEL_VISION;
    w->seq_len = image ? model_tokens(&w->model) : 1;
    return (optional || image || wire_need(v, "seq_len", &field, why)) &&
           wire_uint_of(v, "seq_len", 1, MODEL_SEQ_MAX, &w->seq_len, why);
}

static bool source_len_read(const struct wire_value *v, struct workload *w, struct problem *why) {
    struct wire_value field;
    if (wire_get(v, "source_len", &field) && w->model.family != MODEL_ENCODER_DECODER)
        return wire_fail(&field, why, PROBLEM_LIMIT,
                         "is for encoder-decoders: this model has one sequence, of seq_len");
    return wire_uint_of(v, "source_len", 1, MODEL_SEQ_MAX, &w->source_len, why);
}

bool wire_workload_read(const struct wire_value *v, bool seq_len_optional, struct arena *a, struct wire_workload *out,
                        struct problem *why) {
    static const char *const fields[] = {"model",
                                         "seq_len",
                                         "batch",
                                         "dtype",
                                         "attention",
                                         "dropout",
                                         "optimizer",
                                         "framework",
                                         "source_len",
                                         "parallelism",
                                         "gradient_accumulation",
                                         NULL};
    struct workload *w = &out->workload;
    struct wire_value model, field;
    *out = (struct wire_workload){.workload = {.seq_len = 1, .batch = 1, .threads = 1, .gradient_accumulation = 1}};
    if (!wire_object(v, fields, why) || !wire_need(v, "model", &model, why) ||
        !wire_uint_of(v, "batch", 1, MODEL_BATCH_MAX, &w->batch, why) ||
        !wire_uint_of(v, "gradient_accumulation", 1, 1u << 20, &w->gradient_accumulation, why) ||
        !dtype_read(v, &w->dtype, why) || !wire_real_of(v, "dropout", 0, 1, &w->dropout, why) ||
        !rows_read(v, w, &out->megatron, &out->any_attention, why) ||
        (wire_get(v, "parallelism", &field) && !parallelism_read(&field, out, why)) ||
        !wire_model_read(&model, a, &out->model, why))
        return false;
    w->model = out->model.model;
    if (!seq_len_read(v, seq_len_optional, w, why) || !source_len_read(v, w, why))
        return false;
    if (out->megatron && w->model.max_positions < w->seq_len)
        w->model.max_positions = w->seq_len; /* the closed forms count none */
    return workload_check(w, why) || wire_nest(v, why);
}
