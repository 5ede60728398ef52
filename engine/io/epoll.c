/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epoll loop: level-triggered, streams by recv, datagrams by recvmmsg, always MSG_DONTWAIT.
 * Nothing is received before io_take asks, save the rest of a batch of datagrams.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "io/io_private.h"
#include "io/pool.h"

enum {
    BATCH_DATAGRAMS = 64,
    /* Of free buffers a batch takes at most a quarter, and none of those kept for io_take's
     * callers: so paused sources that keep the rest of a batch never starve the others. */
    BATCH_SHARE = 4,
    BUFFERS_KEPT = 2 * IO_CHUNKS_HELD_MAX,
};

struct epoll_slot {
    struct epoll_slot *next; /* in the free list */
    struct pool_queue queue; /* datagrams received and not taken */
    bool is_unix;
    bool finished; /* a stream's end or its error was told */
};

struct epoll_loop {
    struct io io;
    struct pool pool;
    struct epoll_slot *slots;
    struct epoll_slot *slot_free;
    unsigned wait_batch;
    unsigned hasty_count;     /* unix datagram sources: few fit in their queue, so no nap */
    unsigned streams_taken;   /* since the last wait that was no mere look */
    unsigned datagrams_taken; /* since the last wait */
    struct mmsghdr messages[BATCH_DATAGRAMS];
    struct iovec payloads[BATCH_DATAGRAMS];
    uint32_t indexes[BATCH_DATAGRAMS];
};

static int loop_add(struct io *io, struct io_source *source)
{
    struct epoll_loop *loop = (struct epoll_loop *)io;
    struct epoll_slot *slot = loop->slot_free;
    YARDER_ASSERT(slot != NULL);
    bool is_unix = false;
    int r = io_socket_check(source->fd, source->kind, &is_unix);
    if (r == 0) {
        r = io_set_add(io, source);
    }
    if (r < 0) {
        return r;
    }
    loop->slot_free = slot->next;
    *slot = (struct epoll_slot){.is_unix = is_unix};
    source->loop.state = slot;
    loop->hasty_count += is_unix && source->kind == IO_DATAGRAM;
    return 0;
}

/* Out of the set: a hang-up is reported for ever, whatever one asks for. */
static void finish(struct io *io, struct io_source *source)
{
    struct epoll_slot *slot = source->loop.state;
    slot->finished = true;
    source->loop.ready = false;
    if (!source->loop.paused) {
        io_set_remove(io, source);
    }
}

static void loop_remove(struct io *io, struct io_source *source)
{
    struct epoll_loop *loop = (struct epoll_loop *)io;
    struct epoll_slot *slot = source->loop.state;
    if (!slot->finished) {
        finish(io, source);
    }
    pool_queue_drop(&loop->pool, &slot->queue);
    loop->hasty_count -= slot->is_unix && source->kind == IO_DATAGRAM;
    slot->next = loop->slot_free;
    loop->slot_free = slot;
}

static void loop_pause(struct io *io, struct io_source *source)
{
    struct epoll_slot *slot = source->loop.state;
    if (!slot->finished) {
        io_set_remove(io, source);
    }
}

static void loop_resume(struct io *io, struct io_source *source)
{
    struct epoll_slot *slot = source->loop.state;
    if (!slot->finished) {
        io_set_restore(io, source);
    }
    if (slot->queue.count > 0) {
        io_list(io, source);
    }
}

/*
 * io_uring's wait for several events, in the way epoll can: after a round that took only a few
 * datagrams, or a pipe (which is drained by then), a nap of 0.5 ms lets more come, which saves most
 * wake-ups. Not after streams, whose senders would stand still for as long.
 */
static bool may_nap(const struct epoll_loop *loop, uint64_t timeout_ns)
{
    bool something = loop->datagrams_taken > 0 || loop->io.ready_taken > 0;
    return timeout_ns >= IO_BUSY_WAIT_NS && loop->hasty_count == 0 && loop->io.first == NULL &&
           loop->io.always_count == 0 && loop->streams_taken == 0 && something &&
           loop->datagrams_taken < loop->wait_batch;
}

