/* rows_body.h - the functions of struct rows, included once per instruction set by rows_NAME.c, which defines ROWS_ROW
 * (the name of the table row), ROWS_LANES (floats of a vector: 4, 8 or 16), ROWS_FMA(a, b, c) = a b + c and ROWS_MUL(a,
 * b), the product of the low halves of 64-bit lanes.
 *
 * Plain loops that compilers turn into vectors; vectors are written out only where partial sums lie side by side (a
 * compiler would take every 16th number into one, and shuffle) and for products of 64 bits. */
#include "engine/base/rng.h"
#include "engine/kernels/rows.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed" /* with little optimisation loops stay as they are */
#define UNROLL     _Pragma("clang loop unroll(full)")
#define SAME_PLACE _Pragma("clang loop vectorize(assume_safety)")
#else
#define UNROLL     _Pragma("GCC unroll 16")
#define SAME_PLACE _Pragma("GCC ivdep")
#endif

/* ---- bfloat16 ---- */

INLINE float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void widen(uint64_t n, const uint16_t *restrict x, float *restrict y) {
    for (uint64_t i = 0; i < n; i++)
        y[i] = float_of((uint32_t)x[i] << 16);
}

/* x + 7FFF, and 1 more where the last bit that stays is odd, carries into the upper half what rounds up. A NaN gets
 * nothing, and is made quiet. */
static void round_off(uint64_t n, const float *restrict x, uint16_t *restrict y) {
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t bits = bits_of(x[i]), none = x[i] != x[i] ? UINT32_MAX : 0;
        y[i] = (uint16_t)(((bits | (none & 0x400000u)) + ((0x7FFFu + (bits >> 16 & 1)) & ~none)) >> 16);
    }
}

/* ---- sums and products ---- */

