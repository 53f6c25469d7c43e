/* worker.c - see worker.h.
 *
 * Two threads: this one runs jobs; the keeper keeps the lease, stores progress and listens for a cancel, and is the one
 * that gives up on a job that does not stop. */
#include "server/worker.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/pool.h"
#include "engine/exec/slab.h"
#include "engine/kernels/gemm.h"
#include "engine/kernels/tile.h"
#include "server/clock.h"
#include "server/job.h"
#include "server/log.h"
#include "server/plan_device.h"
#include "server/queue.h"
#include "server/route.h"
#include "server/store_carry.h"
#include "server/witness.h"
#include "server/worker_reports.h"

#define POLL_MS     20
#define KEEPER_MS   50
#define CLAIM_MS    1000  /* asked even if nobody has written: memory may have become free */
#define EXPIRE_MS   10000 /* other workers' leases are looked after this often */
#define PROGRESS_MS 1000
#define REPORT_MS   250                 /* between two beats of a job that reports */
#define CANCEL_MS   1500                /* after this long a job does not stop by itself */
#define AWAY_MS     500                 /* between two questions to a database that is away */
#define COPIES_MS   600000              /* copies of tensors that nobody knows any more are looked for this often */
#define CARRY_BYTES ((uint64_t)4 << 20) /* for tensors on their way through a shared store */

struct worker {
    const struct worker_options *options;
    struct blob_store *blobs;
    struct store *store;
    struct queue *queue;
    struct pool *pool;
    struct slab *slab, *persistent;
    uint64_t idle_rss_bytes;
    char owner[STORE_OWNER_BYTES];
    bool unsure; /* whether we hold a job that we know nothing of */

    pthread_t keeper;
    bool has_keeper;
    pthread_mutex_t lock; /* of what follows */
    bool busy, ending;
    struct store_lease lease;
    const char *request_id;                  /* of the request that filed it; NULL: none */
    int64_t beat_ms, cancel_ms;              /* last beat; when the cancel was seen, 0: not */
    uint64_t told;                           /* progress at the last beat */
    const char *sending[2 * WORKER_REPORTS]; /* taken from reports, not stored yet; malloc */
    unsigned n_sending;

    atomic_bool cancel, lost; /* lost: the job is somebody else's now */
    _Atomic uint64_t done, total;
    struct worker_reports reports; /* has a lock of its own */
};

static volatile sig_atomic_t terminated;

static void on_term(int number) {
    (void)number;
    terminated = 1;
}

static void sleep_ms(unsigned ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}

static int64_t clock_ms(void) {
    return (int64_t)(clock_now_ns() / 1000000);
}

/* ---- what a job says ---- */

/* What is to be stored with the next write, behind what an earlier one could not store. With the lock held, or no
 * keeper at work. */
static struct store_progress progress_take(struct worker *w) {
    uint64_t done = w->done, total = w->total;
    if (done != w->told && worker_reports_count(&w->reports) == 0)
        worker_reports_add(&w->reports, done, total, NULL);
    w->told = done;
    w->n_sending += worker_reports_take(&w->reports, w->sending + w->n_sending, 2 * WORKER_REPORTS - w->n_sending);
    return (struct store_progress){.done = done, .total = total, .events = w->sending, .n_events = w->n_sending};
}

static void progress_stored(struct worker *w) {
    while (w->n_sending > 0)
        free((void *)w->sending[--w->n_sending]);
}

/* ---- a database that is away ---- */

/* Whether to ask once more, after a while: of a shared store, until then. Clears the problem. */
static bool again(struct worker *w, int64_t until_ms, struct problem *why) {
    if (!store_shared(w->store) || why->kind != PROBLEM_IO || clock_ms() >= until_ms || terminated)
        return false;
    *why = (struct problem){0};
    sleep_ms(AWAY_MS);
    return true;
}

/* ---- the keeper ---- */

/* A kernel that runs longer than a cancel may take can only be stopped with its process. */
static void give_up(struct worker *w) {
    struct problem why = {0};
    struct store_progress progress = progress_take(w);
    log_context(w->request_id, NULL);
    if (!queue_finish(w->queue, &w->lease, JOB_CANCELLED, &progress, NULL, NULL, &why))
        log_event(LOG_WARNING, "worker.cancel", "job %s: %s", w->lease.id, why.detail);
    _exit(WORKER_EXIT_CANCELLED);
}

