/* store_sqlite.c - the store's connection: opening, layout, statements, transactions; see store.h.
 *
 * WAL with synchronous=FULL: a commit is one fsync, and it has survived a power cut when it returns. BEGIN IMMEDIATE
 * takes the write lock first, so a transaction never fails half way because another process wrote. The log goes into
 * the file every 1,000 pages, on a small disk every 100: there the log alone would fill it, and then there is no room
 * left to empty it.
 */
#include "server/store_sqlite.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "server/metrics.h"

#define LOG_PAGES        1000
#define LOG_PAGES_SMALL  100
#define SMALL_DISK_BYTES ((uint64_t)1 << 30)

/* A state's event: whatever changes a state has told of it in the same transaction. */
#define EVENT_OF_STATE(job)                                                                                            \
    "printf('{\"state\":\"%s\",\"attempt\":%d}', CASE " job ".state WHEN 0 THEN 'queued' WHEN 1 THEN 'running'"        \
    " WHEN 2 THEN 'succeeded' WHEN 3 THEN 'failed' ELSE 'cancelled' END, " job ".attempts)"
#define EVENT_ADD                                                                                                      \
    "INSERT INTO job_events (job_id, number, name, data) SELECT NEW.id, coalesce(max(number), 0) + 1, "                \
    "'state', " EVENT_OF_STATE("NEW") " FROM job_events WHERE job_id = NEW.id; END;"

