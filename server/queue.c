/* queue.c - see queue.h */
#include "server/queue.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "server/route.h"

struct queue {
    struct store *store;
    uint64_t memory_limit_bytes, queued_max;
    int64_t (*clock)(void), retention_ms; /* clock NULL: the store's */
    char host[20];                        /* "": the one machine there is */
    bool (*room)(void *context, struct problem *why);
    void *room_context;
    struct arena arena; /* the texts below */
    const char *crashed, *too_large, *ran, *waited;
    pthread_mutex_t lock; /* the last id's time and count */
    int64_t id_ms;
    unsigned id_count;
};

static const char *problem_text(struct arena *a, const struct problem *p) {
    size_t bytes;
    return route_problem_body(p, 0, a, &bytes);
}

/* What becomes of jobs that we fail. */
static bool texts_make(struct queue *q) {
    struct problem crashed = {0}, too_large = {0}, ran = {0}, waited = {0};
    problem_set(&crashed, PROBLEM_CRASHED, "", "the job's worker died under it %d times; it is not tried again",
                QUEUE_ATTEMPTS_MAX);
    problem_set(&too_large, PROBLEM_BUDGET, "", "the daemon's memory limit is now %llu bytes, less than the job needs",
                (unsigned long long)q->memory_limit_bytes);
    problem_set(&ran, PROBLEM_TIMEOUT, "/timeout_seconds", "the job ran for longer than this and was stopped");
    problem_set(&waited, PROBLEM_QUEUE_TIMEOUT, "/queue_timeout_seconds",
                "the job waited for longer than this and was not begun");
    q->crashed = problem_text(&q->arena, &crashed);
    q->too_large = problem_text(&q->arena, &too_large);
    q->ran = problem_text(&q->arena, &ran);
    q->waited = problem_text(&q->arena, &waited);
    return q->crashed && q->too_large && q->ran && q->waited;
}

struct queue *queue_new(struct store *store, uint64_t memory_limit_bytes, struct problem *why) {
    struct queue *q = calloc(1, sizeof *q);
    if (!q || pthread_mutex_init(&q->lock, NULL) != 0) {
        free(q);
        problem_set(why, PROBLEM_MEMORY, "", "no memory for the queue");
        return NULL;
    }
    q->store = store;
    q->memory_limit_bytes = memory_limit_bytes;
    q->queued_max = QUEUE_QUEUED_MAX;
    arena_init(&q->arena, 0);
    if (texts_make(q))
        return q;
    queue_free(q);
    problem_set(why, PROBLEM_MEMORY, "", "no memory for the queue");
    return NULL;
}

