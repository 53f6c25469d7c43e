/* test_relative_bias.c - which bucket a distance falls into: where T5's buckets begin, and what small tables do. */
#include <criterion/criterion.h>

#include "engine/kernels/relative_bias.h"

enum { BUCKETS = 32 };

TestSuite(relative_bias, .timeout = 60);

/* The first distance of each bucket of T5's 32, up to 128, by its published formula. */
Test(relative_bias, buckets_begin_where_t5_has_them) {
    static const int64_t both_ways[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91};
    static const int64_t back[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                   16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113};
    struct relative_bias f = {.buckets = BUCKETS, .bidirectional = true, .max_distance = 128};
    for (unsigned b = 0; b < 16; b++) {
        const int64_t last = b < 15 ? both_ways[b + 1] - 1 : INT64_MAX / 2;
        cr_assert(relative_bias_bucket(&f, -both_ways[b]) == b && relative_bias_bucket(&f, -last) == b, "%u", b);
        cr_assert(b == 0 || relative_bias_bucket(&f, both_ways[b]) == 16 + b, "%u", b);
        cr_assert(b == 0 || relative_bias_bucket(&f, last) == 16 + b, "%u", b);
    }
    f.bidirectional = false;
    for (unsigned b = 0; b < 32; b++) {
        const int64_t last = b < 31 ? back[b + 1] - 1 : INT64_MAX / 2;
        cr_assert(relative_bias_bucket(&f, -back[b]) == b && relative_bias_bucket(&f, -last) == b, "%u", b);
        cr_assert(relative_bias_bucket(&f, back[b]) == 0);
    }
}

Test(relative_bias, every_distance_has_a_row_of_the_table) {
    for (uint64_t buckets = 1; buckets < 40; buckets++)
        for (uint64_t most = 1; most < 200; most += 9)
            for (unsigned both = 0; both < 2; both++) {
                const struct relative_bias f = {.buckets = buckets, .bidirectional = both, .max_distance = most};
                uint64_t before = 0;
                for (int64_t far = 0; far < 300; far++) {
                    const uint64_t bucket = relative_bias_bucket(&f, -far);
                    cr_assert(bucket < buckets && bucket >= before && relative_bias_bucket(&f, far) < buckets);
                    before = bucket;
                }
            }
}
