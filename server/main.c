/* main.c - the composition root: `rematd serve` puts the front together and keeps its workers, `rematd work` is one. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/units.h"
#include "engine/kernels/tile.h"
#include "server/blob.h"
#include "server/config.h"
#include "server/http.h"
#include "server/log.h"
#include "server/plan_cache.h"
#include "server/queue.h"
#include "server/store.h"
#include "server/supervise.h"
#include "server/wire.h"
#include "server/worker.h"

#ifndef REMATD_VERSION
#define REMATD_VERSION "0.1.0"
#endif

#define EXIT_FAILED     1
#define EXIT_USAGE      2
#define DRAIN_SECONDS   30u
#define HEAP_KEPT_BYTES (8 << 20)
#define TICK_NS         200000000u
#define SWEEP_SECONDS   1
#define FLOOR_BYTES     ((uint64_t)64 << 20) /* of the disk, kept free for jobs that are under way */
#define NAME_BYTES      (CONFIG_TEXT_BYTES + 16)

extern char **environ;

static atomic_bool draining;

static bool is_draining(void) {
    return draining;
}

static int failed(const char *what, const struct problem *why) {
    log_event(LOG_ERROR, what, "%s", why->detail);
    return EXIT_FAILED;
}

/* ---- rematd serve ---- */

struct serve {
    struct config config;
    int lock;
    struct service service;
    struct http *http;
    struct supervise supervise;
    sigset_t signals;
    time_t sweep_at; /* what is too old is looked for then */
};

/* One daemon a data directory: a second one would take the first one's jobs for abandoned. */
static bool directory_lock(struct serve *serve, struct problem *why) {
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s/lock", serve->config.data_dir);
    serve->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (serve->lock >= 0 && flock(serve->lock, LOCK_EX | LOCK_NB) == 0)
        return true;
    return problem_set(why, PROBLEM_STATE, "",
                       errno == EWOULDBLOCK ? "another rematd serves %.300s" : "cannot lock %.300s",
                       serve->config.data_dir);
}

/* Prints where we are and leaves it in DATA/url, for who started us on port 0. */
static bool url_tell(const struct serve *serve, struct problem *why) {
    char name[NAME_BYTES], temporary[NAME_BYTES + 4], url[128];
    bool v6 = strchr(serve->config.address, ':') != NULL;
    snprintf(url, sizeof url, "http://%s%s%s:%u", v6 ? "[" : "", serve->config.address, v6 ? "]" : "",
             http_port(serve->http));
    snprintf(name, sizeof name, "%s/url", serve->config.data_dir);
    snprintf(temporary, sizeof temporary, "%s.new", name);
    FILE *file = fopen(temporary, "we");
    bool good = file && fprintf(file, "%s\n", url) > 0;
    if (file && fclose(file) != 0)
        good = false;
    if (!good || rename(temporary, name) != 0)
        return problem_set(why, PROBLEM_IO, "", "cannot write %.300s: %s", name, strerror(errno));
    printf("rematd: listening on %s\n", url);
    fflush(stdout);
    return true;
}

static void url_forget(const struct serve *serve) {
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s/url", serve->config.data_dir);
    unlink(name);
}

static bool blob_wanted(void *context, const char *digest, struct problem *why) {
    bool known = false;
    return store_blob_known(context, digest, &known, why) && known;
}

static bool has_room(void *context, struct problem *why) {
    return blob_room(context, why);
}

/* What a crash left goes; from now on no more is kept than is wanted. */
static bool data_prepare(struct serve *serve, struct problem *why) {
    const struct config *config = &serve->config;
    struct service *service = &serve->service;
    if (!blob_tidy(service->blobs, blob_wanted, service->store, why))
        return false;
    blob_limit(service->blobs, config->data_limit_bytes, FLOOR_BYTES);
    queue_bound(service->queue, config->queue_limit);
    queue_retain(service->queue, (int64_t)config->retention_seconds * 1000);
    queue_room(service->queue, has_room, service->blobs);
    return true;
}

