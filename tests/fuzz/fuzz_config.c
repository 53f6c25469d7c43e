/* fuzz_config.c - any bytes as the file of --config: settings within their bounds, or a problem that names a line. */
#include "tests/fuzz/ask.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    struct config config;
    struct problem why = {0};
    char name[48], option[] = "--config", data[] = "--data", where[] = "/tmp";
    char *args[] = {option, name, data, where}, *environment[] = {NULL};
    int fd = memfd_create("config", MFD_CLOEXEC);
    check(fd >= 0 && write(fd, bytes, n) == (ssize_t)n, "no memory file");
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (config_read(&config, CONFIG_SERVE, 4, args, environment, &why)) {
        check(config.port <= 65535 && config.workers <= 64 && config.threads >= 1, "a setting out of its bounds");
        check(strlen(config.address) < sizeof config.address && strcmp(config.data_dir, where) == 0,
              "a text is no text");
    } else {
        check(why.kind != PROBLEM_NONE && why.detail[0], "refused without a word");
    }
    close(fd);
    return 0;
}
