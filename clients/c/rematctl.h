/* rematctl.h - what the command's files share: the options, one function per command, and what is printed. */
#ifndef REMATCTL_H
#define REMATCTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "clients/c/rematc.h"

/* What rematctl ends with; the texts of --help are in rematctl.c. */
enum rematctl_exit {
    EXIT_DONE,
    EXIT_JOB_FAILED,
    EXIT_USAGE,
    EXIT_UNREACHABLE,
    EXIT_REFUSED,
    EXIT_UNAVAILABLE,
    EXIT_LOCAL,
    EXIT_TIMEOUT,
    EXIT_KINDS
};

/* The command line. Strings are borrowed from argv; NULL and 0 where not given. */
struct rematctl {
    struct rematc *client;
    const char *server;
    bool json;
    bool wait, npy, explain;
    unsigned timeout_seconds, last_event_id, page_size, heads, batch, seq_len, accumulate, steps;
    const char *output, *key, *state, *kind, *page_token;
    const char *dtype, *attention, *dropout, *optimizer, *strategy, *budget, *device, *find;
    const char *model, *text, *weights, *compare, *seed, *rate, *clip;
    char **words; /* what follows the command, n_words of them */
    int n_words;
};

/* Each runs one command and returns an enum rematctl_exit. */
typedef int rematctl_command(const struct rematctl *);
rematctl_command rematctl_savings, rematctl_health, rematctl_table, rematctl_get; /* rematctl_ask.c */
rematctl_command rematctl_submit, rematctl_explain, rematctl_jobs, rematctl_job, rematctl_wait, rematctl_cancel,
    rematctl_delete, rematctl_fetch, rematctl_upload, rematctl_events; /* rematctl_job.c */

rematctl_command rematctl_plan, rematctl_capacity; /* rematctl_plan.c */
rematctl_command rematctl_train;                   /* rematctl_train.c */

/* {"workload", "strategy", "budget_bytes", "device", "include"} as the options say, of a preset or a model's file. NULL
 * with a line on standard error, and *code. rematctl_plan.c. */
json_t *rematctl_request(const struct rematctl *ctl, const char *model, int *code);
/* {"name": ...} as it is, else a name; NULL if it is no JSON. */
json_t *rematctl_strategy(const char *text);

/* Says on standard error what went wrong, and returns its exit code. rematctl.c. */
int rematctl_fail(const struct rematc_error *why);

/* "1,234,567 bytes (1.2 MiB)" and the like, into text of at least 64 bytes; returns text. rematctl_print.c from here.
 */
const char *rematctl_bytes_text(json_int_t bytes, char *text);
void rematctl_print_json(const json_t *value);
void rematctl_print_job(const json_t *job);
void rematctl_print_jobs(const json_t *list);
void rematctl_print_plan(const json_t *explanation);
void rematctl_print_upload(const json_t *upload);
/* One line, at once. */
void rematctl_print_event(uint64_t id, const char *event, const json_t *data);
/* {"strategies": [{"name", ...}]}: one row per element of the first list in it. */
void rematctl_print_rows(const json_t *answer);

#endif
