/* test_store.c - the store's contract, held against both stores: states and their conflicts, leases and fences, keys,
 * blobs, crash and restart. What is SQLite's alone is here too; PostgreSQL's: test_store_postgres.c. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/store.h"
#include "tests/support_postgres.h"

static char directory[40], where[POSTGRES_URL_BYTES]; /* where: what the store is opened by */
static struct store *store;
static struct arena arena;
static struct problem why;

static void start(void) {
    strcpy(directory, "/tmp/rematd-store-XXXXXX");
    cr_assert(mkdtemp(directory));
    strcpy(where, directory);
    arena_init(&arena, 0);
    why = (struct problem){0};
    store = store_open(where, &why);
    cr_assert(store, "%s", why.detail);
}

static void stop(void) {
    char command[64];
    store_close(store);
    arena_free(&arena);
    snprintf(command, sizeof command, "rm -r %s", directory);
    cr_assert(system(command) == 0);
}

static bool start_postgres(void) {
    if (!postgres_new(where))
        return false;
    arena_init(&arena, 0);
    why = (struct problem){0};
    store = store_open(where, &why);
    cr_assert(store, "%s", why.detail);
    return true;
}

static void stop_postgres(void) {
    store_close(store);
    arena_free(&arena);
}

/* The same test of each store. */
#define STORES(NAME)                                                                                                   \
    static void NAME(void);                                                                                            \
    Test(Store, NAME, .init = start, .fini = stop) {                                                                   \
        NAME();                                                                                                        \
    }                                                                                                                  \
    Test(StorePostgres, NAME) {                                                                                        \
        if (!start_postgres())                                                                                         \
            cr_skip_test("no PostgreSQL server here");                                                                 \
        NAME();                                                                                                        \
        stop_postgres();                                                                                               \
    }                                                                                                                  \
    static void NAME(void)

#define OK(call) cr_assert((why = (struct problem){0}, (call)), "%s", why.detail)
#define REFUSED(call, what)                                                                                            \
    do {                                                                                                               \
        why = (struct problem){0};                                                                                     \
        cr_assert_not(call);                                                                                           \
        cr_assert_eq(why.kind, (what), "%s: %s", problem_slug(why.kind), why.detail);                                  \
    } while (0)

static struct store_job job_of(const char *id, uint64_t peak) {
    struct store_job job = {.kind = "attention",
                            .created_ms = 1000,
                            .planned_peak_bytes = peak,
                            .request = "{\"r\":1}",
                            .planned = "{\"p\":1}"};
    snprintf(job.id, sizeof job.id, "%s", id);
    return job;
}

static char gone_list[256];
static void gone(void *context, const char *digest) {
    (void)context;
    strcat(strcat(gone_list, digest), " ");
}

static void add(const char *id, uint64_t peak) {
    struct store_job job = job_of(id, peak);
    char first[STORE_ID_BYTES];
    enum store_added how;
    OK(store_add(store, &job, &(struct store_filing){0}, first, &how, &why));
    cr_assert_eq(how, STORE_ADDED);
}

static const char *claim(const char *owner, uint64_t limit, struct store_lease *lease) {
    static struct store_job job;
    struct store_claim c = {
        .owner = owner, .now_ms = 2000, .lease_ms = 60000, .memory_limit_bytes = limit, .passed_max = 3};
    bool claimed;
    OK(store_claim(store, &c, &arena, &job, &claimed, &why));
    if (!claimed)
        return "";
    *lease = (struct store_lease){.attempt = job.attempts};
    strcpy(lease->id, job.id);
    strcpy(lease->owner, owner);
    return job.id;
}

static enum job_state state_of(const char *id) {
    enum job_state state = JOB_STATES;
    OK(store_state(store, id, &state, &why));
    return state;
}

static void finish(const struct store_lease *lease, enum job_state state) {
    OK(store_finish(store, lease, state, 3000, &(struct store_progress){.done = 5, .total = 5},
                    state == JOB_SUCCEEDED ? "{}" : NULL, NULL, &why));
}

static void release(const char *owner, bool expired_only, bool keep, int64_t now, unsigned wanted) {
    struct store_release r = {.owner = owner,
                              .expired_only = expired_only,
                              .keep_attempt = keep,
                              .now_ms = now,
                              .attempts_max = 2,
                              .problem = "{\"crashed\":1}"};
    unsigned n;
    OK(store_release(store, &r, &n, &why));
    cr_assert_eq(n, wanted);
}

STORES(keeps_what_was_filed) {
    struct store_job got;
    add("a", 7);
    OK(store_get(store, "a", &arena, &got, &why));
    cr_expect_str_eq(got.id, "a");
    cr_expect_str_eq(got.kind, "attention");
    cr_expect_str_eq(got.request, "{\"r\":1}");
    cr_expect_str_eq(got.planned, "{\"p\":1}");
    cr_expect(got.state == JOB_QUEUED && got.created_ms == 1000 && got.planned_peak_bytes == 7 && !got.result &&
              !got.problem && got.attempts == 0 && !got.started_ms && !got.finished_ms);
    enum job_state state;
    REFUSED(store_get(store, "b", &arena, &got, &why), PROBLEM_NOT_FOUND);
    REFUSED(store_state(store, "b", &state, &why), PROBLEM_NOT_FOUND);
    REFUSED(store_cancel(store, "b", 1, &state, &why), PROBLEM_NOT_FOUND);
}

