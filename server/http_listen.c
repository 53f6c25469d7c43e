/* http_listen.c - the sockets of the front: a TCP address, a file, or what systemd opened for us (sd_listen_fds(3)). */
#include "server/http_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/config.h"

#define BACKLOG         256
#define INHERITED_FIRST 3

union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un file;
    struct sockaddr_storage storage;
};

static struct http_listener *listener_new(struct http *http, int fd) {
    struct http_listener *listener = &http->listeners[http->n_listeners++];
    *listener = (struct http_listener){.http = http, .fd = fd, .local = true};
    return listener;
}

/* What we are bound to, and how it is called. */
static bool listener_describe(struct http_listener *listener, struct problem *why) {
    union any_address at = {0};
    socklen_t size = sizeof at;
    char text[INET6_ADDRSTRLEN] = "";
    if (getsockname(listener->fd, &at.any, &size) != 0)
        return problem_set(why, PROBLEM_IO, "", "a socket has no name: %s", strerror(errno));
    if (at.any.sa_family == AF_UNIX) {
        snprintf(listener->url, sizeof listener->url, "unix:%s%.107s", at.file.sun_path[0] ? "" : "@",
                 at.file.sun_path + !at.file.sun_path[0]);
        return true;
    }
    bool v6 = at.any.sa_family == AF_INET6;
    if (!v6 && at.any.sa_family != AF_INET)
        return problem_set(why, PROBLEM_UNSUPPORTED, "", "a socket is neither TCP nor a file");
    inet_ntop(at.any.sa_family, v6 ? (void *)&at.v6.sin6_addr : (void *)&at.v4.sin_addr, text, sizeof text);
    uint16_t port = ntohs(v6 ? at.v6.sin6_port : at.v4.sin_port);
    listener->local = config_is_loopback(text);
    listener->tls = listener->http->tls != NULL;
    if (!listener->http->port)
        listener->http->port = port;
    snprintf(listener->url, sizeof listener->url, "%s://%s%s%s:%u", listener->tls ? "https" : "http", v6 ? "[" : "",
             text, v6 ? "]" : "", port);
    return true;
}

static bool tcp_listen(struct http *http, struct problem *why) {
    const char *address = http->options.address;
    union any_address at = {0};
    bool v6 = strchr(address, ':') != NULL;
    int one = 1;
    at.any.sa_family = v6 ? AF_INET6 : AF_INET;
    *(v6 ? &at.v6.sin6_port : &at.v4.sin_port) = htons(http->options.port);
    if (inet_pton(at.any.sa_family, address, v6 ? (void *)&at.v6.sin6_addr : (void *)&at.v4.sin_addr) != 1)
        return problem_set(why, PROBLEM_IO, "", "cannot listen on %.60s: not a numeric address", address);
    struct http_listener *listener =
        listener_new(http, socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    int fd = listener->fd;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, &at.any, v6 ? sizeof at.v6 : sizeof at.v4) != 0 || listen(fd, BACKLOG) != 0)
        return problem_set(why, PROBLEM_IO, "", "--listen: cannot listen on %.60s port %u: %s", address,
                           http->options.port, strerror(errno));
    return listener_describe(listener, why);
}

/* A socket that nobody listens on is left of a daemon that died. Anything else at the path is somebody's. */
static bool stale_remove(const struct sockaddr_un *at, struct problem *why) {
    struct stat file;
    if (lstat(at->sun_path, &file) != 0)
        return true; /* bind will say what is wrong, if anything is */
    if (!S_ISSOCK(file.st_mode))
        return problem_set(why, PROBLEM_STATE, "", "--listen: %.107s is there, and no socket", at->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool dead = fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) != 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return (dead && unlink(at->sun_path) == 0) ||
           problem_set(why, PROBLEM_STATE, "", "--listen: another process listens on %.107s", at->sun_path);
}

