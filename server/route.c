/* route.c - see route.h */
#include "server/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define QUERY_MAX 64u

const char *request_query(const struct request *request, const char *name) {
    for (unsigned i = 0; i < request->n_query; i++)
        if (strcmp(request->query[i].name, name) == 0)
            return request->query[i].value;
    return NULL;
}

unsigned request_query_count(const struct request *request) {
    return request->n_query;
}

void request_query_at(const struct request *request, unsigned i, const char **name, const char **value) {
    *name = request->query[i].name;
    *value = request->query[i].value;
}

/* A parameter's name as a JSON Pointer. */
struct pointer {
    char text[64];
};

static struct pointer pointer_to(const char *name) {
    struct pointer to = {"/"};
    for (size_t n = 1; *name && n + 2 < sizeof to.text; name++) {
        bool escaped = *name == '~' || *name == '/';
        to.text[n++] = escaped ? '~' : *name;
        if (escaped)
            to.text[n++] = *name == '~' ? '0' : '1';
    }
    return to;
}

bool request_parameter_unknown(const char *name, struct problem *why) {
    return problem_set(why, PROBLEM_UNKNOWN_FIELD, pointer_to(name).text, "is not a parameter here");
}

/* Whether words, with a space between, has this one; NULL has none. */
static bool has_word(const char *words, const char *word) {
    const size_t n = strlen(word);
    for (; words && *words; words += strcspn(words, " "), words += *words == ' ')
        if (n > 0 && strncmp(words, word, n) == 0 && (words[n] == ' ' || words[n] == '\0'))
            return true;
    return false;
}

/* Two values of one name would be read as the first here and as the last by what stands in front of us. */
bool route_parameters_check(const struct route *route, const struct request *request, struct problem *why) {
    if (route->body != BODY_QUERY)
        return request->n_query == 0 || request_parameter_unknown(request->query[0].name, why);
    for (unsigned i = 1; i < request->n_query; i++) {
        const char *name = request->query[i].name;
        for (unsigned before = 0; before < i; before++)
            if (strcmp(request->query[before].name, name) == 0 && !has_word(route->repeats, name))
                return problem_set(why, PROBLEM_MALFORMED, pointer_to(name).text, "is given twice");
    }
    return true;
}

