/* wire_graph.c - see wire_graph.h. Nodes first, by id in a table; then edges, sorted by where they end; then an order.
 */
#include "server/wire_graph.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"

#define BYTES_MAX  ((uint64_t)1 << 62) /* of everything together */
#define UNITS_LOG2 50                  /* see wire_graph.unit */

enum phase { PHASE_FORWARD, PHASE_BACKWARD, PHASE_INPUT };
enum cost { COST_NONE, COST_SECONDS, COST_FLOPS };

struct listed {
    const char *id; /* JSON */
    enum phase phase;
    enum cost cost;
    double seconds;
    uint64_t flops, bytes, work_bytes;
    bool wanted;
};

struct edge {
    uint32_t from, to, index; /* index: in the list */
};

struct reading {
    struct arena *a;
    struct problem *why;
    struct listed *nodes;
    uint32_t n;
    uint32_t *table, table_size; /* 1 + index of a node, by the hash of its id; 0: free. The size is a power of two */
    struct edge *edges;          /* by `to`, then `from` */
    uint32_t n_edges;
    uint32_t *first; /* by node, and one behind: its first edge in edges */
    uint32_t *order; /* of first runs */
    enum cost cost;
};

/* ---- ids ---- */

static const char *id_read(const struct reading *r, const struct wire_value *v) {
    if (wire_type(v) == WIRE_STRING || wire_type(v) == WIRE_INTEGER)
        return wire_json(v, r->a, r->why);
    wire_fail(v, r->why, PROBLEM_MALFORMED, "must be a string or an integer: the id of a node");
    return NULL;
}

/* Where id stands in the table, or would. */
static uint32_t *id_slot(const struct reading *r, const char *id) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = id; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    for (uint32_t i = hash;; i++) {
        uint32_t *slot = &r->table[i & (r->table_size - 1)];
        if (*slot == 0 || strcmp(r->nodes[*slot - 1].id, id) == 0)
            return slot;
    }
}

static bool node_find(const struct reading *r, const struct wire_value *v, uint32_t *node) {
    const char *id = id_read(r, v);
    if (!id)
        return false;
    const uint32_t found = *id_slot(r, id);
    *node = found - 1;
    return found > 0 || wire_fail(v, r->why, PROBLEM_LIMIT, "is %.80s, which is no node's id", id);
}

/* ---- nodes ---- */

static bool phase_read(const struct wire_value *v, enum phase *out, struct problem *why) {
    static const char *const names[] = {
        [PHASE_FORWARD] = "forward", [PHASE_BACKWARD] = "backward", [PHASE_INPUT] = "input"};
    struct wire_value field;
    const char *name;
    *out = PHASE_FORWARD;
    if (!wire_get(v, "phase", &field))
        return true;
    if (!wire_string(&field, &name, why))
        return false;
    for (*out = PHASE_FORWARD; *out <= PHASE_INPUT; ++*out)
        if (strcmp(names[*out], name) == 0)
            return true;
    return wire_fail(&field, why, PROBLEM_LIMIT, "must be forward, backward or input");
}

static bool cost_read(struct reading *r, const struct wire_value *v, struct listed *node) {
    struct wire_value seconds, flops;
    const bool has_seconds = wire_get(v, "seconds", &seconds), has_flops = wire_get(v, "flops", &flops);
    node->cost = has_seconds ? COST_SECONDS : has_flops ? COST_FLOPS : COST_NONE;
    if (has_seconds && has_flops)
        return wire_fail(&flops, r->why, PROBLEM_LIMIT, "stands beside seconds: node %.80s costs one of them",
                         node->id);
    if (node->cost == COST_NONE)
        return node->phase == PHASE_INPUT ||
               wire_fail(v, r->why, PROBLEM_MISSING_FIELD, "node %.80s has neither seconds nor flops", node->id);
    if (!wire_real_of(v, "seconds", 0, WIRE_GRAPH_SECONDS_MAX, &node->seconds, r->why) ||
        !wire_uint_of(v, "flops", 0, WIRE_INTEGER_MAX, &node->flops, r->why))
        return false;
    if (node->phase == PHASE_INPUT && (node->seconds > 0 || node->flops > 0))
        return wire_fail(has_seconds ? &seconds : &flops, r->why, PROBLEM_LIMIT,
                         "must be 0: node %.80s is an input, which runs nothing", node->id);
    if (node->phase == PHASE_INPUT)
        return true;
    if (r->cost != COST_NONE && r->cost != node->cost)
        return wire_fail(has_seconds ? &seconds : &flops, r->why, PROBLEM_LIMIT,
                         "is of node %.80s, and nodes before it have %s: all have one of them", node->id,
                         has_seconds ? "flops" : "seconds");
    r->cost = node->cost;
    return true;
}

