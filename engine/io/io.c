/* SPDX-License-Identifier: Apache-2.0 */
/* The choice of a loop, the list of sources that have something, READY sources, the epoll set. */
#include "io/io.h"

#include <errno.h>
#include <string.h>

#include "io/io_private.h"

int io_base_open(struct io *io, const struct io_ops *ops, const struct io_options *options)
{
    YARDER_ASSERT(options->sources_max > 0);
    *io = (struct io){.ops = ops, .sources_max = options->sources_max, .set_fd = -1};
    io->always = calloc(options->sources_max, sizeof(*io->always));
    if (io->always == NULL) {
        return -ENOMEM;
    }
    io->set_fd = epoll_create1(EPOLL_CLOEXEC);
    return io->set_fd < 0 ? -errno : 0;
}

void io_base_close(struct io *io)
{
    yarder_fd_drop(&io->set_fd);
    free(io->always);
}

int io_open(struct io **out, const struct io_options *options, char *why)
{
    enum { WHY_BYTES = 256 };
    why[0] = '\0';
    if (options->choice != IO_EPOLL) {
        char reason[WHY_BYTES - 64] = "";
        int r = uring_open(out, options, reason, sizeof(reason));
        if (r == 0) {
            return 0;
        }
        bool falls_back = options->choice == IO_AUTO;
        (void)snprintf(why, WHY_BYTES, "io_uring cannot be used: %s%s", reason,
            falls_back ? "; epoll takes its place" : "");
        if (!falls_back) {
            return r;
        }
    }
    return epoll_open(out, options);
}

void io_close(struct io *io)
{
    YARDER_ASSERT(io->sources_count == 0);
    YARDER_ASSERT(io->held_count == 0);
    io->ops->close(io);
}

const char *io_name(const struct io *io)
{
    return io->ops->name;
}

void io_list(struct io *io, struct io_source *source)
{
    if (source->loop.listed) {
        return;
    }
    source->loop.listed = true;
    source->loop.next = NULL;
    if (io->first == NULL) {
        io->first = source;
    } else {
        io->last->loop.next = source;
    }
    io->last = source;
}

static void unlist(struct io *io, struct io_source *source)
{
    if (!source->loop.listed) {
        return;
    }
    struct io_source *before = NULL;
    struct io_source *at = io->first;
    while (at != source) { /* ends: a listed source is in the list */
        before = at;
        at = at->loop.next;
    }
    if (before == NULL) {
        io->first = source->loop.next;
    } else {
        before->loop.next = source->loop.next;
    }
    if (io->last == source) {
        io->last = before;
    }
    source->loop.listed = false;
}

static void add_always(struct io *io, struct io_source *source)
{
    YARDER_ASSERT(io->always_count < io->sources_max);
    io->always[io->always_count++] = source;
}

int io_set_add(struct io *io, struct io_source *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    if (epoll_ctl(io->set_fd, EPOLL_CTL_ADD, source->fd, &event) == 0) {
        io->set_count++;
        return 0;
    }
    if (errno != EPERM) {
        return -errno;
    }
    add_always(io, source);
    return 0;
}

void io_set_restore(struct io *io, struct io_source *source)
{
    if (io_set_add(io, source) < 0) {
        add_always(io, source);
    }
}

void io_set_remove(struct io *io, struct io_source *source)
{
    for (unsigned i = 0; i < io->always_count; i++) {
        if (io->always[i] == source) {
            io->always[i] = io->always[--io->always_count];
            return;
        }
    }
    (void)epoll_ctl(io->set_fd, EPOLL_CTL_DEL, source->fd, NULL);
    YARDER_ASSERT(io->set_count > 0);
    io->set_count--;
}

static void list_ready(struct io *io, struct io_source *source)
{
    source->loop.ready = true;
    io_list(io, source);
}