/* jobs.state follows enum job_state: 0 queued, 1 running, 2 succeeded, 3 failed, 4 cancelled. */
static const char *const layouts[] = {
    "CREATE TABLE jobs (id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, state INTEGER NOT NULL,"
    " created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL DEFAULT 0, finished_ms INTEGER NOT NULL DEFAULT 0,"
    " attempts INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,"
    " planned_peak_bytes INTEGER NOT NULL, cancel INTEGER NOT NULL DEFAULT 0, passed INTEGER NOT NULL DEFAULT 0,"
    " owner TEXT, lease_until_ms INTEGER NOT NULL DEFAULT 0,"
    " request TEXT NOT NULL, planned TEXT NOT NULL, result TEXT, problem TEXT) STRICT;"
    "CREATE INDEX jobs_by_state ON jobs (state, id);"
    "CREATE TABLE job_blobs (job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, digest TEXT NOT NULL,"
    " made INTEGER NOT NULL, PRIMARY KEY (job_id, digest, made)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX job_blobs_by_digest ON job_blobs (digest);"
    "CREATE TABLE uploads (digest TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;"
    "CREATE TABLE keys (key TEXT NOT NULL PRIMARY KEY, created_ms INTEGER NOT NULL,"
    " job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE) STRICT, WITHOUT ROWID;"
    "CREATE INDEX keys_by_job ON keys (job_id);",
    "CREATE TABLE job_events (job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number INTEGER NOT NULL,"
    " name TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (job_id, number)) STRICT, WITHOUT ROWID;"
    "INSERT INTO job_events (job_id, number, name, data) SELECT id, 1, 'state', " EVENT_OF_STATE(
        "jobs") " FROM jobs;"
                "CREATE TRIGGER job_events_new AFTER INSERT ON jobs BEGIN " EVENT_ADD
                "CREATE TRIGGER job_events_state AFTER UPDATE OF state ON jobs WHEN NEW.state <> OLD.state "
                "BEGIN " EVENT_ADD,
    store_layout_tallies,
    /* jobs.cancel: 1 somebody asked to stop, 2 its time is over, and problem says so already. queue_until_ms and
     * run_until_ms are 0 where nothing is waited for. Events of all jobs are in one order, seq, that never goes back.
     */
    "ALTER TABLE jobs ADD COLUMN timeout_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN run_until_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN queue_timeout_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN queue_until_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN submitter TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE jobs ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';"
    "ALTER TABLE jobs ADD COLUMN retry_of TEXT;"
    "CREATE INDEX jobs_waiting ON jobs (submitter, id, planned_peak_bytes, state) WHERE state = 0;"
    "CREATE INDEX jobs_queue_until ON jobs (queue_until_ms) WHERE state = 0 AND queue_until_ms > 0;"
    "CREATE INDEX jobs_run_until ON jobs (run_until_ms) WHERE state = 1 AND run_until_ms > 0;"
    "CREATE INDEX jobs_by_end ON jobs (finished_ms) WHERE state > 1;"
    "CREATE TABLE job_labels (label TEXT NOT NULL, job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,"
    " PRIMARY KEY (label, job_id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX job_labels_by_job ON job_labels (job_id);"
    "CREATE TABLE submitters (name TEXT NOT NULL PRIMARY KEY, served INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "ALTER TABLE uploads ADD COLUMN used_ms INTEGER NOT NULL DEFAULT 0;"
    "UPDATE uploads SET used_ms = CAST(strftime('%s', 'now') AS INTEGER) * 1000;"
    "CREATE INDEX uploads_by_use ON uploads (used_ms);"
    "ALTER TABLE job_events ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;"
    "UPDATE job_events SET seq = place.seq FROM (SELECT job_id, number, row_number() OVER (ORDER BY job_id, number)"
    " AS seq FROM job_events) AS place WHERE place.job_id = job_events.job_id AND place.number = job_events.number;"
    "CREATE INDEX job_events_by_seq ON job_events (seq);"
    "CREATE TABLE events_told (seq INTEGER NOT NULL) STRICT;"
    "INSERT INTO events_told SELECT count(*) FROM job_events;"
    "CREATE TRIGGER job_events_place AFTER INSERT ON job_events BEGIN UPDATE events_told SET seq = seq + 1;"
    " UPDATE job_events SET seq = (SELECT seq FROM events_told) WHERE job_id = NEW.job_id AND number = NEW.number;"
    " END;",
    "CREATE INDEX jobs_by_kind ON jobs (kind, id);"
    "CREATE INDEX jobs_by_kind_state ON jobs (kind, state, id);",
    /* One row, of the newest that succeeded: it stays when its job is removed. */
    "CREATE TABLE calibration (job_id TEXT NOT NULL, finished_ms INTEGER NOT NULL, result TEXT NOT NULL) STRICT;"
    "CREATE TRIGGER calibration_keep AFTER UPDATE OF state ON jobs WHEN NEW.kind = 'calibrate' AND NEW.state = 2 AND "
    "NEW.result IS NOT NULL"
    " BEGIN DELETE FROM calibration; INSERT INTO calibration VALUES (NEW.id, NEW.finished_ms, NEW.result); END;",
    /* How many are queued, without counting them. Who ends is not queued any more, and only who has ended is removed.
     */
    "CREATE TABLE jobs_queued (n INTEGER NOT NULL) STRICT;"
    "INSERT INTO jobs_queued SELECT count(*) FROM jobs WHERE state = 0;"
    "CREATE TRIGGER jobs_queued_new AFTER INSERT ON jobs WHEN NEW.state = 0"
    " BEGIN UPDATE jobs_queued SET n = n + 1; END;"
    "CREATE TRIGGER jobs_queued_state AFTER UPDATE OF state ON jobs WHEN (OLD.state = 0) <> (NEW.state = 0)"
    " BEGIN UPDATE jobs_queued SET n = n + (NEW.state = 0) - (OLD.state = 0); END;",
};
#define LAYOUTS ((int)(sizeof layouts / sizeof layouts[0]))

#define COLUMNS                                                                                                        \
    "id, kind, state, created_ms, started_ms, finished_ms, attempts, done, total, planned_peak_bytes, cancel, "        \
    "planned, result, problem, timeout_ms, queue_timeout_ms, submitter, labels, retry_of"
#define LEASED " WHERE id = ? AND owner = ? AND attempts = ? AND state = 1"
#define ENDED  " WHERE state = 1 AND (?1 IS NULL OR owner = ?1) AND lease_until_ms < ?2"
/* By indexes of their own: left to choose, SQLite reads all that are queued, five times a second. */
#define BY_QUEUE_TIME "jobs INDEXED BY jobs_queue_until"
#define BY_RUN_TIME   "jobs INDEXED BY jobs_run_until"
#define LATE_QUEUED   " WHERE state = 0 AND queue_until_ms > 0 AND queue_until_ms <= ?1"
#define LATE_RUNNING  " WHERE state = 1 AND run_until_ms > 0 AND run_until_ms <= ?1"

/* '~' is behind every id. A statement of its own for each pair of filters: each follows an index from where its page
 * begins, however many jobs there are. */
