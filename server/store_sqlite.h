/* store_sqlite.h - what the store_sqlite*.c files share: one connection, its statements, transactions. No one else's.
 */
#ifndef REMATD_SERVER_STORE_SQLITE_H
#define REMATD_SERVER_STORE_SQLITE_H

#include <pthread.h>
#include <sqlite3.h>

#include "server/store.h"

/* One row per statement in store_sqlite.c. */
enum store_sql {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SAVEPOINT,
    SQL_RELEASE,
    SQL_ROLLBACK_TO,
    SQL_PING,
    SQL_VERSION,
    SQL_CHANGES,
    SQL_VERIFY,
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
    SQL_EVENT_ADD,
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

struct store {
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_COUNT];
    pthread_mutex_t lock;
    uint64_t write_ns; /* when the transaction that holds the lock was asked for */

    pthread_mutex_t line_lock; /* of what follows; never asked for with the other one held */
    pthread_cond_t line_moved;
    struct store_adding *line, *line_last;
    bool filing; /* a thread is at work on those it took from the line */
};

/* A step of the layout: job_tallies and what keeps them. store_sqlite_figures.c. */
extern const char store_layout_tallies[];
/* A statement: counts the peak of the job with this id, which has just finished. */
extern const char store_tally_peak[];

/* The lock, and with `write` a transaction that holds the write lock from its start. */
PROBLEM_MUST_CHECK bool store_enter(struct store *s, bool write, struct problem *why);
/* Commits if ok, else rolls back; unlocks. Returns whether all went well. */
PROBLEM_MUST_CHECK bool store_leave(struct store *s, bool write, bool ok, struct problem *why);

/* A statement ready to step, its parameters bound in order: 't' const char * (NULL is null), 'i' int64_t. NULL where
 * there was no memory: stepping says so. */
sqlite3_stmt *store_bind(struct store *s, enum store_sql sql, const char *types, ...);
/* 1: a row; 0: the end; -1: a problem. */
int store_step(struct store *s, sqlite3_stmt *statement, struct problem *why);
/* Runs to the end; *changed (or NULL) is how many rows were changed. */
PROBLEM_MUST_CHECK bool store_run(struct store *s, sqlite3_stmt *statement, unsigned *changed, struct problem *why);
bool store_fail(struct store *s, const char *what, struct problem *why);

/* The one number that a statement answers. text: its parameter, or NULL where it has none. */
PROBLEM_MUST_CHECK bool store_number(struct store *s, enum store_sql sql, const char *text, uint64_t *out,
                                     struct problem *why);
/* Adds progress events, and forgets the oldest beyond the bound. Within a transaction. */
PROBLEM_MUST_CHECK bool store_events_add(struct store *s, const char *id, const struct store_progress *progress,
                                         struct problem *why);

/* "there is no job ...". Returns false. */
bool store_missing(const char *id, struct problem *why);
/* A text column, copied to a; *out is NULL where it is null. */
PROBLEM_MUST_CHECK bool store_text(sqlite3_stmt *statement, int column, struct arena *a, const char **out,
                                   struct problem *why);
/* A column that is a job's id; "" where there was no memory. */
PROBLEM_MUST_CHECK bool store_id(sqlite3_stmt *statement, int column, char out[STORE_ID_BYTES], struct problem *why);
/* The columns of SQL_GET and SQL_LIST as a job; strings are copied to a. */
PROBLEM_MUST_CHECK bool store_row(sqlite3_stmt *statement, struct arena *a, struct store_job *out, struct problem *why);

#endif
