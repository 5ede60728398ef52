/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a link and connecting it: one address after the other, each with its part of the time. */
#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "link_private.h"

enum {
    KEEP_IDLE_S = 60, /* a peer that is gone without a word is noticed after about two minutes */
    KEEP_INTERVAL_S = 10,
    KEEP_COUNT = 6,
    UNSENT_BYTES = 128 << 10, /* of what waits in our kernel, and is lost with the connection */
    DRAIN_READS_MAX = 64
};
static const uint64_t backlog_pause_ns = 10ull * 1000 * 1000;

uint64_t link_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const char *link_error_text(int error)
{
    const char *text = strerrordesc_np(error < 0 ? -error : error);
    return text != NULL ? text : "unknown error";
}

int link_wait(struct link *link, int fd, short events, uint64_t deadline_ns)
{
    int r = link->host->wait(link->host, fd, events, deadline_ns);
    return r > 0 ? 0 : r == 0 ? -ETIMEDOUT : r;
}

/* What the peer's kernel has not answered for; of a connection that is broken, too. */
static int unanswered_bytes(const struct link *link)
{
    int bytes = 0;
    bool stream = link->kind == LINK_TCP || link->kind == LINK_TLS;
    return stream && ioctl(link->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? bytes : 0;
}

int link_broken(struct link *link, const char *what, int error)
{
    int positive = error < 0 ? -error : error;
    int bytes = unanswered_bytes(link);
    link_drop(link);
    if (bytes > 0) {
        return link->host->fail(link->host, -positive,
            "%s: %s: %s; at least %d bytes before it have not arrived", link->shown, what,
            link_error_text(error), bytes);
    }
    return link->host->fail(
        link->host, -positive, "%s: %s: %s", link->shown, what, link_error_text(error));
}

int link_late(struct link *link, const char *what)
{
    return link->host->fail(link->host, -ETIMEDOUT, "%s: %s", link->shown, what);
}

int link_open(struct link **out, struct yarder_host *host, const struct link_address *address,
    const struct link_tls *tls)
{
    struct link *link = calloc(1, sizeof(*link));
    if (link == NULL) {
        return host->fail(host, -ENOMEM, "no memory for a connection");
    }
    *link = (struct link){
        .host = host, .address = address, .tls = tls, .kind = address->kind, .fd = -1};
    (void)link_show(address, link->shown, sizeof(link->shown));
    int r = address->kind == LINK_TLS ? link_tls_open(link) : 0;
    if (r < 0) {
        link_close(link);
        return r;
    }
    *out = link;
    return 0;
}

void link_close(struct link *link)
{
    if (link != NULL) {
        link_drop(link);
        link_tls_close(link);
        link_abandon_lookup(link);
        free(link);
    }
}

/* Closed with something unread, a connection is reset, and what the peer has yet to read is lost.
 */
static void drain(int fd)
{
    char rest[4096];
    (void)shutdown(fd, SHUT_WR);
    for (int i = 0; i < DRAIN_READS_MAX && recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0; i++) {
    }
}

void link_drop(struct link *link)
{
    link->begun = link->begun_sent = link->begun_counted = 0;
    if (link->fd >= 0) {
        link_tls_stop(link);
        drain(link->fd);
        (void)close(link->fd);
        link->fd = -1;
    }
}

bool link_is_connected(const struct link *link)
{
    return link->fd >= 0;
}

int link_fd(const struct link *link)
{
    return link->fd;
}

bool link_sends_datagrams(const struct link *link)
{
    return link->kind == LINK_UDP || link->kind == LINK_UNIX_DATAGRAM;
}

void link_set_multicast(struct link *link, const struct link_multicast *multicast)
{
    link->multicast = multicast;
}

static int set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int set_group(int fd, int family, const struct link_multicast *multicast)
{
    bool six = family == AF_INET6;
    int level = six ? IPPROTO_IPV6 : IPPROTO_IP;
    int r = set(fd, level, six ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL, (int)multicast->ttl);
    if (r == 0) {
        r = set(fd, level, six ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP, multicast->loop);
    }
    if (r < 0 || multicast->interface == NULL) {
        return r;
    }
    unsigned index = if_nametoindex(multicast->interface);
    if (index == 0) {
        return -ENODEV;
    }
    const struct ip_mreqn four = {.imr_ifindex = (int)index};
    return six ? set(fd, level, IPV6_MULTICAST_IF, (int)index)
           : setsockopt(fd, level, IP_MULTICAST_IF, &four, sizeof(four)) < 0 ? -errno
                                                                             : 0;
}

/* Comforts; a kernel that lacks one is no reason not to speak. */
static void set_stream(int fd)
{
    (void)set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    (void)set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    (void)set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S);
    (void)set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S);
    (void)set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT);
    (void)set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES);
}

