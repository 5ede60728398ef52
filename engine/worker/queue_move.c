/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/queue_move.h"

#include <errno.h>
#include <string.h>

#include "queue/queue.h"

/* The record that is being put together from pieces of old buffers. */
struct mover {
    struct queue_pool *pool;
    struct hold_queue *to;
    char *pieces;
    size_t pieces_bytes, pieces_room;
    uint64_t dropped;
};

static bool gather(struct mover *mover, const char *bytes, size_t count)
{
    if (mover->pieces_bytes + count > mover->pieces_room) {
        size_t room = 2 * (mover->pieces_bytes + count);
        char *larger = realloc(mover->pieces, room);
        if (larger == NULL) {
            return false;
        }
        mover->pieces = larger;
        mover->pieces_room = room;
    }
    memcpy(mover->pieces + mover->pieces_bytes, bytes, count);
    mover->pieces_bytes += count;
    return true;
}

static void put_record(struct mover *mover)
{
    char *at = queue_put_begin(mover->pool, mover->to, mover->pieces_bytes);
    if (at != NULL) {
        memcpy(at, mover->pieces, mover->pieces_bytes);
        queue_put_end(mover->pool, mover->to, mover->pieces_bytes);
    } else if (!queue_put_long(mover->pool, mover->to, mover->pieces, mover->pieces_bytes)) {
        mover->dropped++;
    }
    mover->pieces_bytes = 0;
}

/* Records of one old buffer from position `from` on. */
static bool move_buffer(
    struct mover *mover, const struct hold *old, uint32_t old_output, uint32_t index, uint64_t from)
{
    const struct hold_buffer *buffer = &old->buffers[index];
    const char *bytes = hold_buffer_bytes(old, old_output, index);
    const uint32_t *ends =
        (const uint32_t *)(const void *)(bytes + old->shape.outputs[old_output].buffer_bytes);
    uint32_t at = from > buffer->start ? (uint32_t)(from - buffer->start) : 0;
    for (uint32_t i = 0; i < buffer->records; i++) {
        uint32_t end = ends[-(ptrdiff_t)(i + 1)];
        if (end <= at) {
            continue;
        }
        if (!gather(mover, bytes + at, end - at)) {
            return false;
        }
        put_record(mover);
        at = end;
    }
    return gather(mover, bytes + at, buffer->used - at); /* a record that goes on in the next one */
}

/* A seal that was never completed (its lane hangs): the part of it in our first buffer. */
static void move_seal(const struct hold *hold, const struct hold_queue *from, struct hold_queue *to)
{
    if (from->seal_bytes == 0 || to->first_buffer == HOLD_NONE) {
        return;
    }
    const struct hold_buffer *first = &hold->buffers[to->first_buffer];
    uint64_t room = first->start + first->used - to->tail;
    to->seal_at = to->tail;
    to->seal_bytes = (uint32_t)yarder_min(room, from->seal_bytes);
}

static int move_queue(const struct hold *old, const struct hold_queue *from,
    struct queue_pool *pool, struct hold_queue *to)
{
    struct mover mover = {.pool = pool, .to = to};
    struct hold_output *counts = &pool->hold->outputs[pool->output];
    *to = (struct hold_queue){.output = pool->output,
        .flags = from->flags,
        .first_buffer = HOLD_NONE,
        .last_buffer = HOLD_NONE,
        .expected_size = from->expected_size,
        .dev = from->dev,
        .ino = from->ino,
        .used_ns = from->used_ns};
    bool good = true;
    for (uint32_t b = from->first_buffer; b != HOLD_NONE && good; b = old->buffers[b].next) {
        good = move_buffer(&mover, old, from->output, b, from->base);
    }
    to->tail = yarder_min(from->tail - from->base, to->head);
    move_seal(pool->hold, from, to);
    counts->dropped[HOLD_DROPPED_FULL] += mover.dropped;
    free(mover.pieces);
    return good ? 0 : -ENOMEM;
}

int queues_move(const struct hold *old, uint32_t old_output, struct hold *hold, uint32_t output,
    uint32_t *queue_from)
{
    const struct hold_shape_output *from = &old->shape.outputs[old_output];
    const struct hold_shape_output *to = &hold->shape.outputs[output];
    struct queue_pool pool;
    hold->outputs[output] = old->outputs[old_output];
    int r = queue_pool_open(&pool, hold, output);
    uint32_t taken = 0;
    for (uint32_t i = 0; i < from->queues_count && r == 0; i++) {
        const struct hold_queue *queue = &old->queues[from->first_queue + i];
        if ((queue->flags & HOLD_QUEUE_ACTIVE) == 0) {
            continue;
        }
        if (taken == to->queues_count) { /* max-open became smaller: its files were idle or wait */
            hold->outputs[output].dropped[HOLD_DROPPED_LEFT] += hold_queue_held(old, queue);
            continue;
        }
        uint32_t index = to->first_queue + taken++;
        memcpy(hold_queue_name(hold, index), hold_queue_name(old, from->first_queue + i),
            YARDER_PATH_BYTES_MAX);
        queue_from[index] = from->first_queue + i;
        r = move_queue(old, queue, &pool, &hold->queues[index]);
    }
    queue_pool_close(&pool);
    return r;
}
