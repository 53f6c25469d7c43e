/* faults.c - loaded before a program (LD_PRELOAD): makes its writes below one directory, or its allocations, fail.
 *
 * FAULTS_CONTROL names a file of six 32-bit numbers that the test (faults.py) shares with every process of the daemon:
 * calls counted so far, the first call that fails, the first after it that does not, the error (errno), which calls
 * count (enum kind), and how many allocations are not freed. FAULTS_BELOW is the directory. A call that fails does
 * nothing, but for a write: every other one writes half. FAULTS_MIRROR is a directory that keeps what was synced, and
 * nothing else: what a power cut would leave. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum kind { KIND_WRITE = 1, KIND_SYNC = 2, KIND_TRUNCATE = 4, KIND_RENAME = 8, KIND_OPEN = 16, KIND_ALLOCATE = 32 };

struct control {
    _Atomic uint32_t seen, first, end, error, kinds;
    _Atomic int32_t live;
};

static struct control nothing, *control = &nothing;
static char below[1024], mirror[1024];
static size_t below_length;

/* By hand rather than fopen: nothing here allocates. */
__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAULTS_CONTROL"), *directory = getenv("FAULTS_BELOW"), *copies = getenv("FAULTS_MIRROR");
    int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    void *shared = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (directory)
        below_length = (size_t)snprintf(below, sizeof below, "%s/", directory);
    if (copies)
        snprintf(mirror, sizeof mirror, "%s", copies);
    if (shared != MAP_FAILED)
        control = shared;
}

/* Counts the call; true if it is to fail. *half: begin it first. */
static bool fails(enum kind kind, bool *half) {
    if (!(control->kinds & kind))
        return false;
    uint32_t n = ++control->seen;
    if (n < control->first || n >= control->end)
        return false;
    *half = n & 1;
    errno = (int)control->error;
    return true;
}

static bool is_below(const char *name) {
    return below_length && strncmp(name, below, below_length) == 0;
}

static bool fd_fails(enum kind kind, int fd, bool *half) {
    char link[48], name[1024];
    if (!(control->kinds & kind))
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof name - 1);
    if (n < 0)
        return false;
    name[n] = '\0';
    return is_below(name) && fails(kind, half);
}

/* ---- what a power cut would leave ---- */

/* Bytes of a file, from its start. */
static void copy_bytes(int from, int to) {
    static _Thread_local char buffer[65536];
    for (off_t at = 0;;) {
        ssize_t n = pread(from, buffer, sizeof buffer, at);
        if (n <= 0 || write(to, buffer, (size_t)n) != n)
            return;
        at += n;
    }
}

/* A line for each name of a directory: what it is, its inode, and the name. */
static void copy_names(int from, int to) {
    DIR *directory = fdopendir(from);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            dprintf(to, "%c %llu %s\n", entry->d_type == DT_DIR ? 'd' : 'f', (unsigned long long)entry->d_ino,
                    entry->d_name);
    closedir(directory);
}

/* A file or directory was synced: MIRROR/INODE (of a directory, INODE.d) is what it holds now. Names are the
 * directory's content, not the file's.
 */
static void remember(int fd) {
    char link[48], name[1024], copy[1100], temporary[1110];
    struct stat facts;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = mirror[0] ? readlink(link, name, sizeof name - 2) : -1;
    if (n < 0 || fstat(fd, &facts) != 0)
        return;
    name[n] = S_ISDIR(facts.st_mode) ? '/' : '\0';
    name[n + 1] = '\0';
    if (!is_below(name))
        return;
    snprintf(copy, sizeof copy, "%s/%llu%s", mirror, (unsigned long long)facts.st_ino,
             S_ISDIR(facts.st_mode) ? ".d" : ""); /* a new directory may have the number that a file had */
    snprintf(temporary, sizeof temporary, "%s.new", copy);
    int lock = open(mirror, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    flock(lock, LOCK_EX);
    int from = open(link, O_RDONLY | O_CLOEXEC), to = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (S_ISDIR(facts.st_mode)) {
        copy_names(from, to);
    } else {
        copy_bytes(from, to);
        close(from);
    }
    close(to);
    rename(temporary, copy);
    close(lock);
}

/* The function that would have been called, found once. */
#define NEXT(NAME)                                                                                                     \
    static __typeof__(NAME) *next;                                                                                     \
    if (!next)                                                                                                         \
    *(void **)&next = dlsym(RTLD_NEXT, #NAME)

ssize_t write(int fd, const void *bytes, size_t n) {
    NEXT(write);
    bool half = false;
    if (!fd_fails(KIND_WRITE, fd, &half))
        return next(fd, bytes, n);
    int error = errno;
    ssize_t wrote = half && n > 1 ? next(fd, bytes, n / 2) : -1;
    errno = error;
    return wrote;
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
    NEXT(pwrite);
    bool half = false;
    if (!fd_fails(KIND_WRITE, fd, &half))
        return next(fd, bytes, n, at);
    int error = errno;
    ssize_t wrote = half && n > 1 ? next(fd, bytes, n / 2, at) : -1;
    errno = error;
    return wrote;
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
    return pwrite(fd, bytes, n, at);
}

int fsync(int fd) {
    NEXT(fsync);
    bool half;
    int result = fd_fails(KIND_SYNC, fd, &half) ? -1 : next(fd);
    if (result == 0)
        remember(fd);
    return result;
}

int fdatasync(int fd) {
    NEXT(fdatasync);
    bool half;
    int result = fd_fails(KIND_SYNC, fd, &half) ? -1 : next(fd);
    if (result == 0)
        remember(fd);
    return result;
}

int ftruncate(int fd, off_t length) {
    NEXT(ftruncate);
    bool half;
    return fd_fails(KIND_TRUNCATE, fd, &half) ? -1 : next(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    return ftruncate(fd, length);
}

int rename(const char *from, const char *to) {
    NEXT(rename);
    bool half;
    return is_below(to) && fails(KIND_RENAME, &half) ? -1 : next(from, to);
}

int mkostemp(char *name, int flags) {
    NEXT(mkostemp);
    bool half;
    return is_below(name) && fails(KIND_OPEN, &half) ? -1 : next(name, flags);
}

/* ---- allocations: glibc's own are under these names too, so no dlsym is needed before there is memory ---- */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *old);

static void *counted(void *got) {
    control->live += got != NULL;
    return got;
}

void *malloc(size_t bytes) {
    bool half;
    return fails(KIND_ALLOCATE, &half) ? NULL : counted(__libc_malloc(bytes));
}

void *calloc(size_t n, size_t bytes) {
    bool half;
    return fails(KIND_ALLOCATE, &half) ? NULL : counted(__libc_calloc(n, bytes));
}

void *realloc(void *old, size_t bytes) {
    bool half;
    if (fails(KIND_ALLOCATE, &half))
        return NULL;
    void *got = __libc_realloc(old, bytes);
    return old ? got : counted(got);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    bool half;
    return fails(KIND_ALLOCATE, &half) ? NULL : counted(__libc_memalign(alignment, bytes));
}

void *memalign(size_t alignment, size_t bytes) {
    return aligned_alloc(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes) {
    void *got = aligned_alloc(alignment, bytes);
    if (got)
        *out = got;
    return got ? 0 : ENOMEM;
}

void free(void *old) {
    control->live -= old != NULL;
    __libc_free(old);
}
