/* test_trace.c - request ids and traceparent: what is taken, what is not, what is made; and that log lines carry them.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/log.h"
#include "server/trace.h"

Test(trace, request_ids) {
    char longest[TRACE_REQUEST_ID_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[TRACE_REQUEST_ID_MAX + 1] = '\0';
    cr_expect_not(trace_request_id_valid(longest));
    longest[TRACE_REQUEST_ID_MAX] = '\0';
    cr_expect(trace_request_id_valid(longest));
    static const char *const good[] = {"a", "0198b2f0-7c1e-7abc-8def-000000000001", "Root=1-67891233-abcdef",
                                       "a/b:c~d.e_f+g@h"};
    static const char *const bad[] = {"", " ", "a b", "a\"b", "a\\b", "a\nb", "\x7f", "\xc3\xa9", "{}", "a;b", "a,b"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect(trace_request_id_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(trace_request_id_valid(bad[i]), "%zu", i);
}

Test(trace, made_ids_differ) {
    enum { N = 1000 };
    static char ids[N][TRACE_ID_SIZE];
    for (int i = 0; i < N; i++) {
        trace_request_id_make(ids[i]);
        cr_assert(trace_request_id_valid(ids[i]) && strlen(ids[i]) == 32);
        for (int j = 0; j < i; j++)
            cr_assert_str_neq(ids[i], ids[j]);
    }
}

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN  "b7ad6b7169203331"

Test(trace, traceparent) {
    static const struct {
        const char *header;
        bool taken;
    } rows[] = {
        {"00-" TRACE "-" SPAN "-01", true},
        {"00-" TRACE "-" SPAN "-00", true},
        {"00-" TRACE "-" SPAN "-ff", true}, /* flags nobody knows are none to us */
        {"cc-" TRACE "-" SPAN "-01", true}, /* a later version */
        {"cc-" TRACE "-" SPAN "-01-what-comes", true},
        {"cc-" TRACE "-" SPAN "-01.what-comes", false},
        {"00-" TRACE "-" SPAN "-01-more", false},
        {"00-" TRACE "-" SPAN "-01-", false},
        {"00-" TRACE "-" SPAN "-0", false},
        {"00-" TRACE "-" SPAN "-", false},
        {"00-" TRACE "-" SPAN, false},
        {"ff-" TRACE "-" SPAN "-01", false},
        {"0-" TRACE "-" SPAN "-01a", false},
        {"00-00000000000000000000000000000000-" SPAN "-01", false},
        {"00-" TRACE "-0000000000000000-01", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", false},
        {"00-" TRACE "-B7AD6B7169203331-01", false},
        {"00-" TRACE "-" SPAN "-0G", false},
        {"0G-" TRACE "-" SPAN "-01", false},
        {"00_" TRACE "-" SPAN "-01", false},
        {" 00-" TRACE "-" SPAN "-01", false},
        {"00-" TRACE "0-" SPAN "-01", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char id[TRACE_ID_SIZE] = "";
        cr_expect_eq(trace_parent_read(rows[i].header, id), rows[i].taken, "%s", rows[i].header);
        cr_expect_str_eq(id, rows[i].taken ? TRACE : "", "%s", rows[i].header);
    }
}

/* What a function logs, as programs read it. */
static void logged(void (*speak)(void), char *text, size_t room) {
    int ends[2], before = dup(STDERR_FILENO);
    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    speak();
    log_flush();
    dup2(before, STDERR_FILENO);
    close(before);
    close(ends[1]);
    ssize_t n = read(ends[0], text, room - 1);
    text[n > 0 ? n : 0] = '\0';
    close(ends[0]);
}

static void speak_in_context(void) {
    log_event(LOG_INFO, "test.before", "a \"%s\"", "word\n");
    log_context("id-1", TRACE);
    log_event(LOG_WARNING, "test.both", "b");
    log_context("id-2", NULL);
    log_often("test.one", "c");
    log_context(NULL, NULL);
    log_event(LOG_ERROR, "test.after", "d");
    log_least(LOG_ERROR);
    log_event(LOG_WARNING, "test.unsaid", "e");
    log_often("test.unsaid", "f");
}

Test(trace, lines_carry_their_context) {
    static const char *const lines[] = {"\"event\":\"test.before\",",
                                        "\"message\":\"a \\\"word\\u000a\\\"\"}\n",
                                        "\"level\":\"warning\",\"event\":\"test.both\",",
                                        "\"message\":\"b\",\"request_id\":\"id-1\",\"trace_id\":\"" TRACE "\"}\n",
                                        "\"message\":\"c\",\"request_id\":\"id-2\"}\n",
                                        "\"message\":\"d\"}\n"};
    char text[4096];
    logged(speak_in_context, text, sizeof text);
    const char *at = text;
    for (size_t i = 0; at && i < sizeof lines / sizeof lines[0]; i++) { /* in this order */
        at = strstr(at, lines[i]);
        cr_expect(at, "%s in\n%s", lines[i], text);
    }
    cr_expect_null(strstr(text, "unsaid"));
}
