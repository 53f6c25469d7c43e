/* main.c - the composition root: `rematd serve` puts the front together and keeps its workers, `rematd work` is one. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
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
#include "server/jail.h"
#include "server/log.h"
#include "server/plan_cache.h"
#include "server/queue.h"
#include "server/rate.h"
#include "server/store.h"
#include "server/store_carry.h"
#include "server/supervise.h"
#include "server/token.h"
#include "server/wire.h"
#include "server/worker.h"

#ifndef REMATD_VERSION
#define REMATD_VERSION "0.1.0"
#endif

#define EXIT_FAILED     1
#define EXIT_USAGE      2
#define LOCK_ATTEMPTS   50u
#define LOCK_WAIT_NS    20000000
#define DRAIN_SECONDS   30u
#define HEAP_KEPT_BYTES (8 << 20)
#define HEAP_KEPT_SHARE 64u /* of the front's memory */
#define CACHE_SHARE     4u  /* of the front's memory, at most, for answers that are kept */
#define BESIDE_SHARE    8u  /* of what is left of it for plans, for their requests and answers */
#define TICK_NS         200000000u
#define SWEEP_SECONDS   1
#define COPIES_SECONDS  600
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
    struct token_file *tokens; /* NULL: none */
    struct rate *rate;         /* NULL: no limit */
    struct http *http;
    struct supervise supervise;
    sigset_t signals;
    time_t sweep_at;  /* what is too old is looked for then */
    time_t copies_at; /* and copies of what others have removed */
    bool store_lost;  /* and we have said so */
};

