/* dag_bound.c - what any plan in the given order must pay: covers of what does not fit at one step.
 *
 * Take the step where node p runs first. Let X be the values made before it that a first run after p reads, or that are
 * wanted, other than those p itself reads. Whatever of X is not alive across this step must be made again after it, so
 * its maker runs again after it, and pays at least once more. What stays has to fit into the budget less what p itself
 * takes. So the plan pays, beyond every node once, at least the least cost of makers whose values in X do not stay: a
 * knapsack over makers (a maker's values have to stay together to spare its cost; more of them or fewer spare
 * nothing). Its fractional relaxation bounds it from below: makers by cost per byte stay first, the last one in part.
 *
 * Values that cannot be made again (given, or of nodes that run once) stay in any case; where even they do not fit,
 * there is no plan. Bounds of different p may share the runs they count: the largest stands. With another order of
 * first runs no step need look like this one: there the bound is every node once. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"
#include "engine/plan/dag_inner.h"

#define CUT_NODES_MAX 4096u
#define CUTS_MAX      64u

struct cover {
    uint64_t bytes, cost;
};

struct bounder {
    const struct dag_try *t;
    uint32_t *last_first; /* by value: the last first run that reads it, n_nodes if wanted; DAG_NONE: nobody */
    uint32_t *live;       /* values made or given so far that are read later */
    uint32_t n_live;
    uint32_t *stamp; /* by value: 1 + the node that reads it */
    uint32_t *slot;  /* by node: where its row is */
    uint32_t *slot_stamp;
    struct cover *rows;
    uint64_t *excess; /* by node: bytes that do not fit while it runs first */
};

/* By cost per byte, the dearest first. */
static int by_density(const void *p, const void *q) {
    const struct cover *a = p, *b = q;
    unsigned __int128 l = (unsigned __int128)a->cost * b->bytes, r = (unsigned __int128)b->cost * a->bytes;
    if (l != r)
        return l > r ? -1 : 1;
    return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

/* The least cost of what does not fit into `room`, in part. */
static uint64_t cover_least(struct cover *rows, uint32_t n, uint64_t room) {
    uint64_t cost = 0;
    qsort(rows, n, sizeof *rows, by_density);
    for (uint32_t i = 0; i < n; i++) {
        if (rows[i].bytes <= room) {
            room -= rows[i].bytes;
            continue;
        }
        cost += (uint64_t)((unsigned __int128)rows[i].cost * (rows[i].bytes - room) / rows[i].bytes);
        room = 0;
    }
    return cost;
}

/* What must be paid for runs again after node p's first; UINT64_MAX: p cannot run. */
static uint64_t bound_at(struct bounder *b, uint32_t p) {
    const struct dag *d = b->t->d;
    const struct dag_line *l = &b->t->line;
    uint64_t held = l->own[p], all = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_live; i++) {
        uint32_t x = b->live[i], m = l->maker[x];
        if (b->stamp[x] == p + 1)
            continue;
        if (m == DAG_NONE || d->nodes[m].once) {
            held += d->values[x].bytes;
            continue;
        }
        all += d->values[x].bytes;
        if (b->slot_stamp[m] != p + 1) {
            b->slot_stamp[m] = p + 1;
            b->slot[m] = n;
            b->rows[n++] = (struct cover){.cost = d->nodes[m].cost};
        }
        b->rows[b->slot[m]].bytes += d->values[x].bytes;
    }
    if (held > l->budget)
        return UINT64_MAX;
    b->excess[p] = all > l->budget - held ? all - (l->budget - held) : 0;
    return cover_least(b->rows, n, l->budget - held);
}

static void bound_lives(struct bounder *b) {
    const struct dag *d = b->t->d;
    memset(b->last_first, 0xff, d->n_values * sizeof *b->last_first);
    for (uint32_t v = 0; v < d->n_nodes; v++)
        for (uint32_t k = 0; k < d->nodes[v].n_reads; k++)
            b->last_first[d->nodes[v].reads[k]] = v;
    for (uint32_t x = 0; x < d->n_values; x++) {
        if (d->values[x].wanted)
            b->last_first[x] = d->n_nodes;
        if (d->values[x].given && b->last_first[x] != DAG_NONE)
            b->live[b->n_live++] = x;
    }
}

/* Values whose last reader is node p leave; they still counted at p as what it reads. */
static void bound_pass(struct bounder *b, uint32_t p) {
    const struct dag_node *node = &b->t->d->nodes[p];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < b->n_live; i++)
        if (b->last_first[b->live[i]] > p)
            b->live[kept++] = b->live[i];
    b->n_live = kept;
    for (uint32_t k = 0; k < node->n_makes; k++)
        if (b->last_first[node->makes[k]] != DAG_NONE)
            b->live[b->n_live++] = node->makes[k];
}

/* Steps where most does not fit are looked at sharper. */
static bool bound_cuts(struct bounder *b, struct dag_try *t, struct arena *a, struct problem *why) {
    const struct dag *d = t->d;
    if (d->n_nodes > CUT_NODES_MAX)
        return true;
    struct dag_cut *cut = dag_cut_make(t, b->last_first, a, why);
    if (!cut)
        return false;
    for (uint32_t i = 0; i < CUTS_MAX && i < d->n_nodes; i++) {
        uint32_t p = 0;
        for (uint32_t q = 1; q < d->n_nodes; q++)
            if (b->excess[q] > b->excess[p])
                p = q;
        if (!b->excess[p])
            break;
        b->excess[p] = 0;
        t->bound_after[p] = units_max(t->bound_after[p], dag_cut_at(cut, p));
    }
    return true;
}

/* Fills t->bound_after and t->bound. */
static bool bound_all(struct bounder *b, struct dag_try *t, struct arena *a, struct problem *why) {
    const struct dag *d = t->d;
    uint64_t stride = 1 + ((uint64_t)d->n_nodes * d->n_nodes >> 24); /* of very long graphs, some nodes alone */
    bound_lives(b);
    for (uint32_t p = 0; p < d->n_nodes; p++) {
        for (uint32_t k = 0; k < d->nodes[p].n_reads; k++)
            b->stamp[d->nodes[p].reads[k]] = p + 1;
        if (p % stride == 0)
            t->bound_after[p] = bound_at(b, p);
        bound_pass(b, p);
    }
    if (!bound_cuts(b, t, a, why))
        return false;
    for (uint32_t p = d->n_nodes; p-- > 0;)
        t->bound_after[p] = units_max(t->bound_after[p], t->bound_after[p + 1]);
    t->bound = t->bound_after[0] == UINT64_MAX ? UINT64_MAX : t->line.total + t->bound_after[0];
    return true;
}

bool dag_bound_make(struct dag_try *t, struct arena *a, struct problem *why) {
    const struct dag *d = t->d;
    struct bounder b = {.t = t};
    t->bound = t->line.total;
    if (!(t->bound_after = arena_new(a, uint64_t, (size_t)d->n_nodes + 1, why)))
        return false;
    if (t->line.reorder)
        return true;
    return (b.last_first = arena_new(a, uint32_t, d->n_values, why)) &&
           (b.live = arena_new(a, uint32_t, d->n_values, why)) &&
           (b.stamp = arena_new(a, uint32_t, d->n_values, why)) && (b.slot = arena_new(a, uint32_t, d->n_nodes, why)) &&
           (b.slot_stamp = arena_new(a, uint32_t, d->n_nodes, why)) &&
           (b.rows = arena_new(a, struct cover, d->n_nodes, why)) &&
           (b.excess = arena_new(a, uint64_t, d->n_nodes, why)) && bound_all(&b, t, a, why);
}
