/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that inputs listen on, on the network and on paths, and their peers' names. */
#include "os/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

static int copy_text(char *out, size_t out_bytes, const char *from, size_t length)
{
    if (length >= out_bytes) {
        return -ENAMETOOLONG;
    }
    memcpy(out, from, length);
    out[length] = '\0';
    return 0;
}

static bool port_is_good(const char *port)
{
    unsigned value = 0;
    size_t length = strlen(port);
    for (size_t i = 0; i < length; i++) {
        if (port[i] < '0' || port[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(port[i] - '0');
    }
    return length > 0 && length <= 5 && value <= UINT16_MAX;
}

int socket_address_parse(const char *text, const char *default_port, struct socket_address *out)
{
    const char *host = text;
    const char *colon = strrchr(text, ':');
    size_t host_length = strlen(text);
    if (text[0] == '[') {
        const char *bracket = strchr(text, ']');
        if (bracket == NULL || (bracket[1] != '\0' && bracket[1] != ':')) {
            return -EINVAL;
        }
        host = text + 1;
        host_length = (size_t)(bracket - host);
        colon = bracket[1] == ':' ? bracket + 1 : NULL;
        if (memchr(host, ':', host_length) == NULL) {
            return -EINVAL; /* brackets are for v6 */
        }
    } else if (colon != NULL && strchr(text, ':') != colon) {
        colon = NULL; /* a bare v6 address */
    } else if (colon != NULL) {
        host_length = (size_t)(colon - text);
    }
    if (host_length == 1 && host[0] == '*') {
        host_length = 0;
    }
    struct socket_address address = {0};
    const char *port = colon != NULL ? colon + 1 : default_port;
    if (port == NULL || !port_is_good(port)) {
        return -EINVAL;
    }
    int r = copy_text(address.host, sizeof(address.host), host, host_length);
    if (r == 0) {
        r = copy_text(address.port, sizeof(address.port), port, strlen(port));
    }
    if (r == 0) {
        *out = address;
    }
    return r;
}

int socket_raise_receive(int fd, uint32_t receive_bytes, uint32_t *got_bytes)
{
    int value = (int)yarder_min(receive_bytes, INT32_MAX / 2);
    socklen_t size = sizeof(value);
    if (value > 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &value, size) < 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, size) < 0) {
        return -errno;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &size) < 0) {
        return -errno;
    }
    *got_bytes = (uint32_t)value / 2; /* the kernel counts its own overhead double */
    return 0;
}

static int resolver_error(int code)
{
    switch (code) {
    case EAI_NONAME:
    case EAI_NODATA:
        return -ENOENT;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return -errno;
    default:
        return -EADDRNOTAVAIL;
    }
}

static void info_drop(struct addrinfo **info)
{
    if (*info != NULL) {
        freeaddrinfo(*info);
    }
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage local = {0};
    socklen_t size = sizeof(local);
    if (getsockname(fd, (struct sockaddr *)&local, &size) < 0) {
        return 0;
    }
    /* sin_port and sin6_port lie at the same place. */
    struct sockaddr_in in;
    memcpy(&in, &local, sizeof(in));
    return ntohs(in.sin_port);
}

static int bind_one(const struct addrinfo *info, bool both_families,
    const struct socket_options *options, struct socket_bound *out)
{
    int yes = 1;
    int no = 0;
    struct socket_bound bound = {0};
    YARDER_OWN_FD int fd =
        socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (info->ai_family == AF_INET6 && both_families) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
    }
    if (info->ai_socktype == SOCK_STREAM) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    } else {
        (void)setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &yes, sizeof(yes));
        (void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &yes, sizeof(yes));
    }
    int r = socket_raise_receive(fd, options->receive_bytes, &bound.receive_bytes);
    if (r < 0) {
        return r;
    }
    int backlog = options->backlog > 0 ? options->backlog : SOMAXCONN;
    if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 ||
        (info->ai_socktype == SOCK_STREAM && listen(fd, backlog) < 0)) {
        return -errno;
    }
    bound.port = bound_port(fd);
    bound.fd = yarder_fd_take(&fd);
    *out = bound;
    return 0;
}

static int bind_host(const char *host, bool both_families, const char *port, int type,
    const struct socket_options *options, struct socket_bound *out)
{
    struct addrinfo hints = {
        .ai_socktype = type,
        .ai_flags = AI_NUMERICSERV | AI_PASSIVE,
    };
    __attribute__((cleanup(info_drop))) struct addrinfo *infos = NULL;
    int code = getaddrinfo(host, port, &hints, &infos);
    if (code != 0) {
        return resolver_error(code);
    }
    int r = -EADDRNOTAVAIL;
    for (const struct addrinfo *info = infos; info != NULL && r != 0; info = info->ai_next) {
        int error = bind_one(info, both_families, options, out);
        r = error == 0 || info == infos ? error : r; /* the first one's error is the telling one */
    }
    return r;
}

static int bind_any(const struct socket_address *address, int type,
    const struct socket_options *options, struct socket_bound *out)
{
    if (address->host[0] != '\0') {
        return bind_host(address->host, false, address->port, type, options, out);
    }
    int r = bind_host("::", true, address->port, type, options, out);
    if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) { /* a machine without v6 */
        r = bind_host("0.0.0.0", false, address->port, type, options, out);
    }
    return r;
}

int socket_bind_udp(const struct socket_address *address, const struct socket_options *options,
    struct socket_bound *out)
{
    return bind_any(address, SOCK_DGRAM, options, out);
}

int socket_bind_tcp(const struct socket_address *address, const struct socket_options *options,
    struct socket_bound *out)
{
    return bind_any(address, SOCK_STREAM, options, out);
}

