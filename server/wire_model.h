/* wire_model.h - what somebody wants to train, as requests say it: a preset's name, a Hugging Face config.json, or
 * every field; and the workload around it. */
#ifndef REMATD_SERVER_WIRE_MODEL_H
#define REMATD_SERVER_WIRE_MODEL_H

#include "engine/models/megatron.h"
#include "engine/models/model.h"
#include "server/wire.h"

#define WIRE_MODEL_FIELDS_MAX 512u /* of a config.json */

struct wire_model {
    struct model model;
    const char *type;           /* model_type of a config.json, static; else NULL */
    const char *const *ignored; /* fields of a config.json that say nothing here, sorted; in the arena */
    unsigned n_ignored;
};

/* v: "gpt2", {"hf_config": {...}} or {"family": "decoder", ...}. A model that passes model_check. */
PROBLEM_MUST_CHECK bool wire_model_read(const struct wire_value *v, struct arena *a, struct wire_model *out,
                                        struct problem *why);
/* v: the config.json. What is absent has the default of the framework's own class; problems name the file's fields. */
PROBLEM_MUST_CHECK bool wire_model_config_read(const struct wire_value *v, struct arena *a, struct wire_model *out,
                                               struct problem *why);

struct wire_workload {
    struct wire_model model;
    struct workload workload;
    bool any_attention; /* the kernel is the planner's to choose; workload.attention is standard until then */
    bool megatron;      /* framework megatron: closed forms, for the devices of */
    struct megatron parallel;
};
/* seq_len_optional: it may be absent, and is 1 then (for a search). Passes workload_check. */
PROBLEM_MUST_CHECK bool wire_workload_read(const struct wire_value *v, bool seq_len_optional, struct arena *a,
                                           struct wire_workload *out, struct problem *why);

#endif
