/* http.c - see http.h: the life of a request. The library calls answer() once with the headers, once for each piece of
 * the body, once at its end, and again after a wait. An answer may be queued in the first call (which closes the
 * connection's body for good) or after the body; between the two, what is refused is read and dropped. */
#include "server/http_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/units.h"
#include "server/blob.h"
#include "server/clock.h"
#include "server/log.h"
#include "server/metrics.h"

#define PROBE_ROOM       64u /* connections beyond the limit that still hear 503 */
#define GRACE_MS         20000u
#define BYTES_PER_SECOND 500u
#define STREAMS          200u
#define CLOSE_WAIT_MS    2000u
#define PATH_LOGGED      300

/* ---- exchanges ---- */

/* The library's first word of a request: the raw target. What it returns is handed to answer(). */
static void *exchange_new(void *unused, const char *uri, struct MHD_Connection *mhd) {
    struct http_exchange *exchange = calloc(1, sizeof *exchange);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (!exchange || !info || !info->socket_context) {
        free(exchange);
        return NULL;
    }
    (void)unused;
    exchange->mhd = mhd;
    exchange->connection = info->socket_context;
    exchange->http = exchange->connection->listener->http;
    exchange->started_ns = clock_now_ns();
    exchange->arena = &exchange->connection->arena;
    exchange->arena->limit_bytes = HTTP_ARENA_MAX;
    exchange->uri_end = uri + strlen(uri);
    exchange->uri_too_long = strlen(uri) > HTTP_URI_MAX;
    exchange->uri = exchange->uri_too_long ? "" : arena_copy(exchange->arena, uri, strlen(uri) + 1, &exchange->problem);
    exchange->request = (struct request){
        .service = exchange->http->options.service, .arena = exchange->arena, .client = "", .connection = exchange};
    metrics_add(METRICS_IN_FLIGHT, 1);
    return exchange;
}

/* Digits in front of end; returns the first. */
static char *digits(char *end, uint64_t value, unsigned least) {
    for (; value || least; value /= 10, least -= least > 0)
        *--end = (char)('0' + value % 10);
    return end;
}

/* "GET /v1/plans 200 in 0.123 ms" */
static void exchange_log(const struct http_exchange *exchange) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(exchange->mhd, MHD_CONNECTION_INFO_HTTP_STATUS);
    const char *path = exchange->request.path;
    if (!path || strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0)
        return;
    uint64_t us = (clock_now_ns() - exchange->started_ns) / 1000;
    char status[8] = {0}, ms[24] = {0}, *fraction = digits(ms + 23, us % 1000, 3);
    *--fraction = '.';
    const char *const pieces[] = {" ", digits(status + 7, info ? info->http_status : 0, 1), " in ",
                                  digits(fraction, us / 1000, 1), " ms"};
    char message[512], *at = stpcpy(message, exchange->head ? "HEAD " : exchange->request.method);
    if (!exchange->head)
        *at++ = ' ';
    at = mempcpy(at, path, strnlen(path, PATH_LOGGED));
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        at = stpcpy(at, pieces[i]);
    log_often("http.request", message);
}

static void exchange_over(void *http, struct MHD_Connection *mhd, void **context,
                          enum MHD_RequestTerminationCode code) {
    struct http_exchange *exchange = *context;
    (void)http, (void)mhd;
    if (!exchange)
        return;
    http_trace_enter(exchange);
    http_trace_end(exchange);
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        exchange_log(exchange);
    http_trace_leave();
    http_stream_over(exchange);
    http_phase_set(exchange->connection, PHASE_HEADERS, 0);
    blob_upload_discard(exchange->request.upload);
    if (exchange->request.release)
        exchange->request.release(exchange->request.kept);
    free(exchange->body);
    arena_reset(exchange->arena);
    free(exchange);
    *context = NULL;
}

/* ---- from headers to a handler ---- */

