/* store_events.c - what happened to a job, line by line; see store.h. States are written by triggers (of each
 * kind's layout): no statement can change one and forget to say so. */
#include <stdio.h>
#include <string.h>

#include "engine/base/arena.h"
#include "server/store_private.h"

/* "[event,event]" */
static const char *array_of(const char *const *events, size_t n, struct arena *a, struct problem *why) {
    size_t room = 2, at = 0;
    for (size_t i = 0; i < n; i++)
        room += strlen(events[i]) + 1;
    char *text = arena_take(a, room, 1, why);
    for (size_t i = 0; text && i < n; i++)
        at += (size_t)snprintf(text + at, room - at, "%c%s", i ? ',' : '[', events[i]);
    if (text)
        memcpy(text + at, "]", 2);
    return text;
}

bool store_events_add(struct store *s, const char *id, const struct store_progress *progress, struct problem *why) {
    struct arena arena;
    if (progress->n_events == 0)
        return true;
    arena_init(&arena, 0);
    const char *all = array_of(progress->events, progress->n_events, &arena, why);
    bool ok = all && store_run(s, store_bind(s, SQL_EVENTS_ADD, "tt", id, all), NULL, why) &&
              store_run(s, store_bind(s, SQL_EVENT_FORGET, "ti", id, (int64_t)STORE_PROGRESS_MAX), NULL, why);
    arena_free(&arena);
    return ok;
}

static bool read_all(struct store *s, struct store_statement *statement, struct arena *a, struct store_event *events,
                     size_t *n, struct problem *why) {
    int step;
    bool ok = true;
    while (ok && (step = store_step(s, statement, why)) != 0) {
        ok = step == 1 && store_text(s, statement, 1, a, &events[*n].name, why) &&
             store_text(s, statement, 2, a, &events[*n].data, why);
        if (ok)
            events[(*n)++].number = (uint64_t)store_integer(s, statement, 0);
    }
    store_reset(s, statement);
    return ok;
}

/* Whether a job has an end behind it. Asked before its events are read, so that none comes in between. */
static bool finished(struct store *s, const char *id, bool *out, struct problem *why) {
    struct store_statement *statement = store_bind(s, SQL_STATE, "t", id);
    int step = store_step(s, statement, why);
    *out = step == 0 || (step == 1 && store_state_finished((enum job_state)store_integer(s, statement, 0)));
    store_reset(s, statement);
    return step >= 0;
}

static int64_t number_of(uint64_t after) {
    return after > INT64_MAX ? INT64_MAX : (int64_t)after;
}

bool store_events(struct store *s, const char *id, uint64_t after, unsigned limit, struct arena *a,
                  struct store_event **events, size_t *n, bool *last, struct problem *why) {
    *n = 0;
    *last = false;
    *events = arena_new(a, struct store_event, limit, why);
    if (!*events || !store_enter(s, false, why))
        return false;
    bool over = false, ok = finished(s, id, &over, why);
    if (ok)
        ok = read_all(s, store_bind(s, SQL_EVENTS, "tii", id, number_of(after), (int64_t)limit), a, *events, n, why);
    *last = ok && over && *n < limit;
    return store_leave(s, false, ok, why);
}

/* Rows that are looked at are counted: who asks for few jobs among many is not to hold the store for long. */
static bool feed_read(struct store *s, struct store_statement *statement, unsigned limit, uint64_t *after,
                      struct arena *a, struct store_event *events, size_t *n, bool *more, struct problem *why) {
    int step = 0;
    bool ok = true;
    unsigned rows = 0;
    while (ok && *n < limit && (step = store_step(s, statement, why)) == 1) {
        struct store_event *e = &events[*n];
        *after = e->number = (uint64_t)store_integer(s, statement, 0);
        rows++;
        if (!store_integer(s, statement, 4))
            continue;
        ok = store_text(s, statement, 1, a, &e->name, why) && store_text(s, statement, 2, a, &e->data, why) &&
             store_text(s, statement, 3, a, &e->job, why);
        *n += ok;
    }
    store_reset(s, statement);
    *more = *n == limit || rows == STORE_FEED_SCAN;
    return ok && step >= 0;
}

bool store_feed(struct store *s, const struct store_feed *feed, uint64_t *after, unsigned limit, struct arena *a,
                struct store_event **events, size_t *n, bool *more, struct problem *why) {
    *n = 0;
    *events = arena_new(a, struct store_event, limit, why);
    if (!*events || !store_enter(s, false, why))
        return false;
    struct store_statement *statement =
        store_bind(s, SQL_FEED, "itti", number_of(*after), feed->jobs, feed->labels, (int64_t)STORE_FEED_SCAN);
    return store_leave(s, false, feed_read(s, statement, limit, after, a, *events, n, more, why), why);
}

bool store_feed_last(struct store *s, uint64_t *last, struct problem *why) {
    return store_number(s, SQL_FEED_LAST, NULL, last, why);
}

bool store_feed_first(struct store *s, const char *jobs, uint64_t *before, struct problem *why) {
    return store_number(s, SQL_FEED_FIRST, jobs, before, why);
}

bool store_feed_over(struct store *s, const char *jobs, bool *over, struct problem *why) {
    uint64_t yes = 0;
    bool ok = store_number(s, SQL_FEED_OVER, jobs, &yes, why);
    *over = yes != 0;
    return ok;
}

bool store_events_any(struct store *s, const char *id, uint64_t after, bool *any, struct problem *why) {
    if (!store_enter(s, false, why))
        return false;
    struct store_statement *statement = store_bind(s, SQL_EVENTS_ANY, "ti", id, number_of(after));
    bool ok = store_step(s, statement, why) == 1;
    *any = ok && store_integer(s, statement, 0);
    store_reset(s, statement);
    return store_leave(s, false, ok, why);
}
