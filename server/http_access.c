/* http_access.c - who may ask: tokens and their scopes, how often, and from which pages.
 *
 * A browser lets any page send requests to any address, and shows the page the answers that Access-Control-Allow-Origin
 * gives to it. Without a preflight (OPTIONS) it sends what a form could: GET, and POST without JSON. The Host list
 * keeps out pages whose name was made to lead here; it does not keep out a page elsewhere that posts to our own name.
 * So where something would change, an Origin that is neither ours nor listed is refused, unless the page has a token.
 */
#include "server/http_private.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/clock.h"
#include "server/rate.h"
#include "server/token.h"

#define NS_PER_SECOND   1000000000u
#define CHALLENGE       "Bearer realm=\"rematd\""
#define ALLOWED_METHODS "GET, HEAD, POST, PUT, DELETE"
#define ALLOWED_HEADERS                                                                                                \
    "Authorization, Content-Type, Accept, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, Range"
#define EXPOSED_HEADERS                                                                                                \
    "ETag, Idempotency-Replayed, Link, Location, Preference-Applied, Retry-After, WWW-Authenticate, X-Request-Id"

static const char *origins_of(const struct http_exchange *exchange) {
    const char *list = exchange->http->options.origins;
    return list ? list : "";
}

/* ---- pages from elsewhere ---- */

bool http_access_begin(struct http_exchange *exchange, const char *method) {
    const char *origin = request_header(&exchange->request, "Origin");
    if (!origin || !http_list_has(origins_of(exchange), origin, strlen(origin)))
        return false;
    exchange->origin = origin;
    return strcmp(method, "OPTIONS") == 0 &&
           request_header(&exchange->request, "Access-Control-Request-Method") != NULL;
}

http_result http_access_preflight(struct http_exchange *exchange) {
    struct response response = {.status = 204, .fd = -1};
    if (!response_header(&response, "Access-Control-Allow-Methods", ALLOWED_METHODS) ||
        !response_header(&response, "Access-Control-Allow-Headers", ALLOWED_HEADERS) ||
        !response_header(&response, "Access-Control-Max-Age", "600"))
        return MHD_NO;
    return http_reply(exchange, &response);
}

bool http_access_headers(const struct http_exchange *exchange, struct MHD_Response *reply) {
    if (!*origins_of(exchange))
        return true;
    bool good = MHD_add_response_header(reply, "Vary", "Origin") == MHD_YES;
    if (exchange->origin)
        good = good && MHD_add_response_header(reply, "Access-Control-Allow-Origin", exchange->origin) == MHD_YES &&
               MHD_add_response_header(reply, "Access-Control-Expose-Headers", EXPOSED_HEADERS) == MHD_YES;
    return good;
}

/* Our own page: its origin is the Host that it asks. */
static bool origin_is_ours(const struct http_exchange *exchange, const char *origin) {
    const char *host = request_header(&exchange->request, "Host"), *behind = strstr(origin, "://");
    return host && behind && strcasecmp(behind + 3, host) == 0;
}

static bool page_check(struct http_exchange *exchange) {
    const char *origin = request_header(&exchange->request, "Origin");
    bool changes = exchange->route->scope & (SCOPE_SUBMIT | SCOPE_ADMIN);
    if (!origin || !changes || exchange->origin || origin_is_ours(exchange, origin))
        return true;
    return http_refuse(exchange, 403, PROBLEM_STATE,
                       "pages of '%.80s' may not change anything here; --allowed-origins lists those that may", origin);
}

/* ---- tokens ---- */

/* What follows "Bearer " (RFC 6750), and its length without blanks; NULL: there is no such thing. */
static const char *bearer_of(const struct http_exchange *exchange, size_t *bytes) {
    const char *value = request_header(&exchange->request, "Authorization");
    if (!value || strncasecmp(value, "Bearer ", 7) != 0)
        return NULL;
    value += 7 + strspn(value + 7, " ");
    *bytes = strlen(value);
    while (*bytes && (value[*bytes - 1] == ' ' || value[*bytes - 1] == '\t'))
        --*bytes;
    return *bytes ? value : NULL;
}

