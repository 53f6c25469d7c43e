/* rematc_events.c - rematc_events: Server-Sent Events read as they come, and resumed where a daemon went away. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/c/rematc.h"

#define EVENT_BYTES_MAX ((size_t)1 << 20)
#define ABSENCE_TRIES   60 /* of half a second */
#define PAUSE_NS        500000000L

struct listening {
    rematc_listener *tell;
    void *user;
    char *text; /* what has come of the next event; NUL-terminated */
    size_t bytes;
    uint64_t last_id;
    bool heard, ended, enough, garbled;
};

/* One event without its empty line; its text is taken apart. False: it is none. */
static bool event_tell(struct listening *l, char *event) {
    char *rest = event, *line, *name = "message", *data = NULL;
    uint64_t id = l->last_id;
    json_t *value;
    while ((line = strsep(&rest, "\n"))) {
        if (strncmp(line, "id: ", 4) == 0)
            id = strtoull(line + 4, NULL, 10);
        else if (strncmp(line, "event: ", 7) == 0)
            name = line + 7;
        else if (strncmp(line, "data: ", 6) == 0)
            data = line + 6; /* rematd's has one line */
    }
    if (!data)
        return true; /* a comment: it is alive */
    if (!(value = json_loads(data, JSON_REJECT_DUPLICATES, NULL)))
        return false;
    l->last_id = id;
    l->heard = true;
    l->ended = strcmp(name, "state") == 0 && rematc_job_finished(value);
    l->enough = !l->tell(l->user, id, name, value);
    json_decref(value);
    return true;
}

static bool bytes_take(void *user, const char *bytes, size_t n) {
    struct listening *l = user;
    char *grown = n < EVENT_BYTES_MAX - l->bytes ? realloc(l->text, l->bytes + n + 1) : NULL, *from, *end;
    l->garbled = !grown;
    if (!grown)
        return false;
    memcpy(grown + l->bytes, bytes, n);
    l->text = grown;
    l->bytes += n;
    grown[l->bytes] = '\0';
    for (from = grown; !l->enough && !l->garbled && (end = strstr(from, "\n\n")); from = end + 2) {
        *end = '\0';
        l->garbled = !event_tell(l, from);
    }
    l->bytes -= (size_t)(from - grown);
    memmove(grown, from, l->bytes + 1);
    return !l->enough && !l->garbled;
}

/* One connection. False with why where it may not be tried again. */
static bool listen_once(struct rematc *client, const char *id, struct listening *l, struct rematc_error *why) {
    char path[512], *escaped = curl_easy_escape(NULL, id, 0);
    int status = 0;
    bool fits = escaped && snprintf(path, sizeof path, "/v1/jobs/%s/events?last_event_id=%llu", escaped,
                                    (unsigned long long)l->last_id) < (int)sizeof path;
    curl_free(escaped);
    if (!fits) {
        *why = (struct rematc_error){.kind = REMATC_LOCAL, .title = "Bad name", .detail = "the id is too long"};
        return false;
    }
    l->bytes = 0;
    if (!rematc_get_live(client, path, bytes_take, l, &status, why))
        return l->heard && (why->kind == REMATC_UNREACHABLE || why->kind == REMATC_UNAVAILABLE);
    if (status == 204)
        l->ended = true;
    if (l->garbled)
        *why = (struct rematc_error){
            .kind = REMATC_GARBLED, .title = "Not an event", .detail = "the stream holds what is no event"};
    return !l->garbled;
}

bool rematc_events(struct rematc *client, const char *id, uint64_t last_event_id, rematc_listener *tell, void *user,
                   struct rematc_error *why) {
    struct listening l = {.tell = tell, .user = user, .last_id = last_event_id};
    struct rematc_error now = {0};
    unsigned tries = 0;
    bool again = true;
    while (again && !l.ended && !l.enough && tries < ABSENCE_TRIES) {
        uint64_t before = l.last_id;
        now = (struct rematc_error){.kind = REMATC_UNREACHABLE,
                                    .title = "Cut off",
                                    .detail = "the daemon ended the stream before the job had ended"};
        again = listen_once(client, id, &l, &now);
        tries = l.last_id != before ? 0 : tries + 1;
        if (again && !l.ended && !l.enough)
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    free(l.text);
    if (why)
        *why = l.ended || l.enough ? (struct rematc_error){0} : now;
    return l.ended || l.enough;
}
