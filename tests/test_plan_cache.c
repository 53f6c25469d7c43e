/* test_plan_cache.c - the cache of planning answers, alone and behind its routes: what is found is what was answered,
 * names are compared whole, bytes stay bounded, threads do not mix. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api.h"
#include "server/plan_cache.h"
#include "server/plan_query.h"

enum { PLANS_POST, PLANS_GET, CAPACITY_POST, CAPACITY_GET, FRONTIERS_POST };

/* ---- the cache alone ---- */

static struct plan_cache *cache_new(uint64_t bytes) {
    struct problem why = {0};
    struct plan_cache *cache = plan_cache_new(bytes, &why);
    cr_assert(cache, "%s", why.detail);
    return cache;
}

static struct plan_name name_of(enum plan_question question, bool query, const char *text) {
    return (struct plan_name){question, query, text, strlen(text)};
}

static void put(struct plan_cache *cache, struct plan_name name, const char *body, size_t bytes) {
    struct plan_answer *answer = plan_answer_new(body, bytes);
    plan_cache_add(cache, &name, answer);
    plan_answer_release(answer);
}

static bool has(struct plan_cache *cache, struct plan_name name, const char *body) {
    const struct plan_answer *found = plan_cache_find(cache, &name);
    bool same = found && found->bytes == strlen(body) && memcmp(found->body, body, found->bytes + 1) == 0;
    cr_expect(!found || same, "%s gives %s", name.text, found ? found->body : "");
    plan_answer_release(found);
    return same;
}

Test(plan_cache, a_name_is_its_question_its_form_and_every_byte) {
    struct plan_cache *cache = cache_new(1 << 20);
    static const char *const texts[] = {"", "a", "b", "ab", "a=1&b=2", "a=1&b=3", "A=1&b=2"};
    enum { TEXTS = sizeof texts / sizeof texts[0] };
    char body[64];
    for (int pass = 0; pass < 2; pass++)
        for (unsigned question = 0; question < 3; question++)
            for (int query = 0; query < 2; query++)
                for (unsigned i = 0; i < TEXTS; i++) {
                    struct plan_name name = name_of((enum plan_question)question, query, texts[i]);
                    snprintf(body, sizeof body, "%u %d %s", question, query, texts[i]);
                    cr_expect_eq(has(cache, name, body), pass == 1, "%s", body);
                    if (pass == 0)
                        put(cache, name, body, strlen(body));
                }
    struct plan_cache_figures f = plan_cache_figures(cache);
    cr_expect_eq(f.names, 6 * TEXTS);
    cr_expect_eq(f.finds, 12 * TEXTS);
    cr_expect_eq(f.hits, 6 * TEXTS);
    plan_cache_free(cache);
}

Test(plan_cache, bytes_are_bounded_and_the_longest_unused_goes_first) {
    enum { LIMIT = 100000, BODY = 3000 };
    struct plan_cache *cache = cache_new(LIMIT);
    static char body[LIMIT];
    char text[32];
    memset(body, 'x', sizeof body);
    struct plan_name first = name_of(PLAN_QUESTION_PLANS, false, "first"),
                     huge = name_of(PLAN_QUESTION_PLANS, false, "huge");
    put(cache, first, body, BODY);
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "%d", i);
        put(cache, name_of(PLAN_QUESTION_PLANS, false, text), body, BODY);
        struct plan_cache_figures f = plan_cache_figures(cache);
        cr_assert_leq(f.bytes, LIMIT);
        cr_assert_leq(f.names * BODY, LIMIT);
        const struct plan_answer *used = plan_cache_find(cache, &first);
        cr_assert(used, "what is used stays: %d", i);
        plan_answer_release(used);
    }
    unsigned there = 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "%d", i);
        struct plan_name name = name_of(PLAN_QUESTION_PLANS, false, text);
        const struct plan_answer *found = plan_cache_find(cache, &name);
        cr_expect(!found == !(i >= 1000 - (int)plan_cache_figures(cache).names + 1), "%d", i);
        there += found != NULL;
        plan_answer_release(found);
    }
    cr_expect_geq((there + 1) * BODY, LIMIT * 8 / 10, "%u are kept", there);
    put(cache, huge, body, LIMIT / PLAN_CACHE_SHARE);
    cr_expect_not(plan_cache_find(cache, &huge));
    cr_expect_eq(plan_cache_figures(cache).names, there + 1);
    plan_cache_free(cache);
}

