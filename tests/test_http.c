/* test_http.c - the HTTP front over raw sockets: what a client sees, bodies and their limits, clocks, waits. */
#include "tests/http_front.h"

/* ---- what a well-behaved client sees ---- */

Test(http, answers, .init = start, .fini = stop) {
    cr_expect_eq(ask_end("GET /hello HTTP/1.1", ""), 200);
    cr_expect_str_eq(body_of(answer), "hello /hello");
    cr_expect(strstr(answer, "Content-Type: text/plain\r\n"));
    cr_expect_eq(ask_end("GET /hello?name=a%20b+c%2fd HTTP/1.1", ""), 200);
    cr_expect_str_eq(body_of(answer), "hello a b c/d");
    cr_expect_eq(ask_end("GET /things/one%20x/parts/two HTTP/1.1", ""), 200);
    cr_expect_str_eq(body_of(answer), "[one x|two]");
    cr_expect_eq(ask_end("GET /hello HTTP/1.0", ""), 200);
}

Test(http, parameters_are_refused_where_a_route_takes_none, .init = start, .fini = stop) {
    cr_expect_eq(ask_end("GET /things/a/parts/b?sort=name HTTP/1.1", ""), 400);
    cr_expect(strstr(answer, "\"pointer\":\"/sort\""), "%s", answer);
    cr_expect_eq(ask_end("GET /things/a/parts/b? HTTP/1.1", ""), 200);
    cr_expect_eq(ask_end("GET /hello?name=b HTTP/1.1", ""), 200);
}

Test(http, head_has_no_body, .init = start, .fini = stop) {
    cr_expect_eq(ask_end("HEAD /hello HTTP/1.1", ""), 200);
    cr_expect_str_eq(body_of(answer), "");
    cr_expect(strstr(answer, "Content-Length: 12\r\n"), "%s", answer);
    cr_expect_eq(ask_end("HEAD /nothing HTTP/1.1", ""), 404);
    cr_expect_str_eq(body_of(answer), "");
}

Test(http, unknown_paths_and_methods, .init = start, .fini = stop) {
    cr_expect_eq(ask_end("GET /nothing HTTP/1.1", ""), 404);
    cr_expect(strstr(answer, "Content-Type: application/problem+json\r\n"));
    cr_expect(strstr(body_of(answer), "\"status\":404"));
    cr_expect_eq(ask_end("GET /things/a/parts/ HTTP/1.1", ""), 404);
    cr_expect_eq(ask_end("GET /things/a/parts/b/c HTTP/1.1", ""), 404);
    cr_expect_eq(ask_end("DELETE /hello HTTP/1.1", ""), 405);
    cr_expect(strstr(answer, "Allow: GET, HEAD, POST\r\n"), "%s", answer);
    cr_expect_eq(ask_end("TRACE /hello HTTP/1.1", ""), 501);
    cr_expect_eq(ask_end("get /hello HTTP/1.1", ""), 501);
}

Test(http, problems_are_json, .init = start, .fini = stop) {
    cr_expect_eq(ask_end("GET /budget HTTP/1.1", ""), 422);
    cr_expect_str_eq(
        body_of(answer),
        "{\"type\":\"/problems/budget\",\"title\":\"Does not fit the budget\",\"status\":422,"
        "\"detail\":\"needs \\u0001 more \\ufffd\",\"pointer\":\"/inputs/q\\\"\",\"minimum_budget_bytes\":4096}\n");
}

