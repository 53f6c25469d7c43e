/* planner_uniform.c - groups of k layers share one checkpoint; or s segments of floor(L / s) layers, the last with the
 * rest. */
#include "engine/plan/planner.h"

static bool groups(const struct graph *g, const struct strategy *s, uint32_t *group, struct problem *why) {
    if ((s->k == 0) == (s->segments == 0))
        return problem_set(why, PROBLEM_LIMIT, "", "uniform takes either k or segments, of at least 1");
    if (s->segments > g->layers)
        return problem_set(why, PROBLEM_LIMIT, "/segments", "is %llu; there are %u layers",
                           (unsigned long long)s->segments, g->layers);
    uint64_t k = s->k ? s->k : g->layers / s->segments;
    for (uint32_t o = 0; o < g->n_ops; o++)
        if (g->ops[o].layer != GRAPH_NONE) {
            uint64_t of = g->ops[o].layer / k;
            group[o] = (uint32_t)(s->segments && of >= s->segments ? s->segments - 1 : of);
        }
    return true;
}

const struct planner planner_uniform = {.name = "uniform",
                                        .description =
                                            "groups of k layers, or a number of segments, share one checkpoint each",
                                        .known_as = "Megatron uniform, torch checkpoint_sequential",
                                        .parameters = STRATEGY_TAKES_K | STRATEGY_TAKES_SEGMENTS,
                                        .groups = groups};
