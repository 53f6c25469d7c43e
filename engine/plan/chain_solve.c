/* chain_solve.c - the frontier of a chain: for every window of stages the step function from bytes to least cost.
 *
 * Windows that look alike are solved once: a start whose stages, up to the one before the last, are those of an earlier
 * start is its alias, so a run of identical layers costs a square and not a cube. A way to run a window - keep an
 * option and go on, or checkpoint and split - is a *candidate*: the sum of two step functions, shifted. Only the
 * stretches of a candidate that can lie below what is known are walked: a stretch is skipped where its least cost is no
 * better than what its least bytes already buy, else it is halved. */
#include <stdlib.h>
#include <string.h>

#include "engine/plan/chain.h"
#include "engine/plan/chain_windows.h"

#define STRETCH 8u /* breakpoints of a stretch that is walked and not halved */

/* Points as they are gathered. */
struct gathered {
    struct chain_point *points;
    uint32_t n, room;
};

struct building {
    struct chain_solver *s;
    struct gathered now, found, merged; /* of the window at hand; of the candidate at hand; both */
    struct problem *why;
};

/* What a candidate costs in m bytes: fixed + A(m - shift) + B(m), for m of at least `floor`. */
struct candidate {
    const struct chain_curve *a, *b;
    uint64_t shift, fixed, floor;
};

static const struct chain_point nothing = {0, 0};
static const struct chain_curve no_curve = {&nothing, 1};

static bool gathered_add(struct building *b, struct gathered *g, struct chain_point p) {
    if (g->n == g->room) {
        const uint32_t room = g->room ? 2 * g->room : 1024;
        struct chain_point *larger = arena_new(b->s->arena, struct chain_point, room, b->why);
        if (!larger)
            return false;
        if (g->n)
            memcpy(larger, g->points, g->n * sizeof *larger);
        g->points = larger;
        g->room = room;
    }
    g->points[g->n++] = p;
    return true;
}

/* Points come with bytes that do not fall; of those with the same bytes the last is the cheapest. */
static bool found_add(struct building *b, struct chain_point p) {
    struct chain_point *before = b->found.n ? &b->found.points[b->found.n - 1] : NULL;
    if (before && p.cost >= before->cost)
        return true;
    if (before && p.bytes == before->bytes) {
        *before = p;
        return true;
    }
    return gathered_add(b, &b->found, p);
}

static uint64_t bytes_at(const struct candidate *c, uint32_t a, uint32_t b) {
    uint64_t m = c->a->points[a].bytes + c->shift;
    m = m > c->b->points[b].bytes ? m : c->b->points[b].bytes;
    return m > c->floor ? m : c->floor;
}

static uint64_t cost_at(const struct candidate *c, uint32_t a, uint32_t b) {
    return c->fixed + c->a->points[a].cost + c->b->points[b].cost;
}

/* Every breakpoint with a in [a, a_end] and b in [b, b_end] that beats what is known. */
static bool stretch_walk(struct building *bu, const struct candidate *c, uint32_t a, uint32_t a_end, uint32_t b,
                         uint32_t b_end) {
    const struct chain_curve now = {bu->now.points, bu->now.n};
    const struct chain_limits *l = &bu->s->limits;
    for (;;) {
        /* both as far as the bytes of the first of them allow */
        const uint64_t m = bytes_at(c, a, b);
        while (a < a_end && c->a->points[a + 1].bytes + c->shift <= m)
            a++;
        while (b < b_end && c->b->points[b + 1].bytes <= m)
            b++;
        const uint64_t cost = cost_at(c, a, b);
        bu->s->states++;
        if (m > l->bytes)
            return true;
        if (cost <= l->cost && cost < chain_curve_cost(&now, m) && !found_add(bu, (struct chain_point){m, cost}))
            return false;
        if (a == a_end && b == b_end)
            return true;
        if (b == b_end || (a < a_end && c->a->points[a + 1].bytes + c->shift <= c->b->points[b + 1].bytes))
            a++;
        else
            b++;
    }
}

/* The last of points[from, to] within m bytes. */
static uint32_t within(const struct chain_curve *f, uint32_t from, uint32_t to, uint64_t m) {
    while (from < to) {
        const uint32_t middle = to - (to - from) / 2;
        if (f->points[middle].bytes <= m)
            from = middle;
        else
            to = middle - 1;
    }
    return from;
}

static bool stretch(struct building *bu, const struct candidate *c, uint32_t a, uint32_t a_end, uint32_t b,
                    uint32_t b_end) {
    const struct chain_curve now = {bu->now.points, bu->now.n};
    const uint64_t least = bytes_at(c, a, b), cost = cost_at(c, a_end, b_end);
    if (least > bu->s->limits.bytes || cost > bu->s->limits.cost || cost >= chain_curve_cost(&now, least))
        return true;
    if (a_end - a + b_end - b <= STRETCH)
        return stretch_walk(bu, c, a, a_end, b, b_end);
    uint32_t a_next, b_next; /* where the second half begins */
    if (a_end - a >= b_end - b) {
        a_next = a + (a_end - a + 1) / 2;
        b_next = within(c->b, b, b_end, c->a->points[a_next].bytes + c->shift);
    } else {
        b_next = b + (b_end - b + 1) / 2;
        const uint64_t m = c->b->points[b_next].bytes;
        a_next = m < c->shift ? a : within(c->a, a, a_end, m - c->shift);
    }
    /* the first half ends before the point at which the second begins: where the other curve stands still, with it */
    const bool by_a = a_end - a >= b_end - b;
    return stretch(bu, c, a, by_a ? a_next - 1 : a_next, b, by_a ? b_next : b_next - 1) &&
           stretch(bu, c, a_next, a_end, b_next, b_end);
}