/* Two names cost one answer; it goes with the last of them; who holds it goes on holding it. */
Test(plan_cache, an_answer_outlives_its_names_while_it_is_held) {
    struct plan_cache *cache = cache_new(64 << 10);
    static char body[4000];
    char text[32];
    memset(body, 'y', sizeof body);
    struct plan_answer *answer = plan_answer_new(body, sizeof body);
    struct plan_name one = name_of(PLAN_QUESTION_CAPACITY, true, "one"),
                     two = name_of(PLAN_QUESTION_CAPACITY, false, "two");
    plan_cache_add(cache, &one, answer);
    uint64_t with_one = plan_cache_figures(cache).bytes;
    plan_cache_add(cache, &two, answer);
    plan_cache_add(cache, &two, answer);
    cr_expect_lt(plan_cache_figures(cache).bytes, with_one + 200);
    const struct plan_answer *held = plan_cache_find(cache, &two);
    cr_expect_eq(held, answer);
    plan_answer_release(answer);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "%d", i);
        put(cache, name_of(PLAN_QUESTION_CAPACITY, false, text), body, sizeof body);
    }
    cr_expect_not(plan_cache_find(cache, &one));
    cr_expect_not(plan_cache_find(cache, &two));
    plan_cache_free(cache);
    cr_expect_eq(memcmp(held->body, body, sizeof body), 0);
    plan_answer_release(held);
}

Test(plan_cache, none_and_the_smallest_answer_nothing) {
    struct problem why = {0};
    struct plan_name name = name_of(PLAN_QUESTION_PLANS, false, "text");
    cr_expect_not(plan_cache_new(0, &why));
    cr_expect_eq(why.kind, PROBLEM_NONE);
    put(NULL, name, "body", 4);
    cr_expect_not(plan_cache_find(NULL, &name));
    cr_expect_eq(plan_cache_figures(NULL).finds, 0);
    plan_cache_free(NULL);
    struct plan_cache *cache = cache_new(1);
    put(cache, name, "body", 4);
    cr_expect_not(plan_cache_find(cache, &name));
    plan_cache_free(cache);
}

/* ---- behind its routes ---- */

struct got {
    char *body, tag[PLAN_TAG_SIZE], timing[64];
    size_t bytes;
    unsigned status;
    bool ok;
    struct problem why;
};

/* text: a body, or a raw query. */
static struct got ask(struct service *service, unsigned route, const char *text, const char *known_tag) {
    const bool get = route == PLANS_GET || route == CAPACITY_GET;
    const struct route_pair header = {"If-None-Match", known_tag};
    struct got g = {0};
    struct arena arena;
    struct response response = {.fd = -1};
    struct request request = {.service = service,
                              .arena = &arena,
                              .body = get ? "" : text,
                              .body_bytes = get ? 0 : strlen(text),
                              .raw_query = get ? text : "",
                              .headers = &header,
                              .n_headers = known_tag != NULL};
    arena_init(&arena, 0);
    cr_assert(route_query_parse(request.raw_query, &arena, &request.query, &request.n_query, &g.why));
    g.ok = api_plans_routes[route].handle(&request, &response, &g.why);
    g.status = response.status;
    g.bytes = response.body_bytes;
    g.body = malloc(g.bytes + 1);
    if (g.bytes)
        memcpy(g.body, response.body, g.bytes);
    for (unsigned i = 0; i < response.n_headers; i++) {
        bool tag = strcmp(response.headers[i].name, "ETag") == 0;
        if (tag || strcmp(response.headers[i].name, "Server-Timing") == 0)
            snprintf(tag ? g.tag : g.timing, tag ? sizeof g.tag : sizeof g.timing, "%s", response.headers[i].value);
    }
    if (request.release)
        request.release(request.kept);
    arena_free(&arena);
    return g;
}

