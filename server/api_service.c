/* api_service.c - the daemon about itself: probes, version, its own description, and the tables of what exists. */
#include "server/api.h"

#include <string.h>

#include "engine/kernels/attn.h"
#include "engine/plan/planner.h"
#include "server/api_static.h"
#include "server/store.h"
#include "server/wire.h"

#ifndef REMATD_VERSION
#define REMATD_VERSION "0.1.0"
#endif

API_STATIC_FILE(api_openapi, "docs/openapi.json");

static bool text_answer(struct wire_out *out, struct response *response) {
    response->body = wire_text(out, &response->body_bytes);
    return response->body != NULL;
}

/* Alive: no store, no disk. */
static bool health(struct request *request, struct response *response, struct problem *why) {
    static const char alive[] = "{\"status\":\"ok\"}";
    (void)request, (void)why;
    response->body = alive;
    response->body_bytes = sizeof alive - 1;
    return true;
}

static bool ready(struct request *request, struct response *response, struct problem *why) {
    static const char draining[] = "{\"status\":\"draining\"}";
    struct service *service = request->service;
    if (service->draining && service->draining()) {
        response->status = 503;
        response->body = draining;
        response->body_bytes = sizeof draining - 1;
        return response_header(response, "Retry-After", "1");
    }
    return (!service->store || store_check(service->store, why)) && health(request, response, why);
}

static bool version(struct request *request, struct response *response, struct problem *why) {
    struct wire_out out;
    wire_out_init(&out, request->arena, why);
    wire_open(&out, NULL, '{');
    wire_put_string(&out, "name", "rematd");
    wire_put_string(&out, "version", REMATD_VERSION);
    wire_put_uint(&out, "memory_limit_bytes", request->service->memory_limit_bytes);
    wire_put_uint(&out, "threads", request->service->threads);
    wire_close(&out, '}');
    return text_answer(&out, response);
}

static bool openapi(struct request *request, struct response *response, struct problem *why) {
    return api_static_answer(request, response, "application/json", api_openapi_begin,
                             (size_t)(api_openapi_end - api_openapi_begin), why);
}

static const struct {
    unsigned bit;
    const char *name;
} parameter_names[] = {
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

static void planner_put(struct wire_out *out, const struct planner *planner) {
    wire_open(out, NULL, '{');
    wire_put_string(out, "name", planner->name);
    wire_put_string(out, "description", planner->description);
    wire_put_string(out, "known_as", planner->known_as);
    wire_open(out, "parameters", '[');
    for (size_t i = 0; i < sizeof parameter_names / sizeof parameter_names[0]; i++)
        if (planner->parameters & parameter_names[i].bit)
            wire_put_string(out, NULL, parameter_names[i].name);
    wire_close(out, ']');
    wire_close(out, '}');
}

/* "strategies" are for sequential jobs, "attention" for one attention call. */
static bool strategies(struct request *request, struct response *response, struct problem *why) {
    struct wire_out out;
    wire_out_init(&out, request->arena, why);
    wire_open(&out, NULL, '{');
    wire_open(&out, "strategies", '[');
    for (unsigned i = 0; i < planner_table_length; i++)
        planner_put(&out, planner_table[i]);
    wire_close(&out, ']');
    wire_open(&out, "attention", '[');
    for (unsigned i = 0; i < attention_strategy_table_length; i++) {
        const struct attention_strategy *row = &attention_strategy_table[i];
        wire_open(&out, NULL, '{');
        wire_put_string(&out, "name", row->name);
        wire_put_string(&out, "description", row->description);
        wire_put_string(&out, "kernel", row->kernel->name);
        wire_put_bool(&out, "checkpointed", row->checkpointed);
        wire_close(&out, '}');
    }
    wire_close(&out, ']');
    wire_close(&out, '}');
    return text_answer(&out, response);
}

static bool kernels(struct request *request, struct response *response, struct problem *why) {
    struct wire_out out;
    wire_out_init(&out, request->arena, why);
    wire_open(&out, NULL, '{');
    wire_open(&out, "kernels", '[');
    for (unsigned i = 0; i < attn_table_length; i++) {
        const struct attn_kernel *row = &attn_table[i];
        wire_open(&out, NULL, '{');
        wire_put_string(&out, "name", row->name);
        wire_put_string(&out, "op", "attention");
        wire_put_string(&out, "description", row->description);
        wire_put_string(&out, "saves", row->aux_name);
        wire_put_bool(&out, "saves_output", row->saves_output);
        wire_put_uint(&out, "forward_flops_per_pair_and_channel", row->forward_flops);
        wire_put_uint(&out, "backward_flops_per_pair_and_channel", row->backward_flops);
        wire_close(&out, '}');
    }
    wire_close(&out, ']');
    wire_close(&out, '}');
    return text_answer(&out, response);
}

const struct route api_service_routes[] = {
    {"GET", "/healthz", BODY_NONE, health, SCOPE_OPEN},
    {"GET", "/readyz", BODY_NONE, ready, SCOPE_OPEN},
    {"GET", "/version", BODY_NONE, version, SCOPE_OPEN},
    {"GET", "/openapi.json", BODY_NONE, openapi, SCOPE_READ},
    {"GET", "/v1/strategies", BODY_NONE, strategies, SCOPE_READ},
    {"GET", "/v1/kernels", BODY_NONE, kernels, SCOPE_READ},
    {0},
};
