/* jail.h - what a worker gives up before it touches anybody's job: files beyond the data directory (Landlock), all but
 * a short list of system calls (seccomp), and memory beyond what the job was admitted for.
 *
 * The order is fixed: jail_files while the process has one thread, then threads, then jail_calls for all of them. None
 * of it can be undone; jail_memory_limit can. */
#ifndef REMATD_SERVER_JAIL_H
#define REMATD_SERVER_JAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/problem.h"

/* The words of --sandbox in this order. auto: with what the kernel and the machine have, and a warning for the rest. */
enum jail_mode { JAIL_AUTO, JAIL_ON, JAIL_OFF };
#define JAIL_MODES "auto|on|off"
extern const char *const jail_mode_names[];

/* From now on this thread, and those it makes, open files beneath data_dir alone; /proc/self, the list of processors,
 * /dev/null and /dev/urandom may be read; with network also what is needed to find another machine and to know it:
 * /etc, the system's certificates, ~/.postgresql. Nothing this process executes gains a privilege, it leaves no core,
 * and other processes of its user cannot look into it. False (PROBLEM_UNSUPPORTED) with JAIL_ON where the kernel has it
 * not. */
PROBLEM_MUST_CHECK bool jail_files(enum jail_mode mode, const char *data_dir, bool network, struct problem *why);

/* Loads libseccomp where it is installed: jail_files does it, since no library can be loaded afterwards. */
void jail_calls_prepare(void);

/* From now on every thread of this process has only the system calls that computing and the store need. No sockets
 * (but with network: then the store is on another machine), no programs, no processes, no executable memory, no foreign
 * process, no change of identity: asking for one of jail_calls_deadly ends the process by SIGSYS, asking for any other
 * is answered with ENOSYS. False (PROBLEM_UNSUPPORTED) with JAIL_ON where libseccomp is not installed or the kernel
 * refuses. */
PROBLEM_MUST_CHECK bool jail_calls(enum jail_mode mode, bool network, struct problem *why);

/* Names of calls no worker ever makes; NULL at the end. */
extern const char *const jail_calls_deadly[];

/* Bytes of private writable memory this process has mapped, touched or not. 0: cannot be told. */
uint64_t jail_memory_bytes(void);
/* So many such bytes at most (RLIMIT_DATA): what is asked for beyond fails, as if there were no memory. UINT64_MAX: as
 * many as its hard limit lets it. Reserved addresses (PROT_NONE) and pages of files do not count. */
void jail_memory_limit(uint64_t bytes);

#endif
