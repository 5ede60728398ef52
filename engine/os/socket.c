/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that inputs listen on, on the network and on paths, and their peers' names. */
#include "os/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/text.h"

/* Digits alone: 0 to 65535. */
static int parse_port(const char *text, uint16_t *out)
{
    uint64_t port = 0;
    int r = text_to_u64(text_of(text), &port);
    if (r < 0 || port > UINT16_MAX) {
        return -EINVAL;
    }
    *out = htons((uint16_t)port);
    return 0;
}

static int parse_v4(const char *host, const char *port, struct socket_address *out)
{
    struct sockaddr_in *in = &out->in;
    *out = (struct socket_address){.bytes = sizeof(*in), .in = {.sin_family = AF_INET}};
    return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? parse_port(port, &in->sin_port) : -EINVAL;
}

static int parse_v6(const char *host, const char *port, struct socket_address *out)
{
    struct sockaddr_in6 *in6 = &out->in6;
    *out = (struct socket_address){.bytes = sizeof(*in6), .in6 = {.sin6_family = AF_INET6}};
    return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1 ? parse_port(port, &in6->sin6_port)
                                                           : -EINVAL;
}

int socket_address_parse(const char *text, struct socket_address *out)
{
    bool bracket = text[0] == '[';
    const char *host = bracket ? text + 1 : text;
    const char *end = strchr(host, bracket ? ']' : ':');
    const char *colon = end == NULL ? NULL : end + bracket;
    char name[INET6_ADDRSTRLEN];
    if (colon == NULL || *colon != ':' || (size_t)(end - host) >= sizeof(name)) {
        return -EINVAL;
    }
    (void)snprintf(name, sizeof(name), "%.*s", (int)(end - host), host);
    if (host == end && !bracket) {
        int r = parse_v6("::", colon + 1, out);
        out->any = true;
        return r;
    }
    return bracket ? parse_v6(name, colon + 1, out) : parse_v4(name, colon + 1, out);
}

uint16_t socket_address_port(const struct socket_address *address)
{
    return ntohs(address->family == AF_INET ? address->in.sin_port : address->in6.sin6_port);
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

bool socket_presses(int fd)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t size = sizeof(memory);
    return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size) == 0 &&
           memory[SK_MEMINFO_RMEM_ALLOC] > memory[SK_MEMINFO_RCVBUF] / 2;
}

static int bind_one(const struct socket_address *address, int type,
    const struct socket_options *options, struct socket_bound *out)
{
    int yes = 1;
    int no = 0;
    struct socket_bound bound = {0};
    YARDER_OWN_FD int fd = socket(address->family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (address->any && address->family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
    }
    if (type == SOCK_STREAM) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    } else {
        (void)setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &yes, sizeof(yes));
        (void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &yes, sizeof(yes));
    }
    int r = socket_raise_receive(fd, options->receive_bytes, &bound.receive_bytes);
    if (r < 0) {
        return r;
    }
    struct socket_address local = {.bytes = sizeof(local.in6)};
    if (bind(fd, &address->generic, address->bytes) < 0 ||
        (type == SOCK_STREAM && listen(fd, SOMAXCONN) < 0) ||
        getsockname(fd, &local.generic, &local.bytes) < 0) {
        return -errno;
    }
    bound.port = socket_address_port(&local);
    bound.fd = yarder_fd_take(&fd);
    *out = bound;
    return 0;
}

static int bind_any(const struct socket_address *address, int type,
    const struct socket_options *options, struct socket_bound *out)
{
    int r = bind_one(address, type, options, out);
    if (address->any && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)) { /* a machine without v6 */
        const struct socket_address v4 = {.any = true,
            .bytes = sizeof(v4.in),
            .in = {.sin_family = AF_INET, .sin_port = address->in6.sin6_port}};
        r = bind_one(&v4, type, options, out);
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

/* The file at the path itself, no link. */
static int open_path(const char *path, struct stat *facts, int *out)
{
    YARDER_OWN_FD int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, facts) < 0) {
        return -errno;
    }
    *out = yarder_fd_take(&fd);
    return 0;
}

/* By the descriptor: whoever may rename in that folder cannot make it another file meanwhile. */
static int give(int path_fd, const struct socket_path_owner *owner)
{
    char name[32];
    bool changes_owner = owner->owner != (uid_t)-1 || owner->group != (gid_t)-1;
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", path_fd);
    return (changes_owner &&
               fchownat(path_fd, "", owner->owner, owner->group, AT_EMPTY_PATH) < 0) ||
                   chmod(name, owner->mode) < 0
               ? -errno
               : 0;
}

int socket_path_change(
    const char *path, const struct os_file_id *file, const struct socket_path_owner *owner)
{
    struct stat facts;
    YARDER_OWN_FD int fd = -1;
    int r = open_path(path, &facts, &fd);
    const struct os_file_id found = {facts.st_dev, facts.st_ino};
    if (r < 0) {
        return r;
    }
    return os_file_id_equal(found, *file) ? give(fd, owner) : -ESTALE;
}

/* What bind has just made at the path: ours, and as it was born. */
static int open_to(const char *path, const struct socket_path_owner *owner, struct os_file_id *file)
{
    struct stat facts;
    YARDER_OWN_FD int fd = -1;
    int r = open_path(path, &facts, &fd);
    if (r < 0) {
        return r;
    }
    if (facts.st_mode != S_IFSOCK || facts.st_uid != geteuid() || facts.st_nlink != 1) {
        return -ESTALE;
    }
    *file = (struct os_file_id){facts.st_dev, facts.st_ino};
    r = give(fd, owner);
    if (r < 0) {
        (void)unlink(path);
    }
    return r;
}

int socket_listen_unix(const char *path, int type, const struct socket_path_owner *owner,
    struct os_file_id *file, int *out)
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
    r = path[0] == '@' ? 0 : open_to(path, owner, file);
    if (r < 0) {
        return r;
    }
    if (type != SOCK_DGRAM && listen(fd, SOMAXCONN) < 0) {
        return -errno;
    }
    *out = yarder_fd_take(&fd);
    return 0;
}

static size_t peer_text_of(int family, const void *address, uint32_t scope, char *out)
{
    (void)inet_ntop(family, address, out, INET6_ADDRSTRLEN);
    size_t length = strlen(out);
    if (scope != 0) {
        length += (size_t)snprintf(out + length, SOCKET_PEER_BYTES_MAX - length, "%%%u", scope);
    }
    return length;
}

size_t socket_peer_text(const struct sockaddr_storage *peer, socklen_t peer_bytes,
    char out[static SOCKET_PEER_BYTES_MAX])
{
    out[0] = '\0';
    if (peer_bytes < sizeof(sa_family_t)) {
        return 0;
    }
    if (peer->ss_family == AF_INET && peer_bytes >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, peer, sizeof(in));
        return peer_text_of(AF_INET, &in.sin_addr, 0, out);
    }
    if (peer->ss_family == AF_INET6 && peer_bytes >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in;
        memcpy(&in, peer, sizeof(in));
        if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
            return peer_text_of(AF_INET, (const char *)&in.sin6_addr + 12, 0, out);
        }
        return peer_text_of(AF_INET6, &in.sin6_addr, in.sin6_scope_id, out);
    }
    return 0;
}
