/* worker.h - `rematd work`: claims jobs from the store and runs them in this process, one at a time, in one slab.
 *
 * SIGTERM: no further job is claimed, the running one is finished, then 0 is returned. A job that does not obey a
 * cancel within 1.5 s (a long kernel) is written off and the process exits with WORKER_EXIT_CANCELLED: start another.
 */
#ifndef REMATD_SERVER_WORKER_H
#define REMATD_SERVER_WORKER_H

#include <stdint.h>

#define WORKER_EXIT_CANCELLED 75

struct worker_options {
    const char *data_dir;
    unsigned slot, threads;
    uint64_t memory_limit_bytes; /* for all workers of this store together */
};

/* Returns the exit code of the process: 0 after a SIGTERM, 1 if it cannot work (said on stderr). */
int worker_run(const struct worker_options *options);

#endif
