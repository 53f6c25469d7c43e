/* api_jobs.c - jobs over HTTP: submitted, listed, looked at, cancelled, removed. */
#include "server/api_jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/api.h"
#include "server/clock.h"
#include "server/log.h"
#include "server/plan_device.h"
#include "server/queue.h"

#define PLAN_ARENA_BYTES ((uint64_t)1 << 30) /* the largest plans take some hundred MiB while they are made */
#define WAIT_SECONDS_MAX 600u
#define PAGE_SIZE        20u
#define PAGE_SIZE_MAX    1000u

static void put_seconds(struct wire_out *o, const char *key, int64_t ms) {
    if (ms)
        wire_put_uint(o, key, (uint64_t)ms / 1000);
    else
        wire_put_json(o, key, NULL);
}

void api_jobs_put(struct wire_out *o, const char *key, const struct store_job *job) {
    wire_open(o, key, '{');
    wire_put_string(o, "id", job->id);
    wire_put_string(o, "kind", job->kind);
    wire_put_string(o, "state", store_state_name(job->state));
    wire_put_time(o, "created_at", job->created_ms);
    wire_put_time(o, "started_at", job->started_ms);
    wire_put_time(o, "finished_at", job->finished_ms);
    wire_put_uint(o, "attempts", job->attempts);
    put_seconds(o, "timeout_seconds", job->timeout_ms);
    put_seconds(o, "queue_timeout_seconds", job->queue_timeout_ms);
    wire_put_json(o, "labels", job->labels);
    wire_put_string(o, "retry_of", job->retry_of);
    wire_put_string(o, "submitter", *job->submitter ? job->submitter : NULL);
    wire_open(o, "progress", '{');
    wire_put_uint(o, "done", job->progress_done);
    wire_put_uint(o, "total", job->progress_total);
    wire_close(o, '}');
    wire_put_json(o, "planned", job->planned);
    wire_put_json(o, "result", job->result);
    wire_put_json(o, "problem", job->problem);
    wire_close(o, '}');
}

static bool job_answer(const struct request *request, struct response *response, unsigned status,
                       const struct store_job *job, struct problem *why) {
    struct wire_out o;
    wire_out_init(&o, request->arena, why);
    api_jobs_put(&o, NULL, job);
    response->status = status;
    response->body = wire_text(&o, &response->body_bytes);
    return response->body != NULL;
}

#define UUID_LENGTH 36
static bool is_id(const char *text) {
    return strlen(text) == UUID_LENGTH && strspn(text, "0123456789abcdef-") == UUID_LENGTH;
}

const char *api_jobs_id(const char *text, struct problem *why) {
    if (is_id(text))
        return text;
    problem_set(why, PROBLEM_NOT_FOUND, "", "there is no job %.60s", text);
    return NULL;
}

/* ---- submitting ---- */

bool api_jobs_make(const struct request *request, const char *text, size_t bytes, struct plan_bounds *bounds,
                   struct arena *a, struct job *job, struct problem *why) {
    const struct service *service = request->service;
    plan_bounds_begin(bounds, service);
    bounds->most_bytes = PLAN_ARENA_BYTES;
    arena_init_within(a, PLAN_ARENA_BYTES, &bounds->arena);
    struct plan_host host = {.store = service->store, .memory_bytes = service->memory_limit_bytes};
    struct job_context context = {.arena = a,
                                  .blobs = service->blobs,
                                  .threads = service->threads,
                                  .memory_limit_bytes = service->memory_limit_bytes,
                                  .host = &host};
    return job_make(job, text, bytes, &context, why) || plan_bounds_tell_text(bounds, request->arena, text, bytes, why);
}

struct waiting {
    char id[STORE_ID_BYTES];
    bool replayed;
    unsigned wait_seconds; /* 0: not asked for */
};

/* "respond-async, wait=10" (RFC 7240); what is not understood is ignored, as it should be. */
static unsigned wait_read(const char *prefer) {
    for (const char *at = prefer; at && *at; at = strchr(at, ','), at = at ? at + 1 : NULL) {
        at += strspn(at, " \t");
        if (strncasecmp(at, "wait=", 5) != 0)
            continue;
        unsigned long seconds = at[5] >= '0' && at[5] <= '9' ? strtoul(at + 5, NULL, 10) : 0;
        return seconds > WAIT_SECONDS_MAX ? WAIT_SECONDS_MAX : (unsigned)seconds;
    }
    return 0;
}

static bool ready(struct request *request) {
    const struct waiting *w = request->state;
    struct problem ignored = {0};
    enum job_state state;
    return !store_state(request->service->store, w->id, &state, &ignored) || store_state_finished(state);
}

