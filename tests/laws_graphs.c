/* laws_graphs.c - random graphs of functions, and random strategies for any graph. */
#include <stdio.h>

#include "tests/laws.h"

enum { RESULTS_MAX = 2, SAVED_MAX = 2, INPUTS_MAX = 4 };

/* Never run: these graphs are planned only. */
static bool never_forward(void *c, const float *const *in, float *const *out, float *const *saved, void *work) {
    (void)c, (void)in, (void)out, (void)saved, (void)work;
    return false;
}

static bool never_backward(void *c, const float *const *in, const float *const *saved, const float *const *d_out,
                           float *const *d_in, void *work) {
    (void)c, (void)in, (void)saved, (void)d_out, (void)d_in, (void)work;
    return false;
}

/* spread: of the sizes of one graph, in powers of two. */
static uint64_t elements(unsigned spread, uint64_t *r) {
    return 1 + laws_random(r, (uint64_t)1 << (6 + laws_random(r, spread)));
}

/* What somebody may read: given, or the result of an op. */
static bool is_result(const struct graph *g, uint32_t t) {
    uint32_t maker = g->tensors[t].producer;
    return maker == GRAPH_NONE || t - g->ops[maker].outputs[0] < g->ops[maker].n_results;
}

/* Mostly something made lately, sometimes anything. */
static uint32_t earlier(const struct graph *g, uint64_t *r) {
    uint32_t back = laws_random(r, 4) && g->n_tensors > 8 ? 8 : g->n_tensors, t;
    do
        t = g->n_tensors - 1 - (uint32_t)laws_random(r, back);
    while (!is_result(g, t));
    return t;
}

static bool function_add(struct graph *g, uint32_t layer, unsigned spread, uint64_t *r, struct problem *why) {
    uint64_t shapes[RESULTS_MAX + SAVED_MAX][8];
    unsigned ranks[RESULTS_MAX + SAVED_MAX];
    uint32_t inputs[INPUTS_MAX];
    struct op op = {.kind = OP_FUNCTION,
                    .name = "f",
                    .inputs = inputs,
                    .n_inputs = 1 + (uint32_t)laws_random(r, INPUTS_MAX),
                    .layer = layer,
                    .parts = (unsigned)laws_random(r, 16),
                    .function = {.forward = never_forward,
                                 .backward = never_backward,
                                 .n_results = 1 + (uint32_t)laws_random(r, RESULTS_MAX),
                                 .n_saved = (uint32_t)laws_random(r, SAVED_MAX + 1),
                                 .ranks = ranks,
                                 .shapes = shapes,
                                 .keeps_inputs = laws_random(r, 2),
                                 .forward_flops = laws_random(r, 1000),
                                 .backward_flops = laws_random(r, 1000),
                                 .workspace_bytes = laws_random(r, 3) ? 0 : elements(spread, r)}};
    for (uint32_t i = 0; i < op.n_inputs; i++)
        inputs[i] = earlier(g, r);
    for (uint32_t i = 0; i < op.function.n_results + op.function.n_saved; i++) {
        ranks[i] = 1;
        shapes[i][0] = elements(spread, r);
    }
    uint32_t id = graph_op(g, &op, why);
    if (id != GRAPH_NONE && laws_random(r, 10) == 0)
        graph_request(g, graph_result(g, id, 0));
    return id != GRAPH_NONE;
}

bool laws_graph(struct graph *g, struct arena *a, uint64_t seed, struct problem *why) {
    uint64_t random = seed, r = laws_random(&random, UINT64_MAX), size;
    uint32_t n_ops = 2 + (uint32_t)laws_random(&r, 40), layer = 0;
    unsigned spread = 1 + (unsigned)laws_random(&r, 18);
    if (!graph_init(g, a, 1 + (unsigned)laws_random(&r, 4), true, why))
        return false;
    for (uint32_t i = 0; i < 3; i++) {
        size = elements(spread, &r);
        uint32_t t = graph_tensor(g, i == 2 ? TENSOR_PARAMETER : TENSOR_INPUT, "x", DTYPE_FLOAT32, 1, &size,
                                  i != 1 || laws_random(&r, 2), why);
        if (t == GRAPH_NONE)
            return false;
    }
    for (uint32_t i = 0; i < n_ops; i++) {
        layer += laws_random(&r, 3) == 0 && layer + 1 < LAWS_LAYERS_MAX;
        if (!function_add(g, laws_random(&r, 8) ? layer : GRAPH_NONE, spread, &r, why))
            return false;
    }
    graph_request(g, graph_result(g, n_ops - 1, 0));
    if (g->ops[0].reads[0] < 2 && laws_random(&r, 2))
        graph_request_grad(g, g->ops[0].reads[0]);
    return graph_finish(g, why);
}

