/* wire_chain.c - see wire_chain.h */
#include "server/wire_chain.h"

#include "engine/base/units.h"

#define SIZES_MAX ((uint64_t)1 << 60) /* of everything together */

static bool size_read(const struct wire_value *v, const char *key, bool required, uint64_t *out, struct problem *why) {
    struct wire_value field;
    return (!required || wire_need(v, key, &field, why)) && wire_uint_of(v, key, 0, WIRE_INTEGER_MAX, out, why);
}

static bool time_read(const struct wire_value *v, const char *key, double *out, struct problem *why) {
    struct wire_value field;
    return wire_need(v, key, &field, why) && wire_real(&field, 0, WIRE_CHAIN_TIME_MAX, out, why);
}

static bool option_read(const struct wire_value *v, struct chain_posted_option *out, struct problem *why) {
    static const char *const fields[] = {"forward",           "backward",           "kept",
                                         "forward_workspace", "backward_workspace", NULL};
    return wire_object(v, fields, why) && time_read(v, "forward", &out->forward, why) &&
           time_read(v, "backward", &out->backward, why) && size_read(v, "kept", true, &out->kept, why) &&
           size_read(v, "forward_workspace", false, &out->forward_workspace, why) &&
           size_read(v, "backward_workspace", false, &out->backward_workspace, why);
}

static bool options_read(const struct wire_value *v, struct arena *a, struct chain_posted_stage *out,
                         struct problem *why) {
    if (!wire_array(v, 1, WIRE_CHAIN_OPTIONS_MAX, why))
        return false;
    out->n_options = (uint32_t)wire_length(v);
    struct chain_posted_option *options = arena_new(a, struct chain_posted_option, out->n_options, why);
    out->options = options;
    for (uint32_t i = 0; options && i < out->n_options; i++) {
        const struct wire_value element = wire_at(v, i);
        if (!option_read(&element, &options[i], why))
            return false;
    }
    return options != NULL;
}

static bool stage_read(const struct wire_value *v, struct arena *a, struct chain_posted_stage *out,
                       struct problem *why) {
    static const char *const fields[] = {"input_size", "fast_forward", "options", NULL};
    static const char *const fast_fields[] = {"time", "workspace", NULL};
    struct wire_value fast, options;
    return wire_object(v, fields, why) && size_read(v, "input_size", true, &out->input_size, why) &&
           wire_need(v, "fast_forward", &fast, why) && wire_object(&fast, fast_fields, why) &&
           time_read(&fast, "time", &out->fast_forward_time, why) &&
           size_read(&fast, "workspace", false, &out->fast_forward_workspace, why) &&
           wire_need(v, "options", &options, why) && options_read(&options, a, out, why);
}

/* The most that can be there of a stage at once. */
static uint64_t most_of(const struct chain_posted_stage *stage) {
    uint64_t most = stage->fast_forward_workspace;
    for (uint32_t k = 0; k < stage->n_options; k++) {
        const struct chain_posted_option *o = &stage->options[k];
        most = units_max(most, o->kept + o->forward_workspace + o->backward_workspace);
    }
    return stage->input_size + most;
}

bool wire_chain_read(const struct wire_value *v, struct arena *a, struct chain_posted *out, struct problem *why) {
    static const char *const fields[] = {"stages",     "output_size", "source",           "meaning",
                                         "recurrence", "frontier",    "infeasible_below", NULL};
    struct wire_value list;
    *out = (struct chain_posted){0};
    if (!wire_object(v, fields, why) || !wire_need(v, "stages", &list, why) ||
        !wire_array(&list, 1, WIRE_CHAIN_STAGES_MAX, why) || !size_read(v, "output_size", true, &out->output_size, why))
        return false;
    out->n = (uint32_t)wire_length(&list);
    uint64_t sizes = out->output_size;
    struct chain_posted_stage *stages = arena_new(a, struct chain_posted_stage, out->n, why);
    out->stages = stages;
    for (uint32_t i = 0; stages && i < out->n; i++) {
        const struct wire_value element = wire_at(&list, i);
        if (!stage_read(&element, a, &stages[i], why))
            return false;
        sizes += most_of(&stages[i]);
        if (sizes >= SIZES_MAX)
            return wire_fail(&element, why, PROBLEM_LIMIT, "with this stage the sizes sum past 2^60");
    }
    return stages != NULL;
}
