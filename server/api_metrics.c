/* api_metrics.c - GET /metrics for Prometheus: what this process counts, what the store counts of jobs whoever ran
 * them, and gauges of now. */
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "server/api.h"
#include "server/blob.h"
#include "server/config.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/plan_cache.h"
#include "server/store.h"

#ifndef REMATD_VERSION
#define REMATD_VERSION "0.1.0"
#endif

/* The bounds that the store sorts by, but for its last, which is beyond all. */
static const double seconds_bounds[] = {0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600};
static const double ratio_bounds[] = {0.9, 0.999999, 1, 1.1};
#define BOUNDS_MAX (sizeof seconds_bounds / sizeof seconds_bounds[0])

/* A histogram of the store: one of each kind and outcome. */
static const struct tally_family {
    const char *what, *name, *help;
    const double *bounds;
    size_t n;
    bool outcome; /* is a label */
} families[] = {
    {"wait", "rematd_job_queue_wait_seconds", "Time of a job from its submission to its first start.", seconds_bounds,
     BOUNDS_MAX, false},
    {"run", "rematd_job_run_seconds", "Time of a job from its last start to its end.", seconds_bounds, BOUNDS_MAX,
     true},
    {"peak", "rematd_job_peak_ratio", "Measured peak of a job over the planned one; 1 is what is promised.",
     ratio_bounds, sizeof ratio_bounds / sizeof ratio_bounds[0], false},
};

static bool same_series(const struct store_tally *a, const struct store_tally *b) {
    return strcmp(a->what, b->what) == 0 && strcmp(a->kind, b->kind) == 0 && strcmp(a->outcome, b->outcome) == 0;
}

/* The tallies from one on that are of its series; returns how many. */
static size_t series_write(FILE *out, const struct tally_family *family, const struct store_tally *t, size_t left) {
    uint64_t counts[BOUNDS_MAX + 1] = {0};
    char labels[128];
    double sum = 0;
    size_t n = 0;
    for (; n < left && same_series(t, &t[n]); n++) {
        size_t bucket = 0;
        while (bucket < family->n && t[n].upto > family->bounds[bucket])
            bucket++;
        counts[bucket] += t[n].n;
        sum += t[n].sum;
    }
    if (family->outcome)
        snprintf(labels, sizeof labels, "kind=\"%s\",outcome=\"%s\"", t->kind, t->outcome);
    else
        snprintf(labels, sizeof labels, "kind=\"%s\"", t->kind);
    metrics_buckets(out, family->name, labels, family->bounds, counts, family->n, sum);
    return n;
}

static void tallies_write(FILE *out, const struct store_figures *f) {
    static const char ended[] = "rematd_jobs_finished_total";
    char labels[128];
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        metrics_head(out, families[i].name, METRICS_HISTOGRAM, families[i].help);
        for (size_t j = 0; j < f->n_tallies;)
            j += strcmp(f->tallies[j].what, families[i].what) != 0
                     ? 1
                     : series_write(out, &families[i], &f->tallies[j], f->n_tallies - j);
    }
    metrics_head(out, ended, METRICS_COUNTER, "Jobs that ended, since the store was made.");
    for (size_t i = 0; i < f->n_tallies; i++)
        if (strcmp(f->tallies[i].what, "end") == 0) {
            snprintf(labels, sizeof labels, "kind=\"%s\",outcome=\"%s\"", f->tallies[i].kind, f->tallies[i].outcome);
            metrics_value(out, ended, labels, (double)f->tallies[i].n);
        }
}

