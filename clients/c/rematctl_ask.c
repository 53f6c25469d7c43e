/* rematctl_ask.c - commands that ask and change nothing: savings, health, the tables, and get for shell scripts. */
#include "clients/c/rematctl.h"

#include <stdlib.h>
#include <string.h>

/* 0 if text is not a whole number of at least 1. */
static uint64_t size(const char *text) {
    char *end;
    unsigned long long value = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    return value && !*end ? (uint64_t)value : 0;
}

int rematctl_savings(const struct rematctl *ctl) {
    struct rematc_savings s;
    struct rematc_error why = {0};
    uint64_t sizes[3];
    for (int i = 0; i < 3; i++)
        if (!(sizes[i] = size(ctl->words[i]))) {
            fprintf(stderr, "rematctl: savings: %s is not a number of at least 1\n", ctl->words[i]);
            return EXIT_USAGE;
        }
    if (!rematc_savings(ctl->client, sizes[0], sizes[1], sizes[2], ctl->heads, ctl->batch, &s, &why))
        return rematctl_fail(&why);
    if (ctl->json) {
        json_t *value =
            json_pack("{s:I, s:I, s:f, s:f, s:f, s:f}", "standard_memory_bytes", (json_int_t)s.standard_memory_bytes,
                      "checkpointed_memory_bytes", (json_int_t)s.checkpointed_memory_bytes, "standard_memory_mb",
                      s.standard_memory_mb, "checkpointed_memory_mb", s.checkpointed_memory_mb, "memory_saved_pct",
                      s.memory_saved_pct, "compute_overhead_pct", s.compute_overhead_pct);
        rematctl_print_json(value);
        json_decref(value);
    } else
        printf("Standard: %.1f MB\nCheckpointed: %.1f MB\nMemory saved: %.1f%%\nCompute overhead: %.1f%%\n",
               s.standard_memory_mb, s.checkpointed_memory_mb, s.memory_saved_pct, s.compute_overhead_pct);
    return EXIT_DONE;
}

int rematctl_health(const struct rematctl *ctl) {
    struct rematc_error why = {0};
    bool ok = rematc_health(ctl->client, &why);
    if (ctl->json)
        printf("{\"healthy\": %s}\n", ok ? "true" : "false");
    else if (ok)
        printf("%s is alive and takes work\n", rematc_url(ctl->client));
    return ok ? EXIT_DONE : rematctl_fail(&why);
}

int rematctl_table(const struct rematctl *ctl) {
    static const char *const paths[][2] = {{"models", "/v1/models"},
                                           {"devices", "/v1/devices"},
                                           {"strategies", "/v1/strategies"},
                                           {"kernels", "/v1/kernels"},
                                           {"version", "/version"}};
    struct rematc_error why = {0};
    json_t *answer = NULL;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (strcmp(paths[i][0], ctl->words[0]) == 0)
            answer = rematc_get(ctl->client, paths[i][1], &why);
    if (!answer)
        return rematctl_fail(&why);
    if (ctl->json)
        rematctl_print_json(answer);
    else
        rematctl_print_rows(answer);
    json_decref(answer);
    return EXIT_DONE;
}

/* One step of a JSON Pointer: the next token of *at, with ~1 and ~0 undone, into token. */
static void token_take(const char **at, char *token, size_t room) {
    size_t n = 0;
    for ((*at)++; **at && **at != '/'; (*at)++) {
        char c = **at;
        if (c == '~' && ((*at)[1] == '0' || (*at)[1] == '1'))
            c = *++*at == '0' ? '~' : '/';
        if (n + 1 < room)
            token[n++] = c;
    }
    token[n] = '\0';
}

/* NULL if there is no such thing. */
static const json_t *pointer_find(const json_t *value, const char *pointer) {
    while (value && *pointer) {
        char token[256], *end;
        if (*pointer != '/')
            return NULL;
        token_take(&pointer, token, sizeof token);
        if (json_is_array(value)) {
            unsigned long i = strtoul(token, &end, 10);
            value = token[0] && !*end ? json_array_get(value, i) : NULL;
        } else
            value = json_object_get(value, token);
    }
    return value;
}

static void value_print(const json_t *value) {
    if (json_is_string(value))
        fputs(json_string_value(value), stdout);
    else
        json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
}

int rematctl_get(const struct rematctl *ctl) {
    bool in = strcmp(ctl->words[0], "-") == 0, whole = true;
    json_error_t error;
    json_t *file =
        in ? json_loadf(stdin, JSON_DECODE_ANY, &error) : json_load_file(ctl->words[0], JSON_DECODE_ANY, &error);
    if (!file) {
        fprintf(stderr, "rematctl: %s: %s\n", ctl->words[0], error.text);
        return EXIT_LOCAL;
    }
    for (int i = 1; i < ctl->n_words; i++) {
        const json_t *value = pointer_find(file, ctl->words[i]);
        if (i > 1)
            putchar('\t');
        if (value)
            value_print(value);
        else {
            fprintf(stderr, "rematctl: %s: nothing at %s\n", ctl->words[0], ctl->words[i]);
            whole = false;
        }
    }
    putchar('\n');
    json_decref(file);
    return whole ? EXIT_DONE : EXIT_LOCAL;
}
