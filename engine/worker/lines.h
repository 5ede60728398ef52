/* SPDX-License-Identifier: Apache-2.0 */
/* Several lines that are one record, of inputs with multiline=. Private to room worker. */
#ifndef YARDER_WORKER_LINES_H
#define YARDER_WORKER_LINES_H

#include "worker/worker_private.h"

/* Compiles what the inputs say; worker->lines stays NULL when none says anything. 0 or -errno. */
YARDER_MUST_USE int lines_open(struct worker *worker, char *why, size_t why_bytes);

/* Once the hold is ours: what the worker before had under way; of its connections none is left. */
void lines_resume(struct worker *worker);
/* After a reload: what the old hold has under way, which is over then. */
void lines_take(
    struct worker *worker, const struct hold *old, const struct daemon_config *old_config);

/*
 * Places records of one input as sink_place does: how many are taken care of. `number` tells its
 * pipes, connections and processes apart: by these, stream_input.number, 0.
 */
enum { LINES_OF_PIPE = 1, LINES_OF_RING = 1 << 30 };
static inline uint32_t lines_of_pipe(const struct pipe_input *pipe)
{
    return LINES_OF_PIPE + pipe->index;
}
static inline uint32_t lines_of_ring(const struct ring_input *ring)
{
    return LINES_OF_RING | ((uint32_t)ring->id & (LINES_OF_RING - 1));
}
YARDER_MUST_USE uint32_t lines_place(
    struct worker *worker, uint32_t number, const struct yarder_record *records, uint32_t count);

/* That pipe or connection has ended: what it has under way goes out with the next pass. */
void lines_ended(struct worker *worker, uint32_t number);

/* What nothing came to for long enough. */
void lines_flush_due(struct worker *worker);
/* All of it. false: a record must wait. */
YARDER_MUST_USE bool lines_flush(struct worker *worker);

/* The time to stop is over: what found no room goes with us, and is said. */
void lines_give_up(struct worker *worker);

/* After a commit. */
void lines_settle(struct worker *worker);

/* When something is due; UINT64_MAX: never. */
uint64_t lines_due_ns(const struct worker *worker);

#endif