static bool stranger(struct http_exchange *exchange) {
    bool tried = request_header(&exchange->request, "Authorization") != NULL;
    exchange->challenge = tried ? CHALLENGE ", error=\"invalid_token\"" : CHALLENGE;
    return http_refuse(exchange, 401, PROBLEM_STATE,
                       tried ? "the token is not one of this daemon's"
                             : "send a token of this daemon: Authorization: Bearer TOKEN");
}

static bool scope_check(struct http_exchange *exchange, unsigned wanted, const struct token_grant *grant) {
    const char *missing = token_scope_missing(wanted, grant->scopes);
    if (!missing)
        return true;
    exchange->challenge = arena_printf(exchange->arena, &exchange->problem,
                                       CHALLENGE ", error=\"insufficient_scope\", scope=\"%s\"", missing);
    return http_refuse(exchange, 403, PROBLEM_STATE, "this needs the scope '%s', which token '%s' has not", missing,
                       grant->name);
}

/* ---- how often ---- */

/* The address a request comes from, as a key; those who come through a file share one. */
static void address_key(const struct http_exchange *exchange, char key[RATE_KEY_BYTES]) {
    char text[INET6_ADDRSTRLEN] = "";
    if (exchange->connection->address.known)
        inet_ntop(AF_INET6, exchange->connection->address.bytes, text, sizeof text);
    snprintf(key, RATE_KEY_BYTES, "address %s", text);
}

/* name NULL: of nobody known. */
static bool rate_check(struct http_exchange *exchange, const char *name) {
    char key[RATE_KEY_BYTES];
    if (!exchange->http->options.rate)
        return true;
    if (name)
        snprintf(key, sizeof key, "token %s", name);
    else
        address_key(exchange, key);
    uint64_t wait_ns = rate_take(exchange->http->options.rate, key, clock_now_ns());
    if (wait_ns == 0)
        return true;
    exchange->retry_seconds = (unsigned)((wait_ns + NS_PER_SECOND - 1) / NS_PER_SECOND);
    return http_refuse(exchange, 429, PROBLEM_BUSY, "too many requests of %s: try again in %u s (--rate)",
                       name ? "this token" : "this address", exchange->retry_seconds);
}

/* ---- all of it ---- */

static unsigned wanted_scope(const struct http_exchange *exchange) {
    enum route_scope scope = exchange->route->scope;
    return scope != SCOPE_METRICS ? scope : exchange->http->options.open_metrics ? SCOPE_OPEN : SCOPE_READ;
}

bool http_access_who(struct http_exchange *exchange) {
    struct token_file *tokens = exchange->http->options.tokens;
    const char *value, *bearer;
    size_t bytes;
    if (http_is_probe(exchange))
        return true;
    if (!tokens)
        return rate_check(exchange, NULL);
    if (http_header_count(exchange, "Authorization", &value) > 1)
        return http_refuse(exchange, 400, PROBLEM_MALFORMED, "Authorization is given more than once");
    struct token_grant *grant = arena_new(exchange->arena, struct token_grant, 1, &exchange->problem);
    if (!grant)
        return false;
    if ((bearer = bearer_of(exchange, &bytes)) && token_find(tokens, bearer, bytes, grant)) {
        exchange->grant = grant;
        exchange->request.client = grant->name;
    }
    return rate_check(exchange, exchange->grant ? grant->name : NULL);
}

bool http_access(struct http_exchange *exchange) {
    unsigned wanted = wanted_scope(exchange);
    if (!exchange->http->options.tokens)
        return page_check(exchange);
    if (exchange->grant)
        return scope_check(exchange, wanted, exchange->grant);
    return wanted == SCOPE_OPEN || stranger(exchange);
}
