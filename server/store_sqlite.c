/* store_sqlite.c - the store in DATA/rematd.db: opening, layout, what is its own in statements; see store_private.h.
 *
 * WAL with synchronous=FULL: a commit is one fsync, and it has survived a power cut when it returns. BEGIN IMMEDIATE
 * takes the write lock first, so a transaction never fails half way because another process wrote. The log goes into
 * the file every 1,000 pages, on a small disk every 100: there the log alone would fill it, and then there is no room
 * left to empty it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "server/store_sqlite.h"

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
    /* Tallies are kept by triggers, in the transaction that starts or ends a job: whichever process writes it, it is
     * counted once, and counts survive restarts and the removal of jobs. A row is one bucket of a histogram. */
    "CREATE TABLE job_tallies (what TEXT NOT NULL, kind TEXT NOT NULL, outcome TEXT NOT NULL, upto REAL NOT NULL,"
    " n INTEGER NOT NULL, sum REAL NOT NULL, PRIMARY KEY (what, kind, outcome, upto)) STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER job_tallies_start AFTER UPDATE OF state ON jobs"
    " WHEN OLD.state = 0 AND NEW.state = 1 AND NEW.attempts = 1 BEGIN"
    " INSERT INTO job_tallies SELECT 'wait', NEW.kind, '', " STORE_SECONDS_UPTO ", 1, x FROM"
    " (SELECT max(NEW.started_ms - NEW.created_ms, 0) / 1000.0 AS x) WHERE true" STORE_TALLY_ADD " END;"
    "CREATE TRIGGER job_tallies_end AFTER UPDATE OF state ON jobs WHEN OLD.state < 2 AND NEW.state > 1 BEGIN"
    " INSERT INTO job_tallies VALUES ('end', NEW.kind, " STORE_OUTCOME ", 1e300, 1, 0)" STORE_TALLY_ADD
    " INSERT INTO job_tallies SELECT 'run', NEW.kind, " STORE_OUTCOME ", " STORE_SECONDS_UPTO ", 1, x FROM"
    " (SELECT max(NEW.finished_ms - NEW.started_ms, 0) / 1000.0 AS x) WHERE NEW.started_ms > 0" STORE_TALLY_ADD " END;",
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
    /* Whose memory a running job takes: one machine's here. */
    "ALTER TABLE jobs ADD COLUMN host TEXT NOT NULL DEFAULT '';",
    /* Ties a worker's lines in the log to the request's. */
    "ALTER TABLE jobs ADD COLUMN request_id TEXT;",
};
#define LAYOUTS ((int)(sizeof layouts / sizeof layouts[0]))

/* A statement of its own for each pair of filters: each follows an index from where its page begins, however many jobs
 * there are. */
#define LIST "SELECT " STORE_COLUMNS ", NULL FROM jobs"

/* By indexes of their own: left to choose, SQLite reads all that are queued, five times a second. */
#define BY_QUEUE_TIME "jobs INDEXED BY jobs_queue_until"
#define BY_RUN_TIME   "jobs INDEXED BY jobs_run_until"

