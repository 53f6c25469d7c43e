/* dag_line.c - what a sequence of nodes costs and how many bytes its steps take: one walk forwards by lives.
 *
 * A value's life is from the step that makes it to the last that touches it before it is made again: at its end, what
 * it weighs is taken off the step after. Where bytes come and go is noted by step (`turn`) and summed once. */
#include <string.h>

#include "engine/base/units.h"
#include "engine/plan/dag_inner.h"

static bool line_arrays(struct dag_line *l, struct arena *a, struct problem *why) {
    const struct dag *d = l->d;
    return (l->maker = arena_new(a, uint32_t, d->n_values, why)) &&
           (l->own = arena_new(a, uint64_t, d->n_nodes, why)) && (l->last = arena_new(a, uint32_t, d->n_values, why)) &&
           (l->last_init = arena_new(a, uint32_t, d->n_values, why)) &&
           (l->first = arena_new(a, uint32_t, d->n_nodes, why)) &&
           (l->turn = arena_new(a, int64_t, (size_t)l->cap + 2, why));
}

bool dag_line_make(struct dag_line *l, const struct dag *d, uint32_t cap, struct arena *a, struct problem *why) {
    *l = (struct dag_line){.d = d, .cap = cap};
    if (!line_arrays(l, a, why))
        return false;
    memset(l->maker, 0xff, d->n_values * sizeof *l->maker);
    memset(l->last_init, 0xff, d->n_values * sizeof *l->last_init);
    for (uint32_t x = 0; x < d->n_values; x++)
        if (d->values[x].given && d->values[x].wanted)
            l->last_init[x] = 0;
    for (uint32_t v = 0; v < d->n_nodes; v++) {
        const struct dag_node *node = &d->nodes[v];
        l->total += node->cost;
        l->own[v] = node->work_bytes + node->beside_bytes;
        for (uint32_t k = 0; k < node->n_reads; k++) {
            l->own[v] += d->values[node->reads[k]].bytes;
            if (d->values[node->reads[k]].given)
                l->last_init[node->reads[k]] = 0;
        }
        for (uint32_t k = 0; k < node->n_makes; k++) {
            l->own[v] += d->values[node->makes[k]].bytes;
            l->maker[node->makes[k]] = v;
        }
    }
    for (uint32_t x = 0; x < d->n_values; x++)
        if (l->last_init[x] == 0)
            l->given += d->values[x].bytes;
    return true;
}

/* Whether node v may run first at step t; and what begins and ends to lie beside. */
static bool line_first(struct dag_line *l, uint32_t v, uint32_t t, uint32_t ran) {
    const struct dag_node *node = &l->d->nodes[v];
    if (!l->reorder && v != ran)
        return false;
    l->first[v] = t;
    l->turn[t] += (int64_t)node->beside_bytes;
    if (v + 1 < l->d->n_nodes && l->first[v + 1] != DAG_NONE)
        l->turn[t + 1] -= (int64_t)node->beside_bytes;
    if (v && l->first[v - 1] != DAG_NONE)
        l->turn[t] -= (int64_t)node[-1].beside_bytes;
    return true;
}

static bool line_step(struct dag_line *l, const struct dag_node *node, uint32_t t) {
    const struct dag_value *values = l->d->values;
    for (uint32_t k = 0; k < node->n_reads; k++) {
        if (l->last[node->reads[k]] == DAG_NONE)
            return false;
        l->last[node->reads[k]] = t;
    }
    for (uint32_t k = 0; k < node->n_makes; k++) {
        uint32_t x = node->makes[k];
        int64_t bytes = (int64_t)values[x].bytes;
        if (l->last[x] != DAG_NONE)
            l->turn[l->last[x] + 1] -= bytes;
        l->turn[t] += bytes;
        l->last[x] = t;
    }
    return true;
}

/* Sums what came and went. */
static void line_sum(struct dag_line *l, const uint32_t *seq, uint32_t n, struct dag_weight *out) {
    uint64_t peak = 0, over = 0;
    double sum = 0;
    int64_t bytes = 0;
    for (uint32_t x = 0; x < l->d->n_values; x++)
        if (l->last[x] != DAG_NONE && !l->d->values[x].wanted)
            l->turn[l->last[x] + 1] -= (int64_t)l->d->values[x].bytes;
    for (uint32_t t = 0; t < n; t++) {
        bytes += l->turn[t];
        uint64_t at = (uint64_t)bytes + l->d->nodes[seq[t]].work_bytes;
        peak = units_max(peak, at);
        over = at > l->budget ? at - l->budget : 0;
        sum += (double)over;
    }
    out->peak = peak;
    out->over = sum / ((double)l->budget + 1);
}

bool dag_line_weigh(struct dag_line *l, const uint32_t *seq, uint32_t n, struct dag_weight *out) {
    const struct dag *d = l->d;
    uint32_t ran = 0;
    memcpy(l->last, l->last_init, d->n_values * sizeof *l->last);
    memset(l->first, 0xff, d->n_nodes * sizeof *l->first);
    memset(l->turn, 0, ((size_t)n + 2) * sizeof *l->turn);
    l->turn[0] = (int64_t)l->given;
    out->cost = 0;
    for (uint32_t t = 0; t < n; t++) {
        uint32_t v = seq[t];
        const struct dag_node *node = &d->nodes[v];
        if (l->first[v] != DAG_NONE ? node->once : !line_first(l, v, t, ran++))
            return false;
        if (!units_add(out->cost, node->cost, &out->cost) || !line_step(l, node, t))
            return false;
    }
    if (ran < d->n_nodes)
        return false;
    line_sum(l, seq, n, out);
    return true;
}

void dag_line_bytes(const struct dag_line *l, const uint32_t *seq, uint32_t n, uint64_t *bytes) {
    int64_t sum = 0;
    for (uint32_t t = 0; t < n; t++) {
        sum += l->turn[t];
        bytes[t] = (uint64_t)sum + l->d->nodes[seq[t]].work_bytes;
    }
}