static void jobs_write(FILE *out, const struct store_figures *f, int64_t now_ms) {
    double age = f->oldest_queued_ms ? (double)(now_ms - f->oldest_queued_ms) * 1e-3 : 0;
    metrics_head(out, "rematd_jobs", METRICS_GAUGE, "Jobs that have not ended.");
    metrics_value(out, "rematd_jobs", "state=\"queued\"", (double)f->queued);
    metrics_value(out, "rematd_jobs", "state=\"running\"", (double)f->running);
    metrics_one(out, "rematd_oldest_queued_job_seconds", METRICS_GAUGE,
                "Age of the job that waits longest; 0: none waits.", age > 0 ? age : 0);
    metrics_one(out, "rematd_workers_busy", METRICS_GAUGE, "Workers that run a job.", (double)f->running);
    metrics_one(out, "rematd_memory_reserved_bytes", METRICS_GAUGE, "Planned peaks of the running jobs together.",
                (double)f->running_bytes);
    tallies_write(out, f);
}

static void data_write(FILE *out, const struct service *service) {
    struct statvfs disk;
    if (service->blobs)
        metrics_one(out, "rematd_data_bytes", METRICS_GAUGE,
                    "What the data directory holds: blobs, uploads, the store.", (double)blob_bytes(service->blobs));
    if (statvfs(service->config->data_dir, &disk) == 0)
        metrics_one(out, "rematd_data_available_bytes", METRICS_GAUGE, "Room left where the data directory is.",
                    (double)disk.f_bavail * (double)disk.f_frsize);
}

static void plans_write(FILE *out, struct plan_cache *plans) {
    static const char lookups[] = "rematd_plan_cache_lookups_total";
    struct plan_cache_figures f = plan_cache_figures(plans);
    metrics_head(out, lookups, METRICS_COUNTER, "Planning queries looked for among the answers that are kept.");
    metrics_value(out, lookups, "result=\"hit\"", (double)f.hits);
    metrics_value(out, lookups, "result=\"miss\"", (double)(f.finds - f.hits));
    metrics_one(out, "rematd_plan_cache_bytes", METRICS_GAUGE, "Answers that are kept.", (double)f.bytes);
    metrics_one(out, "rematd_plan_cache_limit_bytes", METRICS_GAUGE, "The most of them.", (double)f.limit_bytes);
}

static void all_write(FILE *out, const struct service *service, struct arena *a) {
    const struct config *config = service->config;
    struct store_figures figures;
    struct problem why = {0};
    metrics_head(out, "rematd_build_info", METRICS_GAUGE, "Always 1; the label says which rematd this is.");
    metrics_value(out, "rematd_build_info", "version=\"" REMATD_VERSION "\"", 1);
    bool up = service->store && store_figures(service->store, a, &figures, &why);
    if (!up)
        log_event(LOG_ERROR, "metrics.store", "%s", why.detail);
    metrics_one(out, "rematd_store_up", METRICS_GAUGE, "Whether the store answers; 0: there are no figures of jobs.",
                up);
    if (up)
        jobs_write(out, &figures, store_now_ms(service->store));
    metrics_one(out, "rematd_draining", METRICS_GAUGE, "1 while the daemon is stopping.",
                service->draining && service->draining());
    metrics_one(out, "rematd_workers_configured", METRICS_GAUGE, "Workers there are to be.",
                config ? (double)config->workers : 0);
    metrics_one(out, "rematd_memory_limit_bytes", METRICS_GAUGE, "What running jobs may take together.",
                (double)service->memory_limit_bytes);
    if (config)
        data_write(out, service);
    plans_write(out, service->plans);
    metrics_write(out);
    metrics_process(out);
}

static void text_release(const void *text) {
    free((void *)text);
}

static bool metrics(struct request *request, struct response *response, struct problem *why) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out)
        all_write(out, request->service, request->arena);
    bool whole = out && !ferror(out);
    if (out && fclose(out) != 0)
        whole = false;
    request->kept = text;
    request->release = text_release;
    if (!whole)
        return problem_set(why, PROBLEM_MEMORY, "", "no memory for the metrics");
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    response->body = text;
    response->body_bytes = bytes;
    return true;
}

const struct route api_metrics_routes[] = {
    {"GET", "/metrics", BODY_NONE, metrics, SCOPE_METRICS},
    {0},
};
