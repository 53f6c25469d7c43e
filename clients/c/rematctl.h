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

#define REMATCTL_LABELS_MAX 16

/* The command line. Strings are borrowed from argv; NULL and 0 where not given. */
struct rematctl {
    struct rematc *client;
    const char *server, *token_file, *ca_file;
    bool json;
    bool wait, npy, explain, reorder;
    unsigned timeout_seconds, job_timeout_seconds, queue_timeout_seconds, last_event_id, page_size, heads, batch,
        seq_len, accumulate, steps, points, seconds, tokens;
    const char *output, *key, *state, *kind, *page_token;
    const char *dtype, *attention, *dropout, *optimizer, *strategy, *objective, *time_limit, *budget, *device, *find;
    const char *graph, *chain, *svg;
    const char *model, *text, *weights, *compare, *seed, *rate, *clip;
    const char *labels[REMATCTL_LABELS_MAX];
    unsigned n_labels;
    char **words; /* what follows the command, n_words of them */
    int n_words;
};

/* Each runs one command and returns an enum rematctl_exit. */
typedef int rematctl_command(const struct rematctl *);
rematctl_command rematctl_savings, rematctl_health, rematctl_table, rematctl_get; /* rematctl_ask.c */
rematctl_command rematctl_submit, rematctl_explain, rematctl_jobs, rematctl_job, rematctl_wait, rematctl_cancel,
    rematctl_retry, rematctl_delete, rematctl_fetch, rematctl_upload, rematctl_events; /* rematctl_job.c */

rematctl_command rematctl_plan, rematctl_capacity; /* rematctl_plan.c */
rematctl_command rematctl_frontier;                /* rematctl_frontier.c */
rematctl_command rematctl_train;                   /* rematctl_train.c */
rematctl_command rematctl_calibrate;               /* rematctl_calibrate.c */
rematctl_command rematctl_completion;              /* rematctl_completion.c */

/* The rows of the tables, NULL behind the last; "" is an option that has its letter alone. A command that is asked for
 * in two ways is there twice. rematctl.c. */
const char *rematctl_command_name(size_t i, const char **summary);
const char *rematctl_option_name(size_t i, bool *takes);

/* ---- requests: rematctl_request.c. NULL with a line on standard error, and *code ---- */

/* {"workload" or "graph" or "chain", "device"}: what is asked about, be it model (NULL: none is named) or one of
 * --graph and --chain. A preset's name, or a file. */
json_t *rematctl_subject(const struct rematctl *ctl, const char *model, int *code);
/* The same with "strategy", "budget_bytes" and "include". */
json_t *rematctl_request(const struct rematctl *ctl, const char *model, int *code);
/* {"name": ...} as it is, else a name; NULL, said for the option, if it is no JSON. */
json_t *rematctl_strategy(const char *option, const char *text);
/* --time-limit, or 0; -1, said, if it is no number of seconds. */
double rematctl_time_limit(const struct rematctl *ctl);

/* A plan that takes its time: the body becomes a job, which is watched; Ctrl-C cancels it. rematctl_search.c. */
int rematctl_search(const struct rematctl *ctl, json_t *body);

/* ---- frontiers ---- */

/* A point of the frontier, or a named strategy beside it. Several of the same bytes and costs are one row. */
struct frontier_row {
    char strategies[192];     /* "every_n n=2, block k=6" */
    char label[64];           /* the first of them; "" where it is no named one */
    double peak_bytes;        /* or the units of a posted chain */
    double overhead_pct;      /* beyond no recomputation */
    double step_seconds;      /* below 0: not known */
    bool point, named, plain; /* on the frontier; a strategy with a name; which has no parameters */
    bool knee;
};

struct frontier {
    struct frontier_row *rows; /* falling in bytes, then rising in overhead */
    size_t n;
    bool proven; /* no plan is below it, as far as the daemon says */
    double standard_bytes;
    char title[256];
};

/* A drawing of its own size that is readable on light and dark. False where it cannot be written. rematctl_svg.c. */
bool rematctl_svg_write(const struct frontier *f, FILE *to);

/* One more client of the same daemon, with the same token; NULL: why says. rematctl.c, as is the next. */
struct rematc *rematctl_client(const struct rematctl *ctl, struct rematc_error *why);

/* Says on standard error what went wrong, and returns its exit code. */
int rematctl_fail(const struct rematc_error *why);

/* "1,234,567 bytes (1.2 MiB)" and the like, into text of at least 64 bytes; returns text. rematctl_print.c from here.
 */
const char *rematctl_bytes_text(json_int_t bytes, char *text);
void rematctl_print_json(const json_t *value);
void rematctl_print_job(const json_t *job);
void rematctl_print_jobs(const json_t *list);
void rematctl_print_explanation(const json_t *explanation);
void rematctl_print_upload(const json_t *upload);
/* One line, at once. */
void rematctl_print_event(uint64_t id, const char *event, const json_t *data);
/* {"strategies": [{"name", ...}]}: one row per element of the first list in it. */
void rematctl_print_rows(const json_t *answer);
/* What POST /v1/plans and /v1/capacity answer, the verdict first. rematctl_verdict.c. */
void rematctl_print_plan(const json_t *plan);
void rematctl_print_capacity(const json_t *answer, const char *find);

#endif
