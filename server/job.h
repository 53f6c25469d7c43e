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
#include "server/wire.h"

struct slab;
struct pool;

/* What reading and planning may use. */
struct job_context {
    struct arena *arena; /* everything made lives here */
    struct blob_store *blobs;
    unsigned threads;            /* kernel threads a worker uses: workspace depends on it */
    uint64_t memory_limit_bytes; /* admission_bytes must stay within it */
};

/* A request that was read and planned. */
struct job {
    const struct job_kind *kind;
    const char *request;      /* canonical JSON */
    void *spec, *plan;        /* the kind's own */
    uint64_t admission_bytes; /* the larger peak of the job and its comparison, and WITNESS_OUTSIDE_BYTES */
    const char *planned;      /* JSON object: peak_bytes, slab_bytes, ... */
    const char **blobs;       /* digests the request names */
    unsigned n_blobs;
};

/* One run in a worker. The caller fills it in; result and made are the answer, in the arena. */
struct job_run {
    struct slab *slab;
    struct pool *pool;
    uint64_t idle_rss_bytes;
    void (*progress)(void *context, uint64_t done, uint64_t total); /* any may be NULL */
    bool (*cancelled)(void *context);                               /* asked between ops, from the running thread */
    void *context;
    const char *result; /* JSON object */
    const char **made;  /* digests of the blobs it made, also after a failure */
    unsigned n_made, made_room;
};

struct job_kind {
    const char *name, *description;
    /* request -> job->spec. Problems point into the request. */
    bool (*read)(struct job *job, const struct wire_value *request, const struct job_context *c, struct problem *why);
    /* spec -> job->plan, admission_bytes, planned. Pure. */
    bool (*plan)(struct job *job, const struct job_context *c, struct problem *why);
    bool (*run)(const struct job *job, const struct job_context *c, struct job_run *run, struct problem *why);
};

extern const struct job_kind *const job_table[]; /* NULL at the end */

/* Parses, reads and plans a request body; refuses what cannot fit (PROBLEM_BUDGET with minimum_budget_bytes). */
PROBLEM_MUST_CHECK bool job_make(struct job *job, const char *text, size_t bytes, const struct job_context *c,
                                 struct problem *why);

#endif
