/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory queue: what one file (or other destination) has yet to be given, as rendered bytes in
 * buffers of the hold. All queues of an output share its pool of buffers, taken last-freed-first
 * so that a quiet output keeps two buffers warm and touches no others.
 *
 * Everything here changes the private state; it is true after the next hold_commit. The order is
 * the one of the pass: complete, put, seal, hold_commit, pool_settle.
 */
#ifndef YARDER_QUEUE_QUEUE_H
#define YARDER_QUEUE_QUEUE_H

#include "queue/hold.h"

/* Free buffers of one output: private to the writer, made anew from the commit at start. */
struct queue_pool {
    struct hold *hold;
    uint32_t output;
    uint32_t free_count, freed_count;
    uint32_t *free;  /* a stack */
    uint32_t *freed; /* free in the private state only: usable after the next commit */
};

/* Finds the buffers that no queue of the output links. 0 or -ENOMEM. */
YARDER_MUST_USE int queue_pool_open(struct queue_pool *pool, struct hold *hold, uint32_t output);
void queue_pool_close(struct queue_pool *pool);
void queue_pool_settle(struct queue_pool *pool); /* right after hold_commit */

/*
 * Room for one record of at most bytes_max contiguous bytes, or NULL when the pool is empty or the
 * record fits no buffer (queue_fits). Nothing changes until queue_put_end.
 */
char *queue_put_begin(struct queue_pool *pool, struct hold_queue *queue, size_t bytes_max);
/* The record that was written at the place that queue_put_begin gave. bytes > 0. */
void queue_put_end(struct queue_pool *pool, struct hold_queue *queue, size_t bytes);

/*
 * Several records in a row, as many as one buffer takes: begin gives room for a first one of at
 * most bytes_max (false: as queue_put_begin's NULL). Whoever fills it writes a record at `at`,
 * moves `at` behind it, and notes `at - buffer` at the place below `ends`; queue_run_room says what
 * is left. Nothing changes until queue_run_end, which may be told of fewer than were written; until
 * then nothing else is put into queues of this pool.
 */
struct queue_run {
    char *buffer, *at;
    uint32_t *ends;
    uint32_t index; /* of the buffer: the queue's last one, or one that is still free */
};
YARDER_MUST_USE bool queue_run_begin(
    struct queue_pool *pool, struct hold_queue *queue, size_t bytes_max, struct queue_run *run);
static inline size_t queue_run_room(const struct queue_run *run)
{
    size_t left = (size_t)((const char *)run->ends - run->at);
    return left < sizeof(uint32_t) ? 0 : left - sizeof(uint32_t);
}
static inline void queue_run_put(struct queue_run *run, size_t bytes)
{
    run->at += bytes;
    *--run->ends = (uint32_t)(run->at - run->buffer);
}
void queue_run_end(struct queue_pool *pool, struct hold_queue *queue, const struct queue_run *run,
    uint32_t records);

bool queue_fits(const struct queue_pool *pool, size_t bytes_max);
/* Whether a record of this size would find room now, over several buffers if it must. */
bool queue_has_room(const struct queue_pool *pool, const struct hold_queue *queue, size_t bytes);
/* The longest record that an empty queue of this pool takes. */
size_t queue_record_bytes_max(const struct queue_pool *pool);
/* Puts a record that fits no single buffer. false: no room, nothing changed. */
bool queue_put_long(
    struct queue_pool *pool, struct hold_queue *queue, const char *bytes, size_t bytes_count);

/* Drops the oldest buffer that is neither sealed nor holds part of a record: its records, or 0. */
uint32_t queue_drop_oldest(struct queue_pool *pool, struct hold_queue *queue);
/* Drops all that waits. No seal. Returns its records. */
uint64_t queue_drop_all(struct queue_pool *pool, struct hold_queue *queue);

/* Whether no more comes into the buffer that the next bytes lie in. */
static inline bool queue_buffer_full(const struct hold_queue *queue)
{
    return queue->first_buffer != queue->last_buffer;
}
bool queue_is_empty(const struct hold_queue *queue);
uint64_t queue_waiting_bytes(const struct hold_queue *queue);

/*
 * Seals the next bytes (never over the end of a buffer) and says where they lie. Of an open record
 * they are the rest and no more: should a stranger's bytes come between its two pieces, it is
 * written again whole, and nothing behind it twice.
 */
const char *queue_seal(const struct queue_pool *pool, struct hold_queue *queue);
/*
 * The same, but records that end within bytes_max bytes alone, or, if `first`, one that does not:
 * NULL when there is none, and nothing is sealed. The rest of an open record is sealed in any case.
 */
const char *queue_seal_within(
    const struct queue_pool *pool, struct hold_queue *queue, uint64_t bytes_max, bool first);
const char *queue_sealed(const struct queue_pool *pool, const struct hold_queue *queue);
/* The seal ends with `written` of its bytes in the file: returns the records completed by that. */
uint32_t queue_complete(struct queue_pool *pool, struct hold_queue *queue, uint32_t written);
void queue_unseal(struct hold_queue *queue);

/* Whether [base, tail) is the beginning of a record that stands in the file unfinished. */
static inline bool queue_record_open(const struct hold_queue *queue)
{
    return queue->base < queue->tail;
}
/* The open record will be written again whole. No seal. */
void queue_rewind(struct hold_queue *queue);

/*
 * For recovery: the record ends of the buffer that the seal lies in (ends[-1] is the first, counted
 * from the buffer's start) and where in that buffer the sealed bytes begin.
 */
const uint32_t *queue_sealed_ends(const struct queue_pool *pool, const struct hold_queue *queue,
    uint32_t *ends_count, uint32_t *seal_offset);
/* Records whose end lies in the seal. */
uint32_t queue_sealed_records(const struct queue_pool *pool, const struct hold_queue *queue);

#endif
