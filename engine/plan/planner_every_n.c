/* planner_every_n.c - layers whose index is a multiple of n are checkpointed, the others keep everything. */
#include "engine/plan/planner.h"

static bool groups(const struct graph *g, const struct strategy *s, uint32_t *group, struct problem *why) {
    if (s->n == 0)
        return problem_set(why, PROBLEM_LIMIT, "/n", "is 0; every_n takes n of at least 1");
    for (uint32_t o = 0; o < g->n_ops; o++)
        if (g->ops[o].layer != GRAPH_NONE && g->ops[o].layer % s->n == 0)
            group[o] = g->ops[o].layer;
    return true;
}

const struct planner planner_every_n = {.name = "every_n",
                                        .description =
                                            "layers with index % n == 0 are checkpointed, the others keep everything",
                                        .known_as = "Hugging Face every_n_layers",
                                        .parameters = STRATEGY_TAKES_N,
                                        .groups = groups};
