/* SPDX-License-Identifier: Apache-2.0 */
/* The io_uring loop at work: arming, completions, the wait, taking. See uring.h. */
#include "io/uring.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

static_assert(
    sizeof(struct datagram_head) == sizeof(struct io_uring_recvmsg_out) &&
        offsetof(struct datagram_head, payload_bytes) ==
            offsetof(struct io_uring_recvmsg_out, payloadlen) &&
        offsetof(struct datagram_head, flags) == offsetof(struct io_uring_recvmsg_out, flags),
    "a datagram's head is the kernel's");

/* user_data: the slot's index above a tag. */
enum uring_tag { TAG_RECEIVE, TAG_CANCEL, TAG_SET, TAG_BITS = 2, TAG_MASK = 3 };
enum { SUBMIT_TRIES = 16, DISARM_WAIT_NS = 10 * 1000 * 1000 };

static uint64_t receive_data(const struct uring_slot *slot)
{
    return (uint64_t)slot->index << TAG_BITS | TAG_RECEIVE;
}

void uring_refill(struct uring_buffers *buffers)
{
    struct pool *pool = &buffers->pool;
    int mask = io_uring_buf_ring_mask(buffers->lent_max);
    int added = 0;
    while (pool->free_count > 0 &&
           pool->count - pool->free_count - buffers->parked < buffers->lent_max) {
        uint32_t index = pool_lend(pool);
        io_uring_buf_ring_add(buffers->ring, pool_buffer(pool, index), (unsigned)pool->buffer_bytes,
            (uint16_t)index, mask, added);
        buffers->lent++;
        added++;
    }
    if (added > 0) {
        io_uring_buf_ring_advance(buffers->ring, added); /* release: pairs with the kernel's load */
    }
}

static void queue_to_arm(struct uring_slot *slot)
{
    struct uring_buffers *buffers = slot->buffers;
    if (slot->arm_queued) {
        return;
    }
    slot->arm_queued = true;
    slot->next = NULL;
    if (buffers->arm_first == NULL) {
        buffers->arm_first = slot;
    } else {
        buffers->arm_last->next = slot;
    }
    buffers->arm_last = slot;
}

static void unqueue_to_arm(struct uring_slot *slot)
{
    struct uring_buffers *buffers = slot->buffers;
    if (!slot->arm_queued) {
        return;
    }
    struct uring_slot *before = NULL;
    struct uring_slot *at = buffers->arm_first;
    while (at != slot) { /* ends: a queued slot is in the queue */
        before = at;
        at = at->next;
    }
    if (before == NULL) {
        buffers->arm_first = slot->next;
    } else {
        before->next = slot->next;
    }
    if (buffers->arm_last == slot) {
        buffers->arm_last = before;
    }
    slot->arm_queued = false;
}

static bool has_something(const struct uring_slot *slot)
{
    return slot->queue.count > 0 || (!slot->finished && (slot->ended || slot->error < 0));
}

static void list_slot(struct uring *uring, struct uring_slot *slot)
{
    if (!slot->source->loop.paused && has_something(slot)) {
        io_list(&uring->io, slot->source);
    }
}

/* The last completion of a request. */
static void request_ended(struct uring *uring, struct uring_slot *slot, int result)
{
    slot->armed = false;
    uring->hasty_count -= slot->is_unix && uring->short_queues && slot->source->kind == IO_DATAGRAM;
    if (result == 0 && slot->source->kind == IO_STREAM) {
        slot->ended = true;
    } else if (result < 0 && result != -ECANCELED && result != -ENOBUFS &&
               !io_error_passes(slot->source->kind, result)) {
        slot->error = result;
    } else if (!slot->stopping) {
        queue_to_arm(slot);
    }
}

static void receive_completed(struct uring *uring, const struct io_uring_cqe *cqe)
{
    uint64_t index = cqe->user_data >> TAG_BITS;
    YARDER_ASSERT(index < uring->io.sources_max);
    struct uring_slot *slot = &uring->slots[index];
    YARDER_ASSERT(slot->armed && slot->source != NULL);
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        struct uring_buffers *buffers = slot->buffers;
        uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        YARDER_ASSERT(buffers->lent > 0);
        buffers->lent--;
        if (cqe->res > 0) {
            pool_queue(&buffers->pool, &slot->queue, buffer, (uint32_t)cqe->res);
        } else {
            pool_free(&buffers->pool, buffer);
        }
    }
    uring->more_behind |= slot->is_unix && cqe->res == IO_CHUNK_BYTES;
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        request_ended(uring, slot, cqe->res);
    }
    list_slot(uring, slot);
}

