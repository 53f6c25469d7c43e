/* dag_exact.c - the least cost over all plans of a small graph: A* over (nodes that have run, values that are there).
 *
 * A move runs a node whose reads are there (cost: its own), or, where some node does not fit, lets one value go
 * (nothing). Running a node keeps all that is there: more being there is never worse, so nothing goes before it must.
 * Every plan is a path: let go, one by one, what it no longer has alive whenever its next step would not fit; a path is
 * a plan that takes no more bytes than the path's states. So the cheapest path is the cheapest plan.
 *
 * Estimate of what is left: every node that has not run, once; and every node that has run and must again, at least
 * once: makers of what is not there and a first run to come reads or is wanted, and, in turn, makers of what these
 * read and is not there (`left`). Running a node takes from the sum no more than it costs, since what it reads was
 * there, and letting go only adds: the estimate is consistent, and a state is final when it is taken from the heap. In
 * the given order the covers of dag_bound.c count as well: once the state is past their node, they are no more than
 * `left` was just after it, as they bound the cheapest of such states; so the larger of the two is consistent too.
 *
 * The least estimate in the heap bounds every plan from below also where the search ends early. */
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/plan/dag_inner.h"

#define ASK_EVERY 1024u
#define MOVES_MAX (2 * DAG_EXACT_MAX) /* of one state */

struct state {
    uint64_t done, here; /* sets of nodes and values */
    uint64_t cost, estimate;
    uint32_t from; /* state before; DAG_NONE: the first */
    uint32_t ran;  /* node; DAG_NONE: let something go */
    uint32_t at;   /* place in the heap; DAG_NONE: taken */
};

struct dag_exact {
    struct dag_try *t;
    const struct dag *d;
    uint64_t reads[DAG_EXACT_MAX], makes[DAG_EXACT_MAX];
    uint64_t wanted, fixed; /* values; fixed: cannot be made again */
    struct state *states;
    uint32_t *heap, *table; /* by estimate, then the dearer, then the older; open addressing, 1 + state */
    uint32_t n, n_heap, cap, table_mask;
    struct arena *a;
    struct problem *why;
};

static uint64_t bit(uint32_t i) {
    return UINT64_C(1) << i;
}

static uint64_t bytes_of(const struct dag_exact *e, uint64_t set) {
    uint64_t bytes = 0;
    for (; set; set &= set - 1)
        bytes += e->d->values[__builtin_ctzll(set)].bytes;
    return bytes;
}

/* ---- estimates ---- */

/* Values worth having when `done` have run: read by a node to come, wanted, or read by a node that could make such. */
static uint64_t useful(const struct dag_exact *e, uint64_t done) {
    uint64_t set = e->wanted;
    for (uint32_t v = e->d->n_nodes; v-- > 0;)
        if (!(done & bit(v)) || (!e->d->nodes[v].once && (e->makes[v] & set)))
            set |= e->reads[v];
    return set;
}

/* UINT64_MAX: a value is missing that cannot be made again. */
static uint64_t left(const struct dag_exact *e, uint64_t done, uint64_t here) {
    uint64_t missing = e->wanted & ~here, cost = 0, again = 0, covers = 0;
    for (uint32_t v = e->d->n_nodes; v-- > 0;) {
        const struct dag_node *node = &e->d->nodes[v];
        bool runs = !(done & bit(v));
        if (!runs && !(e->makes[v] & missing))
            continue;
        if (!runs && node->once)
            return UINT64_MAX;
        *(runs ? &cost : &again) += node->cost;
        missing = (missing & ~e->makes[v]) | (e->reads[v] & ~here);
    }
    if (missing)
        return UINT64_MAX;
    if (!e->t->line.reorder)
        covers = e->t->bound_after[__builtin_popcountll(done)];
    return covers == UINT64_MAX ? UINT64_MAX : cost + units_max(again, covers);
}

/* ---- heap ---- */

static bool before(const struct dag_exact *e, uint32_t i, uint32_t j) {
    const struct state *a = &e->states[i], *b = &e->states[j];
    if (a->estimate != b->estimate)
        return a->estimate < b->estimate;
    int p = __builtin_popcountll(a->done), q = __builtin_popcountll(b->done);
    return p != q ? p > q : i < j;
}

static void heap_put(struct dag_exact *e, uint32_t at, uint32_t i) {
    e->heap[at] = i;
    e->states[i].at = at;
}

