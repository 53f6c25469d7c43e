/* pool.c - see pool.h. Threads sleep on a condition between runs; a run is a generation number. */
#include "engine/base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/base/units.h"

struct pool {
    unsigned threads;
    pthread_t *thread; /* threads - 1 of them */
    pthread_mutex_t mutex;
    pthread_cond_t start, done;
    uint64_t generation;
    unsigned busy;
    bool stop;
    /* the run */
    uint64_t tasks;
    atomic_uint_fast64_t next;
    void (*task)(void *, uint64_t, unsigned);
    void *arg;
};

struct helper {
    struct pool *pool;
    unsigned slot;
};

static void work(struct pool *pool, unsigned slot) {
    for (uint64_t i = slot; i < pool->tasks; i = atomic_fetch_add(&pool->next, 1))
        pool->task(pool->arg, i, slot);
}

static void *helper_main(void *arg) {
    struct helper self = *(struct helper *)arg;
    struct pool *pool = self.pool;
    free(arg);
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!pool->stop && pool->generation == seen)
            pthread_cond_wait(&pool->start, &pool->mutex);
        if (pool->stop)
            break;
        seen = pool->generation;
        pthread_mutex_unlock(&pool->mutex);
        work(pool, self.slot);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->busy == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

static bool helper_start(struct pool *pool, unsigned slot) {
    struct helper *self = malloc(sizeof *self);
    if (!self)
        return false;
    *self = (struct helper){pool, slot};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    bool good = pthread_attr_setstacksize(&attributes, POOL_STACK) == 0 &&
                pthread_create(&pool->thread[slot - 1], &attributes, helper_main, self) == 0;
    pthread_attr_destroy(&attributes);
    if (!good)
        free(self);
    return good;
}

struct pool *pool_new(unsigned threads, struct problem *why) {
    struct pool *pool = calloc(1, sizeof *pool);
    pthread_t *thread = calloc(threads ? threads : 1, sizeof *thread);
    if (!pool || !thread) {
        free(pool);
        free(thread);
        problem_set(why, PROBLEM_MEMORY, "", "a pool of %u threads could not be made", threads);
        return NULL;
    }
    pool->thread = thread;
    pool->threads = 1;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->start, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (unsigned slot = 1; slot < threads; slot++) {
        if (!helper_start(pool, slot)) {
            pool_free(pool);
            problem_set(why, PROBLEM_MEMORY, "", "thread %u of %u could not be started", slot + 1, threads);
            return NULL;
        }
        pool->threads = slot + 1;
    }
    return pool;
}

void pool_free(struct pool *pool) {
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->stop = true;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i + 1 < pool->threads; i++)
        pthread_join(pool->thread[i], NULL);
    pthread_cond_destroy(&pool->start);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->thread);
    free(pool);
}

unsigned pool_threads(const struct pool *pool) {
    return pool ? pool->threads : 1;
}

unsigned pool_slots(const struct pool *pool, uint64_t tasks) {
    return (unsigned)units_max(1, units_min(pool_threads(pool), tasks));
}

void pool_run(struct pool *pool, uint64_t tasks, void (*task)(void *arg, uint64_t index, unsigned slot), void *arg) {
    if (!pool || pool->threads == 1 || tasks <= 1) {
        for (uint64_t i = 0; i < tasks; i++)
            task(arg, i, 0);
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    pool->tasks = tasks;
    pool->task = task;
    pool->arg = arg;
    atomic_store(&pool->next, pool->threads);
    pool->busy = pool->threads - 1;
    pool->generation++;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);
    work(pool, 0);
    pthread_mutex_lock(&pool->mutex);
    while (pool->busy)
        pthread_cond_wait(&pool->done, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

void pool_follow(atomic_uint_fast64_t *said, uint64_t step) {
    for (unsigned spins = 0; atomic_load_explicit(said, memory_order_acquire) < step; spins++)
        if (spins > 64)
            sched_yield();
}
