/* norm.c - see norm.h. Sums over a row run in LANES partial sums; their order is fixed. A row is read a block at a
 * time, and each block as floats. */
#include "engine/kernels/norm.h"

#include <math.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"

enum { LANES = 16, ROWS = 16, COLUMNS = 64 };

static float lanes_sum(const float lanes[LANES]) {
    double sum = 0;
    for (unsigned lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return (float)sum;
}

/* Vectors written out: compilers that choose for themselves take every 16th number into one, and shuffle. */
enum { VEC = 4, VECS = LANES / VEC };
typedef float vec __attribute__((vector_size(4 * VEC)));
typedef float vec_at __attribute__((vector_size(4 * VEC), aligned(4), may_alias));
#define LOAD(p) (*(const vec_at *)(p))

static void lanes_add(float sum[LANES], const float *x, uint64_t n) {
    vec lanes[VECS] = {{0}};
    uint64_t c = 0;
    for (; c + LANES <= n; c += LANES)
        for (unsigned v = 0; v < VECS; v++)
            lanes[v] += LOAD(x + c + v * VEC);
    for (unsigned lane = 0; lane < LANES; lane++)
        sum[lane] += lanes[lane / VEC][lane % VEC];
    for (; c < n; c++)
        sum[c % LANES] += x[c];
}

/* (x - middle)^2 */
static void lanes_add_spread(float sum[LANES], const float *x, uint64_t n, float middle) {
    vec lanes[VECS] = {{0}};
    uint64_t c = 0;
    for (; c + LANES <= n; c += LANES)
        for (unsigned v = 0; v < VECS; v++) {
            const vec away = LOAD(x + c + v * VEC) - middle;
            lanes[v] += away * away;
        }
    for (unsigned lane = 0; lane < LANES; lane++)
        sum[lane] += lanes[lane / VEC][lane % VEC];
    for (; c < n; c++)
        sum[c % LANES] += (x[c] - middle) * (x[c] - middle);
}

/* How many numbers of a row are read at once: all where they are floats in place. */
static uint64_t step_of(const struct norm *f) {
    const bool weights_copied = !f->weight.at || f->weight.narrow || f->offset != 0;
    const bool narrow = f->x.narrow || f->bias.narrow || f->y.narrow || f->d_y.narrow || f->d_x.narrow;
    return narrow || weights_copied ? NUMBERS_BLOCK : f->n;
}

static float mean_of(const struct norm *f, uint64_t r) {
    float lanes[LANES] = {0}, block[NUMBERS_BLOCK];
    const uint64_t step = step_of(f);
    for (uint64_t c = 0; c < f->n; c += step) {
        const uint64_t n = units_min(step, f->n - c);
        lanes_add(lanes, numbers_read(f->x, r * f->n + c, n, block), n);
    }
    return lanes_sum(lanes) / (float)f->n;
}

/* mean of (x - middle)^2 */
static float spread_of(const struct norm *f, uint64_t r, float middle) {
    float lanes[LANES] = {0}, block[NUMBERS_BLOCK];
    const uint64_t step = step_of(f);
    for (uint64_t c = 0; c < f->n; c += step) {
        const uint64_t n = units_min(step, f->n - c);
        lanes_add_spread(lanes, numbers_read(f->x, r * f->n + c, n, block), n, middle);
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

static void forward_block(const struct norm *f, uint64_t r, uint64_t c, uint64_t n, float middle, float rstd) {
    float x_block[NUMBERS_BLOCK], w_block[NUMBERS_BLOCK], bias_block[NUMBERS_BLOCK], y_block[NUMBERS_BLOCK];
    const float *x = numbers_read(f->x, r * f->n + c, n, x_block), *w = weights(f, r, c, n, w_block);
    float *y = numbers_open(f->y, r * f->n + c, y_block);
    if (f->bias.at) {
        const float *bias = numbers_read(f->bias, c, n, bias_block);
        for (uint64_t i = 0; i < n; i++)
            y[i] = (x[i] - middle) * rstd * w[i] + bias[i];
    } else {
        for (uint64_t i = 0; i < n; i++)
            y[i] = (x[i] - middle) * rstd * w[i];
    }
    numbers_close(f->y, r * f->n + c, n, y_block);
}

static void forward_task(void *arg, uint64_t index, unsigned slot) {
    const struct norm *f = arg;
    const uint64_t step = step_of(f);
    (void)slot;
    for (uint64_t r = index * ROWS; r < units_min(f->rows, (index + 1) * ROWS); r++) {
        const float middle = f->mean ? mean_of(f, r) : 0;
        const float rstd = 1 / sqrtf(spread_of(f, r, middle) + f->epsilon);
        if (f->mean)
            f->mean[r] = middle;
        f->rstd[r] = rstd;
        for (uint64_t c = 0; c < f->n; c += step)
            forward_block(f, r, c, units_min(step, f->n - c), middle, rstd);
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
    float middle, rstd, plain[LANES], along[LANES]; /* partial sums of g and g z */
    float g_mean, gz_mean;
};

static void sums_block(struct row *s, uint64_t from, uint64_t n) {
    const struct norm *f = s->f;
    float x_block[NUMBERS_BLOCK], w_block[NUMBERS_BLOCK], d_y_block[NUMBERS_BLOCK];
    vec plain[VECS] = {{0}}, along[VECS] = {{0}};
    const float *x = numbers_read(f->x, s->r * f->n + from, n, x_block), *w = weights(f, s->r, from, n, w_block);
    const float *d_y = numbers_read(f->d_y, s->r * f->n + from, n, d_y_block);
    const float middle = s->middle, rstd = s->rstd;
    uint64_t c = 0;
    for (; c + LANES <= n; c += LANES)
        for (unsigned v = 0; v < VECS; v++) {
            const vec g = LOAD(d_y + c + v * VEC) * LOAD(w + c + v * VEC);
            plain[v] += g;
            along[v] += g * ((LOAD(x + c + v * VEC) - middle) * rstd);
        }
    for (unsigned lane = 0; lane < LANES; lane++) {
        s->plain[lane] += plain[lane / VEC][lane % VEC];
        s->along[lane] += along[lane / VEC][lane % VEC];
    }
    for (; c < n; c++) {
        s->plain[c % LANES] += d_y[c] * w[c];
        s->along[c % LANES] += d_y[c] * w[c] * ((x[c] - middle) * rstd);
    }
}

static void d_x_block(const struct row *s, uint64_t from, uint64_t n) {
    const struct norm *f = s->f;
    float x_block[NUMBERS_BLOCK], w_block[NUMBERS_BLOCK], d_y_block[NUMBERS_BLOCK], d_x_sum[NUMBERS_BLOCK];
    const float *x = numbers_read(f->x, s->r * f->n + from, n, x_block), *w = weights(f, s->r, from, n, w_block);
    const float *d_y = numbers_read(f->d_y, s->r * f->n + from, n, d_y_block);
    float *d_x = numbers_open_sum(f->d_x, s->r * f->n + from, n, d_x_sum);
    const float middle = s->middle, rstd = s->rstd, g_mean = s->g_mean, gz_mean = s->gz_mean;
    for (uint64_t c = 0; c < n; c++)
        d_x[c] += rstd * (d_y[c] * w[c] - g_mean - (x[c] - middle) * rstd * gz_mean);
    numbers_close(f->d_x, s->r * f->n + from, n, d_x_sum);
}

static void d_x_task(void *arg, uint64_t index, unsigned slot) {
    const struct norm *f = arg;
    const uint64_t step = step_of(f);
    (void)slot;
    for (uint64_t r = index * ROWS; r < units_min(f->rows, (index + 1) * ROWS); r++) {
        struct row s = {.f = f, .r = r, .middle = f->mean ? f->mean[r] : 0, .rstd = f->rstd[r]};
        for (uint64_t c = 0; c < f->n; c += step)
            sums_block(&s, c, units_min(step, f->n - c));
        s.g_mean = f->mean ? lanes_sum(s.plain) / (float)f->n : 0;
        s.gz_mean = lanes_sum(s.along) / (float)f->n;
        for (uint64_t c = 0; c < f->n; c += step)
            d_x_block(&s, c, units_min(step, f->n - c));
    }
}

/* Gradients of weights or biases [heads][n]: row r adds to head r mod heads. */
struct columns {
    const struct norm *f;
    uint64_t heads, pieces; /* pieces of COLUMNS that a head is cut into */
    struct numbers d_weight, d_bias;
};

static void columns_add(struct numbers y, uint64_t from, uint64_t n, const double *sum) {
    float block[COLUMNS], *at = y.at ? numbers_open_sum(y, from, n, block) : NULL;
    for (uint64_t c = 0; at && c < n; c++)
        at[c] += (float)sum[c];
    if (at)
        numbers_close(y, from, n, block);
}

/* d_weight += sum over rows of d_y z, d_bias += sum of d_y: a few columns a task, rows in order. */
static void columns_task(void *arg, uint64_t index, unsigned slot) {
    const struct columns *t = arg;
    const struct norm *f = t->f;
    const uint64_t head = index / t->pieces, from = index % t->pieces * COLUMNS, n = units_min(COLUMNS, f->n - from);
    double weight[COLUMNS] = {0}, bias[COLUMNS] = {0};
    float x_block[COLUMNS], d_y_block[COLUMNS];
    const struct numbers xs = f->x, d_ys = f->d_y; /* copies: for all a compiler knows, to widen might change *f */
    const float *mean = f->mean, *rstd = f->rstd;
    const uint64_t rows = f->rows, width = f->n, heads = t->heads;
    (void)slot;
    for (uint64_t r = head; r < rows; r += heads) {
        const float *x = numbers_read(xs, r * width + from, n, x_block);
        const float *d_y = numbers_read(d_ys, r * width + from, n, d_y_block);
        const float middle = mean ? mean[r] : 0, scale = rstd[r];
        for (uint64_t c = 0; c < n; c++) {
            weight[c] += d_y[c] * ((x[c] - middle) * scale);
            bias[c] += d_y[c];
        }
    }
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
    if (f->d_x.at)
        pool_run(f->pool, units_ceil_div(f->rows, ROWS), d_x_task, (void *)f);
    if (f->heads == 1) {
        columns_run(f, 1, f->d_weight, f->d_bias);
        return;
    }
    columns_run(f, f->heads, f->d_weight, none);
    columns_run(f, 1, none, f->d_bias); /* a bias is one for all heads */
}
