/* rate.c - see rate.h. A bucket is one number: the time at which it will be full (the generic cell rate algorithm).
 * Each request moves it on by 1 / per_second; one that would move it further ahead than the burst lasts is refused. */
#include "server/rate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "engine/base/units.h"

#define SETS          512u
#define WAYS          8u /* places of a set: 4,096 buckets in all, some 360 KB */
#define NS_PER_SECOND 1000000000u

struct bucket {
    char key[RATE_KEY_BYTES]; /* "": free */
    uint64_t full_ns;
};

struct rate {
    uint64_t interval_ns, ahead_ns; /* between two requests; how far ahead of now full_ns may be before one */
    uint64_t seed;
    pthread_mutex_t lock; /* for the buckets */
    struct bucket buckets[SETS][WAYS];
};

struct rate *rate_new(unsigned per_second, unsigned burst, struct problem *why) {
    struct rate *rate = calloc(1, sizeof *rate);
    if (!rate) {
        problem_set(why, PROBLEM_MEMORY, "", "no memory for the buckets of --rate");
        return NULL;
    }
    rate->interval_ns = NS_PER_SECOND / per_second;
    rate->ahead_ns = rate->interval_ns * (burst - 1);
    if (getrandom(&rate->seed, sizeof rate->seed, 0) != (ssize_t)sizeof rate->seed)
        rate->seed = (uintptr_t)rate; /* which keys share a set is then easier to guess: nothing else */
    pthread_mutex_init(&rate->lock, NULL);
    return rate;
}

void rate_free(struct rate *rate) {
    if (!rate)
        return;
    pthread_mutex_destroy(&rate->lock);
    free(rate);
}

static struct bucket *set_of(struct rate *rate, const char *key) {
    uint64_t hash = rate->seed;
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 0x9e3779b97f4a7c15u;
    return rate->buckets[(hash >> 40) % SETS];
}

/* The bucket of a key; a key that is new gets a full one. */
static struct bucket *bucket_of(struct rate *rate, const char *key) {
    struct bucket *set = set_of(rate, key), *oldest = &set[0];
    for (unsigned i = 0; i < WAYS; i++) {
        if (strcmp(set[i].key, key) == 0)
            return &set[i];
        if (set[i].full_ns < oldest->full_ns)
            oldest = &set[i];
    }
    strncpy(oldest->key, key, sizeof oldest->key - 1);
    oldest->full_ns = 0;
    return oldest;
}

uint64_t rate_take(struct rate *rate, const char *key, uint64_t now_ns) {
    uint64_t wait_ns = 0;
    pthread_mutex_lock(&rate->lock);
    struct bucket *bucket = bucket_of(rate, key);
    uint64_t full_ns = units_max(bucket->full_ns, now_ns);
    if (full_ns - now_ns > rate->ahead_ns)
        wait_ns = full_ns - now_ns - rate->ahead_ns;
    else
        bucket->full_ns = full_ns + rate->interval_ns;
    pthread_mutex_unlock(&rate->lock);
    return wait_ns;
}
