/* store_queue.c - jobs claimed, kept alive, finished, cancelled and taken back; see store.h. */
#include "server/store_private.h"

#include <string.h>

static int64_t signed_bytes(uint64_t bytes) {
    return bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
}

/* The id of the job to run now, or "" where the oldest has to wait and nobody may overtake it. */
static bool choose(struct store *s, const struct store_claim *claim, char id[STORE_ID_BYTES], struct problem *why) {
    struct store_statement *statement = store_bind(s, SQL_RUNNING_BYTES, "t", claim->host ? claim->host : "");
    if (store_step(s, statement, why) != 1)
        return false;
    uint64_t running = (uint64_t)store_integer(s, statement, 0), limit = claim->memory_limit_bytes;
    int64_t fits = signed_bytes(running < limit ? limit - running : 0);
    store_reset(s, statement);

    char oldest[STORE_ID_BYTES];
    id[0] = '\0';
    statement = store_bind(s, SQL_OLDEST, "i", signed_bytes(limit));
    int step = store_step(s, statement, why);
    if (step != 1)
        return step == 0;
    bool read = store_id(s, statement, 0, oldest, why);
    bool now = store_integer(s, statement, 1) <= fits;
    bool due = store_integer(s, statement, 2) >= claim->passed_max;
    store_reset(s, statement);
    if (read && due)
        memcpy(id, oldest, now ? sizeof oldest : 0);
    if (!read || due)
        return read;

    statement = store_bind(s, SQL_NEXT, "i", fits);
    if ((step = store_step(s, statement, why)) != 1)
        return step == 0;
    read = store_id(s, statement, 0, id, why);
    store_reset(s, statement);
    return read && (strcmp(id, oldest) == 0 || store_run(s, store_bind(s, SQL_PASS, "t", oldest), NULL, why));
}

static bool take(struct store *s, const struct store_claim *claim, const char *id, struct arena *a,
                 struct store_job *out, struct problem *why) {
    struct store_statement *statement = store_bind(s, SQL_CLAIM, "ttiit", id, claim->owner, claim->now_ms,
                                                   claim->now_ms + claim->lease_ms, claim->host ? claim->host : "");
    if (!store_run(s, statement, NULL, why) || !store_run(s, store_bind(s, SQL_SERVED, "t", id), NULL, why))
        return false;
    statement = store_bind(s, SQL_GET, "t", id);
    bool ok = store_step(s, statement, why) == 1 && store_row(s, statement, a, out, why);
    store_reset(s, statement);
    return ok;
}

/* Without a queued job no write lock is taken: idle workers ask often. */
static bool anything(struct store *s, uint64_t limit, bool *any, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    struct store_statement *statement = store_bind(s, SQL_WAITING, "i", signed_bytes(limit));
    bool ok = store_step(s, statement, why) == 1;
    *any = ok && store_integer(s, statement, 0);
    store_reset(s, statement);
    return store_leave(s, false, ok, why);
}

bool store_claim(struct store *s, const struct store_claim *claim, struct arena *a, struct store_job *out,
                 bool *claimed, struct problem *why) {
    char id[STORE_ID_BYTES] = "";
    bool any = false;
    *claimed = false;
    if (!anything(s, claim->memory_limit_bytes, &any, why))
        return false;
    if (!any)
        return true;
    if (!store_enter(s, true, why))
        return false;
    bool ok = choose(s, claim, id, why) && (!id[0] || take(s, claim, id, a, out, why));
    if (!store_leave(s, true, ok, why))
        return false;
    *claimed = id[0] != '\0';
    return true;
}

static bool lost(const struct store_lease *lease, struct problem *why) {
    return problem_set(why, PROBLEM_STATE, "", "job %s is no longer this worker's", lease->id);
}

bool store_beat(struct store *s, const struct store_lease *lease, int64_t until_ms,
                const struct store_progress *progress, bool *cancel, struct problem *why) {
    if (!store_enter(s, true, why))
        return false;
    struct store_statement *statement =
        store_bind(s, SQL_BEAT, "iiitti", until_ms, (int64_t)progress->done, (int64_t)progress->total, lease->id,
                   lease->owner, (int64_t)lease->attempt);
    int step = store_step(s, statement, why);
    bool ok = step == 1 || (step == 0 && lost(lease, why));
    if (ok) {
        *cancel = store_integer(s, statement, 0) != 0;
        ok = store_run(s, statement, NULL, why) && store_events_add(s, lease->id, progress, why);
    }
    return store_leave(s, true, ok, why);
}

static bool fenced(struct store *s, const struct store_lease *lease, bool *cancel, struct problem *why) {
    struct store_statement *statement =
        store_bind(s, SQL_CANCELLED, "tti", lease->id, lease->owner, (int64_t)lease->attempt);
    int step = store_step(s, statement, why);
    *cancel = step == 1 && store_integer(s, statement, 0);
    store_reset(s, statement);
    return step == 1 || (step == 0 && lost(lease, why));
}

