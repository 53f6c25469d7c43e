/* test_rematc.c - the C client against answers no good daemon gives: each row is one answer, byte for byte, and what
 * the caller must be told. The real daemon is met in tests/e2e. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clients/c/rematc.h"

/* A server for one connection: reads one request head, sends the answer, closes. */
struct one_answer {
    int listener;
    const char *answer;
    char request[4096];
    pthread_t thread;
    char url[64];
};

static void *answer_main(void *arg) {
    struct one_answer *one = arg;
    size_t used = 0;
    int fd = accept(one->listener, NULL, NULL);
    while (used < sizeof one->request - 1 && !strstr(one->request, "\r\n\r\n")) {
        ssize_t n = recv(fd, one->request + used, sizeof one->request - 1 - used, 0);
        if (n <= 0)
            break;
        used += (size_t)n;
        one->request[used] = '\0';
    }
    send(fd, one->answer, strlen(one->answer), MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while (recv(fd, one->request + used, sizeof one->request - 1 - used, 0) > 0)
        ; /* until the client has read it all */
    close(fd);
    return NULL;
}

static void answer_start(struct one_answer *one, const char *answer) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    memset(one, 0, sizeof *one);
    one->answer = answer;
    one->listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(one->listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(one->listener, 1) == 0);
    cr_assert(getsockname(one->listener, (struct sockaddr *)&at, &size) == 0);
    snprintf(one->url, sizeof one->url, "http://127.0.0.1:%d/", ntohs(at.sin_port));
    cr_assert(pthread_create(&one->thread, NULL, answer_main, one) == 0);
}

static void answer_stop(struct one_answer *one) {
    pthread_join(one->thread, NULL);
    close(one->listener);
}

#define HEAD(STATUS) "HTTP/1.1 " STATUS "\r\nConnection: close\r\n\r\n"

static const struct {
    const char *answer;
    enum rematc_kind kind;
    int status;
    const char *title, *detail, *pointer; /* NULL: anything */
    uint64_t minimum;
} rows[] = {
    {HEAD("200 OK") "{\"id\": \"a\"}", REMATC_OK, 0, NULL, NULL, NULL, 0},
    {HEAD("400 Bad Request") "{\"title\": \"T\", \"detail\": \"D\", \"pointer\": \"/a/0\"}", REMATC_REFUSED, 400, "T",
     "D", "/a/0", 0},
    {HEAD("422 No") "{\"title\": \"T\", \"detail\": \"D\", \"minimum_budget_bytes\": 9007199254740993}", REMATC_REFUSED,
     422, "T", "D", "", 9007199254740993u},
    {HEAD("404 Not Found") "<html>a proxy</html>", REMATC_REFUSED, 404, NULL, NULL, "", 0},
    {HEAD("400 Bad Request") "{\"title\": 7, \"detail\": [], \"pointer\": {}}", REMATC_REFUSED, 400, NULL, NULL, "", 0},
    {HEAD("503 Busy"), REMATC_UNAVAILABLE, 503, NULL, NULL, "", 0},
    {HEAD("200 OK") "", REMATC_GARBLED, 0, NULL, NULL, "", 0},
    {HEAD("200 OK") "{\"id\": ", REMATC_GARBLED, 0, NULL, NULL, "", 0},
    {HEAD("200 OK") "[1, 2]", REMATC_GARBLED, 0, NULL, NULL, "", 0},
    {HEAD("200 OK") "{\"a\": 1, \"a\": 2}", REMATC_GARBLED, 0, NULL, NULL, "", 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{}", REMATC_UNREACHABLE, 0, NULL, NULL, "", 0},
    {"", REMATC_UNREACHABLE, 0, NULL, NULL, "", 0},
};

Test(Rematc, every_answer_has_its_error) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct one_answer one;
        struct rematc_error why = {0};
        answer_start(&one, rows[i].answer);
        struct rematc *client = rematc_new(one.url, &why);
        json_t *job = rematc_job(client, "a", &why);
        rematc_free(client);
        answer_stop(&one);
        cr_assert_eq(job != NULL, rows[i].kind == REMATC_OK, "row %zu", i);
        cr_assert_eq(why.kind, rows[i].kind, "row %zu: kind %d", i, (int)why.kind);
        cr_assert_eq(why.http_status, rows[i].status, "row %zu: status %d", i, why.http_status);
        cr_assert_eq(why.minimum_budget_bytes, rows[i].minimum, "row %zu", i);
        cr_assert(!rows[i].title || strcmp(why.title, rows[i].title) == 0, "row %zu: %s", i, why.title);
        cr_assert(!rows[i].detail || strcmp(why.detail, rows[i].detail) == 0, "row %zu: %s", i, why.detail);
        cr_assert(!rows[i].pointer || strcmp(why.pointer, rows[i].pointer) == 0, "row %zu: %s", i, why.pointer);
        cr_assert(rows[i].kind == REMATC_OK || (why.title[0] && why.detail[0]), "row %zu says nothing", i);
        json_decref(job);
    }
}

