/* http_stream.c - answers that are sent as they come. While there is nothing to send, the connection is suspended, as
 * one that waits is: no thread is held, and the keeper asks for it. */
#include "server/http_private.h"

#include <string.h>

#include "engine/base/units.h"
#include "server/log.h"

#define STREAM_BLOCK_BYTES 4096u

static bool is_over(struct http_exchange *exchange) {
    struct http *http = exchange->http;
    pthread_mutex_lock(&http->lock);
    bool closing = http->closing;
    pthread_mutex_unlock(&http->lock);
    return closing || exchange->left || exchange->piece.end;
}

/* The next piece: 1, 0 where there is none yet (the connection is suspended then), or what ends the answer. */
static ssize_t piece_next(struct http_exchange *exchange) {
    struct route_piece *piece = &exchange->piece;
    struct problem why = {0};
    if (is_over(exchange))
        return MHD_CONTENT_READER_END_OF_STREAM;
    *piece = (struct route_piece){0};
    exchange->piece_sent = 0;
    if (!exchange->waiting.more(&exchange->request, piece, &why)) {
        log_event(LOG_WARNING, "http.stream", "%s: %s", exchange->request.path, why.detail);
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (piece->n > 0) {
        http_phase_set(exchange->connection, PHASE_SENDING, piece->n);
        return 1;
    }
    if (piece->end)
        return MHD_CONTENT_READER_END_OF_STREAM;
    exchange->waiting.wait_until_ns = piece->wait_until_ns;
    http_phase_set(exchange->connection, PHASE_HANDLING, 0); /* no deadline while we have nothing to say */
    http_keeper_wait(exchange);
    return 0;
}

static ssize_t stream_read(void *from, uint64_t position, char *to, size_t room) {
    struct http_exchange *exchange = from;
    (void)position;
    if (exchange->piece_sent == exchange->piece.n) {
        ssize_t next = piece_next(exchange);
        if (next != 1)
            return next;
    }
    size_t n = (size_t)units_min(room, exchange->piece.n - exchange->piece_sent);
    memcpy(to, exchange->piece.bytes + exchange->piece_sent, n);
    exchange->piece_sent += n;
    return (ssize_t)n;
}

static bool stream_begin(struct http_exchange *exchange) {
    struct http *http = exchange->http;
    unsigned most = http->options.streams;
    pthread_mutex_lock(&http->lock);
    exchange->streams = http->n_streams < most;
    http->n_streams += exchange->streams;
    pthread_mutex_unlock(&http->lock);
    return exchange->streams || http_refuse(exchange, 503, PROBLEM_BUSY, "%u streams are open: try again later", most);
}

http_result http_stream(struct http_exchange *exchange, const struct response *response) {
    if (!stream_begin(exchange))
        return http_reply_problem(exchange, false);
    exchange->waiting = *response;
    return http_reply_queue(
        exchange, MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, stream_read, exchange, NULL),
        response, true);
}

void http_stream_over(struct http_exchange *exchange) {
    if (!exchange->streams)
        return;
    pthread_mutex_lock(&exchange->http->lock);
    exchange->http->n_streams--;
    pthread_mutex_unlock(&exchange->http->lock);
}
