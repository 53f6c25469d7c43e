/* wire_savings.h - measure_memory_savings between the wire and the engine: what the job and GET /v1/memory-savings
 * share. */
#ifndef REMATD_SERVER_WIRE_SAVINGS_H
#define REMATD_SERVER_WIRE_SAVINGS_H

#include "engine/base/problem.h"
#include "engine/remat.h"
#include "server/wire.h"

struct wire_savings {
    uint64_t seq_len, d_model, num_layers;
    uint64_t heads, batch;  /* 0: 1 */
    unsigned element_bytes; /* 0: 4 */
    uint64_t budget_bytes;  /* 0: none */
};

/* options are completed from s. Problems as the engine words them. */
PROBLEM_MUST_CHECK bool wire_savings_measure(const struct wire_savings *s, struct remat_savings_options *options,
                                             struct remat_memory_savings *figures, struct problem *why);
/* The six keys, into an open object. */
void wire_savings_put(struct wire_out *o, const struct remat_memory_savings *figures);

#endif
