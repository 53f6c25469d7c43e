/* test_store.c - the store's contract: states and their conflicts, leases and fences, keys, labels, kills, time that is
 * over. Beside it: _turns (who is next), _events (history, changes), _layout (what is kept, damage, migration). */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/store_case.h"

STORES(of_two_leases_the_later_counts) {
    struct store_lease a, b;
    int64_t until_ms;
    bool cancel;
    add("a", 1), add("b", 1);
    claim("w", 10, &a), claim("w", 10, &b); /* that the first was claimed nobody knows: the answer was lost */
    OK(store_beat(store, &b, 90000, &(struct store_progress){0}, &cancel, &why));
    OK(store_held(store, "w", &cancel, &until_ms, &why));
    cr_expect_eq(until_ms, 90000);
    release("w", false, true, 5000, 2);
    OK(store_held(store, "w", &cancel, &until_ms, &why));
    cr_expect_eq(until_ms, INT64_MAX);
}

STORES(keeps_what_was_filed) {
    struct store_job got;
    add("a", 7);
    OK(store_get(store, "a", &arena, &got, &why));
    cr_expect_str_eq(got.id, "a");
    cr_expect_null(got.request_id);
    struct store_job named = job_of("c", 1);
    char first[STORE_ID_BYTES];
    enum store_added how;
    named.request_id = "id/of-mine";
    OK(store_add(store, &named, &(struct store_filing){0}, first, &how, &why));
    OK(store_get(store, "c", &arena, &got, &why));
    cr_expect_str_eq(got.request_id, "id/of-mine");
    OK(store_get(store, "a", &arena, &got, &why));
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
    REFUSED(store_make(store, &first, (const char *const[]){"sha256:1"}, 1, &why), PROBLEM_STATE);
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
