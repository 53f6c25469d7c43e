/* tile_body.h - the functions of struct tile, included once per instruction set by tile_NAME.c, which defines
 * TILE_ROW (the name of the table row), TILE_FMA(a, b, c) = a b + c and TILE_MAX(a, b) = a > b ? a : b on vectors,
 * TILE_MUL(a, b), the product of the low halves of 64-bit lanes, and TILE_SIGNS(x), the sign bits of 4 such lanes.
 *
 * Vectors of TILE_LANES (4 or 8) floats by the compiler's vector extension. A register tile has 12 accumulators, which
 * with the operands fills 16 registers; remainders run the same code with fewer rows, as constants. */
#include "engine/base/rng.h"
#include "engine/kernels/tile.h"

#include <math.h>
#include <stddef.h>

enum {
    LANES = TILE_LANES,
    DEEP = TILE_PANEL / LANES, /* vectors of a panel */
    WIDE = TILE_WIDTH / LANES, /* vectors of TILE_WIDTH */
    DOTS = 12 / DEEP,          /* keys, or rows, that share a register tile */
    ROWS = 12 / WIDE,
};
_Static_assert(TILE_PANEL % ROWS == 0 && DOTS >= 2, "panels are whole register tiles");

typedef float vec __attribute__((vector_size(4 * TILE_LANES)));
typedef float vec_at __attribute__((vector_size(4 * TILE_LANES), aligned(4), may_alias));
typedef uint32_t bits __attribute__((vector_size(4 * TILE_LANES)));
typedef uint64_t wide __attribute__((vector_size(32)));

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

#define LOAD(p)     (*(const vec_at *)(p))
#define STORE(p, x) (*(vec_at *)(p) = (x))
#if TILE_LANES == 8
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
    *x = (vec)((bits)y & ~(bits)(*x < least));
}

/* top, or 0 where nothing was allowed yet, so that -inf - top stays -inf */
INLINE void finite_top(vec *top) {
    *top = (vec)((bits)*top & ~(bits)(*top == SPLAT(-INFINITY)));
}

INLINE void dots_rows(unsigned rows, uint64_t d, const float *a, uint64_t a_row, const float *x, float *t) {
    vec sum[DOTS][DEEP] = {{{0}}};
    for (uint64_t c = 0; c < d; c++, x += TILE_PANEL) {
        vec x_c[DEEP];
        UNROLL for (unsigned v = 0; v < DEEP; v++) x_c[v] = LOAD(x + v * LANES);
        UNROLL for (unsigned r = 0; r < rows; r++) {
            vec a_rc = SPLAT(a[r * a_row + c]);
            UNROLL for (unsigned v = 0; v < DEEP; v++) sum[r][v] = TILE_FMA(a_rc, x_c[v], sum[r][v]);
        }
    }
    UNROLL for (unsigned r = 0; r < rows; r++) UNROLL for (unsigned v = 0; v < DEEP; v++)
        STORE(t + r * TILE_PANEL + v * LANES, sum[r][v]);
}

static void dots(uint64_t n, uint64_t d, const float *a, uint64_t a_row, const float *x, float *t) {
    uint64_t j = 0;
    for (; j + DOTS <= n; j += DOTS)
        dots_rows(DOTS, d, a + j * a_row, a_row, x, t + j * TILE_PANEL);
    for (; j + 2 <= n; j += 2)
        dots_rows(2, d, a + j * a_row, a_row, x, t + j * TILE_PANEL);
    if (j < n)
        dots_rows(1, d, a + j * a_row, a_row, x, t + j * TILE_PANEL);
}

static void columns(unsigned rows, uint64_t d, const float *a, uint64_t a_row, const float *x, float *sum) {
    enum { STEP = 16 };
    float turned[STEP][TILE_PANEL] = {{0}};
    vec total[DEEP] = {{0}};
    for (uint64_t from = 0; from < d; from += STEP) {
        uint64_t n = d - from < STEP ? d - from : STEP;
        for (unsigned r = 0; r < rows; r++)
            for (uint64_t c = 0; c < n; c++)
                turned[c][r] = a[r * a_row + from + c];
        for (uint64_t c = 0; c < n; c++, x += TILE_PANEL)
            UNROLL for (unsigned v = 0; v < DEEP; v++) total[v] =
                TILE_FMA(LOAD(&turned[c][v * LANES]), LOAD(x + v * LANES), total[v]);
    }
    for (unsigned v = 0; v < DEEP; v++)
        STORE(sum + v * LANES, total[v]);
}

