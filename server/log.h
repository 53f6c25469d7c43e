/* log.h - one line per event on stderr: for people on a terminal, JSON lines elsewhere. Never a body, never a token.
 *
 * Any thread; lines do not mix, a write ends with a whole line. */
#ifndef REMATD_SERVER_LOG_H
#define REMATD_SERVER_LOG_H

enum log_level { LOG_INFO, LOG_WARNING, LOG_ERROR };

/* event: "worker.died" and the like, static. The message is one sentence, cut at 1000 bytes. */
void log_event(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* LOG_INFO for what happens thousands of times a second: a message of less than 1000 bytes as it is. Such lines are
 * written together: before the next log_event, at the next log_flush, or when there are many. On a terminal at once. */
void log_often(const char *event, const char *message);
void log_flush(void);

/* What the lines of this thread belong to from now on, in JSON "request_id" and "trace_id"; NULL: nothing. Borrowed.
 * Characters that JSON would escape, and more than 128 of them, are the caller's defect. */
void log_context(const char *request_id, const char *trace_id);

/* Which events are written from now on: those of this level and above. At start: all. */
void log_least(enum log_level level);

#endif
