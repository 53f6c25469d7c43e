/* rematctl_train.c - train: files go up, the job goes in, its events come out as a line a step. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/c/rematctl.h"

/* ---- files ---- */

/* The file as a vector of bytes in npy: what the daemon takes tokens from. The name of a temporary file in `name`. */
static bool bytes_wrap(const char *text, char name[32]) {
    static const char head[] = "\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', 'fortran_order': False, 'shape': (%ld,), }";
    char dict[118], buffer[65536];
    size_t n = 0;
    FILE *from = fopen(text, "rb");
    snprintf(name, 32, "/tmp/rematctl-XXXXXX");
    int fd = from ? mkstemp(name) : -1;
    FILE *to = fd >= 0 ? fdopen(fd, "wb") : NULL;
    bool ok = to && fseek(from, 0, SEEK_END) == 0;
    if (ok) {
        int bytes = snprintf(dict, sizeof dict, head + 10, ftell(from));
        memset(dict + bytes, ' ', sizeof dict - (size_t)bytes);
        dict[sizeof dict - 1] = '\n';
        rewind(from);
        ok = fwrite(head, 1, 10, to) == 10 && fwrite(dict, 1, sizeof dict, to) == sizeof dict;
    }
    while (ok && (n = fread(buffer, 1, sizeof buffer, from)) > 0)
        ok = fwrite(buffer, 1, n, to) == n;
    ok = ok && !ferror(from);
    if (from)
        fclose(from);
    ok = (to ? fclose(to) == 0 : false) && ok;
    if (!ok) {
        fprintf(stderr, "rematctl: %s: %s\n", text, errno ? strerror(errno) : "cannot be read");
        if (fd >= 0)
            unlink(name);
    }
    return ok;
}

/* Puts {"tensor": digest} of a file under key; an exit code, EXIT_DONE where all is well. */
static int upload(const struct rematctl *ctl, const char *file, json_t *body, const char *key) {
    struct rematc_error why = {0};
    json_t *answer = rematc_upload(ctl->client, file, &why);
    if (!answer)
        return rematctl_fail(&why);
    json_object_set_new(body, key, json_pack("{s:O}", "tensor", json_object_get(answer, "tensor")));
    json_decref(answer);
    return EXIT_DONE;
}

static int files_send(const struct rematctl *ctl, json_t *body) {
    char wrapped[32];
    int code = EXIT_DONE;
    if (ctl->text) {
        if (!bytes_wrap(ctl->text, wrapped))
            return EXIT_LOCAL;
        code = upload(ctl, wrapped, body, "tokens");
        unlink(wrapped);
    }
    return code == EXIT_DONE && ctl->weights ? upload(ctl, ctl->weights, body, "weights") : code;
}

/* ---- the request ---- */

/* A number, as the daemon will judge it; anything else goes as a string, for it to name. */
static void put_real(json_t *body, const char *key, const char *text) {
    char *end = NULL;
    double value = text ? strtod(text, &end) : 0;
    if (text)
        json_object_set_new(body, key, *end || end == text || !isfinite(value) ? json_string(text) : json_real(value));
}

static json_t *body_make(const struct rematctl *ctl, const char *model, int *code) {
    json_t *body = rematctl_request(ctl, model, code), *other;
    char *end = NULL;
    if (!body)
        return NULL;
    other = ctl->compare ? rematctl_strategy("--compare-with", ctl->compare) : NULL;
    if (ctl->compare && !other) {
        *code = EXIT_USAGE;
        json_decref(body);
        return NULL;
    }
    json_object_set_new(body, "kind", json_string("training_step"));
    if (ctl->steps)
        json_object_set_new(body, "steps", json_integer((json_int_t)ctl->steps));
    if (ctl->seed) {
        errno = 0;
        unsigned long long seed = strtoull(ctl->seed, &end, 10);
        bool whole = !*end && end != ctl->seed && errno == 0 && seed <= 9007199254740992u && ctl->seed[0] != '-';
        json_object_set_new(body, "seed", whole ? json_integer((json_int_t)seed) : json_string(ctl->seed));
    }
    put_real(body, "learning_rate", ctl->rate);
    put_real(body, "clip_norm", ctl->clip);
    if (other)
        json_object_set_new(body, "compare_with", other);
    *code = files_send(ctl, body);
    if (*code == EXIT_DONE)
        return body;
    json_decref(body);
    return NULL;
}

