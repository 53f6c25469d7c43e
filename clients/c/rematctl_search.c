/* rematctl_search.c - a plan that takes its time: a job that is watched, one line for each better plan or bound, and
 * cancelled by Ctrl-C, which leaves the best so far. */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "clients/c/rematctl.h"

/* ---- Ctrl-C ---- */

/* Nothing may be done in a signal handler that a cancel needs, and a stream that waits is told nothing: so a thread
 * waits for the signal, and cancels by a client of its own. */
struct interrupt {
    const struct rematctl *ctl;
    const char *id;
    sigset_t signals;
    pthread_t thread;
};

static void *interrupt_main(void *of) {
    const struct interrupt *it = of;
    struct rematc_error why = {0};
    sigset_t again;
    int signal = 0;
    if (sigwait(&it->signals, &signal) != 0 || signal == SIGUSR1)
        return NULL;
    sigemptyset(&again);
    sigaddset(&again, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &again, NULL); /* a second one ends us */
    struct rematc *client = rematctl_client(it->ctl, &why);
    json_t *job = client ? rematc_cancel(client, it->id, &why) : NULL;
    if (!job)
        rematctl_fail(&why);
    json_decref(job);
    rematc_free(client);
    return NULL;
}

static bool interrupt_start(struct interrupt *it) {
    sigemptyset(&it->signals);
    sigaddset(&it->signals, SIGINT);
    sigaddset(&it->signals, SIGUSR1); /* it is over: interrupt_stop */
    pthread_sigmask(SIG_BLOCK, &it->signals, NULL);
    const bool ok = pthread_create(&it->thread, NULL, interrupt_main, it) == 0;
    if (!ok)
        pthread_sigmask(SIG_UNBLOCK, &it->signals, NULL);
    return ok;
}

static void interrupt_stop(const struct interrupt *it) {
    pthread_kill(it->thread, SIGUSR1);
    pthread_join(it->thread, NULL);
}

/* ---- watching ---- */

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

/* "  12.3 s  costs 118, +4.21 % compute in 2,981 (2.9 KiB)  bound 117.2, gap 0.68 %  81234 states": what there is. */
static void report_print(const json_t *r) {
    static const char *const costs[][2] = {{"step_seconds", "s"}, {"flops", "FLOPs"}};
    char text[64];
    bool found = false;
    printf("%7.1f s  ", number(r, "elapsed_seconds"));
    for (size_t i = 0; i < 2; i++)
        if (json_is_number(json_object_get(r, costs[i][0]))) {
            printf("best %.6g %s", number(r, costs[i][0]), costs[i][1]);
            found = true;
        }
    if (!found)
        printf("no plan yet");
    if (json_is_number(json_object_get(r, "compute_overhead_pct")))
        printf(", +%.4g %% compute", number(r, "compute_overhead_pct"));
    if (json_is_number(json_object_get(r, "peak_bytes")))
        printf(" in %s", rematctl_bytes_text(json_integer_value(json_object_get(r, "peak_bytes")), text));
    if (json_is_number(json_object_get(r, "lower_bound")))
        printf("; at least %.6g", number(r, "lower_bound"));
    if (json_is_number(json_object_get(r, "gap_pct")))
        printf(", gap %.3g %%", number(r, "gap_pct"));
    if (json_is_number(json_object_get(r, "states")))
        printf("; %.0f states", number(r, "states"));
    putchar('\n');
}

static bool on_event(void *user, uint64_t id, const char *event, const json_t *data) {
    const bool *json = user;
    const json_t *report = json_object_get(data, "report");
    (void)id, (void)event;
    if (!*json && json_is_object(report))
        report_print(report);
    return fflush(stdout) == 0;
}

/* What is left: the plan alone, as POST /v1/plans would have answered, where there is one. */
static int end_print(const struct rematctl *ctl, const json_t *job) {
    const json_t *result = json_object_get(job, "result");
    const bool succeeded = rematc_job_succeeded(job), planned = json_is_object(result);
    if (ctl->json)
        rematctl_print_json(planned ? result : job);
    else if (!planned)
        rematctl_print_job(job);
    else {
        if (!succeeded)
            printf("%s; the best so far:\n", json_string_value(json_object_get(job, "state")));
        rematctl_print_plan(result);
    }
    return succeeded ? EXIT_DONE : EXIT_JOB_FAILED;
}

/* Follows it to its end: NULL with why. */
static json_t *follow(const struct rematctl *ctl, const char *id, struct rematc_error *why) {
    struct interrupt interrupt = {.ctl = ctl, .id = id};
    bool json = ctl->json;
    const bool interruptible = interrupt_start(&interrupt);
    json_t *done = rematc_events(ctl->client, id, 0, on_event, &json, why)
                       ? rematc_wait(ctl->client, id, ctl->timeout_seconds, why)
                       : NULL;
    if (interruptible)
        interrupt_stop(&interrupt);
    return done;
}

int rematctl_search(const struct rematctl *ctl, json_t *body) {
    struct rematc_error why = {0};
    json_object_set_new(body, "kind", json_string("plan"));
    json_t *job = rematc_submit(ctl->client, body, 0, ctl->key, &why), *done;
    json_decref(body);
    const char *id = json_string_value(json_object_get(job, "id"));
    if (!id) {
        json_decref(job);
        return rematctl_fail(&why);
    }
    if (!ctl->json)
        printf("job %s; Ctrl-C ends it with the best so far\n", id);
    fflush(stdout);
    done = follow(ctl, id, &why);
    const int code = done ? end_print(ctl, done) : rematctl_fail(&why);
    json_decref(done);
    json_decref(job);
    return code;
}
