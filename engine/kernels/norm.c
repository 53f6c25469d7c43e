/* norm.c - see norm.h. Sums over a row run in LANES partial sums; their order is fixed. A row is read a block at a
 * time, and each block as floats. */
#include "engine/kernels/norm.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/rows.h"

enum { ROWS = 16, COLUMNS = 256, COLUMNS_HELD = 4096, ROW_HELD = 4096, CACHE_HELD = 1 << 15 };

/* In pairs: one after the other, each would wait for the sum before it. */
static float lanes_sum(const float lanes[ROWS_SUMS]) {
    double sum[ROWS_SUMS];
    for (unsigned lane = 0; lane < ROWS_SUMS; lane++)
        sum[lane] = (double)lanes[lane];
    for (unsigned half = ROWS_SUMS / 2; half > 0; half /= 2)
        for (unsigned lane = 0; lane < half; lane++)
            sum[lane] += sum[lane + half];
    return (float)sum[0];
}

/* How many numbers of a row are read at once: all where they are floats in place. */
static uint64_t step_of(const struct norm *f) {
    const bool weights_copied = !f->weight.at || f->weight.narrow || f->offset != 0;
    const bool narrow = f->x.narrow || f->bias.narrow || f->y.narrow || f->d_y.narrow || f->d_x.narrow;
    return narrow || weights_copied ? NUMBERS_BLOCK : f->n;
}

/* Row r of a tensor, which several passes read: as floats, widened once into held[ROW_HELD], where that is possible. */
static struct numbers row_of(const struct norm *f, struct numbers x, uint64_t r, float *held) {
    const struct numbers row = numbers_from(x, r * f->n);
    return row.narrow && f->n <= ROW_HELD ? numbers_float(numbers_read(row, 0, f->n, held)) : row;
}

static float mean_of(const struct norm *f, struct numbers row) {
    float lanes[ROWS_SUMS] = {0}, block[NUMBERS_BLOCK];
    const uint64_t step = step_of(f);
    for (uint64_t c = 0; c < f->n; c += step) {
        const uint64_t n = units_min(step, f->n - c);
        rows_best()->norm_sum(n, numbers_read(row, c, n, block), lanes);
    }
    return lanes_sum(lanes) / (float)f->n;
}

/* mean of (x - middle)^2, while the next row comes nearer */
static float spread_of(const struct norm *f, struct numbers row, bool last, float middle) {
    float lanes[ROWS_SUMS] = {0}, block[NUMBERS_BLOCK];
    const uint64_t step = step_of(f);
    for (uint64_t c = 0; c < f->n; c += step) {
        const uint64_t n = units_min(step, f->n - c);
        const float *x = numbers_read(row, c, n, block);
        rows_best()->norm_spread(n, x, f->x.narrow || last ? x : x + f->n, middle, lanes);
    }
    return lanes_sum(lanes) / (float)f->n;
}

/* What row r is multiplied by, columns [c, c + n): in place, or in block. */
static const float *weights(const struct norm *f, uint64_t r, uint64_t c, uint64_t n, float *block) {
    const uint64_t head = f->heads == 1 ? 0 : r % f->heads;
    const float *w = f->weight.at ? numbers_read(f->weight, head * f->n + c, n, block) : NULL;
    if (w && f->offset == 0)
        return w;
    for (uint64_t i = 0; i < n; i++)
        block[i] = w ? f->offset + w[i] : 1;
    return block;
}

static void forward_block(const struct norm *f, struct numbers row, uint64_t r, uint64_t c, uint64_t n, float middle,
                          float rstd) {
    float x_block[NUMBERS_BLOCK], w_block[NUMBERS_BLOCK], bias_block[NUMBERS_BLOCK], y_block[NUMBERS_BLOCK];
    const float *x = numbers_read(row, c, n, x_block), *w = weights(f, r, c, n, w_block);
    float *y = numbers_open(f->y, r * f->n + c, y_block);
    const float *bias = f->bias.at ? numbers_read(f->bias, c, n, bias_block) : NULL;
    rows_best()->norm_apply(n, x, middle, rstd, w, bias, y);
    numbers_close(f->y, r * f->n + c, n, y_block);
}

