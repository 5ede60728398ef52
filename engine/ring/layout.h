/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in a region: the memfd that one producer process shares with the daemon. The supervisor
 * makes it, both sides map it; the daemon trusts nothing in it that a producer can write, which is
 * all of it, and keeps private copies of every constant.
 *
 *   page 0       struct region_header   constants, written once by the supervisor
 *          +128  daemon line            sleep word, shutdown, worker's number    (daemon writes)
 *          +256  producer line          last rung sleep word, whether it waits   (producer writes)
 *          +384  producer line          which rings were ever used: a bit each   (producer writes)
 *   page 1       u8 levels[4096]        lowest level wanted of each logger id    (daemon writes)
 *   64 pages     struct region_name     id -> name, append-only                  (producer writes)
 *   32 pages     struct region_formats  texts of printf formats, append-only     (producer writes)
 *   page each    struct ring_header     one for each ring; then up to a multiple of 64 KiB
 *   ring_bytes each                     the rings' data, mapped twice in a row by both sides
 *
 * A ring holds records one after another, each at a multiple of 8 bytes; positions only grow, the
 * place of position p is p & (ring_bytes - 1). [tail, head) is published and not yet taken.
 *
 *   record    struct ring_record_header (24 bytes)
 *             u32 text bytes, text
 *             u32 part number                     only if it is a part (RING_CONTINUES or
 * RING_MORE) fields: u8 type, u8 key bytes, u32 value bytes, key, value   none or up to 64,
 * unaligned (padding to 8, not counted in `bytes`)
 *
 * The text of a RING_DEFERRED record is a format's place and arguments instead: ring/deferred.h.
 *
 * All numbers in host order. A text over RING_APPEND_BYTES_MAX goes as parts: the first without
 * RING_CONTINUES, all but the last with RING_MORE, numbered from 0; fields come with the first.
 * Parts of one (process, tid) follow each other in stamp order, perhaps through several rings; all
 * parts of a record carry the same serial (a signal handler may log between two of them).
 *
 * A producer: (1) header and payload into [head, head + need), (2) `records` + 1, (3) one release
 * store of `head`. Only one writer at a time may be between (1) and (3) on one ring: a restartable
 * sequence, a claimed ring, or the client's own lock sees to that. Space is free when
 * head + need - tail is at most the limit: all of the ring, three quarters up to level INFO.
 */
#ifndef YARDER_RING_LAYOUT_H
#define YARDER_RING_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define REGION_MAGIC UINT64_C(0x31726564726179ff) /* ff "yarder1" */

enum {
    REGION_VERSION = 2,
    REGION_PAGE_BYTES = 4096,
    REGION_LOGGERS_MAX = 4096, /* logger id 0 is the root, without a name */
    REGION_NAME_BYTES = 64,
    REGION_RINGS_MAX = 512,
    REGION_FORMATS_BYTES = 128 << 10,
    REGION_FORMAT_UNIT = 64, /* a format's place is a multiple; its size is rounded up to it */

    /* An append must never need more than an eighth of a ring, hence the least size. */
    RING_BYTES_MIN = 256 << 10,
    RING_BYTES_MAX = 64 << 20,
    RING_APPEND_BYTES_MAX = 32 << 10, /* text and fields of one record in the ring */
    RING_RECORD_BYTES_MIN = 28,
    RING_PART_BYTES = 4,
    RING_RECORD_BYTES_MAX = RING_APPEND_BYTES_MAX + 32,
};

/* How a region's producers keep to one writer for each ring. The daemon reads them all alike. */
enum region_kind {
    REGION_RSEQ = 1,   /* ring = concurrency id, append = restartable sequence */
    REGION_PLAIN = 2,  /* ring = any whose `claim` word was free */
    REGION_LOCKED = 3, /* one ring, the client holds a lock of its own */
};

/* What a stamp counts: the cpu's own counter (the TSC, or CNTVCT), or ns of CLOCK_MONOTONIC. */
enum region_clock { REGION_CLOCK_TSC = 1, REGION_CLOCK_NS = 2 };

/* Bits of a record's kind byte; 0 is a whole log record. */
enum ring_kind {
    RING_REQUEST = 1 << 0,
    RING_STREAM_SHIFT = 1, /* two bits: enum yarder_stream */
    RING_STREAM_MASK = 3 << RING_STREAM_SHIFT,
    RING_CONTINUES = 1 << 3, /* a part, not the first */
    RING_MORE = 1 << 4,      /* a part, not the last */
    RING_NS = 1 << 5,        /* the stamp is CLOCK_MONOTONIC ns, whatever the region's clock is */
    RING_DEFERRED = 1 << 6,  /* text is a format's place and arguments; never a part */
    RING_RESERVED = 1 << 7,
};

