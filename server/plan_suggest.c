/* plan_suggest.c - what could be otherwise: which tensors to drop next, and what fits where a plan does not. Nothing is
 * estimated: every figure is that of a plan made here. */
#include <stdlib.h>
#include <string.h>

#include "server/plan_query.h"

/* ---- tensors by name ---- */

/* The op that names it, if one does. */
static const struct op *maker_of(const struct graph *g, uint32_t value) {
    const struct tensor *t = &g->tensors[value < g->n_tensors ? value : value - g->n_tensors];
    return t->producer == GRAPH_NONE ? NULL : &g->ops[t->producer];
}

static bool same_name(const struct graph *g, uint32_t a, uint32_t b) {
    const bool work = a == EXTENT_WORK, gradient = a >= g->n_tensors;
    if (work || b == EXTENT_WORK || gradient != (b >= g->n_tensors))
        return work && b == EXTENT_WORK;
    const struct op *maker = maker_of(g, a), *other = maker_of(g, b);
    const uint32_t first = gradient ? g->n_tensors : 0;
    return !maker == !other && (!maker || strcmp(maker->name, other->name) == 0) &&
           strcmp(g->tensors[a - first].name, g->tensors[b - first].name) == 0;
}

/* As plan_value_name, without the layer. */
static const char *group_name(const struct graph *g, uint32_t value, struct arena *a, struct problem *why) {
    if (value == EXTENT_WORK)
        return "workspace";
    const bool gradient = value >= g->n_tensors;
    const struct tensor *t = &g->tensors[gradient ? value - g->n_tensors : value];
    const struct op *maker = maker_of(g, value);
    const bool part = maker && strcmp(t->name, maker->name) != 0;
    return arena_printf(a, why, "%s%s%s%s%s", gradient ? "d(" : "", part ? maker->name : "", part ? "." : "", t->name,
                        gradient ? ")" : "");
}

bool plan_suggest_group(const struct graph *g, const struct plan_alive *alive, struct plan_group *list, unsigned *n,
                        struct arena *a, struct problem *why) {
    unsigned i = 0;
    while (i < *n && !(strcmp(list[i].category, alive->category) == 0 && same_name(g, list[i].value, alive->value)))
        i++;
    if (i == PLAN_GROUPS_MAX)
        return true;
    if (i == *n) {
        list[i] = (struct plan_group){alive->value, group_name(g, alive->value, a, why), alive->category, 0, 0};
        if (!list[i].name)
            return false;
        ++*n;
    }
    list[i].count++;
    list[i].bytes += alive->bytes;
    return true;
}

static int by_bytes(const void *left, const void *right) {
    const struct plan_group *a = left, *b = right;
    return a->bytes != b->bytes ? (a->bytes > b->bytes ? -1 : 1) : strcmp(a->name, b->name);
}

void plan_suggest_sort(struct plan_group *list, unsigned n) {
    if (n)
        qsort(list, n, sizeof *list, by_bytes);
}

/* ---- strategies that recompute more ---- */

static const struct {
    const char *name;
    unsigned part;
} parts[] = {
    {"norm", PART_NORM}, {"attention_core", PART_ATTENTION_CORE}, {"mlp", PART_MLP}, {"attention", PART_ATTENTION}};
#define PARTS (sizeof parts / sizeof parts[0])

struct more {
    const struct plan_query *q;
    const struct plan_made *m;
    const struct plan_alive *alive;
    uint32_t n_alive;
    struct arena *a;
    struct problem *why;
    struct plan_drop *list; /* of room for all that is tried */
    unsigned n;
};

static bool selects(const struct selection *s, const struct op *op) {
    return (op->parts & s->parts) || (s->op_kinds & UINT64_C(1) << op->kind);
}

