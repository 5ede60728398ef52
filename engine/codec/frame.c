/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The carry holds an unfinished record's raw bytes from the first byte of its frame, never less,
 * and past the head it holds no delimiter. What a record is, is therefore a function of its raw
 * bytes alone: where the stream was cut into chunks changes nothing, and a hand-over is a copy.
 */
#include "codec/frame.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "codec/frame_private.h"

enum {
    LINE_SPARE_BYTES = 2,       /* CR and LF may follow a line of the full length */
    CARRY_KEPT_BYTES = 4 << 10, /* a larger carry is freed once it is empty */
    CARRY_FIRST_BYTES = 256,
};
static_assert((int)LINE_SPARE_BYTES <= (int)FRAME_OVERHEAD_BYTES_MAX, "promised in the header");

/* What one step over bytes without a carry found. */
enum step { STEP_SPAN, STEP_NOTHING, STEP_UNFINISHED };

void framer_init(struct framer *framer, enum frame_kind kind, uint32_t record_bytes_max)
{
    YARDER_ASSERT(kind <= FRAME_LENGTH4);
    YARDER_ASSERT(record_bytes_max > 0 && record_bytes_max <= FRAME_COUNT_BYTES_MAX);
    *framer =
        (struct framer){.configured = kind, .detected = kind, .record_bytes_max = record_bytes_max};
}

void framer_deinit(struct framer *framer)
{
    free(framer->carry);
    *framer = (struct framer){0};
}

static const char *find_either(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i line_feed = _mm_set1_epi8('\n');
    const __m128i zero = _mm_setzero_si128();
    for (; end - at >= 32; at += 32) {
        __m128i low = _mm_loadu_si128((const __m128i_u *)at);
        __m128i high = _mm_loadu_si128((const __m128i_u *)(at + 16));
        __m128i low_hits = _mm_or_si128(_mm_cmpeq_epi8(low, line_feed), _mm_cmpeq_epi8(low, zero));
        __m128i high_hits =
            _mm_or_si128(_mm_cmpeq_epi8(high, line_feed), _mm_cmpeq_epi8(high, zero));
        uint32_t mask =
            (uint32_t)_mm_movemask_epi8(low_hits) | (uint32_t)_mm_movemask_epi8(high_hits) << 16;
        if (mask != 0) {
            return at + __builtin_ctz(mask);
        }
    }
#endif
    while (at < end && *at != '\n' && *at != '\0') {
        at++;
    }
    return at == end ? NULL : at;
}

/* The delimiter that ends the line at `at`, or NULL. */
static const char *find_end(const struct framer *framer, const char *at, const char *end)
{
    if (at >= end) {
        return NULL;
    }
    bool both = framer->configured == FRAME_AUTO && framer->detected != FRAME_NUL;
    if (both) {
        return find_either(at, end);
    }
    return memchr(at, framer->detected == FRAME_NUL ? '\0' : '\n', (size_t)(end - at));
}

static void detect(struct framer *framer, char delimiter)
{
    if (framer->detected == FRAME_AUTO) {
        framer->detected = delimiter == '\0' ? FRAME_NUL : FRAME_LF;
    }
}

/* Goes through the rest of an oversize record: how many of the bytes belong to it. */
static size_t skip_rest(struct framer *framer, const char *bytes, size_t bytes_count)
{
    if (framer->skip_bytes > 0) {
        size_t skipped = yarder_min(framer->skip_bytes, bytes_count);
        framer->skip_bytes -= skipped;
        return skipped;
    }
    if (!framer->skip_to_end) {
        return 0;
    }
    const char *end = find_end(framer, bytes, bytes + bytes_count);
    if (end == NULL) {
        return bytes_count;
    }
    framer->skip_to_end = false;
    detect(framer, *end);
    return (size_t)(end - bytes) + 1;
}

/* The span of a line of `raw_bytes` before its delimiter; false: an empty line. */
static bool end_line(struct framer *framer, const char *raw, size_t raw_bytes, char delimiter,
    bool broken, struct frame_span *span)
{
    size_t length = raw_bytes;
    if (delimiter == '\n' && length > 0 && raw[length - 1] == '\r') {
        length--;
    }
    if (length == 0) {
        return false; /* and decides nothing */
    }
    span->flags = broken ? YARDER_FLAG_UNPARSED : 0;
    if (length > framer->record_bytes_max) {
        length = framer->record_bytes_max;
        span->flags |= YARDER_FLAG_TRUNCATED;
    }
    span->text = (struct yarder_text){raw, length};
    if (broken) {
        framer->detected = FRAME_LF;
    }
    detect(framer, delimiter);
    return true;
}

