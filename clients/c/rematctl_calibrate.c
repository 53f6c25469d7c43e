/* rematctl_calibrate.c - calibrate: measures the daemon's machine, waits, and prints how fast it is at each op. */
#include "clients/c/rematctl.h"

#include <string.h>

static double real(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

/* A case's forward, and its backward behind it, if it has one. */
static void case_put(const json_t *forward, const json_t *backward) {
    const bool flops = strcmp(text(forward, "bound_by"), "flops") == 0;
    printf("%-25s %-30s %-9s %8.1f ", text(forward, "op"), text(forward, "shape"), text(forward, "dtype"),
           real(forward, "per_second") * 1e-9);
    if (backward)
        printf("%8.1f", real(backward, "per_second") * 1e-9);
    else
        printf("%8s", "");
    printf(" %-7s %8.2f", flops ? "GFLOP/s" : "GB/s", real(forward, "efficiency"));
    if (backward)
        printf(" %8.2f", real(backward, "efficiency"));
    putchar('\n');
}

static void table_put(const json_t *result) {
    const json_t *ops = json_object_get(result, "ops"), *peak = json_object_get(result, "peak_flops_per_second"),
                 *copy = json_object_get(result, "copy_bytes_per_second"), *memory = json_object_get(result, "memory");
    printf("%-25s %-30s %-9s %8s %8s %-7s %8s %8s\n", "OP", "SHAPE", "DTYPE", "FORWARD", "BACKWARD", "", "OF PEAK",
           "OF PEAK");
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const json_t *line = json_array_get(ops, i), *next = json_array_get(ops, i + 1);
        const bool pair = next && strcmp(text(next, "phase"), "backward") == 0;
        case_put(line, pair ? next : NULL);
        i += pair;
    }
    printf("%lld threads; best product %.1f GFLOP/s in float32, %.1f in bfloat16; copy %.1f GB/s\n",
           json_integer_value(json_object_get(result, "threads")), real(peak, "float32") * 1e-9,
           real(peak, "bfloat16") * 1e-9, real(copy, "float32") * 1e-9);
    printf("predicted peak %lld bytes, measured %lld; %.1f s\n",
           json_integer_value(json_object_get(memory, "predicted_peak_bytes")),
           json_integer_value(json_object_get(memory, "measured_peak_bytes")),
           real(json_object_get(result, "time"), "seconds"));
    puts("The device `host` is this machine now: plan, frontier and capacity take --device host");
}

static int answer_put(const struct rematctl *ctl, const json_t *job) {
    const bool done = rematc_job_succeeded(job);
    if (ctl->json)
        rematctl_print_json(job);
    else if (done)
        table_put(json_object_get(job, "result"));
    else
        rematctl_print_job(job);
    return done ? EXIT_DONE : EXIT_JOB_FAILED;
}

int rematctl_calibrate(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    json_t *body = json_pack("{s:s}", "kind", "calibrate"), *queued, *job = NULL;
    if (ctl->seconds)
        json_object_set_new(body, "seconds", json_integer(ctl->seconds));
    if (ctl->tokens)
        json_object_set_new(body, "tokens", json_integer(ctl->tokens));
    queued = rematc_submit(ctl->client, body, 0, ctl->key, &why);
    json_decref(body);
    if (queued)
        job = rematc_wait(ctl->client, json_string_value(json_object_get(queued, "id")), ctl->timeout_seconds, &why);
    json_decref(queued);
    if (!job)
        return rematctl_fail(&why);
    const int code = answer_put(ctl, job);
    json_decref(job);
    return code;
}
