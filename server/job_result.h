/* job_result.h - the parts of a job's result that are files: written as blobs, named in JSON, compared bit for bit. */
#ifndef REMATD_SERVER_JOB_RESULT_H
#define REMATD_SERVER_JOB_RESULT_H

#include "server/job_program.h"

/* One tensor as a safetensors file of its own; digest "" while there is none. */
struct job_file {
    const char *group, *name;
    char digest[BLOB_DIGEST_SIZE];
    enum dtype dtype; /* float32 unless it is said; what is loaded or compared is float32 */
    unsigned rank;
    uint64_t shape[GRAPH_RANK_MAX];
};

/* Files that are written and have no name yet: they wait for the disk together, so many or so many bytes of them. */
#define JOB_STAGED_MAX   32u
#define JOB_STAGED_BYTES ((uint64_t)64 << 20)
struct job_staged {
    struct blob_upload *uploads[JOB_STAGED_MAX];
    const char *digests[JOB_STAGED_MAX]; /* of job files */
    unsigned n;
    uint64_t bytes;
};

/* Writes file->group.name (or .index, or the name alone) with the numbers at data; sets file->digest. It can be read
 * after job_files_keep. */
PROBLEM_MUST_CHECK bool job_file_write(struct job_file *file, uint32_t index, const void *data,
                                       struct job_staged *staged, const struct job_context *c,
                                       const struct job_run *run, struct problem *why);
/* All that is staged is on disk under its name when it returns; staged is empty then, whatever comes of it. */
PROBLEM_MUST_CHECK bool job_files_keep(struct job_staged *staged, const struct job_run *run, struct problem *why);
void job_files_discard(struct job_staged *staged);

/* "key": {name: R, group: {name: R} or [R]} of those that have a digest; neighbours of one group belong together. */
void job_files_put(struct wire_out *o, const char *key, const struct job_file *files, uint32_t n);

/* Reads the numbers back. */
PROBLEM_MUST_CHECK bool job_file_load(const struct job_file *file, float *data, const struct job_context *c,
                                      struct problem *why);

struct job_difference {
    bool identical;
    double max_abs_diff; /* not a number where one side is not */
};
/* Compares data with the numbers in the file. */
PROBLEM_MUST_CHECK bool job_file_compare(const struct job_file *file, const float *data, const struct job_context *c,
                                         struct job_difference *difference, struct problem *why);

uint64_t job_elements(const struct job_file *file);

#endif
