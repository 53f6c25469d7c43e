/* test_metrics.c - counters, histograms and their text; the tallies that the store keeps of jobs. tests/metrics.py
 * reads what a daemon answers. */
#include <criterion/criterion.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/metrics.h"
#include "server/store.h"

static struct problem why;
static char directory[64];

static char *text_of(void (*write)(FILE *)) {
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    write(out);
    fclose(out);
    return text;
}

/* The value of one line, by all that stands before the space. */
static double value_of(const char *text, const char *series) {
    size_t length = strlen(series);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (strncmp(line, series, length) == 0 && line[length] == ' ')
            return strtod(line + length, NULL);
    return -1;
}

static const struct route routes[] = {
    {.method = "GET", .pattern = "/a/{b}"}, {.method = "POST", .pattern = "/a/{b}"}, {0}};
static const struct route *const tables[] = {routes, NULL};

Test(metrics, requests_by_route) {
    static const struct route stranger = {.method = "GET", .pattern = "/c"};
    metrics_routes(tables);
    metrics_routes(tables);
    metrics_request(&routes[0], 200, 50000);  /* exactly half the first bound */
    metrics_request(&routes[0], 204, 100000); /* a bound belongs to its bucket */
    metrics_request(&routes[0], 404, 20000000000u);
    metrics_request(&routes[1], 503, 100001);
    metrics_request(&stranger, 404, 1);
    metrics_request(NULL, 0, 1);
    metrics_request(NULL, 999, 1);
    char *text = text_of(metrics_write);
    static const struct {
        const char *series;
        double value;
    } rows[] = {
        {"rematd_http_requests_total{route=\"/a/{b}\",method=\"GET\",status=\"2xx\"}", 2},
        {"rematd_http_requests_total{route=\"/a/{b}\",method=\"GET\",status=\"4xx\"}", 1},
        {"rematd_http_requests_total{route=\"/a/{b}\",method=\"GET\",status=\"5xx\"}", -1},
        {"rematd_http_requests_total{route=\"/a/{b}\",method=\"POST\",status=\"2xx\"}", 0},
        {"rematd_http_requests_total{route=\"/a/{b}\",method=\"POST\",status=\"5xx\"}", 1},
        {"rematd_http_requests_total{route=\"unmatched\",method=\"any\",status=\"4xx\"}", 1},
        {"rematd_http_requests_total{route=\"unmatched\",method=\"any\",status=\"none\"}", 2},
        {"rematd_http_request_duration_seconds_bucket{route=\"/a/{b}\",method=\"GET\",le=\"0.0001\"}", 2},
        {"rematd_http_request_duration_seconds_bucket{route=\"/a/{b}\",method=\"GET\",le=\"10\"}", 2},
        {"rematd_http_request_duration_seconds_bucket{route=\"/a/{b}\",method=\"GET\",le=\"+Inf\"}", 3},
        {"rematd_http_request_duration_seconds_count{route=\"/a/{b}\",method=\"GET\"}", 3},
        {"rematd_http_request_duration_seconds_bucket{route=\"/a/{b}\",method=\"POST\",le=\"0.0001\"}", 0},
        {"rematd_http_request_duration_seconds_bucket{route=\"/a/{b}\",method=\"POST\",le=\"0.00025\"}", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(value_of(text, rows[i].series), rows[i].value, "%s: %g", rows[i].series,
                     value_of(text, rows[i].series));
    cr_expect_float_eq(value_of(text, "rematd_http_request_duration_seconds_sum{route=\"/a/{b}\",method=\"GET\"}"),
                       20.00015, 1e-9);
    cr_expect_null(strstr(text, "\"/c\""));
    free(text);
}

enum { THREADS = 4, EACH = 20000 };

static void *count_many(void *unused) {
    for (int i = 0; i < EACH; i++) {
        metrics_add(METRICS_IN_FLIGHT, i % 2 ? -1 : 1);
        metrics_add(METRICS_CONNECTIONS_TOTAL, 1);
        metrics_observe(METRICS_STORE_TRANSACTION, 1000000);
    }
    return unused;
}

/* By how much one line has grown. */
static double grown(const char *before, const char *after, const char *series) {
    return value_of(after, series) - value_of(before, series);
}

Test(metrics, nothing_is_lost_between_threads) {
    static const char name[] = "rematd_store_transaction_duration_seconds";
    pthread_t threads[THREADS];
    char upto[128], below[128], sum[128], *before = text_of(metrics_write);
    snprintf(upto, sizeof upto, "%s_bucket{le=\"0.001\"}", name);
    snprintf(below, sizeof below, "%s_bucket{le=\"0.0005\"}", name);
    snprintf(sum, sizeof sum, "%s_sum", name);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    char *after = text_of(metrics_write);
    cr_expect_eq(value_of(after, "rematd_http_requests_in_flight"), 0);
    cr_expect_eq(grown(before, after, "rematd_http_connections_accepted_total"), THREADS * EACH);
    cr_expect_eq(grown(before, after, upto), THREADS * EACH);
    cr_expect_eq(grown(before, after, below), 0);
    cr_expect_float_eq(grown(before, after, sum), THREADS * EACH * 0.001, 1e-6);
    free(before);
    free(after);
}

Test(metrics, the_process) {
    char *text = text_of(metrics_process);
    double now = (double)time(NULL), start = value_of(text, "process_start_time_seconds");
    cr_expect(start > now - 3600 && start <= now + 1, "%f at %f", start, now);
    cr_expect_geq(value_of(text, "process_cpu_seconds_total"), 0);
    cr_expect(value_of(text, "process_resident_memory_bytes") > 1e5);
    cr_expect(value_of(text, "process_virtual_memory_bytes") >= value_of(text, "process_resident_memory_bytes"));
    double open = value_of(text, "process_open_fds");
    FILE *more = fopen("/dev/null", "r");
    free(text);
    text = text_of(metrics_process);
    cr_expect_eq(value_of(text, "process_open_fds"), open + 1);
    cr_expect(value_of(text, "process_max_fds") >= open + 1);
    fclose(more);
    free(text);
}

/* ---- the store's tallies ---- */

static void directory_make(void) {
    snprintf(directory, sizeof directory, "/tmp/rematd-metrics-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
}

static void directory_remove(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    cr_assert_eq(system(command), 0);
}

static void job_run(struct store *s, unsigned number, int64_t created_ms, int64_t started_ms, int64_t finished_ms,
                    enum job_state state, const char *result) {
    struct arena a = {0};
    struct store_job job = {
        .kind = "attention", .created_ms = created_ms, .planned_peak_bytes = 100, .request = "{}", .planned = "{}"};
    char first[STORE_ID_BYTES];
    enum store_added how;
    bool claimed;
    arena_init(&a, 0);
    snprintf(job.id, sizeof job.id, "job-%03u", number);
    cr_assert(store_add(s, &job, &(struct store_filing){0}, first, &how, &why), "%s", why.detail);
    if (started_ms) {
        struct store_claim claim = {
            .owner = "me", .now_ms = started_ms, .lease_ms = 1000, .memory_limit_bytes = 1000, .passed_max = 16};
        cr_assert(store_claim(s, &claim, &a, &job, &claimed, &why) && claimed, "%s", why.detail);
    }
    if (started_ms && finished_ms) {
        struct store_lease lease = {.owner = "me", .attempt = job.attempts};
        struct store_progress progress = {0};
        memcpy(lease.id, job.id, sizeof lease.id);
        cr_assert(store_finish(s, &lease, state, finished_ms, &progress, result, NULL, &why), "%s", why.detail);
    } else if (finished_ms) {
        cr_assert(store_cancel(s, job.id, finished_ms, &state, &why), "%s", why.detail);
    }
    arena_free(&a);
}

static const struct store_tally *tally_find(const struct store_figures *f, const char *what, const char *outcome,
                                            double upto) {
    for (size_t i = 0; i < f->n_tallies; i++)
        if (strcmp(f->tallies[i].what, what) == 0 && strcmp(f->tallies[i].outcome, outcome) == 0 &&
            fabs(f->tallies[i].upto - upto) <= 1e-9 * upto)
            return &f->tallies[i];
    return NULL;
}

static void gone(void *context, const char *digest) {
    (void)context, (void)digest;
}

#define PEAKS(measured, predicted)                                                                                     \
    "{\"memory\": {\"measured_peak_bytes\": " measured ", \"predicted_peak_bytes\": " predicted "}}"

Test(metrics, the_store_tallies_jobs, .init = directory_make, .fini = directory_remove) {
    struct store *s = store_open(directory, &why);
    struct store_figures f;
    struct arena a;
    arena_init(&a, 0);
    cr_assert(s, "%s", why.detail);
    cr_assert(store_figures(s, &a, &f, &why), "%s", why.detail);
    cr_expect(f.queued == 0 && f.running == 0 && f.n_tallies == 0 && f.oldest_queued_ms == 0);
    job_run(s, 1, 1000, 1010, 1110, JOB_SUCCEEDED, PEAKS("4096", "4096")); /* 0.01 and 0.1 s: bounds both */
    job_run(s, 2, 1000, 1011, 1210, JOB_SUCCEEDED, PEAKS("4100", "4096"));
    job_run(s, 3, 1000, 9000, 9000000, JOB_FAILED, NULL);
    job_run(s, 4, 1000, 1001, 1002, JOB_FAILED, "no JSON");
    job_run(s, 5, 1000, 1001, 1002, JOB_SUCCEEDED, "{\"memory\": {\"measured_peak_bytes\": 5}}");
    job_run(s, 6, 1000, 0, 1500, JOB_CANCELLED, NULL);             /* never ran */
    job_run(s, 7, 1000, 900, 800, JOB_SUCCEEDED, PEAKS("1", "0")); /* the clock went back */
    job_run(s, 8, 7000, 7001, 0, JOB_RUNNING, NULL);
    job_run(s, 9, 8000, 0, 0, JOB_QUEUED, NULL);
    cr_assert(store_figures(s, &a, &f, &why), "%s", why.detail);
    cr_expect(f.queued == 1 && f.running == 1 && f.running_bytes == 100 && f.oldest_queued_ms == 8000);
    static const struct {
        const char *what, *outcome;
        double upto;
        uint64_t n;
        double sum;
    } rows[] = {
        {"wait", "", 0.01, 5, 0.013},       {"wait", "", 0.05, 1, 0.011},         {"wait", "", 10, 1, 8},
        {"run", "succeeded", 0.1, 1, 0.1},  {"run", "succeeded", 0.25, 1, 0.199}, {"run", "failed", 1e300, 1, 8991},
        {"run", "failed", 0.01, 1, 0.001},  {"run", "succeeded", 0.01, 2, 0.001}, {"end", "succeeded", 1e300, 4, 0},
        {"end", "failed", 1e300, 2, 0},     {"end", "cancelled", 1e300, 1, 0},    {"peak", "", 1, 1, 1},
        {"peak", "", 1.1, 1, 4100.0 / 4096}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct store_tally *t = tally_find(&f, rows[i].what, rows[i].outcome, rows[i].upto);
        cr_assert(t, "%s %s %g", rows[i].what, rows[i].outcome, rows[i].upto);
        cr_expect_eq(t->n, rows[i].n, "%s %s %g: %llu", t->what, t->outcome, t->upto, (unsigned long long)t->n);
        cr_expect_float_eq(t->sum, rows[i].sum, 1e-9, "%s %s %g: %g", t->what, t->outcome, t->upto, t->sum);
    }
    cr_expect_eq(f.n_tallies, sizeof rows / sizeof rows[0]);
    /* what is removed has been, and a restart forgets nothing */
    cr_assert(store_remove(s, "job-001", gone, NULL, &why));
    store_close(s);
    cr_assert(s = store_open(directory, &why));
    cr_assert(store_figures(s, &a, &f, &why));
    cr_expect_eq(f.n_tallies, sizeof rows / sizeof rows[0]);
    cr_expect_eq(tally_find(&f, "end", "succeeded", 1e300)->n, 4);
    store_close(s);
    arena_free(&a);
}
