/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/queue.h"

#include <errno.h>
#include <string.h>

static struct hold_buffer *buffer_of(const struct queue_pool *pool, uint32_t index)
{
    return &pool->hold->buffers[index];
}

static uint32_t buffer_bytes(const struct queue_pool *pool)
{
    return pool->hold->shape.outputs[pool->output].buffer_bytes;
}

/* Record ends of a buffer: the i-th stands i + 1 words before the buffer's end. */
static uint32_t *ends_of(const struct queue_pool *pool, uint32_t index)
{
    char *bytes = hold_buffer_bytes(pool->hold, pool->output, index);
    return (uint32_t *)(void *)(bytes + buffer_bytes(pool));
}

static size_t buffer_room(const struct queue_pool *pool, const struct hold_buffer *buffer)
{
    size_t taken = buffer->used + (buffer->records + 1ul) * sizeof(uint32_t);
    size_t all = buffer_bytes(pool);
    return taken >= all ? 0 : all - taken;
}

int queue_pool_open(struct queue_pool *pool, struct hold *hold, uint32_t output)
{
    const struct hold_shape_output *shape = &hold->shape.outputs[output];
    *pool = (struct queue_pool){.hold = hold, .output = output};
    YARDER_OWN_HEAP bool *linked = calloc(shape->buffers_count + 1ul, sizeof(*linked));
    pool->free = calloc(shape->buffers_count + 1ul, sizeof(*pool->free));
    pool->freed = calloc(shape->buffers_count + 1ul, sizeof(*pool->freed));
    if (linked == NULL || pool->free == NULL || pool->freed == NULL) {
        queue_pool_close(pool);
        return -ENOMEM;
    }
    for (uint32_t q = 0; q < shape->queues_count; q++) {
        for (uint32_t b = hold->queues[shape->first_queue + q].first_buffer; b != HOLD_NONE;
             b = hold->buffers[b].next) {
            YARDER_ASSERT(b >= shape->first_buffer);
            YARDER_ASSERT(b - shape->first_buffer < shape->buffers_count);
            YARDER_ASSERT(!linked[b - shape->first_buffer]);
            linked[b - shape->first_buffer] = true;
        }
    }
    for (uint32_t i = shape->buffers_count; i > 0; i--) { /* the lowest ends on top */
        if (!linked[i - 1]) {
            pool->free[pool->free_count++] = shape->first_buffer + i - 1;
        }
    }
    return 0;
}

void queue_pool_close(struct queue_pool *pool)
{
    free(pool->free);
    free(pool->freed);
    *pool = (struct queue_pool){0};
}

void queue_pool_settle(struct queue_pool *pool)
{
    while (pool->freed_count > 0) {
        pool->free[pool->free_count++] = pool->freed[--pool->freed_count];
    }
}

static void buffer_link(struct queue_pool *pool, struct hold_queue *queue, bool continues)
{
    YARDER_ASSERT(pool->free_count > 0);
    uint32_t index = pool->free[--pool->free_count];
    *buffer_of(pool, index) =
        (struct hold_buffer){.start = queue->head, .next = HOLD_NONE, .continues = continues};
    if (queue->first_buffer == HOLD_NONE) {
        queue->first_buffer = index;
        queue->first_delivered = 0;
    } else {
        buffer_of(pool, queue->last_buffer)->next = index;
    }
    queue->last_buffer = index;
}

static void buffer_unlink_first(struct queue_pool *pool, struct hold_queue *queue)
{
    uint32_t index = queue->first_buffer;
    queue->first_buffer = buffer_of(pool, index)->next;
    queue->first_delivered = 0;
    if (queue->first_buffer == HOLD_NONE) {
        queue->last_buffer = HOLD_NONE;
    }
    pool->freed[pool->freed_count++] = index;
}

/* Where buffers were dropped the positions jump: tail and base follow. No record is open there. */
static void queue_skip_gap(const struct queue_pool *pool, struct hold_queue *queue)
{
    for (uint32_t index = queue->first_buffer; index != HOLD_NONE;
         index = buffer_of(pool, index)->next) {
        const struct hold_buffer *buffer = buffer_of(pool, index);
        if (queue->tail < buffer->start) {
            YARDER_ASSERT(queue->base == queue->tail);
            queue->base = queue->tail = buffer->start;
        }
        if (queue->tail < buffer->start + buffer->used) {
            return;
        }
    }
}

bool queue_fits(const struct queue_pool *pool, size_t bytes_max)
{
    return bytes_max + 2 * sizeof(uint32_t) <= buffer_bytes(pool);
}

