/* test_http_stream.c - answers that are sent as they come: they hold no thread, and end with their job, their client or
 * the daemon. */
#include "tests/http_front.h"

#define STREAM "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n"

static int stream_open(const char *text) {
    int fd = dial();
    say(fd, text);
    return fd;
}

static bool streams_become(unsigned n, unsigned ms) {
    for (uint64_t until = now_ns() + ms * 1000000ull; streams != n && now_ns() < until;)
        usleep(5000);
    return streams == n;
}

/* Patience is for the others: these are cut after 300 ms without progress. */
static void start_few(void) {
    front_start((struct http_options){.connections = 8, .grace_ms = 300, .least_bytes_per_second = 16u << 20});
}

Test(http, a_stream_is_sent_as_it_comes, .init = start, .fini = stop) {
    bool closed;
    int fd = stream_open(STREAM);
    hear(fd, 100, &closed);
    cr_expect_eq(status_of(answer), 200, "the headers do not wait");
    cr_expect(strstr(answer, "Transfer-Encoding: chunked"));
    cr_expect_not(closed);
    for (unsigned i = 1; i <= 2; i++) {
        told = i;
        cr_expect(hear(fd, 150, &closed) > 0 && !closed, "%u", i);
        cr_expect(strstr(answer, i == 1 ? "piece 1\n" : "piece 2\n"), "%s", answer);
    }
    told = 3;
    hear(fd, 2000, &closed);
    cr_expect(closed && strstr(answer, "piece 3\n") && strstr(answer, "\r\n0\r\n\r\n"), "%s", answer);
    cr_expect(streams_become(0, 1000));
    close(fd);
}

Test(http, many_streams_hold_no_thread, .init = start, .fini = stop) {
    int fds[16];
    bool closed;
    for (int i = 0; i < 16; i++)
        fds[i] = stream_open(STREAM);
    cr_expect(streams_become(16, 2000));
    cr_expect_eq(ask_end("GET /hello HTTP/1.1", ""), 200);
    told = 3;
    for (int i = 0; i < 16; i++) {
        hear(fds[i], 2000, &closed);
        cr_expect(closed && strstr(answer, "piece 3"), "%d: %s", i, answer);
        close(fds[i]);
    }
}

Test(http, too_many_streams_hear_503, .init = start_few, .fini = stop) {
    int fds[4];
    for (int i = 0; i < 4; i++)
        fds[i] = stream_open(STREAM);
    cr_expect(streams_become(4, 2000));
    cr_expect_eq(ask_end("GET /stream HTTP/1.1", ""), 503);
    cr_expect(strstr(answer, "Retry-After: ") && strstr(answer, "streams"), "%s", answer);
    cr_expect_eq(ask_end("GET /hello HTTP/1.1", ""), 200);
    close(fds[0]);
    cr_expect(streams_become(3, 2000), "its client has left");
    told = 3;
    cr_expect_eq(ask_end("GET /stream HTTP/1.1", ""), 200);
    for (int i = 1; i < 4; i++)
        close(fds[i]);
}

Test(http, a_stream_outlives_every_deadline_while_it_has_nothing, .init = start_few, .fini = stop) {
    bool closed;
    int fd = stream_open(STREAM);
    hear(fd, 1000, &closed);
    cr_expect_not(closed);
    told = 3;
    hear(fd, 1000, &closed);
    cr_expect(closed && strstr(answer, "piece 3"));
    close(fd);
}

Test(http, a_stream_says_that_it_lives, .init = start, .fini = stop) {
    bool closed;
    int fd = stream_open("GET /stream?ping=50 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    hear(fd, 300, &closed);
    cr_expect(strstr(answer, "ping\n"), "%s", answer);
    close(fd);
    cr_expect(streams_become(0, 2000));
}

Test(http, who_does_not_read_a_stream_is_cut, .init = start_few, .fini = stop) {
    told = 1;
    int fd = stream_open("GET /stream?big HTTP/1.1\r\nHost: localhost\r\n\r\n");
    cr_expect(streams_become(1, 1000));
    cr_expect(streams_become(0, 5000));
    close(fd);
}

Test(http, a_stream_that_fails_is_cut_off, .init = start, .fini = stop) {
    bool closed;
    told = 2;
    int fd = stream_open("GET /stream?broken HTTP/1.1\r\nHost: localhost\r\n\r\n");
    hear(fd, 2000, &closed);
    cr_expect(closed && strstr(answer, "piece 1") && !strstr(answer, "\r\n0\r\n"), "%s", answer);
    close(fd);
}

Test(http, head_of_a_stream_ends_at_once, .init = start, .fini = stop) {
    cr_expect_eq(ask_end("HEAD /stream HTTP/1.1", ""), 200);
    cr_expect(streams_become(0, 1000));
}

Test(http, closing_ends_streams) {
    bool closed;
    start();
    int fd = stream_open(STREAM);
    cr_expect(streams_become(1, 1000));
    uint64_t before = now_ns();
    http_close(http);
    http = NULL;
    cr_expect_lt(now_ns() - before, 1500000000u);
    hear(fd, 1000, &closed);
    cr_expect(closed && strstr(answer, "\r\n0\r\n"), "%s", answer);
    cr_expect_eq(streams, 0);
    close(fd);
    stop();
}

/* Streams that begin, say something, and are left, all at once. */
Test(http, streams_that_are_left, .init = start, .fini = stop) {
    for (int round = 0; round < 40; round++) {
        int fds[8];
        told = 0;
        for (int i = 0; i < 8; i++)
            fds[i] = stream_open(STREAM);
        usleep(1000u * (unsigned)(round % 8));
        told = (unsigned)round % 4;
        for (int i = 0; i < 8; i++)
            close(fds[i]);
    }
    cr_expect(streams_become(0, 5000));
    told = 3;
    cr_expect_eq(ask_end("GET /stream HTTP/1.1", ""), 200);
}