/* One daemon a data directory: a second one would take the first one's jobs for abandoned. */
static bool directory_lock(struct serve *serve, struct problem *why) {
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s/lock", serve->config.data_dir);
    serve->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    /* A daemon that was killed while it started a worker leaves a child that holds the lock until it sees that. */
    for (unsigned attempt = 0; serve->lock >= 0 && attempt < LOCK_ATTEMPTS; attempt++) {
        if (flock(serve->lock, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK)
            break;
        nanosleep(&(struct timespec){.tv_nsec = LOCK_WAIT_NS}, NULL);
    }
    return problem_set(why, PROBLEM_STATE, "",
                       errno == EWOULDBLOCK ? "another rematd serves %.300s" : "cannot lock %.300s",
                       serve->config.data_dir);
}

/* Prints where we are and leaves the first of it in DATA/url, for who started us on port 0. */
static bool url_tell(const struct serve *serve, struct problem *why) {
    char name[NAME_BYTES], temporary[NAME_BYTES + 4];
    snprintf(name, sizeof name, "%s/url", serve->config.data_dir);
    snprintf(temporary, sizeof temporary, "%s.new", name);
    FILE *file = fopen(temporary, "we");
    bool good = file && fprintf(file, "%s\n", http_url(serve->http, 0)) > 0;
    if (file && fclose(file) != 0)
        good = false;
    if (!good || rename(temporary, name) != 0)
        return problem_set(why, PROBLEM_IO, "", "cannot write %.300s: %s", name, strerror(errno));
    for (unsigned i = 0; http_url(serve->http, i); i++)
        printf("rematd: listening on %s\n", http_url(serve->http, i));
    fflush(stdout);
    return true;
}

static void url_forget(const struct serve *serve) {
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s/url", serve->config.data_dir);
    unlink(name);
}

static bool blob_wanted(void *context, const char *digest, struct problem *why) {
    bool kept = false;
    return store_blob_kept(context, digest, &kept, why) && kept;
}

static bool has_room(void *context, struct problem *why) {
    return blob_room(context, why);
}

/* What a crash left goes; from now on no more is kept than is wanted. */
static bool data_prepare(struct serve *serve, struct problem *why) {
    const struct config *config = &serve->config;
    struct service *service = &serve->service;
    struct problem strays = {0};
    if (!blob_tidy(service->blobs, blob_wanted, service->store, why))
        return false;
    if (!store_strays_drop(service->store, &strays)) /* they take room, and the next start finds them */
        log_event(LOG_WARNING, "serve.strays", "%s", strays.detail);
    blob_limit(service->blobs, config->data_limit_bytes, FLOOR_BYTES);
    queue_bound(service->queue, config->queue_limit);
    queue_retain(service->queue, (int64_t)config->retention_seconds * 1000);
    queue_room(service->queue, has_room, service->blobs);
    return true;
}

/* Pages that a request touched stay for the next one: a fresh page costs more than planning a layer. Where there is
 * little memory, few do: what the allocator keeps for one thread, another one's plan cannot have. */
static void heap_keep(uint64_t front_bytes) {
    int kept = (int)units_min(front_bytes / HEAP_KEPT_SHARE, HEAP_KEPT_BYTES);
    mallopt(M_TRIM_THRESHOLD, kept);
    mallopt(M_MMAP_THRESHOLD, kept);
    if (kept < HEAP_KEPT_BYTES)
        mallopt(M_ARENA_MAX, 2);
}

/* Who may ask, and how often. */
static bool access_open(struct serve *serve, struct problem *why) {
    const struct config *config = &serve->config;
    if (*config->tokens && !(serve->tokens = token_open(config->tokens, why)))
        return false;
    if (config->rate_per_second == 0)
        return true;
    serve->rate = rate_new((unsigned)config->rate_per_second, (unsigned)config->rate_burst, why);
    return serve->rate != NULL;
}

/* SIGHUP: what is wrong with a new file is said, and the old tokens or certificate stay. */
static void access_reread(struct serve *serve) {
    struct problem why = {0}, tls = {0};
    if (serve->tokens && token_reread(serve->tokens, &why))
        log_event(LOG_INFO, "serve.tokens", "%u tokens in %s", token_count(serve->tokens), serve->config.tokens);
    else if (serve->tokens)
        log_event(LOG_ERROR, "serve.tokens", "the old tokens stay: %s", why.detail);
    if (*serve->config.tls_certificate && http_tls_reread(serve->http, &tls))
        log_event(LOG_INFO, "serve.tls", "new connections get the certificate in %s", serve->config.tls_certificate);
    else if (*serve->config.tls_certificate)
        log_event(LOG_ERROR, "serve.tls", "the old certificate stays: %s", tls.detail);
    if (!serve->tokens && !*serve->config.tls_certificate)
        log_event(LOG_INFO, "serve.hangup", "SIGHUP: there are no tokens and no certificate to read again");
}

static bool serve_open(struct serve *serve, struct problem *why) {
    const struct config *config = &serve->config;
    struct service *service = &serve->service;
    service->config = config;
    service->threads = (unsigned)config->threads;
    const struct config_memory memory =
        config_memory_find(config->memory_limit_bytes, config->workers, config->threads, "");
    if (memory.jobs_bytes == 0)
        return problem_set(why, PROBLEM_LIMIT, "", "--workers %llu: they and the front leave no memory for jobs here",
                           (unsigned long long)config->workers);
    service->memory_limit_bytes = memory.jobs_bytes;
    heap_keep(memory.front_bytes);
    service->draining = is_draining;
    wire_start();
    if (!access_open(serve, why) || !(service->blobs = blob_open(config->data_dir, why)) ||
        !directory_lock(serve, why) || !(service->store = store_choose(config->store, config->data_dir, why)) ||
        !(service->queue = queue_new(service->store, service->memory_limit_bytes, why)))
        return false;
    if (store_shared(service->store))
        queue_host(service->queue, blob_host(service->blobs));
    store_carry(service->store, service->blobs, 0);
    if (!queue_recover(service->queue, why))
        return false;
    if (!data_prepare(serve, why))
        return false;
    uint64_t cache_bytes = units_min(config->plan_cache_bytes, memory.front_bytes / CACHE_SHARE);
    service->planning_bytes = (memory.room_bytes - cache_bytes) / BESIDE_SHARE * (BESIDE_SHARE - 1);
    service->plans = plan_cache_new(cache_bytes, why);
    if (!service->plans && cache_bytes)
        return false;
    serve->http = http_open(&(struct http_options){.address = config->address,
                                                   .port = (uint16_t)config->port,
                                                   .unix_path = config->unix_path,
                                                   .inherit = true,
                                                   .insecure = config->insecure || serve->tokens,
                                                   .tls_certificate = config->tls_certificate,
                                                   .tls_key = config->tls_key,
                                                   .tables = route_tables,
                                                   .service = service,
                                                   .allowed_hosts = config->allowed_hosts,
                                                   .origins = config->origins,
                                                   .tokens = serve->tokens,
                                                   .rate = serve->rate,
                                                   .open_metrics = config->open_metrics,
                                                   .upload_limit_bytes = config->upload_limit_bytes,
                                                   .connections = (unsigned)config->connections,
                                                   .connections_per_address = (unsigned)config->connections_per_address,
                                                   .streams = (unsigned)config->streams,
                                                   .planning_threads = (unsigned)config->planning_threads,
                                                   .planning_queue = (unsigned)config->planning_queue},
                            why);
    if (!serve->http)
        return false;
    serve->supervise = (struct supervise){.data_dir = config->data_dir,
                                          .workers = (unsigned)config->workers,
                                          .threads = service->threads,
                                          .memory_limit_bytes = service->memory_limit_bytes,
                                          .sandbox = (enum jail_mode)config->sandbox,
                                          .queue = service->queue};
    if (!supervise_start(&serve->supervise, why) || !url_tell(serve, why))
        return false;
    const uint64_t held = jail_memory_bytes(); /* most of it reserved, never touched */
    jail_memory_limit(held ? held + memory.room_bytes : UINT64_MAX);
    http_notify("READY=1");
    return true;
}

static void serve_close(struct serve *serve) {
    supervise_kill(&serve->supervise);
    http_close(serve->http);
    plan_cache_free(serve->service.plans);
    queue_free(serve->service.queue);
    store_close(serve->service.store);
    blob_close(serve->service.blobs);
    rate_free(serve->rate);
    token_close(serve->tokens);
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

/* A store that is away is so at every tick: said once. */
static void tick_tell(struct serve *serve, const char *event, bool good, const struct problem *why) {
    if (!good && !serve->store_lost)
        log_event(LOG_WARNING, event, "%s", why->detail);
    serve->store_lost = !good;
}

/* What nobody is to keep any longer goes, a little at a time: the workers are not to wait for it. */
static void data_sweep(struct serve *serve) {
    struct problem why = {0};
    bool more = false;
    if (time(NULL) < serve->sweep_at)
        return;
    blob_stale_remove(serve->service.blobs);
    bool good = queue_sweep(serve->service.queue, blob_gone, serve->service.blobs, &more, &why);
    tick_tell(serve, "serve.sweep", good, &why);
    serve->sweep_at = more ? 0 : time(NULL) + SWEEP_SECONDS;
    if (time(NULL) < serve->copies_at)
        return;
    serve->copies_at = time(NULL) + COPIES_SECONDS;
    why = (struct problem){0};
    if (!store_carry_tidy(serve->service.store, serve->service.blobs, &why))
        log_event(LOG_WARNING, "serve.sweep", "%s", why.detail);
}

/* What is due; returns nanoseconds until more may be. */
static uint64_t serve_tick(struct serve *serve) {
    struct problem why = {0};
    uint64_t ns = supervise_tick(&serve->supervise);
    bool good = queue_time_out(serve->service.queue, &why);
    tick_tell(serve, "serve.timeouts", good, &why);
    data_sweep(serve);
    return units_min(ns, TICK_NS);
}

/* Keeps the workers until somebody asks to stop. */
static void serve_run(struct serve *serve) {
    for (int number = 0; !is_stop(number);) {
        uint64_t ns = serve_tick(serve);
        number = sigtimedwait(&serve->signals, NULL, &(struct timespec){.tv_nsec = (long)ns});
        if (number == SIGHUP)
            access_reread(serve);
    }
}

/* Not ready, nothing new; running jobs get their time; a second signal, or the end of it, puts them back. */
static void serve_drain(struct serve *serve) {
    draining = true;
    http_notify("STOPPING=1");
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

static int serve_main(const struct config *config) {
    static struct serve serve;
    struct problem why = {0};
    serve.config = *config;
    serve.lock = -1;
    files_allow();
    sigemptyset(&serve.signals);
    sigaddset(&serve.signals, SIGTERM);
    sigaddset(&serve.signals, SIGINT);
    sigaddset(&serve.signals, SIGCHLD);
    if (*config->tokens || *config->tls_certificate || !isatty(STDERR_FILENO))
        sigaddset(&serve.signals, SIGHUP);        /* else it ends us: our terminal has gone away */
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
    struct worker_options options = {
        .data_dir = config->data_dir,
        .store = config->store,
        .slot = (unsigned)config->slot,
        .threads = (unsigned)config->threads,
        .memory_limit_bytes = config_memory_find(config->memory_limit_bytes, 1, config->threads, "").jobs_bytes,
        .sandbox = (enum jail_mode)config->sandbox};
    prctl(PR_SET_NAME, "rematd work"); /* started through /proc/self/exe, it would be called "exe" */
    wire_start();
    return worker_run(&options);
}

static const struct {
    const char *name, *summary;
    enum config_command command;
    int (*run)(const struct config *config);
    int (*run_words)(int n_args, char *const args[]); /* in its place: it reads no settings */
} commands[] = {
    {"serve", "the daemon: HTTP front and its workers", CONFIG_SERVE, serve_main, NULL},
    {"work", "one worker, on a data directory that a daemon serves, or with --store on any machine", CONFIG_WORK,
     work_main, NULL},
    {"token", "a new token, and its line for the file of serve --tokens", 0, NULL, token_command},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

/* A slip in a variable's name would otherwise change nothing, silently. Names alone: a value may be a secret. */
static void strays_tell(void) {
    size_t at = 0;
    for (const char *entry; (entry = config_stray(environ, &at));)
        log_event(LOG_WARNING, "config.unknown", "the environment has %.*s, which is no setting",
                  (int)strcspn(entry, "="), entry);
}

/* Workers inherit it, and the store: a URL may have a password, which is not for the list of processes. */
static void inheritance_make(const struct config *config) {
    static const char *const names[] = {[LOG_INFO] = "info", [LOG_WARNING] = "warning", [LOG_ERROR] = "error"};
    log_least((enum log_level)config->log_level);
    setenv("REMATD_LOG_LEVEL", names[config->log_level], 1);
    setenv("REMATD_STORE", config->store, 1);
}

/* What a command does once its settings are read. */
static int command_run(size_t index, const struct config *config) {
    enum config_command command = commands[index].command;
    if (config->help)
        return config_help(stdout, command), 0;
    if (config->version)
        return printf("rematd %s\n", REMATD_VERSION) < 0;
    if (config->print_config)
        config_print(config, stdout, command);
    if (config->print_config || config->check_config)
        return 0;
    inheritance_make(config);
    if (command == CONFIG_SERVE)
        strays_tell();
    return commands[index].run(config);
}

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
        if (commands[i].run_words)
            return commands[i].run_words(n_args - 2, args + 2);
        if (!config_read(&config, commands[i].command, n_args - 2, args + 2, environ, &why) || !tile_check(&why)) {
            fprintf(stderr, "rematd %s: %s\n", args[1], why.detail);
            return EXIT_USAGE;
        }
        return command_run(i, &config);
    }
    fprintf(stderr, "rematd: '%.60s' is not a command\n\n", args[1]);
    return usage(stderr, EXIT_USAGE);
}
