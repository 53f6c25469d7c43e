/* http_guard.c - refuses what libmicrohttpd takes for a request and other servers on the way would read otherwise: two
 * lengths, two hosts, escaped slashes and zeros, names that are no names. Where two readings exist, there is no
 * request.
 *
 * 0.9.75 was seen to accept Content-Length beside Transfer-Encoding, two of either, two Hosts, "Content-Length : 5",
 * HTTP/1.9, and to cut "/a%00b" to "/a"; 1.0.1 still takes two Content-Lengths, two Hosts and %00. */
#include "server/http_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool http_refuse(struct http_exchange *exchange, unsigned status, enum problem_kind kind, const char *format, ...) {
    if (exchange->problem.kind != PROBLEM_NONE)
        return false;
    char detail[sizeof exchange->problem.detail];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    exchange->status = status;
    return problem_set(&exchange->problem, kind, "", "%s", detail);
}

static bool malformed(struct http_exchange *exchange, const char *what) {
    return http_refuse(exchange, 400, PROBLEM_MALFORMED, "%s", what);
}

/* ---- the address ---- */

static int hex_value(char c) {
    const char *digits = "0123456789abcdef", *found = c ? strchr(digits, c >= 'A' ? c | 0x20 : c) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* Whether a path segment, escapes undone, is "." or ".." */
static bool segment_is_dots(const char *segment, const char *end) {
    unsigned dots = 0;
    for (; segment < end; dots++) {
        bool escaped = *segment == '%' && end - segment >= 3 && segment[1] == '2' && (segment[2] | 0x20) == 'e';
        if (*segment != '.' && !escaped)
            return false;
        segment += escaped ? 3 : 1;
    }
    return dots == 1 || dots == 2;
}

static const char *escape_fault(const char *at, bool in_path) {
    int high = hex_value(at[1]), low = high < 0 ? -1 : hex_value(at[2]), code = high * 16 + low;
    if (low < 0)
        return "the address has a % that no two hexadecimal digits follow";
    if (code == 0)
        return "the address has %00";
    return in_path && (code == '/' || code == '\\') ? "the address has an escaped slash" : NULL;
}

const char *http_guard_uri(const char *uri) {
    if (*uri != '/')
        return "the address must be a path: /...";
    static const char refused[128] = {
        ['\\'] = 1, ['#'] = 1, ['"'] = 1, ['<'] = 1, ['>'] = 1, ['^'] = 1, ['`'] = 1, ['{'] = 1, ['|'] = 1, ['}'] = 1};
    bool in_path = true;
    const char *segment = uri + 1;
    for (const char *at = uri; *at; at++) {
        const char *fault = NULL;
        if (*at <= 0x20 || *at >= 0x7f || refused[(unsigned char)*at])
            fault = "the address has a character that must be escaped";
        else if (*at == '%')
            fault = escape_fault(at, in_path);
        if (fault)
            return fault;
        in_path = in_path && *at != '?';
        if (*at == '/' && in_path) {
            if (segment_is_dots(segment, at))
                return "the address has a . or .. segment";
            segment = at + 1;
        }
    }
    return segment_is_dots(segment, segment + strcspn(segment, "?")) ? "the address has a . or .. segment" : NULL;
}

/* ---- headers ---- */

struct collection {
    struct http_exchange *exchange;
    struct route_pair *pairs;
    unsigned n, room;
    const char *fault;
    bool too_many;
};

static bool is_token(const char *text, size_t length) {
    static const char signs[128] = {
        ['('] = 1, [')'] = 1, ['<'] = 1, ['>'] = 1, ['@'] = 1, [','] = 1, [';'] = 1, [':'] = 1, ['\\'] = 1,
        ['"'] = 1, ['/'] = 1, ['['] = 1, [']'] = 1, ['?'] = 1, ['='] = 1, ['{'] = 1, ['}'] = 1};
    for (size_t i = 0; i < length; i++)
        if (text[i] <= 0x20 || text[i] >= 0x7f || signs[(unsigned char)text[i]])
            return false;
    return length > 0;
}

static http_result header_collect(void *to, enum MHD_ValueKind kind, const char *key, size_t key_size,
                                  const char *value, size_t value_size) {
    struct collection *collection = to;
    (void)kind;
    if (!value)
        value = "", value_size = 0;
    if (!is_token(key, key_size) || strlen(key) != key_size)
        collection->fault = "a header has a name that is none";
    for (size_t i = 0; i < value_size; i++)
        if (((unsigned char)value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f)
            collection->fault = "a header has a control character in its value";
    if (collection->n == collection->room) {
        collection->too_many = true;
        return MHD_NO;
    }
    collection->pairs[collection->n++] = (struct route_pair){key, value};
    return MHD_YES;
}

static bool headers_collect(struct http_exchange *exchange) {
    struct collection collection = {.exchange = exchange};
    int n = MHD_get_connection_values(exchange->mhd, MHD_HEADER_KIND, NULL, NULL);
    unsigned room = n > 0 && n < HTTP_HEADERS_MAX ? (unsigned)n : HTTP_HEADERS_MAX;
    collection.room = room;
    collection.pairs = arena_new(exchange->arena, struct route_pair, room, &exchange->problem);
    if (!collection.pairs)
        return false;
    MHD_get_connection_values_n(exchange->mhd, MHD_HEADER_KIND, header_collect, &collection);
    exchange->request.headers = collection.pairs;
    exchange->request.n_headers = collection.n;
    if (collection.fault)
        return malformed(exchange, collection.fault);
    if (collection.too_many)
        return http_refuse(exchange, 431, PROBLEM_LIMIT, "a request has at most %d headers", HTTP_HEADERS_MAX);
    return true;
}

unsigned http_header_count(const struct http_exchange *exchange, const char *name, const char **value) {
    unsigned count = 0;
    for (unsigned i = 0; i < exchange->request.n_headers; i++)
        if (strcasecmp(exchange->request.headers[i].name, name) == 0) {
            *value = exchange->request.headers[i].value;
            count++;
        }
    return count;
}

/* A request target with a NUL byte reaches us cut short. 0.9.75 ends the pieces of the request line in place, so an
 * uncut target ends one byte before the version; 1.0 refuses NUL bytes itself. */
static bool target_is_cut(const struct http_exchange *exchange, const char *version) {
    return MHD_VERSION < 0x01000000 && version != exchange->uri_end + 1;
}

/* Where the body ends must have one answer. */
static bool framing_check(struct http_exchange *exchange, const char *version, bool *body) {
    const char *length = NULL, *coding = NULL;
    unsigned lengths = http_header_count(exchange, "Content-Length", &length);
    unsigned codings = http_header_count(exchange, "Transfer-Encoding", &coding);
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return http_refuse(exchange, 505, PROBLEM_UNSUPPORTED, "HTTP/1.1 and HTTP/1.0 are spoken here");
    if (lengths > 1)
        return malformed(exchange, "Content-Length is given more than once");
    if (lengths && codings)
        return malformed(exchange, "Content-Length and Transfer-Encoding exclude each other");
    if (lengths && (strspn(length, "0123456789") != strlen(length) || strlen(length) < 1 || strlen(length) > 18))
        return malformed(exchange, "Content-Length is not a number of bytes");
    if (codings && (codings > 1 || strcasecmp(coding, "chunked") != 0 || strcmp(version, "HTTP/1.1") != 0))
        return malformed(exchange, "the only Transfer-Encoding known is chunked, once, in HTTP/1.1");
    *body = codings || (lengths && strspn(length, "0") != strlen(length));
    return true;
}

bool http_list_has(const char *list, const char *name, size_t length) {
    while (*list) {
        list += strspn(list, ", ");
        size_t item = strcspn(list, ", ");
        if (item == length && item > 0 && strncasecmp(list, name, length) == 0)
            return true;
        list += item;
    }
    return false;
}

/* Names of this machine itself are always fine: no page elsewhere can make a browser send them. */
static bool host_is_allowed(const struct http_options *options, bool local, const char *host) {
    const char *list = options->allowed_hosts ? options->allowed_hosts : "";
    size_t length = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (length > strlen(host) || length == 0)
        return false;
    const char *port = host + length;
    if (*port && (*port != ':' || strspn(port + 1, "0123456789") != strlen(port + 1)))
        return false;
    if (http_list_has("localhost,127.0.0.1,[::1]", host, length) || http_list_has(list, host, length))
        return true;
    return !*list && !local;
}

static bool host_check(struct http_exchange *exchange) {
    const char *host = NULL;
    unsigned hosts = http_header_count(exchange, "Host", &host);
    if (hosts != 1)
        return malformed(exchange, hosts ? "Host is given more than once" : "Host is missing");
    if (!host_is_allowed(&exchange->http->options, exchange->connection->listener->local, host))
        return http_refuse(exchange, 421, PROBLEM_STATE,
                           "this daemon does not answer for host '%.80s'; REMATD_ALLOWED_HOSTS lists more names", host);
    return true;
}

static bool method_check(struct http_exchange *exchange, const char *method) {
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", NULL};
    for (const char *const *name = known; *name; name++)
        if (strcmp(*name, method) == 0)
            return true;
    return http_refuse(exchange, 501, PROBLEM_UNSUPPORTED, "method %.20s is not known here", method);
}

bool http_guard(struct http_exchange *exchange, const char *method, const char *version, bool *drop, bool *body) {
    const char *coding = NULL;
    *drop = *body = false;
    if (exchange->uri_too_long)
        return http_refuse(exchange, 414, PROBLEM_LIMIT, "an address has at most %u bytes", HTTP_URI_MAX);
    if (!headers_collect(exchange) || !framing_check(exchange, version, body) || !method_check(exchange, method))
        return false;
    const char *fault = target_is_cut(exchange, version) ? "the address has a NUL byte" : http_guard_uri(exchange->uri);
    if (fault)
        return malformed(exchange, fault);
    if (!host_check(exchange))
        return false;
    *drop = true;
    if (http_header_count(exchange, "Content-Encoding", &coding) && strcasecmp(coding, "identity") != 0)
        return http_refuse(exchange, 415, PROBLEM_UNSUPPORTED, "bodies are taken as they are: no Content-Encoding");
    return true;
}

bool http_media_type_in(const char *value, const char *const *list) {
    size_t length = strcspn(value, "; \t");
    for (; *list; list++)
        if (strlen(*list) == length && strncasecmp(*list, value, length) == 0)
            return true;
    return false;
}
