/* planner_selective.c - the named parts are recomputed in every layer, each from its own input. */
#include "engine/plan/planner.h"

static bool groups(const struct graph *g, const struct strategy *s, uint32_t *group, struct problem *why) {
    if (s->selection.parts == 0 && s->selection.op_kinds == 0)
        return problem_set(why, PROBLEM_MISSING_FIELD, "/ops", "selective needs the parts or ops to recompute");
    uint32_t next = 0;
    for (uint32_t layer = 0; layer < g->layers; layer++)
        planner_select(g, layer, &s->selection, group, &next);
    return true;
}

const struct planner planner_selective = {.name = "selective",
                                          .description = "the named parts are recomputed in every layer",
                                          .known_as = "Megatron selective, torch selective activation checkpointing",
                                          .parameters = STRATEGY_TAKES_OPS,
                                          .groups = groups};
