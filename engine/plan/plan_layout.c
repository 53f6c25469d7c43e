/* plan_layout.c - offsets in one slab: dynamic storage allocation, lives known in advance.
 *
 * The least slab is NP-hard to find, so a few greedy orders are tried, each placing extents one by one at the lowest
 * offset where they fit; then the extents that stick out are moved to the front of the best order, over and over, while
 * that helps; where more than 1 % is still lost, short random walks through the orders follow. It stops as soon as the
 * slab equals the live peak, below which nothing can go. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"
#include "engine/plan/plan.h"

#define PROMOTIONS_MAX 200u
#define PLACINGS_MAX   500000000u /* pairs of extents looked at by greedy orders, and by promotions: about 0.2 s */
#define WALKS          20u
#define WALK_TRIES     500u
#define WALK_WORK_MAX  500000000u /* tries times extents squared: about a fifth of a second */

#define SHORT_STEPS 32u /* lives up to this long are kept by where they are; also the width of a bucket of steps */

/* Short extents by the bucket of steps they touch: at most two buckets each, as lists through next. */
struct neighbours {
    uint32_t *head;   /* by bucket: 1 + entry; entry e is extent e / 2 */
    uint32_t *next;   /* by entry */
    uint32_t *nearby; /* scratch: those in the way, by offset */
};

struct layout {
    struct extent *extents;
    uint32_t n, n_steps;
    uint32_t *order;
    uint32_t *placed; /* extents placed so far, by offset */
    uint32_t *tall;   /* those of them that are not short, by offset */
    uint32_t n_tall;
    struct neighbours near; /* those that are */
    uint64_t *best;         /* offsets of the best layout */
    uint64_t best_bytes, bound;
};

static uint64_t steps_of(const struct extent *e) {
    return (uint64_t)e->last - e->first + 1;
}

static bool is_short(const struct extent *e) {
    return steps_of(e) <= SHORT_STEPS;
}

static bool meet(const struct extent *a, const struct extent *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* Short extents that meet e and end above floor, by offset, in near.nearby; how many. */
static uint32_t nearby_find(const struct layout *l, const struct extent *e, uint64_t floor) {
    const struct neighbours *n = &l->near;
    uint32_t count = 0, first = e->first / SHORT_STEPS, last = e->last / SHORT_STEPS;
    for (uint32_t bucket = first; bucket <= last; bucket++)
        for (uint32_t entry = n->head[bucket]; entry; entry = n->next[entry - 1]) {
            uint32_t id = (entry - 1) / 2, at = count;
            const struct extent *other = &l->extents[id];
            bool seen = bucket > first && other->first / SHORT_STEPS < bucket;
            if (seen || !meet(e, other) || other->offset + other->bytes <= floor)
                continue;
            for (; at > 0 && l->extents[n->nearby[at - 1]].offset > other->offset; at--)
                n->nearby[at] = n->nearby[at - 1];
            n->nearby[at] = id;
            count++;
        }
    return count;
}

static void nearby_add(struct layout *l, uint32_t id) {
    const struct extent *e = &l->extents[id];
    for (uint32_t bucket = e->first / SHORT_STEPS, entry = 2 * id; bucket <= e->last / SHORT_STEPS; bucket++, entry++) {
        l->near.next[entry] = l->near.head[bucket];
        l->near.head[bucket] = entry + 1;
    }
}

static void placed_clear(struct layout *l) {
    l->n_tall = 0;
    memset(l->near.head, 0, (l->n_steps / SHORT_STEPS + 2) * sizeof *l->near.head);
}

/* The lowest offset from `offset` on at which e fits among two lists by offset; those that do not meet it are no
 * matter. */
static uint64_t lowest_fit(const struct layout *l, const struct extent *e, uint64_t offset, const uint32_t *list,
                           uint32_t n, const uint32_t *more, uint32_t n_more) {
    for (uint32_t i = 0, j = 0; i < n || j < n_more;) {
        const bool of_list = j == n_more || (i < n && l->extents[list[i]].offset <= l->extents[more[j]].offset);
        const struct extent *other = &l->extents[of_list ? list[i++] : more[j++]];
        if (!meet(e, other))
            continue;
        if (other->offset >= offset + e->bytes)
            break; /* by offset: nothing further in the way */
        offset = units_max(offset, other->offset + other->bytes);
    }
    return offset;
}

/* A short extent asks its neighbours and the tall ones; a tall one all that are placed. */
static uint64_t place_of(const struct layout *l, const struct extent *e, uint32_t n_placed) {
    if (is_short(e))
        return lowest_fit(l, e, 0, l->tall, l->n_tall, l->near.nearby, nearby_find(l, e, 0));
    return lowest_fit(l, e, 0, l->placed, n_placed, NULL, 0);
}

static void list_insert(const struct layout *l, uint32_t *list, uint32_t n, uint32_t id) {
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t middle = lo + (hi - lo) / 2;
        if (l->extents[list[middle]].offset <= l->extents[id].offset)
            lo = middle + 1;
        else
            hi = middle;
    }
    memmove(&list[lo + 1], &list[lo], (n - lo) * sizeof *list);
    list[lo] = id;
}

