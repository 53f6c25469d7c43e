/* http_lane.c - handlers that take long, on threads of their own: the library's threads go on answering probes and all
 * that is at hand. Each lane is a few threads behind a queue with an end; who does not fit is told so at once. Planning
 * takes seconds, so few may wait for it; filing takes less than a millisecond, so all may whose bodies fit together.
 * But a job is planned before it is filed: whoever has had no turn for some seconds, since all threads plan, asks
 * again.
 *
 * The connection is suspended meanwhile. An exchange belongs to the library's thread until it is queued, and again from
 * its resumption; between the two to the lane's. */
#include "server/http_private.h"

#include <limits.h>
#include <sched.h>

#include "engine/base/units.h"
#include "server/clock.h"

#define PLANNING_LEAST  4u
#define PLANNING_BEYOND 2u /* threads beyond the cores: searches that run for a minute leave some to the others */
#define PLANNING_QUEUE  32u
#define STORE_THREADS   8u /* they mostly wait for the disk, and share a sync: more of them file no more */
#define STORE_BYTES     ((uint64_t)32 << 20)
#define STORE_PATIENCE  10000u /* ms */
#define NS_PER_MS       UINT64_C(1000000)

/* The lane is locked. */
static struct http_exchange *first_take(struct http_lane *lane) {
    struct http_exchange *exchange = lane->first;
    if (exchange) {
        lane->first = exchange->next_queued;
        lane->n_queued--;
        lane->bytes -= exchange->body_room;
    }
    return exchange;
}

static struct http_exchange *next_take(struct http_lane *lane, bool *closing) {
    pthread_mutex_lock(&lane->lock);
    while (!lane->first && !lane->closing)
        pthread_cond_wait(&lane->wake, &lane->lock);
    struct http_exchange *exchange = first_take(lane);
    *closing = lane->closing;
    pthread_mutex_unlock(&lane->lock);
    return exchange;
}

static bool stopping(struct http_exchange *exchange) {
    return http_refuse(exchange, 503, PROBLEM_STATE, "this daemon is stopping and takes nothing new");
}

/* Nobody's work is not done: a client that gave up would otherwise keep its place before those that still wait. */
static bool is_wanted(struct http_exchange *exchange, bool closing) {
    if (closing)
        return stopping(exchange);
    return !http_is_left(exchange) ||
           http_refuse(exchange, 503, PROBLEM_BUSY, "its client has left before it was its turn");
}

static void *lane_run(void *arg) {
    struct http_lane *lane = arg;
    struct http_exchange *exchange;
    bool closing;
    while ((exchange = next_take(lane, &closing))) {
        http_trace_enter(exchange);
        exchange->handled = (struct response){.fd = -1};
        exchange->handled_good = is_wanted(exchange, closing) &&
                                 exchange->route->handle(&exchange->request, &exchange->handled, &exchange->problem);
        http_trace_leave();
        MHD_resume_connection(exchange->mhd); /* may be answered and freed from here on */
    }
    return NULL;
}

bool http_lane_enter(struct http_exchange *exchange) {
    struct http_lane *lane = &exchange->http->lanes[exchange->route->lane];
    pthread_mutex_lock(&lane->lock);
    const unsigned n_queued = lane->n_queued;
    const uint64_t bytes = lane->bytes + exchange->body_room;
    const bool open = !lane->closing;
    const bool room = open && n_queued < lane->most_queued && (n_queued == 0 || bytes <= lane->most_bytes);
    if (room) {
        MHD_suspend_connection(exchange->mhd); /* first: once a thread has it, it may be resumed at any time */
        exchange->next_queued = NULL;
        exchange->queued_ns = clock_now_ns();
        *(lane->first ? &lane->last->next_queued : &lane->first) = exchange;
        lane->last = exchange;
        lane->n_queued++;
        lane->bytes = bytes;
        pthread_cond_signal(&lane->wake);
    }
    pthread_mutex_unlock(&lane->lock);
    if (!open)
        return stopping(exchange);
    return room || http_refuse(exchange, 503, PROBLEM_BUSY, "%u requests that take long wait already: try again soon",
                               n_queued);
}