static void reap(struct uring *uring)
{
    struct io_uring_cqe *cqe = NULL;
    unsigned head = 0;
    unsigned count = 0;
    io_uring_for_each_cqe(&uring->ring, head, cqe)
    {
        count++;
        enum uring_tag tag = (enum uring_tag)(cqe->user_data & TAG_MASK);
        if (tag == TAG_RECEIVE) {
            receive_completed(uring, cqe);
        } else if (tag == TAG_SET) {
            uring->set_armed = false;
            uring->set_has_some = true;
        }
    }
    io_uring_cq_advance(&uring->ring, count);
}

/* Submits what is prepared, waits for `events` completions, takes in what there is. */
static int enter(struct uring *uring, unsigned events, uint64_t timeout_ns)
{
    int r = 0;
    if (timeout_ns == 0) {
        r = io_uring_submit_and_get_events(&uring->ring);
    } else {
        struct io_uring_cqe *cqe = NULL;
        struct __kernel_timespec timeout = {
            .tv_sec = (int64_t)(timeout_ns / 1000000000),
            .tv_nsec = (int64_t)(timeout_ns % 1000000000),
        };
        r = io_uring_submit_and_wait_timeout(&uring->ring, &cqe, events, &timeout, NULL);
    }
    reap(uring);
    bool passes = r >= 0 || r == -ETIME || r == -EINTR || r == -EAGAIN || r == -EBUSY;
    return passes ? 0 : r;
}

/* NULL: the ring takes nothing more, which the next wait tells. */
static struct io_uring_sqe *sqe_take(struct uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    for (unsigned try = 0; sqe == NULL && try < SUBMIT_TRIES; try++) {
        int r = enter(uring, 0, 0);
        if (r < 0) {
            uring->broken = r;
            return NULL;
        }
        sqe = io_uring_get_sqe(&uring->ring);
    }
    if (sqe == NULL) {
        uring->broken = -EBUSY;
    }
    return sqe;
}

