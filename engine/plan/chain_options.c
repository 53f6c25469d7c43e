/* chain_options.c - see chain_options.h, and chain_graph.h for what is tried. */
#include "engine/plan/chain_options.h"

#include <string.h>

#include "engine/base/units.h"
#include "engine/plan/chain_graph.h"

struct finding {
    struct local_stage *s;
    const uint64_t *forward;
    bool last;
    struct stage_options *out;
    uint32_t *droppers, n_droppers; /* ops with saved outputs of their own */
    uint32_t options_room, singles_room, choices_room;
    struct stage_choice *choices;
    bool *drop;
    struct step *moves;
    struct arena *a;
    struct problem *why;
};

static uint64_t moves_cost(const struct finding *f, const struct step *moves, uint32_t n) {
    uint64_t cost = 0;
    for (uint32_t i = 0; i < n; i++)
        cost += moves[i].op == STEP_RUN ? f->forward[f->s->first_op + moves[i].of] : 0;
    return cost;
}

/* ---- the Pareto sets ---- */

static bool option_beats(const struct chain_option *x, const struct chain_option *y) {
    return x->kept <= y->kept && x->forward_need[0] <= y->forward_need[0] && x->forward_need[1] <= y->forward_need[1] &&
           x->backward_need <= y->backward_need && x->forward_cost[1] <= y->forward_cost[1] &&
           x->backward_cost <= y->backward_cost;
}

/* Keeps the set without what others beat; of equals the first stays. */
static bool option_put(struct finding *f, const struct chain_option *o) {
    struct stage_options *out = f->out;
    uint32_t n = 0;
    for (uint32_t i = 0; i < out->n_options; i++)
        if (option_beats(&out->options[i], o))
            return true;
    for (uint32_t i = 0; i < out->n_options; i++)
        if (!option_beats(o, &out->options[i]))
            out->options[n++] = out->options[i];
    if (n == f->options_room) {
        struct chain_option *larger = arena_new(f->a, struct chain_option, 2 * (size_t)n + 8, f->why);
        if (!larger)
            return false;
        if (n)
            memcpy(larger, out->options, n * sizeof *larger);
        out->options = larger;
        f->options_room = 2 * n + 8;
    }
    out->options[n++] = *o;
    out->n_options = n;
    return true;
}

static bool single_put(struct finding *f, const struct chain_single *x) {
    struct stage_options *out = f->out;
    uint32_t n = 0;
    for (uint32_t i = 0; i < out->n_singles; i++)
        if (out->singles[i].need <= x->need && out->singles[i].cost <= x->cost)
            return true;
    for (uint32_t i = 0; i < out->n_singles; i++)
        if (out->singles[i].need < x->need || out->singles[i].cost < x->cost)
            out->singles[n++] = out->singles[i];
    if (n == f->singles_room) {
        struct chain_single *larger = arena_new(f->a, struct chain_single, 2 * (size_t)n + 8, f->why);
        if (!larger)
            return false;
        if (n)
            memcpy(larger, out->singles, n * sizeof *larger);
        out->singles = larger;
        f->singles_room = 2 * n + 8;
    }
    out->singles[n++] = *x;
    out->n_singles = n;
    return true;
}

static bool choice_put(struct finding *f, const bool *drop, bool early) {
    if (f->out->n_choices == f->choices_room) {
        const uint32_t room = f->choices_room ? 2 * f->choices_room : 16;
        struct stage_choice *larger = arena_new(f->a, struct stage_choice, room, f->why);
        if (!larger)
            return false;
        if (f->out->n_choices)
            memcpy(larger, f->choices, f->out->n_choices * sizeof *larger);
        f->choices = larger;
        f->choices_room = room;
    }
    bool *copy = arena_copy(f->a, drop, f->s->n_ops * sizeof *drop, f->why);
    f->choices[f->out->n_choices++] = (struct stage_choice){.drop = copy, .early = early};
    return copy != NULL;
}