#define NEWEST " id < coalesce(?3, '~') ORDER BY id DESC LIMIT ?4"

static const char *const statements[] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SAVEPOINT] = "SAVEPOINT one",
    [SQL_RELEASE] = "RELEASE one",
    [SQL_ROLLBACK_TO] = "ROLLBACK TO one",
    [SQL_PING] = "SELECT count(*) FROM uploads",
    [SQL_VERSION] = "PRAGMA data_version",
    [SQL_CHANGES] = "SELECT total_changes()",
    [SQL_VERIFY] = "PRAGMA quick_check(1)",
    [SQL_QUEUED] = "SELECT n FROM jobs_queued",
    [SQL_ADD] = "INSERT INTO jobs (id, kind, state, created_ms, planned_peak_bytes, request, planned, timeout_ms,"
                " queue_timeout_ms, queue_until_ms, submitter, labels, retry_of) VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7,"
                " ?8, CASE ?8 WHEN 0 THEN 0 ELSE ?3 + ?8 END, coalesce(?9, ''), coalesce(?10, '{}'), ?11)",
    [SQL_GET] = "SELECT " COLUMNS ", request FROM jobs WHERE id = ?",
    [SQL_STATE] = "SELECT state FROM jobs WHERE id = ?",
    [SQL_LIST] = "SELECT " COLUMNS ", NULL FROM jobs WHERE" NEWEST,
    [SQL_LIST_STATE] = "SELECT " COLUMNS ", NULL FROM jobs INDEXED BY jobs_by_state WHERE state = ?1 AND" NEWEST,
    [SQL_LIST_KIND] = "SELECT " COLUMNS ", NULL FROM jobs INDEXED BY jobs_by_kind WHERE kind = ?2 AND" NEWEST,
    [SQL_LIST_STATE_KIND] =
        "SELECT " COLUMNS ", NULL FROM jobs INDEXED BY jobs_by_kind_state WHERE kind = ?2 AND state = ?1 AND" NEWEST,
    [SQL_LIST_LABELLED] =
        "SELECT " COLUMNS ", NULL FROM job_labels CROSS JOIN jobs ON id = job_id WHERE label = json_extract(?5, '$[0]')"
        " AND (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR job_id < ?3)"
        " AND NOT EXISTS (SELECT 1 FROM json_each(?5) AS wanted WHERE NOT EXISTS (SELECT 1 FROM job_labels AS own"
        " WHERE own.label = wanted.value AND own.job_id = jobs.id)) ORDER BY job_id DESC LIMIT ?4",
    [SQL_LABELS_ADD] = "INSERT INTO job_labels (label, job_id) SELECT key || ':' || value, ?1 FROM json_each(?2)",
    [SQL_KEY_FORGET] = "DELETE FROM keys WHERE created_ms < ?",
    [SQL_KEY_FIND] =
        "SELECT job_id, request = ?2 AND retry_of IS ?3 FROM keys JOIN jobs ON jobs.id = job_id WHERE key = ?1",
    [SQL_KEY_ADD] = "INSERT INTO keys (key, created_ms, job_id) VALUES (?, ?, ?)",
    [SQL_BLOB_ADD] = "INSERT OR IGNORE INTO job_blobs (job_id, digest, made) VALUES (?, ?, ?)",
    [SQL_BLOB_WAITED] = "SELECT EXISTS (SELECT 1 FROM job_blobs JOIN jobs ON jobs.id = job_id"
                        " WHERE digest = ? AND made = 0 AND state < 2)",
    [SQL_BLOB_UNUSED] = "SELECT DISTINCT digest FROM job_blobs AS mine WHERE job_id = ?1"
                        " AND NOT EXISTS (SELECT 1 FROM job_blobs AS other"
                        " WHERE other.digest = mine.digest AND other.job_id <> ?1)"
                        " AND NOT EXISTS (SELECT 1 FROM uploads WHERE uploads.digest = mine.digest)",
    [SQL_BLOB_KNOWN] = "SELECT EXISTS (SELECT 1 FROM uploads WHERE digest = ?1)"
                       " OR EXISTS (SELECT 1 FROM job_blobs WHERE digest = ?1)",
    [SQL_EXPIRED] = "SELECT id FROM jobs WHERE state > 1 AND finished_ms < ? ORDER BY finished_ms LIMIT ?",
    [SQL_UPLOADS_EXPIRED] = "SELECT digest FROM uploads WHERE used_ms < ?"
                            " AND NOT EXISTS (SELECT 1 FROM job_blobs WHERE job_blobs.digest = uploads.digest) LIMIT ?",
    [SQL_UPLOAD_ADD] = "INSERT INTO uploads (digest, used_ms) VALUES (?, ?)"
                       " ON CONFLICT (digest) DO UPDATE SET used_ms = excluded.used_ms",
    [SQL_UPLOAD_REMOVE] = "DELETE FROM uploads WHERE digest = ?",
    [SQL_REMOVE] = "DELETE FROM jobs WHERE id = ?",
    [SQL_RUNNING_BYTES] = "SELECT coalesce(sum(planned_peak_bytes), 0) FROM jobs WHERE state = 1",
    [SQL_OLDEST] = "SELECT id, planned_peak_bytes, passed FROM jobs WHERE state = 0 AND planned_peak_bytes <= ?"
                   " ORDER BY id LIMIT 1",
    /* Hops from submitter to submitter, and takes the first that fits of each: however many jobs wait. */
    [SQL_NEXT] = "WITH RECURSIVE waiting (submitter) AS (SELECT min(submitter) FROM jobs INDEXED BY jobs_waiting"
                 " WHERE state = 0 UNION ALL SELECT (SELECT min(submitter) FROM jobs INDEXED BY jobs_waiting"
                 " WHERE state = 0 AND submitter > waiting.submitter) FROM waiting WHERE submitter IS NOT NULL),"
                 " first AS (SELECT submitter, (SELECT id FROM jobs INDEXED BY jobs_waiting WHERE state = 0"
                 " AND jobs.submitter = waiting.submitter AND planned_peak_bytes <= ? ORDER BY id LIMIT 1) AS id"
                 " FROM waiting), running AS (SELECT submitter, sum(planned_peak_bytes) AS bytes, count(*) AS n"
                 " FROM jobs WHERE state = 1 GROUP BY submitter)"
                 " SELECT first.id FROM first LEFT JOIN running ON running.submitter = first.submitter"
                 " LEFT JOIN submitters ON name = first.submitter WHERE first.id IS NOT NULL"
                 " ORDER BY coalesce(bytes, 0), coalesce(n, 0), coalesce(served, 0), first.id LIMIT 1",
    [SQL_SERVED] = "INSERT INTO submitters (name, served)"
                   " SELECT submitter, (SELECT coalesce(max(served), 0) + 1 FROM submitters) FROM jobs WHERE id = ?"
                   " ON CONFLICT (name) DO UPDATE SET served = excluded.served",
    [SQL_PASS] = "UPDATE jobs SET passed = passed + 1 WHERE id = ?",
    [SQL_CLAIM] =
        "UPDATE jobs SET state = 1, owner = ?2, started_ms = ?3, lease_until_ms = ?4, attempts = attempts + 1,"
        " done = 0, total = 0, queue_until_ms = 0, run_until_ms = CASE timeout_ms WHEN 0 THEN 0 ELSE ?3 + timeout_ms "
        "END"
        " WHERE id = ?1",
    [SQL_BEAT] = "UPDATE jobs SET lease_until_ms = ?, done = ?, total = ?" LEASED " RETURNING cancel",
    [SQL_CANCELLED] = "SELECT cancel FROM jobs" LEASED,
    [SQL_HELD] = "SELECT cancel, lease_until_ms FROM jobs WHERE state = 1 AND owner = ?",
    [SQL_FINISH] = "UPDATE jobs SET state = CASE WHEN cancel = 2 AND ?1 = 4 THEN 3 ELSE ?1 END, finished_ms = ?2,"
                   " result = ?3, problem = CASE WHEN cancel = 2 AND ?1 = 4 THEN problem ELSE ?4 END, owner = NULL,"
                   " lease_until_ms = 0, run_until_ms = 0, done = ?5, total = ?6" LEASED,
    [SQL_CANCEL] =
        "UPDATE jobs SET cancel = max(cancel, 1), run_until_ms = 0, state = CASE state WHEN 0 THEN 4 ELSE state END,"
        " finished_ms = CASE state WHEN 0 THEN ?2 ELSE 0 END WHERE id = ?1 AND state < 2",
    [SQL_RELEASE_CANCELLED] = "UPDATE jobs SET state = CASE cancel WHEN 2 THEN 3 ELSE 4 END, owner = NULL,"
                              " run_until_ms = 0, finished_ms = ?3" ENDED " AND cancel > 0",
    [SQL_RELEASE_FAILED] =
        "UPDATE jobs SET state = 3, owner = NULL, run_until_ms = 0, finished_ms = ?3, problem = ?4" ENDED
        " AND attempts >= ?5",
    [SQL_RELEASE_QUEUED] = "UPDATE jobs SET state = 0, owner = NULL, run_until_ms = 0, started_ms = 0,"
                           " attempts = attempts - ?3" ENDED,
    [SQL_REFUSE] = "UPDATE jobs SET state = 3, finished_ms = ?, problem = ? WHERE state = 0 AND planned_peak_bytes > ?",
    [SQL_LATE_ANY] = "SELECT EXISTS (SELECT 1 FROM " BY_QUEUE_TIME LATE_QUEUED
                     ") OR EXISTS (SELECT 1 FROM " BY_RUN_TIME LATE_RUNNING ")",
    [SQL_LATE_QUEUED] =
        "UPDATE " BY_QUEUE_TIME " SET state = 3, finished_ms = ?1, queue_until_ms = 0, problem = ?2" LATE_QUEUED,
    [SQL_LATE_RUNNING] = "UPDATE " BY_RUN_TIME " SET cancel = 2, run_until_ms = 0, problem = ?2" LATE_RUNNING,
    [SQL_EVENT_ADD] = "INSERT INTO job_events (job_id, number, name, data)"
                      " SELECT ?1, coalesce(max(number), 0) + 1, 'progress', ?2 FROM job_events WHERE job_id = ?1",
    [SQL_EVENT_FORGET] = "DELETE FROM job_events WHERE job_id = ?1 AND name = 'progress' AND number <="
                         " (SELECT max(number) FROM job_events WHERE job_id = ?1) - ?2",
    [SQL_EVENTS] = "SELECT number, name, data FROM job_events WHERE job_id = ? AND number > ? ORDER BY number LIMIT ?",
    [SQL_EVENTS_ANY] = "SELECT EXISTS (SELECT 1 FROM job_events WHERE job_id = ?1 AND number > ?2)"
                       " OR NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND state < 2)",
    [SQL_FIGURES] = "SELECT (SELECT n FROM jobs_queued),"
                    " coalesce((SELECT created_ms FROM jobs WHERE state = 0 ORDER BY id LIMIT 1), 0),"
                    " count(*), coalesce(sum(planned_peak_bytes), 0) FROM jobs WHERE state = 1",
    [SQL_TALLIES] = "SELECT what, kind, outcome, upto, n, sum FROM job_tallies ORDER BY what, kind, outcome, upto",
    [SQL_TALLY_PEAK] = store_tally_peak,
    [SQL_FEED] = "SELECT seq, name, data, job_id, (?2 IS NULL OR job_id IN (SELECT value FROM json_each(?2)))"
                 " AND (?3 IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(?3) AS wanted WHERE NOT EXISTS"
                 " (SELECT 1 FROM job_labels AS own WHERE own.label = wanted.value"
                 " AND own.job_id = job_events.job_id))) FROM job_events WHERE seq > ?1 ORDER BY seq LIMIT ?4",
    [SQL_FEED_LAST] = "SELECT seq FROM events_told",
    [SQL_FEED_FIRST] = "SELECT coalesce(min(seq) - 1, 0) FROM job_events"
                       " WHERE number = 1 AND job_id IN (SELECT value FROM json_each(?))",
    [SQL_FEED_OVER] = "SELECT NOT EXISTS (SELECT 1 FROM jobs WHERE state < 2"
                      " AND id IN (SELECT value FROM json_each(?)))",
    [SQL_CALIBRATION] = "SELECT job_id, finished_ms, result FROM calibration",
};
_Static_assert(sizeof statements / sizeof statements[0] == SQL_COUNT, "one row per statement");

