/* store.h - what survives a kill: jobs, the blobs they use, idempotency keys. The front and the workers meet here only.
 *
 * Plain calls; behind them is SQLite (store_sqlite.c) for the processes of one machine, or PostgreSQL
 * (store_postgres*.c) for those of many. Every call is one transaction that is on disk when it returns true. A struct
 * store may be used from any thread (calls are serialised); each process opens its own. Times are milliseconds since
 * 1970; the caller passes them, so tests move the clock: store_now_ms is the one that all who share a store agree on.
 */
#ifndef REMATD_SERVER_STORE_H
#define REMATD_SERVER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/problem.h"

#define STORE_ID_BYTES     40 /* a UUID and its end */
#define STORE_OWNER_BYTES  64
#define STORE_DIGEST_BYTES 72 /* "sha256:", 64 digits and the end */

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLED, JOB_STATES };

const char *store_state_name(enum job_state state);           /* "queued", ... */
bool store_state_find(const char *name, enum job_state *out); /* false: no such state */
bool store_state_finished(enum job_state state);

struct store_job {
    char id[STORE_ID_BYTES];
    const char *kind;
    enum job_state state;
    int64_t created_ms, started_ms, finished_ms; /* 0: not yet */
    unsigned attempts;
    uint64_t progress_done, progress_total;
    uint64_t planned_peak_bytes; /* what it takes of the memory limit while it runs */
    bool cancel;                 /* somebody asked a running job to stop */
    int64_t timeout_ms;          /* of running, each attempt anew; 0: none */
    int64_t queue_timeout_ms;    /* of waiting for the first attempt; 0: none */
    const char *submitter;       /* whose it is, "" where nobody has a name */
    const char *labels;          /* JSON object of strings */
    const char *retry_of;        /* the job this one is again, or NULL */
    const char *request_id;      /* X-Request-Id of the request that filed it, or NULL */
    const char *request;         /* canonical JSON */
    const char *planned;         /* JSON object */
    const char *result;          /* JSON object, or NULL */
    const char *problem;         /* JSON object, or NULL */
};

struct store_query {
    const char *state, *kind; /* NULL: any */
    const char *labels;       /* JSON array of "KEY:VALUE", all of which a job has; NULL: any */
    const char *before_id;    /* NULL: from the newest; else ids before this one */
    unsigned limit;           /* at most this many, >= 1 */
};

/* One line of a job's history. Numbers rise from 1; "state" events are written with what changes the state and stay,
 * of "progress" events the newest STORE_PROGRESS_MAX do. */
#define STORE_PROGRESS_MAX 2000
struct store_event {
    uint64_t number;
    const char
        *name; /* "state": {"state", "attempt"}; "progress": {"done", "total"}, and "report" where there is one */
    const char *data; /* JSON object, one line */
    const char *job;  /* of store_feed: whose it is */
};

/* How far a job is, and the data of the progress events that led there, oldest first. */
struct store_progress {
    uint64_t done, total;
    const char *const *events;
    size_t n_events;
};

/* Who runs a job: every later write is fenced by it. */
struct store_lease {
    char id[STORE_ID_BYTES], owner[STORE_OWNER_BYTES];
    unsigned attempt;
};

enum store_added { STORE_ADDED, STORE_REPLAYED, STORE_KEY_CONFLICT, STORE_QUEUE_FULL, STORE_QUEUE_CLOSED };

struct store;

/* where: a data directory, whose rematd.db is made if absent, or the URL of a PostgreSQL database (store_url_check). An
 * older layout is brought up to date, a damaged or newer one is a problem (PROBLEM_IO). */
PROBLEM_MUST_CHECK struct store *store_open(const char *where, struct problem *why);
/* What --store and --data mean: the store of that URL, or where it is empty, the directory's. A directory that has a
 * store of its own does not become a place for another's copies. */