static bool submitted(struct request *request, struct response *response, struct problem *why) {
    const struct waiting *w = request->state;
    struct store_job job;
    if (!store_get(request->service->store, w->id, request->arena, &job, why))
        return false;
    const char *location = arena_printf(request->arena, why, "/v1/jobs/%s", w->id);
    if (!location || !response_header(response, "Location", location) ||
        (w->replayed && !response_header(response, "Idempotency-Replayed", "true")))
        return false;
    bool waited = w->wait_seconds && store_state_finished(job.state);
    if (w->wait_seconds) {
        const char *applied = arena_printf(request->arena, why, "wait=%u", w->wait_seconds);
        if (!applied || !response_header(response, "Preference-Applied", applied))
            return false;
    }
    return job_answer(request, response, waited ? 200 : 202, &job, why);
}

/* A key that was used for something else is the client's mistake: 422, in the words of the problem. */
static bool key_conflict(const struct request *request, struct response *response, struct problem *why) {
    response->status = 422;
    response->content_type = "application/problem+json";
    response->body = route_problem_body(why, 422, request->arena, &response->body_bytes);
    return response->body != NULL;
}

/* A body becomes a job; retry_of: the one that it is again, or NULL. */
static bool job_file(struct request *request, const char *text, size_t bytes, const char *retry_of, struct waiting *w,
                     bool *conflict, struct problem *why) {
    struct plan_bounds bounds;
    struct arena a;
    struct job job;
    struct store_job stored = {.retry_of = retry_of};
    bool ok = api_jobs_make(request, text, bytes, &bounds, &a, &job, why);
    if (ok) {
        stored.kind = job.kind->name;
        stored.request = job.request;
        stored.planned = job.planned;
        stored.planned_peak_bytes = job.admission_bytes;
        stored.timeout_ms = (int64_t)job.options.timeout_seconds * 1000;
        stored.queue_timeout_ms = (int64_t)job.options.queue_timeout_seconds * 1000;
        stored.labels = job.options.labels;
        stored.submitter = request->client;
        stored.request_id = request->id;
        ok = queue_submit(request->service->queue, &stored, request_header(request, "Idempotency-Key"), job.blobs,
                          job.n_blobs, request->arena, &w->replayed, conflict, why);
        memcpy(w->id, stored.id, sizeof w->id);
        if (ok && !w->replayed)
            log_event(LOG_INFO, "job.queued", "job %s, %s", w->id, stored.kind);
    }
    arena_free(&a);
    return ok;
}

static bool text_submit(struct request *request, struct response *response, const char *text, size_t bytes,
                        const char *retry_of, struct problem *why) {
    struct waiting *w = arena_new(request->arena, struct waiting, 1, why);
    bool conflict = false;
    if (!w)
        return false;
    if (!job_file(request, text, bytes, retry_of, w, &conflict, why))
        return conflict && key_conflict(request, response, why);
    request->state = w;
    w->wait_seconds = wait_read(request_header(request, "Prefer"));
    if (!w->wait_seconds || ready(request))
        return submitted(request, response, why);
    response->wait_until_ns = clock_now_ns() + w->wait_seconds * UINT64_C(1000000000);
    response->ready = ready;
    response->finish = submitted;
    return true;
}

static bool submit(struct request *request, struct response *response, struct problem *why) {
    return text_submit(request, response, request->body, request->body_bytes, NULL, why);
}

/* What was asked for then is read and planned anew: limits may be others now. */
static bool retry(struct request *request, struct response *response, struct problem *why) {
    const char *id = api_jobs_id(request->args[0], why);
    struct store_job job;
    if (!id || !store_get(request->service->store, id, request->arena, &job, why))
        return false;
    if (job.state != JOB_FAILED && job.state != JOB_CANCELLED)
        return problem_set(why, PROBLEM_STATE, "",
                           "only a job that failed or was cancelled is run again; this one is %s",
                           store_state_name(job.state));
    return text_submit(request, response, job.request, strlen(job.request), job.id, why);
}

/* ---- looking ---- */

static bool get(struct request *request, struct response *response, struct problem *why) {
    const char *id = api_jobs_id(request->args[0], why);
    struct store_job job;
    return id && store_get(request->service->store, id, request->arena, &job, why) &&
           job_answer(request, response, 200, &job, why);
}

static bool page_size_read(const char *text, unsigned *out, struct problem *why) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end)
        return problem_set(why, PROBLEM_MALFORMED, "/page_size", "is not a whole number");
    if (errno || value == 0 || value > PAGE_SIZE_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/page_size", "must be from 1 to %u", PAGE_SIZE_MAX);
    *out = (unsigned)value;
    return true;
}

bool api_jobs_labels(const struct request *request, const char **out, struct problem *why) {
    struct wire_out o;
    unsigned n_labels = 0;
    *out = NULL;
    wire_out_init(&o, request->arena, why);
    wire_open(&o, NULL, '[');
    for (unsigned i = 0; i < request_query_count(request); i++) {
        const char *name, *value;
        request_query_at(request, i, &name, &value);
        if (strcmp(name, "label") != 0)
            continue;
        if (!job_label_check(value, "/label", why))
            return false;
        if (++n_labels > JOB_LABELS_MAX)
            return problem_set(why, PROBLEM_LIMIT, "/label", "is asked for more than %u times", JOB_LABELS_MAX);
        wire_put_string(&o, NULL, value);
    }
    wire_close(&o, ']');
    return n_labels == 0 || (*out = wire_text(&o, NULL)) != NULL;
}