static void forward_task(void *arg, uint64_t index, unsigned slot) {
    const struct norm *f = arg;
    const uint64_t step = step_of(f);
    float held[ROW_HELD];
    (void)slot;
    for (uint64_t r = index * ROWS; r < units_min(f->rows, (index + 1) * ROWS); r++) {
        const struct numbers row = row_of(f, f->x, r, held);
        const float middle = f->mean ? mean_of(f, row) : 0;
        const float rstd = 1 / sqrtf(spread_of(f, row, r + 1 == f->rows, middle) + f->epsilon);
        if (f->mean)
            f->mean[r] = middle;
        f->rstd[r] = rstd;
        for (uint64_t c = 0; c < f->n; c += step)
            forward_block(f, row, r, c, units_min(step, f->n - c), middle, rstd);
    }
}

void norm_forward(const struct norm *f) {
    pool_run(f->pool, units_ceil_div(f->rows, ROWS), forward_task, (void *)f);
}

/* One row of the backward. With g = d_y weight and z = (x - mean) rstd: d_x += rstd (g - mean(g) - z mean(g z)); RMS
 * norm lacks the middle term. */
struct row {
    const struct norm *f;
    uint64_t r;
    struct numbers x, d_y;
    float middle, rstd, plain[ROWS_SUMS], along[ROWS_SUMS]; /* partial sums of g and g z */
    float g_mean, gz_mean;
};

static void sums_block(struct row *s, uint64_t from, uint64_t n) {
    const struct norm *f = s->f;
    float x_block[NUMBERS_BLOCK], w_block[NUMBERS_BLOCK], d_y_block[NUMBERS_BLOCK];
    const float *x = numbers_read(s->x, from, n, x_block), *w = weights(f, s->r, from, n, w_block);
    const float *d_y = numbers_read(s->d_y, from, n, d_y_block);
    const float *soon = f->d_x.narrow ? x : (const float *)f->d_x.at + s->r * f->n + from;
    rows_best()->norm_sums(n, x, soon, s->middle, s->rstd, w, d_y, s->plain, s->along);
}

static void d_x_block(const struct row *s, uint64_t from, uint64_t n) {
    const struct norm *f = s->f;
    float x_block[NUMBERS_BLOCK], w_block[NUMBERS_BLOCK], d_y_block[NUMBERS_BLOCK], d_x_sum[NUMBERS_BLOCK];
    const float *x = numbers_read(s->x, from, n, x_block), *w = weights(f, s->r, from, n, w_block);
    const float *d_y = numbers_read(s->d_y, from, n, d_y_block);
    float *d_x = numbers_open_sum(f->d_x, s->r * f->n + from, n, d_x_sum);
    rows_best()->norm_d_x(n, x, s->middle, s->rstd, w, d_y, s->g_mean, s->gz_mean, d_x);
    numbers_close(f->d_x, s->r * f->n + from, n, d_x_sum);
}

struct backward {
    const struct norm *f;
    uint64_t rows;             /* of a task */
    double *d_weight, *d_bias; /* [n] */
    atomic_uint_fast64_t done; /* tasks whose sums are in them */
};

static void d_x_row(const struct norm *f, uint64_t r, float held[2 * ROW_HELD]) {
    const uint64_t step = step_of(f);
    struct row s = {.f = f, .r = r, .middle = f->mean ? f->mean[r] : 0, .rstd = f->rstd[r]};
    s.x = row_of(f, f->x, r, held);
    s.d_y = row_of(f, f->d_y, r, held + ROW_HELD);
    for (uint64_t c = 0; c < f->n; c += step)
        sums_block(&s, c, units_min(step, f->n - c));
    s.g_mean = f->mean ? lanes_sum(s.plain) / (float)f->n : 0;
    s.gz_mean = lanes_sum(s.along) / (float)f->n;
    for (uint64_t c = 0; c < f->n; c += step)
        d_x_block(&s, c, units_min(step, f->n - c));
}

static void d_x_task(void *arg, uint64_t index, unsigned slot) {
    const struct backward *b = arg;
    float held[2 * ROW_HELD];
    (void)slot;
    for (uint64_t r = index * b->rows; b->f->d_x.at && r < units_min(b->f->rows, (index + 1) * b->rows); r++)
        d_x_row(b->f, r, held);
}

static uint64_t tasks_of(const struct backward *b) {
    return units_ceil_div(b->f->rows, b->rows);
}