PROBLEM_MUST_CHECK struct store *store_choose(const char *url, const char *data_dir, struct problem *why);
/* PROBLEM_MALFORMED where it is no URL of a store. */
PROBLEM_MUST_CHECK bool store_url_check(const char *url, struct problem *why);
void store_close(struct store *s); /* NULL is fine */
/* True if a question can be answered now. */
PROBLEM_MUST_CHECK bool store_check(struct store *s, struct problem *why);
/* Whether processes of other machines may be on it. Tensors are then in the store, and files here are copies
 * (store_carry.h); a machine's jobs are told apart by the host of store_claim. */
bool store_shared(const struct store *s);
/* The clock of the store: this machine's, or the database's. */
int64_t store_now_ms(struct store *s);
/* A number that changes when another connection has changed the state of a job or asked one to stop, maybe at other
 * times too; maybe a moment later. Cheap, for polling. */
PROBLEM_MUST_CHECK bool store_version(struct store *s, uint64_t *version, struct problem *why);

/* The same, of progress and of this connection's own writes too. */
PROBLEM_MUST_CHECK bool store_changes(struct store *s, uint64_t *changes, struct problem *why);

/* Reads every page of a file; for the front, once. PROBLEM_IO where it is damaged. */
PROBLEM_MUST_CHECK bool store_verify(struct store *s, struct problem *why);

/* How a job is filed. */
struct store_filing {
    const char *key; /* NULL: none */
    int64_t keys_after_ms;
    const char *const *blobs; /* the digests its request names */
    size_t n_blobs;
    uint64_t queued_max; /* so many are queued at most; 0: any number */
    bool closed;         /* nothing new is filed: STORE_QUEUE_CLOSED */
};
/* Files a queued job (labels and submitter may be NULL: none). With a key that was used since keys_after_ms nothing is
 * filed, first_id is the job of then, and *how says whether its request was the same; nor is it where the queue is
 * full. PROBLEM_NOT_FOUND if a blob has gone since the request was read. */
PROBLEM_MUST_CHECK bool store_add(struct store *s, const struct store_job *job, const struct store_filing *filing,
                                  char first_id[STORE_ID_BYTES], enum store_added *how, struct problem *why);

/* Strings live in a. PROBLEM_NOT_FOUND if there is none. */
PROBLEM_MUST_CHECK bool store_get(struct store *s, const char *id, struct arena *a, struct store_job *out,
                                  struct problem *why);
PROBLEM_MUST_CHECK bool store_state(struct store *s, const char *id, enum job_state *out, struct problem *why);
/* Newest first. request is NULL in these. */
PROBLEM_MUST_CHECK bool store_list(struct store *s, const struct store_query *q, struct arena *a,
                                   struct store_job **jobs, size_t *n, struct problem *why);

/* The events after a number, oldest first, at most limit; strings live in a. *last: no other will follow these (the job
 * has finished, or is gone). No problem where there is no such job. */
PROBLEM_MUST_CHECK bool store_events(struct store *s, const char *id, uint64_t after, unsigned limit, struct arena *a,
                                     struct store_event **events, size_t *n, bool *last, struct problem *why);
/* Whether store_events would say anything: an event, or that it was the last. */
PROBLEM_MUST_CHECK bool store_events_any(struct store *s, const char *id, uint64_t after, bool *any,
                                         struct problem *why);

/* Whose events a feed is of; NULL: any job's. */
struct store_feed {
    const char *jobs;   /* JSON array of ids */
    const char *labels; /* JSON array of "KEY:VALUE", all of which a job has */
};
/* Events of many jobs in the one order they were told in, after a place: numbers are places in that order, and rise. At
 * most `limit`; it looks at STORE_FEED_SCAN events at most, and *after is the last one it looked at. *more: there are
 * others behind it. */
#define STORE_FEED_SCAN 2000
PROBLEM_MUST_CHECK bool store_feed(struct store *s, const struct store_feed *feed, uint64_t *after, unsigned limit,
                                   struct arena *a, struct store_event **events, size_t *n, bool *more,
                                   struct problem *why);
