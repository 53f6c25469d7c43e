/* api_plans.c - /v1/plans, /v1/capacity and /v1/frontiers. A GET is the POST's body written as a query: both are read
 * alike, and share what the cache knows. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/models/presets.h"
#include "engine/plan/planner.h"
#include "server/api.h"
#include "server/metrics.h"
#include "server/plan_bounds.h"
#include "server/plan_cache.h"
#include "server/plan_posted.h"
#include "server/plan_query.h"

#define QUERIES_MAX        256
#define QUERIES_LAYERS_MAX 32768u /* of their models together: at worst a layer takes about a millisecond */
#define LONG_LAYERS        4096u  /* a request of more takes long */
#define LONG_MAX           2u     /* of those at once: there are more threads that plan */
#define SHORT_LAYERS       40u    /* a plan of a model of more takes some ten milliseconds */
#define SHORT_BYTES        4096u  /* a question of more is not looked through: it counts as long */

static atomic_uint long_requests;

/* One request, on its way to an answer. */
struct asked {
    struct request *request;
    struct response *response;
    struct plan_cache *cache; /* NULL: none */
    enum plan_question question;
    struct plan_name name; /* what the client wrote */
    bool tagged;           /* the answer has an ETag */
    bool partial;          /* holds a problem, what a time limit cut short, or what the host was measured to be: true
                              today, not for ever */
    struct plan_bounds bounds;
    struct plan_host host;
};

/* ---- one, several, a search ---- */

/* For the next plan: asked says whether that one names it. */
static struct plan_host *host_for(struct asked *asked) {
    asked->host.asked = false;
    return &asked->host;
}

/* One that may take long. */
static bool may_begin(struct problem *why) {
    if (atomic_fetch_add(&long_requests, 1) < LONG_MAX)
        return true;
    atomic_fetch_sub(&long_requests, 1);
    return problem_set(why, PROBLEM_BUSY, "", "%u requests that may take long are being answered: try again soon",
                       LONG_MAX);
}

/* A daemon that drains does not wait for a search. */
static bool is_draining(void *user, const struct plan_posted_progress *p) {
    (void)p;
    return plan_bounds_drains(user);
}

static bool refused(struct asked *asked, const struct wire_value *v, struct problem *why) {
    return plan_bounds_tell(&asked->bounds, asked->request->arena, v, why) || wire_nest(v, why);
}

static struct plan_posted_watch watch_for(const struct asked *asked) {
    return (struct plan_posted_watch){.ask = is_draining, .user = asked->request->service};
}

static bool plan_posted(struct asked *asked, const struct wire_value *v, struct wire_out *o, struct arena *a,
                        struct problem *why) {
    struct plan_posted q;
    struct plan_posted_watch watch = watch_for(asked);
    struct plan_host *host = host_for(asked);
    if (!plan_posted_read(v, PLAN_POSTED_AT_ONCE, host, a, &q, why))
        return false;
    q.bounds = &asked->bounds.arena;
    const bool ok = plan_posted_answer(&q, &watch, o, NULL, why) || refused(asked, v, why);
    asked->partial |= watch.cut || host->asked;
    return ok;
}

static bool plan_one(struct asked *asked, const struct wire_value *v, struct wire_out *o, struct arena *a,
                     struct problem *why) {
    struct plan_query q;
    if (plan_posted_is(v))
        return plan_posted(asked, v, o, a, why);
    struct plan_host *host = host_for(asked);
    if (!plan_query_read(v, PLAN_FORM_PLAN, host, a, &q, why))
        return false;
    asked->partial |= host->asked;
    q.bounds = &asked->bounds.arena;
    return plan_query_answer(&q, o, NULL, why) || refused(asked, v, why);
}

/* Alone. */
static bool plan_alone(struct asked *asked, const struct wire_value *v, struct wire_out *o, struct arena *a,
                       struct problem *why) {
    if (!plan_posted_is(v))
        return plan_one(asked, v, o, a, why);
    if (!may_begin(why))
        return false;
    const bool ok = plan_one(asked, v, o, a, why);
    atomic_fetch_sub(&long_requests, 1);
    return ok;
}

