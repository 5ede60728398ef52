/* SPDX-License-Identifier: Apache-2.0 */
/* A spool that is open. Read spool.h first. */
#ifndef YARDER_QUEUE_SPOOL_INSIDE_H
#define YARDER_QUEUE_SPOOL_INSIDE_H

#include <pthread.h>

#include "queue/spool_disk.h"

/* A file that waits to be used again (direct). */
struct spool_free {
    uint64_t number; /* it had */
    uint64_t epoch_ns;
};

struct spool {
    /* constant after open */
    struct spool_options options;
    char path[SPOOL_PATH_BYTES_MAX]; /* of the folder, for messages */
    int dir_fd, lock_fd, ack_fd;
    uint64_t id;
    uint64_t segment_bytes; /* of a full one */

    pthread_mutex_t ack_lock; /* taken before `lock`; held over writing the ack */

    pthread_mutex_t lock; /* over what follows; never held over a system call */
    struct spool_segment *segments;
    size_t segments_count, segments_room;
    uint64_t bytes;       /* of all segments, and of free ones */
    uint64_t stored;      /* index of the next record */
    uint64_t next_number; /* of the next segment */
    uint64_t taken;       /* number of the segment that the reader is in; 0: in none */
    struct spool_ack ack; /* what the next write of the ack says */
    struct spool_free free[2];
    uint32_t free_count;

    /* the appender's own */
    int append_fd; /* -1: no segment is open */
    bool direct;
    char *block;           /* direct: aligned; begins with the last partial block of the segment */
    struct spool_ids last; /* of what is stored */
    uint64_t unsynced_ns;  /* since when bytes wait for fsync=interval; 0: none do */

    /* the reader's own */
    struct spool_walk walk;
    uint64_t walk_number; /* segment that walk.fd is of */
    uint64_t damage_told_ns;
};

/* spool_ack.c */
/* Under ack_lock, without `lock`: writes what the ack says now, and publishes its totals. */
YARDER_MUST_USE int spool_ack_write(struct spool *spool, bool sync);
/* `index` records are stored before the next place: what is not answered of them is damaged. */
void spool_settle_index(struct spool_ack *ack, uint64_t index);
/* Reader: unlinks what the ack has left behind. Under ack_lock. */
YARDER_MUST_USE int spool_retire(struct spool *spool);
/* Appender: the oldest segment that the reader is not in goes. -ENOSPC: there is none. */
YARDER_MUST_USE int spool_drop_oldest(struct spool *spool);

/* spool_append.c: the segment that is written gets its foot and is closed. */
YARDER_MUST_USE int spool_finish(struct spool *spool);

/* spool_direct.c */
YARDER_MUST_USE int spool_direct_open(struct spool *spool);
/* Nothing more is written to the open segment: what it did not need of its room is given back. */
void spool_direct_trim(struct spool *spool);
void spool_direct_close(struct spool *spool);
bool spool_direct_has_free(struct spool *spool);
void spool_direct_give_free(struct spool *spool);
YARDER_MUST_USE int spool_direct_create(
    struct spool *spool, struct spool_segment *segment, const char *name);
YARDER_MUST_USE int spool_direct_append(
    struct spool *spool, struct spool_segment *segment, const char *bytes, size_t bytes_count);
/* The bytes were stored: what of them belongs to a block that is not full. */
void spool_direct_keep(struct spool *spool, const struct spool_segment *segment, const char *bytes,
    size_t bytes_count);

void spool_tell(const struct spool *spool, const char *format, ...) YARDER_PRINTF(2, 3);

#endif
