/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring loop. Every stream has a recv armed (multishot, save on unix sockets), every
 * datagram socket a multishot recvmsg; the kernel puts what comes into buffers of the loop's two
 * rings of buffers and says so in the completion queue. READY sources stand in the epoll set, which
 * one poll request watches.
 *
 *      slot:   IDLE --arm--> ARMED --last completion--> IDLE (queued to be armed again, paused,
 *                              | disarm: cancel, wait         or finished)
 *                              +----------------------> IDLE
 *
 * A multishot request ends when the buffers are used up (-ENOBUFS), when the completion queue was
 * full, and when the kernel likes: whatever ends without a reason to stay so is armed again by the
 * next wait, first come, first served, as long as there are buffers.
 */
#ifndef YARDER_IO_URING_H
#define YARDER_IO_URING_H

#include <liburing.h>

#include "io/io_private.h"
#include "io/pool.h"

struct uring_slot {
    struct io_source *source;
    struct uring_buffers *buffers;
    struct uring_slot *next; /* in its arm queue, or the free list */
    struct pool_queue queue; /* received and not taken */
    uint32_t index;
    int error;     /* the kernel's last word, told when the queue is empty */
    bool ended;    /* so is this */
    bool finished; /* end or error was told */
    bool armed;
    bool arm_queued;
    bool stopping; /* in disarm: the end of the request is wanted */
    bool is_unix;
};

/* Buffers of one size, of which at most lent_max are with the kernel or on their way to a taker. */
struct uring_buffers {
    struct pool pool; /* twice lent_max: what paused sources keep is made up for */
    struct io_uring_buf_ring *ring;
    size_t ring_bytes;
    uint32_t lent_max; /* power of two */
    uint32_t lent;     /* in the kernel's hands, as far as completions have told */
    uint32_t parked;   /* kept by paused sources */
    struct uring_slot *arm_first;
    struct uring_slot *arm_last;
    uint16_t group;
};

enum { URING_STREAMS, URING_DATAGRAMS, URING_GROUPS };

struct uring {
    struct io io;
    struct io_uring ring;
    bool ring_open;
    bool set_armed;    /* the poll on the epoll set */
    bool set_has_some; /* it fired */
    bool short_queues; /* unix datagram queues of this host are short: wake at once */
    int broken;        /* the ring refused: told by the next wait */
    unsigned wait_batch;
    unsigned hasty_count; /* armed unix datagram sources with a short queue */
    bool more_behind;     /* a unix stream filled its chunk, and is armed for one at a time */
    struct uring_buffers buffers[URING_GROUPS];
    struct msghdr header;      /* what multishot recvmsg leaves room for */
    struct msghdr header_unix; /* no control: no descriptors from strangers */
    struct uring_slot *slots;
    struct uring_slot *slot_free;
};

extern const struct io_ops uring_ops;

/* Gives free buffers to the kernel up to lent_max. */
void uring_refill(struct uring_buffers *buffers);
void uring_close(struct io *io); /* also of one that was opened in part */

#endif
