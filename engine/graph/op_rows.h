/* op_rows.h - what the rows of op_table share: checks of inputs, outputs like an input, and what counts as a FLOP.
 *
 *   op           forward                              backward
 *   attention    kernel's 4 d a pair                  kernel's 8 d (standard) or 10 d (flash) a pair
 *   linear       2 rows in out (+ rows out: bias)     the same for each of d_x and d_weight that is wanted (+ rows out)
 *   norms        5 an element                         10 an element
 *   head, loss   as linear, 5 a logit (6: softcap)    the same; in chunks a forward's logits again
 *   all others   1 an element                         1 an element
 *
 * A pair is an allowed (query, key) pair of one head by position; a multiply-add is two. */
#ifndef REMATD_GRAPH_OP_ROWS_H
#define REMATD_GRAPH_OP_ROWS_H

#include "engine/graph/graph.h"
#include "engine/kernels/numbers.h"

/* at_least..at_most inputs, all floating. float16 is planned, not run. */
PROBLEM_MUST_CHECK bool op_inputs_check(const struct graph *g, const struct op *op, uint32_t at_least, uint32_t at_most,
                                        struct problem *why);
const struct tensor *op_input(const struct graph *g, const struct op *op, uint32_t i);
uint64_t op_elements(const struct graph *g, const struct op *op, uint32_t input);

/* A vector of n numbers (a weight, a bias) as input i. */
PROBLEM_MUST_CHECK bool op_vector_check(const struct graph *g, const struct op *op, uint32_t i, uint64_t n,
                                        struct problem *why);

/* PROBLEM_LIMIT at /inputs/i: "... NAME would take more than can be counted". Returns false. */
bool op_too_large(const struct op *op, uint32_t i, const char *what, struct problem *why);

/* One result like input 0, 1 FLOP an element either way, no workspace. */
PROBLEM_MUST_CHECK bool op_elementwise(struct graph *g, struct op *op, struct problem *why);

/* For the calls: tensors as they are kept, `at` NULL where there is none. */
struct numbers op_numbers_in(const struct op_call *c, uint32_t i);
struct numbers op_numbers_out(const struct op_call *c, uint32_t i);
struct numbers op_numbers_d_out(const struct op_call *c, uint32_t i);
struct numbers op_numbers_d_in(const struct op_call *c, uint32_t i);

/* The same where they are float32: rows that know nothing else. */
const float *op_in(const struct op_call *c, uint32_t i);
float *op_out(const struct op_call *c, uint32_t i);
const float *op_d_out(const struct op_call *c, uint32_t i);
float *op_d_in(const struct op_call *c, uint32_t i);

#endif