int io_set_wait(struct io *io, int timeout_ms)
{
    struct epoll_event events[IO_SET_EVENTS_MAX];
    for (unsigned i = 0; i < io->always_count; i++) {
        list_ready(io, io->always[i]);
    }
    int count = epoll_wait(io->set_fd, events, IO_SET_EVENTS_MAX, timeout_ms);
    if (count < 0) {
        return errno == EINTR ? 0 : -errno;
    }
    for (int i = 0; i < count; i++) {
        list_ready(io, events[i].data.ptr);
    }
    return 0;
}

int io_add(struct io *io, struct io_source *source)
{
    YARDER_ASSERT(source->loop.state == NULL && !source->loop.listed && !source->loop.paused);
    if (io->sources_count == io->sources_max) {
        return -ENOSPC;
    }
    source->loop.ready = false;
    int r = source->kind == IO_READY ? io_set_add(io, source) : io->ops->add(io, source);
    if (r == 0) {
        io->sources_count++;
    }
    return r;
}

void io_remove(struct io *io, struct io_source *source)
{
    YARDER_ASSERT(io->sources_count > 0);
    if (source->kind != IO_READY) {
        io->ops->remove(io, source);
    } else if (!source->loop.paused) {
        io_set_remove(io, source);
    }
    unlist(io, source);
    memset(&source->loop, 0, sizeof(source->loop));
    io->sources_count--;
}

void io_pause(struct io *io, struct io_source *source)
{
    if (source->loop.paused) {
        return;
    }
    source->loop.paused = true;
    if (source->kind == IO_READY) {
        io_set_remove(io, source);
    } else {
        io->ops->pause(io, source);
    }
    source->loop.ready = false;
    unlist(io, source);
}

void io_resume(struct io *io, struct io_source *source)
{
    if (!source->loop.paused) {
        return;
    }
    source->loop.paused = false;
    if (source->kind == IO_READY) {
        io_set_restore(io, source);
    } else {
        io->ops->resume(io, source);
    }
}

int io_wait(struct io *io, uint64_t timeout_ns, bool busy)
{
    return io->ops->wait(io, timeout_ns, busy);
}

struct io_source *io_next(struct io *io)
{
    struct io_source *source = io->first;
    if (source == NULL) {
        return NULL;
    }
    YARDER_ASSERT(source->loop.listed && !source->loop.paused);
    io->first = source->loop.next;
    source->loop.listed = false;
    return source;
}

int io_take(struct io *io, struct io_source *source, struct io_chunk *chunk)
{
    chunk->bytes = NULL;
    chunk->bytes_count = 0;
    chunk->flags = 0;
    chunk->segment_bytes = 0;
    chunk->kernel_drops = 0;
    chunk->kernel_drops_known = false;
    chunk->peer_bytes = 0;
    chunk->buffer = NULL;
    if (source->kind == IO_READY) {
        bool ready = source->loop.ready;
        source->loop.ready = false;
        io->ready_taken += ready;
        return ready ? 1 : 0;
    }
    YARDER_ASSERT(io->held_count < IO_CHUNKS_HELD_MAX);
    int r = io->ops->take(io, source, chunk);
    if (chunk->buffer != NULL) {
        io->held_count++;
    }
    if (r < 0 && source->kind == IO_DATAGRAM) {
        io_pause(io, source);
    }
    return r;
}

void io_give(struct io *io, struct io_chunk *chunk)
{
    if (chunk->buffer == NULL) {
        return; /* a READY source's, or a stream's end */
    }
    YARDER_ASSERT(io->held_count > 0);
    io->held_count--;
    io->ops->give(io, chunk->buffer);
    chunk->buffer = NULL;
}

int io_uring_usable(char *why, size_t why_bytes)
{
    YARDER_ASSERT(why_bytes > 0);
    why[0] = '\0';
    struct io *io = NULL;
    int r =
        uring_open(&io, &(struct io_options){.sources_max = 1, .stream_chunks = 1}, why, why_bytes);
    if (r == 0) {
        io_close(io);
    }
    return r;
}
