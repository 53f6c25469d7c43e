/* store_carry.c - see store_carry.h */
#include "server/store_carry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/store_private.h"

#define AGAIN_MS 200
#define PUTS     3 /* of one tensor, until all of it is there */

/* A blob on its way, piece by piece: others may use the connection in between. */
struct carrying {
    struct store *store;
    const char *digest;
    int64_t patience_ms, patient_until_ms;
    char *chunk;
};

/* Whether to ask once more; each answer renews the patience. Every step may be done twice. */
static bool again(struct carrying *c, bool ok, struct problem *why) {
    if (ok || why->kind != PROBLEM_IO || clock_steady_ms() >= c->patient_until_ms) {
        c->patient_until_ms = clock_steady_ms() + c->patience_ms;
        return false;
    }
    *why = (struct problem){0};
    nanosleep(&(struct timespec){.tv_nsec = AGAIN_MS * 1000000}, NULL);
    return true;
}

static bool sealed(struct carrying *c, uint64_t *bytes, bool *is, struct problem *why) {
    bool ok;
    do
        ok = store_enter(c->store, false, why) &&
             store_leave(c->store, false, c->store->kind->blob_sealed(c->store, c->digest, bytes, is, why), why);
    while (again(c, ok, why));
    return ok;
}

/* Within a transaction that writes: nobody begins to drop it in between. */
static bool seal_known(struct carrying *c, uint64_t bytes, bool *whole, struct problem *why) {
    bool known = false;
    return store_blob_ask(c->store, SQL_BLOB_KNOWN, c->digest, &known, why) &&
           (known || problem_set(why, PROBLEM_NOT_FOUND, "", "tensor %s was deleted while it was sent", c->digest)) &&
           c->store->kind->blob_seal(c->store, c->digest, bytes, whole, why);
}

static bool seal(struct carrying *c, uint64_t bytes, bool *whole, struct problem *why) {
    bool ok;
    do
        ok = store_enter(c->store, true, why) && store_leave(c->store, true, seal_known(c, bytes, whole, why), why);
    while (again(c, ok, why));
    return ok;
}

static bool chunk_put(struct carrying *c, uint64_t n, size_t bytes, struct problem *why) {
    bool ok;
    do
        ok = store_enter(c->store, false, why) &&
             store_leave(c->store, false, c->store->kind->blob_put(c->store, c->digest, n, c->chunk, bytes, why), why);
    while (again(c, ok, why));
    return ok;
}

static bool chunk_get(struct carrying *c, uint64_t n, size_t *bytes, struct problem *why) {
    bool ok;
    do
        ok = store_enter(c->store, false, why) &&
             store_leave(c->store, false, c->store->kind->blob_get(c->store, c->digest, n, c->chunk, bytes, why), why);
    while (again(c, ok, why));
    return ok;
}

static bool begin(struct carrying *c, struct store *s, int64_t patience_ms, const char *digest, struct problem *why) {
    *c = (struct carrying){.store = s, .digest = digest, .patience_ms = patience_ms};
    c->patient_until_ms = clock_steady_ms() + patience_ms;
    c->chunk = malloc(STORE_CHUNK_BYTES);
    return c->chunk || problem_set(why, PROBLEM_MEMORY, "", "no memory to carry a tensor");
}

static bool chunks_put(struct carrying *c, int fd, uint64_t bytes, struct problem *why) {
    for (uint64_t n = 0, at = 0; at < bytes; n++) {
        size_t want = bytes - at < STORE_CHUNK_BYTES ? (size_t)(bytes - at) : STORE_CHUNK_BYTES, have = 0;
        while (have < want) {
            ssize_t got = pread(fd, c->chunk + have, want - have, (off_t)(at + have));
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0)
                return problem_set(why, PROBLEM_IO, "", "cannot read back a tensor: %s", got ? strerror(errno) : "end");
            have += (size_t)got;
        }
        if (!chunk_put(c, n, want, why))
            return false;
        at += want;
    }
    return true;
}

/* What was put and is not there any more went with a server that crashed, or with a deletion: it is put again. */
static bool all_put(struct carrying *c, int fd, uint64_t bytes, struct problem *why) {
    bool whole = false;
    for (unsigned i = 0; i < PUTS && !whole; i++)
        if (!chunks_put(c, fd, bytes, why) || !seal(c, bytes, &whole, why))
            return false;
    return whole || problem_set(why, PROBLEM_IO, "", "the store does not keep all of tensor %s", c->digest);
}

static bool put(void *store, int64_t patience_ms, const char *digest, int fd, uint64_t bytes, struct problem *why) {
    struct carrying c;
    uint64_t there = 0;
    bool is = false;
    bool ok = begin(&c, store, patience_ms, digest, why) && sealed(&c, &there, &is, why) &&
              (is || all_put(&c, fd, bytes, why));
    free(c.chunk);
    return ok;
}

static bool all_get(struct carrying *c, struct blob_upload *into, uint64_t bytes, struct problem *why) {
    size_t got = 0;
    for (uint64_t n = 0, at = 0; at < bytes; n++, at += got) {
        if (!chunk_get(c, n, &got, why))
            return false;
        if (got == 0 || got > bytes - at)
            return problem_set(why, PROBLEM_IO, "", "the store has not all of tensor %s", c->digest);
        if (!blob_upload_write(into, c->chunk, got, why))
            return false;
    }
    return true;
}

static bool get(void *store, int64_t patience_ms, const char *digest, struct blob_upload *into, bool *found,
                struct problem *why) {
    struct carrying c;
    uint64_t bytes = 0;
    bool ok = begin(&c, store, patience_ms, digest, why) && sealed(&c, &bytes, found, why) &&
              (!*found || all_get(&c, into, bytes, why));
    free(c.chunk);
    return ok;
}

void store_carry(struct store *s, struct blob_store *blobs, int64_t patience_ms) {
    if (store_shared(s))
        blob_far(blobs, &(struct blob_far){.context = s, .patience_ms = patience_ms, .put = put, .get = get});
}

static bool kept(void *store, const char *digest, struct problem *why) {
    bool is = false;
    return store_blob_kept(store, digest, &is, why) && is;
}

bool store_carry_tidy(struct store *s, struct blob_store *blobs, struct problem *why) {
    return !store_shared(s) || blob_sweep(blobs, kept, s, why);
}
