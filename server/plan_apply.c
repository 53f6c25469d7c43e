/* plan_apply.c - a strategy in the words of other tools, or null and the reason where they have none. A plan that was
 * chosen op by op has words where it comes to what a named strategy does. */
#include <stdio.h>

#include "server/plan_layers.h"
#include "server/plan_query.h"

enum tool { TORCH, TRANSFORMERS, MEGATRON, JAX, TOOLS };

static const char *const tool_names[] = {"torch", "transformers", "megatron", "jax"};

/* What a tool is told: JSON without parameters, or NULL and why not. "layers" of torch are put by code. */
struct words {
    const char *json, *reason;
};

static const struct {
    const struct planner *planner;
    struct words words[TOOLS];
} rows[] = {
    {&planner_standard,
     {[TRANSFORMERS] = {"{\"gradient_checkpointing\":false}", NULL},
      [MEGATRON] = {"[]", NULL},
      [JAX] = {"\"everything_saveable\"", NULL}}},
    {&planner_every_layer,
     {[TRANSFORMERS] = {"{\"gradient_checkpointing\":true,\"gradient_checkpointing_kwargs\":{\"use_reentrant\":false}}",
                        NULL},
      [MEGATRON] = {"[\"--recompute-granularity\",\"full\",\"--recompute-method\",\"uniform\","
                    "\"--recompute-num-layers\",\"1\"]",
                    NULL},
      [JAX] = {"\"nothing_saveable\"", NULL}}},
    {&planner_every_n, {[MEGATRON] = {NULL, "has uniform groups and blocks, not every n-th layer"}}},
    {&planner_uniform,
     {[TORCH] = {NULL, "cuts into segments of equal size: this k does not divide the layers"},
      [MEGATRON] = {NULL, "has groups of equal size: these segments are not"}}},
    {&planner_block, {{0}}},
    {&planner_selective, {[MEGATRON] = {NULL, "recomputes core_attn by this name; these ops it cannot name"}}},
    {&planner_custom, {[MEGATRON] = {NULL, "has no per-layer list"}}},
    {NULL, /* chosen op by op */
     {[TORCH] = {NULL, "checkpoints whole layers, each from its input: 'layers' lists the ops this plan runs again"},
      [MEGATRON] = {NULL, "recomputes all layers, the first of them or core_attn: not ops of its own choice in each"},
      [JAX] = {NULL,
               "save_only_these_names, a policy for each kind of layer: name what 'layers' does not run again with "
               "checkpoint_name"}}},
};

static const char *const missing[] = {
    [TORCH] = "checkpoints whole layers: a part of one needs a wrapper of its own",
    [TRANSFORMERS] = "gradient_checkpointing is for all layers or none",
    [MEGATRON] = "has no such strategy",
    [JAX] = "policies are per function: wrap the layers that recompute in jax.checkpoint",
};

bool plan_apply_is_checkpointed(const struct strategy *s, uint64_t layer) {
    if (s->planner == &planner_every_layer || s->planner == &planner_uniform || s->planner == &planner_sqrt_n)
        return true;
    if (s->planner == &planner_every_n)
        return layer % s->n == 0;
    if (s->planner == &planner_block)
        return layer < s->k;
    return s->planner == &planner_custom && layer < s->n_layers && s->layers[layer].policy == LAYER_CHECKPOINT;
}

/* Whole layers: a list for torch.utils.checkpoint; groups of layers: checkpoint_sequential. */
static bool put_torch(const struct strategy *s, uint64_t layers, struct wire_out *o) {
    bool whole = s->planner && s->planner != &planner_selective;
    if (s->planner == &planner_uniform && s->segments == 0 && layers % s->k)
        return false; /* its segments would have other sizes */
    for (uint64_t i = 0; s->planner == &planner_custom && i < s->n_layers; i++)
        whole = whole && s->layers[i].policy != LAYER_RECOMPUTE;
    if (!whole)
        return false;
    wire_open(o, "torch", '{');
    if (s->planner == &planner_uniform) {
        uint64_t segments = s->segments ? s->segments : layers / s->k;
        wire_open(o, "checkpoint_sequential", '{');
        wire_put_uint(o, "segments", segments);
        wire_put_string(o, "note", "torch leaves the last segment plain: it keeps more than this plan");
        wire_close(o, '}');
    } else {
        wire_open(o, "checkpoint_layers", '[');
        for (uint64_t i = 0; i < layers; i++)
            if (plan_apply_is_checkpointed(s, i))
                wire_put_uint(o, NULL, i);
        wire_close(o, ']');
    }
    wire_close(o, '}');
    return true;
}