bool http_is_probe(const struct http_exchange *exchange) {
    return strcmp(exchange->uri, "/healthz") == 0 || strcmp(exchange->uri, "/readyz") == 0;
}

static bool busy_check(struct http_exchange *exchange) {
    if (exchange->connection->crowd && !http_is_probe(exchange))
        return http_refuse(exchange, 503, PROBLEM_BUSY,
                           "all %u connections that one address may have are in use: keep one open, or try again soon",
                           http_address_limit(&exchange->http->options));
    if (exchange->connection->surplus && !http_is_probe(exchange))
        return http_refuse(exchange, 503, PROBLEM_FULL, "all %u connections are in use: try again soon",
                           exchange->http->options.connections);
    return true;
}

/* Finds the row, decodes path and query. */
static bool route_request(struct http_exchange *exchange, const char *method) {
    struct request *request = &exchange->request;
    struct problem *why = &exchange->problem;
    size_t length = strcspn(exchange->uri, "?");
    exchange->head = strcmp(method, "HEAD") == 0;
    request->method = exchange->head ? "GET" : arena_copy(exchange->arena, method, strlen(method) + 1, why);
    request->raw_query = exchange->uri[length] ? exchange->uri + length + 1 : "";
    if (!request->method || !(request->path = route_decode(exchange->uri, length, false, exchange->arena, why)) ||
        !route_query_parse(request->raw_query, exchange->arena, &request->query, &request->n_query, why))
        return false;
    exchange->route = route_find(exchange->http->options.tables, request->method, request->path, request->args,
                                 &exchange->allow, exchange->arena, why);
    if (exchange->allow)
        exchange->status = 405;
    return exchange->route != NULL;
}

/* Draining: what runs may be watched and stopped, nothing new is taken in. */
static bool drain_check(struct http_exchange *exchange) {
    struct service *service = exchange->request.service;
    bool begins = route_takes_body(exchange->route) || exchange->route->lane == ROUTE_STORE;
    if (begins && service->draining && service->draining())
        return http_refuse(exchange, 503, PROBLEM_STATE, "this daemon is stopping and takes nothing new");
    return true;
}

static http_result headers_arrived(struct http_exchange *exchange, const char *method, const char *version) {
    bool drop = false, body = false;
    bool good = exchange->problem.kind == PROBLEM_NONE && http_guard(exchange, method, version, &drop, &body);
    http_trace_begin(exchange);
    if (good && http_access_begin(exchange, method) && !body)
        return http_access_preflight(exchange);
    good = good && busy_check(exchange) && http_access_who(exchange) && route_request(exchange, method) &&
           http_access(exchange) && route_parameters_check(exchange->route, &exchange->request, &exchange->problem) &&
           drain_check(exchange) && http_body_begin(exchange, body);
    if (good) {
        exchange->stage = STAGE_BODY;
        if (body)
            http_phase_set(exchange->connection, PHASE_BODY, 0);
        return MHD_YES;
    }
    const char *length = request_header(&exchange->request, "Content-Length");
    bool expects = request_header(&exchange->request, "Expect") != NULL;
    bool huge = length && strtoull(length, NULL, 10) > HTTP_DROP_MAX;
    if (!drop || !body || expects || huge)
        return http_reply_problem(exchange, true);
    exchange->stage = STAGE_DROP;
    http_phase_set(exchange->connection, PHASE_BODY, 0);
    return MHD_YES;
}

static http_result body_arrived(struct http_exchange *exchange, const char *bytes, size_t *n) {
    exchange->connection->phase_bytes += *n;
    if (exchange->stage == STAGE_BODY && !http_body_add(exchange, bytes, *n))
        exchange->stage = STAGE_DROP;
    if (exchange->stage == STAGE_DROP && (exchange->dropped_bytes += *n) > HTTP_DROP_MAX)
        return MHD_NO; /* cuts the connection */
    *n = 0;
    return MHD_YES;
}