bool store_fail(struct store *s, const char *what, struct problem *why) {
    int code = s->db ? sqlite3_errcode(s->db) & 0xff : SQLITE_NOMEM;
    enum problem_kind kind = code == SQLITE_FULL ? PROBLEM_FULL : code == SQLITE_NOMEM ? PROBLEM_MEMORY : PROBLEM_IO;
    return problem_set(why, kind, "", "the store rematd.db could not %s: %s", what,
                       s->db ? sqlite3_errmsg(s->db) : "no memory");
}

int store_step(struct store *s, sqlite3_stmt *statement, struct problem *why) {
    if (!statement) {
        problem_set(why, PROBLEM_MEMORY, "", "no memory for a question to the store");
        return -1;
    }
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return 1;
    if (code != SQLITE_DONE)
        store_fail(s, "answer", why);
    sqlite3_reset(statement);
    return code == SQLITE_DONE ? 0 : -1;
}

bool store_run(struct store *s, sqlite3_stmt *statement, unsigned *changed, struct problem *why) {
    int step;
    while ((step = store_step(s, statement, why)) == 1)
        continue;
    if (changed)
        *changed = (unsigned)sqlite3_changes(s->db);
    return step == 0;
}

sqlite3_stmt *store_bind(struct store *s, enum store_sql sql, const char *types, ...) {
    sqlite3_stmt *statement = s->statements[sql];
    va_list args;
    bool ok = true;
    sqlite3_reset(statement);
    va_start(args, types);
    for (int i = 1; types[i - 1]; i++)
        if (types[i - 1] == 't')
            ok &= sqlite3_bind_text(statement, i, va_arg(args, const char *), -1, SQLITE_TRANSIENT) == SQLITE_OK;
        else
            ok &= sqlite3_bind_int64(statement, i, va_arg(args, int64_t)) == SQLITE_OK;
    va_end(args);
    return ok ? statement : NULL; /* with a value missing it would be another question */
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool store_enter(struct store *s, bool write, struct problem *why) {
    uint64_t asked_ns = write ? now_ns() : 0;
    pthread_mutex_lock(&s->lock);
    s->write_ns = asked_ns;
    if (!write || store_run(s, store_bind(s, SQL_BEGIN, ""), NULL, why))
        return true;
    metrics_add(METRICS_STORE_FAILURES, 1);
    pthread_mutex_unlock(&s->lock);
    return false;
}

bool store_leave(struct store *s, bool write, bool ok, struct problem *why) {
    struct problem ignored = {0};
    if (write && ok) {
        ok = store_run(s, store_bind(s, SQL_COMMIT, ""), NULL, why);
        metrics_observe(METRICS_STORE_TRANSACTION, now_ns() - s->write_ns);
    }
    if (!ok && (why->kind == PROBLEM_IO || why->kind == PROBLEM_FULL))
        metrics_add(METRICS_STORE_FAILURES, 1);
    if (write && !ok && !store_run(s, store_bind(s, SQL_ROLLBACK, ""), NULL, &ignored))
        ok = false;                       /* some errors have rolled back already */
    if (!ok && why->kind == PROBLEM_FULL) /* the log begins anew where the file has room for what it holds */
        sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    pthread_mutex_unlock(&s->lock);
    return ok;
}

/* While it is opened only the operator listens, who has to know which file it is. */
static const char *file_name(struct store *s) {
    const char *name = s->db ? sqlite3_db_filename(s->db, "main") : NULL;
    return name ? name : "rematd.db";
}

static bool execute(struct store *s, const char *sql, struct problem *why) {
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    bool full = (sqlite3_errcode(s->db) & 0xff) == SQLITE_FULL;
    return problem_set(why, full ? PROBLEM_FULL : PROBLEM_IO, "", "the store %.200s could not be opened: %s",
                       file_name(s), sqlite3_errmsg(s->db));
}

static int layout_number(struct store *s) {
    sqlite3_stmt *statement = NULL;
    int number = -1;
    if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

/* From the layout the file has to ours, each step and its number in one transaction. */
static bool migrate(struct store *s, struct problem *why) {
    if (!execute(s, "BEGIN IMMEDIATE", why))
        return false;
    int have = layout_number(s);
    bool ok = have >= 0 || store_fail(s, "tell its layout", why);
    if (have > LAYOUTS)
        ok = problem_set(why, PROBLEM_IO, "", "the store has layout %d, from a newer rematd; this one knows %d", have,
                         LAYOUTS);
    for (int i = have; ok && i < LAYOUTS; i++) {
        char pragma[48];
        sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA user_version = %d", i + 1);
        ok = execute(s, layouts[i], why) && execute(s, pragma, why);
    }
    if (!ok)
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return ok && execute(s, "COMMIT", why);
}

static bool prepare(struct store *s, struct problem *why) {
    for (int i = 0; i < SQL_COUNT; i++)
        if (sqlite3_prepare_v3(s->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i], NULL) !=
            SQLITE_OK)
            return store_fail(s, "prepare its statements", why);
    return true;
}

/* SQLite takes an empty file for a new store and throws its log away. An empty file is one that was just made; a log
 * begins behind the first page. */
static bool lost_check(const char *path, struct problem *why) {
    char *log = sqlite3_mprintf("%s-wal", path);
    struct stat facts, log_facts;
    bool lost =
        log && stat(path, &facts) == 0 && facts.st_size == 0 && stat(log, &log_facts) == 0 && log_facts.st_size > 0;
    sqlite3_free(log);
    return !lost ||
           problem_set(why, PROBLEM_IO, "", "the store %.200s is damaged: it is empty, but its log is not", path);
}

static int log_pages(const char *data_dir) {
    struct statvfs disk;
    bool small = statvfs(data_dir, &disk) != 0 || disk.f_blocks < SMALL_DISK_BYTES / disk.f_frsize;
    return small ? LOG_PAGES_SMALL : LOG_PAGES;
}

struct store *store_open(const char *data_dir, struct problem *why) {
    struct store *s = calloc(1, sizeof *s);
    char *path = sqlite3_mprintf("%s/rematd.db", data_dir);
    bool ok = s && path && pthread_mutex_init(&s->lock, NULL) == 0 && pthread_mutex_init(&s->line_lock, NULL) == 0 &&
              pthread_cond_init(&s->line_moved, NULL) == 0;
    if (!ok) {
        problem_set(why, PROBLEM_MEMORY, "", "no memory to open the store");
        sqlite3_free(path);
        free(s);
        return NULL;
    }
    ok = lost_check(path, why) &&
         sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) ==
             SQLITE_OK;
    if (!ok)
        problem_set(why, PROBLEM_IO, "", "the store %s could not be opened: %s", path,
                    s->db ? sqlite3_errmsg(s->db) : "no memory");
    sqlite3_free(path);
    if (ok) {
        sqlite3_busy_timeout(s->db, 10000);
        sqlite3_wal_autocheckpoint(s->db, log_pages(data_dir));
    }
    ok = ok && execute(s,
                       "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA "
                       "foreign_keys = ON;"
                       "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON",
                       why);
    /* Statements with triggers note down what they change: in memory, not in a file for each. Not before the layout is
     * ours: to change that may take more. */
    if (ok && migrate(s, why) && execute(s, "PRAGMA temp_store = MEMORY", why) && prepare(s, why))
        return s;
    store_close(s);
    return NULL;
}

void store_close(struct store *s) {
    if (!s)
        return;
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
    pthread_cond_destroy(&s->line_moved);
    pthread_mutex_destroy(&s->line_lock);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

bool store_number(struct store *s, enum store_sql sql, const char *text, uint64_t *out, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    sqlite3_stmt *statement = store_bind(s, sql, text ? "t" : "", text);
    bool ok = store_step(s, statement, why) == 1;
    if (ok)
        *out = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return store_leave(s, false, ok, why);
}

bool store_check(struct store *s, struct problem *why) {
    uint64_t uploads;
    return store_number(s, SQL_PING, NULL, &uploads, why);
}

bool store_version(struct store *s, uint64_t *version, struct problem *why) {
    return store_number(s, SQL_VERSION, NULL, version, why);
}

bool store_verify(struct store *s, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    sqlite3_stmt *statement = store_bind(s, SQL_VERIFY, "");
    bool ok = store_step(s, statement, why) == 1;
    const char *text = ok ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (ok && (!text || strcmp(text, "ok") != 0))
        ok = problem_set(why, PROBLEM_IO, "", "the store %.200s is damaged: %s", file_name(s),
                         text ? text : "unreadable");
    sqlite3_reset(statement);
    return store_leave(s, false, ok, why);
}