static void soft(uint64_t n, float *t, float *m, float *l, float *alpha) {
    for (unsigned v = 0; v < TILE_PANEL; v += LANES) {
        vec before = LOAD(m + v), top = before, sum = SPLAT(0.0f);
        for (uint64_t j = 0; j < n; j++)
            top = TILE_MAX(LOAD(t + j * TILE_PANEL + v), top);
        STORE(m + v, top);
        finite_top(&top);
        for (uint64_t j = 0; j < n; j++) {
            vec p = LOAD(t + j * TILE_PANEL + v) - top;
            exp2_in_place(&p);
            STORE(t + j * TILE_PANEL + v, p);
            sum += p;
        }
        before -= top;
        exp2_in_place(&before);
        STORE(alpha + v, before);
        STORE(l + v, LOAD(l + v) * before + sum);
    }
}

static void powers(uint64_t n, float *t, const float *top) {
    for (uint64_t j = 0; j < n; j++, t += TILE_PANEL)
        UNROLL for (unsigned v = 0; v < TILE_PANEL; v += LANES) {
            vec p = LOAD(t + v) - LOAD(top + v);
            exp2_in_place(&p);
            STORE(t + v, p);
        }
}

static void slopes(uint64_t n, const float *p, const float *delta, float factor, float *d_t) {
    for (uint64_t j = 0; j < n; j++, p += TILE_PANEL, d_t += TILE_PANEL)
        UNROLL for (unsigned v = 0; v < TILE_PANEL; v += LANES)
            STORE(d_t + v, SPLAT(factor) * LOAD(p + v) * (LOAD(d_t + v) - LOAD(delta + v)));
}

static void drop(uint64_t n, const uint32_t *kept, float factor, float *t) {
    bits lane;
    for (unsigned c = 0; c < LANES; c++)
        lane[c] = 1u << c;
    for (uint64_t j = 0; j < n; j++, t += TILE_PANEL)
        UNROLL for (unsigned v = 0; v < TILE_PANEL; v += LANES) {
            bits all = (lane ^ lane) + (kept[j] >> v);
            STORE(t + v, (vec)((bits)(LOAD(t + v) * SPLAT(factor)) & (bits)((all & lane) != 0)));
        }
}

/* Philox4x32-10 (rng.c) for eight rows side by side, two vectors of four 64-bit lanes: only low halves count, so what
 * the products leave above them does no harm. */
