/* numbers.c - see numbers.h */
#include "engine/kernels/numbers.h"

#include <string.h>

void numbers_widen(const uint16_t *from, uint64_t n, float *to) {
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)from[i] << 16;
        memcpy(&to[i], &bits, sizeof bits);
    }
}

void numbers_round(const float *from, uint64_t n, uint16_t *to) {
    for (uint64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        const uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1)) >> 16;
        to[i] = (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? bits >> 16 | 0x40u : rounded); /* a quiet NaN */
    }
}

float numbers_get(struct numbers x, uint64_t i) {
    float one;
    return *numbers_read(x, i, 1, &one);
}

void numbers_set(struct numbers y, uint64_t i, float value) {
    float one;
    *numbers_open(y, i, &one) = value;
    numbers_close(y, i, 1, &value);
}
