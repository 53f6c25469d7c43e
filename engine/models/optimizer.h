/* optimizer.h - optimizers: the bytes they keep between steps, and what a step does. Static tables; any thread. */
#ifndef REMATD_MODELS_OPTIMIZER_H
#define REMATD_MODELS_OPTIMIZER_H

#include "engine/graph/graph.h"
#include "engine/kernels/update.h"

/* A row of optimizer_table: what it keeps for one parameter tensor, in float32 numbers or bytes. In 16-bit training it
 * also holds a float32 master copy of each weight (but for "none"). */
struct optimizer {
    const char *name, *description;
    uint64_t (*state_bytes)(const struct tensor *parameter);
    bool steps; /* changes weights: needs master copies in 16-bit training */
    /* One step of one tensor; NULL where there is none (none), or it is planned and not run yet. */
    void (*update)(const struct update *u);
    struct update_rule rule; /* what a step takes if nothing else is said: as PyTorch has it, Lion as its paper */
};
extern const struct optimizer optimizer_table[];
extern const unsigned optimizer_table_length;
const struct optimizer *optimizer_find(const char *name); /* NULL if unknown */

#endif
