/* support_weights.c - see support_weights.h */
#include "tests/support_weights.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void support_blobs_open(struct support_blobs *b) {
    struct problem why = {0};
    *b = (struct support_blobs){.dir = "/tmp/rematd-weights-XXXXXX"};
    cr_assert(mkdtemp(b->dir));
    b->store = blob_open(b->dir, &why);
    cr_assert(b->store, "%s", why.detail);
}

void support_blobs_close(struct support_blobs *b) {
    char command[64];
    blob_close(b->store);
    snprintf(command, sizeof command, "rm -rf %s", b->dir);
    cr_assert_eq(system(command), 0);
}

void support_weights_upload(struct blob_store *blobs, const struct tensor_entry *entries, unsigned n,
                            void (*values)(void *user, unsigned i, float *numbers), void *user,
                            char digest[BLOB_DIGEST_SIZE]) {
    struct problem why = {0};
    struct arena a;
    size_t bytes = 0;
    arena_init(&a, 0);
    const char *header = tensor_file_safetensors_header(&a, entries, n, &bytes, &why);
    struct blob_upload *up = blob_upload_new(blobs, &why);
    cr_assert(header && up && blob_upload_write(up, header, bytes, &why), "%s", why.detail);
    for (unsigned i = 0; i < n; i++) {
        float *numbers = malloc(entries[i].bytes);
        cr_assert(numbers);
        values(user, i, numbers);
        cr_assert(blob_upload_write(up, numbers, entries[i].bytes, &why), "%s", why.detail);
        free(numbers);
    }
    cr_assert(blob_upload_commit(up, digest, &why), "%s", why.detail);
    arena_free(&a);
}

static void file_open(struct training_weights *w, struct blob_store *blobs, struct arena *a) {
    struct problem why = {0};
    uint64_t bytes;
    const int fd = blob_read_open(blobs, w->digest, &bytes, &why);
    cr_assert(fd >= 0 && tensor_file_read(fd, bytes, a, &w->file, &why), "%s", why.detail);
    close(fd);
}

void support_weights_check(struct blob_store *blobs, const char *digest, const struct graph *g, const char *type,
                           void (*expected)(void *user, uint32_t tensor, float *to), void *user) {
    struct problem why = {0};
    struct training_weights w = {.digest = digest};
    struct arena a;
    arena_init(&a, 0);
    file_open(&w, blobs, &a);
    cr_assert(job_training_weights_map(&w, g, type, &a, &why), "%s: %s", type, why.detail);
    for (uint32_t t = 0; t < g->n_tensors; t++) {
        const struct tensor *p = &g->tensors[t];
        if (p->role != TENSOR_PARAMETER)
            continue;
        float *want = malloc(p->bytes), *have = malloc(p->bytes);
        cr_assert(want && have);
        expected(user, t, want);
        cr_assert(job_training_weights_fill(&w, g, t, blobs, have, &why), "%s", why.detail);
        cr_assert_eq(memcmp(have, want, p->bytes), 0, "%s: %s", type, p->name);
        free(want);
        free(have);
    }
    arena_free(&a);
    cr_assert(blob_remove(blobs, digest, &why));
}
