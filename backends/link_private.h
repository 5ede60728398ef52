/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a link share. */
#ifndef YARDER_BACKENDS_LINK_PRIVATE_H
#define YARDER_BACKENDS_LINK_PRIVATE_H

#include <sys/socket.h>

#include "link.h"

enum { LINK_ADDRESSES_MAX = 16, LINK_SHOW_BYTES = 320, LINK_CHUNK_BYTES = 16 << 10 };

struct link_place {
    struct sockaddr_storage at;
    socklen_t bytes;
};

struct link_lookup; /* one name on its way to addresses */
struct link_secure; /* TLS: what was loaded, and the session */

struct link {
    struct yarder_host *host;
    const struct link_address *address;
    const struct link_tls *tls;
    const struct link_multicast *multicast; /* NULL: as the system has it */
    enum link_kind kind;                    /* of the address, or the other of its two */
    struct link_secure *secure;
    struct link_lookup *lookup; /* under way; NULL: none */
    uint64_t resolved_ns;
    struct link_place places[LINK_ADDRESSES_MAX];
    uint32_t places_count;
    uint32_t place; /* the one that is connected */
    int fd;         /* -1: not connected */
    char shown[LINK_SHOW_BYTES];
    /*
     * TLS, over a deadline: what OpenSSL has begun must be finished with the very same bytes. They
     * stay in the chunk, uncounted, until they are sent and the caller has given them once more.
     */
    size_t begun, begun_sent, begun_counted;
};

uint64_t link_now_ns(void);
const char *link_error_text(int error); /* of an errno, either sign */
/* 0: one of events is there; -ETIMEDOUT, not told; -ECANCELED. */
int link_wait(struct link *link, int fd, short events, uint64_t deadline_ns);
/* Tells "SHOWN: what: why", drops the connection and returns -errno. */
int link_broken(struct link *link, const char *what, int error);
/* Tells that nothing could be done by the deadline; the connection stays. -ETIMEDOUT. */
int link_late(struct link *link, const char *what);

/* Fills places, from the first on. 0 or -errno, told; -ETIMEDOUT leaves the lookup to go on. */
int link_resolve(struct link *link, uint64_t deadline_ns);
/* Looks again, without waiting: whether the places are others now, and the connected one gone. */
bool link_has_moved(struct link *link);
void link_abandon_lookup(struct link *link);
/* Connects the next place of a datagram socket, where there is one. */
int link_connect_place(struct link *link, uint32_t place, uint64_t deadline_ns);

/*
 * TLS, by OpenSSL or refused. Results as of send and recv with negative errnos; -EAGAIN: wait for
 * *events. All other errors are told.
 */
extern const bool link_has_tls;
int link_tls_open(struct link *link);
void link_tls_close(struct link *link);
int link_tls_start(struct link *link, uint64_t deadline_ns);
void link_tls_stop(struct link *link);
ssize_t link_tls_send(struct link *link, const void *at, size_t bytes, short *events);
ssize_t link_tls_receive(struct link *link, void *at, size_t room, bool peek, short *events);
/* Room for LINK_CHUNK_BYTES, to gather what is sent. */
char *link_tls_chunk(struct link *link);

#endif
