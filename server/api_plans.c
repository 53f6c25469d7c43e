/* api_plans.c - /v1/plans, /v1/capacity and /v1/frontiers. A GET is the POST's body written as a query: both are read
 * alike. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/digest.h"
#include "server/api.h"
#include "server/plan_query.h"

#define QUERIES_MAX        256
#define QUERIES_LAYERS_MAX 32768u /* of their models together: at worst a layer takes about a millisecond */
#define LONG_LAYERS        4096u  /* a request of more takes long */
#define LONG_MAX           2u     /* of those at once: the front has more threads, which answer everything else */

static atomic_uint long_requests;

static bool text_answer(struct wire_out *o, struct response *response) {
    response->body = wire_text(o, &response->body_bytes);
    return response->body != NULL;
}

/* ---- one, several, a search ---- */

static bool plan_one(const struct wire_value *v, struct wire_out *o, struct arena *a, struct problem *why) {
    struct plan_query q;
    if (!plan_query_read(v, false, a, &q, why))
        return false;
    return plan_query_answer(&q, o, NULL, why) || wire_nest(v, why);
}

/* Known before anything is planned: a request answers within seconds, or not at all. */
static bool layers_count(const struct wire_value *list, uint64_t *layers, struct problem *why) {
    *layers = 0;
    for (size_t i = 0; i < wire_length(list); i++) {
        struct wire_value v = wire_at(list, i);
        struct plan_query q;
        struct problem its_own = {0};
        struct arena scratch;
        arena_init(&scratch, 0);
        *layers += plan_query_read(&v, false, &scratch, &q, &its_own) ? q.w.workload.model.layers : 0;
        arena_free(&scratch);
    }
    return *layers <= QUERIES_LAYERS_MAX ||
           wire_fail(list, why, PROBLEM_LIMIT,
                     "have models of %llu layers together; the most is %u: send fewer at once",
                     (unsigned long long)*layers, QUERIES_LAYERS_MAX);
}

/* Each is a plan, or the problem it would have alone (with its own pointer and status). */
static bool plan_each(const struct wire_value *list, struct wire_out *o, struct arena *a, struct problem *why) {
    wire_open(o, NULL, '{');
    wire_open(o, "plans", '[');
    for (size_t i = 0; i < wire_length(list); i++) {
        struct wire_value v = wire_at(list, i);
        struct problem own = {0};
        struct wire_out one;
        size_t bytes;
        wire_out_init(&one, a, &own);
        const char *text = plan_one(&v, &one, a, &own) ? wire_text(&one, NULL) : NULL;
        if (!text)
            text = route_problem_body(&own, 0, a, &bytes);
        if (!text)
            return problem_set(why, PROBLEM_MEMORY, "", "no memory to write the answer");
        wire_put_json(o, NULL, text);
    }
    wire_close(o, ']');
    wire_close(o, '}');
    return true;
}

static bool plan_several(const struct wire_value *list, struct wire_out *o, struct arena *a, struct problem *why) {
    uint64_t layers;
    if (!wire_array(list, 1, QUERIES_MAX, why) || !layers_count(list, &layers, why))
        return false;
    if (layers <= LONG_LAYERS)
        return plan_each(list, o, a, why);
    bool ok = atomic_fetch_add(&long_requests, 1) < LONG_MAX
                  ? plan_each(list, o, a, why)
                  : problem_set(why, PROBLEM_BUSY, "", "%u requests of many queries are being answered: try again soon",
                                LONG_MAX);
    atomic_fetch_sub(&long_requests, 1);
    return ok;
}

static bool plans_answer(const struct wire_value *v, struct wire_out *o, struct arena *a, struct problem *why) {
    static const char *const just_queries[] = {"queries", NULL};
    struct wire_value list;
    if (wire_type(v) == WIRE_OBJECT && wire_get(v, "queries", &list))
        return wire_object(v, just_queries, why) && plan_several(&list, o, a, why);
    return plan_one(v, o, a, why);
}

