/* numbers.h - how the numbers of a tensor are kept: float32, or bfloat16. Arithmetic is in float32 always.
 *
 * A kernel works through its tensors a block at a time: it reads a block as floats, computes, and writes floats. Where
 * float32 is kept the block is the tensor's own place and nothing is copied; where bfloat16 is kept it is a buffer of
 * the caller's (on its stack, NUMBERS_BLOCK floats are enough for most), and what is written is rounded to nearest,
 * ties to even. Sums run over the floats read, never over rounded partial sums. */
#ifndef REMATD_KERNELS_NUMBERS_H
#define REMATD_KERNELS_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NUMBERS_BLOCK = 256 };

struct numbers {
    void *at;    /* NULL: there is no such tensor */
    bool narrow; /* bfloat16 */
};

static inline struct numbers numbers_float(const float *at) {
    return (struct numbers){(void *)at, false};
}

/* x from element `from` on. */
static inline struct numbers numbers_from(struct numbers x, uint64_t from) {
    return (struct numbers){x.at ? (char *)x.at + from * (x.narrow ? 2 : 4) : NULL, x.narrow};
}

/* Conversions of whole pieces; bfloat16 to float is exact, NaN stays NaN. */
void numbers_widen(const uint16_t *from, uint64_t n, float *to);
void numbers_round(const float *from, uint64_t n, uint16_t *to);

/* Elements [from, from + n) as floats: in place, or in buffer[n]. */
static inline const float *numbers_read(struct numbers x, uint64_t from, uint64_t n, float *buffer) {
    if (!x.narrow)
        return (const float *)x.at + from;
    numbers_widen((const uint16_t *)x.at + from, n, buffer);
    return buffer;
}

/* A place to write elements [from, from + n) to; numbers_close says they are written. */
static inline float *numbers_open(struct numbers y, uint64_t from, float *buffer) {
    return y.narrow ? buffer : (float *)y.at + from;
}
static inline void numbers_close(struct numbers y, uint64_t from, uint64_t n, const float *buffer) {
    if (y.narrow)
        numbers_round(buffer, n, (uint16_t *)y.at + from);
}

/* The same for adding into what is there: the place holds the present numbers. Ends with numbers_close. */
static inline float *numbers_open_sum(struct numbers y, uint64_t from, uint64_t n, float *buffer) {
    if (y.narrow)
        numbers_widen((const uint16_t *)y.at + from, n, buffer);
    return numbers_open(y, from, buffer);
}

/* One element, where speed does not matter. */
float numbers_get(struct numbers x, uint64_t i);
void numbers_set(struct numbers y, uint64_t i, float value);

#endif
