/* dropout.c - see dropout.h */
#include "engine/kernels/dropout.h"

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/rows.h"

struct operands {
    const struct rows *rows;
    uint64_t seed;
    uint32_t threshold;
    float factor;
    struct numbers x, y;
    bool sum; /* into y */
};

/* y[n] = or += kept x / (1 - p). Pieces begin at multiples of 4, so every counter is drawn once. */
static void body(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    float x_block[NUMBERS_BLOCK], y_block[NUMBERS_BLOCK];
    uint32_t words[NUMBERS_BLOCK];
    for (; from < to; from += NUMBERS_BLOCK) {
        const uint64_t n = units_min(NUMBERS_BLOCK, to - from);
        const float *x = numbers_read(o->x, from, n, x_block);
        float *y = o->sum ? numbers_open_sum(o->y, from, n, y_block) : numbers_open(o->y, from, y_block);
        o->rows->words(o->seed, from / 4, RNG_DROPOUT, units_ceil_div(n, 4), words);
        (o->sum ? o->rows->drop_add : o->rows->drop)(n, words, o->threshold, o->factor, x, y);
        numbers_close(o->y, from, n, y_block);
    }
}

static void run(struct pool *pool, uint64_t n, double p, uint64_t seed, struct numbers x, struct numbers y, bool sum) {
    eltwise_run(pool, n, body,
                &(struct operands){rows_best(), seed, rng_threshold(p), (float)(1 / (1 - p)), x, y, sum});
}

void dropout_forward(struct pool *pool, uint64_t n, double p, uint64_t seed, struct numbers x, struct numbers y) {
    run(pool, n, p, seed, x, y, false);
}

void dropout_backward(struct pool *pool, uint64_t n, double p, uint64_t seed, struct numbers d_y, struct numbers d_x) {
    run(pool, n, p, seed, d_y, d_x, true);
}
