/* store_postgres_layout.c - the store in a PostgreSQL database: tables, triggers, and the statements that are its own.
 */
#include "server/store_postgres.h"

/* Ids, labels and digests are compared byte by byte, whatever the database's language. */
#define TEXT " TEXT COLLATE \"C\""

/* The same tables as SQLite's last layout (store_sqlite.c), and the bytes of tensors. */
const char *const store_postgres_layouts[] = {
    "CREATE TABLE jobs (id" TEXT " NOT NULL PRIMARY KEY, kind" TEXT " NOT NULL, state BIGINT NOT NULL,"
    " created_ms BIGINT NOT NULL, started_ms BIGINT NOT NULL DEFAULT 0, finished_ms BIGINT NOT NULL DEFAULT 0,"
    " attempts BIGINT NOT NULL DEFAULT 0, done BIGINT NOT NULL DEFAULT 0, total BIGINT NOT NULL DEFAULT 0,"
    " planned_peak_bytes BIGINT NOT NULL, cancel BIGINT NOT NULL DEFAULT 0, passed BIGINT NOT NULL DEFAULT 0,"
    " owner" TEXT ", host" TEXT " NOT NULL DEFAULT '', lease_until_ms BIGINT NOT NULL DEFAULT 0,"
    " timeout_ms BIGINT NOT NULL DEFAULT 0, run_until_ms BIGINT NOT NULL DEFAULT 0,"
    " queue_timeout_ms BIGINT NOT NULL DEFAULT 0, queue_until_ms BIGINT NOT NULL DEFAULT 0,"
    " submitter" TEXT " NOT NULL DEFAULT '', labels" TEXT " NOT NULL DEFAULT '{}', retry_of" TEXT ", request_id" TEXT
    ","
    " request TEXT NOT NULL, planned TEXT NOT NULL, result TEXT, problem TEXT);"
    "CREATE INDEX jobs_by_state ON jobs (state, id);"
    "CREATE INDEX jobs_by_kind ON jobs (kind, id);"
    "CREATE INDEX jobs_by_kind_state ON jobs (kind, state, id);"
    "CREATE INDEX jobs_queue ON jobs (id, planned_peak_bytes) WHERE state = 0;"
    "CREATE INDEX jobs_waiting ON jobs (submitter, id, planned_peak_bytes) WHERE state = 0;"
    "CREATE INDEX jobs_queue_until ON jobs (queue_until_ms) WHERE state = 0 AND queue_until_ms > 0;"
    "CREATE INDEX jobs_run_until ON jobs (run_until_ms) WHERE state = 1 AND run_until_ms > 0;"
    "CREATE INDEX jobs_by_end ON jobs (finished_ms) WHERE state > 1;"
    "CREATE TABLE job_blobs (job_id" TEXT " NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, digest" TEXT " NOT NULL,"
    " made BIGINT NOT NULL, PRIMARY KEY (job_id, digest, made));"
    "CREATE INDEX job_blobs_by_digest ON job_blobs (digest);"
    "CREATE TABLE uploads (digest" TEXT " NOT NULL PRIMARY KEY, used_ms BIGINT NOT NULL);"
    "CREATE INDEX uploads_by_use ON uploads (used_ms);"
    "CREATE TABLE keys (key" TEXT " NOT NULL PRIMARY KEY, created_ms BIGINT NOT NULL,"
    " job_id" TEXT " NOT NULL REFERENCES jobs (id) ON DELETE CASCADE);"
    "CREATE INDEX keys_by_job ON keys (job_id);"
    "CREATE TABLE job_labels (label" TEXT " NOT NULL, job_id" TEXT " NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,"
    " PRIMARY KEY (label, job_id));"
    "CREATE INDEX job_labels_by_job ON job_labels (job_id);"
    "CREATE TABLE submitters (name" TEXT " NOT NULL PRIMARY KEY, served BIGINT NOT NULL);"
    /* Events of all jobs are in one order, seq: who writes has the lock of all writers, so what comes later is behind.
     */
    "CREATE SEQUENCE events_told;"
    "CREATE TABLE job_events (job_id" TEXT " NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number BIGINT NOT NULL,"
    " name" TEXT " NOT NULL, data TEXT NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (job_id, number));"
    "CREATE INDEX job_events_by_seq ON job_events (seq);"
    "CREATE FUNCTION rematd_event_place() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " NEW.seq := nextval('events_told');"
    " PERFORM pg_notify('rematd_progress', ''); RETURN NEW; END $$;"
    "CREATE TRIGGER job_events_place BEFORE INSERT ON job_events FOR EACH ROW EXECUTE FUNCTION rematd_event_place();"
    /* Whatever changes a state has told of it in the same transaction, and wakes those who wait. */
    "CREATE FUNCTION rematd_state_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " INSERT INTO job_events (job_id, number, name, data) SELECT NEW.id, coalesce(max(number), 0) + 1, 'state',"
    " format('{\"state\":\"%s\",\"attempt\":%s}', CASE NEW.state WHEN 0 THEN 'queued' WHEN 1 THEN 'running'"
    " WHEN 2 THEN 'succeeded' WHEN 3 THEN 'failed' ELSE 'cancelled' END, NEW.attempts)"
    " FROM job_events WHERE job_id = NEW.id;"
    " PERFORM pg_notify('rematd_jobs', ''); RETURN NULL; END $$;"
    "CREATE TRIGGER job_events_new AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION rematd_state_event();"
    "CREATE TRIGGER job_events_state AFTER UPDATE OF state ON jobs FOR EACH ROW WHEN (NEW.state <> OLD.state)"
    " EXECUTE FUNCTION rematd_state_event();"
    "CREATE FUNCTION rematd_cancel_told() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " PERFORM pg_notify('rematd_jobs', ''); RETURN NULL; END $$;"
    "CREATE TRIGGER jobs_cancel AFTER UPDATE OF cancel ON jobs FOR EACH ROW WHEN (NEW.cancel <> OLD.cancel)"
    " EXECUTE FUNCTION rematd_cancel_told();"
    /* Counted in the transaction that starts or ends a job. */
    "CREATE TABLE job_tallies (what" TEXT " NOT NULL, kind" TEXT " NOT NULL, outcome" TEXT " NOT NULL,"
    " upto DOUBLE PRECISION NOT NULL, n BIGINT NOT NULL, sum DOUBLE PRECISION NOT NULL,"
    " PRIMARY KEY (what, kind, outcome, upto));"
    "CREATE FUNCTION rematd_tally_start() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " INSERT INTO job_tallies SELECT 'wait', NEW.kind, '', " STORE_SECONDS_UPTO ", 1, x FROM"
    " (SELECT greatest(NEW.started_ms - NEW.created_ms, 0) / 1000.0 AS x) AS waited" STORE_TALLY_ADD
    " RETURN NULL; END $$;"
    "CREATE TRIGGER job_tallies_start AFTER UPDATE OF state ON jobs FOR EACH ROW"
    " WHEN (OLD.state = 0 AND NEW.state = 1 AND NEW.attempts = 1) EXECUTE FUNCTION rematd_tally_start();"
    "CREATE FUNCTION rematd_tally_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " INSERT INTO job_tallies VALUES ('end', NEW.kind, " STORE_OUTCOME ", 1e300, 1, 0)" STORE_TALLY_ADD
    " INSERT INTO job_tallies SELECT 'run', NEW.kind, " STORE_OUTCOME ", " STORE_SECONDS_UPTO ", 1, x FROM"
    " (SELECT greatest(NEW.finished_ms - NEW.started_ms, 0) / 1000.0 AS x) AS ran WHERE NEW.started_ms > 0" //
    STORE_TALLY_ADD " RETURN NULL; END $$;"
    "CREATE TRIGGER job_tallies_end AFTER UPDATE OF state ON jobs FOR EACH ROW"
    " WHEN (OLD.state < 2 AND NEW.state > 1) EXECUTE FUNCTION rematd_tally_end();"
    /* How many are queued, without counting them; kept once a statement. Only who has ended is removed. */
    "CREATE TABLE jobs_queued (n BIGINT NOT NULL);"
    "INSERT INTO jobs_queued VALUES (0);"
    "CREATE FUNCTION rematd_queued_new() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " UPDATE jobs_queued SET n = n + (SELECT count(*) FROM added WHERE state = 0); RETURN NULL; END $$;"
    "CREATE TRIGGER jobs_queued_new AFTER INSERT ON jobs REFERENCING NEW TABLE AS added FOR EACH STATEMENT"
    " EXECUTE FUNCTION rematd_queued_new();"
    "CREATE FUNCTION rematd_queued_state() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE more BIGINT; BEGIN"
    " SELECT (SELECT count(*) FROM after WHERE state = 0) - (SELECT count(*) FROM before WHERE state = 0) INTO more;"
    " IF more <> 0 THEN UPDATE jobs_queued SET n = n + more; END IF; RETURN NULL; END $$;"
    "CREATE TRIGGER jobs_queued_state AFTER UPDATE ON jobs REFERENCING OLD TABLE AS before NEW TABLE AS after"
    " FOR EACH STATEMENT EXECUTE FUNCTION rematd_queued_state();"
    /* One row, of the newest that succeeded, on whichever machine: it stays when its job is removed. */
    "CREATE TABLE calibration (job_id" TEXT " NOT NULL, finished_ms BIGINT NOT NULL, result TEXT NOT NULL);"
    "CREATE FUNCTION rematd_calibration_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM calibration;"
    " INSERT INTO calibration VALUES (NEW.id, NEW.finished_ms, NEW.result); RETURN NULL; END $$;"
    "CREATE TRIGGER calibration_keep AFTER UPDATE OF state ON jobs FOR EACH ROW WHEN (NEW.kind = 'calibrate'"
    " AND NEW.state = 2 AND NEW.result IS NOT NULL) EXECUTE FUNCTION rematd_calibration_keep();"
    /* Tensors: a blob is there when its row is, which comes after its chunks. Numbers do not shrink. */
    "CREATE TABLE blobs (digest" TEXT " NOT NULL PRIMARY KEY, bytes BIGINT NOT NULL);"
    "CREATE TABLE blob_chunks (digest" TEXT " NOT NULL, n BIGINT NOT NULL, bytes BYTEA NOT NULL,"
    " PRIMARY KEY (digest, n));"
    "ALTER TABLE blob_chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;",
};
const int store_postgres_layouts_n = sizeof store_postgres_layouts / sizeof store_postgres_layouts[0];

