/* plan_layers.c - see plan_layers.h */
#include "server/plan_layers.h"

/* Ops are in order, so what one needs of others lies behind it. */
static void needed_find(struct plan_layers *x, const bool *saved, bool *read) {
    const struct graph *g = x->graph;
    for (uint32_t o = g->n_ops; o-- > 0;) {
        const struct op *op = &g->ops[o];
        for (uint32_t k = 0; k < op->n_outputs; k++)
            x->needed[o] |= saved[op->outputs[k]] || read[op->outputs[k]];
        for (uint32_t k = 0; x->needed[o] && k < op->n_inputs; k++) {
            const uint32_t maker = g->tensors[op->reads[k]].producer;
            if (maker != GRAPH_NONE && g->ops[maker].layer == op->layer)
                read[op->reads[k]] = true;
        }
    }
}

/* Of tensors, those that a gradient of the layer that makes them reads. */
static void saved_find(const struct graph *g, bool *saved) {
    for (uint32_t o = 0; o < g->n_ops; o++)
        for (uint32_t k = 0; g->ops[o].needs_grad && k < g->ops[o].n_saved; k++) {
            const uint32_t tensor = g->ops[o].saved[k], maker = g->tensors[tensor].producer;
            if (maker != GRAPH_NONE && g->ops[maker].layer == g->ops[o].layer)
                saved[tensor] = true;
        }
}

/* Whether it reads, to run again or for its gradient, what an op of the layer before makes again. */
static bool leans(const struct plan_layers *x, uint32_t o) {
    const struct graph *g = x->graph;
    const struct op *op = &g->ops[o];
    const uint32_t n = op->n_saved + (x->runs[o] > 1 ? op->n_inputs : 0);
    for (uint32_t k = 0; k < n; k++) {
        const uint32_t tensor = k < op->n_saved ? op->saved[k] : op->reads[k - op->n_saved];
        const uint32_t maker = g->tensors[tensor].producer;
        if (maker != GRAPH_NONE && op->layer > 0 && g->ops[maker].layer == op->layer - 1 && x->runs[maker] > 1)
            return true;
    }
    return false;
}

static void layer_count(struct plan_layers *x, uint32_t o) {
    const uint32_t layer = x->graph->ops[o].layer, runs = x->runs[o];
    x->most = runs > x->most ? runs : x->most;
    if (layer == GRAPH_NONE) {
        x->beside += runs > 1;
        return;
    }
    struct plan_layer *l = &x->list[layer];
    l->first = l->end ? l->first : o;
    l->end = o + 1;
    l->needed += x->needed[o];
    l->again += x->needed[o] && runs > 1;
    l->most = runs > l->most ? runs : l->most;
    l->leans |= leans(x, o);
}

bool plan_layers_read(const struct plan *p, struct arena *a, struct plan_layers *out, struct problem *why) {
    const struct graph *g = p->graph;
    *out = (struct plan_layers){.graph = g, .n = g->layers};
    out->list = arena_new(a, struct plan_layer, (size_t)g->layers + 1, why);
    out->runs = arena_new(a, uint32_t, g->n_ops, why);
    out->needed = arena_new(a, bool, g->n_ops, why);
    bool *saved = arena_new(a, bool, g->n_tensors, why), *read = arena_new(a, bool, g->n_tensors, why);
    if (!out->list || !out->runs || !out->needed || !saved || !read)
        return false;
    for (uint32_t i = 0; i < p->n_steps; i++)
        if (p->steps[i].op == STEP_RUN)
            out->runs[p->steps[i].of]++;
    saved_find(g, saved);
    needed_find(out, saved, read);
    for (uint32_t o = 0; o < g->n_ops; o++)
        layer_count(out, o);
    return true;
}
