/* dropout.c - see dropout.h */
#include "engine/kernels/dropout.h"

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"

struct operands {
    uint64_t seed;
    uint32_t threshold;
    float factor;
    const float *x;
    float *y;
};

static struct operands operands(double p, uint64_t seed, const float *x, float *y) {
    return (struct operands){seed, rng_threshold(p), (float)(1 / (1 - p)), x, y};
}

/* Pieces start at multiples of 4, so every counter is drawn once. */
static void forward(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    uint32_t words[4];
    for (uint64_t i = from; i < to; i += 4) {
        rng_words(o->seed, (uint32_t)(i / 4), (uint32_t)(i / 4 >> 32), 0, RNG_DROPOUT, words);
        for (uint64_t lane = 0; lane < units_min(4, to - i); lane++)
            o->y[i + lane] = words[lane] >= o->threshold ? o->x[i + lane] * o->factor : 0;
    }
}

static void backward(void *arg, uint64_t from, uint64_t to) {
    const struct operands *o = arg;
    uint32_t words[4];
    for (uint64_t i = from; i < to; i += 4) {
        rng_words(o->seed, (uint32_t)(i / 4), (uint32_t)(i / 4 >> 32), 0, RNG_DROPOUT, words);
        for (uint64_t lane = 0; lane < units_min(4, to - i); lane++)
            o->y[i + lane] += words[lane] >= o->threshold ? o->x[i + lane] * o->factor : 0;
    }
}

void dropout_forward(struct pool *pool, uint64_t n, double p, uint64_t seed, const float *x, float *y) {
    struct operands o = operands(p, seed, x, y);
    eltwise_run(pool, n, forward, &o);
}

void dropout_backward(struct pool *pool, uint64_t n, double p, uint64_t seed, const float *d_y, float *d_x) {
    struct operands o = operands(p, seed, d_y, d_x);
    eltwise_run(pool, n, backward, &o);
}
