/* test_store_postgres.c - what only machines that share a database have: connections that are lost, rows that an
 * operator holds, one clock, tensors that travel. What all stores have in common: test_store.c. */
#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/log.h"
#include "server/store_carry.h"
#include "tests/support_postgres.h"

static char url[POSTGRES_URL_BYTES];
static struct store *store;
static struct arena arena;
static struct problem why;

#define OK(call) cr_assert((why = (struct problem){0}, (call)), "%s", why.detail)

static bool start(void) {
    if (!postgres_new(url))
        return false;
    log_least(LOG_ERROR); /* that connections are lost is what is tested */
    arena_init(&arena, 0);
    OK((store = store_open(url, &why)) != NULL);
    return true;
}

static void stop(void) {
    store_close(store);
    arena_free(&arena);
}

#define POSTGRES(NAME)                                                                                                 \
    static void NAME(void);                                                                                            \
    Test(StorePostgres, NAME) {                                                                                        \
        if (!start())                                                                                                  \
            cr_skip_test("no PostgreSQL server here");                                                                 \
        NAME();                                                                                                        \
        stop();                                                                                                        \
    }                                                                                                                  \
    static void NAME(void)

static void add(const char *id, uint64_t peak) {
    struct store_job job = {
        .kind = "attention", .created_ms = 1000, .planned_peak_bytes = peak, .request = "{}", .planned = "{}"};
    char first[STORE_ID_BYTES];
    enum store_added how;
    snprintf(job.id, sizeof job.id, "%s", id);
    OK(store_add(store, &job, &(struct store_filing){0}, first, &how, &why));
    cr_assert_eq(how, STORE_ADDED);
}

static const char *claim(void) {
    static struct store_job job;
    struct store_claim c = {.owner = "w", .now_ms = 1, .lease_ms = 1, .memory_limit_bytes = 100, .passed_max = 3};
    bool claimed;
    OK(store_claim(store, &c, &arena, &job, &claimed, &why));
    return claimed ? job.id : "";
}

POSTGRES(a_lost_connection_is_made_anew) {
    uint64_t before, after;
    add("a", 1);
    OK(store_version(store, &before, &why));
    for (int i = 0; i < 3; i++) {
        postgres_do(url, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                         " WHERE datname = current_database() AND pid <> pg_backend_pid()");
        usleep(20000);
        OK(store_check(store, &why)); /* a reader */
        postgres_do(url, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                         " WHERE datname = current_database() AND pid <> pg_backend_pid()");
        usleep(20000);
        char id[16];
        snprintf(id, sizeof id, "b%d", i);
        add(id, 1); /* a writer */
    }
    OK(store_version(store, &after, &why));
    cr_expect_neq(before, after, "who was not told looks again");
    cr_expect_str_eq(postgres_do(url, "SELECT count(*) FROM jobs"), "4");
}

POSTGRES(the_databases_defaults_are_not_ours) {
    add("a", 1);
    postgres_do(url, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on',"
                     " current_database()); EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation ="
                     " serializable', current_database()); END $$");
    store_close(store);
    OK((store = store_open(url, &why)) != NULL);
    add("b", 1);
    struct store *other = store_open(url, &why);
    cr_assert(other, "%s", why.detail);
    cr_expect_str_eq(claim(), "a");
    enum job_state state;
    OK(store_cancel(other, "b", 1, &state, &why));
    cr_expect_eq(state, JOB_CANCELLED);
    cr_expect_str_eq(claim(), "", "what another connection wrote is seen");
    store_close(other);
}

POSTGRES(who_finds_the_tables_need_not_be_allowed_to_make_any) {
    char theirs[POSTGRES_URL_BYTES + 8];
    postgres_do(url, "DO $$ BEGIN CREATE ROLE user_of_tables LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
                     "REVOKE ALL ON SCHEMA public FROM public; GRANT USAGE ON SCHEMA public TO user_of_tables;"
                     "GRANT ALL ON ALL TABLES IN SCHEMA public TO user_of_tables;"
                     "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO user_of_tables");
    snprintf(theirs, sizeof theirs, "%.*suser=user_of_tables", (int)(strstr(url, "user=") - url), url);
    store_close(store);
    OK((store = store_open(theirs, &why)) != NULL);
    add("a", 1);
    cr_expect_str_eq(claim(), "a");
}

