/* store_add.c - jobs filed, several threads' with one sync; see store.h.
 *
 * A sync of the disk costs as much for one job as for many. Who comes while another thread's transaction is under way
 * waits in a line; the next to find nobody at work files the whole line in one transaction, each job behind a savepoint
 * of its own, and tells the others when all of it is on disk. */
#include "server/store_private.h"

#include <string.h>

/* With a key of this day: nothing more to do, *first_id and *how say so. */
static bool key_use(struct store *s, const struct store_job *job, const struct store_filing *filing, char *first_id,
                    enum store_added *how, struct problem *why) {
    if (!store_run(s, store_bind(s, SQL_KEY_FORGET, "i", filing->keys_after_ms), NULL, why))
        return false;
    struct store_statement *statement = store_bind(s, SQL_KEY_FIND, "ttt", filing->key, job->request, job->retry_of);
    int step = store_step(s, statement, why);
    bool ok = step >= 0;
    if (step == 1) {
        ok = store_id(s, statement, 0, first_id, why);
        *how = store_integer(s, statement, 1) ? STORE_REPLAYED : STORE_KEY_CONFLICT;
        store_reset(s, statement);
    }
    return ok;
}

static bool room_check(struct store *s, const struct store_filing *filing, enum store_added *how, struct problem *why) {
    if (filing->closed)
        *how = STORE_QUEUE_CLOSED;
    if (filing->closed || filing->queued_max == 0)
        return true;
    struct store_statement *statement = store_bind(s, SQL_QUEUED, "");
    bool ok = store_step(s, statement, why) == 1;
    if (ok && (uint64_t)store_integer(s, statement, 0) >= filing->queued_max)
        *how = STORE_QUEUE_FULL;
    store_reset(s, statement);
    return ok;
}

/* A blob may have expired since the request was read. */
static bool blob_name(struct store *s, const char *id, const char *digest, struct problem *why) {
    bool kept = false, ok = store_blob_ask_kept(s, digest, &kept, why);
    if (ok && !kept)
        ok = problem_set(why, PROBLEM_NOT_FOUND, "", "there is no tensor %.80s here any more; upload it again", digest);
    return ok && store_run(s, store_bind(s, SQL_BLOB_ADD, "tti", id, digest, (int64_t)0), NULL, why);
}

static bool job_insert(struct store *s, const struct store_job *job, const struct store_filing *filing,
                       struct problem *why) {
    struct store_statement *add =
        store_bind(s, SQL_ADD, "ttiittiitttt", job->id, job->kind, job->created_ms, (int64_t)job->planned_peak_bytes,
                   job->request, job->planned, job->timeout_ms, job->queue_timeout_ms, job->submitter, job->labels,
                   job->retry_of, job->request_id);
    if (!store_run(s, add, NULL, why) ||
        (job->labels && !store_run(s, store_bind(s, SQL_LABELS_ADD, "tt", job->id, job->labels), NULL, why)))
        return false;
    for (size_t i = 0; i < filing->n_blobs; i++)
        if (!blob_name(s, job->id, filing->blobs[i], why))
            return false;
    return !filing->key ||
           store_run(s, store_bind(s, SQL_KEY_ADD, "tit", filing->key, job->created_ms, job->id), NULL, why);
}

static bool file_one(struct store *s, struct store_adding *one) {
    *one->how = STORE_ADDED;
    return (!one->filing->key || key_use(s, one->job, one->filing, one->first_id, one->how, one->why)) &&
           (*one->how != STORE_ADDED || room_check(s, one->filing, one->how, one->why)) &&
           (*one->how != STORE_ADDED || job_insert(s, one->job, one->filing, one->why));
}

/* One of several: what it did is undone if it fails, and the others' stays. False, and why, if the transaction is over.
 */
static bool file_among(struct store *s, struct store_adding *one, struct problem *why) {
    const bool begun = store_run(s, store_bind(s, SQL_SAVEPOINT, ""), NULL, one->why);
    one->ok = begun && file_one(s, one);
    if (!s->kind->open_transaction(s)) { /* some errors roll all back */
        *why = *one->why;
        return false;
    }
    return !begun || ((one->ok || store_run(s, store_bind(s, SQL_ROLLBACK_TO, ""), NULL, why)) &&
                      store_run(s, store_bind(s, SQL_RELEASE, ""), NULL, why));
}

static void fail_all(struct store_adding *line, const struct problem *why) {
    for (; line; line = line->next) {
        if (line->ok || line->why->kind == PROBLEM_NONE)
            *line->why = *why;
        line->ok = false;
    }
}

static void file_line(struct store *s, struct store_adding *line) {
    struct problem why = {0};
    bool ok = store_enter(s, true, &why), entered = ok;
    if (ok && !line->next)
        ok = line->ok = file_one(s, line);
    else
        for (struct store_adding *one = line; ok && one; one = one->next)
            ok = file_among(s, one, &why);
    if (entered && !store_leave(s, true, ok, ok ? &why : line->why))
        ok = false;
    if (!ok && why.kind == PROBLEM_NONE)
        why = *line->why;
    if (!ok)
        fail_all(line, &why);
}

bool store_add(struct store *s, const struct store_job *job, const struct store_filing *filing,
               char first_id[STORE_ID_BYTES], enum store_added *how, struct problem *why) {
    struct store_adding own = {.job = job, .filing = filing, .first_id = first_id, .how = how, .why = why};
    pthread_mutex_lock(&s->line_lock);
    *(s->line ? &s->line_last->next : &s->line) = &own;
    s->line_last = &own;
    while (!own.done && s->filing)
        pthread_cond_wait(&s->line_moved, &s->line_lock);
    if (!own.done) {
        struct store_adding *line = s->line;
        s->line = s->line_last = NULL;
        s->filing = true;
        pthread_mutex_unlock(&s->line_lock);
        file_line(s, line);
        pthread_mutex_lock(&s->line_lock);
        s->filing = false;
        for (struct store_adding *one = line, *next; one; one = next) {
            next = one->next; /* who is told may be gone */
            one->done = true;
        }
        pthread_cond_broadcast(&s->line_moved);
    }
    pthread_mutex_unlock(&s->line_lock);
    return own.ok;
}
