/* rows.h - the inner loops over rows and runs of floats, once per instruction set: what memory should bound.
 *
 * Every function works on n floats where they lie; what is kept in bfloat16 has been widened (numbers.h). Nothing is
 * summed in an order that depends on the instruction set, and nothing but exponentials uses fused multiply-adds: all
 * else is the same bits everywhere. Arrays may be the same where a function says so, and overlap nowhere. */
#ifndef REMATD_KERNELS_ROWS_H
#define REMATD_KERNELS_ROWS_H

#include <stdbool.h>
#include <stdint.h>

enum { ROWS_SUMS = 16, ROWS_SQUARES = 32 }; /* partial sums of a row: number c goes into sum c mod so many */
#define ROWS_ANGLE 1048576.0f               /* beyond it sines and cosines are libm's */

/* What one call of an optimizer shares (update.h): u is the rule's own numbers. */
struct rows_update {
    float factor;           /* of the gradient */
    float rate, root, keep; /* adamw: rate / (1 - b1^t), 1 / sqrt(1 - b2^t), 1 - rate decay */
    float beta1, beta2, epsilon, decay, momentum;
};

/* y = activation(x), and its slope; y and slope may not be x. */
struct rows_activation {
    void (*value)(uint64_t n, const float *x, float *y);
    void (*slope)(uint64_t n, const float *x, float *y, float *slope);
};

struct rows {
    const char *name; /* of the row of struct tile it goes with */

    /* bfloat16 to float, and back: to nearest, ties to even, NaN quiet with its upper bits */
    void (*widen)(uint64_t n, const uint16_t *x, float *y);
    void (*round)(uint64_t n, const float *x, uint16_t *y);

    void (*add)(uint64_t n, const float *a, const float *b, float *y);         /* y = a + b, y may be a or b */
    void (*accumulate)(uint64_t n, float factor, const float *x, float *y);    /* y += factor x */
    void (*scale)(uint64_t n, float factor, const float *x, float *y);         /* y = factor x, y may be x */
    void (*multiply)(uint64_t n, const float *a, const float *b, float *y);    /* y = a b, y may be a or b */
    void (*product_add)(uint64_t n, const float *a, const float *b, float *y); /* y += a b */
    void (*sums)(uint64_t n, const float *x, double *sum);                     /* sum[n] += x */
    void (*squares)(uint64_t n, const float *x, double sum[ROWS_SQUARES]);     /* sum[c mod ROWS_SQUARES] += x^2 */

    struct rows_activation silu, gelu, gelu_tanh, relu;

    /* Norms (norm.h). sum += x, or += (x - middle)^2. soon[n]: what comes next, asked of memory meanwhile */
    void (*norm_sum)(uint64_t n, const float *x, float sum[ROWS_SUMS]);
    void (*norm_spread)(uint64_t n, const float *x, const float *soon, float middle, float sum[ROWS_SUMS]);
    /* y = (x - middle) rstd w + bias, bias may be NULL */
    void (*norm_apply)(uint64_t n, const float *x, float middle, float rstd, const float *w, const float *bias,
                       float *y);
    /* with g = d_y w: plain += g, along += g ((x - middle) rstd) */
    void (*norm_sums)(uint64_t n, const float *x, const float *soon, float middle, float rstd, const float *w,
                      const float *d_y, float plain[ROWS_SUMS], float along[ROWS_SUMS]);
    /* d_x += rstd (g - g_mean - (x - middle) rstd gz_mean) */
    void (*norm_d_x)(uint64_t n, const float *x, float middle, float rstd, const float *w, const float *d_y,
                     float g_mean, float gz_mean, float *d_x);
    /* d_w += d_y ((x - middle) rstd), d_bias += d_y */
    void (*norm_columns)(uint64_t n, const float *x, float middle, float rstd, const float *d_y, double *d_w,
                         double *d_bias);

    /* cosines = cosine cos(position frequencies), sines = sine sin(position frequencies) */
    void (*angles)(uint64_t n, float position, const float *frequencies, float cosine, float sine, float *cosines,
                   float *sines);
    /* Rotary: y = x cos - z sin, w = z cos + x sin; and the same added */
    void (*turn)(uint64_t n, const float *x, const float *z, const float *cosines, const float *sines, float *y,
                 float *w);
    void (*turn_add)(uint64_t n, const float *x, const float *z, const float *cosines, const float *sines, float *y,
                     float *w);

    /* words[4 n]: rng_words of counters from `counter` on */
    void (*words)(uint64_t seed, uint64_t counter, uint32_t domain, uint64_t n, uint32_t *words);
    /* y = or += word >= threshold ? factor x : 0 */
    void (*drop)(uint64_t n, const uint32_t *words, uint32_t threshold, float factor, const float *x, float *y);
    void (*drop_add)(uint64_t n, const uint32_t *words, uint32_t threshold, float factor, const float *x, float *y);

    /* p[n] and its state m, v after a gradient g */
    void (*sgd)(uint64_t n, const struct rows_update *u, const float *g, float *p);
    void (*sgd_momentum)(uint64_t n, const struct rows_update *u, const float *g, float *p, float *m);
    void (*adamw)(uint64_t n, const struct rows_update *u, const float *g, float *p, float *m, float *v);
    void (*lion)(uint64_t n, const struct rows_update *u, const float *g, float *p, float *m);
};

extern const struct rows rows_portable;
#if defined(__x86_64__)
extern const struct rows rows_avx2, rows_avx512;
#endif

/* All, best first, and whether this processor runs one. */
extern const struct rows *const rows_table[];
extern const unsigned rows_table_length;
bool rows_run(const struct rows *rows);

/* The one that goes with tile_best(), or the next that runs; static. */
const struct rows *rows_best(void);

#endif
