/* SPDX-License-Identifier: Apache-2.0 */
/* A reader's state, shared by reader.c (its life, tails, words) and take.c (records). */
#ifndef YARDER_RING_READER_PRIVATE_H
#define YARDER_RING_READER_PRIVATE_H

#include "ring/deferred.h"
#include "ring/reader.h"

/* Everything here is private memory: what a producer cannot change. cursor <= head, always. */
struct reader_ring {
    uint64_t cursor;
    uint64_t head;    /* as of the snapshot of this take */
    uint64_t settled; /* head of the snapshot before: what is below was published before this one */
    uint64_t published; /* tail as we stored it */
    uint64_t woken;     /* cursor when waiters were woken last */
    uint64_t last_stamp;
    uint64_t lost;           /* the producer's count, as of the last snapshot */
    uint32_t lost_seen;      /* low half of it, as of the last record taken */
    uint32_t lost_published; /* lost_seen as we stored it */
    uint32_t strikes;
    uint64_t given;          /* records, by this reader */
    uint64_t refused;        /* records skipped or jumped over, by this reader */
    uint64_t records_before; /* the producer's count of records, less these two: while known */
    bool records_known;      /* this reader has seen the ring empty */

    /* The record at cursor, checked, while the ring takes part in a merge. */
    struct ring_record_header next;
    uint64_t next_stamp; /* in the region's clock, within [last_stamp, watermark) */
    uint64_t next_need;  /* bytes with padding */
};

struct reader_formats;

struct region_reader {
    struct region_map map;
    bool owns_map;
    bool dead;
    uint32_t pid;
    uint16_t input;
    uint8_t tag_bytes;
    char tag[REGION_NAME_BYTES];
    uint64_t strikes; /* sum over the rings */
    uint64_t strikes_max;
    uint64_t lost; /* sums over the rings */
    uint64_t refused;
    uint32_t lost_seen; /* likewise, modulo 2^32: losses that a record taken could have told */
    uint32_t told;      /* of these, the ones that a record has told: the rest is the next one's */
    uint32_t epoch;
    char (*names)[REGION_NAME_BYTES]; /* copies; [0] is the length */
    struct reader_formats *formats;
    uint64_t used[REGION_RINGS_MAX / 64]; /* a bit for each ring in the list */
    uint16_t *list;                       /* rings ever used */
    uint32_t list_count;
    struct reader_ring rings[];
};

/* A format of the region as we keep it, until the reader is closed. */
struct reader_format {
    struct yarder_text text;
    const struct deferred_format *parsed; /* NULL: it is none that can be deferred */
};

YARDER_MUST_USE int formats_open(struct reader_formats **out);
void formats_close(struct reader_formats *formats);
/* False: there is no format at this place. */
YARDER_MUST_USE bool formats_find(struct reader_formats *formats,
    const struct region_formats *shared, uint32_t place, struct reader_format *out);

/* The ring is looked at in each take from now on. */
void reader_list(struct region_reader *reader, uint32_t index);

static inline void reader_strikes_set(
    struct region_reader *reader, struct reader_ring *ring, uint32_t strikes)
{
    reader->strikes += (uint64_t)strikes - ring->strikes;
    ring->strikes = strikes;
    reader->dead = reader->strikes >= reader->strikes_max;
}

static inline void reader_strike(struct region_reader *reader, struct reader_ring *ring)
{
    reader_strikes_set(reader, ring, ring->strikes + 1);
}

/* Whether a head can be where it is: within a ring of the cursor, on a record's boundary. */
static inline bool reader_head_possible(
    const struct region_reader *reader, uint64_t cursor, uint64_t head)
{
    return head - cursor <= reader->map.shape.ring_bytes && head % 8 == 0 && cursor % 8 == 0;
}

static inline void reader_refuse(
    struct region_reader *reader, struct reader_ring *ring, uint64_t records)
{
    ring->refused += records;
    reader->refused += records;
}

/*
 * How much the producer's count of losses grew since the last look: at most INT32_MAX, and 0 for a
 * record that is older than a count seen already.
 */
static inline uint32_t reader_lost_growth(const struct reader_ring *ring, uint32_t lost)
{
    uint32_t growth = lost - ring->lost_seen;
    return growth > INT32_MAX ? 0 : growth;
}

static inline void reader_lost_set(
    struct region_reader *reader, struct reader_ring *ring, uint32_t lost_seen)
{
    reader->lost_seen += lost_seen - ring->lost_seen;
    ring->lost_seen = lost_seen;
}

/*
 * Gives up what lies between and goes on at head. How many records that were, the producer's count
 * of them tells, if the ring was empty once and the number fits into a ring; else one. A head that
 * stays crooked is jumped to once.
 */
static inline void reader_resync(
    struct region_reader *reader, struct reader_ring *ring, uint64_t head, uint64_t records)
{
    uint64_t missing = records - (ring->records_before + ring->given + ring->refused);
    bool good = ring->records_known && missing > 0 &&
                missing <= reader->map.shape.ring_bytes / RING_RECORD_BYTES_MIN;
    if (ring->cursor != (head & ~UINT64_C(7))) {
        reader_refuse(reader, ring, good ? missing : 1);
    }
    ring->records_before = records - ring->given - ring->refused;
    ring->cursor = head & ~UINT64_C(7);
    ring->head = ring->cursor;
    ring->settled = ring->cursor;
    reader_strike(reader, ring);
}

#endif