static void keep_best(struct layout *l, uint64_t bytes) {
    if (bytes >= l->best_bytes)
        return;
    l->best_bytes = bytes;
    for (uint32_t i = 0; i < l->n; i++)
        l->best[i] = l->extents[i].offset;
}

/* Places all in order; keeps the result if it is the smallest so far. Returns its bytes. */
static uint64_t place_all(struct layout *l) {
    uint64_t bytes = 0;
    placed_clear(l);
    for (uint32_t i = 0; i < l->n; i++) {
        const uint32_t id = l->order[i];
        struct extent *e = &l->extents[id];
        e->offset = place_of(l, e, i);
        bytes = units_max(bytes, e->offset + e->bytes);
        list_insert(l, l->placed, i, id);
        if (is_short(e))
            nearby_add(l, id);
        else
            list_insert(l, l->tall, l->n_tall++, id);
    }
    keep_best(l, bytes);
    return bytes;
}

/* Orders. qsort has no context, so what is compared is gathered in keys; ties go by first step, then by number. */
struct key {
    uint64_t major, minor;
    uint32_t first, id;
};

static int key_compare(const void *left, const void *right) {
    const struct key *a = left, *b = right;
    if (a->major != b->major)
        return a->major > b->major ? -1 : 1;
    if (a->minor != b->minor)
        return a->minor > b->minor ? -1 : 1;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void by_bytes(const struct extent *e, struct key *k) {
    k->major = e->bytes;
    k->minor = steps_of(e);
}
static void by_steps(const struct extent *e, struct key *k) {
    k->major = steps_of(e);
    k->minor = e->bytes;
}
static void by_area(const struct extent *e, struct key *k) {
    k->major = e->bytes / UNITS_EXTENT * steps_of(e);
    k->minor = e->bytes;
}
static void by_first(const struct extent *e, struct key *k) {
    k->major = UINT32_MAX - e->first;
    k->minor = steps_of(e);
}
static void by_last(const struct extent *e, struct key *k) {
    k->major = e->last;
    k->minor = steps_of(e);
}

static void (*const orders[])(const struct extent *, struct key *) = {by_bytes, by_steps, by_area, by_first, by_last};

static void order_by(struct layout *l, struct key *keys, void (*order)(const struct extent *, struct key *)) {
    for (uint32_t i = 0; i < l->n; i++) {
        keys[i] = (struct key){.first = l->extents[i].first, .id = i};
        order(&l->extents[i], &keys[i]);
    }
    qsort(keys, l->n, sizeof *keys, key_compare);
    for (uint32_t i = 0; i < l->n; i++)
        l->order[i] = keys[i].id;
}

/* Moves every extent that reaches beyond the bound to the front, the one that sticks out most foremost. */
static void promote(struct layout *l, struct key *keys) {
    for (uint32_t i = 0; i < l->n; i++) {
        const struct extent *e = &l->extents[l->order[i]];
        uint64_t end = e->offset + e->bytes;
        keys[i] = (struct key){.major = end > l->bound ? end : 0, .minor = l->n - i, .id = l->order[i]};
    }
    qsort(keys, l->n, sizeof *keys, key_compare);
    for (uint32_t i = 0; i < l->n; i++)
        l->order[i] = keys[i].id;
}

static void layout_search(struct layout *l, struct key *keys) {
    /* bounded work: large programs get fewer promotions, then fewer orders, and the largest keep their skyline */
    const uint64_t pairs = (uint64_t)l->n * l->n + 1, most = PLACINGS_MAX / pairs;
    const uint32_t tries = (uint32_t)units_min(PROMOTIONS_MAX, PLACINGS_MAX / 10 / pairs);
    for (size_t o = 0; o < units_min(sizeof orders / sizeof orders[0], most) && l->best_bytes > l->bound; o++) {
        order_by(l, keys, orders[o]);
        place_all(l);
        for (uint32_t i = 0; i < tries && l->best_bytes > l->bound; i++) {
            promote(l, keys);
            place_all(l);
        }
    }
}

/* ---- the walk ---- */

/* Where in the order the extent is that ends highest. */
static uint32_t highest(const struct layout *l) {
    uint32_t top = 0;
    uint64_t end = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        const struct extent *e = &l->extents[l->order[i]];
        if (e->offset + e->bytes > end) {
            end = e->offset + e->bytes;
            top = i;
        }
    }
    return top;
}