bool store_cancelled(struct store *s, const struct store_lease *lease, bool *cancel, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    return store_leave(s, false, fenced(s, lease, cancel, why), why);
}

bool store_held(struct store *s, const char *owner, bool *cancel, int64_t *lease_until_ms, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    struct store_statement *statement = store_bind(s, SQL_HELD, "t", owner);
    int step = store_step(s, statement, why);
    *cancel = step == 1 && store_integer(s, statement, 0);
    *lease_until_ms = step == 1 ? store_integer(s, statement, 1) : INT64_MAX;
    store_reset(s, statement);
    return store_leave(s, false, step >= 0, why);
}

bool store_make(struct store *s, const struct store_lease *lease, const char *const *digests, size_t n,
                struct problem *why) {
    bool cancel;
    if (!store_enter(s, true, why))
        return false;
    bool ok = fenced(s, lease, &cancel, why);
    for (size_t i = 0; ok && i < n; i++)
        ok = store_run(s, store_bind(s, SQL_BLOB_ADD, "tti", lease->id, digests[i], (int64_t)1), NULL, why);
    return store_leave(s, true, ok, why);
}

bool store_finish(struct store *s, const struct store_lease *lease, enum job_state state, int64_t now_ms,
                  const struct store_progress *progress, const char *result, const char *problem, struct problem *why) {
    unsigned changed = 0;
    bool cancel;
    if (!store_enter(s, true, why))
        return false;
    bool ok = fenced(s, lease, &cancel, why) && store_events_add(s, lease->id, progress, why);
    struct store_statement *statement =
        store_bind(s, SQL_FINISH, "iittiitti", (int64_t)state, now_ms, result, problem, (int64_t)progress->done,
                   (int64_t)progress->total, lease->id, lease->owner, (int64_t)lease->attempt);
    ok = ok && store_run(s, statement, &changed, why) && (changed == 1 || lost(lease, why)) &&
         store_run(s, store_bind(s, SQL_TALLY_PEAK, "t", lease->id), NULL, why);
    return store_leave(s, true, ok, why);
}

bool store_cancel(struct store *s, const char *id, int64_t now_ms, enum job_state *state, struct problem *why) {
    if (!store_enter(s, true, why))
        return false;
    bool ok = store_run(s, store_bind(s, SQL_CANCEL, "ti", id, now_ms), NULL, why);
    struct store_statement *statement = store_bind(s, SQL_STATE, "t", id);
    int step = ok ? store_step(s, statement, why) : -1;
    if (step == 1)
        *state = (enum job_state)store_integer(s, statement, 0);
    store_reset(s, statement);
    ok = step == 1 || (step == 0 && problem_set(why, PROBLEM_NOT_FOUND, "", "there is no job %.60s", id));
    return store_leave(s, true, ok, why);
}

bool store_release(struct store *s, const struct store_release *r, unsigned *n, struct problem *why) {
    unsigned changed[3] = {0};
    int64_t before = r->expired_only ? r->now_ms : INT64_MAX;
    int64_t most = r->keep_attempt ? INT64_MAX : (int64_t)r->attempts_max;
    if (!store_enter(s, true, why))
        return false;
    bool ok =
        store_run(s, store_bind(s, SQL_RELEASE_CANCELLED, "titi", r->owner, before, r->host, r->now_ms), &changed[0],
                  why) &&
        store_run(s,
                  store_bind(s, SQL_RELEASE_FAILED, "tititi", r->owner, before, r->host, r->now_ms, r->problem, most),
                  &changed[1], why) &&
        store_run(s, store_bind(s, SQL_RELEASE_QUEUED, "titi", r->owner, before, r->host, (int64_t)r->keep_attempt),
                  &changed[2], why);
    *n = changed[0] + changed[1] + changed[2];
    return store_leave(s, true, ok, why);
}

bool store_time_out(struct store *s, int64_t now_ms, const char *waited, const char *ran, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    struct store_statement *statement = store_bind(s, SQL_LATE_ANY, "i", now_ms);
    bool ok = store_step(s, statement, why) == 1, any = ok && store_integer(s, statement, 0);
    store_reset(s, statement);
    if (!store_leave(s, false, ok, why) || !any)
        return ok;
    if (!store_enter(s, true, why))
        return false;
    ok = store_run(s, store_bind(s, SQL_LATE_QUEUED, "it", now_ms, waited), NULL, why) &&
         store_run(s, store_bind(s, SQL_LATE_RUNNING, "it", now_ms, ran), NULL, why);
    return store_leave(s, true, ok, why);
}

bool store_refuse(struct store *s, uint64_t limit_bytes, int64_t now_ms, const char *problem, struct problem *why) {
    int64_t limit = signed_bytes(limit_bytes);
    if (!store_enter(s, true, why))
        return false;
    return store_leave(s, true, store_run(s, store_bind(s, SQL_REFUSE, "iti", now_ms, problem, limit), NULL, why), why);
}
