/* clock.h - the clock that never goes back, for what is waited for and what is measured. */
#ifndef REMATD_SERVER_CLOCK_H
#define REMATD_SERVER_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Since some moment in the past. */
static inline uint64_t clock_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* The same in milliseconds, and it goes on while the machine sleeps, as the clock of a database elsewhere does. */
static inline int64_t clock_steady_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
