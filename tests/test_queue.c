/* test_queue.c - ids, second chances, keys: the policy over the store. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/queue.h"

static char directory[40];
static struct store *store;
static struct queue *queue;
static struct arena arena;
static struct problem why;

#define OK(call) cr_assert((why = (struct problem){0}, (call)), "%s", why.detail)

static void start(void) {
    strcpy(directory, "/tmp/rematd-queue-XXXXXX");
    cr_assert(mkdtemp(directory));
    arena_init(&arena, 0);
    OK((store = store_open(directory, &why)) != NULL);
    OK((queue = queue_new(store, 1000, &why)) != NULL);
}

static void stop(void) {
    char command[64];
    queue_free(queue);
    store_close(store);
    arena_free(&arena);
    snprintf(command, sizeof command, "rm -r %s", directory);
    cr_assert(system(command) == 0);
}

static int64_t moment;
static int64_t moved_clock(void) {
    return moment;
}

static struct store_job submit(uint64_t peak) {
    struct store_job job = {.kind = "attention", .planned_peak_bytes = peak, .request = "{}", .planned = "{}"};
    bool replayed, conflict;
    OK(queue_submit(queue, &job, NULL, NULL, 0, &arena, &replayed, &conflict, &why));
    return job;
}

static bool claim(const char *owner, struct store_job *job, struct store_lease *lease) {
    bool claimed;
    OK(queue_claim(queue, owner, &arena, job, lease, &claimed, &why));
    return claimed;
}

static struct store_job stored(const char *id) {
    struct store_job job;
    OK(store_get(store, id, &arena, &job, &why));
    return job;
}

Test(Queue, ids_are_uuids_that_sort_by_time, .init = start, .fini = stop) {
    char last[STORE_ID_BYTES] = "", id[STORE_ID_BYTES];
    int64_t before = store_now_ms(store);
    for (int i = 0; i < 20000; i++) { /* more than a millisecond's 4096 */
        OK(queue_id(queue, id, &why));
        cr_assert_eq(strlen(id), 36);
        cr_assert(id[8] == '-' && id[13] == '-' && id[14] == '7' && id[18] == '-' && strchr("89ab", id[19]) &&
                  id[23] == '-');
        cr_assert_gt(strcmp(id, last), 0, "%s after %s", id, last);
        strcpy(last, id);
    }
    char hex[13] = {0};
    memcpy(hex, id, 8);
    memcpy(hex + 8, id + 9, 4);
    int64_t ms = strtoll(hex, NULL, 16);
    cr_expect(ms >= before && ms < before + 60000);
}

Test(Queue, a_job_that_kills_two_workers_fails, .init = start, .fini = stop) {
    struct store_job job, first = submit(1);
    struct store_lease lease;
    cr_assert(claim("slot0-pid1", &job, &lease));
    cr_expect_str_eq(job.id, first.id);
    OK(queue_worker_died(queue, "slot0-pid2", &why)); /* somebody else */
    cr_expect_eq(stored(first.id).state, JOB_RUNNING);
    OK(queue_worker_died(queue, "slot0-pid1", &why));
    cr_expect_eq(stored(first.id).state, JOB_QUEUED);
    cr_assert(claim("slot0-pid3", &job, &lease));
    cr_expect_eq(job.attempts, 2);
    OK(queue_worker_died(queue, "slot0-pid3", &why));
    job = stored(first.id);
    cr_expect_eq(job.state, JOB_FAILED);
    cr_expect(strstr(job.problem, "worker-crashed"), "%s", job.problem);
    cr_expect_not(claim("slot0-pid4", &job, &lease));
}

Test(Queue, a_drain_does_not_count, .init = start, .fini = stop) {
    struct store_job job, first = submit(1);
    struct store_lease lease;
    for (int i = 0; i < 5; i++) {
        cr_assert(claim("w", &job, &lease));
        cr_expect_eq(job.attempts, 1);
        OK(queue_worker_drained(queue, "w", &why));
    }
    cr_expect_eq(stored(first.id).state, JOB_QUEUED);
}

Test(Queue, recovery_takes_everything_back, .init = start, .fini = stop) {
    struct store_job job, a = submit(1), b = submit(1), large = submit(1000);
    struct store_lease lease;
    cr_assert(claim("w", &job, &lease) && claim("x", &job, &lease));
    queue_free(queue);
    OK((queue = queue_new(store, 500, &why)) != NULL); /* a daemon with less memory */
    OK(queue_recover(queue, &why));
    cr_expect_eq(stored(a.id).state, JOB_QUEUED);
    cr_expect_eq(stored(b.id).state, JOB_QUEUED);
    cr_expect_eq(stored(large.id).state, JOB_FAILED);
    cr_expect(strstr(stored(large.id).problem, "budget"));
}

