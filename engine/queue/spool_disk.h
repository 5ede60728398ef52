/* SPDX-License-Identifier: Apache-2.0 */
/* A spool's files, for whoever opens it and for whoever only looks. Read spool.h first. */
#ifndef YARDER_QUEUE_SPOOL_DISK_H
#define YARDER_QUEUE_SPOOL_DISK_H

#include <sys/types.h>

#include "base/limits.h"
#include "queue/spool.h"

enum {
    SPOOL_HEAD_BYTES = 4096, /* of a segment; O_DIRECT's unit for offsets, lengths and memory */
    SPOOL_FOOT_AT = 2048,    /* in the head: written when the segment is finished */
    SPOOL_VERSION = 1, /* of heads, acks, records; of a later one magic, version, crc lie as here */
    SPOOL_FILE_NAME_BYTES = 32,
    SPOOL_PLACE_SHIFT = 24, /* a place: number of the segment, offset in units of 8 bytes */
    SPOOL_PATH_BYTES_MAX = 1024,
};
#define SPOOL_HEAD_MAGIC UINT64_C(0x67657365646172ff)
#define SPOOL_NUMBER_MAX (UINT64_MAX >> (SPOOL_PLACE_SHIFT + 1))
#define SPOOL_INDEX_MAX  (UINT64_MAX / 4) /* what is read and larger is no index */
#define SPOOL_FOOT_MAGIC UINT32_C(0x746f6f66)
#define SPOOL_ACK_MAGIC  UINT64_C(0x6b6361656461720a)

_Static_assert(PACK_VERSION == 1, "records of another form are another SPOOL_VERSION");
_Static_assert(SPOOL_SEGMENT_BYTES_MAX / PACK_UNIT_BYTES < (1 << SPOOL_PLACE_SHIFT),
    "every offset of a segment has a place");

static inline spool_place spool_place_of(uint64_t segment, uint64_t offset)
{
    return (segment << SPOOL_PLACE_SHIFT) | (offset / PACK_UNIT_BYTES);
}
static inline uint64_t spool_place_segment(spool_place place)
{
    return place >> SPOOL_PLACE_SHIFT;
}
static inline uint64_t spool_place_offset(spool_place place)
{
    return (place & ((UINT64_C(1) << SPOOL_PLACE_SHIFT) - 1)) * PACK_UNIT_BYTES;
}

/*
 * The last ids stored, of each of the last epochs, the latest first. Epochs are compared for being
 * the same and no more: another one is another hold, whatever its clock said. More than one matters
 * after a reload, when records of the hold before lie in front of those of the new one.
 */
enum { SPOOL_EPOCHS = 4 };
struct spool_ids {
    struct yarder_id at[SPOOL_EPOCHS];
};
static inline bool spool_id_is_past(struct yarder_id id, const struct spool_ids *ids)
{
    for (unsigned i = 0; i < SPOOL_EPOCHS; i++) {
        if (id.epoch_ns == ids->at[i].epoch_ns) {
            return id.number <= ids->at[i].number;
        }
    }
    return false;
}
static inline void spool_ids_note(struct spool_ids *ids, struct yarder_id id)
{
    if (id.epoch_ns != ids->at[0].epoch_ns) {
        for (unsigned i = SPOOL_EPOCHS - 1; i > 0; i--) {
            ids->at[i] = ids->at[i - 1];
        }
    }
    ids->at[0] = id;
}

/* At the beginning of a segment's first block. */
struct spool_head {
    uint64_t magic;
    uint32_t version, recycled; /* recycled: behind the end lie records of a former life */
    uint64_t spool_id, number;
    uint64_t first;          /* index of its first record */
    struct spool_ids before; /* stored in the segments before */
    int64_t created_ns;
    uint32_t unused, crc; /* of all before */
};

/* At SPOOL_FOOT_AT: the segment is finished. */
struct spool_foot {
    uint32_t magic, unused;
    uint64_t number;
    uint64_t records, data_end;
    struct spool_ids last;
    uint32_t unused2, crc;
};

/* A slot of the ack file, at 0 and at SPOOL_HEAD_BYTES. */
struct spool_ack {
    uint64_t magic;
    uint32_t version, unused;
    uint64_t spool_id, generation;
    uint64_t segment, offset; /* of the first record that is not answered */
    uint64_t index;           /* of that record, as far as damage before it is known */
    uint64_t dropped_through; /* segments behind `segment`, up to this one, were dropped */
    uint64_t dropped_ahead;   /* records in them */
    struct spool_totals totals;
    uint32_t unused2, crc;
};

