/* rematctl_job.c - commands on jobs and tensors. Each asks the library, prints the answer and returns an exit code. */
#include "clients/c/rematctl.h"

#include <string.h>

typedef void printer(const json_t *);

/* Prints an answer (taken) or the error. */
static int show(const struct rematctl *ctl, json_t *answer, printer *print, const struct rematc_error *why) {
    if (!answer)
        return rematctl_fail(why);
    if (ctl->json)
        rematctl_print_json(answer);
    else
        print(answer);
    json_decref(answer);
    return EXIT_DONE;
}

/* The same for a job that was waited for: whether it succeeded is the exit code. */
static int show_finished(const struct rematctl *ctl, json_t *job, const struct rematc_error *why) {
    bool failed = job && rematc_job_finished(job) && !rematc_job_succeeded(job);
    int code = show(ctl, job, rematctl_print_job, why);
    return code == EXIT_DONE && failed ? EXIT_JOB_FAILED : code;
}

/* NULL after saying why. */
static json_t *file_read(const char *name) {
    json_error_t error;
    bool in = strcmp(name, "-") == 0;
    json_t *value =
        in ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &error) : json_load_file(name, JSON_REJECT_DUPLICATES, &error);
    if (!value)
        fprintf(stderr, "rematctl: %s:%d: %s\n", name, error.line > 0 ? error.line : 1, error.text);
    return value;
}

/* What the options say beside the file; its own fields stay where they say nothing. */
static void options_put(const struct rematctl *ctl, json_t *job) {
    json_t *labels = json_object_get(job, "labels");
    if (ctl->job_timeout_seconds)
        json_object_set_new(job, "timeout_seconds", json_integer(ctl->job_timeout_seconds));
    if (ctl->queue_timeout_seconds)
        json_object_set_new(job, "queue_timeout_seconds", json_integer(ctl->queue_timeout_seconds));
    if (ctl->n_labels && !labels) {
        labels = json_object();
        json_object_set_new(job, "labels", labels);
    }
    for (unsigned i = 0; i < ctl->n_labels; i++) {
        const char *colon = strchr(ctl->labels[i], ':');
        char key[256];
        snprintf(key, sizeof key, "%.*s", (int)(colon - ctl->labels[i]), ctl->labels[i]);
        json_object_set_new(labels, key, json_string(colon + 1));
    }
}

int rematctl_submit(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    json_t *job = file_read(ctl->words[0]), *queued, *done;
    if (!job)
        return EXIT_LOCAL;
    options_put(ctl, job);
    queued = rematc_submit(ctl->client, job, 0, ctl->key, &why);
    json_decref(job);
    if (!ctl->wait || !queued)
        return show(ctl, queued, rematctl_print_job, &why);
    done = rematc_wait(ctl->client, json_string_value(json_object_get(queued, "id")), ctl->timeout_seconds, &why);
    json_decref(queued);
    return show_finished(ctl, done, &why);
}

int rematctl_explain(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    json_t *job = file_read(ctl->words[0]), *plan;
    if (!job)
        return EXIT_LOCAL;
    plan = rematc_explain(ctl->client, job, &why);
    json_decref(job);
    return show(ctl, plan, rematctl_print_explanation, &why);
}

int rematctl_jobs(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    json_t *list = rematc_jobs_labelled(ctl->client, ctl->state, ctl->kind, ctl->labels, ctl->n_labels, ctl->page_size,
                                        ctl->page_token, &why);
    return show(ctl, list, rematctl_print_jobs, &why);
}

int rematctl_job(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    return show(ctl, rematc_job(ctl->client, ctl->words[0], &why), rematctl_print_job, &why);
}

int rematctl_wait(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    return show_finished(ctl, rematc_wait(ctl->client, ctl->words[0], ctl->timeout_seconds, &why), &why);
}

int rematctl_cancel(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    return show(ctl, rematc_cancel(ctl->client, ctl->words[0], &why), rematctl_print_job, &why);
}

int rematctl_retry(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    return show(ctl, rematc_retry(ctl->client, ctl->words[0], &why), rematctl_print_job, &why);
}

int rematctl_delete(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    return rematc_delete(ctl->client, ctl->words[0], &why) ? EXIT_DONE : rematctl_fail(&why);
}

int rematctl_fetch(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    const char *id = ctl->words[0], *name = ctl->n_words > 1 ? ctl->words[1] : NULL;
    const char *ending = ctl->npy ? "npy" : "safetensors";
    char file[256];
    if (ctl->npy && !name) {
        fprintf(stderr, "rematctl: fetch: --npy holds one tensor: say which\n");
        return EXIT_USAGE;
    }
    if (strchr(id, '/') || (name && strchr(name, '/'))) {
        fprintf(stderr, "rematctl: fetch: an id or a name has no slash\n");
        return EXIT_USAGE;
    }
    if (ctl->output)
        snprintf(file, sizeof file, "%s", ctl->output);
    else
        snprintf(file, sizeof file, "%s%s%s.%s", id, name ? "-" : "", name ? name : "", ending);
    if (!rematc_fetch(ctl->client, id, name, ctl->npy, ctl->output ? ctl->output : file, &why))
        return rematctl_fail(&why);
    if (!ctl->output || strcmp(ctl->output, "-") != 0)
        printf("%s\n", ctl->output ? ctl->output : file);
    return EXIT_DONE;
}

int rematctl_upload(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    return show(ctl, rematc_upload(ctl->client, ctl->words[0], &why), rematctl_print_upload, &why);
}

/* What of the events is remembered: the last state. */
struct watching {
    bool json, failed;
};

static bool on_event(void *user, uint64_t id, const char *event, const json_t *data) {
    struct watching *w = user;
    if (!w->json)
        rematctl_print_event(id, event, data);
    else {
        json_t *line = json_pack("{s:I, s:s, s:O}", "id", (json_int_t)id, "event", event, "data", (json_t *)data);
        json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
        putchar('\n');
        json_decref(line);
    }
    if (strcmp(event, "state") == 0)
        w->failed = rematc_job_finished(data) && !rematc_job_succeeded(data);
    return fflush(stdout) == 0; /* who reads us may have gone */
}

int rematctl_events(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    struct watching w = {.json = ctl->json};
    if (!rematc_events(ctl->client, ctl->words[0], ctl->last_event_id, on_event, &w, &why))
        return rematctl_fail(&why);
    return w.failed ? EXIT_JOB_FAILED : EXIT_DONE;
}
