/* SPDX-License-Identifier: Apache-2.0 */
/* A reader's state, shared by reader.c (its life, tails, words) and take.c (records). */
#ifndef YARDER_RING_READER_PRIVATE_H
#define YARDER_RING_READER_PRIVATE_H

#include "ring/reader.h"

/* Everything here is private memory: what a producer cannot change. cursor <= head, always. */
struct reader_ring {
    uint64_t cursor;
    uint64_t head;    /* as of the snapshot of this take */
    uint64_t settled; /* head of the snapshot before: what is below was published before this one */
    uint64_t published; /* tail as we stored it */
    uint64_t woken;     /* cursor when waiters were woken last */
    uint64_t last_stamp;
    uint32_t lost_seen; /* low half of the producer's count, as of the last record taken */

    /* The record at cursor, checked, while the ring takes part in a merge. */
    struct ring_record_header next;
    uint64_t next_stamp; /* in the region's clock, within [last_stamp, watermark) */
    uint64_t next_need;  /* bytes with padding */
};

struct region_reader {
    struct region_map map;
    bool owns_map;
    bool dead;
    uint32_t pid;
    uint16_t input;
    uint8_t tag_bytes;
    char tag[REGION_NAME_BYTES];
    uint64_t strikes;
    uint64_t strikes_max;
    uint64_t resyncs;
    uint64_t taken;
    uint64_t gap_pending; /* losses of rings without a record, to be shown by the region's next */
    uint32_t epoch;
    char (*names)[REGION_NAME_BYTES]; /* copies; [0] is the length */
    struct reader_ring rings[];
};

static inline void reader_strike(struct region_reader *reader)
{
    reader->strikes++;
    reader->dead = reader->strikes >= reader->strikes_max;
}

/* Whether a head can be where it is: within a ring of the cursor, on a record's boundary. */
static inline bool reader_head_possible(
    const struct region_reader *reader, uint64_t cursor, uint64_t head)
{
    return head - cursor <= reader->map.shape.ring_bytes && head % 8 == 0 && cursor % 8 == 0;
}

/* Gives up what lies between and goes on at head. */
static inline void reader_resync(
    struct region_reader *reader, struct reader_ring *ring, uint64_t head)
{
    ring->cursor = head & ~UINT64_C(7);
    ring->head = ring->cursor;
    ring->settled = ring->cursor;
    reader->resyncs++;
    reader_strike(reader);
}

#endif