static uint32_t draw(uint64_t *draws, uint32_t bound) {
    *draws = *draws * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
    return (uint32_t)(((*draws >> 32) * bound) >> 32);
}

static void order_move(uint32_t *order, uint32_t from, uint32_t to) {
    uint32_t id = order[from];
    if (from < to)
        memmove(&order[from], &order[from + 1], (to - from) * sizeof *order);
    else
        memmove(&order[to + 1], &order[to], (from - to) * sizeof *order);
    order[to] = id;
}

/* One extent after the other goes to another place in the order: the one that ends highest, or any. A step that makes
 * the slab larger is taken back. */
static void walk_from(struct layout *l, uint32_t tries, uint64_t *draws) {
    uint64_t bytes = place_all(l);
    uint32_t top = highest(l);
    for (uint32_t i = 0; i < tries && l->best_bytes > l->bound; i++) {
        uint32_t to = draw(draws, l->n), from = draw(draws, 2) ? top : draw(draws, l->n);
        order_move(l->order, from, to);
        uint64_t now = place_all(l);
        if (now <= bytes) {
            bytes = now;
            top = highest(l);
        } else {
            order_move(l->order, to, from);
        }
    }
}

/* For the few that the orders alone leave more than a hundredth above the bound. The draws are fixed: the same plan
 * walks the same way. */
static void layout_walk(struct layout *l, struct key *keys) {
    const uint32_t n_orders = sizeof orders / sizeof orders[0];
    const uint64_t pairs = (uint64_t)l->n * l->n + 1;
    const uint32_t walks = (uint32_t)units_min(WALKS, WALK_WORK_MAX / pairs); /* setting out is a placing as well */
    const uint32_t tries = (uint32_t)units_min(WALK_TRIES, WALK_WORK_MAX / WALKS / pairs);
    uint64_t draws = 1;
    for (uint32_t i = 0; i < walks && l->best_bytes > l->bound; i++) {
        order_by(l, keys, orders[i % n_orders]);
        walk_from(l, tries, &draws);
    }
}

/* ---- the skyline ---- */

/* heights over steps: raise and greatest over a range, both O(log n). A node's own mark covers all of its range. */
struct skyline {
    uint64_t *mark, *most; /* by node: 1 is the root, leaves from `leaves` on */
    uint32_t leaves;
};

static bool skyline_init(struct skyline *sky, uint32_t n_steps, struct arena *arena, struct problem *why) {
    for (sky->leaves = 1; sky->leaves < n_steps; sky->leaves *= 2)
        ;
    sky->mark = arena_new(arena, uint64_t, (size_t)sky->leaves * 2, why);
    sky->most = arena_new(arena, uint64_t, (size_t)sky->leaves * 2, why);
    return sky->mark && sky->most;
}

static uint64_t skyline_greatest(const struct skyline *sky, uint32_t first, uint32_t last) {
    uint32_t l = first + sky->leaves, r = last + sky->leaves;
    uint64_t greatest = units_max(sky->most[l], sky->most[r]);
    for (; l > 1; l /= 2, r /= 2) {
        if (l + 1 < r) { /* subtrees that lie wholly between the two paths */
            if (!(l & 1))
                greatest = units_max(greatest, sky->most[l + 1]);
            if (r & 1)
                greatest = units_max(greatest, sky->most[r - 1]);
        }
        greatest = units_max(greatest, units_max(sky->mark[l / 2], sky->mark[r / 2]));
    }
    return greatest;
}

