/* wire_strategy.c - see wire_strategy.h */
#include "server/wire_strategy.h"

#include <string.h>

#include "engine/kernels/loss.h"

static bool selection_read(const struct wire_value *v, struct selection *out, struct problem *why) {
    if (!wire_array(v, 1, 64, why))
        return false;
    for (size_t i = 0; i < wire_length(v); i++) {
        struct wire_value element = wire_at(v, i);
        const char *name;
        if (!wire_string(&element, &name, why))
            return false;
        if (!selection_add(out, name))
            return wire_fail(&element, why, PROBLEM_LIMIT,
                             "is neither a part (attention, attention_core, mlp, norm) nor an op");
    }
    return true;
}

static bool layer_read(const struct wire_value *v, struct strategy_layer *out, struct problem *why) {
    static const char *const fields[] = {"recompute", NULL};
    struct wire_value list;
    const char *name;
    if (wire_type(v) == WIRE_OBJECT) {
        out->policy = LAYER_RECOMPUTE;
        return wire_object(v, fields, why) && wire_need(v, "recompute", &list, why) &&
               selection_read(&list, &out->selection, why);
    }
    if (!wire_string(v, &name, why))
        return false;
    out->policy = strcmp(name, "keep") == 0 ? LAYER_KEEP : LAYER_CHECKPOINT;
    if (out->policy == LAYER_CHECKPOINT && strcmp(name, "checkpoint") != 0)
        return wire_fail(v, why, PROBLEM_LIMIT, "must be \"keep\", \"checkpoint\" or {\"recompute\": [...]}");
    return true;
}

static bool layers_read(const struct wire_value *v, struct arena *a, struct strategy *out, struct problem *why) {
    if (!wire_array(v, 1, WIRE_NODES_MAX, why))
        return false;
    out->n_layers = wire_length(v);
    struct strategy_layer *layers = arena_new(a, struct strategy_layer, out->n_layers, why);
    if (!layers)
        return false;
    for (size_t i = 0; i < out->n_layers; i++) {
        struct wire_value element = wire_at(v, i);
        if (!layer_read(&element, &layers[i], why))
            return false;
    }
    out->layers = layers;
    return true;
}

/* What an object may hold beside its name, by what the planner takes. */
static const struct {
    unsigned parameter;
    const char *name;
} parameters[] = {
    {STRATEGY_TAKES_N, "n"},
    {STRATEGY_TAKES_K, "k"},
    {STRATEGY_TAKES_SEGMENTS, "segments"},
    {STRATEGY_TAKES_OPS, "ops"},
    {STRATEGY_TAKES_LAYERS, "layers"},
    {STRATEGY_TAKES_BUDGET, "budget_bytes"},
    {STRATEGY_TAKES_OBJECTIVE, "objective"},
    {STRATEGY_TAKES_TIME, "time_limit_seconds"},
    {STRATEGY_TAKES_TIME, "reorder"},
};
#define PARAMETERS (sizeof parameters / sizeof parameters[0])

/* Every strategy may hold it: tokens, whole blocks of the loss's sums. */
static bool loss_chunk_read(const struct wire_value *v, uint64_t *out, struct problem *why) {
    struct wire_value chunk;
    if (!wire_uint_of(v, "loss_chunk", 0, WIRE_INTEGER_MAX / LOSS_BLOCK * LOSS_BLOCK, out, why))
        return false;
    return *out % LOSS_BLOCK == 0 || !wire_get(v, "loss_chunk", &chunk) ||
           wire_fail(&chunk, why, PROBLEM_LIMIT, "must be a multiple of %d tokens", LOSS_BLOCK);
}

bool wire_strategy_objective(const struct wire_value *v, enum objective *out, struct problem *why) {
    const char *name = "flops";
    struct wire_value field;
    if (!wire_string_of(v, "objective", &name, why))
        return false;
    *out = strcmp(name, "seconds") == 0 ? OBJECTIVE_SECONDS : OBJECTIVE_FLOPS;
    return *out == OBJECTIVE_SECONDS || strcmp(name, "flops") == 0 || !wire_get(v, "objective", &field) ||
           wire_fail(&field, why, PROBLEM_LIMIT, "must be flops or seconds");
}

static bool object_read(const struct wire_value *v, struct arena *a, struct strategy *out, struct problem *why) {
    const char *fields[PARAMETERS + 3] = {"name", "loss_chunk"};
    size_t n = 2;
    struct wire_value list;
    for (size_t i = 0; i < PARAMETERS; i++)
        if (out->planner->parameters & parameters[i].parameter)
            fields[n++] = parameters[i].name;
    return wire_object(v, fields, why) && loss_chunk_read(v, &out->loss_chunk, why) &&
           wire_uint_of(v, "n", 1, WIRE_INTEGER_MAX, &out->n, why) &&
           wire_uint_of(v, "k", 1, WIRE_INTEGER_MAX, &out->k, why) &&
           wire_uint_of(v, "segments", 1, WIRE_INTEGER_MAX, &out->segments, why) &&
           wire_uint_of(v, "budget_bytes", 1, WIRE_INTEGER_MAX, &out->budget_bytes, why) &&
           wire_strategy_objective(v, &out->objective, why) &&
           (!wire_get(v, "ops", &list) || selection_read(&list, &out->selection, why)) &&
           (!wire_get(v, "layers", &list) || layers_read(&list, a, out, why));
}

bool wire_strategy_read(const struct wire_value *v, bool may_be_auto, struct arena *a, struct wire_strategy *out,
                        struct problem *why) {
    static const char *const just_name[] = {"name", NULL};
    struct wire_value named = *v;
    const char *name;
    *out = (struct wire_strategy){0};
    bool object = wire_type(v) == WIRE_OBJECT;
    if (object && !wire_need(v, "name", &named, why))
        return false;
    if (!wire_string(&named, &name, why))
        return false;
    if (may_be_auto && strcmp(name, "auto") == 0) {
        out->automatic = true;
        return !object || wire_object(v, just_name, why);
    }
    out->strategy.planner = planner_find(name);
    if (!out->strategy.planner)
        return wire_fail(&named, why, PROBLEM_LIMIT, "is not a strategy; GET /v1/strategies lists them");
    if (object && !object_read(v, a, &out->strategy, why))
        return false;
    if (object && (out->strategy.planner->parameters || out->strategy.loss_chunk))
        out->json = wire_json(v, a, why);
    else
        out->json = arena_printf(a, why, "\"%s\"", out->strategy.planner->name);
    return out->json != NULL;
}

const char *wire_strategy_chunked(const char *json, uint64_t loss_chunk, struct arena *a, struct problem *why) {
    const unsigned long long chunk = loss_chunk;
    if (!json || loss_chunk == 0)
        return json;
    if (json[0] == '"')
        return arena_printf(a, why, "{\"name\":%s,\"loss_chunk\":%llu}", json, chunk);
    return arena_printf(a, why, "%.*s,\"loss_chunk\":%llu}", (int)strlen(json) - 1, json, chunk);
}

struct wire_strategy wire_strategy_plain(const struct planner *planner, const char *json) {
    return (struct wire_strategy){.strategy = {.planner = planner}, .json = json};
}
