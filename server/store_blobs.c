/* store_blobs.c - what goes: jobs removed or expired, and the blobs they and uploads used; see store.h. */
#include "server/store_private.h"

#include <string.h>

#include "engine/base/arena.h"

/* Blobs that nobody will use once a transaction is on disk. Their files go afterwards, in a second one: if the first
 * fails, they are needed still; if we are killed between the two, the next start finds files that nobody knows. */
struct leaver {
    const char *digest;
    struct leaver *next;
};
struct leavers {
    struct arena arena;
    struct leaver *first;
};

static bool leaver_add(struct leavers *leavers, const char *digest, struct problem *why) {
    struct leaver *leaver = arena_new(&leavers->arena, struct leaver, 1, why);
    if (!leaver || !(leaver->digest = arena_copy(&leavers->arena, digest, strlen(digest) + 1, why)))
        return false;
    leaver->next = leavers->first;
    leavers->first = leaver;
    return true;
}

bool store_blob_ask(struct store *s, enum store_sql sql, const char *digest, bool *yes, struct problem *why) {
    struct store_statement *statement = store_bind(s, sql, "t", digest);
    bool ok = store_step(s, statement, why) == 1;
    *yes = ok && store_integer(s, statement, 0);
    store_reset(s, statement);
    return ok;
}

/* Of a store that has the blob's bytes itself. */
static bool drop(struct store *s, const char *digest, struct problem *why) {
    return !s->kind->blob_drop || s->kind->blob_drop(s, digest, why);
}

/* With the write lock held nobody begins to use one that is told to go. A transaction each: where the store has the
 * bytes one takes its time, and others wait. */
static bool leaver_go(struct store *s, const char *digest, store_gone *gone, void *context, struct problem *why) {
    bool known = true;
    if (!store_enter(s, true, why))
        return false;
    bool ok = store_blob_ask(s, SQL_BLOB_KNOWN, digest, &known, why) && (known || drop(s, digest, why));
    if (ok && !known && gone)
        gone(context, digest);
    return store_leave(s, true, ok, why);
}

/* What cannot go now is found at a start: a file by the front, bytes by store_strays_drop. */
static void leavers_tell(struct store *s, struct leavers *leavers, store_gone *gone, void *context) {
    struct problem why = {0};
    for (struct leaver *leaver = leavers->first; leaver; leaver = leaver->next)
        if (!leaver_go(s, leaver->digest, gone, context, &why))
            break;
    arena_free(&leavers->arena);
}

bool store_strays_drop(struct store *s, struct problem *why) {
    char digest[STORE_DIGEST_BYTES] = "";
    for (bool found = s->kind->blob_stray != NULL; found;) {
        if (!store_enter(s, false, why) ||
            !store_leave(s, false, s->kind->blob_stray(s, digest, digest, &found, why), why) ||
            (found && !leaver_go(s, digest, NULL, NULL, why)))
            return false;
    }
    return true;
}

static bool job_remove(struct store *s, const char *id, struct leavers *leavers, struct problem *why) {
    struct store_statement *statement = store_bind(s, SQL_BLOB_UNUSED, "t", id);
    int step;
    bool ok = true;
    while (ok && (step = store_step(s, statement, why)) != 0) {
        char digest[STORE_DIGEST_BYTES];
        ok = step == 1 && store_digest(s, statement, 0, digest, why) && leaver_add(leavers, digest, why);
    }
    store_reset(s, statement);
    return ok && store_run(s, store_bind(s, SQL_REMOVE, "t", id), NULL, why);
}

bool store_remove(struct store *s, const char *id, store_gone *gone, void *context, struct problem *why) {
    struct leavers leavers = {0};
    if (!store_enter(s, true, why))
        return false;
    arena_init(&leavers.arena, 0);
    struct store_statement *statement = store_bind(s, SQL_STATE, "t", id);
    int step = store_step(s, statement, why);
    bool ok = step == 1 || (step == 0 && store_missing(id, why));
    if (ok && !store_state_finished((enum job_state)store_integer(s, statement, 0)))
        ok = problem_set(why, PROBLEM_STATE, "", "the job has not finished; cancel it first");
    store_reset(s, statement);
    ok = ok && job_remove(s, id, &leavers, why);
    ok = store_leave(s, true, ok, why);
    if (!ok)
        leavers.first = NULL;
    leavers_tell(s, &leavers, gone, context);
    return ok;
}