static bool query_read(const struct request *request, struct store_query *q, struct problem *why) {
    static const char *const names[] = {"state", "kind", "page_token", "page_size", "label"};
    const unsigned n_names = sizeof names / sizeof names[0];
    enum job_state state;
    for (unsigned i = 0; i < request_query_count(request); i++) {
        const char *name, *value;
        unsigned n = 0;
        request_query_at(request, i, &name, &value);
        while (n < n_names && strcmp(names[n], name) != 0)
            n++;
        if (n == n_names)
            return request_parameter_unknown(name, why);
    }
    if (!api_jobs_labels(request, &q->labels, why))
        return false;
    q->state = request_query(request, "state");
    q->kind = request_query(request, "kind");
    q->before_id = request_query(request, "page_token");
    q->limit = PAGE_SIZE;
    const char *size = request_query(request, "page_size");
    if (q->state && !store_state_find(q->state, &state))
        return problem_set(why, PROBLEM_LIMIT, "/state", "must be queued, running, succeeded, failed or cancelled");
    if (q->kind && !job_kind_find(q->kind))
        return problem_set(why, PROBLEM_LIMIT, "/kind", "is not a kind of job");
    if (q->before_id && !is_id(q->before_id))
        return problem_set(why, PROBLEM_MALFORMED, "/page_token", "is not one this daemon gave");
    return !size || page_size_read(size, &q->limit, why);
}

/* The same question with another page_token. What it may say needs no escapes. */
static bool link_add(const struct request *request, struct response *response, const struct store_query *q,
                     const char *last_id, struct problem *why) {
    const char *link = arena_printf(request->arena, why, "</v1/jobs?page_size=%u&page_token=%s", q->limit, last_id);
    for (unsigned i = 0; link && i < request_query_count(request); i++) {
        const char *name, *value;
        request_query_at(request, i, &name, &value);
        if (strncmp(name, "page_", 5) != 0)
            link = arena_printf(request->arena, why, "%s&%s=%s", link, name, value);
    }
    link = link ? arena_printf(request->arena, why, "%s>; rel=\"next\"", link) : NULL;
    return link && response_header(response, "Link", link);
}

static bool list(struct request *request, struct response *response, struct problem *why) {
    struct store_query q = {0};
    struct store_job *jobs;
    struct wire_out o;
    size_t n;
    if (!query_read(request, &q, why))
        return false;
    q.limit++; /* one more tells whether there is a next page */
    if (!store_list(request->service->store, &q, request->arena, &jobs, &n, why))
        return false;
    q.limit--;
    bool more = n > q.limit;
    n = more ? q.limit : n;
    wire_out_init(&o, request->arena, why);
    wire_open(&o, NULL, '{');
    wire_open(&o, "jobs", '[');
    for (size_t i = 0; i < n; i++)
        api_jobs_put(&o, NULL, &jobs[i]);
    wire_close(&o, ']');
    wire_put_string(&o, "next_page_token", more ? jobs[n - 1].id : NULL);
    wire_close(&o, '}');
    response->body = wire_text(&o, &response->body_bytes);
    return response->body && (!more || link_add(request, response, &q, jobs[n - 1].id, why));
}

/* ---- ending ---- */

static bool cancel(struct request *request, struct response *response, struct problem *why) {
    const char *id = api_jobs_id(request->args[0], why);
    enum job_state state;
    struct store_job job;
    return id && queue_cancel(request->service->queue, id, &state, why) &&
           store_get(request->service->store, id, request->arena, &job, why) &&
           job_answer(request, response, store_state_finished(job.state) ? 200 : 202, &job, why);
}

static void gone(void *context, const char *digest) {
    struct problem ignored = {0}; /* a file that is not there any more is what we want */
    if (!blob_remove(context, digest, &ignored))
        return;
}

static bool discard(struct request *request, struct response *response, struct problem *why) {
    const char *id = api_jobs_id(request->args[0], why);
    response->status = 204;
    return id && store_remove(request->service->store, id, gone, request->service->blobs, why);
}

const struct route api_job_routes[] = {
    {"POST", "/v1/jobs", BODY_JSON, submit, SCOPE_SUBMIT, ROUTE_STORE},
    {"GET", "/v1/jobs", BODY_QUERY, list, SCOPE_READ, .repeats = "label"},
    {"GET", "/v1/jobs/{id}", BODY_NONE, get, SCOPE_READ},
    {"DELETE", "/v1/jobs/{id}", BODY_NONE, discard, SCOPE_SUBMIT},
    {"POST", "/v1/jobs/{id}/cancel", BODY_NONE, cancel, SCOPE_SUBMIT},
    {"POST", "/v1/jobs/{id}/retry", BODY_NONE, retry, SCOPE_SUBMIT, ROUTE_STORE},
    {0},
};
