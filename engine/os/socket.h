/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets that inputs listen on: made by the supervisor once, with the privileges for it. What is
 * made is close-on-exec and non-blocking. Everything here may make system calls and allocate;
 * resolving a name may wait for the network. Never for each record, save socket_peer_text.
 */
#ifndef YARDER_OS_SOCKET_H
#define YARDER_OS_SOCKET_H

#include <sys/socket.h>
#include <sys/types.h>

#include "base/base.h"

enum {
    SOCKET_HOST_BYTES_MAX = 256, /* with the NUL */
    SOCKET_PORT_BYTES_MAX = 8,
    SOCKET_PEER_BYTES_MAX = 128,
};

/* host:port taken apart. */
struct socket_address {
    char host[SOCKET_HOST_BYTES_MAX]; /* "": every address of this machine, v6 and v4 */
    char port[SOCKET_PORT_BYTES_MAX]; /* decimal, 0 (the kernel chooses) to 65535 */
};

/*
 * "host:port", "1.2.3.4:514", "[::]:514", ":514", "*:514", and without a port "host", "[::1]",
 * "::1" where default_port is not NULL. 0; -EINVAL: not of that form, or no port; -ENAMETOOLONG.
 */
YARDER_MUST_USE int socket_address_parse(
    const char *text, const char *default_port, struct socket_address *out);

struct socket_options {
    uint32_t receive_bytes; /* receive buffer to ask for; 0: the kernel's default */
    int backlog;            /* of listening sockets; 0: SOMAXCONN */
};

struct socket_bound {
    int fd;
    uint32_t receive_bytes; /* the buffer that was got: less than asked for without privileges */
    uint16_t port;          /* as bound; 0 for unix sockets */
};

/*
 * A bound UDP socket with SO_RXQ_OVFL and UDP_GRO on (where the kernel has them), or a listening
 * TCP socket with SO_REUSEADDR. 0; -ENOENT: no such host; -EAGAIN: the resolver is not to be
 * had now; else the -errno of socket, bind or listen.
 */
YARDER_MUST_USE int socket_bind_udp(const struct socket_address *address,
    const struct socket_options *options, struct socket_bound *out);
YARDER_MUST_USE int socket_bind_tcp(const struct socket_address *address,
    const struct socket_options *options, struct socket_bound *out);

/* Who may use a unix socket's path. */
struct socket_path_owner {
    mode_t mode;
    uid_t owner; /* (uid_t)-1: as made */
    gid_t group; /* (gid_t)-1: as made */
};

/*
 * A unix socket (SOCK_STREAM or SOCK_SEQPACKET: listening; SOCK_DGRAM: bound) at `path`; "@name"
 * is the abstract name. It is not open to anyone before mode and owner are set. A socket left by
 * a dead process is replaced. 0; -EADDRINUSE: somebody answers there; -EEXIST: what is there is
 * no socket; -ENAMETOOLONG: over 107 bytes; else -errno.
 */
YARDER_MUST_USE int socket_listen_unix(
    const char *path, int type, const struct socket_path_owner *owner, int *out);

/* Raises the receive buffer by SO_RCVBUFFORCE, else SO_RCVBUF; `got_bytes` is what it is then. */
YARDER_MUST_USE int socket_raise_receive(int fd, uint32_t receive_bytes, uint32_t *got_bytes);

/*
 * A peer's address as text with a NUL: "192.0.2.1" (also for a v4 address mapped into v6),
 * "2001:db8::1", "fe80::1%2", a unix socket's path or "@name"; with_port appends ":514" and sets
 * v6 in brackets. Bytes that are no printable ASCII become '?'. Returns the length; 0 for a peer
 * without an address. No system call.
 */
size_t socket_peer_text(const struct sockaddr_storage *peer, socklen_t peer_bytes, bool with_port,
    char out[static SOCKET_PEER_BYTES_MAX]);

#endif
