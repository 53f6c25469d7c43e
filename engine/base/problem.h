/* problem.h - what went wrong, where, in one sentence. The first problem stands; later ones are echoes.
 *
 * A fallible function returns bool or a pointer, takes `struct problem *why` last and carries warn_unused_result. `why`
 * is the caller's, set to zero before the first call. `where` is an RFC 6901 JSON Pointer relative to the struct the
 * function reads; the caller nests it under its own name. */
#ifndef REMATD_BASE_PROBLEM_H
#define REMATD_BASE_PROBLEM_H

#include <stdbool.h>
#include <stdint.h>

#define PROBLEM_MUST_CHECK __attribute__((warn_unused_result))

/* One row per kind in problem.c (slug); the server's tables (HTTP status) and the command's (exit code) follow it. */
enum problem_kind {
    PROBLEM_NONE,
    PROBLEM_MALFORMED,        /* not readable as what it claims to be */
    PROBLEM_UNKNOWN_FIELD,    /* a field or name we do not know */
    PROBLEM_MISSING_FIELD,    /* a required field is absent */
    PROBLEM_LIMIT,            /* well formed, past a bound */
    PROBLEM_SHAPE,            /* shapes that do not go together */
    PROBLEM_UNSUPPORTED,      /* understood, not built */
    PROBLEM_BUDGET,           /* no strategy fits; minimum_budget_bytes says what would */
    PROBLEM_STATE,            /* called in the wrong order, or a conflict with what is there */
    PROBLEM_PLAN,             /* an illegal plan: a defect of a planner */
    PROBLEM_NONDETERMINISTIC, /* a recomputation differed from the first run */
    PROBLEM_MEMORY,           /* an allocation failed or met its limit */
    PROBLEM_WITNESS,          /* a byte outside what the plan asked for was written */
    PROBLEM_CANCELLED,        /* somebody asked to stop */
    PROBLEM_NOT_FOUND,        /* no such thing */
    PROBLEM_IO,               /* the disk or the store said no */
    PROBLEM_FULL,             /* a quota or queue is full */
    PROBLEM_TOO_LARGE,        /* a body beyond its limit */
    PROBLEM_CRASHED,          /* a worker died under a job */
    PROBLEM_BUSY,             /* too much of this at once; soon there will be room */
    PROBLEM_TIMEOUT,          /* a job ran longer than it was to */
    PROBLEM_QUEUE_TIMEOUT,    /* a job waited longer than it was to */
    PROBLEM_INTERNAL,         /* ours: should never be seen */
    PROBLEM_KINDS
};

struct problem {
    enum problem_kind kind;
    char where[192];               /* JSON Pointer, "" for the whole */
    char detail[384];              /* one sentence, no full stop needed */
    uint64_t minimum_budget_bytes; /* with PROBLEM_BUDGET */
};

/* Keeps the first problem (does nothing if one is set, or if why is NULL). Always returns false. */
bool problem_set(struct problem *why, enum problem_kind kind, const char *where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts a prefix before `where`: problem_nest(why, "/functions/%u", i). Does nothing if no problem is set. Returns
 * false. */
bool problem_nest(struct problem *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "malformed", "limit", ...: static. */
const char *problem_slug(enum problem_kind kind);

#endif
