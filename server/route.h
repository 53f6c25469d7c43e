/* route.h - what a handler is given, what it answers with, and how a path finds it.
 *
 * Handlers are plain functions over these structs: they see no socket and no HTTP library, and run on any of the
 * front's threads, several at once. Everything in a request lives until its response has been sent. */
#ifndef REMATD_SERVER_ROUTE_H
#define REMATD_SERVER_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/problem.h"

struct blob_store;
struct blob_upload;
struct config;
struct plan_cache;
struct queue;
struct store;

/* What handlers share; made by main.c, read-only once the front listens. */
struct service {
    const struct config *config;
    struct store *store;
    struct blob_store *blobs;
    struct queue *queue;
    struct plan_cache *plans;    /* NULL: none */
    uint64_t memory_limit_bytes; /* smallest of configuration, cgroup and the machine */
    uint64_t planning_bytes;     /* what the plans of one request may hold; 0: no bound */
    unsigned threads;            /* kernel threads a worker uses */
    bool (*draining)(void);      /* may be NULL: never */
};

/* A decoded name and value, NUL-terminated. */
struct route_pair {
    const char *name, *value;
};

#define ROUTE_ARGS             4
#define ROUTE_RESPONSE_HEADERS 8
#define ROUTE_PROBLEM_TYPE     "/problems/" /* and the slug: "type" of a problem on the wire (a relative URI) */

struct request {
    struct service *service;
    struct arena *arena;          /* per request: what a handler makes for its response lives here */
    const char *method, *path;    /* path decoded, without query. HEAD arrives as "GET" */
    const char *args[ROUTE_ARGS]; /* {parameters} of the pattern, in order, decoded */
    const char *body;             /* BODY_JSON: NUL-terminated behind its end */
    size_t body_bytes;
    struct blob_upload *upload; /* BODY_STREAM: finished writing, not yet committed. A handler that commits or discards
                                   it sets this NULL; http discards what is left */
    const void
        *kept; /* what a handler's response is part of, if not of the arena: http calls release(kept) at the end */
    void (*release)(const void *kept);
    void *state;           /* the handler's own, between handle, ready and finish */
    void *connection;      /* http's own */
    const char *id;        /* its X-Request-Id; NULL before its headers have been looked at */
    const char *trace;     /* the trace it belongs to; NULL: none */
    const char *client;    /* who asks: the name of its token; "" where the daemon has no tokens */
    const char *raw_query; /* as it came, without '?'; "" if there is none */
    const struct route_pair *query, *headers;
    unsigned n_query, n_headers;
};

/* Decoded value of the first such query parameter; NULL if absent. */
const char *request_query(const struct request *request, const char *name);
unsigned request_query_count(const struct request *request);
/* i < request_query_count, in the order of the URI. Handlers use it to refuse names they do not know. */
void request_query_at(const struct request *request, unsigned i, const char **name, const char **value);
/* The problem of a name that a handler does not know, at "/name". Returns false. */
bool request_parameter_unknown(const char *name, struct problem *why);
/* Any case of name; NULL if absent. */
const char *request_header(const struct request *request, const char *name);

/* A media type that can be asked for, and what a handler calls it. */
struct route_format {
    const char *type;
    unsigned format;
};
/* The format that the Accept header likes best, of those whose bit is set in formats; among equals the one it names
 * first, without a header the first row's. False: none. */
bool request_format(const struct request *request, const struct route_format *rows, unsigned n, unsigned formats,
                    unsigned *out);

/* What a stream sends next. */
struct route_piece {
    const char *bytes; /* stay until the next piece is asked for */
    size_t n;          /* 0: nothing yet; asked again when ready says so, or at wait_until_ns */
    bool end;          /* nothing comes after these */
    uint64_t wait_until_ns;
};

struct response {
    unsigned status;          /* 0 counts as 200 */
    const char *content_type; /* NULL: application/json */
    struct route_pair headers[ROUTE_RESPONSE_HEADERS];
    unsigned n_headers;
    const void *body; /* arena or static memory, or part of request->kept; http keeps the arena until it is sent */
    size_t body_bytes;
    /* fd >= 0: after body, this part of a file follows. http closes fd. http hands handlers a response with fd = -1. */
    int fd;
    uint64_t fd_offset, fd_bytes;
    /* Prefer: wait. With wait_until_ns != 0 (CLOCK_MONOTONIC) nothing is sent yet: http asks ready (cheap; any thread,
     * never two at once) about every 10 ms, and calls finish, with a fresh response, when it is true or the time is
     * over. */
    uint64_t wait_until_ns;
    bool (*ready)(struct request *);
    bool (*finish)(struct request *, struct response *, struct problem *);
    /* A stream, instead of a body: sent as it comes, piece by piece, with this response's status and headers. http asks
     * more for the next one (any thread, never two at once, never beside ready), and ready (needed) while there is
     * none. False: the answer is cut off, so that the client sees it. A stream that its client has left, or that the
     * front closes on, is not asked again; request->release ends it in any case. */
    bool (*more)(struct request *, struct route_piece *, struct problem *);
};

