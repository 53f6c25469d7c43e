/* blob_usage.c - see blob_usage.h */
#include "server/blob_usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/base/units.h"

#define FLOOR_PART 16u /* of a small disk, no more than this part is kept free */

struct page {
    _Atomic uint64_t used, limit; /* bytes of files under DATA/blobs and DATA/tmp; what all of DATA may hold */
    _Atomic uint64_t host;        /* a number by chance, of whoever came first */
};

struct blob_usage {
    struct page *page;
    uint64_t floor_bytes;
    char root[1024];
};

static bool host_choose(struct page *page) {
    uint64_t none = 0, number;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        return false;
    atomic_compare_exchange_strong(&page->host, &none, number | 1);
    return true;
}

struct blob_usage *blob_usage_open(const char *root, struct problem *why) {
    struct blob_usage *usage = calloc(1, sizeof *usage);
    char name[1100];
    if (!usage) {
        problem_set(why, PROBLEM_MEMORY, "", "no memory for the blob store");
        return NULL;
    }
    snprintf(usage->root, sizeof usage->root, "%s", root);
    snprintf(name, sizeof name, "%s/usage", root);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    usage->page = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof *usage->page) == 0)
        usage->page = mmap(NULL, sizeof *usage->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (usage->page == MAP_FAILED) {
        problem_set(why, errno == ENOSPC ? PROBLEM_FULL : PROBLEM_IO, "", "cannot use %s: %s", name, strerror(errno));
        free(usage);
        usage = NULL;
    }
    if (fd >= 0)
        close(fd);
    if (usage && !host_choose(usage->page)) {
        problem_set(why, PROBLEM_IO, "", "the system has no random numbers");
        blob_usage_close(usage);
        usage = NULL;
    }
    return usage;
}

void blob_usage_close(struct blob_usage *usage) {
    if (usage)
        munmap(usage->page, sizeof *usage->page);
    free(usage);
}

uint64_t blob_usage_host(const struct blob_usage *usage) {
    return atomic_load(&usage->page->host);
}

void blob_usage_limit(struct blob_usage *usage, uint64_t limit_bytes) {
    atomic_store(&usage->page->limit, limit_bytes);
}

void blob_usage_floor(struct blob_usage *usage, uint64_t floor_bytes) {
    usage->floor_bytes = floor_bytes;
}

/* The store's own files. */
static uint64_t beside(const struct blob_usage *usage) {
    static const char *const names[] = {"rematd.db", "rematd.db-wal"};
    uint64_t bytes = 0;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[1100];
        struct stat facts;
        snprintf(name, sizeof name, "%s/%s", usage->root, names[i]);
        if (stat(name, &facts) == 0)
            bytes += (uint64_t)facts.st_size;
    }
    return bytes;
}

static bool floor_check(const struct blob_usage *usage, uint64_t n, struct problem *why) {
    struct statvfs disk;
    if (!usage->floor_bytes || statvfs(usage->root, &disk) != 0)
        return true;
    uint64_t available = (uint64_t)disk.f_bavail * disk.f_frsize, whole = (uint64_t)disk.f_blocks * disk.f_frsize;
    uint64_t least = units_min(usage->floor_bytes, whole / FLOOR_PART);
    return available >= least + n ||
           problem_set(why, PROBLEM_FULL, "", "the disk has %llu bytes left, and the last %llu are kept free",
                       (unsigned long long)available, (unsigned long long)least);
}

bool blob_usage_take(struct blob_usage *usage, uint64_t n, struct problem *why) {
    if (!floor_check(usage, n, why))
        return false;
    uint64_t limit = atomic_load(&usage->page->limit);
    uint64_t used = atomic_fetch_add(&usage->page->used, n) + n;
    if (limit == 0 || used + beside(usage) <= limit - (n == 0))
        return true;
    blob_usage_give(usage, n);
    return problem_set(why, PROBLEM_FULL, "",
                       "the data directory may hold %llu bytes, and they are used (--data-limit)",
                       (unsigned long long)limit);
}

void blob_usage_give(struct blob_usage *usage, uint64_t n) {
    uint64_t used = atomic_load(&usage->page->used);
    while (!atomic_compare_exchange_weak(&usage->page->used, &used, used - units_min(n, used)))
        continue;
}

void blob_usage_set(struct blob_usage *usage, uint64_t bytes) {
    atomic_store(&usage->page->used, bytes);
}

uint64_t blob_usage_bytes(const struct blob_usage *usage) {
    return atomic_load(&usage->page->used) + beside(usage);
}
