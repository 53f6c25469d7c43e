/* wire_chain.h - a chain as requests post it, like tests/data/chain13.json:
 *
 *   {"stages": [{"input_size", "fast_forward": {"time", "workspace"},
 *                "options": [{"forward", "backward", "kept", "forward_workspace", "backward_workspace"}]}],
 *    "output_size"}
 *
 * Sizes are whole numbers and times numbers, in units of the client's own. What such a file says beside (source,
 * meaning, recurrence, frontier, infeasible_below) is taken and not read. */
#ifndef REMATD_SERVER_WIRE_CHAIN_H
#define REMATD_SERVER_WIRE_CHAIN_H

#include "engine/plan/chain.h"
#include "server/wire.h"

#define WIRE_CHAIN_STAGES_MAX  1000u
#define WIRE_CHAIN_OPTIONS_MAX 64u /* of one stage */
#define WIRE_CHAIN_TIME_MAX    1e15

/* Everything lives in a. */
PROBLEM_MUST_CHECK bool wire_chain_read(const struct wire_value *v, struct arena *a, struct chain_posted *out,
                                        struct problem *why);

#endif
