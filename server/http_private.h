/* http_private.h - what the http_*.c files share; nobody else includes it. */
#ifndef REMATD_SERVER_HTTP_PRIVATE_H
#define REMATD_SERVER_HTTP_PRIVATE_H

#include <gnutls/abstract.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "server/http.h"
#include "server/trace.h"

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
#define HTTP_LANE_THREADS  16u

/* What a connection is doing, for its deadline. */
enum http_phase { PHASE_HEADERS, PHASE_BODY, PHASE_HANDLING, PHASE_SENDING };

/* Where a connection comes from, as far as it is counted. */
struct http_address {
    unsigned char bytes[16];
    bool known, loopback;
};

/* A socket that listens, and the threads that serve it. */
struct http_listener {
    struct http *http;
    struct MHD_Daemon *daemon;
    int fd;     /* -1: the library's, or closed */
    bool local; /* loopback, or a file: no other machine reaches it */
    bool lent;  /* by who started us: it goes on listening when we are gone */
    bool tls;
    char path[108]; /* of a file; "": none, or not ours to remove */
    uint64_t file;  /* inode of the path */
    char url[160];
};

struct http_tls_pair;

struct http_connection {
    struct http_connection *previous, *next; /* in http->connections, under http->lock */
    struct http_listener *listener;
    int fd;
    struct http_address address;
    bool surplus;                 /* beyond a limit: gets 503 */
    bool crowd;                   /* beyond that of its address */
    struct arena arena;           /* of the request that is being served */
    uint64_t deserted_at;         /* the keeper's: when the peer's end was first seen; 0: not */
    _Atomic int phase;            /* the connection's thread writes these three, the keeper reads */
    _Atomic uint64_t since_ns;    /* when the phase began */
    _Atomic uint64_t phase_bytes; /* received or to be sent in it */
};

struct token_grant;

enum http_stage {
    STAGE_NEW,     /* headers not looked at yet */
    STAGE_BODY,    /* body is read for the handler */
    STAGE_DROP,    /* body is read and dropped; then exchange->problem is sent */
    STAGE_LANE,    /* suspended until its handler has run in a lane */
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
    const char *challenge;  /* with 401 and 403: WWW-Authenticate */
    unsigned retry_seconds; /* with 429 */
    const char *origin;     /* of the page that asks, where its answers may be read there (CORS) */
    uint64_t started_ns;
    /* What the token that came with it allows; NULL: none is known. */
    const struct token_grant *grant;
    struct response waiting;  /* STAGE_WAITING: wait_until_ns, ready, finish; a stream: more, ready, wait_until_ns */
    struct route_piece piece; /* of a stream, and how much of it is sent */
    size_t piece_sent;
    bool streams;                                         /* counted in http->n_streams */
    bool left;                                            /* the keeper's word: the client sends no more */
    char made_id[TRACE_ID_SIZE], trace_id[TRACE_ID_SIZE]; /* request.id, request.trace */
    uint64_t asked_ns;                                    /* the keeper's: when ready was last asked */
    struct http_exchange *next_waiting;
    bool handled_good;  /* STAGE_LANE: what its handler said */
    uint64_t queued_ns; /* when it began to wait in its lane */
    struct response handled;
    struct http_exchange *next_queued;
};

/* Threads that run handlers which take long, and those that wait for one. */
struct http_lane {
    pthread_t threads[HTTP_LANE_THREADS];
    unsigned n_threads, n_queued, most_queued;
    uint64_t bytes, most_bytes; /* that the bodies of those who wait take */
    uint64_t patience_ns;       /* who has waited for so long is refused */
    pthread_mutex_t lock;       /* for the queue */
    pthread_cond_t wake;
    struct http_exchange *first, *last;
    bool closing;
};

struct http {
    struct http_options options;
    struct http_listener listeners[HTTP_LISTENERS_MAX];
    unsigned n_listeners;
    struct http_tls_pair *tls; /* the newest, behind it older ones; NULL: no TLS */
    uint16_t port;             /* of the first that has one */
    uint64_t grace_ns;
    pthread_t keeper;
    pthread_mutex_t lock; /* for all below */
    pthread_cond_t wake;
    struct http_connection *connections;
    unsigned n_connections, n_streams;
    struct http_lane lanes[ROUTE_LANES];
    struct http_exchange *arriving; /* suspended, the keeper has not seen them yet */
    bool closing;
};

