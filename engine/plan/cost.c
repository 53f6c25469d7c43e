/* cost.c - see cost.h */
#include "engine/plan/cost.h"

static uint64_t step_bytes(const struct graph *g, const struct step *s) {
    const struct op *op = &g->ops[s->of];
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        const struct tensor *t = &g->tensors[op->reads[i]];
        bytes += s->op == STEP_RUN ? t->bytes : t->needs_grad ? t->bytes : 0;
    }
    for (uint32_t i = 0; i < op->n_outputs; i++)
        bytes += s->op == STEP_RUN || i < op->n_results ? g->tensors[op->outputs[i]].bytes : 0;
    for (uint32_t i = 0; s->op == STEP_GRAD && i < op->n_saved; i++)
        bytes += g->tensors[op->saved[i]].bytes;
    return bytes;
}

double cost_seconds(const struct graph *g, const struct step *s, const struct cost_rates *r) {
    const struct op *op = &g->ops[s->of];
    if (s->op == STEP_FREE)
        return 0;
    const double arithmetic = (double)(s->op == STEP_RUN ? op->forward_flops : op->backward_flops) / r->flops,
                 traffic = (double)step_bytes(g, s) / r->bytes;
    return arithmetic > traffic ? arithmetic : traffic;
}
