/* units.c - see units.h */
#include "engine/base/units.h"

bool units_mul(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

bool units_add(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

bool units_product(const uint64_t *v, size_t n, uint64_t *out) {
    uint64_t product = 1;
    for (size_t i = 0; i < n; i++)
        if (v[i] == 0) {
            *out = 0;
            return true;
        }
    for (size_t i = 0; i < n; i++)
        if (!units_mul(product, v[i], &product))
            return false;
    *out = product;
    return true;
}

uint64_t units_extent(uint64_t bytes) {
    return (bytes + UNITS_EXTENT - 1) & ~(uint64_t)(UNITS_EXTENT - 1);
}
