/* route_problem.c - a problem as HTTP sees it: its status, and its RFC 9457 body. */
#include "server/route.h"

#include <stdio.h>
#include <string.h>

struct problem_row {
    unsigned status;
    const char *title;
};

static const struct problem_row problem_table[] = {
    [PROBLEM_NONE] = {500, "Nothing is wrong"},
    [PROBLEM_MALFORMED] = {400, "Malformed request"},
    [PROBLEM_UNKNOWN_FIELD] = {400, "Unknown field"},
    [PROBLEM_MISSING_FIELD] = {400, "Missing field"},
    [PROBLEM_LIMIT] = {422, "Past a limit"},
    [PROBLEM_SHAPE] = {422, "Shapes that do not go together"},
    [PROBLEM_UNSUPPORTED] = {422, "Not supported"},
    [PROBLEM_BUDGET] = {422, "Does not fit the budget"},
    [PROBLEM_STATE] = {409, "Conflict"},
    [PROBLEM_PLAN] = {500, "Illegal plan"},
    [PROBLEM_NONDETERMINISTIC] = {500, "Not deterministic"},
    [PROBLEM_MEMORY] = {503, "Out of memory for now"},
    [PROBLEM_WITNESS] = {500, "Memory witness failed"},
    [PROBLEM_CANCELLED] = {500, "Cancelled"},
    [PROBLEM_NOT_FOUND] = {404, "Not found"},
    [PROBLEM_IO] = {503, "The store is not available"},
    [PROBLEM_FULL] = {507, "The store is full"},
    [PROBLEM_TOO_LARGE] = {413, "Too large"},
    [PROBLEM_CRASHED] = {500, "A worker crashed"},
    [PROBLEM_BUSY] = {503, "Busy"},
    [PROBLEM_INTERNAL] = {500, "Internal error"},
};
_Static_assert(sizeof problem_table / sizeof problem_table[0] == PROBLEM_KINDS, "one row per problem kind");

/* Refusals of the HTTP layer itself, which no problem kind stands for: found by status, before the kind's own row. */
static const struct {
    unsigned status;
    const char *slug, *title;
} status_table[] = {
    {401, "unauthorized", "A token is needed"},
    {403, "forbidden", "Not allowed"},
    {405, "method-not-allowed", "Method not allowed"},
    {408, "timeout", "Too slow"},
    {411, "length-required", "Length required"},
    {415, "unsupported-media-type", "Unsupported media type"},
    {421, "misdirected", "Not this host"},
    {429, "too-many-requests", "Too many requests"},
    {431, "header-too-large", "Too many or too large headers"},
    {501, "unknown-method", "Unknown method"},
    {505, "http-version", "HTTP version not supported"},
};

unsigned route_problem_status(enum problem_kind kind) {
    return (unsigned)kind < PROBLEM_KINDS ? problem_table[kind].status : 500;
}

/* A UTF-8 sequence's length at s (2 to 4), or 0 where there is none: overlong forms and surrogates count as none. */
static size_t utf8_length(const unsigned char *s) {
    size_t n = s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
    if (n == 0 || s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

bool route_text_is_utf8(const char *text) {
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t length = *s < 0x80 ? 1 : utf8_length(s);
        if (length == 0)
            return false;
        s += length;
    }
    return true;
}

const char *route_json_text(const char *text, struct arena *arena) {
    size_t length = strlen(text), n = 0;
    char *out = arena_take(arena, length * 6 + 3, 1, NULL);
    if (!out)
        return NULL;
    out[n++] = '"';
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t wide = *s >= 0x80 ? utf8_length(s) : 0;
        if (*s == '"' || *s == '\\') {
            out[n++] = '\\';
            out[n++] = (char)*s++;
        } else if (*s < 0x20 || *s == 0x7f) {
            n += (size_t)sprintf(out + n, "\\u%04x", *s++);
        } else if (*s < 0x80) {
            out[n++] = (char)*s++;
        } else if (wide) {
            memcpy(out + n, s, wide);
            n += wide;
            s += wide;
        } else {
            n += (size_t)sprintf(out + n, "\\ufffd");
            s++;
        }
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}

const char *route_problem_body(const struct problem *problem, unsigned status, struct arena *arena, size_t *bytes) {
    unsigned kind = (unsigned)problem->kind < PROBLEM_KINDS ? problem->kind : PROBLEM_INTERNAL;
    const char *slug = problem_slug(kind), *title = problem_table[kind].title;
    if (status == 0)
        status = problem_table[kind].status;
    for (size_t i = 0; i < sizeof status_table / sizeof status_table[0]; i++)
        if (status_table[i].status == status)
            slug = status_table[i].slug, title = status_table[i].title;
    if (status == 503 && problem_table[kind].status != 503)
        slug = "busy", title = "Busy";
    const char *detail = route_json_text(problem->detail, arena), *pointer = "", *minimum = "";
    if (problem->where[0]) {
        const char *where = route_json_text(problem->where, arena);
        pointer = where ? arena_printf(arena, NULL, ",\"pointer\":%s", where) : NULL;
    }
    if (problem->minimum_budget_bytes)
        minimum = arena_printf(arena, NULL, ",\"minimum_budget_bytes\":%llu",
                               (unsigned long long)problem->minimum_budget_bytes);
    if (!detail || !pointer || !minimum)
        return NULL;
    char *body = arena_printf(
        arena, NULL, "{\"type\":\"" ROUTE_PROBLEM_TYPE "%s\",\"title\":\"%s\",\"status\":%u,\"detail\":%s%s%s}\n", slug,
        title, status, detail, pointer, minimum);
    if (body)
        *bytes = strlen(body);
    return body;
}