Test(Rematc, ids_and_filters_are_escaped) {
    struct one_answer one;
    answer_start(&one, rows[0].answer);
    struct rematc *client = rematc_new(one.url, NULL);
    json_decref(rematc_job(client, "../a b?c", NULL));
    rematc_free(client);
    answer_stop(&one);
    cr_assert(strstr(one.request, "GET /v1/jobs/..%2Fa%20b%3Fc HTTP/1.1\r\n") == one.request, "%s", one.request);
    answer_start(&one, rows[0].answer);
    client = rematc_new(one.url, NULL);
    json_decref(rematc_jobs(client, "a&b", NULL, 2, "x=y", NULL));
    rematc_free(client);
    answer_stop(&one);
    cr_assert(strstr(one.request, "GET /v1/jobs?state=a%26b&page_size=2&page_token=x%3Dy HTTP/1.1\r\n") == one.request,
              "%s", one.request);
}

Test(Rematc, tokens_are_sent) {
    struct one_answer one;
    struct rematc_error why;
    answer_start(&one, HEAD("200 OK") "{}");
    setenv("REMATD_TOKEN", "of-the_environment", 1);
    struct rematc *client = rematc_new(one.url, NULL);
    cr_assert(client);
    json_decref(rematc_get(client, "/v1/jobs", NULL));
    rematc_free(client);
    answer_stop(&one);
    client = rematc_new(NULL, NULL);
    cr_assert(client);
    cr_expect(strstr(one.request, "\r\nAuthorization: Bearer of-the_environment\r\n"), "%s", one.request);
    cr_expect(rematc_token(client, "a.b~c+d/e=", &why));
    static const char *const bad[] = {"a b", "a\r\nX-More: 1", "a\n", "\"a\"", "a,b", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_not(rematc_token(client, bad[i], &why), "%s", bad[i]);
        cr_expect(why.kind == REMATC_LOCAL && !strstr(why.detail, bad[i]), "%s", why.detail);
    }
    rematc_free(client);
    answer_start(&one, HEAD("200 OK") "{}");
    client = rematc_new(one.url, NULL);
    cr_expect(rematc_token(client, "", NULL)); /* none */
    json_decref(rematc_get(client, "/v1/jobs", NULL));
    rematc_free(client);
    answer_stop(&one);
    cr_expect_not(strstr(one.request, "Authorization"), "%s", one.request);
    setenv("REMATD_TOKEN", "two words", 1);
    cr_expect_null(rematc_new(one.url, &why));
    cr_expect_eq(why.kind, REMATC_LOCAL);
    unsetenv("REMATD_TOKEN");
}

Test(Rematc, each_question_of_planning_has_its_path) {
    static const struct {
        json_t *(*ask)(struct rematc *, const json_t *, struct rematc_error *);
        const char *line;
    } questions[] = {{rematc_plan, "POST /v1/plans HTTP/1.1\r\n"},
                     {rematc_frontier, "POST /v1/frontiers HTTP/1.1\r\n"},
                     {rematc_capacity, "POST /v1/capacity HTTP/1.1\r\n"},
                     {rematc_explain, "POST /v1/explain HTTP/1.1\r\n"}};
    json_t *query = json_object();
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        struct one_answer one;
        answer_start(&one, rows[0].answer);
        struct rematc *client = rematc_new(one.url, NULL);
        json_t *answer = questions[i].ask(client, query, NULL);
        rematc_free(client);
        answer_stop(&one);
        cr_assert(json_object_get(answer, "id"), "%zu", i);
        cr_assert(strstr(one.request, questions[i].line) == one.request, "%s", one.request);
        json_decref(answer);
    }
    json_decref(query);
}

