/* planner_every_layer.c - keep each layer's input only, recompute the rest layer by layer. */
#include "engine/plan/planner.h"

static bool groups(const struct graph *g, const struct strategy *s, uint32_t *group, struct problem *why) {
    (void)s, (void)why;
    for (uint32_t o = 0; o < g->n_ops; o++)
        group[o] = g->ops[o].layer; /* GRAPH_NONE outside every layer */
    return true;
}

const struct planner planner_every_layer = {.name = "every_layer",
                                            .description = "keep each layer's input only",
                                            .known_as = "torch.utils.checkpoint on each layer, Megatron full/uniform/1",
                                            .groups = groups};
