/* api_models.c - the tables a plan's request may name: models and devices, with sources. */
#include <stddef.h>

#include "engine/models/devices.h"
#include "engine/models/presets.h"
#include "server/api.h"
#include "server/log.h"
#include "server/plan_device.h"
#include "server/wire.h"

static bool text_answer(struct wire_out *o, struct response *response) {
    wire_close(o, ']');
    wire_close(o, '}');
    response->body = wire_text(o, &response->body_bytes);
    return response->body != NULL;
}

/* Exact, from the graph: a preset's own sum would be a second truth. */
static bool parameters_count(const struct model *m, uint64_t *parameters, struct problem *why) {
    struct workload w = {.model = *m, .seq_len = 1, .batch = 1, .dtype = DTYPE_BFLOAT16, .attention = attn_table};
    struct arena scratch;
    struct graph g;
    w.optimizer = optimizer_find("none");
    arena_init(&scratch, 0);
    if (m->family == MODEL_VISION)
        w.seq_len = model_tokens(m);
    bool ok = model_lower(&w, &scratch, &g, why);
    if (ok)
        *parameters = model_parameters(&g);
    arena_free(&scratch);
    return ok;
}

static bool models(struct request *request, struct response *response, struct problem *why) {
    struct wire_out o;
    wire_out_init(&o, request->arena, why);
    wire_open(&o, NULL, '{');
    wire_open(&o, "models", '[');
    for (unsigned i = 0; i < presets_table_length; i++) {
        struct model m = presets_table[i].model;
        uint64_t parameters;
        model_defaults(&m);
        if (!parameters_count(&m, &parameters, why))
            return false;
        wire_open(&o, NULL, '{');
        wire_put_string(&o, "name", presets_table[i].name);
        wire_put_string(&o, "family", model_family_name(m.family));
        wire_put_uint(&o, "parameters", parameters);
        wire_put_uint(&o, "layers", m.layers);
        wire_put_uint(&o, "d_model", m.d_model);
        wire_put_uint(&o, "heads", m.heads);
        wire_put_uint(&o, "kv_heads", m.kv_heads);
        wire_put_uint(&o, "head_dim", m.head_dim);
        wire_put_uint(&o, "d_ff", m.d_ff);
        wire_put_uint(&o, "vocab", m.vocab);
        wire_put_uint(&o, "max_positions", m.max_positions);
        wire_put_string(&o, "source", presets_table[i].source);
        wire_close(&o, '}');
    }
    return text_answer(&o, response);
}

static void device_put(struct wire_out *o, const struct device *d) {
    wire_open(o, NULL, '{');
    wire_put_string(o, "name", d->name);
    wire_put_uint(o, "memory_bytes", d->memory_bytes);
    wire_open(o, "flops_per_second", '{');
    wire_put_real(o, "float32", d->float32);
    wire_put_real(o, "bfloat16", d->bfloat16);
    wire_put_real(o, "float16", d->float16);
    wire_close(o, '}');
    wire_put_real(o, "bandwidth_bytes_per_second", d->bandwidth);
    wire_put_string(o, "source", d->source);
    wire_put_string(o, "memory_source", d->memory_source);
    wire_close(o, '}');
}

/* This machine first, where it was measured. The others need no store: they are there without it. */
static bool devices(struct request *request, struct response *response, struct problem *why) {
    const struct service *service = request->service;
    struct plan_host known = {.store = service->store, .memory_bytes = service->memory_limit_bytes};
    const struct device *host;
    struct problem unknown = {0};
    struct wire_out o;
    if (!plan_device_host(&known, request->arena, &host, &unknown))
        log_event(LOG_WARNING, "calibration.unknown", "devices are listed without this machine: %s", unknown.detail);
    wire_out_init(&o, request->arena, why);
    wire_open(&o, NULL, '{');
    wire_open(&o, "devices", '[');
    if (host)
        device_put(&o, host);
    for (unsigned i = 0; i < devices_table_length; i++)
        device_put(&o, &devices_table[i]);
    return text_answer(&o, response);
}

const struct route api_models_routes[] = {
    {"GET", "/v1/models", BODY_NONE, models, SCOPE_READ},
    {"GET", "/v1/devices", BODY_NONE, devices, SCOPE_READ},
    {0},
};
