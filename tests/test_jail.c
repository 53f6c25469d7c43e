/* test_jail.c - a process that has entered the jail: what it can no longer do, and what it still can. Each try is in a
 * process of its own, since nothing of it can be undone. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/blob.h"
#include "server/jail.h"
#include "server/store.h"
#include "server/witness.h"

#define MIB ((uint64_t)1 << 20)

static char data_dir[] = "/tmp/rematd-jail-XXXXXX";
static char outside[] = "/tmp/rematd-beyond-XXXXXX";
static struct problem why;

static void start(void) {
    cr_assert(mkdtemp(data_dir));
    close(mkstemp(outside));
}

static void stop(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s %s", data_dir, outside);
    cr_expect_eq(system(command), 0);
}

/* Whether the kernel this runs on has all of it: else there is nothing to try, and that is said. */
static bool jail_here(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(jail_files(JAIL_ON, data_dir, false, &why) && jail_calls(JAIL_ON, false, &why) ? 0 : 1);
    int status;
    waitpid(pid, &status, 0);
    bool here = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!here)
        cr_log_info("no Landlock or no seccomp here: jail not tried");
    return here;
}

enum { SUCCEEDED = 0, REFUSED = 1, KILLED = 2, OTHER = 3 };
static const char *const names[] = {"succeeds", "is refused", "is deadly", "ends in an unexpected way"};

/* What becomes of it in a process in the jail. attempt: true if it could be done. */
static int outcome_of(bool network, bool (*attempt)(void)) {
    struct rlimit no_core = {0, 0};
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &no_core);
        if (!jail_files(JAIL_ON, data_dir, network, &why) || !jail_calls(JAIL_ON, network, &why))
            _exit(OTHER);
        _exit(attempt() ? SUCCEEDED : REFUSED);
    }
    int status;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? KILLED : OTHER;
    return WEXITSTATUS(status);
}

static int outcome(bool (*attempt)(void)) {
    return outcome_of(false, attempt);
}

/* ---- what is gone ---- */

static bool do_socket(void) {
    return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}
static bool do_unix_socket(void) {
    return socket(AF_UNIX, SOCK_DGRAM, 0) >= 0;
}
static bool do_exec(void) {
    char *const none[] = {NULL};
    execve("/bin/true", none, none);
    return false;
}
static bool do_fork(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid > 0;
}
static void *nothing(void *arg) {
    return arg;
}
static bool do_thread(void) {
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) == 0;
}
static bool do_ptrace(void) {
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}
static bool do_read_parent(void) {
    char byte;
    struct iovec here = {&byte, 1}, there = {&why, 1};
    return syscall(SYS_process_vm_readv, getppid(), &here, 1, &there, 1, 0) == 1;
}
static bool do_mount(void) {
    return mount("none", data_dir, "tmpfs", 0, NULL) == 0;
}
static bool do_chroot(void) {
    return chroot(data_dir) == 0;
}
static bool do_unshare(void) {
    return syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */) == 0;
}
static bool do_bpf(void) {
    union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes) >= 0;
}
static bool do_keyctl(void) {
    return syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3, 0) > 0;
}
static bool do_module(void) {
    return syscall(SYS_init_module, "", 0, "") == 0;
}
static bool do_setuid(void) {
    return syscall(SYS_setuid, getuid()) == 0;
}
static bool do_io_uring(void) {
    char parameters[120] = {0};
    return syscall(SYS_io_uring_setup, 1, parameters) >= 0;
}
static bool do_symlink(void) {
    char name[64];
    snprintf(name, sizeof name, "%s/link", data_dir);
    return symlink("/etc", name) == 0;
}
static bool do_kill_parent(void) {
    return kill(getppid(), 0) == 0;
}
static bool do_code(void) {
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}
static bool do_other_limit(void) {
    struct rlimit limit = {0, 0};
    return setrlimit(RLIMIT_FSIZE, &limit) == 0;
}
static bool do_dumpable(void) {
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
}
static bool do_passwd(void) {
    return open("/etc/passwd", O_RDONLY) >= 0;
}
static bool do_read_outside(void) {
    return open(outside, O_RDONLY) >= 0;
}
static bool do_write_outside(void) {
    return open(outside, O_WRONLY) >= 0;
}
static bool do_remove_outside(void) {
    return unlink(outside) == 0;
}
static bool do_out_of_it(void) {
    char name[64];
    snprintf(name, sizeof name, "%s/../%s", data_dir, strrchr(outside, '/') + 1);
    return open(name, O_RDONLY) >= 0;
}
static bool do_environment_of_parent(void) {
    char name[32];
    snprintf(name, sizeof name, "/proc/%d/environ", getppid());
    return open(name, O_RDONLY) >= 0;
}

