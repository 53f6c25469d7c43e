/* rate.h - so many requests a second for each who asks, and a burst of some more.
 *
 * A bucket of tokens per key, in a table of fixed size: where a key finds no place, the bucket that is nearest to full
 * gives way, which forgets least. Any thread. */
#ifndef REMATD_SERVER_RATE_H
#define REMATD_SERVER_RATE_H

#include <stdint.h>

#include "engine/base/problem.h"

#define RATE_KEY_BYTES 80 /* of a key, with its NUL */

struct rate;

/* per_second and burst at least 1. Free with rate_free. */
PROBLEM_MUST_CHECK struct rate *rate_new(unsigned per_second, unsigned burst, struct problem *why);
void rate_free(struct rate *rate); /* NULL is fine */

/* Takes one from the bucket of key at now_ns (any clock that never goes back). 0: taken. Else nothing is, and the
 * bucket has one again after so many ns. */
uint64_t rate_take(struct rate *rate, const char *key, uint64_t now_ns);

#endif
