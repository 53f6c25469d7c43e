/* linear.c - see linear.h. Each product is cut into a grid of blocks of its result by its shape alone: a sum over the
 * inner dimension stays within one OpenBLAS call on one thread, so it runs in one order. */
#include "engine/kernels/linear.h"

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/gemm.h"

enum { BLOCK = 768, BLOCK_LEAST = 64, BLOCKS_WANTED = 4, BLOCKS_MANY = 16, VECTOR = 16, COLUMNS = 64 };

struct product {
    uint64_t m, n, k, rows, columns; /* rows, columns: of a block */
    struct gemm_matrix a, b;
    float beta, *c;
    const float *bias; /* c[r][] = bias first, where given */
};

static const float *element(const struct gemm_matrix *a, uint64_t r, uint64_t c) {
    return a->turned ? a->at + c * a->row + r : a->at + r * a->row + c;
}

static void product_task(void *arg, uint64_t index, unsigned slot) {
    const struct product *p = arg;
    const uint64_t across = units_ceil_div(p->n, p->columns);
    const uint64_t r = index / across * p->rows, c = index % across * p->columns;
    const uint64_t m = units_min(p->rows, p->m - r), n = units_min(p->columns, p->n - c);
    float *to = p->c + r * p->n + c;
    struct gemm_matrix a = p->a, b = p->b;
    (void)slot;
    a.at = element(&p->a, r, 0);
    b.at = element(&p->b, 0, c);
    for (uint64_t i = 0; p->bias && i < m; i++)
        for (uint64_t j = 0; j < n; j++)
            to[i * p->n + j] = p->bias[c + j];
    gemm(m, n, p->k, 1, a, b, p->bias ? 1 : p->beta, to, p->n);
}

static uint64_t side(uint64_t whole, uint64_t parts) {
    return units_max(BLOCK_LEAST, units_ceil_div(units_ceil_div(whole, parts), VECTOR) * VECTOR);
}

/* OpenBLAS packs what a block reads, so rows of a are packed once for each block across and columns of b for each one
 * down: blocks are large and few. While they are few, their number is a multiple of BLOCKS_WANTED, so that two or four
 * threads finish together; of the grids that allow it, the one that packs least. */
static void product_cut(struct product *p) {
    const uint64_t down = units_ceil_div(p->m, BLOCK), across = units_ceil_div(p->n, BLOCK);
    uint64_t best_down = down, best_across = across, least = UINT64_MAX;
    for (uint64_t d = down; down * across < BLOCKS_MANY && d < down + BLOCKS_WANTED; d++)
        for (uint64_t a = across; a < across + BLOCKS_WANTED; a++) {
            const uint64_t packed = a * p->m + d * p->n;
            if (d * a % BLOCKS_WANTED || packed >= least)
                continue;
            best_down = d;
            best_across = a;
            least = packed;
        }
    p->rows = side(p->m, best_down);
    p->columns = side(p->n, best_across);
}

static void product_run(struct pool *pool, struct product p) {
    product_cut(&p);
    pool_run(pool, units_ceil_div(p.m, p.rows) * units_ceil_div(p.n, p.columns), product_task, &p);
}

void linear_forward(const struct linear *l) {
    product_run(l->pool, (struct product){.m = l->rows,
                                          .n = l->out,
                                          .k = l->in,
                                          .a = {l->x, l->in, 0},
                                          .b = {l->weight, l->in, 1},
                                          .c = l->y,
                                          .bias = l->bias});
}

static void bias_task(void *arg, uint64_t index, unsigned slot) {
    const struct linear *l = arg;
    const uint64_t from = index * COLUMNS, n = units_min(COLUMNS, l->out - from);
    double sum[COLUMNS] = {0};
    (void)slot;
    for (uint64_t r = 0; r < l->rows; r++)
        for (uint64_t c = 0; c < n; c++)
            sum[c] += l->d_y[r * l->out + from + c];
    for (uint64_t c = 0; c < n; c++)
        l->d_bias[from + c] += (float)sum[c];
}

void linear_backward(const struct linear *l) {
    if (l->d_x)
        product_run(l->pool, (struct product){.m = l->rows,
                                              .n = l->in,
                                              .k = l->out,
                                              .a = {l->d_y, l->out, 0},
                                              .b = {l->weight, l->in, 0},
                                              .c = l->d_x,
                                              .beta = 1});
    if (l->d_weight)
        product_run(l->pool, (struct product){.m = l->out,
                                              .n = l->in,
                                              .k = l->rows,
                                              .a = {l->d_y, l->out, 1},
                                              .b = {l->x, l->in, 0},
                                              .c = l->d_weight,
                                              .beta = 1});
    if (l->d_bias)
        pool_run(l->pool, units_ceil_div(l->out, COLUMNS), bias_task, (void *)l);
}