static bool file_listen(struct http *http, struct problem *why) {
    const char *path = http->options.unix_path;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct stat file;
    if (strlen(path) >= sizeof at.sun_path)
        return problem_set(why, PROBLEM_LIMIT, "", "--listen: the path of a socket has at most %zu bytes",
                           sizeof at.sun_path - 1);
    strcpy(at.sun_path, path);
    if (!stale_remove(&at, why))
        return false;
    struct http_listener *listener = listener_new(http, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (listener->fd < 0 || bind(listener->fd, (struct sockaddr *)&at, sizeof at) != 0)
        return problem_set(why, PROBLEM_IO, "", "--listen: cannot make the socket %.107s: %s", path, strerror(errno));
    strcpy(listener->path, path); /* ours from here on */
    if (chmod(path, 0600) != 0 || lstat(path, &file) != 0 || listen(listener->fd, BACKLOG) != 0)
        return problem_set(why, PROBLEM_IO, "", "--listen: cannot listen on %.107s: %s", path, strerror(errno));
    listener->file = file.st_ino;
    return listener_describe(listener, why);
}

/* How many sockets we were handed. Nobody we start is to take them for his. */
static unsigned inherited_count(void) {
    const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
    unsigned long count = pid && n && strtoul(pid, NULL, 10) == (unsigned long)getpid() ? strtoul(n, NULL, 10) : 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return count > 1000 ? 0 : (unsigned)count;
}

static bool inherited_take(struct http *http, int fd, struct problem *why) {
    int listens = 0, type = 0;
    socklen_t size = sizeof listens;
    if (http->n_listeners == HTTP_LISTENERS_MAX)
        return problem_set(why, PROBLEM_LIMIT, "", "LISTEN_FDS: at most %d sockets are served", HTTP_LISTENERS_MAX);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || !listens ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
        return problem_set(why, PROBLEM_STATE, "", "LISTEN_FDS: descriptor %d is no stream socket that listens", fd);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
        return problem_set(why, PROBLEM_IO, "", "LISTEN_FDS: descriptor %d: %s", fd, strerror(errno));
    struct http_listener *listener = listener_new(http, fd);
    listener->lent = true;
    return listener_describe(listener, why) &&
           (listener->local || http->options.insecure ||
            problem_set(why, PROBLEM_STATE, "",
                        "LISTEN_FDS: other machines reach %.150s and there are no tokens (--tokens); if that is meant, "
                        "add --insecure or REMATD_INSECURE=1",
                        listener->url));
}

void http_notify(const char *state) {
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (!name || (*name != '/' && *name != '@') || strlen(name) >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, name, strlen(name));
    if (*name == '@')
        to.sun_path[0] = '\0'; /* abstract: its length counts, not its end */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name)));
    close(fd);
}

bool http_listen(struct http *http, struct problem *why) {
    const struct http_options *options = &http->options;
    unsigned inherited = options->inherit ? inherited_count() : 0;
    for (unsigned i = 0; i < inherited; i++)
        if (!inherited_take(http, INHERITED_FIRST + (int)i, why))
            return false;
    if (inherited)
        return true;
    return (!options->address || !*options->address || tcp_listen(http, why)) &&
           (!options->unix_path || !*options->unix_path || file_listen(http, why));
}

void http_listen_refuse(struct http *http) {
    for (unsigned i = 0; i < http->n_listeners; i++) {
        struct http_listener *listener = &http->listeners[i];
        struct stat file;
        if (*listener->path && lstat(listener->path, &file) == 0 && file.st_ino == listener->file)
            unlink(listener->path); /* not one that another daemon has put in its place */
        listener->path[0] = '\0';
        if (listener->fd >= 0 && !listener->lent)
            shutdown(listener->fd, SHUT_RD);
    }
}

void http_listen_close(struct http *http) {
    http_listen_refuse(http);
    for (unsigned i = 0; i < http->n_listeners; i++) {
        if (http->listeners[i].fd >= 0)
            close(http->listeners[i].fd);
        http->listeners[i].fd = -1;
    }
}