/* The flags that carry a number, and the one part Megatron-LM names. */
static bool put_megatron(const struct strategy *s, uint64_t layers, struct wire_out *o) {
    const uint64_t each = s->segments && layers % s->segments == 0 ? layers / s->segments : s->k;
    const char *method = s->planner == &planner_block             ? "block"
                         : s->planner == &planner_uniform && each ? "uniform"
                                                                  : NULL;
    if (s->planner == &planner_selective && s->selection.parts == PART_ATTENTION_CORE && s->selection.op_kinds == 0) {
        wire_put_json(o, "megatron",
                      "[\"--recompute-granularity\",\"selective\",\"--recompute-modules\",\"core_attn\"]");
        return true;
    }
    if (!method)
        return false;
    char k[24];
    snprintf(k, sizeof k, "%llu", (unsigned long long)each);
    wire_open(o, "megatron", '[');
    wire_put_string(o, NULL, "--recompute-granularity");
    wire_put_string(o, NULL, "full");
    wire_put_string(o, NULL, "--recompute-method");
    wire_put_string(o, NULL, method);
    wire_put_string(o, NULL, "--recompute-num-layers");
    wire_put_string(o, NULL, k);
    wire_close(o, ']');
    return true;
}

/* The named strategy that comes to the same, of layers kept and checkpointed; planner NULL: none does. */
static bool strategy_like(const struct plan *p, struct arena *scratch, struct strategy *out, struct problem *why) {
    struct plan_layers x;
    uint32_t whole = 0, first = 0;
    *out = (struct strategy){0};
    if (!plan_layers_read(p, scratch, &x, why))
        return false;
    struct strategy_layer *list = arena_new(scratch, struct strategy_layer, (size_t)x.n + 1, why);
    if (!list)
        return false;
    for (uint32_t i = 0; i < x.n; i++) {
        const struct plan_layer *l = &x.list[i];
        if (l->leans || (l->most > 1 && !plan_layers_whole(l)))
            return true;
        list[i].policy = l->most > 1 ? LAYER_CHECKPOINT : LAYER_KEEP;
        whole += l->most > 1;
        first += l->most > 1 && first == i;
    }
    if (x.beside || x.most > 2)
        return true;
    *out = whole == 0       ? (struct strategy){.planner = &planner_standard}
           : whole == x.n   ? (struct strategy){.planner = &planner_every_layer}
           : whole == first ? (struct strategy){.planner = &planner_block, .k = whole}
                            : (struct strategy){.planner = &planner_custom, .layers = list, .n_layers = x.n};
    return true;
}

bool plan_apply_put(const struct plan_query *q, const struct plan_made *m, struct arena *scratch, struct wire_out *o,
                    struct problem *why) {
    const uint64_t layers = model_graph_layers(&q->w.workload.model);
    const struct planner *planner = q->strategy.strategy.planner;
    struct strategy like = {.planner = &planner_uniform, .k = planner_sqrt_n_layers(layers)};
    const struct strategy *s = planner == &planner_sqrt_n || planner->plan ? &like : &q->strategy.strategy;
    if (planner->plan && !strategy_like(&m->plan, scratch, &like, why))
        return false;
    const char *reasons[TOOLS] = {0};
    size_t row = 0;
    while (row + 1 < sizeof rows / sizeof rows[0] && rows[row].planner != s->planner)
        row++;
    wire_open(o, "apply", '{');
    for (unsigned t = 0; t < TOOLS; t++) {
        const struct words *w = &rows[row].words[t];
        if (m->loss_chunk) {
            wire_put_json(o, tool_names[t], NULL);
            reasons[t] = "keeps the logits whole: a loss in chunks is one of your own";
            continue;
        }
        if ((t == TORCH && put_torch(s, layers, o)) || (t == MEGATRON && put_megatron(s, layers, o)))
            continue;
        wire_put_json(o, tool_names[t], w->json);
        if (!w->json)
            reasons[t] = w->reason ? w->reason : missing[t];
    }
    wire_open(o, "reasons", '{'); /* for each null */
    for (unsigned t = 0; t < TOOLS; t++)
        if (reasons[t])
            wire_put_string(o, tool_names[t], reasons[t]);
    wire_close(o, '}');
    wire_close(o, '}');
    return true;
}
