/* config.h - settings: one table of flag, environment variable, default, bounds and help line.
 *
 * A flag wins over the environment, which wins over the file of --config, which wins over the default. What is not in
 * the table refuses to start. */
#ifndef REMATD_SERVER_CONFIG_H
#define REMATD_SERVER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/problem.h"

#define CONFIG_TEXT_BYTES   1024
#define CONFIG_ROWS_MAX     96
#define CONFIG_SOURCE_BYTES 224

struct config {
    char address[64];    /* numeric IPv4 or IPv6, without brackets; "": none */
    uint64_t port;       /* 0: any free one */
    char unix_path[108]; /* of a socket in the file system; "": none */
    char tls_certificate[CONFIG_TEXT_BYTES], tls_key[CONFIG_TEXT_BYTES]; /* files; "": no TLS */
    char data_dir[CONFIG_TEXT_BYTES];
    char store[CONFIG_TEXT_BYTES];                      /* URL of a database; "" = the one in data_dir */
    char allowed_hosts[CONFIG_TEXT_BYTES];              /* comma-separated host names; "" = by the bind address */
    char origins[CONFIG_TEXT_BYTES];                    /* comma-separated "https://host[:port]": whose pages may ask */
    char tokens[CONFIG_TEXT_BYTES];                     /* file of tokens; "" = whoever reaches us may ask */
    char rate[CONFIG_TEXT_BYTES];                       /* as given; read into the next two */
    uint64_t rate_per_second, rate_burst;               /* 0 = no limit */
    uint64_t workers;                                   /* worker processes; 0 = none here */
    uint64_t threads;                                   /* kernel threads of a worker, >= 1 */
    uint64_t memory_limit_bytes;                        /* 0 = what the machine or container has */
    uint64_t upload_limit_bytes;                        /* one uploaded file */
    uint64_t plan_cache_bytes;                          /* answers to planning queries; 0 = none are kept */
    uint64_t connections;                               /* served at once; what is beyond gets 503 */
    uint64_t queue_limit;                               /* queued jobs; beyond it 503 */
    uint64_t retention_seconds;                         /* finished jobs and unused uploads are kept; 0 = for ever */
    uint64_t data_limit_bytes;                          /* what the data directory may hold; 0 = what the disk has */
    uint64_t sandbox;                                   /* enum jail_mode */
    uint64_t connections_per_address;                   /* of them; 0 = half, from this machine all */
    uint64_t streams;                                   /* event streams at once */
    uint64_t planning_threads;                          /* for what takes long; 0 = by the cores */
    uint64_t planning_queue;                            /* requests that wait for one of them */
    uint64_t slot;                                      /* rematd work: which of serve's workers this is */
    bool insecure;                                      /* a non-loopback address without tokens is meant */
    bool open_metrics;                                  /* /metrics without a token */
    bool help, version;                                 /* asked for: nothing else counts */
    uint64_t log_level;                                 /* enum log_level */
    bool print_config, check_config;                    /* asked for: nothing is started */
    char sources[CONFIG_ROWS_MAX][CONFIG_SOURCE_BYTES]; /* of each row of the table: "--workers", "REMATD_WORKERS",
                                                           "rematd.ini:7", "default" */
};

/* Which rows of the table a command takes. */
enum config_command { CONFIG_SERVE = 1, CONFIG_WORK = 2 };

/* args: what follows the command's name. environment: a list as environ. Fills everything in and checks it. Problems
 * (PROBLEM_UNKNOWN_FIELD, PROBLEM_LIMIT, PROBLEM_MALFORMED, PROBLEM_IO) name the flag, variable or line to blame. */
PROBLEM_MUST_CHECK bool config_read(struct config *config, enum config_command command, int n_args, char *const args[],
                                    char *const environment[], struct problem *why);

/* config_read's last step for serve: settings that depend on one another. In config_access.c. */
PROBLEM_MUST_CHECK bool config_access(struct config *config, struct problem *why);

/* The table for people. */
void config_help(FILE *out, enum config_command command);
/* Every setting as a line of an INI file, with its origin as a comment: what is printed may be given as --config. */
void config_print(const struct config *config, FILE *out, enum config_command command);
/* Variables that begin with REMATD_ and mean nothing to anybody; most are a slip of the pen. The next "NAME=value" from
 * *at (0 at first) on, which it moves; NULL: no more. */
const char *config_stray(char *const environment[], size_t *at);

/* 127.0.0.0/8 and ::1; and "", the address of who listens on none */
bool config_is_loopback(const char *address);

/* Who may take how much of the memory there is. The sum, in docs/operations.md:
 *
 *   total >= front_bytes + workers * CONFIG_WORKER_BYTES(threads) + jobs_bytes
 *
 * total: the smallest memory.max on this process's cgroup path (v2, v1), or where none is set, MemAvailable. */
struct config_memory {
    uint64_t front_bytes; /* the front process: plans, bodies, answers kept, connections */
    uint64_t room_bytes;  /* of it, beyond what the front holds when idle */
    uint64_t jobs_bytes;  /* running jobs together: their plans' peaks and what lies around them */
};

/* A worker without a job, and what each thread's first product leaves of its stack. */
#define CONFIG_WORKER_BYTES(threads) (((uint64_t)4 << 20) + (threads) * ((uint64_t)4 << 20))
/* Of the front: its program and libraries, what it holds when idle, the kernel's tables and socket buffers. */
#define CONFIG_FRONT_IDLE_BYTES ((uint64_t)16 << 20)

/* Where wanted_bytes is not 0, jobs get no more than that. root: "" on a real machine, a directory in tests. */
struct config_memory config_memory_find(uint64_t wanted_bytes, uint64_t workers, uint64_t threads, const char *root);

#endif