/* The span of a line that is over the limit before its end came. */
static void cut_line(
    struct framer *framer, const char *raw, size_t raw_bytes, bool broken, struct frame_span *span)
{
    span->text = (struct yarder_text){raw, yarder_min(raw_bytes, framer->record_bytes_max)};
    span->flags = YARDER_FLAG_TRUNCATED | (broken ? (uint32_t)YARDER_FLAG_UNPARSED : 0);
    if (broken) {
        framer->detected = FRAME_LF;
    }
    framer->skip_to_end = true;
}

/* The span of a counted record, of which the first body_kept bytes are at `body`. */
static bool end_counted(struct framer *framer, const char *body, size_t body_kept,
    uint32_t body_bytes, struct frame_span *span)
{
    if (framer->detected == FRAME_AUTO) {
        framer->detected = FRAME_OCTETS;
    }
    framer->skip_bytes = body_bytes - body_kept;
    span->text = (struct yarder_text){body, body_kept};
    span->flags = body_kept < body_bytes ? YARDER_FLAG_TRUNCATED : 0;
    return body_bytes > 0;
}

/* Line ends that some senders put between counted frames. */
static bool is_stray(const struct framer *framer, char byte)
{
    return framer->detected == FRAME_OCTETS && (byte == '\n' || byte == '\r' || byte == '\0');
}

/* One record, or what stands between records, from the start of bytes; nothing is carried. */
static enum step step_whole(struct framer *framer, const char *bytes, size_t bytes_count,
    struct frame_span *span, size_t *used)
{
    if (framer->skip_bytes > 0 || framer->skip_to_end) {
        *used = skip_rest(framer, bytes, bytes_count);
        return STEP_NOTHING;
    }
    if (is_stray(framer, bytes[0])) {
        *used = 1;
        return STEP_NOTHING;
    }
    struct frame_head head = frame_read_head(framer, bytes, bytes_count);
    if (head.kind == FRAME_HEAD_SHORT) {
        return STEP_UNFINISHED;
    }
    if (head.kind == FRAME_HEAD_COUNTED) {
        size_t kept = yarder_min(head.body_bytes, framer->record_bytes_max);
        if (bytes_count - head.bytes < kept) {
            return STEP_UNFINISHED;
        }
        *used = head.bytes + kept;
        bool filled = end_counted(framer, bytes + head.bytes, kept, head.body_bytes, span);
        return filled ? STEP_SPAN : STEP_NOTHING;
    }
    bool broken = head.kind == FRAME_HEAD_BROKEN;
    const char *end = find_end(framer, bytes + head.bytes, bytes + bytes_count);
    if (end != NULL) {
        *used = (size_t)(end - bytes) + 1;
        bool filled = end_line(framer, bytes, *used - 1, *end, broken, span);
        return filled ? STEP_SPAN : STEP_NOTHING;
    }
    if (bytes_count < (size_t)framer->record_bytes_max + LINE_SPARE_BYTES) {
        return STEP_UNFINISHED;
    }
    cut_line(framer, bytes, bytes_count, broken, span);
    *used = bytes_count;
    return STEP_SPAN;
}

/* Whole lines, without asking anew for each what its frame is; *used is behind the last one. */
static uint32_t scan_lines(struct framer *framer, const char *bytes, size_t bytes_count,
    struct frame_span *spans, uint32_t spans_max, size_t *used)
{
    const char *at = bytes;
    const char *end = bytes + bytes_count;
    uint32_t filled = 0;
    while (filled < spans_max) {
        const char *line_end = find_end(framer, at, end);
        if (line_end == NULL) {
            break;
        }
        size_t line_bytes = (size_t)(line_end - at);
        filled += end_line(framer, at, line_bytes, *line_end, false, &spans[filled]);
        at = line_end + 1;
    }
    *used = (size_t)(at - bytes);
    return filled;
}

uint32_t framer_scan(struct framer *framer, const char *bytes, size_t bytes_count,
    struct frame_span *spans, uint32_t spans_max, size_t *used)
{
    YARDER_ASSERT(framer->carry_bytes == 0);
    uint32_t filled = 0;
    size_t at = 0;
    bool lines = framer->detected == FRAME_LF || framer->detected == FRAME_NUL;
    if (lines && !framer->skip_to_end && framer->skip_bytes == 0) {
        filled = scan_lines(framer, bytes, bytes_count, spans, spans_max, &at);
    }
    while (filled < spans_max && at < bytes_count) {
        size_t step_bytes = 0;
        enum step step =
            step_whole(framer, bytes + at, bytes_count - at, &spans[filled], &step_bytes);
        if (step == STEP_UNFINISHED) {
            break;
        }
        filled += step == STEP_SPAN;
        at += step_bytes;
    }
    *used = at;
    return filled;
}