static bool arm(struct uring *uring, struct uring_slot *slot)
{
    const struct io_source *source = slot->source;
    struct io_uring_sqe *sqe = sqe_take(uring);
    if (sqe == NULL) {
        return false;
    }
    if (source->kind == IO_STREAM && slot->is_unix) {
        /* A multishot one can miss that the other side has closed (seen on 6.18). */
        io_uring_prep_recv(sqe, source->fd, NULL, 0, 0);
    } else if (source->kind == IO_STREAM) {
        io_uring_prep_recv_multishot(sqe, source->fd, NULL, 0, 0);
    } else {
        struct msghdr *header = slot->is_unix ? &uring->header_unix : &uring->header;
        io_uring_prep_recvmsg_multishot(sqe, source->fd, header, 0);
        uring->hasty_count += slot->is_unix && uring->short_queues;
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = slot->buffers->group;
    io_uring_sqe_set_data64(sqe, receive_data(slot));
    slot->armed = true;
    return true;
}

/*
 * Arms what waits for it, at most one for each buffer the kernel has, so that a pool run dry does
 * not cost a failure for each source. True: some are left for which there are buffers.
 */
static bool arm_queued(struct uring *uring, struct uring_buffers *buffers)
{
    for (uint32_t room = buffers->lent; room > 0 && buffers->arm_first != NULL; room--) {
        struct uring_slot *slot = buffers->arm_first;
        buffers->arm_first = slot->next;
        slot->arm_queued = false;
        YARDER_ASSERT(!slot->armed && !slot->source->loop.paused);
        if (!arm(uring, slot)) {
            queue_to_arm(slot);
            return false; /* broken */
        }
    }
    return buffers->arm_first != NULL && buffers->lent > 0;
}

static void arm_set(struct uring *uring)
{
    if (uring->set_armed || uring->io.set_count == 0) {
        return;
    }
    struct io_uring_sqe *sqe = sqe_take(uring);
    if (sqe == NULL) {
        return;
    }
    io_uring_prep_poll_add(sqe, uring->io.set_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, TAG_SET);
    uring->set_armed = true;
}

static int loop_wait(struct io *io, uint64_t timeout_ns, bool busy)
{
    struct uring *uring = (struct uring *)io;
    if (uring->broken < 0) {
        return uring->broken;
    }
    bool more = false;
    for (unsigned group = 0; group < URING_GROUPS; group++) {
        uring_refill(&uring->buffers[group]);
        more |= arm_queued(uring, &uring->buffers[group]);
    }
    arm_set(uring);
    if (uring->broken < 0) {
        return uring->broken;
    }
    unsigned events = 1;
    if (more || io->first != NULL || io->always_count > 0) {
        timeout_ns = 0;
    } else if (busy && uring->hasty_count == 0 && !uring->more_behind) {
        events = uring->wait_batch;
        timeout_ns = yarder_min(timeout_ns, IO_BUSY_WAIT_NS);
    }
    uring->more_behind = uring->more_behind && timeout_ns == 0;
    int r = enter(uring, events, timeout_ns);
    if (r == 0 && (uring->set_has_some || io->always_count > 0)) {
        uring->set_has_some = false;
        r = io_set_wait(io, 0);
    }
    return r;
}

/*
 * Ends the armed request and takes in its last completion: afterwards the kernel receives nothing
 * more for this source. A cancel that came too late (the request is about to run) is repeated.
 */
static void disarm(struct uring *uring, struct uring_slot *slot)
{
    slot->stopping = true;
    while (slot->armed && uring->broken == 0) {
        struct io_uring_sqe *sqe = sqe_take(uring);
        if (sqe == NULL) {
            break;
        }
        io_uring_prep_cancel64(sqe, receive_data(slot), 0);
        io_uring_sqe_set_data64(sqe, TAG_CANCEL);
        int r = enter(uring, 1, DISARM_WAIT_NS);
        uring->broken = r < 0 ? r : uring->broken;
    }
    slot->stopping = false;
}

static int loop_add(struct io *io, struct io_source *source)
{
    struct uring *uring = (struct uring *)io;
    bool is_unix = false;
    int r = io_socket_check(source->fd, source->kind, &is_unix);
    if (r < 0) {
        return r;
    }
    struct uring_slot *slot = uring->slot_free;
    if (slot == NULL) {
        return -ENOSPC; /* a broken ring keeps the slots of what it did not end */
    }
    uring->slot_free = slot->next;
    *slot = (struct uring_slot){
        .source = source,
        .buffers = &uring->buffers[source->kind == IO_STREAM ? URING_STREAMS : URING_DATAGRAMS],
        .index = slot->index,
        .is_unix = is_unix,
    };
    source->loop.state = slot;
    queue_to_arm(slot);
    return 0;
}

static void loop_pause(struct io *io, struct io_source *source)
{
    struct uring_slot *slot = source->loop.state;
    disarm((struct uring *)io, slot);
    unqueue_to_arm(slot);
    slot->buffers->parked += slot->queue.count;
}

static void loop_resume(struct io *io, struct io_source *source)
{
    struct uring_slot *slot = source->loop.state;
    slot->buffers->parked -= slot->queue.count;
    if (!slot->armed && !slot->ended && slot->error == 0) {
        queue_to_arm(slot);
    }
    list_slot((struct uring *)io, slot);
}

static void loop_remove(struct io *io, struct io_source *source)
{
    struct uring *uring = (struct uring *)io;
    struct uring_slot *slot = source->loop.state;
    if (!source->loop.paused) {
        loop_pause(io, source);
    }
    slot->buffers->parked -= slot->queue.count;
    pool_queue_drop(&slot->buffers->pool, &slot->queue);
    slot->source = NULL;
    if (!slot->armed) {
        slot->next = uring->slot_free;
        uring->slot_free = slot;
    }
}

static int take_last_word(struct uring_slot *slot, struct io_chunk *chunk)
{
    if (slot->finished || (!slot->ended && slot->error == 0)) {
        return 0;
    }
    if (slot->source->kind == IO_DATAGRAM) { /* it goes on when it is resumed */
        int error = slot->error;
        slot->error = 0;
        return error;
    }
    slot->finished = true;
    if (!slot->ended) {
        return slot->error;
    }
    chunk->flags = IO_CHUNK_END;
    return 1;
}

static int loop_take(struct io *io, struct io_source *source, struct io_chunk *chunk)
{
    struct uring *uring = (struct uring *)io;
    struct uring_slot *slot = source->loop.state;
    struct uring_buffers *buffers = slot->buffers;
    if (slot->queue.count == 0) {
        return take_last_word(slot, chunk);
    }
    uint32_t index = pool_dequeue(&buffers->pool, &slot->queue);
    char *buffer = pool_buffer(&buffers->pool, index);
    uint32_t received = buffers->pool.nodes[index].bytes;
    if (source->kind == IO_STREAM) {
        chunk->bytes = buffer;
        chunk->bytes_count = received;
    } else {
        datagram_read(buffer, received, slot->is_unix ? 0 : DATAGRAM_CONTROL_ROOM, chunk);
    }
    chunk->buffer = buffer;
    buffers->parked -= source->loop.paused;
    list_slot(uring, slot);
    return 1;
}

static void loop_give(struct io *io, const char *buffer)
{
    struct uring *uring = (struct uring *)io;
    bool streams = pool_owns(&uring->buffers[URING_STREAMS].pool, buffer);
    struct pool *pool = &uring->buffers[streams ? URING_STREAMS : URING_DATAGRAMS].pool;
    pool_free(pool, pool_index(pool, buffer));
}

const struct io_ops uring_ops = {
    .name = "io_uring",
    .add = loop_add,
    .remove = loop_remove,
    .pause = loop_pause,
    .resume = loop_resume,
    .wait = loop_wait,
    .take = loop_take,
    .give = loop_give,
    .close = uring_close,
};