/* ---- strategies ---- */

static const char *const parts[] = {"attention", "attention_core", "mlp", "norm"};

static struct selection some_selection(uint64_t *r) {
    struct selection s = {.parts = (unsigned)laws_random(r, 16)};
    if (laws_random(r, 2))
        s.op_kinds = laws_random(r, UINT64_C(1) << OP_KINDS) & laws_random(r, UINT64_C(1) << OP_KINDS);
    if (s.parts == 0 && s.op_kinds == 0)
        s.op_kinds = UINT64_C(1) << laws_random(r, OP_KINDS);
    return s;
}

static void add(struct laws_strategies *out, struct strategy s) {
    if (out->n < LAWS_STRATEGIES_MAX)
        out->list[out->n++] = s;
}

static void add_selective(struct laws_strategies *out, const struct planner *p, uint64_t *r) {
    struct strategy s = {.planner = p};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        s.selection = (struct selection){0};
        if (selection_add(&s.selection, parts[i]))
            add(out, s);
    }
    for (unsigned i = 0; i < 3; i++) {
        s.selection = some_selection(r);
        add(out, s);
    }
}

static void add_custom(struct laws_strategies *out, const struct planner *p, uint32_t n_layers, uint64_t *r) {
    for (unsigned i = 0; i < 2; i++) {
        for (uint32_t l = 0; l < LAWS_LAYERS_MAX; l++) {
            out->layers[i][l].policy = (enum layer_policy)laws_random(r, 3);
            out->layers[i][l].selection = some_selection(r);
        }
        add(out, (struct strategy){.planner = p, .layers = out->layers[i], .n_layers = n_layers});
    }
}

/* As in models; layers of random graphs lie anywhere. */
static bool layers_in_order(const struct graph *g) {
    uint32_t seen = 0;
    for (uint32_t o = 0; o < g->n_ops; o++) {
        if (g->ops[o].layer == GRAPH_NONE)
            continue;
        seen += g->ops[o].layer == seen;
        if (g->ops[o].layer + 1 != seen)
            return false;
    }
    return seen > 0;
}

void laws_strategies_make(const struct graph *g, uint64_t seed, struct laws_strategies *out) {
    uint64_t r = seed * 1000 + 999, layers = g->layers ? g->layers : 1;
    out->n = 0;
    for (unsigned i = 0; i < planner_table_length; i++) {
        const struct planner *p = planner_table[i];
        if (p->parameters == 0)
            add(out, (struct strategy){.planner = p});
        if (p->parameters & STRATEGY_TAKES_N)
            add(out, (struct strategy){.planner = p, .n = 2 + laws_random(&r, layers)});
        if (p->parameters & STRATEGY_TAKES_K)
            add(out, (struct strategy){.planner = p, .k = 1 + laws_random(&r, layers)});
        if (p->parameters & STRATEGY_TAKES_SEGMENTS && g->layers)
            add(out, (struct strategy){.planner = p, .segments = 1 + laws_random(&r, layers)});
        if (p->parameters & STRATEGY_TAKES_OPS)
            add_selective(out, p, &r);
        if (p->parameters & STRATEGY_TAKES_LAYERS)
            add_custom(out, p, g->layers, &r);
        if (p->parameters & STRATEGY_TAKES_BUDGET && g->backward && layers_in_order(g)) /* the smallest there is */
            add(out, (struct strategy){.planner = p, .budget_bytes = 1});
    }
}

const char *laws_strategy_text(const struct strategy *s, char *text, size_t room) {
    int n = snprintf(text, room, "%s", s->planner->name);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {{"n", s->n},
                {"k", s->k},
                {"segments", s->segments},
                {"budget", s->budget_bytes},
                {"parts", s->selection.parts},
                {"kinds", s->selection.op_kinds}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].value && n > 0 && (size_t)n < room)
            n += snprintf(text + n, room - (size_t)n, " %s %lu", rows[i].name, rows[i].value);
    for (uint64_t l = 0; l < s->n_layers && n > 0 && (size_t)n < room; l++)
        n += snprintf(text + n, room - (size_t)n, " %d:%x:%llx", s->layers[l].policy, s->layers[l].selection.parts,
                      (unsigned long long)s->layers[l].selection.op_kinds);
    return text;
}
