/* store_case.h - one store in a directory of its own, or in a database of its own, and the short forms of what is done
 * with it. For the tests of the store: STORES(name) is a test of each kind.
 *
 * OK and REFUSED hold a call to its answer; the rest files, claims and ends jobs at times that are the same in all
 * cases: filed at 1000 ms, claimed at 2000 until 62000, finished at 3000. */
#ifndef REMATD_TESTS_STORE_CASE_H
#define REMATD_TESTS_STORE_CASE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/store.h"
#include "tests/support_postgres.h"

static char directory[40], where[POSTGRES_URL_BYTES]; /* where: what the store is opened by */
static struct store *store;
static struct arena arena;
static struct problem why;

static inline void start(void) {
    strcpy(directory, "/tmp/rematd-store-XXXXXX");
    cr_assert(mkdtemp(directory));
    arena_init(&arena, 0);
    why = (struct problem){0};
    strcpy(where, directory);
    store = store_open(where, &why);
    cr_assert(store, "%s", why.detail);
}

static inline void stop(void) {
    char command[64];
    store_close(store);
    arena_free(&arena);
    snprintf(command, sizeof command, "rm -r %s", directory);
    cr_assert(system(command) == 0);
}

static inline bool start_postgres(void) {
    if (!postgres_new(where))
        return false;
    arena_init(&arena, 0);
    why = (struct problem){0};
    store = store_open(where, &why);
    cr_assert(store, "%s", why.detail);
    return true;
}

static inline void stop_postgres(void) {
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

/* Where the store has the bytes of tensors, it has this one's. */
static inline void seal(const char *digest) {
    char sql[120];
    snprintf(sql, sizeof sql, "INSERT INTO blobs VALUES ('%s', 0) ON CONFLICT DO NOTHING", digest);
    if (store_shared(store))
        postgres_do(where, sql);
}

static inline struct store_job job_of(const char *id, uint64_t peak) {
    struct store_job job = {.kind = "attention",
                            .created_ms = 1000,
                            .planned_peak_bytes = peak,
                            .request = "{\"r\":1}",
                            .planned = "{\"p\":1}"};
    snprintf(job.id, sizeof job.id, "%s", id);
    return job;
}

static inline void add(const char *id, uint64_t peak) {
    struct store_job job = job_of(id, peak);
    char first[STORE_ID_BYTES];
    enum store_added how;
    OK(store_add(store, &job, &(struct store_filing){0}, first, &how, &why));
    cr_assert_eq(how, STORE_ADDED);
}

static inline void add_of(const char *id, const char *submitter, uint64_t peak, const char *labels) {
    struct store_job job = job_of(id, peak);
    char first[STORE_ID_BYTES];
    enum store_added how;
    job.submitter = submitter;
    job.labels = labels;
    OK(store_add(store, &job, &(struct store_filing){0}, first, &how, &why));
}

static inline const char *claim(const char *owner, uint64_t limit, struct store_lease *lease) {
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

static inline enum job_state state_of(const char *id) {
    enum job_state state = JOB_STATES;
    OK(store_state(store, id, &state, &why));
    return state;
}

static inline void finish(const struct store_lease *lease, enum job_state state) {
    OK(store_finish(store, lease, state, 3000, &(struct store_progress){.done = 5, .total = 5},
                    state == JOB_SUCCEEDED ? "{}" : NULL, NULL, &why));
}

static inline void release(const char *owner, bool expired_only, bool keep, int64_t now, unsigned wanted) {
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

/* What store_remove and store_expire said has gone: "d1 d2 ". */
static char gone_list[256];
static inline void gone(void *context, const char *digest) {
    (void)context;
    strcat(strcat(gone_list, digest), " ");
}

/* "1 state {...}\n2 progress {...}\n" after a number. */
static inline const char *events_after(struct store *s, const char *id, uint64_t after, bool last_wanted) {
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

#endif