/* Known before anything is planned: a request answers within seconds, or within the time it gives, or not at all. */
static bool list_check(struct asked *asked, const struct wire_value *list, bool *is_long, struct problem *why) {
    struct plan_host *host = host_for(asked);
    uint64_t layers = 0;
    double seconds = 0;
    for (size_t i = 0; i < wire_length(list); i++) {
        struct wire_value v = wire_at(list, i);
        struct plan_query q;
        struct problem its_own = {0};
        struct arena scratch;
        arena_init(&scratch, 0);
        *is_long |= plan_posted_is(&v);
        seconds += plan_posted_seconds(&v);
        layers += !plan_posted_is(&v) && plan_query_read(&v, PLAN_FORM_PLAN, host, &scratch, &q, &its_own)
                      ? model_graph_layers(&q.w.workload.model)
                      : 0;
        arena_free(&scratch);
    }
    *is_long |= layers > LONG_LAYERS;
    if (seconds > PLAN_POSTED_SECONDS_AT_ONCE)
        return wire_fail(list, why, PROBLEM_LIMIT,
                         "have time limits of %g s together; the most is %d: send fewer at once, or give each less",
                         seconds, PLAN_POSTED_SECONDS_AT_ONCE);
    return layers <= QUERIES_LAYERS_MAX ||
           wire_fail(list, why, PROBLEM_LIMIT,
                     "have models of %llu layers together; the most is %u: send fewer at once",
                     (unsigned long long)layers, QUERIES_LAYERS_MAX);
}

/* One of several, as if it had been asked alone; but a list in a list is none. */
static const char *plan_element(struct asked *asked, const struct wire_value *v, struct arena *a, struct problem *why) {
    struct wire_out one;
    size_t bytes;
    struct wire_value list;
    struct plan_cache *cache = wire_get(v, "queries", &list) ? NULL : asked->cache;
    const char *text = cache ? wire_json(v, a, why) : "";
    if (!text)
        return NULL;
    const struct plan_name name = {asked->question, false, text, strlen(text)};
    const struct plan_answer *known = plan_cache_find(cache, &name);
    if (known) {
        text = arena_copy(a, known->body, known->bytes + 1, why);
        plan_answer_release(known);
        return text;
    }
    const bool before = asked->partial;
    asked->partial = false;
    plan_bounds_again(&asked->bounds);
    wire_out_init(&one, a, why);
    text = plan_one(asked, v, &one, a, why) ? wire_text(&one, &bytes) : NULL;
    if (text && cache && !asked->partial) {
        struct plan_answer *answer = plan_answer_new(text, bytes);
        plan_cache_add(cache, &name, answer);
        plan_answer_release(answer);
    }
    asked->partial |= before;
    return text;
}

/* Each is a plan, or the problem it would have alone (with its own pointer and status). */
static bool plan_each(struct asked *asked, const struct wire_value *list, struct wire_out *o, struct arena *a,
                      struct problem *why) {
    wire_open(o, NULL, '{');
    wire_open(o, "plans", '[');
    for (size_t i = 0; i < wire_length(list); i++) {
        struct wire_value v = wire_at(list, i);
        struct problem own = {0};
        size_t bytes;
        const char *text = plan_element(asked, &v, a, &own);
        if (!text && own.kind == PROBLEM_BUSY) { /* the daemon stops */
            *why = own;
            return false;
        }
        if (!text) {
            asked->partial = true;
            text = route_problem_body(&own, 0, a, &bytes);
        }
        if (!text)
            return problem_set(why, PROBLEM_MEMORY, "", "no memory to write the answer");
        wire_put_json(o, NULL, text);
    }
    wire_close(o, ']');
    wire_close(o, '}');
    return true;
}

static bool plan_several(struct asked *asked, const struct wire_value *list, struct wire_out *o, struct arena *a,
                         struct problem *why) {
    bool is_long = false;
    if (!wire_array(list, 1, QUERIES_MAX, why) || !list_check(asked, list, &is_long, why))
        return false;
    if (!is_long)
        return plan_each(asked, list, o, a, why);
    if (!may_begin(why))
        return false;
    const bool ok = plan_each(asked, list, o, a, why);
    atomic_fetch_sub(&long_requests, 1);
    return ok;
}

static bool plans_answer(struct asked *asked, const struct wire_value *v, struct wire_out *o, struct problem *why) {
    static const char *const just_queries[] = {"queries", NULL};
    struct arena *a = asked->request->arena;
    struct wire_value list;
    if (wire_type(v) == WIRE_OBJECT && wire_get(v, "queries", &list))
        return wire_object(v, just_queries, why) && plan_several(asked, &list, o, a, why);
    return plan_alone(asked, v, o, a, why);
}

