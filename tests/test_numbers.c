/* test_numbers.c - bfloat16: how it rounds. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"
#include "engine/kernels/numbers.h"

TestSuite(numbers, .timeout = 120);

static void *alloc(uint64_t bytes) {
    void *p = aligned_alloc(64, units_extent(bytes));
    cr_assert(p != NULL);
    return p;
}

static float of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* To nearest, ties to even; what is too large becomes infinite, NaN stays NaN, denormals are numbers like others. */
Test(numbers, bfloat16_rounds_to_nearest) {
    static const struct {
        uint32_t from;
        uint16_t to;
    } rounded[] = {
        {0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x3F800000, 0x3F80}, /* exact */
        {0x3F808000, 0x3F80}, {0x3F818000, 0x3F82}, {0xBF818000, 0xBF82}, /* ties */
        {0x3F808001, 0x3F81}, {0x3F817FFF, 0x3F81},                       /* beside them */
        {0x3FFFFFFF, 0x4000}, {0x7F7FFFFF, 0x7F80}, {0xFF7F8000, 0xFF80}, /* carries, into infinity too */
        {0x7F7F7FFF, 0x7F7F}, {0x7F800000, 0x7F80}, {0xFF800000, 0xFF80}, /* the largest; infinities */
        {0x00000001, 0x0000}, {0x00008001, 0x0001}, {0x00018000, 0x0002}, {0x007FFFFF, 0x0080}, /* denormals */
    };
    for (unsigned i = 0; i < sizeof rounded / sizeof rounded[0]; i++) {
        const float x = of_bits(rounded[i].from);
        uint16_t y;
        numbers_round(&x, 1, &y);
        cr_assert_eq(y, rounded[i].to, "%08x became %04x", rounded[i].from, y);
    }
    static const uint32_t nans[] = {0x7F800001, 0x7FC00000, 0xFF80FFFF, 0x7FFFFFFF, 0xFFFFFFFF};
    for (unsigned i = 0; i < 5; i++) {
        const float x = of_bits(nans[i]);
        uint16_t y;
        float back;
        numbers_round(&x, 1, &y);
        numbers_widen(&y, 1, &back);
        cr_assert(isnan(back) && !signbit(back) == !signbit(x));
    }
}

/* Every bfloat16 there is comes back as it was, alone and among others. */
Test(numbers, bfloat16_is_exact_in_float32) {
    enum { ALL = 1 << 16 };
    uint16_t *from = alloc(ALL * sizeof *from), *to = alloc(ALL * sizeof *to);
    float *wide = alloc(ALL * sizeof *wide);
    for (unsigned i = 0; i < ALL; i++)
        from[i] = (uint16_t)i;
    numbers_widen(from, ALL, wide);
    numbers_round(wide, ALL, to);
    for (unsigned i = 0; i < ALL; i++) {
        const struct numbers x = {from, true}, y = {to, true};
        cr_assert(to[i] == i || (isnan(wide[i]) && to[i] == (i | 0x40)), "%04x became %04x", i, to[i]);
        numbers_set(y, i, numbers_get(x, i));
        cr_assert(to[i] == i || isnan(wide[i]));
    }
    free(from);
    free(to);
    free(wide);
}
