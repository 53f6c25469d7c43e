/* api_job_events.c - what happens to jobs, as it happens: GET /v1/jobs/{id}/events of one, GET /v1/events of many, as
 * Server-Sent Events (WHATWG HTML, section 9.2) or a JSON object a line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"
#include "server/api.h"
#include "server/api_jobs.h"
#include "server/clock.h"
#include "server/store.h"

#define PING_NS     15000000000u
#define AT_ONCE     100u /* events of one piece */
#define EVENT_BYTES 160u /* what an event takes beside its name and data */
#define SCANS       10u  /* looks for events of ours in the order of all before others have their turn */

enum format { SSE, NDJSON, FORMATS };

static const struct route_format accepted[] = {{"text/event-stream", SSE},
                                               {"text/*", SSE},
                                               {"*/*", SSE},
                                               {"application/x-ndjson", NDJSON},
                                               {"application/*", NDJSON}};
#define ACCEPTED ((unsigned)(sizeof accepted / sizeof accepted[0]))
static const char *const types[FORMATS] = {"text/event-stream", "application/x-ndjson"};
static const char *const layouts[FORMATS] = {"id: %llu\nevent: %s\ndata: {%s%s%s%s\n\n",
                                             "{\"id\":%llu,\"event\":\"%s\",\"data\":{%s%s%s%s}\n"};
static const char ping[] = ": ping\n\n";

struct stream {
    const char *id;         /* of the one job; NULL: the events are those of */
    struct store_feed feed; /* many */
    bool behind;            /* there is more to look at in the feed */
    unsigned format;
    uint64_t after;     /* the last event that was sent; of a feed, that was looked at */
    uint64_t changes;   /* of the store, when it was last looked at */
    uint64_t ping_ns;   /* when the client should hear something */
    struct arena arena; /* of one piece */
};

/* ---- while it runs ---- */

/* Whether there is anything to send; a feed's answer may be that it has to be looked for. */
static bool anything(struct store *store, const struct stream *s) {
    struct problem ignored = {0};
    bool any = false, over = false;
    uint64_t last = 0;
    if (s->id)
        return !store_events_any(store, s->id, s->after, &any, &ignored) || any;
    return !store_feed_last(store, &last, &ignored) || last > s->after ||
           (s->feed.jobs && (!store_feed_over(store, s->feed.jobs, &over, &ignored) || over));
}

static bool ready(struct request *request) {
    struct stream *s = request->state;
    struct store *store = request->service->store;
    struct problem ignored = {0};
    uint64_t changes;
    if (s->behind || !store_changes(store, &changes, &ignored))
        return true; /* more will say what is wrong */
    if (changes == s->changes)
        return false;
    s->changes = changes;
    return anything(store, s);
}

/* The next events, and whether none follows them. */
static bool fetch(struct store *store, struct stream *s, struct store_event **events, size_t *n, bool *last,
                  struct problem *why) {
    if (s->id)
        return store_events(store, s->id, s->after, AT_ONCE, &s->arena, events, n, last, why);
    bool over = false; /* asked first: what comes in between is read */
    if (s->feed.jobs && !store_feed_over(store, s->feed.jobs, &over, why))
        return false;
    *n = 0;
    s->behind = true;
    for (unsigned i = 0; i < SCANS && *n == 0 && s->behind; i++) {
        arena_reset(&s->arena);
        if (!store_feed(store, &s->feed, &s->after, AT_ONCE, &s->arena, events, n, &s->behind, why))
            return false;
    }
    *last = over && !s->behind;
    return true;
}

static bool events_put(struct stream *s, const struct store_event *events, size_t n, struct route_piece *piece,
                       struct problem *why) {
    size_t room = 1;
    for (size_t i = 0; i < n; i++)
        room += strlen(events[i].name) + strlen(events[i].data) + EVENT_BYTES;
    char *text = arena_take(&s->arena, room, 1, why);
    if (!text)
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *job = events[i].job; /* where there are many, data begins with it */
        piece->n += (size_t)snprintf(text + piece->n, room - piece->n, layouts[s->format],
                                     (unsigned long long)events[i].number, events[i].name, job ? "\"job\":\"" : "",
                                     job ? job : "", job ? "\"," : "", events[i].data + 1);
    }
    piece->bytes = text;
    if (s->id)
        s->after = events[n - 1].number;
    return true;
}

static bool more(struct request *request, struct route_piece *piece, struct problem *why) {
    struct stream *s = request->state;
    struct store_event *events;
    size_t n;
    uint64_t now = clock_now_ns();
    arena_reset(&s->arena);
    if (!fetch(request->service->store, s, &events, &n, &piece->end, why) ||
        (n > 0 && !events_put(s, events, n, piece, why)))
        return false;
    if (n == 0 && !piece->end && s->format == SSE && now >= s->ping_ns) {
        piece->bytes = ping;
        piece->n = sizeof ping - 1;
    }
    if (piece->n > 0 || now >= s->ping_ns)
        s->ping_ns = now + PING_NS;
    piece->wait_until_ns = s->ping_ns;
    return true;
}

static void release(const void *kept) {
    arena_free(&((struct stream *)kept)->arena);
}