static bool capacity_answer(struct asked *asked, const struct wire_value *v, struct wire_out *o, struct problem *why) {
    struct plan_host *host = host_for(asked);
    struct plan_query q;
    if (!plan_query_read(v, PLAN_FORM_CAPACITY, host, asked->request->arena, &q, why))
        return false;
    asked->partial |= host->asked;
    q.bounds = &asked->bounds.arena;
    return plan_query_capacity(&q, o, why);
}

static bool frontier_posted(struct asked *asked, const struct wire_value *v, struct wire_out *o, struct problem *why) {
    struct plan_posted q;
    struct plan_posted_watch watch = watch_for(asked);
    if (!plan_posted_read(v, PLAN_POSTED_FRONTIER, NULL, asked->request->arena, &q, why) || !may_begin(why))
        return false;
    q.bounds = &asked->bounds.arena;
    const bool ok = plan_posted_frontier(&q, &watch, o, why) || wire_nest(v, why);
    atomic_fetch_sub(&long_requests, 1);
    asked->partial |= watch.cut;
    return ok;
}

static bool frontier_answer(struct asked *asked, const struct wire_value *v, struct wire_out *o, struct problem *why) {
    struct arena *a = asked->request->arena;
    struct plan_query q;
    if (plan_posted_is(v))
        return frontier_posted(asked, v, o, why);
    struct plan_host *host = host_for(asked);
    if (!plan_query_frontier_read(v, host, a, &q, why))
        return false;
    asked->partial |= host->asked;
    q.bounds = &asked->bounds.arena;
    return plan_query_frontier(&q, a, o, why) || wire_nest(v, why);
}

typedef bool answer_function(struct asked *, const struct wire_value *, struct wire_out *, struct problem *);
static answer_function *const answers[] = {[PLAN_QUESTION_PLANS] = plans_answer,
                                           [PLAN_QUESTION_CAPACITY] = capacity_answer,
                                           [PLAN_QUESTION_FRONTIER] = frontier_answer};

static const enum metrics_time times[] = {[PLAN_QUESTION_PLANS] = METRICS_PLAN_PLANS,
                                          [PLAN_QUESTION_CAPACITY] = METRICS_PLAN_CAPACITY,
                                          [PLAN_QUESTION_FRONTIER] = METRICS_PLAN_FRONTIER};

/* ---- what is sent ---- */

/* tag: the answer's own fingerprint; it changes when the answer does. timing: how long it took is no part of it. */
static bool reply(struct asked *asked, const char *body, size_t bytes, const char *tag, const char *timing) {
    struct response *response = asked->response;
    const char *known = asked->tagged ? request_header(asked->request, "If-None-Match") : NULL;
    response->body = body;
    response->body_bytes = bytes;
    if (asked->tagged &&
        (!response_header(response, "ETag", tag) || !response_header(response, "Cache-Control", "no-cache")))
        return false;
    if (known && (strstr(known, tag) || strcmp(known, "*") == 0)) {
        response->status = 304;
        response->body = NULL;
        response->body_bytes = 0;
    }
    return timing && response_header(response, "Server-Timing", timing);
}

static void release(const void *answer) {
    plan_answer_release(answer);
}

/* The answer stays held until it is sent. */
static bool send_known(struct asked *asked, const struct plan_answer *answer) {
    asked->request->kept = answer;
    asked->request->release = release;
    return reply(asked, answer->body, answer->bytes, answer->tag, "cache;desc=hit");
}

static bool send_new(struct asked *asked, const char *body, size_t bytes, struct problem *why) {
    char tag[PLAN_TAG_SIZE];
    plan_answer_tag(tag, body, bytes);
    const char *kept_tag = asked->tagged ? arena_copy(asked->request->arena, tag, sizeof tag, why) : "";
    const char *timing =
        arena_printf(asked->request->arena, why, "plan;dur=%.3f", (double)plan_bounds_ns(&asked->bounds) * 1e-6);
    return kept_tag && reply(asked, body, bytes, kept_tag, timing);
}

/* ---- known, or worked out ---- */

