/* http_trace.c - a request's id and trace, from its headers to its answer, its lines in the log and the metrics. */
#include "server/http_private.h"

#include "server/clock.h"
#include "server/log.h"
#include "server/metrics.h"

void http_trace_begin(struct http_exchange *exchange) {
    struct request *request = &exchange->request;
    const char *id = request_header(request, "X-Request-Id"), *parent = NULL;
    unsigned parents = http_header_count(exchange, "traceparent", &parent);
    if (!id || !trace_request_id_valid(id)) {
        trace_request_id_make(exchange->made_id);
        id = exchange->made_id;
    }
    request->id = id;
    request->trace = parents == 1 && trace_parent_read(parent, exchange->trace_id) ? exchange->trace_id : NULL;
    http_trace_enter(exchange);
}

void http_trace_enter(const struct http_exchange *exchange) {
    log_context(exchange->request.id, exchange->request.trace);
}

void http_trace_leave(void) {
    log_context(NULL, NULL);
}

void http_trace_end(const struct http_exchange *exchange) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(exchange->mhd, MHD_CONNECTION_INFO_HTTP_STATUS);
    bool answered = exchange->stage == STAGE_ANSWERED && info;
    metrics_add(METRICS_IN_FLIGHT, -1);
    metrics_request(exchange->route, answered ? info->http_status : 0, clock_now_ns() - exchange->started_ns);
}
