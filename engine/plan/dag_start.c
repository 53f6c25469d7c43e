/* dag_start.c - plans to begin a search with: run the given order, let go what is not used soon, make it again when it
 * is. A rule says which values are kept all the same: of every k-th node (a chain's checkpoints, k near the root of its
 * length), or of the nodes that cost most for a byte (what selective recomputation keeps). */
#include <stdlib.h>
#include <string.h>

#include "engine/plan/dag_inner.h"

struct rule {
    bool by_cost;      /* keep the costliest for a byte; otherwise every k-th */
    uint32_t k;        /* every k-th; by cost: keep k eighths */
    uint32_t patience; /* values used within so many nodes stay anyway */
};

struct dag_starter {
    struct dag_try *t;
    const struct dag *d;
    uint32_t *use_off, *uses; /* by value: nodes that read it */
    uint32_t *use_at;         /* by value: its first use that is still to come */
    uint32_t *rank;           /* by node: its place among those that cost most for a byte */
    bool *here, *kept;        /* by value */
    uint32_t *touched, n_touched;
    bool *is_touched;
    uint32_t *stack, *stack_k; /* nodes that wait for what they read */
    uint32_t *seq, n;
    struct rule rule;
};

/* ---- tables ---- */

static void start_uses(struct dag_starter *s) {
    const struct dag *d = s->d;
    for (uint32_t v = 0; v < d->n_nodes; v++)
        for (uint32_t k = 0; k < d->nodes[v].n_reads; k++)
            s->use_off[d->nodes[v].reads[k] + 1]++;
    for (uint32_t x = 0; x < d->n_values; x++)
        s->use_off[x + 1] += s->use_off[x];
    memcpy(s->use_at, s->use_off, d->n_values * sizeof *s->use_at);
    for (uint32_t v = 0; v < d->n_nodes; v++)
        for (uint32_t k = 0; k < d->nodes[v].n_reads; k++)
            s->uses[s->use_at[d->nodes[v].reads[k]]++] = v;
}

struct density {
    uint64_t cost, bytes;
    uint32_t node;
};

static int by_density(const void *p, const void *q) {
    const struct density *a = p, *b = q;
    unsigned __int128 l = (unsigned __int128)a->cost * b->bytes, r = (unsigned __int128)b->cost * a->bytes;
    if (l != r)
        return l > r ? -1 : 1;
    return a->node < b->node ? -1 : a->node > b->node;
}

static bool start_ranks(struct dag_starter *s, struct arena *a, struct problem *why) {
    struct density *rows = arena_new(a, struct density, s->d->n_nodes, why);
    if (!rows)
        return false;
    for (uint32_t v = 0; v < s->d->n_nodes; v++) {
        rows[v] = (struct density){s->d->nodes[v].cost, 1, v};
        for (uint32_t k = 0; k < s->d->nodes[v].n_makes; k++)
            rows[v].bytes += s->d->values[s->d->nodes[v].makes[k]].bytes;
    }
    qsort(rows, s->d->n_nodes, sizeof *rows, by_density);
    for (uint32_t i = 0; i < s->d->n_nodes; i++)
        s->rank[rows[i].node] = i;
    return true;
}

static bool start_make(struct dag_try *t, struct arena *a, struct problem *why) {
    const struct dag *d = t->d;
    struct dag_starter *s = t->starter = arena_new(a, struct dag_starter, 1, why);
    uint64_t lists = 0;
    if (!s)
        return false;
    s->t = t;
    s->d = d;
    for (uint32_t v = 0; v < d->n_nodes; v++)
        lists += d->nodes[v].n_reads;
    if (!(s->use_off = arena_new(a, uint32_t, (size_t)d->n_values + 1, why)) ||
        !(s->uses = arena_new(a, uint32_t, lists, why)) || !(s->use_at = arena_new(a, uint32_t, d->n_values, why)) ||
        !(s->rank = arena_new(a, uint32_t, d->n_nodes, why)) || !(s->here = arena_new(a, bool, d->n_values, why)) ||
        !(s->kept = arena_new(a, bool, d->n_values, why)) || !(s->touched = arena_new(a, uint32_t, d->n_values, why)) ||
        !(s->is_touched = arena_new(a, bool, d->n_values, why)) ||
        !(s->stack = arena_new(a, uint32_t, d->n_nodes, why)) ||
        !(s->stack_k = arena_new(a, uint32_t, d->n_nodes, why)) ||
        !(s->seq = arena_new(a, uint32_t, s->t->line.cap, why)))
        return false;
    start_uses(s);
    return start_ranks(s, a, why);
}

/* ---- one plan ---- */

static void touch(struct dag_starter *s, uint32_t x) {
    if (!s->is_touched[x])
        s->touched[s->n_touched++] = x;
    s->is_touched[x] = true;
}

