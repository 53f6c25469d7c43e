/* test_route.c - addresses decoded and found, problems as documents. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "server/route.h"

static struct arena arena;
static struct problem why;

static void start(void) {
    arena_init(&arena, 0);
    why = (struct problem){0};
}

static void stop(void) {
    arena_free(&arena);
}

static bool none(struct request *request, struct response *response, struct problem *problem) {
    (void)request, (void)response, (void)problem;
    return true;
}

static const struct route first[] = {
    {"GET", "/v1/jobs", BODY_NONE, none, SCOPE_READ},
    {"POST", "/v1/jobs", BODY_JSON, none, SCOPE_SUBMIT},
    {"GET", "/v1/jobs/{id}", BODY_NONE, none, SCOPE_READ},
    {"GET", "/v1/jobs/{id}/tensors/{name}", BODY_NONE, none, SCOPE_READ},
    {0},
};
static const struct route second[] = {{"DELETE", "/v1/jobs/{id}", BODY_NONE, none, SCOPE_SUBMIT}, {0}};
static const struct route *const tables[] = {first, second, NULL};

Test(route, finds, .init = start, .fini = stop) {
    static const struct {
        const char *method, *path;
        const struct route *row;
        const char *args[2], *allow;
    } rows[] = {
        {"GET", "/v1/jobs", &first[0], {NULL}, NULL},
        {"POST", "/v1/jobs", &first[1], {NULL}, NULL},
        {"GET", "/v1/jobs/a b", &first[2], {"a b"}, NULL},
        {"DELETE", "/v1/jobs/x", &second[0], {"x"}, NULL},
        {"GET", "/v1/jobs/x/tensors/y", &first[3], {"x", "y"}, NULL},
        {"PUT", "/v1/jobs/x", NULL, {NULL}, "GET, HEAD, DELETE"},
        {"DELETE", "/v1/jobs", NULL, {NULL}, "GET, HEAD, POST"},
        {"GET", "/v1/jobs/", NULL, {NULL}, NULL},
        {"GET", "/v1/job", NULL, {NULL}, NULL},
        {"GET", "/v1/jobs/x/tensors/", NULL, {NULL}, NULL},
        {"GET", "/v1/jobs/x/tensors/y/z", NULL, {NULL}, NULL},
        {"GET", "", NULL, {NULL}, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *args[ROUTE_ARGS] = {NULL}, *allow;
        why = (struct problem){0};
        const struct route *row = route_find(tables, rows[i].method, rows[i].path, args, &allow, &arena, &why);
        cr_expect_eq(row, rows[i].row, "%s %s", rows[i].method, rows[i].path);
        for (int k = 0; k < 2 && row; k++)
            cr_expect(rows[i].args[k] ? strcmp(args[k], rows[i].args[k]) == 0 : args[k] == NULL, "%s", rows[i].path);
        cr_expect(rows[i].allow ? allow && strcmp(allow, rows[i].allow) == 0 : !allow, "%s", rows[i].path);
        cr_expect_eq(why.kind, row ? PROBLEM_NONE : allow ? PROBLEM_STATE : PROBLEM_NOT_FOUND);
    }
}

Test(route, decodes, .init = start, .fini = stop) {
    static const struct {
        const char *raw, *plain;
    } rows[] = {{"", ""},     {"a+b", "a b"}, {"%41%7a", "Az"}, {"%25%2B", "%+"}, {"%e2%82%AC", "\u20ac"}, {"%", NULL},
                {"%4", NULL}, {"a%4", NULL},  {"%4g", NULL},    {"%00", NULL},    {"%%41", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        why = (struct problem){0};
        const char *plain = route_decode(rows[i].raw, strlen(rows[i].raw), true, &arena, &why);
        cr_expect(rows[i].plain ? plain && strcmp(plain, rows[i].plain) == 0 : !plain && why.kind == PROBLEM_MALFORMED,
                  "%s", rows[i].raw);
    }
    why = (struct problem){0};
    cr_expect_str_eq(route_decode("a+b", 3, false, &arena, &why), "a+b");
    cr_expect_null(route_decode("%41", 2, false, &arena, &why)); /* not past the end it is given */
}

Test(route, queries, .init = start, .fini = stop) {
    struct request request = {0};
    const char *name, *value;
    cr_assert(route_query_parse("a=1&&b=x%3Dy=z&c&a=2&=5&d=", &arena, &request.query, &request.n_query, &why));
    cr_expect_eq(request_query_count(&request), 6);
    cr_expect_str_eq(request_query(&request, "a"), "1");
    cr_expect_str_eq(request_query(&request, "b"), "x=y=z");
    cr_expect_str_eq(request_query(&request, "c"), "");
    cr_expect_str_eq(request_query(&request, "d"), "");
    cr_expect_null(request_query(&request, "e"));
    request_query_at(&request, 4, &name, &value);
    cr_expect(strcmp(name, "") == 0 && strcmp(value, "5") == 0);
    char many[400] = "";
    for (int i = 0; i < 65; i++)
        strcat(many, "a=b&");
    cr_expect_not(route_query_parse(many, &arena, &request.query, &request.n_query, &why));
    cr_expect_eq(why.kind, PROBLEM_MALFORMED);
}

