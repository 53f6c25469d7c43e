/* plan_include.c - the long parts of a plan's answer: steps, timeline, layers, what is alive at the peak. */
#include <string.h>

#include "engine/base/units.h"
#include "server/plan_query.h"

/* ---- steps and timeline ---- */

static bool put_steps(const struct plan *p, struct arena *scratch, struct wire_out *o, struct problem *why) {
    wire_open(o, "steps", '[');
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const struct step *s = &p->steps[i];
        const char *of = s->op == STEP_FREE ? plan_value_name(p->graph, s->of, scratch, why)
                                            : plan_op_name(p->graph, s->of, scratch, why);
        if (!of)
            return false;
        wire_open(o, NULL, '{');
        wire_put_string(o, "do", plan_step_name(s->op));
        wire_put_string(o, "of", of);
        wire_close(o, '}');
    }
    wire_close(o, ']');
    return true;
}

static void put_moment(uint32_t step, const struct plan_moment *m, struct wire_out *o) {
    wire_open(o, NULL, '{');
    wire_put_uint(o, "step", step);
    wire_put_uint(o, "live_bytes", m->live_bytes);
    wire_put_uint(o, "saved_activations_bytes", m->saved_activations_bytes);
    wire_put_uint(o, "recomputed_bytes", m->recomputed_bytes);
    wire_put_uint(o, "activation_gradients_bytes", m->activation_gradients_bytes);
    wire_put_uint(o, "inputs_outputs_bytes", m->inputs_outputs_bytes);
    wire_put_uint(o, "transient_bytes", m->transient_bytes);
    wire_put_uint(o, "workspace_bytes", m->workspace_bytes);
    wire_close(o, '}');
}

/* Where there are more steps than points, each point is the highest step of its share: the peak always stays. */
static bool put_timeline(const struct plan *p, uint64_t points, struct arena *scratch, struct wire_out *o,
                         struct problem *why) {
    struct plan copy = *p; /* simulated afresh */
    struct plan_moment *moments = arena_new(scratch, struct plan_moment, p->n_steps, why);
    if (!moments || !plan_simulate(&copy, scratch, moments, why))
        return false;
    points = units_min(points, p->n_steps);
    wire_open(o, "timeline", '[');
    for (uint64_t i = 0; i < points; i++) {
        uint32_t from = (uint32_t)(i * p->n_steps / points), to = (uint32_t)((i + 1) * p->n_steps / points);
        uint32_t highest = from;
        for (uint32_t step = from; step < to; step++)
            if (moments[step].live_bytes > moments[highest].live_bytes)
                highest = step;
        put_moment(highest, &moments[highest], o);
    }
    wire_close(o, ']');
    return true;
}

/* ---- layers ---- */

struct layer_sums {
    uint64_t kept_bytes, recomputed_bytes;
};

/* Kept: made by the layer, alive when the backward begins. Recomputed: made again. */
static struct layer_sums *layer_sums(const struct plan *p, const bool *again, struct arena *scratch,
                                     struct problem *why) {
    const struct graph *g = p->graph;
    struct layer_sums *sums = arena_new(scratch, struct layer_sums, (size_t)g->layers + 1, why);
    if (!sums)
        return NULL;
    for (uint32_t e = 0; e < p->n_extents; e++) {
        const struct extent *x = &p->extents[e];
        if (x->value >= g->n_tensors || x->first >= p->turn || x->last < p->turn)
            continue;
        const struct tensor *t = &g->tensors[x->value];
        if (t->producer != GRAPH_NONE && g->ops[t->producer].layer != GRAPH_NONE)
            sums[g->ops[t->producer].layer].kept_bytes += t->bytes;
    }
    for (uint32_t op = 0; op < g->n_ops; op++)
        for (uint32_t i = 0; again[op] && g->ops[op].layer != GRAPH_NONE && i < g->ops[op].n_outputs; i++)
            sums[g->ops[op].layer].recomputed_bytes += g->tensors[g->ops[op].outputs[i]].bytes;
    return sums;
}

static bool put_layers(const struct plan *p, struct arena *scratch, struct wire_out *o, struct problem *why) {
    const struct graph *g = p->graph;
    unsigned char *runs = arena_new(scratch, unsigned char, g->n_ops, why);
    bool *again = arena_new(scratch, bool, g->n_ops, why);
    if (!runs || !again)
        return false;
    for (uint32_t i = 0; i < p->n_steps; i++)
        if (p->steps[i].op == STEP_RUN) {
            again[p->steps[i].of] = runs[p->steps[i].of] > 0;
            runs[p->steps[i].of] = 1;
        }
    struct layer_sums *sums = layer_sums(p, again, scratch, why);
    if (!sums)
        return false;
    wire_open(o, "layers", '[');
    for (uint32_t layer = 0, op = 0; layer < g->layers; layer++) { /* ops of a layer are neighbours */
        wire_open(o, NULL, '{');
        wire_put_uint(o, "layer", layer);
        wire_put_uint(o, "kept_bytes", sums[layer].kept_bytes);
        wire_put_uint(o, "recomputed_bytes", sums[layer].recomputed_bytes);
        wire_open(o, "recompute", '[');
        for (; op < g->n_ops && (g->ops[op].layer == GRAPH_NONE || g->ops[op].layer <= layer); op++)
            if (again[op] && g->ops[op].layer == layer)
                wire_put_string(o, NULL, g->ops[op].name);
        wire_close(o, ']');
        wire_close(o, '}');
    }
    wire_close(o, ']');
    return true;
}

