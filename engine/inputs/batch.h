/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch: records on their way from an input to the router. Their texts point into the buffer
 * they were framed from; what parsing unfolds lies in the batch's own scratch. One batch serves
 * the writer for ever.
 */
#ifndef YARDER_INPUTS_BATCH_H
#define YARDER_INPUTS_BATCH_H

#include "api/record.h"
#include "codec/frame.h"
#include "codec/request.h"
#include "codec/syslog.h"
#include "inputs/input.h"
#include "queue/hold.h"

enum {
    BATCH_FIELDS = 64 * YARDER_FIELDS_MAX,
    BATCH_SCRATCH_BYTES = 512 << 10, /* SYSLOG_SCRATCH_BYTES for as many records as have fields */
};

struct batch {
    uint32_t count;
    uint32_t fields_used;
    uint32_t scratch_used;
    uint32_t limit; /* records at the most this time: YARDER_BATCH_RECORDS, or fewer when careful */
    int64_t now_ns; /* time of day, set by the pass */
    struct yarder_record records[YARDER_BATCH_RECORDS];
    struct yarder_field fields[BATCH_FIELDS];
    uint64_t numbers[BATCH_FIELDS]; /* bytes of fields that were read out of a request's line */
    char scratch[BATCH_SCRATCH_BYTES];
};

/* An input at work. */
struct input {
    const struct input_config *config;
    struct hold_input *counts;
    struct syslog_parser parser;
    const struct request_format *requests; /* NULL: none are looked for */
    struct request_memo request_memo;
    struct yarder_text tag;
    uint32_t record_bytes_max;
    uint16_t index;
};

/* Where the bytes of a record came from. */
struct batch_origin {
    struct yarder_text peer; /* network address; empty: local */
    uint32_t pid;
    enum yarder_stream stream;
    bool network;
};

void input_init(struct input *input, const struct input_config *config, uint16_t index,
    struct hold *hold, uint64_t record_bytes_max);

static inline void batch_clear(struct batch *batch)
{
    batch->count = batch->fields_used = batch->scratch_used = 0;
}
/* Records that can still be added for certain, each with as many fields as a record may have. */
uint32_t batch_room(const struct batch *batch);

/* Adds one framed record, parsed as the input says. batch_room was not 0. */
void batch_add(struct batch *batch, struct input *input, const struct frame_span *span,
    const struct batch_origin *origin);

/*
 * Looks whether a record is a request, if its input says so, and gives it its fields: in the batch,
 * copied there if they are not. batch_room was not 0.
 */
void batch_recognise(struct batch *batch, struct input *input, struct yarder_record *record);

/*
 * The kernel's counter is 32 bits of the socket, which outlives workers: its growth counts. One
 * that went back is another socket's (a reload bound anew), which began at 0.
 */
static inline void input_count_drops(struct hold_input *counts, uint32_t drops)
{
    uint32_t growth = drops - counts->kernel_drops_seen;
    counts->lost_kernel += growth <= INT32_MAX ? growth : drops;
    counts->kernel_drops_seen = drops;
}

/* Books a record that was placed (or filtered) by the router: the input's side of the ledger. */
static inline void input_count(struct input *input, const struct yarder_record *record)
{
    struct hold_input *counts = input->counts;
    counts->received++;
    counts->accepted++;
    counts->bytes += record->text.length;
    if (YARDER_UNLIKELY(record->flags != 0)) {
        counts->truncated += (record->flags & YARDER_FLAG_TRUNCATED) != 0;
        counts->partial += (record->flags & YARDER_FLAG_PARTIAL) != 0;
        counts->unparsed += (record->flags & YARDER_FLAG_UNPARSED) != 0;
    }
}

#endif
