/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receive buffers of one size in one mapping, and the queues of received ones. A buffer is in one
 * of four places, and each move is asserted:
 *
 *      FREE --pool_lend--> LENT --pool_queue--> QUEUED --pool_dequeue--> HELD --pool_free--> FREE
 *                          kernel               a source's queue         the caller of io_take
 *
 * A place from which the bytes are dropped goes straight to FREE. The free list is last in, first
 * out, so that few pages are warm and the rest is never touched.
 */
#ifndef YARDER_IO_POOL_H
#define YARDER_IO_POOL_H

#include "io/io_private.h"

enum pool_place { POOL_FREE, POOL_LENT, POOL_QUEUED, POOL_HELD };

struct pool_node {
    uint32_t next; /* index + 1 in the free list or a source's queue; 0: the last */
    uint32_t bytes;
    enum pool_place place;
};

struct pool {
    char *memory;
    struct pool_node *nodes;
    size_t buffer_bytes;
    uint32_t count;
    uint32_t free_first; /* index + 1 */
    uint32_t free_count;
};

/* Received buffers of one source, oldest first. Zero is an empty queue. */
struct pool_queue {
    uint32_t first; /* index + 1 */
    uint32_t last;
    uint32_t count;
};

YARDER_MUST_USE int pool_open(struct pool *pool, uint32_t count, size_t buffer_bytes);
void pool_close(struct pool *pool); /* also of a zeroed one */

uint32_t pool_lend(struct pool *pool); /* an index; the pool is not empty */
void pool_free(struct pool *pool, uint32_t index);
void pool_queue(struct pool *pool, struct pool_queue *queue, uint32_t index, uint32_t bytes);
uint32_t pool_dequeue(struct pool *pool, struct pool_queue *queue); /* the queue is not empty */
void pool_queue_drop(struct pool *pool, struct pool_queue *queue);

static inline char *pool_buffer(const struct pool *pool, uint32_t index)
{
    YARDER_ASSERT(index < pool->count);
    return pool->memory + index * pool->buffer_bytes;
}
static inline bool pool_owns(const struct pool *pool, const char *buffer)
{
    return buffer >= pool->memory && buffer < pool->memory + pool->count * pool->buffer_bytes;
}
uint32_t pool_index(const struct pool *pool, const char *buffer);

/*
 * A datagram in a buffer, as the kernel's multishot recvmsg lays it out (struct
 * io_uring_recvmsg_out) and as the epoll loop lays it out as well:
 *      head | peer, 128 bytes | control, 48 bytes or none | payload
 * Unix sockets get no room for control messages: else a sender's descriptors would be installed
 * in this process.
 */
struct datagram_head {
    uint32_t peer_bytes; /* as the kernel states it, possibly more than the room */
    uint32_t control_bytes;
    uint32_t payload_bytes;
    uint32_t flags; /* MSG_TRUNC ... */
};
enum {
    DATAGRAM_PEER_ROOM = sizeof(struct sockaddr_storage),
    DATAGRAM_CONTROL_ROOM = 48,                    /* SO_RXQ_OVFL and UDP_GRO, 24 bytes each */
    DATAGRAM_PAYLOAD_AT = 16 + DATAGRAM_PEER_ROOM, /* plus the room for control */
    DATAGRAM_BUFFER_BYTES = DATAGRAM_PAYLOAD_AT + DATAGRAM_CONTROL_ROOM + IO_DATAGRAM_BYTES,
};

/* Fills bytes, peer and the control's news of `chunk`; `received` counts from the buffer's start.
 */
void datagram_read(
    const char *buffer, uint32_t received, uint32_t control_room, struct io_chunk *chunk);

/* 0 and whether it is a unix socket; -ENOTSOCK, -EBADF; -EPROTOTYPE when it is not of `kind`. */
YARDER_MUST_USE int io_socket_check(int fd, enum io_kind kind, bool *is_unix);

/* News of an earlier send on a datagram socket (ICMP), which says nothing about receiving. */
bool io_error_passes(enum io_kind kind, int error);

#endif
