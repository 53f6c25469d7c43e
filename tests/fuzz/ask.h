/* ask.h - what the fuzz targets share that ask handlers: a service over a store in build/fuzz, one question, and what
 * must hold of every answer. Everything is static: each has its own. */
#ifndef REMATD_TESTS_FUZZ_ASK_H
#define REMATD_TESTS_FUZZ_ASK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/api.h"
#include "server/blob.h"
#include "server/config.h"
#include "server/queue.h"
#include "server/route.h"
#include "server/store.h"
#include "server/wire.h"

#define ASK_DIRECTORY    "build/fuzz/data"
#define ASK_MEMORY_LIMIT ((uint64_t)1 << 28)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static inline void check(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "fuzz: %s\n", what);
        abort();
    }
}

static inline struct service *service_once(void) {
    static struct service service;
    static struct config config;
    struct problem why = {0};
    if (service.blobs)
        return &service;
    wire_start();
    service.blobs = blob_open(ASK_DIRECTORY, &why);
    service.store = service.blobs ? store_open(ASK_DIRECTORY, &why) : NULL;
    service.memory_limit_bytes = ASK_MEMORY_LIMIT;
    service.queue = service.store ? queue_new(service.store, ASK_MEMORY_LIMIT, &why) : NULL;
    check(service.queue != NULL, why.detail);
    service.config = &config;
    service.threads = 1;
    return &service;
}

/* Whoever is refused hears why, where, and that it was his mistake - or that there is no room for it now. */
static inline void refused(const struct problem *why) {
    unsigned status = route_problem_status(why->kind);
    check(why->kind != PROBLEM_NONE && why->detail[0], "refused without saying why");
    check(why->where[0] == '\0' || why->where[0] == '/', "refused at no pointer");
    check(status < 500 || status == 503 || status == 507, why->detail);
}

static inline void answered(struct request *request, struct response *response, struct problem *why) {
    if (response->wait_until_ns && response->finish) {
        struct response later = {.fd = -1};
        bool good = response->finish(request, &later, why);
        check(good || why->kind != PROBLEM_NONE, "a wait ends without a word");
        *response = later;
    }
    struct route_piece piece = {0};
    if (response->more && response->more(request, &piece, why))
        check(piece.n == 0 || piece.bytes, "a piece of nothing");
    check(response->status < 500, "a server's error without a problem");
    check(!response->body_bytes || response->body, "a body of nothing");
    if (response->fd >= 0)
        close(response->fd);
}

/* Asks what routes find; headers and query are decoded already. body NULL: none. True with an answer. */
static inline bool ask(struct request *request, const char *method, const char *path, const char *body) {
    struct arena arena;
    struct problem why = {0};
    struct response response = {.fd = -1};
    const char *allow = NULL;
    arena_init(&arena, (uint64_t)64 << 20);
    request->service = service_once();
    request->arena = &arena;
    request->method = method;
    request->path = path;
    request->client = "";
    request->raw_query = request->raw_query ? request->raw_query : "";
    request->body = body ? body : "";
    request->body_bytes = strlen(request->body);
    const struct route *row = route_find(route_tables, method, path, request->args, &allow, &arena, &why);
    check(row != NULL, "there is no such route");
    bool good = row->handle(request, &response, &why);
    if (good)
        answered(request, &response, &why);
    else
        refused(&why);
    if (request->release)
        request->release(request->kept);
    arena_free(&arena);
    return good;
}

/* bytes as a text. */
static inline char *text_of(const uint8_t *bytes, size_t n) {
    char *text = malloc(n + 1);
    check(text != NULL, "no memory");
    memcpy(text, bytes, n);
    text[n] = '\0';
    return text;
}

/* The same between two others; free it. */
static inline char *text_between(const char *before, const uint8_t *bytes, size_t n, const char *after) {
    size_t first = strlen(before), last = strlen(after);
    char *text = malloc(first + n + last + 1);
    check(text != NULL, "no memory");
    memcpy(text, before, first);
    memcpy(text + first, bytes, n);
    memcpy(text + first + n, after, last + 1);
    return text;
}

#endif
