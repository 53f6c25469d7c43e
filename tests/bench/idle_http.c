/* idle_http.c - a handler that does nothing, in the pool of threads the daemon has: what http.sh measures the daemon
 * against. Prints its port; ends with its standard input. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/http_private.h"

static http_result answer(void *reply, struct MHD_Connection *mhd, const char *url, const char *method,
                          const char *version, const char *upload, size_t *upload_bytes, void **context) {
    static char seen;
    (void)url, (void)method, (void)version, (void)upload;
    if (!*context) {
        *context = &seen;
        return MHD_YES;
    }
    if (*upload_bytes) {
        *upload_bytes = 0;
        return MHD_YES;
    }
    return MHD_queue_response(mhd, 200, reply);
}

int main(void) {
    static char body[] = "{}";
    struct MHD_Response *reply = MHD_create_response_from_buffer(sizeof body - 1, body, MHD_RESPMEM_PERSISTENT);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        HTTP_DAEMON_FLAGS, 0, NULL, NULL, answer, reply, MHD_OPTION_THREAD_POOL_SIZE, HTTP_POOL_THREADS,
        MHD_OPTION_CONNECTION_LIMIT, 576u, MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_CONNECTION_MEMORY, HTTP_STRICT_OPTION, 1, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info)
        return 1;
    printf("%u\n", (unsigned)info->port);
    fflush(stdout);
    for (char byte; read(STDIN_FILENO, &byte, 1) > 0;)
        ;
    MHD_stop_daemon(daemon);
    MHD_destroy_response(reply);
    return 0;
}
