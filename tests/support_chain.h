/* support_chain.h - chains at random and from files, and what judges their solvers: plain programs that share no code
 * with them. */
#ifndef REMATD_TESTS_SUPPORT_CHAIN_H
#define REMATD_TESTS_SUPPORT_CHAIN_H

#include "engine/plan/chain_any.h"
#include "server/wire.h"

/* Numbers up to these, at random. period: stages repeat after so many (the last one is its own); 0: never. */
struct support_chain_shape {
    uint32_t stages, options, period;
    uint64_t sizes, costs;
};

/* Any numbers that chain.h allows, different in both passes. */
void support_chain_random(uint64_t seed, const struct support_chain_shape *shape, struct arena *a, struct chain *out);
/* As posted: what is kept is no less than what leaves the stage; times are whole. */
void support_chain_posted(uint64_t seed, const struct support_chain_shape *shape, struct arena *a,
                          struct chain_posted *out);
/* A file of tests/data, read; and a chain in it, as tests/data/chain13.json has one. Both assert. */
struct wire_document *support_chain_open(const char *path);
void support_chain_value(const struct wire_value *v, struct arena *a, struct chain_posted *out);
/* Asserts that it is one. *unit may be NULL. */
struct chain support_chain_of(const struct chain_posted *p, struct arena *a, double *unit);

/* The frontier of persistent plans: best(m, i, j) for every m, as chain.h and the file write it. For small sizes. */
const struct chain_point *support_chain_frontier(const struct chain *c, struct arena *a, uint32_t *n);
/* The same by listing every plan, without forgetting any. For a handful of stages. */
const struct chain_point *support_chain_listed(const struct chain *c, struct arena *a, uint32_t *n);

/* Runs a persistent schedule step by step, with nothing resident that its steps did not make; asserts that each finds
 * what it reads, and that in the end every stage had its backward. Bytes of what was resident and needed at any step.
 */
struct chain_point support_chain_replay(const struct chain *c, const struct chain_step *steps, uint32_t n);
/* Runs a plan of chain_any_solve, with what its moments say is resident; asserts that nothing appears there that was
 * not made. */
struct chain_point support_chain_replay_any(const struct chain *c, const struct chain_any_plan *plan);
/* Reads a schedule as windows within windows, and counts bytes and cost as the recursion does. */
struct chain_point support_chain_windows(const struct chain *c, const struct chain_step *steps, uint32_t n);

/* The least cost of all plans within so many bytes (engine/plan/chain_any.h), by sweeping over all states until none
 * gets better; persistent: of those where nothing goes before its backward but what a fast forward moves on from.
 * UINT64_MAX: there is none. For a handful of stages. */
uint64_t support_chain_any(const struct chain *c, uint64_t bytes, bool persistent);

#endif
