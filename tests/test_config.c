/* test_config.c - settings: who wins, what is refused and in which words, and the memory limit of cgroups. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/config.h"

static struct config config;
static struct problem why;
static char root[64];

#define MIB ((uint64_t)1 << 20)

/* flags: one string, words apart by spaces. */
static bool reads(enum config_command command, const char *flags, char *const environment[]) {
    static char *const nothing[] = {NULL};
    char copy[512], *args[16];
    int n = 0;
    snprintf(copy, sizeof copy, "%s", flags);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        args[n++] = word;
    why = (struct problem){0};
    return config_read(&config, command, n, args, environment ? environment : nothing, &why);
}

Test(config, defaults_need_nothing) {
    cr_assert(reads(CONFIG_SERVE, "", NULL), "%s", why.detail);
    cr_expect_str_eq(config.address, "127.0.0.1");
    cr_expect_eq(config.port, 8740);
    cr_expect_str_eq(config.data_dir, "./rematd-data");
    cr_expect_eq(config.workers, 1);
    cr_expect_geq(config.threads, 1);
    cr_expect_eq(config.memory_limit_bytes, 0);
    cr_expect_eq(config.upload_limit_bytes, 4096 * MIB);
    char *const home[] = {"HOME=/home/a", NULL}, *const xdg[] = {"HOME=/home/a", "XDG_DATA_HOME=/data", NULL};
    cr_expect(reads(CONFIG_SERVE, "", home) && strcmp(config.data_dir, "/home/a/.local/share/rematd") == 0);
    cr_expect(reads(CONFIG_SERVE, "", xdg) && strcmp(config.data_dir, "/data/rematd") == 0);
}

Test(config, flags_win_over_environment_over_file) {
    char name[] = "/tmp/rematd-config-XXXXXX", flags[64], variable[64];
    FILE *file = fdopen(mkstemp(name), "w");
    fputs("# a comment\n\n  workers = 3\nthreads=5\n; another\nmemory-limit = 2G\nslot-free = no\n", file);
    fclose(file);
    snprintf(flags, sizeof flags, "--config %s", name);
    cr_expect_not(reads(CONFIG_SERVE, flags, NULL));
    cr_expect(strstr(why.detail, ":7: ") && strstr(why.detail, "slot-free"), "%s", why.detail);
    file = fopen(name, "w");
    fputs("workers = 3\nthreads=5\nmemory-limit = 2G\n", file);
    fclose(file);
    snprintf(variable, sizeof variable, "REMATD_CONFIG=%s", name);
    char *const environment[] = {variable, "REMATD_THREADS=6", "REMATD_MEMORY_LIMIT=3G",
                                 "REMATD_PORT=tcp://10.0.0.1:80", NULL};
    cr_assert(reads(CONFIG_SERVE, "--memory-limit=512M", environment), "%s", why.detail);
    cr_expect(config.workers == 3 && config.threads == 6 && config.memory_limit_bytes == 512 * MIB);
    cr_assert(reads(CONFIG_WORK, "", environment), "%s", why.detail); /* rows of the other command are passed over */
    cr_expect_eq(config.threads, 6);
    remove(name);
}

/* An INI file of this text, read for serve. */
static bool file_reads(const char *text) {
    char name[] = "/tmp/rematd-config-XXXXXX", flags[64];
    int fd = mkstemp(name);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    snprintf(flags, sizeof flags, "--config %s", name);
    bool good = reads(CONFIG_SERVE, flags, NULL);
    remove(name);
    return good;
}

