/* chain_solve.c - the frontier of a chain: for every window of stages the step function from bytes to least cost.
 *
 * Windows that look alike are solved once: a start whose stages, up to the one before the last, are those of an earlier
 * start is its alias, so a run of identical layers costs a square and not a cube. A way to run a window - keep an
 * option and go on, or checkpoint and split - is a *candidate*: the sum of two step functions, shifted. Only the
 * stretches of a candidate that can lie below what is known are walked: a stretch is skipped where its least cost is no
 * better than what its least bytes already buy, else it is halved. */
#include <math.h>
#include <string.h>

#include "engine/base/units.h"
#include "engine/plan/chain.h"
#include "engine/plan/chain_windows.h"

#define STRETCH 8u /* breakpoints of a stretch that is walked and not halved */

#define RANGES 24u /* that a whole frontier is solved in */

/* Points as they are gathered. */
struct gathered {
    struct chain_point *points;
    uint32_t n, room;
};

struct building {
    struct chain_solver *s;
    const struct chain_windows *w;
    struct chain_range range; /* being built, by `bound` */
    struct chain_bound bound;
    const double *rest;      /* of the window at hand */
    struct chain_line peaks; /* of it */
    uint64_t most_states;
    bool past;                          /* most_states was reached */
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

/* Whether a window of so many bytes and so much cost may be part of a plan within the range. */
static bool is_useful(const struct building *bu, uint64_t bytes, uint64_t cost) {
    const double c = (double)cost, b = (double)bytes, most = (double)bu->range.cost * (1 + 1e-9) + 1;
    if (bytes > bu->range.to || cost > bu->range.cost)
        return false;
    if (c + bu->peaks.rest + bu->peaks.slope * b > most)
        return false;
    for (uint32_t x = 0; x < bu->bound.n_slopes; x++)
        if (c + bu->rest[x] + bu->bound.slopes[x] * b > most)
            return false;
    return true;
}

/* Every breakpoint with a in [a, a_end] and b in [b, b_end] that beats what is known. */
static bool stretch_walk(struct building *bu, const struct candidate *c, uint32_t a, uint32_t a_end, uint32_t b,
                         uint32_t b_end) {
    const struct chain_curve now = {bu->now.points, bu->now.n};
    for (;;) {
        /* both as far as the bytes of the first of them allow */
        const uint64_t m = bytes_at(c, a, b);
        while (a < a_end && c->a->points[a + 1].bytes + c->shift <= m)
            a++;
        while (b < b_end && c->b->points[b + 1].bytes <= m)
            b++;
        const uint64_t cost = cost_at(c, a, b);
        bu->s->states++;
        if (m > bu->range.to)
            return true;
        if (cost < chain_curve_cost(&now, m) && is_useful(bu, m, cost) && !found_add(bu, (struct chain_point){m, cost}))
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
    if (cost >= chain_curve_cost(&now, least) || !is_useful(bu, least, cost))
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
    const struct chain_stage *s = &b->w->chain.stages[stage];
    for (uint32_t k = 0; k < s->n_singles; k++) {
        const struct candidate c = {&no_curve, &no_curve, 0, s->singles[k].cost, s->singles[k].need};
        if (!candidate_add(b, &c))
            return false;
    }
    return true;
}

static bool options_add(struct building *b, uint32_t i, uint32_t j, uint64_t floor) {
    const enum chain_pass pass = chain_pass_of(b->w, j);
    const struct chain_stage *stage = &b->w->chain.stages[i];
    for (uint32_t k = 0; k < stage->n_options; k++) {
        const struct chain_option *o = &stage->options[k];
        const struct candidate c = {chain_range_at(b->w, &b->range, i + 1, j), &no_curve, o->kept,
                                    o->forward_cost[pass] + o->backward_cost, chain_option_floor(b->w, i, j, k, floor)};
        if (!candidate_add(b, &c))
            return false;
    }
    return true;
}

static bool splits_add(struct building *b, uint32_t i, uint32_t j, uint64_t floor) {
    uint64_t fast = 0;
    for (uint32_t l = i + 1; l <= j; l++) {
        fast += b->w->chain.stages[l - 1].fast_cost[chain_pass_of(b->w, j)];
        const struct candidate c = {chain_range_at(b->w, &b->range, l, j), chain_range_at(b->w, &b->range, i, l - 1),
                                    b->w->chain.stages[l].input, fast, floor};
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

static bool window_build(struct building *b, uint32_t i, uint32_t j) {
    const uint64_t least = *chain_table_at(b->w, &b->w->least, i, j);
    b->now.n = 0;
    b->rest = chain_bound_rest(b->w, &b->bound, i, j);
    b->peaks = chain_peaks_line(b->w, &b->bound.peaks, i, j);
    if (i == j && !singles_add(b, i))
        return false;
    if (i < j && is_useful(b, least, 0)) {
        const uint64_t floor = chain_window_floor(b->w, i, j);
        if (!options_add(b, i, j, floor) || !splits_add(b, i, j, floor))
            return false;
    }
    b->past = b->s->states > b->most_states;
    return !b->past && window_store(b, chain_range_at(b->w, &b->range, i, j));
}

/* ---- a range of bytes ---- */

static bool curves_make(struct building *b) {
    const uint32_t n = b->w->chain.n, last = n - 1;
    b->range.first = arena_new(b->s->arena, struct chain_curve, n, b->why);
    b->range.again = arena_new(b->s->arena, struct chain_curve *, n, b->why);
    if (!b->range.first || !b->range.again)
        return false;
    for (uint32_t i = 0; i < last; i++)
        if (b->w->alias[i] == i && !(b->range.again[i] = arena_new(b->s->arena, struct chain_curve, last - i, b->why)))
            return false;
    return true;
}

static bool windows_build(struct building *b) {
    const uint32_t last = b->w->chain.n - 1;
    if (!curves_make(b))
        return false;
    for (uint32_t length = 1; length <= last; length++)
        for (uint32_t i = 0; i + length <= last; i++)
            if (b->w->alias[i] == i && !window_build(b, i, i + length - 1))
                return false;
    for (uint32_t i = b->w->chain.n; i-- > 0;)
        if (!window_build(b, i, last))
            return false;
    return true;
}

/* All points of from <= bytes <= to. A cost is guessed, a little above what no plan of `from` bytes can beat; where no
 * plan within it fits in `from` bytes it was too little. */
static bool range_solve(struct building *b, uint64_t from, uint64_t to) {
    const uint64_t most = b->s->limits.cost;
    if (!chain_bound_make(b->w, to, b->s->arena, &b->bound, b->why))
        return false;
    const double bound = chain_bound_total(&b->bound, from);
    /* there bounds are far off */
    double slack = from <= b->w->least.first[0] ? INFINITY : 1e-5 * (double)chain_cost_of_all(&b->w->chain, 1) + 1;
    for (;;) {
        const double cost = bound + slack;
        b->range.to = to;
        b->range.cost = cost < (double)most ? (uint64_t)cost : most;
        if (!windows_build(b))
            return false;
        const struct chain_curve *all = &b->range.first[0];
        if ((all->n && all->points[0].bytes <= from) || b->range.cost == most)
            return true;
        slack = slack < (double)chain_cost_of_all(&b->w->chain, 1) ? 4 * slack + 1 : INFINITY;
    }
}

/* The points of a range behind those of the ranges before it, the first of all being what `from` bytes buy. */
static bool frontier_extend(struct building *b, struct gathered *all, uint64_t from) {
    const struct chain_curve *part = &b->range.first[0];
    uint32_t first = 0;
    while (first + 1 < part->n && part->points[first + 1].bytes <= from)
        first++;
    for (uint32_t i = first; i < part->n; i++)
        if (all->n == 0 || (part->points[i].cost < all->points[all->n - 1].cost &&
                            part->points[i].bytes > all->points[all->n - 1].bytes))
            if (!gathered_add(b, all, part->points[i]))
                return false;
    return true;
}

/* Bytes that no plan passes: all that may be resident at once, and the largest need. */
static uint64_t bytes_of_all(const struct chain_windows *w) {
    uint64_t resident = 0, need = 0, beside = 0;
    for (uint32_t s = 0; s < w->chain.n; s++) {
        const struct chain_stage *stage = &w->chain.stages[s];
        uint64_t kept = 0;
        for (uint32_t k = 0; k < stage->n_options; k++) {
            const struct chain_option *o = &stage->options[k];
            kept = units_max(kept, o->kept);
            need = units_max(need, o->backward_need);
            for (unsigned p = 0; p < CHAIN_PASSES; p++)
                need = units_max(need, o->forward_need[p]);
        }
        for (uint32_t k = 0; k < stage->n_singles; k++)
            need = units_max(need, stage->singles[k].need);
        for (unsigned p = 0; p < CHAIN_PASSES; p++)
            need = units_max(need, units_max(stage->fast_need[p], stage->moving_need[p]));
        beside = units_max(beside, units_max(stage->beside[0], stage->beside[1]));
        resident += stage->input + kept;
    }
    return resident + need + beside;
}

/* What is tried, with so many times the effort: the whole curve at once; in ranges, each with bounds of its own; then,
 * giving up exactness, in larger and larger units of cost: so many to a stage that is run once more, on average. */
static const struct {
    uint64_t grid, ranges, effort;
} tries[] = {{0, 1, 1}, {0, RANGES, 1}, {48, RANGES, 1}, {24, RANGES, 2}, {8, RANGES, 2}, {3, RANGES, 0}};
#define TRIES (sizeof tries / sizeof tries[0])

/* All ranges, as s->windows has them. *past: more effort than `most_states` would be needed. */
static bool ranges_solve(struct building *b, struct gathered *all, uint64_t ranges, uint64_t most_states, bool *past) {
    struct chain_solver *s = b->s;
    const uint64_t least = s->windows->least.first[0], everything = bytes_of_all(s->windows),
                   most = s->limits.bytes < everything ? s->limits.bytes : everything, asked = s->limits.from_bytes,
                   from = asked > least ? asked < most ? asked : most : least, width = most / ranges + 1;
    s->n_ranges = 0;
    all->n = 0;
    b->w = s->windows;
    b->most_states = most_states;
    *past = false;
    if (least > most)
        return true;
    for (uint64_t begin = from; s->n_ranges == 0 || begin < most;) {
        const uint64_t end = most - begin <= width + width / 2 ? most : begin + width;
        if (!range_solve(b, begin, end)) {
            *past = b->past;
            return false;
        }
        if (!frontier_extend(b, all, begin))
            return false;
        s->ranges[s->n_ranges++] = b->range;
        begin = end;
    }
    return true;
}

/* Points of a coarse chain with what they truly cost, without those that others beat then. */
static bool costs_restore(struct chain_solver *s, struct gathered *all, struct problem *why) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < all->n; i++) {
        const struct chain_step *steps;
        uint32_t n_steps;
        struct arena scratch;
        struct chain_point p = all->points[i];
        arena_init_within(&scratch, 0, s->arena->bounds);
        bool ok = chain_schedule(s, &p, &scratch, &steps, &n_steps, why);
        p.cost = ok ? chain_steps_cost(s->chain, steps, n_steps) : 0;
        arena_free(&scratch);
        if (!ok)
            return false;
        if (n == 0 || p.cost < all->points[n - 1].cost)
            all->points[n++] = p;
    }
    all->n = n;
    return true;
}

struct chain_solver *chain_solve(const struct chain *c, const struct chain_limits *limits, struct arena *a,
                                 struct problem *why) {
    struct chain_solver *s = arena_new(a, struct chain_solver, 1, why);
    struct gathered all = {0};
    if (!s || !(s->windows = chain_windows_new(c, a, why)) ||
        !(s->ranges = arena_new(a, struct chain_range, RANGES + 2, why)))
        return NULL;
    s->chain = c;
    s->exact_windows = s->windows;
    s->limits = *limits;
    s->arena = a;
    struct building b = {.s = s, .why = why};
    bool past = true;
    const size_t begin = limits->from_bytes >= limits->bytes; /* of one budget there is one range */
    for (size_t t = begin; past && t < TRIES; t++) {
        const uint64_t effort =
            limits->effort && tries[t].effort ? s->states + limits->effort * tries[t].effort : UINT64_MAX;
        s->kept = 0;
        if (tries[t].grid > 0) {
            const uint64_t unit = chain_cost_of_all(c, 1) / (tries[t].grid * c->n) + 1;
            const struct chain *coarse = chain_coarse(c, unit, a, why);
            s->coarse = true;
            s->limits.cost = limits->cost == UINT64_MAX ? limits->cost : limits->cost / unit;
            if (!coarse || !(s->windows = chain_windows_new(coarse, a, why)))
                return NULL;
        }
        if (!ranges_solve(&b, &all, tries[t].ranges, effort, &past) && !past)
            return NULL;
    }
    if (s->coarse && !costs_restore(s, &all, why))
        return NULL;
    s->frontier = (struct chain_curve){all.points, all.n};
    return s;
}

const struct chain_point *chain_frontier(const struct chain_solver *s, uint32_t *n) {
    *n = s->frontier.n;
    return s->frontier.points;
}

uint64_t chain_states(const struct chain_solver *s) {
    return s->states;
}

bool chain_exact(const struct chain_solver *s) {
    return !s->coarse;
}

uint64_t chain_lower_bound(const struct chain_solver *s, uint64_t bytes) {
    struct chain_bound bound;
    struct problem why = {0};
    struct arena scratch;
    if (!s->coarse)
        return chain_curve_cost(&s->frontier, bytes);
    struct arena_bounds *bounds = s->arena->bounds;
    const bool past = bounds && bounds->past;
    arena_init_within(&scratch, 0, bounds);
    const double least = chain_bound_make(s->exact_windows, bytes, &scratch, &bound, &why)
                             ? floor(chain_bound_total(&bound, bytes) * (1 - 1e-9))
                             : 0;
    arena_free(&scratch);
    if (bounds)
        bounds->past = past; /* without a bound there is a plan all the same */
    return (uint64_t)least;
}
