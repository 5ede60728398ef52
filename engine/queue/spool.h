/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spool: a queue on disk, for one output. Records (codec/pack) lie back to back in segments;
 * an ack file says which have been answered. A damaged spool delivers what is sound of it, says
 * what is not, and never stops the daemon.
 *
 *   STATE_DIR/spool/NAME/
 *     lock                      flock()ed by the one process that has it open
 *     ack                       two slots, written in turn: the place of the first record that is
 *                               not answered, and the totals since the spool was made
 *     00000000000000a1.seg      head (4096 bytes) | record | record | ...
 *     00000000000000a2.seg        numbers only grow; the last one is written
 *     damaged/                  bytes that are no sound record, and segments that are not ours
 *
 * Each record has an index: how many were stored before it since the spool was made. A segment's
 * head states the index of its first record, so whatever goes missing is counted exactly as soon as
 * the reader gets behind it, and
 *
 *     stored = delivered + dead + dropped_oldest + damaged + left
 *
 * Threads. The *appender* (the output's lane): open, append, sync, close. The *reader* (its
 * carrier): read, answer. The *writer* of the worker: release. Everybody: look. Two locks:
 * `lock`, over memory alone, and `ack_lock`, over writing the ack file, taken before it.
 *
 * Order of what is forced to the disk: a record before its append is answered (sync=BATCH); an ack
 * before a segment that it leaves behind is unlinked. A lost ack costs doubles, never a record.
 */
#ifndef YARDER_QUEUE_SPOOL_H
#define YARDER_QUEUE_SPOOL_H

#include "codec/pack.h"

enum {
    SPOOL_RECORD_BYTES_MAX = 4 << 20, /* packed */
    SPOOL_SEGMENT_BYTES_MAX = 64 << 20,
    SPOOL_SEGMENTS_IN_LIMIT = 16, /* a segment has at most the limit divided by this */
    SPOOL_READ_BYTES = 1 << 20,   /* about what one spool_read gives */
    SPOOL_LINE_BYTES_MAX = 512,   /* of what is told */
};

/* Since the spool was made. */
struct spool_totals {
    uint64_t delivered, delivered_bytes, dead, dropped_oldest, damaged;
};

/* A place among all bytes ever stored; larger is later. 0: before everything. */
typedef uint64_t spool_place;

/* What the writer, which never waits, and the spool tell each other. Begins as zeros. */
struct spool_shared {
    /* release by the writer, acquire by the reader: what is before it was booked */
    _Alignas(YARDER_CACHE_LINE) spool_place released;
    /* relaxed, stored when the ack file has them; each number stands for itself */
    _Alignas(YARDER_CACHE_LINE) struct spool_totals told;
};

enum spool_sync { SPOOL_SYNC_NONE, SPOOL_SYNC_INTERVAL, SPOOL_SYNC_BATCH };

struct spool_options {
    const char *state_dir;
    const char *name; /* of the output */
    uint64_t limit_bytes;
    uint32_t record_bytes_max; /* packed; the longest that will be appended */
    enum spool_sync sync;
    uint64_t sync_interval_ns;
    bool drop_oldest; /* full: the oldest segment goes; else append answers -ENOSPC */
    bool direct;      /* O_DIRECT, where the file system takes it */
    /* A line for the operator, from the appender or the reader. */
    void (*tell)(void *owner, const char *line);
    void *owner;
    struct spool_shared *shared; /* outlives the spool; goes on with the next one of this name */
};

struct spool_look {
    uint64_t id; /* made at random with the spool */
    struct spool_totals totals;
    uint64_t stored; /* index of the next record */
    uint64_t left;   /* stored - answered */
    uint64_t bytes;  /* of all segments */
    uint32_t segments;
    spool_place end;  /* behind the last record */
    int64_t since_ns; /* realtime: when the segment of the oldest record was begun; 0: none left */
};

struct spool;

/*
 * Takes the lock, reads the ack and every head, scans what was not closed properly, cuts a torn
 * tail off. Makes the spool when there is none. Takes as long as reading the last segment. 0;
 * -EAGAIN: another process has it; -EINVAL: the limit is below spool_limit_min; -EPROTONOSUPPORT: a
 * later yarder wrote it, and nothing of it was touched; -errno. `why` says what.
 */
YARDER_MUST_USE int spool_open(
    struct spool **out, const struct spool_options *options, char *why, size_t why_bytes);
/* Both threads have stopped. Syncs by policy. */
void spool_close(struct spool *spool);
/* At the end: as many bytes more go in than the limit allows, for they would be lost. The
 * appender's. */
void spool_widen(struct spool *spool, uint64_t bytes);
/* The least limit for records of this size. */
uint64_t spool_limit_min(uint32_t record_bytes_max);
/* The folder's name for an output's name: what no file may be called is written as %XX. */
void spool_folder_name(const char *name, char *at, size_t room);

/*
 * Gives the folder of an output that has another name now that name, unless one of the new name is
 * there. Who has the spool open (a worker that leaves) keeps it, and its lock: all that it calls
 * starts from the folder's descriptor. 0: done, or there was none; -EEXIST, -errno.
 */
YARDER_MUST_USE int spool_rename(const char *state_dir, const char *from, const char *to);

/* Any thread. A lock over memory. */
void spool_look(struct spool *spool, struct spool_look *out);
/* Any thread: as the ack file has them. */
void spool_totals_read(const struct spool_shared *shared, struct spool_totals *out);

struct spool_stored {
    size_t bytes;     /* of those given: stored now, or before */
    uint32_t records; /* in them */
    uint32_t doubles; /* of these: were stored before, by a worker that died before it heard */
    spool_place end;  /* behind the last of them */
    uint64_t index;   /* of the next record */
};

/*
 * Appender. Whole records, with ids that grow; their crcs are put in. 0: *out is set, and may be
 * less than what was given; -ENOSPC: the limit is reached; -EBADMSG: the first bytes are no record;
 * -EMSGSIZE: the first is too long for a segment; -errno of the file system. Nothing is taken then,
 * and it may be given again.
 */
YARDER_MUST_USE int spool_append(
    struct spool *spool, char *bytes, size_t bytes_count, struct spool_stored *out);
/* Appender, sync=INTERVAL: syncs when it is due and says when it is due next (UINT64_MAX: not). */
YARDER_MUST_USE int spool_sync_due(struct spool *spool, uint64_t now_ns, uint64_t *next_ns);

/* Writer: a stored commit has booked everything before `place`; it may be read now. */
void spool_release(struct spool_shared *shared, spool_place place);

struct spool_batch {
    const char *bytes; /* sound records, whole; valid until the next call of the reader */
    size_t bytes_count;
    uint32_t records;
    struct yarder_id last;
    spool_place at;
};
struct spool_answers {
    uint32_t delivered, dead;
    uint64_t delivered_bytes;
};

/*
 * Reader: the first records that are not answered and are released. The same ones again when it is
 * called again without an answer. 0; -EAGAIN: none; -errno: the disk, try again later.
 */
YARDER_MUST_USE int spool_read(struct spool *spool, struct spool_batch *out);
/*
 * Reader: the first `bytes_done` bytes of the batch (whole records, delivered + dead of them) are
 * answered for good. Writes the ack. 0; -errno: it could not be written; what was answered counts
 * nevertheless in memory, and the next ack says it.
 */
YARDER_MUST_USE int spool_answer(struct spool *spool, const struct spool_batch *batch,
    size_t bytes_done, const struct spool_answers *answers);

#endif
