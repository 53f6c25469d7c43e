/* test_http_listen.c - sockets in files, handed over and under TLS; lanes for what takes long; limits of one address.
 */
#include "tests/http_front.h"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/un.h>

#define TLS_FILES   "tests/data/tls/"
#define GET(PATH)   "GET " PATH " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
#define PATIENCE_MS 5000

static bool becomes(atomic_uint *what, unsigned n) {
    for (uint64_t until = now_ns() + PATIENCE_MS * 1000000ull; *what != n && now_ns() < until;)
        usleep(2000);
    return *what == n;
}

/* ---- lanes ---- */

static void start_two_threads(void) {
    front_start((struct http_options){.planning_threads = 2, .planning_queue = 2});
}

static int long_ask(void) {
    int fd = dial();
    say(fd, GET("/long"));
    return fd;
}

/* Asks until there is no room, so that lane and queue are full. */
static unsigned fill(int *fds) {
    bool closed;
    for (unsigned i = 0; i < 2; i++)
        fds[i] = long_ask();
    cr_assert(becomes(&longs_begun, 2));
    for (unsigned i = 2; i < 4; i++) {
        fds[i] = long_ask();
        hear(fds[i], 100, &closed); /* in the queue by then: says nothing */
        cr_expect_not(closed);
    }
    return 4;
}

Test(http, long_handlers_keep_nobody_else, .init = start_two_threads, .fini = stop) {
    int fds[4];
    bool closed;
    unsigned n = fill(fds);
    for (int i = 0; i < 20; i++) {
        const uint64_t before = now_ns();
        cr_expect_eq(ask_end("GET /healthz HTTP/1.1", ""), 200);
        cr_expect_eq(ask_end("GET /long?short=1 HTTP/1.1", ""), 200, "what is not long is not queued");
        cr_expect_lt(now_ns() - before, 2000000000u);
    }
    cr_expect_eq(ask_end("GET /long HTTP/1.1", ""), 503);
    cr_expect(strstr(answer, "Retry-After: ") && strstr(answer, "take long"), "%s", answer);
    cr_expect_eq(longs_begun, 2);
    longs_end = true;
    for (unsigned i = 0; i < n; i++) {
        hear(fds[i], PATIENCE_MS, &closed);
        cr_expect(closed && strstr(answer, "long answer"), "%u: %s", i, answer);
        close(fds[i]);
    }
    cr_expect_eq(longs_begun, 4);
    cr_expect_eq(ask_end("GET /long?fail=1 HTTP/1.1", ""), 422, "problems come from there too");
    cr_expect_eq(ask_end("GET /long?wait=50 HTTP/1.1", ""), 200, "and waits");
    cr_expect_str_eq(body_of(answer), "finished 0");
}

Test(http, who_leaves_the_queue_is_not_worked_for, .init = start_two_threads, .fini = stop) {
    int fds[4];
    bool closed;
    fill(fds);
    close(fds[2]);
    close(fds[3]);
    longs_end = true;
    for (unsigned i = 0; i < 2; i++) {
        hear(fds[i], PATIENCE_MS, &closed);
        cr_expect(strstr(answer, "long answer"));
        close(fds[i]);
    }
    cr_expect_eq(ask_end("GET /long HTTP/1.1", ""), 200);
    cr_expect_eq(longs_begun, 3, "%u", longs_begun);
}

static void *end_longs(void *arg) {
    usleep(200000);
    longs_end = true;
    return arg;
}

Test(http, closing_waits_for_long_handlers) {
    int fds[4];
    bool closed;
    pthread_t thread;
    start_two_threads();
    fill(fds);
    cr_assert_eq(pthread_create(&thread, NULL, end_longs, NULL), 0);
    http_close(http);
    http = NULL;
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < 4; i++) {
        hear(fds[i], PATIENCE_MS, &closed);
        cr_expect_eq(status_of(answer), i < 2 ? 200 : 503, "%u: %s", i, answer);
        cr_expect(i < 2 || strstr(answer, "stopping"), "%s", answer);
        close(fds[i]);
    }
    stop();
}

