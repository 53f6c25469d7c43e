/* cost.h - how long an op takes on a machine of given rates: docs/memory-model.md section 7. Pure. */
#ifndef REMATD_PLAN_COST_H
#define REMATD_PLAN_COST_H

#include "engine/plan/plan.h"

struct cost_rates {
    double flops, bytes; /* a second, at their peak; both > 0 */
};

/* Of one run or gradient: the longer of its arithmetic and its traffic, what it reads and writes moved once. */
double cost_seconds(const struct graph *g, const struct step *s, const struct cost_rates *r);

#endif
