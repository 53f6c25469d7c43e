/* log.c - see log.h */
#include "server/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_BYTES 1000
#define LINE_BYTES    (6 * MESSAGE_BYTES + 256)

static const char *const level_names[] = {[LOG_INFO] = "info", [LOG_WARNING] = "warning", [LOG_ERROR] = "error"};
static atomic_int least = LOG_INFO;

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

void log_event(enum log_level level, const char *event, const char *format, ...) {
    if ((int)level < least)
        return;
    int saved = errno;
    char message[MESSAGE_BYTES], escaped[6 * MESSAGE_BYTES + 1], line[LINE_BYTES], stamp[40];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &parts);
    json_escape(escaped, message);
    int n = isatty(STDERR_FILENO)
                ? snprintf(line, sizeof line, "%s %-7s %s: %s\n", stamp + 11, level_names[level], event, escaped)
                : snprintf(line, sizeof line,
                           "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"event\":\"%s\",\"pid\":%d,\"message\":\"%s\"}\n",
                           stamp, now.tv_nsec / 1000000, level_names[level], event, (int)getpid(), escaped);
    ssize_t written = write(STDERR_FILENO, line, (size_t)n);
    (void)written; /* nobody to tell */
    errno = saved;
}