/* How a layer stands today. */
static struct strategy_layer today(const struct strategy *s, uint64_t layer) {
    if (plan_apply_is_checkpointed(s, layer))
        return (struct strategy_layer){.policy = LAYER_CHECKPOINT};
    if (s->planner == &planner_selective)
        return (struct strategy_layer){LAYER_RECOMPUTE, s->selection};
    return s->planner == &planner_custom ? s->layers[layer] : (struct strategy_layer){.policy = LAYER_KEEP};
}

/* Whether the peak keeps something that an op of these makes in a layer that keeps it. */
static bool is_worth_trying(const struct more *t, const struct selection *as_well) {
    const struct graph *g = &t->m->graph;
    for (uint32_t i = 0; i < t->n_alive; i++) {
        const uint32_t value = t->alive[i].value;
        const struct op *maker = value < g->n_tensors ? maker_of(g, value) : NULL;
        if (!maker || maker->layer == GRAPH_NONE || strcmp(t->alive[i].category, "saved_activations") != 0 ||
            !selects(as_well, maker))
            continue;
        const struct strategy_layer layer = today(&t->q->strategy.strategy, maker->layer);
        if (layer.policy != LAYER_CHECKPOINT && !selects(&layer.selection, maker))
            return true;
    }
    return false;
}

static void put_selection(const struct selection *s, const char *key, struct wire_out *o) {
    wire_open(o, key, '[');
    for (size_t i = 0; i < PARTS; i++)
        if (s->parts & parts[i].part)
            wire_put_string(o, NULL, parts[i].name);
    for (unsigned kind = 0; kind < OP_KINDS; kind++)
        if (s->op_kinds & UINT64_C(1) << kind)
            wire_put_string(o, NULL, op_table[kind]->name);
    wire_close(o, ']');
}

static struct selection both(struct selection a, const struct selection *b) {
    return (struct selection){a.parts | b->parts, a.op_kinds | b->op_kinds};
}

/* Strategies that treat all layers alike stay selective; the others become lists of layers. */
static bool strategy_with(const struct more *t, const struct selection *as_well, struct wire_strategy *out) {
    const struct strategy *s = &t->q->strategy.strategy;
    const uint32_t layers = t->m->graph.layers;
    struct wire_out o;
    wire_out_init(&o, t->a, t->why);
    wire_open(&o, NULL, '{');
    if (s->planner == &planner_standard || s->planner == &planner_selective) {
        out->strategy = (struct strategy){.planner = &planner_selective, .selection = both(s->selection, as_well)};
        wire_put_string(&o, "name", "selective");
        put_selection(&out->strategy.selection, "ops", &o);
    } else {
        struct strategy_layer *list = arena_new(t->a, struct strategy_layer, layers, t->why);
        if (!list)
            return false;
        out->strategy = (struct strategy){.planner = &planner_custom, .layers = list, .n_layers = layers};
        wire_put_string(&o, "name", "custom");
        wire_open(&o, "layers", '[');
        for (uint32_t i = 0; i < layers; i++) {
            list[i] = today(s, i);
            if (list[i].policy == LAYER_CHECKPOINT) {
                wire_put_string(&o, NULL, "checkpoint");
                continue;
            }
            list[i] = (struct strategy_layer){LAYER_RECOMPUTE, both(list[i].selection, as_well)};
            wire_open(&o, NULL, '{');
            put_selection(&list[i].selection, "recompute", &o);
            wire_close(&o, '}');
        }
        wire_close(&o, ']');
    }
    wire_close(&o, '}');
    out->strategy.loss_chunk = s->loss_chunk;
    out->json = wire_strategy_chunked(wire_text(&o, NULL), s->loss_chunk, t->a, t->why);
    return out->json != NULL;
}

/* ---- tried ---- */

