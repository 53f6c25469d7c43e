/* wire_strategy.h - a strategy as requests give it: a name, or an object where it takes parameters. */
#ifndef REMATD_SERVER_WIRE_STRATEGY_H
#define REMATD_SERVER_WIRE_STRATEGY_H

#include "engine/plan/planner.h"
#include "server/wire.h"

struct wire_strategy {
    bool automatic; /* "auto": strategy is not set */
    struct strategy strategy;
    const char *json; /* the same as it goes out again: a string or an object */
};

/* "auto" is PROBLEM_LIMIT unless may_be_auto. Lists and text live in a. Whether the parameters fit a graph,
 * planner_plan says. */
PROBLEM_MUST_CHECK bool wire_strategy_read(const struct wire_value *v, bool may_be_auto, struct arena *a,
                                           struct wire_strategy *out, struct problem *why);
/* Field "objective" of v, "flops" where there is none. */
PROBLEM_MUST_CHECK bool wire_strategy_objective(const struct wire_value *v, enum objective *out, struct problem *why);
/* json of a strategy with loss_chunk in it; 0: as it is. */
const char *wire_strategy_chunked(const char *json, uint64_t loss_chunk, struct arena *a, struct problem *why);
/* One without parameters. */
struct wire_strategy wire_strategy_plain(const struct planner *planner, const char *json);

#endif
