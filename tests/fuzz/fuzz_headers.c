/* fuzz_headers.c - any bytes as the value of a header that handlers read: Last-Event-ID, Range, Accept, ... The first
 * chooses which, and where. */
#include "tests/fuzz/ask.h"

#define JOB   "{\"kind\": \"memory_savings\", \"seq_len\": 64, \"d_model\": 32, \"num_layers\": 2}"
#define QUERY "model=gpt2&seq_len=16"

/* The path of something of the one job there is. */
static const char *job_path(const char *behind) {
    static char id[STORE_ID_BYTES], path[128];
    struct service *service = service_once();
    struct problem why = {0};
    if (!id[0]) {
        struct arena arena;
        struct store_job job = {.kind = "memory_savings", .request = JOB, .planned = "{}", .planned_peak_bytes = 1};
        bool replayed, conflict;
        arena_init(&arena, 1 << 20);
        check(queue_submit(service->queue, &job, NULL, NULL, 0, &arena, &replayed, &conflict, &why), why.detail);
        memcpy(id, job.id, sizeof id);
        arena_free(&arena);
    }
    snprintf(path, sizeof path, "/v1/jobs/%s%s", id, behind);
    return path;
}

/* Where a value goes. path NULL: of the job, behind its id. */
static const struct {
    const char *path, *behind, *name;
    bool query;
} places[] = {
    {NULL, "/events", "Last-Event-ID", false}, {NULL, "/events", "last_event_id", true},
    {NULL, "/events", "Accept", false},        {"/v1/plans", NULL, "If-None-Match", false},
    {"/openapi.json", NULL, "Range", false},   {NULL, "/tensors", "Accept", false},
    {NULL, "/tensors/output", "Range", false}, {"/v1/jobs", NULL, "page_token", true},
};
#define PLACES (sizeof places / sizeof places[0])

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    if (n == 0 || n > 1024)
        return 0;
    unsigned i = bytes[0] % PLACES;
    char *value = text_of(bytes + 1, n - 1);
    struct route_pair pair = {places[i].name, value}, query[] = {{"model", "gpt2"}, {"seq_len", "16"}};
    struct request request = {0};
    if (places[i].query) {
        request.query = &pair;
        request.n_query = 1;
    } else {
        request.headers = &pair;
        request.n_headers = 1;
    }
    if (places[i].path && strcmp(places[i].path, "/v1/plans") == 0) {
        request.query = query;
        request.n_query = 2;
        request.raw_query = QUERY;
    }
    ask(&request, "GET", places[i].path ? places[i].path : job_path(places[i].behind), NULL);
    free(value);
    return 0;
}
