/* attn_drop.c - see attn_drop.h. The words come from tile->draw, many rows side by side: one at a time they would cost
 * more than the products they thin out. */
#include "engine/kernels/attn_drop.h"

#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/tile.h"

enum { QUADS = 16, KEYS = 4 * QUADS, BITS = 64 };

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

void attn_drop_rows(const struct attn_dropout *d, uint64_t head, uint64_t i, uint64_t rows, uint64_t from, uint64_t n,
                    const float *x, uint64_t x_row, float *y, uint64_t y_row) {
    const struct tile *tile = tile_best();
    const float factor = attn_drop_factor(d);
    uint64_t bits[KEYS];
    for (uint64_t at = 0; at < n; at += KEYS) {
        const uint64_t keys = units_min(KEYS, n - at);
        for (uint64_t first = 0; first < rows; first += BITS) {
            const uint64_t many = units_min(BITS, rows - first);
            attn_drop_bits(tile, d, head, i + first, (unsigned)many, from + at, keys, bits);
            for (uint64_t r = 0; r < many; r++) {
                const float *x_r = x + (first + r) * x_row + at;
                float *y_r = y + (first + r) * y_row + at;
                for (uint64_t c = 0; c < keys; c++)
                    y_r[c] = (bits[c] >> r & 1) ? x_r[c] * factor : 0;
            }
        }
    }
}