static bool node_read(struct reading *r, const struct wire_value *v, struct listed *node) {
    static const char *const fields[] = {"id", "seconds", "flops", "bytes", "workspace_bytes", "phase", NULL};
    struct wire_value field;
    if (!wire_object(v, fields, r->why) || !wire_need(v, "id", &field, r->why) || !(node->id = id_read(r, &field)))
        return false;
    uint32_t *slot = id_slot(r, node->id);
    if (*slot)
        return wire_fail(&field, r->why, PROBLEM_LIMIT, "is %.80s, which is the id of /nodes/%u too", node->id,
                         *slot - 1);
    *slot = 1 + (uint32_t)(node - r->nodes);
    if (!wire_need(v, "bytes", &field, r->why) || !wire_uint(&field, 0, WIRE_INTEGER_MAX, &node->bytes, r->why) ||
        !wire_uint_of(v, "workspace_bytes", 0, WIRE_INTEGER_MAX, &node->work_bytes, r->why) ||
        !phase_read(v, &node->phase, r->why) || !cost_read(r, v, node))
        return false;
    if (node->phase == PHASE_INPUT && node->work_bytes > 0 && wire_get(v, "workspace_bytes", &field))
        return wire_fail(&field, r->why, PROBLEM_LIMIT, "must be 0: node %.80s is an input, which runs nothing",
                         node->id);
    return true;
}

static bool nodes_read(struct reading *r, const struct wire_value *v) {
    if (!wire_array(v, 1, WIRE_GRAPH_NODES_MAX, r->why))
        return false;
    r->n = (uint32_t)wire_length(v);
    for (r->table_size = 16; r->table_size < 2 * r->n;)
        r->table_size *= 2;
    r->table = arena_new(r->a, uint32_t, r->table_size, r->why);
    r->nodes = arena_new(r->a, struct listed, r->n, r->why);
    if (!r->table || !r->nodes)
        return false;
    uint64_t bytes = 0, flops = 0;
    bool runs = false;
    for (uint32_t i = 0; i < r->n; i++) {
        struct wire_value element = wire_at(v, i);
        struct listed *node = &r->nodes[i];
        if (!node_read(r, &element, node))
            return false;
        bytes += node->bytes + node->work_bytes;
        flops += node->flops;
        runs |= node->phase != PHASE_INPUT;
        if (bytes >= BYTES_MAX || flops >= WIRE_GRAPH_COST_MAX)
            return wire_fail(&element, r->why, PROBLEM_LIMIT, "with node %.80s the sum is past 2^%d %s", node->id,
                             bytes >= BYTES_MAX ? 62 : 60, bytes >= BYTES_MAX ? "bytes" : "FLOPs");
    }
    return runs || wire_fail(v, r->why, PROBLEM_LIMIT, "are inputs alone: there is nothing to run");
}

/* ---- edges ---- */

