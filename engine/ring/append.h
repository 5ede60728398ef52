/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The producer's side of a region: append one record. Runs inside strangers' processes, so it never
 * asserts, prints, allocates from the heap or takes a lock; everything is async-signal-safe.
 */
#ifndef YARDER_RING_APPEND_H
#define YARDER_RING_APPEND_H

#include "api/record.h"
#include "base/base.h"
#include "ring/clock.h"
#include "ring/region.h"

/* Private to this process: what the hot path needs of a ring, in one cache line. */
struct ring_slot {
    _Alignas(YARDER_CACHE_LINE) struct ring_header *header;
    uint8_t *data;
    uint64_t mask;
    uint64_t
        limit[2]; /* bytes in use at most: [0] from NOTICE up, [1] up to INFO; 0: not yet used */
};

struct ring_producer {
    uint32_t rings;
    uint32_t kind;      /* enum region_kind; what is done, not what the region says */
    uint32_t id_offset; /* in the rseq area: mm_cid or cpu_id */
    ptrdiff_t rseq_offset;
    uint32_t clock; /* enum region_clock */
    struct region_map map;
    struct ring_slot slots[];
};

/*
 * A record to append. text and extra (fields, encoded; before them the part number of a part) are
 * copied; together at most RING_APPEND_BYTES_MAX. stamp and ring are results.
 */
struct ring_entry {
    uint64_t word; /* first 8 bytes of the record: bytes, kind, level, logger; ring_entry_seal */
    const void *text;
    uint64_t text_bytes;
    const void *extra;
    uint64_t extra_bytes;
    uint64_t need_bytes;
    uint32_t tid;
    uint32_t ring; /* the one it went to, or the one that was full */
    uint64_t stamp;
    uint64_t limit_bytes; /* ring_append's own */
};

enum ring_append_result {
    RING_APPENDED = 0,
    RING_FULL = 1,    /* no room for this level */
    RING_ABORTED = 2, /* interrupted 16 times in a row: a debugger steps through us */
    RING_NONE = 3,    /* no ring to write to: a new cpu, or all claimed */
};

enum { RING_ABORTS_MAX = 16, RING_POPULATE_NS = 4000000 };

/* Which kind this process can do: REGION_RSEQ, or REGION_PLAIN. */
enum region_kind ring_producer_kind(void);

/*
 * Maps a region for appending, not inherited by forked children; memory for the producer itself is
 * mapped too, never from the heap. A region has one kind: -ENOTSUP when this process cannot do it.
 */
YARDER_MUST_USE int ring_producer_open(
    struct ring_producer **out, int region_fd, const struct region_shape *shape);
void ring_producer_close(struct ring_producer *producer); /* nobody may be appending */

/* Fills word and need_bytes from the texts' lengths. */
static inline void ring_entry_seal(
    struct ring_entry *entry, uint8_t kind, uint8_t level, uint16_t logger)
{
    uint64_t bytes = RING_RECORD_BYTES_MIN + entry->text_bytes + entry->extra_bytes;
    entry->word = bytes | (uint64_t)kind << 32 | (uint64_t)level << 40 | (uint64_t)logger << 48;
    entry->need_bytes = yarder_align_up(bytes, 8);
}

/*
 * Appends; see the results above. No system call, except on the first use of a ring: then its pages
 * are brought in, for about RING_POPULATE_NS at most.
 */
enum ring_append_result ring_append(struct ring_producer *producer, struct ring_entry *entry);

/* The time now as this region stamps it. */
static inline uint64_t ring_stamp(const struct ring_producer *producer)
{
    return producer->clock == REGION_CLOCK_TSC ? ring_ticks() : (uint64_t)os_monotonic_ns();
}

/* The ring that this thread would append to just now, where its concurrency id tells; else 0. */
uint32_t ring_here(const struct ring_producer *producer);

/* Counts records that were not appended, so that the next one of this ring shows the gap. */
void ring_lose(struct ring_producer *producer, uint32_t ring, uint64_t records);

/* Waits until the daemon made room in this ring, at most wait_ns. */
void ring_wait_space(struct ring_producer *producer, uint32_t ring, int64_t wait_ns);

/*
 * Whether the daemon must be rung for a record just appended to this ring. At most one caller of a
 * sleep epoch gets true.
 */
static inline bool ring_sleeping(const struct ring_producer *producer)
{
    /* The caller's append and this load are ordered by the daemon's membarrier. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return (__atomic_load_n(&producer->map.header->sleep, __ATOMIC_RELAXED) & RING_SLEEP_MASK) !=
           RING_AWAKE;
}
bool ring_must_ring(struct ring_producer *producer, uint32_t ring);

/*
 * One field at `at`: how many bytes it took, or 0 when it does not fit in `room`, its key is over
 * 255 bytes, its type unknown or a number's length wrong.
 */
size_t ring_field_put(uint8_t *at, size_t room, const struct yarder_field *field);

#endif
