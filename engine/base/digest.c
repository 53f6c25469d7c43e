/* digest.c - see digest.h: two multiply-and-rotate chains with different odd constants, eight bytes at a time. */
#include "engine/base/digest.h"

#include <string.h>

static struct digest word_add(struct digest d, uint64_t word) {
    d.a = (d.a ^ word) * 0x9E3779B97F4A7C15u;
    d.a ^= d.a >> 32;
    d.b = (d.b + word) * 0xC2B2AE3D27D4EB4Fu;
    d.b = d.b << 29 | d.b >> 35;
    return d;
}

struct digest digest_add(struct digest d, const void *bytes, uint64_t n) {
    const unsigned char *at = bytes;
    uint64_t word;
    for (uint64_t left = n; left >= sizeof word; left -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        d = word_add(d, word);
    }
    word = 0;
    memcpy(&word, at, n % sizeof word);
    return word_add(word_add(d, word), n);
}
