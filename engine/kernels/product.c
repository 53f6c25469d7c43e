/* product.c - see product.h. A sum over the inner dimension stays on one thread and runs in one order. */
#include "engine/kernels/product.h"

#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"

enum { BLOCK = 768, BLOCK_LEAST = 64, BLOCKS_WANTED = 4, BLOCKS_MANY = 16, NARROW_BLOCKS_WANTED = 8, VECTOR = 16 };

/* How a result is cut. */
struct cut {
    uint64_t rows, columns; /* of a block */
    uint64_t across, blocks;
};

static uint64_t side(uint64_t whole, uint64_t parts) {
    return units_max(BLOCK_LEAST, units_ceil_div(units_ceil_div(whole, parts), VECTOR) * VECTOR);
}

/* OpenBLAS packs what a block reads, so rows of a are packed once for each block across and columns of b for each one
 * down: blocks are large and few. While they are few, their number is a multiple of BLOCKS_WANTED, so that two or four
 * threads finish together; of the grids that allow it, the one that packs least. m and n are not 0. */
static struct cut cut_of(uint64_t m, uint64_t n) {
    const uint64_t down = units_ceil_div(m, BLOCK), across = units_ceil_div(n, BLOCK);
    struct cut c = {.rows = side(m, down), .columns = side(n, across)};
    uint64_t least = UINT64_MAX;
    for (uint64_t d = down; down * across < BLOCKS_MANY && d < down + BLOCKS_WANTED; d++)
        for (uint64_t a = across; a < across + BLOCKS_WANTED; a++) {
            const uint64_t packed = a * m + d * n;
            if (d * a % BLOCKS_WANTED || packed >= least)
                continue;
            c.rows = side(m, d);
            c.columns = side(n, a);
            least = packed;
        }
    return c;
}

/* Blocks that fit the panels. */
static struct cut narrow_cut_of(uint64_t m, uint64_t n) {
    struct cut c = {.rows = units_min(PRODUCT_BLOCK, m), .columns = n};
    const uint64_t down = units_ceil_div(m, c.rows);
    if (down < NARROW_BLOCKS_WANTED) /* few rows: cut the columns too, into whole vectors */
        c.columns = side(n, NARROW_BLOCKS_WANTED / down);
    c.columns = units_min(PRODUCT_BLOCK, c.columns);
    return c;
}

/* One thread's workspace: a block of c, a panel of a, a panel of b. */
struct panels {
    uint64_t c, a, b; /* floats, whole cache lines */
};

static struct panels panels_of(uint64_t m, uint64_t n, uint64_t k) {
    const uint64_t rows = units_min(PRODUCT_BLOCK, m), columns = units_min(PRODUCT_BLOCK, n);
    const uint64_t depth = units_min(PRODUCT_DEPTH, k);
    return (struct panels){units_ceil_div(rows * columns, 16) * 16, units_ceil_div(rows * depth, 16) * 16,
                           units_ceil_div(depth * columns, 16) * 16};
}

static uint64_t panels_floats(struct panels p) {
    return p.c + p.a + p.b;
}

uint64_t product_work_bytes(uint64_t m, uint64_t n, uint64_t k, unsigned threads) {
    const uint64_t most = units_ceil_div(m, PRODUCT_BLOCK) * units_ceil_div(n, BLOCK_LEAST); /* blocks */
    const uint64_t slots = units_max(1, units_min(threads, most));
    return slots * panels_floats(panels_of(m, n, k)) * sizeof(float);
}

struct task {
    const struct product *p;
    struct cut cut;
    struct panels panels;
    float *work;
    bool narrow;
};

/* Rows [r, r + m) and columns [c, c + n) of x, as floats: where they are, or in the panel. */
static struct gemm_matrix part(const struct product_matrix *x, uint64_t r, uint64_t c, uint64_t m, uint64_t n,
                               float *panel) {
    const uint64_t from = x->turned ? c * x->row + r : r * x->row + c;
    const uint64_t rows = x->turned ? n : m, columns = x->turned ? m : n;
    if (!x->numbers.narrow)
        return (struct gemm_matrix){(const float *)x->numbers.at + from, x->row, x->turned};
    for (uint64_t i = 0; i < rows; i++)
        numbers_read(x->numbers, from + i * x->row, columns, panel + i * columns);
    return (struct gemm_matrix){panel, columns, x->turned};
}

/* What a block of c starts from: bias, or what is there. */
static void start(const struct product *p, uint64_t r, uint64_t c, uint64_t m, uint64_t n, float *block, uint64_t row) {
    for (uint64_t i = 0; i < m; i++)
        if (p->bias.at) {
            const float *bias = numbers_read(p->bias, c, n, block + i * row);
            if (bias != block + i * row)
                memcpy(block + i * row, bias, n * sizeof *bias);
        } else if (p->c.narrow) {
            numbers_open_sum(p->c, (r + i) * p->c_row + c, n, block + i * row);
        }
}

static void block_task(void *arg, uint64_t index, unsigned slot) {
    const struct task *t = arg;
    const struct product *p = t->p;
    const uint64_t r = index / t->cut.across * t->cut.rows, c = index % t->cut.across * t->cut.columns;
    const uint64_t m = units_min(t->cut.rows, p->m - r), n = units_min(t->cut.columns, p->n - c);
    const uint64_t depth = t->narrow ? PRODUCT_DEPTH : units_max(1, p->k);
    float *work = t->work + slot * panels_floats(t->panels), *a = work + t->panels.c, *b = a + t->panels.a;
    float *to = numbers_open(p->c, r * p->c_row + c, work), beta = p->sum || p->bias.at ? 1 : 0;
    const uint64_t row = p->c.narrow ? n : p->c_row;
    if (p->sum || p->bias.at)
        start(p, r, c, m, n, to, row);
    uint64_t from = 0;
    do {
        const uint64_t k = units_min(depth, p->k - from);
        gemm(m, n, k, 1, part(&p->a, r, from, m, k, a), part(&p->b, from, c, k, n, b), beta, to, row);
        beta = 1;
        from += depth;
    } while (from < p->k);
    for (uint64_t i = 0; p->c.narrow && i < m; i++)
        numbers_close(p->c, (r + i) * p->c_row + c, n, to + i * n);
}

void product_run(struct pool *pool, const struct product *p, void *work) {
    struct task t = {.p = p, .work = work, .narrow = p->a.numbers.narrow || p->b.numbers.narrow || p->c.narrow};
    if (p->m == 0 || p->n == 0)
        return;
    t.cut = t.narrow ? narrow_cut_of(p->m, p->n) : cut_of(p->m, p->n);
    t.cut.across = units_ceil_div(p->n, t.cut.columns);
    t.cut.blocks = units_ceil_div(p->m, t.cut.rows) * t.cut.across;
    if (t.narrow)
        t.panels = panels_of(p->m, p->n, p->k);
    if (t.cut.blocks)
        pool_run(pool, t.cut.blocks, block_task, &t);
}
