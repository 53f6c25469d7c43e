/* blob.c - see blob.h. A reader can meet a file only under its final name, so it is whole; a crash leaves files in tmp
 * alone, and those go at a later start. */
#include "server/blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/blob_usage.h"

#define DIGEST_PREFIX        "sha256:"
#define DIGEST_PREFIX_LENGTH 7u
#define DIGEST_HEX           64u
#define STALE_SECONDS        3600
#define NAME_ROOM            1280u
#define DIRECTORY            "%s/blobs/%02x"
#define DIRECTORIES          256u

struct blob_store {
    struct blob_usage *usage;
    struct blob_far far;
    char root[1024];
};

struct blob_upload {
    struct blob_store *store;
    gnutls_hash_hd_t hash;
    int fd;
    uint64_t bytes, taken; /* written; counted as used */
    char name[NAME_ROOM];
};

static bool disk_problem(struct problem *why, const char *what, const char *name) {
    enum problem_kind kind = errno == ENOSPC || errno == EDQUOT ? PROBLEM_FULL : PROBLEM_IO;
    return problem_set(why, kind, "", "cannot %s %s: %s", what, name, strerror(errno));
}

static bool directory_sync(const char *name, struct problem *why) {
    int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return disk_problem(why, "open", name);
    bool good = fsync(fd) == 0 || disk_problem(why, "sync", name);
    close(fd);
    return good;
}

/* A new one's name is on disk too when it returns. */
static bool directory_make(const char *name, struct problem *why) {
    if (mkdir(name, 0700) != 0)
        return errno == EEXIST || disk_problem(why, "make", name);
    char parent[NAME_ROOM];
    snprintf(parent, sizeof parent, "%s", name);
    char *slash = strrchr(parent, '/');
    if (!slash)
        return directory_sync(".", why);
    *(slash == parent ? slash + 1 : slash) = '\0';
    return access(parent, R_OK) != 0 || directory_sync(parent, why); /* one that may not be read is not ours to keep */
}

/* mkdir -p: the data directory may be several levels below what exists. */
static bool directories_make(const char *path, struct problem *why) {
    char part[1024];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (!directory_make(part, why))
            return false;
        *slash = '/';
    }
    return directory_make(part, why);
}

/* Whose upload it is holds a lock of it while it lives, however long it does not write: a job may stage its inputs
 * hours before they get their names. */
static bool is_given_up(int directory, const char *name, uint64_t *bytes) {
    struct stat facts;
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool stale =
        fstat(fd, &facts) == 0 && facts.st_mtime + STALE_SECONDS < time(NULL) && flock(fd, LOCK_EX | LOCK_NB) == 0;
    *bytes = stale ? (uint64_t)facts.st_size : 0;
    close(fd);
    return stale;
}

void blob_stale_remove(struct blob_store *store) {
    char name[NAME_ROOM + 256];
    snprintf(name, sizeof name, "%s/tmp", store->root);
    DIR *directory = opendir(name);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        uint64_t bytes;
        if (strncmp(entry->d_name, "upload-", 7) == 0 && is_given_up(dirfd(directory), entry->d_name, &bytes) &&
            unlinkat(dirfd(directory), entry->d_name, 0) == 0)
            blob_usage_give(store->usage, bytes);
    }
    closedir(directory);
}

/* blobs/00 ... blobs/ff. Whoever opens the store has their names on disk, whether it made them or another process,
 * which may not have come to that yet. */
static bool blobs_make(const struct blob_store *store, struct problem *why) {
    char name[NAME_ROOM];
    snprintf(name, sizeof name, "%s/blobs", store->root);
    bool good = directory_make(name, why);
    for (unsigned i = 0; good && i < DIRECTORIES; i++) {
        snprintf(name, sizeof name, DIRECTORY, store->root, i);
        good = mkdir(name, 0700) == 0 || errno == EEXIST || disk_problem(why, "make", name);
    }
    snprintf(name, sizeof name, "%s/blobs", store->root);
    return good && directory_sync(name, why);
}

