/* http_reply.c - a handler's answer as libmicrohttpd sends it. Bodies stay in the exchange's arena until they are sent.
 */
#include "server/http_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/units.h"

#define BLOCK_BYTES 65536u

http_result http_reply_queue(struct http_exchange *exchange, struct MHD_Response *reply,
                             const struct response *response, bool closes) {
    if (!reply) {
        return MHD_NO;
    }
    const char *type = response->content_type ? response->content_type : "application/json";
    bool good = MHD_add_response_header(reply, "Content-Type", type) == MHD_YES &&
                MHD_add_response_header(reply, "X-Content-Type-Options", "nosniff") == MHD_YES;
    for (unsigned i = 0; i < response->n_headers; i++)
        good = good && MHD_add_response_header(reply, response->headers[i].name, response->headers[i].value) == MHD_YES;
    good = good && http_access_headers(exchange, reply);
    if (closes)
        good = good && MHD_add_response_header(reply, "Connection", "close") == MHD_YES;
    exchange->stage = STAGE_ANSWERED;
    http_phase_set(exchange->connection, PHASE_SENDING,
                   response->body_bytes + (response->fd >= 0 ? response->fd_bytes : 0));
    http_result result =
        good ? MHD_queue_response(exchange->mhd, response->status ? response->status : 200, reply) : MHD_NO;
    MHD_destroy_response(reply);
    return result;
}

/* A body followed by a part of a file: read piece by piece. */
struct composite {
    const char *body;
    uint64_t body_bytes, fd_offset, fd_bytes;
    int fd;
};

static ssize_t composite_read(void *from, uint64_t position, char *to, size_t room) {
    const struct composite *c = from;
    if (position < c->body_bytes) {
        size_t n = (size_t)units_min(room, c->body_bytes - position);
        memcpy(to, c->body + position, n);
        return (ssize_t)n;
    }
    uint64_t done = position - c->body_bytes;
    if (done >= c->fd_bytes)
        return MHD_CONTENT_READER_END_OF_STREAM;
    ssize_t got;
    do
        got = pread(c->fd, to, (size_t)units_min(room, c->fd_bytes - done), (off_t)(c->fd_offset + done));
    while (got < 0 && errno == EINTR);
    return got > 0 ? got : MHD_CONTENT_READER_END_WITH_ERROR; /* shorter than it was: the client must see that */
}

static void composite_free(void *from) {
    struct composite *c = from;
    close(c->fd);
    free(c);
}

static struct MHD_Response *composite_reply(const struct response *response) {
    struct composite *c = malloc(sizeof *c);
    if (!c) {
        close(response->fd);
        return NULL;
    }
    *c =
        (struct composite){response->body, response->body_bytes, response->fd_offset, response->fd_bytes, response->fd};
    struct MHD_Response *reply = MHD_create_response_from_callback(response->body_bytes + response->fd_bytes,
                                                                   BLOCK_BYTES, composite_read, c, composite_free);
    if (!reply)
        composite_free(c);
    return reply;
}

http_result http_reply(struct http_exchange *exchange, struct response *response) {
    struct MHD_Response *reply;
    if (response->fd >= 0 && response->fd_bytes > 0 && response->body_bytes == 0) {
        reply = MHD_create_response_from_fd_at_offset64(response->fd_bytes, response->fd, response->fd_offset);
        if (!reply)
            close(response->fd);
    } else if (response->fd >= 0 && response->fd_bytes > 0) {
        reply = composite_reply(response);
    } else {
        if (response->fd >= 0)
            close(response->fd);
        reply = MHD_create_response_from_buffer(response->body_bytes, (void *)response->body, MHD_RESPMEM_PERSISTENT);
    }
    return http_reply_queue(exchange, reply, response, false);
}

http_result http_reply_problem(struct http_exchange *exchange, bool closes) {
    unsigned status = exchange->status ? exchange->status : route_problem_status(exchange->problem.kind);
    struct response response = {.status = status, .content_type = "application/problem+json", .fd = -1};
    /* what went wrong may be that the arena is full */
    static const char last_resort[] =
        "{\"type\":\"" ROUTE_PROBLEM_TYPE "out-of-memory\",\"title\":\"Out of memory for now\","
        "\"status\":503,\"detail\":\"the answer did not fit the memory of a request\"}\n";
    exchange->arena->limit_bytes = UINT64_MAX;
    response.body = route_problem_body(&exchange->problem, status, exchange->arena, &response.body_bytes);
    if (!response.body) {
        response.body = last_resort;
        response.body_bytes = sizeof last_resort - 1;
        response.status = status = 503;
    }
    bool good = true;
    if (exchange->allow)
        good = response_header(&response, "Allow", exchange->allow);
    if (status == 503)
        good = good && response_header(&response, "Retry-After", HTTP_RETRY_SECONDS);
    if (exchange->challenge)
        good = good && response_header(&response, "WWW-Authenticate", exchange->challenge);
    char retry[12];
    snprintf(retry, sizeof retry, "%u", exchange->retry_seconds);
    if (status == 429)
        good = good && response_header(&response, "Retry-After", retry);
    if (!good)
        return MHD_NO;
    return http_reply_queue(
        exchange, MHD_create_response_from_buffer(response.body_bytes, (void *)response.body, MHD_RESPMEM_PERSISTENT),
        &response, closes);
}