/* sleep word: state in the low two bits, an epoch above that grows with every sleep. */
enum ring_sleep {
    RING_AWAKE = 0, /* it polls: only who waits, for room or for a flush, rings */
    RING_LIGHT = 1, /* it looks again within 0.5 ms: ring only when a ring is over half full */
    RING_DEEP = 2,  /* ring at the first record */
    RING_SLEEP_MASK = 3,
    RING_EPOCH_SHIFT = 2,
};

struct region_header {
    uint64_t magic;
    uint32_t version;
    uint32_t kind;  /* enum region_kind */
    uint32_t clock; /* enum region_clock */
    uint32_t rings;
    uint32_t ring_bytes; /* power of two */
    uint32_t levels_offset;
    uint32_t names_offset;
    uint32_t rings_offset;
    uint64_t data_offset;
    uint64_t region_bytes;
    uint64_t generation;  /* of the region; no two of one supervisor are equal */
    uint64_t ticks_per_s; /* of the stamps' clock, about */
    uint32_t formats_offset;

    _Alignas(128) uint32_t sleep;
    uint32_t shutdown; /* not 0: the daemon leaves, do not wait for room */
    uint64_t worker;   /* number of the worker that reads */

    _Alignas(128) uint32_t rung; /* the sleep word that was answered last */
    uint32_t waits;              /* not 0: a full ring loses nothing at once, its appends wait */

    /* A ring's bit is set before its first record is stamped: the daemon looks at no other. */
    _Alignas(128) uint64_t used[REGION_RINGS_MAX / 64];
};

struct region_name {
    uint8_t bytes; /* 0: none yet; stored last, release */
    char at[REGION_NAME_BYTES - 1];
};

/*
 * A format's room is reserved by adding to `used`; its text is written, then its length, release.
 * Whoever dies between the two leaves a place that no record names.
 */
struct region_formats {
    _Alignas(REGION_FORMAT_UNIT) uint64_t used; /* bytes behind this unit; may exceed the table */
    _Alignas(REGION_FORMAT_UNIT)
        uint8_t units[REGION_FORMATS_BYTES - REGION_FORMAT_UNIT]; /* u32 length, 0: none; text */
};

struct ring_header {
    /* Producer line. head and records are stored together by one instruction where possible. */
    _Alignas(128) uint64_t head;
    uint64_t records;    /* ever published here */
    uint64_t tail_cache; /* the producers' last view of tail */
    uint64_t lost;       /* records dropped for this ring, ever (atomic add) */
    uint32_t claim;      /* REGION_PLAIN: not 0 while somebody appends */
    uint32_t reserved;
    /*
     * Where head and records take two stores: the last append began at this head, and so many
     * records were there before it. If head is still there, that append was interrupted between
     * the two, and this count holds instead of `records`.
     */
    uint64_t began_at;
    uint64_t began_records;

    /* Daemon line. */
    _Alignas(128) uint64_t tail;
    uint32_t space_seq; /* futex: changes when room was made for waiters */
    uint32_t lost_seen; /* low half of `lost` as far as the daemon has counted it */

    _Alignas(128) uint32_t space_waiters; /* set by who waits, cleared by the daemon */
};

struct ring_record_header {
    uint32_t bytes; /* header to the last field, without padding */
    uint8_t kind;   /* enum ring_kind */
    uint8_t level;
    uint16_t logger;
    uint64_t stamp;
    uint32_t tid;
    uint32_t
        lost; /* low half of the ring's `lost` now: its growth since the last record is the gap */
};

static_assert(offsetof(struct region_header, sleep) == 128, "daemon line");
static_assert(offsetof(struct region_header, rung) == 256, "producer line");
static_assert(offsetof(struct region_header, used) == 384, "own line");
static_assert(sizeof(struct region_header) <= REGION_PAGE_BYTES, "one page");
static_assert(sizeof(struct region_formats) == REGION_FORMATS_BYTES, "32 pages");
static_assert(offsetof(struct region_formats, units) == REGION_FORMAT_UNIT, "the first place");
static_assert(sizeof(struct region_name) == REGION_NAME_BYTES, "a name's slot");
static_assert(offsetof(struct ring_header, records) == 8, "one 16-byte store with head");
static_assert(offsetof(struct ring_header, tail_cache) == 16, "the assembly's");
static_assert(offsetof(struct ring_header, lost) == 24, "the assembly's");
static_assert(offsetof(struct ring_header, began_at) == 40, "the assembly's");
static_assert(offsetof(struct ring_header, began_records) == 48, "the assembly's");
static_assert(offsetof(struct ring_header, tail) == 128, "own line");
static_assert(offsetof(struct ring_header, space_waiters) == 256, "own line");
static_assert(sizeof(struct ring_record_header) == 24, "the assembly's");

#endif
