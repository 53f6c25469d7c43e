/* planner_block.c - the first k layers are checkpointed, each by itself; the others keep everything. */
#include "engine/plan/planner.h"

static bool groups(const struct graph *g, const struct strategy *s, uint32_t *group, struct problem *why) {
    if (s->k == 0)
        return problem_set(why, PROBLEM_LIMIT, "/k", "is 0; block takes k of at least 1");
    for (uint32_t o = 0; o < g->n_ops; o++)
        if (g->ops[o].layer != GRAPH_NONE && g->ops[o].layer < s->k)
            group[o] = g->ops[o].layer;
    return true;
}

const struct planner planner_block = {.name = "block",
                                      .description = "the first k layers are checkpointed",
                                      .known_as = "Megatron block",
                                      .parameters = STRATEGY_TAKES_K,
                                      .groups = groups};