static void add(uint64_t n, const float *a, const float *b, float *y) {
    SAME_PLACE for (uint64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static void accumulate(uint64_t n, float factor, const float *restrict x, float *restrict y) {
    for (uint64_t i = 0; i < n; i++)
        y[i] += factor * x[i];
}

static void scale(uint64_t n, float factor, const float *x, float *y) {
    SAME_PLACE for (uint64_t i = 0; i < n; i++) y[i] = factor * x[i];
}

static void multiply(uint64_t n, const float *a, const float *b, float *y) {
    SAME_PLACE for (uint64_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

static void product_add(uint64_t n, const float *restrict a, const float *restrict b, float *restrict y) {
    for (uint64_t i = 0; i < n; i++)
        y[i] += a[i] * b[i];
}

static void sums(uint64_t n, const float *restrict x, double *restrict sum) {
    for (uint64_t i = 0; i < n; i++)
        sum[i] += (double)x[i];
}

typedef double doubles __attribute__((vector_size(4 * 8)));

static void squares(uint64_t n, const float *x, double sum[ROWS_SQUARES]) {
    doubles lanes[ROWS_SQUARES / 4] = {{0}};
    uint64_t i = 0;
    for (; i + ROWS_SQUARES <= n; i += ROWS_SQUARES)
        UNROLL for (unsigned v = 0; v < ROWS_SQUARES / 4; v++) {
            const float *at = x + i + 4 * v;
            const doubles a = {at[0], at[1], at[2], at[3]};
            lanes[v] += a * a;
        }
    for (unsigned lane = 0; lane < ROWS_SQUARES; lane++)
        sum[lane] += lanes[lane / 4][lane % 4];
    for (; i < n; i++)
        sum[i % ROWS_SQUARES] += (double)x[i] * (double)x[i];
}

/* ---- activations ---- */

#define TWICE_SQRT_2_PI 1.595769121605730711f /* 2 sqrt(2 / pi) */
#define GELU_CUBIC      0.044715f

/* 2^x, 0 below -126: x = n + f with n whole, |f| <= 1/2; 2^f by a polynomial (relative error 2e-9 before rounding), 2^n
 * into the exponent. Adding 1.5 2^23 leaves n in the low bits. */
INLINE float exp2_of(float x) {
    const float shifted = x + 12582912.0f, f = x - (shifted - 12582912.0f);
    float y = 0x1.41d334p-13f;
    y = ROWS_FMA(y, f, 0x1.5f456ap-10f);
    y = ROWS_FMA(y, f, 0x1.3b2dbcp-7f);
    y = ROWS_FMA(y, f, 0x1.c6aed4p-5f);
    y = ROWS_FMA(y, f, 0x1.ebfbdap-3f);
    y = ROWS_FMA(y, f, 0x1.62e430p-1f);
    y = ROWS_FMA(y, f, 1.0f);
    y *= float_of((bits_of(shifted) << 23) + 0x3F800000u);
    return x < -126.0f ? 0 : y;
}

/* share = 1 / (1 + e^-x), rest = 1 - share without cancellation. e^-x may be infinite, but is not where it makes rest.
 */
INLINE void sigmoid(float x, float *share, float *rest) {
    const float u = x * 1.44269504f, power = exp2_of(-(u < -128.0f ? -128.0f : u));
    *share = 1 / (1 + power);
    *rest = x > 0 ? power * *share : 1 - *share;
}

/* below = (1 + erf(x / sqrt 2)) / 2, density = e^(-x^2 / 2) / sqrt(2 pi). erfc(z) = e^(-z^2) t p(t), t = 1 / (1 + 0.45
 * z), for z >= 0: p fitted to a relative error of 3.2e-8. */
INLINE void normal(float x, float *below, float *density) {
    const float away = x > -x ? x : -x, t = 1 / (1 + 0.45f * 0.707106781f * away);
    float p = -0.04139123111963272f;
    p = ROWS_FMA(p, t, 0.19068843126296997f);
    p = ROWS_FMA(p, t, -0.30058348178863525f);
    p = ROWS_FMA(p, t, 0.14240197837352753f);
    p = ROWS_FMA(p, t, -0.02235856093466282f);
    p = ROWS_FMA(p, t, 0.11995065957307816f);
    p = ROWS_FMA(p, t, 0.17525207996368408f);
    p = ROWS_FMA(p, t, 0.22827164828777313f);
    p = ROWS_FMA(p, t, 0.25388315320014954f);
    p = ROWS_FMA(p, t, 0.25388532876968384f);
    const float power = exp2_of(x * x * (-0.5f * 1.44269504f)), tail = 0.5f * power * t * p; /* above |x| */
    *below = x > 0 ? 1 - tail : tail;
    *density = power * 0.398942280f;
}

static void silu(uint64_t n, const float *restrict x, float *restrict y) {
    for (uint64_t i = 0; i < n; i++) {
        float share, rest;
        sigmoid(x[i], &share, &rest);
        y[i] = x[i] * share;
    }
}

static void silu_slope(uint64_t n, const float *restrict x, float *restrict y, float *restrict slope) {
    for (uint64_t i = 0; i < n; i++) {
        float share, rest;
        sigmoid(x[i], &share, &rest);
        y[i] = x[i] * share;
        slope[i] = share * (1 + x[i] * rest);
    }
}

static void gelu(uint64_t n, const float *restrict x, float *restrict y) {
    for (uint64_t i = 0; i < n; i++) {
        float below, density;
        normal(x[i], &below, &density);
        y[i] = x[i] * below;
    }
}

static void gelu_slope(uint64_t n, const float *restrict x, float *restrict y, float *restrict slope) {
    for (uint64_t i = 0; i < n; i++) {
        float below, density;
        normal(x[i], &below, &density);
        y[i] = x[i] * below;
        slope[i] = below + x[i] * density;
    }
}

/* gelu by tanh is x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3), since (1 + tanh u) / 2 = sigmoid(2 u). */
INLINE float twice_u(float x) {
    return TWICE_SQRT_2_PI * (x + GELU_CUBIC * x * x * x);
}

static void gelu_tanh(uint64_t n, const float *restrict x, float *restrict y) {
    for (uint64_t i = 0; i < n; i++) {
        float share, rest;
        sigmoid(twice_u(x[i]), &share, &rest);
        y[i] = x[i] * share;
    }
}

static void gelu_tanh_slope(uint64_t n, const float *restrict x, float *restrict y, float *restrict slope) {
    for (uint64_t i = 0; i < n; i++) {
        float share, rest;
        sigmoid(twice_u(x[i]), &share, &rest);
        const float steep = TWICE_SQRT_2_PI * (1 + 3 * GELU_CUBIC * x[i] * x[i]), both = share * rest;
        const float bend = x[i] * both * steep;
        y[i] = x[i] * share;
        slope[i] = share + (both < 1e-30f ? 0 : bend); /* far out steep is infinite, and the curve straight */
    }
}

static void relu(uint64_t n, const float *restrict x, float *restrict y) {
    for (uint64_t i = 0; i < n; i++)
        y[i] = x[i] <= 0 ? 0 : x[i];
}

static void relu_slope(uint64_t n, const float *restrict x, float *restrict y, float *restrict slope) {
    for (uint64_t i = 0; i < n; i++) {
        y[i] = x[i] <= 0 ? 0 : x[i];
        slope[i] = x[i] <= 0 ? 0 : 1;
    }
}

/* ---- norms ---- */

enum { VEC = ROWS_LANES, VECS = ROWS_SUMS / VEC };
typedef float vec __attribute__((vector_size(4 * ROWS_LANES)));
typedef float vec_at __attribute__((vector_size(4 * ROWS_LANES), aligned(4), may_alias));
#define LOAD(p) (*(const vec_at *)(p))

INLINE void lanes_join(const vec lanes[VECS], float sum[ROWS_SUMS]) {
    for (unsigned lane = 0; lane < ROWS_SUMS; lane++)
        sum[lane] += lanes[lane / VEC][lane % VEC];
}

static void norm_sum(uint64_t n, const float *x, float sum[ROWS_SUMS]) {
    vec lanes[VECS] = {{0}};
    uint64_t c = 0;
    for (; c + ROWS_SUMS <= n; c += ROWS_SUMS)
        UNROLL for (unsigned v = 0; v < VECS; v++) lanes[v] += LOAD(x + c + v * VEC);
    lanes_join(lanes, sum);
    for (; c < n; c++)
        sum[c % ROWS_SUMS] += x[c];
}

static void norm_spread(uint64_t n, const float *x, const float *soon, float middle, float sum[ROWS_SUMS]) {
    vec lanes[VECS] = {{0}};
    uint64_t c = 0;
    for (; c + ROWS_SUMS <= n; c += ROWS_SUMS) {
        __builtin_prefetch(soon + c);
        UNROLL for (unsigned v = 0; v < VECS; v++) {
            const vec away = LOAD(x + c + v * VEC) - middle;
            lanes[v] += away * away;
        }
    }
    lanes_join(lanes, sum);
    for (; c < n; c++)
        sum[c % ROWS_SUMS] += (x[c] - middle) * (x[c] - middle);
}

static void norm_apply(uint64_t n, const float *restrict x, float middle, float rstd, const float *restrict w,
                       const float *restrict bias, float *restrict y) {
    if (bias)
        for (uint64_t i = 0; i < n; i++)
            y[i] = (x[i] - middle) * rstd * w[i] + bias[i];
    else
        for (uint64_t i = 0; i < n; i++)
            y[i] = (x[i] - middle) * rstd * w[i];
}

static void norm_sums(uint64_t n, const float *x, const float *soon, float middle, float rstd, const float *w,
                      const float *d_y, float plain[ROWS_SUMS], float along[ROWS_SUMS]) {
    vec plain_v[VECS] = {{0}}, along_v[VECS] = {{0}};
    uint64_t c = 0;
    for (; c + ROWS_SUMS <= n; c += ROWS_SUMS) {
        __builtin_prefetch(soon + c);
        UNROLL for (unsigned v = 0; v < VECS; v++) {
            const vec g = LOAD(d_y + c + v * VEC) * LOAD(w + c + v * VEC);
            plain_v[v] += g;
            along_v[v] += g * ((LOAD(x + c + v * VEC) - middle) * rstd);
        }
    }
    lanes_join(plain_v, plain);
    lanes_join(along_v, along);
    for (; c < n; c++) {
        plain[c % ROWS_SUMS] += d_y[c] * w[c];
        along[c % ROWS_SUMS] += d_y[c] * w[c] * ((x[c] - middle) * rstd);
    }
}

static void norm_d_x(uint64_t n, const float *restrict x, float middle, float rstd, const float *restrict w,
                     const float *restrict d_y, float g_mean, float gz_mean, float *restrict d_x) {
    for (uint64_t c = 0; c < n; c++)
        d_x[c] += rstd * (d_y[c] * w[c] - g_mean - (x[c] - middle) * rstd * gz_mean);
}

static void norm_columns(uint64_t n, const float *restrict x, float middle, float rstd, const float *restrict d_y,
                         double *restrict d_w, double *restrict d_bias) {
    for (uint64_t c = 0; c < n; c++) {
        d_w[c] += (double)(d_y[c] * ((x[c] - middle) * rstd));
        d_bias[c] += (double)d_y[c];
    }
}

/* ---- rotary ---- */

/* n = angle / (pi / 2) to the nearest whole number, from adding 1.5 2^52, which leaves it in the low bits; what is left
 * of the angle, at most pi / 4, in two steps of which the first is exact; then Taylor's series, to 1e-10. In double: no
 * multiply-add is fused, and the bits are the same everywhere. */
static void angles_near(uint64_t n, float position, const float *restrict frequencies, float cosine, float sine,
                        float *restrict cosines, float *restrict sines) {
    const double magic = 6755399441055744.0, quarters = 0x1.45f306dc9c883p-1;
    for (uint64_t i = 0; i < n; i++) {
        const double x = (double)(position * frequencies[i]), shifted = x * quarters + magic, whole = shifted - magic;
        const double r = x - whole * 0x1.921fb544p+0 - whole * 0x1.0b4611a626331p-34, z = r * r;
        const double s = r + r * z * (-1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040 + z * (1.0 / 362880))));
        const double c =
            1 + z * (-1.0 / 2 + z * (1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320 - z * (1.0 / 3628800)))));
        uint64_t bits;
        memcpy(&bits, &shifted, sizeof bits);
        const double across = bits & 1 ? s : c, up = bits & 1 ? c : s;
        cosines[i] = (float)((bits + 1) & 2 ? -across : across) * cosine;
        sines[i] = (float)(bits & 2 ? -up : up) * sine;
    }
}

