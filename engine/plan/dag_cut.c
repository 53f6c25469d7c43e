/* dag_cut.c - a sharper bound at one step: what is made again needs what its maker reads.
 *
 * As in dag_bound.c, look at the step where node p runs first. After it, each value of X either is there still (kept:
 * its bytes fit beside p, all such values together) or its maker runs again; and a node that runs again after the step
 * needs each value it reads: kept, or its maker runs again in turn. What p itself reads and makes is there for nothing.
 * The least cost of such a choice within `room` bytes bounds what runs again. With a price per byte kept in place of
 * the room (Lagrange) it is a minimum cut: demands and runs on the source's side, a kept value an edge from its demand
 * to its maker's run, a run an edge to the sink. So for any price: cut - price * room is a bound.
 *
 * Two choices that straddle the room give the price at which they weigh the same; a cut there gives a third, until
 * none is new: the best price, after a few cuts. Prices are fractions num / whole of costs times 2^shift (or, large
 * ones, by 2^drop); edges are rounded down and the room's price up, so what is found is a bound whatever is lost. Costs
 * being whole, a bound rounds up. */
#include <string.h>

#include "engine/base/units.h"
#include "engine/plan/dag_inner.h"

#define SOURCE    0u
#define SINK      1u
#define ROUNDS    16 /* of prices; five to eight are usual */
#define COST_BITS 50 /* scaled costs of a whole graph stay below it */
#define ENDLESS   (1ull << 61)

struct edge {
    uint64_t left; /* what may still flow */
    uint64_t cost, bytes;
    uint32_t to, next;
};

struct dag_cut {
    const struct dag_try *t;
    const struct dag *d;
    struct edge *edges;                         /* in pairs: there and back */
    uint32_t *head, *level, *at, *queue, *path; /* by vertex */
    bool *needed, *own;                         /* by value: in X; what p reads or makes */
    const uint32_t *last_first;                 /* by value: its last reader, n_nodes if wanted */
    uint32_t n_edges, n_vertices;
    uint64_t whole;
    uint32_t shift, drop; /* costs are scaled up, or those of 2^50 and more down */
};

/* ---- the graph of one step ---- */

static uint32_t vertex_of_node(uint32_t v) {
    return 2 + v;
}

static uint32_t vertex_of_value(const struct dag_cut *c, uint32_t x) {
    return 2 + c->d->n_nodes + x;
}

static void edge_add(struct dag_cut *c, uint32_t from, uint32_t to, uint64_t cost, uint64_t bytes) {
    c->edges[c->n_edges] = (struct edge){.to = to, .next = c->head[from], .cost = cost, .bytes = bytes};
    c->head[from] = c->n_edges++;
    c->edges[c->n_edges] = (struct edge){.to = from, .next = c->head[to]};
    c->head[to] = c->n_edges++;
}

/* What keeping x spares: its maker's run, or nothing where that cannot be. */
static void edges_of_value(struct dag_cut *c, uint32_t x) {
    uint32_t m = c->t->line.maker[x], from = vertex_of_value(c, x);
    bool again = m != DAG_NONE && !c->d->nodes[m].once;
    if (c->needed[x])
        edge_add(c, SOURCE, from, ENDLESS, 0);
    edge_add(c, from, again ? vertex_of_node(m) : SINK, 0, c->d->values[x].bytes);
}

static void edges_of_node(struct dag_cut *c, uint32_t v) {
    const struct dag_node *node = &c->d->nodes[v];
    edge_add(c, vertex_of_node(v), SINK, node->cost, 0);
    for (uint32_t k = 0; k < node->n_reads; k++)
        if (!c->own[node->reads[k]])
            edge_add(c, vertex_of_node(v), vertex_of_value(c, node->reads[k]), ENDLESS, 0);
}

static void cut_graph(struct dag_cut *c, uint32_t p) {
    const struct dag *d = c->d;
    const struct dag_node *node = &d->nodes[p];
    c->n_edges = 0;
    memset(c->head, 0xff, c->n_vertices * sizeof *c->head);
    memset(c->own, 0, d->n_values * sizeof *c->own);
    for (uint32_t k = 0; k < node->n_reads; k++)
        c->own[node->reads[k]] = true;
    for (uint32_t k = 0; k < node->n_makes; k++)
        c->own[node->makes[k]] = true;
    for (uint32_t x = 0; x < d->n_values; x++) {
        uint32_t m = c->t->line.maker[x];
        bool before = m == DAG_NONE ? d->values[x].given : m < p;
        c->needed[x] = before && !c->own[x] && c->last_first[x] != DAG_NONE && c->last_first[x] > p;
        if (before && !c->own[x])
            edges_of_value(c, x);
    }
    for (uint32_t v = 0; v < p; v++)
        if (!d->nodes[v].once)
            edges_of_node(c, v);
}

/* ---- the largest flow (Dinic), paths walked without recursion ---- */

static bool flow_levels(struct dag_cut *c) {
    uint32_t n = 1;
    memset(c->level, 0xff, c->n_vertices * sizeof *c->level);
    c->level[SOURCE] = 0;
    c->queue[0] = SOURCE;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t e = c->head[c->queue[i]]; e != DAG_NONE; e = c->edges[e].next)
            if (c->edges[e].left && c->level[c->edges[e].to] == DAG_NONE) {
                c->level[c->edges[e].to] = c->level[c->queue[i]] + 1;
                c->queue[n++] = c->edges[e].to;
            }
    return c->level[SINK] != DAG_NONE;
}

