/* planner_standard.c - keep everything: what every framework does unless told otherwise. */
#include "engine/plan/planner.h"

static bool groups(const struct graph *g, const struct strategy *s, uint32_t *group, struct problem *why) {
    (void)g, (void)s, (void)group, (void)why;
    return true;
}

const struct planner planner_standard = {.name = "standard",
                                         .description = "keep everything",
                                         .known_as = "the default of every framework",
                                         .groups = groups};
