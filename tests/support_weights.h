/* support_weights.h - an uploaded file of weights, held to what its parameters should be. Asserts with Criterion. */
#ifndef REMATD_TESTS_SUPPORT_WEIGHTS_H
#define REMATD_TESTS_SUPPORT_WEIGHTS_H

#include "server/job_training_weights.h"

/* A store of blobs in a directory of its own, and both gone again. */
struct support_blobs {
    char dir[40];
    struct blob_store *store;
};
void support_blobs_open(struct support_blobs *b);
void support_blobs_close(struct support_blobs *b);

/* Uploads n float32 tensors as one file: values(user, i, numbers) makes those of entries[i]. */
void support_weights_upload(struct blob_store *blobs, const struct tensor_entry *entries, unsigned n,
                            void (*values)(void *user, unsigned i, float *numbers), void *user,
                            char digest[BLOB_DIGEST_SIZE]);

/* Reads the file as a job of a model of this type does, and takes it away: every parameter of g is, byte for byte, what
 * expected(user, tensor, to) makes. */
void support_weights_check(struct blob_store *blobs, const char *digest, const struct graph *g, const char *type,
                           void (*expected)(void *user, uint32_t tensor, float *to), void *user);

#endif