STORES(a_job_runs_through_its_states) {
    struct store_lease lease;
    struct store_job got;
    bool cancel;
    add("a", 1);
    cr_assert_str_eq(claim("w", 10, &lease), "a");
    cr_expect_eq(state_of("a"), JOB_RUNNING);
    OK(store_beat(store, &lease, 90000, &(struct store_progress){.done = 2, .total = 5}, &cancel, &why));
    cr_expect_not(cancel);
    OK(store_get(store, "a", &arena, &got, &why));
    cr_expect(got.progress_done == 2 && got.progress_total == 5 && got.started_ms == 2000 && got.attempts == 1);
    OK(store_finish(store, &lease, JOB_SUCCEEDED, 3000, &(struct store_progress){.done = 5, .total = 5}, "{\"x\":1}",
                    NULL, &why));
    OK(store_get(store, "a", &arena, &got, &why));
    cr_expect(got.state == JOB_SUCCEEDED && got.finished_ms == 3000 && got.progress_done == 5);
    cr_expect_str_eq(got.result, "{\"x\":1}");
    cr_expect_str_eq(claim("w", 10, &lease), "");
}

STORES(oldest_first_newest_listed_first) {
    struct store_lease lease;
    struct store_job *jobs;
    size_t n;
    add("b", 1);
    add("a", 1);
    add("c", 1);
    cr_expect_str_eq(claim("w", 10, &lease), "a");
    OK(store_list(store, &(struct store_query){.limit = 10}, &arena, &jobs, &n, &why));
    cr_assert_eq(n, 3);
    cr_expect_str_eq(jobs[0].id, "c");
    cr_expect_null(jobs[0].request);
    OK(store_list(store, &(struct store_query){.limit = 1, .before_id = "c"}, &arena, &jobs, &n, &why));
    cr_assert(n == 1 && strcmp(jobs[0].id, "b") == 0);
    OK(store_list(store, &(struct store_query){.limit = 9, .state = "running"}, &arena, &jobs, &n, &why));
    cr_assert(n == 1 && strcmp(jobs[0].id, "a") == 0);
    OK(store_list(store, &(struct store_query){.limit = 9, .kind = "sequential"}, &arena, &jobs, &n, &why));
    cr_expect_eq(n, 0);
    REFUSED(store_list(store, &(struct store_query){.limit = 9, .state = "lost"}, &arena, &jobs, &n, &why),
            PROBLEM_MALFORMED);
}

STORES(a_lost_lease_can_write_nothing) {
    struct store_lease first, second;
    bool cancel;
    add("a", 1);
    claim("w", 10, &first);
    release("w", false, false, 2500, 1);
    cr_assert_str_eq(claim("w", 10, &second), "a"); /* the same owner: the attempt tells them apart */
    cr_assert_eq(second.attempt, 2);
    REFUSED(store_beat(store, &first, 90000, &(struct store_progress){.done = 1, .total = 2}, &cancel, &why),
            PROBLEM_STATE);
    REFUSED(store_cancelled(store, &first, &cancel, &why), PROBLEM_STATE);
    REFUSED(store_make(store, &first, "sha256:1", &why), PROBLEM_STATE);
    REFUSED(store_finish(store, &first, JOB_SUCCEEDED, 1, &(struct store_progress){.done = 0, .total = 0}, "{}", NULL,
                         &why),
            PROBLEM_STATE);
    cr_expect_eq(state_of("a"), JOB_RUNNING);
    struct store_lease other = second;
    strcpy(other.owner, "x");
    REFUSED(store_finish(store, &other, JOB_SUCCEEDED, 1, &(struct store_progress){.done = 0, .total = 0}, "{}", NULL,
                         &why),
            PROBLEM_STATE);
    finish(&second, JOB_SUCCEEDED);
    REFUSED(
        store_finish(store, &second, JOB_FAILED, 1, &(struct store_progress){.done = 0, .total = 0}, NULL, NULL, &why),
        PROBLEM_STATE);
}

STORES(cancel_is_for_queued_and_running_and_can_be_repeated) {
    struct store_lease lease;
    enum job_state state;
    bool cancel;
    add("a", 1);
    OK(store_cancel(store, "a", 5, &state, &why));
    cr_expect_eq(state, JOB_CANCELLED);
    OK(store_cancel(store, "a", 5, &state, &why));
    cr_expect_eq(state, JOB_CANCELLED);
    add("b", 1);
    cr_assert_str_eq(claim("w", 10, &lease), "b");
    OK(store_cancelled(store, &lease, &cancel, &why));
    cr_expect_not(cancel);
    OK(store_cancel(store, "b", 5, &state, &why));
    cr_expect_eq(state, JOB_RUNNING);
    OK(store_cancelled(store, &lease, &cancel, &why));
    cr_expect(cancel);
    finish(&lease, JOB_SUCCEEDED); /* it was too late */
    OK(store_cancel(store, "b", 5, &state, &why));
    cr_expect_eq(state, JOB_SUCCEEDED);
}

