/* config.c - see config.h. A setting is a row of config_table; everything else walks it. */
#include "server/config_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "server/jail.h"
#include "server/store.h"

#define AT(FIELD) offsetof(struct config, FIELD)
#define BOTH      (CONFIG_SERVE | CONFIG_WORK)
#define BYTES_MAX ((uint64_t)1 << 50)

const struct row config_table[] = {
    {"--listen", "REMATD_LISTEN", "ADDR:PORT", ROW_LISTEN, CONFIG_SERVE, AT(address), "127.0.0.1:8740", 0, 65535,
     "address to serve; port 0 takes a free one; or unix:/path, or both with a comma between"},
    {"--tls-cert", "REMATD_TLS_CERT", "FILE", ROW_TEXT, CONFIG_SERVE, AT(tls_certificate), "", 0, 0,
     "PEM certificate, with what it was signed by behind it: ADDR:PORT speaks HTTPS alone"},
    {"--tls-key", "REMATD_TLS_KEY", "FILE", ROW_TEXT, CONFIG_SERVE, AT(tls_key), "", 0, 0, "its PEM key"},
    {"--data", "REMATD_DATA", "DIR", ROW_TEXT, BOTH, AT(data_dir), "", 0, 0,
     "jobs and tensors live here (${XDG_DATA_HOME:-~/.local/share}/rematd)"},
    {"--store", "REMATD_STORE", "URL", ROW_TEXT, BOTH, AT(store), "", 0, 0,
     "postgres://USER@HOST/DATABASE that machines share, where DIR has copies; none: DIR/rematd.db"},
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
    {"--connections-per-address", "REMATD_CONNECTIONS_PER_ADDRESS", "N", ROW_COUNT, CONFIG_SERVE,
     AT(connections_per_address), "0", 0, 10000,
     "of them from one address (IPv6: one /64); 0: half, and from this machine all"},
    {"--streams", "REMATD_STREAMS", "N", ROW_COUNT, CONFIG_SERVE, AT(streams), "200", 1, 10000,
     "event streams at once, never more than half of the connections; more get 503"},
    {"--planning-threads", "REMATD_PLANNING_THREADS", "N", ROW_COUNT, CONFIG_SERVE, AT(planning_threads), "0", 0, 16,
     "threads for planning that takes long; 0: two more than cores, at least 4"},
    {"--planning-queue", "REMATD_PLANNING_QUEUE", "N", ROW_COUNT, CONFIG_SERVE, AT(planning_queue), "32", 1, 10000,
     "such requests that wait for a thread; more get 503"},
    {"--allowed-hosts", "REMATD_ALLOWED_HOSTS", "NAME,NAME", ROW_TEXT, CONFIG_SERVE, AT(allowed_hosts), "", 0, 0,
     "Host names answered to besides localhost; none listed: localhost on a loopback address, any elsewhere"},
    {"--tokens", "REMATD_TOKENS", "FILE", ROW_TEXT, CONFIG_SERVE, AT(tokens), "", 0, 0,
     "who may ask, and what: lines of `rematd token`; read again on SIGHUP"},
    {"--rate", "REMATD_RATE", "N[:BURST]", ROW_TEXT, CONFIG_SERVE, AT(rate), "auto", 0, 0,
     "requests a second of each token or address; 0: any number; auto: any here without tokens, else 500:1000"},
    {"--allowed-origins", "REMATD_ALLOWED_ORIGINS", "URL,URL", ROW_TEXT, CONFIG_SERVE, AT(origins), "", 0, 0,
     "whose pages a browser may let ask (CORS), such as https://lab.example; none listed: none"},
    {"--open-metrics", "REMATD_OPEN_METRICS", NULL, ROW_FLAG, CONFIG_SERVE, AT(open_metrics), "0", 0, 1,
     "answer /metrics without a token"},
    {"--insecure", "REMATD_INSECURE", NULL, ROW_FLAG, CONFIG_SERVE, AT(insecure), "0", 0, 1,
     "serve an address other machines reach, without tokens"},
    {"--sandbox", "REMATD_SANDBOX", JAIL_MODES, ROW_CHOICE, BOTH, AT(sandbox), "auto", 0, 0,
     "workers give up files, sockets, programs: as far as the kernel can; on: or do not work; off"},
    {"--log-level", "REMATD_LOG_LEVEL", "info|warning|error", ROW_CHOICE, BOTH, AT(log_level), "info", 0, 0,
     "the least that is logged"},
    {"--config", "REMATD_CONFIG", "FILE", ROW_FILE, BOTH, 0, "", 0, 0,
     "an INI file, with lines such as  listen = 127.0.0.1:8740"},
    {"--slot", NULL, "I", ROW_COUNT, CONFIG_WORK, AT(slot), "0", 0, 9999, "number of this worker, in its name"},
    {"--print-config", NULL, NULL, ROW_FLAG, BOTH, AT(print_config), "0", 0, 1,
     "print every setting and where it comes from, and end"},
    {"--check-config", NULL, NULL, ROW_FLAG, BOTH, AT(check_config), "0", 0, 1,
     "end with 0 if all settings are good, else with 2"},
    {"--version", NULL, NULL, ROW_FLAG, BOTH, AT(version), "0", 0, 1, "print the version"},
    {"--help", NULL, NULL, ROW_FLAG, BOTH, AT(help), "0", 0, 1, "print this"},
};
#define ROWS (sizeof config_table / sizeof config_table[0])
_Static_assert(ROWS <= CONFIG_ROWS_MAX, "an origin for every row");
const size_t config_table_length = ROWS;

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
static bool address_parse(const char *text, struct config *config) {
    const char *colon = strrchr(text, ':');
    if (*config->address || !colon || !number_parse(colon + 1, false, &config->port) || config->port > 65535)
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

/* Which of "info|warning|error" it is. */
static bool choice_parse(const char *text, const char *choices, uint64_t *value) {
    size_t length = strlen(text);
    for (*value = 0; *choices; ++*value) {
        size_t n = strcspn(choices, "|");
        if (n == length && strncmp(choices, text, n) == 0)
            return true;
        choices += n + (choices[n] == '|');
    }
    return false;
}

static bool path_parse(const char *path, struct config *config) {
    if (*config->unix_path || *path != '/' || strlen(path) >= sizeof config->unix_path)
        return false;
    strcpy(config->unix_path, path);
    return true;
}

/* An address, a socket's path, or one of each: 127.0.0.1:80,unix:/run/rematd.sock */
static bool listen_parse(const char *text, struct config *config) {
    char copy[CONFIG_TEXT_BYTES], *rest = copy;
    config->address[0] = config->unix_path[0] = '\0';
    config->port = 0;
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return false;
    for (const char *one; (one = strsep(&rest, ","));)
        if (!(strncmp(one, "unix:", 5) == 0 ? path_parse(one + 5, config) : address_parse(one, config)))
            return false;
    return true;
}

bool config_apply(const struct row *row, const struct setting *setting, struct config *config, struct problem *why) {
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
    case ROW_CHOICE:
        if ((good = choice_parse(setting->text, row->value, &value)))
            memcpy(field, &value, sizeof value);
        break;
    case ROW_LISTEN:
        good = listen_parse(setting->text, config);
        break;
    case ROW_FILE:
        break;
    }
    memcpy(config->sources[row - config_table], setting->source, sizeof setting->source);
    return good || problem_set(why, PROBLEM_MALFORMED, "", "%s: '%.100s' is not %s", setting->source, setting->text,
                               row->value ? row->value : "0 or 1");
}

