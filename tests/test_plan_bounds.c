/* test_plan_bounds.c - plans that are too large for the front are the request's affair (422), and a daemon that stops
 * waits for no long one (503). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/api.h"
#include "server/plan_bounds.h"

enum { PLANS_POST, PLANS_GET, CAPACITY_POST, CAPACITY_GET, FRONTIERS_POST };

#define XL     "\"workload\":{\"model\":\"gpt2-xl\",\"seq_len\":1024,\"batch\":4}"
#define BUDGET "\"strategy\":\"optimal\",\"budget_bytes\":26000000000"

static bool stops;
static bool draining(void) {
    return stops;
}

struct answer {
    struct arena arena;
    struct response response;
    struct problem why;
    bool ok;
};

static void ask_route(struct answer *a, struct service *service, const struct route *route, const char *text) {
    const bool get = strcmp(route->method, "GET") == 0;
    struct request request = {.service = service,
                              .arena = &a->arena,
                              .method = get ? "GET" : "POST",
                              .raw_query = get ? text : "",
                              .body = get ? "" : text,
                              .body_bytes = get ? 0 : strlen(text)};
    *a = (struct answer){.response = {.fd = -1}};
    arena_init(&a->arena, 0);
    cr_assert(route_query_parse(request.raw_query, &a->arena, &request.query, &request.n_query, &a->why));
    a->ok = route->handle(&request, &a->response, &a->why);
}

static void ask(struct answer *a, struct service *service, unsigned route, const char *text) {
    ask_route(a, service, &api_plans_routes[route], text);
}

Test(plan_bounds, what_no_wait_helps_is_the_requests_affair) {
    static const struct {
        unsigned route;
        const char *text, *where; /* NULL: it is answered */
    } rows[] = {
        {PLANS_POST, "{\"workload\":{\"model\":\"gpt2\",\"seq_len\":64}}", NULL},
        {PLANS_POST, "{" XL "," BUDGET "}", "/workload"},
        {FRONTIERS_POST, "{" XL "}", "/workload"},
        {CAPACITY_POST, "{" XL "," BUDGET ",\"find\":\"batch\"}", "/workload"},
        {PLANS_GET, "model=gpt2-xl&seq_len=1024&batch=4&strategy=optimal&budget_bytes=26000000000", "/model"},
    };
    struct service service = {.planning_bytes = (uint64_t)3 << 19};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a;
        ask(&a, &service, rows[i].route, rows[i].text);
        cr_expect_eq(a.ok, !rows[i].where, "%s: %s", rows[i].text, a.why.detail);
        cr_expect_str_eq(a.why.where, rows[i].where ? rows[i].where : "", "%s", rows[i].text);
        cr_expect(a.ok || (a.why.kind == PROBLEM_LIMIT && strstr(a.why.detail, "1 MiB")), "%s: %s %s", rows[i].text,
                  problem_slug(a.why.kind), a.why.detail);
        arena_free(&a.arena);
    }
}

#define JOB(MODEL) "{\"kind\":\"training_step\",\"workload\":{\"model\":\"" MODEL "\",\"seq_len\":1024}}"

/* What is planned to be queued, or to be read. */
Test(plan_bounds, jobs_have_them_too) {
    static const struct {
        const struct route *route;
        const char *text, *where;
    } rows[] = {
        {api_explain_routes, JOB("gpt2-xl"), "/workload"},
        {api_job_routes, JOB("gpt2-xl"), "/workload"},
        {api_explain_routes,
         "{\"kind\":\"sequential\",\"inputs\":[{\"shape\":[1,8,8],\"random\":{\"seed\":1}}],\"functions\":[{\"name\":"
         "\"layer\",\"repeat\":500,\"functions\":[{\"name\":\"ffn\",\"hidden\":8,\"activation\":\"gelu\",\"seed\":1}]}]"
         "}",
         "/functions"},
    };
    struct service service = {
        .planning_bytes = (uint64_t)1 << 17, .memory_limit_bytes = (uint64_t)1 << 40, .threads = 1};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a;
        ask_route(&a, &service, rows[i].route, rows[i].text);
        cr_expect(!a.ok && a.why.kind == PROBLEM_LIMIT, "%s: %s", rows[i].text, a.why.detail);
        cr_expect_str_eq(a.why.where, rows[i].where);
        arena_free(&a.arena);
    }
}

