/* plan_candidates.c - see plan_candidates.h */
#include "server/plan_candidates.h"

#include "server/wire_strategy.h"

#define BLOCK_PARTS 16u /* block is tried at this many depths */

struct making {
    uint64_t loss_chunk;
    struct arena *a;
    struct plan_candidate *list;
    unsigned n;
    struct problem *why;
};

static void add(struct making *m, struct strategy s, const char *json) {
    s.loss_chunk = m->loss_chunk;
    json = wire_strategy_chunked(json, s.loss_chunk, m->a, m->why);
    if (json && m->n < PLAN_CANDIDATES_MAX)
        m->list[m->n++] = (struct plan_candidate){.strategy = s, .json = json};
}

static void add_counted(struct making *m, const struct planner *planner, const char *parameter, uint64_t value) {
    const struct strategy s = {.planner = planner, .n = value, .k = value};
    add(m, s,
        arena_printf(m->a, m->why, "{\"name\":\"%s\",\"%s\":%llu}", planner->name, parameter,
                     (unsigned long long)value));
}

static void add_selections(struct making *m) {
    static const struct {
        unsigned parts;
        const char *json;
    } selections[] = {{PART_NORM, "[\"norm\"]"},
                      {PART_ATTENTION_CORE, "[\"attention_core\"]"},
                      {PART_ATTENTION, "[\"attention\"]"},
                      {PART_MLP, "[\"mlp\"]"},
                      {PART_ATTENTION | PART_MLP, "[\"attention\",\"mlp\"]"}};
    for (size_t i = 0; i < sizeof selections / sizeof selections[0]; i++)
        add(m, (struct strategy){.planner = &planner_selective, .selection = {.parts = selections[i].parts}},
            arena_printf(m->a, m->why, "{\"name\":\"selective\",\"ops\":%s}", selections[i].json));
}

bool plan_candidates_make(uint64_t layers, uint64_t loss_chunk, struct arena *a, struct plan_candidate *list,
                          unsigned *n, struct problem *why) {
    struct making m = {loss_chunk, a, list, 0, why};
    add(&m, (struct strategy){.planner = &planner_standard}, "\"standard\"");
    add_selections(&m);
    for (uint64_t every = 8; every >= 2; every--)
        if (every < layers)
            add_counted(&m, &planner_every_n, "n", every);
    for (uint64_t part = 1, last = 0; part < BLOCK_PARTS; part++) {
        uint64_t k = layers * part / BLOCK_PARTS;
        if (k > last)
            add_counted(&m, &planner_block, "k", k);
        last = k;
    }
    add(&m, (struct strategy){.planner = &planner_every_layer}, "\"every_layer\"");
    for (uint64_t k = 2; k <= layers && k <= 16; k += 1 + k / 4)
        add_counted(&m, &planner_uniform, "k", k);
    *n = m.n;
    return why->kind == PROBLEM_NONE; /* else a name could not be written */
}
