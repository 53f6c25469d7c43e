/* witness.h - what the operating system saw: pages of this process, limits of the machine. Shares no code with plans.
 */
#ifndef REMATD_SERVER_WITNESS_H
#define REMATD_SERVER_WITNESS_H

#include <stdint.h>

/* What a running job may take beyond its slab and its parameters: the request and its inline tensors (at most 1 MiB of
 * JSON), stacks, copy buffers, what OpenBLAS packs beyond the warm-up. Part of every admission; tests hold jobs to it.
 */
#define WITNESS_OUTSIDE_BYTES ((uint64_t)16 << 20)

/* Resident bytes of this process from /proc/self/smaps_rollup (statm where that is missing); 0 if neither can be read.
 */
uint64_t witness_rss_bytes(void);

/* The smallest memory limit on this process's cgroup path (v2 memory.max, v1 memory.limit_in_bytes), or 0: none. */
uint64_t witness_cgroup_limit_bytes(void);
/* MemAvailable, or 0 if unknown. */
uint64_t witness_available_bytes(void);
/* What a daemon may use: the cgroup limit if there is one and it is below MemAvailable's machine, else MemAvailable. */
uint64_t witness_memory_limit_bytes(void);

#endif