/* One segment, in order of numbers. */
struct spool_segment {
    uint64_t number, first, records;
    uint64_t data_end;   /* bytes, with the head */
    uint64_t file_bytes; /* what it takes of the limit */
    int64_t created_ns;
    struct spool_ids before, last;
    bool finished;
    bool recycled; /* behind data_end lie records of a former life */
    bool dropped;  /* out of the count; unlinked when the ack says so */
};

/* Reads a segment's records one stretch after another. */
struct spool_walk {
    int fd;
    char *buffer; /* SPOOL_WALK_BYTES, aligned to SPOOL_HEAD_BYTES */
    uint64_t window_at;
    size_t window_bytes;
    uint64_t at, end;        /* next byte; end of data, may grow */
    struct spool_ids before; /* ids not after these are of a former life */
};
enum { SPOOL_WALK_BYTES = SPOOL_RECORD_BYTES_MAX + SPOOL_HEAD_BYTES };

/* records > 0: sound ones, of one epoch, at `bytes` until the next call. 0: bytes that are none. */
struct spool_stretch {
    uint64_t at, bytes_count;
    const char *bytes;
    uint32_t records;
    struct yarder_id first, last;
    bool zeros; /* no record, and nothing but zeros */
};

/* spool_segment.c: files and their heads. Names are of SPOOL_FILE_NAME_BYTES. */
void spool_segment_name(uint64_t number, char *name);
bool spool_segment_number(const char *name, uint64_t *number);
void spool_head_make(
    struct spool_head *head, uint64_t spool_id, const struct spool_segment *segment);
/* Head and foot of an open segment; foot->magic is 0 when it has none. 0; -EPROTONOSUPPORT: of a
 * later yarder; -EBADMSG; -errno. */
YARDER_MUST_USE int spool_head_read(
    int fd, uint64_t number, struct spool_head *head, struct spool_foot *foot);
YARDER_MUST_USE int spool_foot_write(int dir_fd, const struct spool_segment *segment);
/* All of it, at this offset. 0 or -errno. */
YARDER_MUST_USE int spool_write_all(int fd, const void *bytes, size_t bytes_count, uint64_t at);
/* As many bytes as there are, up to `room`. Their count or -errno. */
YARDER_MUST_USE ssize_t spool_read_all(int fd, void *at, size_t room, uint64_t offset);
/* Copies bytes of a segment to damaged/ (-ENOSPC: that has enough), or moves all of it there. */
YARDER_MUST_USE int spool_set_aside(
    int dir_fd, const char *name, uint64_t at, uint64_t bytes_count);
YARDER_MUST_USE int spool_set_aside_file(int dir_fd, const char *name);

/* spool_walk.c */
YARDER_MUST_USE int spool_walk_open(struct spool_walk *walk);
void spool_walk_close(struct spool_walk *walk);
void spool_walk_begin(struct spool_walk *walk, int fd, const struct spool_segment *segment);
/* About bytes_max of sound records, or a stretch of others. 0; -ENODATA: at the end; -errno. */
YARDER_MUST_USE int spool_walk_next(
    struct spool_walk *walk, size_t bytes_max, struct spool_stretch *out);
/* Whether a record's head makes sense in so many bytes; its length. */
bool spool_record_is_plausible(const char *at, size_t bytes_count, struct pack_head *head);

/* A whole segment looked through. */
struct spool_scan {
    uint64_t sound;   /* records */
    uint64_t missing; /* records that damage between them has cost, as far as ids tell */
    uint64_t bad_bytes, stretches; /* between them */
    uint64_t sound_end;            /* behind the last of them */
    uint64_t tail_bytes;           /* from there to the end */
    bool tail_zeros;               /* and they are nothing but zeros */
    struct spool_ids last;
};
YARDER_MUST_USE int spool_scan(
    struct spool_walk *walk, int fd, const struct spool_segment *segment, struct spool_scan *out);

/* spool_list.c: what lies in a spool's folder; the same for the daemon and for whoever only looks.
 */
struct spool_list {
    struct spool_segment *segments;
    size_t count, room;
    uint64_t spool_id; /* 0: no ack, no good head */
    struct spool_ack ack;
    bool ack_found;
    bool mends; /* strangers are set aside, torn tails cut, what is answered is unlinked */
    struct spool_walk *walk;
    void (*tell)(void *owner, const char *line);
    void *owner;
    const char *path;
};
YARDER_MUST_USE int spool_list_read(struct spool_list *list, int dir_fd);
void spool_list_free(struct spool_list *list);

/* spool_ack.c */
void spool_ack_seal(struct spool_ack *ack);
/* The better of the two slots. 0; -ENOENT: neither; -EPROTONOSUPPORT: of a later yarder; -errno. */
YARDER_MUST_USE int spool_ack_read(int fd, struct spool_ack *out);

#endif
