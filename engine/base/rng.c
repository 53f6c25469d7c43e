/* rng.c - see rng.h */
#include "engine/base/rng.h"

#include <math.h>

#define PHILOX_M0     0xD2511F53u
#define PHILOX_M1     0xCD9E8D57u
#define PHILOX_W0     0x9E3779B9u
#define PHILOX_W1     0xBB67AE85u
#define PHILOX_ROUNDS 10

void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)PHILOX_M0 * c0, p1 = (uint64_t)PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint32_t rng_threshold(double p) {
    double words = ceil(p * 4294967296.0);
    return words >= 4294967295.0 ? UINT32_MAX : words <= 0 ? 0 : (uint32_t)words;
}

static double unit(uint32_t word) {
    return ((double)word + 0.5) * 0x1p-32;
}

static void words_at(uint64_t quad, uint64_t seed, uint32_t domain, uint32_t word[4]) {
    rng_words(seed, (uint32_t)quad, (uint32_t)(quad >> 32), 0, domain, word);
}

void rng_fill_uniform(float *dst, uint64_t n, uint64_t seed, uint32_t domain, float lo, float hi) {
    rng_fill_uniform_from(dst, 0, n, seed, domain, lo, hi);
}

void rng_fill_uniform_from(float *dst, uint64_t first, uint64_t n, uint64_t seed, uint32_t domain, float lo, float hi) {
    const double width = (double)hi - (double)lo;
    for (uint64_t i = 0; i < n; i += 4) {
        uint32_t word[4];
        words_at((first + i) / 4, seed, domain, word);
        for (uint64_t lane = 0; lane < 4 && i + lane < n; lane++)
            dst[i + lane] = (float)((double)lo + width * unit(word[lane]));
    }
}

void rng_fill_normal_from(float *dst, uint64_t first, uint64_t n, uint64_t seed, uint32_t domain, float deviation) {
    for (uint64_t i = 0; i < n; i += 4) {
        uint32_t word[4];
        double z[4];
        words_at((first + i) / 4, seed, domain, word);
        for (int pair = 0; pair < 4; pair += 2) {
            double radius = sqrt(-2 * log(unit(word[pair]))), angle = 6.283185307179586 * unit(word[pair + 1]);
            z[pair] = radius * cos(angle);
            z[pair + 1] = radius * sin(angle);
        }
        for (uint64_t lane = 0; lane < 4 && i + lane < n; lane++)
            dst[i + lane] = (float)(deviation * z[lane]);
    }
}

void rng_fill_normal(float *dst, uint64_t n, uint64_t seed, uint32_t domain, float deviation) {
    rng_fill_normal_from(dst, 0, n, seed, domain, deviation);
}
