/* test_http_guard.c - requests that have two readings, and what else must be refused with its connection. */
#include "tests/http_front.h"

/* ---- what must be refused, and closes the connection ---- */

#define NEXT "GET /hello?name=smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

/* clang-format off */
static const struct {
    const char *text;
    unsigned status;
} hostile[] = {
    {POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" NEXT, 400},
    {POST "Content-Length: 2\r\nContent-Length: 60\r\n\r\n{}" NEXT, 400},
    {POST "Content-Length: 2, 2\r\n\r\n{}" NEXT, 400},
    {POST "Content-Length: +2\r\n\r\n{}" NEXT, 400},
    {POST "Content-Length: -1\r\n\r\n{}" NEXT, 400},
    {POST "Content-Length: 0x2\r\n\r\n{}" NEXT, 400},
    {POST "Content-Length: 99999999999999999999999\r\n\r\n{}" NEXT, 0},
    {POST "Content-Length : 2\r\n\r\n{}" NEXT, 400},
    {POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 400},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 400},
    {POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" NEXT, 400},
    {POST "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}" NEXT, 400},
    {POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" NEXT, 400},
    {"POST /hello HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 400},
    {"GET /hello HTTP/1.1\r\n\r\n" NEXT, 400},
    {"GET /hello HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n" NEXT, 421},
    {"GET /hello HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n" NEXT, 421},
    {"GET /hello HTTP/1.1\r\nHost: localhost:x\r\n\r\n" NEXT, 421},
    {"GET /hello HTTP/1.1\r\nHost:\r\n\r\n" NEXT, 421},
    {"GET /hello HTTP/1.9\r\nHost: localhost\r\n\r\n" NEXT, 505},
    {"GET /hello HTTP/2.0\r\nHost: localhost\r\n\r\n" NEXT, 505},
    {"GET http://localhost/hello HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET hello HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hello%00x HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hel%6 HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hello% HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hel%zzlo HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /things%2fa/parts/b HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /things/..%5cb/parts/b HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /a/../hello HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /a/%2e%2E/hello HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /./hello HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hello/.. HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hello/..?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hel\x01lo HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hel\x7flo HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hel\xc3\xa9lo HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hello#x HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hello?name=%00 HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hello?name=% HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 400},
    {"GET /hello HTTP/1.1\r\nHost: localhost\r\nX-A: a\x01z\r\n\r\n" NEXT, 400},
    {"GET /hello HTTP/1.1\r\nHost: localhost\r\nX A: b\r\n\r\n" NEXT, 400},
    {"BREW /hello HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT, 501},
    {"GET /hello\r\n\r\n" NEXT, 0},
    {"\x16\x03\x01\x02\r\n\r\n" NEXT, 0},
};
/* clang-format on */

/* Where the library itself refuses (its status differs between versions), any refusal will do: no handler may run and
 * the request behind must not be served. */
Test(http_guard, refuses_what_has_two_readings, .init = start, .fini = stop) {
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        bool closed;
        unsigned status = ask(hostile[i].text, &closed);
        cr_expect(closed, "case %zu stays open: %.60s\n%s", i, hostile[i].text, answer);
        cr_expect(status == 0 || status >= 400, "case %zu: %u", i, status);
        cr_expect(hostile[i].status == 0 || status == hostile[i].status || status == 400 || status == 0,
                  "case %zu: %u, not %u: %.60s", i, status, hostile[i].status, hostile[i].text);
        cr_expect(!strstr(answer, "smuggled"), "case %zu serves what is behind: %.60s", i, hostile[i].text);
        cr_expect(!strstr(answer, "hello /"), "case %zu reaches a handler: %.60s", i, hostile[i].text);
    }
}

Test(http_guard, nul_bytes, .init = start, .fini = stop) {
    static const char target[] = "GET /hello\0x HTTP/1.1\r\nHost: localhost\r\n\r\n" NEXT;
    static const char header[] = "GET /hello HTTP/1.1\r\nHost: localhost\r\nX-A: a\0b\r\n\r\n" NEXT;
    bool closed;
    ask_bytes(target, sizeof target - 1, &closed);
    cr_expect(!strstr(answer, "smuggled") && !strstr(answer, "hello /"), "%s", answer);
    unsigned status = ask_bytes(header, sizeof header - 1, &closed); /* 0.9.75 takes "a" and serves the next */
    cr_expect(status == 0 || status >= 400 || answers_in(answer) == 2, "%s", answer);
}

Test(http_guard, many_or_large_headers, .init = start, .fini = stop) {
    static char text[200000];
    bool closed;
    for (int headers = 63; headers <= 64; headers++) {
        char *at = text + sprintf(text, "GET /hello HTTP/1.1\r\nHost: localhost\r\n");
        for (int i = 1; i < headers; i++)
            at += sprintf(at, "X-%d: y\r\n", i);
        sprintf(at, "%s\r\n", headers == 63 ? "Connection: close\r\n" : "X-A: 1\r\n");
        cr_expect_eq(ask(text, &closed), headers == 63 ? 200 : 431, "%d: %s", headers, answer);
        cr_expect(closed);
    }
    int n = sprintf(text, "GET /hello HTTP/1.1\r\nHost: localhost\r\nX-A: ");
    memset(text + n, 'a', 100000);
    strcpy(text + n + 100000, "\r\n\r\n");
    unsigned status = ask(text, &closed);
    cr_expect(closed && (status == 431 || status == 0), "%u", status);
    n = sprintf(text, "GET /");
    memset(text + n, 'a', 9000);
    strcpy(text + n + 9000, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    status = ask(text, &closed);
    cr_expect(closed && status == 414, "%u", status);
}

static void start_named(void) {
    front_start((struct http_options){.allowed_hosts = "gpu.example, rematd"});
}

Test(http_guard, allowed_hosts, .init = start_named, .fini = stop) {
    static const struct {
        const char *host;
        unsigned status;
    } rows[] = {{"localhost", 200},  {"LOCALHOST:8740", 200}, {"127.0.0.1:1", 200},
                {"[::1]:8740", 200}, {"rematd", 200},         {"gpu.example:80", 200},
                {"gpu", 421},        {"example", 421},        {"[::1", 421},
                {"a,b", 421}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        bool closed;
        snprintf(text, sizeof text, "GET /hello HTTP/1.1\r\nConnection: close\r\nHost: %s\r\n\r\n", rows[i].host);
        cr_expect_eq(ask(text, &closed), rows[i].status, "%s: %s", rows[i].host, answer);
    }
}
