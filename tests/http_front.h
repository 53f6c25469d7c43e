/* http_front.h - an HTTP front on a free port with a few routes, and a client without manners: what the test_http*.c
 * files share. Everything is static: each has its own. */
#ifndef REMATD_TESTS_HTTP_FRONT_H
#define REMATD_TESTS_HTTP_FRONT_H

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/blob.h"
#include "server/http.h"
#include "server/log.h"

#define ROOM     (4u << 20)
#define MEBIBYTE 1048576u

static char directory[64];
static struct service service;
static struct http *http;
static char *answer;
static atomic_bool is_ready;
static bool is_draining;
static atomic_uint told, streams; /* pieces there are for each stream; streams that are not over */

static inline uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- a route table ---- */

static inline bool hello(struct request *request, struct response *response, struct problem *why) {
    const char *name = request_query(request, "name");
    response->content_type = "text/plain";
    response->body = arena_printf(request->arena, why, "hello %s", name ? name : request->path);
    response->body_bytes = response->body ? strlen(response->body) : 0;
    return response->body != NULL;
}

static inline bool thing(struct request *request, struct response *response, struct problem *why) {
    response->body = arena_printf(request->arena, why, "[%s|%s]", request->args[0], request->args[1]);
    response->body_bytes = response->body ? strlen(response->body) : 0;
    return response->body != NULL;
}

static inline bool echo(struct request *request, struct response *response, struct problem *why) {
    (void)why;
    cr_assert_eq(request->body[request->body_bytes], '\0');
    response->body = request->body;
    response->body_bytes = request->body_bytes;
    return true;
}

static inline bool store(struct request *request, struct response *response, struct problem *why) {
    char *digest = arena_take(request->arena, BLOB_DIGEST_SIZE, 1, why);
    if (!digest)
        return false;
    struct blob_upload *upload = request->upload;
    request->upload = NULL;
    response->status = 201;
    response->body = digest;
    response->body_bytes = BLOB_DIGEST_SIZE - 1;
    return blob_upload_commit(upload, digest, why);
}

static inline bool fetch(struct request *request, struct response *response, struct problem *why) {
    uint64_t bytes;
    response->fd = blob_read_open(service.blobs, request->args[0], &bytes, why);
    if (response->fd < 0)
        return false;
    response->content_type = "application/octet-stream";
    if (request_query(request, "behind")) {
        response->body = "prefix:";
        response->body_bytes = 7;
    }
    response->fd_offset = 1;
    response->fd_bytes = bytes - 1;
    return true;
}

static inline bool full_problem(struct request *request, struct response *response, struct problem *why) {
    (void)request, (void)response;
    why->minimum_budget_bytes = 4096;
    return problem_set(why, PROBLEM_BUDGET, "/inputs/q\"", "needs \x01 more \xff");
}

static inline bool ready_now(struct request *request) {
    cr_assert_str_eq(request->state, "mine");
    return is_ready;
}

static inline bool finish(struct request *request, struct response *response, struct problem *why) {
    response->body = arena_printf(request->arena, why, "finished %d", (int)is_ready);
    response->body_bytes = response->body ? strlen(response->body) : 0;
    return response->body != NULL;
}

static inline bool slow(struct request *request, struct response *response, struct problem *why) {
    const char *ms = request_query(request, "ms");
    (void)why;
    request->state = "mine";
    response->wait_until_ns = now_ns() + (ms ? strtoull(ms, NULL, 10) : 0) * 1000000u;
    response->ready = ready_now;
    response->finish = finish;
    return true;
}

/* Pieces as they are told of, three in all; ?big: of 8 MiB; ?ping=ms: something else when there is none for so long;
 * ?broken: no second one. */
static inline bool stream_more(struct request *request, struct route_piece *piece, struct problem *why) {
    static char big[8u << 20];
    unsigned *sent = request->state;
    const char *ping = request_query(request, "ping");
    if (*sent == 1 && request_query(request, "broken"))
        return problem_set(why, PROBLEM_IO, "", "nothing more");
    if (*sent < told) {
        bool large = request_query(request, "big") != NULL;
        piece->bytes = large ? memset(big, 'x', sizeof big) : arena_printf(request->arena, why, "piece %u\n", ++*sent);
        piece->n = large ? sizeof big : strlen(piece->bytes);
        piece->end = *sent == 3;
    } else if (ping && ++*sent > 0) {
        piece->bytes = "ping\n";
        piece->n = 5;
    }
    piece->wait_until_ns = now_ns() + (ping ? strtoull(ping, NULL, 10) : 60000) * 1000000u;
    return true;
}

static inline bool stream_ready(struct request *request) {
    return *(unsigned *)request->state < told;
}

static inline void stream_release(const void *kept) {
    (void)kept;
    streams--;
}

static inline bool stream(struct request *request, struct response *response, struct problem *why) {
    request->state = arena_new(request->arena, unsigned, 1, why);
    if (!request->state)
        return false;
    request->kept = request->state;
    request->release = stream_release;
    streams++;
    response->content_type = "text/plain";
    response->more = stream_more;
    response->ready = stream_ready;
    return true;
}

/* Takes until it is told to end. ?short=1: not long; ?fail=1, ?wait=ms: at once, in the lane. */
static atomic_uint longs_begun;
static atomic_bool longs_end;

static inline bool long_is_long(const struct request *request) {
    return request_query(request, "short") == NULL;
}