const char *request_header(const struct request *request, const char *name) {
    for (unsigned i = 0; i < request->n_headers; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return NULL;
}

/* The weight after a media range: 1 unless it says q=. */
static double quality(const char *parameters, size_t bytes) {
    for (size_t i = 0; i + 2 < bytes; i++)
        if ((i == 0 || strchr("; \t", parameters[i - 1])) && strncasecmp(parameters + i, "q=", 2) == 0)
            return strtod(parameters + i + 2, NULL);
    return 1;
}

bool request_format(const struct request *request, const struct route_format *rows, unsigned n, unsigned formats,
                    unsigned *out) {
    const char *accept = request_header(request, "Accept");
    double best = 0;
    *out = rows[0].format;
    if (!accept || !*accept)
        return true;
    for (const char *at = accept; *at;) {
        at += strspn(at, " \t,");
        size_t item = strcspn(at, ","), type = strcspn(at, ",; \t");
        double q = quality(at + type, item - type);
        for (unsigned i = 0; i < n; i++)
            if (strlen(rows[i].type) == type && strncasecmp(rows[i].type, at, type) == 0 && q > best &&
                (formats & 1u << rows[i].format)) {
                best = q;
                *out = rows[i].format;
            }
        at += item;
    }
    return best > 0;
}

bool response_header(struct response *response, const char *name, const char *value) {
    if (response->n_headers == ROUTE_RESPONSE_HEADERS)
        return false;
    response->headers[response->n_headers++] = (struct route_pair){name, value};
    return true;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

const char *route_decode(const char *raw, size_t bytes, bool plus, struct arena *arena, struct problem *why) {
    char *out = arena_take(arena, bytes + 1, 1, why);
    if (!out)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (raw[i] != '%') {
            out[n++] = plus && raw[i] == '+' ? ' ' : raw[i];
            continue;
        }
        int high = bytes - i > 2 ? hex_value(raw[i + 1]) : -1;
        int low = high >= 0 ? hex_value(raw[i + 2]) : -1;
        if (low < 0 || (high == 0 && low == 0)) {
            problem_set(why, PROBLEM_MALFORMED, "",
                        "the address has a %% that two hexadecimal digits (not 00) must follow");
            return NULL;
        }
        out[n++] = (char)(high * 16 + low);
        i += 2;
    }
    out[n] = '\0';
    return out;
}

bool route_query_parse(const char *raw, struct arena *arena, const struct route_pair **pairs, unsigned *n,
                       struct problem *why) {
    size_t room = *raw ? 1 : 0;
    for (const char *at = raw; *at && room < QUERY_MAX; at++)
        room += *at == '&';
    struct route_pair *list = arena_new(arena, struct route_pair, room, why);
    *n = 0;
    *pairs = list;
    if (!list)
        return false;
    while (*raw) {
        size_t length = strcspn(raw, "&"), name_length = strcspn(raw, "=&");
        if (length > 0) {
            if (*n == QUERY_MAX)
                return problem_set(why, PROBLEM_MALFORMED, "", "the query has more than %u parameters", QUERY_MAX);
            const char *value = raw + name_length + (name_length < length);
            struct route_pair *pair = &list[*n];
            if (!(pair->name = route_decode(raw, name_length, true, arena, why)) ||
                !(pair->value = route_decode(value, (size_t)(raw + length - value), true, arena, why)))
                return false;
            ++*n;
        }
        raw += length + (raw[length] == '&');
    }
    return true;
}

struct span {
    const char *at;
    size_t length;
};

/* Whether path fits pattern; *n spans are the parameters. */
static bool pattern_fits(const char *pattern, const char *path, struct span spans[ROUTE_ARGS], unsigned *n) {
    *n = 0;
    while (*pattern) {
        if (*pattern == '{') {
            struct span span = {path, strcspn(path, "/")};
            if (span.length == 0 || *n == ROUTE_ARGS)
                return false;
            spans[(*n)++] = span;
            path += span.length;
            pattern += strcspn(pattern, "}") + 1;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

/* "GET, HEAD, POST" of every row whose pattern fits; "" if none does. */
static const char *allowed_methods(const struct route *const *tables, const char *path, struct arena *arena,
                                   struct problem *why) {
    const char *list = "";
    struct span spans[ROUTE_ARGS];
    unsigned n;
    for (; *tables; tables++)
        for (const struct route *row = *tables; row->method; row++) {
            if (!pattern_fits(row->pattern, path, spans, &n))
                continue;
            const char *method = strcmp(row->method, "GET") == 0 ? "GET, HEAD" : row->method;
            list = arena_printf(arena, why, "%s%s%s", list, *list ? ", " : "", method);
            if (!list)
                return NULL;
        }
    return list;
}

static bool spans_copy(const struct span *spans, unsigned n, const char *args[ROUTE_ARGS], struct arena *arena,
                       struct problem *why) {
    for (unsigned i = 0; i < n; i++)
        if (!(args[i] = arena_printf(arena, why, "%.*s", (int)spans[i].length, spans[i].at)))
            return false;
    return true;
}

const struct route *route_find(const struct route *const *tables, const char *method, const char *path,
                               const char *args[ROUTE_ARGS], const char **allow, struct arena *arena,
                               struct problem *why) {
    struct span spans[ROUTE_ARGS];
    unsigned n;
    *allow = NULL;
    for (const struct route *const *table = tables; *table; table++)
        for (const struct route *row = *table; row->method; row++)
            if (strcmp(row->method, method) == 0 && pattern_fits(row->pattern, path, spans, &n))
                return spans_copy(spans, n, args, arena, why) ? row : NULL;
    const char *list = allowed_methods(tables, path, arena, why);
    if (!list)
        return NULL;
    if (!*list) {
        problem_set(why, PROBLEM_NOT_FOUND, "", "there is nothing at this address");
        return NULL;
    }
    *allow = list;
    problem_set(why, PROBLEM_STATE, "", "this address answers to %s only", list);
    return NULL;
}
