/* units.h - counted quantities: bytes, FLOPs, elements, all uint64_t, multiplied and added with an overflow check.
 *
 * Every function here is pure and may be called from any thread. */
#ifndef REMATD_BASE_UNITS_H
#define REMATD_BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one tensor takes in a slab is rounded up to this many bytes. */
#define UNITS_EXTENT 64u

/* *out = a * b or a + b. False, and *out untouched, where the result does not fit 64 bits. */
__attribute__((warn_unused_result)) bool units_mul(uint64_t a, uint64_t b, uint64_t *out);
__attribute__((warn_unused_result)) bool units_add(uint64_t a, uint64_t b, uint64_t *out);

/* *out = the product of v[0..n) (1 for n = 0). False where it does not fit; a zero factor makes any product zero. */
__attribute__((warn_unused_result)) bool units_product(const uint64_t *v, size_t n, uint64_t *out);

/* bytes rounded up to a multiple of UNITS_EXTENT. The caller keeps bytes <= 2^63. */
uint64_t units_extent(uint64_t bytes);

static inline uint64_t units_min(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}
static inline uint64_t units_max(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}
/* ceil(a / b), b > 0 */
static inline uint64_t units_ceil_div(uint64_t a, uint64_t b) {
    return a / b + (a % b != 0);
}

#endif
