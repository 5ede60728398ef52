/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What io.c shares with the two loops. io.c owns the list of sources that have something, READY
 * sources, and the epoll set; a loop owns its STREAM and DATAGRAM sources. The set is the whole
 * of the epoll loop; the io_uring loop puts only READY sources there and polls the set as one
 * descriptor, so no listener is ever registered with the ring, and level-triggering comes free.
 */
#ifndef YARDER_IO_IO_PRIVATE_H
#define YARDER_IO_IO_PRIVATE_H

#include <sys/epoll.h>

#include "io/io.h"

struct io_ops {
    const char *name;
    int (*add)(struct io *io, struct io_source *source);
    void (*remove)(struct io *io, struct io_source *source);
    void (*pause)(struct io *io, struct io_source *source);
    void (*resume)(struct io *io, struct io_source *source);
    int (*wait)(struct io *io, uint64_t timeout_ns, bool busy);
    int (*take)(struct io *io, struct io_source *source, struct io_chunk *chunk);
    void (*give)(struct io *io, const char *buffer);
    void (*close)(struct io *io);
};

/* First member of each loop's own struct. */
struct io {
    const struct io_ops *ops;
    struct io_source *first; /* sources with something to take, in turn */
    struct io_source *last;
    unsigned sources_count;
    unsigned sources_max;
    unsigned held_count; /* chunks out */
    int set_fd;
    unsigned set_count;
    struct io_source **always; /* READY sources that epoll refuses: files are always readable */
    unsigned always_count;
    unsigned ready_taken; /* READY sources that were taken since the loop zeroed it */
};

enum {
    IO_SET_EVENTS_MAX = 128, /* taken from the set at once; it turns, so more come with the next */
    IO_UDP_GRO = 104,        /* UDP_GRO of linux/udp.h, which fights with netinet/udp.h */
    IO_DATAGRAM_CHUNKS = 256,
    IO_WAIT_BATCH_DEFAULT = 32,
    IO_STREAM_CHUNKS_DEFAULT = 256,
    IO_BUSY_WAIT_NS = 500 * 1000,
};

YARDER_MUST_USE int io_base_open(
    struct io *io, const struct io_ops *ops, const struct io_options *options);
void io_base_close(struct io *io);

void io_list(struct io *io, struct io_source *source); /* at the end; once */

YARDER_MUST_USE int io_set_add(struct io *io, struct io_source *source);
void io_set_remove(struct io *io, struct io_source *source);
/* After io_set_remove; if the kernel has no watch to give, the source counts as always readable. */
void io_set_restore(struct io *io, struct io_source *source);
/* Lists what the set and the files have. 0 or -errno; EINTR counts as 0. */
YARDER_MUST_USE int io_set_wait(struct io *io, int timeout_ms);

YARDER_MUST_USE int epoll_open(struct io **out, const struct io_options *options);
/* On failure `why` has the reason in words, for the operator. */
YARDER_MUST_USE int uring_open(
    struct io **out, const struct io_options *options, char *why, size_t why_bytes);

#endif
