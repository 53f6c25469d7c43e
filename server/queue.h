/* queue.h - how jobs get from the front to the workers: ids, leases, memory, second chances. Policy; store.h keeps it.
 *
 *   queued --claim--> running --finish--> succeeded | failed | cancelled
 *      ^                 |
 *      +---- worker died or lease ran out (the second time: failed, worker-crashed) ----+
 *
 * A queue may be used from any thread. Times are the store's clock. */
#ifndef REMATD_SERVER_QUEUE_H
#define REMATD_SERVER_QUEUE_H

#include <sys/types.h>

#include "server/store.h"

#define QUEUE_BEAT_MS      15000              /* a worker says it is alive this often */
#define QUEUE_LEASE_MS     60000              /* and has lost its job after this long without */
#define QUEUE_ATTEMPTS_MAX 2                  /* a job that kills its worker twice is not tried again */
#define QUEUE_PASSED_MAX   16                 /* smaller jobs that may overtake the oldest one */
#define QUEUE_KEY_MS       (24 * 3600 * 1000) /* idempotency keys are remembered for a day */
#define QUEUE_KEY_BYTES    200                /* the longest key */
#define QUEUE_SWEEP_MAX    50                 /* jobs removed at once */
#define QUEUE_QUEUED_MAX   10000              /* jobs that wait, unless queue_bound says otherwise */

struct queue;

/* Borrows the store. memory_limit_bytes: what running jobs may take together. */
PROBLEM_MUST_CHECK struct queue *queue_new(struct store *store, uint64_t memory_limit_bytes, struct problem *why);
void queue_free(struct queue *q); /* NULL is fine */
struct store *queue_store(const struct queue *q);
/* Asked before a new job is filed; false with a problem: none is. A key that is known is answered all the same. */
void queue_room(struct queue *q, bool (*room)(void *context, struct problem *why), void *context);
/* How long a finished job is kept; 0: for ever. */
void queue_retain(struct queue *q, int64_t retention_ms);
/* How many jobs may wait; 0: any number. */
void queue_bound(struct queue *q, uint64_t queued_max);
/* Another clock than the store's, for tests. */
void queue_clock(struct queue *q, int64_t (*now_ms)(void));

/* For the front, once, before workers start: checks the store; jobs of workers that no longer are go back to the queue;
 * queued jobs that have waited too long meanwhile fail, as do those that a smaller memory limit has made impossible,
 * unless the store is shared: another machine may have the memory. */
PROBLEM_MUST_CHECK bool queue_recover(struct queue *q, struct problem *why);
/* Of a shared store: the number of this machine's data directory (blob_host). The memory limit is that of the jobs
 * which run here, and what is recovered is this machine's. */
void queue_host(struct queue *q, uint64_t number);
/* The name a worker process goes by; the supervisor makes the same one from slot and pid. */
void queue_owner(const struct queue *q, char out[STORE_OWNER_BYTES], unsigned slot, pid_t pid);
/* The process behind owner is gone: its job goes back, or fails if this was its second worker. */
PROBLEM_MUST_CHECK bool queue_worker_died(struct queue *q, const char *owner, struct problem *why);
/* The process behind owner was stopped by us (a drain): its job goes back and the attempt is not counted. */
PROBLEM_MUST_CHECK bool queue_worker_drained(struct queue *q, const char *owner, struct problem *why);

/* Whether a living worker's job was asked to stop, and whether its lease has run out: neither lasts in a healthy one.
 */
PROBLEM_MUST_CHECK bool queue_worker_check(struct queue *q, const char *owner, bool *cancel, bool *late,
                                           struct problem *why);

/* Fills in id, created_ms and state of *job, and files it; on a replay *job is the first job (strings in a). A key used
 * for another request is PROBLEM_STATE "" that says so, with *conflict true; a full queue is PROBLEM_BUSY. Keys of
 * one submitter mean nothing to another. */
PROBLEM_MUST_CHECK bool queue_submit(struct queue *q, struct store_job *job, const char *key, const char *const *blobs,
                                     size_t n_blobs, struct arena *a, bool *replayed, bool *conflict,
                                     struct problem *why);

/* For the front, some times a second: jobs that have waited too long fail, those that have run too long are stopped as
 * if somebody cancelled them, and fail then. */
PROBLEM_MUST_CHECK bool queue_time_out(struct queue *q, struct problem *why);

/* For the front, about once a second: removes jobs that ended longer ago than they are kept, then uploads that no job
 * has named for as long, at most QUEUE_SWEEP_MAX of each; *more: there may be others. gone as in store_remove. */
PROBLEM_MUST_CHECK bool queue_sweep(struct queue *q, void (*gone)(void *context, const char *digest), void *context,
                                    bool *more, struct problem *why);

/* Ends leases that ran out; every worker asks for it now and then (a write: not at every poll). */
PROBLEM_MUST_CHECK bool queue_expire(struct queue *q, struct problem *why);
/* Claims the next job that fits beside the running ones. *claimed: whether there was one. */
PROBLEM_MUST_CHECK bool queue_claim(struct queue *q, const char *owner, struct arena *a, struct store_job *job,
                                    struct store_lease *lease, bool *claimed, struct problem *why);
PROBLEM_MUST_CHECK bool queue_beat(struct queue *q, const struct store_lease *lease,
                                   const struct store_progress *progress, bool *cancel, struct problem *why);
PROBLEM_MUST_CHECK bool queue_finish(struct queue *q, const struct store_lease *lease, enum job_state state,
                                     const struct store_progress *progress, const char *result, const char *problem,
                                     struct problem *why);
PROBLEM_MUST_CHECK bool queue_cancel(struct queue *q, const char *id, enum job_state *state, struct problem *why);

/* A new UUIDv7 (RFC 9562): ids sort by the time they were made, also within a millisecond of one queue. */
PROBLEM_MUST_CHECK bool queue_id(struct queue *q, char out[STORE_ID_BYTES], struct problem *why);

#endif
