/* loss_cells.h - how the two halves of loss.h cut their work, and the logits of a cell. For loss*.c alone. */
#ifndef REMATD_KERNELS_LOSS_CELLS_H
#define REMATD_KERNELS_LOSS_CELLS_H

#include "engine/kernels/loss.h"

/* A vocabulary has so many tiles at least, where it has 16 words for each. A stripe has so many at most: cells enough
 * for many threads, and two tiles where tokens alone make those. */
enum { LOSS_TILES = 8, LOSS_CELLS = 64 };

struct loss_cuts {
    uint64_t tile, tiles;        /* columns of a tile; tiles of the vocabulary */
    uint64_t blocks, block;      /* of tokens; tokens of one */
    uint64_t row;                /* of a tile in a stripe: rows begin on different cache sets */
    uint64_t stripe;             /* tiles of a stripe */
    uint64_t columns, n_columns; /* of x, where its gradient or the weight's is cut */
};
struct loss_cuts loss_cuts_of(const struct loss *l);

/* The part of the vocabulary and the tokens that a cell is. */
struct loss_cell {
    uint64_t v, columns, token, rows;
};
struct loss_cell loss_cell_at(const struct loss *l, const struct loss_cuts *cuts, uint64_t tile, uint64_t block);

/* to[rows][row] = the cell's logits. Narrow ones are rounded. */
void loss_logits(const struct loss *l, const struct loss_cell *c, float *to, uint64_t row);

#endif
