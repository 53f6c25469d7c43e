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

#define CONFIG_TEXT_BYTES 1024

struct config {
    char address[64]; /* numeric IPv4 or IPv6, without brackets */
    uint64_t port;    /* 0: any free one */
    char data_dir[CONFIG_TEXT_BYTES];
    char allowed_hosts[CONFIG_TEXT_BYTES]; /* comma-separated host names; "" = by the bind address */
    uint64_t workers;                      /* worker processes; 0 = none here */
    uint64_t threads;                      /* kernel threads of a worker, >= 1 */
    uint64_t memory_limit_bytes;           /* 0 = what the machine or container has */
    uint64_t upload_limit_bytes;           /* one uploaded file */
    uint64_t plan_cache_bytes;             /* answers to planning queries; 0 = none are kept */
    uint64_t connections;                  /* served at once; what is beyond gets 503 */
    uint64_t queue_limit;                  /* queued jobs; beyond it 503 */
    uint64_t retention_seconds;            /* finished jobs and unused uploads are kept; 0 = for ever */
    uint64_t data_limit_bytes;             /* what the data directory may hold; 0 = what the disk has */
    uint64_t slot;                         /* rematd work: which of serve's workers this is */
    bool insecure;                         /* a non-loopback address without tokens is meant */
    bool help, version;                    /* asked for: nothing else counts */
};

/* Which rows of the table a command takes. */
enum config_command { CONFIG_SERVE = 1, CONFIG_WORK = 2 };

/* args: what follows the command's name. environment: a list as environ. Fills everything in and checks it. Problems
 * (PROBLEM_UNKNOWN_FIELD, PROBLEM_LIMIT, PROBLEM_MALFORMED, PROBLEM_IO) name the flag, variable or line to blame. */
PROBLEM_MUST_CHECK bool config_read(struct config *config, enum config_command command, int n_args, char *const args[],
                                    char *const environment[], struct problem *why);

/* The table for people. */
void config_help(FILE *out, enum config_command command);

/* 127.0.0.0/8 and ::1 */
bool config_is_loopback(const char *address);

/* What running jobs may take together: the smallest memory.max on this process's cgroup path (v2, v1), less room for
 * the daemon itself; no more than wanted_bytes, or where that is 0, than MemAvailable. root: "" on a real machine, a
 * directory in tests. */
uint64_t config_memory_limit(uint64_t wanted_bytes, const char *root);

#endif
