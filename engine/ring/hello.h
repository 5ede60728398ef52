/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a producer gets its region. On RUN_DIR/ring.sock, SOCK_SEQPACKET: each message arrives whole
 * or not at all, so nobody reassembles, and a descriptor belongs to one message for certain.
 *
 *   client                              supervisor
 *   struct ring_hello (+ region fd)  ->              the fd only to hand a region back
 *                                    <-              struct ring_answer (+ region fd)
 *   any one byte: the doorbell       ->              MSG_DONTWAIT | MSG_NOSIGNAL, once an epoch
 *
 * The connection stays open as doorbell; its end is not the process's death. Identity is the
 * peer's uid; everything in the hello is only what the client says of itself.
 */
#ifndef YARDER_RING_HELLO_H
#define YARDER_RING_HELLO_H

#include "base/base.h"
#include "ring/region.h"

#define RING_SOCKET_NAME "ring.sock" /* in the run directory, SOCK_SEQPACKET */
#define LOG_SOCKET_NAME                                                                            \
    "log.sock" /* SOCK_DGRAM, "<PRI>tag[pid]: text": where a refused client goes */

/* The version grows with REGION_VERSION too: who does not know a region's layout is told so. */
enum { RING_HELLO_MAGIC = 0x79647268, RING_HELLO_VERSION = 2, RING_PROGRAM_BYTES = 64 };

enum ring_hello_flag {
    RING_HELLO_HAND_BACK = 1 << 0, /* carries a region of an earlier supervisor */
    RING_HELLO_CLOCK_NS = 1 << 1,  /* cannot read the TSC (a client in Python) */
};

struct ring_hello {
    uint32_t magic;
    uint16_t version;
    uint16_t kind;  /* enum region_kind wanted */
    uint32_t rings; /* wanted; 0: as many as concurrency ids exist */
    uint32_t flags; /* enum ring_hello_flag */
    uint32_t pid;   /* in its own namespace */
    uint32_t image; /* another after each exec of the process; 0: not told */
    uint64_t
        memory_bytes; /* wanted for all rings; 0: the daemon's ring-memory, which also limits it */
    uint64_t generation;              /* of the region handed back */
    char program[RING_PROGRAM_BYTES]; /* with its NUL */
    uint8_t spare[24];
};

enum ring_status {
    RING_STATUS_OK = 0,
    RING_STATUS_MEMORY = 1,  /* over ring-memory-total: use the log socket, ask again later */
    RING_STATUS_REFUSED = 2, /* not this client, or not this region: a fresh one may be asked for */
    RING_STATUS_VERSION = 3,
};

struct ring_answer {
    uint32_t magic;
    uint16_t version;
    uint16_t status; /* enum ring_status */
    uint64_t generation;
    uint64_t spare[6];
};

static_assert(sizeof(struct ring_hello) == 128, "fixed size");
static_assert(sizeof(struct ring_answer) == 64, "fixed size");

/*
 * Supervisor: one hello from an accepted connection, without blocking. The version is the caller's
 * to compare (and to answer RING_STATUS_VERSION). *handed_back is a descriptor
 * that the caller owns now, or -1. The program's name comes out terminated, control characters
 * replaced. -EAGAIN: not there yet; -EPIPE: the client left; -EPROTO: nonsense, close it;
 * -EMFILE: its descriptor could not be taken.
 */
YARDER_MUST_USE int hello_read(int socket_fd, struct ring_hello *hello, int *handed_back);

/*
 * Supervisor: the shape of the region for a hello: at most memory_bytes_max for its rings; a client
 * whose stamps cannot be the TSC gets a clock in ns, and the plain kind instead of rseq.
 */
void hello_shape(const struct ring_hello *hello, uint64_t memory_bytes_max, enum region_clock clock,
    uint64_t ticks_per_s, uint64_t generation, struct region_shape *shape);

/* Supervisor: the answer, with the new region's descriptor, or -1. 0 or -errno (never waits). */
YARDER_MUST_USE int hello_answer(
    int socket_fd, enum ring_status status, uint64_t generation, int region_fd);

/* Client: the same two from the other side. hello_receive: -EAGAIN until it is there. */
YARDER_MUST_USE int hello_send(int socket_fd, const struct ring_hello *hello, int region_fd);
YARDER_MUST_USE int hello_receive(int socket_fd, struct ring_answer *answer, int *region_fd);

#endif