Test(jail, dangerous_things_are_gone, .init = start, .fini = stop) {
    static const struct {
        const char *what;
        bool (*attempt)(void);
        int outcome;
    } tries[] = {{"a socket", do_socket, KILLED},
                 {"a local socket", do_unix_socket, KILLED},
                 {"another program", do_exec, KILLED},
                 {"a process", do_fork, REFUSED},
                 {"a thread of its own", do_thread, SUCCEEDED},
                 {"ptrace", do_ptrace, KILLED},
                 {"another process's memory", do_read_parent, KILLED},
                 {"mount", do_mount, KILLED},
                 {"chroot", do_chroot, KILLED},
                 {"a user namespace", do_unshare, KILLED},
                 {"bpf", do_bpf, KILLED},
                 {"keys", do_keyctl, KILLED},
                 {"a kernel module", do_module, KILLED},
                 {"setuid", do_setuid, KILLED},
                 {"io_uring", do_io_uring, KILLED},
                 {"a symbolic link", do_symlink, KILLED},
                 {"a signal to the parent", do_kill_parent, REFUSED},
                 {"memory that is code", do_code, REFUSED},
                 {"another limit", do_other_limit, REFUSED},
                 {"being looked into", do_dumpable, REFUSED},
                 {"/etc/passwd", do_passwd, REFUSED},
                 {"reading a file beyond", do_read_outside, REFUSED},
                 {"writing a file beyond", do_write_outside, REFUSED},
                 {"removing a file beyond", do_remove_outside, REFUSED},
                 {"a path that leads out", do_out_of_it, REFUSED},
                 {"the parent's environment", do_environment_of_parent, REFUSED}};
    for (size_t i = 0; jail_here() && i < sizeof tries / sizeof tries[0]; i++) {
        int got = outcome(tries[i].attempt);
        cr_expect_eq(got, tries[i].outcome, "%s %s", tries[i].what, names[got & 3]);
    }
}

/* Every call on the list, asked for directly: none is misspelt, none slips through. */
static const char *deadly_name;
static long deadly_number(const char *name) {
    static const struct {
        const char *name;
        long number;
    } some[] = {{"connect", SYS_connect}, {"execveat", SYS_execveat}, {"setns", SYS_setns},
                {"reboot", SYS_reboot},   {"swapoff", SYS_swapoff},   {"capset", SYS_capset},
                {"linkat", SYS_linkat},   {"mknodat", SYS_mknodat},   {"perf_event_open", SYS_perf_event_open}};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
        if (strcmp(some[i].name, name) == 0)
            return some[i].number;
    return -1;
}
static bool do_deadly(void) {
    return syscall(deadly_number(deadly_name), -1, -1, -1, -1, -1) >= 0;
}

Test(jail, deadly_calls_are_deadly, .init = start, .fini = stop) {
    unsigned tried = 0;
    for (size_t i = 0; jail_here() && jail_calls_deadly[i]; i++) {
        deadly_name = jail_calls_deadly[i];
        if (deadly_number(deadly_name) < 0)
            continue;
        tried++;
        cr_expect_eq(outcome(do_deadly), KILLED, "%s", deadly_name);
    }
    cr_expect(tried == 0 || tried == 9, "%u", tried);
}

/* ---- what is left ---- */