const struct row *config_row_find(const char *name, size_t length, unsigned commands) {
    for (size_t i = 0; i < ROWS; i++) {
        const char *flag = config_table[i].flag + 2;
        if ((config_table[i].commands & commands) && strlen(flag) == length && strncmp(flag, name, length) == 0)
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
        const struct row *row = strncmp(arg, "--", 2) == 0 ? config_row_find(arg + 2, length - 2, command) : NULL;
        if (!row)
            return problem_set(why, PROBLEM_UNKNOWN_FIELD, "", "'%.100s' is not a flag; --help lists them", arg);
        const char *value = arg[length] == '=' ? arg + length + 1 : row->kind == ROW_FLAG ? "1" : NULL;
        if (!value && ++i == n)
            return problem_set(why, PROBLEM_MISSING_FIELD, "", "%s needs a value: %s", row->flag, row->value);
        setting_set(settings, row, value ? value : args[i], row->flag);
    }
    return true;
}

static bool variable_is(const char *entry, const char *name) {
    size_t length = name ? strlen(name) : 0;
    return name && strncmp(entry, name, length) == 0 && entry[length] == '=';
}

static void environment_read(struct setting *settings, enum config_command command, char *const environment[]) {
    for (; *environment; environment++)
        for (size_t i = 0; i < ROWS; i++) {
            const char *name = config_table[i].variable;
            if ((config_table[i].commands & command) && variable_is(*environment, name))
                setting_set(settings, &config_table[i], strchr(*environment, '=') + 1, name);
        }
}

/* Others' names that begin as ours do: rematctl's, the engine's, and what Kubernetes sets for a service called
 * rematd. */
static bool is_others(const char *entry) {
    static const char *const names[] = {"REMATD_URL",  "REMATD_TOKEN",        "REMATD_ISA",
                                        "REMATD_PORT", "REMATD_SERVICE_HOST", "REMATD_SERVICE_PORT"};
    static const char *const beginnings[] = {"REMATD_PORT_", "REMATD_SERVICE_PORT_", "REMATD_TESTS_"};
    bool is = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        is |= variable_is(entry, names[i]);
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
        is |= strncmp(entry, beginnings[i], strlen(beginnings[i])) == 0;
    return is;
}

const char *config_stray(char *const environment[], size_t *at) {
    while (environment[*at]) {
        const char *entry = environment[(*at)++];
        bool known = strncmp(entry, "REMATD_", 7) != 0 || is_others(entry);
        for (size_t i = 0; i < ROWS; i++)
            known |= variable_is(entry, config_table[i].variable);
        if (!known)
            return entry;
    }
    return NULL;
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
    return !*address || strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
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
        snprintf(fallback.source, sizeof fallback.source, "default");
        if (!config_apply(&config_table[i], &fallback, config, why))
            return false;
    }
    for (size_t i = 0; i < ROWS; i++)
        if (config_table[i].kind == ROW_FILE && settings[i].text && *settings[i].text &&
            !config_file_read(settings[i].text, command, config, why))
            return false;
    for (size_t i = 0; i < ROWS; i++)
        if (settings[i].text && !config_apply(&config_table[i], &settings[i], config, why))
            return false;
    if (config->help || config->version)
        return true;
    if (config->threads == 0)
        config->threads = cores();
    if (*config->store && !store_url_check(config->store, why))
        return false;
    if (!*config->data_dir && !data_dir_default(config, environment, why))
        return false;
    return command != CONFIG_SERVE || config_access(config, why);
}
