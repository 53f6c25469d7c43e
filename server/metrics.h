/* metrics.h - what this process counts about itself, and Prometheus text (format 0.0.4).
 *
 * Counters and histograms are statics of the process: any thread adds to them, without locks, and nothing is ever taken
 * away. What they are called is a table in metrics.c. Labels have few values: route patterns, never paths. */
#ifndef REMATD_SERVER_METRICS_H
#define REMATD_SERVER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "server/route.h"

/* Adds to one of these with metrics_add; a gauge may be added less than nothing. */
enum metrics_count {
    METRICS_CONNECTIONS,         /* gauge */
    METRICS_CONNECTIONS_TOTAL,   /* accepted */
    METRICS_CONNECTIONS_REFUSED, /* answered 503: too many */
    METRICS_IN_FLIGHT,           /* gauge: requests */
    METRICS_STORE_FAILURES,
    METRICS_WORKERS_ALIVE, /* gauge */
    METRICS_WORKER_STARTS,
    METRICS_WORKER_DEATHS, /* not asked for */
    METRICS_COUNTS
};
void metrics_add(enum metrics_count which, int64_t n);

/* The routes that requests are counted by; called again with the same ones, it does nothing. At most
 * METRICS_ROUTES_MAX; what is beyond counts as unmatched. */
#define METRICS_ROUTES_MAX 128
void metrics_routes(const struct route *const *tables);
/* A request was answered. route NULL: none fits it. status 0: it never was answered. */
void metrics_request(const struct route *route, unsigned status, uint64_t ns);

/* Which histogram of times. */
enum metrics_time {
    METRICS_STORE_TRANSACTION,
    METRICS_PLAN_PLANS, /* a plan, a capacity, a frontier that was worked out, not found */
    METRICS_PLAN_CAPACITY,
    METRICS_PLAN_FRONTIER,
    METRICS_TIMES
};
void metrics_observe(enum metrics_time which, uint64_t ns);

/* All of the above as text. */
void metrics_write(FILE *out);

/* ---- for those who write more: one head for each name, then its lines ---- */

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };
/* name and help static; a counter's name ends in _total. */
void metrics_head(FILE *out, const char *name, enum metrics_type type, const char *help);
/* labels: "" or  a="b",c="d"  without braces, values free of quotes, backslashes and line ends. */
void metrics_value(FILE *out, const char *name, const char *labels, double value);
/* Head and one line. */
void metrics_one(FILE *out, const char *name, enum metrics_type type, const char *help, double value);
/* The lines of a histogram: n bounds, rising, in the unit of the name; n + 1 counts, the last beyond every bound. */
void metrics_buckets(FILE *out, const char *name, const char *labels, const double *bounds, const uint64_t *counts,
                     size_t n, double sum);

/* process_*: memory, descriptors, processor time, start. metrics_process.c. */
void metrics_process(FILE *out);

#endif
