/* arena.c - see arena.h. Blocks grow with what was taken so far, so that a request of any size makes few of them. */
#include "engine/base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"

#define BLOCK_MIN ((size_t)16 << 10)
#define BLOCK_MAX ((size_t)4 << 20)
#define ALIGN     16u

struct arena_block {
    struct arena_block *older;
    size_t size, used;
    alignas(ALIGN) unsigned char bytes[];
};

void arena_init(struct arena *a, uint64_t limit_bytes) {
    arena_init_within(a, limit_bytes, NULL);
}

void arena_init_within(struct arena *a, uint64_t limit_bytes, struct arena_bounds *bounds) {
    *a = (struct arena){.limit_bytes = limit_bytes ? limit_bytes : UINT64_MAX, .fail_at = UINT64_MAX, .bounds = bounds};
}

static void block_drop(struct arena *a) {
    struct arena_block *block = a->blocks;
    a->blocks = block->older;
    if (a->bounds)
        a->bounds->held_bytes -= block->size;
    free(block);
}

void arena_free(struct arena *a) {
    while (a->blocks)
        block_drop(a);
    a->taken_bytes = 0;
}

void arena_reset(struct arena *a) {
    while (a->blocks && (a->blocks->older || a->blocks->size > BLOCK_MIN))
        block_drop(a);
    if (a->blocks)
        a->blocks->used = 0;
    a->taken_bytes = 0;
}

/* Of at least so many bytes, and at most `room` where it need not be larger. */
static struct arena_block *block_add(struct arena *a, size_t bytes, uint64_t room) {
    size_t size = a->taken_bytes < BLOCK_MIN ? BLOCK_MIN : (size_t)units_min(a->taken_bytes, BLOCK_MAX);
    if (size < bytes || size > room)
        size = bytes;
    struct arena_block *block = malloc(sizeof *block + size);
    if (!block)
        return NULL;
    block->older = a->blocks;
    block->size = size;
    block->used = 0;
    a->blocks = block;
    if (a->bounds)
        a->bounds->held_bytes += size;
    return block;
}

/* It will never be had, however long one waits. */
static void past_limit(struct arena *a, uint64_t limit_bytes, struct problem *why) {
    a->past = true;
    if (a->bounds)
        a->bounds->past = true;
    problem_set(why, PROBLEM_MEMORY, "", "the request needs more working memory than the %llu bytes it may have",
                (unsigned long long)limit_bytes);
}

void *arena_take(struct arena *a, size_t n, size_t size, struct problem *why) {
    uint64_t bytes;
    bool fail = a->takes++ == a->fail_at;
    if (fail || !units_mul(n, size, &bytes) || bytes > SIZE_MAX / 2) {
        problem_set(why, PROBLEM_MEMORY, "", "%zu times %zu bytes of working memory could not be had", n, size);
        return NULL;
    }
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    struct arena_bounds *bounds = a->bounds;
    if (bounds && bounds->stop && bounds->stop(bounds->user)) {
        problem_set(why, PROBLEM_CANCELLED, "", "nobody waits for it any longer");
        return NULL;
    }
    if (bytes > a->limit_bytes || a->taken_bytes > a->limit_bytes - bytes) {
        past_limit(a, a->limit_bytes, why);
        return NULL;
    }
    struct arena_block *block = a->blocks;
    if (!block || block->size - block->used < bytes) {
        const uint64_t room = bounds ? bounds->limit_bytes - bounds->held_bytes : UINT64_MAX;
        if (bytes > room) {
            past_limit(a, bounds->limit_bytes, why);
            return NULL;
        }
        block = block_add(a, (size_t)bytes, room);
    }
    if (!block) {
        problem_set(why, PROBLEM_MEMORY, "", "%llu bytes of working memory could not be had",
                    (unsigned long long)bytes);
        return NULL;
    }
    void *piece = block->bytes + block->used;
    block->used += (size_t)bytes;
    a->taken_bytes += bytes;
    return memset(piece, 0, (size_t)bytes);
}

void *arena_copy(struct arena *a, const void *from, size_t bytes, struct problem *why) {
    void *copy = arena_take(a, bytes, 1, why);
    return copy && bytes ? memcpy(copy, from, bytes) : copy;
}

char *arena_printf(struct arena *a, struct problem *why, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n < 0 ? NULL : arena_take(a, (size_t)n + 1, 1, why);
    if (text)
        vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}