STORES(released_jobs_wait_fail_or_are_cancelled) {
    struct store_lease lease;
    struct store_job got;
    enum job_state state;
    add("a", 1);
    claim("w", 10, &lease);
    release("other", false, false, 3000, 0);
    release("w", true, false, 3000, 0); /* not expired */
    release(NULL, true, false, 62001, 1);
    cr_expect_eq(state_of("a"), JOB_QUEUED);
    claim("w", 10, &lease);
    release("w", false, true, 3000, 1); /* a drain: the attempt is not counted */
    OK(store_get(store, "a", &arena, &got, &why));
    cr_expect_eq(got.attempts, 1);
    claim("w", 10, &lease);
    release("w", false, false, 3000, 1);
    OK(store_get(store, "a", &arena, &got, &why));
    cr_expect_eq(got.state, JOB_FAILED);
    cr_expect_str_eq(got.problem, "{\"crashed\":1}");
    add("b", 1);
    claim("w", 10, &lease);
    OK(store_cancel(store, "b", 5, &state, &why));
    release(NULL, false, false, 3000, 1);
    cr_expect_eq(state_of("b"), JOB_CANCELLED);
}

STORES(running_jobs_share_the_memory_limit) {
    struct store_lease first, second, third;
    add("a", 60);
    add("b", 60);
    add("c", 40);
    cr_expect_str_eq(claim("w", 100, &first), "a");
    cr_expect_str_eq(claim("x", 100, &second), "c"); /* b does not fit beside a; c does */
    cr_expect_str_eq(claim("y", 100, &third), "");
    finish(&first, JOB_SUCCEEDED);
    cr_expect_str_eq(claim("y", 100, &third), "b");
}

static const char *claim_on(const char *host, const char *owner, uint64_t limit) {
    static struct store_job job;
    struct store_claim c = {
        .owner = owner, .host = host, .now_ms = 2000, .lease_ms = 60000, .memory_limit_bytes = limit, .passed_max = 3};
    bool claimed;
    OK(store_claim(store, &c, &arena, &job, &claimed, &why));
    return claimed ? job.id : "";
}

STORES(each_host_has_its_memory_and_takes_back_its_own) {
    unsigned n;
    add("a", 60), add("b", 60), add("c", 60), add("d", 200);
    cr_expect_str_eq(claim_on("h", "h-1", 100), "a");
    cr_expect_str_eq(claim_on("h", "h-2", 100), "");
    cr_expect_str_eq(claim_on("i", "i-1", 130), "b");
    cr_expect_str_eq(claim_on("i", "i-2", 130), "c");
    cr_expect_str_eq(claim_on("j", "j-1", 200), "d");
    OK(store_release(store, &(struct store_release){.host = "i", .now_ms = 2500, .attempts_max = 2, .problem = "{}"},
                     &n, &why));
    cr_expect_eq(n, 2);
    cr_expect(state_of("a") == JOB_RUNNING && state_of("b") == JOB_QUEUED && state_of("c") == JOB_QUEUED);
    cr_expect_str_eq(claim_on("h", "h-2", 120), "b", "on another host than before");
}

STORES(the_oldest_is_not_passed_over_for_ever) {
    struct store_lease running, lease;
    char id[16];
    add("a", 60);
    add("b", 100);
    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof id, "c%d", i);
        add(id, 10);
    }
    claim("w", 100, &running);
    for (int i = 0; i < 3; i++) { /* passed_max */
        cr_expect_neq(*claim("x", 100, &lease), '\0');
        finish(&lease, JOB_SUCCEEDED);
    }
    cr_expect_str_eq(claim("x", 100, &lease), "", "small jobs wait now");
    finish(&running, JOB_SUCCEEDED);
    cr_expect_str_eq(claim("x", 100, &lease), "b");
}

static void add_of(const char *id, const char *submitter, uint64_t peak, const char *labels) {
    struct store_job job = job_of(id, peak);
    char first[STORE_ID_BYTES];
    enum store_added how;
    job.submitter = submitter;
    job.labels = labels;
    OK(store_add(store, &job, &(struct store_filing){0}, first, &how, &why));
}

STORES(nobodys_many_jobs_hold_up_anothers_one) {
    struct store_lease lease;
    char id[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "a%04d", i);
        add_of(id, "ann", 1, NULL);
    }
    cr_expect_str_eq(claim("w", 100, &lease), "a0000");
    add_of("b", "bob", 1, NULL);
    add_of("c", "cy", 1, NULL);
    finish(&lease, JOB_SUCCEEDED); /* with one worker: in turns */
    cr_expect_str_eq(claim("w", 100, &lease), "b");
    finish(&lease, JOB_SUCCEEDED);
    add_of("d", "bob", 1, NULL);
    cr_expect_str_eq(claim("w", 100, &lease), "c");
    finish(&lease, JOB_SUCCEEDED);
    cr_expect_str_eq(claim("w", 100, &lease), "a0001");
    finish(&lease, JOB_SUCCEEDED);
    cr_expect_str_eq(claim("w", 100, &lease), "d");
    finish(&lease, JOB_SUCCEEDED);
    cr_expect_str_eq(claim("w", 100, &lease), "a0002");
}

STORES(running_bytes_are_shared_and_then_jobs) {
    struct store_lease lease;
    add_of("a1", "ann", 50, NULL), add_of("a2", "ann", 10, NULL), add_of("a3", "ann", 10, NULL);
    add_of("b1", "bob", 10, NULL), add_of("b2", "bob", 40, NULL), add_of("b3", "bob", 0, NULL);
    cr_expect_str_eq(claim("v", 200, &lease), "a1");
    cr_expect_str_eq(claim("w", 200, &lease), "b1");
    cr_expect_str_eq(claim("x", 200, &lease), "b2", "10 bytes are less than 50");
    cr_expect_str_eq(claim("y", 200, &lease), "a2", "as many bytes, fewer jobs");
    cr_expect_str_eq(claim("z", 200, &lease), "b3");
}