/* connect() of a socket that does not wait, brought to its end. */
static int finish_connect(struct link *link, const struct link_place *to, uint64_t deadline_ns)
{
    const struct sockaddr *at = (const struct sockaddr *)&to->at;
    int r = connect(link->fd, at, to->bytes) == 0 ? 0 : -errno;
    while (r == -EAGAIN) { /* a unix socket whose backlog is full: nothing tells when it is not */
        uint64_t until_ns = link_now_ns() + backlog_pause_ns;
        r = link_wait(link, -1, 0, until_ns < deadline_ns ? until_ns : deadline_ns);
        if (r == -ETIMEDOUT && until_ns < deadline_ns) {
            r = connect(link->fd, at, to->bytes) == 0 ? 0 : -errno;
        }
    }
    if (r != -EINPROGRESS && r != -EINTR) {
        return r;
    }
    r = link_wait(link, link->fd, POLLOUT, deadline_ns);
    int error = 0;
    socklen_t error_bytes = sizeof(error);
    if (r == 0 && getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) < 0) {
        error = errno;
    }
    return r == 0 ? -error : r;
}

/*
 * A port of our own machine on which nobody listens may be given to the very socket that asks for
 * it: then it is connected to itself, and would take records for good.
 */
static bool is_itself(int fd)
{
    struct sockaddr_storage own;
    struct sockaddr_storage peer;
    socklen_t own_bytes = sizeof(own);
    socklen_t peer_bytes = sizeof(peer);
    return getsockname(fd, (struct sockaddr *)&own, &own_bytes) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_bytes) == 0 && own_bytes == peer_bytes &&
           memcmp(&own, &peer, own_bytes) == 0;
}

static int connect_to(struct link *link, const struct link_place *to, uint64_t deadline_ns)
{
    int type = link_sends_datagrams(link) ? SOCK_DGRAM : SOCK_STREAM;
    int family = ((const struct sockaddr *)&to->at)->sa_family;
    link->fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0) {
        return -errno;
    }
    int r = 0;
    if (family != AF_UNIX && type == SOCK_STREAM) {
        set_stream(link->fd);
    } else if (family != AF_UNIX) {
        (void)set(link->fd, SOL_SOCKET, SO_BROADCAST, 1);
        r = link->multicast != NULL ? set_group(link->fd, family, link->multicast) : 0;
    }
    if (r == 0) {
        r = finish_connect(link, to, deadline_ns);
    }
    if (r == 0 && family != AF_UNIX && type == SOCK_STREAM && is_itself(link->fd)) {
        r = -ECONNREFUSED;
    }
    if (r < 0) {
        (void)close(link->fd);
        link->fd = -1;
    }
    return r;
}

static int tell_connect(struct link *link, int error, const struct link_place *to)
{
    char number[NI_MAXHOST];
    if (to != NULL &&
        getnameinfo((const struct sockaddr *)&to->at, to->bytes, number, sizeof(number), NULL, 0,
            NI_NUMERICHOST) == 0 &&
        strcmp(number, link->address->host) != 0) {
        return link->host->fail(link->host, error, "connect to %s (%s): %s", link->shown, number,
            link_error_text(error));
    }
    return link->host->fail(
        link->host, error, "connect to %s: %s", link->shown, link_error_text(error));
}

static int connect_path(struct link *link, uint64_t deadline_ns)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const char *path = link->address->path;
    size_t length = strlen(path);
    if (length >= sizeof(at.sun_path)) {
        return link->host->fail(link->host, -ENAMETOOLONG, "%s: path too long", link->shown);
    }
    memcpy(at.sun_path, path, length);
    socklen_t bytes = sizeof(at);
    if (path[0] == '@') {
        at.sun_path[0] = '\0';
        bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    }
    struct link_place to = {.bytes = bytes};
    memcpy(&to.at, &at, sizeof(at));
    int r = connect_to(link, &to, deadline_ns);
    if (r == -EPROTOTYPE && link->address->either) {
        link->kind = link->kind == LINK_UNIX_STREAM ? LINK_UNIX_DATAGRAM : LINK_UNIX_STREAM;
        r = connect_to(link, &to, deadline_ns);
    }
    return r < 0 && r != -ECANCELED ? tell_connect(link, r, NULL) : r;
}

int link_connect_place(struct link *link, uint32_t place, uint64_t deadline_ns)
{
    if (link->fd >= 0) {
        link_drop(link);
    }
    link->place = place;
    int r = connect_to(link, &link->places[place], deadline_ns);
    return r < 0 && r != -ECANCELED ? tell_connect(link, r, &link->places[place]) : r;
}

/* Who does not answer at one address leaves time for the others. */
static int connect_host(struct link *link, uint64_t deadline_ns)
{
    int r = link_resolve(link, deadline_ns);
    if (r < 0) {
        return r;
    }
    for (uint32_t i = 0; i < link->places_count; i++) {
        uint64_t now_ns = link_now_ns();
        uint64_t left_ns = now_ns < deadline_ns ? deadline_ns - now_ns : 0;
        uint64_t part_ns = now_ns + left_ns / (link->places_count - i);
        r = link_connect_place(link, i, part_ns);
        if (r == 0 && link->kind == LINK_TLS) {
            r = link_tls_start(link, part_ns);
            if (r < 0) {
                link_drop(link);
            }
        }
        if (r == 0 || r == -ECANCELED) {
            return r;
        }
    }
    return r;
}

int link_connect(struct link *link, uint64_t deadline_ns)
{
    bool by_name = link->address->host != NULL;
    if (link->fd >= 0 && by_name && link->kind == LINK_UDP && link_has_moved(link)) {
        return link_connect_place(link, 0, deadline_ns);
    }
    if (link->fd >= 0) {
        return 0;
    }
    return by_name ? connect_host(link, deadline_ns) : connect_path(link, deadline_ns);
}
