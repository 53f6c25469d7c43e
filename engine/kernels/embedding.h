/* embedding.h - rows of a table by token id, and rows of a table added by position. All contiguous; the table, what is
 * made of it and their gradients are kept alike. */
#ifndef REMATD_KERNELS_EMBEDDING_H
#define REMATD_KERNELS_EMBEDDING_H

#include "engine/kernels/numbers.h"

struct pool;

/* y[t] = table[ids[t]]. An id outside [0, rows) makes zeros and moves nothing. */
struct embedding {
    uint64_t tokens, rows, d;
    struct pool *pool;
    const int32_t *ids;
    struct numbers table, y;
    struct numbers d_y, d_table; /* d_table[ids[t]] += d_y[t], in the order of tokens */
    uint32_t *order;             /* backward: room for 2 tokens numbers where d_table is narrow, else NULL */
};

/* Where sums are kept in bfloat16, tokens are sorted by id first: a row is then summed in float32 and rounded once. */
#define EMBEDDING_TOKENS_MAX ((uint64_t)UINT32_MAX)
uint64_t embedding_order_bytes(uint64_t tokens);

void embedding_forward(const struct embedding *e);
void embedding_backward(const struct embedding *e);

/* y[b][n] = x[b][n] + table[first + n], n in [0, rows). */
struct positions {
    uint64_t batch, rows, d, first;
    struct pool *pool;
    struct numbers x, table, y;
    struct numbers d_y, d_x, d_table; /* d_x += d_y; d_table[first + n] += the sum over the batch, in its order */
};

void embedding_positions(const struct positions *p);
void embedding_positions_backward(const struct positions *p);

#endif