static bool serve_open(struct serve *serve, struct problem *why) {
    const struct config *config = &serve->config;
    struct service *service = &serve->service;
    service->config = config;
    service->threads = (unsigned)config->threads;
    service->memory_limit_bytes = config_memory_limit(config->memory_limit_bytes, "");
    service->draining = is_draining;
    wire_start();
    if (!(service->blobs = blob_open(config->data_dir, why)) || !directory_lock(serve, why) ||
        !(service->store = store_open(config->data_dir, why)) ||
        !(service->queue = queue_new(service->store, service->memory_limit_bytes, why)) ||
        !queue_recover(service->queue, why))
        return false;
    if (!data_prepare(serve, why))
        return false;
    service->plans = plan_cache_new(config->plan_cache_bytes, why);
    if (!service->plans && config->plan_cache_bytes)
        return false;
    serve->http = http_open(&(struct http_options){.address = config->address,
                                                   .port = (uint16_t)config->port,
                                                   .tables = route_tables,
                                                   .service = service,
                                                   .allowed_hosts = config->allowed_hosts,
                                                   .upload_limit_bytes = config->upload_limit_bytes,
                                                   .connections = (unsigned)config->connections},
                            why);
    if (!serve->http)
        return false;
    serve->supervise = (struct supervise){.data_dir = config->data_dir,
                                          .workers = (unsigned)config->workers,
                                          .threads = service->threads,
                                          .memory_limit_bytes = service->memory_limit_bytes,
                                          .queue = service->queue};
    return supervise_start(&serve->supervise, why) && url_tell(serve, why);
}

static void serve_close(struct serve *serve) {
    supervise_kill(&serve->supervise);
    http_close(serve->http);
    plan_cache_free(serve->service.plans);
    queue_free(serve->service.queue);
    store_close(serve->service.store);
    blob_close(serve->service.blobs);
    if (serve->lock >= 0)
        close(serve->lock);
}

static bool is_stop(int number) {
    return number == SIGTERM || number == SIGINT;
}

static void blob_gone(void *context, const char *digest) {
    struct problem ignored = {0}; /* a file that is not there any more is what we want */
    if (!blob_remove(context, digest, &ignored))
        return;
}

/* What nobody is to keep any longer goes, a little at a time: the workers are not to wait for it. */
static void data_sweep(struct serve *serve) {
    struct problem why = {0};
    bool more = false;
    if (time(NULL) < serve->sweep_at)
        return;
    blob_stale_remove(serve->service.blobs);
    if (!queue_sweep(serve->service.queue, blob_gone, serve->service.blobs, &more, &why))
        log_event(LOG_WARNING, "serve.sweep", "%s", why.detail);
    serve->sweep_at = more ? 0 : time(NULL) + SWEEP_SECONDS;
}

/* What is due; returns nanoseconds until more may be. */
static uint64_t serve_tick(struct serve *serve) {
    struct problem why = {0};
    uint64_t ns = supervise_tick(&serve->supervise);
    if (!queue_time_out(serve->service.queue, &why))
        log_event(LOG_WARNING, "serve.timeouts", "%s", why.detail);
    data_sweep(serve);
    return units_min(ns, TICK_NS);
}

/* Keeps the workers until somebody asks to stop. */
static void serve_run(struct serve *serve) {
    for (int number = 0; !is_stop(number);) {
        uint64_t ns = serve_tick(serve);
        number = sigtimedwait(&serve->signals, NULL, &(struct timespec){.tv_nsec = (long)ns});
    }
}

/* Not ready, nothing new; running jobs get their time; a second signal, or the end of it, puts them back. */
static void serve_drain(struct serve *serve) {
    draining = true;
    log_event(LOG_INFO, "serve.draining", "running jobs get %u s; a second signal ends them", DRAIN_SECONDS);
    supervise_stop(&serve->supervise);
    int number = 0;
    for (time_t until = time(NULL) + DRAIN_SECONDS; !is_stop(number) && time(NULL) < until;) {
        serve_tick(serve);
        if (supervise_alive(&serve->supervise) == 0)
            return;
        number = sigtimedwait(&serve->signals, NULL, &(struct timespec){.tv_nsec = TICK_NS});
    }
}

