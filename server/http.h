/* http.h - the HTTP front: the only user of libmicrohttpd. Checks what the library lets through, reads bodies within
 * limits, hands requests to the rows of a route table, sends what they answer.
 *
 * A few threads of the library's pool run the handlers, but those that may take long: these have lanes, threads of our
 * own with a bounded queue before them. One more thread of ours (the keeper) enforces deadlines and asks waiting
 * requests whether they are ready. */
#ifndef REMATD_SERVER_HTTP_H
#define REMATD_SERVER_HTTP_H

#include <stdint.h>

#include "engine/base/problem.h"
#include "server/route.h"

struct http;
struct rate;
struct token_file;

struct http_options {
    const char *address;   /* numeric; NULL or "": no TCP */
    uint16_t port;         /* 0: any free one */
    const char *unix_path; /* of a socket in the file system; NULL or "": none */
    bool inherit;          /* sockets that systemd hands over (LISTEN_FDS) are served in place of these */
    bool insecure;         /* addresses that other machines reach are meant, where they are inherited */
    const char *tls_certificate, *tls_key; /* PEM files: TCP is HTTPS; NULL or "": it is not */
    const struct route *const *tables;
    struct service *service;
    const char *allowed_hosts; /* see config.h */
    const char *origins;       /* see config.h; NULL: none */
    struct token_file *tokens; /* NULL: whoever reaches us may ask */
    struct rate *rate;         /* of each token, or address; NULL: no limit */
    bool open_metrics;         /* routes of SCOPE_METRICS want no token */
    uint64_t upload_limit_bytes;
    unsigned connections;             /* served at once; what is beyond gets 503 on anything but /healthz and /readyz */
    unsigned connections_per_address; /* of them; loopback and files apart. 0: half, n: n, of loopback too */
    unsigned streams;                 /* answers that are sent as they come, never more than half of the connections */
    unsigned planning_threads;        /* at work on what takes long; 0: two more than cores, at least 4 */
    unsigned planning_queue;          /* requests that wait for one of them; what is beyond gets 503; 0: 32 */
    unsigned filing_patience_ms;      /* of who waits to file a job or a tensor; 0: 10 s */
    unsigned grace_ms;                /* for a request's headers, and for a body on top of its rate; 0: 20 s */
    unsigned least_bytes_per_second;  /* of a body, either way; 0: 500 */
};

#define HTTP_LISTENERS_MAX 4

/* Listens, and serves until http_close. options' pointers must live as long. PROBLEM_IO where an address cannot be had;
 * problems name the flag to blame. */
PROBLEM_MUST_CHECK struct http *http_open(const struct http_options *options, struct problem *why);
/* The port in use; 0: none. */
uint16_t http_port(const struct http *http);
/* Where it listens, from 0 on: http://127.0.0.1:8740, https://..., unix:/path. NULL: no more. */
const char *http_url(const struct http *http, unsigned i);
/* Tells a service manager ("READY=1", "STOPPING=1": sd_notify(3)), where there is one. */
void http_notify(const char *state);
/* Reads the files of certificate and key again: new connections are shown what is in them. Where something is wrong
 * with them the old pair stays. Of one thread at a time, and of fronts that have them. */
PROBLEM_MUST_CHECK bool http_tls_reread(struct http *http, struct problem *why);
/* Ends waits, answers what is being handled, closes connections, joins threads. NULL is fine. */
void http_close(struct http *http);

#endif