/* The place of the last event of all, 0 where there was none yet. */
PROBLEM_MUST_CHECK bool store_feed_last(struct store *s, uint64_t *last, struct problem *why);
/* Of jobs (JSON array of ids): the place before their first event, and whether none of them will have another. */
PROBLEM_MUST_CHECK bool store_feed_first(struct store *s, const char *jobs, uint64_t *before, struct problem *why);
PROBLEM_MUST_CHECK bool store_feed_over(struct store *s, const char *jobs, bool *over, struct problem *why);

struct store_claim {
    const char *owner;
    int64_t now_ms, lease_ms;
    const char *host;            /* where it would run; NULL: the one machine there is */
    uint64_t memory_limit_bytes; /* that host's running jobs and this one together never pass it */
    unsigned passed_max;         /* after being passed over this often, the oldest job is the next */
};
/* Takes a queued job whose planned_peak_bytes fits beside the running ones: of the submitter whose running jobs take
 * least bytes (among equals: who runs the fewest, then who was served longest ago) the oldest one. The oldest job of
 * all is passed over passed_max times, for whatever reason, and then waited for. *claimed says whether there was one.
 * out->attempts counts this attempt. */
PROBLEM_MUST_CHECK bool store_claim(struct store *s, const struct store_claim *claim, struct arena *a,
                                    struct store_job *out, bool *claimed, struct problem *why);

/* The next three are the claimant's, fenced: PROBLEM_STATE if the job is no longer this lease's. */
/* Extends the lease, stores progress; *cancel: somebody asked to stop. */
PROBLEM_MUST_CHECK bool store_beat(struct store *s, const struct store_lease *lease, int64_t until_ms,
                                   const struct store_progress *progress, bool *cancel, struct problem *why);
/* Whether somebody asked to stop; reads only. */
PROBLEM_MUST_CHECK bool store_cancelled(struct store *s, const struct store_lease *lease, bool *cancel,
                                        struct problem *why);
/* For whoever watches a worker: whether the job that owner runs was asked to stop, and until when its lease lasts
 * (INT64_MAX where it runs none; of several the one that lasts longest: the others it knows nothing of). Reads only. */
PROBLEM_MUST_CHECK bool store_held(struct store *s, const char *owner, bool *cancel, int64_t *lease_until_ms,
                                   struct problem *why);
/* Says that the job is about to make these blobs; before the files get their names, so that nobody removes them in
 * between. */
PROBLEM_MUST_CHECK bool store_make(struct store *s, const struct store_lease *lease, const char *const *digests,
                                   size_t n, struct problem *why);
/* state is a finished one; progress is the last, its events come before the state's; result and problem are JSON or
 * NULL. */
PROBLEM_MUST_CHECK bool store_finish(struct store *s, const struct store_lease *lease, enum job_state state,
                                     int64_t now_ms, const struct store_progress *progress, const char *result,
                                     const char *problem, struct problem *why);

/* What the newest job of kind `calibrate` that succeeded found. It outlives the job. */
struct store_calibration {
    char job[STORE_ID_BYTES];
    int64_t finished_ms;
    const char *result; /* JSON object, in a; NULL: there was none yet */
};
PROBLEM_MUST_CHECK bool store_calibration(struct store *s, struct arena *a, struct store_calibration *out,
                                          struct problem *why);

/* Queued: cancelled at once. Running: flagged. Finished: nothing. *state is what it is afterwards. */
PROBLEM_MUST_CHECK bool store_cancel(struct store *s, const char *id, int64_t now_ms, enum job_state *state,
                                     struct problem *why);

/* Notes whose time is over: a job queued for longer than its queue_timeout_ms fails with `waited` (JSON), one that has
 * run for longer than its timeout_ms is asked to stop, and instead of cancelled it will have failed with `ran` (JSON).
 * Writes only where there is one. */