POSTGRES(text_that_is_none_is_refused) {
    enum job_state state;
    why = (struct problem){0};
    cr_expect_not(store_state(store, "\xff", &state, &why));
    cr_expect_eq(why.kind, PROBLEM_MALFORMED, "%s", why.detail);
    OK(store_check(store, &why));
}

POSTGRES(a_database_in_another_encoding_is_refused) {
    char other[POSTGRES_URL_BYTES + 8], sql[200];
    snprintf(sql, sizeof sql, "%s",
             postgres_do(url, "SELECT 'CREATE DATABASE \"' || current_database() || 'latin\""
                              " ENCODING ''LATIN1'' LOCALE ''C'' LOCALE_PROVIDER libc"
                              " TEMPLATE template0'"));
    postgres_do(url, sql);
    snprintf(other, sizeof other, "%.*slatin%s", (int)strcspn(url, "?"), url, strchr(url, '?'));
    why = (struct problem){0};
    cr_expect_null(store_open(other, &why));
    cr_expect(strstr(why.detail, "LATIN1"), "%s", why.detail);
}

POSTGRES(a_row_that_an_operator_holds_is_passed_over) {
    add("a", 1);
    add("b", 1);
    PGconn *operator= PQconnectdb(url);
    PQclear(PQexec(operator, "BEGIN; SELECT 1 FROM jobs WHERE id = 'a' FOR UPDATE"));
    cr_expect_str_eq(claim(), "b");
    cr_expect_str_eq(claim(), "");
    PQfinish(operator);
    usleep(20000);
    cr_expect_str_eq(claim(), "a");
}

