/* example.c - attention with its backward, checkpointed, run by the daemon and compared with standard attention. */
#include "clients/c/rematc.h"

#include <stdio.h>

/* Eight heads of 256 x 64 normal numbers; {"tensor": "sha256:..."} in its place names a file uploaded before. */
static json_t *tensor(int seed) {
    return json_pack("{s:[iii], s:{s:i}}", "shape", 8, 256, 64, "random", "seed", seed);
}

static const json_t *field(const json_t *value, const char *outer, const char *inner) {
    return json_object_get(json_object_get(value, outer), inner);
}

int main(void) {
    struct rematc_error why = {0};
    struct rematc *client = rematc_new(NULL, &why); /* REMATD_URL, or http://127.0.0.1:8740 */
    json_t *job =
        json_pack("{s:s, s:s, s:s, s:s, s:{s:o, s:o, s:o}}", "kind", "attention", "mask", "causal", "strategy",
                  "checkpointed", "compare_with", "standard", "inputs", "q", tensor(1), "k", tensor(2), "v", tensor(3));
    json_t *queued = client ? rematc_submit(client, job, 0, NULL, &why) : NULL;
    json_t *done = queued ? rematc_wait(client, json_string_value(json_object_get(queued, "id")), 60, &why) : NULL;
    const json_t *result = json_object_get(done, "result");
    bool identical = json_is_true(field(result, "comparison", "identical"));

    if (!done)
        fprintf(stderr, "%s: %s %s\n", why.title, why.detail, why.pointer);
    else if (!rematc_job_succeeded(done))
        fprintf(stderr, "the job failed: %s\n", json_string_value(field(done, "problem", "detail")));
    else {
        printf("predicted peak %lld bytes\n", json_integer_value(field(result, "memory", "predicted_peak_bytes")));
        printf("measured peak  %lld bytes\n", json_integer_value(field(result, "memory", "measured_peak_bytes")));
        printf("held for the backward %lld bytes, by standard attention %lld\n",
               json_integer_value(field(result, "memory", "saved_bytes")),
               json_integer_value(field(result, "comparison", "saved_bytes")));
        printf("identical      %s\n", identical ? "yes" : "no");
    }
    json_decref(done);
    json_decref(queued);
    json_decref(job);
    rematc_free(client);
    return identical ? 0 : 1;
}
