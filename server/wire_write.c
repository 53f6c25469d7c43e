/* wire_write.c - writing; see wire.h. Text is made directly, so numbers come out as short as they can and integers
 * exact. */
#include "server/wire.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/route.h"

void wire_out_init(struct wire_out *o, struct arena *a, struct problem *why) {
    *o = (struct wire_out){.arena = a, .why = why};
}

static void put(struct wire_out *o, const char *text, size_t bytes) {
    if (o->failed)
        return;
    if (bytes >= o->room - o->bytes) {
        size_t room = (o->bytes + bytes + 1) * 2 + 256;
        if (o->arena->limit_bytes - o->arena->taken_bytes < room)
            problem_set(o->why, PROBLEM_LIMIT, "",
                        "has an answer that takes more than the %llu bytes a request may have: ask for less at once",
                        (unsigned long long)o->arena->limit_bytes);
        char *larger = arena_take(o->arena, room, 1, o->why);
        if (!larger) {
            o->failed = true;
            return;
        }
        if (o->bytes)
            memcpy(larger, o->text, o->bytes);
        o->text = larger;
        o->room = room;
    }
    memcpy(o->text + o->bytes, text, bytes);
    o->bytes += bytes;
    o->text[o->bytes] = '\0';
}

/* Names mostly: nothing to escape, so nothing to copy first. */
static bool is_plain(const char *text) {
    const unsigned char *c = (const unsigned char *)text;
    while (*c >= 0x20 && *c < 0x7f && *c != '"' && *c != '\\')
        c++;
    return *c == '\0';
}

static void put_string(struct wire_out *o, const char *value) {
    if (is_plain(value)) {
        put(o, "\"", 1);
        put(o, value, strlen(value));
        put(o, "\"", 1);
        return;
    }
    const char *text = route_json_text(value, o->arena);
    if (text) {
        put(o, text, strlen(text));
    } else if (!o->failed) {
        problem_set(o->why, PROBLEM_MEMORY, "", "no memory to write the answer");
        o->failed = true;
    }
}

static void put_key(struct wire_out *o, const char *key) {
    if (o->comma)
        put(o, ",", 1);
    o->comma = true;
    if (!key)
        return;
    put_string(o, key);
    put(o, ":", 1);
}

static void put_value(struct wire_out *o, const char *key, const char *text) {
    put_key(o, key);
    put(o, text, strlen(text));
}

void wire_open(struct wire_out *o, const char *key, char bracket) {
    put_key(o, key);
    put(o, &bracket, 1);
    o->comma = false;
}

void wire_close(struct wire_out *o, char bracket) {
    put(o, &bracket, 1);
    o->comma = true;
}

void wire_put_uint(struct wire_out *o, const char *key, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_value(o, key, text);
}

void wire_put_real(struct wire_out *o, const char *key, double value) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    if (!strpbrk(text, ".en"))
        strcat(text, ".0");
    put_value(o, key, isfinite(value) ? text : "null");
}

void wire_put_bool(struct wire_out *o, const char *key, bool value) {
    put_value(o, key, value ? "true" : "false");
}

void wire_put_string(struct wire_out *o, const char *key, const char *value) {
    if (!value) {
        put_value(o, key, "null");
        return;
    }
    put_key(o, key);
    put_string(o, value);
}

void wire_put_time(struct wire_out *o, const char *key, int64_t unix_ms) {
    char date[32], text[48];
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    if (unix_ms <= 0 || !gmtime_r(&seconds, &tm)) {
        put_value(o, key, "null");
        return;
    }
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, sizeof text, "\"%s.%03dZ\"", date, (int)(unix_ms % 1000));
    put_value(o, key, text);
}

void wire_put_json(struct wire_out *o, const char *key, const char *json) {
    put_value(o, key, json ? json : "null");
}

const char *wire_text(struct wire_out *o, size_t *bytes) {
    if (bytes)
        *bytes = o->bytes;
    return o->failed ? NULL : o->text;
}
