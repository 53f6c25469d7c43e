/* metrics_process.c - what the kernel says about this process, under the names every Prometheus client uses. */
#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/metrics.h"

/* One line of a file of /proc, or the first that begins so. */
static bool line_read(const char *file, const char *beginning, char *line, size_t room) {
    FILE *in = fopen(file, "re");
    bool found = false;
    while (in && !found && fgets(line, (int)room, in))
        found = strncmp(line, beginning, strlen(beginning)) == 0;
    if (in)
        fclose(in);
    return found;
}

/* Seconds since 1970; 0 where /proc does not say. */
static double start_seconds(void) {
    char line[1024];
    unsigned long long ticks, boot;
    if (!line_read("/proc/self/stat", "", line, sizeof line))
        return 0;
    const char *at = strrchr(line, ')'); /* the name before may hold anything */
    if (!at || sscanf(at + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                      &ticks) != 1)
        return 0;
    if (!line_read("/proc/stat", "btime ", line, sizeof line) || sscanf(line, "btime %llu", &boot) != 1)
        return 0;
    return (double)boot + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static double open_fds(void) {
    DIR *directory = opendir("/proc/self/fd");
    double n = -1; /* the one that looks */
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        n += entry->d_name[0] != '.';
    if (directory)
        closedir(directory);
    return n;
}

static double cpu_seconds(void) {
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

void metrics_process(FILE *out) {
    char line[128] = "";
    unsigned long long virtual_pages = 0, resident_pages = 0;
    double page = (double)sysconf(_SC_PAGESIZE);
    struct rlimit files = {0};
    if (line_read("/proc/self/statm", "", line, sizeof line))
        sscanf(line, "%llu %llu", &virtual_pages, &resident_pages);
    getrlimit(RLIMIT_NOFILE, &files);
    const struct {
        const char *name;
        enum metrics_type type;
        const char *help;
        double value;
    } rows[] = {
        {"process_cpu_seconds_total", METRICS_COUNTER, "User and system time of the front.", cpu_seconds()},
        {"process_resident_memory_bytes", METRICS_GAUGE, "Memory of the front that is resident.",
         (double)resident_pages * page},
        {"process_virtual_memory_bytes", METRICS_GAUGE, "Address space of the front.", (double)virtual_pages * page},
        {"process_open_fds", METRICS_GAUGE, "Open descriptors of the front.", open_fds()},
        {"process_max_fds", METRICS_GAUGE, "The most there may be.", (double)files.rlim_cur},
        {"process_start_time_seconds", METRICS_GAUGE, "When the front started, in seconds since 1970.",
         start_seconds()},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        metrics_one(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
}
