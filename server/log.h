/* log.h - one line per event on stderr: for people on a terminal, JSON lines elsewhere. Never a body, never a token.
 *
 * Any thread; lines do not mix, each is one write. */
#ifndef REMATD_SERVER_LOG_H
#define REMATD_SERVER_LOG_H

enum log_level { LOG_INFO, LOG_WARNING, LOG_ERROR };

/* event: "worker.died" and the like, static. The message is one sentence, cut at 1000 bytes. */
void log_event(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Which events are written from now on: those of this level and above. At start: all. */
void log_least(enum log_level level);

#endif
