/* plan_megatron.c - the answer under framework megatron: the closed forms, per device of the first pipeline stage.
 * There is no program behind it, so it has no peak step and no FLOPs. */
#include "server/plan_query.h"

#include "engine/base/units.h"

#define BYTES_MAX ((uint64_t)1 << 62) /* what a graph may take, too */

static bool recompute_of(const struct wire_strategy *s, struct megatron *p, struct problem *why) {
    const struct strategy *is = &s->strategy;
    if (is->loss_chunk)
        return problem_set(why, PROBLEM_UNSUPPORTED, "/strategy/loss_chunk",
                           "has no closed form under framework megatron");
    if (is->planner == &planner_standard)
        p->recompute = MEGATRON_NONE;
    else if (is->planner == &planner_every_layer)
        p->recompute = MEGATRON_FULL;
    else if (is->planner == &planner_selective && is->selection.parts == PART_ATTENTION_CORE &&
             is->selection.op_kinds == 0)
        p->recompute = MEGATRON_SELECTIVE;
    else
        return problem_set(why, PROBLEM_UNSUPPORTED, "/strategy",
                           "has no closed form under framework megatron: standard, every_layer, and selective "
                           "[attention_core] have");
    return true;
}

static bool measure(const struct plan_query *q, const struct megatron *p, struct megatron_bytes *b,
                    uint64_t *peak_bytes, struct problem *why) {
    if (!megatron_measure(&q->w.workload, p, b, why))
        return problem_nest(why, "/workload");
    if (!units_add(b->parameters_bytes, b->gradients_bytes, peak_bytes) ||
        !units_add(*peak_bytes, b->optimizer_bytes, peak_bytes) ||
        !units_add(*peak_bytes, b->saved_activations_bytes, peak_bytes) || *peak_bytes > BYTES_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/workload", "takes more bytes than 2^62");
    return true;
}

bool plan_megatron_measure(const struct plan_query *q, struct megatron_bytes *out, uint64_t *peak_bytes,
                           struct problem *why) {
    struct megatron p = q->w.parallel;
    return recompute_of(&q->strategy, &p, why) && measure(q, &p, out, peak_bytes, why);
}

bool plan_megatron_pick(const struct plan_query *q, struct plan_named *cheapest, struct plan_named *lightest,
                        struct problem *why) {
    static const struct wire_strategy forms[] = {
        /* least recomputation first */
        {.strategy = {.planner = &planner_standard}, .json = "\"standard\""},
        {.strategy = {.planner = &planner_selective, .selection = {.parts = PART_ATTENTION_CORE}},
         .json = "{\"name\":\"selective\",\"ops\":[\"attention_core\"]}"},
        {.strategy = {.planner = &planner_every_layer}, .json = "\"every_layer\""}};
    *cheapest = *lightest = (struct plan_named){0};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct plan_query with = *q;
        struct megatron_bytes bytes;
        uint64_t peak = 0;
        with.strategy = forms[i];
        if (!plan_megatron_measure(&with, &bytes, &peak, why))
            return false;
        const struct plan_named named = {forms[i], peak, 0};
        if (!cheapest->strategy.json && peak <= q->budget_bytes)
            *cheapest = named;
        if (!lightest->strategy.json || peak < lightest->peak_bytes)
            *lightest = named;
    }
    return true;
}

/* Of the whole model, to the unit; a sequence of one token is enough to count. */
static bool parameters_count(const struct plan_query *q, struct arena *scratch, uint64_t *out, struct problem *why) {
    struct workload one = q->w.workload;
    struct graph g;
    one.model = q->w.model.model;
    one.seq_len = one.batch = 1;
    if (!model_lower(&one, scratch, &g, why)) {
        why->where[0] = '\0';
        return problem_nest(why, "/workload");
    }
    *out = model_parameters(&g);
    return true;
}

static void put_bytes(const struct megatron_bytes *b, uint64_t peak, struct wire_out *o) {
    wire_put_uint(o, "peak_bytes", peak);
    wire_put_uint(o, "slab_bytes", b->saved_activations_bytes);
    wire_put_uint(o, "live_peak_bytes", b->saved_activations_bytes);
    wire_put_uint(o, "retained_peak_bytes", b->saved_activations_bytes);
    wire_open(o, "memory", '{');
    wire_put_uint(o, "parameters_bytes", b->parameters_bytes);
    wire_put_uint(o, "gradients_bytes", b->gradients_bytes);
    wire_put_uint(o, "optimizer_bytes", b->optimizer_bytes);
    wire_put_uint(o, "saved_activations_bytes", b->saved_activations_bytes);
    wire_close(o, '}');
}

bool plan_megatron_answer(const struct plan_query *q, struct arena *scratch, struct wire_out *o, const char *key,
                          struct problem *why) {
    struct megatron plain = q->w.parallel;
    struct megatron_bytes bytes, standard;
    uint64_t peak = 0, standard_peak = 0, parameters = 0, tokens = 0;
    plain.recompute = MEGATRON_NONE;
    if (q->include & ~(unsigned)PLAN_INCLUDE_EXPLAIN)
        return problem_set(why, PROBLEM_UNSUPPORTED, "/include",
                           "closed forms have no program to include from: explain alone is answered");
    if (!plan_query_tokens(q, &tokens, why) || !plan_megatron_measure(q, &bytes, &peak, why) ||
        !parameters_count(q, scratch, &parameters, why) || !measure(q, &plain, &standard, &standard_peak, why))
        return false;
    wire_open(o, key, '{');
    wire_put_bool(o, "feasible", peak <= q->budget_bytes);
    wire_put_json(o, "strategy", q->strategy.json);
    if (q->budget_bytes == UINT64_MAX)
        wire_put_json(o, "budget_bytes", NULL);
    else
        wire_put_uint(o, "budget_bytes", q->budget_bytes);
    wire_put_string(o, "device", q->device ? q->device->name : NULL);
    if (peak > q->budget_bytes)
        wire_put_uint(o, "minimum_budget_bytes", peak);
    wire_open(o, "model", '{');
    wire_put_string(o, "family", "decoder");
    wire_put_uint(o, "parameters", parameters);
    wire_close(o, '}');
    wire_put_uint(o, "tokens_per_step", tokens);
    put_bytes(&bytes, peak, o);
    wire_put_json(o, "peak_at", NULL);
    wire_open(o, "standard", '{');
    wire_put_uint(o, "peak_bytes", standard_peak);
    wire_put_uint(o, "saved_activations_bytes", standard.saved_activations_bytes);
    wire_close(o, '}');
    wire_put_real(o, "memory_saved_pct", 100 * (1 - (double)peak / (double)standard_peak));
    wire_put_json(o, "compute_overhead_pct", NULL);
    wire_put_json(o, "flops", NULL);
    wire_put_json(o, "step_seconds", NULL);
    bool ok = !(q->include & PLAN_INCLUDE_EXPLAIN) || plan_explain_megatron(q, &bytes, scratch, o, why);
    wire_close(o, '}');
    return ok;
}
