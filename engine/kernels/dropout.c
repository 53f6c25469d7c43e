/* dropout.c - see dropout.h */
#include "engine/kernels/dropout.h"

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"

struct operands {
    uint64_t seed;
    uint32_t threshold;
    float factor;
    struct numbers x, y;
    bool sum; /* into y */
};

/* y[n] = or += kept x / (1 - p): elements from `from` on, a multiple of 4, so every counter is drawn once. */
static void block(const struct operands *o, uint64_t from, uint64_t n, const float *x, float *y) {
    uint32_t words[4];
    for (uint64_t i = 0; i < n; i += 4) {
        const uint64_t counter = (from + i) / 4;
        rng_words(o->seed, (uint32_t)counter, (uint32_t)(counter >> 32), 0, RNG_DROPOUT, words);
        for (uint64_t lane = 0; lane < units_min(4, n - i); lane++) {
            const float kept = words[lane] >= o->threshold ? x[i + lane] * o->factor : 0;
            y[i + lane] = o->sum ? y[i + lane] + kept : kept;
        }
    }
}

static void body(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    float x_block[NUMBERS_BLOCK], y_block[NUMBERS_BLOCK];
    for (; from < to; from += NUMBERS_BLOCK) {
        const uint64_t n = units_min(NUMBERS_BLOCK, to - from);
        float *y = o->sum ? numbers_open_sum(o->y, from, n, y_block) : numbers_open(o->y, from, y_block);
        block(o, from, n, numbers_read(o->x, from, n, x_block), y);
        numbers_close(o->y, from, n, y_block);
    }
}

static void run(struct pool *pool, uint64_t n, double p, uint64_t seed, struct numbers x, struct numbers y, bool sum) {
    eltwise_run(pool, n, body, &(struct operands){seed, rng_threshold(p), (float)(1 / (1 - p)), x, y, sum});
}

void dropout_forward(struct pool *pool, uint64_t n, double p, uint64_t seed, struct numbers x, struct numbers y) {
    run(pool, n, p, seed, x, y, false);
}

void dropout_backward(struct pool *pool, uint64_t n, double p, uint64_t seed, struct numbers d_y, struct numbers d_x) {
    run(pool, n, p, seed, d_y, d_x, true);
}