/* What today's peak keeps and p does not. */
static bool tensors_dropped(const struct more *t, const struct plan *p, struct plan_drop *drop) {
    const struct graph *g = &t->m->graph;
    bool *kept = arena_new(t->a, bool, g->n_tensors, t->why);
    drop->tensors = arena_new(t->a, struct plan_group, PLAN_GROUPS_MAX, t->why);
    if (!kept || !drop->tensors)
        return false;
    for (uint32_t e = 0; e < p->n_extents; e++) {
        const struct extent *x = &p->extents[e];
        if (x->value < g->n_tensors && x->first < p->turn && p->turn <= x->last)
            kept[x->value] = true;
    }
    for (uint32_t i = 0; i < t->n_alive; i++)
        if (t->alive[i].value < g->n_tensors && !kept[t->alive[i].value] &&
            strcmp(t->alive[i].category, "saved_activations") == 0 &&
            !plan_suggest_group(g, &t->alive[i], drop->tensors, &drop->n_tensors, t->a, t->why))
            return false;
    plan_suggest_sort(drop->tensors, drop->n_tensors);
    return true;
}

/* Keeps the trial if it lowers the peak and no other has the same plan. */
static bool trial(struct more *t, const char *recompute, const struct wire_strategy *s) {
    const struct plan *now = &t->m->plan;
    struct plan_drop *drop = &t->list[t->n];
    struct plan p;
    struct arena scratch;
    bool seen = false;
    *drop = (struct plan_drop){.recompute = recompute};
    arena_init_within(&scratch, PLAN_QUERY_ARENA_BYTES, t->q->bounds);
    bool ok = planner_plan(&t->m->graph, &s->strategy, &scratch, &p, t->why);
    if (ok && p.peak_bytes < now->peak_bytes && p.recompute_flops >= now->recompute_flops) {
        drop->freed_bytes = now->peak_bytes - p.peak_bytes;
        drop->recompute_flops = p.recompute_flops - now->recompute_flops;
        drop->named = (struct plan_named){*s, p.peak_bytes, plan_query_overhead_pct(t->m, &p)};
        for (unsigned i = 0; i < t->n; i++)
            seen |= t->list[i].freed_bytes == drop->freed_bytes && t->list[i].recompute_flops == drop->recompute_flops;
        ok = seen || tensors_dropped(t, &p, drop);
        t->n += ok && !seen;
    }
    arena_free(&scratch);
    return ok;
}

static bool trial_of(struct more *t, const char *name, const struct selection *as_well) {
    struct wire_strategy s = {0};
    return !is_worth_trying(t, as_well) || (strategy_with(t, as_well, &s) && trial(t, name, &s));
}

static bool names_try(struct more *t) {
    for (size_t i = 0; i < PARTS; i++)
        if (!trial_of(t, parts[i].name, &(struct selection){.parts = parts[i].part}))
            return false;
    for (unsigned kind = 0; kind < OP_KINDS; kind++) /* the name "attention" is the part's */
        if (kind != OP_ATTENTION &&
            !trial_of(t, op_table[kind]->name, &(struct selection){.op_kinds = UINT64_C(1) << kind}))
            return false;
    return true;
}

/* Where whole layers are recomputed, only their inputs are left to drop: fewer checkpoints. */
static bool groups_try(struct more *t) {
    const struct strategy *s = &t->q->strategy.strategy;
    const uint32_t layers = t->m->graph.layers;
    const uint64_t k = s->segments ? layers / s->segments : s->k ? s->k : 1;
    const uint64_t tries[] = {k + 1, k + 2, 2 * k, 3 * k};
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        struct wire_strategy fewer = {
            .strategy = {.planner = &planner_uniform, .k = tries[i], .loss_chunk = s->loss_chunk}};
        if (tries[i] > layers)
            continue;
        fewer.json = arena_printf(t->a, t->why, "{\"name\":\"uniform\",\"k\":%llu}", (unsigned long long)tries[i]);
        fewer.json = wire_strategy_chunked(fewer.json, s->loss_chunk, t->a, t->why);
        if (!fewer.json || !trial(t, NULL, &fewer))
            return false;
    }
    return true;
}

/* The logits of so many tokens at once: few enough to be small, many enough for the products to be fast. */
#define LOSS_CHUNK 512u

