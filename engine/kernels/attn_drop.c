/* attn_drop.c - see attn_drop.h. Philox runs over GROUP counters side by side, so that the compiler can use vectors:
 * one at a time it would cost as much as the products it thins out. */
#include "engine/kernels/attn_drop.h"

#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"

enum { GROUP = 16, KEYS = 4 * GROUP };

float attn_drop_factor(const struct attn_dropout *d) {
    return (float)(1 / (1 - d->p));
}

bool attn_drop_keeps(const struct attn_dropout *d, uint64_t head, uint64_t i, uint64_t j) {
    uint32_t words[4];
    rng_words(d->seed, (uint32_t)(j / 4), (uint32_t)i, (uint32_t)head, RNG_ATTENTION_DROPOUT, words);
    return words[j % 4] >= rng_threshold(d->p);
}

/* words[4 t + lane] of counters quad + t, t < GROUP: rng_philox, sixteen at a time. */
static void group_words(uint64_t seed, uint32_t quad, uint32_t i, uint32_t head, uint32_t words[KEYS]) {
    uint32_t c0[GROUP], c1[GROUP], c2[GROUP], c3[GROUP], k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (uint32_t t = 0; t < GROUP; t++) {
        c0[t] = quad + t;
        c1[t] = i;
        c2[t] = head;
        c3[t] = RNG_ATTENTION_DROPOUT;
    }
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (uint32_t t = 0; t < GROUP; t++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[t], p1 = (uint64_t)0xCD9E8D57u * c2[t];
            c0[t] = (uint32_t)(p1 >> 32) ^ c1[t] ^ k0;
            c1[t] = (uint32_t)p1;
            c2[t] = (uint32_t)(p0 >> 32) ^ c3[t] ^ k1;
            c3[t] = (uint32_t)p0;
        }
    for (uint32_t t = 0; t < GROUP; t++) {
        words[4 * t] = c0[t];
        words[4 * t + 1] = c1[t];
        words[4 * t + 2] = c2[t];
        words[4 * t + 3] = c3[t];
    }
}

void attn_drop_row(const struct attn_dropout *d, uint64_t head, uint64_t i, uint64_t from, uint64_t n, const float *x,
                   float *y) {
    const uint32_t threshold = rng_threshold(d->p);
    const float factor = attn_drop_factor(d);
    uint32_t words[KEYS];
    for (uint64_t at = from, end = from + n; at < end;) {
        uint64_t base = at / 4 * 4, stop = units_min(end, base + KEYS);
        group_words(d->seed, (uint32_t)(base / 4), (uint32_t)i, (uint32_t)head, words);
        for (; at < stop; at++)
            y[at - from] = words[at - base] >= threshold ? x[at - from] * factor : 0;
    }
}

void attn_drop_bits(const struct attn_dropout *d, uint64_t head, uint64_t i, unsigned rows, uint64_t from, uint64_t n,
                    uint32_t *bits) {
    const uint32_t threshold = rng_threshold(d->p);
    uint32_t words[KEYS];
    memset(bits, 0, n * sizeof *bits);
    for (uint64_t at = from, end = from + n; at < end;) {
        uint64_t base = at / 4 * 4, stop = units_min(end, base + KEYS);
        for (unsigned r = 0; r < rows; r++) {
            group_words(d->seed, (uint32_t)(base / 4), (uint32_t)(i + r), (uint32_t)head, words);
            for (uint64_t j = at; j < stop; j++)
                bits[j - from] |= (uint32_t)(words[j - base] >= threshold) << r;
        }
        at = stop;
    }
}