Test(Queue, recovery_fails_who_waited_too_long, .init = start, .fini = stop) {
    struct store_job job = {.kind = "attention", .request = "{}", .planned = "{}", .queue_timeout_ms = 1000};
    bool replayed, conflict;
    moment = store_now_ms(store);
    queue_clock(queue, moved_clock);
    OK(queue_submit(queue, &job, NULL, NULL, 0, &arena, &replayed, &conflict, &why));
    moment += 1000;
    OK(queue_recover(queue, &why));
    cr_expect_eq(stored(job.id).state, JOB_FAILED);
}

Test(Queue, keys_have_bounds_and_conflicts, .init = start, .fini = stop) {
    struct store_job job = {.kind = "attention", .request = "{}", .planned = "{}"}, again = job, other = job;
    char longest[QUEUE_KEY_BYTES + 2];
    bool replayed, conflict;
    other.request = "{\"a\":1}";
    OK(queue_submit(queue, &job, "k", NULL, 0, &arena, &replayed, &conflict, &why));
    cr_expect(!replayed && !conflict);
    OK(queue_submit(queue, &again, "k", NULL, 0, &arena, &replayed, &conflict, &why));
    cr_expect(replayed && !conflict);
    cr_expect_str_eq(again.id, job.id);
    why = (struct problem){0};
    cr_expect_not(queue_submit(queue, &other, "k", NULL, 0, &arena, &replayed, &conflict, &why));
    cr_expect(conflict && why.kind == PROBLEM_STATE);
    memset(longest, 'k', sizeof longest);
    longest[QUEUE_KEY_BYTES + 1] = '\0';
    why = (struct problem){0};
    cr_expect_not(queue_submit(queue, &other, longest, NULL, 0, &arena, &replayed, &conflict, &why));
    cr_expect_eq(why.kind, PROBLEM_MALFORMED);
    longest[QUEUE_KEY_BYTES] = '\0';
    OK(queue_submit(queue, &other, longest, NULL, 0, &arena, &replayed, &conflict, &why));
}

Test(Queue, is_bounded_but_answers_a_key_it_knows, .init = start, .fini = stop) {
    struct store_job job = {.kind = "attention", .request = "{}", .planned = "{}"}, again = job, other = job;
    struct store_lease lease;
    bool replayed, conflict;
    queue_bound(queue, 2);
    OK(queue_submit(queue, &job, "k", NULL, 0, &arena, &replayed, &conflict, &why));
    submit(1);
    why = (struct problem){0};
    cr_expect_not(queue_submit(queue, &other, NULL, NULL, 0, &arena, &replayed, &conflict, &why));
    cr_expect(why.kind == PROBLEM_BUSY && !conflict, "%s", why.detail);
    cr_expect(strstr(why.detail, "--queue-limit"));
    OK(queue_submit(queue, &again, "k", NULL, 0, &arena, &replayed, &conflict, &why));
    cr_expect(replayed);
    cr_expect_str_eq(again.id, job.id);
    cr_assert(claim("w", &again, &lease)); /* one runs: there is room */
    OK(queue_submit(queue, &other, NULL, NULL, 0, &arena, &replayed, &conflict, &why));
}

static bool no_room(void *context, struct problem *problem) {
    return problem_set(problem, PROBLEM_FULL, "", "%s", (const char *)context);
}

Test(Queue, without_room_nothing_new_is_filed, .init = start, .fini = stop) {
    static char text[] = "full up";
    struct store_job job = {.kind = "attention", .request = "{}", .planned = "{}"}, again = job, other = job;
    bool replayed, conflict;
    OK(queue_submit(queue, &job, "k", NULL, 0, &arena, &replayed, &conflict, &why));
    queue_room(queue, no_room, text);
    why = (struct problem){0};
    cr_expect_not(queue_submit(queue, &other, NULL, NULL, 0, &arena, &replayed, &conflict, &why));
    cr_expect(why.kind == PROBLEM_FULL && strcmp(why.detail, text) == 0, "%s", why.detail);
    OK(queue_submit(queue, &again, "k", NULL, 0, &arena, &replayed, &conflict, &why));
    cr_expect(replayed);
}

static void gone(void *context, const char *digest) {
    (void)digest;
    ++*(unsigned *)context;
}

