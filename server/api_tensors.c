/* api_tensors.c - tensor files: sent once, named by their digest in any number of jobs. */
#include "server/api.h"

#include <string.h>

#include "server/blob.h"
#include "server/store.h"
#include "server/tensor_file.h"
#include "server/wire.h"

static const char *const type_of[] = {
    [TENSOR_FILE_SAFETENSORS] = "application/vnd.safetensors",
    [TENSOR_FILE_NPY] = "application/x-npy",
};

static const char *file_text(const struct tensor_file *file, const char *digest, uint64_t bytes, struct arena *arena,
                             size_t *text_bytes, struct problem *why) {
    struct wire_out out;
    wire_out_init(&out, arena, why);
    wire_open(&out, NULL, '{');
    wire_put_string(&out, "tensor", digest);
    wire_put_uint(&out, "bytes", bytes);
    wire_open(&out, "tensors", '[');
    for (unsigned i = 0; i < file->n_entries; i++) {
        const struct tensor_entry *entry = &file->entries[i];
        wire_open(&out, NULL, '{');
        wire_put_string(&out, "name", entry->name);
        wire_put_string(&out, "dtype", entry->boolean ? "bool" : dtype_name(entry->dtype));
        wire_open(&out, "shape", '[');
        for (unsigned d = 0; d < entry->rank; d++)
            wire_put_uint(&out, NULL, entry->shape[d]);
        wire_close(&out, ']');
        wire_close(&out, '}');
    }
    wire_close(&out, ']');
    wire_close(&out, '}');
    return wire_text(&out, text_bytes);
}

/* What was uploaded is read in full before it gets its name: a digest always stands for a readable file. The answer is
 * made before the commit, so that nothing can fail after it. */
static bool upload_keep(struct request *request, struct response *response, const char *wanted, struct problem *why) {
    struct tensor_file file;
    char digest[BLOB_DIGEST_SIZE];
    uint64_t bytes = blob_upload_bytes(request->upload);
    if (!tensor_file_read(blob_upload_fd(request->upload), bytes, request->arena, &file, why) ||
        !blob_upload_digest(request->upload, digest, why))
        return false;
    if (wanted && strcmp(wanted, digest) != 0)
        return problem_set(why, PROBLEM_SHAPE, "", "the body's digest is %s, not the one in the address", digest);
    response->status = 201;
    response->body = file_text(&file, digest, bytes, request->arena, &response->body_bytes, why);
    const char *location = arena_printf(request->arena, why, "/v1/tensors/%s", digest);
    if (!response->body || !location || !response_header(response, "Location", location))
        return false;
    if (!store_upload_add(request->service->store, digest, store_now_ms(request->service->store), why))
        return false;
    struct blob_upload *upload = request->upload;
    request->upload = NULL;
    return blob_upload_commit(upload, digest, why);
}

static bool upload(struct request *request, struct response *response, struct problem *why) {
    return upload_keep(request, response, NULL, why);
}

static bool digest_check(const char *digest, struct problem *why) {
    return blob_digest_valid(digest) ||
           problem_set(why, PROBLEM_MALFORMED, "", "a tensor is named sha256: and 64 lower-case hexadecimal digits");
}

static bool upload_checked(struct request *request, struct response *response, struct problem *why) {
    return digest_check(request->args[0], why) && upload_keep(request, response, request->args[0], why);
}

/* True where a client's If-None-Match names the digest. */
static bool is_unchanged(const struct request *request, const char *etag) {
    const char *known = request_header(request, "If-None-Match");
    return known && (strstr(known, etag) || strcmp(known, "*") == 0);
}

static bool fetch(struct request *request, struct response *response, struct problem *why) {
    struct tensor_file file;
    const char *digest = request->args[0];
    uint64_t bytes;
    int fd = blob_read_open(request->service->blobs, digest, &bytes, why);
    if (fd < 0)
        return false;
    response->fd = fd; /* http closes it, whatever comes */
    const char *etag = arena_printf(request->arena, why, "\"%s\"", digest);
    if (!etag || !tensor_file_read(fd, bytes, request->arena, &file, why) || !response_header(response, "ETag", etag))
        return false;
    if (is_unchanged(request, etag)) {
        response->status = 304;
        return true;
    }
    response->content_type = type_of[file.format];
    response->fd_bytes = bytes;
    return response_header(response, "Cache-Control", "private, max-age=31536000, immutable");
}

/* A store that has the bytes itself is asked, not the copy here: there may be none, and none may be had. */
static bool discard(struct request *request, struct response *response, struct problem *why) {
    const char *digest = request->args[0];
    struct problem here = {0};
    bool had = false;
    if (!digest_check(digest, why) || !store_upload_remove(request->service->store, digest, &had, why))
        return false;
    response->status = 204;
    return blob_remove(request->service->blobs, digest, &here) || (had && here.kind == PROBLEM_NOT_FOUND) ||
           problem_set(why, here.kind, "", "%s", here.detail);
}

const struct route api_tensor_routes[] = {
    {"POST", "/v1/tensors", BODY_STREAM, upload, SCOPE_SUBMIT, ROUTE_STORE},
    {"PUT", "/v1/tensors", BODY_STREAM, upload, SCOPE_SUBMIT, ROUTE_STORE},
    {"PUT", "/v1/tensors/{digest}", BODY_STREAM, upload_checked, SCOPE_SUBMIT, ROUTE_STORE},
    {"GET", "/v1/tensors/{digest}", BODY_NONE, fetch, SCOPE_READ},
    {"DELETE", "/v1/tensors/{digest}", BODY_NONE, discard, SCOPE_SUBMIT},
    {0},
};
