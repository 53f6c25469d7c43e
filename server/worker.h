/* worker.h - `rematd work`: claims jobs from the store and runs them in this process, one at a time, in one slab.
 *
 * SIGTERM: no further job is claimed, the running one is finished, then 0 is returned. A job that does not obey a
 * cancel within 1.5 s (a long kernel) is written off and the process exits with WORKER_EXIT_CANCELLED: start another.
 *
 * Before its first job the process gives up what no job needs (jail.h). A job gets the memory it was admitted for: what
 * it asks for beyond is refused and it fails; the worker goes on.
 *
 * On a shared store it waits for a database that is away, and what it runs goes on meanwhile: for as long as its lease
 * lasts its job is not lost. */
#ifndef REMATD_SERVER_WORKER_H
#define REMATD_SERVER_WORKER_H

#include <stdint.h>

#include "server/jail.h"

#define WORKER_EXIT_CANCELLED 75

struct worker_options {
    const char *data_dir, *store; /* store: its URL; "": the one in data_dir */
    unsigned slot, threads;
    uint64_t memory_limit_bytes; /* for all workers over this data directory together */
    enum jail_mode sandbox;
};

/* Returns the exit code of the process: 0 after a SIGTERM, 1 if it cannot work (said on stderr). */
int worker_run(const struct worker_options *options);

#endif