static void angles(uint64_t n, float position, const float *frequencies, float cosine, float sine, float *cosines,
                   float *sines) {
    angles_near(n, position, frequencies, cosine, sine, cosines, sines);
    for (uint64_t i = 0; i < n; i++) {
        const float angle = position * frequencies[i];
        if (angle > ROWS_ANGLE || angle < -ROWS_ANGLE) {
            cosines[i] = cosf(angle) * cosine;
            sines[i] = sinf(angle) * sine;
        }
    }
}

static void turn(uint64_t n, const float *restrict x, const float *restrict z, const float *restrict cosines,
                 const float *restrict sines, float *restrict y, float *restrict w) {
    for (uint64_t i = 0; i < n; i++) {
        y[i] = x[i] * cosines[i] - z[i] * sines[i];
        w[i] = z[i] * cosines[i] + x[i] * sines[i];
    }
}

static void turn_add(uint64_t n, const float *restrict x, const float *restrict z, const float *restrict cosines,
                     const float *restrict sines, float *restrict y, float *restrict w) {
    for (uint64_t i = 0; i < n; i++) {
        y[i] += x[i] * cosines[i] - z[i] * sines[i];
        w[i] += z[i] * cosines[i] + x[i] * sines[i];
    }
}

/* ---- dropout ---- */

