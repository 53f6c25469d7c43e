/* http_keeper.c - the one thread of the front that watches clocks.
 *
 * libmicrohttpd's timeout counts inactivity alone: a byte now and then keeps a connection for ever. The keeper shuts
 * down the socket of a connection whose headers, body or answer take longer than they may; the library then sees its
 * end. It asks suspended requests whether they are ready, and sends away who waits in a lane for too long. */
#include "server/http_private.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "engine/base/units.h"
#include "server/clock.h"
#include "server/log.h"

#define WAIT_TICK_NS  10000000u /* between questions to a waiting request */
#define SLOW_TICK_NS  50000000u /* ... that has waited longer than WAIT_QUICK_NS */
#define WAIT_QUICK_NS 2000000000u
#define REAP_TICK_NS  200000000u /* between looks at deadlines, and writes of the log */
#define NS_PER_SECOND 1000000000u
#define SURPLUS_NS    2000000000u /* who is one too many says what he wants, and leaves */

void http_phase_set(struct http_connection *connection, enum http_phase phase, uint64_t bytes) {
    connection->since_ns = clock_now_ns();
    connection->phase_bytes = bytes;
    connection->phase = (int)phase;
}

static bool is_late(const struct http *http, struct http_connection *connection, uint64_t now) {
    int phase = connection->phase;
    uint64_t since = connection->since_ns;
    if (phase == PHASE_HANDLING)
        return false;
    uint64_t allowed = connection->surplus ? units_min(http->grace_ns, SURPLUS_NS) : http->grace_ns;
    if (phase != PHASE_HEADERS)
        allowed += connection->phase_bytes / http->options.least_bytes_per_second * NS_PER_SECOND;
    return now > since && now - since > allowed;
}

/* Not a look at the next byte: under TLS the last one is an alert, which stands before the end. */
static bool peer_has_ended(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* The peer has ended in the middle of a request. 0.9.75 misses an end that arrives together with data (epoll tells of
 * both once). Seen twice without progress between: the library may just be about to handle the last bytes. */
static bool is_deserted(struct http_connection *connection, uint64_t now) {
    int phase = connection->phase;
    if ((phase != PHASE_HEADERS && phase != PHASE_BODY) || !peer_has_ended(connection->fd)) {
        connection->deserted_at = 0;
        return false;
    }
    uint64_t seen = connection->deserted_at;
    if (seen == 0 || connection->since_ns > seen)
        connection->deserted_at = now;
    return seen != 0 && connection->since_ns <= seen;
}

static void reap(struct http *http, uint64_t now) {
    pthread_mutex_lock(&http->lock); /* held: the library closes a socket only after its connection has left the list */
    for (struct http_connection *c = http->connections; c; c = c->next)
        if (is_late(http, c, now) || is_deserted(c, now))
            shutdown(c->fd, SHUT_RDWR);
    pthread_mutex_unlock(&http->lock);
}

/* The peer sends no more. A suspended connection is not looked at by the library: one whose client has left would keep
 * its place until the wait is over. A client that has only closed its sending half gets its answer early. */
bool http_is_left(const struct http_exchange *exchange) {
    return peer_has_ended(exchange->connection->fd);
}

/* Resumes what is ready, out of time or left by its client; returns what goes on waiting. */
static struct http_exchange *ask_all(struct http_exchange *list, uint64_t now, bool closing) {
    struct http_exchange *rest = NULL;
    while (list) {
        struct http_exchange *exchange = list;
        list = exchange->next_waiting;
        bool over = closing || now >= exchange->waiting.wait_until_ns;
        if (!over) {
            uint64_t waited = now - exchange->started_ns, tick = waited > WAIT_QUICK_NS ? SLOW_TICK_NS : WAIT_TICK_NS;
            if (now - exchange->asked_ns >= tick) {
                exchange->asked_ns = now;
                exchange->left = http_is_left(exchange);
                over = exchange->left || exchange->waiting.ready(&exchange->request);
            }
        }
        if (over) {
            MHD_resume_connection(exchange->mhd); /* may be answered and freed from here on */
        } else {
            exchange->next_waiting = rest;
            rest = exchange;
        }
    }
    return rest;
}

static void sleep_until_work(struct http *http, uint64_t ns) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)ns;
    if (until.tv_nsec >= (long)NS_PER_SECOND) {
        until.tv_nsec -= (long)NS_PER_SECOND;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&http->wake, &http->lock, &until);
}

static void *keeper_run(void *arg) {
    struct http *http = arg;
    struct http_exchange *waiting = NULL;
    uint64_t reaped = 0;
    for (bool closing = false; !closing || waiting;) {
        pthread_mutex_lock(&http->lock);
        if (!http->closing && !http->arriving)
            sleep_until_work(http, waiting ? WAIT_TICK_NS : REAP_TICK_NS);
        closing = http->closing;
        while (http->arriving) {
            struct http_exchange *exchange = http->arriving;
            http->arriving = exchange->next_waiting;
            exchange->next_waiting = waiting;
            waiting = exchange;
        }
        pthread_mutex_unlock(&http->lock);
        uint64_t now = clock_now_ns();
        waiting = ask_all(waiting, now, closing);
        if (now - reaped >= REAP_TICK_NS) {
            reap(http, now);
            http_lanes_expire(http, now);
            log_flush();
            reaped = now;
        }
    }
    log_flush();
    return NULL;
}

bool http_keeper_start(struct http *http, struct problem *why) {
    pthread_condattr_t attributes;
    pthread_mutex_init(&http->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&http->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&http->keeper, NULL, keeper_run, http) == 0)
        return true;
    pthread_cond_destroy(&http->wake);
    pthread_mutex_destroy(&http->lock);
    return problem_set(why, PROBLEM_MEMORY, "", "the front's thread cannot be started");
}

void http_keeper_stop(struct http *http) {
    pthread_mutex_lock(&http->lock);
    http->closing = true;
    pthread_cond_signal(&http->wake);
    pthread_mutex_unlock(&http->lock);
    pthread_join(http->keeper, NULL);
}

void http_keeper_free(struct http *http) {
    pthread_cond_destroy(&http->wake);
    pthread_mutex_destroy(&http->lock);
}

void http_keeper_wait(struct http_exchange *exchange) {
    struct http *http = exchange->http;
    MHD_suspend_connection(exchange->mhd); /* first: once the keeper knows of it, it may resume it at any time */
    pthread_mutex_lock(&http->lock);
    bool open = !http->closing;
    if (open) {
        exchange->next_waiting = http->arriving;
        http->arriving = exchange;
        pthread_cond_signal(&http->wake);
    }
    pthread_mutex_unlock(&http->lock);
    if (!open)
        MHD_resume_connection(exchange->mhd);
}