/* ---- how it begins ---- */

/* Last-Event-ID is what a browser says when it comes back, with the query of its first visit still there. "latest" is
 * for a feed: what was told already is not told again. */
static bool after_read(const struct request *request, bool feed, uint64_t *after, struct problem *why) {
    const char *text = request_header(request, "Last-Event-ID");
    if (!text)
        text = request_query(request, "last_event_id");
    *after = 0;
    if (!text || !*text)
        return true;
    if (feed && strcmp(text, "latest") == 0)
        return store_feed_last(request->service->store, after, why);
    if (strspn(text, "0123456789") != strlen(text) || strlen(text) > 18)
        return problem_set(why, PROBLEM_MALFORMED, "/last_event_id", "is not the id of an event");
    *after = strtoull(text, NULL, 10);
    return true;
}

static bool not_acceptable(const struct request *request, struct response *response, struct problem *why) {
    problem_set(why, PROBLEM_UNSUPPORTED, "", "comes as text/event-stream or application/x-ndjson");
    response->status = 406;
    response->content_type = "application/problem+json";
    response->body = route_problem_body(why, 406, request->arena, &response->body_bytes);
    return response->body != NULL;
}

/* Nothing follows: 204 is what tells a browser not to come back. */
static bool is_over(struct request *request, struct stream *s, bool *out, struct problem *why) {
    struct store_event *next;
    size_t n;
    bool last;
    uint64_t after = s->after;
    bool ok = fetch(request->service->store, s, &next, &n, &last, why);
    *out = ok && n == 0 && last;
    s->after = after;
    return ok;
}

static struct stream *stream_new(struct request *request, struct problem *why) {
    struct stream *s = arena_new(request->arena, struct stream, 1, why);
    if (!s)
        return NULL;
    arena_init(&s->arena, 0);
    request->state = s;
    request->kept = s;
    request->release = release;
    s->ping_ns = clock_now_ns() + PING_NS;
    return s;
}

static bool stream_begin(struct request *request, struct response *response, struct stream *s, struct problem *why) {
    bool ended;
    if (!request_format(request, accepted, ACCEPTED, 1u << SSE | 1u << NDJSON, &s->format))
        return not_acceptable(request, response, why);
    if (!is_over(request, s, &ended, why))
        return false;
    if (ended) {
        response->status = 204;
        return true;
    }
    response->content_type = types[s->format];
    response->more = more;
    response->ready = ready;
    return response_header(response, "Cache-Control", "no-store");
}

static bool parameters_check(const struct request *request, bool feed, struct problem *why) {
    for (unsigned i = 0; i < request_query_count(request); i++) {
        const char *name, *value;
        request_query_at(request, i, &name, &value);
        if (strcmp(name, "last_event_id") != 0 && !(feed && (strcmp(name, "job") == 0 || strcmp(name, "label") == 0)))
            return request_parameter_unknown(name, why);
    }
    return true;
}

static bool of_one(struct request *request, struct response *response, struct problem *why) {
    struct stream *s = stream_new(request, why);
    enum job_state state;
    if (!s)
        return false;
    s->id = api_jobs_id(request->args[0], why);
    return s->id && parameters_check(request, false, why) && after_read(request, false, &s->after, why) &&
           store_state(request->service->store, s->id, &state, why) && stream_begin(request, response, s, why);
}

/* The jobs that are named, which must be there; *out stays NULL where none is. */
static bool jobs_read(const struct request *request, const char **out, struct problem *why) {
    struct wire_out o;
    unsigned n = 0;
    wire_out_init(&o, request->arena, why);
    wire_open(&o, NULL, '[');
    for (unsigned i = 0; i < request_query_count(request); i++) {
        const char *name, *value;
        enum job_state state;
        request_query_at(request, i, &name, &value);
        if (strcmp(name, "job") != 0)
            continue;
        if (!api_jobs_id(value, why) || !store_state(request->service->store, value, &state, why))
            return false;
        wire_put_string(&o, NULL, value);
        n++;
    }
    wire_close(&o, ']');
    return n == 0 || (*out = wire_text(&o, NULL)) != NULL;
}

static bool of_many(struct request *request, struct response *response, struct problem *why) {
    struct stream *s = stream_new(request, why);
    uint64_t before = 0, last = 0;
    if (!s || !parameters_check(request, true, why) || !after_read(request, true, &s->after, why) ||
        !jobs_read(request, &s->feed.jobs, why) || !api_jobs_labels(request, &s->feed.labels, why) ||
        (s->feed.jobs && !store_feed_first(request->service->store, s->feed.jobs, &before, why)) ||
        !store_feed_last(request->service->store, &last, why))
        return false;
    s->after = units_min(units_max(s->after, before), last); /* an id of another data directory is none of ours */
    s->ping_ns = clock_now_ns(); /* at once, where there is nothing yet: headers alone are not sent */
    return stream_begin(request, response, s, why);
}

const struct route api_job_event_routes[] = {
    {"GET", "/v1/jobs/{id}/events", BODY_QUERY, of_one, SCOPE_READ},
    {"GET", "/v1/events", BODY_QUERY, of_many, SCOPE_READ, .repeats = "job label"},
    {0},
};
