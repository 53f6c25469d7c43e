/* supervise.h - `rematd serve`'s children: one `rematd work` per slot, started again when it dies.
 *
 * Everything here is called by one thread, which must outlive the children: the kernel kills them when it ends. Its
 * caller blocks SIGCHLD, waits for it, and then calls supervise_reap. */
#ifndef REMATD_SERVER_SUPERVISE_H
#define REMATD_SERVER_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/problem.h"
#include "server/jail.h"
#include "server/queue.h"

#define SUPERVISE_SLOTS_MAX 64

struct supervise_slot {
    pid_t pid; /* 0: none now */
    uint64_t started_ns, start_at_ns;
    uint64_t delay_ns;  /* before the next start after an early death */
    uint64_t cancel_ns; /* since when we know that its job was asked to stop; 0: it was not */
    bool put_back;      /* we stopped it: its job's attempt does not count */
    char owner[STORE_OWNER_BYTES];
};

struct supervise {
    /* the caller's */
    const char *data_dir;
    unsigned workers, threads;
    uint64_t memory_limit_bytes;
    enum jail_mode sandbox;
    struct queue *queue;
    /* own */
    struct supervise_slot slots[SUPERVISE_SLOTS_MAX];
    bool stopping;
};

/* Starts one worker per slot. */
PROBLEM_MUST_CHECK bool supervise_start(struct supervise *s, struct problem *why);
/* Takes note of children that died, gives their jobs back, and starts those that are due. Cheap: call it at least once
 * a second and on SIGCHLD. Returns nanoseconds until the next start is due, UINT64_MAX if none is. */
uint64_t supervise_tick(struct supervise *s);
/* No more starts; every worker is asked to finish its job and end (SIGTERM). */
void supervise_stop(struct supervise *s);
/* Ends them now; their jobs go back to the queue without counting. Returns when they are gone. */
void supervise_kill(struct supervise *s);
/* Workers alive. */
unsigned supervise_alive(const struct supervise *s);

#endif
