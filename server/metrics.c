/* metrics.c - see metrics.h. */
#include "server/metrics.h"

#include <pthread.h>
#include <stdatomic.h>

#define STATUSES 6u /* 1xx to 5xx; the first: no answer was sent */
#define SLOT_ANY 0u /* of requests that fit no route */

/* Of every time that is measured in this process, in seconds. */
static const double time_bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                     0.025,  0.05,    0.1,    0.25,  1,      2.5,   10};
#define TIME_BOUNDS (sizeof time_bounds / sizeof time_bounds[0])

struct histogram {
    _Atomic uint64_t counts[TIME_BOUNDS + 1], sum_ns;
};

static const struct {
    const char *name;
    enum metrics_type type;
    const char *help;
} count_rows[] = {
    [METRICS_CONNECTIONS] = {"rematd_http_connections", METRICS_GAUGE, "Connections that are open."},
    [METRICS_CONNECTIONS_TOTAL] = {"rematd_http_connections_accepted_total", METRICS_COUNTER, "Connections taken."},
    [METRICS_CONNECTIONS_REFUSED] = {"rematd_http_connections_refused_total", METRICS_COUNTER,
                                     "Connections beyond the limit, which hear 503."},
    [METRICS_IN_FLIGHT] = {"rematd_http_requests_in_flight", METRICS_GAUGE,
                           "Requests between their first line and the end of their answer."},
    [METRICS_STORE_FAILURES] = {"rematd_store_failures_total", METRICS_COUNTER,
                                "Transactions of the front that the store did not keep."},
    [METRICS_WORKERS_ALIVE] = {"rematd_workers_alive", METRICS_GAUGE, "Worker processes of this daemon."},
    [METRICS_WORKER_STARTS] = {"rematd_worker_starts_total", METRICS_COUNTER, "Worker processes started."},
    [METRICS_WORKER_DEATHS] = {"rematd_worker_deaths_total", METRICS_COUNTER, "Worker processes that ended unasked."},
};
_Static_assert(sizeof count_rows / sizeof count_rows[0] == METRICS_COUNTS, "a name for every count");

/* Rows of one name stand together. */
static const struct {
    const char *name, *labels, *help;
} time_rows[] = {
    [METRICS_STORE_TRANSACTION] = {"rematd_store_transaction_duration_seconds", "",
                                   "Time of a writing transaction of the front, from asking for the lock to the disk."},
    [METRICS_PLAN_PLANS] = {"rematd_plan_duration_seconds", "route=\"/v1/plans\"",
                            "Time to work out an answer to a planning query that was not known."},
    [METRICS_PLAN_CAPACITY] = {"rematd_plan_duration_seconds", "route=\"/v1/capacity\"", NULL},
    [METRICS_PLAN_FRONTIER] = {"rematd_plan_duration_seconds", "route=\"/v1/frontiers\"", NULL},
};
_Static_assert(sizeof time_rows / sizeof time_rows[0] == METRICS_TIMES, "a name for every time");

static _Atomic int64_t counts[METRICS_COUNTS];
static struct histogram times[METRICS_TIMES];

static struct {
    const struct route *route;
    _Atomic uint64_t by_status[STATUSES];
    struct histogram time;
} slots[1 + METRICS_ROUTES_MAX];
static atomic_uint n_slots = 1;

/* ---- counting ---- */

void metrics_add(enum metrics_count which, int64_t n) {
    atomic_fetch_add_explicit(&counts[which], n, memory_order_relaxed);
}

static void observe(struct histogram *h, uint64_t ns) {
    size_t bucket = 0;
    while (bucket < TIME_BOUNDS && (double)ns > time_bounds[bucket] * 1e9)
        bucket++;
    atomic_fetch_add_explicit(&h->counts[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_ns, ns, memory_order_relaxed);
}

void metrics_observe(enum metrics_time which, uint64_t ns) {
    observe(&times[which], ns);
}

static unsigned slot_find(const struct route *route) {
    unsigned n = n_slots;
    for (unsigned i = 1; i < n; i++)
        if (slots[i].route == route)
            return i;
    return SLOT_ANY;
}

void metrics_routes(const struct route *const *tables) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    for (; *tables; tables++)
        for (const struct route *row = *tables; row->method; row++)
            if (slot_find(row) == SLOT_ANY && n_slots <= METRICS_ROUTES_MAX) {
                slots[n_slots].route = row;
                n_slots++; /* last: whoever sees it sees the row */
            }
    pthread_mutex_unlock(&lock);
}

