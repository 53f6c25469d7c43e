/* jail.c - see jail.h: files, by Landlock's three system calls (no library has them), and memory. */
#include "server/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/log.h"

const char *const jail_mode_names[] = {[JAIL_AUTO] = "auto", [JAIL_ON] = "on", [JAIL_OFF] = "off"};

/* ---- files ---- */

#define ABI_LEAST 2 /* can move files between directories: a blob's way from tmp to its name */

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

#define READ_FILE LANDLOCK_ACCESS_FS_READ_FILE
#define READ      (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                                                          \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                  \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER |                            \
     LANDLOCK_ACCESS_FS_TRUNCATE)
/* Never allowed: to execute, to make devices, pipes, sockets and links. */
#define HANDLED                                                                                                        \
    (READ | WRITE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK |         \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

static const struct {
    const char *path;
    uint64_t access;
} readable[] = {
    {"/proc/self", READ},
    {"/sys/devices/system/cpu", READ},
    {"/dev/urandom", READ_FILE},
    {"/dev/null", READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE},
};

/* To find another machine, and to know it when it is met. */
static const char *const network_readable[] = {"/etc", "/run/systemd/resolve", "/usr/lib/ssl",
                                               "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"};

static long ruleset_new(const struct landlock_ruleset_attr *attributes, size_t size, uint32_t flags) {
    return syscall(SYS_landlock_create_ruleset, attributes, size, flags);
}

/* The descriptor stays open: a rule is about an inode, and /proc makes a new one for a name that was out of use. */
static bool beneath_allow(int ruleset, const char *path, uint64_t access) {
    struct landlock_path_beneath_attr beneath = {.allowed_access = access, .parent_fd = open(path, O_PATH | O_CLOEXEC)};
    return beneath.parent_fd >= 0 &&
           syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0;
}

static void network_allow(int ruleset) {
    char own[1100];
    const char *home = getenv("HOME");
    for (size_t i = 0; i < sizeof network_readable / sizeof network_readable[0]; i++)
        (void)beneath_allow(ruleset, network_readable[i], READ);
    snprintf(own, sizeof own, "%s/.postgresql", home ? home : "");
    (void)beneath_allow(ruleset, own, READ);
}

static bool confine(const char *data_dir, bool network, long abi) {
    const uint64_t known = abi >= 3 ? UINT64_MAX : ~(uint64_t)LANDLOCK_ACCESS_FS_TRUNCATE;
    const struct landlock_ruleset_attr attributes = {.handled_access_fs = HANDLED & known};
    int ruleset = (int)ruleset_new(&attributes, sizeof attributes, 0);
    if (ruleset < 0)
        return false;
    bool good = beneath_allow(ruleset, data_dir, (READ | WRITE) & known);
    for (size_t i = 0; i < sizeof readable / sizeof readable[0]; i++)
        (void)beneath_allow(ruleset, readable[i].path, readable[i].access); /* what is not there is not needed */
    if (network)
        network_allow(ruleset);
    good = good && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
    return good;
}

static bool without(enum jail_mode mode, const char *what, const char *reason, struct problem *why) {
    if (mode == JAIL_ON)
        return problem_set(why, PROBLEM_UNSUPPORTED, "", "--sandbox on: %s: %s", what, reason);
    log_event(LOG_WARNING, "worker.sandbox", "%s: %s; --sandbox off silences this", what, reason);
    return true;
}

bool jail_files(enum jail_mode mode, const char *data_dir, bool network, struct problem *why) {
    if (mode == JAIL_OFF)
        return true;
    jail_calls_prepare();
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return without(mode, "this worker may gain privileges", strerror(errno), why);
    long abi = ruleset_new(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < ABI_LEAST)
        return without(mode, "this worker may open any file its user may", "the kernel has no Landlock, or an old one",
                       why);
    return confine(data_dir, network, abi) ||
           without(mode, "this worker may open any file its user may", strerror(errno), why);
}

/* ---- memory ---- */

uint64_t jail_memory_bytes(void) {
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    bool got = file && fscanf(file, "%*u %*u %*u %*u %*u %llu", &pages) == 1;
    if (file)
        fclose(file);
    return got ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

void jail_memory_limit(uint64_t bytes) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_DATA, &limit) != 0)
        return;
    limit.rlim_cur = bytes < limit.rlim_max ? (rlim_t)bytes : limit.rlim_max;
    (void)setrlimit(RLIMIT_DATA, &limit); /* lowering and raising within the hard limit cannot fail */
}
