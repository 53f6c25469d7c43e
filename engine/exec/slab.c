/* slab.c - see slab.h
 *
 *   mapping  | none ... none | guard | front | slab .......... | guard |
 *                                            ^ start           ^ end (2 MiB aligned)
 *
 * Only [front, end) can be touched; front is less than a page. */
#include "engine/exec/slab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/base/units.h"

#define PAGE    ((uint64_t)4096)
#define HUGE    ((uint64_t)2 << 20)
#define PATTERN 0x9E3779B97F4A7C15u

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct slab {
    unsigned char *mapping, *end;
    uint64_t mapping_bytes;
    uint64_t room;  /* most bytes this mapping can serve */
    uint64_t bytes; /* served now */
};

struct slab *slab_new(struct problem *why) {
    struct slab *slab = calloc(1, sizeof *slab);
    if (!slab)
        problem_set(why, PROBLEM_MEMORY, "", "a slab could not be made");
    return slab;
}

static void unmap(struct slab *slab) {
    if (slab->mapping)
        munmap(slab->mapping, slab->mapping_bytes);
    *slab = (struct slab){0};
}

void slab_free(struct slab *slab) {
    if (!slab)
        return;
    unmap(slab);
    free(slab);
}

static uint64_t to_pages(uint64_t bytes) {
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static bool map(struct slab *slab, uint64_t bytes, struct problem *why) {
    unmap(slab);
    uint64_t size = to_pages(bytes) + 2 * PAGE + HUGE;
    void *mapping = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED)
        return problem_set(why, PROBLEM_MEMORY, "", "a slab of %llu bytes could not be mapped: %s",
                           (unsigned long long)bytes, strerror(errno));
    slab->mapping = mapping;
    slab->mapping_bytes = size;
    uintptr_t last = (uintptr_t)mapping + size - PAGE;
    slab->end = slab->mapping + (last / HUGE * HUGE - (uintptr_t)mapping);
    slab->room = (uint64_t)(slab->end - slab->mapping) - PAGE;
    (void)madvise(slab->mapping, size, MADV_HUGEPAGE); /* a wish; without huge pages all else holds */
    return true;
}

/* Makes [end - bytes, end) usable and resident, and nothing else. */
static bool open_pages(struct slab *slab, uint64_t bytes, struct problem *why) {
    uint64_t pages = to_pages(bytes);
    unsigned char *start = slab->end - pages;
    uint64_t before = (uint64_t)(start - slab->mapping);
    if (mprotect(slab->mapping, before, PROT_NONE) != 0 || madvise(slab->mapping, before, MADV_DONTNEED) != 0)
        return problem_set(why, PROBLEM_MEMORY, "", "the guard before a slab could not be set: %s", strerror(errno));
    if (pages == 0)
        return true;
    if (mprotect(start, pages, PROT_READ | PROT_WRITE) != 0)
        return problem_set(why, PROBLEM_MEMORY, "", "a slab of %llu bytes could not be had: %s",
                           (unsigned long long)bytes, strerror(errno));
    if (madvise(start, pages, MADV_POPULATE_WRITE) == 0)
        return true;
    if (errno == ENOMEM)
        return problem_set(why, PROBLEM_MEMORY, "", "there is no memory for a slab of %llu bytes",
                           (unsigned long long)bytes);
    for (uint64_t i = 0; i < pages; i += PAGE) /* a kernel older than the call */
        *(volatile unsigned char *)(start + i) = 0;
    return true;
}

unsigned char *slab_reserve(struct slab *slab, uint64_t bytes, struct problem *why) {
    if (bytes > (uint64_t)1 << 46) {
        problem_set(why, PROBLEM_MEMORY, "", "a slab of %llu bytes cannot be mapped", (unsigned long long)bytes);
        return NULL;
    }
    if ((!slab->mapping || bytes > slab->room) && !map(slab, bytes, why))
        return NULL;
    if (!open_pages(slab, bytes, why)) {
        unmap(slab);
        return NULL;
    }
    slab->bytes = bytes;
    return slab->end - bytes;
}

void slab_trim(struct slab *slab) {
    unmap(slab);
}

uint64_t slab_page_bytes(const struct slab *slab) {
    return to_pages(slab->bytes);
}

static uint64_t *first_word(const struct slab *slab) {
    return (uint64_t *)(void *)(slab->end - to_pages(slab->bytes));
}

static uint64_t words(const struct slab *slab) {
    return to_pages(slab->bytes) / sizeof(uint64_t);
}

void slab_fill(struct slab *slab) {
    uint64_t *word = first_word(slab);
    for (uint64_t i = 0, n = words(slab); i < n; i++)
        word[i] = (i + 1) * PATTERN;
}

uint64_t slab_touched_bytes(const struct slab *slab) {
    const uint64_t *word = first_word(slab);
    uint64_t front = (to_pages(slab->bytes) - slab->bytes) / sizeof *word;
    for (uint64_t i = words(slab); i > front; i--)
        if (word[i - 1] != i * PATTERN)
            return (i - front) * sizeof *word;
    return 0;
}

bool slab_front_intact(const struct slab *slab) {
    const uint64_t *word = first_word(slab);
    uint64_t front = (to_pages(slab->bytes) - slab->bytes) / sizeof *word;
    for (uint64_t i = 0; i < front; i++)
        if (word[i] != (i + 1) * PATTERN)
            return false;
    return true;
}