void metrics_request(const struct route *route, unsigned status, uint64_t ns) {
    unsigned slot = slot_find(route), class = status / 100;
    atomic_fetch_add_explicit(&slots[slot].by_status[class < STATUSES ? class : 0], 1, memory_order_relaxed);
    observe(&slots[slot].time, ns);
}

/* ---- text ---- */

void metrics_head(FILE *out, const char *name, enum metrics_type type, const char *help) {
    static const char *const names[] = {
        [METRICS_COUNTER] = "counter", [METRICS_GAUGE] = "gauge", [METRICS_HISTOGRAM] = "histogram"};
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, names[type]);
}

void metrics_value(FILE *out, const char *name, const char *labels, double value) {
    if (*labels)
        fprintf(out, "%s{%s} %.15g\n", name, labels, value);
    else
        fprintf(out, "%s %.15g\n", name, value);
}

void metrics_one(FILE *out, const char *name, enum metrics_type type, const char *help, double value) {
    metrics_head(out, name, type, help);
    metrics_value(out, name, "", value);
}

void metrics_buckets(FILE *out, const char *name, const char *labels, const double *bounds, const uint64_t *in,
                     size_t n, double sum) {
    const char *comma = *labels ? "," : "", *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += in[i];
        fprintf(out, "%s_bucket{%s%sle=\"%.15g\"} %llu\n", name, labels, comma, bounds[i], (unsigned long long)total);
    }
    total += in[n];
    fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma, (unsigned long long)total);
    fprintf(out, "%s_sum%s%s%s %.15g\n", name, open, labels, close, sum);
    fprintf(out, "%s_count%s%s%s %llu\n", name, open, labels, close, (unsigned long long)total);
}

static void histogram_write(FILE *out, const char *name, const char *labels, const struct histogram *h) {
    uint64_t now[TIME_BOUNDS + 1];
    for (size_t i = 0; i <= TIME_BOUNDS; i++)
        now[i] = h->counts[i];
    metrics_buckets(out, name, labels, time_bounds, now, TIME_BOUNDS, (double)h->sum_ns * 1e-9);
}

/* Of a HEAD too the row's method: GET. */
static void slot_labels(char *labels, size_t room, unsigned slot) {
    const struct route *route = slots[slot].route;
    snprintf(labels, room, "route=\"%s\",method=\"%s\"", route ? route->pattern : "unmatched",
             route ? route->method : "any");
}

static void requests_write(FILE *out) {
    static const char *const classes[STATUSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    static const char total[] = "rematd_http_requests_total", seconds[] = "rematd_http_request_duration_seconds";
    char labels[192], with_status[224];
    unsigned n = n_slots;
    metrics_head(out, total, METRICS_COUNTER, "Requests by route, method and class of the answer's status.");
    for (unsigned i = 0; i < n; i++)
        for (unsigned s = 0; s < STATUSES; s++) {
            if (!slots[i].by_status[s] && s != 2) /* what never happened is named once a route */
                continue;
            slot_labels(labels, sizeof labels, i);
            snprintf(with_status, sizeof with_status, "%s,status=\"%s\"", labels, classes[s]);
            metrics_value(out, total, with_status, (double)slots[i].by_status[s]);
        }
    metrics_head(out, seconds, METRICS_HISTOGRAM, "Time from a request's first line to the end of its answer.");
    for (unsigned i = 0; i < n; i++) {
        slot_labels(labels, sizeof labels, i);
        histogram_write(out, seconds, labels, &slots[i].time);
    }
}

void metrics_write(FILE *out) {
    requests_write(out);
    for (unsigned i = 0; i < METRICS_COUNTS; i++)
        metrics_one(out, count_rows[i].name, count_rows[i].type, count_rows[i].help, (double)counts[i]);
    for (unsigned i = 0; i < METRICS_TIMES; i++) {
        if (time_rows[i].help)
            metrics_head(out, time_rows[i].name, METRICS_HISTOGRAM, time_rows[i].help);
        histogram_write(out, time_rows[i].name, time_rows[i].labels, &times[i]);
    }
}
