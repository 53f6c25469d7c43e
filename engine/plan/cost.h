/* cost.h - how long an op takes on a machine of given rates: docs/memory-model.md section 7. Pure. */
#ifndef REMATD_PLAN_COST_H
#define REMATD_PLAN_COST_H

#include "engine/plan/plan.h"

/* What rates are measured of: a kind of op; attention by kernel, and by whether its mask is a causal one. */
enum {
    COST_ATTENTION_STANDARD = OP_KINDS,
    COST_ATTENTION_STANDARD_CAUSAL,
    COST_ATTENTION_FLASH,
    COST_ATTENTION_FLASH_CAUSAL,
    COST_ROWS
};
const char *cost_row_name(unsigned row);             /* "linear", "attention_flash_causal" */
bool cost_row_find(const char *name, unsigned *out); /* false: there is none */
unsigned cost_row(const struct op *op);
/* Products and attention are bound by arithmetic, all others by what they move. */
bool cost_row_is_arithmetic(unsigned row);

/* A second, both > 0. */
struct cost_rate {
    double flops, bytes;
};

/* Of one dtype on one machine: forward, backward. */
struct cost_measured {
    struct cost_rate of[COST_ROWS][2];
};

struct cost_rates {
    double flops, bytes;                  /* a second, at their peak; both > 0 */
    const struct cost_measured *measured; /* what ops reach in place of the peaks; NULL: not known */
};

/* Of a run or gradient: what it reads and writes, each tensor once. */
uint64_t cost_bytes(const struct graph *g, const struct step *s);
/* The longer of its arithmetic and its traffic. */
double cost_seconds(const struct graph *g, const struct step *s, const struct cost_rates *r);

#endif
