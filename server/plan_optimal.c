/* plan_optimal.c - see plan_optimal.h */
#include "server/plan_optimal.h"

#include "engine/base/units.h"
#include "engine/kernels/loss.h"

/* All chunks cost the same operations, and smaller ones hold less; this one still feeds a kernel well. */
#define CHUNK_TOKENS 1024u

/* Tokens of a chunk worth offering beside the whole; 0: none. */
static uint64_t chunk_of(const struct workload *w) {
    const uint64_t tokens = model_workload_tokens(w), quarter = tokens / 4 / LOSS_BLOCK * LOSS_BLOCK;
    return tokens <= LOSS_BLOCK ? 0 : units_min(CHUNK_TOKENS, units_max(quarter, LOSS_BLOCK));
}

bool plan_optimal_open(const struct workload *w, const struct strategy *s, const struct cost_rates *rates,
                       struct arena *a, struct plan_optimal *out, struct problem *why) {
    struct workload own = *w;
    if (s->objective == OBJECTIVE_SECONDS && !rates)
        return problem_set(why, PROBLEM_UNSUPPORTED, "", "has no device whose seconds could be spared: spare flops");
    *out = (struct plan_optimal){.chunks = {s->loss_chunk, s->loss_chunk ? 0 : chunk_of(w)}};
    out->n_graphs = out->chunks[1] ? 2 : 1;
    out->graphs = arena_new(a, struct graph, out->n_graphs, why);
    for (uint32_t i = 0; i < out->n_graphs; i++) {
        own.loss_chunk = out->chunks[i];
        if (!out->graphs || !model_lower(&own, a, &out->graphs[i], why))
            return false;
    }
    return planner_optimal_open(&out->graphs[0], &out->graphs[1], out->n_graphs - 1,
                                s->objective == OBJECTIVE_SECONDS ? rates : NULL, a, &out->of, why) ||
           problem_nest(why, "/model");
}

bool plan_optimal_within(const struct plan_optimal *p, uint64_t peak_bytes, struct arena *a, struct plan *plan,
                         uint32_t *which, struct problem *why) {
    return planner_optimal_within(&p->of, peak_bytes, a, plan, which, why);
}

bool plan_optimal_least(const struct plan_optimal *p, struct arena *a, uint64_t *peak_bytes, struct problem *why) {
    uint64_t least;
    if (!chain_least_bytes(chain_graph_chain(p->of.chain), a, &least, why))
        return false;
    *peak_bytes = p->of.persistent_bytes + least;
    return true;
}
