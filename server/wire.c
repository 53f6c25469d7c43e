/* wire.c - reading; see wire.h.
 *
 * Jansson makes a value of 30 to 200 bytes for every two bytes of text, so a document is counted before it is parsed,
 * and all those of the process have a budget. Nobody waits for room: that may be one of the threads which answer
 * probes. */
#include "server/wire.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* At most, with what the heap adds. An object has buckets from the start; a number in an array has its place there,
 * which may be as much again until the array has grown into it. */
#define NODE_BYTES   272u
#define NUMBER_BYTES 56u

struct wire_document {
    json_t *root;
    uint64_t heap_bytes;
};

static atomic_uint_least64_t heap_bytes; /* of all documents */

/* Jansson calls a request malformed where it has no memory to read it: its allocations are watched. */
static _Thread_local bool starved;

static void *watched_malloc(size_t bytes) {
    void *got = malloc(bytes);
    starved |= got == NULL;
    return got;
}

void wire_start(void) {
    json_set_alloc_funcs(watched_malloc, free);
    json_object_seed(0);
}

static bool heap_take(uint64_t bytes, struct problem *why) {
    if (atomic_fetch_add(&heap_bytes, bytes) + bytes <= WIRE_HEAP_MAX)
        return true;
    atomic_fetch_sub(&heap_bytes, bytes);
    return problem_set(why, PROBLEM_BUSY, "",
                       "the requests that are being answered fill the memory for their JSON: try again soon");
}

/* The byte after the string that starts at text[i] (its quote); bytes if it never ends. */
static size_t string_end(const char *text, size_t bytes, size_t i) {
    for (i++; i < bytes && text[i] != '"'; i++)
        if (text[i] == '\\')
            i++;
    return i < bytes ? i + 1 : bytes;
}

/* *heap: what the document will take, at most. */
static bool scan(const char *text, size_t bytes, uint64_t *heap, struct problem *why) {
    size_t nodes = 0, numbers = 0;
    unsigned depth = 0;
    bool inside = false; /* a number or literal */
    const char *nul = memchr(text, '\0', bytes);
    if (nul)
        return problem_set(why, PROBLEM_MALFORMED, "", "byte %zu is NUL, which JSON has no place for",
                           (size_t)(nul - text));
    for (size_t i = 0; i < bytes;) {
        char c = text[i];
        bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("+-.", c);
        numbers += word && !inside;
        inside = word;
        if (c == '{' || c == '[') {
            nodes++;
            if (++depth > WIRE_DEPTH_MAX)
                return problem_set(why, PROBLEM_MALFORMED, "", "nests deeper than %d at byte %zu", WIRE_DEPTH_MAX, i);
        }
        if ((c == '}' || c == ']') && depth)
            depth--;
        nodes += c == '"';
        i = c == '"' ? string_end(text, bytes, i) : i + 1;
        if (nodes > WIRE_NODES_MAX || numbers > WIRE_NUMBERS_MAX)
            return problem_set(
                why, PROBLEM_TOO_LARGE, "",
                "has more than %d objects, arrays and strings or %d numbers; send tensors to POST /v1/tensors",
                WIRE_NODES_MAX, WIRE_NUMBERS_MAX);
    }
    *heap = nodes * NODE_BYTES + numbers * NUMBER_BYTES + 2 * bytes;
    return true;
}

struct wire_document *wire_parse(const char *text, size_t bytes, struct problem *why) {
    json_error_t error;
    uint64_t heap = 0;
    if (!scan(text, bytes, &heap, why) || !heap_take(heap, why))
        return NULL;
    starved = false;
    struct wire_document *d = malloc(sizeof *d);
    json_t *root = d ? json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error) : NULL;
    if (root) {
        *d = (struct wire_document){root, heap};
        return d;
    }
    if (!d || starved)
        problem_set(why, PROBLEM_MEMORY, "", "no memory to read the request");
    else
        problem_set(why, PROBLEM_MALFORMED, "", "is not JSON: line %d, column %d: %s", error.line, error.column,
                    error.text);
    free(d);
    atomic_fetch_sub(&heap_bytes, heap);
    return NULL;
}

