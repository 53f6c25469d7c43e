/* wire_model_config.c - Hugging Face config.json as models: the rows of wire_config_types.c, read as transformers' own
 * classes do. Numbers as strings and nulls where the class has none are refused by name. */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/wire_config.h"

#define AT(field) offsetof(struct model, field)

static const struct {
    const char *name;
    enum model_mlp plain, gated;
} activations[] = {{"silu", MODEL_SILU, MODEL_SWIGLU},
                   {"swish", MODEL_SILU, MODEL_SWIGLU},
                   {"gelu", MODEL_GELU, MODEL_GEGLU},
                   {"gelu_new", MODEL_GELU_TANH, MODEL_GEGLU_TANH},
                   {"gelu_fast", MODEL_GELU_TANH, MODEL_GEGLU_TANH},
                   {"gelu_pytorch_tanh", MODEL_GELU_TANH, MODEL_GEGLU_TANH},
                   {"relu", MODEL_RELU, MODEL_REGLU}};

static bool type_read(const struct wire_value *config, const struct wire_config_type **out, struct problem *why) {
    struct wire_value v, text;
    const char *name, *state = "is not known";
    char known[512] = "";
    if (!wire_need(config, "model_type", &v, why) || !wire_string(&v, &name, why))
        return false;
    for (*out = wire_config_types; *out < wire_config_types + wire_config_types_length; ++*out) {
        if (strcmp((*out)->name, name) == 0)
            return true;
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", (*out)->name);
    }
    if (wire_get(config, "text_config", &text) || wire_get(config, "llm_config", &text))
        state = "has parts beside its text model, which are not built yet: send its text_config alone";
    return wire_fail(&v, why, PROBLEM_UNSUPPORTED, "'%.40s' %s; understood are %s", name, state, known);
}

static bool row_read(const struct wire_value *config, const struct wire_config_row *row, struct model *m,
                     struct problem *why) {
    void *to = (char *)m + row->offset;
    struct wire_value v;
    bool there = wire_get(config, row->key, &v) || (row->alias && wire_get(config, row->alias, &v));
    bool null = there && row->nullable && wire_type(&v) == WIRE_NULL;
    if (row->kind == FLAG) {
        *(bool *)to = !null && row->fallback != 0;
        return !there || null || wire_bool(&v, to, why);
    }
    if (row->kind == REAL || row->kind == POSITIVE) {
        *(double *)to = null ? 0 : row->fallback;
        return !there || null || wire_real(&v, row->kind == REAL ? 0 : DBL_MIN, 1e6, to, why);
    }
    *(uint64_t *)to = null ? 0 : (uint64_t)row->fallback;
    return !there || null || wire_uint(&v, 1, row->most, to, why);
}

bool wire_config_activation(const struct wire_value *v, const char *name, bool gated, struct model *m,
                            struct problem *why) {
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
        if (strcmp(activations[i].name, name) == 0) {
            m->mlp = gated ? activations[i].gated : activations[i].plain;
            return true;
        }
    return wire_fail(v, why, PROBLEM_UNSUPPORTED, "is '%.40s', an activation that is not built%s", name,
                     gated ? " with a gate" : "");
}

static bool activation_read(const struct wire_value *config, const struct wire_config_type *type, struct model *m,
                            struct problem *why) {
    struct wire_value v = *config;
    const char *name = type->activation;
    if (!type->activation_key)
        return true;
    if (wire_get(config, type->activation_key, &v) && !wire_string(&v, &name, why))
        return false;
    return wire_config_activation(&v, name, type->gated, m, why);
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
static bool model_problem(const struct wire_value *config, const struct wire_config_type *type, struct problem *why) {
    static const struct {
        const char *where;
        size_t offset;
    } fields[] = {{"/kv_heads", AT(kv_heads)},           {"/heads", AT(heads)},
                  {"/head_dim", AT(head_dim)},           {"/d_ff", AT(d_ff)},
                  {"/max_positions", AT(max_positions)}, {"/experts_per_token", AT(experts_per_token)}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        for (const struct wire_config_row *row = type->rows; strcmp(why->where, fields[i].where) == 0 && row->key;
             row++)
            if (row->offset == fields[i].offset) {
                why->where[0] = '\0';
                problem_nest(why, "/%s", row->key);
            }
    return wire_nest(config, why);
}

static bool divides_check(const struct wire_config_type *type, const struct model *m, struct problem *why) {
    if (m->heads && m->d_model % m->heads && (type->divides || m->head_dim == 0))
        return problem_set(why, PROBLEM_SHAPE, "/heads", "is %llu, which does not divide the hidden size, %llu",
                           (unsigned long long)m->heads, (unsigned long long)m->d_model);
    return true;
}

static bool key_used(const struct wire_config_type *type, const char *key) {
    for (const struct wire_config_row *row = type->rows; row->key; row++)
        if (strcmp(row->key, key) == 0 || (row->alias && strcmp(row->alias, key) == 0))
            return true;
    for (const char *const *w = type->more_keys; w && *w; w++)
        if (strcmp(*w, key) == 0)
            return true;
    if (wire_config_rope_key(type, key) || wire_config_unrun_key(type, key))
        return true;
    return strcmp(key, "model_type") == 0 || (type->activation_key && strcmp(key, type->activation_key) == 0);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool ignored_list(const struct wire_value *config, const struct wire_config_type *type, struct arena *a,
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
    const struct wire_config_type *type = NULL;
    struct model *m = &out->model;
    *out = (struct wire_model){0};
    if (wire_type(v) != WIRE_OBJECT)
        return wire_fail(v, why, PROBLEM_MALFORMED, "must be an object: a config.json as it is");
    if (!type_read(v, &type, why) || !ignored_list(v, type, a, out, why) || !extras_check(v, why))
        return false;
    *m = type->base;
    out->type = type->name;
    for (const struct wire_config_row *row = type->rows; row->key; row++)
        if (!row_read(v, row, m, why))
            return false;
    if (!activation_read(v, type, m, why) || !wire_config_rope(type, v, m, why) ||
        (type->more && !type->more(v, m, why)))
        return false;
    wire_config_unrun(type, v, m);
    if (!divides_check(type, m, why))
        return model_problem(v, type, why);
    model_defaults(m);
    return model_check(m, why) || model_problem(v, type, why);
}
