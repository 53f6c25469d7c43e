/* witness.h - what the operating system saw: the pages of this process. Shares no code with plans.
 */
#ifndef REMATD_SERVER_WITNESS_H
#define REMATD_SERVER_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

/* What a running job may take beyond its slab and its parameters: the request and its inline tensors (at most 1 MiB of
 * JSON), stacks, copy buffers. Part of every admission; tests hold jobs to it.
 */
#define WITNESS_OUTSIDE_BYTES ((uint64_t)16 << 20)

/* Resident bytes of this process's own from /proc/self/smaps_rollup (statm where that is missing); 0 if neither can be
 * read. Pages of program files are left out: workers share them, and which have been touched by now says nothing of a
 * job.
 */
uint64_t witness_rss_bytes(void);

#endif