static bool is_logits(const struct graph *g, const struct plan_alive *alive) {
    const struct op *maker = alive->value < g->n_tensors ? maker_of(g, alive->value) : NULL;
    return maker && maker->kind == OP_LINEAR_CROSS_ENTROPY && maker->linear_cross_entropy.chunk == 0 &&
           alive->value == maker->outputs[maker->n_outputs - 1] && strcmp(alive->category, "saved_activations") == 0;
}

/* Where the peak keeps whole logits: the loss in chunks. That is another graph, whose loss takes more FLOPs. */
static bool chunk_try(struct more *t) {
    const struct plan *now = &t->m->plan;
    struct plan_drop *drop = &t->list[t->n];
    struct plan_query q = *t->q;
    struct plan_made made;
    struct arena scratch;
    *drop = (struct plan_drop){.recompute = "loss_chunk"};
    drop->tensors = arena_new(t->a, struct plan_group, PLAN_GROUPS_MAX, t->why);
    for (uint32_t i = 0; drop->tensors && i < t->n_alive; i++)
        if (is_logits(&t->m->graph, &t->alive[i]) &&
            !plan_suggest_group(&t->m->graph, &t->alive[i], drop->tensors, &drop->n_tensors, t->a, t->why))
            return false;
    if (!drop->tensors || drop->n_tensors == 0 || q.w.workload.batch * q.w.workload.seq_len <= LOSS_CHUNK)
        return drop->tensors != NULL;
    q.strategy.strategy.loss_chunk = LOSS_CHUNK;
    q.strategy.json = wire_strategy_chunked(q.strategy.json, LOSS_CHUNK, t->a, t->why);
    arena_init_within(&scratch, PLAN_QUERY_ARENA_BYTES, q.bounds);
    const bool ok = q.strategy.json && plan_query_make(&q, &scratch, &made, t->why);
    if (ok && made.plan.peak_bytes < now->peak_bytes) {
        drop->freed_bytes = now->peak_bytes - made.plan.peak_bytes;
        drop->recompute_flops = made.plan.forward_flops + made.plan.backward_flops + made.plan.recompute_flops -
                                now->forward_flops - now->backward_flops - now->recompute_flops;
        drop->named = (struct plan_named){q.strategy, made.plan.peak_bytes, plan_query_overhead_pct(&made, &made.plan)};
        t->n++;
    }
    arena_free(&scratch);
    return ok;
}

/* Most bytes a FLOP first. */
static int by_worth(const void *left, const void *right) {
    const struct plan_drop *a = left, *b = right;
    const double worth_a = (double)a->freed_bytes * (double)b->recompute_flops,
                 worth_b = (double)b->freed_bytes * (double)a->recompute_flops;
    if (worth_a != worth_b)
        return worth_a > worth_b ? -1 : 1;
    return a->freed_bytes != b->freed_bytes ? (a->freed_bytes > b->freed_bytes ? -1 : 1) : 0;
}

bool plan_suggest_drops(const struct plan_query *q, const struct plan_made *m, const struct plan_alive *alive,
                        uint32_t n_alive, struct arena *a, struct plan_drop *drops, unsigned *n, struct problem *why) {
    const struct planner *planner = q->strategy.strategy.planner;
    struct more t = {q, m, alive, n_alive, a, why, NULL, 0};
    *n = 0;
    if (planner->plan)
        return true;
    t.list = arena_new(a, struct plan_drop, PARTS + OP_KINDS + 1, why);
    if (!t.list || !(planner == &planner_every_layer || planner == &planner_uniform ? groups_try : names_try)(&t) ||
        !chunk_try(&t))
        return false;
    qsort(t.list, t.n, sizeof *t.list, by_worth);
    *n = t.n < PLAN_DROPS_MAX ? t.n : PLAN_DROPS_MAX;
    memcpy(drops, t.list, *n * sizeof *drops);
    return true;
}

/* ---- what fits ---- */