/* ---- what one choice takes ---- */

static uint64_t kept_bytes(const struct local_stage *s, const bool *drop) {
    uint64_t bytes = 0;
    for (uint32_t v = 0; v < s->n_values; v++)
        if (chain_stage_keeps(&s->values[v], drop) || s->values[v].there & LOCAL_LEAVES)
            bytes += s->values[v].bytes;
    return bytes;
}

static uint64_t forward_walk(struct finding *f, const bool *drop, enum chain_pass pass, bool leaves, uint64_t *cost) {
    const uint32_t n = chain_stage_forward(f->s, drop, pass, leaves, f->moves, 0);
    const unsigned end = pass == CHAIN_FIRST ? LOCAL_END_FIRST : LOCAL_END_AGAIN;
    const struct walk w = {.end = end | LOCAL_ENTERS | (leaves ? LOCAL_LEAVES : 0u), .drop = drop, .kept_end = true};
    *cost = moves_cost(f, f->moves, n);
    return chain_stage_walk(f->s, f->moves, n, &w);
}

static bool option_try(struct finding *f, uint32_t choice, uint32_t backward_moves) {
    struct chain_option o = {.kept = kept_bytes(f->s, f->drop), .choice = choice};
    const struct walk w = {.start = LOCAL_START_BACKWARD, .end = LOCAL_END_BACKWARD};
    o.backward_need = chain_stage_walk(f->s, f->moves, backward_moves, &w);
    o.backward_cost = moves_cost(f, f->moves, backward_moves);
    uint64_t first;
    o.forward_need[CHAIN_FIRST] = forward_walk(f, f->drop, CHAIN_FIRST, true, &first);
    o.forward_need[CHAIN_AGAIN] = forward_walk(f, f->drop, CHAIN_AGAIN, true, &o.forward_cost[CHAIN_AGAIN]);
    return option_put(f, &o);
}

static bool single_try(struct finding *f, uint32_t choice, bool early) {
    const enum chain_pass pass = f->last ? CHAIN_FIRST : CHAIN_AGAIN;
    uint32_t n = chain_stage_forward(f->s, f->drop, pass, false, f->moves, 0);
    const uint32_t forward = n;
    n = chain_stage_backward(f->s, f->drop, early, f->moves, n);
    const struct walk w = {.start = LOCAL_START_BACKWARD, .end = LOCAL_END_BACKWARD};
    const struct chain_single single = {
        .need = chain_stage_walk(f->s, f->moves, n, &w),
        .cost = moves_cost(f, f->moves + (f->last ? forward : 0), n - (f->last ? forward : 0)),
        .choice = choice};
    return single_put(f, &single);
}

/* A dropper that the backward runs again without dropping what it saves. */
static bool is_beaten(const struct finding *f, uint32_t n) {
    for (uint32_t d = 0; d < f->n_droppers; d++)
        for (uint32_t i = 0; !f->drop[f->droppers[d]] && i < n; i++)
            if (f->moves[i].op == STEP_RUN && f->moves[i].of == f->droppers[d])
                return true;
    return false;
}

static bool drop_try(struct finding *f, bool early) {
    const uint32_t n = chain_stage_backward(f->s, f->drop, early, f->moves, 0);
    if (is_beaten(f, n))
        return true;
    const uint32_t choice = f->out->n_choices;
    return (f->last || option_try(f, choice, n)) && single_try(f, choice, early) && choice_put(f, f->drop, early);
}

static bool set_try(struct finding *f, uint64_t set) {
    for (uint32_t d = 0; d < f->n_droppers; d++)
        f->drop[f->droppers[d]] = set >> d & 1;
    return drop_try(f, false) && ((set & (set - 1)) == 0 || drop_try(f, true));
}

