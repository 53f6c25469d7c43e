/* checkpoint_attention.c - CheckpointedAttention: one attention op, recomputed in its backward. */
#include <stdlib.h>
#include <string.h>

#include "engine/checkpoint_run.h"

bool remat_checkpointed_attention_init(struct remat_checkpointed_attention *a, const struct remat_attention *attention,
                                       const struct remat_options *options, struct remat_problem *why) {
    struct problem inner = {0};
    a->run = NULL;
    if (attention->kernel != REMAT_STANDARD && attention->kernel != REMAT_FLASH)
        problem_set(&inner, PROBLEM_LIMIT, "/kernel", "is no kernel");
    else if (!(attention->dropout >= 0 && attention->dropout < 1))
        problem_set(&inner, PROBLEM_LIMIT, "/dropout", "is %g; it lies in [0, 1)", attention->dropout);
    else
        a->run = checkpoint_run_new(options, &inner);
    if (a->run && !(a->run->own = malloc(sizeof *attention))) {
        problem_set(&inner, PROBLEM_MEMORY, "", "there is no memory for a handle");
        remat_checkpointed_attention_free(a);
    }
    if (a->run)
        memcpy(a->run->own, attention, sizeof *attention);
    return checkpoint_tell(a->run != NULL, &inner, why);
}

/* [N, D] and [H, N, D] count as [1, H, N, D]. */
static bool to_rank_4(const char *where, const struct remat_tensor *t, struct remat_tensor *out, struct problem *why) {
    if (!t || t->rank < 2 || t->rank > 4)
        return problem_set(why, PROBLEM_SHAPE, where, "has %u dimensions; attention takes 2 to 4", t ? t->rank : 0);
    *out = (struct remat_tensor){.data = t->data, .rank = 4, .size = {1, 1, 1, 1}};
    for (unsigned i = 0; i < t->rank; i++)
        out->size[4 - t->rank + i] = t->size[i];
    return true;
}

static struct op_attention op_attention_of(const struct remat_attention *a) {
    return (struct op_attention){.kernel = &attn_table[a->kernel == REMAT_FLASH ? ATTN_FLASH : ATTN_STANDARD],
                                 .layout = ATTN_HEADS_FIRST,
                                 .behind = a->window ? a->window : ATTN_FAR,
                                 .ahead = a->causal   ? 1
                                          : a->window ? a->window
                                                      : ATTN_FAR,
                                 .scale = a->scale,
                                 .dropout = {a->dropout, a->seed}};
}

static bool attention_build(struct remat_run *r, const struct remat_tensor *const given[4], struct problem *why) {
    static const char *const wheres[] = {"/q", "/k", "/v", "/mask"};
    uint32_t ids[4];
    uint32_t n = given[3] ? 4 : 3;
    if (!checkpoint_run_start(r, why))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        struct remat_tensor full;
        if (i < 3 && !to_rank_4(wheres[i], given[i], &full, why))
            return false;
        ids[i] = checkpoint_run_input(r, wheres[i], wheres[i] + 1, i < 3 ? &full : given[i], i < 3, why);
        if (ids[i] == GRAPH_NONE)
            return false;
    }
    struct op op = {.kind = OP_ATTENTION, .name = "attention", .inputs = ids, .n_inputs = n, .parts = PART_ATTENTION};
    op.attention = op_attention_of(r->own);
    uint32_t o = graph_op(&r->graph, &op, why);
    r->inputs = arena_copy(&r->arena, ids, 3 * sizeof *ids, why);
    r->outputs = arena_new(&r->arena, uint32_t, 1, why);
    if (o == GRAPH_NONE || !r->inputs || !r->outputs)
        return false;
    r->outputs[0] = graph_result(&r->graph, o, 0);
    r->n_inputs = 3;
    r->n_outputs = 1;
    return true;
}

bool remat_checkpointed_attention_forward(struct remat_checkpointed_attention *a, const struct remat_tensor *q,
                                          const struct remat_tensor *k, const struct remat_tensor *v,
                                          const struct remat_tensor *mask, struct remat_tensor *output,
                                          struct remat_problem *why) {
    static const char *const names[] = {"/output"};
    const struct strategy strategy = {.planner = &planner_every_layer};
    struct problem inner = {0};
    struct remat_tensor full;
    if (!a->run)
        return checkpoint_tell(problem_set(&inner, PROBLEM_STATE, "", "forward before init"), &inner, why);
    bool ok = attention_build(a->run, (const struct remat_tensor *const[]){q, k, v, mask}, &inner) &&
              to_rank_4("/output", output, &full, &inner) &&
              checkpoint_run_forward(a->run, &strategy, (struct remat_tensor *const[]){&full}, names, &inner);
    return checkpoint_tell(ok, &inner, why);
}

bool remat_checkpointed_attention_backward(struct remat_checkpointed_attention *a,
                                           const struct remat_tensor *grad_output, struct remat_tensor *grad_q,
                                           struct remat_tensor *grad_k, struct remat_tensor *grad_v,
                                           struct remat_problem *why) {
    static const char *const names[] = {"/grad_q", "/grad_k", "/grad_v"};
    struct problem inner = {0};
    struct remat_tensor full[4];
    bool ok = to_rank_4("/grad_output", grad_output, &full[0], &inner) &&
              to_rank_4("/grad_q", grad_q, &full[1], &inner) && to_rank_4("/grad_k", grad_k, &full[2], &inner) &&
              to_rank_4("/grad_v", grad_v, &full[3], &inner) &&
              checkpoint_run_backward(a->run, (const struct remat_tensor *const[]){&full[0]},
                                      (struct remat_tensor *const[]){&full[1], &full[2], &full[3]}, names, &inner);
    return checkpoint_tell(ok, &inner, why);
}

bool remat_checkpointed_attention_report(const struct remat_checkpointed_attention *a, struct remat_report *report) {
    if (!a->run || a->run->state != RUN_DONE)
        return false;
    *report = a->run->report;
    return true;
}

void remat_checkpointed_attention_free(struct remat_checkpointed_attention *a) {
    checkpoint_run_free(a->run);
    a->run = NULL;
}
