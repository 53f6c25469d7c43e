/* arena.h - memory that is taken piece by piece and given back all at once: one per HTTP request, one per job.
 *
 * An arena belongs to one thread at a time. Pieces are 16-byte aligned and zeroed, and live until arena_free or
 * arena_reset. A limit and a fail-at hook make running out ordinary: tests fail take 0, 1, 2, ... in turn. */
#ifndef REMATD_BASE_ARENA_H
#define REMATD_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/problem.h"

struct arena_block;

/* What several arenas of one thread share, as those of one request do: how much they may hold together, and whether the
 * work is still wanted. A take past the one or after the other fails, so that whatever plans, however deep, ends soon.
 */
struct arena_bounds {
    uint64_t limit_bytes, held_bytes;
    bool (*stop)(void *user); /* asked at every take; NULL: never */
    void *user;
    bool past; /* a take failed for limit_bytes, or for the limit of an arena */
};

struct arena {
    struct arena_block *blocks;  /* newest first */
    uint64_t taken_bytes;        /* handed out so far, rounded to 16 */
    uint64_t limit_bytes;        /* taken_bytes never passes it; UINT64_MAX is none */
    uint64_t takes;              /* calls that asked for memory so far */
    uint64_t fail_at;            /* the take with this index fails; UINT64_MAX is none (tests) */
    struct arena_bounds *bounds; /* NULL: none */
    bool past;                   /* a take failed for limit_bytes */
};

/* Caller's storage. limit_bytes 0 means no limit. */
void arena_init(struct arena *a, uint64_t limit_bytes);
/* bounds may be NULL, and must live as long. */
void arena_init_within(struct arena *a, uint64_t limit_bytes, struct arena_bounds *bounds);
/* Gives everything back; the arena may be used again. A zeroed arena is fine. */
void arena_free(struct arena *a);
/* Gives back what was taken, but keeps a first block of ordinary size for what is taken next. */
void arena_reset(struct arena *a);

/* n * size zeroed bytes, or NULL with PROBLEM_MEMORY (PROBLEM_CANCELLED where the bounds say stop). Zero bytes give a
 * valid pointer. why may be NULL. */
PROBLEM_MUST_CHECK void *arena_take(struct arena *a, size_t n, size_t size, struct problem *why);
/* Copies that live in the arena. */
PROBLEM_MUST_CHECK void *arena_copy(struct arena *a, const void *from, size_t bytes, struct problem *why);
PROBLEM_MUST_CHECK char *arena_printf(struct arena *a, struct problem *why, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* arena_new(a, struct tensor, n, why): n zeroed structs */
#define arena_new(a, type, n, why) ((type *)arena_take((a), (n), sizeof(type), (why)))

#endif