size_t queue_record_bytes_max(const struct queue_pool *pool)
{
    size_t each = buffer_bytes(pool) - 2 * sizeof(uint32_t);
    return each * pool->hold->shape.outputs[pool->output].buffers_count;
}

bool queue_has_room(const struct queue_pool *pool, const struct hold_queue *queue, size_t bytes)
{
    size_t room = 0;
    if (queue->last_buffer != HOLD_NONE) {
        room = buffer_room(pool, buffer_of(pool, queue->last_buffer));
    }
    if (room >= bytes) {
        return true;
    }
    size_t each = buffer_bytes(pool) - 2 * sizeof(uint32_t);
    if (bytes <= each) {
        return pool->free_count > 0;
    }
    return room + pool->free_count * each >= bytes;
}

static bool fits_last(
    const struct queue_pool *pool, const struct hold_queue *queue, size_t bytes_max)
{
    return queue->last_buffer != HOLD_NONE &&
           buffer_room(pool, buffer_of(pool, queue->last_buffer)) >= bytes_max;
}

char *queue_put_begin(struct queue_pool *pool, struct hold_queue *queue, size_t bytes_max)
{
    if (YARDER_UNLIKELY(!fits_last(pool, queue, bytes_max))) {
        if (pool->free_count == 0 || !queue_fits(pool, bytes_max)) {
            return NULL;
        }
        buffer_link(pool, queue, false);
    }
    uint32_t last = queue->last_buffer;
    return hold_buffer_bytes(pool->hold, pool->output, last) + buffer_of(pool, last)->used;
}

/* The last buffer now holds `records` more, up to `used` bytes; their ends are noted. */
static void buffer_grow(
    struct queue_pool *pool, struct hold_queue *queue, uint32_t records, uint32_t used)
{
    struct hold_buffer *buffer = buffer_of(pool, queue->last_buffer);
    size_t ends_bytes = (buffer->records + (size_t)records) * sizeof(uint32_t);
    YARDER_ASSERT(used > buffer->used && used + ends_bytes <= buffer_bytes(pool));
    queue->head += used - buffer->used;
    buffer->used = used;
    buffer->records += records;
}

void queue_put_end(struct queue_pool *pool, struct hold_queue *queue, size_t bytes)
{
    const struct hold_buffer *buffer = buffer_of(pool, queue->last_buffer);
    YARDER_ASSERT(bytes <= buffer_room(pool, buffer));
    uint32_t used = buffer->used + (uint32_t)bytes;
    ends_of(pool, queue->last_buffer)[-(ptrdiff_t)(buffer->records + 1)] = used;
    buffer_grow(pool, queue, 1, used);
}

bool queue_run_begin(
    struct queue_pool *pool, struct hold_queue *queue, size_t bytes_max, struct queue_run *run)
{
    uint32_t used = 0;
    uint32_t records = 0;
    if (fits_last(pool, queue, bytes_max)) {
        run->index = queue->last_buffer;
        used = buffer_of(pool, run->index)->used;
        records = buffer_of(pool, run->index)->records;
    } else if (pool->free_count > 0 && queue_fits(pool, bytes_max)) {
        run->index = pool->free[pool->free_count - 1];
    } else {
        return false;
    }
    run->buffer = hold_buffer_bytes(pool->hold, pool->output, run->index);
    run->at = run->buffer + used;
    run->ends = ends_of(pool, run->index) - records;
    return true;
}

void queue_run_end(struct queue_pool *pool, struct hold_queue *queue, const struct queue_run *run,
    uint32_t records)
{
    if (records == 0) {
        return;
    }
    if (run->index != queue->last_buffer) {
        buffer_link(pool, queue, false);
    }
    YARDER_ASSERT(run->index == queue->last_buffer);
    const uint32_t *ends = ends_of(pool, run->index);
    buffer_grow(
        pool, queue, records, ends[-(ptrdiff_t)(buffer_of(pool, run->index)->records + records)]);
}

bool queue_put_long(
    struct queue_pool *pool, struct hold_queue *queue, const char *bytes, size_t bytes_count)
{
    if (!queue_has_room(pool, queue, bytes_count)) {
        return false;
    }
    bool continues = false;
    while (bytes_count > 0) {
        size_t room = queue->last_buffer == HOLD_NONE
                          ? 0
                          : buffer_room(pool, buffer_of(pool, queue->last_buffer));
        if (room == 0) {
            buffer_link(pool, queue, continues);
            continue;
        }
        struct hold_buffer *buffer = buffer_of(pool, queue->last_buffer);
        size_t piece = yarder_min(room, bytes_count);
        memcpy(hold_buffer_bytes(pool->hold, pool->output, queue->last_buffer) + buffer->used,
            bytes, piece);
        bytes += piece;
        bytes_count -= piece;
        continues = true;
        if (bytes_count == 0) {
            queue_put_end(pool, queue, piece);
        } else {
            buffer->used += (uint32_t)piece;
            queue->head += piece;
        }
    }
    return true;
}