/* With the lock held and a job running. */
static void keep(struct worker *w, bool changed) {
    struct problem why = {0};
    bool cancel = false, ok = true;
    int64_t now = clock_ms();
    int64_t past = now - w->beat_ms;
    bool moved = w->done != w->told && past >= PROGRESS_MS;
    bool reported = past >= REPORT_MS && worker_reports_count(&w->reports) > 0;
    if (moved || reported || past >= QUEUE_BEAT_MS) {
        struct store_progress progress = progress_take(w);
        w->beat_ms = now;
        ok = queue_beat(w->queue, &w->lease, &progress, &cancel, &why);
        if (ok)
            progress_stored(w);
        else
            w->beat_ms = now - QUEUE_BEAT_MS + PROGRESS_MS; /* again soon: the lease does not wait */
    } else if (changed) {
        ok = store_cancelled(w->store, &w->lease, &cancel, &why);
    }
    if (!ok && why.kind == PROBLEM_STATE)
        w->lost = cancel = true;
    if (cancel) {
        w->cancel = true;
        if (!w->cancel_ms)
            w->cancel_ms = now;
    }
    if (w->cancel_ms && now - w->cancel_ms >= CANCEL_MS)
        give_up(w);
}

static void *keeper_main(void *arg) {
    struct worker *w = arg;
    uint64_t version = 0, seen = 0;
    for (bool ending = false; !ending; sleep_ms(KEEPER_MS)) {
        struct problem why = {0};
        bool changed = !store_version(w->store, &version, &why) || version != seen;
        seen = version;
        pthread_mutex_lock(&w->lock);
        if (w->busy)
            keep(w, changed);
        else
            seen = 0; /* look once when the next job begins */
        ending = w->ending;
        pthread_mutex_unlock(&w->lock);
    }
    return NULL;
}

/* ---- one job ---- */

/* What it held was promised to another worker's job the moment this one is finished. */
static void rest(struct worker *w) {
    slab_trim(w->slab);
    slab_trim(w->persistent);
    malloc_trim(0);
}

static void on_progress(void *user, uint64_t done, uint64_t total) {
    struct worker *w = user;
    w->total = total;
    w->done = done;
}

static void on_report(void *user, const char *object) {
    struct worker *w = user;
    worker_reports_add(&w->reports, w->done, w->total, object);
}

static bool on_cancelled(void *user) {
    struct worker *w = user;
    return w->cancel;
}

static bool on_making(void *user, const char *const *digests, size_t n, struct problem *why) {
    struct worker *w = user;
    const int64_t until_ms = clock_ms() + QUEUE_LEASE_MS;
    bool made;
    do
        made = store_make(w->store, &w->lease, digests, n, why);
    while (!made && again(w, until_ms, why));
    return made;
}

static void begin(struct worker *w, const struct store_lease *lease, const char *request_id) {
    pthread_mutex_lock(&w->lock);
    w->lease = *lease;
    w->request_id = request_id;
    w->beat_ms = clock_ms();
    w->cancel_ms = 0;
    w->told = 0;
    progress_stored(w); /* of the job before */
    worker_reports_clear(&w->reports);
    w->cancel = w->lost = false;
    w->done = w->total = 0;
    w->busy = true;
    pthread_mutex_unlock(&w->lock);
}

static void end(struct worker *w) {
    pthread_mutex_lock(&w->lock);
    w->busy = false;
    pthread_mutex_unlock(&w->lock);
}

static bool run(struct worker *w, const struct store_job *stored, struct arena *a, const char **result,
                struct problem *why) {
    /* With the bytes it was admitted for as the limit, `auto` chooses again what it chose then. */
    struct plan_host host = {.store = w->store, .memory_bytes = w->options->memory_limit_bytes};
    struct job_context context = {.arena = a,
                                  .blobs = w->blobs,
                                  .threads = w->options->threads,
                                  .memory_limit_bytes = stored->planned_peak_bytes,
                                  .host = &host};
    struct job_run r = {.slab = w->slab,
                        .persistent = w->persistent,
                        .pool = w->pool,
                        .idle_rss_bytes = w->idle_rss_bytes,
                        .progress = on_progress,
                        .report = on_report,
                        .cancelled = on_cancelled,
                        .making = on_making,
                        .user = w};
    struct job job;
    const uint64_t held = jail_memory_bytes();
    const uint64_t stacks = w->options->threads * POOL_STACK;
    const uint64_t carried = store_shared(w->store) ? CARRY_BYTES : 0;
    jail_memory_limit(held ? held + stored->planned_peak_bytes + stacks + carried : UINT64_MAX);
    const bool ok = job_make(&job, stored->request, strlen(stored->request), &context, why) &&
                    job.kind->run(&job, &context, &r, why);
    jail_memory_limit(UINT64_MAX);
    *result = ok || why->kind == PROBLEM_CANCELLED ? r.result : NULL; /* what was found until then */
    return ok;
}

