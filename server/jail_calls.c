/* jail_calls.c - see jail.h: system calls, by libseccomp, which is loaded if it is there.
 *
 * A list of what is allowed, since no list of what is dangerous is ever complete. What is not on it fails as on a
 * kernel that lacks it, so that libraries take their other way; what is on jail_calls_deadly has no innocent reason. */
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/jail.h"
#include "server/log.h"

static const char *const allowed[] = {
    /* memory; mmap and mprotect have conditions */
    "munmap", "mremap", "madvise", "brk", "membarrier",
    /* files, where Landlock lets them be opened */
    "open", "openat", "close", "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "lseek",
    "_llseek", "stat", "fstat", "lstat", "stat64", "fstat64", "lstat64", "newfstatat", "fstatat64", "statx", "statfs",
    "fstatfs", "access", "faccessat", "faccessat2", "fcntl", "fcntl64", "flock", "fsync", "fdatasync", "ftruncate",
    "ftruncate64", "fallocate", "fadvise64", "fadvise64_64", "sync_file_range", "rename", "renameat", "renameat2",
    "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "getdents64", "getcwd", "readlink", "readlinkat", "fchmod",
    "fchown", "umask", "utimensat", "copy_file_range", "sendfile", "dup",
    /* threads, and the way out; clone has a condition */
    "futex", "futex_time64", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "gettid", "getpid",
    "getppid", "exit", "exit_group", "restart_syscall",
    /* signals to oneself; tgkill has a condition */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "sigaltstack",
    /* clocks and waiting */
    "clock_gettime", "clock_gettime64", "clock_getres", "gettimeofday", "time", "nanosleep", "clock_nanosleep",
    "clock_nanosleep_time64", "poll", "ppoll", "select", "pselect6",
    /* questions */
    "getrandom", "getuid", "geteuid", "getgid", "getegid", "getrlimit", "ugetrlimit", "getrusage", "uname", "sysinfo",
    NULL};

/* What a store on another machine needs besides. */
static const char *const network_allowed[] = {
    "socket",     "connect",    "bind",        "sendto",      "sendmsg",  "sendmmsg",      "recvfrom",        "recvmsg",
    "getsockopt", "setsockopt", "getsockname", "getpeername", "shutdown", "rt_sigpending", "rt_sigtimedwait", NULL};

const char *const jail_calls_deadly[] = {"socket",
                                         "socketpair",
                                         "connect",
                                         "bind",
                                         "listen",
                                         "accept",
                                         "accept4",
                                         "sendto",
                                         "sendmsg",
                                         "sendmmsg",
                                         "socketcall",
                                         "execve",
                                         "execveat",
                                         "fork",
                                         "vfork",
                                         "ptrace",
                                         "process_vm_readv",
                                         "process_vm_writev",
                                         "pidfd_getfd",
                                         "kcmp",
                                         "mount",
                                         "umount",
                                         "umount2",
                                         "pivot_root",
                                         "move_mount",
                                         "open_tree",
                                         "fsopen",
                                         "fsmount",
                                         "chroot",
                                         "unshare",
                                         "setns",
                                         "bpf",
                                         "perf_event_open",
                                         "userfaultfd",
                                         "io_uring_setup",
                                         "keyctl",
                                         "add_key",
                                         "request_key",
                                         "kexec_load",
                                         "kexec_file_load",
                                         "init_module",
                                         "finit_module",
                                         "delete_module",
                                         "reboot",
                                         "swapon",
                                         "swapoff",
                                         "setuid",
                                         "setgid",
                                         "setreuid",
                                         "setregid",
                                         "setresuid",
                                         "setresgid",
                                         "setgroups",
                                         "setfsuid",
                                         "setfsgid",
                                         "capset",
                                         "personality",
                                         "iopl",
                                         "ioperm",
                                         "modify_ldt",
                                         "acct",
                                         "quotactl",
                                         "settimeofday",
                                         "clock_settime",
                                         "open_by_handle_at",
                                         "mknod",
                                         "mknodat",
                                         "symlink",
                                         "symlinkat",
                                         "link",
                                         "linkat",
                                         NULL};

/* What is used of libseccomp; handle NULL: it is not there. */
static struct library {
    void *handle;
    scmp_filter_ctx (*init)(uint32_t action);
    int (*attribute_set)(scmp_filter_ctx, enum scmp_filter_attr, uint32_t value);
    int (*resolve)(const char *name);
    int (*rule_add)(scmp_filter_ctx, uint32_t action, int call, unsigned n, const struct scmp_arg_cmp *conditions);
    int (*load)(scmp_filter_ctx);
    void (*release)(scmp_filter_ctx);
} library;

