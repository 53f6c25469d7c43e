/* cost.c - see cost.h */
#include "engine/plan/cost.h"

#include <string.h>

/* ---- rows ---- */

static const char *const attention_names[COST_ROWS - OP_KINDS] = {"attention_standard", "attention_standard_causal",
                                                                  "attention_flash", "attention_flash_causal"};

const char *cost_row_name(unsigned row) {
    return row < OP_KINDS ? op_table[row]->name : attention_names[row - OP_KINDS];
}

bool cost_row_find(const char *name, unsigned *out) {
    for (*out = 0; *out < COST_ROWS; ++*out)
        if (strcmp(cost_row_name(*out), name) == 0)
            return true;
    return false;
}

unsigned cost_row(const struct op *op) {
    const struct op_attention *a = &op->attention;
    if (op->kind != OP_ATTENTION)
        return op->kind;
    return COST_ATTENTION_STANDARD + (a->kernel == &attn_table[ATTN_FLASH] ? 2u : 0u) + (a->ahead == 1 ? 1u : 0u);
}

bool cost_row_is_arithmetic(unsigned row) {
    return row >= OP_KINDS || row == OP_ATTENTION || row == OP_LINEAR || row == OP_LINEAR_CROSS_ENTROPY ||
           row == OP_EXPERT_LINEAR || row == OP_CONVOLUTION;
}

/* ---- costs ---- */

uint64_t cost_bytes(const struct graph *g, const struct step *s) {
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
    if (s->op == STEP_FREE)
        return 0;
    const struct op *op = &g->ops[s->of];
    const struct cost_rate peak = {r->flops, r->bytes};
    const struct cost_rate *rate = r->measured ? &r->measured->of[cost_row(op)][s->op == STEP_GRAD] : &peak;
    const double arithmetic = (double)(s->op == STEP_RUN ? op->forward_flops : op->backward_flops) / rate->flops,
                 traffic = (double)cost_bytes(g, s) / rate->bytes;
    return arithmetic > traffic ? arithmetic : traffic;
}
