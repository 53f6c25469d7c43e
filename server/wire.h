/* wire.h - JSON in and out. The daemon's only user of Jansson; a bad field is named by JSON Pointer (RFC 6901).
 *
 * Reading: a document owns the parsed text; a wire_value is a place in it and the way there, kept on the stack while
 * the places below it are read. Writing: text grows in an arena. Any thread may read or write its own. */
#ifndef REMATD_SERVER_WIRE_H
#define REMATD_SERVER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/problem.h"

#define WIRE_DEPTH_MAX   32
#define WIRE_NODES_MAX   100000 /* objects, arrays, strings, names */
#define WIRE_NUMBERS_MAX 600000 /* numbers and literals: a 1 MiB body of "1,1,1," has 524,288 */
#define WIRE_HEAP_MAX                                                                                                  \
    ((uint64_t)256 << 20)                  /* what the documents of a process may take at once, by its own estimate    \
                                            */
#define WIRE_INTEGER_MAX 9007199254740992u /* 2^53 */

/* Once, before threads: seeds Jansson's hashes. */
void wire_start(void);

struct wire_document;
/* text[bytes] need not end in NUL. PROBLEM_MALFORMED says line and column; PROBLEM_BUSY: with those that are held it
 * would take more than WIRE_HEAP_MAX. */
PROBLEM_MUST_CHECK struct wire_document *wire_parse(const char *text, size_t bytes, struct problem *why);
void wire_document_free(struct wire_document *d); /* NULL is fine */
/* What it counts for. */
uint64_t wire_document_heap(const struct wire_document *d);
/* The same document with sorted keys and no spaces: equal requests have equal texts. */
PROBLEM_MUST_CHECK const char *wire_canonical(const struct wire_document *d, struct arena *a, struct problem *why);

struct wire_value;
/* The same of one value of it. */
PROBLEM_MUST_CHECK const char *wire_json(const struct wire_value *v, struct arena *a, struct problem *why);

enum wire_type { WIRE_NULL, WIRE_BOOL, WIRE_INTEGER, WIRE_REAL, WIRE_STRING, WIRE_ARRAY, WIRE_OBJECT };

struct wire_value {
    const void *json;
    const struct wire_value *up; /* NULL: the document itself */
    const char *key;             /* in an object; else NULL and */
    size_t index;                /* in an array */
};

struct wire_value wire_root(const struct wire_document *d);
enum wire_type wire_type(const struct wire_value *v);
/* Sets a problem that points at v. Returns false. */
bool wire_fail(const struct wire_value *v, struct problem *why, enum problem_kind kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Puts the way to v before `where` of a problem an engine function set. Returns false. */
bool wire_nest(const struct wire_value *v, struct problem *why);

/* v must be an object that has no field but those named (NULL at the end). */
PROBLEM_MUST_CHECK bool wire_object(const struct wire_value *v, const char *const *fields, struct problem *why);
/* v must be an array with min <= length <= max. */
PROBLEM_MUST_CHECK bool wire_array(const struct wire_value *v, size_t min, size_t max, struct problem *why);
size_t wire_length(const struct wire_value *array);
struct wire_value wire_at(const struct wire_value *array, size_t index);
/* False: no such field. *out keeps a pointer to object. */
bool wire_get(const struct wire_value *object, const char *key, struct wire_value *out);
/* The index-th field, in no order that means anything; false past the last. */
bool wire_member(const struct wire_value *object, size_t index, struct wire_value *out);
PROBLEM_MUST_CHECK bool wire_need(const struct wire_value *object, const char *key, struct wire_value *out,
                                  struct problem *why);

/* Wrong type: PROBLEM_MALFORMED; out of [min, max]: PROBLEM_LIMIT. Strings are borrowed from the document. */
PROBLEM_MUST_CHECK bool wire_uint(const struct wire_value *v, uint64_t min, uint64_t max, uint64_t *out,
                                  struct problem *why);
PROBLEM_MUST_CHECK bool wire_real(const struct wire_value *v, double min, double max, double *out, struct problem *why);
PROBLEM_MUST_CHECK bool wire_bool(const struct wire_value *v, bool *out, struct problem *why);
PROBLEM_MUST_CHECK bool wire_string(const struct wire_value *v, const char **out, struct problem *why);
/* The same of a field that may be absent: *out keeps its value then. */
PROBLEM_MUST_CHECK bool wire_uint_of(const struct wire_value *object, const char *key, uint64_t min, uint64_t max,
                                     uint64_t *out, struct problem *why);
PROBLEM_MUST_CHECK bool wire_real_of(const struct wire_value *object, const char *key, double min, double max,
                                     double *out, struct problem *why);
PROBLEM_MUST_CHECK bool wire_bool_of(const struct wire_value *object, const char *key, bool *out, struct problem *why);
PROBLEM_MUST_CHECK bool wire_string_of(const struct wire_value *object, const char *key, const char **out,
                                       struct problem *why);

/* ---- writing ---- */

/* Text in the making. The first failure stands in *why; wire_text returns NULL then. */
struct wire_out {
    struct arena *arena;
    struct problem *why;
    char *text;
    size_t bytes, room;
    bool comma, failed;
};

void wire_out_init(struct wire_out *o, struct arena *a, struct problem *why);
/* key NULL inside an array or at the top. */
void wire_open(struct wire_out *o, const char *key, char bracket); /* '{' or '[' */
void wire_close(struct wire_out *o, char bracket);                 /* '}' or ']' */
void wire_put_uint(struct wire_out *o, const char *key, uint64_t value);
void wire_put_real(struct wire_out *o, const char *key,
                   double value); /* shortest that reads back equal; not finite: null */
void wire_put_bool(struct wire_out *o, const char *key, bool value);
void wire_put_string(struct wire_out *o, const char *key, const char *value); /* NULL: null */
void wire_put_time(struct wire_out *o, const char *key, int64_t unix_ms);     /* RFC 3339 with milliseconds; 0: null */
void wire_put_json(struct wire_out *o, const char *key, const char *json);    /* a text made before; NULL: null */
/* NUL-terminated, in the arena; *bytes may be NULL. NULL if anything failed. */
PROBLEM_MUST_CHECK const char *wire_text(struct wire_out *o, size_t *bytes);

#endif