Test(Rematc, what_cannot_be_sent_is_not) {
    struct rematc_error why = {0};
    struct rematc *client = rematc_new("http://127.0.0.1:1", &why);
    char long_id[4096];
    memset(long_id, 'a', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    json_t *job = json_object();
    cr_assert(!rematc_job(client, "", &why) && why.kind == REMATC_LOCAL);
    cr_assert(!rematc_job(client, NULL, &why) && why.kind == REMATC_LOCAL);
    cr_assert(!rematc_job(client, long_id, &why) && why.kind == REMATC_LOCAL);
    cr_assert(!rematc_submit(client, job, 0, "two\r\nlines", &why) && why.kind == REMATC_LOCAL);
    cr_assert(!rematc_upload(client, "/nowhere/at/all", &why) && why.kind == REMATC_LOCAL);
    cr_assert(!rematc_fetch(client, "a", NULL, false, "/nowhere/at/all", &why) && why.kind == REMATC_LOCAL);
    cr_assert(!rematc_health(client, &why) && why.kind == REMATC_UNREACHABLE && why.http_status == 0);
    json_decref(job);
    rematc_free(client);
    cr_assert_null(rematc_new(long_id, &why));
    rematc_free(NULL);
}

Test(Rematc, a_fetched_file_is_whole_or_not_there) {
    static const char *const answers[] = {HEAD("404 No") "{\"title\": \"T\", \"detail\": \"D\"}",
                                          "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf"};
    char name[] = "/tmp/rematc-XXXXXX", part[40];
    cr_assert(close(mkstemp(name)) == 0 && unlink(name) == 0);
    snprintf(part, sizeof part, "%s.part", name);
    for (size_t i = 0; i < 2; i++) {
        struct one_answer one;
        struct rematc_error why = {0};
        answer_start(&one, answers[i]);
        struct rematc *client = rematc_new(one.url, NULL);
        cr_assert(!rematc_fetch(client, "a", "output", true, name, &why));
        rematc_free(client);
        answer_stop(&one);
        cr_assert_eq(why.kind, i ? REMATC_UNREACHABLE : REMATC_REFUSED);
        cr_assert(access(name, F_OK) != 0 && access(part, F_OK) != 0);
    }
}

/* ---- events ---- */

#define STREAM          HEAD("200 OK")
#define STATE(ID, NAME) "id: " ID "\nevent: state\ndata: {\"state\": \"" NAME "\"}\n\n"

static struct {
    char text[256];
    unsigned most; /* 0: any number */
} told;

static bool on_event(void *user, uint64_t id, const char *event, const json_t *data) {
    cr_assert_eq(user, &told);
    char *json = json_dumps(data, JSON_COMPACT);
    size_t used = strlen(told.text);
    snprintf(told.text + used, sizeof told.text - used, "%llu %s %s;", (unsigned long long)id, event, json);
    free(json);
    return told.most == 0 || --told.most > 0;
}

static const struct {
    const char *answer;
    unsigned most;
    bool ok;
    enum rematc_kind kind;
    const char *told;
} streams[] = {
    {STREAM STATE("1", "queued") ": ping\n\n" STATE("7", "failed"), 0, true, REMATC_OK,
     "1 state {\"state\":\"queued\"};7 state {\"state\":\"failed\"};"},
    {STREAM STATE("1", "queued") STATE("2", "running"), 1, true, REMATC_OK, "1 state {\"state\":\"queued\"};"},
    {STREAM "id: 3\nevent: progress\ndata: {\"report\": {}}\n\n" STATE("4", "cancelled") STATE("5", "queued"), 2, true,
     REMATC_OK, "3 progress {\"report\":{}};4 state {\"state\":\"cancelled\"};"},
    {HEAD("204 No Content"), 0, true, REMATC_OK, ""},
    {STREAM "id: 1\nevent: state\ndata: {\"state\n\n", 0, false, REMATC_GARBLED, ""},
    {HEAD("404 Not Found") "{\"title\": \"T\", \"detail\": \"D\"}", 0, false, REMATC_REFUSED, ""},
    {HEAD("503 Busy"), 0, false, REMATC_UNAVAILABLE, ""},
    {"", 0, false, REMATC_UNREACHABLE, ""},
};

Test(Rematc, events_are_told_as_they_come) {
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        struct one_answer one;
        struct rematc_error why;
        answer_start(&one, streams[i].answer);
        struct rematc *client = rematc_new(one.url, NULL);
        cr_assert(client);
        told.text[0] = '\0';
        told.most = streams[i].most;
        bool ok = rematc_events(client, "a b", 5, on_event, &told, &why);
        rematc_free(client);
        answer_stop(&one);
        cr_expect_eq(ok, streams[i].ok, "%zu: %s", i, why.detail);
        cr_expect_eq(why.kind, streams[i].kind, "%zu: %d", i, why.kind);
        cr_expect_str_eq(told.text, streams[i].told, "%zu", i);
        cr_expect(strncmp(one.request, "GET /v1/jobs/a%20b/events?last_event_id=5 ", 42) == 0, "%s", one.request);
    }
}