static void files_allow(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* fewer connections are the worst that follows */
    }
}

/* Pages that a request touched stay for the next one: a fresh page costs more than planning a layer. */
static void heap_keep(void) {
    mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
    mallopt(M_MMAP_THRESHOLD, HEAP_KEPT_BYTES);
}

static int serve_main(const struct config *config) {
    static struct serve serve;
    struct problem why = {0};
    serve.config = *config;
    serve.lock = -1;
    files_allow();
    heap_keep();
    sigemptyset(&serve.signals);
    sigaddset(&serve.signals, SIGTERM);
    sigaddset(&serve.signals, SIGINT);
    sigaddset(&serve.signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &serve.signals, NULL); /* before threads: they inherit it */
    bool good = serve_open(&serve, &why);
    if (good) {
        log_event(LOG_INFO, "serve.started",
                  "version %s, %llu workers of %u threads, jobs may take %llu bytes, data in %s", REMATD_VERSION,
                  (unsigned long long)config->workers, serve.service.threads,
                  (unsigned long long)serve.service.memory_limit_bytes, config->data_dir);
        serve_run(&serve);
        serve_drain(&serve);
        url_forget(&serve);
    }
    struct plan_cache_figures plans = plan_cache_figures(serve.service.plans);
    serve_close(&serve);
    if (!good)
        return failed("serve.failed", &why);
    if (plans.finds)
        log_event(LOG_INFO, "serve.plan_cache", "%llu of %llu questions were known, %llu bytes of %llu in use",
                  (unsigned long long)plans.hits, (unsigned long long)plans.finds, (unsigned long long)plans.bytes,
                  (unsigned long long)plans.limit_bytes);
    log_event(LOG_INFO, "serve.stopped", "all jobs are finished or back in the queue");
    return 0;
}

/* ---- rematd work ---- */

static int work_main(const struct config *config) {
    struct worker_options options = {.data_dir = config->data_dir,
                                     .slot = (unsigned)config->slot,
                                     .threads = (unsigned)config->threads,
                                     .memory_limit_bytes = config_memory_limit(config->memory_limit_bytes, "")};
    prctl(PR_SET_NAME, "rematd work"); /* started through /proc/self/exe, it would be called "exe" */
    wire_start();
    return worker_run(&options);
}

static const struct {
    const char *name, *summary;
    enum config_command command;
    int (*run)(const struct config *config);
} commands[] = {
    {"serve", "the daemon: HTTP front and its workers", CONFIG_SERVE, serve_main},
    {"work", "one worker, on a data directory that a daemon serves", CONFIG_WORK, work_main},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static int usage(FILE *out, int code) {
    fprintf(out, "rematd %s: gradient checkpointing as a service\n\nusage: rematd COMMAND [FLAG...]\n\n",
            REMATD_VERSION);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\nrematd COMMAND --help lists its flags.\n");
    return code;
}

int main(int n_args, char *args[]) {
    struct config config;
    struct problem why = {0};
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    if (n_args < 2)
        return usage(stderr, EXIT_USAGE);
    if (strcmp(args[1], "--help") == 0 || strcmp(args[1], "-h") == 0)
        return usage(stdout, 0);
    if (strcmp(args[1], "--version") == 0)
        return printf("rematd %s\n", REMATD_VERSION) < 0;
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, args[1]) != 0)
            continue;
        if (!config_read(&config, commands[i].command, n_args - 2, args + 2, environ, &why) || !tile_check(&why)) {
            fprintf(stderr, "rematd %s: %s\n", args[1], why.detail);
            return EXIT_USAGE;
        }
        if (config.help)
            return config_help(stdout, commands[i].command), 0;
        return config.version ? printf("rematd %s\n", REMATD_VERSION) < 0 : commands[i].run(&config);
    }
    fprintf(stderr, "rematd: '%.60s' is not a command\n\n", args[1]);
    return usage(stderr, EXIT_USAGE);
}
