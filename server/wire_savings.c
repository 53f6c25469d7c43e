/* wire_savings.c - see wire_savings.h */
#include "server/wire_savings.h"

#include <string.h>

/* The public header words its problems by slug. */
static enum problem_kind kind_of(const char *slug) {
    for (unsigned k = 0; k < PROBLEM_KINDS; k++)
        if (strcmp(problem_slug((enum problem_kind)k), slug) == 0)
            return (enum problem_kind)k;
    return PROBLEM_INTERNAL;
}

bool wire_savings_measure(const struct wire_savings *s, struct remat_savings_options *options,
                          struct remat_memory_savings *figures, struct problem *why) {
    struct remat_problem problem = {0};
    options->heads = s->heads;
    options->batch = s->batch;
    options->element_bytes = s->element_bytes;
    if (remat_measure_memory_savings(s->seq_len, s->d_model, s->num_layers, options, figures, &problem))
        return true;
    return problem_set(why, kind_of(problem.kind), problem.where, "%s", problem.detail);
}

void wire_savings_put(struct wire_out *o, const struct remat_memory_savings *figures) {
    wire_put_uint(o, "standard_memory_bytes", figures->standard_memory_bytes);
    wire_put_uint(o, "checkpointed_memory_bytes", figures->checkpointed_memory_bytes);
    wire_put_real(o, "standard_memory_mb", figures->standard_memory_mb);
    wire_put_real(o, "checkpointed_memory_mb", figures->checkpointed_memory_mb);
    wire_put_real(o, "memory_saved_pct", figures->memory_saved_pct);
    wire_put_real(o, "compute_overhead_pct", figures->compute_overhead_pct);
}