Test(Queue, finished_jobs_are_kept_for_a_time, .init = start, .fini = stop) {
    struct store_job job, got;
    enum job_state state;
    unsigned n_gone = 0;
    bool more;
    moment = store_now_ms(store);
    queue_clock(queue, moved_clock);
    queue_retain(queue, 1000);
    for (int i = 0; i < QUEUE_SWEEP_MAX + 1; i++) {
        job = submit(1);
        OK(queue_cancel(queue, job.id, &state, &why));
    }
    OK(store_upload_add(store, "d1", moment, &why));
    struct store_job waiting = submit(1);
    moment += 1000;
    OK(queue_sweep(queue, gone, &n_gone, &more, &why));
    cr_expect(!more);
    stored(job.id);
    moment += 1;
    OK(queue_sweep(queue, gone, &n_gone, &more, &why));
    cr_expect(more, "one is left");
    cr_expect_eq(n_gone, 1, "the upload");
    OK(queue_sweep(queue, gone, &n_gone, &more, &why));
    cr_expect_not(more);
    why = (struct problem){0};
    cr_expect_not(store_get(store, job.id, &arena, &got, &why));
    cr_expect_eq(stored(waiting.id).state, JOB_QUEUED);
    queue_retain(queue, 0);
    OK(queue_cancel(queue, waiting.id, &state, &why));
    moment += 1000000;
    OK(queue_sweep(queue, gone, &n_gone, &more, &why));
    stored(waiting.id);
}

Test(Queue, keys_are_a_submitters_own, .init = start, .fini = stop) {
    struct store_job a = {.kind = "attention", .request = "{}", .planned = "{}", .submitter = "a"}, b = a, again = a;
    bool replayed, conflict;
    b.submitter = "b";
    OK(queue_submit(queue, &a, "k", NULL, 0, &arena, &replayed, &conflict, &why));
    OK(queue_submit(queue, &b, "k", NULL, 0, &arena, &replayed, &conflict, &why));
    cr_expect_not(replayed);
    OK(queue_submit(queue, &again, "k", NULL, 0, &arena, &replayed, &conflict, &why));
    cr_expect(replayed);
    cr_expect_str_eq(again.id, a.id);
    cr_expect_str_eq(again.submitter, "a");
}

Test(Queue, time_that_is_over_has_a_name, .init = start, .fini = stop) {
    struct store_job job, runs = {.kind = "attention", .request = "{}", .planned = "{}", .timeout_ms = 1000};
    struct store_job waits = {.kind = "attention", .request = "{}", .planned = "{}", .queue_timeout_ms = 1000};
    struct store_lease lease;
    bool replayed, conflict, cancel;
    moment = store_now_ms(store);
    queue_clock(queue, moved_clock);
    OK(queue_submit(queue, &runs, NULL, NULL, 0, &arena, &replayed, &conflict, &why));
    OK(queue_submit(queue, &waits, NULL, NULL, 0, &arena, &replayed, &conflict, &why));
    cr_assert(claim("w", &job, &lease));
    moment += 999;
    OK(queue_time_out(queue, &why));
    cr_expect_eq(stored(waits.id).state, JOB_QUEUED);
    OK(store_cancelled(store, &lease, &cancel, &why));
    cr_expect_not(cancel);
    moment += 1;
    OK(queue_time_out(queue, &why));
    job = stored(waits.id);
    cr_expect_eq(job.state, JOB_FAILED);
    cr_expect(strstr(job.problem, "/problems/queue-timeout\""), "%s", job.problem);
    OK(queue_worker_died(queue, "w", &why)); /* by force */
    job = stored(runs.id);
    cr_expect_eq(job.state, JOB_FAILED, "it is not tried again");
    cr_expect(strstr(job.problem, "/problems/timeout\""), "%s", job.problem);
}

Test(Queue, beats_keep_a_lease_and_silence_loses_it, .init = start, .fini = stop) {
    struct store_job job, first = submit(1);
    struct store_lease lease;
    bool cancel;
    cr_assert(claim("w", &job, &lease));
    OK(queue_beat(queue, &lease, &(struct store_progress){.done = 1, .total = 2}, &cancel, &why));
    OK(queue_expire(queue, &why));
    cr_expect_eq(stored(first.id).state, JOB_RUNNING);
    OK(store_beat(store, &lease, store_now_ms(store) - 1, &(struct store_progress){.done = 1, .total = 2}, &cancel,
                  &why)); /* as if the last beat were long ago */
    OK(queue_expire(queue, &why));
    cr_expect_eq(stored(first.id).state, JOB_QUEUED);
    why = (struct problem){0};
    cr_expect_not(
        queue_finish(queue, &lease, JOB_SUCCEEDED, &(struct store_progress){.done = 2, .total = 2}, "{}", NULL, &why));
    cr_expect_eq(why.kind, PROBLEM_STATE);
}