/* name static; value in the arena or static, without control characters. False if there are too many (a defect of
 * ours). */
bool response_header(struct response *response, const char *name, const char *value);

/* BODY_JSON: at most ROUTE_JSON_MAX bytes, content type application/json. BODY_STREAM: written to a blob upload.
 * BODY_QUERY: none, but parameters behind '?'; the handler refuses names that it does not know, http those that are
 * there twice. The others take no parameters: http refuses any. */
enum body_kind { BODY_NONE, BODY_JSON, BODY_STREAM, BODY_QUERY };
#define ROUTE_JSON_MAX ((size_t)1 << 20)

/* What a token must allow for a route; SCOPE_OPEN: none is asked for. SCOPE_ADMIN holds the others. A route of
 * SCOPE_METRICS wants SCOPE_READ, or nothing where the front is told so. */
enum route_scope { SCOPE_OPEN = 0, SCOPE_READ = 1, SCOPE_SUBMIT = 2, SCOPE_ADMIN = 4, SCOPE_METRICS = 8 };

/* True with a response, or false with a problem, which http sends as application/problem+json. */
typedef bool route_handler(struct request *, struct response *, struct problem *why);

/* Where a handler runs. What plans may take seconds, what writes to the disk may wait for it: on threads of their own
 * they keep nobody from an answer that is at hand. */
enum route_lane { ROUTE_AT_ONCE, ROUTE_PLANS, ROUTE_STORE, ROUTE_LANES };

struct route {
    const char *method;  /* GET answers HEAD too */
    const char *pattern; /* "/v1/jobs/{id}/tensors/{name}": a parameter is one whole, non-empty segment */
    enum body_kind body;
    route_handler *handle;
    enum route_scope scope;
    enum route_lane lane;                    /* ROUTE_AT_ONCE: on the front's own threads */
    bool (*is_long)(const struct request *); /* false: at once all the same. NULL: always in its lane */
    const char *repeats;                     /* parameters that may be there more than once: "job label" */
};

static inline bool route_takes_body(const struct route *route) {
    return route->body == BODY_JSON || route->body == BODY_STREAM;
}

/* The tables of the api_*.c files: each ends with a row of method NULL, the list with NULL. In api_table.c. */
extern const struct route *const route_tables[];

/* Finds the row for a decoded path and fills args (pointers into the arena). NULL with PROBLEM_NOT_FOUND where no
 * pattern fits; NULL with PROBLEM_STATE and *allow ("GET, HEAD, POST", in the arena) where one fits but not with this
 * method. */
PROBLEM_MUST_CHECK const struct route *route_find(const struct route *const *tables, const char *method,
                                                  const char *path, const char *args[ROUTE_ARGS], const char **allow,
                                                  struct arena *arena, struct problem *why);

/* Whether the row takes parameters at all, and each is there once but those that it lets repeat. False with the name of
 * the one to blame. */
PROBLEM_MUST_CHECK bool route_parameters_check(const struct route *route, const struct request *request,
                                               struct problem *why);

/* Percent-decodes a raw path or query part into the arena ('+' is a space where plus is true). PROBLEM_MALFORMED on bad
 * escapes and %00. */
PROBLEM_MUST_CHECK const char *route_decode(const char *raw, size_t bytes, bool plus, struct arena *arena,
                                            struct problem *why);

/* Splits and decodes "a=1&b=2" (no leading '?'); at most 64 pairs. */
PROBLEM_MUST_CHECK bool route_query_parse(const char *raw, struct arena *arena, const struct route_pair **pairs,
                                          unsigned *n, struct problem *why);

/* text as a JSON string with its quotes, in the arena; bytes that are not UTF-8 become U+FFFD. NULL where memory is
 * gone. */
const char *route_json_text(const char *text, struct arena *arena);
/* Whether all of it is UTF-8 without overlong forms and surrogates. */
bool route_text_is_utf8(const char *text);

/* HTTP status of a problem: one row per kind. */
unsigned route_problem_status(enum problem_kind kind);

/* The body of an RFC 9457 application/problem+json document, in the arena; NULL where memory is gone. status 0: from
 * the kind. */
const char *route_problem_body(const struct problem *problem, unsigned status, struct arena *arena, size_t *bytes);

#endif
