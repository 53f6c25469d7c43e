/* tile_scores.h - the part of tile_body.h that works on tiles of scores.
 *
 * A tile is [n keys][TILE_PANEL queries]. Under a mask only a band of it is alive, here a causal one:
 *
 *              queries along lanes
 *            +-------+-------+-------+      Elementwise passes, and products into the tile (dots), skip whole
 *      keys  |  *****|*******|*******|      rectangles of GROUP keys by BLOCK queries. What they did not write is
 *       |    |   ****|*******|*******|      never read: products out of the tile (gather, spread) cut their sums
 *       v    +-------+-------+-------+      at the first and last key, or query, that is alive for some row of
 *            |       |  *****|*******|      theirs, and rows of theirs never straddle a rectangle.
 *            |       |   ****|*******|
 *            +-------+-------+-------+
 *
 * Register tiles, keys or queries by vectors:
 *
 *               dots       gather, spread                      registers
 *   AVX-512     8 x 3      8 x 2          (of 16 floats)       32
 *   AVX2        4 x 3      6 x 2          (of 8 floats)        16
 *   portable    2 x 6      3 x 4          (of 4 floats)        16 as a rule
 *
 * One operand is a scalar broadcast from memory, the other a row of vectors; twelve accumulators, or sixteen and more,
 * hide the latency of a multiply-add. Remainders run the same code with smaller constants. */
#include "engine/kernels/tile.h"

enum {
    BLOCK = LANES == 16 ? 16 : 24,          /* queries that are skipped together, */
    GROUP = LANES == 16 ? 8 : 12,           /* and keys */
    DOTS = LANES == 16 ? 8 : LANES / 2,     /* keys of a register tile of dots, */
    DEEP = LANES == 16 ? 3 : 24 / LANES,    /* and its vectors of queries */
    ROWS = LANES == 16 ? 8 : LANES * 3 / 4, /* keys or queries of a register tile of gather and spread, */
    WIDE = LANES == 16 ? 2 : 16 / LANES,    /* and its vectors of width */
    THIN = TILE_WIDTH / LANES,              /* vectors of the last columns, where they are few */
    ACROSS = DEEP * LANES / BLOCK,          /* blocks in a register tile of dots */
};
_Static_assert(TILE_PANEL % (DEEP * LANES) == 0 && BLOCK % ROWS == 0 && GROUP % ROWS == 0 && GROUP % DOTS == 0,
               "register tiles fill rectangles, rectangles fill panels");

/* ---- what is alive ---- */

struct range {
    uint64_t from, to; /* to >= from */
};

INLINE struct range range_within(int64_t from, int64_t to, uint64_t n) {
    const uint64_t end = to <= 0 ? 0 : (uint64_t)to < n ? (uint64_t)to : n;
    const uint64_t start = from <= 0 ? 0 : (uint64_t)from < end ? (uint64_t)from : end;
    return (struct range){start, end};
}

/* Columns alive for some of `keys` keys from j. */
INLINE struct range columns_of(const struct tile_band *b, uint64_t j, unsigned keys) {
    return range_within((int64_t)j - b->hi + 1, (int64_t)j + keys - b->lo, b->columns);
}

/* Keys alive for some of `columns` columns from c. */
INLINE struct range keys_of(const struct tile_band *b, uint64_t n, uint64_t c, unsigned columns) {
    return range_within((int64_t)c + b->lo, (int64_t)c + columns - 1 + b->hi, n);
}

/* The keys of a block's live rectangles. */
INLINE struct range block_keys(const struct tile_band *b, uint64_t n, uint64_t c) {
    const struct range keys = keys_of(b, n, c, BLOCK);
    const uint64_t end = (keys.to + GROUP - 1) / GROUP * GROUP;
    return (struct range){keys.from / GROUP * GROUP, end < n ? end : n};
}

/* ---- into the tile: S^T = K q^T ---- */