static void draw(uint64_t seed, uint32_t head, uint32_t i, unsigned rows, uint32_t quad, uint32_t quads,
                 uint32_t threshold, uint32_t *kept) {
    const wide m0 = {0xD2511F53, 0xD2511F53, 0xD2511F53, 0xD2511F53};
    const wide m1 = {0xCD9E8D57, 0xCD9E8D57, 0xCD9E8D57, 0xCD9E8D57}, zero = {0, 0, 0, 0};
    for (uint32_t t = 0; t < quads; t++, kept += 4) {
        kept[0] = kept[1] = kept[2] = kept[3] = 0;
        for (unsigned r = 0; r < rows; r += 8) {
            const uint32_t at = i + r; /* rows count modulo 2^32, like every counter */
            wide c1[2] = {{at, at + 1, at + 2, at + 3}, {at + 4, at + 5, at + 6, at + 7}};
            wide c0[2] = {zero + (quad + t), zero + (quad + t)}, c2[2] = {zero + head, zero + head};
            wide c3[2] = {zero + RNG_ATTENTION_DROPOUT, zero + RNG_ATTENTION_DROPOUT};
            uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
            for (unsigned round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
                UNROLL for (unsigned v = 0; v < 2; v++) {
                    wide p0 = TILE_MUL(c0[v], m0), p1 = TILE_MUL(c2[v], m1);
                    c0[v] = (p1 >> 32) ^ c1[v] ^ k0;
                    c2[v] = (p0 >> 32) ^ c3[v] ^ k1;
                    c1[v] = p1;
                    c3[v] = p0;
                }
            UNROLL for (unsigned v = 0; v < 2; v++) {
                const wide low = zero + 0xFFFFFFFFu;
                kept[0] |= (~TILE_SIGNS((c0[v] & low) - threshold) & 15u) << (r + 4 * v);
                kept[1] |= (~TILE_SIGNS((c1[v] & low) - threshold) & 15u) << (r + 4 * v);
                kept[2] |= (~TILE_SIGNS((c2[v] & low) - threshold) & 15u) << (r + 4 * v);
                kept[3] |= (~TILE_SIGNS((c3[v] & low) - threshold) & 15u) << (r + 4 * v);
            }
        }
    }
}

/* ROWS queries (columns of t) by TILE_WIDTH of the width. */
INLINE void gather_rows(uint64_t n, const float *t, const float *a, uint64_t a_row, const float *alpha, float *y,
                        uint64_t width) {
    vec sum[ROWS][WIDE];
    UNROLL for (unsigned r = 0; r < ROWS; r++) UNROLL for (unsigned v = 0; v < WIDE; v++) sum[r][v] =
        LOAD(y + r * width + v * LANES) * SPLAT(alpha ? alpha[r] : 1.0f);
    for (uint64_t j = 0; j < n; j++, a += a_row, t += TILE_PANEL) {
        vec a_j[WIDE];
        UNROLL for (unsigned v = 0; v < WIDE; v++) a_j[v] = LOAD(a + v * LANES);
        UNROLL for (unsigned r = 0; r < ROWS; r++) {
            vec t_jr = SPLAT(t[r]);
            UNROLL for (unsigned v = 0; v < WIDE; v++) sum[r][v] = TILE_FMA(t_jr, a_j[v], sum[r][v]);
        }
    }
    UNROLL for (unsigned r = 0; r < ROWS; r++) UNROLL for (unsigned v = 0; v < WIDE; v++)
        STORE(y + r * width + v * LANES, sum[r][v]);
}

static void gather(uint64_t n, uint64_t width, const float *t, const float *a, uint64_t a_row, const float *alpha,
                   float *y) {
    for (uint64_t c = 0; c < width; c += TILE_WIDTH)
        for (unsigned r = 0; r < TILE_PANEL; r += ROWS)
            gather_rows(n, t + r, a + c, a_row, alpha ? alpha + r : NULL, y + r * width + c, width);
}

INLINE void spread_rows(unsigned rows, const float *t, const float *x, uint64_t x_row, float *y, uint64_t width) {
    vec sum[ROWS][WIDE];
    UNROLL for (unsigned r = 0; r < rows; r++) UNROLL for (unsigned v = 0; v < WIDE; v++) sum[r][v] =
        LOAD(y + r * width + v * LANES);
    for (unsigned q = 0; q < TILE_PANEL; q++, x += x_row) {
        vec x_q[WIDE];
        UNROLL for (unsigned v = 0; v < WIDE; v++) x_q[v] = LOAD(x + v * LANES);
        UNROLL for (unsigned r = 0; r < rows; r++) {
            vec t_rq = SPLAT(t[r * TILE_PANEL + q]);
            UNROLL for (unsigned v = 0; v < WIDE; v++) sum[r][v] = TILE_FMA(t_rq, x_q[v], sum[r][v]);
        }
    }
    UNROLL for (unsigned r = 0; r < rows; r++) UNROLL for (unsigned v = 0; v < WIDE; v++)
        STORE(y + r * width + v * LANES, sum[r][v]);
}

static void spread(uint64_t n, uint64_t width, const float *t, const float *x, uint64_t x_row, float *y) {
    for (uint64_t c = 0; c < width; c += TILE_WIDTH) {
        uint64_t j = 0;
        for (; j + ROWS <= n; j += ROWS)
            spread_rows(ROWS, t + j * TILE_PANEL, x + c, x_row, y + j * width + c, width);
        for (; j + 2 <= n; j += 2)
            spread_rows(2, t + j * TILE_PANEL, x + c, x_row, y + j * width + c, width);
        if (j < n)
            spread_rows(1, t + j * TILE_PANEL, x + c, x_row, y + j * width + c, width);
    }
}

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
    .soft = soft,
    .powers = powers,
    .slopes = slopes,
    .drop = drop,
    .draw = draw,
    .gather = gather,
    .spread = spread,
    .softmax = softmax,
    .top = row_top,
    .powers_sum = powers_sum,
    .powers_of = powers_of,
    .tanh = tanh_row,
    .sigmoid = sigmoid,
    .normal = normal,
};