/* Philox4x32-10 (rng.c) for several counters side by side, in 64-bit lanes: only low halves count, so what the products
 * leave above them does no harm. */
enum { WIDE = ROWS_LANES == 16 ? 8 : 4, GROUPS = 2, COUNTERS = WIDE * GROUPS };
typedef uint64_t wide __attribute__((vector_size(8 * WIDE)));
typedef uint64_t wide_at __attribute__((vector_size(8 * WIDE), aligned(4), may_alias));

struct words4 {
    wide c[4];
};

INLINE void philox(struct words4 *w, uint32_t k0, uint32_t k1) {
    const wide zero = {0};
    UNROLL for (unsigned round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        UNROLL for (unsigned g = 0; g < GROUPS; g++) {
        wide *c = w[g].c;
        const wide p0 = ROWS_MUL(c[0], zero + 0xD2511F53u), p1 = ROWS_MUL(c[2], zero + 0xCD9E8D57u);
        c[0] = (p1 >> 32) ^ c[1] ^ k0;
        c[2] = (p0 >> 32) ^ c[3] ^ k1;
        c[1] = p1;
        c[3] = p0;
    }
}

/* The words of counters as they follow each other in memory: pairs of words side by side. */
INLINE void words_store(const struct words4 *w, uint32_t *words) {
    const wide zero = {0}, low = zero + 0xFFFFFFFFu;
    const wide a = (w->c[0] & low) | w->c[1] << 32, b = (w->c[2] & low) | w->c[3] << 32;
#if ROWS_LANES == 16
    *(wide_at *)words = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    *(wide_at *)(words + 16) = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
    *(wide_at *)words = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    *(wide_at *)(words + 8) = __builtin_shufflevector(a, b, 2, 6, 3, 7);
#endif
}

static void words(uint64_t seed, uint64_t counter, uint32_t domain, uint64_t n, uint32_t *to) {
    const wide zero = {0};
    uint64_t i = 0;
    wide ascending;
    for (unsigned lane = 0; lane < WIDE; lane++)
        ascending[lane] = lane;
    for (; i + COUNTERS <= n; i += COUNTERS, to += 4 * COUNTERS) {
        struct words4 w[GROUPS];
        UNROLL for (unsigned g = 0; g < GROUPS; g++) {
            const wide at = zero + (counter + i + g * WIDE) + ascending;
            w[g] = (struct words4){{at, at >> 32, zero, zero + domain}};
        }
        philox(w, (uint32_t)seed, (uint32_t)(seed >> 32));
        UNROLL for (unsigned g = 0; g < GROUPS; g++) words_store(&w[g], to + g * 4 * WIDE);
    }
    for (; i < n; i++, to += 4)
        rng_words(seed, (uint32_t)(counter + i), (uint32_t)((counter + i) >> 32), 0, domain, to);
}

static void drop(uint64_t n, const uint32_t *restrict word, uint32_t threshold, float factor, const float *restrict x,
                 float *restrict y) {
    for (uint64_t i = 0; i < n; i++) {
        const float kept = x[i] * factor;
        y[i] = word[i] >= threshold ? kept : 0;
    }
}

static void drop_add(uint64_t n, const uint32_t *restrict word, uint32_t threshold, float factor,
                     const float *restrict x, float *restrict y) {
    for (uint64_t i = 0; i < n; i++) {
        const float kept = x[i] * factor;
        y[i] += word[i] >= threshold ? kept : 0;
    }
}

/* ---- optimizers ---- */

static void sgd(uint64_t n, const struct rows_update *u, const float *restrict g, float *restrict p) {
    const float rate = u->rate, decay = u->decay, factor = u->factor;
    for (uint64_t i = 0; i < n; i++)
        p[i] -= rate * (factor * g[i] + decay * p[i]);
}

static void sgd_momentum(uint64_t n, const struct rows_update *u, const float *restrict g, float *restrict p,
                         float *restrict m) {
    const float rate = u->rate, decay = u->decay, factor = u->factor, momentum = u->momentum;
    for (uint64_t i = 0; i < n; i++) {
        m[i] = momentum * m[i] + (factor * g[i] + decay * p[i]);
        p[i] -= rate * m[i];
    }
}

static void adamw(uint64_t n, const struct rows_update *u, const float *restrict g, float *restrict p,
                  float *restrict m, float *restrict v) {
    const float factor = u->factor, beta1 = u->beta1, beta2 = u->beta2;
    const float keep = u->keep, rate = u->rate, root = u->root, epsilon = u->epsilon;
    for (uint64_t i = 0; i < n; i++) {
        const float g_i = factor * g[i];
        m[i] = beta1 * m[i] + (1 - beta1) * g_i;
        v[i] = beta2 * v[i] + (1 - beta2) * g_i * g_i;
        p[i] = keep * p[i] - rate * m[i] / (sqrtf(v[i]) * root + epsilon);
    }
}

static void lion(uint64_t n, const struct rows_update *u, const float *restrict g, float *restrict p,
                 float *restrict m) {
    const float rate = u->rate, decay = u->decay, factor = u->factor, beta1 = u->beta1, beta2 = u->beta2;
    for (uint64_t i = 0; i < n; i++) {
        const float g_i = factor * g[i], c = beta1 * m[i] + (1 - beta1) * g_i;
        const float sign = c > 0 ? 1 : c < 0 ? -1 : c; /* NaN stays */
        p[i] -= rate * (sign + decay * p[i]);
        m[i] = beta2 * m[i] + (1 - beta2) * g_i;
    }
}

const struct rows ROWS_ROW = {
    .name = ROWS_NAME,
    .widen = widen,
    .round = round_off,
    .add = add,
    .accumulate = accumulate,
    .scale = scale,
    .multiply = multiply,
    .product_add = product_add,
    .sums = sums,
    .squares = squares,
    .silu = {silu, silu_slope},
    .gelu = {gelu, gelu_slope},
    .gelu_tanh = {gelu_tanh, gelu_tanh_slope},
    .relu = {relu, relu_slope},
    .norm_sum = norm_sum,
    .norm_spread = norm_spread,
    .norm_apply = norm_apply,
    .norm_sums = norm_sums,
    .norm_d_x = norm_d_x,
    .norm_columns = norm_columns,
    .angles = angles,
    .turn = turn,
    .turn_add = turn_add,
    .words = words,
    .drop = drop,
    .drop_add = drop_add,
    .sgd = sgd,
    .sgd_momentum = sgd_momentum,
    .adamw = adamw,
    .lion = lion,
};
