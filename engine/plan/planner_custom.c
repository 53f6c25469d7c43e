/* planner_custom.c - the caller says, layer by layer, what is kept. */
#include "engine/plan/planner.h"

static bool groups(const struct graph *g, const struct strategy *s, uint32_t *group, struct problem *why) {
    if (s->n_layers != g->layers)
        return problem_set(why, PROBLEM_SHAPE, "/layers", "has %llu entries; there are %u layers",
                           (unsigned long long)s->n_layers, g->layers);
    uint32_t next = 0;
    for (uint32_t layer = 0; layer < g->layers; layer++) {
        const struct strategy_layer *l = &s->layers[layer];
        if (l->policy == LAYER_RECOMPUTE)
            planner_select(g, layer, &l->selection, group, &next);
        if (l->policy == LAYER_CHECKPOINT) {
            for (uint32_t o = 0; o < g->n_ops; o++)
                if (g->ops[o].layer == layer)
                    group[o] = next;
            next++;
        }
    }
    return true;
}

const struct planner planner_custom = {.name = "custom",
                                       .description = "the caller says, per layer, what is kept",
                                       .known_as = "",
                                       .parameters = STRATEGY_TAKES_LAYERS,
                                       .groups = groups};