static int loop_wait(struct io *io, uint64_t timeout_ns, bool busy)
{
    struct epoll_loop *loop = (struct epoll_loop *)io;
    enum { MS = 1000 * 1000, TIMEOUT_MS_MAX = 1 << 30 };
    bool looks = timeout_ns == 0;
    if (busy && may_nap(loop, timeout_ns)) {
        (void)nanosleep(&(struct timespec){.tv_nsec = IO_BUSY_WAIT_NS}, NULL);
        timeout_ns -= IO_BUSY_WAIT_NS;
    }
    loop->datagrams_taken = 0;
    if (!looks) {
        loop->streams_taken = 0;
        io->ready_taken = 0;
    }
    uint64_t timeout_ms = timeout_ns / MS + (timeout_ns % MS != 0);
    if (io->first != NULL || io->always_count > 0) {
        timeout_ms = 0;
    }
    return io_set_wait(io, (int)yarder_min(timeout_ms, TIMEOUT_MS_MAX));
}

static int take_stream(struct epoll_loop *loop, struct io_source *source, struct io_chunk *chunk)
{
    uint32_t index = pool_lend(&loop->pool);
    char *buffer = pool_buffer(&loop->pool, index);
    ssize_t got = recv(source->fd, buffer, IO_DATAGRAM_BYTES, MSG_DONTWAIT);
    int error = got < 0 ? -errno : 0;
    if (got <= 0) {
        pool_free(&loop->pool, index);
        if (error < 0 && io_error_passes(IO_STREAM, error)) {
            source->loop.ready = false;
            return 0;
        }
        finish(&loop->io, source);
        if (error < 0) {
            return error;
        }
        chunk->flags = IO_CHUNK_END;
        return 1;
    }
    struct pool_queue queue = {0};
    pool_queue(&loop->pool, &queue, index, (uint32_t)got);
    (void)pool_dequeue(&loop->pool, &queue);
    chunk->bytes = buffer;
    chunk->bytes_count = (uint32_t)got;
    chunk->buffer = buffer;
    loop->streams_taken++;
    source->loop.ready = got == IO_DATAGRAM_BYTES; /* else empty: the set tells of more */
    if (source->loop.ready) {
        io_list(&loop->io, source);
    }
    return 1;
}

static void prepare_message(struct epoll_loop *loop, unsigned i, uint32_t control_room)
{
    loop->indexes[i] = pool_lend(&loop->pool);
    char *buffer = pool_buffer(&loop->pool, loop->indexes[i]);
    loop->payloads[i] = (struct iovec){
        .iov_base = buffer + DATAGRAM_PAYLOAD_AT + control_room,
        .iov_len = IO_DATAGRAM_BYTES,
    };
    loop->messages[i].msg_hdr = (struct msghdr){
        .msg_name = buffer + sizeof(struct datagram_head),
        .msg_namelen = DATAGRAM_PEER_ROOM,
        .msg_iov = &loop->payloads[i],
        .msg_iovlen = 1,
        .msg_control = control_room == 0 ? NULL : buffer + DATAGRAM_PAYLOAD_AT,
        .msg_controllen = control_room,
    };
}

static void store_message(
    struct epoll_loop *loop, struct pool_queue *queue, unsigned i, uint32_t control_room)
{
    const struct msghdr *header = &loop->messages[i].msg_hdr;
    struct datagram_head head = {
        .peer_bytes = header->msg_namelen,
        .control_bytes = control_room == 0 ? 0 : (uint32_t)header->msg_controllen,
        .payload_bytes = loop->messages[i].msg_len,
        .flags = (uint32_t)header->msg_flags,
    };
    memcpy(pool_buffer(&loop->pool, loop->indexes[i]), &head, sizeof(head));
    uint32_t received = DATAGRAM_PAYLOAD_AT + control_room + head.payload_bytes;
    pool_queue(&loop->pool, queue, loop->indexes[i], received);
}

static uint32_t control_room_of(const struct epoll_slot *slot)
{
    return slot->is_unix ? 0 : DATAGRAM_CONTROL_ROOM;
}