struct blob_store *blob_open(const char *data_dir, struct problem *why) {
    struct blob_store *store = calloc(1, sizeof *store);
    if (!store) {
        problem_set(why, PROBLEM_MEMORY, "", "no memory for the blob store");
        return NULL;
    }
    if (strlen(data_dir) >= sizeof store->root) {
        problem_set(why, PROBLEM_LIMIT, "", "the data directory's name is too long");
        free(store);
        return NULL;
    }
    snprintf(store->root, sizeof store->root, "%s", data_dir);
    char name[NAME_ROOM];
    bool good = directories_make(data_dir, why) && blobs_make(store, why);
    snprintf(name, sizeof name, "%s/tmp", data_dir);
    good = good && directory_make(name, why);
    if (!good || !(store->usage = blob_usage_open(data_dir, why))) {
        free(store);
        return NULL;
    }
    blob_stale_remove(store);
    return store;
}

void blob_close(struct blob_store *store) {
    if (store)
        blob_usage_close(store->usage);
    free(store);
}

void blob_far(struct blob_store *store, const struct blob_far *far) {
    store->far = *far;
}

uint64_t blob_host(const struct blob_store *store) {
    return blob_usage_host(store->usage);
}

void blob_limit(struct blob_store *store, uint64_t limit_bytes, uint64_t floor_bytes) {
    blob_usage_limit(store->usage, limit_bytes);
    blob_usage_floor(store->usage, floor_bytes);
}

bool blob_room(struct blob_store *store, struct problem *why) {
    return blob_usage_take(store->usage, 0, why);
}

uint64_t blob_bytes(const struct blob_store *store) {
    return blob_usage_bytes(store->usage);
}

/* ---- tidying ---- */

struct tidying {
    bool (*wanted)(void *context, const char *digest, struct problem *why); /* NULL: nothing is */
    void *context;
    struct blob_usage *usage; /* NULL: counted anew afterwards */
    uint64_t bytes;
};

static bool file_tidy(struct tidying *t, int directory, const char *name, struct problem *why) {
    char digest[BLOB_DIGEST_SIZE + 8];
    struct stat facts;
    if (fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(facts.st_mode))
        return true;
    snprintf(digest, sizeof digest, DIGEST_PREFIX "%.*s", (int)DIGEST_HEX + 1, name);
    bool keep = t->wanted && blob_digest_valid(digest) && t->wanted(t->context, digest, why);
    if (why->kind != PROBLEM_NONE)
        return false;
    if (!keep && unlinkat(directory, name, 0) == 0) {
        if (t->usage)
            blob_usage_give(t->usage, (uint64_t)facts.st_size);
        return true;
    }
    t->bytes += (uint64_t)facts.st_size;
    return true;
}

/* The files of one directory. */
static bool directory_tidy(struct tidying *t, const char *name, struct problem *why) {
    DIR *directory = opendir(name);
    bool good = true;
    if (!directory)
        return disk_problem(why, "read", name);
    for (struct dirent *entry; good && (entry = readdir(directory));)
        good = file_tidy(t, dirfd(directory), entry->d_name, why);
    closedir(directory);
    return good;
}

static bool names_tidy(struct blob_store *store, struct tidying *t, struct problem *why) {
    bool good = true;
    for (unsigned i = 0; good && i < DIRECTORIES; i++) {
        char name[NAME_ROOM];
        snprintf(name, sizeof name, DIRECTORY, store->root, i);
        if (access(name, F_OK) == 0)
            good = directory_tidy(t, name, why);
    }
    return good;
}

bool blob_sweep(struct blob_store *store, bool (*wanted)(void *context, const char *digest, struct problem *why),
                void *context, struct problem *why) {
    return names_tidy(store, &(struct tidying){.wanted = wanted, .context = context, .usage = store->usage}, why);
}

bool blob_tidy(struct blob_store *store, bool (*wanted)(void *context, const char *digest, struct problem *why),
               void *context, struct problem *why) {
    struct tidying t = {0};
    char name[NAME_ROOM];
    snprintf(name, sizeof name, "%s/tmp", store->root);
    bool good = directory_tidy(&t, name, why);
    t.wanted = wanted;
    t.context = context;
    good = good && names_tidy(store, &t, why);
    if (good)
        blob_usage_set(store->usage, t.bytes);
    return good;
}

/* ---- uploads ---- */