STORES(the_oldest_of_all_has_its_turn_whoever_runs_least) {
    struct store_lease long_one, lease;
    char id[16];
    add_of("a1", "ann", 50, NULL);
    add_of("a2", "ann", 1, NULL);
    cr_expect_str_eq(claim("w", 100, &long_one), "a1");
    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof id, "b%d", i);
        add_of(id, "bob", 1, NULL);
    }
    for (int i = 0; i < 3; i++) { /* passed_max */
        cr_expect_eq(*claim("x", 100, &lease), 'b');
        finish(&lease, JOB_SUCCEEDED);
    }
    cr_expect_str_eq(claim("x", 100, &lease), "a2");
    finish(&lease, JOB_SUCCEEDED);
    cr_expect_str_eq(claim("x", 100, &lease), "b3");
}

static const char *labelled(const char *labels, const char *before, unsigned limit) {
    struct store_job *jobs;
    const char *text = "";
    size_t n;
    OK(store_list(store, &(struct store_query){.limit = limit, .labels = labels, .before_id = before}, &arena, &jobs,
                  &n, &why));
    for (size_t i = 0; i < n; i++)
        text = arena_printf(&arena, &why, "%s%s ", text, jobs[i].id);
    return text;
}

STORES(labels_find_jobs) {
    enum job_state state;
    add_of("a", "", 1, "{\"team\":\"x\",\"run\":\"1\"}");
    add_of("b", "", 1, "{\"team\":\"x\"}");
    add_of("c", "", 1, "{\"team\":\"y\",\"run\":\"1\"}");
    add_of("d", "", 1, NULL);
    cr_expect_str_eq(labelled("[\"team:x\"]", NULL, 10), "b a ");
    cr_expect_str_eq(labelled("[\"team:x\",\"run:1\"]", NULL, 10), "a ");
    cr_expect_str_eq(labelled("[\"team:x\",\"team:y\"]", NULL, 10), "");
    cr_expect_str_eq(labelled("[\"team:\"]", NULL, 10), "");
    cr_expect_str_eq(labelled("[\"run:1\"]", NULL, 1), "c ");
    cr_expect_str_eq(labelled("[\"run:1\"]", "c", 1), "a ");
    OK(store_cancel(store, "a", 1, &state, &why));
    OK(store_remove(store, "a", gone, NULL, &why));
    cr_expect_str_eq(labelled("[\"team:x\"]", NULL, 10), "b ");
}

STORES(a_job_no_limit_admits_blocks_nobody) {
    struct store_lease lease;
    add("a", 500);
    add("b", 50);
    cr_expect_str_eq(claim("w", 100, &lease), "b");
    OK(store_refuse(store, 100, 9, "{\"no\":1}", &why));
    cr_expect_eq(state_of("a"), JOB_FAILED);
    cr_expect_eq(state_of("b"), JOB_RUNNING);
}

STORES(keys_make_retries_safe) {
    struct store_job a = job_of("a", 1), b = job_of("b", 1), c = job_of("c", 1), d = job_of("d", 1);
    char first[STORE_ID_BYTES] = "";
    enum store_added how;
    c.request = "{\"r\":2}";
    d.created_ms = 90000000;
    OK(store_add(store, &a, &(struct store_filing){.key = "k", .keys_after_ms = 0}, first, &how, &why));
    cr_expect_eq(how, STORE_ADDED);
    OK(store_add(store, &b, &(struct store_filing){.key = "k", .keys_after_ms = 0}, first, &how, &why));
    cr_expect(how == STORE_REPLAYED && strcmp(first, "a") == 0);
    OK(store_add(store, &c, &(struct store_filing){.key = "k", .keys_after_ms = 0}, first, &how, &why));
    cr_expect(how == STORE_KEY_CONFLICT && strcmp(first, "a") == 0);
    OK(store_add(store, &c, &(struct store_filing){.key = "other", .keys_after_ms = 0}, first, &how, &why));
    cr_expect_eq(how, STORE_ADDED);
    OK(store_add(store, &d, &(struct store_filing){.key = "k", .keys_after_ms = 1001}, first, &how, &why));
    cr_expect_eq(how, STORE_ADDED, "the key is of yesterday");
    struct store_job got;
    REFUSED(store_get(store, "b", &arena, &got, &why), PROBLEM_NOT_FOUND);
    REFUSED(store_add(store, &d, &(struct store_filing){0}, first, &how, &why), PROBLEM_IO); /* the same id */
}

static void make(struct store_lease *lease, const char *digest) {
    OK(store_make(store, lease, digest, &why));
    OK(store_make(store, lease, digest, &why)); /* twice is fine */
}

