/* rematc.c - librematc: one request function, and a short function per route above it. */
#include "clients/c/rematc.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX  ((size_t)64 << 20) /* a JSON answer: far above any list of jobs */
#define CONNECT_SECONDS   5L
#define ANSWER_SECONDS    30L /* beyond what the daemon was asked to wait */
#define HEALTH_SECONDS    5L
#define STALL_SECONDS     60L /* a file that moves no byte for so long is given up */
#define ABSENCE_SECONDS   30  /* rematc_wait: a restart takes less */
#define POLL_FIRST_NS     20000000L
#define POLL_LONGEST_NS   2000000000L
#define HTTP_ERROR        400
#define HTTP_SERVER_ERROR 500

struct rematc {
    CURL *curl;
    char url[512]; /* no slash at the end */
};

/* One request: what goes out, and where the answer goes. */
struct exchange {
    struct rematc *client;
    const char *method, *path; /* path with its query, already escaped */
    const char *body;          /* JSON, or NULL */
    FILE *upload;              /* instead of body */
    curl_off_t upload_bytes;
    const char *headers[4];                                /* "Name: value", NULL ends them */
    FILE *download;                                        /* where a good answer goes, instead of answer */
    bool (*take)(void *user, const char *bytes, size_t n); /* or to whom; false: enough */
    void *user;
    double heard; /* when the last byte came, with take */
    bool enough;
    long seconds; /* for all of it; 0: ANSWER_SECONDS, or STALL_SECONDS without a byte for files */
    int status;
    char *answer; /* NUL-terminated */
    size_t answer_bytes;
    bool overflow;
};

static bool fail(struct rematc_error *why, enum rematc_kind kind, const char *title, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static bool fail(struct rematc_error *why, enum rematc_kind kind, const char *title, const char *format, ...) {
    va_list args;
    if (!why)
        return false;
    memset(why, 0, sizeof *why);
    why->kind = kind;
    snprintf(why->title, sizeof why->title, "%s", title);
    va_start(args, format);
    vsnprintf(why->detail, sizeof why->detail, format, args);
    va_end(args);
    return false;
}

static bool fail_memory(struct rematc_error *why) {
    return fail(why, REMATC_LOCAL, "Out of memory", "no memory for a request");
}

static void text_copy(char *to, size_t size, const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    if (text)
        snprintf(to, size, "%s", text);
}

/* An answer of 400 and more: RFC 9457, or at least its status. */
static bool fail_refused(struct rematc_error *why, const struct exchange *x) {
    bool ours = x->status < HTTP_SERVER_ERROR;
    json_t *problem;
    fail(why, ours ? REMATC_REFUSED : REMATC_UNAVAILABLE, ours ? "Refused" : "Unavailable", "%s %s was answered %d",
         x->method, x->path, x->status);
    if (!why)
        return false;
    why->http_status = x->status;
    problem = x->answer ? json_loads(x->answer, 0, NULL) : NULL;
    text_copy(why->title, sizeof why->title, problem, "title");
    text_copy(why->detail, sizeof why->detail, problem, "detail");
    text_copy(why->pointer, sizeof why->pointer, problem, "pointer");
    why->minimum_budget_bytes = (uint64_t)json_integer_value(json_object_get(problem, "minimum_budget_bytes"));
    json_decref(problem);
    return false;
}

/* ---- transport ---- */

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static size_t answer_take(char *bytes, size_t size, size_t n, void *to) {
    struct exchange *x = to;
    size_t more = size * n; /* libcurl: size is 1 */
    long status = 0;
    char *grown;
    curl_easy_getinfo(x->client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (x->download && status < HTTP_ERROR)
        return fwrite(bytes, 1, more, x->download);
    if (x->take && status < HTTP_ERROR) {
        x->heard = seconds_now();
        x->enough = !x->take(x->user, bytes, more);
        return x->enough ? 0 : more;
    }
    if (more > ANSWER_BYTES_MAX - x->answer_bytes) {
        x->overflow = true;
        return 0;
    }
    grown = realloc(x->answer, x->answer_bytes + more + 1);
    if (!grown)
        return 0;
    memcpy(grown + x->answer_bytes, bytes, more);
    x->answer = grown;
    x->answer_bytes += more;
    grown[x->answer_bytes] = '\0';
    return more;
}

static size_t upload_give(char *to, size_t size, size_t n, void *from) {
    return fread(to, size, n, ((struct exchange *)from)->upload);
}

/* Not libcurl's low speed: that takes some bytes every 15 s for none. */
static int live_check(void *of, curl_off_t total, curl_off_t now, curl_off_t up, curl_off_t up_now) {
    (void)total, (void)now, (void)up, (void)up_now;
    return seconds_now() - ((struct exchange *)of)->heard > STALL_SECONDS;
}

/* NULL where memory is gone. */
static struct curl_slist *headers_make(const struct exchange *x) {
    struct curl_slist *list = curl_slist_append(NULL, "Accept-Encoding: identity"), *longer;
    for (size_t i = 0; list && i < sizeof x->headers / sizeof x->headers[0] && x->headers[i]; i++) {
        longer = curl_slist_append(list, x->headers[i]);
        if (!longer)
            curl_slist_free_all(list);
        list = longer;
    }
    return list;
}

static void body_set(CURL *curl, struct exchange *x) {
    if (x->upload) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, upload_give);
        curl_easy_setopt(curl, CURLOPT_READDATA, x);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, x->upload_bytes);
    } else if (strcmp(x->method, "GET") != 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(x->body ? strlen(x->body) : 0));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, x->body ? x->body : "");
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, x->method);
    if (x->take) {
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, live_check);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, x);
    } else if (x->upload || x->download) {
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
    } else
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, x->seconds ? x->seconds : ANSWER_SECONDS);
}

