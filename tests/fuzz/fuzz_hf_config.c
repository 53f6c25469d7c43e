/* fuzz_hf_config.c - any bytes as a Hugging Face config.json in a workload. */
#include "tests/fuzz/ask.h"

#define BODY_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    if (n > BODY_MAX)
        return 0;
    char *body = text_between("{\"workload\": {\"model\": {\"hf_config\": ", bytes, n, "}, \"seq_len\": 16}}");
    struct request request = {0};
    ask(&request, "POST", "/v1/plans", body);
    free(body);
    return 0;
}
