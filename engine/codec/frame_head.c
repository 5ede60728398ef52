/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/frame_private.h"

#include <assert.h>
#include <string.h>

enum { COUNT_DIGITS_MAX = 8, LENGTH4_BYTES = 4 };
/* Digits, a space, and the '<' that makes AUTO sure. */
static_assert(COUNT_DIGITS_MAX + 2 == (int)FRAME_HEAD_BYTES_MAX, "all that a head can need");
static_assert((int)FRAME_HEAD_BYTES_MAX <= (int)FRAME_OVERHEAD_BYTES_MAX, "promised in the header");

/* Octet counting. With `sure` false (AUTO) only what can be nothing else is taken for a count. */
static struct frame_head read_count(const char *bytes, size_t bytes_count, bool sure)
{
    struct frame_head other = {.kind = sure ? FRAME_HEAD_BROKEN : FRAME_HEAD_LINE};
    uint32_t value = 0;
    uint32_t digits = 0;
    while (digits < bytes_count && (unsigned)bytes[digits] - '0' <= 9) {
        if (digits == COUNT_DIGITS_MAX) {
            return other;
        }
        value = value * 10 + ((unsigned)bytes[digits] - '0');
        digits++;
    }
    bool plausible = value <= FRAME_COUNT_BYTES_MAX && (sure || digits == 0 || bytes[0] != '0');
    if (!plausible) {
        return other;
    }
    if (digits == bytes_count) {
        return (struct frame_head){.kind = FRAME_HEAD_SHORT};
    }
    if (digits == 0 || bytes[digits] != ' ') {
        return other;
    }
    if (!sure && digits + 1 == bytes_count) {
        return (struct frame_head){.kind = FRAME_HEAD_SHORT};
    }
    if (!sure && bytes[digits + 1] != '<') {
        return other;
    }
    return (struct frame_head){
        .kind = FRAME_HEAD_COUNTED, .bytes = digits + 1, .body_bytes = value};
}

static struct frame_head read_length4(const char *bytes, size_t bytes_count)
{
    if (bytes_count < LENGTH4_BYTES) {
        return (struct frame_head){.kind = FRAME_HEAD_SHORT};
    }
    uint32_t value = 0;
    memcpy(&value, bytes, sizeof(value));
    value = __builtin_bswap32(value);
    return (struct frame_head){
        .kind = value > FRAME_COUNT_BYTES_MAX ? FRAME_HEAD_BROKEN : FRAME_HEAD_COUNTED,
        .bytes = LENGTH4_BYTES,
        .body_bytes = value};
}

struct frame_head frame_read_head(
    const struct framer *framer, const char *bytes, size_t bytes_count)
{
    switch (framer->detected) {
    case FRAME_OCTETS:
        return read_count(bytes, bytes_count, true);
    case FRAME_LENGTH4:
        return read_length4(bytes, bytes_count);
    case FRAME_AUTO:
        return read_count(bytes, bytes_count, false);
    case FRAME_LF:
    case FRAME_NUL:
    default:
        return (struct frame_head){.kind = FRAME_HEAD_LINE};
    }
}
