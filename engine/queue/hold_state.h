/* SPDX-License-Identifier: Apache-2.0 */
/* What a commit holds, array by array: counters of the ledger and places. Read hold.h first. */
#ifndef YARDER_QUEUE_HOLD_STATE_H
#define YARDER_QUEUE_HOLD_STATE_H

#include "base/base.h"

#define HOLD_NONE UINT32_MAX /* no buffer, no queue */

enum hold_refused {
    HOLD_REFUSED_LIMIT,
    HOLD_REFUSED_QUARANTINE,
    HOLD_REFUSED_CORRUPT,
    HOLD_REFUSED_REASONS
};
enum hold_dropped {
    HOLD_DROPPED_FULL,    /* queue full, newest dropped */
    HOLD_DROPPED_OLDEST,  /* queue full, oldest dropped */
    HOLD_DROPPED_PATH,    /* its path could not be made or opened */
    HOLD_DROPPED_LEFT,    /* its output left the configuration, or its reader left it */
    HOLD_DROPPED_DAMAGED, /* its bytes in memory or on disk are no record any more */
    HOLD_DROPPED_REASONS,
};
extern const char *const hold_refused_names[HOLD_REFUSED_REASONS];
extern const char *const hold_dropped_names[HOLD_DROPPED_REASONS];

/* received = accepted + sum of refused; lost and the marks stand beside it. */
struct hold_input {
    uint64_t received, accepted;
    uint64_t refused[HOLD_REFUSED_REASONS];
    uint64_t lost_kernel, lost_ring;
    uint64_t truncated, partial, unparsed;
    uint64_t bytes;
    uint64_t connections, connections_refused;
    uint32_t kernel_drops_seen; /* SO_RXQ_OVFL as last counted */
    uint32_t errors;            /* failed calls on its sockets */
};

/* accepted = joined + filtered_drop + filtered_keep + unmatched + routed */
struct hold_router {
    uint64_t accepted, joined, filtered_drop, filtered_keep, unmatched, routed, undecided;
};

/* The totals of a spool (queue/spool.h), as far as they are booked in the counts beside. */
struct hold_spool {
    uint64_t id; /* whose they are; 0: none was opened yet */
    uint64_t delivered, delivered_bytes, dead, dropped_oldest, damaged;
};

/*
 * copies + found = delivered + sum of dropped + dead + held, where held is counted in the queues,
 * and beside that `spooled`.
 */
struct hold_output {
    uint64_t copies, delivered, delivered_bytes, dead;
    uint64_t dropped[HOLD_DROPPED_REASONS];
    uint64_t torn;      /* records written again whole because another's append cut them */
    uint64_t foreign;   /* times the file had grown by another's hand */
    uint64_t cut;       /* times the file had been cut */
    uint64_t uncertain; /* records of a batch that may stand twice: the file was cut meanwhile */
    uint64_t moved;     /* times the path named another file */
    uint64_t errors;    /* failed calls on files */
    uint64_t last_progress_ns;             /* realtime of the last delivery */
    uint64_t rotations, rotation_failures; /* files put aside; times that one could not be */
    uint64_t rotated_ns;                   /* realtime of the last one */
    uint64_t touched_ns[2];                /* rotate-touch, reopen-touch: as last seen; 0: never */
    uint64_t found;   /* records that lay in the spool and were never booked as stored there */
    uint64_t spooled; /* records that are booked as stored in the spool, and not yet as answered */
    struct hold_spool spool;
};

enum hold_queue_flag {
    HOLD_QUEUE_ACTIVE = 1 << 0,
    HOLD_QUEUE_BROKEN = 1 << 1, /* the piece in the file is not its end: rewind to base first */
    HOLD_QUEUE_REOPEN = 1 << 2, /* follow the path at the next write */
    HOLD_QUEUE_HALF = 1 << 3,   /* a record begins again: the file may end in half a line of it */
    HOLD_QUEUE_ROTATE = 1 << 4, /* its file is to be put aside for a new one */
    HOLD_QUEUE_PAST = 1 << 5,  /* its period is over: its file is to be put aside, another queue has
                                  the path next */
    HOLD_QUEUE_ASIDE = 1 << 6, /* of PAST: done, no path leads to the file */
};

struct hold_queue {
    uint32_t output, flags;
    uint32_t first_buffer, last_buffer; /* HOLD_NONE: empty */
    uint64_t base, tail, head;
    uint64_t seal_at;         /* == tail while sealed */
    uint32_t seal_bytes;      /* 0: no seal */
    uint32_t first_delivered; /* records of the first buffer that tail has passed */
    uint64_t expected_size;   /* of the file where the next byte lands: E */
    uint64_t dev, ino;        /* 0: no file open */
    int64_t period_s; /* beginning of the period of its records; 0: none was yet, or it has none */
    int64_t file_s;   /* of that which its file is named for, when it is put aside */
    uint64_t used_ns; /* coarse monotonic time of the last record, for idle-close */
};

/* Bytes grow up from the buffer's start, u32 record ends (offsets) grow down from its end. */
struct hold_buffer {
    uint64_t start;     /* position of its first byte in the queue */
    uint32_t used;      /* bytes */
    uint32_t records;   /* ends */
    uint32_t next;      /* HOLD_NONE: last */
    uint32_t continues; /* its first byte belongs to a record that began in the buffer before */
};

/* Bytes [start, end) of a half wait to be framed. */
struct hold_pipe {
    uint32_t half, start, end;
    uint32_t skip_to_end; /* the framer's, inside a record that was cut */
    uint64_t skip_bytes;
    uint64_t reached, tallied; /* of a source: numbers of inputs/packed.h */
};

/* A ring record in parts (inputs/join.h), or behind these a record of several lines, which uses
 * some of the members otherwise (inputs/gather.h). */
struct hold_join {
    uint64_t region; /* region id; 0: free */
    uint32_t tid, next_part;
    uint32_t serial;
    uint32_t touched;                  /* larger: a part came to it later; modulo 2^32 */
    uint32_t text_bytes, fields_bytes; /* of the join's memory: inputs/join.h */
    uint32_t flags, lost_before;
    int64_t time_ns;
    uint8_t level, kind, stream, logger_bytes;
    char logger[60];
};

enum { HOLD_RINGS_MAX = 512 };
struct hold_region {
    uint64_t id; /* the supervisor's number; 0: free */
    uint32_t pid;
    uint32_t told; /* region_reader_told: how much of its losses its records have told */
    uint64_t lost; /* as last counted into the input's lost_ring */
    /* followed by rings_max cursors */
};

#endif
