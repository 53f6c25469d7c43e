/* store_sqlite_jobs.c - jobs filed, read, listed, removed, and the blobs they use; see store.h. */
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
    };
    return store_id(statement, 0, out->id, why) && store_text(statement, 1, a, &out->kind, why) &&
           store_text(statement, 11, a, &out->planned, why) && store_text(statement, 12, a, &out->result, why) &&
           store_text(statement, 13, a, &out->problem, why) && store_text(statement, 14, a, &out->request, why);
}

/* With a key of this day: nothing more to do, *first_id and *how say so. */
static bool key_use(struct store *s, const struct store_job *job, const char *key, int64_t keys_after_ms,
                    char *first_id, enum store_added *how, struct problem *why) {
    if (!store_run(s, store_bind(s, SQL_KEY_FORGET, "i", keys_after_ms), NULL, why))
        return false;
    sqlite3_stmt *statement = store_bind(s, SQL_KEY_FIND, "tt", key, job->request);
    int step = store_step(s, statement, why);
    bool ok = step >= 0;
    if (step == 1) {
        ok = store_id(statement, 0, first_id, why);
        *how = sqlite3_column_int(statement, 1) ? STORE_REPLAYED : STORE_KEY_CONFLICT;
        sqlite3_reset(statement);
    }
    return ok;
}

static bool job_insert(struct store *s, const struct store_job *job, const char *key, const char *const *blobs,
                       size_t n_blobs, struct problem *why) {
    sqlite3_stmt *add = store_bind(s, SQL_ADD, "ttiitt", job->id, job->kind, job->created_ms,
                                   (int64_t)job->planned_peak_bytes, job->request, job->planned);
    if (!store_run(s, add, NULL, why))
        return false;
    for (size_t i = 0; i < n_blobs; i++)
        if (!store_run(s, store_bind(s, SQL_BLOB_ADD, "tti", job->id, blobs[i], (int64_t)0), NULL, why))
            return false;
    return !key || store_run(s, store_bind(s, SQL_KEY_ADD, "tit", key, job->created_ms, job->id), NULL, why);
}

bool store_add(struct store *s, const struct store_job *job, const char *key, int64_t keys_after_ms,
               const char *const *blobs, size_t n_blobs, char first_id[STORE_ID_BYTES], enum store_added *how,
               struct problem *why) {
    *how = STORE_ADDED;
    if (!store_enter(s, true, why))
        return false;
    bool ok = !key || key_use(s, job, key, keys_after_ms, first_id, how, why);
    if (ok && *how == STORE_ADDED)
        ok = job_insert(s, job, key, blobs, n_blobs, why);
    return store_leave(s, true, ok, why);
}

static bool missing(const char *id, struct problem *why) {
    return problem_set(why, PROBLEM_NOT_FOUND, "", "there is no job %.60s", id);
}

bool store_get(struct store *s, const char *id, struct arena *a, struct store_job *out, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    sqlite3_stmt *statement = store_bind(s, SQL_GET, "t", id);
    int step = store_step(s, statement, why);
    bool ok = step == 1 ? store_row(statement, a, out, why) : step == 0 && missing(id, why);
    sqlite3_reset(statement);
    return store_leave(s, false, ok, why);
}

bool store_state(struct store *s, const char *id, enum job_state *out, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    sqlite3_stmt *statement = store_bind(s, SQL_STATE, "t", id);
    int step = store_step(s, statement, why);
    bool ok = step == 1 || (step == 0 && missing(id, why));
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
    sqlite3_stmt *statement = store_bind(s, SQL_LIST, "itti", (int64_t)state, q->kind, q->before_id, (int64_t)q->limit);
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

static bool blobs_gone(struct store *s, const char *id, void (*gone)(void *context, const char *digest), void *context,
                       struct problem *why) {
    sqlite3_stmt *statement = store_bind(s, SQL_BLOB_UNUSED, "t", id);
    int step;
    bool ok = true;
    while (ok && (step = store_step(s, statement, why)) != 0) {
        const char *digest = step == 1 ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (digest)
            gone(context, digest);
        ok = digest || (step == 1 && no_memory(why));
    }
    sqlite3_reset(statement);
    return ok;
}

bool store_remove(struct store *s, const char *id, void (*gone)(void *context, const char *digest), void *context,
                  struct problem *why) {
    if (!store_enter(s, true, why))
        return false;
    sqlite3_stmt *statement = store_bind(s, SQL_STATE, "t", id);
    int step = store_step(s, statement, why);
    bool ok = step == 1 || (step == 0 && missing(id, why));
    if (ok && !store_state_finished((enum job_state)sqlite3_column_int(statement, 0)))
        ok = problem_set(why, PROBLEM_STATE, "", "the job has not finished; cancel it first");
    sqlite3_reset(statement);
    ok = ok && blobs_gone(s, id, gone, context, why) && store_run(s, store_bind(s, SQL_REMOVE, "t", id), NULL, why);
    return store_leave(s, true, ok, why);
}

static bool one(struct store *s, enum store_sql sql, const char *digest, struct problem *why) {
    if (!store_enter(s, true, why))
        return false;
    return store_leave(s, true, store_run(s, store_bind(s, sql, "t", digest), NULL, why), why);
}

bool store_upload_add(struct store *s, const char *digest, struct problem *why) {
    return one(s, SQL_UPLOAD_ADD, digest, why);
}

bool store_upload_remove(struct store *s, const char *digest, struct problem *why) {
    return one(s, SQL_UPLOAD_REMOVE, digest, why);
}

bool store_blob_waited(struct store *s, const char *digest, bool *waited, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    sqlite3_stmt *statement = store_bind(s, SQL_BLOB_WAITED, "t", digest);
    bool ok = store_step(s, statement, why) == 1;
    *waited = ok && sqlite3_column_int(statement, 0);
    sqlite3_reset(statement);
    return store_leave(s, false, ok, why);
}
