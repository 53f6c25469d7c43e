/* config_print.c - the table of settings for people: --help and --print-config. */
#include "server/config_private.h"

#include <stddef.h>
#include <string.h>

#define LINE_BYTES (CONFIG_TEXT_BYTES + 64)

void config_help(FILE *out, enum config_command command) {
    fprintf(out, "usage: rematd %s [FLAG...]\n\n", command == CONFIG_SERVE ? "serve" : "work");
    for (size_t i = 0; i < config_table_length; i++) {
        const struct row *row = &config_table[i];
        if (!(row->commands & command))
            continue;
        char name[64];
        snprintf(name, sizeof name, "%s %s", row->flag, row->value ? row->value : "");
        fprintf(out, "  %-26s %s", name, row->help);
        if (*row->fallback && strcmp(row->fallback, "0") != 0)
            fprintf(out, " [%s]", row->fallback);
        fprintf(out, "\n");
        if (row->variable)
            fprintf(out, "  %-26s   %s\n", "", row->variable);
    }
}

/* The word of a choice. */
static int choice_length(const char **choices, uint64_t number) {
    while (number-- > 0)
        *choices += strcspn(*choices, "|") + 1;
    return (int)strcspn(*choices, "|");
}

/* ADDR:PORT, unix:/path, or both. */
static void listen_print(const struct config *config, char *line, size_t room) {
    const bool tcp = *config->address, file = *config->unix_path, v6 = strchr(config->address, ':') != NULL;
    int used = 0;
    if (tcp)
        used = snprintf(line, room, "%s%s%s:%llu%s", v6 ? "[" : "", config->address, v6 ? "]" : "",
                        (unsigned long long)config->port, file ? "," : "");
    if (file)
        snprintf(line + used, room - (size_t)used, "unix:%s", config->unix_path);
}

/* A URL without its passwords, USER:PASSWORD@ and password=..., which are not for everybody who may read how the daemon
 * is set. */
static void url_print(const char *url, char *line, size_t room) {
    const char *authority = strstr(url, "://") + 3, *end = authority + strcspn(authority, "/?#");
    const char *host = memrchr(authority, '@', (size_t)(end - authority));
    const char *colon = host ? memchr(authority, ':', (size_t)(host - authority)) : NULL;
    int used = colon ? snprintf(line, room, "%.*s:***", (int)(colon - url), url) : 0;
    for (const char *at = colon ? host : url, *next; *at && (size_t)used < room; at = next) {
        const char *secret = strstr(at, "password=");
        const char *value = secret ? secret + strlen("password=") : at + strlen(at);
        next = value + (secret ? strcspn(value, "&") : 0);
        used += snprintf(line + used, room - (size_t)used, "%.*s%s", (int)(value - at), at, secret ? "***" : "");
    }
}

static void value_print(const struct row *row, const struct config *config, char line[LINE_BYTES]) {
    const char *field = (const char *)config + row->offset, *choice = row->value;
    int used = snprintf(line, LINE_BYTES, "%s = ", row->flag + 2), length;
    size_t room = LINE_BYTES - (size_t)used;
    uint64_t number = 0;
    if (row->kind == ROW_COUNT || row->kind == ROW_BYTES || row->kind == ROW_CHOICE)
        memcpy(&number, field, sizeof number);
    line += used;
    switch (row->kind) {
    case ROW_FLAG:
        snprintf(line, room, "%s", *(const bool *)field ? "true" : "false");
        break;
    case ROW_COUNT:
    case ROW_BYTES:
        snprintf(line, room, "%llu", (unsigned long long)number);
        break;
    case ROW_TEXT:
        if (strstr(field, "://") && row->offset == offsetof(struct config, store))
            url_print(field, line, room);
        else
            snprintf(line, room, "%s", field);
        break;
    case ROW_CHOICE:
        length = choice_length(&choice, number);
        snprintf(line, room, "%.*s", length, choice);
        break;
    case ROW_LISTEN:
        listen_print(config, line, room);
        break;
    case ROW_FILE:
        break;
    }
}

void config_print(const struct config *config, FILE *out, enum config_command command) {
    for (size_t i = 0; i < config_table_length; i++) {
        const struct row *row = &config_table[i];
        const char *origin = config->sources[i];
        char line[LINE_BYTES];
        if (!(row->commands & command) || !row->variable || row->kind == ROW_FILE)
            continue;
        value_print(row, config, line);
        const char *what = strncmp(origin, "--", 2) == 0        ? "flag "
                           : strncmp(origin, "REMATD_", 7) == 0 ? "environment "
                                                                : "";
        fprintf(out, "%-40s ; %s%s\n", line, what, origin);
    }
}
