/* store_sqlite_jobs.c - jobs filed, read, listed; see store.h. */
#include "server/store_sqlite.h"

#include <string.h>

static const char *const states[] = {
    [JOB_QUEUED] = "queued", [JOB_RUNNING] = "running",     [JOB_SUCCEEDED] = "succeeded",
    [JOB_FAILED] = "failed", [JOB_CANCELLED] = "cancelled",
};
_Static_assert(sizeof states / sizeof states[0] == JOB_STATES, "one name per state");

const char *store_state_name(enum job_state state) {
    return states[state];
}

bool store_state_find(const char *name, enum job_state *out) {
    for (unsigned i = 0; i < JOB_STATES; i++)
        if (strcmp(states[i], name) == 0) {
            *out = (enum job_state)i;
            return true;
        }
    return false;
}

bool store_state_finished(enum job_state state) {
    return state >= JOB_SUCCEEDED;
}

static bool no_memory(struct problem *why) {
    return problem_set(why, PROBLEM_MEMORY, "", "no memory to read the store");
}

bool store_text(sqlite3_stmt *statement, int column, struct arena *a, const char **out, struct problem *why) {
    bool null = sqlite3_column_type(statement, column) == SQLITE_NULL;
    const char *text = null ? NULL : (const char *)sqlite3_column_text(statement, column);
    *out = text ? arena_copy(a, text, (size_t)sqlite3_column_bytes(statement, column) + 1, why) : NULL;
    return text ? *out != NULL : null || no_memory(why);
}

bool store_id(sqlite3_stmt *statement, int column, char out[STORE_ID_BYTES], struct problem *why) {
    const char *text = (const char *)sqlite3_column_text(statement, column);
    sqlite3_snprintf(STORE_ID_BYTES, out, "%s", text ? text : "");
    return text || no_memory(why);
}

bool store_row(sqlite3_stmt *statement, struct arena *a, struct store_job *out, struct problem *why) {
    *out = (struct store_job){
        .state = (enum job_state)sqlite3_column_int(statement, 2),
        .created_ms = sqlite3_column_int64(statement, 3),
        .started_ms = sqlite3_column_int64(statement, 4),
        .finished_ms = sqlite3_column_int64(statement, 5),
        .attempts = (unsigned)sqlite3_column_int64(statement, 6),
        .progress_done = (uint64_t)sqlite3_column_int64(statement, 7),
        .progress_total = (uint64_t)sqlite3_column_int64(statement, 8),
        .planned_peak_bytes = (uint64_t)sqlite3_column_int64(statement, 9),
        .cancel = sqlite3_column_int(statement, 10) != 0,
        .timeout_ms = sqlite3_column_int64(statement, 14),
        .queue_timeout_ms = sqlite3_column_int64(statement, 15),
    };
    return store_id(statement, 0, out->id, why) && store_text(statement, 1, a, &out->kind, why) &&
           store_text(statement, 11, a, &out->planned, why) && store_text(statement, 12, a, &out->result, why) &&
           store_text(statement, 16, a, &out->submitter, why) && store_text(statement, 17, a, &out->labels, why) &&
           store_text(statement, 18, a, &out->retry_of, why) && store_text(statement, 19, a, &out->request, why) &&
           (!store_state_finished(out->state) || store_text(statement, 13, a, &out->problem, why));
}

bool store_missing(const char *id, struct problem *why) {
    return problem_set(why, PROBLEM_NOT_FOUND, "", "there is no job %.60s", id);
}

bool store_get(struct store *s, const char *id, struct arena *a, struct store_job *out, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    sqlite3_stmt *statement = store_bind(s, SQL_GET, "t", id);
    int step = store_step(s, statement, why);
    bool ok = step == 1 ? store_row(statement, a, out, why) : step == 0 && store_missing(id, why);
    sqlite3_reset(statement);
    return store_leave(s, false, ok, why);
}

bool store_state(struct store *s, const char *id, enum job_state *out, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    sqlite3_stmt *statement = store_bind(s, SQL_STATE, "t", id);
    int step = store_step(s, statement, why);
    bool ok = step == 1 || (step == 0 && store_missing(id, why));
    if (ok)
        *out = (enum job_state)sqlite3_column_int(statement, 0);
    sqlite3_reset(statement);
    return store_leave(s, false, ok, why);
}

bool store_list(struct store *s, const struct store_query *q, struct arena *a, struct store_job **jobs, size_t *n,
                struct problem *why) {
    enum job_state state = JOB_QUEUED;
    *n = 0;
    *jobs = arena_new(a, struct store_job, q->limit, why);
    if (!*jobs)
        return false;
    if (q->state && !store_state_find(q->state, &state))
        return problem_set(why, PROBLEM_MALFORMED, "/state", "is not a state");
    if (!store_enter(s, false, why))
        return false;
    static const enum store_sql lists[2][2] = {{SQL_LIST, SQL_LIST_KIND}, {SQL_LIST_STATE, SQL_LIST_STATE_KIND}};
    enum store_sql sql = q->labels ? SQL_LIST_LABELLED : lists[q->state != NULL][q->kind != NULL];
    sqlite3_stmt *statement = store_bind(s, sql, q->labels ? "ittit" : "itti", (int64_t)state, q->kind, q->before_id,
                                         (int64_t)q->limit, q->labels);
    if (!q->state)
        sqlite3_bind_null(statement, 1);
    int step;
    bool ok = true;
    while (ok && (step = store_step(s, statement, why)) != 0) {
        ok = step == 1 && store_row(statement, a, &(*jobs)[*n], why);
        *n += ok;
    }
    sqlite3_reset(statement);
    return store_leave(s, false, ok, why);
}