Test(config, files_are_ini) {
    cr_expect(file_reads("\xef\xbb\xbf[rematd]\nworkers = 3 ; inline\nlisten: [::1]:80\ninsecure=true\n"), "%s",
              why.detail);
    cr_expect(config.workers == 3 && config.port == 80 && config.insecure);
    cr_expect_str_eq(config.address, "::1");
    cr_expect(file_reads("") && file_reads("slot-free-comment-less\n") == false);
    static char long_line[600];
    memset(long_line, 'x', sizeof long_line - 1);
    memcpy(long_line, "\ndata = ", 8);
    static const struct {
        const char *text, *says;
    } rows[] = {{"[rematd]\n\nworker = 3\n", ":3: 'worker' is not a setting"},
                {"workers = 3\n# why\nworkers = 4\n", ":3: 'workers' is given twice"},
                {"allowed-hosts = a,\n  b\n", ":2: 'allowed-hosts' is given twice, or"},
                {"workers = 3\nthreads\n", ":2: is not of the form"},
                {"workers = 65\n", ":1: 65 is not between 0 and 64"},
                {"log-level = loud\n", ":1: 'loud' is not info|warning|error"},
                {"[server]\nworkers = 3\n", ":2: 'server' is not a section"},
                {"config = other.ini\n", ":1: 'config' is not a setting"},
                {"print-config = true\n", ":1: 'print-config' is not a setting"},
                {long_line, ":2: 'data = xxx"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect_not(file_reads(rows[i].text), "%s", rows[i].text);
        cr_expect(strstr(why.detail, rows[i].says), "%s", why.detail);
    }
}

static char *printed(enum config_command command) {
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    config_print(&config, out, command);
    fclose(out);
    return text;
}

/* What is printed says where each value comes from, and is a file that says the same. */
Test(config, prints_itself_as_a_file) {
    char *const environment[] = {"REMATD_THREADS=6", "REMATD_ALLOWED_HOSTS=a.example,b.example", NULL};
    cr_assert(reads(CONFIG_SERVE, "--listen [::1]:81 --upload-limit 3M --log-level warning --insecure", environment));
    const struct config before = config;
    char *text = printed(CONFIG_SERVE);
    static const char *const lines[] = {"listen = [::1]:81                        ; flag --listen\n",
                                        "log-level = warning                      ; flag",
                                        "threads = 6                              ; environment REMATD_THREADS\n",
                                        "insecure = true ",
                                        "workers = 1                              ; default\n",
                                        "allowed-hosts = a.example,b.example      ; env"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_expect(strstr(text, lines[i]), "%s in\n%s", lines[i], text);
    cr_assert(file_reads(text), "%s", why.detail);
    char *again = printed(CONFIG_SERVE);
    cr_expect(strstr(again, "; /tmp/rematd-config-"));
    cr_expect_null(strstr(again, "; default"));
    memset(config.sources, 0, sizeof config.sources);
    struct config first = before;
    memset(first.sources, 0, sizeof first.sources);
    cr_expect_eq(memcmp(&first, &config, sizeof config), 0);
    free(text);
    free(again);
}

Test(config, prints_where_it_listens) {
    static const char *const listens[] = {"unix:/run/a.sock", "127.0.0.1:81,unix:/run/a.sock", "[::1]:81"};
    for (size_t i = 0; i < sizeof listens / sizeof listens[0]; i++) {
        char flags[80], line[80];
        snprintf(flags, sizeof flags, "--listen %s", listens[i]);
        snprintf(line, sizeof line, "listen = %s ", listens[i]);
        cr_assert(reads(CONFIG_SERVE, flags, (char *const[]){NULL}), "%s", why.detail);
        char *text = printed(CONFIG_SERVE);
        cr_expect(strstr(text, line), "%s in\n%s", line, text);
        cr_expect(file_reads(text), "%s", why.detail);
        free(text);
    }
}

Test(config, prints_no_password) {
    static const struct {
        const char *store, *line;
    } rows[] = {{"postgres://a:secret@db/x", "store = postgres://a:***@db/x "},
                {"postgres://a@db:5432/x", "store = postgres://a@db:5432/x "},
                {"postgres://h:5432/db?user=a&password=secret@secret&sslpassword=secret",
                 "store = postgres://h:5432/db?user=a&password=***&sslpassword=*** "},
                {"postgresql://db/x?user=a&password=secret&sslmode=require",
                 "store = postgresql://db/x?user=a&password=***&sslmode=require "}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char flags[120];
        snprintf(flags, sizeof flags, "--store %s", rows[i].store);
        cr_assert(reads(CONFIG_SERVE, flags, (char *const[]){NULL}), "%s", why.detail);
        char *text = printed(CONFIG_SERVE);
        cr_expect(strstr(text, rows[i].line), "%s in\n%s", rows[i].line, text);
        cr_expect_null(strstr(text, "secret"));
        free(text);
    }
}

Test(config, names_stray_variables) {
    char *const environment[] = {"HOME=/",
                                 "REMATD_WORKERS=1",
                                 "REMATD_WORKER=2",
                                 "REMATD_PORT_8740_TCP=tcp://10.0.0.1:80",
                                 "REMATD_SERVICE_HOST=10.0.0.1",
                                 "REMATD_URL=http://a",
                                 "REMATD_=1",
                                 NULL};
    size_t at = 0;
    cr_expect_str_eq(config_stray(environment, &at), "REMATD_WORKER=2");
    cr_expect_str_eq(config_stray(environment, &at), "REMATD_=1");
    cr_expect_null(config_stray(environment, &at));
}

Test(config, listen) {
    static const struct {
        const char *flag, *address;
        unsigned port;
    } good[] = {{"--listen 127.0.0.1:0", "127.0.0.1", 0},
                {"--listen [::1]:80", "::1", 80},
                {"--listen localhost:65535", "127.0.0.1", 65535},
                {"--insecure --listen 0.0.0.0:1", "0.0.0.0", 1}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_assert(reads(CONFIG_SERVE, good[i].flag, NULL), "%s: %s", good[i].flag, why.detail);
        cr_expect_str_eq(config.address, good[i].address);
        cr_expect_eq(config.port, good[i].port);
        cr_expect_str_eq(config.unix_path, "");
    }
    cr_expect(reads(CONFIG_SERVE, "--listen unix:/run/a", NULL) && !*config.address &&
              strcmp(config.unix_path, "/run/a") == 0);
    cr_expect(reads(CONFIG_SERVE, "--listen [::1]:80,unix:/run/a", NULL) && config.port == 80 && *config.unix_path);
    static const char *const bad[] = {"127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:x",
                                      "127.0.0.1:65536",
                                      "::1:80",
                                      "[127.0.0.1]:80",
                                      "example.org:80",
                                      ":80",
                                      "127.0.0.1:-1",
                                      "127.1:80",
                                      "unix:",
                                      "unix:relative",
                                      "127.0.0.1:1,127.0.0.1:2",
                                      "unix:/a,unix:/b",
                                      "127.0.0.1:1,"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char flags[64];
        snprintf(flags, sizeof flags, "--insecure --listen %s", bad[i]);
        cr_expect_not(reads(CONFIG_SERVE, flags, NULL), "%s", bad[i]);
        cr_expect(strstr(why.detail, "--listen"), "%s", why.detail);
    }
}

Test(config, other_machines_need_a_word) {
    char *const meant[] = {"REMATD_INSECURE=1", NULL}, *const not_meant[] = {"REMATD_INSECURE=0", NULL};
    cr_expect_not(reads(CONFIG_SERVE, "--listen 0.0.0.0:80", NULL));
    cr_expect(strstr(why.detail, "--insecure"));
    cr_expect_not(reads(CONFIG_SERVE, "--listen [::]:80", not_meant));
    cr_expect(reads(CONFIG_SERVE, "--listen 0.0.0.0:80", meant));
    cr_expect(config_is_loopback("127.8.0.1") && config_is_loopback("::1") && !config_is_loopback("128.0.0.1"));
}

Test(config, tokens_are_the_word_other_machines_need) {
    char *const environment[] = {"REMATD_TOKENS=/etc/rematd/tokens", NULL};
    cr_expect(reads(CONFIG_SERVE, "--listen 0.0.0.0:80 --tokens t", NULL) && strcmp(config.tokens, "t") == 0);
    cr_expect(reads(CONFIG_SERVE, "--listen 0.0.0.0:80", environment), "%s", why.detail);
    cr_expect_str_eq(config.tokens, "/etc/rematd/tokens");
    cr_expect_not(reads(CONFIG_SERVE, "--listen 0.0.0.0:80 --tokens=", NULL));
    cr_expect(strstr(why.detail, "--tokens"), "%s", why.detail);
}

Test(config, rates) {
    static const struct {
        const char *flags;
        uint64_t per_second, burst;
    } rows[] = {{"", 0, 0},
                {"--tokens t", 500, 1000},
                {"--listen 0.0.0.0:80 --insecure", 500, 1000},
                {"--listen 0.0.0.0:80 --insecure --rate 0", 0, 0},
                {"--tokens t --rate=0", 0, 0},
                {"--rate 5", 5, 10},
                {"--rate 5:1", 5, 1},
                {"--rate 1000000:1000000", 1000000, 1000000}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert(reads(CONFIG_SERVE, rows[i].flags, NULL), "%s: %s", rows[i].flags, why.detail);
        cr_expect_eq(config.rate_per_second, rows[i].per_second, "%s", rows[i].flags);
        cr_expect_eq(config.rate_burst, rows[i].burst, "%s", rows[i].flags);
    }
    static const char *const bad[] = {"x",
                                      "-1",
                                      "5:",
                                      "5:0",
                                      ":5",
                                      "0:5",
                                      "5:x",
                                      "1000001",
                                      "5:1000001",
                                      "5:5:5",
                                      "1.5",
                                      "99999999999999999999",
                                      "0000000000000000000000000000000000000000000000000005"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char flags[128];
        snprintf(flags, sizeof flags, "--rate %s", bad[i]);
        cr_expect_not(reads(CONFIG_SERVE, flags, NULL), "%s", bad[i]);
        cr_expect(strstr(why.detail, "--rate"), "%s", why.detail);
    }
}

Test(config, origins) {
    cr_expect(reads(CONFIG_SERVE, "--allowed-origins https://a.example,http://[::1]:3000,http://b:80", NULL), "%s",
              why.detail);
    static const char *const bad[] = {"*",       "a.example",          "https://",      "https://a.example/",
                                      "ftp://a", "https://A.example",  "https://a?b=c", "https://a,b",
                                      "null",    "https://u@a.example"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char flags[128];
        snprintf(flags, sizeof flags, "--allowed-origins %s", bad[i]);
        cr_expect_not(reads(CONFIG_SERVE, flags, NULL), "%s", bad[i]);
        cr_expect(strstr(why.detail, "--allowed-origins"), "%s", why.detail);
    }
}

Test(config, refuses_in_words) {
    static const struct {
        enum config_command command;
        const char *flags;
        enum problem_kind kind;
    } rows[] = {
        {CONFIG_SERVE, "--nonsense", PROBLEM_UNKNOWN_FIELD},
        {CONFIG_SERVE, "serve", PROBLEM_UNKNOWN_FIELD},
        {CONFIG_SERVE, "-w 1", PROBLEM_UNKNOWN_FIELD},
        {CONFIG_SERVE, "--slot 1", PROBLEM_UNKNOWN_FIELD},
        {CONFIG_WORK, "--listen 127.0.0.1:1", PROBLEM_UNKNOWN_FIELD},
        {CONFIG_SERVE, "--work 1", PROBLEM_UNKNOWN_FIELD},
        {CONFIG_SERVE, "--workers", PROBLEM_MISSING_FIELD},
        {CONFIG_SERVE, "--workers 65", PROBLEM_LIMIT},
        {CONFIG_SERVE, "--workers -1", PROBLEM_MALFORMED},
        {CONFIG_SERVE, "--workers 1.5", PROBLEM_MALFORMED},
        {CONFIG_SERVE, "--workers 1K", PROBLEM_MALFORMED},
        {CONFIG_SERVE, "--workers=", PROBLEM_MALFORMED},
        {CONFIG_SERVE, "--memory-limit 4X", PROBLEM_MALFORMED},
        {CONFIG_SERVE, "--memory-limit 99999999999G", PROBLEM_MALFORMED},
        {CONFIG_SERVE, "--memory-limit 99999999999999999999", PROBLEM_MALFORMED},
        {CONFIG_SERVE, "--upload-limit 0", PROBLEM_LIMIT},
        {CONFIG_SERVE, "--insecure=maybe", PROBLEM_MALFORMED},
        {CONFIG_SERVE, "--log-level debug", PROBLEM_MALFORMED},
        {CONFIG_SERVE, "--log-level info|warning", PROBLEM_MALFORMED},
        {CONFIG_SERVE, "--config /nonexistent/file", PROBLEM_IO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect_not(reads(rows[i].command, rows[i].flags, NULL), "%s", rows[i].flags);
        cr_expect_eq(why.kind, rows[i].kind, "%s: %s", rows[i].flags, why.detail);
    }
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {{"1", 1}, {"2k", 2048}, {"3M", 3 * MIB}, {"3MiB", 3 * MIB}, {"3MB", 3 * MIB}, {"1G", 1024 * MIB}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char flags[64];
        snprintf(flags, sizeof flags, "--upload-limit %s", sizes[i].text);
        cr_expect(reads(CONFIG_SERVE, flags, NULL) && config.upload_limit_bytes == sizes[i].bytes, "%s", flags);
    }
}

Test(config, help_lists_every_flag) {
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    config_help(out, CONFIG_SERVE);
    fclose(out);
    static const char *const flags[] = {
        "--listen",      "--data", "--workers", "--memory-limit", "--config", "--insecure", "REMATD_ALLOWED_HOSTS",
        "127.0.0.1:8740"};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        cr_expect(strstr(text, flags[i]), "%s", flags[i]);
    cr_expect_null(strstr(text, "--slot"));
    free(text);
}

/* ---- memory ---- */

static void root_make(void) {
    snprintf(root, sizeof root, "/tmp/rematd-root-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}

static void root_remove(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    cr_assert_eq(system(command), 0);
}

static void put(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

/* For one worker of one thread. */
static uint64_t jobs_bytes(uint64_t wanted_bytes, const char *at) {
    return config_memory_find(wanted_bytes, 1, 1, at).jobs_bytes;
}

Test(config, memory_limit_v2, .init = root_make, .fini = root_remove) {
    put("/proc/meminfo", "MemTotal: 4194304 kB\nMemAvailable:    2097152 kB\n");
    cr_expect_eq(jobs_bytes(0, root), (2048 - 256 - 8) * MIB); /* no cgroup: what is available, less front and worker */
    cr_expect_eq(jobs_bytes(4096 * MIB, root), 4096 * MIB);    /* who says how much is believed, */
    cr_expect_eq(config_memory_find(4096 * MIB, 1, 1, root).front_bytes, 256 * MIB); /* and the front is as it was */
    put("/proc/self/cgroup", "0::/a/b/c\n");
    cr_expect_eq(jobs_bytes(0, root), (2048 - 256 - 8) * MIB);
    put("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
    put("/sys/fs/cgroup/a/memory.max", "1073741824\n");
    put("/sys/fs/cgroup/a/b/memory.max", "536870912\n");
    cr_expect_eq(jobs_bytes(0, root), (512 - 128 - 8) * MIB); /* the smallest on the path */
    cr_expect_eq(jobs_bytes(100 * MIB, root), 100 * MIB);
    cr_expect_eq(jobs_bytes(4096 * MIB, root), (512 - 128 - 8) * MIB); /* asking for more does not make it so */
    put("/sys/fs/cgroup/a/b/c/memory.max", "104857600\n");
    cr_expect_eq(jobs_bytes(0, root), (75 - 8) * MIB); /* of a small one the front takes a quarter */
}

Test(config, memory_limit_in_a_container, .init = root_make, .fini = root_remove) {
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "268435456\n");
    cr_expect_eq(jobs_bytes(0, root), (256 - 64 - 8) * MIB);
}

Test(config, memory_limit_v1, .init = root_make, .fini = root_remove) {
    put("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/x\n");
    put("/proc/meminfo", "MemAvailable:    2097152 kB\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); /* v1's word for none */
    cr_expect_eq(jobs_bytes(0, root), (2048 - 256 - 8) * MIB);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"); /* the path is the host's, the mount is ours */
    cr_expect_eq(jobs_bytes(0, root), (512 - 128 - 8) * MIB);
    put("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "335544320\n");
    cr_expect_eq(jobs_bytes(0, root), (320 - 80 - 8) * MIB);
}

/* Front, idle workers and jobs together are what there is, whatever that is; many workers leave nothing over. */
Test(config, memory_adds_up, .init = root_make, .fini = root_remove) {
    static const uint64_t totals[] = {64, 256, 512, 2048, 65536};
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++)
        for (uint64_t workers = 0; workers <= 64; workers += 8)
            for (uint64_t threads = 1; threads <= 16; threads *= 4) {
                char text[64];
                snprintf(text, sizeof text, "MemAvailable: %llu kB\n", (unsigned long long)totals[i] * 1024);
                put("/proc/meminfo", text);
                struct config_memory m = config_memory_find(0, workers, threads, root);
                uint64_t around = m.front_bytes + workers * CONFIG_WORKER_BYTES(threads);
                cr_expect_eq(m.jobs_bytes, around < totals[i] * MIB ? totals[i] * MIB - around : 0);
                cr_expect_geq(m.front_bytes, totals[i] * MIB / 64);
            }
}