static bool document_answered(struct asked *asked, const struct wire_document *d, struct problem *why) {
    struct arena *a = asked->request->arena;
    const struct wire_value root = wire_root(d);
    struct plan_name canonical = {.question = asked->question};
    struct wire_out o;
    size_t bytes;
    if (asked->cache) {
        if (!(canonical.text = wire_canonical(d, a, why)))
            return false;
        canonical.bytes = strlen(canonical.text);
        const struct plan_answer *known = plan_cache_find(asked->cache, &canonical);
        if (known) {
            plan_cache_add(asked->cache, &asked->name, known);
            return send_known(asked, known);
        }
    }
    wire_out_init(&o, a, why);
    const char *text = answers[asked->question](asked, &root, &o, why) ? wire_text(&o, &bytes) : NULL;
    metrics_observe(times[asked->question], plan_bounds_ns(&asked->bounds));
    if (!text)
        return plan_bounds_tell(&asked->bounds, a, &root, why);
    if (asked->cache && !asked->partial) {
        struct plan_answer *answer = plan_answer_new(text, bytes);
        plan_cache_add(asked->cache, &canonical, answer);
        plan_cache_add(asked->cache, &asked->name, answer);
        plan_answer_release(answer);
    }
    return send_new(asked, text, bytes, why);
}

static bool text_answered(struct asked *asked, const char *text, size_t bytes, struct problem *why) {
    plan_bounds_begin(&asked->bounds, asked->request->service);
    struct wire_document *d = wire_parse(text, bytes, why);
    bool ok = d && document_answered(asked, d, why);
    wire_document_free(d);
    return ok;
}

static struct asked asked_for(enum plan_question question, struct request *request, struct response *response) {
    const struct service *service = request->service;
    return (struct asked){.request = request,
                          .response = response,
                          .cache = service ? service->plans : NULL,
                          .host = {.store = service ? service->store : NULL,
                                   .memory_bytes = service ? service->memory_limit_bytes : 0,
                                   .arena = request->arena},
                          .question = question,
                          .name = {.question = question, .text = request->body, .bytes = request->body_bytes}};
}

static bool post(enum plan_question question, struct request *request, struct response *response, struct problem *why) {
    struct asked asked = asked_for(question, request, response);
    const struct plan_answer *known = plan_cache_find(asked.cache, &asked.name);
    return known ? send_known(&asked, known) : text_answered(&asked, request->body, request->body_bytes, why);
}

static bool plans_post(struct request *request, struct response *response, struct problem *why) {
    return post(PLAN_QUESTION_PLANS, request, response, why);
}

static bool capacity_post(struct request *request, struct response *response, struct problem *why) {
    return post(PLAN_QUESTION_CAPACITY, request, response, why);
}

static bool frontier_post(struct request *request, struct response *response, struct problem *why) {
    return post(PLAN_QUESTION_FRONTIER, request, response, why);
}

/* ---- GET ---- */

enum place { WORKLOAD, STRATEGY, TOP, LIST };

static const struct parameter {
    const char *name;
    enum place place;
    bool number;
} parameters[] = {
    {"model", WORKLOAD, false},
    {"seq_len", WORKLOAD, true},
    {"source_len", WORKLOAD, true},
    {"batch", WORKLOAD, true},
    {"dtype", WORKLOAD, false},
    {"attention", WORKLOAD, false},
    {"dropout", WORKLOAD, true},
    {"optimizer", WORKLOAD, false},
    {"framework", WORKLOAD, false},
    {"strategy", STRATEGY, false},
    {"n", STRATEGY, true},
    {"k", STRATEGY, true},
    {"segments", STRATEGY, true},
    {"device", TOP, false},
    {"budget_bytes", TOP, true},
    {"find", TOP, false},
    {"max_points", TOP, true},
    {"include", LIST, false},
    {"gradient_accumulation", WORKLOAD, true},
    {"loss_chunk", STRATEGY, true},
};
#define PARAMETERS (sizeof parameters / sizeof parameters[0])

/* A JSON number as it is; anything else stays a string, which the reader refuses where a number belongs. */
static bool is_number(const char *text) {
    size_t whole = strspn(text, "0123456789");
    if (whole == 0 || whole > 18 || (text[0] == '0' && whole > 1))
        return false;
    const char *end = text + whole;
    if (*end == '.') {
        size_t part = strspn(end + 1, "0123456789");
        if (part == 0 || part > 32)
            return false;
        end += 1 + part;
    }
    if (*end == 'e' || *end == 'E') {
        end += 1 + (end[1] == '-' || end[1] == '+');
        size_t power = strspn(end, "0123456789");
        if (power == 0 || power > 2)
            return false;
        end += power;
    }
    return *end == '\0';
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
        values[p] = value;
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

/* "/workload/seq_len" is the parameter seq_len, "/strategy/name" is strategy; a workload as a whole is its model's. */
static bool parameter_problem(struct problem *why) {
    static const char *const places[] = {"/workload", "/strategy"};
    if (strcmp(why->where, "/strategy/name") == 0)
        why->where[9] = '\0';
    if (strcmp(why->where, "/workload") == 0)
        strcpy(why->where, "/model");
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        size_t n = strlen(places[i]);
        if (strncmp(why->where, places[i], n) == 0 && why->where[n] == '/')
            memmove(why->where, why->where + n, strlen(why->where + n) + 1);
    }
    return false;
}