static bool hit(const struct got *g) {
    cr_expect(strcmp(g->timing, "cache;desc=hit") == 0 || strncmp(g->timing, "plan;dur=", 9) == 0, "%s", g->timing);
    return g->timing[0] == 'c';
}

#define FIELDS "\"model\":\"gpt2\",\"seq_len\":64,\"batch\":2"

/* Rows of one question are the same request in other words. */
static const struct {
    unsigned question, route;
    const char *text;
} asked[] = {
    {0, PLANS_POST, "{\"workload\":{" FIELDS "},\"strategy\":{\"name\":\"every_n\",\"n\":2},\"include\":[\"layers\"]}"},
    {0, PLANS_POST,
     "{ \"include\" : [\"layers\"], \"strategy\":{\"n\":2,\"name\":\"every_\\u006e\"}, \"workload\" : {" FIELDS "} }"},
    {0, PLANS_GET, "model=gpt2&seq_len=64&batch=2&strategy=every_n&n=2&include=layers"},
    {0, PLANS_GET, "n=2&include=layers&model=gp%742&seq_len=64&batch=2&strategy=every_n"},
    {1, PLANS_POST, "{\"workload\":{" FIELDS "}}"},
    {1, PLANS_GET, "model=gpt2&seq_len=64&batch=2"},
    {2, CAPACITY_POST, "{\"workload\":{" FIELDS "},\"find\":\"batch\",\"budget_bytes\":4000000000}"},
    {2, CAPACITY_GET, "model=gpt2&seq_len=64&batch=2&find=batch&budget_bytes=4000000000"},
    {3, FRONTIERS_POST, "{\"workload\":{" FIELDS "}}"},
    {4, PLANS_POST, "{\"queries\":[{\"workload\":{" FIELDS "}},{\"workload\":{" FIELDS ",\"dropout\":0.25}}]}"},
};
#define ASKED (sizeof asked / sizeof asked[0])

Test(plan_cache, a_known_answer_is_the_first_one_and_a_restarted_daemons) {
    struct service none = {0}, with = {.plans = cache_new(1 << 20)};
    uint64_t misses = 0;
    for (int pass = 0; pass < 3; pass++) {
        struct service restarted = {.plans = cache_new(1 << 20)};
        struct plan_cache_figures before = plan_cache_figures(with.plans);
        misses = before.finds - before.hits;
        for (size_t i = 0; i < ASKED; i++) {
            struct got first = ask(&none, asked[i].route, asked[i].text, NULL),
                       fresh = ask(&restarted, asked[i].route, asked[i].text, NULL),
                       again = ask(&with, asked[i].route, asked[i].text, NULL);
            cr_assert(first.ok && again.ok && fresh.ok, "%s: %s %s", asked[i].text, first.why.where, first.why.detail);
            bool other_words = i > 0 && asked[i].question == asked[i - 1].question;
            cr_expect_not(hit(&first));
            cr_expect_eq(hit(&again), pass > 0 || other_words, "%s: %s", asked[i].text, again.timing);
            cr_expect_eq(first.bytes, again.bytes);
            cr_expect_eq(memcmp(first.body, again.body, first.bytes), 0, "%s", asked[i].text);
            cr_expect_eq(first.bytes, fresh.bytes);
            cr_expect_eq(memcmp(first.body, fresh.body, first.bytes), 0, "%s", asked[i].text);
            cr_expect_str_eq(first.tag, again.tag);
            if (asked[i].route == PLANS_GET || asked[i].route == CAPACITY_GET) {
                struct got unchanged = ask(&with, asked[i].route, asked[i].text, first.tag);
                cr_expect(unchanged.status == 304 && unchanged.bytes == 0 && *first.tag, "%s", asked[i].text);
                cr_expect_str_eq(unchanged.tag, first.tag);
                free(unchanged.body);
            } else {
                cr_expect_str_empty(again.tag);
            }
            free(first.body);
            free(again.body);
            free(fresh.body);
        }
        plan_cache_free(restarted.plans);
    }
    struct plan_cache_figures last = plan_cache_figures(with.plans);
    cr_expect_eq(last.finds - last.hits, misses, "the texts themselves are names: nothing is parsed twice");
    plan_cache_free(with.plans);
}

