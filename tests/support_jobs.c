/* support_jobs.c - see support_jobs.h */
#include "tests/support_jobs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct support_jobs jobs;

void jobs_start(void) {
    jobs = (struct support_jobs){.threads = 2, .limit_bytes = (uint64_t)1 << 32};
    strcpy(jobs.directory, "/dev/shm/rematd-jobs-XXXXXX"); /* hundreds of files, each synced */
    if (!mkdtemp(jobs.directory))
        cr_assert(mkdtemp(strcpy(jobs.directory, "/tmp/rematd-jobs-XXXXXX")));
    arena_init(&jobs.arena, 0);
    cr_assert((jobs.blobs = blob_open(jobs.directory, &jobs.why)) && (jobs.slab = slab_new(&jobs.why)) &&
              (jobs.persistent = slab_new(&jobs.why)) && (jobs.pool = pool_new(jobs.threads, &jobs.why)));
}

void jobs_stop(void) {
    char command[64];
    pool_free(jobs.pool);
    slab_free(jobs.slab);
    slab_free(jobs.persistent);
    blob_close(jobs.blobs);
    arena_free(&jobs.arena);
    snprintf(command, sizeof command, "rm -r %s", jobs.directory);
    cr_assert(system(command) == 0);
}

void jobs_threads(unsigned n) {
    pool_free(jobs.pool);
    jobs.threads = n;
    cr_assert((jobs.pool = pool_new(n, &jobs.why)));
}

struct job_context jobs_context(void) {
    return (struct job_context){
        .arena = &jobs.arena, .blobs = jobs.blobs, .threads = jobs.threads, .memory_limit_bytes = jobs.limit_bytes};
}

/* ---- running ---- */

bool jobs_try(const char *request, struct job *job, struct job_run *run) {
    struct job_context c = jobs_context();
    jobs.why = (struct problem){0};
    run->slab = jobs.slab;
    run->persistent = jobs.persistent;
    run->pool = jobs.pool;
    return job_make(job, request, strlen(request), &c, &jobs.why) && job->kind->run(job, &c, run, &jobs.why);
}

const char *jobs_run(const char *request) {
    struct job job;
    struct job_run run = {0};
    cr_assert(jobs_try(request, &job, &run), "%s\n%s at '%s': %s", request, problem_slug(jobs.why.kind), jobs.why.where,
              jobs.why.detail);
    return run.result;
}

void jobs_refused(const char *request, enum problem_kind kind, const char *where) {
    struct job_context c = jobs_context();
    struct job job;
    jobs.why = (struct problem){0};
    cr_assert_not(job_make(&job, request, strlen(request), &c, &jobs.why), "%s", request);
    cr_expect_eq(jobs.why.kind, kind, "%s: %s", problem_slug(jobs.why.kind), jobs.why.detail);
    cr_expect_str_eq(jobs.why.where, where, "%s: %s", jobs.why.where, jobs.why.detail);
}

/* ---- looking ---- */

const char *jobs_at(const char *json, const char *path) {
    struct problem w = {0};
    struct wire_document *d = wire_parse(json, strlen(json), &w);
    cr_assert(d, "%s: %s", w.detail, json);
    struct wire_value values[8] = {wire_root(d)};
    char copy[128], *save, *name;
    unsigned depth = 0;
    snprintf(copy, sizeof copy, "%s", path);
    for (name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save), depth++) {
        bool list = wire_type(&values[depth]) == WIRE_ARRAY;
        if (list && (size_t)atoi(name) < wire_length(&values[depth]))
            values[depth + 1] = wire_at(&values[depth], (size_t)atoi(name));
        else if (list || wire_type(&values[depth]) != WIRE_OBJECT ||
                 !wire_get(&values[depth], name, &values[depth + 1]))
            break;
    }
    const char *text = name ? "" : wire_json(&values[depth], &jobs.arena, &w);
    wire_document_free(d);
    return text;
}

uint64_t jobs_number(const char *json, const char *path) {
    const char *text = jobs_at(json, path);
    cr_assert(*text, "%s has no %s", json, path);
    return strtoull(text, NULL, 10);
}

double jobs_real(const char *json, const char *path) {
    const char *text = jobs_at(json, path);
    cr_assert(*text, "%s has no %s", json, path);
    return strtod(text, NULL);
}

float *jobs_output(const char *result, const char *name, uint64_t *n) {
    char path[128], digest[BLOB_DIGEST_SIZE];
    struct tensor_file file;
    uint64_t bytes;
    snprintf(path, sizeof path, "outputs/%s/tensor", name);
    cr_assert(sscanf(jobs_at(result, path), "\"%71[^\"]", digest) == 1, "no %s", name);
    int fd = blob_read_open(jobs.blobs, digest, &bytes, &jobs.why);
    cr_assert(fd >= 0 && tensor_file_read(fd, bytes, &jobs.arena, &file, &jobs.why), "%s", jobs.why.detail);
    *n = tensor_file_elements(&file.entries[0]);
    float *data = arena_new(&jobs.arena, float, *n, &jobs.why);
    cr_assert(tensor_file_load(fd, &file.entries[0], data, &jobs.why));
    close(fd);
    return data;
}

const char *jobs_upload(const void *data, size_t bytes) {
    char digest[BLOB_DIGEST_SIZE];
    struct blob_upload *upload = blob_upload_new(jobs.blobs, &jobs.why);
    cr_assert(upload && blob_upload_write(upload, data, bytes, &jobs.why) &&
                  blob_upload_commit(upload, digest, &jobs.why),
              "%s", jobs.why.detail);
    return arena_copy(&jobs.arena, digest, strlen(digest) + 1, &jobs.why);
}