/* Sends and receives. True with a status below 400; the answer is the caller's to free either way. */
static bool exchange(struct exchange *x, struct rematc_error *why) {
    CURL *curl = x->client->curl;
    struct curl_slist *headers = headers_make(x);
    size_t room = strlen(x->client->url) + strlen(x->path) + 1;
    char *url = malloc(room), reason[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    if (headers && url) {
        snprintf(url, room, "%s%s", x->client->url, x->path);
        curl_easy_reset(curl); /* keeps the connection */
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "librematc");
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_take);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
        body_set(curl, x);
        code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    }
    curl_slist_free_all(headers);
    free(url);
    x->status = (int)status;
    if (code == CURLE_OUT_OF_MEMORY)
        return fail_memory(why);
    if (x->overflow)
        return fail(why, REMATC_GARBLED, "Answer too large", "more than %zu bytes of JSON", ANSWER_BYTES_MAX);
    if (x->enough)
        return true;
    if (code == CURLE_WRITE_ERROR)
        return fail(why, REMATC_LOCAL, "Cannot write", "%s", strerror(errno));
    if (status >= HTTP_ERROR) /* also where the daemon answered before it had read all */
        return fail_refused(why, x);
    if (code != CURLE_OK)
        return fail(why, REMATC_UNREACHABLE, "Cannot reach the daemon", "%s: %s", x->client->url,
                    reason[0] ? reason : curl_easy_strerror(code));
    return true;
}

/* The same, for answers that are a JSON object. */
static json_t *exchange_json(struct exchange *x, struct rematc_error *why) {
    json_error_t error;
    json_t *value = NULL;
    if (exchange(x, why)) {
        value = json_loads(x->answer ? x->answer : "", JSON_REJECT_DUPLICATES, &error);
        if (!value)
            fail(why, REMATC_GARBLED, "Not JSON", "%s %s: %s", x->method, x->path, error.text);
        else if (!json_is_object(value)) {
            fail(why, REMATC_GARBLED, "Not an object", "%s %s was answered with other JSON", x->method, x->path);
            json_decref(value);
            value = NULL;
        }
    }
    free(x->answer);
    x->answer = NULL;
    return value;
}

/* ---- paths ---- */

/* A path that is built piece by piece; what does not fit, or has no memory, shows as ok = false. */
struct path {
    CURL *curl;
    char text[2048];
    size_t used;
    char joint; /* '?' before the first query parameter, then '&' */
    bool ok;
};

static void path_add(struct path *path, const char *text) {
    size_t n = strlen(text);
    if (n >= sizeof path->text - path->used) {
        path->ok = false;
        return;
    }
    memcpy(path->text + path->used, text, n + 1);
    path->used += n;
}

