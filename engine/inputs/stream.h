/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream connections (tcp, unix type=stream) and datagram sockets (udp, unix). Bytes come from the
 * loop in chunks; records are framed inside a chunk without a copy, only the unfinished one at its
 * end is carried over.
 */
#ifndef YARDER_INPUTS_STREAM_H
#define YARDER_INPUTS_STREAM_H

#include "inputs/batch.h"
#include "io/io.h"
#include "os/socket.h"

#define STREAM_NUMBER_BIT (UINT32_C(1) << 31)

struct stream_input {
    struct io_source source;
    struct input *input;
    struct framer framer;
    struct batch_origin origin;
    char peer[SOCKET_PEER_BYTES_MAX];
    uint32_t number;            /* no other of this worker has it; STREAM_NUMBER_BIT is in it */
    uint64_t heard_ns;          /* monotonic: when it was accepted, or bytes came last */
    struct stream_input *next;  /* in the worker's list */
    struct stream_input **link; /* what points here */
};

/* A datagram socket: shared with the supervisor, who made it. */
struct datagram_input {
    struct io_source source;
    struct input *input;
    char peer[SOCKET_PEER_BYTES_MAX];
    uint64_t failed_said_ns; /* when the operator was told last; 0: never */
};

/* A connection that was accepted; fd is the stream's from now on. NULL: no memory. */
struct stream_input *stream_open(struct input *input, int fd);
void stream_close(struct stream_input *stream); /* removed from the loop before */

/*
 * Frames chunk bytes from *at on into the batch, until the chunk or the batch's room ends. The
 * records point into the chunk (or the carry) and are valid until the next call.
 */
void stream_frame(
    struct stream_input *stream, const struct io_chunk *chunk, uint32_t *at, struct batch *batch);

/*
 * The connection ended: its unfinished record into the batch (room for one). Flagged, unless it is
 * a line whose newline alone is missing and the other side has closed in order.
 */
void stream_finish(struct stream_input *stream, bool in_order, struct batch *batch);

/* The same for datagrams: each is a record, less a line end at its end. */
void datagram_frame(struct datagram_input *datagram, const struct io_chunk *chunk, uint32_t *at,
    struct batch *batch);

/* Accepts one connection without blocking: 0, -EAGAIN, or -errno. */
YARDER_MUST_USE int stream_accept(int listener_fd, int *fd);

#endif