static void skyline_node(const struct skyline *sky, uint32_t node, uint64_t height) {
    sky->mark[node] = units_max(sky->mark[node], height);
    sky->most[node] = units_max(sky->most[node], height);
}

static void skyline_raise(const struct skyline *sky, uint32_t first, uint32_t last, uint64_t height) {
    uint32_t l = first + sky->leaves, r = last + sky->leaves;
    skyline_node(sky, l, height);
    skyline_node(sky, r, height);
    for (; l > 1; l /= 2, r /= 2) {
        if (l + 1 < r) {
            if (!(l & 1))
                skyline_node(sky, l + 1, height);
            if (r & 1)
                skyline_node(sky, r - 1, height);
        }
        sky->most[l / 2] = units_max(sky->most[l / 2], height); /* something below is as high */
        sky->most[r / 2] = units_max(sky->most[r / 2], height);
    }
}

/* Longest first, by counting; count has n_steps + 2 zeros. */
static void order_by_steps(struct layout *l, uint32_t n_steps, uint32_t *count) {
    for (uint32_t i = 0; i < l->n; i++)
        count[n_steps - steps_of(&l->extents[i]) + 1]++;
    for (uint32_t s = 0; s <= n_steps; s++)
        count[s + 1] += count[s];
    for (uint32_t i = 0; i < l->n; i++)
        l->order[count[n_steps - steps_of(&l->extents[i])]++] = i;
}

static bool stack_up(struct layout *l, struct arena *arena, struct problem *why) {
    struct skyline sky;
    uint32_t *count = arena_new(arena, uint32_t, (size_t)l->n_steps + 2, why);
    if (!count || !skyline_init(&sky, l->n_steps, arena, why))
        return false;
    order_by_steps(l, l->n_steps, count);
    placed_clear(l);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        struct extent *e = &l->extents[l->order[i]];
        e->offset = skyline_greatest(&sky, e->first, e->last);
        if (is_short(e)) {
            e->offset = lowest_fit(l, e, e->offset, l->near.nearby, nearby_find(l, e, e->offset), NULL, 0);
            nearby_add(l, l->order[i]);
        } else {
            skyline_raise(&sky, e->first, e->last, e->offset + e->bytes);
        }
        bytes = units_max(bytes, e->offset + e->bytes);
    }
    keep_best(l, bytes);
    return true;
}

static bool layout_room(struct layout *l, struct arena *arena, struct problem *why) {
    l->order = arena_new(arena, uint32_t, (size_t)l->n + 1, why);
    l->placed = arena_new(arena, uint32_t, (size_t)l->n + 1, why);
    l->tall = arena_new(arena, uint32_t, (size_t)l->n + 1, why);
    l->best = arena_new(arena, uint64_t, l->n, why);
    l->near.head = arena_new(arena, uint32_t, (size_t)l->n_steps / SHORT_STEPS + 2, why);
    l->near.next = arena_new(arena, uint32_t, (size_t)l->n * 2, why);
    l->near.nearby = arena_new(arena, uint32_t, (size_t)l->n + 1, why);
    return l->order && l->placed && l->tall && l->best && l->near.head && l->near.next && l->near.nearby;
}

bool plan_layout(struct plan *plan, struct arena *arena, struct problem *why) {
    struct layout l = {.extents = plan->extents,
                       .n = plan->n_extents,
                       .n_steps = plan->n_steps,
                       .best_bytes = UINT64_MAX,
                       .bound = plan->live_peak_bytes};
    if (!layout_room(&l, arena, why) || !stack_up(&l, arena, why))
        return false;
    if (l.best_bytes > l.bound) {
        struct key *keys = arena_new(arena, struct key, l.n, why);
        if (!keys)
            return false;
        layout_search(&l, keys);
        if (l.best_bytes > l.bound + l.bound / 100)
            layout_walk(&l, keys);
    }
    plan->slab_bytes = l.n ? l.best_bytes : 0;
    for (uint32_t i = 0; i < l.n; i++)
        l.extents[i].offset = l.best[i];
    if (!units_add(plan->persistent_bytes, plan->slab_bytes, &plan->peak_bytes))
        return problem_set(why, PROBLEM_LIMIT, "", "the plan needs more bytes than can be counted");
    return true;
}
