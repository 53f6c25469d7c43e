/* wire_functions.c - see wire_functions.h. One row per kind: its fields, and the function that reads them. */
#include "server/wire_functions.h"

#include <float.h>
#include <string.h>

struct reader {
    struct wire_tensor_rules rules;
    bool (*given)(void *user, const struct wire_tensor *t, struct problem *why);
    void *user;
    struct problem *why;
};

static bool list_read(const struct reader *r, const struct wire_value *v, const struct stack_function **functions,
                      uint64_t *n);

/* A tensor the caller gives for a parameter of this rank; *out stays NULL where the field is absent. */
static bool given_read(const struct reader *r, const struct wire_value *object, const char *key, unsigned rank,
                       const struct stack_given **out) {
    struct wire_tensor_rules rules = r->rules;
    struct wire_value v;
    if (!wire_get(object, key, &v))
        return true;
    struct wire_tensor *t = arena_new(rules.arena, struct wire_tensor, 1, r->why);
    struct stack_given *given = arena_new(rules.arena, struct stack_given, 1, r->why);
    rules.rank_min = rules.rank_max = rank;
    if (!t || !given || !wire_tensor_read(&v, &rules, t, r->why) || (r->given && !r->given(r->user, t, r->why)))
        return false;
    given->source = t;
    given->rank = t->rank;
    memcpy(given->shape, t->shape, sizeof given->shape);
    *out = given;
    return true;
}

static bool read_linear(const struct reader *r, const struct wire_value *v, struct stack_function *f) {
    struct wire_value bias;
    f->linear.bias = true;
    if (!wire_uint_of(v, "out", 1, WIRE_INTEGER_MAX, &f->linear.out, r->why) ||
        !given_read(r, v, "weight", 2, &f->linear.weight))
        return false;
    if (wire_get(v, "bias", &bias) && wire_type(&bias) == WIRE_BOOL)
        return wire_bool(&bias, &f->linear.bias, r->why);
    return given_read(r, v, "bias", 1, &f->linear.bias_given);
}

static bool read_ffn(const struct reader *r, const struct wire_value *v, struct stack_function *f) {
    static const struct {
        const char *name;
        enum stack_kind kind;
        bool tanh_form;
    } activations[] = {{"gelu", STACK_GELU, false},
                       {"gelu_tanh", STACK_GELU, true},
                       {"relu", STACK_RELU, false},
                       {"silu", STACK_SILU, false}};
    const char *name = "gelu";
    struct wire_value activation;
    f->ffn.bias = true;
    if (!wire_uint_of(v, "hidden", 1, WIRE_INTEGER_MAX, &f->ffn.hidden, r->why) ||
        !wire_bool_of(v, "bias", &f->ffn.bias, r->why) || !wire_string_of(v, "activation", &name, r->why))
        return false;
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
        if (strcmp(activations[i].name, name) == 0) {
            f->ffn.activation = activations[i].kind;
            f->ffn.tanh_form = activations[i].tanh_form;
            return true;
        }
    return wire_get(v, "activation", &activation) &&
           wire_fail(&activation, r->why, PROBLEM_LIMIT, "must be gelu, gelu_tanh, relu or silu");
}

static bool mask_read(const struct reader *r, const struct wire_value *object, struct stack_function *f) {
    struct wire_value v;
    struct wire_mask mask = {.behind = ATTN_FAR, .ahead = ATTN_FAR};
    if (wire_get(object, "mask", &v) && !wire_mask_read(&v, &r->rules, &mask, r->why))
        return false;
    f->attention.behind = mask.behind;
    f->attention.ahead = mask.ahead;
    if (!mask.bias)
        return true;
    struct stack_given *given = arena_new(r->rules.arena, struct stack_given, 1, r->why);
    if (!given || (r->given && !r->given(r->user, mask.bias, r->why)))
        return false;
    *given = (struct stack_given){.source = mask.bias, .rank = mask.bias->rank};
    memcpy(given->shape, mask.bias->shape, sizeof given->shape);
    f->attention.mask = given;
    return true;
}

static bool read_attention(const struct reader *r, const struct wire_value *v, struct stack_function *f) {
    const char *kernel = "standard";
    struct wire_value field;
    f->attention.projections = f->attention.bias = true;
    if (!wire_uint_of(v, "heads", 1, WIRE_INTEGER_MAX, &f->attention.heads, r->why) ||
        !wire_uint_of(v, "kv_heads", 1, WIRE_INTEGER_MAX, &f->attention.kv_heads, r->why) ||
        !wire_bool_of(v, "projections", &f->attention.projections, r->why) ||
        !wire_bool_of(v, "bias", &f->attention.bias, r->why) || !wire_string_of(v, "kernel", &kernel, r->why) ||
        !mask_read(r, v, f))
        return false;
    if (wire_get(v, "dropout", &field) && !wire_dropout_read(&field, &f->attention.dropout, r->why))
        return false;
    f->attention.kernel = attn_find(kernel);
    return f->attention.kernel || (wire_get(v, "kernel", &field) &&
                                   wire_fail(&field, r->why, PROBLEM_LIMIT, "must be \"standard\" or \"flash\""));
}

