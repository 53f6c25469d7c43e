/* log.c - see log.h. Every line passes through one buffer under one lock, so that lines stay in order and whole. */
#include "server/log.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_BYTES 1000
#define HEAD_BYTES    250 /* before the message: event names are static and short */
#define CONTEXT_BYTES 240 /* after it */
#define LINE_BYTES    (6 * MESSAGE_BYTES + HEAD_BYTES + CONTEXT_BYTES + 6)
#define BUFFER_BYTES  (64u << 10) /* some 300 requests */

static const char *const level_names[] = {[LOG_INFO] = "info", [LOG_WARNING] = "warning", [LOG_ERROR] = "error"};
static atomic_int least = LOG_INFO;
static _Thread_local const char *context_request, *context_trace;

static struct {
    pthread_mutex_t lock; /* for all below */
    size_t bytes;
    bool people; /* stderr is a terminal */
    time_t second;
    char stamp[40]; /* of that second: making it takes longer than the rest of a line */
    char pid[16];
    char text[BUFFER_BYTES];
} buffer = {.lock = PTHREAD_MUTEX_INITIALIZER, .second = -1};

void log_least(enum log_level level) {
    least = (int)level;
}

/* Bytes beyond ASCII pass as they are: messages are UTF-8, or a path that was none to begin with. */
static size_t json_escape(char *out, const char *text) {
    size_t n = 0;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            out[n++] = '\\';
        if (c < 0x20 || c == 0x7f)
            n += (size_t)sprintf(out + n, "\\u%04x", c);
        else
            out[n++] = (char)c;
    }
    out[n] = '\0';
    return n;
}

/* ---- under the lock ---- */

/* The end of the last line that ends before limit; of the first line where that is longer. */
static size_t lines_end(const char *text, size_t bytes, size_t limit) {
    const char *end = memrchr(text, '\n', bytes < limit ? bytes : limit);
    if (!end)
        end = memchr(text, '\n', bytes);
    return end ? (size_t)(end + 1 - text) : bytes;
}

/* The workers write to the same pipe: what is within PIPE_BUF is not mixed with their lines. */
static void flush(void) {
    for (size_t at = 0; at < buffer.bytes;) {
        size_t n = lines_end(buffer.text + at, buffer.bytes - at, PIPE_BUF);
        ssize_t written = write(STDERR_FILENO, buffer.text + at, n);
        (void)written; /* nobody to tell */
        at += n;
    }
    buffer.bytes = 0;
}

static void second_set(time_t second) {
    struct tm parts;
    buffer.people = isatty(STDERR_FILENO);
    buffer.second = second;
    gmtime_r(&second, &parts);
    strftime(buffer.stamp, sizeof buffer.stamp, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(buffer.pid, sizeof buffer.pid, "%d", (int)getpid());
}

/* What printf would write, in a tenth of its time: there is a line for every request. */
static char *head_put(char *at, enum log_level level, const char *event, unsigned ms) {
    const char millis[] = {(char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), '\0'};
    const char *const people[] = {buffer.stamp + 11, " ", level_names[level], " ", event, ": ", NULL};
    const char *const programs[] = {
        "{\"time\":\"",    buffer.stamp, ".",           millis,     "Z\",\"level\":\"", level_names[level],
        "\",\"event\":\"", event,        "\",\"pid\":", buffer.pid, ",\"message\":\"",  NULL};
    for (const char *const *piece = buffer.people ? people : programs; *piece; piece++)
        at = stpcpy(at, *piece);
    return at;
}

static char *context_put(char *at) {
    const char *const pieces[] = {context_request ? "\",\"request_id\":\"" : "", context_request ? context_request : "",
                                  context_trace ? "\",\"trace_id\":\"" : "", context_trace ? context_trace : ""};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        at = stpcpy(at, pieces[i]);
    return at;
}

static void line_add(enum log_level level, const char *event, const char *message) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != buffer.second)
        second_set(now.tv_sec);
    if (buffer.bytes + LINE_BYTES > BUFFER_BYTES)
        flush();
    char *at = head_put(buffer.text + buffer.bytes, level, event, (unsigned)(now.tv_nsec / 1000000));
    at += json_escape(at, message);
    at = stpcpy(buffer.people ? at : context_put(at), buffer.people ? "\n" : "\"}\n");
    buffer.bytes = (size_t)(at - buffer.text);
}

/* message: at most MESSAGE_BYTES - 1 */
static void line_log(enum log_level level, bool at_once, const char *event, const char *message) {
    pthread_mutex_lock(&buffer.lock);
    line_add(level, event, message);
    if (at_once || buffer.people)
        flush();
    pthread_mutex_unlock(&buffer.lock);
}

/* ---- for everybody ---- */

void log_context(const char *request_id, const char *trace_id) {
    context_request = request_id;
    context_trace = trace_id;
}

void log_event(enum log_level level, const char *event, const char *format, ...) {
    if ((int)level < least)
        return;
    int saved = errno;
    char message[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    line_log(level, true, event, message);
    errno = saved;
}

void log_often(const char *event, const char *message) {
    int saved = errno;
    if ((int)LOG_INFO >= least && strlen(message) < MESSAGE_BYTES)
        line_log(LOG_INFO, false, event, message);
    errno = saved;
}

void log_flush(void) {
    int saved = errno;
    pthread_mutex_lock(&buffer.lock);
    flush();
    pthread_mutex_unlock(&buffer.lock);
    errno = saved;
}
