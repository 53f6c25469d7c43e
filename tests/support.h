/* support.h - what several test files need: running a graph under a strategy and telling whether two runs agree. */
#ifndef REMATD_TESTS_SUPPORT_H
#define REMATD_TESTS_SUPPORT_H

#include "engine/base/digest.h"
#include "engine/exec/exec.h"
#include "engine/models/stack.h"
#include "engine/plan/planner.h"

/* Inputs, masks and gradients are normal numbers from their value's id; parameters as the stack says. */
struct support_run {
    struct exec_report report;
    struct digest digest; /* of all outputs and gradients, parameters' too */
};

/* Plans and runs; asserts with Criterion on every problem. threads pool threads; g was made for at least as many. */
struct support_run support_run(const struct graph *g, const struct stack *stack, const struct strategy *s,
                               unsigned threads);
/* The same for a finished plan. */
struct support_run support_run_plan(const struct plan *plan, const struct stack *stack, unsigned threads);

/* A transformer-like stack of `layers`: residual(layer_norm, attention), residual(rms_norm, ffn), with dropout if p >
 * 0. */
void support_transformer(struct graph *g, struct stack *stack, struct arena *a, uint64_t layers, uint64_t n, uint64_t d,
                         const struct attn_kernel *kernel, double p, unsigned threads);

/* A random graph of n ops over small tensors (add, scale, relu, linear, layer norm), some requested; layers of 1 to 4
 * ops. */
void support_random_graph(struct graph *g, struct arena *a, uint64_t seed, uint32_t n_ops);

/* A reproducible random number below bound. */
uint64_t support_random(uint64_t *state, uint64_t bound);

#endif
