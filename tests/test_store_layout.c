/* test_store_layout.c - what lies in the data directory: files that are kept and go, damage, older and newer layouts.
 */
#include <sqlite3.h>
#include <unistd.h>

#include "tests/store_case.h"

static void make(struct store_lease *lease, const char *digest) {
    OK(store_make(store, lease, (const char *const[]){digest, digest}, 2, &why)); /* twice is fine */
    seal(digest);
}

STORES(blobs_go_with_the_last_job_that_uses_them) {
    static const char *const named[] = {"d2"};
    struct store_lease a, c;
    struct store_job b = job_of("b", 1);
    char first[STORE_ID_BYTES];
    enum store_added how;
    enum job_state state;
    bool had;
    gone_list[0] = '\0';
    add("a", 1);
    claim("w", 10, &a);
    make(&a, "d1"), make(&a, "d2"), make(&a, "d3"), make(&a, "d4");
    REFUSED(store_remove(store, "a", gone, NULL, &why), PROBLEM_STATE);
    finish(&a, JOB_SUCCEEDED);
    OK(store_add(store, &b, &(struct store_filing){.blobs = named, .n_blobs = 1}, first, &how, &why));
    REFUSED(store_upload_remove(store, "d2", &had, &why), PROBLEM_STATE);
    OK(store_upload_remove(store, "d1", &had, &why));
    add("c", 1);
    OK(store_cancel(store, "b", 1, &state, &why));
    cr_assert_str_eq(claim("w", 10, &c), "c");
    make(&c, "d3");
    OK(store_upload_add(store, "d4", 1, &why));
    OK(store_remove(store, "a", gone, NULL, &why));
    cr_expect_str_eq(gone_list, "d1 ", "d2 is named, d3 made by another, d4 uploaded");
    REFUSED(store_remove(store, "a", gone, NULL, &why), PROBLEM_NOT_FOUND);
    finish(&c, JOB_FAILED);
    gone_list[0] = '\0';
    OK(store_remove(store, "c", gone, NULL, &why));
    cr_expect_str_eq(gone_list, "d3 ");
    OK(store_upload_remove(store, "d4", &had, &why));
}

STORES(blobs_that_a_job_named_go_with_it_too) {
    static const char *const named[] = {"d1"}, *const lost[] = {"d9"};
    struct store_lease a;
    struct store_job b = job_of("b", 1), c = job_of("c", 1);
    char first[STORE_ID_BYTES];
    enum store_added how;
    enum job_state state;
    bool kept;
    gone_list[0] = '\0';
    add("a", 1);
    claim("w", 10, &a);
    make(&a, "d1");
    finish(&a, JOB_SUCCEEDED);
    OK(store_add(store, &b, &(struct store_filing){.blobs = named, .n_blobs = 1}, first, &how, &why));
    REFUSED(store_add(store, &c, &(struct store_filing){.blobs = lost, .n_blobs = 1}, first, &how, &why),
            PROBLEM_NOT_FOUND);
    OK(store_remove(store, "a", gone, NULL, &why));
    cr_expect_str_eq(gone_list, "");
    OK(store_blob_kept(store, "d1", &kept, &why));
    cr_expect(kept);
    OK(store_cancel(store, "b", 5, &state, &why));
    OK(store_remove(store, "b", gone, NULL, &why));
    cr_expect_str_eq(gone_list, "d1 ");
    OK(store_blob_kept(store, "d1", &kept, &why));
    cr_expect_not(kept);
}

STORES(what_is_old_expires_and_what_is_used_does_not) {
    static const char *const named[] = {"d2"};
    struct store_lease lease;
    struct store_job b = job_of("c", 1), got;
    char first[STORE_ID_BYTES];
    enum store_added how;
    unsigned n;
    gone_list[0] = '\0';
    add("a", 1), add("b", 1);
    OK(store_upload_add(store, "d1", 100, &why));
    OK(store_upload_add(store, "d2", 100, &why));
    seal("d2");
    OK(store_upload_add(store, "d3", 100, &why));
    OK(store_upload_add(store, "d3", 5000, &why)); /* sent again */
    OK(store_add(store, &b, &(struct store_filing){.blobs = named, .n_blobs = 1}, first, &how, &why));
    for (int i = 0; i < 2; i++) {
        claim("w", 10, &lease);
        make(&lease, i ? "m2" : "m1");
        finish(&lease, JOB_SUCCEEDED); /* at 3000 */
    }
    OK(store_expire(store, 3000, 10, gone, NULL, &n, &why));
    cr_expect_eq(n, 0);
    OK(store_expire(store, 3001, 1, gone, NULL, &n, &why));
    cr_expect_eq(n, 1, "at most as many as were asked for");
    OK(store_expire(store, 3001, 10, gone, NULL, &n, &why));
    cr_expect_eq(n, 1);
    cr_expect_str_eq(gone_list, "m1 m2 ");
    REFUSED(store_get(store, "a", &arena, &got, &why), PROBLEM_NOT_FOUND);
    cr_expect_eq(state_of("c"), JOB_QUEUED);
    OK(store_expire_uploads(store, 3001, 10, gone, NULL, &n, &why));
    cr_expect_eq(n, 1);
    cr_expect_str_eq(gone_list, "m1 m2 d1 ");
}

