/* fuzz_graph.c - any bytes as a posted graph or chain; the first chooses which, and what is asked of it. */
#include "tests/fuzz/ask.h"

#define BODY_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static const struct {
        const char *path, *before, *after;
    } rows[] = {
        {"/v1/plans", "{\"strategy\": {\"name\": \"optimal_dag\", \"time_limit_seconds\": 1}, \"graph\": ", "}"},
        {"/v1/plans",
         "{\"strategy\": \"optimal\", \"budget_bytes\": 20, \"include\": [\"steps\", \"timeline\"], \"chain\": ", "}"},
        {"/v1/frontiers", "{\"points\": 5, \"chain\": ", "}"},
        {"/v1/plans", "{\"graph\": ", "}"},
    };
    if (n == 0 || n > BODY_MAX)
        return 0;
    char *body = text_between(rows[bytes[0] % 4].before, bytes + 1, n - 1, rows[bytes[0] % 4].after);
    struct request request = {0};
    ask(&request, "POST", rows[bytes[0] % 4].path, body);
    free(body);
    return 0;
}