static void path_escaped(struct path *path, const char *text) {
    char *escaped = curl_easy_escape(path->curl, text, 0);
    if (escaped)
        path_add(path, escaped);
    else
        path->ok = false;
    curl_free(escaped);
}

static struct path path_start(struct rematc *client, const char *text) {
    struct path path = {.curl = client->curl, .joint = '?', .ok = true};
    path_add(&path, text);
    return path;
}

/* value NULL: left out. */
static void path_query(struct path *path, const char *name, const char *value) {
    char joint[2] = {path->joint, '\0'};
    if (!value)
        return;
    path_add(path, joint);
    path_add(path, name);
    path_add(path, "=");
    path_escaped(path, value);
    path->joint = '&';
}

static void path_query_number(struct path *path, const char *name, uint64_t value) {
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    path_query(path, name, value ? digits : NULL);
}

static bool path_check(const struct path *path, struct rematc_error *why) {
    return path->ok || fail(why, REMATC_LOCAL, "Bad name", "an id or filter is missing or too long");
}

/* "/v1/jobs/{id}" and what follows. */
static struct path path_job(struct rematc *client, const char *id, const char *rest) {
    struct path path = path_start(client, "/v1/jobs/");
    if (!id || !id[0]) {
        path.ok = false;
        return path;
    }
    path_escaped(&path, id);
    path_add(&path, rest);
    return path;
}

/* ---- client ---- */

struct rematc *rematc_new(const char *url, struct rematc_error *why) {
    struct rematc *client = calloc(1, sizeof *client);
    size_t n;
    if (!url)
        url = getenv("REMATD_URL");
    if (!url || !url[0])
        url = REMATC_DEFAULT_URL;
    n = strlen(url);
    while (n && url[n - 1] == '/')
        n--;
    if (client)
        client->curl = curl_easy_init();
    if (!client || !client->curl) {
        fail_memory(why);
        rematc_free(client);
        return NULL;
    }
    if (n >= sizeof client->url) {
        fail(why, REMATC_LOCAL, "Bad URL", "the daemon's URL has %zu bytes; the most is %zu", n,
             sizeof client->url - 1);
        rematc_free(client);
        return NULL;
    }
    memcpy(client->url, url, n);
    return client;
}

void rematc_free(struct rematc *client) {
    if (!client)
        return;
    if (client->curl)
        curl_easy_cleanup(client->curl);
    free(client);
}

const char *rematc_url(const struct rematc *client) {
    return client->url;
}

json_t *rematc_get(struct rematc *client, const char *path, struct rematc_error *why) {
    struct exchange x = {.client = client, .method = "GET", .path = path};
    return exchange_json(&x, why);
}

bool rematc_get_live(struct rematc *client, const char *path, bool (*take)(void *user, const char *bytes, size_t n),
                     void *user, int *status, struct rematc_error *why) {
    struct exchange x = {
        .client = client, .method = "GET", .path = path, .take = take, .user = user, .heard = seconds_now()};
    bool ok = exchange(&x, why);
    free(x.answer);
    if (status)
        *status = x.status;
    return ok;
}

static bool probe(struct rematc *client, const char *path, struct rematc_error *why) {
    struct exchange x = {.client = client, .method = "GET", .path = path, .seconds = HEALTH_SECONDS};
    bool ok = exchange(&x, why);
    free(x.answer);
    return ok;
}

bool rematc_health(struct rematc *client, struct rematc_error *why) {
    return probe(client, "/healthz", why) && probe(client, "/readyz", why);
}

bool rematc_savings(struct rematc *client, uint64_t seq_len, uint64_t d_model, uint64_t num_layers, uint64_t heads,
                    uint64_t batch, struct rematc_savings *savings, struct rematc_error *why) {
    struct path path = path_start(client, "/v1/memory-savings");
    json_int_t standard = 0, checkpointed = 0;
    json_error_t error;
    json_t *answer;
    bool ok;
    path_query_number(&path, "seq_len", seq_len);
    path_query_number(&path, "d_model", d_model);
    path_query_number(&path, "num_layers", num_layers);
    path_query_number(&path, "heads", heads);
    path_query_number(&path, "batch", batch);
    answer = path_check(&path, why) ? rematc_get(client, path.text, why) : NULL;
    if (!answer)
        return false;
    ok = json_unpack_ex(answer, &error, 0, "{s:I, s:I, s:F, s:F, s:F, s:F}", "standard_memory_bytes", &standard,
                        "checkpointed_memory_bytes", &checkpointed, "standard_memory_mb", &savings->standard_memory_mb,
                        "checkpointed_memory_mb", &savings->checkpointed_memory_mb, "memory_saved_pct",
                        &savings->memory_saved_pct, "compute_overhead_pct", &savings->compute_overhead_pct) == 0;
    savings->standard_memory_bytes = (uint64_t)standard;
    savings->checkpointed_memory_bytes = (uint64_t)checkpointed;
    json_decref(answer);
    return ok || fail(why, REMATC_GARBLED, "Not memory savings", "%s", error.text);
}

