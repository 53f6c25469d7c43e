/* store_statements.c - what every store answers alike; see store_private.h. jobs.state follows enum job_state: 0
 * queued, 1 running, 2 succeeded, 3 failed, 4 cancelled. jobs.cancel: 1 somebody asked to stop, 2 its time is over, and
 * problem says so already. Times that are over (queue_until_ms, run_until_ms) are 0 where nothing is waited for. */
#include "server/store_private.h"

#define LEASED " WHERE id = ? AND owner = ? AND attempts = ? AND state = 1"
#define ENDED  " WHERE state = 1 AND (?1 IS NULL OR owner = ?1) AND lease_until_ms < ?2 AND (?3 IS NULL OR host = ?3)"

const char *const store_statements[SQL_COUNT] = {
    [SQL_SAVEPOINT] = "SAVEPOINT one",
    [SQL_RELEASE] = "RELEASE one",
    [SQL_ROLLBACK_TO] = "ROLLBACK TO one",
    [SQL_PING] = "SELECT EXISTS (SELECT 1 FROM uploads)",
    [SQL_QUEUED] = "SELECT n FROM jobs_queued",
    [SQL_ADD] = "INSERT INTO jobs (id, kind, state, created_ms, planned_peak_bytes, request, planned, timeout_ms,"
                " queue_timeout_ms, queue_until_ms, submitter, labels, retry_of, request_id) VALUES (?1, ?2, 0, ?3, "
                "?4, ?5, ?6, ?7,"
                " ?8, CASE ?8 WHEN 0 THEN 0 ELSE ?3 + ?8 END, coalesce(?9, ''), coalesce(?10, '{}'), ?11, ?12)",
    [SQL_GET] = "SELECT " STORE_COLUMNS ", request FROM jobs WHERE id = ?",
    [SQL_STATE] = "SELECT state FROM jobs WHERE id = ?",
    [SQL_KEY_FORGET] = "DELETE FROM keys WHERE created_ms < ?",
    [SQL_KEY_ADD] = "INSERT INTO keys (key, created_ms, job_id) VALUES (?, ?, ?)",
    [SQL_BLOB_ADD] = "INSERT INTO job_blobs (job_id, digest, made) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
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
    [SQL_WAITING] = "SELECT count(*) FROM (SELECT id FROM jobs WHERE state = 0 AND planned_peak_bytes <= ?"
                    " ORDER BY id LIMIT 1) AS one", /* in this order: an index has it */
    [SQL_RUNNING_BYTES] = "SELECT coalesce(sum(planned_peak_bytes), 0) FROM jobs WHERE state = 1 AND host = ?",
    [SQL_SERVED] = "INSERT INTO submitters (name, served)"
                   " SELECT submitter, (SELECT coalesce(max(served), 0) + 1 FROM submitters) FROM jobs WHERE id = ?"
                   " ON CONFLICT (name) DO UPDATE SET served = excluded.served",
    [SQL_PASS] = "UPDATE jobs SET passed = passed + 1 WHERE id = ?",
    [SQL_CLAIM] =
        "UPDATE jobs SET state = 1, owner = ?2, started_ms = ?3, lease_until_ms = ?4, attempts = attempts + 1,"
        " host = ?5, done = 0, total = 0, queue_until_ms = 0,"
        " run_until_ms = CASE timeout_ms WHEN 0 THEN 0 ELSE ?3 + timeout_ms END WHERE id = ?1",
    [SQL_BEAT] = "UPDATE jobs SET lease_until_ms = ?, done = ?, total = ?" LEASED " RETURNING cancel",
    [SQL_CANCELLED] = "SELECT cancel FROM jobs" LEASED,
    [SQL_HELD] = "SELECT cancel, lease_until_ms FROM jobs WHERE state = 1 AND owner = ?"
                 " ORDER BY lease_until_ms DESC LIMIT 1",
    [SQL_FINISH] = "UPDATE jobs SET state = CASE WHEN cancel = 2 AND ?1 = 4 THEN 3 ELSE ?1 END, finished_ms = ?2,"
                   " result = ?3, problem = CASE WHEN cancel = 2 AND ?1 = 4 THEN problem ELSE ?4 END, owner = NULL,"
                   " lease_until_ms = 0, run_until_ms = 0, done = ?5, total = ?6"
                   " WHERE id = ?7 AND owner = ?8 AND attempts = ?9 AND state = 1",
    [SQL_CANCEL] = "UPDATE jobs SET cancel = CASE cancel WHEN 0 THEN 1 ELSE cancel END, run_until_ms = 0,"
                   " state = CASE state WHEN 0 THEN 4 ELSE state END,"
                   " finished_ms = CASE state WHEN 0 THEN ?2 ELSE 0 END WHERE id = ?1 AND state < 2",
    [SQL_RELEASE_CANCELLED] = "UPDATE jobs SET state = CASE cancel WHEN 2 THEN 3 ELSE 4 END, owner = NULL,"
                              " run_until_ms = 0, finished_ms = ?4" ENDED " AND cancel > 0",
    [SQL_RELEASE_FAILED] =
        "UPDATE jobs SET state = 3, owner = NULL, run_until_ms = 0, finished_ms = ?4, problem = ?5" ENDED
        " AND attempts >= ?6",
    [SQL_RELEASE_QUEUED] = "UPDATE jobs SET state = 0, owner = NULL, run_until_ms = 0, started_ms = 0,"
                           " attempts = attempts - ?4" ENDED,
    [SQL_REFUSE] = "UPDATE jobs SET state = 3, finished_ms = ?, problem = ? WHERE state = 0 AND planned_peak_bytes > ?",
    [SQL_EVENT_FORGET] = "DELETE FROM job_events WHERE job_id = ?1 AND name = 'progress' AND number <="
                         " (SELECT max(number) FROM job_events WHERE job_id = ?1) - ?2",
    [SQL_EVENTS] = "SELECT number, name, data FROM job_events WHERE job_id = ? AND number > ? ORDER BY number LIMIT ?",
    [SQL_EVENTS_ANY] = "SELECT EXISTS (SELECT 1 FROM job_events WHERE job_id = ?1 AND number > ?2)"
                       " OR NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND state < 2)",
    [SQL_FIGURES] = "SELECT (SELECT n FROM jobs_queued),"
                    " coalesce((SELECT created_ms FROM jobs WHERE state = 0 ORDER BY id LIMIT 1), 0),"
                    " count(*), coalesce(sum(planned_peak_bytes), 0) FROM jobs WHERE state = 1",
    [SQL_TALLIES] = "SELECT what, kind, outcome, upto, n, sum FROM job_tallies ORDER BY what, kind, outcome, upto",
    [SQL_CALIBRATION] = "SELECT job_id, finished_ms, result FROM calibration",
};
