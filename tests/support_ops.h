/* support_ops.h - ops on random inputs, run alone: what tests/test_ops.c holds every row of op_table to.
 *
 * Cases are lists, one a file (support_ops_NAME.c); op_case_lists names all of them. Inputs are normal numbers, or ids
 * below a bound; every result that is no integer gets a normal gradient. */
#ifndef REMATD_TESTS_SUPPORT_OPS_H
#define REMATD_TESTS_SUPPORT_OPS_H

#include "engine/graph/graph.h"

enum { OP_CASE_INPUTS = 6, OP_CASE_OUTPUTS = 6, OP_CASE_GUARD = 64 };

/* One dimension list per input, ended by 0. */
struct op_case {
    const char *name;
    struct op op;
    uint64_t shapes[OP_CASE_INPUTS][6];
    bool no_grad[OP_CASE_INPUTS];
    bool same_inputs;                 /* every input is the first tensor */
    uint32_t ids[OP_CASE_INPUTS];     /* not 0: int32 numbers below it, without a gradient */
    float spread[OP_CASE_INPUTS];     /* of the normal numbers; 0: 1 */
    bool float_input[OP_CASE_INPUTS]; /* stays float32 where the case runs in bfloat16 (routing weights) */
    float tolerance;                  /* of the forward against the reference; 0: 4e-6 */
};

struct op_case_list {
    const struct op_case *cases;
    unsigned n;
};
/* The lists, n 0 at the end. */
extern const struct op_case_list *const op_case_lists[];
extern const struct op_case_list op_cases_plain, op_cases_entry, op_cases_experts, op_cases_attention, op_cases_loss;

/* A graph of one op on inputs of the dtype; GRAPH_NONE and a problem if it is refused. */
uint32_t op_case_graph(const struct op_case *k, enum dtype dtype, struct graph *g, struct arena *arena,
                       unsigned threads, struct problem *why);

/* What is refused, as what, and where. */
struct op_refusal {
    struct op_case k;
    enum problem_kind kind;
    const char *where;
};
void op_refusals_check(const struct op_refusal *list, unsigned n);

/* Every tensor of the op and its gradients. */
struct op_run {
    struct graph g;
    struct arena arena;
    const struct op *op;
    void *in[OP_CASE_INPUTS], *d_in[OP_CASE_INPUTS], *out[OP_CASE_OUTPUTS], *d_out[OP_CASE_OUTPUTS];
};

/* Makes the tensors, runs forward and backward; gradients start at `before`. Asserts. In bfloat16 inputs are the
 * rounded numbers of the float32 run; rounded: so are they in float32. */
void op_run_init(const struct op_case *k, enum dtype dtype, bool rounded, unsigned threads, float before,
                 struct op_run *r);
void op_run_free(const struct op_case *k, struct op_run *r);
/* Forward or backward once more, with the saved set alone in the backward, work guarded. */
void op_run_step(struct op_run *r, struct pool *pool, bool backward);
bool op_run_saves(const struct op *op, uint32_t tensor);
/* Element i of a tensor's data. */
double op_run_number(const struct tensor *t, const void *data, uint64_t i);

/* The op's reference on doubles. */
struct op_reference {
    double *in[OP_CASE_INPUTS], *out[OP_CASE_OUTPUTS], *scratch;
};
struct op_reference op_reference_new(const struct op_case *k, const struct op_run *r);
void op_reference_run(const struct op_run *r, struct op_reference *d);
void op_reference_free(const struct op_case *k, const struct op_run *r, struct op_reference *d);

#endif