/* Adds to the carry, growing it: false when there is no memory, then nothing was added. */
static bool carry_add(struct framer *framer, const char *bytes, size_t bytes_count)
{
    size_t needed = framer->carry_bytes + bytes_count;
    YARDER_ASSERT(needed <= UINT32_MAX / 2);
    if (needed > framer->carry_room) {
        size_t room = yarder_max(framer->carry_room, CARRY_FIRST_BYTES);
        while (room < needed) {
            room *= 2;
        }
        char *grown = realloc(framer->carry, room);
        if (grown == NULL) {
            return false;
        }
        framer->carry = grown;
        framer->carry_room = (uint32_t)room;
    }
    memcpy(framer->carry + framer->carry_bytes, bytes, bytes_count);
    framer->carry_bytes = (uint32_t)needed;
    return true;
}

/* No memory for the rest of a carried record: what is there is delivered, cut. */
static bool carry_cut(struct framer *framer, struct frame_head head, struct frame_span *span)
{
    size_t have = framer->carry_bytes;
    framer->carry_bytes = 0;
    if (head.kind != FRAME_HEAD_COUNTED) {
        cut_line(framer, framer->carry, have, head.kind == FRAME_HEAD_BROKEN, span);
        return true;
    }
    size_t body = have - yarder_min(have, head.bytes);
    return end_counted(framer, framer->carry + have - body, body, head.body_bytes, span);
}

/* The head of the carried record, seen over the seam between carry and chunk. */
static struct frame_head read_seam(
    const struct framer *framer, const char *bytes, size_t bytes_count)
{
    char seam[FRAME_HEAD_BYTES_MAX];
    size_t carried = yarder_min(framer->carry_bytes, sizeof(seam));
    size_t added = yarder_min(bytes_count, sizeof(seam) - carried);
    memcpy(seam, framer->carry, carried);
    memcpy(seam + carried, bytes, added);
    return frame_read_head(framer, seam, carried + added);
}

static bool join_counted(struct framer *framer, struct frame_head head, const char *bytes,
    size_t bytes_count, struct frame_span *span, size_t *used)
{
    size_t kept = yarder_min(head.body_bytes, framer->record_bytes_max);
    size_t whole = head.bytes + kept;
    YARDER_ASSERT(framer->carry_bytes <= whole);
    size_t added = yarder_min(whole - framer->carry_bytes, bytes_count);
    if (!carry_add(framer, bytes, added)) {
        size_t head_left = head.bytes - yarder_min(framer->carry_bytes, head.bytes);
        *used = yarder_min(head_left, bytes_count);
        return carry_cut(framer, head, span);
    }
    *used = added;
    if (framer->carry_bytes < whole) {
        return false;
    }
    framer->carry_bytes = 0;
    return end_counted(framer, framer->carry + head.bytes, kept, head.body_bytes, span);
}

static bool join_line(struct framer *framer, struct frame_head head, const char *bytes,
    size_t bytes_count, struct frame_span *span, size_t *used)
{
    bool broken = head.kind == FRAME_HEAD_BROKEN;
    size_t unseen = head.bytes - yarder_min(framer->carry_bytes, head.bytes);
    const char *end = find_end(framer, bytes + unseen, bytes + bytes_count);
    size_t line_bytes = end == NULL ? bytes_count : (size_t)(end - bytes);
    size_t limit = (size_t)framer->record_bytes_max + LINE_SPARE_BYTES;
    size_t added = yarder_min(line_bytes, limit - yarder_min(framer->carry_bytes, limit));
    if (!carry_add(framer, bytes, added)) {
        *used = 0;
        return carry_cut(framer, head, span);
    }
    *used = added;
    if (framer->carry_bytes >= limit) {
        cut_line(framer, framer->carry, framer->carry_bytes, broken, span);
    } else if (end == NULL) {
        return false;
    } else {
        *used = line_bytes + 1;
        bool filled = end_line(framer, framer->carry, framer->carry_bytes, *end, broken, span);
        framer->carry_bytes = 0;
        return filled;
    }
    framer->carry_bytes = 0;
    return true;
}

/* Goes on with the carried record: true and its span when it ended. */
static bool join(struct framer *framer, const char *bytes, size_t bytes_count,
    struct frame_span *span, size_t *used)
{
    struct frame_head head = read_seam(framer, bytes, bytes_count);
    if (head.kind == FRAME_HEAD_SHORT) {
        *used = bytes_count;
        if (carry_add(framer, bytes, bytes_count)) {
            return false;
        }
        *used = 0;
        return carry_cut(framer, head, span);
    }
    if (head.kind == FRAME_HEAD_COUNTED) {
        return join_counted(framer, head, bytes, bytes_count, span, used);
    }
    return join_line(framer, head, bytes, bytes_count, span, used);
}