static const char *const own[SQL_COUNT] = {
    [SQL_LIST] = LIST " WHERE" STORE_NEWEST,
    [SQL_LIST_STATE] = LIST " INDEXED BY jobs_by_state WHERE state = ?1 AND" STORE_NEWEST,
    [SQL_LIST_KIND] = LIST " INDEXED BY jobs_by_kind WHERE kind = ?2 AND" STORE_NEWEST,
    [SQL_LIST_STATE_KIND] = LIST " INDEXED BY jobs_by_kind_state WHERE kind = ?2 AND state = ?1 AND" STORE_NEWEST,
    [SQL_LIST_LABELLED] =
        "SELECT " STORE_COLUMNS
        ", NULL FROM job_labels CROSS JOIN jobs ON id = job_id WHERE label = json_extract(?5, '$[0]')"
        " AND (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR job_id < ?3)"
        " AND NOT EXISTS (SELECT 1 FROM json_each(?5) AS wanted WHERE NOT EXISTS (SELECT 1 FROM job_labels AS own"
        " WHERE own.label = wanted.value AND own.job_id = jobs.id)) ORDER BY job_id DESC LIMIT ?4",
    [SQL_LABELS_ADD] = "INSERT INTO job_labels (label, job_id) SELECT key || ':' || value, ?1 FROM json_each(?2)",
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
    [SQL_KEY_FIND] = STORE_KEY_FIND("IS"), /* the other word needs SQLite 3.39 */
    [SQL_LATE_ANY] = "SELECT EXISTS (SELECT 1 FROM " BY_QUEUE_TIME STORE_LATE_QUEUED
                     ") OR EXISTS (SELECT 1 FROM " BY_RUN_TIME STORE_LATE_RUNNING ")",
    [SQL_LATE_QUEUED] = "UPDATE " BY_QUEUE_TIME STORE_LATE_QUEUED_SET,
    [SQL_LATE_RUNNING] = "UPDATE " BY_RUN_TIME STORE_LATE_RUNNING_SET,
    [SQL_EVENTS_ADD] = STORE_EVENTS_ADD("key + 1") " FROM json_each(?2) ORDER BY key",
    /* Not a trigger's: the schema is not trusted with functions that read JSON. A job of kind memory_savings reports
     * two peaks: the checkpointed one counts. */
    [SQL_TALLY_PEAK] = "INSERT INTO job_tallies SELECT 'peak', kind, '', " STORE_RATIO_UPTO ", 1, x FROM (SELECT kind,"
                       " CAST(coalesce(json_extract(r, '$.memory.measured_peak_bytes'),"
                       " json_extract(r, '$.measured.checkpointed_peak_bytes')) AS REAL) /"
                       " coalesce(json_extract(r, '$.memory.predicted_peak_bytes'),"
                       " json_extract(r, '$.measured.checkpointed_predicted_peak_bytes')) AS x FROM"
                       " (SELECT kind, CASE WHEN json_valid(result) THEN result END AS r FROM jobs WHERE id = ?))"
                       " WHERE x > 0" STORE_TALLY_ADD,
    [SQL_FEED] = "SELECT seq, name, data, job_id, (?2 IS NULL OR job_id IN (SELECT value FROM json_each(?2)))"
                 " AND (?3 IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(?3) AS wanted WHERE NOT EXISTS"
                 " (SELECT 1 FROM job_labels AS own WHERE own.label = wanted.value"
                 " AND own.job_id = job_events.job_id))) FROM job_events WHERE seq > ?1 ORDER BY seq LIMIT ?4",
    [SQL_FEED_LAST] = "SELECT seq FROM events_told",
    [SQL_FEED_FIRST] = "SELECT coalesce(min(seq) - 1, 0) FROM job_events"
                       " WHERE number = 1 AND job_id IN (SELECT value FROM json_each(?))",
    [SQL_FEED_OVER] = "SELECT NOT EXISTS (SELECT 1 FROM jobs WHERE state < 2"
                      " AND id IN (SELECT value FROM json_each(?)))",
};

static const char *const connection[FILE_CONNECTION] = {
    [FILE_BEGIN] = "BEGIN IMMEDIATE",
    [FILE_COMMIT] = "COMMIT",
    [FILE_ROLLBACK] = "ROLLBACK",
    [FILE_VERSION] = "PRAGMA data_version",
    [FILE_CHANGES] = "SELECT total_changes()",
    [FILE_VERIFY] = "PRAGMA quick_check(1)",
};

static struct sqlite *of(struct store *s) {
    return (struct sqlite *)s;
}

static bool fail(struct sqlite *s, const char *what, struct problem *why) {
    int code = s->db ? sqlite3_errcode(s->db) & 0xff : SQLITE_NOMEM;
    enum problem_kind kind = code == SQLITE_FULL ? PROBLEM_FULL : code == SQLITE_NOMEM ? PROBLEM_MEMORY : PROBLEM_IO;
    return problem_set(why, kind, "", "the store rematd.db could not %s: %s", what,
                       s->db ? sqlite3_errmsg(s->db) : "no memory");
}

