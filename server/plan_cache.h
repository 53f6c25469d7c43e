/* plan_cache.h - answers to planning queries that were given before, within a bound of bytes.
 *
 * An answer that is kept is a pure function of its request, so it never goes stale. It has several names: the texts it
 * was asked for with (a body or a query string, byte for byte: found without parsing), and the canonical JSON they all
 * mean. A name is compared whole, never by its hash alone. The names used longest ago go first; an answer goes with its
 * last name. Any thread. */
#ifndef REMATD_SERVER_PLAN_CACHE_H
#define REMATD_SERVER_PLAN_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/problem.h"

#define PLAN_CACHE_SHARE 8 /* a name and its answer take at most one of so many parts; larger ones are not kept */

enum plan_question { PLAN_QUESTION_PLANS, PLAN_QUESTION_CAPACITY, PLAN_QUESTION_FRONTIER };

struct plan_name {
    enum plan_question question;
    bool query; /* text is a raw query string; else JSON */
    const char *text;
    size_t bytes;
};

#define PLAN_TAG_SIZE 36

/* Immutable once made. */
struct plan_answer {
    size_t bytes;
    char tag[PLAN_TAG_SIZE]; /* of the body, as an ETag with its quotes */
    char body[];             /* and a NUL */
};

struct plan_cache;
/* limit_bytes 0: none; NULL without a problem. */
PROBLEM_MUST_CHECK struct plan_cache *plan_cache_new(uint64_t limit_bytes, struct problem *why);
/* Answers that are still held outlive it. NULL is fine, here and below: a cache that has nothing. */
void plan_cache_free(struct plan_cache *cache);

/* Held by the caller until plan_answer_release; NULL where memory is gone. */
struct plan_answer *plan_answer_new(const char *body, size_t bytes);
void plan_answer_release(const struct plan_answer *answer);
void plan_answer_tag(char tag[PLAN_TAG_SIZE], const char *body, size_t bytes);

/* Held by the caller until plan_answer_release; NULL: not known. */
const struct plan_answer *plan_cache_find(struct plan_cache *cache, const struct plan_name *name);
/* Whether it is known now; counts nothing. */
bool plan_cache_has(struct plan_cache *cache, const struct plan_name *name);
/* Remembers the answer (which the caller goes on holding) under this name, where there is room for it. */
void plan_cache_add(struct plan_cache *cache, const struct plan_name *name, const struct plan_answer *answer);

/* finds and hits count calls of plan_cache_find. */
struct plan_cache_figures {
    uint64_t finds, hits, names, bytes, limit_bytes;
};
struct plan_cache_figures plan_cache_figures(struct plan_cache *cache);

#endif