static void heap_up(struct dag_exact *e, uint32_t i) {
    uint32_t at = e->states[i].at;
    for (; at && before(e, i, e->heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap_put(e, at, e->heap[(at - 1) / 2]);
    heap_put(e, at, i);
}

static uint32_t heap_take(struct dag_exact *e) {
    uint32_t least = e->heap[0], i = e->heap[--e->n_heap], at = 0;
    e->states[least].at = DAG_NONE;
    if (!e->n_heap)
        return least;
    for (uint32_t kid; (kid = 2 * at + 1) < e->n_heap; at = kid) {
        if (kid + 1 < e->n_heap && before(e, e->heap[kid + 1], e->heap[kid]))
            kid++;
        if (!before(e, e->heap[kid], i))
            break;
        heap_put(e, at, e->heap[kid]);
    }
    heap_put(e, at, i);
    return least;
}

/* ---- states ---- */

static uint32_t *table_find(const struct dag_exact *e, uint64_t done, uint64_t here) {
    uint32_t i = (uint32_t)rng_mix(done * RNG_MIX_STEP ^ rng_mix(here + RNG_MIX_STEP)) & e->table_mask;
    for (; e->table[i]; i = (i + 1) & e->table_mask) {
        const struct state *s = &e->states[e->table[i] - 1];
        if (s->done == done && s->here == here)
            break;
    }
    return &e->table[i];
}

/* Whether the states of one more expansion have room, or may have it. */
static bool has_room(const struct dag_exact *e) {
    const struct dag_limits *l = e->t->limits;
    uint64_t each = sizeof(struct state) + 3 * sizeof(uint32_t), free_bytes = e->a->limit_bytes - e->a->taken_bytes;
    if (e->n >= l->exact_states)
        return false;
    return e->cap - e->n >= MOVES_MAX || (e->cap < DAG_NONE / 4 && free_bytes > 2 * each * e->cap + 4096);
}

/* Twice the room; the old arrays stay in the arena until it goes. */
static bool grow(struct dag_exact *e) {
    uint32_t cap = e->cap ? 2 * e->cap : 1024;
    struct state *states = arena_new(e->a, struct state, cap, e->why);
    uint32_t *heap = arena_new(e->a, uint32_t, cap, e->why);
    uint32_t *table = arena_new(e->a, uint32_t, 2 * (size_t)cap, e->why);
    if (!states || !heap || !table)
        return false;
    if (e->n) {
        memcpy(states, e->states, e->n * sizeof *states);
        memcpy(heap, e->heap, e->n_heap * sizeof *heap);
    }
    e->states = states;
    e->heap = heap;
    e->table = table;
    e->table_mask = 2 * cap - 1;
    e->cap = cap;
    for (uint32_t i = 0; i < e->n; i++)
        *table_find(e, states[i].done, states[i].here) = i + 1;
    return true;
}

/* A way to a state: new, or cheaper than before, or neither. There is room (`has_room`). */
static void reach(struct dag_exact *e, uint32_t from, uint32_t ran, uint64_t done, uint64_t here, uint64_t cost) {
    uint32_t *entry = table_find(e, done, here);
    if (*entry) {
        struct state *s = &e->states[*entry - 1];
        if (s->at == DAG_NONE || cost >= s->cost)
            return;
        s->estimate -= s->cost - cost;
        s->cost = cost;
        s->from = from;
        s->ran = ran;
        heap_up(e, *entry - 1);
        return;
    }
    uint64_t rest = left(e, done, here), estimate;
    if (rest == UINT64_MAX || !units_add(cost, rest, &estimate) || estimate >= e->t->best_cost)
        return;
    e->states[e->n] = (struct state){done, here, cost, estimate, from, ran, e->n_heap};
    *entry = ++e->n;
    e->n_heap++;
    heap_up(e, e->n - 1);
}

/* ---- moves ---- */

/* Bytes beside, when `done` have run and node v runs next. */
static uint64_t beside(const struct dag_exact *e, uint64_t done, uint32_t v) {
    uint64_t bytes = 0, after = done | bit(v);
    for (uint32_t i = 0; i < e->d->n_nodes; i++)
        if ((after & bit(i)) && (i + 1 == e->d->n_nodes || !(after & bit(i + 1)) || (i == v && !(done & bit(v)))))
            bytes += e->d->nodes[i].beside_bytes;
    return bytes;
}

static bool may_run(const struct dag_exact *e, const struct state *s, uint64_t use, uint32_t v) {
    if (e->reads[v] & ~s->here)
        return false;
    if (s->done & bit(v))
        return !e->d->nodes[v].once && (e->makes[v] & use & ~s->here);
    return e->t->line.reorder || v == (uint32_t)__builtin_popcountll(s->done);
}

/* Runs v, or adds to *go what would have to go before. */
static void move_run(struct dag_exact *e, uint32_t i, uint32_t v, uint64_t use, uint64_t *go) {
    struct state s = e->states[i];
    const struct dag_node *node = &e->d->nodes[v];
    uint64_t own = e->reads[v] | e->makes[v], idle = s.here & use & ~own, cost;
    uint64_t bytes = bytes_of(e, own | idle) + node->work_bytes + beside(e, s.done, v);
    if (bytes > e->t->line.budget) {
        *go |= idle;
        return;
    }
    uint64_t done = s.done | bit(v);
    if (units_add(s.cost, node->cost, &cost))
        reach(e, i, v, done, (s.here | e->makes[v]) & useful(e, done), cost);
}

static bool expand(struct dag_exact *e, uint32_t i) {
    if (e->cap - e->n < MOVES_MAX && !grow(e))
        return false;
    struct state s = e->states[i];
    uint64_t use = useful(e, s.done), go = 0;
    for (uint32_t v = 0; v < e->d->n_nodes; v++)
        if (may_run(e, &s, use, v))
            move_run(e, i, v, use, &go);
    for (; go; go &= go - 1)
        reach(e, i, DAG_NONE, s.done, s.here & ~(go & -go), s.cost);
    return true;
}

/* ---- the search ---- */

static void exact_sets(struct dag_exact *e) {
    for (uint32_t v = 0; v < e->d->n_nodes; v++) {
        const struct dag_node *node = &e->d->nodes[v];
        for (uint32_t k = 0; k < node->n_reads; k++)
            e->reads[v] |= bit(node->reads[k]);
        for (uint32_t k = 0; k < node->n_makes; k++)
            e->makes[v] |= bit(node->makes[k]);
    }
    for (uint32_t x = 0; x < e->d->n_values; x++) {
        e->wanted |= e->d->values[x].wanted ? bit(x) : 0;
        e->fixed |= e->d->values[x].given ? bit(x) : 0;
    }
}

static uint32_t exact_length(const struct dag_exact *e, uint32_t i) {
    uint32_t n = 0;
    for (; i != DAG_NONE; i = e->states[i].from)
        n += e->states[i].ran != DAG_NONE;
    return n;
}

/* The moves that led to state i, as a sequence. */
static bool exact_keep(struct dag_exact *e, uint32_t i) {
    struct dag_weight w;
    uint32_t n = exact_length(e, i), at = n;
    uint32_t *seq = arena_new(e->a, uint32_t, n, e->why);
    if (!seq)
        return false;
    if (n > e->t->line.cap)
        return problem_set(e->why, PROBLEM_LIMIT, "", "the cheapest plan has %u steps; the most is %u", n,
                           e->t->line.cap);
    for (uint32_t j = i; j != DAG_NONE; j = e->states[j].from)
        if (e->states[j].ran != DAG_NONE)
            seq[--at] = e->states[j].ran;
    if (!dag_line_weigh(&e->t->line, seq, n, &w) || w.cost != e->states[i].cost || w.peak > e->t->line.budget)
        return problem_set(e->why, PROBLEM_INTERNAL, "", "the exact search found what is no plan");
    dag_try_keep(e->t, seq, n, &w);
    return true;
}

static bool exact_loop(struct dag_exact *e) {
    uint64_t all = e->d->n_nodes == 64 ? UINT64_MAX : bit(e->d->n_nodes) - 1;
    for (uint64_t taken = 1; e->n_heap; taken++) {
        uint32_t i = heap_take(e);
        const struct state *s = &e->states[i];
        e->t->states++;
        if (s->estimate >= e->t->best_cost)
            break;
        e->t->bound = units_max(e->t->bound, s->estimate);
        if (s->done == all && !(e->wanted & ~s->here)) {
            if (!exact_keep(e, i))
                return false;
            break;
        }
        if (!has_room(e) || (taken % ASK_EVERY == 0 && dag_try_asks(e->t)))
            return true;
        if (!expand(e, i))
            return false;
    }
    /* nothing is left that is cheaper than the best, if there is one */
    e->t->proven = true;
    e->t->bound = e->t->best_cost;
    return true;
}

bool dag_exact_run(struct dag_try *t, struct arena *a, struct problem *why) {
    if (!t->exact) {
        if (!(t->exact = arena_new(a, struct dag_exact, 1, why)))
            return false;
        *t->exact = (struct dag_exact){.t = t, .d = t->d, .a = a};
        exact_sets(t->exact);
    }
    struct dag_exact *e = t->exact;
    e->why = why;
    e->n = e->n_heap = 0;
    if (e->table)
        memset(e->table, 0, ((size_t)e->table_mask + 1) * sizeof *e->table);
    else if (!grow(e))
        return false;
    reach(e, DAG_NONE, DAG_NONE, 0, e->fixed & useful(e, 0), 0);
    return exact_loop(e);
}
