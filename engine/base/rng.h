/* rng.h - random numbers as a function of (seed, counter): Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers:
 * as easy as 1, 2, 3"). No state: any thread may ask for any number, any number of times, and gets the same one. */
#ifndef REMATD_BASE_RNG_H
#define REMATD_BASE_RNG_H

#include <stdint.h>

/* out = Philox4x32-10(counter, key). */
void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* The words of dropout and of random tensors: key = seed (low, high word). */
static inline void rng_words(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t out[4]) {
    const uint32_t counter[4] = {c0, c1, c2, c3}, key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    rng_philox(counter, key, out);
}

/* SplitMix64's output function (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014), and the
 * step of its states: seeds from numbers that are close by. */
#define RNG_MIX_STEP 0x9E3779B97F4A7C15u
static inline uint64_t rng_mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* p as a threshold on a word: keep iff word >= threshold, threshold = p 2^32 rounded up. p in [0, 1). */
uint32_t rng_threshold(double p);

/* Fill dst[n]: element i comes from counter (i / 4 low, i / 4 high, 0, domain), lane i mod 4.
 * uniform: (word + 0.5) 2^-32 mapped to [lo, hi). normal: Box-Muller in double over word pairs, mean 0, the given
 * deviation. */
void rng_fill_uniform(float *dst, uint64_t n, uint64_t seed, uint32_t domain, float lo, float hi);
void rng_fill_normal(float *dst, uint64_t n, uint64_t seed, uint32_t domain, float deviation);

/* Elements [first, first + n) of the same; first is a multiple of 4. */
void rng_fill_uniform_from(float *dst, uint64_t first, uint64_t n, uint64_t seed, uint32_t domain, float lo, float hi);
void rng_fill_normal_from(float *dst, uint64_t first, uint64_t n, uint64_t seed, uint32_t domain, float deviation);

/* domains: the last counter word, so that one seed serves different purposes without sharing numbers */
enum { RNG_ATTENTION_DROPOUT = 0, RNG_DROPOUT = 1, RNG_TENSOR = 2, RNG_PARAMETER = 3, RNG_DATA = 4 };

#endif
