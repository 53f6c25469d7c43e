/* experts.c - dispatch and combine of experts.h: rows copied, rows summed. */
#include "engine/kernels/experts.h"

#include <stddef.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"

enum { TOKENS = 16, LANES = 16 };

static void dispatch_task(void *arg, uint64_t index, unsigned slot) {
    const struct experts_dispatch *f = arg;
    const uint64_t bytes = f->d * (f->x.narrow ? sizeof(uint16_t) : sizeof(float));
    (void)slot;
    for (uint64_t t = index * TOKENS; t < units_min(f->tokens, (index + 1) * TOKENS); t++)
        for (uint64_t j = 0; j < f->per_token; j++)
            memcpy((char *)f->y.at + (t * f->per_token + j) * bytes, (const char *)f->x.at + t * bytes, bytes);
}

void experts_dispatch_forward(const struct experts_dispatch *f) {
    pool_run(f->pool, units_ceil_div(f->tokens, TOKENS), dispatch_task, (void *)f);
}

/* sum[n] += factor times elements [from, from + n) of x; n <= NUMBERS_BLOCK */
static void add_row(struct numbers x, uint64_t from, uint64_t n, float factor, float *sum) {
    float buffer[NUMBERS_BLOCK];
    const float *row = numbers_read(x, from, n, buffer);
    for (uint64_t c = 0; c < n; c++)
        sum[c] += factor * row[c];
}

static void dispatch_backward_task(void *arg, uint64_t index, unsigned slot) {
    const struct experts_dispatch *f = arg;
    float buffer[NUMBERS_BLOCK];
    (void)slot;
    for (uint64_t t = index * TOKENS; t < units_min(f->tokens, (index + 1) * TOKENS); t++)
        for (uint64_t c = 0; c < f->d; c += NUMBERS_BLOCK) {
            const uint64_t n = units_min(NUMBERS_BLOCK, f->d - c);
            float *d_x = numbers_open_sum(f->d_x, t * f->d + c, n, buffer);
            for (uint64_t j = 0; j < f->per_token; j++)
                add_row(f->d_y, (t * f->per_token + j) * f->d + c, n, 1, d_x);
            numbers_close(f->d_x, t * f->d + c, n, buffer);
        }
}

void experts_dispatch_backward(const struct experts_dispatch *f) {
    pool_run(f->pool, units_ceil_div(f->tokens, TOKENS), dispatch_backward_task, (void *)f);
}

static void combine_task(void *arg, uint64_t index, unsigned slot) {
    const struct experts_combine *f = arg;
    float buffer[NUMBERS_BLOCK];
    (void)slot;
    for (uint64_t t = index * TOKENS; t < units_min(f->tokens, (index + 1) * TOKENS); t++)
        for (uint64_t c = 0; c < f->d; c += NUMBERS_BLOCK) {
            const uint64_t n = units_min(NUMBERS_BLOCK, f->d - c), row = t * f->per_token;
            float *out = numbers_open(f->out, t * f->d + c, buffer);
            memset(out, 0, n * sizeof *out);
            for (uint64_t j = 0; j < f->per_token; j++)
                add_row(f->y, (row + j) * f->d + c, n, f->weights[row + j], out);
            numbers_close(f->out, t * f->d + c, n, buffer);
        }
}

void experts_combine_forward(const struct experts_combine *f) {
    pool_run(f->pool, units_ceil_div(f->tokens, TOKENS), combine_task, (void *)f);
}

/* lanes += a b, lane c mod LANES: partial sums that compilers turn into vectors, in a fixed order */
static void dot_block(uint64_t n, const float *a, const float *b, float lanes[LANES]) {
    uint64_t c = 0;
    for (; c + LANES <= n; c += LANES)
        for (unsigned lane = 0; lane < LANES; lane++)
            lanes[lane] += a[c + lane] * b[c + lane];
    for (; c < n; c++)
        lanes[c % LANES] += a[c] * b[c];
}

/* y and d_out of one row of an expert and its token */
static float row_dot(const struct experts_combine *f, uint64_t row, uint64_t t) {
    float y[NUMBERS_BLOCK], d_out[NUMBERS_BLOCK], lanes[LANES] = {0};
    double sum = 0;
    for (uint64_t c = 0; c < f->d; c += NUMBERS_BLOCK) {
        const uint64_t n = units_min(NUMBERS_BLOCK, f->d - c);
        dot_block(n, numbers_read(f->y, row * f->d + c, n, y), numbers_read(f->d_out, t * f->d + c, n, d_out), lanes);
    }
    for (unsigned lane = 0; lane < LANES; lane++)
        sum += (double)lanes[lane];
    return (float)sum;
}

static void d_y_row(const struct experts_combine *f, uint64_t row, uint64_t t) {
    float buffer[NUMBERS_BLOCK];
    for (uint64_t c = 0; c < f->d; c += NUMBERS_BLOCK) {
        const uint64_t n = units_min(NUMBERS_BLOCK, f->d - c);
        float *d_y = numbers_open_sum(f->d_y, row * f->d + c, n, buffer);
        add_row(f->d_out, t * f->d + c, n, f->weights[row], d_y);
        numbers_close(f->d_y, row * f->d + c, n, buffer);
    }
}

static void combine_backward_task(void *arg, uint64_t index, unsigned slot) {
    const struct experts_combine *f = arg;
    (void)slot;
    for (uint64_t t = index * TOKENS; t < units_min(f->tokens, (index + 1) * TOKENS); t++)
        for (uint64_t row = t * f->per_token; row < (t + 1) * f->per_token; row++) {
            if (f->d_y.at)
                d_y_row(f, row, t);
            if (f->d_weights)
                f->d_weights[row] += row_dot(f, row, t);
        }
}

void experts_combine_backward(const struct experts_combine *f) {
    pool_run(f->pool, units_ceil_div(f->tokens, TOKENS), combine_backward_task, (void *)f);
}