static void start_many(void) {
    front_start((struct http_options){.connections = 128, .connections_per_address = 128});
}

/* A body of n bytes to who files it; n - 1 spaces and a nought. */
static int file_ask(size_t n) {
    char *text;
    int fd = dial();
    cr_assert_gt(
        asprintf(&text,
                 "POST /long HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json"
                 "\r\nContent-Length: %zu\r\n\r\n%*d",
                 n, (int)n, 0),
        0);
    say(fd, text);
    free(text);
    return fd;
}

static unsigned hear_all(const int *fds, unsigned n, unsigned *refused) {
    unsigned good = 0;
    bool closed;
    *refused = 0;
    for (unsigned i = 0; i < n; i++) {
        hear(fds[i], PATIENCE_MS, &closed);
        good += status_of(answer) == 200;
        *refused += status_of(answer) == 503 && strstr(answer, "Retry-After: ");
        close(fds[i]);
    }
    return good;
}

Test(http, who_is_connected_may_wait_to_file, .init = start_many, .fini = stop) {
    enum { N = 120 };
    int fds[N];
    unsigned refused;
    bool closed;
    for (unsigned i = 0; i < N; i++)
        fds[i] = file_ask(2);
    cr_assert(becomes(&longs_begun, 8));
    hear(fds[N - 1], 100, &closed);
    cr_expect_not(closed, "%s", answer);
    longs_end = true;
    cr_expect_eq(hear_all(fds, N, &refused), N);
    cr_expect_eq(refused, 0);
}

Test(http, bodies_that_wait_to_be_filed_have_a_bound, .init = start_many, .fini = stop) {
    enum { N = 60 };
    int fds[N];
    struct pollfd first[N];
    unsigned refused;
    for (unsigned i = 0; i < N; i++)
        first[i] = (struct pollfd){.fd = fds[i] = file_ask(MEBIBYTE - 1), .events = POLLIN};
    cr_assert_gt(poll(first, N, PATIENCE_MS), 0, "nobody was refused");
    longs_end = true;
    unsigned good = hear_all(fds, N, &refused);
    cr_expect(good >= 24 && refused > 0 && good + refused == N, "%u, %u refused", good, refused);
}

static void start_impatient(void) {
    front_start((struct http_options){.filing_patience_ms = 300});
}

Test(http, who_waits_to_file_is_sent_away_in_time, .init = start_impatient, .fini = stop) {
    enum { AT_WORK = 8, N = 11 };
    int fds[N];
    bool closed;
    unsigned refused;
    for (unsigned i = 0; i < N; i++) {
        fds[i] = file_ask(2);
        cr_assert(i >= AT_WORK || becomes(&longs_begun, i + 1));
    }
    for (unsigned i = AT_WORK; i < N; i++) { /* those before them work on */
        hear(fds[i], PATIENCE_MS, &closed);
        cr_expect(status_of(answer) == 503 && strstr(answer, "Retry-After: "), "%s", answer);
        close(fds[i]);
    }
    longs_end = true;
    cr_expect_eq(hear_all(fds, AT_WORK, &refused), AT_WORK);
    cr_expect_eq(ask_end("GET /long?wait=1 HTTP/1.1", ""), 200);
}

/* ---- one address ---- */

static void start_two_each(void) {
    front_start((struct http_options){.connections = 16, .connections_per_address = 2});
}