static bool capacity_answer(const struct wire_value *v, struct wire_out *o, struct arena *a, struct problem *why) {
    struct plan_query q;
    return plan_query_read(v, true, a, &q, why) && plan_query_capacity(&q, o, why);
}

static bool frontier_answer(const struct wire_value *v, struct wire_out *o, struct arena *a, struct problem *why) {
    struct plan_query q;
    return plan_query_frontier_read(v, a, &q, why) && (plan_query_frontier(&q, a, o, why) || wire_nest(v, why));
}

typedef bool answer_function(const struct wire_value *, struct wire_out *, struct arena *, struct problem *);

static bool text_answered(const char *text, size_t bytes, answer_function *answer, struct request *request,
                          struct response *response, struct problem *why) {
    struct wire_out o;
    struct wire_document *d = wire_parse(text, bytes, why);
    if (!d)
        return false;
    struct wire_value root = wire_root(d);
    wire_out_init(&o, request->arena, why);
    bool ok = answer(&root, &o, request->arena, why) && text_answer(&o, response);
    wire_document_free(d);
    return ok;
}

static bool plans_post(struct request *request, struct response *response, struct problem *why) {
    return text_answered(request->body, request->body_bytes, plans_answer, request, response, why);
}

static bool capacity_post(struct request *request, struct response *response, struct problem *why) {
    return text_answered(request->body, request->body_bytes, capacity_answer, request, response, why);
}

static bool frontier_post(struct request *request, struct response *response, struct problem *why) {
    return text_answered(request->body, request->body_bytes, frontier_answer, request, response, why);
}

/* ---- GET ---- */

enum place { WORKLOAD, STRATEGY, TOP, LIST };

static const struct parameter {
    const char *name;
    enum place place;
    bool number;
} parameters[] = {
    {"model", WORKLOAD, false},     {"seq_len", WORKLOAD, true},    {"batch", WORKLOAD, true},
    {"dtype", WORKLOAD, false},     {"attention", WORKLOAD, false}, {"dropout", WORKLOAD, true},
    {"optimizer", WORKLOAD, false}, {"framework", WORKLOAD, false}, {"strategy", STRATEGY, false},
    {"n", STRATEGY, true},          {"k", STRATEGY, true},          {"segments", STRATEGY, true},
    {"device", TOP, false},         {"budget_bytes", TOP, true},    {"find", TOP, false},
    {"max_points", TOP, true},      {"include", LIST, false},       {"gradient_accumulation", WORKLOAD, true},
};
#define PARAMETERS (sizeof parameters / sizeof parameters[0])

/* A JSON number as it is; anything else stays a string, which the reader refuses where a number belongs. */
static bool is_number(const char *text) {
    size_t whole = strspn(text, "0123456789");
    if (whole == 0 || whole > 18 || (text[0] == '0' && whole > 1))
        return false;
    if (text[whole] != '.')
        return text[whole] == '\0';
    size_t part = strspn(text + whole + 1, "0123456789");
    return part > 0 && part < 18 && text[whole + 1 + part] == '\0';
}

static void put_list(struct wire_out *o, const char *key, const char *value) {
    wire_open(o, key, '[');
    while (*value) {
        char word[64];
        size_t length = strcspn(value, ",");
        snprintf(word, sizeof word, "%.*s", (int)(length < 60 ? length : 60), value);
        wire_put_string(o, NULL, word);
        value += length + (value[length] == ',');
    }
    wire_close(o, ']');
}

static void put_place(const char *const *values, enum place place, struct wire_out *o) {
    for (size_t i = 0; i < PARAMETERS; i++) {
        const struct parameter *p = &parameters[i];
        const char *key = place == STRATEGY && strcmp(p->name, "strategy") == 0 ? "name" : p->name;
        if (!values[i] || p->place != place)
            continue;
        if (place == LIST)
            put_list(o, key, values[i]);
        else if (p->number && is_number(values[i]))
            wire_put_json(o, key, values[i]);
        else
            wire_put_string(o, key, values[i]);
    }
}

