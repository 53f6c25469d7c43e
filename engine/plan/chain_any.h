/* chain_any.h - the least cost of all plans of a small chain within a budget, persistent or not: what is kept may go
 * before its backward and be made again.
 *
 * For chains whose numbers are the same in both passes, as chain_from_posted makes them. What is resident: what enters
 * a stage, where it was left there (but what enters the first stage is never counted), and what options keep, what
 * leaves their stage among it. Every step reads what enters its stage, backwards too. It needs what is resident (its
 * own stage's kept, where it makes or ends it, once) and
 *     CHAIN_FAST of s      fast_need(s) + beside[0] of the stage whose backward is next
 *     CHAIN_FORWARD of s   forward_need + beside[1] of the same
 *     CHAIN_BACKWARD       backward_need
 *     CHAIN_SINGLE         need
 * A persistent plan of so many bytes by chain.h needs no more by this count, so it is never better than what is found
 * here. A* over what is resident; the number of such states grows exponentially with the stages. */
#ifndef REMATD_PLAN_CHAIN_ANY_H
#define REMATD_PLAN_CHAIN_ANY_H

#include "engine/plan/chain.h"

#define CHAIN_ANY_STAGES_MAX 64

struct chain_any_limits {
    uint64_t bytes;  /* the budget */
    uint64_t cost;   /* no plan of more is wanted: that of the best persistent plan saves states; UINT64_MAX: all
                        below 2^63 */
    uint64_t states; /* the most to look at; some 200 bytes of the arena each */
};

/* While a step runs. Bit s: of stage s. */
struct chain_any_moment {
    uint64_t inputs; /* what enters it is resident, beside what is kept */
    uint64_t kept;   /* its last option is kept, and this step neither makes nor ends it */
    uint64_t bytes;  /* all together */
};

struct chain_any_plan {
    const struct chain_step *steps; /* NULL: no plan was found */
    const struct chain_any_moment *moments;
    uint32_t n;
    uint64_t cost, bytes; /* of the plan */
    uint64_t lower_bound; /* no plan within the budget costs less; with none within the limits more than limits.cost */
    bool exact;           /* the plan is one of least cost, or there is none; else the states ran out */
    uint64_t states;      /* looked at */
};

/* False only with a problem. Of a chain whose states cannot be written down (more than 64 stages, or bits for all
 * their options) nothing is found, and exact is false. */
PROBLEM_MUST_CHECK bool chain_any_solve(const struct chain *c, const struct chain_any_limits *limits, struct arena *a,
                                        struct chain_any_plan *out, struct problem *why);

#endif
