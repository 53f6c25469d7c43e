/* experts.h - what goes to the experts of a mixture and comes back: rows of tokens copied k times, rows of experts
 * summed by weight, and one linear layer an expert between them. Row t k + j is token t's, for the j-th of its experts.
 */
#ifndef REMATD_KERNELS_EXPERTS_H
#define REMATD_KERNELS_EXPERTS_H

#include <stdint.h>

#include "engine/base/problem.h"
#include "engine/kernels/numbers.h"

struct pool;

/* y[t k + j] = x[t]; d_x[t] += sum over j, in order, of d_y[t k + j]. x and y are kept alike, so are d_x and d_y. */
struct experts_dispatch {
    uint64_t tokens, per_token, d;
    struct pool *pool;
    struct numbers x, y, d_y, d_x;
};
void experts_dispatch_forward(const struct experts_dispatch *f);
void experts_dispatch_backward(const struct experts_dispatch *f);

/* out[t] = sum over j, in order, of w[t][j] y[t k + j] */
struct experts_combine {
    uint64_t tokens, per_token, d;
    struct pool *pool;
    struct numbers y, out, d_out, d_y; /* d_y added into; at NULL where not wanted */
    const float *weights;
    float *d_weights; /* added into; NULL where not wanted */
};
void experts_combine_forward(const struct experts_combine *f);
void experts_combine_backward(const struct experts_combine *f);

/* y[r] = weight[e] x[r] + bias[e] where e = ids[r]: weight [experts][out][in], bias [experts][out]. */
struct experts_linear {
    uint64_t rows, in, out, experts; /* each at most GEMM_SIZE_MAX */
    struct pool *pool;
    const int32_t *ids;             /* [rows] */
    struct numbers x, weight, bias; /* bias.at NULL: none. backward: x is read for d_weight, weight for d_x */
    struct numbers y, d_y;
    struct numbers d_x, d_weight, d_bias; /* added into; at NULL where not wanted */
    void *work;                           /* experts_linear_work_bytes, 64-byte aligned */
};
/* Of rows, in, out, experts and weight.narrow: lists of rows by expert, and a few tiles for each thread that has a
 * task. */
uint64_t experts_linear_work_bytes(const struct experts_linear *f, bool backward, unsigned threads);
/* PROBLEM_LIMIT where an id is none of the experts. */
PROBLEM_MUST_CHECK bool experts_linear_forward(const struct experts_linear *f, struct problem *why);
PROBLEM_MUST_CHECK bool experts_linear_backward(const struct experts_linear *f, struct problem *why);

#endif
