/* api_job_tensors.c - a job's outputs as files: all of them in one safetensors file, or one as safetensors or npy.
 *
 * Each output is a blob already. One goes out as a header and a part of its blob; several are put behind one header in
 * a file that has no name any more when it is sent. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "server/api.h"
#include "server/api_jobs.h"
#include "server/config.h"
#include "server/tensor_file.h"

#define OUTPUTS_MAX TENSOR_FILE_ENTRIES_MAX

struct output {
    const char *digest;
    struct tensor_entry entry; /* under its name in the result; where its data is in its own file */
};

struct outputs {
    struct arena *arena;
    struct output *list;
    unsigned n;
};

/* "grad_parameters.0.linear.weight": the way through the result, joined by dots. */
static bool outputs_walk(struct outputs *out, const struct wire_value *v, const char *name, struct problem *why);

static bool children_walk(struct outputs *out, const struct wire_value *v, const char *name, struct problem *why) {
    bool list = wire_type(v) == WIRE_ARRAY;
    struct wire_value child;
    for (size_t i = 0; list ? i < wire_length(v) : wire_member(v, i, &child); i++) {
        if (list)
            child = wire_at(v, i);
        const char *full = list    ? arena_printf(out->arena, why, "%s.%zu", name, i)
                           : *name ? arena_printf(out->arena, why, "%s.%s", name, child.key)
                                   : arena_printf(out->arena, why, "%s", child.key);
        if (!full || !outputs_walk(out, &child, full, why))
            return false;
    }
    return true;
}

static bool outputs_walk(struct outputs *out, const struct wire_value *v, const char *name, struct problem *why) {
    struct wire_value tensor;
    const char *digest;
    if (wire_type(v) != WIRE_OBJECT || !wire_get(v, "tensor", &tensor))
        return wire_type(v) < WIRE_ARRAY || children_walk(out, v, name, why);
    if (out->n == OUTPUTS_MAX)
        return problem_set(why, PROBLEM_LIMIT, "", "the job has more than %u outputs; fetch them one by one",
                           OUTPUTS_MAX);
    if (!wire_string(&tensor, &digest, why))
        return false;
    struct output *o = &out->list[out->n++];
    o->digest = arena_copy(out->arena, digest, strlen(digest) + 1, why);
    o->entry.name = name;
    return o->digest != NULL;
}

/* The outputs of a finished job. */
static bool outputs_read(struct request *request, struct outputs *out, struct problem *why) {
    const char *id = api_jobs_id(request->args[0], why);
    struct store_job job;
    struct wire_value outputs;
    if (!id || !store_get(request->service->store, id, request->arena, &job, why))
        return false;
    if (!store_state_finished(job.state))
        return problem_set(why, PROBLEM_STATE, "", "the job has not finished");
    *out = (struct outputs){.arena = request->arena};
    out->list = arena_new(request->arena, struct output, OUTPUTS_MAX, why);
    struct wire_document *d = out->list && job.result ? wire_parse(job.result, strlen(job.result), why) : NULL;
    if (!d)
        return why->kind == PROBLEM_NONE ? problem_set(why, PROBLEM_NOT_FOUND, "", "the job has no outputs") : false;
    struct wire_value root = wire_root(d);
    bool ok = !wire_get(&root, "outputs", &outputs) || children_walk(out, &outputs, "", why);
    wire_document_free(d);
    return ok && (out->n || problem_set(why, PROBLEM_NOT_FOUND, "", "the job has no outputs"));
}

/* Opens an output's blob and finds its numbers. */
static int output_open(struct request *request, struct output *o, struct problem *why) {
    struct tensor_file file;
    uint64_t bytes;
    int fd = blob_read_open(request->service->blobs, o->digest, &bytes, why);
    if (fd < 0)
        return -1;
    const struct tensor_entry *entry =
        tensor_file_read(fd, bytes, request->arena, &file, why) ? tensor_file_find(&file, NULL, why) : NULL;
    if (!entry) {
        close(fd);
        return -1;
    }
    const char *name = o->entry.name;
    o->entry = *entry;
    o->entry.name = name;
    return fd;
}

/* ---- what the client takes ---- */

enum format { SAFETENSORS, NPY, FORMATS };
static const struct route_format accepted[] = {{"application/vnd.safetensors", SAFETENSORS},
                                               {"application/octet-stream", SAFETENSORS},
                                               {"application/*", SAFETENSORS},
                                               {"*/*", SAFETENSORS},
                                               {"application/x-npy", NPY},
                                               {"application/npy", NPY}};
