/* attn_standard.h - what the forward and the backward of the standard kernel share: panels, and where weights lie.
 *
 * The weights of a panel (attn_flash.h), [keys][rows] numbers, lie where its rows of [n_q][n_k] would: transposed, as
 * tiles are. A panel of TILE_PANEL rows is a tile of all keys, and worked on in place. Keys that no row of a panel may
 * see by position have no weights there: what lies in their place is neither written nor read.
 *
 * With few queries a panel's workspace would be many times the weights: there whole rows do (attn_standard_rows.c). */
#ifndef REMATD_KERNELS_ATTN_STANDARD_H
#define REMATD_KERNELS_ATTN_STANDARD_H

#include "engine/kernels/attn_flash.h"

/* One slot's workspace: offsets in floats, each whole cache lines. Every task writes the last line. */
struct standard_room {
    uint64_t tasks; /* panels of all heads */
    uint64_t tile;  /* keys of a tile */
    uint64_t keys;  /* that some panel may see */
    uint64_t tiles; /* of those: a panel's first and last may be cut */
    uint64_t x, d_x, rows, tops, y, q, d_o, pad, copy, kept, t, floats;
};
struct standard_room standard_room(const struct attn_shape *s, const struct attn_mask *m, bool backward);

static inline float *standard_weights(const struct flash_panel *p) {
    const struct attn_shape *s = &p->c->shape;
    return p->c->aux + ((p->b * s->heads + p->h) * s->n_q + p->i) * s->n_k;
}

/* The score of query i for key j, capped, becomes what the slope of its head and the bias make of it. */
float standard_biased(const struct attn_call *c, uint64_t b, uint64_t h, uint64_t i, uint64_t j, float score);

/* What the sink weighs in row i: the weight of the key that has most of keys lo .. hi, times e^(sink - its score).
 * Weights of the row, from key 0 on, are `step` apart. */
double standard_sink_weight(const struct attn_call *c, uint64_t b, uint64_t h, uint64_t i, uint64_t lo, uint64_t hi,
                            const float *weights, uint64_t step);

enum { STANDARD_FEW = 64 }; /* at most so many queries go by rows */
uint64_t standard_rows_work_bytes(const struct attn_shape *s, const struct attn_mask *m, unsigned threads);
void standard_rows_forward(const struct attn_call *c);
void standard_rows_backward(const struct attn_call *c);

#endif
