/* test_store_turns.c - whose turn it is: what fits beside what runs, submitters in turns, and no job twice. */
#include <pthread.h>

#include "tests/store_case.h"

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

STORES(a_job_no_limit_admits_blocks_nobody) {
    struct store_lease lease;
    add("a", 500);
    add("b", 50);
    cr_expect_str_eq(claim("w", 100, &lease), "b");
    OK(store_refuse(store, 100, 9, "{\"no\":1}", &why));
    cr_expect_eq(state_of("a"), JOB_FAILED);
    cr_expect_eq(state_of("b"), JOB_RUNNING);
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

/* How many jobs of that size three workers claim together, of 60. */
static unsigned long claimed_together(uint64_t peak) {
    pthread_t threads[3];
    static char owners[3][2] = {"x", "y", "z"};
    char id[16];
    unsigned long total = 0;
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof id, "j%02d", i);
        add(id, peak);
    }
    for (int i = 0; i < 3; i++)
        cr_assert(pthread_create(&threads[i], NULL, claims_many, owners[i]) == 0);
    for (int i = 0; i < 3; i++) {
        void *n;
        pthread_join(threads[i], &n);
        total += (unsigned long)n;
    }
    return total;
}

STORES(no_job_is_claimed_twice) {
    cr_expect_eq(claimed_together(1), 60);
}

STORES(the_limit_holds_whoever_claims_at_once) {
    cr_expect_eq(claimed_together(150), 6, "of 1000 bytes");
}
