/* dag_judge.c - is a sequence a plan, and what does it take? Walks it backwards, from what is wanted, with the set of
 * values that somebody later waits for; shares no code with the solvers, which walk forwards. */
#include "engine/base/units.h"
#include "engine/plan/dag.h"

static bool judge_legal(const struct dag *d, const uint32_t *seq, uint32_t n, uint32_t *first, bool *there,
                        struct problem *why) {
    for (uint32_t v = 0; v < d->n_nodes; v++)
        first[v] = DAG_NONE;
    for (uint32_t x = 0; x < d->n_values; x++)
        there[x] = d->values[x].given;
    for (uint32_t t = 0; t < n; t++) {
        uint32_t v = seq[t];
        if (v >= d->n_nodes)
            return problem_set(why, PROBLEM_PLAN, "", "step %u runs node %u; there are %u", t, v, d->n_nodes);
        if (first[v] != DAG_NONE && d->nodes[v].once)
            return problem_set(why, PROBLEM_PLAN, "", "step %u runs node %u again, which may run once", t, v);
        for (uint32_t k = 0; k < d->nodes[v].n_reads; k++)
            if (!there[d->nodes[v].reads[k]])
                return problem_set(why, PROBLEM_PLAN, "", "step %u, node %u reads value %u before it is made", t, v,
                                   d->nodes[v].reads[k]);
        for (uint32_t k = 0; k < d->nodes[v].n_makes; k++)
            there[d->nodes[v].makes[k]] = true;
        if (first[v] == DAG_NONE)
            first[v] = t;
    }
    for (uint32_t v = 0; v < d->n_nodes; v++)
        if (first[v] == DAG_NONE)
            return problem_set(why, PROBLEM_PLAN, "", "node %u never runs", v);
    return true;
}

/* What lies beside step t alone: of node v from first[v] to just before first[v + 1], and at first[v] in any case. */
static bool judge_beside(const struct dag *d, const uint32_t *first, uint32_t n, uint64_t *beside,
                         struct problem *why) {
    for (uint32_t v = 0; v < d->n_nodes; v++) {
        uint32_t next = v + 1 < d->n_nodes ? first[v + 1] : n;
        for (uint32_t t = first[v]; d->nodes[v].beside_bytes && (t == first[v] || t < next); t++)
            if (!units_add(beside[t], d->nodes[v].beside_bytes, &beside[t]))
                return problem_set(why, PROBLEM_LIMIT, "", "the bytes of step %u cannot be counted", t);
    }
    return true;
}

/* waited[x]: a later step reads the x that is there after this one. */
static bool judge_bytes(const struct dag *d, const uint32_t *seq, uint32_t n, const uint64_t *beside, bool *waited,
                        uint64_t *peak, struct problem *why) {
    uint64_t waiting = 0;
    for (uint32_t x = 0; x < d->n_values; x++)
        if ((waited[x] = d->values[x].wanted))
            waiting += d->values[x].bytes;
    *peak = 0;
    for (uint32_t t = n; t-- > 0;) {
        const struct dag_node *node = &d->nodes[seq[t]];
        uint64_t leaves = 0, bytes;
        for (uint32_t k = 0; k < node->n_makes; k++) {
            uint32_t x = node->makes[k];
            leaves += d->values[x].bytes;
            if (waited[x])
                waiting -= d->values[x].bytes;
            waited[x] = false;
        }
        for (uint32_t k = 0; k < node->n_reads; k++) {
            uint32_t x = node->reads[k];
            if (!waited[x])
                waiting += d->values[x].bytes;
            waited[x] = true;
        }
        if (!units_add(waiting, leaves, &bytes) || !units_add(bytes, node->work_bytes, &bytes) ||
            !units_add(bytes, beside[t], &bytes))
            return problem_set(why, PROBLEM_LIMIT, "", "the bytes of step %u cannot be counted", t);
        *peak = units_max(*peak, bytes);
    }
    return true;
}

bool dag_judge(const struct dag *d, const uint32_t *sequence, uint32_t n, uint64_t *cost, uint64_t *peak_bytes,
               struct arena *a, struct problem *why) {
    uint32_t *first = arena_new(a, uint32_t, d->n_nodes, why);
    bool *flags = arena_new(a, bool, d->n_values, why);
    uint64_t *beside = arena_new(a, uint64_t, n, why);
    if (!first || !flags || !beside || !judge_legal(d, sequence, n, first, flags, why))
        return false;
    *cost = 0;
    for (uint32_t t = 0; t < n; t++)
        if (!units_add(*cost, d->nodes[sequence[t]].cost, cost))
            return problem_set(why, PROBLEM_LIMIT, "", "the cost of the sequence cannot be counted");
    return judge_beside(d, first, n, beside, why) && judge_bytes(d, sequence, n, beside, flags, peak_bytes, why);
}