static bool get(enum plan_question question, struct request *request, struct response *response, struct problem *why) {
    struct asked asked = asked_for(question, request, response);
    const char *values[PARAMETERS] = {0};
    size_t bytes;
    asked.tagged = true;
    asked.name = (struct plan_name){question, true, request->raw_query, strlen(request->raw_query)};
    const struct plan_answer *known = plan_cache_find(asked.cache, &asked.name);
    if (known)
        return send_known(&asked, known);
    if (!query_read(request, values, why))
        return false;
    const char *text = query_text(values, request->arena, &bytes, why);
    if (!text || !text_answered(&asked, text, bytes, why))
        return parameter_problem(why);
    return true;
}

static bool plans_get(struct request *request, struct response *response, struct problem *why) {
    return get(PLAN_QUESTION_PLANS, request, response, why);
}

static bool capacity_get(struct request *request, struct response *response, struct problem *why) {
    return get(PLAN_QUESTION_CAPACITY, request, response, why);
}

/* ---- what takes long ---- */

static bool has_word(const char *text, size_t bytes, const char *word) {
    return memmem(text, bytes, word, strlen(word)) != NULL;
}

/* What makes more of a question than one plan of a preset that is not deep, with a strategy that says what to
 * recompute: any of these words in it, or an escape, behind which one may hide. Some that have them are short; none
 * without is long. (The host is looked up in the store, which may be writing.) */
static bool words_are_long(const char *text, size_t bytes) {
    static const char *const words[] = {"hf_config", "family", "queries", "graph", "chain", "include", "any", "host"};
    if (bytes > SHORT_BYTES || memchr(text, '\\', bytes) || memchr(text, '%', bytes))
        return true;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (has_word(text, bytes, words[i]))
            return true;
    for (unsigned i = 0; i < planner_table_length; i++)
        if ((planner_table[i]->parameters & (STRATEGY_TAKES_BUDGET | STRATEGY_TAKES_TIME)) &&
            has_word(text, bytes, planner_table[i]->name))
            return true;
    for (unsigned i = 0; i < presets_table_length; i++)
        if (model_graph_layers(&presets_table[i].model) > SHORT_LAYERS && has_word(text, bytes, presets_table[i].name))
            return true;
    return false;
}

static bool is_long(enum plan_question question, const struct request *request) {
    const bool query = strcmp(request->method, "GET") == 0;
    const struct plan_name name = {.question = question,
                                   .query = query,
                                   .text = query ? request->raw_query : request->body,
                                   .bytes = query ? strlen(request->raw_query) : request->body_bytes};
    return (question != PLAN_QUESTION_PLANS || words_are_long(name.text, name.bytes)) &&
           !plan_cache_has(request->service->plans, &name);
}

static bool plans_long(const struct request *request) {
    return is_long(PLAN_QUESTION_PLANS, request);
}

static bool capacity_long(const struct request *request) {
    return is_long(PLAN_QUESTION_CAPACITY, request);
}

static bool frontier_long(const struct request *request) {
    return is_long(PLAN_QUESTION_FRONTIER, request);
}

const struct route api_plans_routes[] = {
    {"POST", "/v1/plans", BODY_JSON, plans_post, SCOPE_READ, ROUTE_PLANS, plans_long},
    {"GET", "/v1/plans", BODY_QUERY, plans_get, SCOPE_READ, ROUTE_PLANS, plans_long},
    {"POST", "/v1/capacity", BODY_JSON, capacity_post, SCOPE_READ, ROUTE_PLANS, capacity_long},
    {"GET", "/v1/capacity", BODY_QUERY, capacity_get, SCOPE_READ, ROUTE_PLANS, capacity_long},
    {"POST", "/v1/frontiers", BODY_JSON, frontier_post, SCOPE_READ, ROUTE_PLANS, frontier_long},
    {0},
};