/* The first row of a statement that is bound, copied; *found whether there is one. */
static bool first(struct store *s, struct store_statement *statement, char text[STORE_DIGEST_BYTES], bool *found,
                  struct problem *why) {
    int step = store_step(s, statement, why);
    bool ok = step == 0 || (step == 1 && store_digest(s, statement, 0, text, why));
    *found = ok && step == 1;
    store_reset(s, statement);
    return ok;
}

typedef bool remover(struct store *s, const char *name, struct leavers *leavers, struct problem *why);

static bool upload_remove(struct store *s, const char *digest, struct leavers *leavers, struct problem *why) {
    return leaver_add(leavers, digest, why) && store_run(s, store_bind(s, SQL_UPLOAD_REMOVE, "t", digest), NULL, why);
}

/* Removes what the statement finds, one by one, in one transaction. */
static bool expire(struct store *s, enum store_sql sql, int64_t before_ms, unsigned most, remover *remove_one,
                   struct leavers *leavers, unsigned *n, struct problem *why) {
    char name[STORE_DIGEST_BYTES];
    bool found = false;
    if (!store_enter(s, false, why))
        return false;
    bool ok = first(s, store_bind(s, sql, "ii", before_ms, (int64_t)1), name, &found, why);
    if (!store_leave(s, false, ok, why) || !found)
        return ok;
    if (!store_enter(s, true, why))
        return false;
    for (; ok && found && *n < most; *n += found) {
        ok = first(s, store_bind(s, sql, "ii", before_ms, (int64_t)1), name, &found, why);
        ok = ok && (!found || remove_one(s, name, leavers, why));
    }
    return store_leave(s, true, ok, why);
}

static bool expire_and_tell(struct store *s, enum store_sql sql, int64_t before_ms, unsigned most, remover *remove_one,
                            store_gone *gone, void *context, unsigned *n, struct problem *why) {
    struct leavers leavers = {0};
    *n = 0;
    arena_init(&leavers.arena, 0);
    bool ok = expire(s, sql, before_ms, most, remove_one, &leavers, n, why);
    if (!ok)
        leavers.first = NULL;
    leavers_tell(s, &leavers, gone, context);
    return ok;
}

bool store_expire(struct store *s, int64_t before_ms, unsigned most, store_gone *gone, void *context, unsigned *n,
                  struct problem *why) {
    return expire_and_tell(s, SQL_EXPIRED, before_ms, most, job_remove, gone, context, n, why);
}

bool store_expire_uploads(struct store *s, int64_t before_ms, unsigned most, store_gone *gone, void *context,
                          unsigned *n, struct problem *why) {
    return expire_and_tell(s, SQL_UPLOADS_EXPIRED, before_ms, most, upload_remove, gone, context, n, why);
}

bool store_upload_add(struct store *s, const char *digest, int64_t now_ms, struct problem *why) {
    if (!store_enter(s, true, why))
        return false;
    return store_leave(s, true, store_run(s, store_bind(s, SQL_UPLOAD_ADD, "ti", digest, now_ms), NULL, why), why);
}

static bool unwaited(struct store *s, const char *digest, struct problem *why) {
    bool waited = false;
    return store_blob_ask(s, SQL_BLOB_WAITED, digest, &waited, why) &&
           (!waited ||
            problem_set(why, PROBLEM_STATE, "", "a job that is not finished reads this tensor: cancel it or wait"));
}

bool store_upload_remove(struct store *s, const char *digest, bool *had, struct problem *why) {
    uint64_t bytes;
    *had = false;
    if (!store_enter(s, true, why))
        return false;
    bool ok = unwaited(s, digest, why) &&
              (!s->kind->blob_sealed || s->kind->blob_sealed(s, digest, &bytes, had, why)) &&
              store_run(s, store_bind(s, SQL_UPLOAD_REMOVE, "t", digest), NULL, why) && drop(s, digest, why);
    return store_leave(s, true, ok, why);
}

bool store_blob_ask_kept(struct store *s, const char *digest, bool *kept, struct problem *why) {
    uint64_t bytes;
    return s->kind->blob_sealed ? s->kind->blob_sealed(s, digest, &bytes, kept, why)
                                : store_blob_ask(s, SQL_BLOB_KNOWN, digest, kept, why);
}

bool store_blob_kept(struct store *s, const char *digest, bool *kept, struct problem *why) {
    *kept = false;
    if (!store_enter(s, false, why))
        return false;
    return store_leave(s, false, store_blob_ask_kept(s, digest, kept, why), why);
}