/* ---- statements ---- */

static int stmt_step(struct sqlite *s, sqlite3_stmt *statement, struct problem *why) {
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return 1;
    if (code != SQLITE_DONE)
        fail(s, "answer", why);
    sqlite3_reset(statement);
    return code == SQLITE_DONE ? 0 : -1;
}

static int step(struct store *s, struct store_statement *statement, struct problem *why) {
    return stmt_step(of(s), (sqlite3_stmt *)statement, why);
}

static void reset(struct store_statement *statement) {
    sqlite3_reset((sqlite3_stmt *)statement);
}

static struct store_statement *bind(struct store *s, enum store_sql sql, const char *types, va_list args) {
    sqlite3_stmt *statement = of(s)->statements[sql];
    bool ok = true;
    sqlite3_reset(statement);
    for (int i = 1; types[i - 1]; i++)
        if (types[i - 1] == 't') {
            ok &= sqlite3_bind_text(statement, i, va_arg(args, const char *), -1, SQLITE_TRANSIENT) == SQLITE_OK;
        } else {
            int64_t value = va_arg(args, int64_t);
            ok &= (types[i - 1] == 'n' ? sqlite3_bind_null(statement, i) : sqlite3_bind_int64(statement, i, value)) ==
                  SQLITE_OK;
        }
    return ok ? (struct store_statement *)statement : NULL; /* with a value missing it would be another question */
}

static unsigned changed(struct store *s, struct store_statement *statement) {
    (void)statement;
    return (unsigned)sqlite3_changes(of(s)->db);
}

static int64_t integer(struct store_statement *statement, int column) {
    return sqlite3_column_int64((sqlite3_stmt *)statement, column);
}

static double real(struct store_statement *statement, int column) {
    return sqlite3_column_double((sqlite3_stmt *)statement, column);
}

static const char *text(struct store_statement *statement, int column, size_t *bytes, bool *null) {
    sqlite3_stmt *stmt = (sqlite3_stmt *)statement;
    *null = sqlite3_column_type(stmt, column) == SQLITE_NULL;
    const char *found = *null ? NULL : (const char *)sqlite3_column_text(stmt, column);
    *bytes = found ? (size_t)sqlite3_column_bytes(stmt, column) : 0;
    return found;
}

/* One of the connection's own, to its end. */
static bool run(struct sqlite *s, int which, struct problem *why) {
    int more;
    while ((more = stmt_step(s, s->connection[which], why)) == 1)
        continue;
    return more == 0;
}

static bool number(struct sqlite *s, int which, uint64_t *out, struct problem *why) {
    bool ok = stmt_step(s, s->connection[which], why) == 1;
    *out = ok ? (uint64_t)sqlite3_column_int64(s->connection[which], 0) : 0;
    sqlite3_reset(s->connection[which]);
    return ok;
}

/* ---- transactions ---- */

static bool begin(struct store *s, struct problem *why) {
    return run(of(s), FILE_BEGIN, why);
}

static bool commit(struct store *s, struct problem *why) {
    return run(of(s), FILE_COMMIT, why);
}