void wire_document_free(struct wire_document *d) {
    if (!d)
        return;
    json_decref(d->root);
    atomic_fetch_sub(&heap_bytes, d->heap_bytes);
    free(d);
}

uint64_t wire_document_heap(const struct wire_document *d) {
    return d->heap_bytes;
}

static const char *dump(const json_t *json, struct arena *a, struct problem *why) {
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY);
    if (!text) {
        problem_set(why, PROBLEM_MEMORY, "", "no memory to keep the request");
        return NULL;
    }
    const char *copy = arena_copy(a, text, strlen(text) + 1, why);
    free(text);
    return copy;
}

const char *wire_canonical(const struct wire_document *d, struct arena *a, struct problem *why) {
    return dump(d->root, a, why);
}

const char *wire_json(const struct wire_value *v, struct arena *a, struct problem *why) {
    return dump(v->json, a, why);
}

struct wire_value wire_root(const struct wire_document *d) {
    return (struct wire_value){.json = d->root};
}

static const enum wire_type types[] = {
    [JSON_OBJECT] = WIRE_OBJECT, [JSON_ARRAY] = WIRE_ARRAY, [JSON_STRING] = WIRE_STRING, [JSON_INTEGER] = WIRE_INTEGER,
    [JSON_REAL] = WIRE_REAL,     [JSON_TRUE] = WIRE_BOOL,   [JSON_FALSE] = WIRE_BOOL,    [JSON_NULL] = WIRE_NULL,
};

static const char *const type_names[] = {
    [WIRE_NULL] = "null",       [WIRE_BOOL] = "a boolean", [WIRE_INTEGER] = "an integer", [WIRE_REAL] = "a number",
    [WIRE_STRING] = "a string", [WIRE_ARRAY] = "an array", [WIRE_OBJECT] = "an object",
};

enum wire_type wire_type(const struct wire_value *v) {
    return types[json_typeof((const json_t *)v->json)];
}

static size_t append(char *out, size_t n, size_t size, const char *text) {
    for (; *text && n + 3 < size; text++) {
        if (*text == '~' || *text == '/') {
            out[n++] = '~';
            out[n++] = *text == '~' ? '0' : '1';
        } else {
            out[n++] = *text;
        }
    }
    out[n] = '\0';
    return n;
}

static size_t pointer(const struct wire_value *v, char *out, size_t size) {
    out[0] = '\0';
    if (!v->up)
        return 0;
    size_t n = pointer(v->up, out, size);
    if (n + 24 >= size)
        return n;
    out[n++] = '/';
    if (v->key)
        return append(out, n, size, v->key);
    return n + (size_t)snprintf(out + n, size - n, "%zu", v->index);
}

bool wire_fail(const struct wire_value *v, struct problem *why, enum problem_kind kind, const char *format, ...) {
    char where[sizeof why->where], detail[sizeof why->detail];
    va_list args;
    pointer(v, where, sizeof where);
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    return problem_set(why, kind, where, "%s", detail);
}

bool wire_nest(const struct wire_value *v, struct problem *why) {
    char where[sizeof why->where];
    pointer(v, where, sizeof where);
    return problem_nest(why, "%s", where);
}

static bool wrong_type(const struct wire_value *v, const char *wanted, struct problem *why) {
    return wire_fail(v, why, PROBLEM_MALFORMED, "is %s; it must be %s", type_names[wire_type(v)], wanted);
}

bool wire_object(const struct wire_value *v, const char *const *fields, struct problem *why) {
    const char *key;
    json_t *member;
    if (wire_type(v) != WIRE_OBJECT)
        return wrong_type(v, "an object", why);
    json_object_foreach((json_t *)(uintptr_t)v->json, key, member) {
        const char *const *field = fields;
        while (*field && strcmp(*field, key) != 0)
            field++;
        if (!*field)
            return wire_fail(&(struct wire_value){member, v, key, 0}, why, PROBLEM_UNKNOWN_FIELD,
                             "is not a field here");
    }
    return true;
}