static bool edge_read(struct reading *r, const struct wire_value *v, struct edge *edge) {
    if (!wire_array(v, 2, 2, r->why))
        return false;
    const struct wire_value from = wire_at(v, 0), to = wire_at(v, 1);
    if (!node_find(r, &from, &edge->from) || !node_find(r, &to, &edge->to))
        return false;
    const char *id = r->nodes[edge->to].id;
    if (edge->from == edge->to)
        return wire_fail(v, r->why, PROBLEM_LIMIT, "goes from node %.80s to itself", id);
    if (r->nodes[edge->to].phase == PHASE_INPUT)
        return wire_fail(v, r->why, PROBLEM_LIMIT, "goes to node %.80s, an input, which reads nothing", id);
    return true;
}

static int by_end(const void *left, const void *right) {
    const struct edge *a = left, *b = right;
    if (a->to != b->to)
        return a->to < b->to ? -1 : 1;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static bool edges_index(struct reading *r, const struct wire_value *v) {
    if (r->n_edges)
        qsort(r->edges, r->n_edges, sizeof *r->edges, by_end);
    for (uint32_t e = 1; e < r->n_edges; e++)
        if (r->edges[e].to == r->edges[e - 1].to && r->edges[e].from == r->edges[e - 1].from) {
            const struct wire_value again = wire_at(v, r->edges[e].index);
            return wire_fail(&again, r->why, PROBLEM_LIMIT, "is there twice: from node %.80s to node %.80s",
                             r->nodes[r->edges[e].from].id, r->nodes[r->edges[e].to].id);
        }
    for (uint32_t e = 0; e < r->n_edges; e++)
        r->first[r->edges[e].to + 1]++;
    for (uint32_t i = 0; i < r->n; i++)
        r->first[i + 1] += r->first[i];
    return true;
}

static bool edges_read(struct reading *r, const struct wire_value *v) {
    if (!wire_array(v, 0, WIRE_GRAPH_EDGES_MAX, r->why))
        return false;
    r->n_edges = (uint32_t)wire_length(v);
    r->edges = arena_new(r->a, struct edge, r->n_edges, r->why);
    r->first = arena_new(r->a, uint32_t, (size_t)r->n + 1, r->why);
    if (!r->edges || !r->first)
        return false;
    for (uint32_t i = 0; i < r->n_edges; i++) {
        const struct wire_value element = wire_at(v, i);
        r->edges[i].index = i;
        if (!edge_read(r, &element, &r->edges[i]))
            return false;
    }
    return edges_index(r, v);
}

/* ---- the order ---- */

/* A heap of nodes, the one that is listed first on top. */
struct ready {
    uint32_t *nodes, n;
};

static void ready_push(struct ready *h, uint32_t node) {
    uint32_t i = h->n++;
    for (; i > 0 && h->nodes[(i - 1) / 2] > node; i = (i - 1) / 2)
        h->nodes[i] = h->nodes[(i - 1) / 2];
    h->nodes[i] = node;
}

static uint32_t ready_pop(struct ready *h) {
    const uint32_t top = h->nodes[0], last = h->nodes[--h->n];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < h->n; i = child) {
        child += child + 1 < h->n && h->nodes[child + 1] < h->nodes[child];
        if (h->nodes[child] >= last)
            break;
        h->nodes[i] = h->nodes[child];
    }
    h->nodes[i] = last;
    return top;
}

/* By node that edges leave, and one behind: the first of its followers in out, which are given too. */
static uint32_t *followers(struct reading *r, uint32_t **out) {
    uint32_t *from = arena_new(r->a, uint32_t, (size_t)r->n + 2, r->why);
    *out = arena_new(r->a, uint32_t, r->n_edges, r->why);
    if (!from || !*out)
        return NULL;
    for (uint32_t e = 0; e < r->n_edges; e++)
        from[r->edges[e].from + 2]++;
    for (uint32_t i = 0; i < r->n; i++)
        from[i + 2] += from[i + 1];
    for (uint32_t e = 0; e < r->n_edges; e++)
        (*out)[from[r->edges[e].from + 1]++] = r->edges[e].to;
    return from;
}

/* Kahn's: of the nodes that may run, always the one that is listed first; nobody waits for an input. So an order that
 * needs no change stays the listed one. *n < r->n: the rest is behind a circle. */