/* Whether the buffer holds whole records only. */
static bool buffer_is_whole(const struct queue_pool *pool, uint32_t index)
{
    const struct hold_buffer *buffer = buffer_of(pool, index);
    return buffer->records > 0 && !buffer->continues &&
           ends_of(pool, index)[-(ptrdiff_t)buffer->records] == buffer->used;
}

uint32_t queue_drop_oldest(struct queue_pool *pool, struct hold_queue *queue)
{
    if (queue->first_buffer == HOLD_NONE) {
        return 0;
    }
    struct hold_buffer *first = buffer_of(pool, queue->first_buffer);
    bool first_is_touched = queue->tail > first->start || queue->seal_bytes != 0;
    uint32_t index = first_is_touched ? first->next : queue->first_buffer;
    if (index == HOLD_NONE || buffer_of(pool, index)->next == HOLD_NONE ||
        !buffer_is_whole(pool, index)) {
        return 0;
    }
    uint32_t dropped = buffer_of(pool, index)->records;
    if (first_is_touched) { /* leaves a gap between the positions; queue_skip_gap steps over it */
        first->next = buffer_of(pool, index)->next;
        pool->freed[pool->freed_count++] = index;
    } else {
        buffer_unlink_first(pool, queue);
        queue_skip_gap(pool, queue);
    }
    return dropped;
}

uint64_t queue_drop_all(struct queue_pool *pool, struct hold_queue *queue)
{
    YARDER_ASSERT(queue->seal_bytes == 0);
    uint64_t dropped = hold_queue_held(pool->hold, queue);
    while (queue->first_buffer != HOLD_NONE) {
        buffer_unlink_first(pool, queue);
    }
    queue->base = queue->tail = queue->head;
    return dropped;
}

bool queue_is_empty(const struct hold_queue *queue)
{
    return queue->tail == queue->head;
}

uint64_t queue_waiting_bytes(const struct hold_queue *queue)
{
    return queue->head - queue->tail;
}

/* The buffer that holds the byte at `at`; base and tail lie in the first ones. */
static uint32_t buffer_with(
    const struct queue_pool *pool, const struct hold_queue *queue, uint64_t at)
{
    uint32_t index = queue->first_buffer;
    while (index != HOLD_NONE) {
        const struct hold_buffer *buffer = buffer_of(pool, index);
        if (at < buffer->start + buffer->used) {
            YARDER_ASSERT(at >= buffer->start);
            return index;
        }
        index = buffer->next;
    }
    return HOLD_NONE;
}

