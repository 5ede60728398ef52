/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records, one behind the other, into a descriptor, by calls that never block where the kernel has
 * such. A record of which a part has gone goes on there at the next try.
 */
#ifndef YARDER_BACKENDS_LINES_H
#define YARDER_BACKENDS_LINES_H

#include "bytes.h"

enum lines_way {
    LINES_PLAIN,    /* writes: a regular file, or a description that does not block and is ours */
    LINES_NOWAIT,   /* no flag of a shared description is touched: each call says not to wait */
    LINES_POLLED,   /* where no call can say so: at most PIPE_BUF after poll */
    LINES_STREAM,   /* a socket */
    LINES_DATAGRAMS /* a socket that keeps the borders of records */
};

struct lines {
    int fd;
    enum lines_way way;
    struct yarder_id begun; /* the record of which `part` bytes have gone; 0: none */
    size_t part;
};

/* Finds out how to write to fd: 0, or -errno when it is none, or cannot be written to. */
int lines_init(struct lines *lines, int fd);
/*
 * Writes the items in order, marking those that went DELIVERED. 0, or -errno: -ETIMEDOUT at the
 * deadline, -ECANCELED, what write said. Nothing is told by host->fail.
 */
int lines_write(struct lines *lines, struct yarder_host *host, struct yarder_batch *batch,
    uint64_t deadline_ns);

/* SIGPIPE does not reach this thread; what of it is pending after an EPIPE is taken away. */
void lines_block_sigpipe(void);

#endif
