/* rematc_plans.c - what is planned and not run: a job explained, plans, frontiers, capacities. */
#include "clients/c/rematc.h"

#include <stdio.h>
#include <string.h>

#define PLANNING_SECONDS 90u /* the daemon's own searches end at 60 */

json_t *rematc_explain(struct rematc *client, const json_t *job, struct rematc_error *why) {
    return rematc_post(client, "/v1/explain", job, 0, why);
}

json_t *rematc_plan(struct rematc *client, const json_t *query, struct rematc_error *why) {
    return rematc_post(client, "/v1/plans", query, PLANNING_SECONDS, why);
}

json_t *rematc_frontier(struct rematc *client, const json_t *query, struct rematc_error *why) {
    return rematc_post(client, "/v1/frontiers", query, PLANNING_SECONDS, why);
}

json_t *rematc_capacity(struct rematc *client, const json_t *query, struct rematc_error *why) {
    return rematc_post(client, "/v1/capacity", query, PLANNING_SECONDS, why);
}

/* "&heads=2" behind path; 0: the daemon's own. */
static void parameter_add(char *path, size_t size, const char *name, uint64_t value) {
    size_t used = strlen(path);
    if (value)
        snprintf(path + used, size - used, "%c%s=%llu", strchr(path, '?') ? '&' : '?', name, (unsigned long long)value);
}

bool rematc_savings(struct rematc *client, uint64_t seq_len, uint64_t d_model, uint64_t num_layers, uint64_t heads,
                    uint64_t batch, struct rematc_savings *savings, struct rematc_error *why) {
    char path[256] = "/v1/memory-savings";
    json_int_t standard = 0, checkpointed = 0;
    json_error_t error;
    json_t *answer;
    bool ok;
    parameter_add(path, sizeof path, "seq_len", seq_len);
    parameter_add(path, sizeof path, "d_model", d_model);
    parameter_add(path, sizeof path, "num_layers", num_layers);
    parameter_add(path, sizeof path, "heads", heads);
    parameter_add(path, sizeof path, "batch", batch);
    answer = rematc_get(client, path, why);
    if (!answer)
        return false;
    ok = json_unpack_ex(answer, &error, 0, "{s:I, s:I, s:F, s:F, s:F, s:F}", "standard_memory_bytes", &standard,
                        "checkpointed_memory_bytes", &checkpointed, "standard_memory_mb", &savings->standard_memory_mb,
                        "checkpointed_memory_mb", &savings->checkpointed_memory_mb, "memory_saved_pct",
                        &savings->memory_saved_pct, "compute_overhead_pct", &savings->compute_overhead_pct) == 0;
    savings->standard_memory_bytes = (uint64_t)standard;
    savings->checkpointed_memory_bytes = (uint64_t)checkpointed;
    json_decref(answer);
    if (!ok && why) {
        *why = (struct rematc_error){.kind = REMATC_GARBLED, .title = "Not memory savings"};
        snprintf(why->detail, sizeof why->detail, "%s", error.text);
    }
    return ok;
}