/* ---- alive at the peak ---- */

/* The last step of each tensor's life at the peak at which the backward reads it; 0 where it does not. */
static uint32_t *held_until(const struct plan *p, struct arena *scratch, struct problem *why) {
    const struct graph *g = p->graph;
    uint32_t *held = arena_new(scratch, uint32_t, g->n_tensors, why);
    uint32_t *from = arena_new(scratch, uint32_t, g->n_tensors, why),
             *to = arena_new(scratch, uint32_t, g->n_tensors, why);
    bool *ran = arena_new(scratch, bool, g->n_ops, why);
    if (!held || !from || !to || !ran)
        return NULL;
    for (uint32_t e = 0; e < p->n_extents; e++) {
        const struct extent *x = &p->extents[e];
        if (x->value < g->n_tensors && x->first <= p->peak_step && p->peak_step <= x->last)
            from[x->value] = x->first, to[x->value] = x->last;
    }
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const struct step *s = &p->steps[i];
        if (s->op == STEP_FREE)
            continue;
        const struct op *op = &g->ops[s->of];
        bool again = s->op == STEP_RUN && ran[s->of];
        for (uint32_t k = 0; again && k < op->n_outputs; k++) /* written anew: its readers read the new one */
            to[op->outputs[k]] =
                i >= from[op->outputs[k]] && i > 0 ? units_min(to[op->outputs[k]], i) : to[op->outputs[k]];
        const uint32_t *reads = s->op == STEP_GRAD ? op->saved : again ? op->reads : NULL;
        for (uint32_t k = 0; reads && k < (s->op == STEP_GRAD ? op->n_saved : op->n_inputs); k++)
            if (from[reads[k]] <= i && i <= to[reads[k]])
                held[reads[k]] = i;
        ran[s->of] |= s->op == STEP_RUN;
    }
    return held;
}

static const char *category(const struct plan *p, const struct extent *x, const uint32_t *held, const bool *second) {
    const struct graph *g = p->graph;
    if (x->value == EXTENT_WORK)
        return "workspace";
    if (x->value >= g->n_tensors)
        return g->tensors[x->value - g->n_tensors].grad_requested ? "inputs_outputs" : "activation_gradients";
    if (second[x->value])
        return "recomputed";
    if (held[x->value] >= p->peak_step && held[x->value] > 0)
        return "saved_activations";
    const struct tensor *t = &g->tensors[x->value];
    return t->role == TENSOR_INPUT || t->requested ? "inputs_outputs" : "transient";
}

bool plan_include_alive(const struct plan *p, struct arena *scratch, const struct plan_alive **list, uint32_t *n,
                        struct problem *why) {
    const struct graph *g = p->graph;
    const uint32_t *held = held_until(p, scratch, why);
    bool *seen = arena_new(scratch, bool, g->n_tensors, why), *second = arena_new(scratch, bool, g->n_tensors, why);
    struct plan_alive *alive = arena_new(scratch, struct plan_alive, p->n_extents, why);
    if (!held || !seen || !second || !alive)
        return false;
    *list = alive;
    *n = 0;
    for (uint32_t e = 0; e < p->n_extents; e++) { /* by first step: a second life comes after the first */
        const struct extent *x = &p->extents[e];
        if (x->value < g->n_tensors) {
            second[x->value] = seen[x->value];
            seen[x->value] = true;
        }
        if (x->first <= p->peak_step && p->peak_step <= x->last)
            alive[(*n)++] = (struct plan_alive){x->value, x->bytes, category(p, x, held, second)};
    }
    return true;
}

static bool put_alive(const struct plan *p, struct arena *scratch, struct wire_out *o, struct problem *why) {
    const struct plan_alive *alive;
    uint32_t n;
    if (!plan_include_alive(p, scratch, &alive, &n, why))
        return false;
    wire_open(o, "alive_at_peak", '[');
    for (uint32_t i = 0; i < n; i++) {
        const char *name =
            alive[i].value == EXTENT_WORK ? "workspace" : plan_value_name(p->graph, alive[i].value, scratch, why);
        if (!name)
            return false;
        wire_open(o, NULL, '{');
        wire_put_string(o, "name", name);
        wire_put_uint(o, "bytes", alive[i].bytes);
        wire_put_string(o, "category", alive[i].category);
        wire_close(o, '}');
    }
    wire_close(o, ']');
    return true;
}

bool plan_include_put(const struct plan_query *q, const struct plan *p, struct arena *scratch, struct wire_out *o,
                      struct problem *why) {
    return (!(q->include & PLAN_INCLUDE_TIMELINE) || put_timeline(p, q->max_points, scratch, o, why)) &&
           (!(q->include & PLAN_INCLUDE_STEPS) || put_steps(p, scratch, o, why)) &&
           (!(q->include & PLAN_INCLUDE_LAYERS) || put_layers(p, scratch, o, why)) &&
           (!(q->include & PLAN_INCLUDE_ALIVE) || put_alive(p, scratch, o, why));
}
