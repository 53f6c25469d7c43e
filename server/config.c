/* config.c - see config.h. A setting is a row of config_table; everything else here walks it. */
#include "server/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum row_kind { ROW_FLAG, ROW_COUNT, ROW_BYTES, ROW_TEXT, ROW_LISTEN, ROW_FILE };

struct row {
    const char *flag, *variable, *value; /* variable NULL: none. value: what follows the flag, for --help */
    enum row_kind kind;
    unsigned commands;
    size_t offset; /* in struct config */
    const char *fallback;
    uint64_t least, most;
    const char *help;
};

#define AT(FIELD) offsetof(struct config, FIELD)
#define BOTH      (CONFIG_SERVE | CONFIG_WORK)
#define BYTES_MAX ((uint64_t)1 << 50)

static const struct row config_table[] = {
    {"--listen", "REMATD_LISTEN", "ADDR:PORT", ROW_LISTEN, CONFIG_SERVE, AT(address), "127.0.0.1:8740", 0, 65535,
     "address to serve; port 0 takes a free one"},
    {"--data", "REMATD_DATA", "DIR", ROW_TEXT, BOTH, AT(data_dir), "", 0, 0,
     "jobs and tensors live here (${XDG_DATA_HOME:-~/.local/share}/rematd)"},
    {"--workers", "REMATD_WORKERS", "N", ROW_COUNT, CONFIG_SERVE, AT(workers), "1", 0, 64, "worker processes"},
    {"--threads", "REMATD_THREADS", "N", ROW_COUNT, BOTH, AT(threads), "0", 0, 256,
     "threads a worker computes with; 0: one per core"},
    {"--memory-limit", "REMATD_MEMORY_LIMIT", "BYTES", ROW_BYTES, BOTH, AT(memory_limit_bytes), "0", 0, BYTES_MAX,
     "what running jobs may take together (512M, 4G); 0: what the container or machine has"},
    {"--upload-limit", "REMATD_UPLOAD_LIMIT", "BYTES", ROW_BYTES, CONFIG_SERVE, AT(upload_limit_bytes), "4G", 1,
     BYTES_MAX, "the largest tensor file taken"},
    {"--plan-cache", "REMATD_PLAN_CACHE", "BYTES", ROW_BYTES, CONFIG_SERVE, AT(plan_cache_bytes), "32M", 0, BYTES_MAX,
     "answers to planning queries that are kept for the next to ask; 0: none"},
    {"--connections", "REMATD_CONNECTIONS", "N", ROW_COUNT, CONFIG_SERVE, AT(connections), "256", 1, 10000,
     "connections served at once; more get 503"},
    {"--queue-limit", "REMATD_QUEUE_LIMIT", "N", ROW_COUNT, CONFIG_SERVE, AT(queue_limit), "10000", 1, 10000000,
     "jobs that may wait in the queue; more get 503"},
    {"--retention", "REMATD_RETENTION", "SECONDS", ROW_COUNT, CONFIG_SERVE, AT(retention_seconds), "604800", 0,
     3153600000, "finished jobs, and uploads that no job names, are kept so long; 0: for ever"},
    {"--data-limit", "REMATD_DATA_LIMIT", "BYTES", ROW_BYTES, CONFIG_SERVE, AT(data_limit_bytes), "0", 0, BYTES_MAX,
     "what the data directory may hold; more gets 507; 0: what the disk has"},
    {"--allowed-hosts", "REMATD_ALLOWED_HOSTS", "NAME,NAME", ROW_TEXT, CONFIG_SERVE, AT(allowed_hosts), "", 0, 0,
     "Host names answered to besides localhost; none listed: localhost on a loopback address, any elsewhere"},
    {"--insecure", "REMATD_INSECURE", NULL, ROW_FLAG, CONFIG_SERVE, AT(insecure), "0", 0, 1,
     "serve an address other machines reach, without tokens"},
    {"--config", "REMATD_CONFIG", "FILE", ROW_FILE, BOTH, 0, "", 0, 0, "lines of the form  listen = 127.0.0.1:8740"},
    {"--slot", NULL, "I", ROW_COUNT, CONFIG_WORK, AT(slot), "0", 0, 9999, "number of this worker, in its name"},
    {"--version", NULL, NULL, ROW_FLAG, BOTH, AT(version), "0", 0, 1, "print the version"},
    {"--help", NULL, NULL, ROW_FLAG, BOTH, AT(help), "0", 0, 1, "print this"},
};
#define ROWS (sizeof config_table / sizeof config_table[0])

/* What each row is to be set to, and who said so (for problems). */
struct setting {
    const char *text;
    char source[96];
};

