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
 *   | joins                     |  records that arrive in parts, or lines
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
#include "queue/hold_state.h"

enum {
    HOLD_MAGIC = 0x79647268, /* "hrdy" */
    HOLD_VERSION = 4,
};

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

struct hold_header {
    uint32_t magic, version;
    uint64_t size_bytes;
    uint32_t state_bytes; /* of one commit's state, all of it */
    uint32_t unused;
    struct hold_shape shape;
    _Alignas(
        YARDER_CACHE_LINE) uint64_t generation; /* release: pairs with the acquire of readers */
    _Alignas(YARDER_CACHE_LINE) uint32_t crash_count; /* supervisor: crashes in a row */
    uint32_t suspect;                                 /* writer: one record under way, alone */
    uint64_t suspect_input;
    /*
     * Realtime when it was made; larger than those of the supervisor's holds before, by more than
     * there can be outputs. With the output's index added it is half of a record's id, with
     * hold_output.copies, as counted when the record was put, the other half.
     */
    uint64_t epoch_ns;
};

struct hold_commit {
    uint64_t generation;
    uint32_t crc, state_bytes;
};

/*
 * One process's view of a hold. Pointers lead into the private state, or a snapshot's copy. Sizes
 * and places are kept here, as they were when it was opened: the other process can write all of
 * the memory.
 */
struct hold {
    struct hold_header *header;
    char *base;
    size_t size_bytes, copy_at[2];
    uint32_t state_bytes;
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

/*
 * Makes and formats a hold: its first commit is empty, its size is sealed. The descriptor is the
 * caller's. 0 or -errno.
 */
YARDER_MUST_USE int hold_create(const struct hold_shape *shape, int *fd);

/* Maps one and checks that it is a hold. 0; -EBADMSG: not one of ours; -errno. Allocates. */
YARDER_MUST_USE int hold_open(struct hold **out, int fd);
void hold_close(struct hold *hold);

/*
 * Reads the newest commit that checks into the private state. 0; -EBADMSG: neither does. After a
 * fallback the next commit takes the place of the bad copy, never that of the good one.
 */
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

/*
 * Records of one queue, or of all queues of an output, that are neither delivered nor dropped:
 * counted, not computed. What is spooled is safe from the daemon's end, and not among them.
 */
uint64_t hold_queue_held(const struct hold *hold, const struct hold_queue *queue);
uint64_t hold_held(const struct hold *hold, uint32_t output);

#endif
