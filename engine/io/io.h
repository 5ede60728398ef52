/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer's one wait point, with two implementations: io_uring (multishot receive into
 * registered buffer rings) and epoll. Both give bytes the same way: the writer waits, asks which
 * sources have something, and takes it in chunks that live in the loop's own buffers until given
 * back. Nothing here blocks but io_wait. One thread owns a loop; it is opened in that thread.
 *
 *      io_wait --> io_next --> io_take --> (frame, parse, route) --> io_give
 *                     ^___________|  until it answers 0
 */
#ifndef YARDER_IO_IO_H
#define YARDER_IO_IO_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/base.h"

enum io_choice { IO_AUTO, IO_URING, IO_EPOLL };

/*
 * What a source is, which decides what the loop does when it has something:
 *   STREAM    connected stream socket: received into a chunk
 *   DATAGRAM  datagram socket: one datagram (or UDP_GRO train) in a chunk, with its peer. Other
 *             processes' descriptors (SCM_RIGHTS) are never let in, here or with STREAM
 *   READY     anything pollable: only "it is readable"; the owner reads. Level-triggered: it is
 *             reported again by a later io_wait as long as it stays readable. All of them, and so
 * all listening sockets, stand in an epoll set which the ring polls as one descriptor: none is
 * registered with io_uring. Files, which epoll refuses, are always ready.
 */
enum io_kind { IO_STREAM, IO_DATAGRAM, IO_READY };

struct io;

/* Embedded in its owner and zeroed before io_add; the loop keeps its state in `loop`. */
struct io_source {
    int fd; /* owned by whoever embeds the source; closed only after io_remove returned */
    enum io_kind kind;
    void *owner;         /* for the owner's use */
    unsigned owner_kind; /* for the owner's use: what `owner` points to */
    struct {
        struct io_source *next; /* in the loop's list of ready sources */
        bool listed;
        bool ready;
        bool paused;
        uint32_t slot;
        void *state;
    } loop;
};

enum io_chunk_flag {
    IO_CHUNK_TRUNCATED = 1 << 0, /* a datagram over IO_DATAGRAM_BYTES: its end is gone */
    IO_CHUNK_END = 1 << 1,       /* a stream's end, by the peer's close; no bytes */
};

/* Bytes of one receive. Everything points into the loop's memory until io_give. */
struct io_chunk {
    const char *bytes;
    uint32_t bytes_count;         /* at most IO_DATAGRAM_BYTES; a datagram may have 0 */
    uint32_t flags;               /* enum io_chunk_flag */
    uint32_t segment_bytes;       /* UDP_GRO: each datagram's size (last may be shorter); 0: one */
    uint32_t kernel_drops;        /* SO_RXQ_OVFL: total dropped on this socket so far */
    bool kernel_drops_known;      /* the chunk carried a SO_RXQ_OVFL message */
    socklen_t peer_bytes;         /* 0: none */
    struct sockaddr_storage peer; /* a copy */
    void *buffer;                 /* the loop's handle, for io_give */
};

struct io_options {
    enum io_choice choice;
    unsigned sources_max;   /* how many sources at the most */
    unsigned stream_chunks; /* receive buffers of 16 KiB (io_uring) for streams; 0: default 256 */
    unsigned wait_batch;    /* events to wait for when busy, with 0.5 ms as limit; 0: default 32 */
};

/*
 * Opens a loop: io_uring if the choice allows and a NOP passes through a ring, else epoll.
 * `why` (at least 256 bytes) receives one line when AUTO fell back or URING cannot be had (that is
 * -errno), else "". Allocates everything the loop ever needs; may wait 100 ms for locked memory.
 */
YARDER_MUST_USE int io_open(struct io **out, const struct io_options *options, char *why);
void io_close(struct io *io); /* every source was removed before */

const char *io_name(const struct io *io); /* "io_uring" or "epoll" */

/*
 * Arms a source. 0; -ENOSPC above sources_max; -EPROTOTYPE: the socket is not of this kind, or
 * listens; the kernel's -errno. Sockets need no flags set by the caller: each receive carries
 * MSG_DONTWAIT (a descriptor may be shared with another process).
 */
YARDER_MUST_USE int io_add(struct io *io, struct io_source *source);

/*
 * Takes a source out and cancels what is armed; when it returns the kernel no longer touches it.
 * What was received and not taken is dropped; chunks that are out stay good until io_give.
 */
void io_remove(struct io *io, struct io_source *source);

/*
 * Back-pressure: when io_pause returns, no more bytes are taken from the source. What is already
 * received is kept; io_next does not name the source, but io_take may be asked for the rest even
 * so. (To hand a socket to another process without loss: io_pause, io_take until 0, io_remove.)
 * Both may be called at any time, also twice. With io_uring io_pause is a system call.
 */
void io_pause(struct io *io, struct io_source *source);
void io_resume(struct io *io, struct io_source *source);

/*
 * Waits until a source has something or timeout_ns passed (0: only looks). Does not sleep while
 * something is left to take; may return early with nothing. `busy` lets the loop wait for several
 * events or 0.5 ms, which batches wake-ups (epoll: a nap of 0.5 ms after a round of few datagrams,
 * or of READY sources and no stream); not while a unix datagram socket is armed, whose queue is
 * short, or after a unix stream that filled its chunk. false: the first event wakes.
 * 0, or -errno when the loop is broken (then the process cannot go on). EINTR counts as 0.
 */
YARDER_MUST_USE int io_wait(struct io *io, uint64_t timeout_ns, bool busy);

/*
 * The next source with something to take, in turn; NULL: none until the next io_wait. It leaves the
 * list, so the caller takes from it (or pauses or removes it).
 */
struct io_source *io_next(struct io *io);

/*
 * Takes one chunk: 1 and `chunk` filled (READY: bytes_count 0, once per io_wait); 0: nothing more
 * until the next io_wait; -errno: a stream is broken (-ECONNRESET ...), remove it; a datagram
 * socket is paused, to be resumed when its cause (-ENOMEM ...) may have passed. A stream's end is a
 * chunk with IO_CHUNK_END, after all its bytes. End and error are told once. A source with
 * something left is listed again.
 */
YARDER_MUST_USE int io_take(struct io *io, struct io_source *source, struct io_chunk *chunk);

/* Whether something of it was received and not taken. Not asked of READY sources. */
static inline bool io_has(const struct io_source *source)
{
    return source->loop.listed;
}

/* Gives a chunk's buffer back. At most IO_CHUNKS_HELD_MAX chunks may be out at a time. */
void io_give(struct io *io, struct io_chunk *chunk);

/* IO_CHUNK_BYTES is io_uring's buffer for streams; a stream's chunk may be larger with epoll. */
enum { IO_CHUNK_BYTES = 16 << 10, IO_DATAGRAM_BYTES = 64 << 10, IO_CHUNKS_HELD_MAX = 8 };

/* Whether io_uring works here, with the reason when not; for --version and doctor. 0 or -errno. */
YARDER_MUST_USE int io_uring_usable(char *why, size_t why_bytes);

#endif
