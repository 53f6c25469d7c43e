/* chain_windows.c - see chain_windows.h */
#include "engine/plan/chain_windows.h"

#include <string.h>

#include "engine/base/units.h"

#define ALIAS_REACH 128u /* how far back a start looks for another like it: the longest period that is found */

static bool same_stage(const struct chain_stage *a, const struct chain_stage *b) {
    return a->input == b->input && memcmp(a->fast_cost, b->fast_cost, sizeof a->fast_cost) == 0 &&
           memcmp(a->fast_need, b->fast_need, sizeof a->fast_need) == 0 &&
           memcmp(a->moving_need, b->moving_need, sizeof a->moving_need) == 0 &&
           memcmp(a->beside, b->beside, sizeof a->beside) == 0 && a->n_options == b->n_options &&
           a->n_singles == b->n_singles &&
           (a->options == b->options || memcmp(a->options, b->options, a->n_options * sizeof *a->options) == 0) &&
           (a->singles == b->singles || memcmp(a->singles, b->singles, a->n_singles * sizeof *a->singles) == 0);
}

/* kind[i]: the first stage that has all the numbers of stage i. */
static void kinds_find(const struct chain *c, uint32_t *kind, uint32_t *distinct) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t k = 0;
        while (k < n && !same_stage(&c->stages[distinct[k]], &c->stages[i]))
            k++;
        if (k == n)
            distinct[n++] = i;
        kind[i] = distinct[k];
    }
}

/* For each distance back the run of equal kinds is carried along, so that all aliases cost n times the reach. */
static void aliases_find(struct chain_solver *s, const uint32_t *kind) {
    const uint32_t last = s->chain.n - 1;
    for (uint32_t i = 0; i <= last; i++)
        s->alias[i] = i;
    for (uint32_t back = 1; back <= ALIAS_REACH && back < last; back++)
        for (uint32_t i = last; i-- > back && kind[i] == kind[i - back];)
            s->alias[i] = i - back < s->alias[i] ? i - back : s->alias[i];
    for (uint32_t i = 0; i <= last; i++) /* an alias of an alias */
        s->alias[i] = s->alias[s->alias[i]];
}

static bool moving_find(struct chain_solver *s, struct arena *a, struct problem *why) {
    const uint32_t last = s->chain.n - 1;
    for (uint32_t i = last + 1; i-- > 0;)
        s->moving_first[i] =
            i + 1 >= last ? 0 : units_max(s->moving_first[i + 1], s->chain.stages[i + 1].moving_need[CHAIN_FIRST]);
    for (uint32_t i = 0; i < last; i++) {
        if (s->alias[i] != i)
            continue;
        uint64_t most = 0;
        s->again[i] = arena_new(a, struct chain_curve, last - i, why);
        s->moving[i] = arena_new(a, uint64_t, last - i, why);
        if (!s->again[i] || !s->moving[i])
            return false;
        for (uint32_t j = i; j < last; j++) {
            if (j >= i + 2)
                most = units_max(most, s->chain.stages[j - 1].moving_need[CHAIN_AGAIN]);
            s->moving[i][j - i] = most;
        }
    }
    return true;
}

struct chain_solver *chain_windows_new(const struct chain *c, struct arena *a, struct problem *why) {
    struct chain_solver *s = arena_new(a, struct chain_solver, 1, why);
    uint32_t *kind = arena_new(a, uint32_t, c->n, why), *distinct = arena_new(a, uint32_t, c->n, why);
    if (!s || !kind || !distinct)
        return NULL;
    s->chain = *c;
    s->arena = a;
    s->alias = arena_new(a, uint32_t, c->n, why);
    s->again = arena_new(a, struct chain_curve *, c->n, why);
    s->moving = arena_new(a, uint64_t *, c->n, why);
    s->first = arena_new(a, struct chain_curve, c->n, why);
    s->moving_first = arena_new(a, uint64_t, c->n, why);
    if (!s->alias || !s->again || !s->moving || !s->first || !s->moving_first)
        return NULL;
    kinds_find(c, kind, distinct);
    aliases_find(s, kind);
    return moving_find(s, a, why) ? s : NULL;
}

uint64_t chain_window_floor(const struct chain_solver *s, uint32_t i, uint32_t j) {
    const enum chain_pass pass = chain_pass_of(s, j);
    const uint64_t moving = pass == CHAIN_FIRST ? s->moving_first[i] : s->moving[s->alias[i]][j - i];
    return units_max(s->chain.stages[i].fast_need[pass], moving) + s->chain.stages[j].beside[0];
}

uint64_t chain_option_floor(const struct chain_solver *s, uint32_t i, uint32_t j, uint32_t k, uint64_t floor) {
    const struct chain_option *o = &s->chain.stages[i].options[k];
    const uint64_t forward = o->forward_need[chain_pass_of(s, j)] + s->chain.stages[j].beside[1];
    return units_max(floor, units_max(forward, o->backward_need));
}
