/* fuzz_plans.c - any bytes as the body of a planning question; the first chooses which. */
#include "tests/fuzz/ask.h"

#define BODY_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static const char *const paths[] = {"/v1/plans", "/v1/frontiers", "/v1/capacity", "/v1/explain"};
    if (n == 0 || n > BODY_MAX)
        return 0;
    char *body = text_of(bytes + 1, n - 1);
    struct request request = {0};
    ask(&request, "POST", paths[bytes[0] % 4], body);
    free(body);
    return 0;
}
