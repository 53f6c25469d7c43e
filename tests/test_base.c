/* test_base.c - quantities, problems, arenas, Philox, the pool. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/arena.h"
#include "engine/base/digest.h"
#include "engine/base/pool.h"
#include "engine/base/rng.h"
#include "engine/base/units.h"

Test(base, products_and_sums_never_wrap) {
    uint64_t out = 5;
    cr_assert_not(units_mul(1ull << 33, 1ull << 31, &out));
    cr_assert_eq(out, 5u);
    cr_assert(units_mul(1ull << 32, (1ull << 32) - 1, &out) && out == UINT64_MAX - UINT32_MAX);
    cr_assert_not(units_add(UINT64_MAX, 1, &out));
    cr_assert(units_product((uint64_t[]){UINT64_MAX, UINT64_MAX, 0}, 3, &out) && out == 0);
    cr_assert_not(units_product((uint64_t[]){1ull << 40, 1ull << 24}, 2, &out));
    cr_assert(units_product(NULL, 0, &out) && out == 1);
    cr_assert_eq(units_extent(0), 0u);
    cr_assert_eq(units_extent(1), 64u);
    cr_assert_eq(units_extent(128), 128u);
}

Test(base, the_first_problem_stands_and_is_nested) {
    struct problem why = {0};
    cr_assert_not(problem_nest(&why, "/x"));
    cr_assert_str_eq(why.where, "");
    cr_assert_not(problem_set(&why, PROBLEM_LIMIT, "/n", "is %d", 7));
    cr_assert_not(problem_set(&why, PROBLEM_SHAPE, "/m", "later"));
    cr_assert_not(problem_nest(&why, "/functions/%u", 3));
    cr_assert_str_eq(why.where, "/functions/3/n");
    cr_assert_str_eq(why.detail, "is 7");
    cr_assert_eq(why.kind, PROBLEM_LIMIT);
    cr_assert_not(problem_set(NULL, PROBLEM_LIMIT, "", "nobody listens"));
    for (unsigned k = 0; k < PROBLEM_KINDS; k++)
        cr_assert(problem_slug((enum problem_kind)k)[0]);
}

Test(base, arenas_keep_limits_and_fail_on_demand) {
    struct arena a;
    struct problem why = {0};
    arena_init(&a, 1000);
    unsigned char *p = arena_take(&a, 100, 3, &why);
    cr_assert(p && (uintptr_t)p % 16 == 0 && p[0] == 0 && p[299] == 0);
    cr_assert_null(arena_take(&a, 100, 10, &why));
    cr_assert_eq(why.kind, PROBLEM_MEMORY);
    cr_assert_null(arena_take(&a, SIZE_MAX / 2, 3, NULL));
    cr_assert(arena_take(&a, 0, 8, NULL));
    cr_assert_str_eq(arena_printf(&a, NULL, "%s-%d", "x", 5), "x-5");
    a.fail_at = a.takes + 1;
    cr_assert(arena_take(&a, 1, 1, NULL));
    cr_assert_null(arena_take(&a, 1, 1, NULL));
    cr_assert(arena_take(&a, 1, 1, NULL));
    arena_free(&a);
    cr_assert_eq(a.taken_bytes, 0u);
    arena_init(&a, 0);
    for (unsigned i = 1; i < 3000; i++)
        memset(arena_take(&a, i, 7, NULL), 0xff, 7 * i);
    arena_free(&a);
}

/* Known answers: kat_vectors of Random123 (Salmon et al. 2011), philox4x32 10 */
Test(base, philox_known_answers) {
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t out[4];
        rng_philox(rows[i].counter, rows[i].key, out);
        cr_assert_eq(memcmp(out, rows[i].out, sizeof out), 0, "row %zu", i);
    }
    cr_assert_eq(rng_threshold(0), 0u);
    cr_assert_eq(rng_threshold(0.5), 1u << 31);
    cr_assert_eq(rng_threshold(0.1), 429496730u);
}

Test(base, random_fills_have_the_distribution_and_depend_on_nothing_else) {
    enum { N = 100001 };
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    rng_fill_normal(x, N, 5, RNG_TENSOR, 2);
    rng_fill_normal(y, N / 2, 5, RNG_TENSOR, 2);
    cr_assert_eq(memcmp(x, y, N / 2 * sizeof *x), 0, "a prefix is a prefix");
    double mean = 0, square = 0;
    for (unsigned i = 0; i < N; i++)
        mean += (double)x[i] / N, square += (double)x[i] * (double)x[i] / N;
    cr_assert_float_eq(mean, 0, 0.03);
    cr_assert_float_eq(square, 4, 0.1);
    rng_fill_normal(y, N, 6, RNG_TENSOR, 2);
    cr_assert_neq(memcmp(x, y, N * sizeof *x), 0);
    rng_fill_uniform(x, N, 5, RNG_TENSOR, -1, 3);
    mean = 0;
    for (unsigned i = 0; i < N; i++) {
        cr_assert(x[i] >= -1 && x[i] <= 3);
        mean += (double)x[i] / N;
    }
    cr_assert_float_eq(mean, 1, 0.03);
    free(x), free(y);
}

struct tally {
    _Atomic unsigned char ran[500];
    atomic_uint most_slot;
};

static void tally_task(void *arg, uint64_t index, unsigned slot) {
    struct tally *t = arg;
    atomic_fetch_add(&t->ran[index], 1);
    unsigned most = atomic_load(&t->most_slot);
    while (slot > most && !atomic_compare_exchange_weak(&t->most_slot, &most, slot))
        ;
}

Test(base, a_pool_runs_every_task_once) {
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct pool *pool = pool_new(threads, NULL);
        cr_assert_eq(pool_threads(pool), threads);
        for (uint64_t tasks = 0; tasks < 500; tasks += tasks < 10 ? 1 : 97) {
            struct tally t = {0};
            pool_run(pool, tasks, tally_task, &t);
            for (uint64_t i = 0; i < 500; i++)
                cr_assert_eq(t.ran[i], i < tasks);
            cr_assert(t.most_slot < pool_slots(pool, tasks));
        }
        pool_free(pool);
    }
    struct tally t = {0};
    pool_run(NULL, 3, tally_task, &t);
    cr_assert(t.ran[0] && t.ran[2] && !t.ran[3]);
    cr_assert_eq(pool_slots(NULL, 9), 1u);
    pool_free(NULL);
}

Test(base, digests_tell_single_bits_apart) {
    unsigned char bytes[37] = {0};
    struct digest whole = digest_add((struct digest){0}, bytes, sizeof bytes);
    for (unsigned bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        cr_assert_not(digest_same(whole, digest_add((struct digest){0}, bytes, sizeof bytes)));
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    cr_assert_not(digest_same(whole, digest_add((struct digest){0}, bytes, sizeof bytes - 1)));
}