Test(plan_cache, elements_of_lists_are_known_one_by_one) {
    struct service with = {.plans = cache_new(1 << 20)};
    struct got list = ask(&with, PLANS_POST, "{\"queries\":[{\"workload\":{" FIELDS "}}]}", NULL),
               alone = ask(&with, PLANS_POST, "{\"workload\":{" FIELDS "}}", NULL);
    cr_assert(list.ok && alone.ok);
    cr_expect(hit(&alone));
    cr_expect_eq(list.bytes, alone.bytes + strlen("{\"plans\":[]}"));
    cr_expect_eq(memcmp(list.body + strlen("{\"plans\":["), alone.body, alone.bytes), 0);
    /* the list is known as a whole; as an element it stays what it is without a cache: wrong */
    struct got nested = ask(&with, PLANS_POST, "{\"queries\":[{\"queries\":[{\"workload\":{" FIELDS "}}]}]}", NULL);
    nested.body[nested.bytes] = '\0';
    cr_expect(nested.ok && strstr(nested.body, "\"status\":") && strstr(nested.body, "/queries/0"), "%s", nested.body);
    free(list.body);
    free(alone.body);
    free(nested.body);
    plan_cache_free(with.plans);
}

Test(plan_cache, problems_are_not_kept) {
    struct service with = {.plans = cache_new(1 << 20)};
    static const struct {
        unsigned route;
        const char *text;
    } rows[] = {
        {PLANS_POST, "{\"workload\":{\"model\":\"gpt2\",\"seq_len\":0}}"},
        {PLANS_POST, "{\"workload\":"},
        {PLANS_GET, "model=gpt2&seq_len=0"},
        {PLANS_GET, ""},
        {PLANS_GET, "model=gpt2&seq_len=64&find=batch"},
        {CAPACITY_GET, "model=gpt2&seq_len=64&find=batch"},
        {PLANS_POST, "{\"queries\":[{\"workload\":{\"model\":\"gpt2\",\"seq_len\":0}}]}"},
    };
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            struct got g = ask(&with, rows[i].route, rows[i].text, NULL);
            cr_expect(!g.ok || (strstr(rows[i].text, "queries") && !hit(&g)), "%s", rows[i].text);
            free(g.body);
        }
    cr_expect_eq(plan_cache_figures(with.plans).names, 0);
    plan_cache_free(with.plans);
}

static bool is_long(struct service *service, unsigned route, const char *text) {
    const struct route *row = &api_plans_routes[route];
    const bool get = strcmp(row->method, "GET") == 0;
    const struct request request = {.service = service,
                                    .method = row->method,
                                    .body = get ? "" : text,
                                    .body_bytes = get ? 0 : strlen(text),
                                    .raw_query = get ? text : ""};
    cr_expect_eq(row->lane, ROUTE_PLANS);
    return row->is_long(&request);
}