/* 123, or with bytes 512M, 4GiB, ... */
static bool number_parse(const char *text, bool bytes, uint64_t *value) {
    static const char units[] = "kmgt";
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *value = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end | 0x20) : NULL;
    if (bytes && unit) {
        unsigned shift = 10 * (unsigned)(unit - units + 1);
        end += strcmp(end + 1, "iB") == 0 || strcmp(end + 1, "B") == 0 ? strlen(end) : 1;
        if (*value > UINT64_MAX >> shift)
            return false;
        *value <<= shift;
    }
    return errno == 0 && *end == '\0';
}

static bool boolean_parse(const char *text, bool *value) {
    *value = strcmp(text, "1") == 0 || strcmp(text, "true") == 0;
    return *value || strcmp(text, "0") == 0 || strcmp(text, "false") == 0 || !*text;
}

/* 127.0.0.1:80, localhost:80, [::1]:80 */
static bool listen_parse(const char *text, struct config *config) {
    const char *colon = strrchr(text, ':');
    if (!colon || !number_parse(colon + 1, false, &config->port) || config->port > 65535)
        return false;
    size_t length = (size_t)(colon - text);
    bool bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';
    if (bracketed)
        text++, length -= 2;
    if (length >= sizeof config->address)
        return false;
    memcpy(config->address, text, length);
    config->address[length] = '\0';
    if (strcmp(config->address, "localhost") == 0)
        strcpy(config->address, "127.0.0.1");
    unsigned char numeric[sizeof(struct in6_addr)];
    return inet_pton(bracketed ? AF_INET6 : AF_INET, config->address, numeric) == 1;
}

static bool row_apply(const struct row *row, const struct setting *setting, struct config *config,
                      struct problem *why) {
    char *field = (char *)config + row->offset;
    bool good = true;
    uint64_t value;
    switch (row->kind) {
    case ROW_FLAG:
        good = boolean_parse(setting->text, (bool *)field);
        break;
    case ROW_COUNT:
    case ROW_BYTES:
        good = number_parse(setting->text, row->kind == ROW_BYTES, &value);
        if (good && (value < row->least || value > row->most))
            return problem_set(why, PROBLEM_LIMIT, "", "%s: %s is not between %llu and %llu", setting->source,
                               setting->text, (unsigned long long)row->least, (unsigned long long)row->most);
        if (good)
            memcpy(field, &value, sizeof value);
        break;
    case ROW_TEXT:
        if (snprintf(field, CONFIG_TEXT_BYTES, "%s", setting->text) >= CONFIG_TEXT_BYTES)
            return problem_set(why, PROBLEM_LIMIT, "", "%s: too long", setting->source);
        break;
    case ROW_LISTEN:
        good = listen_parse(setting->text, config);
        break;
    case ROW_FILE:
        break;
    }
    return good || problem_set(why, PROBLEM_MALFORMED, "", "%s: '%.100s' is not %s", setting->source, setting->text,
                               row->value ? row->value : "0 or 1");
}

/* name without "--", or with; NULL if the command has no such row. */
static const struct row *row_find(const char *name, size_t length, enum config_command command) {
    for (size_t i = 0; i < ROWS; i++) {
        const char *flag = config_table[i].flag + 2;
        if ((config_table[i].commands & command) && strlen(flag) == length && strncmp(flag, name, length) == 0)
            return &config_table[i];
    }
    return NULL;
}

static void setting_set(struct setting *settings, const struct row *row, const char *text, const char *source) {
    struct setting *setting = &settings[row - config_table];
    setting->text = text;
    snprintf(setting->source, sizeof setting->source, "%s", source);
}

/* --flag VALUE, --flag=VALUE, --flag */
static bool flags_read(struct setting *settings, enum config_command command, int n, char *const args[],
                       struct problem *why) {
    for (int i = 0; i < n; i++) {
        const char *arg = args[i];
        size_t length = strcspn(arg, "=");
        const struct row *row = strncmp(arg, "--", 2) == 0 ? row_find(arg + 2, length - 2, command) : NULL;
        if (!row)
            return problem_set(why, PROBLEM_UNKNOWN_FIELD, "", "'%.100s' is not a flag; --help lists them", arg);
        const char *value = arg[length] == '=' ? arg + length + 1 : row->kind == ROW_FLAG ? "1" : NULL;
        if (!value && ++i == n)
            return problem_set(why, PROBLEM_MISSING_FIELD, "", "%s needs a value: %s", row->flag, row->value);
        setting_set(settings, row, value ? value : args[i], row->flag);
    }
    return true;
}