/* ---- answers ---- */

static http_result handled(struct http_exchange *exchange, bool good, struct response *response) {
    if (good)
        return response->more ? http_stream(exchange, response) : http_reply(exchange, response);
    if (response->fd >= 0)
        close(response->fd);
    if (exchange->problem.kind == PROBLEM_NONE)
        problem_set(&exchange->problem, PROBLEM_INTERNAL, "", "the request failed without saying why");
    if (route_problem_status(exchange->problem.kind) == 500)
        log_event(LOG_ERROR, "http.problem", "%s %s: %s: %s", exchange->request.method, exchange->request.path,
                  problem_slug(exchange->problem.kind), exchange->problem.detail);
    return http_reply_problem(exchange, false);
}

/* The handler has run, here or in a lane. */
static http_result handler_over(struct http_exchange *exchange, bool good, struct response *response) {
    if (!good || response->wait_until_ns == 0)
        return handled(exchange, good, response);
    exchange->waiting = *response;
    exchange->stage = STAGE_WAITING;
    http_keeper_wait(exchange);
    return MHD_YES;
}

static http_result request_complete(struct http_exchange *exchange) {
    const struct route *route = exchange->route;
    struct request *request = &exchange->request;
    struct response response = {.fd = -1};
    if (exchange->stage == STAGE_DROP)
        return http_reply_problem(exchange, true);
    request->body = exchange->body ? exchange->body : "";
    request->body_bytes = exchange->body_bytes;
    http_phase_set(exchange->connection, PHASE_HANDLING, 0);
    if (route->lane != ROUTE_AT_ONCE && (!route->is_long || route->is_long(request))) {
        exchange->stage = STAGE_LANE;
        return http_lane_enter(exchange) ? MHD_YES : http_reply_problem(exchange, false);
    }
    bool good = route->handle(request, &response, &exchange->problem);
    return handler_over(exchange, good, &response);
}

static http_result wait_over(struct http_exchange *exchange) {
    struct response response = {.fd = -1};
    bool good = exchange->waiting.finish(&exchange->request, &response, &exchange->problem);
    response.wait_until_ns = 0; /* one wait a request */
    return handled(exchange, good, &response);
}

static http_result stage_answer(struct http_exchange *exchange, const char *method, const char *version,
                                const char *upload, size_t *upload_bytes) {
    switch (exchange->stage) {
    case STAGE_NEW:
        return headers_arrived(exchange, method, version);
    case STAGE_BODY:
    case STAGE_DROP:
        return *upload_bytes ? body_arrived(exchange, upload, upload_bytes) : request_complete(exchange);
    case STAGE_LANE:
        return handler_over(exchange, exchange->handled_good, &exchange->handled);
    case STAGE_WAITING:
        return wait_over(exchange);
    case STAGE_ANSWERED:
        break;
    }
    return MHD_NO;
}

static http_result answer(void *http, struct MHD_Connection *mhd, const char *url, const char *method,
                          const char *version, const char *upload, size_t *upload_bytes, void **context) {
    struct http_exchange *exchange = *context;
    (void)http, (void)mhd, (void)url;
    if (!exchange)
        return MHD_NO; /* no memory for it */
    http_trace_enter(exchange);
    http_result result = stage_answer(exchange, method, version, upload, upload_bytes);
    http_trace_leave(); /* the exchange may be another thread's by now */
    return result;
}

/* ---- open and close ---- */