Test(route, parameters_are_there_once_or_repeat, .init = start, .fini = stop) {
    static const struct route none = {.body = BODY_NONE}, once = {.body = BODY_QUERY},
                              some = {.body = BODY_QUERY, .repeats = "job label"};
    static const struct {
        const struct route *route;
        const char *query, *where; /* NULL: it is taken */
    } rows[] = {{&none, "", NULL},
                {&none, "a=1", "/a"},
                {&once, "a=1&b=1&c=1", NULL},
                {&once, "a=1&b=2&a=1", "/a"},
                {&once, "a&%61", "/a"},
                {&once, "label=1&label=1", "/label"},
                {&once, "x/y~=1&x/y~=2", "/x~1y~0"},
                {&some, "label=1&job=1&label=1&job=2", NULL},
                {&some, "label=1&label=1&state=1&state=1", "/state"},
                {&some, "la=1&la=1", "/la"},
                {&some, "=1&=1", "/"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct request request = {0};
        why = (struct problem){0};
        cr_assert(route_query_parse(rows[i].query, &arena, &request.query, &request.n_query, &why));
        bool taken = route_parameters_check(rows[i].route, &request, &why);
        cr_expect_eq(taken, !rows[i].where, "%s", rows[i].query);
        cr_expect_str_eq(why.where, rows[i].where ? rows[i].where : "", "%s", rows[i].query);
    }
}

Test(route, headers, .init = start, .fini = stop) {
    struct route_pair pairs[] = {{"Prefer", "wait=1"}, {"prefer", "second"}};
    struct request request = {.headers = pairs, .n_headers = 2};
    struct response response = {0};
    cr_expect_str_eq(request_header(&request, "PREFER"), "wait=1");
    cr_expect_null(request_header(&request, "Pref"));
    for (int i = 0; i < ROUTE_RESPONSE_HEADERS; i++)
        cr_expect(response_header(&response, "A", "b"));
    cr_expect_not(response_header(&response, "A", "b"));
}

/* Every kind has a status, a slug and a title, and its document says all three. */
Test(route, every_problem_is_a_document, .init = start, .fini = stop) {
    for (unsigned kind = PROBLEM_NONE + 1; kind < PROBLEM_KINDS; kind++) {
        struct problem problem = {0};
        char expected[64];
        size_t bytes;
        problem_set(&problem, (enum problem_kind)kind, "/a~1b", "a \"quoted\" detail");
        const char *body = route_problem_body(&problem, 0, &arena, &bytes);
        cr_assert_not_null(body);
        cr_expect_eq(strlen(body), bytes);
        snprintf(expected, sizeof expected, "\"type\":\"/problems/%s\"", problem_slug((enum problem_kind)kind));
        cr_expect(strstr(body, expected), "%s", body);
        snprintf(expected, sizeof expected, "\"status\":%u,", route_problem_status((enum problem_kind)kind));
        cr_expect(strstr(body, expected), "%s", body);
        cr_expect(strstr(body, "\"detail\":\"a \\\"quoted\\\" detail\",\"pointer\":\"/a~1b\"}"), "%s", body);
        cr_expect(route_problem_status((enum problem_kind)kind) >= 400);
    }
}

Test(route, texts_become_json, .init = start, .fini = stop) {
    static const struct {
        const char *text, *json;
        bool utf8;
    } rows[] = {{"", "\"\"", true},
                {"a\\\"\n\x7f", "\"a\\\\\\\"\\u000a\\u007f\"", true},
                {"\u20ac\U0001f600", "\"\u20ac\U0001f600\"", true},
                {"\xff", "\"\\ufffd\"", false},
                {"\xc0\x80", "\"\\ufffd\\ufffd\"", false},
                {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"", false},
                {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"", false},
                {"\xe2\x82", "\"\\ufffd\\ufffd\"", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect_str_eq(route_json_text(rows[i].text, &arena), rows[i].json);
        cr_expect_eq(route_text_is_utf8(rows[i].text), rows[i].utf8, "row %zu", i);
    }
}

/* Fails take 0, 1, 2, ... in turn: a problem each time, until nothing fails. */
Test(route, out_of_memory) {
    bool good = false;
    for (uint64_t fail = 0; !good; fail++) {
        const char *args[ROUTE_ARGS], *allow;
        struct request request;
        cr_assert_lt(fail, 50);
        start();
        arena.fail_at = fail;
        const char *path = route_decode("/v1/jobs/%41/tensors/b", 22, false, &arena, &why);
        good = path && route_query_parse("a=1&b=2", &arena, &request.query, &request.n_query, &why) &&
               route_find(tables, "GET", path, args, &allow, &arena, &why) != NULL;
        cr_expect_eq(why.kind, good ? PROBLEM_NONE : PROBLEM_MEMORY);
        stop();
    }
}
