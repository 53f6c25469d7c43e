/* store_private.h - what the store_*.c files share. A store is a row of store_kinds: a connection that is asked the
 * statements of one list, and what is its own in them. What a call of store.h does with the answers is written once.
 * No one else includes this. */
#ifndef REMATD_SERVER_STORE_PRIVATE_H
#define REMATD_SERVER_STORE_PRIVATE_H

#include <pthread.h>
#include <stdarg.h>

#include "server/store.h"

/* One row per statement in store_statements.c; where that is NULL, in each kind's own list. */
enum store_sql {
    SQL_SAVEPOINT,
    SQL_RELEASE,
    SQL_ROLLBACK_TO,
    SQL_PING,
    SQL_QUEUED,
    SQL_ADD,
    SQL_GET,
    SQL_STATE,
    SQL_LIST,
    SQL_LIST_STATE,
    SQL_LIST_KIND,
    SQL_LIST_STATE_KIND,
    SQL_LIST_LABELLED,
    SQL_LABELS_ADD,
    SQL_KEY_FORGET,
    SQL_KEY_FIND,
    SQL_KEY_ADD,
    SQL_BLOB_ADD,
    SQL_BLOB_WAITED,
    SQL_BLOB_UNUSED,
    SQL_BLOB_KNOWN,
    SQL_EXPIRED,
    SQL_UPLOADS_EXPIRED,
    SQL_UPLOAD_ADD,
    SQL_UPLOAD_REMOVE,
    SQL_REMOVE,
    SQL_WAITING,
    SQL_RUNNING_BYTES,
    SQL_OLDEST,
    SQL_NEXT,
    SQL_SERVED,
    SQL_PASS,
    SQL_CLAIM,
    SQL_BEAT,
    SQL_CANCELLED,
    SQL_HELD,
    SQL_FINISH,
    SQL_CANCEL,
    SQL_RELEASE_CANCELLED,
    SQL_RELEASE_FAILED,
    SQL_RELEASE_QUEUED,
    SQL_REFUSE,
    SQL_LATE_ANY,
    SQL_LATE_QUEUED,
    SQL_LATE_RUNNING,
    SQL_EVENTS_ADD,
    SQL_EVENT_FORGET,
    SQL_EVENTS,
    SQL_EVENTS_ANY,
    SQL_FIGURES,
    SQL_TALLIES,
    SQL_TALLY_PEAK,
    SQL_FEED,
    SQL_FEED_LAST,
    SQL_FEED_FIRST,
    SQL_FEED_OVER,
    SQL_CALIBRATION,
    SQL_COUNT
};

/* Of a blob's bytes that travel at once. */
#define STORE_CHUNK_BYTES ((size_t)256 << 10)

/* What all stores know how to answer alike. Parameters are ?1, ?2 or, in order, ?. */
extern const char *const store_statements[SQL_COUNT];

/* The columns that store_row reads, but for the request, which follows them. */
#define STORE_COLUMNS                                                                                                  \
    "id, kind, state, created_ms, started_ms, finished_ms, attempts, done, total, planned_peak_bytes, cancel, "        \
    "planned, result, problem, timeout_ms, queue_timeout_ms, submitter, labels, retry_of, request_id"
/* '~' is behind every id. */
#define STORE_NEWEST " id < coalesce(?3, '~') ORDER BY id DESC LIMIT ?4"
/* Whose time is over, and what becomes of them. */
#define STORE_LATE_QUEUED      " WHERE state = 0 AND queue_until_ms > 0 AND queue_until_ms <= ?1"
#define STORE_LATE_RUNNING     " WHERE state = 1 AND run_until_ms > 0 AND run_until_ms <= ?1"
#define STORE_LATE_QUEUED_SET  " SET state = 3, finished_ms = ?1, queue_until_ms = 0, problem = ?2" STORE_LATE_QUEUED
#define STORE_LATE_RUNNING_SET " SET cancel = 2, run_until_ms = 0, problem = ?2" STORE_LATE_RUNNING
#define STORE_KEY_FIND(IS)                                                                                             \
    "SELECT job_id, request = ?2 AND retry_of " IS " ?3 FROM keys JOIN jobs ON jobs.id = job_id WHERE key = ?1"