/* Neighbours from..to - 1. */
static bool range_try(struct finding *f, uint32_t from, uint32_t to) {
    for (uint32_t d = 0; d < f->n_droppers; d++)
        f->drop[f->droppers[d]] = d >= from && d < to;
    return drop_try(f, false) && (to - from < 2 || drop_try(f, true));
}

static bool sets_try(struct finding *f) {
    const uint32_t n = f->n_droppers;
    f->out->exact = n <= CHAIN_GRAPH_EXACT;
    for (uint64_t set = 0; f->out->exact && set < UINT64_C(1) << n; set++)
        if (!set_try(f, set))
            return false;
    if (f->out->exact)
        return true;
    const uint32_t stride = 1 + n / 32;
    for (uint32_t from = 0; from < n; from += stride)
        for (uint32_t to = from + 1; to <= n; to = to == n ? n + 1 : to + stride < n ? to + stride : n)
            if (!range_try(f, from, to))
                return false;
    return range_try(f, 0, 0);
}

/* ---- the stage ---- */

static void fast_find(struct finding *f) {
    for (unsigned pass = 0; pass < CHAIN_PASSES; pass++) {
        const uint32_t n = chain_stage_forward(f->s, NULL, pass, true, f->moves, 0);
        struct walk w = {.end = (pass == CHAIN_FIRST ? LOCAL_END_FIRST : LOCAL_END_AGAIN) | LOCAL_LEAVES};
        f->out->moving_need[pass] = chain_stage_walk(f->s, f->moves, n, &w);
        w.end |= LOCAL_ENTERS;
        f->out->fast_need[pass] = chain_stage_walk(f->s, f->moves, n, &w);
        f->out->fast_cost = moves_cost(f, f->moves, n);
    }
}

static bool droppers_find(struct finding *f) {
    const struct local_stage *s = f->s;
    f->droppers = arena_new(f->a, uint32_t, s->n_ops, f->why);
    f->drop = arena_new(f->a, bool, s->n_ops, f->why);
    f->moves = arena_new(f->a, struct step, CHAIN_STAGE_MOVES(s), f->why);
    if (!f->droppers || !f->drop || !f->moves)
        return false;
    for (uint32_t i = 0; i < s->n_ops; i++) {
        bool saved = false;
        for (uint32_t k = 0; k < s->ops[i].makes.n; k++)
            saved |= (s->values[s->ops[i].makes.of[k]].there & LOCAL_OWN_SAVED) != 0;
        if (saved)
            f->droppers[f->n_droppers++] = i;
    }
    return true;
}

bool chain_options_find(struct local_stage *s, const uint64_t *forward, bool last, struct arena *a,
                        struct stage_options *out, struct problem *why) {
    struct finding f = {.s = s, .forward = forward, .last = last, .out = out, .a = a, .why = why};
    *out = (struct stage_options){.exact = true};
    if (!droppers_find(&f))
        return false;
    fast_find(&f);
    if (!sets_try(&f))
        return false;
    out->choices = f.choices;
    return true;
}

bool chain_options_join(struct stage_options *out, const struct stage_options *more, uint32_t of, uint64_t extra,
                        struct arena *a, struct problem *why) {
    struct finding f = {.out = out, .singles_room = out->n_singles, .a = a, .why = why};
    const uint32_t before = out->n_choices;
    struct stage_choice *choices = arena_new(a, struct stage_choice, (size_t)before + more->n_choices, why);
    if (!choices)
        return false;
    memcpy(choices, out->choices, before * sizeof *choices);
    for (uint32_t i = 0; i < more->n_choices; i++) {
        choices[before + i] = more->choices[i];
        choices[before + i].of = of;
    }
    out->choices = choices;
    out->n_choices += more->n_choices;
    for (uint32_t i = 0; i < more->n_singles; i++) {
        struct chain_single single = more->singles[i];
        single.cost += extra;
        single.choice += before;
        if (!single_put(&f, &single))
            return false;
    }
    return true;
}
