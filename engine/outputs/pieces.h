/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed records that come in pieces. A seal never spans two buffers, so of a record that does a
 * lane gets one piece after the other (lane_job.record_open). They are gathered here and answered
 * as written at once; the last one makes the whole record, and is answered when that is settled.
 * What was gathered dies with the process: the queue's base has not moved, and whoever takes it up
 * again rewinds to it.
 */
#ifndef YARDER_OUTPUTS_PIECES_H
#define YARDER_OUTPUTS_PIECES_H

#include "outputs/lane.h"

/* Zero is a valid empty one. */
struct pieces {
    char *bytes;
    size_t bytes_count, room;
};

/* What a job makes whole: from its bytes, or the one record that its piece ends. */
struct pieces_whole {
    const char *bytes;
    size_t bytes_count; /* 0: nothing is whole yet */
    bool by_ends;       /* they are the job's, and its batch says where each record ends */
};

/* Takes a WRITE's bytes. 0 or -ENOMEM, and then nothing was taken. */
YARDER_MUST_USE int pieces_take(
    struct pieces *pieces, const struct lane_job *job, struct pieces_whole *whole);
/* The first `settled` bytes of what was whole are done with: sets job->written. */
void pieces_settle(
    struct pieces *pieces, struct lane_job *job, const struct pieces_whole *whole, size_t settled);
void pieces_drop(struct pieces *pieces);

#endif
