/* eltwise.h - sums and multiples of whole tensors, and how elementwise kernels are cut into tasks. */
#ifndef REMATD_KERNELS_ELTWISE_H
#define REMATD_KERNELS_ELTWISE_H

#include "engine/kernels/numbers.h"

struct pool;

/* body(arg, from, to) for consecutive pieces of [0, n), a multiple of NUMBERS_BLOCK long except the last; pieces depend
 * on n alone. */
void eltwise_run(struct pool *pool, uint64_t n, void (*body)(void *arg, uint64_t from, uint64_t to), void *arg);

/* All of n numbers; y may be a or b. */
void eltwise_add(struct pool *pool, uint64_t n, struct numbers a, struct numbers b, struct numbers y);
void eltwise_scale(struct pool *pool, uint64_t n, float factor, struct numbers x, struct numbers y);
/* y += factor x */
void eltwise_accumulate(struct pool *pool, uint64_t n, float factor, struct numbers x, struct numbers y);

/* What the gradient of a bias is: y += the sum of the rows of x[rows][width], in double, in order. */
void eltwise_rows_accumulate(struct pool *pool, uint64_t rows, uint64_t width, struct numbers x, struct numbers y);

/* How many columns a task takes where each thread has whole columns and a column's sum is one thread's: as many as
 * there are for each, for rows are read in long runs then, and at most `most`. A column's bits do not depend on it. */
uint64_t eltwise_strip(struct pool *pool, uint64_t width, uint64_t most);

/* A strip of it, for who has tasks of his own: columns [from, from + ELTWISE_STRIP) of the listed rows (NULL: of all)
 * into y from y_from + from on. */
enum { ELTWISE_STRIP = 64 };
void eltwise_strip_accumulate(const uint32_t *list, uint64_t rows, uint64_t width, uint64_t from, struct numbers x,
                              struct numbers y, uint64_t y_from);

#endif
