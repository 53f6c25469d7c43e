/* problem.c - see problem.h */
#include "engine/base/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const slugs[] = {
    [PROBLEM_NONE] = "none",
    [PROBLEM_MALFORMED] = "malformed",
    [PROBLEM_UNKNOWN_FIELD] = "unknown-field",
    [PROBLEM_MISSING_FIELD] = "missing-field",
    [PROBLEM_LIMIT] = "limit",
    [PROBLEM_SHAPE] = "shape",
    [PROBLEM_UNSUPPORTED] = "unsupported",
    [PROBLEM_BUDGET] = "budget",
    [PROBLEM_STATE] = "state",
    [PROBLEM_PLAN] = "illegal-plan",
    [PROBLEM_NONDETERMINISTIC] = "nondeterministic",
    [PROBLEM_MEMORY] = "out-of-memory",
    [PROBLEM_WITNESS] = "witness",
    [PROBLEM_CANCELLED] = "cancelled",
    [PROBLEM_NOT_FOUND] = "not-found",
    [PROBLEM_IO] = "io",
    [PROBLEM_FULL] = "full",
    [PROBLEM_TOO_LARGE] = "too-large",
    [PROBLEM_CRASHED] = "worker-crashed",
    [PROBLEM_BUSY] = "busy",
    [PROBLEM_TIMEOUT] = "timeout",
    [PROBLEM_QUEUE_TIMEOUT] = "queue-timeout",
    [PROBLEM_INTERNAL] = "internal",
};
_Static_assert(sizeof slugs / sizeof slugs[0] == PROBLEM_KINDS, "one slug per problem kind");

bool problem_set(struct problem *why, enum problem_kind kind, const char *where, const char *format, ...) {
    if (!why || why->kind != PROBLEM_NONE)
        return false;
    va_list args;
    why->kind = kind;
    snprintf(why->where, sizeof why->where, "%s", where ? where : "");
    va_start(args, format);
    vsnprintf(why->detail, sizeof why->detail, format, args);
    va_end(args);
    return false;
}

bool problem_nest(struct problem *why, const char *format, ...) {
    if (!why || why->kind == PROBLEM_NONE)
        return false;
    char inner[sizeof why->where];
    memcpy(inner, why->where, sizeof inner);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(why->where, sizeof why->where, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof why->where)
        snprintf(why->where + n, sizeof why->where - (size_t)n, "%s", inner);
    return false;
}

const char *problem_slug(enum problem_kind kind) {
    return (unsigned)kind < PROBLEM_KINDS ? slugs[kind] : "internal";
}
