/* supervise.c - see supervise.h. Between fork and exec only calls that are safe in a process with threads: arguments
 * are made before. */
#include "server/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/units.h"
#include "server/clock.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/worker.h"

#define MILLISECOND 1000000u
#define LIVED_NS    (5000ull * MILLISECOND) /* who lived this long is started again at once */
#define CANCEL_NS   (1700ull * MILLISECOND) /* a worker ends a cancelled job sooner than this, by force if it must */
#define DELAY_FIRST (100ull * MILLISECOND)
#define DELAY_MOST  (5000ull * MILLISECOND)
#define ARGUMENT    1100u

/* The child's side: never returns. */
static void become_worker(pid_t parent, char *const arguments[]) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before it could be told */
        _exit(0);
    jail_memory_limit(UINT64_MAX);                                   /* the front's is not for its children */
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); /* first in line, before the front */
    if (fd >= 0) {
        ssize_t written = write(fd, "500", 3);
        (void)written;
        close(fd);
    }
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        dup2(fd, STDIN_FILENO);
    execv("/proc/self/exe", arguments);
    _exit(127);
}

static bool worker_start(struct supervise *s, unsigned index, struct problem *why) {
    static char name[] = "rematd", work[] = "work", data[] = "--data", slot[] = "--slot", threads[] = "--threads",
                memory[] = "--memory-limit", sandbox[] = "--sandbox";
    struct supervise_slot *worker = &s->slots[index];
    char data_text[ARGUMENT], slot_text[24], threads_text[24], memory_text[24], sandbox_text[8];
    char *arguments[] = {name,         work,   data,        data_text, slot,         slot_text, threads,
                         threads_text, memory, memory_text, sandbox,   sandbox_text, NULL};
    snprintf(data_text, sizeof data_text, "%s", s->data_dir);
    snprintf(slot_text, sizeof slot_text, "%u", index);
    snprintf(threads_text, sizeof threads_text, "%u", s->threads);
    snprintf(memory_text, sizeof memory_text, "%llu", (unsigned long long)s->memory_limit_bytes);
    snprintf(sandbox_text, sizeof sandbox_text, "%s", jail_mode_names[s->sandbox]);
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return problem_set(why, PROBLEM_MEMORY, "", "cannot start a worker: %s", strerror(errno));
    if (pid == 0)
        become_worker(parent, arguments);
    worker->pid = pid;
    worker->started_ns = clock_now_ns();
    worker->put_back = false;
    worker->cancel_ns = 0;
    queue_owner(s->queue, worker->owner, index, pid);
    metrics_add(METRICS_WORKERS_ALIVE, 1);
    metrics_add(METRICS_WORKER_STARTS, 1);
    log_event(LOG_INFO, "worker.started", "slot %u, pid %d", index, (int)pid);
    return true;
}

bool supervise_start(struct supervise *s, struct problem *why) {
    for (unsigned i = 0; i < s->workers; i++)
        if (!worker_start(s, i, why))
            return false;
    return true;
}

static void worker_gone(struct supervise *s, unsigned index, int status) {
    struct supervise_slot *worker = &s->slots[index];
    struct problem why = {0};
    bool good = worker->put_back ? queue_worker_drained(s->queue, worker->owner, &why)
                                 : queue_worker_died(s->queue, worker->owner, &why);
    if (!good) /* its lease runs out by itself */
        log_event(LOG_ERROR, "worker.job", "slot %u: its job could not be given back yet: %s", index, why.detail);
    bool expected = s->stopping && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    metrics_add(METRICS_WORKERS_ALIVE, -1);
    metrics_add(METRICS_WORKER_DEATHS,
                !s->stopping && !(WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_CANCELLED));
    log_event(expected ? LOG_INFO : LOG_WARNING, "worker.ended", "slot %u, pid %d, %s %d", index, (int)worker->pid,
              WIFSIGNALED(status) ? "signal" : "exit code",
              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    uint64_t now = clock_now_ns();
    worker->delay_ns = now - worker->started_ns >= LIVED_NS ? 0
                       : worker->delay_ns                   ? units_min(2 * worker->delay_ns, DELAY_MOST)
                                                            : DELAY_FIRST;
    worker->start_at_ns = now + worker->delay_ns;
    worker->pid = 0;
}

static void reap(struct supervise *s) {
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) /* as process 1 also children that are not ours */
        for (unsigned i = 0; i < s->workers; i++)
            if (s->slots[i].pid == pid)
                worker_gone(s, i, status);
}

/* A worker that hangs as a whole (stopped, or stuck in the kernel) cannot end its own job: we end the worker. */
static void hung_kill(struct supervise *s, unsigned index) {
    struct supervise_slot *worker = &s->slots[index];
    struct problem why = {0};
    bool cancel, late;
    if (worker->pid <= 0 || !queue_worker_check(s->queue, worker->owner, &cancel, &late, &why))
        return; /* asked again at the next tick */
    uint64_t now = clock_now_ns();
    if (!cancel)
        worker->cancel_ns = 0;
    else if (worker->cancel_ns == 0)
        worker->cancel_ns = now;
    if (late || (cancel && now - worker->cancel_ns > CANCEL_NS)) {
        log_event(LOG_WARNING, "worker.hung", "slot %u, pid %d: %s", index, (int)worker->pid,
                  late ? "its lease ran out" : "it does not end a cancelled job");
        kill(worker->pid, SIGKILL);
    }
}

uint64_t supervise_tick(struct supervise *s) {
    uint64_t next = UINT64_MAX;
    reap(s);
    for (unsigned i = 0; i < s->workers && !s->stopping; i++) {
        struct supervise_slot *worker = &s->slots[i];
        struct problem why = {0};
        hung_kill(s, i);
        uint64_t now = clock_now_ns();
        if (worker->pid == 0 && now >= worker->start_at_ns && !worker_start(s, i, &why)) {
            log_event(LOG_ERROR, "worker.start", "slot %u: %s", i, why.detail);
            worker->start_at_ns = now + DELAY_MOST;
        }
        if (worker->pid == 0)
            next = units_min(next, worker->start_at_ns > now ? worker->start_at_ns - now : 0);
    }
    return next;
}

static void signal_all(struct supervise *s, int number) {
    for (unsigned i = 0; i < s->workers; i++)
        if (s->slots[i].pid > 0)
            kill(s->slots[i].pid, number);
}

void supervise_stop(struct supervise *s) {
    s->stopping = true;
    signal_all(s, SIGTERM);
}

void supervise_kill(struct supervise *s) {
    const struct timespec tick = {.tv_nsec = MILLISECOND};
    s->stopping = true;
    for (unsigned i = 0; i < s->workers; i++)
        s->slots[i].put_back = true;
    signal_all(s, SIGKILL);
    for (reap(s); supervise_alive(s) > 0; reap(s))
        nanosleep(&tick, NULL);
}

unsigned supervise_alive(const struct supervise *s) {
    unsigned alive = 0;
    for (unsigned i = 0; i < s->workers; i++)
        alive += s->slots[i].pid > 0;
    return alive;
}
