/* blob.h - content-addressed files: DATA/blobs/ab/<64 hex>, found by "sha256:<64 hex>".
 *
 * What is there is whole and never changes: a file is written under DATA/tmp, fsynced, renamed. A store may be used by
 * any number of threads and processes; one upload belongs to one thread at a time. It may be the near end of a far one,
 * which other machines use too: its files are copies then. */
#ifndef REMATD_SERVER_BLOB_H
#define REMATD_SERVER_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/problem.h"

#define BLOB_DIGEST_SIZE 72 /* "sha256:" + 64 hex + NUL */

struct blob_store;
struct blob_upload;

/* Makes DATA, DATA/blobs, its 256 directories, and DATA/tmp where they lack; removes uploads that a crash left behind
 * (older than an hour).
 */
PROBLEM_MUST_CHECK struct blob_store *blob_open(const char *data_dir, struct problem *why);
void blob_close(struct blob_store *store); /* NULL is fine */

/* Where blobs are that are not here: every new one is put there before it has its name here, and one that lacks is
 * fetched. Called from any thread. */
struct blob_far {
    void *context;
    int64_t patience_ms;
    bool (*put)(void *context, int64_t patience_ms, const char *digest, int fd, uint64_t bytes, struct problem *why);
    /* Writes all of it into the upload. *found: whether there is one. */
    bool (*get)(void *context, int64_t patience_ms, const char *digest, struct blob_upload *into, bool *found,
                struct problem *why);
};
/* Once, before others use the store. */
void blob_far(struct blob_store *store, const struct blob_far *far);
/* A number that this data directory has had since it was made: tells machines apart. */
uint64_t blob_host(const struct blob_store *store);

/* The most that DATA may hold, the store included, for every process over it (0: no bound), and for this process how
 * many bytes must stay free on the disk (of a small disk at most a sixteenth). What has no room is PROBLEM_FULL. */
void blob_limit(struct blob_store *store, uint64_t limit_bytes, uint64_t floor_bytes);
/* Whether there is room for anything. */
PROBLEM_MUST_CHECK bool blob_room(struct blob_store *store, struct problem *why);
/* What DATA holds: a sum that is kept, not counted. */
uint64_t blob_bytes(const struct blob_store *store);
/* For the daemon at its start, while nobody else uses the store: removes what uploads left behind and each file that
 * wanted does not want (or that is none of ours), and counts the rest. False from wanted with a problem ends it. */
PROBLEM_MUST_CHECK bool blob_tidy(struct blob_store *store,
                                  bool (*wanted)(void *context, const char *digest, struct problem *why), void *context,
                                  struct problem *why);
/* The same of named files alone, while others use the store. */
PROBLEM_MUST_CHECK bool blob_sweep(struct blob_store *store,
                                   bool (*wanted)(void *context, const char *digest, struct problem *why),
                                   void *context, struct problem *why);
/* Removes uploads that nobody has written to for an hour and nobody alive holds; blob_open does so too. */
void blob_stale_remove(struct blob_store *store);

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
/* The same for several of one store, which wait for the disk together. Those in front of one that fails have their
 * names. */
PROBLEM_MUST_CHECK bool blob_uploads_commit(struct blob_upload *const *uploads, size_t n, struct problem *why);
void blob_upload_discard(struct blob_upload *upload); /* NULL is fine */

/* "sha256:" and 64 lower-case hex digits, nothing else. */
bool blob_digest_valid(const char *digest);
/* A read-only descriptor (yours: close), or -1 with PROBLEM_MALFORMED (the digest) or PROBLEM_NOT_FOUND. */
PROBLEM_MUST_CHECK int blob_read_open(struct blob_store *store, const char *digest, uint64_t *bytes,
                                      struct problem *why);
/* Who has it open reads on. */
PROBLEM_MUST_CHECK bool blob_remove(struct blob_store *store, const char *digest, struct problem *why);

#endif
