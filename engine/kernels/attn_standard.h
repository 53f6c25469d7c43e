/* attn_standard.h - what the forward and the backward of the standard kernel share: panels, and where weights lie.
 *
 * The weights of a panel (attn_flash.h), [keys][rows] numbers, lie where its rows of [n_q][n_k] would: transposed, as
 * tiles are. A panel of TILE_PANEL rows is a tile of all keys, and worked on in place. Keys that no row of a panel may
 * see by position have no weights there: what lies in their place is neither written nor read. */
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

#endif