/* Whether it asks for /healthz or /readyz, which are answered whatever happens. */
bool http_is_probe(const struct http_exchange *exchange);
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
/* How often a header is there; *value is the last. */
unsigned http_header_count(const struct http_exchange *exchange, const char *name, const char **value);
/* Whether name, of so many bytes and any case, is in "a,b, c". */
bool http_list_has(const char *list, const char *name, size_t length);
/* Whether a header's media type (parameters apart) is one of a NULL-terminated list. */
bool http_media_type_in(const char *value, const char *const *list);

/* ---- http_access.c: who may ask ---- */

/* The first of it, once the headers are there: notes an Origin that is listed. True where that is all that was asked (a
 * preflight) and http_access_preflight answers it. */
bool http_access_begin(struct http_exchange *exchange, const char *method);
http_result http_access_preflight(struct http_exchange *exchange);
/* Then: whose token it is, and whether it has asked too often. False with exchange->problem and status set, as the
 * next. */
PROBLEM_MUST_CHECK bool http_access_who(struct http_exchange *exchange);
/* With exchange->route: whether it allows that, and nothing changes for pages from elsewhere. */
PROBLEM_MUST_CHECK bool http_access(struct http_exchange *exchange);
/* Adds to a reply what browsers are to know. */
PROBLEM_MUST_CHECK bool http_access_headers(const struct http_exchange *exchange, struct MHD_Response *reply);

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

/* ---- http_connections.c: who is connected ---- */

/* The library's callbacks, of a listener: before a connection is taken, and when it begins and ends. */
http_result http_connection_may(void *listener, const struct sockaddr *from, socklen_t size);
void http_connection_notify(void *listener, struct MHD_Connection *mhd, void **socket_context,
                            enum MHD_ConnectionNotificationCode code);
/* Connections of one address that are served at once. */
unsigned http_address_limit(const struct http_options *options);

/* ---- http_listen.c: sockets ---- */

/* Fills http->listeners with sockets that listen, those we were handed or those of the options. False: those that were
 * opened are closed by http_listen_close. */
PROBLEM_MUST_CHECK bool http_listen(struct http *http, struct problem *why);
/* Takes the files of sockets away; nobody connects any more, but to sockets we were lent. The library's threads may
 * still look at them. */
void http_listen_refuse(struct http *http);
/* The same, and closes those that the library has not: once its threads have ended. */
void http_listen_close(struct http *http);

/* ---- http_tls.c ---- */

/* Reads certificate and key of the options, if there are any, and checks that they belong together. */
PROBLEM_MUST_CHECK bool http_tls_open(struct http *http, struct problem *why);
/* When no session is left. */
void http_tls_close(struct http *http);
/* gnutls's question at a handshake (gnutls_certificate_retrieve_function2): what was read last. */
gnutls_certificate_retrieve_function2 http_tls_find;

/* ---- http_lane.c: handlers that take long ---- */

PROBLEM_MUST_CHECK bool http_lanes_start(struct http *http, struct problem *why);
/* What is queued is refused, as what comes later is; what runs is waited for. */
void http_lanes_stop(struct http *http);
/* When nobody is connected any more, and the keeper has stopped. */
void http_lanes_free(struct http *http);
/* Suspends the exchange's connection until its handler has run: then the library calls for an answer again, with
 * exchange->handled. False with exchange->problem set: too many wait. */
PROBLEM_MUST_CHECK bool http_lane_enter(struct http_exchange *exchange);
/* The keeper's: refuses who waits for too long. */
void http_lanes_expire(struct http *http, uint64_t now_ns);

/* ---- http_trace.c ---- */

/* Once its headers are known, or as far as they are: sets request.id and request.trace, and enters. */
void http_trace_begin(struct http_exchange *exchange);
/* What this thread logs from here to http_trace_leave belongs to the request. */
void http_trace_enter(const struct http_exchange *exchange);
void http_trace_leave(void);
/* The request is over: counts it. */
void http_trace_end(const struct http_exchange *exchange);

/* ---- http_keeper.c: deadlines and waits ---- */

/* The client sends no more: it has left, or closed its sending half. */
bool http_is_left(const struct http_exchange *exchange);

PROBLEM_MUST_CHECK bool http_keeper_start(struct http *http, struct problem *why);
/* Resumes all that wait; then the thread ends. */
void http_keeper_stop(struct http *http);
/* When nobody is connected any more. */
void http_keeper_free(struct http *http);
/* Suspends the exchange's connection until exchange->waiting is ready, its time is over, its client left, or the front
 * closes. The library then calls for an answer, or for a stream's next bytes, again. */
void http_keeper_wait(struct http_exchange *exchange);

#endif
