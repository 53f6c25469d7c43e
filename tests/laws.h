/* laws.h - random training steps, random graphs, random strategies, and a judge of plans that shares no code with
 * engine/plan. Nothing here knows the test framework: benches use it too. Same seed, same thing. */
#ifndef REMATD_TESTS_LAWS_H
#define REMATD_TESTS_LAWS_H

#include "engine/models/model.h"
#include "engine/plan/planner.h"

/* A random number below bound; *state moves on. */
uint64_t laws_random(uint64_t *state, uint64_t bound);

/* One row of the table of what differs between models. To add a field or a family: a row in laws_models.c. */
struct laws_variation {
    const char *name;
    void (*vary)(struct workload *w, uint64_t *random);
};
extern const struct laws_variation laws_variations[];
extern const unsigned laws_variations_length;

/* A workload that model_lower takes: every row of laws_variations in order. */
struct workload laws_workload(uint64_t seed);
/* The same in one line, for messages. */
const char *laws_workload_text(const struct workload *w, char *text, size_t room);

/* A random graph of functions: any number of inputs and results, sizes over six orders of magnitude, workspace. */
PROBLEM_MUST_CHECK bool laws_graph(struct graph *g, struct arena *a, uint64_t seed, struct problem *why);

/* For each row of planner_table the strategies that its parameters allow: at most LAWS_STRATEGIES_MAX, standard first.
 * layers: room for LAWS_LAYERS_MAX. */
#define LAWS_STRATEGIES_MAX 32u
#define LAWS_LAYERS_MAX     64u
struct laws_strategies {
    struct strategy list[LAWS_STRATEGIES_MAX];
    unsigned n;
    struct strategy_layer layers[2][LAWS_LAYERS_MAX]; /* of the custom ones */
};
void laws_strategies_make(const struct graph *g, uint64_t seed, struct laws_strategies *out);
/* "uniform k 3", in text. */
const char *laws_strategy_text(const struct strategy *s, char *text, size_t room);

/* Every figure of the plan, every moment of it and its layout, counted again from its steps and its graph by the words
 * of docs/memory-model.md: sets of what is there, step by step. False with the first difference. */
PROBLEM_MUST_CHECK bool laws_judge(const struct plan *p, struct problem *why);

#endif