static void rollback(struct store *s, const struct problem *why) {
    struct problem ignored = {0};
    if (!run(of(s), FILE_ROLLBACK, &ignored)) /* some errors have rolled back already */
        ignored = (struct problem){0};
    if (why->kind == PROBLEM_FULL) /* the log begins anew where the file has room for what it holds */
        sqlite3_wal_checkpoint_v2(of(s)->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static bool open_transaction(struct store *s) {
    return sqlite3_get_autocommit(of(s)->db) == 0;
}

/* Its own changes SQLite counts apart. */
static bool version(struct store *s, bool with_own, uint64_t *out, struct problem *why) {
    uint64_t ours = 0;
    if (!number(of(s), FILE_VERSION, out, why) || (with_own && !number(of(s), FILE_CHANGES, &ours, why)))
        return false;
    *out = with_own ? *out << 32 ^ ours : *out;
    return true;
}

static int64_t now_ms(struct store *s) {
    struct timespec now;
    (void)s;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- opening ---- */

/* While it is opened only the operator listens, who has to know which file it is. */
static const char *file_name(struct sqlite *s) {
    const char *name = s->db ? sqlite3_db_filename(s->db, "main") : NULL;
    return name ? name : "rematd.db";
}

static bool execute(struct sqlite *s, const char *sql, struct problem *why) {
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    bool full = (sqlite3_errcode(s->db) & 0xff) == SQLITE_FULL;
    return problem_set(why, full ? PROBLEM_FULL : PROBLEM_IO, "", "the store %.200s could not be opened: %s",
                       file_name(s), sqlite3_errmsg(s->db));
}

static int layout_number(struct sqlite *s) {
    sqlite3_stmt *statement = NULL;
    int number = -1;
    if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

/* From the layout the file has to ours, each step and its number in one transaction. */
static bool migrate(struct sqlite *s, struct problem *why) {
    if (!execute(s, "BEGIN IMMEDIATE", why))
        return false;
    int have = layout_number(s);
    bool ok = have >= 0 || fail(s, "tell its layout", why);
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

static bool prepare_one(struct sqlite *s, const char *sql, sqlite3_stmt **out, struct problem *why) {
    return sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK ||
           fail(s, "prepare its statements", why);
}

static bool prepare(struct sqlite *s, struct problem *why) {
    for (int i = 0; i < SQL_COUNT; i++)
        if (!prepare_one(s, own[i] ? own[i] : store_statements[i], &s->statements[i], why))
            return false;
    for (int i = 0; i < FILE_CONNECTION; i++)
        if (!prepare_one(s, connection[i], &s->connection[i], why))
            return false;
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

static void close_file(struct store *store) {
    struct sqlite *s = of(store);
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(s->statements[i]);
    for (int i = 0; i < FILE_CONNECTION; i++)
        sqlite3_finalize(s->connection[i]);
    sqlite3_close(s->db);
    store_free(store);
}

static int log_pages(const char *data_dir) {
    struct statvfs disk;
    bool small = statvfs(data_dir, &disk) != 0 || disk.f_blocks < SMALL_DISK_BYTES / disk.f_frsize;
    return small ? LOG_PAGES_SMALL : LOG_PAGES;
}

static struct store *open_file(const char *data_dir, struct problem *why) {
    struct sqlite *s = calloc(1, sizeof *s);
    char *path = sqlite3_mprintf("%s/rematd.db", data_dir);
    if (!s || !path || !store_init(&s->store, &store_sqlite)) {
        problem_set(why, PROBLEM_MEMORY, "", "no memory to open the store");
        sqlite3_free(path);
        free(s);
        return NULL;
    }
    bool ok = lost_check(path, why);
    if (ok && sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) !=
                  SQLITE_OK)
        ok = problem_set(why, PROBLEM_IO, "", "the store %s could not be opened: %s", path,
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
        return &s->store;
    close_file(&s->store);
    return NULL;
}

static bool verify(struct store *store, struct problem *why) {
    struct sqlite *s = of(store);
    sqlite3_stmt *statement = s->connection[FILE_VERIFY];
    bool ok = stmt_step(s, statement, why) == 1;
    const char *found = ok ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (ok && (!found || strcmp(found, "ok") != 0))
        ok = problem_set(why, PROBLEM_IO, "", "the store %.200s is damaged: %s", file_name(s),
                         found ? found : "unreadable");
    sqlite3_reset(statement);
    return ok;
}

const struct store_kind store_sqlite = {
    .open = open_file,
    .close = close_file,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .open_transaction = open_transaction,
    .bind = bind,
    .step = step,
    .reset = reset,
    .changed = changed,
    .integer = integer,
    .real = real,
    .text = text,
    .verify = verify,
    .version = version,
    .now_ms = now_ms,
};