#define LIST        "SELECT " STORE_COLUMNS ", NULL::text FROM jobs"
#define EACH(PLACE) "(SELECT json_array_elements_text(" PLACE "::json))"
#define PEAK(PATH)  "(result::json #>> '{" PATH "}')::double precision"
#define HAS_ALL(PLACE, JOB)                                                                                            \
    " NOT EXISTS (SELECT 1 FROM json_array_elements_text(" PLACE "::json) AS wanted (label) WHERE NOT EXISTS"          \
    " (SELECT 1 FROM job_labels AS own WHERE own.label = wanted.label AND own.job_id = " JOB "))"

const char *const store_postgres_own[SQL_COUNT] = {
    [SQL_LIST] = LIST " WHERE" STORE_NEWEST,
    [SQL_LIST_STATE] = LIST " WHERE state = ?1 AND" STORE_NEWEST,
    [SQL_LIST_KIND] = LIST " WHERE kind = ?2 AND" STORE_NEWEST,
    [SQL_LIST_STATE_KIND] = LIST " WHERE kind = ?2 AND state = ?1 AND" STORE_NEWEST,
    [SQL_LIST_LABELLED] =
        "SELECT " STORE_COLUMNS ", NULL::text FROM job_labels JOIN jobs ON id = job_id WHERE label = ?5::json ->> 0"
        " AND (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR job_id < ?3)"
        " AND" HAS_ALL("?5", "jobs.id") " ORDER BY job_id DESC LIMIT ?4",
    [SQL_KEY_FIND] = STORE_KEY_FIND("IS NOT DISTINCT FROM"),
    [SQL_LATE_ANY] =
        "SELECT EXISTS (SELECT 1 FROM jobs" STORE_LATE_QUEUED ") OR EXISTS (SELECT 1 FROM jobs" STORE_LATE_RUNNING ")",
    [SQL_LATE_QUEUED] = "UPDATE jobs" STORE_LATE_QUEUED_SET,
    [SQL_LATE_RUNNING] = "UPDATE jobs" STORE_LATE_RUNNING_SET,
    [SQL_LABELS_ADD] = "INSERT INTO job_labels (label, job_id) SELECT key || ':' || value, ?1"
                       " FROM json_each_text(?2::json)",
    /* Whoever claims has the lock of all writers: two that looked at the same running jobs would together pass the
     * limit. A row that somebody else holds (an operator's transaction) is passed over, not waited for. */
    [SQL_OLDEST] = "SELECT id, planned_peak_bytes, passed FROM jobs WHERE state = 0 AND planned_peak_bytes <= ?"
                   " ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED",
    /* From one submitter who waits to the next, however many jobs each has; then the first job of each. */
    [SQL_NEXT] =
        "WITH RECURSIVE waiting AS ((SELECT submitter FROM jobs WHERE state = 0 ORDER BY submitter LIMIT 1) UNION ALL"
        " SELECT (SELECT submitter FROM jobs WHERE state = 0 AND jobs.submitter > waiting.submitter"
        " ORDER BY submitter LIMIT 1) FROM waiting WHERE waiting.submitter IS NOT NULL), running AS"
        " (SELECT submitter, sum(planned_peak_bytes) AS bytes, count(*) AS n FROM jobs WHERE state = 1 GROUP BY "
        "submitter)"
        " SELECT first.id FROM waiting CROSS JOIN LATERAL (SELECT id FROM jobs WHERE state = 0"
        " AND planned_peak_bytes <= ?1 AND jobs.submitter = waiting.submitter ORDER BY id LIMIT 1"
        " FOR UPDATE SKIP LOCKED) AS first LEFT JOIN running ON running.submitter = waiting.submitter"
        " LEFT JOIN submitters ON name = waiting.submitter"
        " ORDER BY coalesce(bytes, 0), coalesce(n, 0), coalesce(served, 0), first.id LIMIT 1",
    [SQL_EVENTS_ADD] = STORE_EVENTS_ADD("place") "::text FROM json_array_elements(?2::json) WITH ORDINALITY"
                                                 " AS told (value, place) ORDER BY place",
    /* A job of kind memory_savings reports two peaks: the checkpointed one counts. */
    [SQL_TALLY_PEAK] =
        "INSERT INTO job_tallies SELECT 'peak', kind, '', " STORE_RATIO_UPTO ", 1, x FROM (SELECT kind,"
        " coalesce(" PEAK("memory,measured_peak_bytes") ", " PEAK(
            "measured,checkpointed_peak_bytes") ") / nullif("
                                                "coalesce(" PEAK("memory,predicted_peak_bytes") ", " PEAK(
                                                    "measured,checkpointed_predicted_peak_bytes") "), 0)"
                                                                                                  " AS x FROM jobs "
                                                                                                  "WHERE id = ?) AS "
                                                                                                  "peak WHERE x > "
                                                                                                  "0" STORE_TALLY_ADD,
    [SQL_FEED] = "SELECT seq, name, data, job_id, (?2 IS NULL OR job_id IN " EACH("?2") ") AND (?3 IS NULL OR" HAS_ALL(
        "?3", "job_events.job_id") ") FROM job_events WHERE seq > ?1 ORDER BY seq LIMIT ?4",
    [SQL_FEED_LAST] = "SELECT coalesce(max(seq), 0) FROM job_events",
    [SQL_FEED_FIRST] = "SELECT coalesce(min(seq) - 1, 0) FROM job_events WHERE number = 1 AND job_id IN " EACH("?"),
    [SQL_FEED_OVER] = "SELECT NOT EXISTS (SELECT 1 FROM jobs WHERE state < 2 AND id IN " EACH("?") ")",
};