static bool query_read(const struct request *request, const char **values, struct problem *why) {
    for (unsigned i = 0; i < request_query_count(request); i++) {
        const char *name, *value;
        size_t p = 0;
        request_query_at(request, i, &name, &value);
        while (p < PARAMETERS && strcmp(parameters[p].name, name) != 0)
            p++;
        if (p == PARAMETERS)
            return request_parameter_unknown(name, why);
        else if (values[p])
            problem_set(why, PROBLEM_MALFORMED, "", "is given twice");
        else {
            values[p] = value;
            continue;
        }
        return problem_nest(why, "/%.60s", name);
    }
    return true;
}

static const char *query_text(const char *const *values, struct arena *a, size_t *bytes, struct problem *why) {
    struct wire_out o;
    bool strategy = false;
    for (size_t i = 0; i < PARAMETERS; i++)
        strategy |= values[i] && parameters[i].place == STRATEGY;
    wire_out_init(&o, a, why);
    wire_open(&o, NULL, '{');
    wire_open(&o, "workload", '{');
    put_place(values, WORKLOAD, &o);
    wire_close(&o, '}');
    if (strategy) {
        wire_open(&o, "strategy", '{');
        put_place(values, STRATEGY, &o);
        wire_close(&o, '}');
    }
    put_place(values, TOP, &o);
    put_place(values, LIST, &o);
    wire_close(&o, '}');
    return wire_text(&o, bytes);
}

/* "/workload/seq_len" is the parameter seq_len, "/strategy/name" is strategy. */
static bool parameter_problem(struct problem *why) {
    static const char *const places[] = {"/workload", "/strategy"};
    if (strcmp(why->where, "/strategy/name") == 0)
        why->where[9] = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        size_t n = strlen(places[i]);
        if (strncmp(why->where, places[i], n) == 0 && why->where[n] == '/')
            memmove(why->where, why->where + n, strlen(why->where + n) + 1);
    }
    return false;
}

/* The answer's own fingerprint: it changes when the answer does. */
static bool tagged(struct request *request, struct response *response, struct problem *why) {
    struct digest d = digest_add((struct digest){0}, response->body, response->body_bytes);
    const char *tag =
        arena_printf(request->arena, why, "\"%016llx%016llx\"", (unsigned long long)d.a, (unsigned long long)d.b);
    const char *known = request_header(request, "If-None-Match");
    if (!tag || !response_header(response, "ETag", tag) || !response_header(response, "Cache-Control", "no-cache"))
        return false;
    if (known && (strstr(known, tag) || strcmp(known, "*") == 0)) {
        response->status = 304;
        response->body = NULL;
        response->body_bytes = 0;
    }
    return true;
}

static bool get(struct request *request, struct response *response, answer_function *answer, struct problem *why) {
    const char *values[PARAMETERS] = {0};
    size_t bytes;
    if (!query_read(request, values, why))
        return false;
    const char *text = query_text(values, request->arena, &bytes, why);
    if (!text || !text_answered(text, bytes, answer, request, response, why))
        return parameter_problem(why);
    return tagged(request, response, why);
}

static bool plans_get(struct request *request, struct response *response, struct problem *why) {
    return get(request, response, plans_answer, why);
}

static bool capacity_get(struct request *request, struct response *response, struct problem *why) {
    return get(request, response, capacity_answer, why);
}

const struct route api_plans_routes[] = {
    {"POST", "/v1/plans", BODY_JSON, plans_post},        {"GET", "/v1/plans", BODY_NONE, plans_get},
    {"POST", "/v1/capacity", BODY_JSON, capacity_post},  {"GET", "/v1/capacity", BODY_NONE, capacity_get},
    {"POST", "/v1/frontiers", BODY_JSON, frontier_post}, {0},
};
