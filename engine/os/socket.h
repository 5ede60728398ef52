/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets that inputs listen on: made by the supervisor once, with the privileges for it. What is
 * made is close-on-exec and non-blocking. Addresses are numbers: nobody is asked for a name.
 */
#ifndef YARDER_OS_SOCKET_H
#define YARDER_OS_SOCKET_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "os/memory.h"

enum { SOCKET_PEER_BYTES_MAX = 64 };

struct socket_address {
    bool any; /* every address of this machine, v6 and v4 */
    socklen_t bytes;
    union {
        sa_family_t family;
        struct sockaddr generic;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    };
};

/* "1.2.3.4:514", "[::1]:514" or ":514" (any), the port 0 to 65535. 0 or -EINVAL. */
YARDER_MUST_USE int socket_address_parse(const char *text, struct socket_address *out);
uint16_t socket_address_port(const struct socket_address *address);

struct socket_options {
    uint32_t receive_bytes; /* receive buffer to ask for; 0: the kernel's default */
};

struct socket_bound {
    int fd;
    uint32_t receive_bytes; /* the buffer that was got: less than asked for without privileges */
    uint16_t port;          /* as bound */
};

/*
 * A bound UDP socket with SO_RXQ_OVFL and UDP_GRO on (where the kernel has them), or a listening
 * TCP socket with SO_REUSEADDR. 0, or the -errno of socket, bind or listen.
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
 * no socket; -ESTALE: it was replaced while it was made; -ENAMETOOLONG: over 107 bytes; else
 * -errno. *file is what stands at the path; an abstract name has none.
 */
YARDER_MUST_USE int socket_listen_unix(const char *path, int type,
    const struct socket_path_owner *owner, struct os_file_id *file, int *out);

/* Another mode and owner for what stands at the path, if it still is that file, else -ESTALE. */
YARDER_MUST_USE int socket_path_change(
    const char *path, const struct os_file_id *file, const struct socket_path_owner *owner);

/* Raises the receive buffer by SO_RCVBUFFORCE, else SO_RCVBUF; `got_bytes` is what it is then. */
YARDER_MUST_USE int socket_raise_receive(int fd, uint32_t receive_bytes, uint32_t *got_bytes);

/* A datagram socket's buffer is over half full: soon the kernel drops what comes. */
bool socket_presses(int fd);

/*
 * A peer's address as text with a NUL: "192.0.2.1" (also for a v4 address mapped into v6),
 * "2001:db8::1", "fe80::1%2". Returns the length; 0 for a peer without an address. No system call.
 */
size_t socket_peer_text(const struct sockaddr_storage *peer, socklen_t peer_bytes,
    char out[static SOCKET_PEER_BYTES_MAX]);

#endif
