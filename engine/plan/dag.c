/* dag.c - a graph whose nodes may be run again: what is legal to ask, and the least a node needs. */
#include "engine/plan/dag.h"

#include "engine/base/units.h"

#define SUM_LIMIT (UINT64_C(1) << 62) /* sums stay below it, so that differences fit int64_t */

static bool check_sizes(const struct dag *d, struct problem *why) {
    if (!d->n_nodes)
        return problem_set(why, PROBLEM_LIMIT, "/nodes", "there must be at least one node");
    if (d->n_nodes >= DAG_NONE || d->n_values >= DAG_NONE)
        return problem_set(why, PROBLEM_LIMIT, "", "there are too many nodes or values");
    return true;
}

static bool check_sums(const struct dag *d, struct problem *why) {
    uint64_t cost = 0, bytes = 0, lists = 0;
    for (uint32_t v = 0; v < d->n_nodes; v++) {
        const struct dag_node *node = &d->nodes[v];
        lists += (uint64_t)node->n_reads + node->n_makes;
        if (!units_add(cost, node->cost, &cost) || cost >= SUM_LIMIT)
            return problem_set(why, PROBLEM_LIMIT, "/nodes", "the sum of all costs reaches 2^62");
        if (!units_add(bytes, node->work_bytes, &bytes) || !units_add(bytes, node->beside_bytes, &bytes) ||
            bytes >= SUM_LIMIT)
            return problem_set(why, PROBLEM_LIMIT, "/nodes", "the sum of all bytes reaches 2^62");
    }
    for (uint32_t x = 0; x < d->n_values; x++)
        if (!units_add(bytes, d->values[x].bytes, &bytes) || bytes >= SUM_LIMIT)
            return problem_set(why, PROBLEM_LIMIT, "/values", "the sum of all bytes reaches 2^62");
    if (lists >= DAG_NONE)
        return problem_set(why, PROBLEM_LIMIT, "/nodes", "reads and makes are more than can be counted");
    return true;
}

struct look {
    uint32_t *read_by, *made_by; /* by value: the last node so far, or DAG_NONE */
};

static bool check_node(const struct dag *d, uint32_t v, struct look *l, struct problem *why) {
    const struct dag_node *node = &d->nodes[v];
    for (uint32_t k = 0; k < node->n_reads; k++) {
        uint32_t x = node->reads[k];
        if (x >= d->n_values)
            return problem_set(why, PROBLEM_MALFORMED, "", "reads value %u; there are %u", x, d->n_values);
        if (l->read_by[x] == v)
            return problem_set(why, PROBLEM_MALFORMED, "", "reads value %u twice", x);
        if (!d->values[x].given && l->made_by[x] == DAG_NONE)
            return problem_set(why, PROBLEM_MALFORMED, "", "reads value %u, which no earlier node makes", x);
        l->read_by[x] = v;
    }
    for (uint32_t k = 0; k < node->n_makes; k++) {
        uint32_t x = node->makes[k];
        if (x >= d->n_values)
            return problem_set(why, PROBLEM_MALFORMED, "", "makes value %u; there are %u", x, d->n_values);
        if (d->values[x].given)
            return problem_set(why, PROBLEM_MALFORMED, "", "makes value %u, which is given", x);
        if (l->made_by[x] != DAG_NONE)
            return problem_set(why, PROBLEM_MALFORMED, "", "makes value %u, which node %u makes", x, l->made_by[x]);
        l->made_by[x] = v;
    }
    return true;
}

static bool check_nodes(const struct dag *d, struct look *l, struct problem *why) {
    for (uint32_t x = 0; x < d->n_values; x++)
        l->read_by[x] = l->made_by[x] = DAG_NONE;
    for (uint32_t v = 0; v < d->n_nodes; v++)
        if (!check_node(d, v, l, why))
            return problem_nest(why, "/nodes/%u", v);
    for (uint32_t x = 0; x < d->n_values; x++)
        if (!d->values[x].given && l->made_by[x] == DAG_NONE && (d->values[x].wanted || l->read_by[x] != DAG_NONE))
            return problem_set(why, PROBLEM_MALFORMED, "", "is wanted or read, and no node makes it"),
                   problem_nest(why, "/values/%u", x);
    return true;
}

bool dag_check(const struct dag *d, struct problem *why) {
    struct arena a;
    struct look l;
    if (!check_sizes(d, why) || !check_sums(d, why))
        return false;
    arena_init(&a, 0);
    l.read_by = arena_new(&a, uint32_t, d->n_values, why);
    l.made_by = arena_new(&a, uint32_t, d->n_values, why);
    bool ok = l.read_by && l.made_by && check_nodes(d, &l, why);
    arena_free(&a);
    return ok;
}

uint64_t dag_floor_bytes(const struct dag *d, uint32_t *node) {
    uint64_t most = 0;
    *node = 0;
    for (uint32_t v = 0; v < d->n_nodes; v++) {
        const struct dag_node *it = &d->nodes[v];
        uint64_t bytes = it->work_bytes + it->beside_bytes;
        for (uint32_t k = 0; k < it->n_reads; k++)
            bytes += d->values[it->reads[k]].bytes;
        for (uint32_t k = 0; k < it->n_makes; k++)
            bytes += d->values[it->makes[k]].bytes;
        if (bytes > most) {
            most = bytes;
            *node = v;
        }
    }
    return most;
}
