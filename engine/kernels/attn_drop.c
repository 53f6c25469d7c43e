/* attn_drop.c - see attn_drop.h. The words come from tile->draw, many rows side by side: one at a time they would cost
 * more than the products they thin out. */
#include "engine/kernels/attn_drop.h"

#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/tile.h"

enum { QUADS = 16, KEYS = 4 * QUADS };

float attn_drop_factor(const struct attn_dropout *d) {
    return (float)(1 / (1 - d->p));
}

bool attn_drop_keeps(const struct attn_dropout *d, uint64_t head, uint64_t i, uint64_t j) {
    uint32_t words[4];
    rng_words(d->seed, (uint32_t)(j / 4), (uint32_t)i, (uint32_t)head, RNG_ATTENTION_DROPOUT, words);
    return words[j % 4] >= rng_threshold(d->p);
}

void attn_drop_bits(const struct tile *tile, const struct attn_dropout *d, uint64_t head, uint64_t i, unsigned rows,
                    uint64_t from, uint64_t n, uint64_t *bits) {
    const uint32_t threshold = rng_threshold(d->p);
    uint64_t kept[KEYS];
    for (uint64_t at = from, end = from + n, stop; at < end; at = stop) {
        const uint64_t base = at / 4 * 4;
        stop = units_min(end, base + KEYS);
        tile->draw(d->seed, (uint32_t)head, (uint32_t)i, rows, (uint32_t)(base / 4),
                   (uint32_t)units_ceil_div(stop - base, 4), threshold, kept);
        memcpy(bits + (at - from), kept + (at - base), (stop - at) * sizeof *bits);
    }
}