/* The lower envelope of what was known and what was found. */
static bool envelope(struct building *b) {
    uint32_t i = 0, j = 0;
    uint64_t cost = UINT64_MAX;
    const struct gathered *x = &b->now, *y = &b->found;
    b->merged.n = 0;
    while (i < x->n || j < y->n) {
        const bool first =
            j == y->n ||
            (i < x->n && (x->points[i].bytes < y->points[j].bytes ||
                          (x->points[i].bytes == y->points[j].bytes && x->points[i].cost <= y->points[j].cost)));
        const struct chain_point p = first ? x->points[i++] : y->points[j++];
        if (p.cost < cost && !gathered_add(b, &b->merged, p))
            return false;
        cost = p.cost < cost ? p.cost : cost;
    }
    const struct gathered swap = b->now;
    b->now = b->merged;
    b->merged = swap;
    return true;
}

static bool candidate_add(struct building *b, const struct candidate *c) {
    if (c->a->n == 0 || c->b->n == 0)
        return true;
    b->found.n = 0;
    return stretch(b, c, 0, c->a->n - 1, 0, c->b->n - 1) && (b->found.n == 0 || envelope(b));
}

/* ---- one window ---- */

static bool singles_add(struct building *b, uint32_t stage) {
    const struct chain_stage *s = &b->s->chain.stages[stage];
    for (uint32_t k = 0; k < s->n_singles; k++) {
        const struct candidate c = {&no_curve, &no_curve, 0, s->singles[k].cost, s->singles[k].need};
        if (!candidate_add(b, &c))
            return false;
    }
    return true;
}

static bool window_build(struct building *b, uint32_t i, uint32_t j) {
    const struct chain_solver *s = b->s;
    const enum chain_pass pass = chain_pass_of(s, j);
    b->now.n = 0;
    if (i == j)
        return singles_add(b, i);
    const struct chain_stage *stage = &s->chain.stages[i];
    const uint64_t floor = chain_window_floor(s, i, j);
    for (uint32_t k = 0; k < stage->n_options; k++) {
        const struct chain_option *o = &stage->options[k];
        const struct candidate c = {chain_window(s, i + 1, j), &no_curve, o->kept,
                                    o->forward_cost[pass] + o->backward_cost, chain_option_floor(s, i, j, k, floor)};
        if (!candidate_add(b, &c))
            return false;
    }
    uint64_t fast = 0;
    for (uint32_t l = i + 1; l <= j; l++) {
        fast += s->chain.stages[l - 1].fast_cost[pass];
        const struct candidate c = {chain_window(s, l, j), chain_window(s, i, l - 1), s->chain.stages[l].input, fast,
                                    floor};
        if (!candidate_add(b, &c))
            return false;
    }
    return true;
}

static bool window_store(struct building *b, struct chain_curve *out) {
    struct chain_solver *s = b->s;
    s->kept += b->now.n;
    if (s->kept > s->limits.states)
        return problem_set(b->why, PROBLEM_LIMIT, "", "needs more than %llu states to solve exactly",
                           (unsigned long long)s->limits.states);
    out->n = b->now.n;
    out->points = arena_copy(s->arena, b->now.n ? b->now.points : &nothing, b->now.n * sizeof *b->now.points, b->why);
    return out->points != NULL;
}

struct chain_solver *chain_solve(const struct chain *c, const struct chain_limits *limits, struct arena *a,
                                 struct problem *why) {
    struct chain_solver *s = chain_windows_new(c, a, why);
    if (!s)
        return NULL;
    s->limits = *limits;
    struct building b = {.s = s, .why = why};
    const uint32_t last = c->n - 1;
    for (uint32_t length = 1; length <= last; length++)
        for (uint32_t i = 0; i + length <= last; i++)
            if (s->alias[i] == i &&
                (!window_build(&b, i, i + length - 1) || !window_store(&b, chain_window_slot(s, i, i + length - 1))))
                return NULL;
    for (uint32_t i = c->n; i-- > 0;)
        if (!window_build(&b, i, last) || !window_store(&b, chain_window_slot(s, i, last)))
            return NULL;
    return s;
}

const struct chain_point *chain_frontier(const struct chain_solver *s, uint32_t *n) {
    const struct chain_curve *all = chain_window(s, 0, s->chain.n - 1);
    *n = all->n;
    return all->points;
}

uint64_t chain_states(const struct chain_solver *s) {
    return s->states;
}
