/* tile_body.h - the functions of struct tile, included once per instruction set by tile_NAME.c, which defines
 * TILE_ROW (the name of the table row), TILE_LANES and a few operations on vectors of so many floats:
 *
 *   TILE_FMA(a, b, c)  a b + c        TILE_MAX(a, b)  a > b ? a : b        TILE_FLUSH(y, x, least)  x < least ? 0 : y
 *
 * and three on vectors of TILE_WORDS 64-bit lanes: TILE_MUL(a, b), the product of their low halves, TILE_XOR(a, b, c),
 * and TILE_KEPT(x, least), bit by bit, whether the low half of a lane is at least so much.
 *
 * Vectors are the compiler's vector extension. Here are vectors and rows; tile_scores.h has the tiles of attention,
 * tile_product.h those of products. */
#include "engine/base/rng.h"
#include "engine/kernels/tile.h"

#include <math.h>
#include <stddef.h>

enum { LANES = TILE_LANES };

typedef float vec __attribute__((vector_size(4 * TILE_LANES)));
typedef float vec_at __attribute__((vector_size(4 * TILE_LANES), aligned(4), may_alias));
typedef uint32_t bits __attribute__((vector_size(4 * TILE_LANES)));
typedef int32_t ints __attribute__((vector_size(4 * TILE_LANES)));
typedef uint64_t wide __attribute__((vector_size(8 * TILE_WORDS)));

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL   _Pragma("clang loop unroll(full)")
#define UNROLL_4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL   _Pragma("GCC unroll 16")
#define UNROLL_4 _Pragma("GCC unroll 4")
#endif

#define LOAD(p)     (*(const vec_at *)(p))
#define STORE(p, x) (*(vec_at *)(p) = (x))
#if TILE_LANES == 16
#define SPLAT(x) ((vec){(x), (x), (x), (x), (x), (x), (x), (x), (x), (x), (x), (x), (x), (x), (x), (x)})
#elif TILE_LANES == 8
#define SPLAT(x) ((vec){(x), (x), (x), (x), (x), (x), (x), (x)})
#else
#define SPLAT(x) ((vec){(x), (x), (x), (x)})
#endif

/* *x = 2^*x: x = n + f with n whole, |f| <= 1/2; 2^f by a polynomial (relative error 2e-9 before rounding), 2^n into
 * the exponent. Adding 1.5 2^23 leaves n in the low bits. */
INLINE void exp2_slope(vec *y, const vec *f) { /* (2^f - 1) / f */
    *y = SPLAT(0x1.41d334p-13f);
    *y = TILE_FMA(*y, *f, SPLAT(0x1.5f456ap-10f));
    *y = TILE_FMA(*y, *f, SPLAT(0x1.3b2dbcp-7f));
    *y = TILE_FMA(*y, *f, SPLAT(0x1.c6aed4p-5f));
    *y = TILE_FMA(*y, *f, SPLAT(0x1.ebfbdap-3f));
    *y = TILE_FMA(*y, *f, SPLAT(0x1.62e430p-1f));
}

INLINE void exp2_in_place(vec *x) {
    const vec magic = SPLAT(12582912.0f), least = SPLAT(-126.0f);
    vec shifted = *x + magic, f = *x - (shifted - magic), y;
    exp2_slope(&y, &f);
    y = TILE_FMA(y, f, SPLAT(1.0f));
    bits scale = ((bits)shifted << 23) + 0x3F800000u;
    y = y * (vec)scale;
    *x = TILE_FLUSH(y, *x, least);
}

#include "engine/kernels/tile_scores.h"

/* The last n % LANES numbers run in a padded vector: -inf adds nothing to a maximum or a sum. */
INLINE void tail_load(vec *x, const float *s, uint64_t n, float pad) {
    float lane[LANES];
    for (uint64_t c = 0; c < LANES; c++)
        lane[c] = c < n ? s[c] : pad;
    *x = LOAD(lane);
}

