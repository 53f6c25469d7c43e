/* test_rate.c - so many a second: bursts, pauses, who is limited by whom, and what a table of fixed size forgets. Time
 * is the test's own. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "server/rate.h"

#define SECOND ((uint64_t)1000000000u)

static struct rate *made(unsigned per_second, unsigned burst) {
    struct problem why = {0};
    struct rate *rate = rate_new(per_second, burst, &why);
    cr_assert_not_null(rate, "%s", why.detail);
    return rate;
}

/* How many of n are taken. */
static unsigned taken(struct rate *rate, const char *key, unsigned n, uint64_t now) {
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++)
        count += rate_take(rate, key, now) == 0;
    return count;
}

Test(rate, a_burst_then_so_many_a_second) {
    struct rate *rate = made(10, 25);
    uint64_t now = 7 * SECOND;
    cr_expect_eq(taken(rate, "a", 100, now), 25);
    cr_expect_eq(rate_take(rate, "a", now), SECOND / 10); /* refused ones take nothing */
    cr_expect_eq(rate_take(rate, "a", now + SECOND / 20), SECOND / 20);
    cr_expect_eq(rate_take(rate, "a", now + SECOND / 10), 0);
    cr_expect_eq(rate_take(rate, "a", now + SECOND / 10), SECOND / 10);
    cr_expect_eq(taken(rate, "a", 100, now + SECOND + SECOND / 10), 10);
    cr_expect_eq(taken(rate, "a", 100, now + 3600 * SECOND), 25); /* a long pause saves a burst, not more */
    rate_free(rate);
}

Test(rate, the_wait_it_tells_is_enough_and_not_too_long) {
    static const unsigned rates[][2] = {{1, 1}, {3, 1}, {7, 100}, {1000, 1}, {999983, 2}, {1000000, 1000000}};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct rate *rate = made(rates[i][0], rates[i][1]);
        uint64_t now = SECOND, wait;
        cr_expect_eq(taken(rate, "a", rates[i][1] + 10, now), rates[i][1]);
        for (int k = 0; k < 1000; k++) {
            wait = rate_take(rate, "a", now);
            cr_assert(wait > 0 && wait <= SECOND / rates[i][0], "%u: %llu", rates[i][0], (unsigned long long)wait);
            cr_assert(wait == 1 || rate_take(rate, "a", now + wait - 1) == 1);
            cr_assert_eq(rate_take(rate, "a", now += wait), 0);
        }
        rate_free(rate);
    }
}

Test(rate, each_key_has_its_own) {
    struct rate *rate = made(1, 3);
    char key[RATE_KEY_BYTES];
    unsigned full = 0;
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "token %d", i);
        full += taken(rate, key, 5, SECOND) == 3;
    }
    cr_expect_eq(full, 200);
    full = 0;
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "token %d", i);
        full += taken(rate, key, 5, SECOND) == 0;
    }
    cr_expect_eq(full, 200); /* and none was forgotten */
    rate_free(rate);
}

/* More keys than places: those that ask all the time stay limited; those that come once go. */
Test(rate, the_busy_are_not_forgotten_for_the_many) {
    struct rate *rate = made(10, 10);
    char key[RATE_KEY_BYTES];
    uint64_t now = SECOND;
    unsigned busy = taken(rate, "busy", 20, now);
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "address %d", i);
        cr_expect_eq(rate_take(rate, key, now), 0);
        busy += rate_take(rate, "busy", now) == 0;
        now += SECOND / 1000;
    }
    cr_expect(busy >= 1000 && busy <= 1010, "%u taken of 10 a second and 10 in 100 s", busy);
    rate_free(rate);
}

static struct rate *shared;

static void *taker(void *count) {
    *(unsigned *)count = taken(shared, "a", 20000, SECOND);
    return NULL;
}

Test(rate, threads_share_a_bucket) {
    pthread_t threads[4];
    unsigned counts[4], sum = 0;
    shared = made(1, 30000);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, taker, &counts[i]);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        sum += counts[i];
    }
    cr_expect_eq(sum, 30000);
    rate_free(shared);
}
