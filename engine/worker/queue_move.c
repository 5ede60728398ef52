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
    bool first_dropped; /* the one of which a part may stand in the file */
};

static bool gather(struct mover *mover, const char *bytes, size_t count)
{
    if (count == 0) {
        return true;
    }
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
        mover->first_dropped |= mover->to->head == 0;
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

/*
 * A seal that was never completed (its lane hangs, or died): the part of it in our first buffer,
 * which is all of it unless buffers became smaller. What it no longer covers may come twice.
 */
static void move_seal(struct hold *old, const struct hold_queue *from,
    const struct queue_pool *pool, struct hold_queue *to)
{
    if (from->seal_bytes == 0) {
        return;
    }
    const struct queue_pool old_pool = {.hold = old, .output = from->output};
    uint32_t uncertain = queue_sealed_records(&old_pool, from);
    if (to->tail < to->head) {
        const struct hold_buffer *first = &pool->hold->buffers[to->first_buffer];
        while (first->start + first->used <= to->tail) {
            first = &pool->hold->buffers[first->next];
        }
        uint64_t room =
            first->start + first->used - yarder_min(to->tail, first->start + first->used);
        to->seal_at = to->tail;
        to->seal_bytes = (uint32_t)yarder_min(room, from->seal_bytes);
    }
    uncertain -=
        to->seal_bytes == 0 ? 0 : (uint32_t)yarder_min(uncertain, queue_sealed_records(pool, to));
    pool->hold->outputs[pool->output].uncertain += uncertain;
}

/* Of a seal that is given up. */
static uint32_t sealed_records(struct hold *old, const struct hold_queue *from)
{
    const struct queue_pool old_pool = {.hold = old, .output = from->output};
    return from->seal_bytes == 0 ? 0 : queue_sealed_records(&old_pool, from);
}

static int move_queue(
    struct hold *old, const struct hold_queue *from, struct queue_pool *pool, struct hold_queue *to)
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
        .period_s = from->period_s,
        .file_s = from->file_s,
        .used_ns = from->used_ns};
    bool good = true;
    for (uint32_t b = from->first_buffer; b != HOLD_NONE && good; b = old->buffers[b].next) {
        good = move_buffer(&mover, old, from->output, b, from->base);
    }
    to->tail = mover.first_dropped ? 0 : yarder_min(from->tail - from->base, to->head);
    move_seal(old, from, pool, to);
    counts->dropped[HOLD_DROPPED_FULL] += mover.dropped;
    free(mover.pieces);
    return good ? 0 : -ENOMEM;
}

/*
 * An output that is rotated by time no more has one queue for a path: what waited for the files of
 * other periods goes behind what it has.
 */
static int append_queue(
    struct hold *old, const struct hold_queue *from, struct queue_pool *pool, struct hold_queue *to)
{
    struct mover mover = {.pool = pool, .to = to};
    bool good = true;
    for (uint32_t b = from->first_buffer; b != HOLD_NONE && good; b = old->buffers[b].next) {
        good = move_buffer(&mover, old, from->output, b, from->base);
    }
    pool->hold->outputs[pool->output].dropped[HOLD_DROPPED_FULL] += mover.dropped;
    free(mover.pieces);
    return good ? 0 : -ENOMEM;
}

/* Where the queues of an output go to: `taken` of ours are in use. */
struct move {
    struct hold *old;
    const struct hold_shape_output *from, *to;
    struct queue_pool pool;
    uint32_t taken;
    uint32_t *queue_from;
};

static int move_one(struct move *move, uint32_t old_index)
{
    struct hold *hold = move->pool.hold;
    const struct hold_queue *queue = &move->old->queues[old_index];
    uint32_t last = move->to->first_queue + move->to->queues_count - 1;
    bool same_path =
        move->taken == move->to->queues_count &&
        strcmp(hold_queue_name(hold, last), hold_queue_name(move->old, old_index)) == 0;
    if (same_path) {
        uint32_t unsure = sealed_records(move->old, queue);
        hold->outputs[move->pool.output].uncertain += unsure;
        return append_queue(move->old, queue, &move->pool, &hold->queues[last]);
    }
    if (move->taken == move->to->queues_count) { /* max-open became smaller */
        hold->outputs[move->pool.output].dropped[HOLD_DROPPED_LEFT] +=
            hold_queue_held(move->old, queue);
        return 0;
    }
    uint32_t index = move->to->first_queue + move->taken++;
    memcpy(
        hold_queue_name(hold, index), hold_queue_name(move->old, old_index), YARDER_PATH_BYTES_MAX);
    move->queue_from[index] = old_index;
    return move_queue(move->old, queue, &move->pool, &hold->queues[index]);
}

/*
 * Those whose file is at its path before those of periods that are over, and of both those that
 * have something first, should there be fewer of ours.
 */
static int move_all(struct move *move, bool past, bool empty)
{
    int r = 0;
    for (uint32_t i = 0; i < move->from->queues_count && r == 0; i++) {
        uint32_t index = move->from->first_queue + i;
        const struct hold_queue *queue = &move->old->queues[index];
        bool active = (queue->flags & HOLD_QUEUE_ACTIVE) != 0;
        bool is_past = (queue->flags & HOLD_QUEUE_PAST) != 0;
        if (active && is_past == past && (hold_queue_held(move->old, queue) == 0) == empty) {
            r = move_one(move, index);
        }
    }
    return r;
}

int queues_move(
    struct hold *old, uint32_t old_output, struct hold *hold, uint32_t output, uint32_t *queue_from)
{
    struct move move = {.old = old,
        .from = &old->shape.outputs[old_output],
        .to = &hold->shape.outputs[output],
        .queue_from = queue_from};
    hold->outputs[output] = old->outputs[old_output];
    int r = queue_pool_open(&move.pool, hold, output);
    for (unsigned turn = 0; turn < 4 && r == 0; turn++) {
        r = move_all(&move, turn / 2 != 0, turn % 2 != 0);
    }
    queue_pool_close(&move.pool);
    return r;
}
