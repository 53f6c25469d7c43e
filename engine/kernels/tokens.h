/* tokens.h - rows moved, joined, cut and weighed: what happens to single tokens of a sequence and to parts of a row.
 * Backwards add into gradients, none where `at` is NULL. */
#ifndef REMATD_KERNELS_TOKENS_H
#define REMATD_KERNELS_TOKENS_H

#include "engine/kernels/numbers.h"

struct pool;

/* Rows of n numbers: row (b, i) of a tensor begins at first + b outer + i inner. */
struct tokens_place {
    struct numbers at;
    uint64_t first, outer, inner;
};

/* batch x rows rows. */
struct tokens_rows {
    uint64_t batch, rows, n;
    struct pool *pool;
};

/* to = from, row by row; to += from */
void tokens_copy(const struct tokens_rows *r, const struct tokens_place *from, const struct tokens_place *to);
void tokens_add(const struct tokens_rows *r, const struct tokens_place *from, const struct tokens_place *to);
/* to's row (b, 0) += the sum of from's rows (b, 0), (b, 1), ... in that order: in float32, rounded once */
void tokens_sum(const struct tokens_rows *r, const struct tokens_place *from, const struct tokens_place *to);

/* y = sigmoid(gate) x: one gate a row of n numbers. */
struct tokens_gated {
    uint64_t rows, n;
    struct pool *pool;
    struct numbers x, gate, y;
    struct numbers d_y, d_x, d_gate;
};

void tokens_gate(const struct tokens_gated *g);
void tokens_gate_backward(const struct tokens_gated *g);

#endif