/* How many of a buffer's records end at or before `used` bytes. */
static uint32_t ends_within(const struct queue_pool *pool, uint32_t index, uint64_t used)
{
    const uint32_t *ends = ends_of(pool, index);
    uint32_t low = 0;
    uint32_t high = buffer_of(pool, index)->records;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (ends[-(ptrdiff_t)(middle + 1)] <= used) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const char *queue_seal(const struct queue_pool *pool, struct hold_queue *queue)
{
    YARDER_ASSERT(queue->seal_bytes == 0);
    uint32_t index = buffer_with(pool, queue, queue->tail);
    YARDER_ASSERT(index != HOLD_NONE);
    const struct hold_buffer *buffer = buffer_of(pool, index);
    uint64_t before = queue->tail - buffer->start;
    uint64_t end = buffer->used;
    uint32_t done = queue->base < queue->tail ? ends_within(pool, index, before) : buffer->records;
    if (done < buffer->records) {
        end = ends_of(pool, index)[-(ptrdiff_t)(done + 1)];
    }
    queue->seal_at = queue->tail;
    queue->seal_bytes = (uint32_t)(end - before);
    return queue_sealed(pool, queue);
}

const char *queue_sealed(const struct queue_pool *pool, const struct hold_queue *queue)
{
    YARDER_ASSERT(queue->seal_bytes > 0 && queue->seal_at == queue->tail);
    uint32_t index = buffer_with(pool, queue, queue->tail);
    YARDER_ASSERT(index != HOLD_NONE);
    const struct hold_buffer *buffer = buffer_of(pool, index);
    YARDER_ASSERT(buffer->start + buffer->used - queue->tail >= queue->seal_bytes);
    return hold_buffer_bytes(pool->hold, pool->output, index) + (queue->tail - buffer->start);
}

/* Frees the buffers that base has left behind. */
static void release(struct queue_pool *pool, struct hold_queue *queue)
{
    while (queue->first_buffer != HOLD_NONE) {
        const struct hold_buffer *buffer = buffer_of(pool, queue->first_buffer);
        if (buffer->start + buffer->used > queue->base) {
            return;
        }
        buffer_unlink_first(pool, queue);
    }
}

uint32_t queue_complete(struct queue_pool *pool, struct hold_queue *queue, uint32_t written)
{
    YARDER_ASSERT(queue->seal_at == queue->tail && written <= queue->seal_bytes);
    queue->seal_bytes = 0;
    if (written == 0) {
        return 0;
    }
    uint32_t index = buffer_with(pool, queue, queue->tail);
    struct hold_buffer *buffer = buffer_of(pool, index);
    uint64_t before = queue->tail - buffer->start;
    uint64_t after = before + written;
    uint32_t done_before = ends_within(pool, index, before);
    uint32_t done = ends_within(pool, index, after);
    queue->tail += written;
    if (done > done_before) {
        queue->base = buffer->start + ends_of(pool, index)[-(ptrdiff_t)done];
    }
    release(pool, queue);
    queue_skip_gap(pool, queue);
    /* Records of later buffers are counted only when base is there: they begin behind it. */
    if (queue->first_buffer == index) {
        queue->first_delivered = done;
    }
    return done - done_before;
}

void queue_unseal(struct hold_queue *queue)
{
    queue->seal_bytes = 0;
}

/* Where the record ends that goes on over the end of a buffer; no record is put by halves. */
static uint64_t end_of_long(const struct queue_pool *pool, uint32_t index)
{
    do {
        index = buffer_of(pool, index)->next;
        YARDER_ASSERT(index != HOLD_NONE);
    } while (buffer_of(pool, index)->records == 0);
    return buffer_of(pool, index)->start + ends_of(pool, index)[-1];
}

const char *queue_seal_within(
    const struct queue_pool *pool, struct hold_queue *queue, uint64_t bytes_max, bool first)
{
    const char *bytes = queue_seal(pool, queue);
    if (queue_record_open(queue) || queue->seal_bytes <= bytes_max) {
        uint32_t index = buffer_with(pool, queue, queue->tail);
        const struct hold_buffer *buffer = buffer_of(pool, index);
        uint64_t end = queue->tail + queue->seal_bytes;
        uint32_t last =
            buffer->records == 0 ? 0 : ends_of(pool, index)[-(ptrdiff_t)buffer->records];
        bool whole = end <= buffer->start + last;
        if (queue_record_open(queue) || whole ||
            end_of_long(pool, index) - queue->tail <= bytes_max) {
            return bytes;
        }
        bytes_max = queue->seal_bytes - 1ul; /* without the one that goes on in the next buffer */
    }
    uint32_t index = buffer_with(pool, queue, queue->tail);
    const struct hold_buffer *buffer = buffer_of(pool, index);
    uint64_t before = queue->tail - buffer->start;
    const uint32_t *ends = ends_of(pool, index);
    uint32_t begun = ends_within(pool, index, before);
    uint32_t done = ends_within(pool, index, before + bytes_max);
    if (done > begun) {
        queue->seal_bytes = (uint32_t)(ends[-(ptrdiff_t)done] - before);
    } else if (first && begun < buffer->records) {
        queue->seal_bytes = (uint32_t)(ends[-(ptrdiff_t)(begun + 1)] - before);
    } else if (!first) {
        queue_unseal(queue);
        return NULL;
    }
    return bytes;
}

void queue_rewind(struct hold_queue *queue)
{
    YARDER_ASSERT(queue->seal_bytes == 0);
    queue->tail = queue->base;
}

const uint32_t *queue_sealed_ends(const struct queue_pool *pool, const struct hold_queue *queue,
    uint32_t *ends_count, uint32_t *seal_offset)
{
    uint32_t index = buffer_with(pool, queue, queue->seal_at);
    YARDER_ASSERT(index != HOLD_NONE);
    *ends_count = buffer_of(pool, index)->records;
    *seal_offset = (uint32_t)(queue->seal_at - buffer_of(pool, index)->start);
    return ends_of(pool, index);
}

uint32_t queue_sealed_records(const struct queue_pool *pool, const struct hold_queue *queue)
{
    uint32_t index = buffer_with(pool, queue, queue->seal_at);
    YARDER_ASSERT(index != HOLD_NONE);
    uint64_t before = queue->seal_at - buffer_of(pool, index)->start;
    return ends_within(pool, index, before + queue->seal_bytes) - ends_within(pool, index, before);
}