/* The chunk's unfinished end goes into the carry; without memory it is delivered from the chunk. */
static uint32_t keep_rest(
    struct framer *framer, const char *bytes, size_t bytes_count, struct frame_span *span)
{
    if (carry_add(framer, bytes, bytes_count)) {
        return 0;
    }
    struct frame_head head = frame_read_head(framer, bytes, bytes_count);
    if (head.kind != FRAME_HEAD_COUNTED) {
        cut_line(framer, bytes, bytes_count, head.kind == FRAME_HEAD_BROKEN, span);
        return 1;
    }
    size_t body = bytes_count - head.bytes;
    return end_counted(framer, bytes + head.bytes, body, head.body_bytes, span);
}

int framer_take(struct framer *framer, const char *bytes, size_t bytes_count,
    struct frame_span *spans, uint32_t spans_max, size_t *used)
{
    YARDER_ASSERT(spans_max <= INT32_MAX);
    uint32_t filled = 0;
    size_t at = 0;
    *used = 0;
    if (framer->carry_bytes == 0 && framer->carry_room > CARRY_KEPT_BYTES) {
        free(framer->carry);
        framer->carry = NULL;
        framer->carry_room = 0;
    }
    if (bytes_count == 0 || spans_max == 0) {
        return 0;
    }
    if (framer->carry_bytes > 0) {
        filled += join(framer, bytes, bytes_count, &spans[0], &at);
        if (framer->carry_bytes > 0) {
            *used = at;
            return (int)filled;
        }
    }
    bool carry_spans = filled > 0; /* that span lies in the carry: the carry must stay as it is */
    size_t scanned = 0;
    filled += framer_scan(
        framer, bytes + at, bytes_count - at, spans + filled, spans_max - filled, &scanned);
    at += scanned;
    if (filled < spans_max && at < bytes_count && !carry_spans) {
        filled += keep_rest(framer, bytes + at, bytes_count - at, &spans[filled]);
        at = bytes_count;
    }
    *used = at;
    return (int)filled;
}

int framer_finish(struct framer *framer, bool end_completes, struct frame_span *span)
{
    size_t have = framer->carry_bytes;
    struct frame_head head = frame_read_head(framer, framer->carry, have);
    bool is_line = framer->detected == FRAME_LF || framer->detected == FRAME_AUTO;
    framer->carry_bytes = 0;
    framer->skip_bytes = 0;
    framer->skip_to_end = false;
    framer->detected = framer->configured;
    size_t head_bytes = head.kind == FRAME_HEAD_COUNTED ? head.bytes : 0;
    if (have <= head_bytes) {
        return 0;
    }
    is_line = is_line && head.kind != FRAME_HEAD_COUNTED;
    span->flags = is_line && end_completes ? 0 : YARDER_FLAG_PARTIAL;
    if (head.kind == FRAME_HEAD_BROKEN || (head.kind == FRAME_HEAD_SHORT && !is_line)) {
        span->flags |= YARDER_FLAG_UNPARSED;
    }
    size_t length = have - head_bytes;
    if (length > framer->record_bytes_max) {
        length = framer->record_bytes_max;
        span->flags |= YARDER_FLAG_TRUNCATED;
    }
    span->text = (struct yarder_text){framer->carry + head_bytes, length};
    return 1;
}

struct yarder_text framer_unframed(const struct framer *framer)
{
    return (struct yarder_text){framer->carry, framer->carry_bytes};
}

int framer_restore(struct framer *framer, enum frame_kind detected, bool skip_to_end,
    uint64_t skip_bytes, struct yarder_text unframed)
{
    YARDER_ASSERT(framer->carry_bytes == 0);
    if (unframed.length > FRAME_COUNT_BYTES_MAX || detected > FRAME_LENGTH4) {
        return -EINVAL;
    }
    if (unframed.length > 0 && !carry_add(framer, unframed.at, unframed.length)) {
        return -ENOMEM;
    }
    framer->detected = detected;
    framer->skip_to_end = skip_to_end;
    framer->skip_bytes = skip_bytes;
    /* Where record-max was lowered below what is already here, this stream keeps the larger one. */
    struct frame_head head = frame_read_head(framer, framer->carry, unframed.length);
    size_t frame_bytes = head.kind == FRAME_HEAD_COUNTED ? head.bytes : LINE_SPARE_BYTES - 1;
    size_t record_bytes = unframed.length - yarder_min(unframed.length, frame_bytes);
    framer->record_bytes_max = (uint32_t)yarder_max(framer->record_bytes_max, record_bytes);
    return 0;
}
