/* store_sqlite_blobs.c - what goes: jobs removed or expired, and the blobs they and uploads used; see store.h. */
#include "server/store_sqlite.h"

#include <string.h>

static bool blobs_gone(struct store *s, const char *id, void (*gone)(void *context, const char *digest), void *context,
                       struct problem *why) {
    sqlite3_stmt *statement = store_bind(s, SQL_BLOB_UNUSED, "t", id);
    int step;
    while ((step = store_step(s, statement, why)) == 1)
        gone(context, (const char *)sqlite3_column_text(statement, 0));
    return step == 0;
}

static bool job_remove(struct store *s, const char *id, void (*gone)(void *context, const char *digest), void *context,
                       struct problem *why) {
    return blobs_gone(s, id, gone, context, why) && store_run(s, store_bind(s, SQL_REMOVE, "t", id), NULL, why);
}

bool store_remove(struct store *s, const char *id, void (*gone)(void *context, const char *digest), void *context,
                  struct problem *why) {
    if (!store_enter(s, true, why))
        return false;
    sqlite3_stmt *statement = store_bind(s, SQL_STATE, "t", id);
    int step = store_step(s, statement, why);
    bool ok = step == 1 || (step == 0 && store_missing(id, why));
    if (ok && !store_state_finished((enum job_state)sqlite3_column_int(statement, 0)))
        ok = problem_set(why, PROBLEM_STATE, "", "the job has not finished; cancel it first");
    sqlite3_reset(statement);
    ok = ok && job_remove(s, id, gone, context, why);
    return store_leave(s, true, ok, why);
}

/* The first row of a statement that is bound, copied; *found whether there is one. */
static bool first(struct store *s, sqlite3_stmt *statement, char text[STORE_DIGEST_BYTES], bool *found,
                  struct problem *why) {
    int step = store_step(s, statement, why);
    *found = step == 1;
    if (*found)
        sqlite3_snprintf(STORE_DIGEST_BYTES, text, "%s", sqlite3_column_text(statement, 0));
    sqlite3_reset(statement);
    return step >= 0;
}

typedef bool remover(struct store *s, const char *name, void (*gone)(void *context, const char *digest), void *context,
                     struct problem *why);

static bool upload_remove(struct store *s, const char *digest, void (*gone)(void *context, const char *digest),
                          void *context, struct problem *why) {
    gone(context, digest);
    return store_run(s, store_bind(s, SQL_UPLOAD_REMOVE, "t", digest), NULL, why);
}

/* Removes what the statement finds, one by one, in one transaction. */
static bool expire(struct store *s, enum store_sql sql, int64_t before_ms, unsigned most, remover *remove_one,
                   void (*gone)(void *context, const char *digest), void *context, unsigned *n, struct problem *why) {
    char name[STORE_DIGEST_BYTES];
    bool found = false;
    *n = 0;
    if (!store_enter(s, false, why))
        return false;
    bool ok = first(s, store_bind(s, sql, "ii", before_ms, (int64_t)1), name, &found, why);
    if (!store_leave(s, false, ok, why) || !found)
        return ok;
    if (!store_enter(s, true, why))
        return false;
    for (; ok && found && *n < most; *n += found) {
        ok = first(s, store_bind(s, sql, "ii", before_ms, (int64_t)1), name, &found, why);
        ok = ok && (!found || remove_one(s, name, gone, context, why));
    }
    return store_leave(s, true, ok, why);
}

bool store_expire(struct store *s, int64_t before_ms, unsigned most, void (*gone)(void *context, const char *digest),
                  void *context, unsigned *n, struct problem *why) {
    return expire(s, SQL_EXPIRED, before_ms, most, job_remove, gone, context, n, why);
}

bool store_expire_uploads(struct store *s, int64_t before_ms, unsigned most,
                          void (*gone)(void *context, const char *digest), void *context, unsigned *n,
                          struct problem *why) {
    return expire(s, SQL_UPLOADS_EXPIRED, before_ms, most, upload_remove, gone, context, n, why);
}

bool store_upload_add(struct store *s, const char *digest, int64_t now_ms, struct problem *why) {
    if (!store_enter(s, true, why))
        return false;
    return store_leave(s, true, store_run(s, store_bind(s, SQL_UPLOAD_ADD, "ti", digest, now_ms), NULL, why), why);
}

bool store_upload_remove(struct store *s, const char *digest, struct problem *why) {
    if (!store_enter(s, true, why))
        return false;
    return store_leave(s, true, store_run(s, store_bind(s, SQL_UPLOAD_REMOVE, "t", digest), NULL, why), why);
}

static bool blob_asked(struct store *s, enum store_sql sql, const char *digest, bool *yes, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    sqlite3_stmt *statement = store_bind(s, sql, "t", digest);
    bool ok = store_step(s, statement, why) == 1;
    *yes = ok && sqlite3_column_int(statement, 0);
    sqlite3_reset(statement);
    return store_leave(s, false, ok, why);
}

bool store_blob_waited(struct store *s, const char *digest, bool *waited, struct problem *why) {
    return blob_asked(s, SQL_BLOB_WAITED, digest, waited, why);
}

bool store_blob_known(struct store *s, const char *digest, bool *known, struct problem *why) {
    return blob_asked(s, SQL_BLOB_KNOWN, digest, known, why);
}
