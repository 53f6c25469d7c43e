/* attn_drop.h - which attention weights dropout keeps, for a row segment or a panel of rows.
 *
 * The words are those of struct attn_dropout in attn.h: a function of (seed, b heads + h, i, j), whoever asks. */
#ifndef REMATD_KERNELS_ATTN_DROP_H
#define REMATD_KERNELS_ATTN_DROP_H

#include "engine/kernels/attn.h"

struct tile;

/* 1 / (1 - p) */
float attn_drop_factor(const struct attn_dropout *d);

/* Whether entry (head, i, j) is kept; head = b heads + h. */
bool attn_drop_keeps(const struct attn_dropout *d, uint64_t head, uint64_t i, uint64_t j);

/* y[r][c] = kept ? x[r][c] / (1 - p) : 0 for the n keys from `from` of queries i .. i + rows; rows of x and y are x_row
 * and y_row apart; x may be y. */
void attn_drop_rows(const struct attn_dropout *d, uint64_t head, uint64_t i, uint64_t rows, uint64_t from, uint64_t n,
                    const float *x, uint64_t x_row, float *y, uint64_t y_row);

/* bits[c] bit r: entry (i + r, from + c) is kept; rows <= 64, bits[n] is overwritten, and bits from `rows` on mean
 * nothing. */
void attn_drop_bits(const struct tile *tile, const struct attn_dropout *d, uint64_t head, uint64_t i, unsigned rows,
                    uint64_t from, uint64_t n, uint64_t *bits);

#endif
