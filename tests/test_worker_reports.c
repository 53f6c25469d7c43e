/* test_worker_reports.c - what a job says is kept in order, bounded, and never waited for. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/worker_reports.h"

static struct worker_reports reports;

static void start(void) {
    reports = (struct worker_reports){.lock = PTHREAD_MUTEX_INITIALIZER};
}

static void stop(void) {
    worker_reports_clear(&reports);
    cr_expect_eq(worker_reports_count(&reports), 0);
}

static void expect_next(const char *wanted) {
    const char *text = NULL;
    cr_assert_eq(worker_reports_take(&reports, &text, 1), 1);
    cr_expect_str_eq(text, wanted);
    free((void *)text);
}

Test(WorkerReports, come_out_as_data_of_events, .init = start, .fini = stop) {
    const char *none;
    worker_reports_add(&reports, 1, 9, "{\"step\": 1,\r\n \"loss\": 2.5}");
    worker_reports_add(&reports, 2, 9, NULL);
    expect_next("{\"done\":1,\"total\":9,\"report\":{\"step\": 1,   \"loss\": 2.5}}");
    expect_next("{\"done\":2,\"total\":9}");
    cr_expect_eq(worker_reports_take(&reports, &none, 1), 0);
}

Test(WorkerReports, the_oldest_makes_room, .init = start, .fini = stop) {
    char object[32], wanted[64];
    for (unsigned i = 0; i < 3 * WORKER_REPORTS + 7; i++) {
        snprintf(object, sizeof object, "{\"step\":%u}", i);
        worker_reports_add(&reports, 0, 0, object);
    }
    cr_expect_eq(worker_reports_count(&reports), WORKER_REPORTS);
    for (unsigned i = 2 * WORKER_REPORTS + 7; i < 3 * WORKER_REPORTS + 7; i++) {
        snprintf(wanted, sizeof wanted, "{\"done\":0,\"total\":0,\"report\":{\"step\":%u}}", i);
        expect_next(wanted);
    }
}

Test(WorkerReports, one_that_is_too_long_is_not_kept, .init = start, .fini = stop) {
    char *object = malloc(WORKER_REPORT_BYTES_MAX + 2);
    cr_assert(object);
    memset(object, ' ', WORKER_REPORT_BYTES_MAX + 1);
    object[WORKER_REPORT_BYTES_MAX + 1] = '\0';
    worker_reports_add(&reports, 0, 0, object);
    cr_expect_eq(worker_reports_count(&reports), 0);
    object[WORKER_REPORT_BYTES_MAX] = '\0';
    worker_reports_add(&reports, 0, 0, object);
    cr_expect_eq(worker_reports_count(&reports), 1);
    free(object);
}

static void *report_much(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < 2000; i++)
        worker_reports_add(&reports, i, 2000, "{}");
    return NULL;
}

Test(WorkerReports, may_be_taken_while_they_come, .init = start, .fini = stop) {
    pthread_t thread;
    const char *texts[8];
    unsigned taken = 0;
    cr_assert_eq(pthread_create(&thread, NULL, report_much, NULL), 0);
    for (unsigned i = 0; i < 5000; i++)
        for (unsigned n = worker_reports_take(&reports, texts, 8); n > 0; taken++)
            free((void *)texts[--n]);
    pthread_join(thread, NULL);
    cr_expect_leq(taken, 2000);
}