/* Each of a JSON array, behind those there are. */
#define STORE_EVENTS_ADD(PLACE)                                                                                        \
    "INSERT INTO job_events (job_id, number, name, data) SELECT ?1, (SELECT coalesce(max(number), 0) FROM job_events"  \
    " WHERE job_id = ?1) + " PLACE ", 'progress', value"
#define STORE_TALLY_ADD                                                                                                \
    " ON CONFLICT (what, kind, outcome, upto) DO UPDATE SET n = job_tallies.n + excluded.n,"                           \
    " sum = job_tallies.sum + excluded.sum;"
/* In which bucket of a histogram x is: of seconds, and of measured / planned bytes. */
#define STORE_SECONDS_UPTO                                                                                             \
    "CASE WHEN x <= 0.01 THEN 0.01 WHEN x <= 0.05 THEN 0.05 WHEN x <= 0.1 THEN 0.1 WHEN x <= 0.25 THEN 0.25"           \
    " WHEN x <= 0.5 THEN 0.5 WHEN x <= 1 THEN 1 WHEN x <= 2.5 THEN 2.5 WHEN x <= 5 THEN 5 WHEN x <= 10 THEN 10"        \
    " WHEN x <= 30 THEN 30 WHEN x <= 60 THEN 60 WHEN x <= 300 THEN 300 WHEN x <= 900 THEN 900"                         \
    " WHEN x <= 3600 THEN 3600 ELSE 1e300 END"
#define STORE_RATIO_UPTO                                                                                               \
    "CASE WHEN x <= 0.9 THEN 0.9 WHEN x < 1 THEN 0.999999 WHEN x = 1 THEN 1 WHEN x <= 1.1 THEN 1.1 ELSE 1e300 END"
#define STORE_OUTCOME "CASE NEW.state WHEN 2 THEN 'succeeded' WHEN 3 THEN 'failed' ELSE 'cancelled' END"

struct store_statement; /* each kind's own */

struct store_kind {
    bool shared; /* other machines' processes may be on it, and blobs travel through it */
    struct store *(*open)(const char *where, struct problem *why);
    void (*close)(struct store *s);
    /* The following are called with the lock held. */
    bool (*ready)(struct store *s, struct problem *why); /* NULL, or: connects again where the connection is lost */
    bool (*begin)(struct store *s, struct problem *why); /* nobody else writes until the transaction has ended */
    bool (*commit)(struct store *s, struct problem *why);
    void (*rollback)(struct store *s, const struct problem *why);
    bool (*open_transaction)(struct store *s); /* false: an error has ended it */
    struct store_statement *(*bind)(struct store *s, enum store_sql sql, const char *types, va_list args);
    int (*step)(struct store *s, struct store_statement *statement, struct problem *why);
    void (*reset)(struct store_statement *statement);
    unsigned (*changed)(struct store *s, struct store_statement *statement);
    int64_t (*integer)(struct store_statement *statement, int column);
    double (*real)(struct store_statement *statement, int column);
    /* *null, or NULL where there was no memory. */
    const char *(*text)(struct store_statement *statement, int column, size_t *bytes, bool *null);
    bool (*verify)(struct store *s, struct problem *why); /* NULL: somebody else does */
    bool (*version)(struct store *s, bool own, uint64_t *version, struct problem *why);
    int64_t (*now_ms)(struct store *s); /* called without the lock */
    /* NULL where blobs are files beside the store. Within a transaction that writes blob_seal (*whole: all of it is
     * there; else nothing was done) and blob_drop; outside one put and get. */
    bool (*blob_put)(struct store *s, const char *digest, uint64_t n, const void *bytes, size_t n_bytes,
                     struct problem *why);
    bool (*blob_get)(struct store *s, const char *digest, uint64_t n, void *bytes, size_t *n_bytes,
                     struct problem *why);
    bool (*blob_seal)(struct store *s, const char *digest, uint64_t bytes, bool *whole, struct problem *why);
    bool (*blob_sealed)(struct store *s, const char *digest, uint64_t *bytes, bool *sealed, struct problem *why);
    bool (*blob_drop)(struct store *s, const char *digest, struct problem *why);
    /* The first behind `after`, of those with bytes, that nobody has to do with. May be the same memory. */
    bool (*blob_stray)(struct store *s, const char *after, char digest[STORE_DIGEST_BYTES], bool *found,
                       struct problem *why);
};