INLINE void tail_store(const vec *x, float *p, uint64_t n) {
    float lane[LANES];
    STORE(lane, *x);
    for (uint64_t c = 0; c < n; c++)
        p[c] = lane[c];
}

#include "engine/kernels/tile_product.h"

static float row_top(uint64_t n, const float *s) {
    vec top = SPLAT(-INFINITY), last;
    uint64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        top = TILE_MAX(LOAD(s + j), top);
    tail_load(&last, s + j, n - j, -INFINITY);
    top = TILE_MAX(last, top);
    float most = -INFINITY;
    for (unsigned c = 0; c < LANES; c++)
        most = top[c] > most ? top[c] : most;
    return most == -INFINITY ? 0 : most;
}

INLINE float lanes_sum(const vec *sum) {
    float total = 0;
    for (unsigned c = 0; c < LANES / 2; c++)
        total += (*sum)[c] + (*sum)[c + LANES / 2];
    return total;
}

static float powers_sum(uint64_t n, const float *x, float top) {
    const vec base = SPLAT(1.44269504f);
    vec sum = SPLAT(0.0f), e;
    uint64_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        e = (LOAD(x + j) - SPLAT(top)) * base;
        exp2_in_place(&e);
        sum += e;
    }
    tail_load(&e, x + j, n - j, -INFINITY);
    e = (e - SPLAT(top)) * base;
    exp2_in_place(&e);
    sum += e;
    return lanes_sum(&sum);
}

static void powers_of(uint64_t n, const float *x, float top, float factor, float *y) {
    const vec base = SPLAT(1.44269504f);
    uint64_t j = 0;
    vec e;
    for (; j + LANES <= n; j += LANES) {
        e = (LOAD(x + j) - SPLAT(top)) * base;
        exp2_in_place(&e);
        STORE(y + j, e * SPLAT(factor));
    }
    tail_load(&e, x + j, n - j, 0);
    e = (e - SPLAT(top)) * base;
    exp2_in_place(&e);
    e *= SPLAT(factor);
    tail_store(&e, y + j, n - j);
}

static void softmax(uint64_t n, const float *s, float *p) {
    const vec base = SPLAT(1.44269504f), top = SPLAT(row_top(n, s));
    vec sum = SPLAT(0.0f), last;
    uint64_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        vec e = (LOAD(s + j) - top) * base;
        exp2_in_place(&e);
        STORE(p + j, e);
        sum += e;
    }
    tail_load(&last, s + j, n - j, -INFINITY);
    last = (last - top) * base;
    exp2_in_place(&last);
    tail_store(&last, p + j, n - j);
    sum += last;
    const float total = lanes_sum(&sum), share = total == 0 ? 0 : 1 / total;
    for (j = 0; j < n; j++)
        p[j] *= share;
}

/* e^-x may be infinite (y = 0), but is not where it makes rest. */
INLINE void sigmoid_of(const vec *x, vec *y, vec *rest) {
    vec power = -TILE_MAX(SPLAT(-128.0f), *x * SPLAT(1.44269504f));
    exp2_in_place(&power);
    *y = SPLAT(1.0f) / (SPLAT(1.0f) + power);
    const bits positive = (bits)(*x > SPLAT(0.0f));
    *rest = (vec)((positive & (bits)(power * *y)) | (~positive & (bits)(SPLAT(1.0f) - *y)));
}

static void sigmoid(uint64_t n, const float *x, float *y, float *rest) {
    vec y_c, rest_c, last;
    uint64_t c = 0;
    for (; c + LANES <= n; c += LANES) {
        vec x_c = LOAD(x + c);
        sigmoid_of(&x_c, &y_c, &rest_c);
        STORE(y + c, y_c);
        STORE(rest + c, rest_c);
    }
    tail_load(&last, x + c, n - c, 0);
    sigmoid_of(&last, &y_c, &rest_c);
    tail_store(&y_c, y + c, n - c);
    tail_store(&rest_c, rest + c, n - c);
}

