/* http_connections.c - who is connected: so many at once, and so many of them from one address. Beyond either limit a
 * connection is taken to hear 503; one address that goes on is not taken at all, or its silent connections would fill
 * the room that the probes and the others' 503 need. */
#include "server/http_private.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"

/* IPv4 as ::ffff:a.b.c.d; of IPv6 the network alone, since who has one has all of its 2^64 addresses. */
static struct http_address address_of(const struct sockaddr *from) {
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct http_address address = {0};
    if (from && from->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)from;
        memcpy(address.bytes, mapped, sizeof mapped);
        memcpy(address.bytes + sizeof mapped, &v4->sin_addr, sizeof v4->sin_addr);
        address.known = true;
        address.loopback = address.bytes[sizeof mapped] == 127;
    } else if (from && from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)from;
        bool is_v4 = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
        memcpy(address.bytes, &v6->sin6_addr, is_v4 ? sizeof address.bytes : sizeof address.bytes / 2);
        address.known = true;
        address.loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) || (is_v4 && address.bytes[sizeof mapped] == 127);
    }
    return address;
}

unsigned http_address_limit(const struct http_options *options) {
    return options->connections_per_address ? options->connections_per_address
                                            : (unsigned)units_max(options->connections / 2, 1);
}

/* A proxy on this machine speaks for many, and so does nobody who comes through a file: they are not counted, unless
 * the limit was asked for. */
static bool is_counted(const struct http *http, const struct http_address *address) {
    return address->known && (!address->loopback || http->options.connections_per_address);
}

/* http->lock is held. */
static unsigned count_from(const struct http *http, const struct http_address *address) {
    unsigned n = 0;
    for (const struct http_connection *c = http->connections; c; c = c->next)
        n += c->address.known && memcmp(c->address.bytes, address->bytes, sizeof address->bytes) == 0;
    return n;
}

http_result http_connection_may(void *listener, const struct sockaddr *from, socklen_t size) {
    struct http *http = ((struct http_listener *)listener)->http;
    struct http_address address = address_of(from);
    (void)size;
    if (!is_counted(http, &address))
        return MHD_YES;
    pthread_mutex_lock(&http->lock);
    unsigned n = count_from(http, &address);
    pthread_mutex_unlock(&http->lock);
    return n < 2 * http_address_limit(&http->options) ? MHD_YES : MHD_NO;
}

static void connection_add(struct http_listener *listener, struct MHD_Connection *mhd, void **socket_context) {
    struct http *http = listener->http;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *peer = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct http_connection *connection = calloc(1, sizeof *connection);
    *socket_context = connection; /* NULL: its requests are refused */
    if (!connection)
        return;
    connection->listener = listener;
    connection->fd = info->connect_fd;
    connection->address = address_of(peer ? peer->client_addr : NULL);
    arena_init(&connection->arena, HTTP_ARENA_MAX);
    http_phase_set(connection, PHASE_HEADERS, 0);
    pthread_mutex_lock(&http->lock);
    connection->crowd = is_counted(http, &connection->address) &&
                        count_from(http, &connection->address) >= http_address_limit(&http->options);
    connection->surplus = ++http->n_connections > http->options.connections || connection->crowd;
    connection->next = http->connections;
    if (connection->next)
        connection->next->previous = connection;
    http->connections = connection;
    pthread_mutex_unlock(&http->lock);
}

static void connection_remove(struct http *http, struct http_connection *connection) {
    if (!connection)
        return;
    pthread_mutex_lock(&http->lock);
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        http->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    http->n_connections--;
    pthread_mutex_unlock(&http->lock);
    arena_free(&connection->arena);
    free(connection);
}

void http_connection_notify(void *listener, struct MHD_Connection *mhd, void **socket_context,
                            enum MHD_ConnectionNotificationCode code) {
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_add(listener, mhd, socket_context);
    else
        connection_remove(((struct http_listener *)listener)->http, *socket_context);
}
