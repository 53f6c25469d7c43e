/* job_result.c - see job_result.h */
#include "server/job_result.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/units.h"

uint64_t job_elements(const struct job_file *file) {
    uint64_t n = 1;
    for (unsigned i = 0; i < file->rank; i++)
        n *= file->shape[i];
    return n;
}

static const char *full_name(const struct job_file *file, uint32_t index, struct arena *a, struct problem *why) {
    if (!file->group)
        return file->name;
    return file->name ? arena_printf(a, why, "%s.%s", file->group, file->name)
                      : arena_printf(a, why, "%s.%u", file->group, index);
}

bool job_file_write(struct job_file *file, uint32_t index, const void *data, struct job_staged *staged,
                    const struct job_context *c, const struct job_run *run, struct problem *why) {
    struct tensor_entry entry = {.name = full_name(file, index, c->arena, why),
                                 .dtype = file->dtype,
                                 .rank = file->rank,
                                 .bytes = job_elements(file) * dtype_bytes(file->dtype)};
    size_t header_bytes;
    memcpy(entry.shape, file->shape, sizeof file->shape);
    char *header = entry.name ? tensor_file_safetensors_header(c->arena, &entry, 1, &header_bytes, why) : NULL;
    struct blob_upload *upload = header ? blob_upload_new(c->blobs, why) : NULL;
    if (!upload)
        return false;
    if (!blob_upload_write(upload, header, header_bytes, why) || !blob_upload_write(upload, data, entry.bytes, why) ||
        !blob_upload_digest(upload, file->digest, why)) {
        blob_upload_discard(upload);
        return false;
    }
    staged->uploads[staged->n] = upload;
    staged->digests[staged->n++] = file->digest;
    staged->bytes += entry.bytes;
    return (staged->n < JOB_STAGED_MAX && staged->bytes < JOB_STAGED_BYTES) || job_files_keep(staged, run, why);
}

bool job_files_keep(struct job_staged *staged, const struct job_run *run, struct problem *why) {
    if (staged->n && run->making && !run->making(run->user, staged->digests, staged->n, why)) {
        job_files_discard(staged);
        return false;
    }
    const unsigned n = staged->n;
    staged->n = 0;
    staged->bytes = 0;
    return blob_uploads_commit(staged->uploads, n, why);
}

void job_files_discard(struct job_staged *staged) {
    while (staged->n)
        blob_upload_discard(staged->uploads[--staged->n]);
    staged->bytes = 0;
}

static void file_put(struct wire_out *o, const char *key, const struct job_file *file) {
    char href[32 + BLOB_DIGEST_SIZE];
    wire_open(o, key, '{');
    wire_open(o, "shape", '[');
    for (unsigned i = 0; i < file->rank; i++)
        wire_put_uint(o, NULL, file->shape[i]);
    wire_close(o, ']');
    wire_put_string(o, "dtype", dtype_name(file->dtype));
    wire_put_string(o, "tensor", file->digest);
    snprintf(href, sizeof href, "/v1/tensors/%s", file->digest);
    wire_put_string(o, "href", href);
    wire_close(o, '}');
}

static bool same_group(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

void job_files_put(struct wire_out *o, const char *key, const struct job_file *files, uint32_t n) {
    const char *open = NULL;
    char bracket = '}';
    wire_open(o, key, '{');
    for (uint32_t i = 0; i < n; i++) {
        const struct job_file *file = &files[i];
        if (!file->digest[0])
            continue;
        if (open && !same_group(open, file->group))
            wire_close(o, bracket);
        if (file->group && !same_group(open, file->group)) {
            wire_open(o, file->group, file->name ? '{' : '[');
            bracket = file->name ? '}' : ']';
        }
        open = file->group;
        file_put(o, file->name, file);
    }
    if (open)
        wire_close(o, bracket);
    wire_close(o, '}');
}

static void chunk_compare(const float *a, const float *b, size_t n, struct job_difference *difference) {
    if (memcmp(a, b, n * sizeof *a) == 0)
        return;
    difference->identical = false;
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof a[i]) != 0) {
            double d = fabs((double)a[i] - (double)b[i]);
            if (isnan(d) || d > difference->max_abs_diff)
                difference->max_abs_diff = d;
        }
}

/* Opens the file and says where its numbers begin. */
static int numbers_open(const struct job_file *file, const struct job_context *c, off_t *at, struct problem *why) {
    uint64_t bytes, wanted = job_elements(file) * sizeof(float);
    int fd = blob_read_open(c->blobs, file->digest, &bytes, why);
    if (fd < 0)
        return -1;
    if (bytes < wanted) {
        close(fd);
        problem_set(why, PROBLEM_IO, "", "the file of a tensor is too short");
        return -1;
    }
    *at = (off_t)(bytes - wanted);
    return fd;
}

static bool numbers_read(int fd, off_t at, float *data, uint64_t n, struct problem *why) {
    unsigned char *to = (unsigned char *)data;
    for (uint64_t left = n * sizeof *data; left;) {
        ssize_t got = pread(fd, to, left, at);
        if (got <= 0)
            return problem_set(why, PROBLEM_IO, "", "the file of a tensor could not be read");
        to += got;
        at += got;
        left -= (uint64_t)got;
    }
    return true;
}

bool job_file_load(const struct job_file *file, float *data, const struct job_context *c, struct problem *why) {
    off_t at;
    int fd = numbers_open(file, c, &at, why);
    if (fd < 0)
        return false;
    bool ok = numbers_read(fd, at, data, job_elements(file), why);
    close(fd);
    return ok;
}

bool job_file_compare(const struct job_file *file, const float *data, const struct job_context *c,
                      struct job_difference *difference, struct problem *why) {
    enum { CHUNK = 16384 };
    off_t at;
    float *chunk = arena_new(c->arena, float, CHUNK, why);
    int fd = chunk ? numbers_open(file, c, &at, why) : -1;
    if (fd < 0)
        return false;
    bool ok = true;
    for (uint64_t left = job_elements(file), n; ok && left; left -= n) {
        n = units_min(left, CHUNK);
        ok = numbers_read(fd, at, chunk, n, why);
        if (ok)
            chunk_compare(data, chunk, n, difference);
        data += n;
        at += (off_t)(n * sizeof *data);
    }
    close(fd);
    return ok;
}