/* What may take long does not run on the threads that answer probes; once it is known, it does. */
Test(plan_cache, what_takes_long_until_it_is_known) {
    static const struct {
        unsigned route;
        const char *text;
        bool is_long;
    } rows[] = {
        {PLANS_POST, "{\"workload\":{" FIELDS "}}", false},
        {PLANS_POST, "{\"workload\":{" FIELDS "},\"strategy\":\"every_layer\"}", false},
        {PLANS_POST, "{\"workload\":{" FIELDS "},\"strategy\":\"optimal\"}", true},
        {PLANS_POST, "{\"workload\":{" FIELDS "},\"strategy\":\"opti\\u006dal\"}", true},
        {PLANS_POST, "{\"workload\":{" FIELDS "},\"strategy\":{\"name\":\"revolve\"}}", true},
        {PLANS_POST, "{\"workload\":{" FIELDS "},\"include\":[\"explain\"]}", true},
        {PLANS_POST, "{\"queries\":[{\"workload\":{" FIELDS "}}]}", true},
        {PLANS_POST, "{\"workload\":{\"seq_len\":1,\"model\":{\"family\":\"decoder\",\"layers\":20000}}}", true},
        {PLANS_POST, "{\"workload\":{\"seq_len\":64,\"model\":\"llama-3.1-405b\"}}", true},
        {PLANS_GET, "model=gpt2&seq_len=64", false},
        {PLANS_GET, "model=gpt2&seq_len=64&strategy=greedy", true},
        {PLANS_GET, "model=gpt2&seq_len=64&strategy=gree%64y", true},
        {PLANS_GET, "model=gpt2&seq_len=64&attention=any", true},
        {CAPACITY_GET, "model=gpt2&seq_len=64&find=batch&budget_bytes=4000000000", true},
        {CAPACITY_POST, "{\"workload\":{" FIELDS "},\"find\":\"batch\",\"budget_bytes\":4000000000}", true},
        {FRONTIERS_POST, "{\"workload\":{" FIELDS "}}", true},
    };
    struct service with = {.plans = cache_new(1 << 20)}, none = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect_eq(is_long(&with, rows[i].route, rows[i].text), rows[i].is_long, "%s", rows[i].text);
        cr_expect_eq(is_long(&none, rows[i].route, rows[i].text), rows[i].is_long, "%s", rows[i].text);
    }
    free(ask(&with, FRONTIERS_POST, rows[15].text, NULL).body);
    free(ask(&with, PLANS_GET, rows[10].text, NULL).body);
    const struct plan_cache_figures before = plan_cache_figures(with.plans);
    cr_expect_not(is_long(&with, FRONTIERS_POST, rows[15].text));
    cr_expect_not(is_long(&with, PLANS_GET, rows[10].text));
    cr_expect_eq(plan_cache_figures(with.plans).finds, before.finds, "looking whether it is known is no question");
    plan_cache_free(with.plans);
}

/* ---- threads ---- */

enum { THREADS = 4, TURNS = 300, KEYS = 40 };

/* A body says which name it belongs to; the cache holds a few of them. */
static void *turns(void *arg) {
    struct plan_cache *cache = arg;
    static _Thread_local char text[32], body[600];
    for (unsigned turn = 0; turn < TURNS; turn++)
        for (unsigned key = 0; key < KEYS; key++) {
            snprintf(text, sizeof text, "key %u", key * turn % KEYS);
            snprintf(body, sizeof body, "%s%500s", text, "");
            struct plan_name name = name_of(PLAN_QUESTION_PLANS, turn % 2, text);
            if (!has(cache, name, body))
                put(cache, name, body, strlen(body));
            struct plan_cache_figures f = plan_cache_figures(cache);
            cr_expect_leq(f.bytes, f.limit_bytes);
        }
    return NULL;
}

Test(plan_cache, threads_find_what_belongs_to_the_name) {
    struct plan_cache *cache = cache_new(16 << 10);
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, turns, cache), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct plan_cache_figures f = plan_cache_figures(cache);
    cr_expect_eq(f.finds, THREADS * TURNS * KEYS);
    cr_expect(f.hits > 0 && f.hits < f.finds && f.names > 10, "%lu hits, %lu names", f.hits, f.names);
    plan_cache_free(cache);
}
