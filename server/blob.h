/* blob.h - content-addressed files: DATA/blobs/ab/<64 hex>, found by "sha256:<64 hex>".
 *
 * What is there is whole and never changes: a file is written under DATA/tmp, fsynced, renamed. A store may be used by
 * any number of threads and processes; one upload belongs to one thread at a time. */
#ifndef REMATD_SERVER_BLOB_H
#define REMATD_SERVER_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/problem.h"

#define BLOB_DIGEST_SIZE 72 /* "sha256:" + 64 hex + NUL */

struct blob_store;
struct blob_upload;

/* Makes DATA, DATA/blobs and DATA/tmp where they lack; removes uploads that a crash left behind (older than an hour).
 */
PROBLEM_MUST_CHECK struct blob_store *blob_open(const char *data_dir, struct problem *why);
void blob_close(struct blob_store *store); /* NULL is fine */

PROBLEM_MUST_CHECK struct blob_upload *blob_upload_new(struct blob_store *store, struct problem *why);
/* Hashes as it goes. PROBLEM_FULL on a full disk, PROBLEM_IO otherwise. */
PROBLEM_MUST_CHECK bool blob_upload_write(struct blob_upload *upload, const void *bytes, size_t n, struct problem *why);
int blob_upload_fd(const struct blob_upload *upload); /* borrowed; readable with pread */
uint64_t blob_upload_bytes(const struct blob_upload *upload);
/* What the bytes written so far hash to. */
PROBLEM_MUST_CHECK bool blob_upload_digest(const struct blob_upload *upload, char digest[BLOB_DIGEST_SIZE],
                                           struct problem *why);
/* fsync and rename; the same content twice is fine. Frees the upload, whatever comes of it. */
PROBLEM_MUST_CHECK bool blob_upload_commit(struct blob_upload *upload, char digest[BLOB_DIGEST_SIZE],
                                           struct problem *why);
void blob_upload_discard(struct blob_upload *upload); /* NULL is fine */

/* "sha256:" and 64 lower-case hex digits, nothing else. */
bool blob_digest_valid(const char *digest);
/* A read-only descriptor (yours: close), or -1 with PROBLEM_MALFORMED (the digest) or PROBLEM_NOT_FOUND. */
PROBLEM_MUST_CHECK int blob_read_open(struct blob_store *store, const char *digest, uint64_t *bytes,
                                      struct problem *why);
/* Who has it open reads on. */
PROBLEM_MUST_CHECK bool blob_remove(struct blob_store *store, const char *digest, struct problem *why);

#endif