STORES(blobs_go_with_the_last_job_that_uses_them) {
    static const char *const named[] = {"d2"};
    struct store_lease a, c;
    struct store_job b = job_of("b", 1);
    char first[STORE_ID_BYTES];
    enum store_added how;
    enum job_state state;
    bool waited;
    gone_list[0] = '\0';
    add("a", 1);
    claim("w", 10, &a);
    make(&a, "d1"), make(&a, "d2"), make(&a, "d3"), make(&a, "d4");
    REFUSED(store_remove(store, "a", gone, NULL, &why), PROBLEM_STATE);
    finish(&a, JOB_SUCCEEDED);
    OK(store_add(store, &b, &(struct store_filing){.blobs = named, .n_blobs = 1}, first, &how, &why));
    OK(store_blob_waited(store, "d2", &waited, &why));
    cr_expect(waited);
    OK(store_blob_waited(store, "d1", &waited, &why));
    cr_expect_not(waited);
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
    OK(store_upload_remove(store, "d4", &why));
}

STORES(blobs_that_a_job_named_go_with_it_too) {
    static const char *const named[] = {"d1"}, *const lost[] = {"d9"};
    struct store_lease a;
    struct store_job b = job_of("b", 1), c = job_of("c", 1);
    char first[STORE_ID_BYTES];
    enum store_added how;
    enum job_state state;
    bool known;
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
    OK(store_blob_known(store, "d1", &known, &why));
    cr_expect(known);
    OK(store_cancel(store, "b", 5, &state, &why));
    OK(store_remove(store, "b", gone, NULL, &why));
    cr_expect_str_eq(gone_list, "d1 ");
    OK(store_blob_known(store, "d1", &known, &why));
    cr_expect_not(known);
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

/* A store may tell of a change a moment after it. */
static bool moves(bool version(struct store *, uint64_t *, struct problem *), struct store *s, uint64_t before) {
    uint64_t after = before;
    for (int i = 0; i < 500 && after == before; i++) {
        OK(version(s, &after, &why));
        usleep(after == before ? 10000 : 0);
    }
    return after != before;
}

STORES(another_connection_sees_changes) {
    struct store *other = store_open(where, &why);
    cr_assert(other);
    uint64_t before, after;
    OK(store_version(other, &before, &why));
    OK(store_version(other, &after, &why));
    cr_expect_eq(before, after);
    add("a", 1);
    cr_expect(moves(store_version, other, before));
    OK(store_check(other, &why) && store_verify(other, &why));
    store_close(other);
}

/* The child is killed right after the store said yes. */
STORES(a_kill_loses_nothing_that_was_answered) {
    store_close(store);
    for (int round = 0; round < 5; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            struct problem w = {0};
            struct store_job job = job_of("a", 1);
            char first[STORE_ID_BYTES];
            enum store_added how;
            snprintf(job.id, sizeof job.id, "a%d", round);
            struct store *s = store_open(where, &w);
            if (s && store_add(s, &job, &(struct store_filing){0}, first, &how, &w))
                raise(SIGKILL);
            _exit(1);
        }
        int status;
        cr_assert(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    }
    why = (struct problem){0};
    store = store_open(where, &why);
    cr_assert(store, "%s", why.detail);
    struct store_job *jobs;
    size_t n;
    OK(store_list(store, &(struct store_query){.limit = 10}, &arena, &jobs, &n, &why));
    cr_expect_eq(n, 5);
}

static void *claims_many(void *arg) {
    struct problem w = {0};
    struct store *s = store_open(where, &w);
    struct arena a;
    unsigned long n = 0;
    bool claimed = s != NULL;
    arena_init(&a, 0);
    while (claimed) {
        struct store_job job;
        struct store_claim c = {.owner = arg, .lease_ms = 1, .memory_limit_bytes = 1000, .passed_max = 3};
        if (!store_claim(s, &c, &a, &job, &claimed, &w))
            break;
        n += claimed;
    }
    arena_free(&a);
    store_close(s);
    return (void *)(w.kind == PROBLEM_NONE ? n : 1000ul);
}

STORES(no_job_is_claimed_twice) {
    pthread_t threads[3];
    static char owners[3][2] = {"x", "y", "z"};
    char id[16];
    unsigned long total = 0;
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof id, "j%02d", i);
        add(id, 1);
    }
    for (int i = 0; i < 3; i++)
        cr_assert(pthread_create(&threads[i], NULL, claims_many, owners[i]) == 0);
    for (int i = 0; i < 3; i++) {
        void *n;
        pthread_join(threads[i], &n);
        total += (unsigned long)n;
    }
    cr_expect_eq(total, 60);
}

/* What came of the jobs of one thread. */
struct filed {
    char letter;
    unsigned added, replayed, full, refused, other;
};

/* Every fourth has a key that all threads use, every fourth names a blob that is not there. */
static void *files_many(void *arg) {
    struct filed *filed = arg;
    for (int i = 0; i < 40; i++) {
        static const char *const missing[] = {"sha256:gone"};
        char id[STORE_ID_BYTES], key[16], first[STORE_ID_BYTES];
        struct problem w = {0};
        enum store_added how = STORE_ADDED;
        struct store_filing filing = {.queued_max = 150};
        snprintf(id, sizeof id, "%c%02d", filed->letter, i);
        snprintf(key, sizeof key, "key%d", i);
        struct store_job job = job_of(id, 1);
        if (i % 4 == 1)
            filing.key = key;
        if (i % 4 == 2)
            filing.blobs = missing, filing.n_blobs = 1;
        bool ok = store_add(store, &job, &filing, first, &how, &w);
        filed->added += ok && how == STORE_ADDED;
        filed->replayed += ok && how == STORE_REPLAYED;
        filed->full += ok && how == STORE_QUEUE_FULL;
        filed->refused += !ok && w.kind == PROBLEM_NOT_FOUND && i % 4 == 2;
        filed->other +=
            (!ok && (w.kind != PROBLEM_NOT_FOUND || i % 4 != 2)) || (ok && i % 4 == 2 && how == STORE_ADDED);
    }
    return NULL;
}

