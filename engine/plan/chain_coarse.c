/* chain_coarse.c - a chain made easier: what is left out, and what its plans truly cost. */
#include <string.h>

#include "engine/plan/chain_windows.h"

/* Most kept first; of equals the cheapest last. */
static void by_kept(struct chain_option *o, uint32_t n) {
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t k = i; k > 0 && (o[k].kept > o[k - 1].kept ||
                                       (o[k].kept == o[k - 1].kept && o[k].backward_cost > o[k - 1].backward_cost));
             k--) {
            const struct chain_option swap = o[k];
            o[k] = o[k - 1];
            o[k - 1] = swap;
        }
}

/* Whether y lies on or above the line from x to z. */
static bool is_above(const struct chain_option *x, const struct chain_option *y, const struct chain_option *z) {
    return ((double)y->backward_cost - (double)x->backward_cost) * ((double)y->kept - (double)z->kept) >=
           ((double)z->backward_cost - (double)y->backward_cost) * ((double)x->kept - (double)y->kept);
}

/* What one option needs in all: the smallest plans are of these, on the hull or not. */
static uint64_t needs(const struct chain_option *o) {
    uint64_t most = o->backward_need;
    for (unsigned p = 0; p < CHAIN_PASSES; p++)
        most = o->forward_need[p] > most ? o->forward_need[p] : most;
    return most;
}

/* Of those that keep no more than others of less need, the next: no other is smaller in both. */
static bool is_small(const struct chain_option *o, uint32_t n, uint32_t k) {
    for (uint32_t i = 0; i < n; i++)
        if (i != k && o[i].kept <= o[k].kept && needs(&o[i]) <= needs(&o[k]) &&
            (o[i].kept < o[k].kept || needs(&o[i]) < needs(&o[k]) || i > k))
            return false;
    return true;
}

/* The corners of the hull of bytes and costs, and what is smallest in bytes and needs. */
static uint32_t hull(struct chain_option *o, uint32_t n, uint32_t *corner) {
    uint32_t h = 0, left = 0;
    by_kept(o, n);
    for (uint32_t i = 0; i < n; i++) {
        while (h >= 1 && o[corner[h - 1]].kept == o[i].kept)
            h--;
        while (h >= 2 && is_above(&o[corner[h - 2]], &o[corner[h - 1]], &o[i]))
            h--;
        corner[h++] = i;
    }
    bool small[64] = {0};
    for (uint32_t i = 0; i < n && i < 64; i++)
        small[i] = is_small(o, n, i);
    for (uint32_t i = 0, at = 0; i < n; i++) {
        const bool is_corner = at < h && corner[at] == i;
        at += is_corner;
        if (is_corner || (i < 64 && small[i]))
            o[left++] = o[i];
    }
    return left;
}

static uint64_t in_units(uint64_t cost, uint64_t unit) {
    return (cost + unit / 2) / unit;
}

static bool stage_coarse(struct chain_stage *s, uint64_t unit, struct arena *a, struct problem *why) {
    struct chain_option *options = arena_copy(a, s->options, s->n_options * sizeof *options, why);
    struct chain_single *singles = arena_copy(a, s->singles, s->n_singles * sizeof *singles, why);
    uint32_t *corner = arena_new(a, uint32_t, (size_t)s->n_options + 1, why);
    if (!options || !singles || !corner)
        return false;
    for (uint32_t k = 0; k < s->n_options; k++)
        options[k].choice = k;
    for (uint32_t k = 0; k < s->n_singles; k++)
        singles[k].choice = k;
    s->n_options = hull(options, s->n_options, corner);
    for (unsigned p = 0; p < CHAIN_PASSES; p++)
        s->fast_cost[p] = in_units(s->fast_cost[p], unit);
    for (uint32_t k = 0; k < s->n_options; k++) {
        for (unsigned p = 0; p < CHAIN_PASSES; p++)
            options[k].forward_cost[p] = in_units(options[k].forward_cost[p], unit);
        options[k].backward_cost = in_units(options[k].backward_cost, unit);
    }
    for (uint32_t k = 0; k < s->n_singles; k++)
        singles[k].cost = in_units(singles[k].cost, unit);
    s->options = options;
    s->singles = singles;
    return true;
}

struct chain *chain_coarse(const struct chain *c, uint64_t unit, struct arena *a, struct problem *why) {
    struct chain *out = arena_new(a, struct chain, 1, why);
    struct chain_stage *stages = arena_copy(a, c->stages, c->n * sizeof *stages, why);
    if (!out || !stages)
        return NULL;
    for (uint32_t s = 0; s < c->n; s++) {
        uint32_t like = s < 8 ? 0 : s - 8; /* those alike share their arrays, and go on sharing them */
        while (like < s && (c->stages[like].options != c->stages[s].options ||
                            c->stages[like].singles != c->stages[s].singles || c->stages[s].n_options == 0))
            like++;
        if (like < s) {
            stages[s].options = stages[like].options;
            stages[s].singles = stages[like].singles;
            stages[s].n_options = stages[like].n_options;
            for (unsigned p = 0; p < CHAIN_PASSES; p++)
                stages[s].fast_cost[p] = in_units(stages[s].fast_cost[p], unit);
        } else if (!stage_coarse(&stages[s], unit, a, why)) {
            return NULL;
        }
    }
    *out = (struct chain){stages, c->n};
    return out;
}

uint64_t chain_cost_of_all(const struct chain *c, uint64_t times) {
    uint64_t all = 0;
    for (uint32_t s = 0; s < c->n; s++) {
        const struct chain_stage *stage = &c->stages[s];
        uint64_t most = stage->fast_cost[CHAIN_AGAIN];
        for (uint32_t k = 0; k < stage->n_options; k++) {
            const uint64_t cost = stage->options[k].forward_cost[CHAIN_AGAIN] + stage->options[k].backward_cost;
            most = cost > most ? cost : most;
        }
        for (uint32_t k = 0; k < stage->n_singles; k++)
            most = stage->singles[k].cost > most ? stage->singles[k].cost : most;
        all += most * times;
    }
    return all;
}

uint64_t chain_steps_cost(const struct chain *c, const struct chain_step *steps, uint32_t n) {
    uint64_t cost = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct chain_stage *stage = &c->stages[steps[i].stage];
        const uint32_t k = steps[i].index;
        cost += steps[i].what == CHAIN_FAST       ? stage->fast_cost[steps[i].pass]
                : steps[i].what == CHAIN_FORWARD  ? stage->options[k].forward_cost[steps[i].pass]
                : steps[i].what == CHAIN_BACKWARD ? stage->options[k].backward_cost
                                                  : stage->singles[k].cost;
    }
    return cost;
}