/* ---- watching ---- */

struct watch {
    bool json, line;
    const char *failed; /* NULL: it has not */
};

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static void step_print(struct watch *w, const json_t *report) {
    const json_t *loss = json_object_get(report, "loss");
    const char *phase = json_string_value(json_object_get(report, "phase"));
    bool compares = phase && strcmp(phase, "compare") == 0, live = isatty(STDOUT_FILENO);
    if (live && w->line)
        printf("\r");
    printf("%sstep %.0f/%.0f  loss ", compares ? "compared: " : "", number(report, "step"), number(report, "steps"));
    if (json_is_number(loss))
        printf("%.4f", json_number_value(loss));
    else
        printf("is no number");
    printf("  %.0f tokens/s  memory %.2f of %.2f MiB planned%s", number(report, "tokens_per_second"),
           number(report, "used_bytes") / 1048576, number(report, "planned_bytes") / 1048576, live ? "   " : "\n");
    w->line = live;
}

static bool on_event(void *user, uint64_t id, const char *event, const json_t *data) {
    struct watch *w = user;
    const json_t *report = json_object_get(data, "report");
    (void)id;
    if (strcmp(event, "state") == 0 && rematc_job_finished(data) && !rematc_job_succeeded(data))
        w->failed = "failed";
    if (!w->json && json_is_object(report))
        step_print(w, report);
    return fflush(stdout) == 0;
}

static void end_print(const json_t *job) {
    const json_t *result = json_object_get(job, "result"), *memory = json_object_get(result, "memory");
    const json_t *time = json_object_get(result, "time"), *comparison = json_object_get(result, "comparison");
    char predicted[64], measured[64];
    char *how = json_dumps(json_object_get(result, "strategy"), JSON_ENCODE_ANY | JSON_COMPACT);
    printf("job %s\nstrategy %s\n", json_string_value(json_object_get(job, "id")), how ? how : "?");
    printf("predicted peak %s\nmeasured peak  %s\n",
           rematctl_bytes_text(json_integer_value(json_object_get(memory, "predicted_peak_bytes")), predicted),
           rematctl_bytes_text(json_integer_value(json_object_get(memory, "measured_peak_bytes")), measured));
    printf("forward %.3f s, again %.3f s, backward %.3f s, update %.3f s\n", number(time, "forward_seconds"),
           number(time, "recompute_seconds"), number(time, "backward_seconds"), number(time, "update_seconds"));
    if (json_is_object(comparison))
        printf("losses, gradients and weights bit for bit those of the other strategy: %s\n",
               json_is_true(json_object_get(comparison, "identical")) ? "yes" : "no");
    free(how);
}

int rematctl_train(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    struct watch w = {.json = ctl->json};
    const char *model = ctl->model ? ctl->model : ctl->n_words ? ctl->words[0] : NULL;
    int code = EXIT_USAGE;
    if (!model || (ctl->model && ctl->n_words)) {
        fprintf(stderr, "rematctl: train needs one MODEL: a preset's name or a file\n");
        return EXIT_USAGE;
    }
    json_t *body = body_make(ctl, model, &code), *job = NULL, *done = NULL;
    if (!body)
        return code;
    job = rematc_submit(ctl->client, body, 0, ctl->key, &why);
    json_decref(body);
    const char *id = job ? json_string_value(json_object_get(job, "id")) : NULL;
    if (id && rematc_events(ctl->client, id, 0, on_event, &w, &why))
        done = rematc_wait(ctl->client, id, ctl->timeout_seconds, &why);
    if (w.line)
        putchar('\n');
    if (done && ctl->json)
        rematctl_print_json(done);
    else if (done && rematc_job_succeeded(done))
        end_print(done);
    else if (done)
        rematctl_print_job(done);
    code = !done ? rematctl_fail(&why) : rematc_job_succeeded(done) ? EXIT_DONE : EXIT_JOB_FAILED;
    json_decref(done);
    json_decref(job);
    return code;
}