extern const struct store_kind store_sqlite, store_postgres;

/* A job that a thread waits to see filed. */
struct store_adding {
    const struct store_job *job;
    const struct store_filing *filing;
    char *first_id;
    enum store_added *how;
    struct problem *why;
    bool ok, done;
    struct store_adding *next;
};

/* A kind's own begins with this. */
struct store {
    const struct store_kind *kind;
    pthread_mutex_t lock;
    uint64_t write_ns; /* when the transaction that holds the lock was asked for */

    pthread_mutex_t line_lock; /* of what follows; never asked for with the other one held */
    pthread_cond_t line_moved;
    struct store_adding *line, *line_last;
    bool filing; /* a thread is at work on those it took from the line */
};

/* The part that all kinds have; false where there was no memory. */
bool store_init(struct store *s, const struct store_kind *kind);
void store_free(struct store *s);

/* The lock, and with `write` a transaction that holds the write lock from its start. */
PROBLEM_MUST_CHECK bool store_enter(struct store *s, bool write, struct problem *why);
/* Commits if ok, else rolls back; unlocks. Returns whether all went well. */
PROBLEM_MUST_CHECK bool store_leave(struct store *s, bool write, bool ok, struct problem *why);

/* A statement ready to step, its parameters bound in order: 't' const char * (NULL is null; it stays until the first
 * step), 'i' int64_t, 'n' an int64_t that is null. NULL where there was no memory: stepping says so. */
struct store_statement *store_bind(struct store *s, enum store_sql sql, const char *types, ...);
/* 1: a row; 0: the end; -1: a problem. */
int store_step(struct store *s, struct store_statement *statement, struct problem *why);
/* Runs to the end; *changed (or NULL) is how many rows were changed. */
PROBLEM_MUST_CHECK bool store_run(struct store *s, struct store_statement *statement, unsigned *changed,
                                  struct problem *why);
void store_reset(struct store *s, struct store_statement *statement);
int64_t store_integer(struct store *s, struct store_statement *statement, int column);
double store_real(struct store *s, struct store_statement *statement, int column);

/* The one number that a statement answers. text: its parameter, or NULL where it has none. */
PROBLEM_MUST_CHECK bool store_number(struct store *s, enum store_sql sql, const char *text, uint64_t *out,
                                     struct problem *why);
/* Of SQL_BLOB_...: whether. With the lock held. */
PROBLEM_MUST_CHECK bool store_blob_ask(struct store *s, enum store_sql sql, const char *digest, bool *yes,
                                       struct problem *why);
/* store_blob_kept, with the lock held. */
PROBLEM_MUST_CHECK bool store_blob_ask_kept(struct store *s, const char *digest, bool *kept, struct problem *why);
/* Adds progress events, and forgets the oldest beyond the bound. Within a transaction. */
PROBLEM_MUST_CHECK bool store_events_add(struct store *s, const char *id, const struct store_progress *progress,
                                         struct problem *why);

/* "there is no job ...". Returns false. */
bool store_missing(const char *id, struct problem *why);
/* A text column, copied to a; *out is NULL where it is null. */
PROBLEM_MUST_CHECK bool store_text(struct store *s, struct store_statement *statement, int column, struct arena *a,
                                   const char **out, struct problem *why);
/* A column that is a job's id or a digest; "" where there was no memory. */
PROBLEM_MUST_CHECK bool store_id(struct store *s, struct store_statement *statement, int column,
                                 char out[STORE_ID_BYTES], struct problem *why);
PROBLEM_MUST_CHECK bool store_digest(struct store *s, struct store_statement *statement, int column,
                                     char out[STORE_DIGEST_BYTES], struct problem *why);
/* The columns of SQL_GET and SQL_LIST as a job; strings are copied to a. */
PROBLEM_MUST_CHECK bool store_row(struct store *s, struct store_statement *statement, struct arena *a,
                                  struct store_job *out, struct problem *why);

#endif
