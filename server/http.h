/* http.h - the HTTP front: the only user of libmicrohttpd. Checks what the library lets through, reads bodies within
 * limits, hands requests to the rows of a route table, sends what they answer.
 *
 * A few threads of the library's pool run the handlers; one thread of our own (the keeper) enforces deadlines and asks
 * waiting requests whether they are ready. */
#ifndef REMATD_SERVER_HTTP_H
#define REMATD_SERVER_HTTP_H

#include <stdint.h>

#include "engine/base/problem.h"
#include "server/route.h"

struct http;
struct rate;
struct token_file;

struct http_options {
    const char *address; /* numeric */
    uint16_t port;       /* 0: any free one */
    const struct route *const *tables;
    struct service *service;
    const char *allowed_hosts; /* see config.h */
    const char *origins;       /* see config.h; NULL: none */
    struct token_file *tokens; /* NULL: whoever reaches us may ask */
    struct rate *rate;         /* of each token, or address; NULL: no limit */
    bool open_metrics;         /* routes of SCOPE_METRICS want no token */
    uint64_t upload_limit_bytes;
    unsigned connections;            /* served at once; what is beyond gets 503 on anything but /healthz and /readyz */
    unsigned grace_ms;               /* for a request's headers, and for a body on top of its rate; 0: 20 s */
    unsigned least_bytes_per_second; /* of a body, either way; 0: 500 */
};

/* Listens, and serves until http_close. options' pointers must live as long. PROBLEM_IO where the address cannot be
 * had. */
PROBLEM_MUST_CHECK struct http *http_open(const struct http_options *options, struct problem *why);
/* The port in use. */
uint16_t http_port(const struct http *http);
/* Ends waits, answers what is being handled, closes connections, joins threads. NULL is fine. */
void http_close(struct http *http);

#endif