INLINE void dots_rows(unsigned rows, unsigned deep, uint64_t d, const float *a, uint64_t a_row, const float *x,
                      float *t) {
    vec sum[DOTS][DEEP] = {{{0}}};
    for (uint64_t c = 0; c < d; c++, x += TILE_PANEL) {
        vec x_c[DEEP];
        UNROLL for (unsigned v = 0; v < deep; v++) x_c[v] = LOAD(x + v * LANES);
        UNROLL for (unsigned r = 0; r < rows; r++) {
            vec a_rc = SPLAT(a[r * a_row + c]);
            UNROLL for (unsigned v = 0; v < deep; v++) sum[r][v] = TILE_FMA(a_rc, x_c[v], sum[r][v]);
        }
    }
    UNROLL for (unsigned r = 0; r < rows; r++) UNROLL for (unsigned v = 0; v < deep; v++)
        STORE(t + r * TILE_PANEL + v * LANES, sum[r][v]);
}

INLINE void dots_group(unsigned deep, uint64_t keys, uint64_t d, const float *a, uint64_t a_row, const float *x,
                       float *t) {
    uint64_t j = 0;
    for (; j + DOTS <= keys; j += DOTS)
        dots_rows(DOTS, deep, d, a + j * a_row, a_row, x, t + j * TILE_PANEL);
    if (DOTS > 4)
        for (; j + 4 <= keys; j += 4)
            dots_rows(4, deep, d, a + j * a_row, a_row, x, t + j * TILE_PANEL);
    for (; j + 2 <= keys; j += 2)
        dots_rows(2, deep, d, a + j * a_row, a_row, x, t + j * TILE_PANEL);
    if (j < keys)
        dots_rows(1, deep, d, a + j * a_row, a_row, x, t + j * TILE_PANEL);
}

static void dots(const struct tile_band *b, uint64_t n, uint64_t d, const float *a, uint64_t a_row, const float *x,
                 float *t) {
    for (uint64_t j = 0; j < n; j += GROUP, a += GROUP * a_row, t += GROUP * TILE_PANEL) {
        const uint64_t keys = n - j < GROUP ? n - j : GROUP;
        const struct range alive = columns_of(b, j, GROUP);
        for (uint64_t c = alive.from / BLOCK * BLOCK; c < alive.to; c += ACROSS * BLOCK) {
            const uint64_t blocks = (alive.to - c + BLOCK - 1) / BLOCK;
            if (blocks >= ACROSS)
                dots_group(DEEP, keys, d, a, a_row, x + c, t + c);
            else if (blocks == 2)
                dots_group(2 * BLOCK / LANES, keys, d, a, a_row, x + c, t + c);
            else
                dots_group(BLOCK / LANES, keys, d, a, a_row, x + c, t + c);
        }
    }
}

/* ---- rows, transposed ---- */

typedef float four __attribute__((vector_size(16)));
typedef float four_at __attribute__((vector_size(16), aligned(4), may_alias));

