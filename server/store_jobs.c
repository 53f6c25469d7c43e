/* store_jobs.c - jobs filed, read, listed; see store.h. */
#include "server/store_private.h"

#include <stdio.h>
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

bool store_text(struct store *s, struct store_statement *statement, int column, struct arena *a, const char **out,
                struct problem *why) {
    size_t bytes;
    bool null;
    const char *text = s->kind->text(statement, column, &bytes, &null);
    *out = text ? arena_copy(a, text, bytes + 1, why) : NULL;
    return text ? *out != NULL : null || no_memory(why);
}

static bool short_text(struct store *s, struct store_statement *statement, int column, char *out, size_t room,
                       struct problem *why) {
    size_t bytes;
    bool null;
    const char *text = s->kind->text(statement, column, &bytes, &null);
    snprintf(out, room, "%s", text ? text : "");
    return text || no_memory(why);
}

bool store_digest(struct store *s, struct store_statement *statement, int column, char out[STORE_DIGEST_BYTES],
                  struct problem *why) {
    return short_text(s, statement, column, out, STORE_DIGEST_BYTES, why);
}

bool store_id(struct store *s, struct store_statement *statement, int column, char out[STORE_ID_BYTES],
              struct problem *why) {
    return short_text(s, statement, column, out, STORE_ID_BYTES, why);
}

bool store_row(struct store *s, struct store_statement *statement, struct arena *a, struct store_job *out,
               struct problem *why) {
    *out = (struct store_job){
        .state = (enum job_state)store_integer(s, statement, 2),
        .created_ms = store_integer(s, statement, 3),
        .started_ms = store_integer(s, statement, 4),
        .finished_ms = store_integer(s, statement, 5),
        .attempts = (unsigned)store_integer(s, statement, 6),
        .progress_done = (uint64_t)store_integer(s, statement, 7),
        .progress_total = (uint64_t)store_integer(s, statement, 8),
        .planned_peak_bytes = (uint64_t)store_integer(s, statement, 9),
        .cancel = store_integer(s, statement, 10) != 0,
        .timeout_ms = store_integer(s, statement, 14),
        .queue_timeout_ms = store_integer(s, statement, 15),
    };
    return store_id(s, statement, 0, out->id, why) && store_text(s, statement, 1, a, &out->kind, why) &&
           store_text(s, statement, 11, a, &out->planned, why) && store_text(s, statement, 12, a, &out->result, why) &&
           store_text(s, statement, 16, a, &out->submitter, why) &&
           store_text(s, statement, 17, a, &out->labels, why) && store_text(s, statement, 18, a, &out->retry_of, why) &&
           store_text(s, statement, 19, a, &out->request_id, why) &&
           store_text(s, statement, 20, a, &out->request, why) &&
           (!store_state_finished(out->state) || store_text(s, statement, 13, a, &out->problem, why));
}

bool store_missing(const char *id, struct problem *why) {
    return problem_set(why, PROBLEM_NOT_FOUND, "", "there is no job %.60s", id);
}

bool store_get(struct store *s, const char *id, struct arena *a, struct store_job *out, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    struct store_statement *statement = store_bind(s, SQL_GET, "t", id);
    int step = store_step(s, statement, why);
    bool ok = step == 1 ? store_row(s, statement, a, out, why) : step == 0 && store_missing(id, why);
    store_reset(s, statement);
    return store_leave(s, false, ok, why);
}

bool store_state(struct store *s, const char *id, enum job_state *out, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    struct store_statement *statement = store_bind(s, SQL_STATE, "t", id);
    int step = store_step(s, statement, why);
    bool ok = step == 1 || (step == 0 && store_missing(id, why));
    if (ok)
        *out = (enum job_state)store_integer(s, statement, 0);
    store_reset(s, statement);
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
    static const char *const types[2][2] = {{"ntti", "nttit"}, {"itti", "ittit"}};
    struct store_statement *statement = store_bind(s, sql, types[q->state != NULL][q->labels != NULL], (int64_t)state,
                                                   q->kind, q->before_id, (int64_t)q->limit, q->labels);
    int step;
    bool ok = true;
    while (ok && (step = store_step(s, statement, why)) != 0) {
        ok = step == 1 && store_row(s, statement, a, &(*jobs)[*n], why);
        *n += ok;
    }
    store_reset(s, statement);
    return store_leave(s, false, ok, why);
}
