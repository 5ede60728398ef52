/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing: where a record ends in a stream of bytes. A framer belongs to one connection or pipe.
 * It is fed chunks and yields spans: a span inside the chunk costs nothing; one that began in an
 * earlier chunk is joined in the framer's own carry buffer.
 *
 *   LF       text LF            (CR before LF is cut)
 *   NUL      text NUL           Python's SysLogHandler over TCP
 *   OCTETS   length SP bytes    RFC 6587 octet counting
 *            (line ends between frames are passed over)
 *   AUTO     by connection: a plausible count and "<" first is OCTETS; else what ends the first
 *            record decides. LF: from then on LF and NUL both end records. NUL: only NUL does, so
 *            that the traceback in a record of Python's stays in one piece
 *   LENGTH4  4-byte big-endian length, then the bytes
 */
#ifndef YARDER_CODEC_FRAME_H
#define YARDER_CODEC_FRAME_H

#include "api/record.h"
#include "base/base.h"

enum frame_kind { FRAME_AUTO, FRAME_LF, FRAME_NUL, FRAME_OCTETS, FRAME_LENGTH4 };

/* What a frame adds to a record at the most: its count or length, or its line end. */
enum { FRAME_OVERHEAD_BYTES_MAX = 16 };

/* A record's bytes without its frame. Valid until the next call on the same framer. */
struct frame_span {
    struct yarder_text text;
    uint32_t
        flags; /* YARDER_FLAG_TRUNCATED, YARDER_FLAG_PARTIAL, YARDER_FLAG_UNPARSED (bad frame) */
};

struct framer {
    enum frame_kind configured;
    enum frame_kind detected; /* FRAME_AUTO until the first record decided */
    uint32_t record_bytes_max;
    char *carry;          /* the unfinished record: allocated at need, freed when quiet */
    uint32_t carry_bytes; /* of the unfinished record, in carry */
    uint32_t carry_room;
    uint64_t skip_bytes; /* rest of an oversize record that is thrown away (counted frames) */
    bool skip_to_end;    /* the same for delimited frames: until the next delimiter */
};

void framer_init(struct framer *framer, enum frame_kind kind, uint32_t record_bytes_max);
void framer_deinit(struct framer *framer);

/*
 * Takes spans from bytes: fills up to spans_max and says by *used how many bytes it went through.
 * Call again with the rest until *used == bytes_count and fewer than spans_max came. At most one
 * span of a call lies in the carry buffer, and it is always the first. An empty line yields no
 * span. A record over record_bytes_max is delivered cut to that length and flagged, once; its rest
 * is skipped. A broken frame (a count that is no number or too large) is delivered as it stands
 * (as the line it begins) with UNPARSED, and framing goes on as LF. When the carry buffer cannot
 * grow, the record is cut there and flagged TRUNCATED.
 * Returns the spans filled, never a negative number.
 */
YARDER_MUST_USE int framer_take(struct framer *framer, const char *bytes, size_t bytes_count,
    struct frame_span *spans, uint32_t spans_max, size_t *used);

/*
 * The same without a carry: yields whole records only and leaves an unfinished one unused (then
 * *used < bytes_count), for a caller that keeps its bytes in place itself. When as much as
 * record_bytes_max + FRAME_OVERHEAD_BYTES_MAX lies there without an end, a cut span is yielded and
 * the rest is skipped; the caller's buffer must have room for that much.
 */
uint32_t framer_scan(struct framer *framer, const char *bytes, size_t bytes_count,
    struct frame_span *spans, uint32_t spans_max, size_t *used);

/*
 * The stream ended: 1 and the unfinished record as a span (flagged PARTIAL unless it is a whole
 * LF-framed line whose newline is missing and `end_completes` is set), or 0 for none.
 */
int framer_finish(struct framer *framer, bool end_completes, struct frame_span *span);

/* Unframed bytes, for a hand-over to another worker, and the way back into a fresh framer. */
struct yarder_text framer_unframed(const struct framer *framer);
YARDER_MUST_USE int framer_restore(struct framer *framer, enum frame_kind detected,
    bool skip_to_end, uint64_t skip_bytes, struct yarder_text unframed);

#endif
