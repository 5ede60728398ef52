/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a source's process writes into its pipe: frames of FRAME_LENGTH4, each a record of
 * codec/pack.h whose id's number grows from frame to frame, also from process to process. A frame
 * may be a tally instead: counts that belong to no record.
 *
 *   u32 length, big-endian | struct pack_head | texts, fields      number 1001
 *   u32 length, big-endian | struct pack_head | struct packed_tally  1002, of PACKED_TALLY
 *
 * A tally is booked when it is framed, once: the number of the last one stands in the commit.
 */
#ifndef YARDER_INPUTS_PACKED_H
#define YARDER_INPUTS_PACKED_H

#include "inputs/batch.h"
#include "queue/hold_state.h"

enum {
    PACKED_TALLY = 255,                         /* in place of enum yarder_record_kind */
    PACKED_BYTES_MAX = YARDER_RECORD_BYTES_MAX, /* a frame without its length */
    PACKED_LENGTH_BYTES = 4,
};

struct packed_tally {
    uint64_t refused; /* since the tally before */
    uint32_t drops;   /* as the kernel counts them for the socket */
    uint32_t has_drops;
};

/*
 * What the numbers of a new process come after, which is later than those of any before: the time
 * now, for less than one a nanosecond is put; but where the clock was set back what was settled,
 * and more than a pipe and a half of the hold may have beyond it.
 */
static inline uint64_t packed_number_first(int64_t now_ns, uint64_t settled)
{
    enum { BEYOND_BITS = 32 };
    return yarder_max((uint64_t)now_ns, settled + (UINT64_C(1) << BEYOND_BITS));
}

/*
 * Books tallies among the spans and takes them out; how many are left, which are records. The place
 * holds the numbers.
 */
uint32_t packed_tallies(
    struct input *input, struct hold_pipe *place, struct frame_span *spans, uint32_t count);

/* As batch_add, of a frame that is a packed record; else its bytes are the text, flagged. */
void packed_add(struct batch *batch, struct input *input, const struct frame_span *span);

#endif