/* d_weight += sum over every `heads`th row of d_y z, d_bias += sum of d_y: columns [from, from + n), rows in order. */
static void rows_sum(const struct norm *f, uint64_t first, uint64_t end, uint64_t heads, uint64_t from, uint64_t n,
                     double *d_weight, double *d_bias) {
    const struct rows *best = rows_best();
    float x_block[COLUMNS], d_y_block[COLUMNS];
    for (uint64_t c = 0, many; c < n; c += many) {
        many = f->x.narrow || f->d_y.narrow ? units_min(COLUMNS, n - c) : n;
        for (uint64_t r = first; r < end; r += heads) {
            const float *x = numbers_read(f->x, r * f->n + from + c, many, x_block);
            const float *d_y = numbers_read(f->d_y, r * f->n + from + c, many, d_y_block);
            best->norm_columns(many, x, f->mean ? f->mean[r] : 0, f->rstd[r], d_y, d_weight + c, d_bias + c);
        }
    }
}

static void columns_add(struct numbers y, uint64_t from, uint64_t n, const double *sum) {
    float block[COLUMNS];
    for (uint64_t many; y.at && n > 0; n -= many, from += many, sum += many) {
        many = units_min(n, COLUMNS);
        float *at = numbers_open_sum(y, from, many, block);
        for (uint64_t c = 0; c < many; c++)
            at[c] += (float)sum[c];
        numbers_close(y, from, many, block);
    }
}

/* ---- gradients of weights: one row of them ---- */

/* d_x of some rows, and their sums while a thread's cache holds them; these join the others' in order. */
static void rows_task(void *arg, uint64_t index, unsigned slot) {
    struct backward *b = arg;
    const struct norm *f = b->f;
    double d_weight[COLUMNS_HELD], d_bias[COLUMNS_HELD];
    d_x_task(arg, index, slot);
    memset(d_weight, 0, f->n * sizeof *d_weight);
    memset(d_bias, 0, f->n * sizeof *d_bias);
    if (f->d_weight.at || f->d_bias.at)
        rows_sum(f, index * b->rows, units_min(f->rows, (index + 1) * b->rows), 1, 0, f->n, d_weight, d_bias);
    pool_follow(&b->done, index);
    for (uint64_t c = 0; c < f->n; c++) {
        b->d_weight[c] += d_weight[c];
        b->d_bias[c] += d_bias[c];
    }
    atomic_store_explicit(&b->done, index + 1, memory_order_release);
}

static void backward_by_rows(const struct norm *f) {
    double d_weight[COLUMNS_HELD], d_bias[COLUMNS_HELD];
    struct backward b = {f, units_max(ROWS, CACHE_HELD / units_max(1, f->n)), d_weight, d_bias, 0};
    memset(d_weight, 0, f->n * sizeof *d_weight);
    memset(d_bias, 0, f->n * sizeof *d_bias);
    pool_run(f->pool, tasks_of(&b), rows_task, &b);
    columns_add(f->d_weight, 0, f->n, d_weight);
    columns_add(f->d_bias, 0, f->n, d_bias);
}

/* ---- of weights [heads][n], row r adding to head r mod heads, or of rows too long to hold ---- */

struct columns {
    const struct norm *f;
    uint64_t heads, pieces; /* pieces of COLUMNS that a head is cut into */
    struct numbers d_weight, d_bias;
};

static void columns_task(void *arg, uint64_t index, unsigned slot) {
    const struct columns *t = arg;
    const struct norm *f = t->f;
    const uint64_t head = index / t->pieces, from = index % t->pieces * COLUMNS, n = units_min(COLUMNS, f->n - from);
    double weight[COLUMNS] = {0}, bias[COLUMNS] = {0};
    (void)slot;
    rows_sum(f, head, f->rows, t->heads, from, n, weight, bias);
    columns_add(t->d_weight, head * f->n + from, n, weight);
    columns_add(t->d_bias, head * f->n + from, n, bias);
}

static void columns_run(const struct norm *f, uint64_t heads, struct numbers d_weight, struct numbers d_bias) {
    struct columns t = {f, heads, units_ceil_div(f->n, COLUMNS), d_weight, d_bias};
    if (d_weight.at || d_bias.at)
        pool_run(f->pool, heads * t.pieces, columns_task, &t);
}

void norm_backward(const struct norm *f) {
    const struct numbers none = {NULL, false};
    if (f->heads == 1 && f->n <= COLUMNS_HELD) {
        backward_by_rows(f);
        return;
    }
    struct backward b = {.f = f, .rows = ROWS};
    pool_run(f->pool, tasks_of(&b), d_x_task, &b);
    if (f->heads == 1) {
        columns_run(f, 1, f->d_weight, f->d_bias);
        return;
    }
    columns_run(f, f->heads, f->d_weight, none);
    columns_run(f, 1, none, f->d_bias); /* a bias is one for all heads */
}
