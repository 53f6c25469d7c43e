/* plan_cache.c - see plan_cache.h: a chained hash table whose entries are also a list by last use. */
#include "server/plan_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "engine/base/digest.h"
#include "engine/base/units.h"

#define HEAP_BYTES     16u  /* of the allocator's own, beside each piece */
#define NAME_BYTES     512u /* one name for so much of the limit */
#define NAMES_MIN      16u
#define NAMES_MAX      65536u
#define BUCKETS_FACTOR 2u

/* The public part comes last: it ends in the body. */
struct held {
    atomic_uint holders; /* callers, and one for all names */
    unsigned names;      /* under the cache's lock */
    struct plan_answer answer;
};

struct name {
    struct name *next;          /* in its bucket */
    struct name *newer, *older; /* by last use */
    struct held *held;
    uint64_t hash;
    size_t bytes;
    enum plan_question question;
    bool query;
    char text[];
};

struct plan_cache {
    pthread_mutex_t lock; /* for all below but the constants */
    struct name *newest, *oldest;
    uint64_t finds, hits, names, bytes;
    uint64_t limit_bytes, names_most, mask; /* constants */
    struct digest seed;                     /* a client cannot know which names share a bucket */
    struct name *buckets[];
};

/* ---- answers ---- */

void plan_answer_tag(char tag[PLAN_TAG_SIZE], const char *body, size_t bytes) {
    struct digest d = digest_add((struct digest){0}, body, bytes);
    snprintf(tag, PLAN_TAG_SIZE, "\"%016llx%016llx\"", (unsigned long long)d.a, (unsigned long long)d.b);
}

static struct held *held_of(const struct plan_answer *answer) {
    return (struct held *)((uintptr_t)answer - offsetof(struct held, answer));
}

struct plan_answer *plan_answer_new(const char *body, size_t bytes) {
    struct held *held = malloc(sizeof *held + bytes + 1);
    if (!held)
        return NULL;
    held->holders = 1;
    held->names = 0;
    held->answer.bytes = bytes;
    memcpy(held->answer.body, body, bytes);
    held->answer.body[bytes] = '\0';
    plan_answer_tag(held->answer.tag, body, bytes);
    return &held->answer;
}

void plan_answer_release(const struct plan_answer *answer) {
    if (answer && atomic_fetch_sub(&held_of(answer)->holders, 1) == 1)
        free(held_of(answer));
}

/* ---- the table ---- */