static inline bool long_handler(struct request *request, struct response *response, struct problem *why) {
    static const char text[] = "long answer";
    const char *ms = request_query(request, "wait");
    longs_begun++;
    while (!longs_end && long_is_long(request))
        usleep(1000);
    if (request_query(request, "fail"))
        return problem_set(why, PROBLEM_BUDGET, "", "too long");
    if (ms) {
        request->state = "mine";
        response->wait_until_ns = now_ns() + strtoull(ms, NULL, 10) * 1000000u;
        response->ready = ready_now;
        response->finish = finish;
    }
    longs_begun -= !long_is_long(request);
    response->body = text;
    response->body_bytes = sizeof text - 1;
    return true;
}

static const struct route first_routes[] = {
    {"GET", "/healthz", BODY_NONE, hello, SCOPE_OPEN},
    {"GET", "/hello", BODY_QUERY, hello, SCOPE_READ},
    {"GET", "/long", BODY_QUERY, long_handler, SCOPE_READ, ROUTE_PLANS, long_is_long},
    {"GET", "/things/{a}/parts/{b}", BODY_NONE, thing, SCOPE_READ},
    {"POST", "/hello", BODY_JSON, echo, SCOPE_READ},
    {"POST", "/long", BODY_JSON, long_handler, SCOPE_READ, ROUTE_STORE},
    {0},
};
static const struct route second_routes[] = {
    {"POST", "/files", BODY_STREAM, store, SCOPE_SUBMIT},    {"GET", "/files/{digest}", BODY_QUERY, fetch, SCOPE_READ},
    {"GET", "/budget", BODY_NONE, full_problem, SCOPE_READ}, {"GET", "/slow", BODY_QUERY, slow, SCOPE_READ},
    {"GET", "/stream", BODY_QUERY, stream, SCOPE_READ},      {0},
};
static const struct route *const tables[] = {first_routes, second_routes, NULL};

/* ---- start and stop ---- */

static inline bool draining(void) {
    return is_draining;
}

static inline void front_start(struct http_options options) {
    struct problem why = {0};
    signal(SIGPIPE, SIG_IGN);
    log_least(LOG_ERROR);
    snprintf(directory, sizeof directory, "/tmp/rematd-http-XXXXXX");
    is_ready = is_draining = false;
    told = streams = longs_begun = 0;
    longs_end = false;
    cr_assert_not_null(mkdtemp(directory));
    service.blobs = blob_open(directory, &why);
    service.draining = draining;
    if (!options.tables)
        options.tables = tables;
    options.service = &service;
    if (!options.address)
        options.address = "127.0.0.1";
    if (!options.connections)
        options.connections = 32;
    if (!options.upload_limit_bytes)
        options.upload_limit_bytes = 2 * MEBIBYTE;
    http = http_open(&options, &why);
    cr_assert_not_null(http, "%s", why.detail);
    answer = malloc(ROOM);
}

static inline void start(void) {
    front_start((struct http_options){0});
}

static inline void stop(void) {
    char command[128];
    http_close(http);
    blob_close(service.blobs);
    free(answer);
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    cr_assert_eq(system(command), 0);
}

/* ---- a client without manners ---- */

static inline int dial(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(http_port(http))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static inline void say_bytes(int fd, const void *bytes, size_t n) {
    for (const char *at = bytes; n > 0;) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        at += sent;
        n -= (size_t)sent;
    }
}

static inline void say(int fd, const char *text) {
    say_bytes(fd, text, strlen(text));
}

/* Reads until the peer closes or ms pass; returns the bytes, NUL-terminated in answer. *closed: the peer did. */
static inline size_t hear(int fd, int ms, bool *closed) {
    size_t n = 0;
    uint64_t until = now_ns() + (uint64_t)ms * 1000000u;
    *closed = false;
    while (n + 1 < ROOM && now_ns() < until) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 10) <= 0)
            continue;
        ssize_t got = recv(fd, answer + n, ROOM - 1 - n, 0);
        if (got <= 0) {
            *closed = true;
            break;
        }
        n += (size_t)got;
    }
    answer[n] = '\0';
    return n;
}

static inline unsigned status_of(const char *text) {
    unsigned status = 0;
    return sscanf(text, "HTTP/1.%*u %u", &status) == 1 ? status : 0;
}

static inline unsigned answers_in(const char *text) {
    unsigned n = 0;
    while ((text = strstr(text, "HTTP/1."))) {
        n++;
        text += 7;
    }
    return n;
}

/* One connection, one text, everything until it closes (or 300 ms without). */
static inline unsigned ask_bytes(const void *text, size_t n, bool *closed) {
    int fd = dial();
    say_bytes(fd, text, n);
    hear(fd, 300, closed);
    close(fd);
    return status_of(answer);
}

static inline unsigned ask(const char *text, bool *closed) {
    return ask_bytes(text, strlen(text), closed);
}

/* A request with Connection: close, so that nothing has to wait. */
static inline unsigned ask_end(const char *head, const char *body) {
    char text[4096];
    bool closed;
    snprintf(text, sizeof text, "%s\r\nHost: localhost\r\nConnection: close\r\n\r\n%s", head, body);
    int fd = dial();
    say(fd, text);
    hear(fd, 5000, &closed);
    cr_expect(closed, "%s", head);
    close(fd);
    return status_of(answer);
}

static inline const char *body_of(const char *text) {
    const char *end = strstr(text, "\r\n\r\n");
    return end ? end + 4 : "";
}

#define POST "POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

#endif
