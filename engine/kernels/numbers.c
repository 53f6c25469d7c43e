/* numbers.c - see numbers.h */
#include "engine/kernels/numbers.h"

#include "engine/kernels/rows.h"

void numbers_widen(const uint16_t *from, uint64_t n, float *to) {
    rows_best()->widen(n, from, to);
}

void numbers_round(const float *from, uint64_t n, uint16_t *to) {
    rows_best()->round(n, from, to);
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