/* p: none where the job succeeded. */
static bool finish(struct worker *w, struct arena *a, const char *result, const struct problem *p,
                   struct problem *why) {
    size_t bytes;
    enum job_state state = p->kind == PROBLEM_NONE        ? JOB_SUCCEEDED
                           : p->kind == PROBLEM_CANCELLED ? JOB_CANCELLED
                                                          : JOB_FAILED;
    const char *problem = state == JOB_FAILED ? route_problem_body(p, 0, a, &bytes) : NULL;
    struct store_progress progress = progress_take(w);
    const int64_t until_ms = clock_ms() + QUEUE_LEASE_MS;
    for (unsigned attempt = 0; attempt < 3 || again(w, until_ms, why); attempt++) {
        *why = (struct problem){0};
        if (queue_finish(w->queue, &w->lease, state, &progress, result, problem, why))
            return true;
        if (why->kind == PROBLEM_STATE)
            return true; /* it is somebody else's: what we have made stays unsaid */
        sleep_ms(100);
    }
    return false;
}

/* To the queue, for another attempt. */
static bool give_back(struct worker *w, struct problem *why) {
    const int64_t until_ms = clock_ms() + QUEUE_LEASE_MS;
    bool given;
    do
        given = queue_worker_died(w->queue, w->owner, why);
    while (!given && again(w, until_ms, why));
    return given;
}

/* False if the store is gone: the process ends, its job goes back to the queue. */
static bool job_do(struct worker *w, const struct store_job *stored, const struct store_lease *lease, struct arena *a,
                   struct problem *why) {
    struct problem p = {0};
    const char *result = NULL;
    log_event(LOG_INFO, "job.started", "job %s, %s, attempt %u", stored->id, stored->kind, stored->attempts);
    begin(w, lease, stored->request_id);
    bool ok = run(w, stored, a, &result, &p);
    end(w);
    rest(w);
    /* The store was away, or a tensor did not come whole: that is not the job's doing, and may be over at its last
     * attempt, or elsewhere. */
    bool back = store_shared(w->store) && p.kind == PROBLEM_IO && stored->attempts < QUEUE_ATTEMPTS_MAX;
    if (!w->lost && !(back ? give_back(w, why) : finish(w, a, result, &p, why)))
        return false;
    if (back)
        log_event(LOG_WARNING, "job.back", "job %s goes back to the queue: %s", stored->id, p.detail);
    else
        log_event(ok ? LOG_INFO : LOG_WARNING, "job.ended", "job %s, %s", stored->id, ok ? "succeeded" : p.detail);
    return true;
}

/* ---- the loop ---- */

/* A commit that was not answered may have been done all the same: then the job that it claimed, or did not end, is ours
 * and nobody runs it. It goes back before another is claimed. */
static bool settle(struct worker *w, struct problem *why) {
    return !w->unsure || queue_worker_drained(w->queue, w->owner, why);
}

/* Claims and runs until the queue has nothing for us. */
static bool work(struct worker *w, struct problem *why) {
    for (bool claimed = true; claimed && !terminated;) {
        struct arena arena;
        struct store_job job;
        struct store_lease lease;
        arena_init(&arena, 0);
        bool ok = settle(w, why) && queue_claim(w->queue, w->owner, &arena, &job, &lease, &claimed, why);
        if (ok && claimed) {
            log_context(job.request_id, NULL); /* its lines are those of the request that filed it */
            ok = job_do(w, &job, &lease, &arena, why);
            log_context(NULL, NULL);
        }
        arena_free(&arena);
        w->unsure = !ok && why->kind == PROBLEM_IO;
        if (!ok)
            return false;
    }
    return true;
}

struct rounds {
    uint64_t seen; /* version of the store */
    int64_t claimed_ms, expired_ms, copies_ms;
};

/* What is due now. */
static bool look(struct worker *w, struct rounds *r, struct problem *why) {
    int64_t now = clock_ms();
    uint64_t version;
    if (now - r->expired_ms >= EXPIRE_MS) {
        r->expired_ms = now;
        if (!queue_expire(w->queue, why))
            return false;
    }
    if (now - r->copies_ms >= COPIES_MS) {
        r->copies_ms = now;
        if (!store_carry_tidy(w->store, w->blobs, why))
            return false;
    }
    if (!store_version(w->store, &version, why))
        return false;
    if (version == r->seen && now - r->claimed_ms < CLAIM_MS)
        return true;
    r->seen = version;
    r->claimed_ms = now;
    return work(w, why);
}