static bool emit(struct dag_starter *s, uint32_t v) {
    const struct dag_node *node = &s->d->nodes[v];
    if (s->n == s->t->line.cap)
        return false;
    s->seq[s->n++] = v;
    for (uint32_t k = 0; k < node->n_reads; k++)
        touch(s, node->reads[k]);
    for (uint32_t k = 0; k < node->n_makes; k++) {
        s->here[node->makes[k]] = true;
        touch(s, node->makes[k]);
    }
    return true;
}

/* Runs v after what must run before it, deepest first. False: too long a plan. */
static bool run_with_needs(struct dag_starter *s, uint32_t v) {
    uint32_t depth = 1;
    s->stack[0] = v;
    s->stack_k[0] = 0;
    while (depth) {
        const struct dag_node *node = &s->d->nodes[s->stack[depth - 1]];
        uint32_t *k = &s->stack_k[depth - 1];
        while (*k < node->n_reads && s->here[node->reads[*k]])
            ++*k;
        if (*k < node->n_reads) {
            s->stack[depth] = s->t->line.maker[node->reads[*k]];
            s->stack_k[depth++] = 0;
        } else if (!emit(s, s->stack[--depth]))
            return false;
    }
    return true;
}

/* After node p: of what was touched, lets go what the rule does not keep and nobody uses soon. */
static void let_go(struct dag_starter *s, uint32_t p) {
    for (uint32_t i = 0; i < s->n_touched; i++) {
        uint32_t x = s->touched[i], m = s->t->line.maker[x];
        s->is_touched[x] = false;
        while (s->use_at[x] < s->use_off[x + 1] && s->uses[s->use_at[x]] <= p)
            s->use_at[x]++;
        bool used = s->use_at[x] < s->use_off[x + 1];
        if (m == DAG_NONE || s->d->nodes[m].once || s->kept[x] ||
            (used && s->uses[s->use_at[x]] - p <= s->rule.patience))
            continue;
        s->here[x] = false;
    }
    s->n_touched = 0;
}

static void start_rule(struct dag_starter *s, struct rule rule) {
    const struct dag *d = s->d;
    s->rule = rule;
    s->n = 0;
    memcpy(s->use_at, s->use_off, d->n_values * sizeof *s->use_at);
    for (uint32_t x = 0; x < d->n_values; x++) {
        uint32_t m = s->t->line.maker[x];
        s->here[x] = d->values[x].given;
        s->kept[x] = m != DAG_NONE &&
                     (d->values[x].wanted || (rule.by_cost ? (uint64_t)s->rank[m] * 8 < (uint64_t)rule.k * d->n_nodes
                                                           : m % rule.k == rule.k - 1));
    }
}

static bool start_build(struct dag_starter *s, struct rule rule) {
    start_rule(s, rule);
    for (uint32_t p = 0; p < s->d->n_nodes; p++) {
        if (!run_with_needs(s, p)) {
            for (uint32_t i = 0; i < s->n_touched; i++)
                s->is_touched[s->touched[i]] = false;
            s->n_touched = 0;
            return false;
        }
        let_go(s, p);
    }
    return true;
}

/* ---- all of them ---- */

static void start_look(struct dag_starter *s, const uint32_t *seq, uint32_t n, uint32_t *out, uint32_t *n_out,
                       struct dag_weight *best) {
    struct dag_weight w;
    if (n > s->t->line.cap || !dag_line_weigh(&s->t->line, seq, n, &w))
        return;
    if (w.peak <= s->t->line.budget && w.cost < s->t->best_cost)
        dag_try_keep(s->t, seq, n, &w);
    if (w.over < best->over || (w.over == best->over && w.cost < best->cost)) {
        memcpy(out, seq, n * sizeof *seq);
        *n_out = n;
        *best = w;
    }
}

bool dag_start_find(struct dag_try *t, uint32_t *seq, uint32_t *n, struct arena *a, struct problem *why) {
    static const uint32_t patience[] = {1, 3, 8, 24};
    struct dag_weight best = {.cost = UINT64_MAX, .over = 1e300};
    if (!t->starter && !start_make(t, a, why))
        return false;
    struct dag_starter *s = t->starter;
    for (uint32_t v = 0; v < t->d->n_nodes; v++)
        s->seq[v] = v;
    start_look(s, s->seq, t->d->n_nodes, seq, n, &best);
    if (t->limits->start)
        start_look(s, t->limits->start, t->limits->n_start, seq, n, &best);
    for (size_t i = 0; i < sizeof patience / sizeof patience[0] && !dag_try_asks(t); i++) {
        for (uint32_t k = 2; k / 2 < t->d->n_nodes && !dag_try_asks(t); k += (k + 1) / 2)
            if (start_build(s, (struct rule){.k = k, .patience = patience[i]}))
                start_look(s, s->seq, s->n, seq, n, &best);
        for (uint32_t k = 0; k < 8 && !dag_try_asks(t); k++)
            if (start_build(s, (struct rule){.by_cost = true, .k = k, .patience = patience[i]}))
                start_look(s, s->seq, s->n, seq, n, &best);
    }
    return true;
}