/* q as it stands is planned, and added if it fits. */
static bool way_add(const struct plan_query *q, const char *change, struct plan_way *ways, unsigned *n,
                    struct problem *why) {
    const struct workload *w = &q->w.workload;
    struct plan_way way = {change, {.strategy = q->strategy}, w->batch, w->gradient_accumulation, w->seq_len};
    struct plan_made m;
    struct megatron_bytes forms;
    struct arena scratch;
    arena_init_within(&scratch, PLAN_QUERY_ARENA_BYTES, q->bounds);
    bool ok = q->w.megatron ? plan_megatron_measure(q, &forms, &way.named.peak_bytes, why)
                            : plan_query_make(q, &scratch, &m, why);
    if (ok && !q->w.megatron) {
        way.named.peak_bytes = m.plan.peak_bytes;
        way.named.overhead_pct = plan_query_overhead_pct(&m, &m.plan);
    }
    arena_free(&scratch);
    if (ok && way.named.peak_bytes <= plan_query_budget(q))
        ways[(*n)++] = way;
    return ok;
}

/* The largest divisor of batch that is at most this. */
static uint64_t divisor(uint64_t batch, uint64_t most) {
    while (batch % most)
        most--;
    return most;
}

/* A smaller batch: with as many more microbatches where that makes the same step, and as it is. */
static bool batch_ways(const struct plan_query *q, struct plan_way *ways, unsigned *n, struct problem *why) {
    struct plan_query smaller = *q;
    struct workload *w = &smaller.w.workload;
    uint64_t fits = 0, peak;
    smaller.find = PLAN_FIND_BATCH;
    if (w->batch == 1)
        return true;
    if (!plan_query_largest(&smaller, w->batch - 1, &fits, &peak, why))
        return false;
    if (fits == 0)
        return true;
    const uint64_t same = divisor(q->w.workload.batch, fits), times = q->w.workload.batch / same;
    if (times <= (1u << 20) / w->gradient_accumulation) {
        w->batch = same;
        w->gradient_accumulation *= times;
        if (!way_add(&smaller, "gradient_accumulation", ways, n, why))
            return false;
        w->gradient_accumulation /= times;
    }
    w->batch = fits;
    return fits == same || way_add(&smaller, "batch", ways, n, why);
}

static bool seq_len_way(const struct plan_query *q, struct plan_way *ways, unsigned *n, struct problem *why) {
    struct plan_query shorter = *q;
    uint64_t fits = 0, peak;
    shorter.find = PLAN_FIND_SEQ_LEN;
    if (q->w.workload.seq_len == 1 || q->w.workload.model.family == MODEL_VISION)
        return true;
    if (!plan_query_largest(&shorter, q->w.workload.seq_len - 1, &fits, &peak, why))
        return false;
    shorter.w.workload.seq_len = fits;
    return fits == 0 || way_add(&shorter, "seq_len", ways, n, why);
}

bool plan_suggest_ways(const struct plan_query *q, struct arena *a, struct plan_way *ways, unsigned *n,
                       struct plan_named *lightest, struct problem *why) {
    struct plan_query bounded = *q, other;
    struct plan_named cheapest;
    *n = 0;
    bounded.budget_bytes = plan_query_budget(q); /* other strategies have none of their own */
    if (!(q->w.megatron ? plan_megatron_pick(q, &cheapest, lightest, why)
                        : plan_frontier_pick(&bounded, a, &cheapest, lightest, why)))
        return false;
    other = bounded;
    other.strategy = cheapest.strategy;
    if (cheapest.strategy.json && !way_add(&other, "strategy", ways, n, why))
        return false;
    other.strategy = lightest->strategy;
    const bool alone = cheapest.strategy.json != NULL || (lightest->strategy.strategy.planner == &planner_optimal &&
                                                          q->strategy.strategy.planner == &planner_optimal);
    if (!batch_ways(&bounded, ways, n, why) || (!alone && *n == 0 && !batch_ways(&other, ways, n, why)))
        return false;
    return seq_len_way(&bounded, ways, n, why) && (alone || seq_len_way(&other, ways, n, why));
}