static bool do_blob(void) {
    char digest[BLOB_DIGEST_SIZE], byte;
    uint64_t bytes;
    struct blob_store *blobs = blob_open(data_dir, &why);
    struct blob_upload *upload = blobs ? blob_upload_new(blobs, &why) : NULL;
    if (!upload || !blob_upload_write(upload, "x", 1, &why) || !blob_upload_commit(upload, digest, &why))
        return false;
    int fd = blob_read_open(blobs, digest, &bytes, &why);
    return fd >= 0 && read(fd, &byte, 1) == 1 && byte == 'x' && blob_remove(blobs, digest, &why);
}
static bool do_store(void) {
    struct store *store = store_open(data_dir, &why);
    return store && store_verify(store, &why) && (store_close(store), true);
}
static bool do_witness(void) {
    return witness_rss_bytes() > 0 && jail_memory_bytes() > 0;
}
static bool do_memory(void) {
    unsigned char *bytes = mmap(NULL, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return bytes != MAP_FAILED && mprotect(bytes, MIB, PROT_READ | PROT_WRITE) == 0 && (bytes[0] = 1) &&
           munmap(bytes, MIB) == 0;
}
/* A gigabyte fails with 64 MiB allowed, and works again when the limit is lifted. */
static bool do_limit(void) {
    for (unsigned limited = 0; limited < 2; limited++) {
        jail_memory_limit(limited ? jail_memory_bytes() + 64 * MIB : UINT64_MAX);
        void *large = mmap(NULL, 1024 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        void *small = mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        bool refused = large == MAP_FAILED;
        if (!refused)
            munmap(large, 1024 * MIB);
        if (small == MAP_FAILED || munmap(small, 32 * MIB) != 0 || refused != limited)
            return false;
    }
    jail_memory_limit(UINT64_MAX);
    return mmap(NULL, 1024 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}
/* Addresses that are merely reserved are no memory; the same addresses made usable are. */
static bool do_reserved(void) {
    jail_memory_limit(jail_memory_bytes() + 64 * MIB);
    void *reserved = mmap(NULL, 1024 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return reserved != MAP_FAILED && mprotect(reserved, 32 * MIB, PROT_READ | PROT_WRITE) == 0 &&
           mprotect(reserved, 1024 * MIB, PROT_READ | PROT_WRITE) != 0 && errno == ENOMEM;
}
static bool do_abort(void) {
    abort();
}

Test(jail, work_goes_on, .init = start, .fini = stop) {
    static const struct {
        const char *what;
        bool (*attempt)(void);
    } tries[] = {{"blobs", do_blob},    {"the store", do_store},     {"counting pages", do_witness},
                 {"memory", do_memory}, {"its own limit", do_limit}, {"reserved addresses", do_reserved}};
    for (size_t i = 0; jail_here() && i < sizeof tries / sizeof tries[0]; i++) {
        int got = outcome(tries[i].attempt);
        cr_expect_eq(got, SUCCEEDED, "%s %s", tries[i].what, names[got & 3]);
    }
    if (jail_here())
        cr_expect_eq(outcome(do_abort), OTHER, "an assertion ends it by SIGABRT");
}

/* Threads that were there before are in it too. */
static pthread_barrier_t both;
static void *late(void *arg) {
    (void)arg;
    pthread_barrier_wait(&both);
    socket(AF_INET, SOCK_STREAM, 0);
    _exit(SUCCEEDED);
}

Test(jail, holds_for_every_thread, .init = start, .fini = stop) {
    int status;
    if (!jail_here())
        return;
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        pthread_barrier_init(&both, NULL, 2);
        if (!jail_files(JAIL_ON, data_dir, false, &why) || pthread_create(&thread, NULL, late, NULL) != 0 ||
            !jail_calls(JAIL_ON, false, &why))
            _exit(OTHER);
        pthread_barrier_wait(&both);
        pause();
    }
    waitpid(pid, &status, 0);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "status %#x", status);
}

/* A worker whose store is on another machine. */
Test(jail, a_network_is_sockets_and_names_and_nothing_else, .init = start, .fini = stop) {
    if (!jail_here())
        return;
    cr_expect_eq(outcome_of(true, do_socket), SUCCEEDED);
    cr_expect_eq(outcome_of(true, do_unix_socket), SUCCEEDED);
    cr_expect_eq(outcome_of(true, do_passwd), SUCCEEDED);
    cr_expect_eq(outcome_of(true, do_exec), KILLED);
    cr_expect_eq(outcome_of(true, do_ptrace), KILLED);
    cr_expect_eq(outcome_of(true, do_read_outside), REFUSED);
}

Test(jail, off_is_off, .init = start, .fini = stop) {
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(jail_files(JAIL_OFF, data_dir, false, &why) && jail_calls(JAIL_OFF, false, &why) && do_socket() &&
                      do_passwd()
                  ? 0
                  : 1);
    waitpid(pid, &status, 0);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}