struct plan_cache *plan_cache_new(uint64_t limit_bytes, struct problem *why) {
    if (limit_bytes == 0)
        return NULL;
    uint64_t most = units_max(NAMES_MIN, units_min(limit_bytes / NAME_BYTES, NAMES_MAX)), buckets = 1;
    while (buckets < BUCKETS_FACTOR * most)
        buckets *= 2;
    struct plan_cache *cache = calloc(1, sizeof *cache + buckets * sizeof cache->buckets[0]);
    if (!cache) {
        problem_set(why, PROBLEM_MEMORY, "", "no memory for a cache of plans");
        return NULL;
    }
    cache->bytes = sizeof *cache + buckets * sizeof cache->buckets[0];
    cache->limit_bytes = limit_bytes;
    cache->names_most = most;
    cache->mask = buckets - 1;
    if (getrandom(&cache->seed, sizeof cache->seed, GRND_NONBLOCK) != (ssize_t)sizeof cache->seed)
        cache->seed = (struct digest){(uint64_t)time(NULL), (uint64_t)(uintptr_t)cache};
    pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

static uint64_t name_cost(const struct name *n) {
    return sizeof *n + n->bytes + HEAP_BYTES;
}

static uint64_t held_cost(const struct held *h) {
    return sizeof *h + h->answer.bytes + HEAP_BYTES;
}

static void list_remove(struct plan_cache *cache, struct name *n) {
    *(n->newer ? &n->newer->older : &cache->newest) = n->older;
    *(n->older ? &n->older->newer : &cache->oldest) = n->newer;
}

static void list_put(struct plan_cache *cache, struct name *n) {
    n->newer = NULL;
    n->older = cache->newest;
    *(n->older ? &n->older->newer : &cache->oldest) = n;
    cache->newest = n;
}

static void name_put(struct plan_cache *cache, struct name *n) {
    struct name **bucket = &cache->buckets[n->hash & cache->mask];
    n->next = *bucket;
    *bucket = n;
    list_put(cache, n);
    cache->names++;
    cache->bytes += name_cost(n);
    if (n->held->names++ == 0) {
        atomic_fetch_add(&n->held->holders, 1);
        cache->bytes += held_cost(n->held);
    }
}

static void name_drop(struct plan_cache *cache, struct name *n) {
    struct name **at = &cache->buckets[n->hash & cache->mask];
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    list_remove(cache, n);
    cache->names--;
    cache->bytes -= name_cost(n);
    if (--n->held->names == 0) {
        cache->bytes -= held_cost(n->held);
        plan_answer_release(&n->held->answer);
    }
    free(n);
}

void plan_cache_free(struct plan_cache *cache) {
    if (!cache)
        return;
    while (cache->oldest)
        name_drop(cache, cache->oldest);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static uint64_t hash_of(const struct plan_cache *cache, const struct plan_name *name) {
    struct digest d = digest_add(cache->seed, name->text, name->bytes);
    d.a ^= d.b + name->question + (name->query ? 16u : 0u);
    return d.a ^ d.a >> 29;
}

static struct name *look(const struct plan_cache *cache, const struct plan_name *name, uint64_t hash) {
    struct name *n = cache->buckets[hash & cache->mask];
    while (n && !(n->hash == hash && n->question == name->question && n->query == name->query &&
                  n->bytes == name->bytes && memcmp(n->text, name->text, n->bytes) == 0))
        n = n->next;
    return n;
}

static void use(struct plan_cache *cache, struct name *n) {
    if (cache->newest == n)
        return;
    list_remove(cache, n);
    list_put(cache, n);
}

bool plan_cache_has(struct plan_cache *cache, const struct plan_name *name) {
    if (!cache || name->bytes > cache->limit_bytes / PLAN_CACHE_SHARE)
        return false;
    uint64_t hash = hash_of(cache, name);
    pthread_mutex_lock(&cache->lock);
    bool has = look(cache, name, hash) != NULL;
    pthread_mutex_unlock(&cache->lock);
    return has;
}

const struct plan_answer *plan_cache_find(struct plan_cache *cache, const struct plan_name *name) {
    if (!cache || name->bytes > cache->limit_bytes / PLAN_CACHE_SHARE)
        return NULL;
    const struct plan_answer *answer = NULL;
    uint64_t hash = hash_of(cache, name);
    pthread_mutex_lock(&cache->lock);
    struct name *n = look(cache, name, hash);
    cache->finds++;
    if (n) {
        use(cache, n);
        atomic_fetch_add(&n->held->holders, 1);
        answer = &n->held->answer;
        cache->hits++;
    }
    pthread_mutex_unlock(&cache->lock);
    return answer;
}

void plan_cache_add(struct plan_cache *cache, const struct plan_name *name, const struct plan_answer *answer) {
    if (!cache || !answer || name->bytes > cache->limit_bytes)
        return;
    struct name *n = malloc(sizeof *n + name->bytes);
    if (!n)
        return;
    *n = (struct name){.held = held_of(answer),
                       .hash = hash_of(cache, name),
                       .bytes = name->bytes,
                       .question = name->question,
                       .query = name->query};
    memcpy(n->text, name->text, name->bytes);
    if (name_cost(n) + held_cost(n->held) > cache->limit_bytes / PLAN_CACHE_SHARE) {
        free(n);
        return;
    }
    pthread_mutex_lock(&cache->lock);
    struct name *known = look(cache, name, n->hash);
    if (known) { /* another thread was asked the same: what it answered is the same */
        use(cache, known);
        free(n);
    } else {
        name_put(cache, n);
        while (cache->oldest && (cache->bytes > cache->limit_bytes || cache->names > cache->names_most))
            name_drop(cache, cache->oldest);
    }
    pthread_mutex_unlock(&cache->lock);
}

struct plan_cache_figures plan_cache_figures(struct plan_cache *cache) {
    struct plan_cache_figures f = {0};
    if (!cache)
        return f;
    pthread_mutex_lock(&cache->lock);
    f = (struct plan_cache_figures){cache->finds, cache->hits, cache->names, cache->bytes, cache->limit_bytes};
    pthread_mutex_unlock(&cache->lock);
    return f;
}
