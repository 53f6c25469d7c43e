/* tile_product.h - the part of tile_body.h that multiplies matrices: c[m][n] = or += factor a[m][k] b[k][n].
 *
 *               BROAD columns          A panel of b, DEPTH of the inner dimension deep, is packed in strips of
 *             +----+----+----+         STRIP columns and stays in the second-level cache. Past it go the rows of a,
 *       DEPTH |    |    |    |  b      TALL at a time, packed as they come: that strip stays in the first. For each
 *             +----+----+----+         pair of strips one register tile of c is summed up over the depth and added
 *        DEPTH                         to c.
 *       +---+ +----+----+----+
 *  TALL | a | |tile|    |    |  c      Both kinds of strip are [depth][rows or columns]: of a, a number goes to all
 *       +---+ +----+----+----+         lanes, of b a row is loaded. bfloat16 is widened on the way.
 *
 * (Goto and van de Geijn, Anatomy of high-performance matrix multiplication, with the roles of caches as in BLIS, but
 * the operand that streams is a.) How deep a panel is depends on k alone, and a number of c is one chain of
 * multiply-adds for each panel: its bits don't depend on m, n, or where in c it lies. */
#include "engine/kernels/tile.h"

enum {
    TALL = LANES == 16 ? 12 : 6,         /* rows of a register tile, */
    BESIDE = 2,                          /* and its vectors of columns */
    STRIP = BESIDE * LANES,              /* columns */
    DEPTH = 256,                         /* at most; whole sixteens */
    BROAD = LANES == 16 ? 768 : 384,     /* of a panel of b: 768 or 384 KiB */
    FEW = LANES / 2 < 4 ? 4 : LANES / 2, /* columns that are better off as rows */
    LINE = 16,                           /* numbers of a cache line */
    AHEAD = 512,                         /* numbers of a strip of b that are asked for early */
};
_Static_assert(BROAD % STRIP == 0 && TALL % 2 == 0, "panels are whole strips");

/* ---- packing ---- */

static uint64_t least(uint64_t x, uint64_t y) {
    return x < y ? x : y;
}

typedef uint16_t half_four __attribute__((vector_size(8), aligned(2), may_alias));
typedef uint32_t word_four __attribute__((vector_size(16)));

INLINE void four_read(const struct gemm_matrix *x, uint64_t from, four *y) {
    if (x->narrow)
        *y = (four)(__builtin_convertvector(*(const half_four *)((const uint16_t *)x->at + from), word_four) << 16);
    else
        *y = *(const four_at *)((const float *)x->at + from);
}

INLINE float one_read(const struct gemm_matrix *x, uint64_t from) {
    union {
        uint32_t word;
        float number;
    } width;
    if (!x->narrow)
        return ((const float *)x->at)[from];
    width.word = (uint32_t)((const uint16_t *)x->at)[from] << 16;
    return width.number;
}

/* A strip of one operand: to[depth][width] holds `count` lines from `line` on, and zeros, of the numbers `from` and on
 * along the inner dimension. Here the inner dimension is the one that lies together in memory, */
INLINE void pack_along(const struct gemm_matrix *x, uint64_t line, uint64_t count, uint64_t from, uint64_t depth,
                       unsigned width, float *to) {
    enum { TOGETHER = 16 }; /* of a line, a cache line of memory */
    for (uint64_t start = 0; start < depth; start += TOGETHER, to += TOGETHER * width) {
        const uint64_t n = least(TOGETHER, depth - start);
        uint64_t l = 0;
        for (; n == TOGETHER && l + 4 <= count; l += 4) {
            const uint64_t at = (line + l) * x->row + from + start;
            UNROLL for (uint64_t i = 0; i < TOGETHER; i += 4) {
                four in[4];
                UNROLL for (unsigned r = 0; r < 4; r++) four_read(x, at + r * x->row + i, &in[r]);
                turn_four(in, to + i * width + l, width);
            }
        }
        for (; l < width; l++)
            for (uint64_t i = 0; i < n; i++)
                to[i * width + l] = l < count ? one_read(x, (line + l) * x->row + from + start + i) : 0;
    }
}

