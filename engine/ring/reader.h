/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's side of a region. The producer is taken for hostile: every number is loaded once,
 * checked against private constants, and only the private copy is used. One thread owns a reader.
 *
 * A pass of the worker:
 *
 *   ring_clock_refresh           once, for all regions
 *   region_reader_take ...       until !more, or enough: cursors move, nothing is visible yet
 *   (commit, with region_reader_cursor of every ring)
 *   region_reader_publish        tails = cursors: the producers may overwrite
 *
 * Going to sleep:
 *
 *   region_reader_sleep(r, RING_DEEP)    for all regions
 *   ring_membarrier()                    once: now a producer sees the word, or we see its head
 *   region_reader_idle(r)                for all regions; not idle: wake up again
 *   wait for the sockets' doorbells
 *   region_reader_sleep(r, RING_AWAKE)
 *
 * Order: records of one region come merged by stamp. A watermark (the clock, read before the heads)
 * keeps back what is newer than the snapshot, so a thread that moved to another ring between two
 * records keeps its order, exactly. Late ones of other threads are off by one copy at most.
 */
#ifndef YARDER_RING_READER_H
#define YARDER_RING_READER_H

#include "api/record.h"
#include "base/base.h"
#include "ring/clock.h"
#include "ring/region.h"

struct region_reader;

struct region_reader_options {
    uint32_t pid;           /* given to every record */
    uint16_t input;         /* likewise */
    struct yarder_text tag; /* likewise; copied, at most 63 bytes */
    uint32_t strikes_max; /* impossible heads, lengths or payloads until it is detached; 0: 1000 */
};

/*
 * Opens a region for reading. The descriptor stays the caller's and may be closed afterwards.
 * Cursors start at the region's tails where those are possible, else at its heads.
 * -EPERM, -EPROTO: not a region of ours (region_inspect); -ENOMEM.
 */
YARDER_MUST_USE int region_reader_open(
    struct region_reader **out, int region_fd, const struct region_reader_options *options);
/*
 * The same on a mapping of the caller's, which outlives the reader: producer and reader in one
 * address space, so that a race detector sees both.
 */
YARDER_MUST_USE int region_reader_open_on(struct region_reader **out, const struct region_map *map,
    const struct region_reader_options *options);
void region_reader_close(struct region_reader *reader); /* accepts NULL; takes nothing more */

uint32_t region_reader_rings(const struct region_reader *reader);
/* Where the ring has been taken up to: what the commit stores. */
uint64_t region_reader_cursor(const struct region_reader *reader, uint32_t ring);

/* How much of the producers' losses records have told, modulo 2^32: the commit stores that too. */
uint32_t region_reader_told(const struct region_reader *reader);

/*
 * Right after opening: cursors from a commit, one for each ring, and what it had told. A cursor
 * that the ring's head makes impossible (over a ring behind it, ahead of it, not a multiple of 8)
 * is replaced by head, and a record counted as refused. Does not publish.
 */
void region_reader_resume(struct region_reader *reader, const uint64_t *cursors, uint32_t told);

/* A record of a ring, or one part of one (engine/ring/layout.h). */
struct ring_record {
    struct yarder_record record;
    uint32_t ring;
    uint16_t part;   /* number of the part, from 0 */
    uint16_t serial; /* the same for all parts of a record; tells apart those of one thread */
    bool continues;  /* a part, not the first */
    bool more;       /* a part, not the last */
    uint64_t before; /* this and the next three: the state right before it, for a rewind */
    uint64_t refused_before_it;
    uint32_t lost_before_it;
    uint32_t strikes_before_it;
};

/* A deferred record of full size has its arguments and its text there. */
enum { RING_SCRATCH_BYTES_MIN = 72 << 10 };

/* A take ends when deferred texts took as much work: a quarter of a millisecond, or so. */
enum { RING_WORK_BYTES_MAX = 256 << 10 };

struct ring_batch {
    struct ring_record *records; /* in: room for records_max */
    uint32_t records_max;
    char
        *scratch; /* in: owns copied texts and fields; at least RING_SCRATCH_BYTES_MIN; 8-aligned */
    size_t scratch_bytes; /* 256 KiB suits */
    bool verbatim;        /* in: a deferred record's payload as its text, flagged UNPARSED */
    uint32_t count;       /* out */
    bool more;            /* out: records, scratch or work ran out before the rings did */
    uint64_t work_bytes;  /* out: of deferred texts, see deferred_render */
    bool skipped;         /* out: a cursor moved over what is no record */
};

/*
 * Takes what is published, merged; a deferred record's text is made here. Text and fields live in
 * scratch until the caller uses it anew; logger and tag until the reader is closed. A payload that
 * contradicts its own length is skipped; bad fields are left out and the record flagged
 * YARDER_FLAG_UNPARSED; a head or length that cannot be makes the ring resume at its head; deferred
 * arguments that are not of their format bring the format's own text, flagged too. Each counts as a
 * strike; what is skipped (also a deferred record whose format is not there) or jumped over as
 * refused. 0; -EPROTO once strikes_max was reached: the reader is dead and answers nothing else.
 *
 * lost_before is what the producers lost and no record has told: of this ring since its record
 * before, and of others that had no record to tell it with.
 */
YARDER_MUST_USE int region_reader_take(
    struct region_reader *reader, const struct ring_clock *clock, struct ring_batch *batch);

/*
 * Takes records back that were taken since the last publish: the ring of `record` goes on right
 * before it, and strikes since count no more. Of several records of one ring, the oldest last. One
 * whose ring was resynced since stays taken: its place is gone. A gap that the caller has told, and
 * says so by lost_before = 0, is not told again.
 */
void region_reader_rewind(struct region_reader *reader, const struct ring_record *record);

/* Stores tails = cursors (only after the commit that holds these) and wakes who waits for room. */
void region_reader_publish(struct region_reader *reader);

/* Nothing published that is not taken; also in rings that no producer has announced. */
bool region_reader_idle(struct region_reader *reader);

/* Some ring is over half full and nobody waits for room in it: soon records would be lost. */
bool region_reader_presses(const struct region_reader *reader);
/* Whether its producers wait when a ring is full, by their own word: a hint. */
bool region_reader_waits(const struct region_reader *reader);

/* Sums over the rings, as of the last take. */
struct ring_losses {
    uint64_t lost; /* records since the region exists, by the producer's own count; after opening:
                      those that a reader before has counted */
    uint64_t refused; /* by this reader: skipped payloads, and what jumps to head left out, as far
                         as the producer's count of its records tells; else one for each jump */
};
void region_reader_losses(const struct region_reader *reader, struct ring_losses *out);
/* Brings `lost` up to date without a take. True: it has grown. */
bool region_reader_look_at_losses(struct region_reader *reader);

/* Stores the sleep word (see above). Each sleep is a new epoch, answered by one doorbell at most.
 */
void region_reader_sleep(struct region_reader *reader, enum ring_sleep state);
/* Makes every running producer see the stores above. -errno: not available: do not sleep then. */
int ring_membarrier(void);

/* Tells the producers: who reads, and whether the daemon is leaving (then nobody waits for room).
 */
void region_reader_announce(struct region_reader *reader, uint64_t worker, bool shutdown);

/* Name of an id, empty when it has none; control characters are replaced by '_'. */
struct yarder_text region_reader_logger(struct region_reader *reader, uint32_t logger);

#endif
