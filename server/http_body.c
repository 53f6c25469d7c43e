/* http_body.c - bodies within limits: JSON into memory, tensor files straight into a blob upload. */
#include "server/http_private.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"
#include "server/blob.h"

#define BODY_ROOM_MIN 4096u

/* What curl --data-binary says unless told otherwise is not among them: the refusal says what to add. */
static const char *const stream_types[] = {
    "application/octet-stream",
    "application/x-npy",
    "application/npy",
    "application/vnd.numpy.npy",
    "application/safetensors",
    "application/x-safetensors",
    "application/vnd.safetensors",
    NULL,
};
static const char *const json_types[] = {"application/json", NULL};

static bool type_check(struct http_exchange *exchange) {
    const char *type = request_header(&exchange->request, "Content-Type");
    if (exchange->route->body == BODY_JSON && (!type || !http_media_type_in(type, json_types)))
        return http_refuse(exchange, 415, PROBLEM_UNSUPPORTED,
                           "this address takes JSON: send Content-Type: application/json");
    if (exchange->route->body == BODY_STREAM && type && !http_media_type_in(type, stream_types))
        return http_refuse(exchange, 415, PROBLEM_UNSUPPORTED,
                           "this address takes a safetensors or npy file: send Content-Type: application/octet-stream");
    return true;
}

static bool too_large(struct http_exchange *exchange) {
    if (exchange->route->body == BODY_JSON)
        return http_refuse(
            exchange, 413, PROBLEM_TOO_LARGE,
            "a JSON body has at most %zu bytes: send tensors as files with POST /v1/tensors and name them "
            "by digest",
            ROUTE_JSON_MAX);
    return http_refuse(exchange, 413, PROBLEM_TOO_LARGE, "a tensor file has at most %llu bytes here (--upload-limit)",
                       (unsigned long long)exchange->http->options.upload_limit_bytes);
}

static uint64_t limit_of(const struct http_exchange *exchange) {
    return exchange->route->body == BODY_JSON ? ROUTE_JSON_MAX : exchange->http->options.upload_limit_bytes;
}

bool http_body_begin(struct http_exchange *exchange, bool body) {
    const char *length = request_header(&exchange->request, "Content-Length");
    bool chunked = request_header(&exchange->request, "Transfer-Encoding") != NULL;
    if (!route_takes_body(exchange->route))
        return !body || http_refuse(exchange, 400, PROBLEM_MALFORMED, "this address takes no body");
    if (!length && !chunked)
        return http_refuse(exchange, 411, PROBLEM_MALFORMED, "a body is needed here: send Content-Length, or chunks");
    if (!type_check(exchange))
        return false;
    if (length && strtoull(length, NULL, 10) > limit_of(exchange))
        return too_large(exchange);
    if (exchange->route->body == BODY_STREAM)
        exchange->request.upload = blob_upload_new(exchange->request.service->blobs, &exchange->problem);
    return exchange->problem.kind == PROBLEM_NONE;
}

/* Room for n more bytes and a NUL. */
static bool body_grow(struct http_exchange *exchange, size_t n) {
    size_t wanted = exchange->body_bytes + n + 1;
    if (wanted <= exchange->body_room)
        return true;
    size_t room = (size_t)units_max(units_max(2 * exchange->body_room, wanted), BODY_ROOM_MIN);
    char *body = realloc(exchange->body, room);
    if (!body)
        return problem_set(&exchange->problem, PROBLEM_MEMORY, "", "no memory for the request's body");
    exchange->body = body;
    exchange->body_room = room;
    return true;
}

bool http_body_add(struct http_exchange *exchange, const char *bytes, size_t n) {
    if (exchange->route->body == BODY_STREAM) {
        struct blob_upload *upload = exchange->request.upload;
        if (n > limit_of(exchange) - blob_upload_bytes(upload))
            return too_large(exchange);
        return blob_upload_write(upload, bytes, n, &exchange->problem);
    }
    if (n > limit_of(exchange) - exchange->body_bytes)
        return too_large(exchange);
    if (!body_grow(exchange, n))
        return false;
    memcpy(exchange->body + exchange->body_bytes, bytes, n);
    exchange->body_bytes += n;
    exchange->body[exchange->body_bytes] = '\0';
    return true;
}