/* and here the lines' numbers. */
INLINE void pack_across(const struct gemm_matrix *x, uint64_t line, uint64_t count, uint64_t from, uint64_t depth,
                        unsigned width, float *to) {
    for (uint64_t i = 0; i < depth; i++, to += width) {
        const uint64_t at = (from + i) * x->row + line;
        uint64_t l = 0;
        if (count == width)
            UNROLL for (; l + 4 <= width; l += 4) {
                four in;
                four_read(x, at + l, &in);
                *(four_at *)(to + l) = in;
            }
        for (; l < width; l++)
            to[l] = l < count ? one_read(x, at + l) : 0;
    }
}

/* All four ways in which a matrix lies, each compiled for itself. */
INLINE void pack_strip(const struct gemm_matrix *x, bool along, uint64_t line, uint64_t count, uint64_t from,
                       uint64_t depth, unsigned width, float *to) {
    const struct gemm_matrix floats = {x->at, x->row, x->turned, false}, halves = {x->at, x->row, x->turned, true};
    if (along && x->narrow)
        pack_along(&halves, line, count, from, depth, width, to);
    else if (along)
        pack_along(&floats, line, count, from, depth, width, to);
    else if (x->narrow)
        pack_across(&halves, line, count, from, depth, width, to);
    else
        pack_across(&floats, line, count, from, depth, width, to);
}

/* Rows [r, r + count) of a, columns [c, c + count) of b; count at most TALL, STRIP. */
static void pack_rows(const struct gemm_matrix *a, uint64_t r, uint64_t count, uint64_t from, uint64_t depth,
                      float *to) {
    pack_strip(a, !a->turned, r, count, from, depth, TALL, to);
}

static void pack_columns(const struct gemm_matrix *b, uint64_t c, uint64_t count, uint64_t from, uint64_t depth,
                         float *to) {
    pack_strip(b, b->turned, c, count, from, depth, STRIP, to);
}

/* ---- a register tile ---- */

struct place {
    float *c;
    uint64_t row, column; /* how far apart rows and columns of c are */
    uint64_t columns;     /* that are wanted, up to STRIP */
    float factor;
    bool sum;
};

/* s joins LANES columns of c, of which `wanted` are there. */
INLINE void place_vector(const struct place *p, const vec *s, uint64_t wanted, float *c) {
    vec old = SPLAT(0.0f);
    if (p->column == 1 && wanted >= LANES) {
        old = p->sum ? (vec)LOAD(c) : old;
        STORE(c, TILE_FMA(*s, SPLAT(p->factor), old));
        return;
    }
    float lane[LANES] = {0};
    for (uint64_t l = 0; p->sum && l < LANES && l < wanted; l++)
        lane[l] = c[l * p->column];
    old = LOAD(lane);
    STORE(lane, TILE_FMA(*s, SPLAT(p->factor), old));
    for (uint64_t l = 0; l < LANES && l < wanted; l++)
        c[l * p->column] = lane[l];
}

/* c[rows][beside vectors] = or += factor a[depth][TALL]^T b[depth][STRIP] */
INLINE void tile_rows(unsigned rows, unsigned beside, uint64_t depth, const float *a, const float *b,
                      const struct place *p) {
    vec sum[TALL][BESIDE] = {{{0}}};
    float *c = p->c;
    for (unsigned r = 0; r < rows; r++) {
        __builtin_prefetch(c + r * p->row, 1);
        __builtin_prefetch(c + r * p->row + beside * LANES - 1, 1);
    }
    UNROLL_4 for (uint64_t i = 0; i < depth; i++, a += TALL, b += STRIP) {
        vec b_i[BESIDE];
        UNROLL for (unsigned l = 0; l < beside * LANES; l += LINE) __builtin_prefetch(b + AHEAD + l);
        UNROLL for (unsigned v = 0; v < beside; v++) b_i[v] = LOAD(b + v * LANES);
        UNROLL for (unsigned r = 0; r < rows; r++) {
            const vec a_r = SPLAT(a[r]);
            UNROLL for (unsigned v = 0; v < beside; v++) sum[r][v] = TILE_FMA(a_r, b_i[v], sum[r][v]);
        }
    }
    __asm__("" : "+r"(c)); /* so that the addresses asked for above take no registers from the sums */
    UNROLL for (unsigned r = 0; r < rows; r++) UNROLL for (unsigned v = 0; v < beside; v++) place_vector(
        p, &sum[r][v], p->columns > v * LANES ? p->columns - v * LANES : 0, c + r * p->row + v * LANES * p->column);
}

