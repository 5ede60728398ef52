/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an output with a backend has beside the others. Its queue holds packed records
 * (codec/pack.h) instead of rendered ones, and its lane is a courier (offload/courier.h): see
 * lane_offload.h, and reap_offload.c for what becomes of the answers.
 */
#ifndef YARDER_OUTPUTS_OFFLOAD_H
#define YARDER_OUTPUTS_OFFLOAD_H

#include "api/backend.h"
#include "base/base.h"

struct output;
struct lane_spool;

enum { OUTPUT_SPOOL_LINES = 8 };

struct output_offload {
    struct lane_offload *lane; /* what the lane works with; queue=disk: spool, and this is NULL */
    struct lane_spool *spool;
    bool spool_found;             /* it was opened, and held against the commit */
    uint64_t spool_end;           /* place behind what the private state has booked as stored */
    uint64_t spool_unbooked;      /* records that a worker stored and did not live to book */
    uint64_t spool_late_ns;       /* since when what is spooled does not move; 0: nothing is */
    uint64_t epoch_ns;            /* of the ids of records that are put */
    struct yarder_id again_until; /* what a worker before may have sent */
    uint64_t wanted_ns;           /* since when its lane is wanted back; 0: it is not */
    uint64_t lines_since_ns;      /* what its queue on disk told in this minute: since when ... */
    uint32_t lines_said;          /* ... how many lines ... */
    uint32_t lines_crc[OUTPUT_SPOOL_LINES]; /* ... and which */
    uint64_t jitter;                        /* state of the random part of pauses; never 0 */
};

/*
 * A backend's lane is to be back soon (a reload), or need not any more: its try ends with what it
 * has. Files' lanes know no such thing.
 */
void output_want(struct output *output, bool wanted, uint64_t now_ns);

/* For how long the lane is in a call that it should have come back from, were all well. */
uint64_t output_hangs_ns(const struct output *output, uint64_t now_ns);

/* Whether what lies in its queue on disk goes on to the destination, or did a moment ago. */
bool output_spool_moves(const struct output *output, uint64_t now_ns);

/* A backend's output that has had records to deliver for so long, and delivered none. */
bool output_stands_still(const struct output *output, uint64_t now_ns, uint64_t for_ns);

/* The end is near: what waits for a backend is tried now, and often. */
void output_hurry(struct output *output);

#endif
