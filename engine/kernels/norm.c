/* norm.c - see norm.h. Sums over a row run in LANES partial sums, which compilers turn into vectors; their order is
 * fixed. */
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

static float mean_of(const float *x, uint64_t n) {
    float lanes[LANES] = {0};
    uint64_t c = 0;
    for (; c + LANES <= n; c += LANES)
        for (unsigned lane = 0; lane < LANES; lane++)
            lanes[lane] += x[c + lane];
    for (; c < n; c++)
        lanes[c % LANES] += x[c];
    return lanes_sum(lanes) / (float)n;
}

/* mean of (x - middle)^2 */
static float spread_of(const float *x, uint64_t n, float middle) {
    float lanes[LANES] = {0};
    uint64_t c = 0;
    for (; c + LANES <= n; c += LANES)
        for (unsigned lane = 0; lane < LANES; lane++)
            lanes[lane] += (x[c + lane] - middle) * (x[c + lane] - middle);
    for (; c < n; c++)
        lanes[c % LANES] += (x[c] - middle) * (x[c] - middle);
    return lanes_sum(lanes) / (float)n;
}

static void forward_task(void *arg, uint64_t index, unsigned slot) {
    const struct norm *f = arg;
    (void)slot;
    for (uint64_t r = index * ROWS; r < units_min(f->rows, (index + 1) * ROWS); r++) {
        const float *x = f->x + r * f->n;
        float *y = f->y + r * f->n;
        float middle = f->mean ? mean_of(x, f->n) : 0;
        float rstd = 1 / sqrtf(spread_of(x, f->n, middle) + f->epsilon);
        if (f->mean)
            f->mean[r] = middle;
        f->rstd[r] = rstd;
        if (f->bias)
            for (uint64_t c = 0; c < f->n; c++)
                y[c] = (x[c] - middle) * rstd * f->weight[c] + f->bias[c];
        else
            for (uint64_t c = 0; c < f->n; c++)
                y[c] = (x[c] - middle) * rstd * f->weight[c];
    }
}

void norm_forward(const struct norm *f) {
    pool_run(f->pool, units_ceil_div(f->rows, ROWS), forward_task, (void *)f);
}

/* With g = d_y weight and z = (x - mean) rstd: d_x += rstd (g - mean(g) - z mean(g z)); RMS norm lacks the middle term.
 */
static void d_x_row(const struct norm *f, uint64_t r) {
    const float *x = f->x + r * f->n, *d_y = f->d_y + r * f->n;
    const float middle = f->mean ? f->mean[r] : 0, rstd = f->rstd[r];
    float *d_x = f->d_x + r * f->n, plain[LANES] = {0}, along[LANES] = {0};
    uint64_t c = 0;
    for (; c + LANES <= f->n; c += LANES)
        for (unsigned lane = 0; lane < LANES; lane++) {
            float g = d_y[c + lane] * f->weight[c + lane];
            plain[lane] += g;
            along[lane] += g * ((x[c + lane] - middle) * rstd);
        }
    for (; c < f->n; c++) {
        plain[c % LANES] += d_y[c] * f->weight[c];
        along[c % LANES] += d_y[c] * f->weight[c] * ((x[c] - middle) * rstd);
    }
    float g_mean = f->mean ? lanes_sum(plain) / (float)f->n : 0, gz_mean = lanes_sum(along) / (float)f->n;
    for (c = 0; c < f->n; c++)
        d_x[c] += rstd * (d_y[c] * f->weight[c] - g_mean - (x[c] - middle) * rstd * gz_mean);
}

static void d_x_task(void *arg, uint64_t index, unsigned slot) {
    const struct norm *f = arg;
    (void)slot;
    for (uint64_t r = index * ROWS; r < units_min(f->rows, (index + 1) * ROWS); r++)
        d_x_row(f, r);
}

/* d_weight += sum over rows of d_y z, d_bias += sum of d_y: a few columns a task, rows in order. */
static void columns_task(void *arg, uint64_t index, unsigned slot) {
    const struct norm *f = arg;
    const uint64_t from = index * COLUMNS, n = units_min(COLUMNS, f->n - from);
    double weight[COLUMNS] = {0}, bias[COLUMNS] = {0};
    (void)slot;
    for (uint64_t r = 0; r < f->rows; r++) {
        const float *x = f->x + r * f->n + from, *d_y = f->d_y + r * f->n + from;
        const float middle = f->mean ? f->mean[r] : 0, rstd = f->rstd[r];
        for (uint64_t c = 0; c < n; c++) {
            weight[c] += d_y[c] * ((x[c] - middle) * rstd);
            bias[c] += d_y[c];
        }
    }
    for (uint64_t c = 0; f->d_weight && c < n; c++)
        f->d_weight[from + c] += (float)weight[c];
    for (uint64_t c = 0; f->d_bias && c < n; c++)
        f->d_bias[from + c] += (float)bias[c];
}

void norm_backward(const struct norm *f) {
    if (f->d_x)
        pool_run(f->pool, units_ceil_div(f->rows, ROWS), d_x_task, (void *)f);
    if (f->d_weight || f->d_bias)
        pool_run(f->pool, units_ceil_div(f->n, COLUMNS), columns_task, (void *)f);
}
