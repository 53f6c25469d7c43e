/* slab.h - the one piece of memory a plan runs in: exactly the bytes asked for, pages touched beforehand, a guard page
 * at either end, reused from job to job (first touch of fresh pages is some twenty times slower than memory).
 *
 * The slab ends flush with its guard page, so one byte too far is a fault. Before its start lies less than a page that
 * belongs to nobody; slab_front_intact looks at it. One thread at a time. */
#ifndef REMATD_EXEC_SLAB_H
#define REMATD_EXEC_SLAB_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/problem.h"

struct slab;

PROBLEM_MUST_CHECK struct slab *slab_new(struct problem *why);
void slab_free(struct slab *slab); /* NULL is fine */

/* The slab's first byte; bytes of it may be used until the next call. bytes is a multiple of 64; 0 gives a valid
 * pointer to nothing. Content is undefined. Pages beyond the need go back to the system. */
PROBLEM_MUST_CHECK unsigned char *slab_reserve(struct slab *slab, uint64_t bytes, struct problem *why);

/* Gives all pages back; the next slab_reserve touches them afresh. */
void slab_trim(struct slab *slab);

/* Bytes of whole pages the slab holds now: what the operating system should see of it. */
uint64_t slab_page_bytes(const struct slab *slab);

/* The witness: fill writes a pattern over slab and front; touched_bytes finds, by scanning, the end of the highest
 * 8-byte word that no longer holds it (0: none), front_intact whether nothing before the slab was written. */
void slab_fill(struct slab *slab);
uint64_t slab_touched_bytes(const struct slab *slab);
bool slab_front_intact(const struct slab *slab);

#endif
