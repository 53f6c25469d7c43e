/* blob_usage.h - how many bytes a data directory holds, and how many it may. Counted in DATA/usage, a page that every
 * process over the directory maps: what a process that was killed has written is counted too. blob.c's own. */
#ifndef REMATD_SERVER_BLOB_USAGE_H
#define REMATD_SERVER_BLOB_USAGE_H

#include <stdint.h>

#include "engine/base/problem.h"

struct blob_usage;

PROBLEM_MUST_CHECK struct blob_usage *blob_usage_open(const char *root, struct problem *why);
void blob_usage_close(struct blob_usage *usage); /* NULL is fine */
/* A number that the directory has had since it was made; not 0. */
uint64_t blob_usage_host(const struct blob_usage *usage);
/* The most that the directory may hold, for every process over it; 0: no bound. */
void blob_usage_limit(struct blob_usage *usage, uint64_t limit_bytes);
/* How many bytes must stay free on the disk, for this process; 0: none. */
void blob_usage_floor(struct blob_usage *usage, uint64_t floor_bytes);
/* Counts n bytes before they are written; PROBLEM_FULL where they have no room. n may be 0: whether there is any. */
PROBLEM_MUST_CHECK bool blob_usage_take(struct blob_usage *usage, uint64_t n, struct problem *why);
/* They are gone, or were not written. */
void blob_usage_give(struct blob_usage *usage, uint64_t n);
/* What was counted anew, while nobody else writes. */
void blob_usage_set(struct blob_usage *usage, uint64_t bytes);
/* Files, and the store beside them. */
uint64_t blob_usage_bytes(const struct blob_usage *usage);

#endif