static bool order_make(struct reading *r, uint32_t *n) {
    uint32_t *to, *from = followers(r, &to);
    uint32_t *waits = arena_new(r->a, uint32_t, r->n, r->why);
    struct ready ready = {arena_new(r->a, uint32_t, r->n, r->why), 0};
    r->order = arena_new(r->a, uint32_t, r->n, r->why);
    if (!from || !waits || !ready.nodes || !r->order)
        return false;
    for (uint32_t e = 0; e < r->n_edges; e++)
        waits[r->edges[e].to] += r->nodes[r->edges[e].from].phase != PHASE_INPUT;
    for (uint32_t i = 0; i < r->n; i++)
        if (waits[i] == 0)
            ready_push(&ready, i);
    for (*n = 0; ready.n > 0;) {
        const uint32_t node = ready_pop(&ready);
        r->order[(*n)++] = node;
        for (uint32_t e = from[node]; r->nodes[node].phase != PHASE_INPUT && e < from[node + 1]; e++)
            if (--waits[to[e]] == 0)
                ready_push(&ready, to[e]);
    }
    return true;
}

/* Back along edges from a node that never came up, until one comes twice: it is on a circle. */
static bool circle_fail(struct reading *r, const struct wire_value *edges, uint32_t n) {
    bool *ran = arena_new(r->a, bool, r->n, r->why), *seen = arena_new(r->a, bool, r->n, r->why);
    uint32_t node = 0;
    if (!ran || !seen)
        return false;
    for (uint32_t i = 0; i < n; i++)
        ran[r->order[i]] = true;
    while (ran[node])
        node++;
    while (!seen[node]) {
        uint32_t e = r->first[node];
        seen[node] = true;
        while (ran[r->edges[e].from])
            e++;
        node = r->edges[e].from;
    }
    return wire_fail(edges, r->why, PROBLEM_LIMIT, "go in a circle through node %.80s", r->nodes[node].id);
}

static bool listed_order_check(const struct reading *r, const struct wire_value *edges) {
    const struct edge *first = NULL;
    for (uint32_t e = 0; e < r->n_edges; e++)
        if (r->edges[e].from > r->edges[e].to && r->nodes[r->edges[e].from].phase != PHASE_INPUT &&
            (!first || r->edges[e].index < first->index))
            first = &r->edges[e];
    if (!first)
        return true;
    const struct wire_value element = wire_at(edges, first->index);
    return wire_fail(&element, r->why, PROBLEM_LIMIT,
                     "goes from node %.80s back to node %.80s, which is listed before it: list nodes in the order they "
                     "run, or let them be reordered (strategy optimal_dag, reorder true)",
                     r->nodes[first->from].id, r->nodes[first->to].id);
}

static bool order_find(struct reading *r, const struct wire_value *edges, bool reorder) {
    uint32_t n;
    if (!order_make(r, &n))
        return false;
    return n < r->n ? circle_fail(r, edges, n) : reorder || listed_order_check(r, edges);
}

/* ---- outputs ---- */

static bool outputs_read(struct reading *r, const struct wire_value *v) {
    for (size_t i = 0; i < wire_length(v); i++) {
        const struct wire_value element = wire_at(v, i);
        uint32_t node;
        if (!node_find(r, &element, &node))
            return false;
        if (r->nodes[node].wanted)
            return wire_fail(&element, r->why, PROBLEM_LIMIT, "is %.80s, which is there twice", r->nodes[node].id);
        r->nodes[node].wanted = true;
    }
    return true;
}

/* Nodes that nobody reads. */
static bool outputs_default(struct reading *r) {
    bool *read = arena_new(r->a, bool, r->n, r->why);
    if (!read)
        return false;
    for (uint32_t e = 0; e < r->n_edges; e++)
        read[r->edges[e].from] = true;
    for (uint32_t i = 0; i < r->n; i++)
        r->nodes[i].wanted = !read[i] && r->nodes[i].phase != PHASE_INPUT;
    return true;
}