static int unix_address(const char *path, struct sockaddr_un *address, socklen_t *address_bytes)
{
    size_t length = strlen(path);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length == 0) {
        return -EINVAL;
    }
    if (length >= sizeof(address->sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address->sun_path, path, length);
    bool is_abstract = path[0] == '@';
    if (is_abstract) {
        address->sun_path[0] = '\0';
    }
    size_t bytes = offsetof(struct sockaddr_un, sun_path) + length + !is_abstract;
    *address_bytes = (socklen_t)bytes;
    return 0;
}

/* Whether the socket at the path belongs to nobody: then it is unlinked and the answer is 0. */
static int clear_stale(
    const char *path, int type, const struct sockaddr_un *address, socklen_t address_bytes)
{
    struct stat status;
    if (path[0] == '@') {
        return -EADDRINUSE; /* an abstract name dies with its socket */
    }
    if (lstat(path, &status) < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (!S_ISSOCK(status.st_mode)) {
        return -EEXIST;
    }
    YARDER_OWN_FD int probe = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        return -errno;
    }
    if (connect(probe, (const struct sockaddr *)address, address_bytes) == 0) {
        return -EADDRINUSE;
    }
    if (errno == ENOENT) {
        return 0;
    }
    if (errno != ECONNREFUSED) { /* a full backlog, another type: alive all the same */
        return errno == EACCES ? -EACCES : -EADDRINUSE;
    }
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int open_to(const char *path, const struct socket_path_owner *owner)
{
    if (path[0] == '@') {
        return 0;
    }
    bool changes_owner = owner->owner != (uid_t)-1 || owner->group != (gid_t)-1;
    if ((changes_owner && lchown(path, owner->owner, owner->group) < 0) ||
        chmod(path, owner->mode) < 0) {
        int error = -errno;
        (void)unlink(path);
        return error;
    }
    return 0;
}

int socket_listen_unix(const char *path, int type, const struct socket_path_owner *owner, int *out)
{
    struct sockaddr_un address;
    socklen_t address_bytes = 0;
    int r = unix_address(path, &address, &address_bytes);
    if (r < 0) {
        return r;
    }
    YARDER_OWN_FD int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || fchmod(fd, 0) < 0) { /* the path is born with this mode: nobody gets in early */
        return -errno;
    }
    if (bind(fd, (const struct sockaddr *)&address, address_bytes) < 0) {
        r = errno == EADDRINUSE ? clear_stale(path, type, &address, address_bytes) : -errno;
        if (r == 0 && bind(fd, (const struct sockaddr *)&address, address_bytes) < 0) {
            r = -errno;
        }
        if (r < 0) {
            return r;
        }
    }
    r = open_to(path, owner);
    if (r < 0) {
        return r;
    }
    if (type != SOCK_DGRAM && listen(fd, SOMAXCONN) < 0) {
        return -errno;
    }
    *out = yarder_fd_take(&fd);
    return 0;
}

static size_t unix_peer_text(const struct sockaddr_storage *peer, socklen_t peer_bytes, char *out)
{
    size_t at = offsetof(struct sockaddr_un, sun_path);
    size_t length = peer_bytes > at ? peer_bytes - at : 0;
    const char *name = (const char *)peer + at;
    bool is_abstract = length > 0 && name[0] == '\0';
    if (!is_abstract) {
        length = strnlen(name, length);
    }
    length = (size_t)yarder_min(length, SOCKET_PEER_BYTES_MAX - 1);
    for (size_t i = 0; i < length; i++) {
        out[i] = name[i] >= ' ' && name[i] <= '~' ? name[i] : '?';
    }
    if (is_abstract) {
        out[0] = '@';
    }
    out[length] = '\0';
    return length;
}

static size_t peer_text_of(
    int family, const void *address, uint32_t scope, uint16_t port, bool with_port, char *out)
{
    char host[INET6_ADDRSTRLEN] = "";
    char scope_text[16] = "";
    char port_text[16] = "";
    (void)inet_ntop(family, address, host, sizeof(host));
    if (scope != 0) {
        (void)snprintf(scope_text, sizeof(scope_text), "%%%u", scope);
    }
    if (with_port) {
        (void)snprintf(port_text, sizeof(port_text), ":%u", port);
    }
    bool brackets = with_port && family == AF_INET6;
    int length = snprintf(out, SOCKET_PEER_BYTES_MAX, "%s%s%s%s%s", brackets ? "[" : "", host,
        scope_text, brackets ? "]" : "", port_text);
    YARDER_ASSERT(length > 0 && length < SOCKET_PEER_BYTES_MAX);
    return (size_t)length;
}

size_t socket_peer_text(const struct sockaddr_storage *peer, socklen_t peer_bytes, bool with_port,
    char out[static SOCKET_PEER_BYTES_MAX])
{
    out[0] = '\0';
    if (peer_bytes < sizeof(sa_family_t)) {
        return 0;
    }
    if (peer->ss_family == AF_UNIX) {
        return unix_peer_text(peer, peer_bytes, out);
    }
    if (peer->ss_family == AF_INET && peer_bytes >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, peer, sizeof(in));
        return peer_text_of(AF_INET, &in.sin_addr, 0, ntohs(in.sin_port), with_port, out);
    }
    if (peer->ss_family == AF_INET6 && peer_bytes >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in;
        memcpy(&in, peer, sizeof(in));
        uint16_t port = ntohs(in.sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
            return peer_text_of(AF_INET, (const char *)&in.sin6_addr + 12, 0, port, with_port, out);
        }
        return peer_text_of(AF_INET6, &in.sin6_addr, in.sin6_scope_id, port, with_port, out);
    }
    return 0;
}