Test(http, keep_alive_serves_many, .init = start, .fini = stop) {
    bool closed;
    int fd = dial();
    for (int i = 0; i < 20; i++)
        say(fd, "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
    say(fd, "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    hear(fd, 3000, &closed);
    cr_expect(closed);
    cr_expect_eq(answers_in(answer), 21);
    close(fd);
}

/* ---- bodies ---- */

Test(http, json_bodies, .init = start, .fini = stop) {
    cr_expect_eq(
        ask_end("POST /hello HTTP/1.1\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 5", "[1,2]"),
        200);
    cr_expect_str_eq(body_of(answer), "[1,2]");
    cr_expect_eq(ask_end("POST /hello HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked",
                         "2\r\n[1\r\n3\r\n,2]\r\n0\r\n\r\n"),
                 200);
    cr_expect_str_eq(body_of(answer), "[1,2]");
    cr_expect_eq(ask_end("POST /hello HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 2", "{}"), 415);
    cr_expect_eq(ask_end("POST /hello HTTP/1.1\r\nContent-Length: 2", "{}"), 415);
    cr_expect_eq(ask_end("POST /hello HTTP/1.1\r\nContent-Type: application/json", ""), 411);
    cr_expect_eq(
        ask_end("POST /hello HTTP/1.1\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2",
                "{}"),
        415);
    cr_expect_eq(ask_end("GET /hello HTTP/1.1\r\nContent-Length: 2", "{}"), 400);
}

static unsigned post_large(const char *path, const char *type, size_t bytes, bool chunked) {
    char *text = malloc(bytes + 4096);
    bool closed;
    int n = chunked ? sprintf(text,
                              "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: %s\r\n"
                              "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
                              path, type, bytes)
                    : sprintf(text,
                              "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: %s\r\n"
                              "Content-Length: %zu\r\n\r\n",
                              path, type, bytes);
    memset(text + n, ' ', bytes);
    memcpy(text + n + bytes, "\r\n0\r\n\r\n", 8);
    int fd = dial();
    say_bytes(fd, text, (size_t)n + bytes + (chunked ? 7 : 0));
    hear(fd, 5000, &closed);
    close(fd);
    free(text);
    return status_of(answer);
}

Test(http, limits_of_bodies, .init = start, .fini = stop) {
    for (int chunked = 0; chunked < 2; chunked++) {
        cr_expect_eq(post_large("/hello", "application/json", MEBIBYTE, chunked), 200);
        cr_expect_eq(strlen(body_of(answer)), MEBIBYTE);
        cr_expect_eq(post_large("/hello", "application/json", MEBIBYTE + 1, chunked), 413);
        cr_expect(strstr(answer, "POST /v1/tensors"));
        cr_expect_eq(post_large("/files", "application/octet-stream", 2 * MEBIBYTE, chunked), 201);
        cr_expect_eq(post_large("/files", "application/octet-stream", 2 * MEBIBYTE + 1, chunked), 413);
        cr_expect_eq(post_large("/files", "text/plain", 100, chunked), 415);
        cr_expect_eq(post_large("/nothing", "text/plain", 3 * MEBIBYTE, chunked), 404);
    }
}

Test(http, refuses_before_a_body_that_waits, .init = start, .fini = stop) {
    bool closed;
    cr_expect_eq(
        ask("POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
            "Content-Length: 2000000\r\n\r\n",
            &closed),
        413);
    cr_expect(closed);
    cr_expect_eq(ask("POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     "Content-Length: 99999999999\r\n\r\n",
                     &closed),
                 413);
    cr_expect(closed);
}

Test(http, files, .init = start, .fini = stop) {
    char head[256], digest[BLOB_DIGEST_SIZE];
    cr_assert_eq(ask_end("POST /files HTTP/1.1\r\nContent-Length: 10", "0123456789"), 201);
    snprintf(digest, sizeof digest, "%s", body_of(answer));
    cr_expect_str_eq(digest, "sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882");
    snprintf(head, sizeof head, "GET /files/%s HTTP/1.1", digest);
    cr_expect_eq(ask_end(head, ""), 200);
    cr_expect_str_eq(body_of(answer), "123456789");
    snprintf(head, sizeof head, "GET /files/%s?behind=1 HTTP/1.1", digest);
    cr_expect_eq(ask_end(head, ""), 200);
    cr_expect_str_eq(body_of(answer), "prefix:123456789");
    snprintf(head, sizeof head, "HEAD /files/%s HTTP/1.1", digest);
    cr_expect_eq(ask_end(head, ""), 200);
    cr_expect(strstr(answer, "Content-Length: 9\r\n"));
    cr_expect_eq(ask_end("GET /files/sha256:00 HTTP/1.1", ""), 400);
}

/* ---- clocks ---- */

static void start_impatient(void) {
    front_start((struct http_options){.grace_ms = 500, .least_bytes_per_second = 1000, .connections = 4});
}

/* One byte now and then: activity, but no progress. True if the peer gave up within ms. */
static bool drips_until_closed(const char *head, unsigned ms) {
    int fd = dial();
    uint64_t until = now_ns() + (uint64_t)ms * 1000000u;
    bool closed = false;
    say(fd, head);
    while (!closed && now_ns() < until) {
        say(fd, "a");
        size_t n = hear(fd, 50, &closed);
        closed = closed || n > 0;
    }
    close(fd);
    return closed;
}

Test(http, slow_clients_are_cut, .init = start_impatient, .fini = stop) {
    cr_expect(drips_until_closed("GET /hello HTTP/1.1\r\nX-A: ", 4000));
    cr_expect(drips_until_closed(POST "Content-Length: 100000\r\n\r\n", 4000));
    cr_expect(drips_until_closed("POST /files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", 4000));
    cr_expect(drips_until_closed("", 4000));
    cr_expect_eq(ask_end("GET /hello HTTP/1.1", ""), 200);
}

Test(http, steady_clients_are_not, .init = start_impatient, .fini = stop) {
    static const char piece[200] = {0};
    bool closed;
    int fd = dial();
    say(fd, "POST /files HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4000\r\n\r\n");
    for (int i = 0; i < 20; i++) { /* 4000 B/s for twice the grace */
        say_bytes(fd, piece, sizeof piece);
        usleep(50000);
    }
    hear(fd, 3000, &closed);
    cr_expect_eq(status_of(answer), 201);
    close(fd);
}

/* ---- more connections than served ---- */

Test(http, beyond_the_limit_hears_503, .init = start_impatient, .fini = stop) {
    int busy[4];
    bool closed;
    for (int i = 0; i < 4; i++) {
        busy[i] = dial();
        say(busy[i], "GET /slow?ms=3000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    usleep(200000);
    cr_expect_eq(ask("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", &closed), 503);
    cr_expect(closed);
    cr_expect(strstr(answer, "Retry-After: "));
    cr_expect_eq(ask_end("GET /healthz HTTP/1.1", ""), 200);
    is_ready = true;
    for (int i = 0; i < 4; i++)
        close(busy[i]);
    usleep(200000);
    cr_expect_eq(ask_end("GET /hello HTTP/1.1", ""), 200);
}

/* ---- waiting ---- */

Test(http, waits_until_ready, .init = start, .fini = stop) {
    bool closed;
    int fd = dial();
    say(fd, "GET /slow?ms=20000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    cr_expect_eq(hear(fd, 150, &closed), 0);
    cr_expect(!closed);
    cr_expect_eq(ask_end("GET /hello HTTP/1.1", ""), 200); /* others are served meanwhile */
    is_ready = true;
    uint64_t before = now_ns();
    hear(fd, 5000, &closed);
    cr_expect_str_eq(body_of(answer), "finished 1");
    cr_expect_lt(now_ns() - before, 500000000u);
    close(fd);
}

Test(http, waits_until_time_is_over, .init = start, .fini = stop) {
    uint64_t before = now_ns();
    cr_expect_eq(ask_end("GET /slow?ms=200 HTTP/1.1", ""), 200);
    cr_expect_str_eq(body_of(answer), "finished 0");
    cr_expect_geq(now_ns() - before, 200000000u);
}

/* Whoever waits takes one of the four places; who leaves gives it back before the wait is over. */
Test(http, waits_end_with_their_client, .init = start_impatient, .fini = stop) {
    for (int i = 0; i < 4; i++) {
        int fd = dial();
        say(fd, "GET /slow?ms=60000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        usleep(50000);
        close(fd);
    }
    unsigned status = 503;
    for (int tries = 0; tries < 60 && status == 503; tries++) {
        usleep(50000);
        status = ask_end("GET /hello HTTP/1.1", "");
    }
    cr_expect_eq(status, 200);
}

Test(http, closing_ends_waits) {
    bool closed;
    start();
    int fd = dial(), idle = dial();
    say(fd, "GET /slow?ms=60000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    usleep(100000);
    http_close(http);
    http = NULL;
    hear(fd, 1000, &closed);
    cr_expect(closed);
    cr_expect_str_eq(body_of(answer), "finished 0");
    close(fd);
    close(idle);
    stop();
}

Test(http, draining_takes_nothing_new, .init = start, .fini = stop) {
    is_draining = true;
    cr_expect_eq(ask_end("POST /hello HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2", "{}"), 503);
    cr_expect_eq(ask_end("POST /files HTTP/1.1\r\nContent-Length: 2", "{}"), 503);
    cr_expect_eq(ask_end("GET /hello HTTP/1.1", ""), 200);
}

/* Clients that leave in the middle of anything cost nothing: the sanitizer sees leaks, the count of answers the rest.
 */
Test(http, clients_that_leave, .init = start, .fini = stop) {
    static const char *const halves[] = {
        "",
        "GE",
        "GET /hello HTTP/1.1\r\n",
        "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
        POST "Content-Length: 10\r\n\r\n{",
        "POST /files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n012",
        "POST /files HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01",
        "GET /slow?ms=50 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    };
    for (int round = 0; round < 10; round++)
        for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++) {
            int fd = dial();
            say(fd, halves[i]);
            close(fd);
        }
    unsigned status = 503;
    for (int tries = 0; tries < 100 && status == 503; tries++) {
        usleep(50000);
        status = ask_end("GET /hello HTTP/1.1", "");
    }
    cr_expect_eq(status, 200);
}