/* Unknown REMATD_ variables are nobody's mistake: Kubernetes sets REMATD_PORT and more for a service of our name. */
static void environment_read(struct setting *settings, enum config_command command, char *const environment[]) {
    for (; *environment; environment++)
        for (size_t i = 0; i < ROWS; i++) {
            const char *name = config_table[i].variable;
            size_t length = name ? strlen(name) : 0;
            if (name && (config_table[i].commands & command) && strncmp(*environment, name, length) == 0 &&
                (*environment)[length] == '=')
                setting_set(settings, &config_table[i], *environment + length + 1, name);
        }
}

static char *trimmed(char *text) {
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        text[--length] = '\0';
    return text;
}

/* key = value lines, # and ; comments. Applied to config line by line: a file's texts need not outlive it. */
static bool file_read(const char *name, enum config_command command, struct config *config, struct problem *why) {
    char line[CONFIG_TEXT_BYTES + 64];
    FILE *file = fopen(name, "re");
    if (!file)
        return problem_set(why, PROBLEM_IO, "", "--config: cannot open %.200s: %s", name, strerror(errno));
    bool good = true;
    for (unsigned number = 1; good && fgets(line, sizeof line, file); number++) {
        char *key = trimmed(line), *value = strchr(key, '=');
        struct setting setting;
        snprintf(setting.source, sizeof setting.source, "%.70s line %u", name, number);
        if (*key == '\0' || *key == '#' || *key == ';')
            continue;
        if (value)
            *value++ = '\0';
        const struct row *row = row_find(trimmed(key), strlen(trimmed(key)), BOTH);
        if (!value || !row || row->kind == ROW_FILE || !row->variable)
            good = problem_set(why, PROBLEM_UNKNOWN_FIELD, "", "%s: '%.80s' is not a setting", setting.source, key);
        setting.text = value ? trimmed(value) : "";
        if (good && (row->commands & command))
            good = row_apply(row, &setting, config, why);
    }
    fclose(file);
    return good;
}

static const char *environment_find(char *const environment[], const char *name) {
    size_t length = strlen(name);
    for (; *environment; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=' && (*environment)[length + 1])
            return *environment + length + 1;
    return NULL;
}

static bool data_dir_default(struct config *config, char *const environment[], struct problem *why) {
    const char *base = environment_find(environment, "XDG_DATA_HOME"), *home = environment_find(environment, "HOME");
    int n = base   ? snprintf(config->data_dir, CONFIG_TEXT_BYTES, "%s/rematd", base)
            : home ? snprintf(config->data_dir, CONFIG_TEXT_BYTES, "%s/.local/share/rematd", home)
                   : snprintf(config->data_dir, CONFIG_TEXT_BYTES, "./rematd-data");
    return n < CONFIG_TEXT_BYTES ||
           problem_set(why, PROBLEM_LIMIT, "", "--data: the home directory's name is too long");
}

static uint64_t cores(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0 ? (uint64_t)CPU_COUNT(&set) : 1;
}

bool config_is_loopback(const char *address) {
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

bool config_read(struct config *config, enum config_command command, int n_args, char *const args[],
                 char *const environment[], struct problem *why) {
    struct setting settings[ROWS] = {0};
    *config = (struct config){0};
    environment_read(settings, command, environment);
    if (!flags_read(settings, command, n_args, args, why))
        return false;
    for (size_t i = 0; i < ROWS; i++) {
        struct setting fallback = {.text = config_table[i].fallback};
        snprintf(fallback.source, sizeof fallback.source, "%s", config_table[i].flag);
        if (!row_apply(&config_table[i], &fallback, config, why))
            return false;
        if (config_table[i].kind == ROW_FILE && settings[i].text && *settings[i].text &&
            !file_read(settings[i].text, command, config, why))
            return false;
    }
    for (size_t i = 0; i < ROWS; i++)
        if (settings[i].text && !row_apply(&config_table[i], &settings[i], config, why))
            return false;
    if (config->help || config->version)
        return true;
    if (config->threads == 0)
        config->threads = cores();
    if (!*config->data_dir && !data_dir_default(config, environment, why))
        return false;
    if (command == CONFIG_SERVE && !config_is_loopback(config->address) && !config->insecure)
        return problem_set(
            why, PROBLEM_STATE, "",
            "--listen %s: other machines reach this address and there are no tokens; if that is meant, add "
            "--insecure or REMATD_INSECURE=1",
            config->address);
    return true;
}

void config_help(FILE *out, enum config_command command) {
    fprintf(out, "usage: rematd %s [FLAG...]\n\n", command == CONFIG_SERVE ? "serve" : "work");
    for (size_t i = 0; i < ROWS; i++) {
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
