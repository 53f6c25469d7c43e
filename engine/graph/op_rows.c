/* op_rows.c - see op_rows.h */
#include "engine/graph/op_rows.h"

#include <stdio.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"

const struct tensor *op_input(const struct graph *g, const struct op *op, uint32_t i) {
    return &g->tensors[op->inputs[i]];
}

uint64_t op_elements(const struct graph *g, const struct op *op, uint32_t input) {
    return op_input(g, op, input)->elements;
}

bool op_inputs_check(const struct graph *g, const struct op *op, uint32_t at_least, uint32_t at_most,
                     struct problem *why) {
    if (op->n_inputs < at_least || op->n_inputs > at_most) {
        if (at_least == at_most)
            return problem_set(why, PROBLEM_SHAPE, "/inputs", "%s reads %u tensors, not %u", op->name, at_least,
                               op->n_inputs);
        return problem_set(why, PROBLEM_SHAPE, "/inputs", "%s reads %u to %u tensors, not %u", op->name, at_least,
                           at_most, op->n_inputs);
    }
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        enum dtype dtype = op_input(g, op, i)->dtype;
        if (dtype != DTYPE_FLOAT32 && dtype != DTYPE_BFLOAT16 && dtype != DTYPE_FLOAT16) {
            problem_set(why, PROBLEM_UNSUPPORTED, "", "is %s; this op takes float32, bfloat16 or float16",
                        dtype_name(dtype));
            return problem_nest(why, "/inputs/%u", i);
        }
    }
    return true;
}

bool op_vector_check(const struct graph *g, const struct op *op, uint32_t i, uint64_t n, struct problem *why) {
    const struct tensor *t = op_input(g, op, i);
    if (t->rank == 1 && t->shape[0] == n)
        return true;
    problem_set(why, PROBLEM_SHAPE, "", "must be a vector of %llu numbers", (unsigned long long)n);
    return problem_nest(why, "/inputs/%u", i);
}

bool op_too_large(const struct op *op, uint32_t i, const char *what, struct problem *why) {
    problem_set(why, PROBLEM_LIMIT, "", "%s of %s are more than can be counted", what, op->name);
    return problem_nest(why, "/inputs/%u", i);
}

bool op_elementwise(struct graph *g, struct op *op, struct problem *why) {
    const struct tensor x = *op_input(g, op, 0); /* a copy: making the output may move the list */
    op->forward_flops = op->backward_flops = x.elements;
    op->forward_work_bytes = op->backward_work_bytes = 0;
    return graph_output(g, op, NULL, x.dtype, x.rank, x.shape, true, why) != GRAPH_NONE;
}

uint64_t op_pass_seed(uint64_t seed, uint64_t pass) {
    return pass == 0 ? seed : rng_mix(seed + pass * RNG_MIX_STEP);
}

static struct numbers numbers_of(const struct op_call *c, uint32_t tensor, const void *at) {
    return (struct numbers){(void *)at, c->graph->tensors[tensor].dtype == DTYPE_BFLOAT16};
}

struct numbers op_numbers_in(const struct op_call *c, uint32_t i) {
    return numbers_of(c, c->op->inputs[i], c->inputs[i]);
}

struct numbers op_numbers_out(const struct op_call *c, uint32_t i) {
    return numbers_of(c, c->op->outputs[i], c->outputs[i]);
}

struct numbers op_numbers_d_out(const struct op_call *c, uint32_t i) {
    return numbers_of(c, c->op->outputs[i], c->d_outputs[i]);
}

struct numbers op_numbers_d_in(const struct op_call *c, uint32_t i) {
    return numbers_of(c, c->op->inputs[i], c->d_inputs[i]);
}

const float *op_in(const struct op_call *c, uint32_t i) {
    return c->inputs[i];
}

float *op_out(const struct op_call *c, uint32_t i) {
    return c->outputs[i];
}

const float *op_d_out(const struct op_call *c, uint32_t i) {
    return c->d_outputs[i];
}

float *op_d_in(const struct op_call *c, uint32_t i) {
    return c->d_inputs[i];
}
