/* rematc.h - librematc: rematd from a C program, over libcurl and jansson. Copy it with rematc.c, with
 * rematc_events.c to watch jobs and with rematc_plans.c to plan.
 *
 * A client is one connection kept open: use it from one thread at a time, and make the first one before other threads
 * start. Answers are jansson values that belong to the caller (json_decref). What can fail returns NULL or false and
 * fills `why`, which may be NULL; strings are UTF-8. Jobs, plans and tensors are the JSON of docs/protocol.md. */
#ifndef REMATC_H
#define REMATC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define REMATC_DEFAULT_URL "http://127.0.0.1:8740"

enum rematc_kind {
    REMATC_OK,
    REMATC_UNREACHABLE, /* no connection, or it broke */
    REMATC_REFUSED,     /* 4xx: the request is at fault; title, detail and pointer say how */
    REMATC_UNAVAILABLE, /* 5xx: busy, draining, full; the same request may do later */
    REMATC_GARBLED,     /* the answer is not what a rematd says */
    REMATC_LOCAL,       /* a file of ours, or no memory */
    REMATC_TIMEOUT      /* the caller's time is over; the job goes on */
};

struct rematc_error {
    enum rematc_kind kind;
    int http_status; /* 0 where there was no answer */
    char title[96];
    char detail[512];
    char pointer[256];             /* JSON Pointer into the request, "" where no field is to blame */
    uint64_t minimum_budget_bytes; /* what would do, where a budget was too small; else 0 */
};

struct rematc;

/* url NULL: the environment's REMATD_URL, else REMATC_DEFAULT_URL. Does not connect yet. Free with rematc_free. */
struct rematc *rematc_new(const char *url, struct rematc_error *why);
void rematc_free(struct rematc *client); /* NULL is fine */
const char *rematc_url(const struct rematc *client);

/* Alive and ready for work. Not ready is REMATC_UNAVAILABLE. Takes at most 5 s. */
bool rematc_health(struct rematc *client, struct rematc_error *why);

/* The lab's four figures. heads and batch 0: one. */
struct rematc_savings {
    uint64_t standard_memory_bytes, checkpointed_memory_bytes;
    double standard_memory_mb, checkpointed_memory_mb, memory_saved_pct, compute_overhead_pct;
};
bool rematc_savings(struct rematc *client, uint64_t seq_len, uint64_t d_model, uint64_t num_layers, uint64_t heads,
                    uint64_t batch, struct rematc_savings *savings, struct rematc_error *why);

/* Queues a job; it is on the daemon's disk when this returns. wait_seconds > 0 answers with the finished job if it ends
 * in time, else with the job as it is. key NULL or an idempotency key: the same one again returns the first job. */
json_t *rematc_submit(struct rematc *client, const json_t *job, unsigned wait_seconds, const char *key,
                      struct rematc_error *why);

/* Plans a job without running it: {"planned", "steps": [{"do", "of", "live_bytes"}], "text"}. */
json_t *rematc_explain(struct rematc *client, const json_t *job, struct rematc_error *why);

/* Whether a training step fits, and how: {"workload", "strategy", "device" or "budget_bytes"}, or "graph" or "chain" in
 * place of "workload"; memory against recomputation: {"workload", "device", "points"}; and how far it goes:
 * {"workload", ..., "find": "seq_len" | "batch" | "layers"}. These and rematc_explain are in rematc_plans.c. */
json_t *rematc_plan(struct rematc *client, const json_t *query, struct rematc_error *why);
json_t *rematc_frontier(struct rematc *client, const json_t *query, struct rematc_error *why);
json_t *rematc_capacity(struct rematc *client, const json_t *query, struct rematc_error *why);

json_t *rematc_job(struct rematc *client, const char *id, struct rematc_error *why);

/* {"jobs": [...]}, newest first. Each filter may be NULL; page_size 0: the daemon's. */
json_t *rematc_jobs(struct rematc *client, const char *state, const char *kind, unsigned page_size,
                    const char *page_token, struct rematc_error *why);

/* The same of those that have every label, each "KEY:VALUE"; and a job that failed or was cancelled again, as a new
 * one. In rematc_jobs.c. */
json_t *rematc_jobs_labelled(struct rematc *client, const char *state, const char *kind, const char *const *labels,
                             unsigned n_labels, unsigned page_size, const char *page_token, struct rematc_error *why);
json_t *rematc_retry(struct rematc *client, const char *id, struct rematc_error *why);

json_t *rematc_cancel(struct rematc *client, const char *id, struct rematc_error *why);
bool rematc_delete(struct rematc *client, const char *id, struct rematc_error *why);

/* Asks with growing pauses (20 ms to 2 s) until the job has succeeded, failed or was cancelled, and returns it. A
 * daemon that is busy or restarting is asked again for 30 s. timeout_seconds 0: as long as it takes; else
 * REMATC_TIMEOUT. */
json_t *rematc_wait(struct rematc *client, const char *id, unsigned timeout_seconds, struct rematc_error *why);

/* What happens to a job, as it happens: "state" with {"state", "attempt"}, "progress" with {"done", "total"} and where
 * the job says more "report". data is borrowed. False: enough. It may not use the client that tells it. */
typedef bool rematc_listener(void *user, uint64_t id, const char *event, const json_t *data);
/* Tells of every event after last_event_id (0: from the first on) until the job has ended or the listener has had
 * enough. A daemon that goes away on the way is asked again for 30 s, from where it was. In rematc_events.c. */
bool rematc_events(struct rematc *client, const char *id, uint64_t last_event_id, rematc_listener *tell, void *user,
                   struct rematc_error *why);

/* Whether a job's state is one that lasts. */
bool rematc_job_finished(const json_t *job);
bool rematc_job_succeeded(const json_t *job);

/* Sends a safetensors or npy file, streamed: {"tensor": "sha256:...", "tensors": [...]}. Put the "tensor" in a job. */
json_t *rematc_upload(struct rematc *client, const char *file, struct rematc_error *why);

/* Writes a job's outputs to file ("-": standard output): all of them as safetensors where name is NULL, else that one,
 * as npy or safetensors. The file appears whole or not at all. */
bool rematc_fetch(struct rematc *client, const char *id, const char *name, bool npy, const char *file,
                  struct rematc_error *why);

/* Any other path, such as "/v1/strategies"; or a body (NULL: none) to it, answered within so many seconds (0: 30).
 */
json_t *rematc_get(struct rematc *client, const char *path, struct rematc_error *why);
json_t *rematc_post(struct rematc *client, const char *path, const json_t *body, unsigned seconds,
                    struct rematc_error *why);

/* The same, of an answer that comes in pieces with time between: each is given to take, whose false ends it. *status
 * (may be NULL) is the answer's, 0 without one. After 60 s without a byte it is given up. */
bool rematc_get_live(struct rematc *client, const char *path, bool (*take)(void *user, const char *bytes, size_t n),
                     void *user, int *status, struct rematc_error *why);

#endif
