/* job.h - the kinds of jobs there are. To add one: a file job_NAME.c with its row, a line in job_table.
 *
 * The front reads and plans a request to admit it; the worker reads and plans the stored request again and runs it: the
 * same functions, so what was promised is what is run. */
#ifndef REMATD_SERVER_JOB_H
#define REMATD_SERVER_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/problem.h"
#include "server/blob.h"
#include "server/job_options.h"
#include "server/wire.h"

struct plan;
struct plan_host;
struct pool;
struct slab;

/* What reading and planning may use. */
struct job_context {
    struct arena *arena; /* everything made lives here */
    struct blob_store *blobs;
    unsigned threads;            /* kernel threads a worker uses: workspace depends on it */
    uint64_t memory_limit_bytes; /* admission_bytes must stay within it */
    struct plan_host *host;      /* what the device `host` is; NULL: not known */
};

/* A request that was read and planned. */
struct job {
    const struct job_kind *kind;
    const char *request; /* canonical JSON */
    struct job_options options;
    void *spec, *program;     /* the kind's own */
    const struct plan *plan;  /* the job's own plan, for explaining; NULL: it has none to show */
    uint64_t admission_bytes; /* the larger peak of the job and its comparison, and WITNESS_OUTSIDE_BYTES */
    const char *planned;      /* JSON object: strategy, peak_bytes, slab_bytes, ... */
    const char **blobs;       /* digests the request names */
    unsigned n_blobs, blobs_room;
};

/* One run in a worker. The caller fills it in; result is the answer, in the arena. Functions may be NULL. */
struct job_run {
    struct slab *slab, *persistent;
    struct pool *pool;
    uint64_t idle_rss_bytes; /* of the process, warm, both slabs trimmed */
    void (*progress)(void *user, uint64_t done, uint64_t total);
    /* A JSON object about what was just done, such as {"step":3,"loss":2.5}: copied, told to who watches, never waited
     * for. */
    void (*report)(void *user, const char *object);
    bool (*cancelled)(void *user); /* asked before every step */
    /* Before blobs get their names. */
    bool (*making)(void *user, const char *const *digests, size_t n, struct problem *why);
    void *user;
    const char *result; /* JSON object; with PROBLEM_CANCELLED too, where there is one */
};

struct job_kind {
    const char *name, *description;
    /* request -> job->spec, which keeps nothing of the request's document. Problems point into the request. */
    bool (*read)(struct job *job, const struct wire_value *request, const struct job_context *c, struct problem *why);
    /* spec -> job->program, admission_bytes, planned. Pure. */
    bool (*plan)(struct job *job, const struct job_context *c, struct problem *why);
    bool (*run)(const struct job *job, const struct job_context *c, struct job_run *run, struct problem *why);
};

extern const struct job_kind *const job_table[]; /* NULL at the end */
const struct job_kind *job_kind_find(const char *name);

/* Rows of job_table, one file each. */
extern const struct job_kind job_attention, job_sequential, job_memory_savings, job_training, job_plan, job_calibrate;

/* Parses, reads and plans a request body; refuses what cannot fit (PROBLEM_BUDGET with minimum_budget_bytes). */
PROBLEM_MUST_CHECK bool job_make(struct job *job, const char *text, size_t bytes, const struct job_context *c,
                                 struct problem *why);

/* For the kinds: what every computing request may say, and it is read alike. */
struct job_common {
    uint64_t budget_bytes; /* 0: none */
    bool backward, witness;
};
PROBLEM_MUST_CHECK bool job_common_read(const struct wire_value *request, struct job_common *out, struct problem *why);
/* Notes the blob of a tensor that names one. */
struct wire_tensor;
PROBLEM_MUST_CHECK bool job_tensor_note(struct job *job, const struct wire_tensor *t, struct arena *a,
                                        struct problem *why);

#endif