/* x[4][x_row] = in^T */
INLINE void turn_four(const four in[4], float *x, uint64_t x_row) {
    const four ab = __builtin_shufflevector(in[0], in[1], 0, 4, 1, 5);
    const four ab2 = __builtin_shufflevector(in[0], in[1], 2, 6, 3, 7);
    const four cd = __builtin_shufflevector(in[2], in[3], 0, 4, 1, 5);
    const four cd2 = __builtin_shufflevector(in[2], in[3], 2, 6, 3, 7);
    *(four_at *)x = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(four_at *)(x + x_row) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(four_at *)(x + 2 * x_row) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
    *(four_at *)(x + 3 * x_row) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

static void turn(unsigned rows, uint64_t d, const float *from, uint64_t row, float factor, float *x) {
    unsigned r = 0;
    for (; r + 4 <= rows; r += 4) {
        uint64_t c = 0;
        for (; c + 4 <= d; c += 4) {
            four in[4];
            UNROLL for (unsigned e = 0; e < 4; e++) in[e] = factor * *(const four_at *)(from + (r + e) * row + c);
            turn_four(in, x + c * TILE_PANEL + r, TILE_PANEL);
        }
        for (; c < d; c++)
            for (unsigned e = r; e < r + 4; e++)
                x[c * TILE_PANEL + e] = factor * from[e * row + c];
    }
    for (uint64_t c = 0; c < d; c++)
        for (unsigned e = r; e < TILE_PANEL; e++)
            x[c * TILE_PANEL + e] = e < rows ? factor * from[e * row + c] : 0;
}

static void columns(unsigned rows, uint64_t d, const float *a, uint64_t a_row, const float *x, float *sum) {
    enum { STEP = 16 };
    float turned[STEP * TILE_PANEL];
    vec total[TILE_PANEL / LANES] = {{0}};
    for (uint64_t from = 0; from < d; from += STEP) {
        uint64_t n = d - from < STEP ? d - from : STEP;
        turn(rows, n, a + from, a_row, 1, turned);
        for (uint64_t c = 0; c < n; c++, x += TILE_PANEL)
            for (unsigned v = 0; v < TILE_PANEL / LANES; v++)
                total[v] = TILE_FMA(LOAD(turned + c * TILE_PANEL + v * LANES), LOAD(x + v * LANES), total[v]);
    }
    for (unsigned v = 0; v < TILE_PANEL / LANES; v++)
        STORE(sum + v * LANES, total[v]);
}

/* ---- elementwise ---- */

/* Lanes of one row, columns c .. c + LANES, that lie outside (after, last] become -inf. */
INLINE void forbid_lanes(int64_t c, int64_t after, int64_t last, float *t) {
    ints lane;
    for (int l = 0; l < LANES; l++)
        lane[l] = l;
    const int32_t low = (int32_t)(after - c < -1 ? -1 : after - c > LANES ? LANES : after - c);
    const int32_t high = (int32_t)(last - c < -1 ? -1 : last - c > LANES ? LANES : last - c);
    const bits alive = (bits)((lane > low) & (lane <= high)), none = (bits)SPLAT(-INFINITY);
    STORE(t, (vec)(((bits)LOAD(t) & alive) | (none & ~alive)));
}

static void forbid(const struct tile_band *b, uint64_t n, float *t) {
    for (uint64_t c = 0; c < b->columns; c += BLOCK) {
        const struct range keys = block_keys(b, n, c);
        for (uint64_t j = keys.from; j < keys.to; j++) {
            const int64_t after = (int64_t)j - b->hi, last = (int64_t)j - b->lo;
            if (after >= (int64_t)c || last < (int64_t)c + BLOCK - 1)
                for (uint64_t v = c; v < c + BLOCK; v += LANES)
                    forbid_lanes((int64_t)v, after, last, t + j * TILE_PANEL + v);
        }
    }
}

/* top, or 0 where nothing was allowed yet, so that -inf - top stays -inf */
INLINE void finite_top(vec *top) {
    *top = (vec)((bits)*top & ~(bits)(*top == SPLAT(-INFINITY)));
}

INLINE void soft_lanes(uint64_t n, float *t, float *m, float *l, float *alpha) {
    vec before = LOAD(m), top = before, sum = SPLAT(0.0f);
    const uint64_t half = n / 2; /* two maxima side by side: one would wait for itself */
    vec second = top;
    for (uint64_t j = 0; j < half; j++) {
        top = TILE_MAX(LOAD(t + j * TILE_PANEL), top);
        second = TILE_MAX(LOAD(t + (half + j) * TILE_PANEL), second);
    }
    if (n % 2)
        second = TILE_MAX(LOAD(t + (n - 1) * TILE_PANEL), second);
    top = TILE_MAX(second, top);
    STORE(m, top);
    finite_top(&top);
    for (uint64_t j = 0; j < n; j++) {
        vec p = LOAD(t + j * TILE_PANEL) - top;
        exp2_in_place(&p);
        STORE(t + j * TILE_PANEL, p);
        sum += p;
    }
    before -= top;
    exp2_in_place(&before);
    STORE(alpha, before);
    STORE(l, LOAD(l) * before + sum);
}

static void soft(const struct tile_band *b, uint64_t n, float *t, float *m, float *l, float *alpha) {
    for (uint64_t c = 0; c < b->columns; c += BLOCK) {
        const struct range keys = block_keys(b, n, c);
        for (uint64_t v = c; v < c + BLOCK; v += LANES)
            soft_lanes(keys.to - keys.from, t + keys.from * TILE_PANEL + v, m + v, l + v, alpha + v);
    }
}

static void powers(const struct tile_band *b, uint64_t n, float *t, const float *top) {
    for (uint64_t c = 0; c < b->columns; c += BLOCK) {
        const struct range keys = block_keys(b, n, c);
        for (uint64_t j = keys.from; j < keys.to; j++)
            UNROLL for (unsigned v = 0; v < BLOCK; v += LANES) {
                vec p = LOAD(t + j * TILE_PANEL + c + v) - LOAD(top + c + v);
                exp2_in_place(&p);
                STORE(t + j * TILE_PANEL + c + v, p);
            }
    }
}

static void slopes(const struct tile_band *b, uint64_t n, const float *p, const float *delta, float factor,
                   float *d_t) {
    for (uint64_t c = 0; c < b->columns; c += BLOCK) {
        const struct range keys = block_keys(b, n, c);
        for (uint64_t j = keys.from; j < keys.to; j++)
            UNROLL for (unsigned v = 0; v < BLOCK; v += LANES) {
                const uint64_t at = j * TILE_PANEL + c + v;
                STORE(d_t + at, SPLAT(factor) * LOAD(p + at) * (LOAD(d_t + at) - LOAD(delta + c + v)));
            }
    }
}

static void along(const struct tile_band *b, uint64_t n, const float *p, const float *t, float *sum) {
    for (uint64_t c = 0; c < b->columns; c += BLOCK) {
        const struct range keys = block_keys(b, n, c);
        vec even[BLOCK / LANES] = {{0}}, odd[BLOCK / LANES] = {{0}};
        const float *p_j = p + keys.from * TILE_PANEL + c, *t_j = t + keys.from * TILE_PANEL + c;
        uint64_t j = keys.from;
        for (; j + 2 <= keys.to; j += 2, p_j += 2 * TILE_PANEL, t_j += 2 * TILE_PANEL)
            UNROLL for (unsigned v = 0; v < BLOCK / LANES; v++) {
                const uint64_t at = v * LANES;
                even[v] = TILE_FMA(LOAD(p_j + at), LOAD(t_j + at), even[v]);
                odd[v] = TILE_FMA(LOAD(p_j + TILE_PANEL + at), LOAD(t_j + TILE_PANEL + at), odd[v]);
            }
        UNROLL for (unsigned v = 0; v < BLOCK / LANES; v++) {
            if (j < keys.to)
                even[v] = TILE_FMA(LOAD(p_j + v * LANES), LOAD(t_j + v * LANES), even[v]);
            STORE(sum + c + v * LANES, LOAD(sum + c + v * LANES) + (even[v] + odd[v]));
        }
    }
}

static void weigh(const struct tile_band *b, uint64_t n, const float *t, const float *factor, float *p) {
    for (uint64_t j = 0; j < n; j++, t += TILE_PANEL, p += TILE_PANEL) {
        const struct range alive = columns_of(b, j / GROUP * GROUP, GROUP);
        const uint64_t from = alive.from / BLOCK * BLOCK, to = (alive.to + BLOCK - 1) / BLOCK * BLOCK;
        uint64_t c = 0;
        for (; c < from; c += LANES)
            STORE(p + c, SPLAT(0.0f));
        for (; c < to; c += LANES)
            STORE(p + c, LOAD(t + c) * LOAD(factor + c));
        for (; c < TILE_PANEL; c += LANES)
            STORE(p + c, SPLAT(0.0f));
    }
}

static void drop(const struct tile_band *b, uint64_t n, const uint64_t *kept, float factor, const float *t, float *y) {
    bits lane;
    for (unsigned c = 0; c < LANES; c++)
        lane[c] = 1u << c;
    for (uint64_t c = 0; c < b->columns; c += BLOCK) {
        const struct range keys = block_keys(b, n, c);
        for (uint64_t j = keys.from; j < keys.to; j++)
            UNROLL for (unsigned v = 0; v < BLOCK; v += LANES) {
                const uint64_t at = j * TILE_PANEL + c + v;
                const bits all = (lane ^ lane) + (uint32_t)(kept[j] >> (c + v));
                STORE(y + at, (vec)((bits)(LOAD(t + at) * SPLAT(factor)) & (bits)((all & lane) != 0)));
            }
    }
}

/* Philox4x32-10 (rng.c) for two vectors of rows side by side: only low halves count, so what the products leave above
 * them does no harm. */
static void draw(uint64_t seed, uint32_t head, uint32_t i, unsigned rows, uint32_t quad, uint32_t quads,
                 uint32_t threshold, uint64_t *kept) {
    const wide zero = {0}, m0 = zero + 0xD2511F53u, m1 = zero + 0xCD9E8D57u;
    wide lane;
    for (unsigned r = 0; r < TILE_WORDS; r++)
        lane[r] = r;
    for (uint32_t t = 0; t < quads; t++, kept += 4) {
        kept[0] = kept[1] = kept[2] = kept[3] = 0;
        for (unsigned r = 0; r < rows; r += 2 * TILE_WORDS) {
            /* rows count modulo 2^32, like every counter */
            wide c1[2] = {lane + (uint32_t)(i + r), lane + (uint32_t)(i + r + TILE_WORDS)};
            wide c0[2] = {zero + (quad + t), zero + (quad + t)}, c2[2] = {zero + head, zero + head};
            wide c3[2] = {zero + RNG_ATTENTION_DROPOUT, zero + RNG_ATTENTION_DROPOUT};
            uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
            for (unsigned round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
                UNROLL for (unsigned v = 0; v < 2; v++) {
                    wide p0 = TILE_MUL(c0[v], m0), p1 = TILE_MUL(c2[v], m1);
                    c0[v] = TILE_XOR(p1 >> 32, c1[v], zero + k0);
                    c2[v] = TILE_XOR(p0 >> 32, c3[v], zero + k1);
                    c1[v] = p1;
                    c3[v] = p0;
                }
            UNROLL for (unsigned v = 0; v < 2; v++) {
                const unsigned at = r + TILE_WORDS * v;
                kept[0] |= (uint64_t)TILE_KEPT(c0[v], threshold) << at;
                kept[1] |= (uint64_t)TILE_KEPT(c1[v], threshold) << at;
                kept[2] |= (uint64_t)TILE_KEPT(c2[v], threshold) << at;
                kept[3] |= (uint64_t)TILE_KEPT(c3[v], threshold) << at;
            }
        }
    }
}

/* ---- out of the tile ---- */

/* ROWS queries (columns of t) by so many vectors of the width: O += P V, dQ += dS K. */
INLINE void gather_rows(unsigned vectors, uint64_t n, const float *t, const float *a, uint64_t a_row,
                        const float *alpha, float *y, uint64_t width) {
    vec sum[ROWS][WIDE];
    UNROLL for (unsigned r = 0; r < ROWS; r++) UNROLL for (unsigned v = 0; v < vectors; v++) sum[r][v] =
        LOAD(y + r * width + v * LANES) * SPLAT(alpha ? alpha[r] : 1.0f);
    for (uint64_t j = 0; j < n; j++, a += a_row, t += TILE_PANEL) {
        vec a_j[WIDE];
        UNROLL for (unsigned v = 0; v < vectors; v++) a_j[v] = LOAD(a + v * LANES);
        UNROLL for (unsigned r = 0; r < ROWS; r++) {
            vec t_jr = SPLAT(t[r]);
            UNROLL for (unsigned v = 0; v < vectors; v++) sum[r][v] = TILE_FMA(t_jr, a_j[v], sum[r][v]);
        }
    }
    UNROLL for (unsigned r = 0; r < ROWS; r++) UNROLL for (unsigned v = 0; v < vectors; v++)
        STORE(y + r * width + v * LANES, sum[r][v]);
}

INLINE void gather_strip(unsigned vectors, const struct tile_band *b, uint64_t n, uint64_t width, const float *t,
                         const float *a, uint64_t a_row, const float *alpha, float *y) {
    for (uint64_t r = 0; r < b->columns; r += ROWS) {
        const struct range keys = keys_of(b, n, r, ROWS);
        gather_rows(vectors, keys.to - keys.from, t + keys.from * TILE_PANEL + r, a + keys.from * a_row, a_row,
                    alpha ? alpha + r : NULL, y + r * width, width);
    }
}

static void gather(const struct tile_band *b, uint64_t n, uint64_t width, const float *t, const float *a,
                   uint64_t a_row, const float *alpha, float *y) {
    uint64_t c = 0;
    for (; c + WIDE * LANES <= width; c += WIDE * LANES)
        gather_strip(WIDE, b, n, width, t, a + c, a_row, alpha, y + c);
    if (c < width)
        gather_strip(THIN, b, n, width, t, a + c, a_row, alpha, y + c);
}

/* So many keys by so many vectors of the width, summed over n queries: dV += P^T dO, dK += dS^T Q. */
INLINE void spread_rows(unsigned rows, unsigned vectors, uint64_t n, const float *t, const float *x, uint64_t x_row,
                        float *y, uint64_t y_row) {
    vec sum[ROWS][WIDE];
    UNROLL for (unsigned r = 0; r < rows; r++) UNROLL for (unsigned v = 0; v < vectors; v++) sum[r][v] =
        LOAD(y + r * y_row + v * LANES);
    for (uint64_t q = 0; q < n; q++, x += x_row, t++) {
        vec x_q[WIDE];
        UNROLL for (unsigned v = 0; v < vectors; v++) x_q[v] = LOAD(x + v * LANES);
        UNROLL for (unsigned r = 0; r < rows; r++) {
            vec t_rq = SPLAT(t[r * TILE_PANEL]);
            UNROLL for (unsigned v = 0; v < vectors; v++) sum[r][v] = TILE_FMA(t_rq, x_q[v], sum[r][v]);
        }
    }
    UNROLL for (unsigned r = 0; r < rows; r++) UNROLL for (unsigned v = 0; v < vectors; v++)
        STORE(y + r * y_row + v * LANES, sum[r][v]);
}

INLINE void spread_strip(unsigned vectors, const struct tile_band *b, uint64_t n, const float *t, const float *x,
                         uint64_t x_row, float *y, uint64_t y_row) {
    uint64_t j = 0;
    for (; j + ROWS <= n; j += ROWS) {
        const struct range q = columns_of(b, j, ROWS);
        spread_rows(ROWS, vectors, q.to - q.from, t + j * TILE_PANEL + q.from, x + q.from * x_row, x_row, y + j * y_row,
                    y_row);
    }
    for (; j + 2 <= n; j += 2) {
        const struct range q = columns_of(b, j, 2);
        spread_rows(2, vectors, q.to - q.from, t + j * TILE_PANEL + q.from, x + q.from * x_row, x_row, y + j * y_row,
                    y_row);
    }
    if (j < n) {
        const struct range q = columns_of(b, j, 1);
        spread_rows(1, vectors, q.to - q.from, t + j * TILE_PANEL + q.from, x + q.from * x_row, x_row, y + j * y_row,
                    y_row);
    }
}

static void spread(const struct tile_band *b, uint64_t n, uint64_t width, const float *t, const float *x,
                   uint64_t x_row, float *y, uint64_t y_row) {
    uint64_t c = 0;
    for (; c + WIDE * LANES <= width; c += WIDE * LANES)
        spread_strip(WIDE, b, n, t, x + c, x_row, y + c, y_row);
    if (c < width)
        spread_strip(THIN, b, n, t, x + c, x_row, y + c, y_row);
}