/* Along path[0..depth) to the sink; back to where an edge is now full. */
static uint32_t flow_push(struct dag_cut *c, uint32_t depth, uint64_t *flow) {
    uint64_t least = UINT64_MAX;
    uint32_t full = 0;
    for (uint32_t i = 0; i < depth; i++)
        least = units_min(least, c->edges[c->path[i]].left);
    for (uint32_t i = depth; i-- > 0;) {
        c->edges[c->path[i]].left -= least;
        c->edges[c->path[i] ^ 1].left += least;
        if (!c->edges[c->path[i]].left)
            full = i;
    }
    *flow += least;
    return full;
}

static uint64_t flow_block(struct dag_cut *c) {
    uint64_t flow = 0;
    uint32_t depth = 0, v = SOURCE;
    memcpy(c->at, c->head, c->n_vertices * sizeof *c->at);
    for (;;) {
        if (v == SINK) {
            depth = flow_push(c, depth, &flow);
            v = c->edges[c->path[depth] ^ 1].to;
        }
        uint32_t e = c->at[v];
        if (e == DAG_NONE) {
            if (!depth)
                return flow;
            v = c->edges[c->path[--depth] ^ 1].to;
            c->at[v] = c->edges[c->at[v]].next;
        } else if (c->edges[e].left && c->level[c->edges[e].to] == c->level[v] + 1) {
            c->path[depth++] = e;
            v = c->edges[e].to;
        } else {
            c->at[v] = c->edges[e].next;
        }
    }
}

static uint64_t scaled(const struct dag_cut *c, uint64_t cost) {
    return cost << c->shift >> c->drop;
}

/* The least cut at price num / whole. The choice it stands for: what it costs and keeps. */
static uint64_t cut_at(struct dag_cut *c, uint64_t num, uint64_t *cost, uint64_t *kept) {
    uint64_t flow = 0;
    for (uint32_t e = 0; e < c->n_edges; e += 2) {
        struct edge *it = &c->edges[e];
        it->left = it->bytes ? (uint64_t)((unsigned __int128)it->bytes * num / c->whole)
                             : (it->cost == ENDLESS ? ENDLESS : scaled(c, it->cost));
        it[1].left = 0;
    }
    while (flow_levels(c))
        flow += flow_block(c);
    *cost = *kept = 0;
    for (uint32_t e = 0; e < c->n_edges; e += 2)
        if (c->level[c->edges[e ^ 1].to] != DAG_NONE && c->level[c->edges[e].to] == DAG_NONE) {
            *cost += c->edges[e].cost;
            *kept += c->edges[e].bytes;
        }
    return flow;
}

/* ---- prices ---- */

static uint64_t price_of(const struct dag_cut *c, uint64_t num, uint64_t room) {
    unsigned __int128 price = (unsigned __int128)num * room / c->whole + 1;
    return price > UINT64_MAX ? UINT64_MAX : (uint64_t)price;
}

uint64_t dag_cut_at(struct dag_cut *c, uint32_t p) {
    if (c->t->line.own[p] > c->t->line.budget)
        return 0;
    uint64_t top = c->t->line.budget - c->t->line.own[p], best = 0, most = scaled(c, c->t->line.total) * 64;
    uint64_t cost[2], kept[2], num = most;
    cut_graph(c, p);
    cut_at(c, 0, &cost[0], &kept[0]); /* all is kept, or what costs nothing runs again */
    if (kept[0] <= top)
        return 0;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t now_cost, now_kept, flow = cut_at(c, num, &now_cost, &now_kept), price = price_of(c, num, top);
        if (flow > price)
            best = units_max(best, units_ceil_div(flow - price, 1ull << c->shift) << c->drop);
        int side = now_kept <= top;
        if (i && now_kept == kept[side])
            break;
        if (!i && !side)
            break;
        cost[side] = now_cost;
        kept[side] = now_kept;
        if (cost[1] < cost[0] || kept[0] <= kept[1])
            break;
        unsigned __int128 next = (unsigned __int128)scaled(c, cost[1] - cost[0]) * c->whole / (kept[0] - kept[1]);
        num = next > most ? most : (uint64_t)next;
    }
    return best;
}

struct dag_cut *dag_cut_make(const struct dag_try *t, const uint32_t *last_first, struct arena *a,
                             struct problem *why) {
    const struct dag *d = t->d;
    struct dag_cut *c = arena_new(a, struct dag_cut, 1, why);
    uint64_t edges = 2 * (uint64_t)d->n_values + d->n_nodes;
    for (uint32_t v = 0; v < d->n_nodes; v++)
        edges += d->nodes[v].n_reads;
    if (!c)
        return NULL;
    *c = (struct dag_cut){.t = t, .d = d, .n_vertices = 2 + d->n_nodes + d->n_values, .whole = 1};
    for (uint32_t x = 0; x < d->n_values; x++)
        c->whole += d->values[x].bytes;
    while (t->line.total << (c->shift + 1) >> COST_BITS == 0 && c->shift < 20)
        c->shift++;
    while (t->line.total >> c->drop >> COST_BITS)
        c->drop++;
    if (!(c->edges = arena_new(a, struct edge, 2 * edges, why)) ||
        !(c->head = arena_new(a, uint32_t, c->n_vertices, why)) ||
        !(c->level = arena_new(a, uint32_t, c->n_vertices, why)) ||
        !(c->at = arena_new(a, uint32_t, c->n_vertices, why)) ||
        !(c->queue = arena_new(a, uint32_t, c->n_vertices, why)) ||
        !(c->path = arena_new(a, uint32_t, c->n_vertices, why)) ||
        !(c->needed = arena_new(a, bool, d->n_values, why)) || !(c->own = arena_new(a, bool, d->n_values, why)))
        return NULL;
    c->last_first = last_first;
    return c;
}