static bool read_norm(const struct reader *r, const struct wire_value *v, struct stack_function *f) {
    double epsilon = 1e-5;
    if (!wire_real_of(v, "epsilon", 1e-30, 1, &epsilon, r->why) || !given_read(r, v, "weight", 1, &f->norm.weight))
        return false;
    f->norm.epsilon = (float)epsilon;
    return given_read(r, v, "bias", 1, &f->norm.bias);
}

static bool read_gelu(const struct reader *r, const struct wire_value *v, struct stack_function *f) {
    return wire_bool_of(v, "tanh", &f->gelu.tanh_form, r->why);
}

static bool read_nothing(const struct reader *r, const struct wire_value *v, struct stack_function *f) {
    (void)r, (void)v, (void)f;
    return true;
}

static bool read_dropout(const struct reader *r, const struct wire_value *v, struct stack_function *f) {
    struct wire_value p;
    if (!wire_need(v, "p", &p, r->why) || !wire_real(&p, 0, 1, &f->dropout.p, r->why))
        return false;
    return f->dropout.p < 1 || wire_fail(&p, r->why, PROBLEM_LIMIT, "must be below 1");
}

static bool read_scale(const struct reader *r, const struct wire_value *v, struct stack_function *f) {
    struct wire_value value;
    double factor;
    if (!wire_need(v, "value", &value, r->why) ||
        !wire_real(&value, -(double)FLT_MAX, (double)FLT_MAX, &factor, r->why))
        return false;
    f->scale.factor = (float)factor;
    return true;
}

static bool read_group(const struct reader *r, const struct wire_value *v, struct stack_function *f) {
    struct wire_value functions;
    f->group.repeat = 1;
    return wire_uint_of(v, "repeat", 1, STACK_OPS_MAX, &f->group.repeat, r->why) &&
           wire_need(v, "functions", &functions, r->why) &&
           list_read(r, &functions, &f->group.functions, &f->group.n_functions);
}

static const struct {
    bool (*read)(const struct reader *r, const struct wire_value *v, struct stack_function *f);
    const char *fields[12];
} kinds[] = {
    [STACK_LINEAR] = {read_linear, {"name", "seed", "out", "bias", "weight"}},
    [STACK_FFN] = {read_ffn, {"name", "seed", "hidden", "activation", "bias"}},
    [STACK_ATTENTION] = {read_attention,
                         {"name", "seed", "heads", "kv_heads", "mask", "kernel", "projections", "bias", "dropout"}},
    [STACK_LAYER_NORM] = {read_norm, {"name", "epsilon", "weight", "bias"}},
    [STACK_RMS_NORM] = {read_norm, {"name", "epsilon", "weight"}},
    [STACK_GELU] = {read_gelu, {"name", "tanh"}},
    [STACK_RELU] = {read_nothing, {"name"}},
    [STACK_SILU] = {read_nothing, {"name"}},
    [STACK_DROPOUT] = {read_dropout, {"name", "seed", "p"}},
    [STACK_ADD] = {read_nothing, {"name"}},
    [STACK_SCALE] = {read_scale, {"name", "value"}},
    [STACK_RESIDUAL] = {read_group, {"name", "functions"}},
    [STACK_LAYER] = {read_group, {"name", "repeat", "functions"}},
};
_Static_assert(sizeof kinds / sizeof kinds[0] == STACK_FUNCTION, "one row per kind that has a name on the wire");

static bool function_read(const struct reader *r, const struct wire_value *v, struct stack_function *f) {
    struct wire_value named;
    const char *name;
    if (wire_type(v) != WIRE_OBJECT)
        return wire_fail(v, r->why, PROBLEM_MALFORMED, "a function is an object with a name");
    if (!wire_need(v, "name", &named, r->why) || !wire_string(&named, &name, r->why))
        return false;
    if (!stack_kind_find(name, &f->kind))
        return wire_fail(
            &named, r->why, PROBLEM_LIMIT,
            "is not a function; there are layer, attention, ffn, linear, layer_norm, rms_norm, gelu, relu, "
            "silu, dropout, add, scale, residual");
    return wire_object(v, kinds[f->kind].fields, r->why) &&
           wire_uint_of(v, "seed", 0, WIRE_INTEGER_MAX, &f->seed, r->why) && kinds[f->kind].read(r, v, f);
}

static bool list_read(const struct reader *r, const struct wire_value *v, const struct stack_function **functions,
                      uint64_t *n) {
    if (!wire_array(v, 1, WIRE_NODES_MAX, r->why))
        return false;
    *n = wire_length(v);
    struct stack_function *list = arena_new(r->rules.arena, struct stack_function, *n, r->why);
    if (!list)
        return false;
    for (uint64_t i = 0; i < *n; i++) {
        struct wire_value element = wire_at(v, i);
        if (!function_read(r, &element, &list[i]))
            return false;
    }
    *functions = list;
    return true;
}

bool wire_functions_read(const struct wire_value *v, const struct wire_tensor_rules *rules,
                         bool (*given)(void *user, const struct wire_tensor *t, struct problem *why), void *user,
                         const struct stack_function **functions, uint64_t *n, struct problem *why) {
    const struct reader r = {.rules = *rules, .given = given, .user = user, .why = why};
    return list_read(&r, v, functions, n);
}
