/* relative_bias.c - see relative_bias.h. Work goes by blocks of ROWS queries and COLUMNS keys: the ROWS + COLUMNS - 1
 * distances in one are looked up once, and each row is a piece of them, one further left than the row before. */
#include "engine/kernels/relative_bias.h"

#include <math.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"

enum { ROWS = 16, COLUMNS = NUMBERS_BLOCK, DISTANCES = ROWS + COLUMNS - 1, GROUP = 256 };

uint64_t relative_bias_bucket(const struct relative_bias *f, int64_t distance) {
    uint64_t buckets = f->buckets, first = 0, far = distance < 0 ? (uint64_t)-distance : 0;
    if (f->bidirectional) {
        buckets = units_max(1, buckets / 2);
        first = distance > 0 ? units_min(buckets, f->buckets - 1) : 0; /* one bucket is for everything */
        far = distance < 0 ? far : (uint64_t)distance;
    }
    const uint64_t exact = buckets / 2;
    if (far < exact)
        return first + far;
    if (exact == 0 || f->max_distance <= exact)
        return first + buckets - 1;
    /* in float32, like the formula's other implementations: they agree where it is whole */
    const float share = logf((float)far / (float)exact) / (float)log((double)f->max_distance / (double)exact);
    return first + units_min(exact + (uint64_t)(share * (float)(buckets - exact)), buckets - 1);
}

struct block {
    uint64_t i, j, rows, columns;
    uint64_t distances;
    int64_t least; /* of the last row's first key */
};

static struct block block_at(const struct relative_bias *f, uint64_t i, uint64_t j) {
    struct block b = {i, j, units_min(ROWS, f->n_q - i), units_min(COLUMNS, f->n_k - j), 0, 0};
    b.distances = b.rows + b.columns - 1;
    b.least = (int64_t)j - (int64_t)(i + b.rows - 1) - (int64_t)f->n_k + (int64_t)f->n_q;
    return b;
}

static void forward_block(const struct relative_bias *f, struct block b) {
    uint64_t bucket[DISTANCES];
    float value[DISTANCES];
    for (uint64_t d = 0; d < b.distances; d++)
        bucket[d] = relative_bias_bucket(f, b.least + (int64_t)d);
    for (uint64_t h = 0; h < f->heads; h++) {
        for (uint64_t d = 0; d < b.distances; d++)
            value[d] = numbers_get(f->table, bucket[d] * f->heads + h);
        for (uint64_t r = 0; r < b.rows; r++) {
            const uint64_t at = (h * f->n_q + b.i + r) * f->n_k + b.j;
            const float *row = value + (b.rows - 1 - r);
            if (f->bias.narrow)
                numbers_round(row, b.columns, (uint16_t *)f->bias.at + at);
            else
                memcpy((float *)f->bias.at + at, row, b.columns * sizeof *row);
        }
    }
}

static void forward_task(void *arg, uint64_t index, unsigned slot) {
    const struct relative_bias *f = arg;
    (void)slot;
    for (uint64_t j = 0; j < f->n_k; j += COLUMNS)
        forward_block(f, block_at(f, index * ROWS, j));
}

void relative_bias_forward(const struct relative_bias *f) {
    pool_run(f->pool, units_ceil_div(f->n_q, ROWS), forward_task, (void *)f);
}

/* sum[GROUP] += what a block of one head's gradient has for buckets from `first` on */
static void backward_block(const struct relative_bias *f, struct block b, uint64_t h, uint64_t first, double *sum) {
    double diagonal[DISTANCES] = {0};
    float buffer[COLUMNS];
    for (uint64_t r = 0; r < b.rows; r++) {
        const float *row = numbers_read(f->d_bias, (h * f->n_q + b.i + r) * f->n_k + b.j, b.columns, buffer);
        for (uint64_t c = 0; c < b.columns; c++)
            diagonal[b.rows - 1 - r + c] += (double)row[c];
    }
    for (uint64_t d = 0; d < b.distances; d++) {
        const uint64_t bucket = relative_bias_bucket(f, b.least + (int64_t)d) - first;
        if (bucket < GROUP) /* below first: wraps around */
            sum[bucket] += diagonal[d];
    }
}

/* One head and GROUP buckets, over all queries and keys in order. */
static void backward_task(void *arg, uint64_t index, unsigned slot) {
    const struct relative_bias *f = arg;
    const uint64_t h = index % f->heads, first = index / f->heads * GROUP;
    double sum[GROUP] = {0};
    (void)slot;
    for (uint64_t i = 0; i < f->n_q; i += ROWS)
        for (uint64_t j = 0; j < f->n_k; j += COLUMNS)
            backward_block(f, block_at(f, i, j), h, first, sum);
    for (uint64_t bucket = 0; bucket < units_min(GROUP, f->buckets - first); bucket++) {
        const uint64_t at = (first + bucket) * f->heads + h;
        numbers_set(f->d_table, at, numbers_get(f->d_table, at) + (float)sum[bucket]);
    }
}

void relative_bias_backward(const struct relative_bias *f) {
    pool_run(f->pool, f->heads * units_ceil_div(f->buckets, GROUP), backward_task, (void *)f);
}