/* ---- the dag ---- */

/* The largest total that stays below 2^UNITS_LOG2 decides. */
static double unit_of(const struct reading *r) {
    double total = 0;
    int exponent = 0;
    for (uint32_t i = 0; i < r->n; i++)
        total += r->nodes[i].seconds;
    if (r->cost != COST_SECONDS || total == 0)
        return 1;
    frexp(total + (double)r->n * ldexp(total, -UNITS_LOG2), &exponent);
    return fmax(ldexp(1, exponent - UNITS_LOG2), DBL_MIN);
}

static void node_make(const struct reading *r, uint32_t value, uint32_t *reads, const uint32_t *makes, double unit,
                      struct dag_node *out) {
    const struct listed *node = &r->nodes[value];
    const uint32_t from = r->first[value], n = r->first[value + 1] - from;
    for (uint32_t i = 0; i < n; i++)
        reads[from + i] = r->edges[from + i].from;
    *out = (struct dag_node){.cost = r->cost == COST_SECONDS ? (uint64_t)llround(node->seconds / unit) : node->flops,
                             .work_bytes = node->work_bytes,
                             .reads = reads + from,
                             .n_reads = n,
                             .makes = makes + value,
                             .n_makes = 1};
}

static bool dag_make(const struct reading *r, struct wire_graph *out) {
    struct dag_value *values = arena_new(r->a, struct dag_value, r->n, r->why);
    struct dag_node *nodes = arena_new(r->a, struct dag_node, r->n, r->why);
    const char **ids = arena_new(r->a, const char *, r->n, r->why);
    uint32_t *reads = arena_new(r->a, uint32_t, r->n_edges, r->why), *makes = arena_new(r->a, uint32_t, r->n, r->why),
             *node_of = arena_new(r->a, uint32_t, r->n, r->why), n = 0;
    bool *backward = arena_new(r->a, bool, r->n, r->why);
    double *seconds = arena_new(r->a, double, r->n, r->why);
    if (!values || !nodes || !ids || !reads || !makes || !node_of || !backward || !seconds)
        return false;
    const double unit = unit_of(r);
    for (uint32_t i = 0; i < r->n; i++) {
        const uint32_t value = r->order[i];
        const struct listed *node = &r->nodes[value];
        ids[value] = node->id;
        makes[value] = value;
        node_of[value] = node->phase == PHASE_INPUT ? DAG_NONE : n;
        values[value] = (struct dag_value){node->bytes, node->phase == PHASE_INPUT, node->wanted};
        if (node->phase == PHASE_INPUT)
            continue;
        backward[n] = node->phase == PHASE_BACKWARD;
        seconds[n] = node->seconds;
        node_make(r, value, reads, makes, unit, &nodes[n++]);
    }
    *out = (struct wire_graph){.dag = {nodes, values, n, r->n},
                               .ids = ids,
                               .node_of = node_of,
                               .backward = backward,
                               .seconds = r->cost == COST_SECONDS ? seconds : NULL,
                               .unit = unit};
    return true;
}

bool wire_graph_read(const struct wire_value *v, bool reorder, struct arena *a, struct wire_graph *out,
                     struct problem *why) {
    static const char *const fields[] = {"nodes", "edges", "outputs", NULL};
    struct reading r = {.a = a, .why = why};
    struct wire_value nodes, edges, outputs;
    if (!wire_object(v, fields, why) || !wire_need(v, "nodes", &nodes, why) || !wire_need(v, "edges", &edges, why) ||
        !nodes_read(&r, &nodes) || !edges_read(&r, &edges) || !order_find(&r, &edges, reorder))
        return false;
    const bool said = wire_get(v, "outputs", &outputs);
    if ((said && !wire_array(&outputs, 0, r.n, why)) ||
        !(said && wire_length(&outputs) > 0 ? outputs_read(&r, &outputs) : outputs_default(&r)))
        return false;
    return dag_make(&r, out);
}