static bool loop(struct worker *w, struct problem *why) {
    struct rounds r = {.expired_ms = clock_ms() - EXPIRE_MS, .copies_ms = clock_ms()};
    for (; !terminated; sleep_ms(POLL_MS))
        if (!look(w, &r, why) && !again(w, INT64_MAX, why))
            return terminated && store_shared(w->store) && why->kind == PROBLEM_IO;
    return true;
}

/* ---- coming and going ---- */

/* A product on every thread: what its panels take of the stacks is idle memory then. */
enum { WARM_M = 256, WARM_N = 2048, WARM_K = 768 };

static void warm_task(void *arg, uint64_t index, unsigned slot) {
    float *all = arg, *a = all, *b = a + WARM_M * WARM_K, *c = b + WARM_K * WARM_N + index * WARM_M * WARM_N;
    (void)slot;
    gemm(WARM_M, WARM_N, WARM_K, 1, (struct gemm_matrix){a, WARM_K, false}, (struct gemm_matrix){b, WARM_N, false},
         false, c, WARM_N);
}

static bool warm(struct worker *w, struct problem *why) {
    uint64_t threads = pool_threads(w->pool);
    uint64_t floats = WARM_M * WARM_K + WARM_K * WARM_N + threads * WARM_M * WARM_N;
    float *all = (float *)slab_reserve(w->slab, floats * sizeof *all, why);
    if (!all)
        return false;
    memset(all, 0, floats * sizeof *all);
    pool_run(w->pool, threads, warm_task, all);
    rest(w);
    w->idle_rss_bytes = witness_rss_bytes();
    return true;
}

/* SQLite's, which it wants rarely and would look for in /tmp. */
static void temporary_files_beneath(const char *data_dir) {
    char name[1100];
    snprintf(name, sizeof name, "%s/tmp", data_dir);
    setenv("SQLITE_TMPDIR", name, 1);
}

static bool worker_open(struct worker *w, struct problem *why) {
    const struct worker_options *o = w->options;
    mallopt(M_MMAP_THRESHOLD, 256 << 10); /* large pieces go back to the system when they are freed */
    mallopt(M_ARENA_MAX, 2);
    temporary_files_beneath(o->data_dir);
    if (!(w->blobs = blob_open(o->data_dir, why)) || !(w->store = store_choose(o->store, o->data_dir, why)) ||
        !jail_files(o->sandbox, o->data_dir, store_shared(w->store), why) ||
        !(w->queue = queue_new(w->store, o->memory_limit_bytes, why)) || !(w->pool = pool_new(o->threads, why)) ||
        !(w->slab = slab_new(why)) || !(w->persistent = slab_new(why)) || !warm(w, why))
        return false;
    if (store_shared(w->store))
        queue_host(w->queue, blob_host(w->blobs));
    queue_owner(w->queue, w->owner, o->slot, getpid());
    store_carry(w->store, w->blobs, QUEUE_LEASE_MS);
    w->has_keeper = pthread_create(&w->keeper, NULL, keeper_main, w) == 0;
    if (!w->has_keeper)
        return problem_set(why, PROBLEM_MEMORY, "", "no thread for the keeper");
    return jail_calls(o->sandbox, store_shared(w->store), why);
}

static void worker_close(struct worker *w) {
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_mutex_unlock(&w->lock);
    if (w->has_keeper)
        pthread_join(w->keeper, NULL);
    progress_stored(w);
    worker_reports_clear(&w->reports);
    pthread_mutex_destroy(&w->reports.lock);
    slab_free(w->slab);
    slab_free(w->persistent);
    pool_free(w->pool);
    queue_free(w->queue);
    store_close(w->store);
    blob_close(w->blobs);
    pthread_mutex_destroy(&w->lock);
}

int worker_run(const struct worker_options *options) {
    struct problem why = {0};
    struct worker w = {
        .options = options, .lock = PTHREAD_MUTEX_INITIALIZER, .reports.lock = PTHREAD_MUTEX_INITIALIZER};
    signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C is for the daemon; it tells us */
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL);
    bool ok = worker_open(&w, &why);
    if (ok)
        log_event(LOG_INFO, "worker.kernels", "slot %u: %s", options->slot, tile_best()->name);
    ok = ok && loop(&w, &why);
    if (!ok)
        log_event(LOG_ERROR, "worker.failed", "%s", why.detail);
    worker_close(&w);
    return ok ? 0 : 1;
}