static int dial_from(const char *source) {
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(http_port(http))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, source, &from.sin_addr);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    cr_assert_eq(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static unsigned ask_from(const char *source, const char *text, bool *closed) {
    int fd = dial_from(source);
    say(fd, text);
    hear(fd, PATIENCE_MS, closed);
    close(fd);
    return status_of(answer);
}

Test(http, one_address_has_so_many_connections, .init = start_two_each, .fini = stop) {
    int idle[4];
    bool closed;
    for (int i = 0; i < 2; i++) {
        idle[i] = dial_from("127.0.0.2");
        say(idle[i], "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
        hear(idle[i], 300, &closed);
        cr_expect(status_of(answer) == 200 && !closed);
    }
    cr_expect_eq(ask_from("127.0.0.2", GET("/hello"), &closed), 503);
    cr_expect(strstr(answer, "one address") && strstr(answer, "Retry-After: "), "%s", answer);
    cr_expect_eq(ask_from("127.0.0.2", GET("/healthz"), &closed), 200);
    cr_expect_eq(ask_from("127.0.0.3", GET("/hello"), &closed), 200, "another one is not told for it");
    for (int i = 2; i < 4; i++) { /* taken to hear 503, and say nothing */
        idle[i] = dial_from("127.0.0.2");
        hear(idle[i], 50, &closed);
    }
    cr_expect_eq(ask_from("127.0.0.2", GET("/healthz"), &closed), 0, "beyond twice as many none is taken");
    cr_expect(closed);
    hear(idle[2], PATIENCE_MS, &closed);
    cr_expect(closed, "the silent ones have 2 s");
    for (int i = 0; i < 4; i++)
        close(idle[i]);
}

/* ---- files ---- */

static char path[96];

static void path_make(void) {
    char made[] = "/tmp/rematd-listen-XXXXXX";
    cr_assert_not_null(mkdtemp(made));
    snprintf(path, sizeof path, "%s/socket", made);
}

static void path_remove(void) {
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

static int dial_path(void) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(to.sun_path, path);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* What http_open says of options that it refuses. */
static const char *refusal(struct http_options options) {
    static struct problem why;
    why = (struct problem){0};
    options.tables = tables;
    options.service = &service;
    options.connections = 8;
    struct http *second = http_open(&options, &why);
    cr_expect_null(second);
    http_close(second);
    return why.detail;
}

Test(http, listens_on_a_file, .init = path_make, .fini = path_remove) {
    bool closed;
    struct stat file;
    front_start((struct http_options){.address = "127.0.0.1", .unix_path = path});
    cr_assert_eq(stat(path, &file), 0);
    cr_expect_eq(file.st_mode & 0777, 0600);
    cr_expect(strncmp(http_url(http, 0), "http://127.0.0.1:", 17) == 0);
    cr_expect(strncmp(http_url(http, 1), "unix:/", 6) == 0 && http_url(http, 2) == NULL);
    static const struct {
        const char *host;
        unsigned status;
    } rows[] = {{"localhost", 200}, {"elsewhere.example", 421}};
    for (size_t i = 0; i < 2; i++) {
        char text[128];
        snprintf(text, sizeof text, "GET /hello HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", rows[i].host);
        int fd = dial_path();
        say(fd, text);
        hear(fd, PATIENCE_MS, &closed);
        cr_expect_eq(status_of(answer), rows[i].status, "%s", answer);
        close(fd);
    }
    cr_expect_eq(ask_end("GET /hello HTTP/1.1", ""), 200, "TCP beside it");
    const char *said = refusal((struct http_options){.unix_path = path});
    cr_expect(strstr(said, "another process listens") && strstr(said, "--listen"), "%s", said);
    int fd = dial_path(); /* it is still there */
    close(fd);
    stop();
    cr_expect(stat(path, &file) != 0, "the file goes with its daemon");
}

Test(http, takes_the_place_of_a_dead_daemon, .init = path_make, .fini = path_remove) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    bool closed;
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(at.sun_path, path);
    cr_assert_eq(bind(dead, (struct sockaddr *)&at, sizeof at), 0);
    close(dead);
    front_start((struct http_options){.address = "", .unix_path = path});
    int fd = dial_path();
    say(fd, GET("/hello"));
    hear(fd, PATIENCE_MS, &closed);
    cr_expect_eq(status_of(answer), 200);
    close(fd);
    stop();
    close(open(path, O_CREAT | O_WRONLY, 0600));
    const char *said = refusal((struct http_options){.unix_path = path});
    cr_expect(strstr(said, "no socket"), "%s", said);
    struct stat file;
    cr_expect_eq(stat(path, &file), 0, "what is not ours stays");
}

/* ---- TLS: what a handshake then does is for tests/e2e/listeners.sh ---- */

Test(http, certificates_are_looked_at_before_anything_is_served) {
    static const struct {
        const char *certificate, *key, *says, *and;
    } rows[] = {
        {TLS_FILES "server.pem", "", "--tls-key", "needed"},
        {"", TLS_FILES "server.key", "--tls-cert", "needed"},
        {"/nonexistent", TLS_FILES "server.key", "--tls-cert", "cannot read"},
        {TLS_FILES "server.pem", "/nonexistent", "--tls-key", "cannot read"},
        {"/dev/null", TLS_FILES "server.key", "--tls-cert", "cannot read"},
        {TLS_FILES "server.key", TLS_FILES "server.key", "--tls-cert", "no PEM certificate"},
        {TLS_FILES "server.pem", TLS_FILES "server.pem", "--tls-key", "no PEM key"},
        {TLS_FILES "server.pem", TLS_FILES "other.key", "--tls-key", "is not the key"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *said = refusal((struct http_options){
            .address = "127.0.0.1", .tls_certificate = rows[i].certificate, .tls_key = rows[i].key});
        cr_expect(strstr(said, rows[i].says) && strstr(said, rows[i].and), "%zu: %s", i, said);
    }
}

/* What new connections are shown then is for tests/e2e/listeners.sh too. */
Test(http, certificates_are_read_again) {
    char place[] = "/tmp/rematd-tls-XXXXXX", certificate[40], key[40], command[200];
    struct problem why = {0};
    cr_assert(mkdtemp(place));
    snprintf(certificate, sizeof certificate, "%s/pem", place);
    snprintf(key, sizeof key, "%s/key", place);
#define PAIR(CERTIFICATE, KEY)                                                                                         \
    snprintf(command, sizeof command, "cp " TLS_FILES CERTIFICATE " %s && cp " TLS_FILES KEY " %s", certificate, key); \
    cr_assert_eq(system(command), 0)
    PAIR("server.pem", "server.key");
    front_start((struct http_options){.grace_ms = 500, .tls_certificate = certificate, .tls_key = key});
    cr_expect(http_tls_reread(http, &why), "the same again: %s", why.detail);
    PAIR("server.pem", "other.key");
    cr_expect_not(http_tls_reread(http, &why));
    cr_expect(strstr(why.detail, "--tls-key"), "%s", why.detail);
    PAIR("other.pem", "other.key");
    why = (struct problem){0};
    cr_expect(http_tls_reread(http, &why), "%s", why.detail);
    stop();
    snprintf(command, sizeof command, "rm -r %s", place);
    cr_assert_eq(system(command), 0);
#undef PAIR
}

static void start_tls(void) {
    front_start((struct http_options){
        .grace_ms = 500, .tls_certificate = TLS_FILES "server.pem", .tls_key = TLS_FILES "server.key"});
}

Test(http, tls_hears_nothing_else_and_has_deadlines, .init = start_tls, .fini = stop) {
    bool closed;
    cr_expect(strncmp(http_url(http, 0), "https://127.0.0.1:", 18) == 0);
    ask(GET("/hello"), &closed);
    cr_expect_not(strstr(answer, "hello /"), "%s", answer);
    int silent = dial(), slow = dial();
    say_bytes(slow, "\x16\x03\x01\x02\x00\x01", 6); /* the beginning of a handshake, and no more */
    hear(silent, PATIENCE_MS, &closed);
    cr_expect(closed, "who connects and never speaks is cut");
    hear(slow, PATIENCE_MS, &closed);
    cr_expect(closed, "who begins a handshake and does not go on is cut");
    close(silent);
    close(slow);
}