static bool daemon_start(struct http_listener *listener, struct problem *why) {
    static const char priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
    struct http *http = listener->http;
    unsigned most = 2 * http->options.connections + PROBE_ROOM;
    const struct MHD_OptionItem plain[] = {{MHD_OPTION_END, 0, NULL}};
    const struct MHD_OptionItem secure[] = {{MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(uintptr_t)http_tls_find},
                                            {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)priorities},
                                            {MHD_OPTION_END, 0, NULL}};
    errno = 0;
    listener->daemon = MHD_start_daemon(
        HTTP_DAEMON_FLAGS | (listener->tls ? MHD_USE_TLS : 0), 0, http_connection_may, listener, answer, http,
        MHD_OPTION_LISTEN_SOCKET, listener->fd, MHD_OPTION_THREAD_POOL_SIZE, HTTP_POOL_THREADS,
        MHD_OPTION_CONNECTION_LIMIT, most, MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_CONNECTION_MEMORY, HTTP_STRICT_OPTION, 1, MHD_OPTION_URI_LOG_CALLBACK,
        exchange_new, http, MHD_OPTION_NOTIFY_COMPLETED, exchange_over, http, MHD_OPTION_NOTIFY_CONNECTION,
        http_connection_notify, listener, MHD_OPTION_ARRAY, listener->tls ? secure : plain, MHD_OPTION_END);
    return listener->daemon || problem_set(why, PROBLEM_IO, "", "the HTTP library does not serve %.200s: %s",
                                           listener->url, errno ? strerror(errno) : "it does not say why");
}

static void options_take(struct http *http, const struct http_options *options) {
    http->options = *options;
    http->grace_ns = (uint64_t)(options->grace_ms ? options->grace_ms : GRACE_MS) * 1000000u;
    if (options->least_bytes_per_second == 0)
        http->options.least_bytes_per_second = BYTES_PER_SECOND;
    if (options->streams == 0)
        http->options.streams = STREAMS;
    http->options.streams = (unsigned)units_min(http->options.streams, units_max(options->connections / 2, 1));
}

struct http *http_open(const struct http_options *options, struct problem *why) {
    struct http *http = calloc(1, sizeof *http);
    if (!http) {
        problem_set(why, PROBLEM_MEMORY, "", "no memory for the front");
        return NULL;
    }
    options_take(http, options);
    metrics_routes(options->tables);
    bool good = http_tls_open(http, why) && http_listen(http, why);
    if (!good || !(good = http_lanes_start(http, why)) || !http_keeper_start(http, why)) {
        if (good) {
            http_lanes_stop(http);
            http_lanes_free(http);
        }
        http_listen_close(http);
        http_tls_close(http);
        free(http);
        return NULL;
    }
    for (unsigned i = 0; good && i < http->n_listeners; i++)
        good = daemon_start(&http->listeners[i], why);
    if (good)
        return http;
    http_close(http);
    return NULL;
}

uint16_t http_port(const struct http *http) {
    return http->port;
}

const char *http_url(const struct http *http, unsigned i) {
    return i < http->n_listeners ? http->listeners[i].url : NULL;
}

static bool answers_pending(struct http *http) {
    bool pending = false;
    pthread_mutex_lock(&http->lock);
    for (struct http_connection *c = http->connections; c; c = c->next)
        pending |= c->phase == PHASE_HANDLING || c->phase == PHASE_SENDING;
    pthread_mutex_unlock(&http->lock);
    return pending;
}

void http_close(struct http *http) {
    if (!http)
        return;
    const struct timespec tick = {.tv_nsec = 5000000};
    for (unsigned i = 0; i < http->n_listeners; i++)
        if (http->listeners[i].daemon)
            http->listeners[i].fd = MHD_quiesce_daemon(http->listeners[i].daemon);
    http_listen_refuse(http);
    http_lanes_stop(http);
    http_keeper_stop(http);
    for (uint64_t until = clock_now_ns() + CLOSE_WAIT_MS * 1000000u; answers_pending(http) && clock_now_ns() < until;)
        nanosleep(&tick, NULL);
    for (unsigned i = 0; i < http->n_listeners; i++)
        if (http->listeners[i].daemon)
            MHD_stop_daemon(http->listeners[i].daemon);
    http_listen_close(http);
    http_keeper_free(http);
    http_lanes_free(http);
    http_tls_close(http);
    free(http);
}
