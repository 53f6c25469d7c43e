/* observe.h - what the backward really read again: an account the executor keeps while it runs, from events alone.
 *
 * Each life of a tensor is noted with the step of its last read by a grad or a recomputation. Retained bytes at a step
 * are those of lives that are recomputed, or that are read by the backward at that step or later. */
#ifndef REMATD_EXEC_OBSERVE_H
#define REMATD_EXEC_OBSERVE_H

#include "engine/plan/plan.h"

struct observe;

struct observe *observe_new(const struct plan *plan); /* NULL without memory */
void observe_free(struct observe *o);                 /* NULL is fine */

void observe_made(struct observe *o, uint32_t value, uint32_t step); /* into the slab */
void observe_freed(struct observe *o, uint32_t value, uint32_t step);
void observe_run(struct observe *o, const struct op *op, uint32_t step, bool again); /* after its outputs were made */
void observe_grad(struct observe *o, const struct op *op, uint32_t step);

/* The most retained bytes over all steps, and those saved when the backward began. Once. */
void observe_sum(struct observe *o, uint64_t *retained_peak_bytes, uint64_t *saved_bytes);

#endif
