/* attn_flash.h - what kernels that work on tiles share: panels, masks on tiles, sizes. */
#ifndef REMATD_KERNELS_ATTN_FLASH_H
#define REMATD_KERNELS_ATTN_FLASH_H

#include <stdatomic.h>

#include "engine/kernels/attn.h"
#include "engine/kernels/tile.h"

enum { FLASH_TILE_MAX = 96 };           /* keys of the largest tile */
#define FLASH_D_MAX ((uint64_t)1 << 40) /* keeps sizes of workspaces within 64 bits */

#define FLASH_LOG2_E 1.44269504088896341
#define FLASH_LN_2   0.693147180559945309

/* Queries of one head, flash_step of them or fewer at the end. */
struct flash_panel {
    const struct attn_call *c;
    uint64_t b, h, h_k; /* query head and the key head it reads */
    uint64_t i;         /* first query */
    unsigned rows;
    uint64_t lo, hi;         /* keys that some row may see by position */
    uint64_t all_lo, all_hi; /* keys that every row may see */
};
struct flash_panel flash_panel(const struct attn_call *c, uint64_t b, uint64_t h, uint64_t i);

/* Queries of a panel: TILE_PANEL, or fewer where that keeps more threads busy; and how many panels that makes. */
uint64_t flash_step(const struct attn_shape *s);
uint64_t flash_panels(const struct attn_shape *s);

/* What of the tile of the panel's queries and the keys from j the mask leaves alive. */
struct tile_band flash_band(const struct flash_panel *p, uint64_t j);

/* d rounded up to whole registers, in floats; counts as FLASH_D_MAX beyond that (op.h refuses such heads) */
uint64_t flash_width(uint64_t d);
/* of the wider of keys and values: what tiles and workspace are cut by */
uint64_t flash_widest(const struct attn_shape *s);

/* keys of a tile: scores, and keys or values, stay in the first caches */
uint64_t flash_tile_keys(const struct attn_shape *s);

/* n rows of [width]: where d is whole registers the matrix itself; else a copy in pad, filled with zeros. *row becomes
 * the distance between rows. */
const float *flash_rows(const float *from, uint64_t *row, uint64_t n, uint64_t d, uint64_t width, float *pad);

/* Brings rows into the second-level cache while there is something else to do. */
void flash_expect(const float *from, uint64_t row, uint64_t rows, uint64_t d);

/* t[n][PANEL] = base-2 scores of keys j .. j + n: the products, capped, slope and bias, -inf where the mask forbids. x
 * as tile->turn of q made it, with scale log2 e for a factor; band as flash_band says. */
void flash_scores(const struct flash_panel *p, const struct tile *tile, const struct tile_band *band, uint64_t j,
                  uint64_t n, const float *x, float *t);

/* The sink joins the sums of all rows: m, l and y[PANEL][width] as if it were a last key with a value of zeros. */
void flash_sink_join(float sink, uint64_t width, float *m, float *l, float *y);

/* Tasks of one chain add to the same gradients, one after the other: task `index` of `chains` chains side by side comes
 * after index - chains, and says how far it is. */
struct flash_chain {
    atomic_uint_fast64_t *progress; /* of every task */
    uint64_t chains;
};
/* Waits until the task before this one in its chain has come to step. */
void flash_follow(const struct flash_chain *c, uint64_t index, uint64_t step);
void flash_announce(const struct flash_chain *c, uint64_t index, uint64_t step);

/* min(threads, tasks) slots, held at 2^62: no memory has that much */
uint64_t flash_slots_bytes(unsigned threads, uint64_t tasks, uint64_t floats);
uint64_t flash_backward_work_bytes(const struct attn_shape *s, unsigned threads);

#endif