void queue_free(struct queue *q) {
    if (!q)
        return;
    arena_free(&q->arena);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

struct store *queue_store(const struct queue *q) {
    return q->store;
}

void queue_bound(struct queue *q, uint64_t queued_max) {
    q->queued_max = queued_max;
}

void queue_room(struct queue *q, bool (*room)(void *context, struct problem *why), void *context) {
    q->room = room;
    q->room_context = context;
}

void queue_retain(struct queue *q, int64_t retention_ms) {
    q->retention_ms = retention_ms;
}

void queue_clock(struct queue *q, int64_t (*now_ms)(void)) {
    q->clock = now_ms;
}

static int64_t now_of(struct queue *q) {
    return q->clock ? q->clock() : store_now_ms(q->store);
}

void queue_host(struct queue *q, uint64_t number) {
    snprintf(q->host, sizeof q->host, "%016llx", (unsigned long long)number);
}

static const char *host_of(const struct queue *q) {
    return *q->host ? q->host : NULL;
}

/* UUIDv7 (RFC 9562): 48 bits of milliseconds, version 7, 12 bits that count within the millisecond, variant 2, 62
 * random bits. A clock that goes back keeps the last millisecond. */
bool queue_id(struct queue *q, char out[STORE_ID_BYTES], struct problem *why) {
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return problem_set(why, PROBLEM_IO, "", "the system has no random numbers");
    pthread_mutex_lock(&q->lock);
    int64_t now = now_of(q);
    if (now > q->id_ms) {
        q->id_ms = now;
        q->id_count = 0;
    } else if (++q->id_count > 0xfff) {
        q->id_ms++;
        q->id_count = 0;
    }
    uint64_t ms = (uint64_t)q->id_ms;
    unsigned count = q->id_count;
    pthread_mutex_unlock(&q->lock);
    snprintf(out, STORE_ID_BYTES, "%08x-%04x-7%03x-%04x-%012llx", (unsigned)(ms >> 16), (unsigned)(ms & 0xffff), count,
             (unsigned)(0x8000 | (random >> 48 & 0x3fff)), (unsigned long long)(random & 0xffffffffffff));
    return true;
}

/* Two containers over one data directory have the same pids: the number of their namespace tells them apart. */
void queue_owner(const struct queue *q, char out[STORE_OWNER_BYTES], unsigned slot, pid_t pid) {
    struct stat pids;
    unsigned long long space = stat("/proc/self/ns/pid", &pids) == 0 ? (unsigned long long)pids.st_ino : 0;
    snprintf(out, STORE_OWNER_BYTES, "%s%s%llu-slot%u-pid%ld", q->host, *q->host ? "-" : "", space, slot, (long)pid);
}

static bool release(struct queue *q, const char *owner, const char *host, bool expired_only, bool keep_attempt,
                    struct problem *why) {
    unsigned n;
    return store_release(q->store,
                         &(struct store_release){.owner = owner,
                                                 .host = host,
                                                 .expired_only = expired_only,
                                                 .keep_attempt = keep_attempt,
                                                 .now_ms = now_of(q),
                                                 .attempts_max = QUEUE_ATTEMPTS_MAX,
                                                 .problem = q->crashed},
                         &n, why);
}

bool queue_recover(struct queue *q, struct problem *why) {
    return store_verify(q->store, why) && release(q, NULL, host_of(q), false, false, why) &&
           (store_shared(q->store) || store_refuse(q->store, q->memory_limit_bytes, now_of(q), q->too_large, why)) &&
           queue_time_out(q, why);
}

bool queue_worker_died(struct queue *q, const char *owner, struct problem *why) {
    return release(q, owner, NULL, false, false, why);
}

bool queue_worker_drained(struct queue *q, const char *owner, struct problem *why) {
    return release(q, owner, NULL, false, true, why);
}

bool queue_submit(struct queue *q, struct store_job *job, const char *key, const char *const *blobs, size_t n_blobs,
                  struct arena *a, bool *replayed, bool *conflict, struct problem *why) {
    char first_id[STORE_ID_BYTES];
    enum store_added how;
    *replayed = *conflict = false;
    if (key && (!*key || strlen(key) > QUEUE_KEY_BYTES))
        return problem_set(why, PROBLEM_MALFORMED, "", "an Idempotency-Key has from 1 to %d characters",
                           QUEUE_KEY_BYTES);
    if (key && !route_text_is_utf8(key))
        return problem_set(why, PROBLEM_MALFORMED, "", "an Idempotency-Key is UTF-8 text");
    job->created_ms = now_of(q);
    job->state = JOB_QUEUED;
    if (key && job->submitter && *job->submitter && !(key = arena_printf(a, why, "%s\n%s", job->submitter, key)))
        return false;
    struct problem no_room = {0};
    struct store_filing filing = {.key = key,
                                  .keys_after_ms = job->created_ms - QUEUE_KEY_MS,
                                  .blobs = blobs,
                                  .n_blobs = n_blobs,
                                  .queued_max = q->queued_max,
                                  .closed = q->room && !q->room(q->room_context, &no_room)};
    if (!queue_id(q, job->id, why) || !store_add(q->store, job, &filing, first_id, &how, why))
        return false;
    if (how == STORE_QUEUE_CLOSED)
        return problem_set(why, no_room.kind, "", "%s", no_room.detail);
    if (how == STORE_QUEUE_FULL)
        return problem_set(why, PROBLEM_BUSY, "", "%llu jobs are queued, as many as may be (--queue-limit)",
                           (unsigned long long)q->queued_max);
    *conflict = how == STORE_KEY_CONFLICT;
    if (*conflict)
        return problem_set(why, PROBLEM_STATE, "", "this Idempotency-Key was used for another request, job %s",
                           first_id);
    *replayed = how == STORE_REPLAYED;
    return !*replayed || store_get(q->store, first_id, a, job, why);
}

bool queue_claim(struct queue *q, const char *owner, struct arena *a, struct store_job *job, struct store_lease *lease,
                 bool *claimed, struct problem *why) {
    struct store_claim claim = {.owner = owner,
                                .host = host_of(q),
                                .now_ms = now_of(q),
                                .lease_ms = QUEUE_LEASE_MS,
                                .memory_limit_bytes = q->memory_limit_bytes,
                                .passed_max = QUEUE_PASSED_MAX};
    if (!store_claim(q->store, &claim, a, job, claimed, why))
        return false;
    if (!*claimed)
        return true;
    *lease = (struct store_lease){.attempt = job->attempts};
    memcpy(lease->id, job->id, sizeof lease->id);
    snprintf(lease->owner, sizeof lease->owner, "%s", owner);
    return true;
}

bool queue_worker_check(struct queue *q, const char *owner, bool *cancel, bool *late, struct problem *why) {
    int64_t lease_until_ms = INT64_MAX;
    bool ok = store_held(q->store, owner, cancel, &lease_until_ms, why);
    *late = ok && lease_until_ms < now_of(q);
    return ok;
}

bool queue_time_out(struct queue *q, struct problem *why) {
    return store_time_out(q->store, now_of(q), q->waited, q->ran, why);
}

bool queue_sweep(struct queue *q, void (*gone)(void *context, const char *digest), void *context, bool *more,
                 struct problem *why) {
    unsigned jobs = 0, uploads = 0;
    int64_t before_ms = now_of(q) - q->retention_ms;
    *more = false;
    if (!q->retention_ms)
        return true;
    bool ok = store_expire(q->store, before_ms, QUEUE_SWEEP_MAX, gone, context, &jobs, why) &&
              store_expire_uploads(q->store, before_ms, QUEUE_SWEEP_MAX, gone, context, &uploads, why);
    *more = jobs == QUEUE_SWEEP_MAX || uploads == QUEUE_SWEEP_MAX;
    return ok;
}

bool queue_expire(struct queue *q, struct problem *why) {
    return release(q, NULL, NULL, true, false, why);
}

bool queue_beat(struct queue *q, const struct store_lease *lease, const struct store_progress *progress, bool *cancel,
                struct problem *why) {
    return store_beat(q->store, lease, now_of(q) + QUEUE_LEASE_MS, progress, cancel, why);
}

bool queue_finish(struct queue *q, const struct store_lease *lease, enum job_state state,
                  const struct store_progress *progress, const char *result, const char *problem, struct problem *why) {
    return store_finish(q->store, lease, state, now_of(q), progress, result, problem, why);
}

bool queue_cancel(struct queue *q, const char *id, enum job_state *state, struct problem *why) {
    return store_cancel(q->store, id, now_of(q), state, why);
}
