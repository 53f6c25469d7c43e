/* fuzz_job.c - any bytes as the body of POST /v1/jobs: refused as the client's mistake, or planned within the limit; a
 * canonical request plans the same again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/job.h"
#include "server/route.h"

#define LIMIT_BYTES ((uint64_t)1 << 28)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "fuzz_job: %s\n", what);
        abort();
    }
}

static struct blob_store *blobs_once(void) {
    static struct blob_store *blobs;
    struct problem why = {0};
    if (!blobs) {
        wire_start();
        blobs = blob_open("build/fuzz/data", &why);
    }
    check(blobs != NULL, "no data directory");
    return blobs;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    struct arena arena;
    struct problem why = {0};
    struct job job, again;
    arena_init(&arena, 64u << 20);
    const struct job_context context = {
        .arena = &arena, .blobs = blobs_once(), .threads = 2, .memory_limit_bytes = LIMIT_BYTES};
    if (job_make(&job, (const char *)bytes, n, &context, &why)) {
        check(job.admission_bytes <= LIMIT_BYTES, "admitted past the limit");
        bool same = job_make(&again, job.request, strlen(job.request), &context, &why);
        check(why.kind == PROBLEM_MEMORY || (same && strcmp(job.planned, again.planned) == 0),
              "the canonical request plans otherwise");
    } else {
        check(why.kind == PROBLEM_MEMORY || route_problem_status(why.kind) < 500, why.detail);
        check(why.detail[0] && (why.where[0] == '\0' || why.where[0] == '/'), "refused without saying where or why");
    }
    arena_free(&arena);
    return 0;
}