#define ACCEPTED ((unsigned)(sizeof accepted / sizeof accepted[0]))
static const char *const types[FORMATS] = {"application/vnd.safetensors", "application/x-npy"};

static bool not_acceptable(const struct request *request, struct response *response, struct problem *why) {
    problem_set(why, PROBLEM_UNSUPPORTED, "", "comes as application/vnd.safetensors%s",
                request->args[1] ? " or application/x-npy" : "");
    response->status = 406;
    response->content_type = "application/problem+json";
    response->body = route_problem_body(why, 406, request->arena, &response->body_bytes);
    return response->body != NULL;
}

/* ---- answers ---- */

static bool answer_one(struct request *request, struct response *response, struct output *o, unsigned format,
                       struct problem *why) {
    int fd = output_open(request, o, why);
    if (fd < 0)
        return false;
    response->fd = fd;
    response->fd_offset = o->entry.offset;
    response->fd_bytes = o->entry.bytes;
    response->content_type = types[format];
    response->body = format == NPY
                         ? tensor_file_npy_header(request->arena, &o->entry, &response->body_bytes, why)
                         : tensor_file_safetensors_header(request->arena, &o->entry, 1, &response->body_bytes, why);
    return response->body != NULL;
}

static bool append(int to, int from, const struct tensor_entry *entry, struct problem *why) {
    off_t at = (off_t)entry->offset;
    for (uint64_t left = entry->bytes; left;) {
        ssize_t n = copy_file_range(from, &at, to, NULL, left, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return problem_set(why, n < 0 && errno == ENOSPC ? PROBLEM_FULL : PROBLEM_IO, "",
                               "the outputs could not be put together: %s",
                               n < 0 ? strerror(errno) : "a file is too short");
        left -= (uint64_t)n;
    }
    return true;
}

static int nameless_file(const struct request *request, struct problem *why) {
    char *name = arena_printf(request->arena, why, "%s/tmp/outputs-XXXXXX", request->service->config->data_dir);
    if (!name)
        return -1;
    int fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        problem_set(why, PROBLEM_IO, "", "no file for the outputs: %s", strerror(errno));
    else
        unlink(name);
    return fd;
}

/* Headers need the sizes of all before the data of the first: every blob is opened twice rather than all at once. */
static bool answer_all(struct request *request, struct response *response, struct outputs *out, struct problem *why) {
    struct tensor_entry *entries = arena_new(request->arena, struct tensor_entry, out->n, why);
    if (!entries)
        return false;
    for (unsigned i = 0; i < out->n; i++) {
        int fd = output_open(request, &out->list[i], why);
        if (fd < 0)
            return false;
        close(fd);
        entries[i] = out->list[i].entry;
    }
    response->body = tensor_file_safetensors_header(request->arena, entries, out->n, &response->body_bytes, why);
    response->fd = response->body ? nameless_file(request, why) : -1;
    bool ok = response->fd >= 0;
    for (unsigned i = 0; ok && i < out->n; i++) {
        int fd = output_open(request, &out->list[i], why);
        ok = fd >= 0 && append(response->fd, fd, &entries[i], why);
        if (fd >= 0)
            close(fd);
        response->fd_bytes += entries[i].bytes;
    }
    response->content_type = types[SAFETENSORS];
    return ok;
}

static bool all(struct request *request, struct response *response, struct problem *why) {
    struct outputs out;
    unsigned format;
    if (!outputs_read(request, &out, why))
        return false;
    if (!request_format(request, accepted, ACCEPTED, 1u << SAFETENSORS, &format))
        return not_acceptable(request, response, why);
    return out.n == 1 ? answer_one(request, response, &out.list[0], SAFETENSORS, why)
                      : answer_all(request, response, &out, why);
}

static bool one(struct request *request, struct response *response, struct problem *why) {
    struct outputs out;
    unsigned format;
    if (!outputs_read(request, &out, why))
        return false;
    for (unsigned i = 0; i < out.n; i++)
        if (strcmp(out.list[i].entry.name, request->args[1]) == 0) {
            if (!request_format(request, accepted, ACCEPTED, 1u << SAFETENSORS | 1u << NPY, &format))
                return not_acceptable(request, response, why);
            return answer_one(request, response, &out.list[i], format, why);
        }
    return problem_set(why, PROBLEM_NOT_FOUND, "", "the job has no output %.100s", request->args[1]);
}

const struct route api_job_tensor_routes[] = {
    {"GET", "/v1/jobs/{id}/tensors", BODY_NONE, all, SCOPE_READ},
    {"GET", "/v1/jobs/{id}/tensors/{name}", BODY_NONE, one, SCOPE_READ},
    {0},
};
