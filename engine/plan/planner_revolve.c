/* planner_revolve.c - binomial checkpointing of layers taken as equal (Griewank & Walther 2000, algorithm 799): with c
 * inputs of layers kept at once, the fewest layers are run again. Under a budget c is the most that fits. */
#include <string.h>

#include "engine/plan/planner.h"

#define REVOLVE_LAYERS 512u

struct revolving {
    const struct graph *g;
    uint32_t layers;
    uint32_t *begin;  /* by layer: its first op; behind the last, where the rest begins */
    uint32_t **times; /* by checkpoints, by layers: layers run again at least */
    struct step *moves;
    uint32_t n, room;
    bool turned; /* what follows the layers has run, and its gradients */
    struct arena *a;
    struct problem *why;
};

static bool put(struct revolving *r, enum step_op what, uint32_t op) {
    if (r->n == r->room) {
        struct step *larger = arena_new(r->a, struct step, 2 * (size_t)r->room, r->why);
        if (!larger)
            return false;
        memcpy(larger, r->moves, r->n * sizeof *larger);
        r->moves = larger;
        r->room *= 2;
    }
    r->moves[r->n++] = (struct step){what, op};
    return true;
}

static bool run(struct revolving *r, uint32_t from, uint32_t to) {
    for (uint32_t o = from; o < to; o++)
        if (!put(r, STEP_RUN, o))
            return false;
    return true;
}

static bool grad(struct revolving *r, uint32_t from, uint32_t to) {
    for (uint32_t o = to; o-- > from;)
        if (r->g->ops[o].needs_grad && !put(r, STEP_GRAD, o))
            return false;
    return true;
}

/* times[c][n]: n layers with c checkpoints beside the input, the layer of a single one not counted. */
static bool times_find(struct revolving *r) {
    r->times = arena_new(r->a, uint32_t *, (size_t)r->layers + 1, r->why);
    for (uint32_t c = 0; r->times && c <= r->layers; c++) {
        if (!(r->times[c] = arena_new(r->a, uint32_t, (size_t)r->layers + 1, r->why)))
            return false;
        for (uint32_t n = 2; n <= r->layers; n++) {
            r->times[c][n] = n * (n - 1) / 2;
            for (uint32_t k = 1; c > 0 && k < n; k++) {
                const uint32_t whole = k + r->times[c - 1][n - k] + r->times[c][k];
                r->times[c][n] = whole < r->times[c][n] ? whole : r->times[c][n];
            }
        }
    }
    return r->times != NULL;
}

/* Once, behind the last layer's first run. */
static bool turn(struct revolving *r) {
    const bool turned = r->turned;
    r->turned = true;
    return turned || (run(r, r->begin[r->layers], r->g->n_ops) && grad(r, r->begin[r->layers], r->g->n_ops));
}

static bool window(struct revolving *r, uint32_t i, uint32_t n, uint32_t c) {
    if (n == 1)
        return run(r, r->begin[i], r->begin[i + 1]) && turn(r) && grad(r, r->begin[i], r->begin[i + 1]);
    if (c == 0) { /* from the input, each time */
        for (uint32_t last = n; last-- > 0;)
            if (!run(r, r->begin[i], r->begin[i + last]) || !window(r, i + last, 1, 0))
                return false;
        return true;
    }
    uint32_t k = 1;
    while (k + 1 < n && k + r->times[c - 1][n - k] + r->times[c][k] != r->times[c][n])
        k++;
    return run(r, r->begin[i], r->begin[i + k]) && window(r, i + k, n - k, c - 1) && window(r, i, k, c);
}

static bool with_checkpoints(struct revolving *r, uint32_t c, struct arena *a, struct plan *plan) {
    r->n = 0;
    r->turned = false;
    return run(r, 0, r->begin[0]) && window(r, 0, r->layers, c) && grad(r, 0, r->begin[0]) &&
           plan_make(r->g, r->moves, r->n, a, plan, r->why);
}

static bool begin_find(struct revolving *r) {
    const struct graph *g = r->g;
    r->begin = arena_new(r->a, uint32_t, (size_t)r->layers + 1, r->why);
    uint32_t last = 0, layer = 0;
    for (uint32_t o = 0; r->begin && o < g->n_ops; o++) {
        if (g->ops[o].layer == GRAPH_NONE)
            continue;
        if (g->ops[o].layer == layer && layer < r->layers)
            r->begin[layer++] = o;
        if (g->ops[o].layer + 1 != layer)
            return problem_set(r->why, PROBLEM_UNSUPPORTED, "", "revolve is for layers that come one after the other");
        last = o + 1;
    }
    if (r->begin)
        r->begin[r->layers] = last;
    return r->begin != NULL;
}

static bool plan(const struct graph *g, const struct strategy *s, struct arena *arena, struct plan *out,
                 struct problem *why) {
    struct revolving r = {.g = g, .layers = g->layers, .room = 4 * g->n_ops + 16, .a = arena, .why = why};
    if (g->layers == 0 || g->layers > REVOLVE_LAYERS || !g->backward)
        return problem_set(why, PROBLEM_LIMIT, "", "revolve is for a backward of 1 to %u layers", REVOLVE_LAYERS);
    r.moves = arena_new(arena, struct step, r.room, why);
    if (!r.moves || !begin_find(&r) || !times_find(&r))
        return false;
    uint32_t c = g->layers - 1;
    for (bool fits = s->budget_bytes == 0; !fits && c > 0; c -= !fits) {
        struct arena scratch;
        struct plan p;
        arena_init_within(&scratch, 0, arena->bounds);
        const bool ok = with_checkpoints(&r, c, &scratch, &p);
        fits = ok && p.peak_bytes <= s->budget_bytes;
        arena_free(&scratch);
        if (!ok)
            return false;
    }
    return with_checkpoints(&r, c, arena, out);
}

const struct planner planner_revolve = {.name = "revolve",
                                        .description = "binomial checkpointing, layers taken as equal: as many "
                                                       "checkpoints as the budget holds",
                                        .known_as = "Griewank & Walther 2000, rotor's baseline",
                                        .parameters = STRATEGY_TAKES_BUDGET,
                                        .plan = plan};