/* ---- jobs ---- */

static json_t *post_body(struct exchange *x, const json_t *body, struct rematc_error *why) {
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_t *answer;
    if (body && !text) {
        fail(why, REMATC_LOCAL, "Not a request", "it cannot be written as JSON");
        return NULL;
    }
    x->body = text;
    answer = exchange_json(x, why);
    free(text);
    return answer;
}

json_t *rematc_submit(struct rematc *client, const json_t *job, unsigned wait_seconds, const char *key,
                      struct rematc_error *why) {
    char prefer[40], idempotency[300];
    struct exchange x = {
        .client = client, .method = "POST", .path = "/v1/jobs", .headers = {"Content-Type: application/json"}};
    size_t n = 1;
    if (wait_seconds) {
        snprintf(prefer, sizeof prefer, "Prefer: wait=%u", wait_seconds);
        x.headers[n++] = prefer;
        x.seconds = (long)wait_seconds + ANSWER_SECONDS;
    }
    if (key) {
        if (strlen(key) > 255 || strpbrk(key, "\r\n")) {
            fail(why, REMATC_LOCAL, "Bad key", "an idempotency key is one line of at most 255 bytes");
            return NULL;
        }
        snprintf(idempotency, sizeof idempotency, "Idempotency-Key: %s", key);
        x.headers[n++] = idempotency;
    }
    return post_body(&x, job, why);
}

json_t *rematc_post(struct rematc *client, const char *path, const json_t *body, unsigned seconds,
                    struct rematc_error *why) {
    struct exchange x = {.client = client,
                         .method = "POST",
                         .path = path,
                         .headers = {"Content-Type: application/json"},
                         .seconds = (long)seconds};
    return post_body(&x, body, why);
}

json_t *rematc_job(struct rematc *client, const char *id, struct rematc_error *why) {
    struct path path = path_job(client, id, "");
    return path_check(&path, why) ? rematc_get(client, path.text, why) : NULL;
}

json_t *rematc_jobs(struct rematc *client, const char *state, const char *kind, unsigned page_size,
                    const char *page_token, struct rematc_error *why) {
    struct path path = path_start(client, "/v1/jobs");
    path_query(&path, "state", state);
    path_query(&path, "kind", kind);
    path_query_number(&path, "page_size", page_size);
    path_query(&path, "page_token", page_token);
    return path_check(&path, why) ? rematc_get(client, path.text, why) : NULL;
}

json_t *rematc_cancel(struct rematc *client, const char *id, struct rematc_error *why) {
    struct path path = path_job(client, id, "/cancel");
    struct exchange x = {.client = client, .method = "POST", .path = path.text};
    return path_check(&path, why) ? exchange_json(&x, why) : NULL;
}

bool rematc_delete(struct rematc *client, const char *id, struct rematc_error *why) {
    struct path path = path_job(client, id, "");
    struct exchange x = {.client = client, .method = "DELETE", .path = path.text};
    bool ok = path_check(&path, why) && exchange(&x, why);
    free(x.answer);
    return ok;
}

static const char *job_state(const json_t *job) {
    const char *state = json_string_value(json_object_get(job, "state"));
    return state ? state : "";
}

bool rematc_job_succeeded(const json_t *job) {
    return strcmp(job_state(job), "succeeded") == 0;
}

bool rematc_job_finished(const json_t *job) {
    static const char *const lasting[] = {"succeeded", "failed", "cancelled"};
    for (size_t i = 0; i < sizeof lasting / sizeof lasting[0]; i++)
        if (strcmp(job_state(job), lasting[i]) == 0)
            return true;
    return false;
}