static void spoil(const char *sql) {
    char path[64];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/rematd.db", directory);
    cr_assert(sqlite3_open(path, &db) == SQLITE_OK && sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(db);
}

Test(Store, a_newer_layout_is_refused, .init = start, .fini = stop) {
    store_close(store);
    spoil("PRAGMA user_version = 999");
    store = NULL;
    REFUSED((store = store_open(directory, &why)) != NULL, PROBLEM_IO);
    cr_expect(strstr(why.detail, "newer"), "%s", why.detail);
}

/* SQLite would take it for a new store, and throw the log away. */
Test(Store, an_empty_file_beside_a_log_is_refused, .init = start, .fini = stop) {
    char path[64], log[72];
    add("kept", 1);
    snprintf(path, sizeof path, "%s/rematd.db", directory);
    snprintf(log, sizeof log, "%s-wal", path);
    cr_assert_eq(truncate(path, 0), 0);
    struct store *other = NULL;
    REFUSED((other = store_open(directory, &why)) != NULL, PROBLEM_IO);
    cr_expect(strstr(why.detail, path), "the file is not named: %s", why.detail);
    cr_expect_eq(access(log, F_OK), 0);
}

Test(Store, a_file_that_is_no_database_is_refused, .init = start, .fini = stop) {
    char path[64];
    store_close(store);
    snprintf(path, sizeof path, "%s/rematd.db", directory);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 4096; i++)
        fputc('x', file);
    fclose(file);
    store = NULL;
    REFUSED((store = store_open(directory, &why)) != NULL, PROBLEM_IO);
    cr_expect(strstr(why.detail, path), "the file is not named: %s", why.detail);
    REFUSED((store = store_open("/nowhere/at/all", &why)) != NULL, PROBLEM_IO);
}

/* The first layout there was, with a job that failed, one that waits, and an upload. */
static const char *const first_layout =
    "CREATE TABLE jobs (id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, state INTEGER NOT NULL,"
    " created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL DEFAULT 0, finished_ms INTEGER NOT NULL DEFAULT 0,"
    " attempts INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,"
    " planned_peak_bytes INTEGER NOT NULL, cancel INTEGER NOT NULL DEFAULT 0, passed INTEGER NOT NULL DEFAULT 0,"
    " owner TEXT, lease_until_ms INTEGER NOT NULL DEFAULT 0,"
    " request TEXT NOT NULL, planned TEXT NOT NULL, result TEXT, problem TEXT) STRICT;"
    "CREATE INDEX jobs_by_state ON jobs (state, id);"
    "CREATE TABLE job_blobs (job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, digest TEXT NOT NULL,"
    " made INTEGER NOT NULL, PRIMARY KEY (job_id, digest, made)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX job_blobs_by_digest ON job_blobs (digest);"
    "CREATE TABLE uploads (digest TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;"
    "CREATE TABLE keys (key TEXT NOT NULL PRIMARY KEY, created_ms INTEGER NOT NULL,"
    " job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE) STRICT, WITHOUT ROWID;"
    "CREATE INDEX keys_by_job ON keys (job_id);"
    "INSERT INTO jobs (id, kind, state, created_ms, finished_ms, attempts, planned_peak_bytes, request, planned)"
    " VALUES ('a', 'attention', 3, 1, 2, 1, 1, '{}', '{}'), ('b', 'attention', 0, 1, 0, 0, 1, '{}', '{}');"
    "INSERT INTO uploads VALUES ('d1');"
    "PRAGMA user_version = 1";

Test(Store, an_old_directory_is_brought_up_to_date, .init = start, .fini = stop) {
    struct store_lease lease;
    struct store_job got;
    char path[64];
    store_close(store);
    snprintf(path, sizeof path, "%s/rematd.db", directory);
    cr_assert(unlink(path) == 0);
    spoil(first_layout);
    why = (struct problem){0};
    store = store_open(directory, &why);
    cr_assert(store, "%s", why.detail);
    cr_expect_str_eq(events_after(store, "a", 0, true), "1 state {\"state\":\"failed\",\"attempt\":1}\n");
    cr_expect_str_eq(events_after(store, "b", 0, false), "1 state {\"state\":\"queued\",\"attempt\":0}\n");
    struct store_figures figures;
    OK(store_figures(store, &arena, &figures, &why));
    cr_expect_eq(figures.queued, 1);
    claim("w", 10, &lease);
    OK(store_figures(store, &arena, &figures, &why));
    cr_expect_eq(figures.queued, 0);
    cr_expect_str_eq(events_after(store, "b", 1, false), "2 state {\"state\":\"running\",\"attempt\":1}\n");
    OK(store_get(store, "b", &arena, &got, &why));
    cr_expect(!got.timeout_ms && !got.queue_timeout_ms && !got.retry_of);
    cr_expect_str_eq(got.submitter, "");
    cr_expect_str_eq(got.labels, "{}");
    uint64_t after = 0;
    struct store_event *events;
    size_t n;
    bool more;
    OK(store_feed(store, &(struct store_feed){0}, &after, 10, &arena, &events, &n, &more, &why));
    cr_assert_eq(n, 3);
    cr_expect(events[0].number == 1 && strcmp(events[0].job, "a") == 0 && events[2].number == 3);
}