bool wire_array(const struct wire_value *v, size_t min, size_t max, struct problem *why) {
    if (wire_type(v) != WIRE_ARRAY)
        return wrong_type(v, "an array", why);
    size_t n = wire_length(v);
    if (n < min || n > max)
        return wire_fail(v, why, PROBLEM_LIMIT, "has %zu elements; it must have from %zu to %zu", n, min, max);
    return true;
}

size_t wire_length(const struct wire_value *array) {
    return json_array_size(array->json);
}

struct wire_value wire_at(const struct wire_value *array, size_t index) {
    return (struct wire_value){json_array_get(array->json, index), array, NULL, index};
}

bool wire_get(const struct wire_value *object, const char *key, struct wire_value *out) {
    const json_t *member = json_object_get(object->json, key);
    if (member)
        *out = (struct wire_value){member, object, key, 0};
    return member != NULL;
}

void wire_remove(struct wire_document *d, const char *key) {
    json_object_del(d->root, key);
}

bool wire_member(const struct wire_value *object, size_t index, struct wire_value *out) {
    json_t *json = (json_t *)(uintptr_t)object->json;
    void *at = json_object_iter(json);
    for (; at && index; index--)
        at = json_object_iter_next(json, at);
    if (at)
        *out = (struct wire_value){json_object_iter_value(at), object, json_object_iter_key(at), 0};
    return at != NULL;
}

bool wire_need(const struct wire_value *object, const char *key, struct wire_value *out, struct problem *why) {
    if (wire_get(object, key, out))
        return true;
    return wire_fail(&(struct wire_value){NULL, object, key, 0}, why, PROBLEM_MISSING_FIELD, "is required");
}

bool wire_uint(const struct wire_value *v, uint64_t min, uint64_t max, uint64_t *out, struct problem *why) {
    if (wire_type(v) != WIRE_INTEGER)
        return wrong_type(v, "an integer", why);
    json_int_t value = json_integer_value(v->json);
    uint64_t most = max < WIRE_INTEGER_MAX ? max : WIRE_INTEGER_MAX;
    if (value < 0 || (uint64_t)value < min || (uint64_t)value > most)
        return wire_fail(v, why, PROBLEM_LIMIT, "is %lld; it must be from %llu to %llu", (long long)value,
                         (unsigned long long)min, (unsigned long long)most);
    *out = (uint64_t)value;
    return true;
}

bool wire_real(const struct wire_value *v, double min, double max, double *out, struct problem *why) {
    enum wire_type type = wire_type(v);
    if (type != WIRE_INTEGER && type != WIRE_REAL)
        return wrong_type(v, "a number", why);
    double value = json_number_value(v->json);
    if (!(value >= min && value <= max))
        return wire_fail(v, why, PROBLEM_LIMIT, "is %.17g; it must be from %g to %g", value, min, max);
    *out = value;
    return true;
}

bool wire_bool(const struct wire_value *v, bool *out, struct problem *why) {
    if (wire_type(v) != WIRE_BOOL)
        return wrong_type(v, "true or false", why);
    *out = json_is_true((const json_t *)v->json);
    return true;
}

bool wire_string(const struct wire_value *v, const char **out, struct problem *why) {
    if (wire_type(v) != WIRE_STRING)
        return wrong_type(v, "a string", why);
    *out = json_string_value(v->json);
    return true;
}

bool wire_uint_of(const struct wire_value *object, const char *key, uint64_t min, uint64_t max, uint64_t *out,
                  struct problem *why) {
    struct wire_value v;
    return !wire_get(object, key, &v) || wire_uint(&v, min, max, out, why);
}

bool wire_real_of(const struct wire_value *object, const char *key, double min, double max, double *out,
                  struct problem *why) {
    struct wire_value v;
    return !wire_get(object, key, &v) || wire_real(&v, min, max, out, why);
}

bool wire_bool_of(const struct wire_value *object, const char *key, bool *out, struct problem *why) {
    struct wire_value v;
    return !wire_get(object, key, &v) || wire_bool(&v, out, why);
}

bool wire_string_of(const struct wire_value *object, const char *key, const char **out, struct problem *why) {
    struct wire_value v;
    return !wire_get(object, key, &v) || wire_string(&v, out, why);
}