/* (e^2x - 1) / (e^2x + 1), where 2^n (1 + r) - 1 = 2^n r + (2^n - 1) loses nothing about 0. Past 10 it is 1. */
INLINE void tanh_of(vec *x) {
    const vec magic = SPLAT(12582912.0f), most = SPLAT(-10.0f);
    vec u = TILE_MAX(most, *x);
    u = -TILE_MAX(most, -u) * SPLAT(2.88539008f);
    const vec shifted = u + magic, f = u - (shifted - magic), scale = (vec)(((bits)shifted << 23) + 0x3F800000u);
    vec r;
    exp2_slope(&r, &f);
    r = TILE_FMA(r * f, scale, scale - SPLAT(1.0f));
    *x = r / (r + SPLAT(2.0f));
}

static void tanh_row(uint64_t n, const float *x, float *y) {
    uint64_t c = 0;
    vec last;
    for (; c + LANES <= n; c += LANES) {
        vec x_c = LOAD(x + c);
        tanh_of(&x_c);
        STORE(y + c, x_c);
    }
    tail_load(&last, x + c, n - c, 0);
    tanh_of(&last);
    tail_store(&last, y + c, n - c);
}

/* erfc(z) = e^(-z^2) t p(t), t = 1 / (1 + 0.45 z), for z >= 0: p fitted to a relative error of 3.2e-8. */
INLINE void normal_of(const vec *x, vec *below, vec *density) {
    const vec away = TILE_MAX(*x, -*x);
    vec t = SPLAT(1.0f) / (SPLAT(1.0f) + SPLAT(0.45f * 0.707106781f) * away), p = SPLAT(-0.04139123111963272f);
    p = TILE_FMA(p, t, SPLAT(0.19068843126296997f));
    p = TILE_FMA(p, t, SPLAT(-0.30058348178863525f));
    p = TILE_FMA(p, t, SPLAT(0.14240197837352753f));
    p = TILE_FMA(p, t, SPLAT(-0.02235856093466282f));
    p = TILE_FMA(p, t, SPLAT(0.11995065957307816f));
    p = TILE_FMA(p, t, SPLAT(0.17525207996368408f));
    p = TILE_FMA(p, t, SPLAT(0.22827164828777313f));
    p = TILE_FMA(p, t, SPLAT(0.25388315320014954f));
    p = TILE_FMA(p, t, SPLAT(0.25388532876968384f));
    vec power = *x * *x * SPLAT(-0.5f * 1.44269504f);
    exp2_in_place(&power);
    const vec tail = SPLAT(0.5f) * power * t * p; /* above |x| */
    const bits positive = (bits)(*x > SPLAT(0.0f));
    *below = (vec)((positive & (bits)(SPLAT(1.0f) - tail)) | (~positive & (bits)tail));
    *density = power * SPLAT(0.398942280f);
}

static void normal(uint64_t n, const float *x, float *below, float *density) {
    vec below_c, density_c, last;
    uint64_t c = 0;
    for (; c + LANES <= n; c += LANES) {
        vec x_c = LOAD(x + c);
        normal_of(&x_c, &below_c, &density_c);
        STORE(below + c, below_c);
        STORE(density + c, density_c);
    }
    tail_load(&last, x + c, n - c, 0);
    normal_of(&last, &below_c, &density_c);
    tail_store(&below_c, below + c, n - c);
    tail_store(&density_c, density + c, n - c);
}

const struct tile TILE_ROW = {
    .name = TILE_NAME,
    .dots = dots,
    .columns = columns,
    .turn = turn,
    .forbid = forbid,
    .soft = soft,
    .powers = powers,
    .slopes = slopes,
    .along = along,
    .weigh = weigh,
    .drop = drop,
    .draw = draw,
    .gather = gather,
    .spread = spread,
    .product = product,
    .softmax = softmax,
    .top = row_top,
    .powers_sum = powers_sum,
    .powers_of = powers_of,
    .tanh = tanh_row,
    .sigmoid = sigmoid,
    .normal = normal,
};