struct blob_upload *blob_upload_new(struct blob_store *store, struct problem *why) {
    struct blob_upload *upload = calloc(1, sizeof *upload);
    if (!upload || gnutls_hash_init(&upload->hash, GNUTLS_DIG_SHA256) != 0) {
        problem_set(why, PROBLEM_MEMORY, "", "no memory for an upload");
        free(upload);
        return NULL;
    }
    upload->store = store;
    snprintf(upload->name, sizeof upload->name, "%s/tmp/upload-XXXXXX", store->root);
    upload->fd = mkostemp(upload->name, O_CLOEXEC);
    if (upload->fd < 0 || flock(upload->fd, LOCK_SH) != 0) { /* told from one that was left behind: is_given_up */
        disk_problem(why, "make", upload->name);
        if (upload->fd >= 0) {
            unlink(upload->name);
            close(upload->fd);
        }
        gnutls_hash_deinit(upload->hash, NULL);
        free(upload);
        return NULL;
    }
    return upload;
}

bool blob_upload_write(struct blob_upload *upload, const void *bytes, size_t n, struct problem *why) {
    if (gnutls_hash(upload->hash, bytes, n) != 0)
        return problem_set(why, PROBLEM_INTERNAL, "", "SHA-256 failed");
    if (!blob_usage_take(upload->store->usage, n, why))
        return false;
    upload->taken += n;
    for (const char *at = bytes; n > 0;) {
        ssize_t wrote = write(upload->fd, at, n);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return disk_problem(why, "write", "the upload");
        at += wrote;
        n -= (size_t)wrote;
        upload->bytes += (uint64_t)wrote;
    }
    return true;
}

int blob_upload_fd(const struct blob_upload *upload) {
    return upload->fd;
}

uint64_t blob_upload_bytes(const struct blob_upload *upload) {
    return upload->bytes;
}

bool blob_upload_digest(const struct blob_upload *upload, char digest[BLOB_DIGEST_SIZE], struct problem *why) {
    unsigned char hash[DIGEST_HEX / 2];
    gnutls_hash_hd_t copy = gnutls_hash_copy(upload->hash);
    if (!copy)
        return problem_set(why, PROBLEM_MEMORY, "", "no memory for a digest");
    gnutls_hash_deinit(copy, hash);
    memcpy(digest, DIGEST_PREFIX, DIGEST_PREFIX_LENGTH);
    for (size_t i = 0; i < sizeof hash; i++)
        snprintf(digest + DIGEST_PREFIX_LENGTH + 2 * i, 3, "%02x", hash[i]);
    return true;
}

/* ROOT/blobs/ab/abcd... */
static void blob_name(const struct blob_store *store, const char *digest, char name[NAME_ROOM]) {
    const char *hex = digest + DIGEST_PREFIX_LENGTH;
    snprintf(name, NAME_ROOM, "%s/blobs/%.2s/%s", store->root, hex, hex);
}

/* Gives it its name; *directory is ab of it. */
static bool upload_place(struct blob_upload *upload, unsigned *directory, struct problem *why) {
    char digest[BLOB_DIGEST_SIZE], name[NAME_ROOM];
    if (!blob_upload_digest(upload, digest, why) || sscanf(digest + DIGEST_PREFIX_LENGTH, "%2x", directory) != 1)
        return false;
    blob_name(upload->store, digest, name);
    struct stat replaced;
    bool replaces = stat(name, &replaced) == 0; /* two at once may count both until the next start */
    if (rename(upload->name, name) != 0)
        return disk_problem(why, "rename", "the upload");
    upload->name[0] = '\0';
    upload->taken = replaces ? (uint64_t)replaced.st_size : 0;
    return true;
}

static bool names_sync(const struct blob_store *store, unsigned directory, struct problem *why) {
    char name[NAME_ROOM];
    snprintf(name, sizeof name, DIRECTORY, store->root, directory);
    return directory_sync(name, why);
}

/* All contents, all names, each directory once. The contents are on their way side by side before the first is waited
 * for, and where the file system has a journal, one write of it is for all. */
