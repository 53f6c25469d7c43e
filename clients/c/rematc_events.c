/* rematc_events.c - rematc_events, rematc_events_of: Server-Sent Events read as they come, and resumed where a daemon
 * went away. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/c/rematc.h"

#define EVENT_BYTES_MAX ((size_t)1 << 20)
#define ABSENCE_TRIES   60 /* of half a second */
#define PAUSE_NS        500000000L
#define ADDRESS_BYTES   16384u

struct listening {
    rematc_listener *tell;
    void *user;
    char *text; /* what has come of the next event; NUL-terminated */
    size_t bytes;
    uint64_t last_id;
    bool many; /* an end of one job is not the end */
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
    l->ended = !l->many && strcmp(name, "state") == 0 && rematc_job_finished(value);
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
static bool listen_once(struct rematc *client, const char *address, struct listening *l, struct rematc_error *why) {
    char path[ADDRESS_BYTES + 32];
    int status = 0;
    snprintf(path, sizeof path, "%slast_event_id=%llu", address, (unsigned long long)l->last_id);
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

/* Until the end, or enough; address is complete but for last_event_id. */
static bool listen_all(struct rematc *client, const char *address, struct listening *given, struct rematc_error *why) {
    struct listening l = *given;
    struct rematc_error now = {0};
    unsigned tries = 0;
    bool again = true;
    while (again && !l.ended && !l.enough && tries < ABSENCE_TRIES) {
        uint64_t before = l.last_id;
        now = (struct rematc_error){.kind = REMATC_UNREACHABLE,
                                    .title = "Cut off",
                                    .detail = "the daemon ended the stream before the job had ended"};
        again = listen_once(client, address, &l, &now);
        tries = l.last_id != before ? 0 : tries + 1;
        if (again && !l.ended && !l.enough)
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    free(l.text);
    if (why)
        *why = l.ended || l.enough ? (struct rematc_error){0} : now;
    return l.ended || l.enough;
}

/* "?job=ID&label=KEY:VALUE&", escaped, behind what there is. False: too long. */
static bool parameter_add(char *address, char joint, const char *name, const char *value) {
    size_t length = strlen(address);
    char *escaped = curl_easy_escape(NULL, value, 0);
    bool fits = escaped && snprintf(address + length, ADDRESS_BYTES - length, "%c%s%s", joint, name, escaped) <
                               (int)(ADDRESS_BYTES - length);
    curl_free(escaped);
    return fits;
}

static bool too_long(struct rematc_error *why) {
    if (why)
        *why = (struct rematc_error){.kind = REMATC_LOCAL, .title = "Bad name", .detail = "the ids are too long"};
    return false;
}

bool rematc_events(struct rematc *client, const char *id, uint64_t last_event_id, rematc_listener *tell, void *user,
                   struct rematc_error *why) {
    struct listening l = {.tell = tell, .user = user, .last_id = last_event_id};
    char address[ADDRESS_BYTES] = "/v1/jobs";
    if (!parameter_add(address, '/', "", id) || strlen(address) + 9 > sizeof address)
        return too_long(why);
    strcat(address, "/events?");
    return listen_all(client, address, &l, why);
}

bool rematc_events_of(struct rematc *client, const char *const *jobs, unsigned n_jobs, const char *const *labels,
                      unsigned n_labels, uint64_t last_event_id, rematc_listener *tell, void *user,
                      struct rematc_error *why) {
    struct listening l = {.tell = tell, .user = user, .last_id = last_event_id, .many = true};
    char address[ADDRESS_BYTES] = "/v1/events";
    bool fits = true;
    for (unsigned i = 0; fits && i < n_jobs + n_labels; i++)
        fits = i < n_jobs ? parameter_add(address, i ? '&' : '?', "job=", jobs[i])
                          : parameter_add(address, i ? '&' : '?', "label=", labels[i - n_jobs]);
    if (!fits || strlen(address) + 2 > sizeof address)
        return too_long(why);
    strcat(address, n_jobs + n_labels ? "&" : "?");
    return listen_all(client, address, &l, why);
}
