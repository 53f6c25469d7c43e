/* http_private.h - what the http_*.c files share; nobody else includes it. */
#ifndef REMATD_SERVER_HTTP_PRIVATE_H
#define REMATD_SERVER_HTTP_PRIVATE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "server/http.h"

#if MHD_VERSION < 0x00097002
typedef int http_result;
#else
typedef enum MHD_Result http_result;
#endif

#if MHD_VERSION >= 0x01000000
#define HTTP_STRICT_OPTION MHD_OPTION_CLIENT_DISCIPLINE_LVL
#else
#define HTTP_STRICT_OPTION MHD_OPTION_STRICT_FOR_CLIENT
#endif

#define HTTP_DAEMON_FLAGS      (MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME)
#define HTTP_POOL_THREADS      4u
#define HTTP_CONNECTION_MEMORY ((size_t)32 << 10) /* headers, and the pieces of a body */
#define HTTP_IDLE_SECONDS      60u                /* no byte either way; the keeper's deadlines are stricter */

#define HTTP_HEADERS_MAX   64
#define HTTP_DROP_MAX      ((uint64_t)64 << 20) /* of a refused body, before the connection is cut */
#define HTTP_ARENA_MAX     ((uint64_t)64 << 20)
#define HTTP_URI_MAX       8192u
#define HTTP_RETRY_SECONDS "1"
#define HTTP_STREAMS_MAX   200u /* at once, and never more than half of the connections */

/* What a connection is doing, for its deadline. */
enum http_phase { PHASE_HEADERS, PHASE_BODY, PHASE_HANDLING, PHASE_SENDING };

struct http_connection {
    struct http_connection *previous, *next; /* in http->connections, under http->lock */
    int fd;
    bool surplus;                 /* beyond the limit: gets 503 */
    struct arena arena;           /* of the request that is being served */
    uint64_t deserted_at;         /* the keeper's: when the peer's end was first seen; 0: not */
    _Atomic int phase;            /* the connection's thread writes these three, the keeper reads */
    _Atomic uint64_t since_ns;    /* when the phase began */
    _Atomic uint64_t phase_bytes; /* received or to be sent in it */
};

enum http_stage {
    STAGE_NEW,     /* headers not looked at yet */
    STAGE_BODY,    /* body is read for the handler */
    STAGE_DROP,    /* body is read and dropped; then exchange->problem is sent */
    STAGE_WAITING, /* suspended until ready */
    STAGE_ANSWERED,
};

/* One request and its answer. Freed when the library says the request is over. */
struct http_exchange {
    struct http *http;
    struct http_connection *connection;
    struct MHD_Connection *mhd;
    enum http_stage stage;
    char *uri;           /* raw, as it came */
    const char *uri_end; /* of the library's own copy */
    bool uri_too_long;
    struct arena *arena; /* the connection's: its pages serve one request after the other */
    struct request request;
    const struct route *route;
    bool head;
    char *body; /* malloc: grows by doubling */
    size_t body_bytes, body_room;
    uint64_t dropped_bytes;
    struct problem problem; /* why it is refused */
    unsigned status;        /* with problem; 0: by its kind */
    const char *allow;      /* with 405 */
    uint64_t started_ns;
    struct response waiting;  /* STAGE_WAITING: wait_until_ns, ready, finish; a stream: more, ready, wait_until_ns */
    struct route_piece piece; /* of a stream, and how much of it is sent */
    size_t piece_sent;
    bool streams;      /* counted in http->n_streams */
    bool left;         /* the keeper's word: the client sends no more */
    uint64_t asked_ns; /* the keeper's: when ready was last asked */
    struct http_exchange *next_waiting;
};

struct http {
    struct http_options options;
    struct MHD_Daemon *daemon;
    uint16_t port;
    uint64_t grace_ns;
    pthread_t keeper;
    pthread_mutex_t lock; /* for all below */
    pthread_cond_t wake;
    struct http_connection *connections;
    unsigned n_connections, n_streams;
    struct http_exchange *arriving; /* suspended, the keeper has not seen them yet */
    bool closing;
};

uint64_t http_now_ns(void);
void http_phase_set(struct http_connection *connection, enum http_phase phase, uint64_t bytes);

/* ---- http_guard.c: what the library lets through ---- */

/* False with exchange->problem and status set. *drop: the body's framing is sound, it may be read and dropped so that
 * the client sees the answer; else the answer is sent at once. *body: there is one. */
PROBLEM_MUST_CHECK bool http_guard(struct http_exchange *exchange, const char *method, const char *version, bool *drop,
                                   bool *body);
/* What is wrong with a raw request target; NULL if nothing is. */
const char *http_guard_uri(const char *uri);
/* Sets exchange->problem and status; false. */
bool http_refuse(struct http_exchange *exchange, unsigned status, enum problem_kind kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Whether a header's media type (parameters apart) is one of a NULL-terminated list. */
bool http_media_type_in(const char *value, const char *const *list);

/* ---- http_body.c ---- */

/* Checks length and type of the body against the route. False with exchange->problem set. */
PROBLEM_MUST_CHECK bool http_body_begin(struct http_exchange *exchange, bool body);
/* A piece of it. False with exchange->problem set. */
PROBLEM_MUST_CHECK bool http_body_add(struct http_exchange *exchange, const char *bytes, size_t n);

/* ---- http_reply.c ---- */

http_result http_reply(struct http_exchange *exchange, struct response *response);
/* Queues a reply of the library (destroyed here) under a response's status and headers. NULL: there is none. */
http_result http_reply_queue(struct http_exchange *exchange, struct MHD_Response *reply,
                             const struct response *response, bool closes);
/* exchange->problem as problem+json. closes: the connection ends after it. */
http_result http_reply_problem(struct http_exchange *exchange, bool closes);

/* ---- http_stream.c: answers that are sent as they come ---- */

/* Begins one; where there are too many, that is what is answered. */
http_result http_stream(struct http_exchange *exchange, const struct response *response);
/* The request is over, whether it was a stream or not. */
void http_stream_over(struct http_exchange *exchange);

/* ---- http_keeper.c: deadlines and waits ---- */

PROBLEM_MUST_CHECK bool http_keeper_start(struct http *http, struct problem *why);
/* Resumes all that wait; then the thread ends. */
void http_keeper_stop(struct http *http);
/* Suspends the exchange's connection until exchange->waiting is ready, its time is over, its client left, or the front
 * closes. The library then calls for an answer, or for a stream's next bytes, again. */
void http_keeper_wait(struct http_exchange *exchange);
void http_keeper_connection(void *http, struct MHD_Connection *mhd, void **socket_context,
                            enum MHD_ConnectionNotificationCode code);

#endif