static bool all_name(struct blob_upload *const *uploads, size_t n, struct problem *why) {
    bool changed[DIRECTORIES] = {false}, good = true;
    for (size_t i = 0; n > 1 && i < n; i++)
        sync_file_range(uploads[i]->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* a beginning: fsync says what came of it */
    for (size_t i = 0; good && i < n; i++)
        good = fsync(uploads[i]->fd) == 0 || disk_problem(why, "sync", "the upload");
    for (size_t i = 0; good && i < n; i++) {
        unsigned directory = 0;
        good = upload_place(uploads[i], &directory, why);
        changed[directory] |= good;
    }
    for (unsigned i = 0; good && i < DIRECTORIES; i++)
        good = !changed[i] || names_sync(uploads[0]->store, i, why);
    for (size_t i = 0; i < n; i++)
        blob_upload_discard(uploads[i]);
    return good;
}

static bool far_put(struct blob_upload *upload, struct problem *why) {
    const struct blob_far *far = &upload->store->far;
    char digest[BLOB_DIGEST_SIZE];
    return !far->put || (blob_upload_digest(upload, digest, why) &&
                         far->put(far->context, far->patience_ms, digest, upload->fd, upload->bytes, why));
}

bool blob_uploads_commit(struct blob_upload *const *uploads, size_t n, struct problem *why) {
    bool good = true;
    for (size_t i = 0; good && i < n; i++)
        good = far_put(uploads[i], why);
    if (good)
        return all_name(uploads, n, why);
    for (size_t i = 0; i < n; i++)
        blob_upload_discard(uploads[i]);
    return false;
}

bool blob_upload_commit(struct blob_upload *upload, char digest[BLOB_DIGEST_SIZE], struct problem *why) {
    if (blob_upload_digest(upload, digest, why))
        return blob_uploads_commit(&upload, 1, why);
    blob_upload_discard(upload);
    return false;
}

void blob_upload_discard(struct blob_upload *upload) {
    if (!upload)
        return;
    if (upload->name[0])
        unlink(upload->name);
    blob_usage_give(upload->store->usage, upload->taken);
    close(upload->fd);
    gnutls_hash_deinit(upload->hash, NULL);
    free(upload);
}

bool blob_digest_valid(const char *digest) {
    if (strncmp(digest, DIGEST_PREFIX, DIGEST_PREFIX_LENGTH) != 0)
        return false;
    const char *hex = digest + DIGEST_PREFIX_LENGTH;
    return strlen(hex) == DIGEST_HEX && strspn(hex, "0123456789abcdef") == DIGEST_HEX;
}

static bool digest_check(const char *digest, struct problem *why) {
    if (blob_digest_valid(digest))
        return true;
    return problem_set(why, PROBLEM_MALFORMED, "", "a tensor is named sha256: and 64 lower-case hexadecimal digits");
}

/* From far away, to its name here. *found: whether it is there. */
static bool fetch(struct blob_store *store, const char *digest, bool *found, struct problem *why) {
    const struct blob_far *far = &store->far;
    char got[BLOB_DIGEST_SIZE];
    struct blob_upload *upload = blob_upload_new(store, why);
    if (!upload)
        return false;
    bool good = far->get(far->context, far->patience_ms, digest, upload, found, why) &&
                (!*found || blob_upload_digest(upload, got, why));
    if (good && *found && strcmp(got, digest) != 0)
        good = problem_set(why, PROBLEM_IO, "", "the store's copy of tensor %s is damaged", digest);
    if (good && *found)
        return all_name(&upload, 1, why);
    blob_upload_discard(upload);
    return good;
}

int blob_read_open(struct blob_store *store, const char *digest, uint64_t *bytes, struct problem *why) {
    char name[NAME_ROOM];
    bool found = false;
    if (!digest_check(digest, why))
        return -1;
    blob_name(store, digest, name);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && store->far.get) {
        if (!fetch(store, digest, &found, why))
            return -1;
        fd = open(name, O_RDONLY | O_CLOEXEC);
    }
    struct stat facts;
    if (fd >= 0 && fstat(fd, &facts) == 0) {
        *bytes = (uint64_t)facts.st_size;
        return fd;
    }
    if (fd < 0 && errno == ENOENT)
        problem_set(why, PROBLEM_NOT_FOUND, "", "there is no tensor %s here; upload it with POST /v1/tensors", digest);
    else
        disk_problem(why, "open", digest);
    if (fd >= 0)
        close(fd);
    return -1;
}

bool blob_remove(struct blob_store *store, const char *digest, struct problem *why) {
    char name[NAME_ROOM];
    if (!digest_check(digest, why))
        return false;
    struct stat facts;
    blob_name(store, digest, name);
    bool known = stat(name, &facts) == 0;
    if (unlink(name) == 0) {
        blob_usage_give(store->usage, known ? (uint64_t)facts.st_size : 0);
        return true;
    }
    if (errno == ENOENT)
        return problem_set(why, PROBLEM_NOT_FOUND, "", "there is no tensor %s here", digest);
    return disk_problem(why, "remove", digest);
}
