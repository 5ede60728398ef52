/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hold: the memory that survives a worker. A memfd that the supervisor makes and keeps; the
 * worker's writer thread alone changes it.
 *
 *   +---------------------------+ 0
 *   | header: shape, generation |  written once, except the generation and the crash words
 *   +---------------------------+
 *   | commit copy 0             |  a commit fills the copy that the generation does not name and
 *   +---------------------------+  then stores the next generation: everything in it becomes true
 *   | commit copy 1             |  at once. A kill leaves the old commit or the new one.
 *   +---------------------------+
 *   | names: a path each queue  |  written while the queue is free in the stored commit
 *   | pipes: live word, 2 halves|  bytes taken from stdin and from exec pipes (pipe.c)
 *   | joins                     |  long records that arrive in parts
 *   | buffers                   |  what the queues hold: rendered bytes and their record ends
 *   +---------------------------+
 *
 * A commit holds: the counters of the ledger, the place in each ring, pipe and join, and for each
 * queue its buffers, how far it is delivered, and the *seal*: which bytes may now be written.
 *
 * The writer works on a private state of the same layout; hold_commit copies it. Nothing is
 * written to a file that a stored commit does not seal, and no memory is used again before the
 * commit that says it is free (queue_pool_settle). Recovery reads a commit back into the private
 * state.
 *
 * Positions in a queue are bytes since its start, as seen by the destination:
 *
 *      base <= tail <= head       [base, tail) stands in the file but belongs to a record that is
 *       |       |       |         not whole there yet; a record that another writer's append cut in
 *   ----#####===........          two is written again whole, from base
 *       buffers, oldest first
 */
#ifndef YARDER_QUEUE_HOLD_H
#define YARDER_QUEUE_HOLD_H

#include "api/record.h"
#include "base/base.h"
#include "base/limits.h"

enum {
    HOLD_MAGIC = 0x79647268, /* "hrdy" */
    HOLD_VERSION = 1,
};

#define HOLD_NONE UINT32_MAX /* no buffer, no queue */

/* How many of each, and how large: computed from the configuration, the same in both processes. */
struct hold_shape_output {
    uint32_t first_queue, queues_count;
    uint32_t first_buffer, buffers_count;
    uint32_t buffer_bytes; /* a multiple of the page size */
    uint32_t unused;
};

struct hold_shape {
    uint32_t inputs_count, outputs_count, queues_count, buffers_count;
    uint32_t pipes_count, joins_count, regions_max, rings_max;
    uint32_t pipe_half_bytes, join_bytes;
    struct hold_shape_output outputs[YARDER_OUTPUTS_MAX];
};

enum hold_refused {
    HOLD_REFUSED_LIMIT,
    HOLD_REFUSED_QUARANTINE,
    HOLD_REFUSED_CORRUPT,
    HOLD_REFUSED_REASONS
};
enum hold_dropped {
    HOLD_DROPPED_FULL,   /* queue full, newest dropped */
    HOLD_DROPPED_OLDEST, /* queue full, oldest dropped */
    HOLD_DROPPED_PATH,   /* its path could not be made or opened */
    HOLD_DROPPED_LEFT,   /* its output left the configuration and did not take it in time */
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
    uint32_t kernel_drops_seen, unused; /* SO_RXQ_OVFL as last counted */
};

/* accepted = joined + filtered_drop + filtered_keep + unmatched + routed */
struct hold_router {
    uint64_t accepted, joined, filtered_drop, filtered_keep, unmatched, routed, undecided;
};

/* copies = delivered + sum of dropped + dead + held, where held is counted in the queues. */
struct hold_output {
    uint64_t copies, delivered, delivered_bytes, dead;
    uint64_t dropped[HOLD_DROPPED_REASONS];
    uint64_t torn;      /* records written again whole because another's append cut them */
    uint64_t foreign;   /* times the file had grown by another's hand */
    uint64_t cut;       /* times the file had been cut */
    uint64_t uncertain; /* records of a batch that may stand twice: the file was cut meanwhile */
    uint64_t moved;     /* times the path named another file */
    uint64_t errors;    /* failed calls on files */
    uint64_t last_progress_ns; /* realtime of the last delivery */
};

