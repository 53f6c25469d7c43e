/* plan_bounds.h - how much memory the plans of one request may take, and for how long a daemon that stops waits for
 * them.
 */
#ifndef REMATD_SERVER_PLAN_BOUNDS_H
#define REMATD_SERVER_PLAN_BOUNDS_H

#include "server/route.h"
#include "server/wire.h"

struct plan_bounds {
    struct arena_bounds arena; /* of every arena that the plans are made in; points to this struct */
    const struct service *service;
    uint64_t most_bytes; /* of one of those arenas: PLAN_QUERY_ARENA_BYTES, unless who began sets another */
    uint64_t begun_ns;
};

/* service may be NULL: no bounds. */
void plan_bounds_begin(struct plan_bounds *bounds, const struct service *service);
/* For the next of several plans: a search that was cut, or a plan that was too large, is no affair of it. */
void plan_bounds_again(struct plan_bounds *bounds);
uint64_t plan_bounds_ns(const struct plan_bounds *bounds); /* since it began */
bool plan_bounds_drains(const struct service *service);
/* Why v has no answer, as its client is to hear it: memory that is in use now is a problem for now, what would be too
 * large for an idle daemon is one of the request. answer: the arena the answer was written in. Returns false. */
bool plan_bounds_tell(const struct plan_bounds *bounds, const struct arena *answer, const struct wire_value *v,
                      struct problem *why);
/* The same of a request whose document is gone. */
bool plan_bounds_tell_text(const struct plan_bounds *bounds, const struct arena *answer, const char *text, size_t bytes,
                           struct problem *why);

#endif