/* A search tries what is too large to be planned: it does not fit then. */
Test(plan_bounds, searches_end_where_planning_ends) {
    struct service service = {.planning_bytes = (uint64_t)1 << 20};
    struct answer a;
    ask(&a, &service, CAPACITY_POST,
        "{\"workload\":{\"model\":{\"family\":\"decoder\",\"layers\":1,\"d_model\":64,\"heads\":2,\"vocab\":64},"
        "\"seq_len\":64},\"budget_bytes\":1000000000000,\"find\":\"layers\"}");
    cr_assert(a.ok, "%s", a.why.detail);
    cr_expect(strstr(a.response.body, "\"limited_by\":\"planning\""), "%s", (const char *)a.response.body);
    cr_expect(strstr(a.response.body, "\"shortfall_bytes\":null"));
    cr_expect(strstr(a.response.body, "\"feasible\":true") || strstr(a.response.body, "\"plan\":null"));
    cr_expect_null(strstr(a.response.body, "\"value\":0"));
    arena_free(&a.arena);
}

Test(plan_bounds, one_of_several_is_refused_alone) {
    struct service service = {.planning_bytes = (uint64_t)3 << 19};
    struct answer a;
    ask(&a, &service, PLANS_POST,
        "{\"queries\":[{" XL "," BUDGET "},{\"workload\":{\"model\":\"gpt2\",\"seq_len\":64}}]}");
    cr_assert(a.ok, "%s", a.why.detail);
    cr_expect(strstr(a.response.body, "\"status\":422"));
    cr_expect(strstr(a.response.body, "\"pointer\":\"/queries/0/workload\""));
    cr_expect(strstr(a.response.body, "\"feasible\":true"));
    arena_free(&a.arena);
}

/* The bounds are of what is held at once: what a request gave back it may take again. */
Test(plan_bounds, arenas_share_them) {
    struct arena_bounds bounds = {.limit_bytes = 100 << 10};
    struct arena first, second;
    struct problem why = {0};
    arena_init_within(&first, 0, &bounds);
    arena_init_within(&second, 0, &bounds);
    cr_expect(arena_take(&first, 60 << 10, 1, &why));
    cr_expect(arena_take(&second, 30 << 10, 1, &why));
    cr_expect_not(bounds.past);
    cr_expect_null(arena_take(&second, 30 << 10, 1, &why));
    cr_expect(bounds.past && second.past && why.kind == PROBLEM_MEMORY);
    arena_free(&first);
    why = (struct problem){0};
    cr_expect(arena_take(&second, 30 << 10, 1, &why));
    arena_free(&second);
    cr_expect_eq(bounds.held_bytes, 0);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

Test(plan_bounds, a_daemon_that_stops_waits_for_no_long_plan) {
    struct service service = {.draining = draining, .memory_limit_bytes = (uint64_t)1 << 50};
    struct answer a;
    stops = true;
    ask(&a, &service, PLANS_POST, "{\"workload\":{\"model\":\"gpt2\",\"seq_len\":64}}");
    cr_expect(a.ok, "what is soon done is waited for: %s", a.why.detail);
    arena_free(&a.arena);
    const double begun = now();
    ask(&a, &service, FRONTIERS_POST,
        "{\"workload\":{\"model\":\"llama-3.1-405b\",\"seq_len\":8192,\"dtype\":\"bfloat16\",\"attention\":\"flash\"}"
        "}");
    cr_expect_not(a.ok);
    cr_expect_eq(a.why.kind, PROBLEM_BUSY, "%s: %s", problem_slug(a.why.kind), a.why.detail);
    cr_expect_eq(route_problem_status(a.why.kind), 503);
    cr_expect_lt(now() - begun, 4);
    arena_free(&a.arena);
    const double then = now();
    ask_route(
        &a, &service, api_job_routes,
        "{\"kind\":\"training_step\",\"strategy\":{\"name\":\"optimal\",\"budget_bytes\":6700000000000},\"workload\":{"
        "\"model\":\"llama-3.1-405b\",\"seq_len\":8192,\"attention\":\"flash\"}}");
    cr_expect(!a.ok && a.why.kind == PROBLEM_BUSY, "a job: %s", a.why.detail);
    cr_expect_lt(now() - then, 4);
    arena_free(&a.arena);
}
