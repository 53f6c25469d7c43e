/* tile.h - the inner loops of attention and products on small tiles, and of activations on rows, once per instruction
 * set.
 *
 * A panel is up to TILE_PANEL query rows. Tiles of scores lie transposed, [keys][TILE_PANEL]: queries run along vector
 * lanes, so maxima and sums over keys are plain vector operations and K and V are read where they are. Exponentials are
 * base 2; exp2 of -inf (or below -126) is exactly 0, a NaN stays one. Every function is deterministic; different
 * instruction sets round differently (fused multiply-add, order of sums), so bits are the same only on the same one. */
#ifndef REMATD_KERNELS_TILE_H
#define REMATD_KERNELS_TILE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/problem.h"
#include "engine/kernels/gemm.h"

enum { TILE_PANEL = 48, TILE_WIDTH = 16 };

/* What is alive in a tile [n][PANEL]: columns below `columns`, and of those (key j, column c) with lo <= j - c < hi.
 * What lies outside is skipped as far as whole register tiles allow (tile_scores.h), and what was skipped in one
 * function is not read by another that is given the same band. |lo|, |hi| <= TILE_FAR; those mean no bound. */
struct tile_band {
    uint64_t columns;
    int64_t lo, hi;
};
#define TILE_FAR ((int64_t)1 << 40)

/* c[m][n] = or, with `sum`, += factor a[m][k] b[k][n]; rows of c are c_row apart. No size is 0. */
struct tile_product {
    uint64_t m, n, k;
    float factor;
    struct gemm_matrix a, b;
    bool sum;
    float *c;
    uint64_t c_row;
};

struct tile {
    const char *name;

    /* t[n][PANEL] = a[n][d] . x[d][PANEL]; rows of a are a_row apart */
    void (*dots)(const struct tile_band *b, uint64_t n, uint64_t d, const float *a, uint64_t a_row, const float *x,
                 float *t);

    /* sum[PANEL] = a[PANEL][d] . x[d][PANEL], column by column: bit for bit what dots makes of equal rows, so that P
     * (dP - delta) is exactly 0 where a query sees one key. Rows of a from `rows` on count as 0. */
    void (*columns)(unsigned rows, uint64_t d, const float *a, uint64_t a_row, const float *x, float *sum);

    /* x[d][PANEL] = factor (rows of from)^T; columns from `rows` on are 0 */
    void (*turn)(unsigned rows, uint64_t d, const float *from, uint64_t row, float factor, float *x);

    /* t = -inf wherever other functions read what is not alive */
    void (*forbid)(const struct tile_band *b, uint64_t n, float *t);

    /* One step of the online softmax: m[PANEL] = the new maxima, t = exp2(t - m), l = l alpha + sums of t, where
     * alpha[PANEL] = exp2(old m - new m). Rows that saw nothing but -inf keep m = -inf, l = 0. */
    void (*soft)(const struct tile_band *b, uint64_t n, float *t, float *m, float *l, float *alpha);

    /* t = exp2(t - top[PANEL]) */
    void (*powers)(const struct tile_band *b, uint64_t n, float *t, const float *top);

    /* d_t = factor p (d_t - delta[PANEL]), all [n][PANEL] */
    void (*slopes)(const struct tile_band *b, uint64_t n, const float *p, const float *delta, float factor, float *d_t);

    /* sum[PANEL] += p t, summed over the keys */
    void (*along)(const struct tile_band *b, uint64_t n, const float *p, const float *t, float *sum);

    /* p = factor[PANEL] t; 0 where nothing is alive; p may be t */
    void (*weigh)(const struct tile_band *b, uint64_t n, const float *t, const float *factor, float *p);

    /* y = bit r of kept[n] ? factor t : 0, column r; y may be t */
    void (*drop)(const struct tile_band *b, uint64_t n, const uint64_t *kept, float factor, const float *t, float *y);

    /* kept[4 quads] bit r: the word of dropout for row i + r and key 4 quad + index is at least threshold (attn.h);
     * rows <= 64, bits from `rows` on mean nothing */
    void (*draw)(uint64_t seed, uint32_t head, uint32_t i, unsigned rows, uint32_t quad, uint32_t quads,
                 uint32_t threshold, uint64_t *kept);

    /* y[PANEL][width] = alpha[PANEL] y + t[n][PANEL]^T a[n][width]; alpha NULL is all 1; width a multiple of TILE_WIDTH
     */
    void (*gather)(const struct tile_band *b, uint64_t n, uint64_t width, const float *t, const float *a,
                   uint64_t a_row, const float *alpha, float *y);

    /* y[n][width] += t[n][PANEL] x[columns][width] */
    void (*spread)(const struct tile_band *b, uint64_t n, uint64_t width, const float *t, const float *x,
                   uint64_t x_row, float *y, uint64_t y_row);

    /* Takes 0.8 MiB of the stack. */
    void (*product)(const struct tile_product *p);

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
extern const struct tile tile_avx2, tile_avx512;
#endif

/* Every instruction set this program was built for, best first; the last runs on any processor. */
extern const struct tile *const tile_table[];
extern const unsigned tile_table_length;
bool tile_runs(const struct tile *tile); /* on this processor */

/* The first of the table that runs here, or the one the environment's REMATD_ISA names; static. */
#define TILE_VARIABLE "REMATD_ISA"
const struct tile *tile_best(void);
/* Whether REMATD_ISA, where set, names one that runs here: elsewhere it is ignored. */
bool tile_check(struct problem *why) PROBLEM_MUST_CHECK;

#endif