/* The first of those who wait, if it is out of patience: it stands before all that are younger. */
static struct http_exchange *expired_take(struct http_lane *lane, uint64_t now_ns) {
    pthread_mutex_lock(&lane->lock);
    const struct http_exchange *first = lane->first;
    const bool over = first && now_ns > first->queued_ns && now_ns - first->queued_ns > lane->patience_ns;
    struct http_exchange *exchange = over ? first_take(lane) : NULL;
    pthread_mutex_unlock(&lane->lock);
    return exchange;
}

void http_lanes_expire(struct http *http, uint64_t now_ns) {
    struct http_exchange *exchange;
    for (unsigned i = 0; i < ROUTE_LANES; i++)
        while ((exchange = expired_take(&http->lanes[i], now_ns))) {
            exchange->handled = (struct response){.fd = -1};
            exchange->handled_good =
                http_refuse(exchange, 503, PROBLEM_BUSY, "the requests before it take too long: try again soon");
            MHD_resume_connection(exchange->mhd); /* may be answered and freed from here on */
        }
}

static unsigned planning_threads(const struct http_options *options) {
    cpu_set_t set;
    unsigned cores = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
    unsigned wanted = options->planning_threads ? options->planning_threads
                                                : (unsigned)units_max(cores + PLANNING_BEYOND, PLANNING_LEAST);
    return (unsigned)units_min(wanted, HTTP_LANE_THREADS);
}

bool http_lanes_start(struct http *http, struct problem *why) {
    const struct http_options *options = &http->options;
    const uint64_t patience_ms = options->filing_patience_ms ? options->filing_patience_ms : STORE_PATIENCE;
    const struct {
        unsigned threads, queue;
        uint64_t bytes; /* of bodies that wait, however few */
        uint64_t patience_ns;
    } rows[ROUTE_LANES] = {
        [ROUTE_PLANS] = {planning_threads(options), options->planning_queue ? options->planning_queue : PLANNING_QUEUE,
                         UINT64_MAX, UINT64_MAX},
        [ROUTE_STORE] = {STORE_THREADS, UINT_MAX, STORE_BYTES, patience_ms * NS_PER_MS},
    };
    bool good = true;
    for (unsigned i = 0; i < ROUTE_LANES; i++) {
        struct http_lane *lane = &http->lanes[i];
        pthread_mutex_init(&lane->lock, NULL);
        pthread_cond_init(&lane->wake, NULL);
        lane->most_queued = rows[i].queue;
        lane->most_bytes = rows[i].bytes;
        lane->patience_ns = rows[i].patience_ns;
        while (good && lane->n_threads < rows[i].threads &&
               (good = pthread_create(&lane->threads[lane->n_threads], NULL, lane_run, lane) == 0))
            lane->n_threads++;
    }
    if (good)
        return true;
    http_lanes_stop(http);
    http_lanes_free(http);
    return problem_set(why, PROBLEM_MEMORY, "", "the front's threads cannot be started");
}

void http_lanes_stop(struct http *http) {
    for (unsigned i = 0; i < ROUTE_LANES; i++) {
        struct http_lane *lane = &http->lanes[i];
        pthread_mutex_lock(&lane->lock);
        lane->closing = true;
        pthread_cond_broadcast(&lane->wake);
        pthread_mutex_unlock(&lane->lock);
        for (unsigned t = 0; t < lane->n_threads; t++)
            pthread_join(lane->threads[t], NULL);
    }
}

void http_lanes_free(struct http *http) {
    for (unsigned i = 0; i < ROUTE_LANES; i++) {
        pthread_cond_destroy(&http->lanes[i].wake);
        pthread_mutex_destroy(&http->lanes[i].lock);
    }
}