static void tile_full(uint64_t depth, const float *a, const float *b, const struct place *p) {
    tile_rows(TALL, BESIDE, depth, a, b, p);
}

/* The last rows, and the last columns where one vector holds them. */
INLINE void tile_rest(uint64_t rows, unsigned beside, uint64_t depth, const float *a, const float *b, struct place p) {
    for (; rows >= TALL; rows -= TALL, a += TALL, p.c += TALL * p.row)
        tile_rows(TALL, beside, depth, a, b, &p);
    for (; rows >= 4; rows -= 4, a += 4, p.c += 4 * p.row)
        tile_rows(4, beside, depth, a, b, &p);
    for (; rows >= 2; rows -= 2, a += 2, p.c += 2 * p.row)
        tile_rows(2, beside, depth, a, b, &p);
    if (rows)
        tile_rows(1, beside, depth, a, b, &p);
}

static void tile_some(uint64_t rows, uint64_t depth, const float *a, const float *b, const struct place *p) {
    if (p->columns > LANES)
        tile_rest(rows, BESIDE, depth, a, b, *p);
    else
        tile_rest(rows, 1, depth, a, b, *p);
}

/* ---- panels ---- */

struct panels {
    _Alignas(64) float b[BROAD * DEPTH], a[TALL * DEPTH];
};

/* Columns [c, c + columns) of the product, over [from, from + depth) of the inner dimension. */
static void panel(const struct tile_product *p, uint64_t c_column, uint64_t c, uint64_t columns, uint64_t from,
                  uint64_t depth, struct panels *x) {
    struct place at = {.row = p->c_row, .column = c_column, .factor = p->factor, .sum = p->sum || from > 0};
    for (uint64_t s = 0; s < columns; s += STRIP)
        pack_columns(&p->b, c + s, least(STRIP, columns - s), from, depth, x->b + s * depth);
    for (uint64_t r = 0; r < p->m; r += TALL) {
        const uint64_t rows = least(TALL, p->m - r);
        pack_rows(&p->a, r, rows, from, depth, x->a);
        for (uint64_t s = 0; s < columns; s += STRIP) {
            at.c = p->c + r * p->c_row + (c + s) * c_column;
            at.columns = least(STRIP, columns - s);
            if (rows == TALL && at.columns > LANES)
                tile_full(depth, x->a, x->b + s * depth, &at);
            else
                tile_some(rows, depth, x->a, x->b + s * depth, &at);
        }
    }
}

/* c^T = b^T a^T: the same products summed in the same order. */
static void turn_product(struct tile_product *p) {
    const struct tile_product was = *p;
    p->a = was.b;
    p->b = was.a;
    p->a.turned = !was.b.turned;
    p->b.turned = !was.a.turned;
    p->m = was.n;
    p->n = was.m;
}

static void product(const struct tile_product *asked) {
    struct panels x;
    struct tile_product p = *asked;
    uint64_t c_column = 1;
    if (p.n < FEW && p.m > p.n) { /* lanes would be idle */
        turn_product(&p);
        p.c_row = 1;
        c_column = asked->c_row;
    }
    const uint64_t panels = (p.k + DEPTH - 1) / DEPTH, depth = ((p.k + panels - 1) / panels + 15) / 16 * 16;
    for (uint64_t c = 0; c < p.n; c += BROAD)
        for (uint64_t from = 0; from < p.k; from += depth)
            panel(&p, c_column, c, least(BROAD, p.n - c), from, least(depth, p.k - from), &x);
}
