/* tile.h - the inner loops of attention on small tiles, and of activations on rows, once per instruction set.
 *
 * A panel is TILE_PANEL query rows. Tiles of scores lie transposed, [keys][TILE_PANEL]: queries run along vector lanes,
 * so maxima and sums over keys are plain vector operations and K and V are read where they are. Exponentials are base
 * 2; exp2 of -inf (or below -126) is exactly 0, a NaN stays one. Every function is deterministic; different instruction
 * sets may round differently (fused multiply-add). */
#ifndef REMATD_KERNELS_TILE_H
#define REMATD_KERNELS_TILE_H

#include <stdint.h>

enum { TILE_PANEL = 24, TILE_WIDTH = 16 };

struct tile {
    const char *name;

    /* t[n][PANEL] = a[n][d] . x[d][PANEL]; rows of a are a_row apart */
    void (*dots)(uint64_t n, uint64_t d, const float *a, uint64_t a_row, const float *x, float *t);

    /* sum[PANEL] = a[PANEL][d] . x[d][PANEL], column by column: bit for bit what dots makes of equal rows, so that P
     * (dP - delta) is exactly 0 where a query sees one key. Rows of a from `rows` on count as 0. */
    void (*columns)(unsigned rows, uint64_t d, const float *a, uint64_t a_row, const float *x, float *sum);

    /* One step of the online softmax: m[PANEL] = the new maxima, t = exp2(t - m), l = l alpha + sums of t, where
     * alpha[PANEL] = exp2(old m - new m). Rows that saw nothing but -inf keep m = -inf, l = 0. */
    void (*soft)(uint64_t n, float *t, float *m, float *l, float *alpha);

    /* t = exp2(t - top[PANEL]) */
    void (*powers)(uint64_t n, float *t, const float *top);

    /* d_t = factor p (d_t - delta[PANEL]), all [n][PANEL] */
    void (*slopes)(uint64_t n, const float *p, const float *delta, float factor, float *d_t);

    /* t = bit r of bits[n] ? factor t : 0, column r */
    void (*drop)(uint64_t n, const uint32_t *bits, float factor, float *t);

    /* kept[4 quads] bit r: the word of dropout for row i + r and key 4 quad + index is at least threshold (attn.h);
     * rows <= 32, bits from `rows` on mean nothing */
    void (*draw)(uint64_t seed, uint32_t head, uint32_t i, unsigned rows, uint32_t quad, uint32_t quads,
                 uint32_t threshold, uint32_t *kept);

    /* y[PANEL][width] = alpha[PANEL] y + t[n][PANEL]^T a[n][width]; alpha NULL is all 1; width a multiple of TILE_WIDTH
     */
    void (*gather)(uint64_t n, uint64_t width, const float *t, const float *a, uint64_t a_row, const float *alpha,
                   float *y);

    /* y[n][width] += t[n][PANEL] x[PANEL][width] */
    void (*spread)(uint64_t n, uint64_t width, const float *t, const float *x, uint64_t x_row, float *y);

    /* y = 1 / (1 + e^-x), rest = 1 - y without cancellation; x[n] */
    void (*sigmoid)(uint64_t n, const float *x, float *y, float *rest);

    /* below = (1 + erf(x / sqrt 2)) / 2, density = e^(-x^2 / 2) / sqrt(2 pi); x[n] */
    void (*normal)(uint64_t n, const float *x, float *below, float *density);

    /* the largest of x[n], 0 where all are -inf; the sum of e^(x - top); y = factor e^(x - top), y may be x */
    float (*top)(uint64_t n, const float *x);
    float (*powers_sum)(uint64_t n, const float *x, float top);
    void (*powers_of)(uint64_t n, const float *x, float top, float factor, float *y);

    /* y[n] = tanh(x[n]), y may be x */
    void (*tanh)(uint64_t n, const float *x, float *y);

    /* p[n] = softmax of s[n] (natural scores), all 0 where every s is -inf; p may be s */
    void (*softmax)(uint64_t n, const float *s, float *p);
};

extern const struct tile tile_portable;
#if defined(__x86_64__)
extern const struct tile tile_avx2;
#endif

/* The best this processor can run; static. */
const struct tile *tile_best(void);

#endif
