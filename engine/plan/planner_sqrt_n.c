/* planner_sqrt_n.c - about the square root of L segments of as many layers (Chen et al. 2016, arXiv 1604.06174, section
 * 3): one checkpoint a segment. */
#include "engine/plan/planner.h"

uint64_t planner_sqrt_n_layers(uint64_t layers) {
    uint64_t k = 1;
    while (k * k < layers) /* at most 2^32 layers */
        k++;
    return k;
}

static bool groups(const struct graph *g, const struct strategy *s, uint32_t *group, struct problem *why) {
    const struct strategy uniform = {.planner = &planner_uniform, .k = planner_sqrt_n_layers(g->layers)};
    (void)s;
    return planner_uniform.groups(g, &uniform, group, why);
}

const struct planner planner_sqrt_n = {.name = "sqrt_n",
                                       .description =
                                           "groups of the square root of the layers share one checkpoint each",
                                       .known_as = "Chen et al. 2016, Checkmate's baseline",
                                       .groups = groups};