void jail_calls_prepare(void) {
    struct library *l = &library;
    const struct {
        void *function;
        const char *name;
    } functions[] = {
        {&l->init, "seccomp_init"},
        {&l->attribute_set, "seccomp_attr_set"},
        {&l->resolve, "seccomp_syscall_resolve_name"},
        {&l->rule_add, "seccomp_rule_add_array"},
        {&l->load, "seccomp_load"},
        {&l->release, "seccomp_release"},
    };
    if (!l->handle)
        l->handle = dlopen("libseccomp.so.2", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; l->handle && i < sizeof functions / sizeof functions[0]; i++) {
        void *symbol = dlsym(l->handle, functions[i].name);
        if (!symbol) {
            dlclose(l->handle);
            l->handle = NULL;
            return;
        }
        memcpy(functions[i].function, &symbol, sizeof symbol);
    }
}

/* A call this architecture does not have needs no rule. */
static bool rule(const struct library *l, scmp_filter_ctx filter, uint32_t action, const char *name, unsigned n,
                 const struct scmp_arg_cmp *conditions) {
    int call = l->resolve(name);
    return call < 0 || l->rule_add(filter, action, call, n, conditions) == 0;
}

static bool is_network(const char *name) {
    for (size_t i = 0; network_allowed[i]; i++)
        if (strcmp(network_allowed[i], name) == 0)
            return true;
    return false;
}

static bool rules(const struct library *l, scmp_filter_ctx filter, bool network) {
    const struct scmp_arg_cmp not_executable = SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    const struct scmp_arg_cmp thread = SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);
    const struct scmp_arg_cmp to_itself = SCMP_CMP64(0, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0);
    const struct scmp_arg_cmp memory = SCMP_CMP64(0, SCMP_CMP_EQ, RLIMIT_DATA, 0);
    const struct scmp_arg_cmp own_memory[] = {SCMP_CMP64(0, SCMP_CMP_EQ, 0, 0),
                                              SCMP_CMP64(1, SCMP_CMP_EQ, RLIMIT_DATA, 0)};
    bool good = rule(l, filter, SCMP_ACT_ALLOW, "mmap", 1, &not_executable) &&
                rule(l, filter, SCMP_ACT_ALLOW, "mmap2", 1, &not_executable) &&
                rule(l, filter, SCMP_ACT_ALLOW, "mprotect", 1, &not_executable) &&
                rule(l, filter, SCMP_ACT_ALLOW, "tgkill", 1, &to_itself) &&
                rule(l, filter, SCMP_ACT_ALLOW, "clone", 1, &thread) &&
                rule(l, filter, SCMP_ACT_ALLOW, "prlimit64", 2, own_memory) &&
                rule(l, filter, SCMP_ACT_ALLOW, "setrlimit", 1, &memory);
    for (size_t i = 0; good && allowed[i]; i++)
        good = rule(l, filter, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
    for (size_t i = 0; network && good && network_allowed[i]; i++)
        good = rule(l, filter, SCMP_ACT_ALLOW, network_allowed[i], 0, NULL);
    for (size_t i = 0; good && jail_calls_deadly[i]; i++)
        if (!network || !is_network(jail_calls_deadly[i]))
            good = rule(l, filter, SCMP_ACT_KILL_PROCESS, jail_calls_deadly[i], 0, NULL);
    return good;
}

/* NULL where all is well, or what is not. */
static const char *enter(bool network) {
    const struct library *l = &library;
    if (!l->handle)
        return "libseccomp.so.2 is not installed";
    scmp_filter_ctx filter = l->init(SCMP_ACT_ERRNO(ENOSYS));
    bool good = filter && l->attribute_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0 && rules(l, filter, network);
    const char *reason = good ? NULL : "libseccomp cannot make the filter";
    if (good && l->load(filter) != 0)
        reason = "the kernel or the container does not take a filter";
    if (filter)
        l->release(filter);
    return reason;
}

bool jail_calls(enum jail_mode mode, bool network, struct problem *why) {
    const char *reason = mode == JAIL_OFF ? NULL : enter(network);
    if (!reason)
        return true;
    if (mode == JAIL_ON)
        return problem_set(why, PROBLEM_UNSUPPORTED, "", "--sandbox on: this worker has every system call: %s", reason);
    log_event(LOG_WARNING, "worker.sandbox", "this worker has every system call: %s; --sandbox off silences this",
              reason);
    return true;
}
