/* store_sqlite_figures.c - what the store knows in numbers: the queue now, the tallies of all jobs that ever were, and
 * what this machine was last measured to be.
 *
 * Tallies are kept by triggers, in the transaction that starts or ends a job: whichever process writes it, it is
 * counted once, and counts survive restarts and the removal of jobs. A row of job_tallies is one bucket of a histogram.
 */
#include "server/store_sqlite.h"

#include <string.h>

#define TALLY_ADD " ON CONFLICT (what, kind, outcome, upto) DO UPDATE SET n = n + excluded.n, sum = sum + excluded.sum;"
#define SECONDS_UPTO                                                                                                   \
    "CASE WHEN x <= 0.01 THEN 0.01 WHEN x <= 0.05 THEN 0.05 WHEN x <= 0.1 THEN 0.1 WHEN x <= 0.25 THEN 0.25"           \
    " WHEN x <= 0.5 THEN 0.5 WHEN x <= 1 THEN 1 WHEN x <= 2.5 THEN 2.5 WHEN x <= 5 THEN 5 WHEN x <= 10 THEN 10"        \
    " WHEN x <= 30 THEN 30 WHEN x <= 60 THEN 60 WHEN x <= 300 THEN 300 WHEN x <= 900 THEN 900"                         \
    " WHEN x <= 3600 THEN 3600 ELSE 1e300 END"
#define RATIO_UPTO                                                                                                     \
    "CASE WHEN x <= 0.9 THEN 0.9 WHEN x < 1 THEN 0.999999 WHEN x = 1 THEN 1 WHEN x <= 1.1 THEN 1.1 ELSE 1e300 END"
#define OUTCOME "CASE NEW.state WHEN 2 THEN 'succeeded' WHEN 3 THEN 'failed' ELSE 'cancelled' END"

const char store_layout_tallies[] =
    "CREATE TABLE job_tallies (what TEXT NOT NULL, kind TEXT NOT NULL, outcome TEXT NOT NULL, upto REAL NOT NULL,"
    " n INTEGER NOT NULL, sum REAL NOT NULL, PRIMARY KEY (what, kind, outcome, upto)) STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER job_tallies_start AFTER UPDATE OF state ON jobs"
    " WHEN OLD.state = 0 AND NEW.state = 1 AND NEW.attempts = 1 BEGIN"
    " INSERT INTO job_tallies SELECT 'wait', NEW.kind, '', " SECONDS_UPTO ", 1, x FROM"
    " (SELECT max(NEW.started_ms - NEW.created_ms, 0) / 1000.0 AS x) WHERE true" TALLY_ADD " END;"
    "CREATE TRIGGER job_tallies_end AFTER UPDATE OF state ON jobs WHEN OLD.state < 2 AND NEW.state > 1 BEGIN"
    " INSERT INTO job_tallies VALUES ('end', NEW.kind, " OUTCOME ", 1e300, 1, 0)" TALLY_ADD
    " INSERT INTO job_tallies SELECT 'run', NEW.kind, " OUTCOME ", " SECONDS_UPTO ", 1, x FROM"
    " (SELECT max(NEW.finished_ms - NEW.started_ms, 0) / 1000.0 AS x) WHERE NEW.started_ms > 0" TALLY_ADD " END;";

/* Not a trigger's: the schema is not trusted with functions that read JSON. A job of kind memory_savings reports two
 * peaks: the checkpointed one counts. */
const char store_tally_peak[] =
    "INSERT INTO job_tallies SELECT 'peak', kind, '', " RATIO_UPTO ", 1, x FROM (SELECT kind,"
    " CAST(coalesce(json_extract(r, '$.memory.measured_peak_bytes'),"
    " json_extract(r, '$.measured.checkpointed_peak_bytes')) AS REAL) /"
    " coalesce(json_extract(r, '$.memory.predicted_peak_bytes'),"
    " json_extract(r, '$.measured.checkpointed_predicted_peak_bytes')) AS x FROM"
    " (SELECT kind, CASE WHEN json_valid(result) THEN result END AS r FROM jobs WHERE id = ?)) WHERE x > 0" TALLY_ADD;

static bool tallies_read(struct store *s, struct arena *a, struct store_figures *out, struct problem *why) {
    size_t room = 64;
    struct store_tally *list = arena_new(a, struct store_tally, room, why);
    sqlite3_stmt *statement = store_bind(s, SQL_TALLIES, "");
    int step = list ? 1 : -1;
    for (out->n_tallies = 0; step == 1 && (step = store_step(s, statement, why)) == 1; out->n_tallies++) {
        if (out->n_tallies == room) {
            struct store_tally *more = arena_new(a, struct store_tally, 2 * room, why);
            if (!more) {
                step = -1;
                break;
            }
            list = memcpy(more, list, room * sizeof *list);
            room *= 2;
        }
        struct store_tally *t = &list[out->n_tallies];
        t->upto = sqlite3_column_double(statement, 3);
        t->n = (uint64_t)sqlite3_column_int64(statement, 4);
        t->sum = sqlite3_column_double(statement, 5);
        if (!store_text(statement, 0, a, &t->what, why) || !store_text(statement, 1, a, &t->kind, why) ||
            !store_text(statement, 2, a, &t->outcome, why))
            step = -1;
    }
    sqlite3_reset(statement);
    out->tallies = list;
    return step == 0;
}

bool store_figures(struct store *s, struct arena *a, struct store_figures *out, struct problem *why) {
    *out = (struct store_figures){0};
    if (!store_enter(s, false, why))
        return false;
    sqlite3_stmt *statement = store_bind(s, SQL_FIGURES, "");
    bool ok = store_step(s, statement, why) == 1;
    if (ok) {
        out->queued = (uint64_t)sqlite3_column_int64(statement, 0);
        out->oldest_queued_ms = sqlite3_column_int64(statement, 1);
        out->running = (uint64_t)sqlite3_column_int64(statement, 2);
        out->running_bytes = (uint64_t)sqlite3_column_int64(statement, 3);
    }
    sqlite3_reset(statement);
    ok = ok && tallies_read(s, a, out, why);
    return store_leave(s, false, ok, why);
}

bool store_calibration(struct store *s, struct arena *a, struct store_calibration *out, struct problem *why) {
    *out = (struct store_calibration){0};
    if (!store_enter(s, false, why))
        return false;
    sqlite3_stmt *statement = store_bind(s, SQL_CALIBRATION, "");
    const int step = store_step(s, statement, why);
    bool ok = step >= 0;
    if (step == 1) {
        out->finished_ms = sqlite3_column_int64(statement, 1);
        ok = store_id(statement, 0, out->job, why) && store_text(statement, 2, a, &out->result, why);
    }
    sqlite3_reset(statement);
    return store_leave(s, false, ok, why);
}
