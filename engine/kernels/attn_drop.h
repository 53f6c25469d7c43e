/* attn_drop.h - which attention weights dropout keeps, for a panel of rows.
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

/* bits[c] bit r: entry (i + r, from + c) is kept; rows <= 64, bits[n] is overwritten, and bits from `rows` on mean
 * nothing. */
void attn_drop_bits(const struct tile *tile, const struct attn_dropout *d, uint64_t head, uint64_t i, unsigned rows,
                    uint64_t from, uint64_t n, uint64_t *bits);

#endif
