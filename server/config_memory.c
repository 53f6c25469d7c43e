/* config_memory.c - how much memory this process may have: what the kernel will hold it to, found before it has to. */
#include "server/config.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"

#define PATH_BYTES  4096u
#define FRONT_LEAST ((uint64_t)128 << 20) /* the frontier of a large model takes 100 MiB */
#define FRONT_MOST  ((uint64_t)2 << 30)   /* some of the largest plans at once */
#define UNLIMITED   ((uint64_t)1 << 62)   /* cgroup v1 says 2^63 rounded down to a page */

/* A number on the first line, or UINT64_MAX ("max", no such file). */
static uint64_t limit_read(const char *name) {
    char text[64] = "";
    FILE *file = fopen(name, "re");
    if (!file)
        return UINT64_MAX;
    bool got = fgets(text, sizeof text, file);
    fclose(file);
    if (!got || text[0] < '0' || text[0] > '9')
        return UINT64_MAX;
    uint64_t value = strtoull(text, NULL, 10);
    return value >= UNLIMITED ? UINT64_MAX : value;
}

/* The smallest of MOUNT/a/b/FILE, MOUNT/a/FILE, MOUNT/FILE. Levels outside our namespace are not there: they are
 * skipped. */
static uint64_t smallest_on_path(const char *root, const char *mount, const char *path, const char *file) {
    char levels[PATH_BYTES], name[2 * PATH_BYTES];
    uint64_t smallest = UINT64_MAX;
    snprintf(levels, sizeof levels, "%s", path);
    for (;;) {
        snprintf(name, sizeof name, "%s%s%s/%s", root, mount, levels, file);
        smallest = units_min(smallest, limit_read(name));
        char *slash = strrchr(levels, '/');
        if (!slash)
            return smallest;
        *slash = '\0';
    }
}

static uint64_t cgroup_limit(const char *root) {
    char name[PATH_BYTES], line[PATH_BYTES];
    uint64_t smallest = UINT64_MAX;
    snprintf(name, sizeof name, "%s/proc/self/cgroup", root);
    FILE *file = fopen(name, "re");
    while (file && fgets(line, sizeof line, file)) { /* 0::/path (v2) or 4:memory,cpu:/path (v1) */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        if (controllers[1] == '\0')
            smallest = units_min(smallest, smallest_on_path(root, "/sys/fs/cgroup", path, "memory.max"));
        else if (strstr(controllers, "memory"))
            smallest =
                units_min(smallest, smallest_on_path(root, "/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
    }
    if (file)
        fclose(file);
    return smallest;
}

static uint64_t memory_available(const char *root) {
    char name[PATH_BYTES], line[256];
    unsigned long long kib = 0;
    snprintf(name, sizeof name, "%s/proc/meminfo", root);
    FILE *file = fopen(name, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib ? (uint64_t)kib << 10 : UINT64_MAX;
}

/* An eighth of all, within bounds; of little, a quarter. */
static uint64_t front_share(uint64_t total_bytes) {
    return units_min(total_bytes / 4, units_max(FRONT_LEAST, units_min(total_bytes / 8, FRONT_MOST)));
}

struct config_memory config_memory_find(uint64_t wanted_bytes, uint64_t workers, uint64_t threads, const char *root) {
    uint64_t cgroup = cgroup_limit(root), there = units_min(cgroup, memory_available(root));
    uint64_t total = wanted_bytes ? cgroup : there; /* who says how much may mean more than is free just now */
    uint64_t front = front_share(there);
    uint64_t around = front + workers * CONFIG_WORKER_BYTES(threads);
    uint64_t jobs = total == UINT64_MAX ? total : total - units_min(total, around);
    return (struct config_memory){.front_bytes = front,
                                  .room_bytes = front - units_min(front / 4, CONFIG_FRONT_IDLE_BYTES),
                                  .jobs_bytes = wanted_bytes ? units_min(wanted_bytes, jobs) : jobs};
}