POSTGRES(times_are_the_databases) {
    int64_t there = atoll(postgres_do(url, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"));
    int64_t here = store_now_ms(store);
    cr_expect(here - there < 2000 && there - here < 2000, "%lld", (long long)(here - there));
}

static bool told(bool version(struct store *, uint64_t *, struct problem *), struct store *s, uint64_t *seen) {
    uint64_t now = *seen;
    for (int i = 0; i < 50 && now == *seen; i++) { /* half a second: before anybody would ask again */
        usleep(10000);
        OK(version(s, &now, &why));
    }
    bool moved = now != *seen;
    *seen = now;
    return moved;
}

POSTGRES(who_listens_is_woken_by_what_matters) {
    static const char *const progress[] = {"{}"};
    struct store *worker = store_open(url, &why), *front = store_open(url, &why);
    struct store_lease lease = {.id = "a", .owner = "w", .attempt = 1};
    uint64_t of_worker, of_front;
    enum job_state state;
    bool cancel;
    OK(store_version(worker, &of_worker, &why));
    OK(store_changes(front, &of_front, &why));
    add("a", 1);
    cr_expect(told(store_version, worker, &of_worker) && told(store_changes, front, &of_front));
    cr_expect_str_eq(claim(), "a");
    cr_expect(told(store_version, worker, &of_worker) && told(store_changes, front, &of_front));
    OK(store_beat(store, &lease, 9, &(struct store_progress){.events = progress, .n_events = 1}, &cancel, &why));
    cr_expect(told(store_changes, front, &of_front), "progress is for those who show it");
    OK(store_version(worker, &of_worker, &why));
    OK(store_cancel(store, "a", 1, &state, &why));
    cr_expect(told(store_version, worker, &of_worker), "a running job was asked to stop");
    store_close(worker);
    store_close(front);
}

/* ---- tensors ---- */

struct machine {
    char directory[40];
    struct blob_store *blobs;
};

static void machine_open(struct machine *m) {
    strcpy(m->directory, "/tmp/rematd-machine-XXXXXX");
    cr_assert(mkdtemp(m->directory));
    OK((m->blobs = blob_open(m->directory, &why)) != NULL);
    store_carry(store, m->blobs, 0);
}

static void machine_close(struct machine *m) {
    char command[64];
    blob_close(m->blobs);
    snprintf(command, sizeof command, "rm -r %s", m->directory);
    cr_assert_eq(system(command), 0);
}

static void make(struct machine *m, size_t bytes, unsigned char seed, char digest[BLOB_DIGEST_SIZE]) {
    unsigned char *content = malloc(bytes + 1);
    struct blob_upload *upload;
    for (size_t i = 0; i < bytes; i++)
        content[i] = (unsigned char)(seed + i * 7 + (i >> 12));
    OK((upload = blob_upload_new(m->blobs, &why)) != NULL);
    OK(blob_upload_write(upload, content, bytes, &why));
    OK(blob_upload_digest(upload, digest, &why));
    OK(store_upload_add(store, digest, 1, &why));
    OK(blob_upload_commit(upload, digest, &why));
    free(content);
}

/* How many bytes it has; its content is checked by the digest when it is fetched. */
static uint64_t length_at(struct machine *m, const char *digest) {
    uint64_t bytes = 0;
    int fd;
    OK((fd = blob_read_open(m->blobs, digest, &bytes, &why)) >= 0);
    close(fd);
    return bytes;
}

static bool unknown_to_all(void *context, const char *digest, struct problem *w) {
    (void)context, (void)digest, (void)w;
    return false;
}

POSTGRES(tensors_travel) {
    static const size_t sizes[] = {0, 1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 3000000};
    struct machine here, there;
    char digest[BLOB_DIGEST_SIZE];
    machine_open(&here);
    machine_open(&there);
    cr_expect_neq(blob_host(here.blobs), blob_host(there.blobs));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        make(&here, sizes[i], (unsigned char)i, digest);
        cr_expect_eq(length_at(&there, digest), sizes[i]);
    }
    make(&there, 3000000, 5, digest); /* the same again, from the other side */
    OK(blob_sweep(here.blobs, unknown_to_all, NULL, &why));
    cr_expect_eq(length_at(&here, digest), 3000000, "a copy that is gone is fetched anew");
    OK(store_carry_tidy(store, here.blobs, &why));
    cr_expect_eq(blob_bytes(here.blobs) >= 3000000, 1, "what is known stays");
    bool had;
    OK(store_upload_remove(store, digest, &had, &why));
    cr_expect(had);
    OK(store_carry_tidy(store, here.blobs, &why));
    cr_expect(blob_bytes(here.blobs) < 3000000);
    uint64_t bytes;
    why = (struct problem){0};
    cr_expect_lt(blob_read_open(here.blobs, digest, &bytes, &why), 0);
    cr_expect_eq(why.kind, PROBLEM_NOT_FOUND, "%s", why.detail);
    machine_close(&here);
    machine_close(&there);
}

/* As a server that crashes between two of its writes to disk would. */
POSTGRES(what_was_lost_before_the_end_is_put_again) {
    struct machine here, there;
    char digest[BLOB_DIGEST_SIZE];
    machine_open(&here);
    machine_open(&there);
    postgres_do(url, "CREATE TABLE lost (n INT); CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                     " IF NOT EXISTS (SELECT 1 FROM lost) THEN INSERT INTO lost VALUES (1);"
                     " DELETE FROM blob_chunks WHERE n = 0; END IF; RETURN NULL; END $$;"
                     "CREATE TRIGGER lose AFTER INSERT ON blob_chunks FOR EACH ROW WHEN (NEW.n = 2)"
                     " EXECUTE FUNCTION lose()");
    make(&here, 600000, 1, digest);
    cr_expect_str_eq(postgres_do(url, "SELECT count(*) FROM lost"), "1");
    cr_expect_eq(length_at(&there, digest), 600000);
    machine_close(&here);
    machine_close(&there);
}

POSTGRES(what_is_deleted_while_it_is_sent_is_not_kept) {
    struct machine here;
    char digest[BLOB_DIGEST_SIZE];
    struct blob_upload *upload;
    machine_open(&here);
    OK((upload = blob_upload_new(here.blobs, &why)) != NULL);
    OK(blob_upload_write(upload, "abc", 3, &why));
    why = (struct problem){0};
    cr_expect_not(blob_upload_commit(upload, digest, &why)); /* nobody said that it is used */
    cr_expect_eq(why.kind, PROBLEM_NOT_FOUND, "%s", why.detail);
    cr_expect_str_eq(postgres_do(url, "SELECT count(*) FROM blobs"), "0");
    machine_close(&here);
}

POSTGRES(a_deleted_tensor_goes_everywhere_though_a_job_had_named_it) {
    struct machine here, there;
    char digest[BLOB_DIGEST_SIZE], first[STORE_ID_BYTES];
    const char *const named[] = {digest};
    const struct store_filing filing = {.blobs = named, .n_blobs = 1};
    struct store_job a = {.id = "a", .kind = "attention", .request = "{}", .planned = "{}"}, b = a;
    enum store_added how;
    enum job_state state;
    bool had;
    b.id[0] = 'b';
    machine_open(&here);
    machine_open(&there);
    make(&here, 600000, 1, digest);
    cr_expect_eq(length_at(&there, digest), 600000);
    OK(store_add(store, &a, &filing, first, &how, &why));
    OK(store_cancel(store, "a", 1, &state, &why));
    OK(store_upload_remove(store, digest, &had, &why));
    OK(store_carry_tidy(store, there.blobs, &why));
    cr_expect_lt(blob_bytes(there.blobs), 600000);
    why = (struct problem){0};
    cr_expect_not(store_add(store, &b, &filing, first, &how, &why));
    cr_expect_eq(why.kind, PROBLEM_NOT_FOUND, "%s", why.detail);
    machine_close(&here);
    machine_close(&there);
}

POSTGRES(half_a_tensor_is_none) {
    struct machine here, there;
    char digest[BLOB_DIGEST_SIZE], sql[160];
    uint64_t bytes;
    machine_open(&here);
    machine_open(&there);
    make(&here, 600000, 1, digest);
    snprintf(sql, sizeof sql, "DELETE FROM blob_chunks WHERE digest = '%s' AND n = 1", digest);
    postgres_do(url, sql);
    why = (struct problem){0};
    cr_expect_lt(blob_read_open(there.blobs, digest, &bytes, &why), 0);
    cr_expect_eq(why.kind, PROBLEM_IO, "%s", why.detail);
    snprintf(sql, sizeof sql, "DELETE FROM blobs WHERE digest = '%s'", digest); /* who put it was killed on the way */
    postgres_do(url, sql);
    why = (struct problem){0};
    cr_expect_lt(blob_read_open(there.blobs, digest, &bytes, &why), 0);
    cr_expect_eq(why.kind, PROBLEM_NOT_FOUND, "%s", why.detail);
    make(&here, 600000, 1, digest);
    cr_expect_eq(length_at(&there, digest), 600000);
    machine_close(&here);
    machine_close(&there);
}

POSTGRES(what_nobody_knows_is_dropped) {
    struct machine here;
    char known[BLOB_DIGEST_SIZE], digest[BLOB_DIGEST_SIZE];
    machine_open(&here);
    make(&here, 600000, 1, known);
    for (unsigned char i = 2; i < 6; i++)
        make(&here, i == 2 ? 0 : 600000, i, digest);
    postgres_do(url, "DELETE FROM blobs WHERE digest = (SELECT max(digest) FROM blobs)"); /* never sealed */
    char sql[160];
    snprintf(sql, sizeof sql, "DELETE FROM uploads WHERE digest <> '%s'", known);
    postgres_do(url, sql);
    OK(store_strays_drop(store, &why));
    cr_expect_str_eq(postgres_do(url, "SELECT (SELECT count(*) FROM blobs) || ' ' || count(*) FROM blob_chunks"),
                     "1 3");
    machine_close(&here);
}
