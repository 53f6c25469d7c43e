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
static void aliases_find(struct chain_windows *w, const uint32_t *kind) {
    const uint32_t last = w->chain.n - 1;
    for (uint32_t i = 0; i <= last; i++)
        w->alias[i] = i;
    for (uint32_t back = 1; back <= ALIAS_REACH && back < last; back++)
        for (uint32_t i = last; i-- > back && kind[i] == kind[i - back];)
            w->alias[i] = i - back < w->alias[i] ? i - back : w->alias[i];
    for (uint32_t i = 0; i <= last; i++) /* an alias of an alias */
        w->alias[i] = w->alias[w->alias[i]];
}

bool chain_table_make(const struct chain_windows *w, struct arena *a, struct chain_table *t, struct problem *why) {
    const uint32_t last = w->chain.n - 1;
    t->first = arena_new(a, uint64_t, w->chain.n, why);
    t->again = arena_new(a, uint64_t *, w->chain.n, why);
    if (!t->first || !t->again)
        return false;
    for (uint32_t i = 0; i < last; i++)
        if (w->alias[i] == i && !(t->again[i] = arena_new(a, uint64_t, last - i, why)))
            return false;
    return true;
}

static void moving_find(struct chain_windows *w) {
    const uint32_t last = w->chain.n - 1;
    for (uint32_t i = last; i-- > 0;)
        w->moving.first[i] =
            i + 1 >= last ? 0 : units_max(w->moving.first[i + 1], w->chain.stages[i + 1].moving_need[CHAIN_FIRST]);
    for (uint32_t i = 0; i < last; i++) {
        uint64_t most = 0;
        for (uint32_t j = i; w->alias[i] == i && j < last; j++) {
            if (j >= i + 2)
                most = units_max(most, w->chain.stages[j - 1].moving_need[CHAIN_AGAIN]);
            w->moving.again[i][j - i] = most;
        }
    }
}

uint64_t chain_window_floor(const struct chain_windows *w, uint32_t i, uint32_t j) {
    return units_max(w->chain.stages[i].fast_need[chain_pass_of(w, j)], *chain_table_at(w, &w->moving, i, j)) +
           w->chain.stages[j].beside[0];
}

uint64_t chain_option_floor(const struct chain_windows *w, uint32_t i, uint32_t j, uint32_t k, uint64_t floor) {
    const struct chain_option *o = &w->chain.stages[i].options[k];
    const uint64_t forward = o->forward_need[chain_pass_of(w, j)] + w->chain.stages[j].beside[1];
    return units_max(floor, units_max(forward, o->backward_need));
}

/* ---- the least bytes ---- */

static uint64_t window_least(const struct chain_windows *w, uint32_t i, uint32_t j) {
    const struct chain_stage *stage = &w->chain.stages[i];
    uint64_t best = UINT64_MAX;
    for (uint32_t k = 0; i == j && k < stage->n_singles; k++)
        best = units_min(best, stage->singles[k].need);
    if (i == j)
        return best;
    const uint64_t floor = chain_window_floor(w, i, j), rest = *chain_table_at(w, &w->least, i + 1, j);
    for (uint32_t k = 0; rest != UINT64_MAX && k < stage->n_options; k++)
        best = units_min(best, units_max(chain_option_floor(w, i, j, k, floor), stage->options[k].kept + rest));
    for (uint32_t l = i + 1; l <= j; l++) {
        const uint64_t right = *chain_table_at(w, &w->least, l, j), left = *chain_table_at(w, &w->least, i, l - 1);
        if (right != UINT64_MAX && left != UINT64_MAX)
            best = units_min(best, units_max(floor, units_max(w->chain.stages[l].input + right, left)));
    }
    return best;
}

static void least_find(struct chain_windows *w) {
    const uint32_t last = w->chain.n - 1;
    for (uint32_t length = 1; length <= last; length++)
        for (uint32_t i = 0; i + length <= last; i++)
            if (w->alias[i] == i)
                w->least.again[i][length - 1] = window_least(w, i, i + length - 1);
    for (uint32_t i = w->chain.n; i-- > 0;)
        w->least.first[i] = window_least(w, i, last);
}

struct chain_windows *chain_windows_new(const struct chain *c, struct arena *a, struct problem *why) {
    struct chain_windows *w = arena_new(a, struct chain_windows, 1, why);
    uint32_t *kind = arena_new(a, uint32_t, c->n, why), *distinct = arena_new(a, uint32_t, c->n, why);
    if (!w || !kind || !distinct || !(w->alias = arena_new(a, uint32_t, c->n, why)))
        return NULL;
    w->chain = *c;
    kinds_find(c, kind, distinct);
    aliases_find(w, kind);
    if (!chain_table_make(w, a, &w->moving, why) || !chain_table_make(w, a, &w->least, why))
        return NULL;
    moving_find(w);
    least_find(w);
    return w;
}

bool chain_least_bytes(const struct chain *c, struct arena *a, uint64_t *bytes, struct problem *why) {
    const struct chain_windows *w = chain_windows_new(c, a, why);
    if (w)
        *bytes = w->least.first[0];
    return w != NULL;
}
