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

/* What a thread has for itself: parts that a cell does not need are not there. */
struct loss_scratch {
    float *cell; /* [block][tile] */
    float *x;    /* [block][in], or [block][columns] */
    float *w;    /* [tile][in], or [tile][columns] */
};

/* The part of the vocabulary and the tokens that a cell is. */
struct loss_cell {
    uint64_t v, columns, token, rows;
};
struct loss_cell loss_cell_at(const struct loss *l, const struct loss_cuts *cuts, uint64_t tile, uint64_t block);

/* A matrix of so many rows and columns as floats: in place, or widened into buffer; *row is how far apart its rows are
 * then. */
const float *loss_matrix(struct numbers x, uint64_t from, uint64_t rows, uint64_t columns, uint64_t *row,
                         float *buffer);

/* to[rows][row] = the cell's logits: weight w[columns][w_row] as loss_matrix gives it. Narrow ones are rounded. */
void loss_logits(const struct loss *l, const struct loss_cell *c, const float *w, uint64_t w_row, float *x_buffer,
                 float *to, uint64_t row);

#endif
