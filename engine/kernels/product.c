/* product.c - see product.h */
#include "engine/kernels/product.h"

#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"

enum { BLOCK_COLUMNS = 768, BLOCK_LEAST = 64, VECTOR = 32 };

/* How a result is cut. */
struct cut {
    uint64_t rows, columns; /* of a block */
    uint64_t across, blocks;
};

static uint64_t side(uint64_t whole, uint64_t parts) {
    return units_max(BLOCK_LEAST, units_ceil_div(units_ceil_div(whole, parts), VECTOR) * VECTOR);
}

/* A block packs the columns of b that it reads, and its rows of a for each BLOCK_COLUMNS of them, so blocks are large
 * and few: a multiple of the number of threads, so that these finish together; of the grids that allow it, the one that
 * packs least. The bits don't depend on it (gemm.h). m and n are not 0. */
static struct cut cut_of(uint64_t m, uint64_t n, unsigned threads) {
    const uint64_t across = units_ceil_div(n, BLOCK_COLUMNS);
    struct cut c = {.rows = m, .columns = side(n, across)};
    uint64_t least = UINT64_MAX;
    for (uint64_t d = 1; d <= threads; d++)
        for (uint64_t a = across; a < across + threads; a++) {
            const uint64_t packed = a * m + d * n;
            if (d * a % threads || packed >= least)
                continue;
            c.rows = side(m, d);
            c.columns = side(n, a);
            least = packed;
        }
    return c;
}

/* Blocks that fit the workspace. */
static struct cut narrow_cut_of(uint64_t m, uint64_t n, unsigned threads) {
    struct cut c = cut_of(m, n, threads);
    c.rows = units_min(PRODUCT_BLOCK, c.rows);
    c.columns = units_min(PRODUCT_BLOCK, c.columns);
    return c;
}

static uint64_t block_floats(uint64_t m, uint64_t n) {
    return units_ceil_div(units_min(PRODUCT_BLOCK, m) * units_min(PRODUCT_BLOCK, n), 16) * 16;
}

uint64_t product_work_bytes(uint64_t m, uint64_t n, unsigned threads) {
    const uint64_t most = units_ceil_div(m, BLOCK_LEAST) * units_ceil_div(n, BLOCK_LEAST); /* blocks */
    const uint64_t slots = units_max(1, units_min(threads, most));
    return slots * block_floats(m, n) * sizeof(float);
}

struct task {
    const struct product *p;
    struct cut cut;
    float *work;
};

/* x from row r and column c on. */
static struct gemm_matrix part(const struct gemm_matrix *x, uint64_t r, uint64_t c) {
    const struct numbers all = {(void *)x->at, x->narrow};
    return gemm_part(all, x->turned ? c * x->row + r : r * x->row + c, x->row, x->turned);
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
    const uint64_t row = p->c.narrow ? n : p->c_row;
    float *to = numbers_open(p->c, r * p->c_row + c, t->work + slot * block_floats(p->m, p->n));
    const bool sum = p->sum || p->bias.at;
    if (sum)
        start(p, r, c, m, n, to, row);
    gemm(m, n, p->k, 1, part(&p->a, r, 0), part(&p->b, 0, c), sum, to, row);
    for (uint64_t i = 0; p->c.narrow && i < m; i++)
        numbers_close(p->c, (r + i) * p->c_row + c, n, to + i * n);
}

void product_run(struct pool *pool, const struct product *p, void *work) {
    struct task t = {.p = p, .work = work};
    if (p->m == 0 || p->n == 0)
        return;
    t.cut = (p->c.narrow ? narrow_cut_of : cut_of)(p->m, p->n, pool_threads(pool));
    t.cut.across = units_ceil_div(p->n, t.cut.columns);
    t.cut.blocks = units_ceil_div(p->m, t.cut.rows) * t.cut.across;
    pool_run(pool, t.cut.blocks, block_task, &t);
}
