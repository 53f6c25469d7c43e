/* api_job_events.c - what happens to a job, as it happens: GET /v1/jobs/{id}/events, as Server-Sent Events (WHATWG
 * HTML, section 9.2) or a JSON object a line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/api.h"
#include "server/store.h"

#define PING_NS     15000000000u
#define AT_ONCE     100u /* events of one piece */
#define EVENT_BYTES 96u  /* what an event takes beside its name and data */

enum format { SSE, NDJSON, FORMATS };

static const struct route_format accepted[] = {{"text/event-stream", SSE},
                                               {"text/*", SSE},
                                               {"*/*", SSE},
                                               {"application/x-ndjson", NDJSON},
                                               {"application/*", NDJSON}};
#define ACCEPTED ((unsigned)(sizeof accepted / sizeof accepted[0]))
static const char *const types[FORMATS] = {"text/event-stream", "application/x-ndjson"};
static const char *const layouts[FORMATS] = {"id: %llu\nevent: %s\ndata: %s\n\n",
                                             "{\"id\":%llu,\"event\":\"%s\",\"data\":%s}\n"};
static const char ping[] = ": ping\n\n";

struct stream {
    const char *id;
    unsigned format;
    uint64_t after;     /* the last event that was sent */
    uint64_t changes;   /* of the store, when it was last looked at */
    uint64_t ping_ns;   /* when the client should hear something */
    struct arena arena; /* of one piece */
};

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- while it runs ---- */

static bool ready(struct request *request) {
    struct stream *s = request->state;
    struct store *store = request->service->store;
    struct problem ignored = {0};
    uint64_t changes;
    bool any;
    if (!store_changes(store, &changes, &ignored))
        return true; /* more will say what is wrong */
    if (changes == s->changes)
        return false;
    s->changes = changes;
    return !store_events_any(store, s->id, s->after, &any, &ignored) || any;
}

static bool events_put(struct stream *s, const struct store_event *events, size_t n, struct route_piece *piece,
                       struct problem *why) {
    size_t room = 1;
    for (size_t i = 0; i < n; i++)
        room += strlen(events[i].name) + strlen(events[i].data) + EVENT_BYTES;
    char *text = arena_take(&s->arena, room, 1, why);
    if (!text)
        return false;
    for (size_t i = 0; i < n; i++)
        piece->n += (size_t)snprintf(text + piece->n, room - piece->n, layouts[s->format],
                                     (unsigned long long)events[i].number, events[i].name, events[i].data);
    piece->bytes = text;
    s->after = events[n - 1].number;
    return true;
}

static bool more(struct request *request, struct route_piece *piece, struct problem *why) {
    struct stream *s = request->state;
    struct store_event *events;
    size_t n;
    uint64_t now = now_ns();
    arena_reset(&s->arena);
    if (!store_events(request->service->store, s->id, s->after, AT_ONCE, &s->arena, &events, &n, &piece->end, why) ||
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

/* Last-Event-ID is what a browser says when it comes back, with the query of its first visit still there. */
static bool after_read(const struct request *request, uint64_t *after, struct problem *why) {
    const char *text = request_header(request, "Last-Event-ID");
    for (unsigned i = 0; i < request_query_count(request); i++) {
        const char *name, *value;
        request_query_at(request, i, &name, &value);
        if (strcmp(name, "last_event_id") != 0)
            return request_parameter_unknown(name, why);
        text = text ? text : value;
    }
    *after = 0;
    if (!text || !*text)
        return true;
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
    bool ok = store_events(request->service->store, s->id, s->after, 1, &s->arena, &next, &n, &last, why);
    *out = ok && n == 0 && last;
    return ok;
}

static bool events(struct request *request, struct response *response, struct problem *why) {
    struct stream *s = arena_new(request->arena, struct stream, 1, why);
    enum job_state state;
    bool ended;
    if (!s)
        return false;
    arena_init(&s->arena, 0);
    request->state = s;
    request->kept = s;
    request->release = release;
    s->id = request->args[0];
    s->ping_ns = now_ns() + PING_NS;
    if (!after_read(request, &s->after, why) || !store_state(request->service->store, s->id, &state, why))
        return false;
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

const struct route api_job_event_routes[] = {
    {"GET", "/v1/jobs/{id}/events", BODY_NONE, events, SCOPE_READ},
    {0},
};