json_t *rematc_wait(struct rematc *client, const char *id, unsigned timeout_seconds, struct rematc_error *why) {
    double start = seconds_now(), answered = start;
    struct timespec pause = {.tv_sec = 0, .tv_nsec = POLL_FIRST_NS};
    long pause_ns = POLL_FIRST_NS;
    for (;;) {
        struct rematc_error now = {0};
        json_t *job = rematc_job(client, id, &now);
        bool away = now.kind == REMATC_UNREACHABLE || now.kind == REMATC_UNAVAILABLE;
        if (job && rematc_job_finished(job))
            return job;
        if (job)
            answered = seconds_now();
        else if (!away || seconds_now() - answered > ABSENCE_SECONDS) {
            if (why)
                *why = now;
            return NULL;
        }
        json_decref(job);
        if (timeout_seconds && seconds_now() - start > timeout_seconds) {
            fail(why, REMATC_TIMEOUT, "Not finished", "job %s has not ended within %u s", id, timeout_seconds);
            return NULL;
        }
        pause.tv_sec = pause_ns / 1000000000L;
        pause.tv_nsec = pause_ns % 1000000000L;
        nanosleep(&pause, NULL);
        pause_ns = pause_ns + pause_ns / 2 < POLL_LONGEST_NS ? pause_ns + pause_ns / 2 : POLL_LONGEST_NS;
    }
}

/* ---- tensors ---- */

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

json_t *rematc_upload(struct rematc *client, const char *file, struct rematc_error *why) {
    struct exchange x = {.client = client, .method = "POST", .path = "/v1/tensors"};
    struct stat at;
    json_t *answer = NULL;
    x.headers[0] =
        ends_with(file, ".npy") ? "Content-Type: application/x-npy" : "Content-Type: application/octet-stream";
    x.upload = fopen(file, "rb");
    if (!x.upload || fstat(fileno(x.upload), &at) != 0)
        fail(why, REMATC_LOCAL, "Cannot read", "%s: %s", file, strerror(errno));
    else if (!S_ISREG(at.st_mode))
        fail(why, REMATC_LOCAL, "Cannot read", "%s: not a file", file);
    else {
        x.upload_bytes = (curl_off_t)at.st_size;
        answer = exchange_json(&x, why);
    }
    if (x.upload)
        fclose(x.upload);
    return answer;
}

/* Runs the download into file by way of file.part. */
static bool download(struct exchange *x, const char *file, struct rematc_error *why) {
    size_t room = strlen(file) + sizeof ".part";
    char *part = malloc(room);
    bool ok;
    if (!part)
        return fail_memory(why);
    snprintf(part, room, "%s.part", file);
    x->download = fopen(part, "wb");
    if (!x->download) {
        fail(why, REMATC_LOCAL, "Cannot write", "%s: %s", part, strerror(errno));
        free(part);
        return false;
    }
    ok = exchange(x, why);
    if (fclose(x->download) != 0 && ok)
        ok = fail(why, REMATC_LOCAL, "Cannot write", "%s: %s", part, strerror(errno));
    if (ok && rename(part, file) != 0)
        ok = fail(why, REMATC_LOCAL, "Cannot write", "%s: %s", file, strerror(errno));
    if (!ok)
        unlink(part);
    free(part);
    return ok;
}

bool rematc_fetch(struct rematc *client, const char *id, const char *name, bool npy, const char *file,
                  struct rematc_error *why) {
    struct path path = path_job(client, id, "/tensors");
    struct exchange x = {.client = client, .method = "GET", .path = path.text};
    bool ok;
    x.headers[0] = npy ? "Accept: application/x-npy" : "Accept: application/vnd.safetensors, application/octet-stream";
    if (name) {
        path_add(&path, "/");
        path_escaped(&path, name);
    }
    if (!path_check(&path, why))
        return false;
    if (strcmp(file, "-") != 0)
        ok = download(&x, file, why);
    else {
        x.download = stdout;
        ok = exchange(&x, why);
        if (fflush(stdout) != 0 && ok)
            ok = fail(why, REMATC_LOCAL, "Cannot write", "standard output: %s", strerror(errno));
    }
    free(x.answer);
    return ok;
}