enum hold_queue_flag {
    HOLD_QUEUE_ACTIVE = 1 << 0,
    HOLD_QUEUE_BROKEN = 1 << 1, /* the piece in the file is not its end: rewind to base first */
    HOLD_QUEUE_REOPEN = 1 << 2, /* follow the path at the next write */
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
    uint64_t used_ns;         /* coarse monotonic time of the last record, for idle-close */
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
};

struct hold_join {
    uint64_t region; /* region id; 0: free */
    uint32_t tid, next_part;
    uint32_t serial, unused;
    uint32_t text_bytes, fields_bytes; /* of the join's memory: text first, fields at its end */
    uint32_t flags, lost_before;
    int64_t time_ns;
    uint8_t level, kind, stream, logger_bytes;
    char logger[60];
};

enum { HOLD_RINGS_MAX = 512 };
struct hold_region {
    uint64_t id; /* the supervisor's number; 0: free */
    uint32_t pid, input;
    uint64_t lost; /* as last counted into the input's lost_ring */
    /* followed by rings_max cursors */
};

struct hold_header {
    uint32_t magic, version;
    uint64_t size_bytes;
    uint32_t state_bytes; /* of one commit's state, all of it */
    uint32_t unused;
    struct hold_shape shape;
    _Alignas(
        YARDER_CACHE_LINE) uint64_t generation; /* release: pairs with the acquire of readers */
    _Alignas(
        YARDER_CACHE_LINE) uint64_t crash_generation; /* supervisor: generation of the last crash */
    uint32_t crash_count;                             /* supervisor: crashes at it */
    uint32_t suspect;                                 /* writer: one record under way, alone */
    uint64_t suspect_input;
};

struct hold_commit {
    uint64_t generation;
    uint32_t crc, state_bytes;
};

/* One process's view of a hold. Pointers lead into the private state, or a snapshot's copy. */
struct hold {
    struct hold_header *header;
    char *base;
    struct hold_shape shape;
    char *state;
    uint64_t generation; /* of the last commit loaded or stored */
    uint64_t fallbacks;  /* commits that did not check and were replaced by the one before */
    struct hold_router *router;
    uint32_t *regions_used; /* regions [0, regions_used) may be in use */
    struct hold_input *inputs;
    struct hold_output *outputs;
    struct hold_pipe *pipes;
    struct hold_join *joins;
    struct hold_queue *queues;
    struct hold_buffer *buffers;
    char *regions;
    size_t names_at, pipes_at, joins_at, buffers_at[YARDER_OUTPUTS_MAX];
};

/* Makes and formats a hold: its first commit is empty. The descriptor is the caller's. 0 or -errno.
 */
YARDER_MUST_USE int hold_create(const struct hold_shape *shape, int *fd);

/* Maps one and checks that it is a hold. 0; -EBADMSG: not one of ours; -errno. Allocates. */
YARDER_MUST_USE int hold_open(struct hold **out, int fd);
void hold_close(struct hold *hold);

/* Reads the newest commit that checks into the private state. 0; -EBADMSG: neither does. */
YARDER_MUST_USE int hold_load(struct hold *hold);

/* Makes the private state true. Writer only. About 50 ns a KiB. */
void hold_commit(struct hold *hold);

/* Copies a consistent commit into the private state, while another process may commit. As load. */
YARDER_MUST_USE int hold_snapshot(struct hold *hold);

struct hold_region *hold_region_at(const struct hold *hold, uint32_t index);
static inline uint64_t *hold_region_cursors(struct hold_region *region)
{
    return (uint64_t *)(void *)(region + 1);
}

char *hold_buffer_bytes(const struct hold *hold, uint32_t output, uint32_t buffer);
char *hold_queue_name(const struct hold *hold, uint32_t queue); /* YARDER_PATH_BYTES_MAX */
char *hold_join_bytes(const struct hold *hold, uint32_t join);  /* join_bytes */
char *hold_pipe_half(const struct hold *hold, uint32_t pipe, uint32_t half);
/* What a kill between two commits cannot undo: see inputs/pipe.c. */
uint64_t *hold_pipe_live(const struct hold *hold, uint32_t pipe);

/* Records of one queue, or of all queues of an output, that are neither delivered nor dropped:
 * counted, not computed. */
uint64_t hold_queue_held(const struct hold *hold, const struct hold_queue *queue);
uint64_t hold_held(const struct hold *hold, uint32_t output);

#endif
