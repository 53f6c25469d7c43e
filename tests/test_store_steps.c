/* test_store_steps.c - what is asked often takes as long however many jobs wait. */
#include "server/store_sqlite.h"
#include "tests/store_case.h"

/* However many wait, what every job, every look at the clock and every page asks takes a few hundred of SQLite's steps.
 */
Test(Store, what_is_asked_often_does_not_read_the_queue, .init = start, .fini = stop) {
    struct sqlite *file = (struct sqlite *)store;
    struct store_lease lease;
    struct store_figures figures;
    struct store_job *jobs, job = job_of("x", 1);
    char first[STORE_ID_BYTES];
    enum store_added how;
    size_t n;
    const char *const queued =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO jobs (id, kind,"
        " state, created_ms, planned_peak_bytes, request, planned, submitter)"
        " SELECT printf('%05d', i), 'attention', 0, 1000, 1, '{}', '{}', CASE i % 2 WHEN 0 THEN 'a' ELSE 'b' END "
        "FROM n";
    cr_assert_eq(sqlite3_exec(file->db, queued, NULL, NULL, NULL), SQLITE_OK);
    cr_assert_str_eq(claim("w", 10, &lease), "00001");
    cr_assert_str_eq(claim("v", 10, &lease), "00002");
    finish(&lease, JOB_SUCCEEDED);
    OK(store_time_out(store, 5000, "{}", "{}", &why));
    OK(store_add(store, &job, &(struct store_filing){.queued_max = 2999}, first, &how, &why));
    cr_expect_eq(how, STORE_ADDED);
    job = job_of("y", 1);
    OK(store_add(store, &job, &(struct store_filing){.queued_max = 2999}, first, &how, &why));
    cr_expect_eq(how, STORE_QUEUE_FULL);
    OK(store_figures(store, &arena, &figures, &why));
    cr_expect_eq(figures.queued, 2999);
    OK(store_list(store, &(struct store_query){.limit = 10, .state = "queued", .kind = "attention"}, &arena, &jobs, &n,
                  &why));
    for (int i = 0; i < SQL_COUNT; i++) {
        const int steps = sqlite3_stmt_status(file->statements[i], SQLITE_STMTSTATUS_VM_STEP, 0);
        cr_expect_lt(steps, 1000, "%d of %s", steps, sqlite3_sql(file->statements[i]));
    }
}