PROBLEM_MUST_CHECK bool store_time_out(struct store *s, int64_t now_ms, const char *waited, const char *ran,
                                       struct problem *why);

/* Ends leases: those of owner (NULL: of anybody) on host (NULL: on any), with expired_only those that ran out before
 * now_ms. A job goes back to the queue; one asked to stop is cancelled; one that had attempts_max attempts fails with
 * problem (JSON). keep_attempt false: the attempt is not counted (a drain). *n: how many leases ended. */
struct store_release {
    const char *owner, *host;
    bool expired_only, keep_attempt;
    int64_t now_ms;
    unsigned attempts_max;
    const char *problem;
};
PROBLEM_MUST_CHECK bool store_release(struct store *s, const struct store_release *r, unsigned *n, struct problem *why);

/* Fails every queued job that takes more than limit_bytes (the limit became smaller) with problem (JSON). */
PROBLEM_MUST_CHECK bool store_refuse(struct store *s, uint64_t limit_bytes, int64_t now_ms, const char *problem,
                                     struct problem *why);

/* Told a blob that nobody uses any more: remove its file. */
typedef void store_gone(void *context, const char *digest);
/* Removes a finished job (PROBLEM_STATE otherwise). When that is on disk, gone is told each blob of it that nobody uses
 * any more, while no other call can claim it. */
PROBLEM_MUST_CHECK bool store_remove(struct store *s, const char *id, store_gone *gone, void *context,
                                     struct problem *why);
/* Removes at most so many of the jobs that finished before that time; *n: how many. Takes no write lock unless there is
 * one. gone as above. */
PROBLEM_MUST_CHECK bool store_expire(struct store *s, int64_t before_ms, unsigned most, store_gone *gone, void *context,
                                     unsigned *n, struct problem *why);
/* The same of uploads that no job names and that nobody has sent since then. */
PROBLEM_MUST_CHECK bool store_expire_uploads(struct store *s, int64_t before_ms, unsigned most, store_gone *gone,
                                             void *context, unsigned *n, struct problem *why);

/* Uploads are users of blobs too: a blob somebody uploaded does not go with a job that made the same one. */
/* Before the file gets its name; again: it was used now. */
PROBLEM_MUST_CHECK bool store_upload_add(struct store *s, const char *digest, int64_t now_ms, struct problem *why);
/* PROBLEM_STATE where an unfinished job names it. A store that has the bytes forgets them too: *had says whether it had
 * any. */
PROBLEM_MUST_CHECK bool store_upload_remove(struct store *s, const char *digest, bool *had, struct problem *why);
/* For the front, once: a store that has the bytes of tensors drops those that no job and no upload has to do with.
 * Somebody was killed on the way. Others may use the store meanwhile. */
PROBLEM_MUST_CHECK bool store_strays_drop(struct store *s, struct problem *why);
/* Whether a file of it is to be here: a store that has the bytes of tensors has this one's; for others, a job or an
 * upload has to do with it. */
PROBLEM_MUST_CHECK bool store_blob_kept(struct store *s, const char *digest, bool *kept, struct problem *why);

/* What can be counted; strings live in a. */
struct store_tally {
    const char *what; /* "wait", "run": seconds; "peak": measured / planned; "end": how many */
    const char *kind, *outcome;
    double upto; /* the bucket's bound; 1e300: beyond all others */
    uint64_t n;
    double sum;
};
struct store_figures {
    uint64_t queued, running, running_bytes;
    int64_t oldest_queued_ms;    /* when the job that waits longest was filed; 0: none waits */
    struct store_tally *tallies; /* of every job this store has had, in the order of the first four fields */
    size_t n_tallies;
};
PROBLEM_MUST_CHECK bool store_figures(struct store *s, struct arena *a, struct store_figures *out, struct problem *why);

#endif