/* Receives up to a batch into the source's queue. 0 or -errno. */
static int receive_batch(struct epoll_loop *loop, struct io_source *source)
{
    struct epoll_slot *slot = source->loop.state;
    uint32_t free_count = loop->pool.free_count;
    uint32_t room = free_count > BUFFERS_KEPT ? free_count - BUFFERS_KEPT : 0;
    uint32_t share = room / BATCH_SHARE + (room % BATCH_SHARE != 0);
    unsigned count = (unsigned)yarder_min(share, BATCH_DATAGRAMS);
    source->loop.ready = false;
    if (count == 0) {
        return 0;
    }
    for (unsigned i = 0; i < count; i++) {
        prepare_message(loop, i, control_room_of(slot));
    }
    int got = recvmmsg(source->fd, loop->messages, count, MSG_DONTWAIT, NULL);
    int error = got < 0 ? -errno : 0;
    unsigned received = got < 0 ? 0 : (unsigned)got;
    for (unsigned i = 0; i < received; i++) {
        store_message(loop, &slot->queue, i, control_room_of(slot));
    }
    for (unsigned i = count; i > received; i--) {
        pool_free(&loop->pool, loop->indexes[i - 1]);
    }
    source->loop.ready = received == count;
    return error;
}

static int take_datagram(struct epoll_loop *loop, struct io_source *source, struct io_chunk *chunk)
{
    struct epoll_slot *slot = source->loop.state;
    if (slot->queue.count == 0 && source->loop.ready) {
        int error = receive_batch(loop, source);
        if (error < 0 && !io_error_passes(IO_DATAGRAM, error)) {
            return error;
        }
    }
    if (slot->queue.count == 0) {
        return 0;
    }
    uint32_t index = pool_dequeue(&loop->pool, &slot->queue);
    char *buffer = pool_buffer(&loop->pool, index);
    datagram_read(buffer, loop->pool.nodes[index].bytes, control_room_of(slot), chunk);
    chunk->buffer = buffer;
    loop->datagrams_taken++;
    if (!source->loop.paused && (slot->queue.count > 0 || source->loop.ready)) {
        io_list(&loop->io, source);
    }
    return 1;
}

static int loop_take(struct io *io, struct io_source *source, struct io_chunk *chunk)
{
    struct epoll_loop *loop = (struct epoll_loop *)io;
    if (source->kind == IO_DATAGRAM) {
        return take_datagram(loop, source, chunk);
    }
    return source->loop.ready ? take_stream(loop, source, chunk) : 0;
}

static void loop_give(struct io *io, const char *buffer)
{
    struct epoll_loop *loop = (struct epoll_loop *)io;
    pool_free(&loop->pool, pool_index(&loop->pool, buffer));
}

static void loop_close(struct io *io)
{
    struct epoll_loop *loop = (struct epoll_loop *)io;
    pool_close(&loop->pool);
    free(loop->slots);
    io_base_close(io);
    free(loop);
}

static const struct io_ops epoll_ops = {
    .name = "epoll",
    .add = loop_add,
    .remove = loop_remove,
    .pause = loop_pause,
    .resume = loop_resume,
    .wait = loop_wait,
    .take = loop_take,
    .give = loop_give,
    .close = loop_close,
};

int epoll_open(struct io **out, const struct io_options *options)
{
    struct epoll_loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return -ENOMEM;
    }
    int r = io_base_open(&loop->io, &epoll_ops, options);
    if (r == 0) {
        r = pool_open(&loop->pool, 2 * IO_DATAGRAM_CHUNKS, DATAGRAM_BUFFER_BYTES);
    }
    loop->slots = calloc(options->sources_max, sizeof(*loop->slots));
    if (r < 0 || loop->slots == NULL) {
        loop_close(&loop->io);
        return r < 0 ? r : -ENOMEM;
    }
    for (unsigned i = options->sources_max; i > 0; i--) {
        loop->slots[i - 1].next = loop->slot_free;
        loop->slot_free = &loop->slots[i - 1];
    }
    loop->wait_batch = options->wait_batch == 0 ? IO_WAIT_BATCH_DEFAULT : options->wait_batch;
    *out = &loop->io;
    return 0;
}
