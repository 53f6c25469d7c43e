/* support_jobs.h - whole jobs in this process: a place to run them, and a look into what they answer. */
#ifndef REMATD_TESTS_SUPPORT_JOBS_H
#define REMATD_TESTS_SUPPORT_JOBS_H

#include "engine/base/pool.h"
#include "engine/exec/slab.h"
#include "server/job.h"
#include "server/tensor_file.h"

/* Of one test, between jobs_start and jobs_stop. */
struct support_jobs {
    struct blob_store *blobs;
    struct slab *slab, *persistent;
    struct pool *pool;
    struct arena arena;
    struct problem why;
    unsigned threads;
    uint64_t limit_bytes;
    char directory[40];
};
extern struct support_jobs jobs;

void jobs_start(void); /* two threads, 4 GiB */
void jobs_stop(void);
void jobs_threads(unsigned n);
struct job_context jobs_context(void);

/* Makes and runs one as a worker does; the problem is in jobs.why. run's callbacks are the caller's. */
bool jobs_try(const char *request, struct job *job, struct job_run *run);
/* The result of one that must succeed. */
const char *jobs_run(const char *request);
/* Of one that must be refused before it runs: jobs.why is of this kind, at this place. */
void jobs_refused(const char *request, enum problem_kind kind, const char *where);

/* The value at "a/b" of a JSON text, as JSON text; "" where there is none. */
const char *jobs_at(const char *json, const char *path);
uint64_t jobs_number(const char *json, const char *path);
double jobs_real(const char *json, const char *path);
/* The numbers of the output "name", "group/name". */
float *jobs_output(const char *result, const char *name, uint64_t *n);
/* Stores a file; its digest, in the arena. */
const char *jobs_upload(const void *data, size_t bytes);

#endif