STORES(jobs_filed_together_fail_alone) {
    struct filed filed[8], all = {0};
    pthread_t threads[8];
    struct store_job *jobs;
    size_t n;
    for (int i = 0; i < 8; i++) {
        filed[i] = (struct filed){.letter = (char)('a' + i)};
        cr_assert(pthread_create(&threads[i], NULL, files_many, &filed[i]) == 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        all.added += filed[i].added, all.replayed += filed[i].replayed, all.full += filed[i].full;
        all.refused += filed[i].refused, all.other += filed[i].other;
    }
    cr_expect_eq(all.other, 0);
    /* 8 x 20 without key or blob, 10 keys: 170 wish for a place, 150 have one. */
    cr_expect_eq(all.added, 150);
    cr_expect_eq(all.added + all.replayed + all.full + all.refused, 8 * 40);
    OK(store_list(store, &(struct store_query){.limit = 400}, &arena, &jobs, &n, &why));
    cr_expect_eq(n, 150, "%zu are there", n);
    for (size_t i = 0; i < n; i++)
        cr_expect(atoi(jobs[i].id + 1) % 4 != 2, "%s names a blob that is not there", jobs[i].id);
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
    REFUSED((store = store_open(where, &why)) != NULL, PROBLEM_IO);
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
    REFUSED((other = store_open(where, &why)) != NULL, PROBLEM_IO);
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
    REFUSED((store = store_open(where, &why)) != NULL, PROBLEM_IO);
    cr_expect(strstr(why.detail, path), "the file is not named: %s", why.detail);
    REFUSED((store = store_open("/nowhere/at/all", &why)) != NULL, PROBLEM_IO);
}

/* ---- events ---- */

/* "1 state {...}\n2 progress {...}\n" after a number. */
static const char *events_after(struct store *s, const char *id, uint64_t after, bool last_wanted) {
    struct store_event *events;
    size_t n;
    bool last;
    const char *text = "";
    OK(store_events(s, id, after, 100, &arena, &events, &n, &last, &why));
    for (size_t i = 0; i < n; i++)
        text = arena_printf(&arena, &why, "%s%llu %s %s\n", text, (unsigned long long)events[i].number, events[i].name,
                            events[i].data);
    cr_expect_eq(last, last_wanted, "%s", text);
    return text;
}

static void beat(const struct store_lease *lease, const char *first, const char *second) {
    const char *const texts[] = {first, second};
    bool cancel;
    OK(store_beat(store, lease, 90000,
                  &(struct store_progress){.done = 1, .total = 2, .events = texts, .n_events = second ? 2 : 1}, &cancel,
                  &why));
}

STORES(a_jobs_events_are_its_history) {
    static const char *const ending[] = {"{\"c\":3}"};
    struct store_lease lease;
    add("b", 1);
    add("a", 1);
    claim("w", 10, &lease);
    beat(&lease, "{\"a\":1}", "{\"b\":2}");
    release("w", false, true, 2500, 1);
    claim("w", 10, &lease);
    OK(store_finish(store, &lease, JOB_SUCCEEDED, 3000,
                    &(struct store_progress){.done = 2, .total = 2, .events = ending, .n_events = 1}, "{}", NULL,
                    &why));
    cr_expect_str_eq(events_after(store, "a", 0, true), "1 state {\"state\":\"queued\",\"attempt\":0}\n"
                                                        "2 state {\"state\":\"running\",\"attempt\":1}\n"
                                                        "3 progress {\"a\":1}\n"
                                                        "4 progress {\"b\":2}\n"
                                                        "5 state {\"state\":\"queued\",\"attempt\":0}\n"
                                                        "6 state {\"state\":\"running\",\"attempt\":1}\n"
                                                        "7 progress {\"c\":3}\n"
                                                        "8 state {\"state\":\"succeeded\",\"attempt\":1}\n");
    cr_expect_str_eq(events_after(store, "a", 6, true), "7 progress {\"c\":3}\n"
                                                        "8 state {\"state\":\"succeeded\",\"attempt\":1}\n");
    cr_expect_str_eq(events_after(store, "a", 8, true), "");
    cr_expect_str_eq(events_after(store, "a", UINT64_MAX, true), "");
    cr_expect_str_eq(events_after(store, "b", 0, false), "1 state {\"state\":\"queued\",\"attempt\":0}\n");
    cr_expect_str_eq(events_after(store, "nobody", 0, true), "");
    OK(store_remove(store, "a", gone, NULL, &why));
    cr_expect_str_eq(events_after(store, "a", 0, true), "");
}

STORES(every_way_a_job_ends_is_an_event) {
    struct store_lease lease;
    enum job_state state;
    add("a", 1), add("b", 500), add("c", 1), add("d", 1);
    OK(store_cancel(store, "a", 5, &state, &why));
    OK(store_cancel(store, "a", 5, &state, &why)); /* no second one */
    OK(store_refuse(store, 100, 9, "{\"no\":1}", &why));
    claim("w", 100, &lease);
    OK(store_cancel(store, "c", 5, &state, &why)); /* a flag alone */
    release("w", false, false, 3000, 1);
    for (int i = 0; i < 2; i++) {
        claim("w", 100, &lease);
        release("w", false, false, 3000, 1);
    }
    cr_expect_str_eq(events_after(store, "a", 1, true), "2 state {\"state\":\"cancelled\",\"attempt\":0}\n");
    cr_expect_str_eq(events_after(store, "b", 1, true), "2 state {\"state\":\"failed\",\"attempt\":0}\n");
    cr_expect_str_eq(events_after(store, "c", 2, true), "3 state {\"state\":\"cancelled\",\"attempt\":1}\n");
    cr_expect_str_eq(events_after(store, "d", 2, true), "3 state {\"state\":\"queued\",\"attempt\":1}\n"
                                                        "4 state {\"state\":\"running\",\"attempt\":2}\n"
                                                        "5 state {\"state\":\"failed\",\"attempt\":2}\n");
}

STORES(a_lost_lease_says_nothing) {
    static const char *const late[] = {"{\"late\":1}"};
    struct store_progress progress = {.done = 1, .total = 2, .events = late, .n_events = 1};
    struct store_lease lease;
    bool cancel, any;
    add("a", 1);
    claim("w", 10, &lease);
    release("w", false, false, 2500, 1);
    REFUSED(store_beat(store, &lease, 90000, &progress, &cancel, &why), PROBLEM_STATE);
    REFUSED(store_finish(store, &lease, JOB_FAILED, 1, &progress, NULL, NULL, &why), PROBLEM_STATE);
    OK(store_events_any(store, "a", 3, &any, &why));
    cr_expect_not(any);
    OK(store_events_any(store, "a", 2, &any, &why));
    cr_expect(any);
    OK(store_events_any(store, "nobody", 0, &any, &why));
    cr_expect(any, "that it ended is something to say");
}

STORES(old_progress_is_forgotten_states_are_not) {
    struct store_lease lease;
    struct store_event *events;
    size_t n, states = 0;
    bool last;
    char texts[100][16];
    const char *list[100];
    add("a", 1);
    claim("w", 10, &lease);
    for (int round = 0; round < 25; round++) {
        bool cancel;
        for (int i = 0; i < 100; i++) {
            snprintf(texts[i], sizeof texts[i], "[%d]", round * 100 + i);
            list[i] = texts[i];
        }
        OK(store_beat(store, &lease, 90000, &(struct store_progress){.events = list, .n_events = 100}, &cancel, &why));
    }
    finish(&lease, JOB_SUCCEEDED);
    OK(store_events(store, "a", 0, 5000, &arena, &events, &n, &last, &why));
    cr_assert_eq(n, 3 + STORE_PROGRESS_MAX);
    for (size_t i = 0; i < n; i++) {
        states += strcmp(events[i].name, "state") == 0;
        cr_assert(i == 0 || events[i].number > events[i - 1].number);
    }
    cr_expect_eq(states, 3);
    cr_expect_str_eq(events[2].data, "[500]");
    cr_expect_str_eq(events[n - 2].data, "[2499]");
    cr_expect(last);
    OK(store_events(store, "a", 0, 10, &arena, &events, &n, &last, &why));
    cr_expect(n == 10 && !last, "there is more");
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
    store = store_open(where, &why);
    cr_assert(store, "%s", why.detail);
    cr_expect_str_eq(events_after(store, "a", 0, true), "1 state {\"state\":\"failed\",\"attempt\":1}\n");
    cr_expect_str_eq(events_after(store, "b", 0, false), "1 state {\"state\":\"queued\",\"attempt\":0}\n");
    claim("w", 10, &lease);
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

/* ---- time that is over ---- */

static void add_timed(const char *id, int64_t timeout_ms, int64_t queue_timeout_ms) {
    struct store_job job = job_of(id, 1);
    char first[STORE_ID_BYTES];
    enum store_added how;
    job.timeout_ms = timeout_ms;
    job.queue_timeout_ms = queue_timeout_ms;
    OK(store_add(store, &job, &(struct store_filing){0}, first, &how, &why));
}

static void time_out(int64_t now_ms) {
    OK(store_time_out(store, now_ms, "{\"waited\":1}", "{\"ran\":1}", &why));
}

static void expect_ended(const char *id, enum job_state state, const char *problem) {
    struct store_job got;
    OK(store_get(store, id, &arena, &got, &why));
    cr_expect_eq(got.state, state, "%s is %s", id, store_state_name(got.state));
    cr_expect_str_eq(got.problem ? got.problem : "", problem, "%s", id);
}

STORES(who_waits_too_long_fails) {
    struct store_lease lease;
    add_timed("a", 0, 1500); /* filed at 1000 */
    add_timed("b", 0, 1500);
    add_timed("c", 0, 0);
    cr_assert_str_eq(claim("w", 10, &lease), "a");
    time_out(2499);
    cr_expect_eq(state_of("b"), JOB_QUEUED);
    time_out(2500);
    expect_ended("b", JOB_FAILED, "{\"waited\":1}");
    expect_ended("a", JOB_RUNNING, "");
    expect_ended("c", JOB_QUEUED, "");
    release("w", false, false, 2600, 1); /* it was begun in time: what came after is not its waiting */
    time_out(1000000);
    expect_ended("a", JOB_QUEUED, "");
    cr_expect_str_eq(events_after(store, "b", 1, true), "2 state {\"state\":\"failed\",\"attempt\":0}\n");
}

STORES(who_runs_too_long_is_stopped_and_fails) {
    struct store_lease a, b, c, d;
    bool cancel;
    add_timed("a", 500, 0), add_timed("b", 500, 0), add_timed("c", 500, 0), add_timed("d", 0, 0);
    claim("w", 10, &a), claim("x", 10, &b), claim("y", 10, &c), claim("z", 10, &d); /* at 2000 */
    time_out(2499);
    OK(store_cancelled(store, &a, &cancel, &why));
    cr_expect_not(cancel);
    time_out(2500);
    OK(store_cancelled(store, &a, &cancel, &why));
    cr_expect(cancel);
    OK(store_cancelled(store, &d, &cancel, &why));
    cr_expect_not(cancel);
    expect_ended("a", JOB_RUNNING, "");
    finish(&a, JOB_CANCELLED);          /* it was polite */
    release("x", false, true, 3000, 1); /* it was not, or the daemon stops */
    finish(&c, JOB_SUCCEEDED);          /* it was done by then */
    expect_ended("a", JOB_FAILED, "{\"ran\":1}");
    expect_ended("b", JOB_FAILED, "{\"ran\":1}");
    expect_ended("c", JOB_SUCCEEDED, "");
    cr_expect_str_eq(events_after(store, "a", 2, true), "3 state {\"state\":\"failed\",\"attempt\":1}\n");
}

STORES(an_attempt_has_its_time_anew_and_a_cancel_comes_first) {
    struct store_lease lease;
    enum job_state state;
    bool cancel;
    add_timed("a", 500, 0);
    claim("w", 10, &lease);
    release("w", false, false, 2400, 1);
    time_out(1000000);
    expect_ended("a", JOB_QUEUED, "");
    claim("w", 10, &lease);
    time_out(2499);
    OK(store_cancelled(store, &lease, &cancel, &why));
    cr_expect_not(cancel);
    OK(store_cancel(store, "a", 2450, &state, &why));
    time_out(9000);
    finish(&lease, JOB_CANCELLED);
    expect_ended("a", JOB_CANCELLED, "");
}

/* "1 a state\n2 b state\n" after a place, which moves. */
static const char *feed_after(const char *jobs, const char *labels, uint64_t *after, unsigned limit, bool more_wanted) {
    struct store_event *events;
    size_t n;
    bool more;
    const char *text = "";
    OK(store_feed(store, &(struct store_feed){.jobs = jobs, .labels = labels}, after, limit, &arena, &events, &n, &more,
                  &why));
    for (size_t i = 0; i < n; i++)
        text = arena_printf(&arena, &why, "%s%llu %s %s\n", text, (unsigned long long)events[i].number, events[i].job,
                            events[i].name);
    cr_expect_eq(more, more_wanted, "%s", text);
    return text;
}

STORES(many_jobs_events_have_one_order) {
    struct store_lease lease;
    enum job_state state;
    uint64_t after = 0, last, before;
    bool over;
    add_of("a", "", 1, "{\"team\":\"x\"}");
    add_of("b", "", 1, NULL);
    claim("w", 10, &lease); /* a */
    beat(&lease, "{\"p\":1}", NULL);
    OK(store_cancel(store, "b", 1, &state, &why));
    finish(&lease, JOB_SUCCEEDED);
    cr_expect_str_eq(feed_after(NULL, NULL, &after, 100, false),
                     "1 a state\n2 b state\n3 a state\n4 a progress\n5 b state\n6 a state\n");
    cr_expect_eq(after, 6);
    OK(store_feed_last(store, &last, &why));
    cr_expect_eq(last, 6);
    after = 2;
    cr_expect_str_eq(feed_after(NULL, NULL, &after, 2, true), "3 a state\n4 a progress\n");
    cr_expect_eq(after, 4);
    after = 0;
    cr_expect_str_eq(feed_after("[\"b\"]", NULL, &after, 100, false), "2 b state\n5 b state\n");
    cr_expect_eq(after, 6, "what is another's was looked at");
    after = 3;
    cr_expect_str_eq(feed_after(NULL, "[\"team:x\"]", &after, 100, false), "4 a progress\n6 a state\n");
    OK(store_feed_first(store, "[\"b\"]", &before, &why));
    cr_expect_eq(before, 1);
    OK(store_feed_over(store, "[\"a\",\"b\"]", &over, &why));
    cr_expect(over);
    OK(store_remove(store, "a", gone, NULL, &why));
    add("c", 1);
    after = 6;
    cr_expect_str_eq(feed_after(NULL, NULL, &after, 100, false), "7 c state\n", "places are not used again");
    OK(store_feed_over(store, "[\"a\",\"c\"]", &over, &why));
    cr_expect_not(over);
}

STORES(own_changes_are_changes_too) {
    uint64_t before, after;
    OK(store_changes(store, &before, &why));
    OK(store_changes(store, &after, &why));
    cr_expect_eq(before, after);
    add("a", 1);
    cr_expect(moves(store_changes, store, before));
    OK(store_changes(store, &after, &why));
    struct store *other = store_open(where, &why);
    enum job_state state;
    cr_assert(other);
    before = after;
    OK(store_cancel(other, "a", 5, &state, &why));
    cr_expect(moves(store_changes, store, before));
    store_close(other);
}
