/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deferred formatting: a record carries a printf format's place and the arguments as they are, and
 * the daemon makes the text. Of the format both sides know the same by the same parser:
 *
 *   producer   a call site's format, once: text into the region's table, types into the site
 *              each record: place, types, arguments
 *   daemon     a format that is met first: copied out of the region, parsed; both kept
 *              each record: types compared, arguments rendered
 *
 *   payload    u32 place        of the format, in bytes from the start of struct region_formats
 *              u64 types        four bits for each argument, the first in the lowest
 *              arguments        8 bytes each; a text: u32 length, bytes. Nothing is aligned
 *
 * The result is what snprintf makes of it in the C locale, to the byte. What these functions do not
 * take is formatted by the caller: %n, *, 1$, ' and I, wide characters, long double, flags or
 * lengths that the conversion has no use for, and what is over the limits below.
 */
#ifndef YARDER_RING_DEFERRED_H
#define YARDER_RING_DEFERRED_H

#include "api/record.h"
#include "base/base.h"
#include "ring/layout.h"

enum {
    DEFERRED_CONVERSIONS_MAX = 16, /* with %%; a word holds the types of so many arguments */
    DEFERRED_WIDTH_MAX = 512,      /* of a width or precision */
    DEFERRED_FORMAT_BYTES_MAX = 1000,
    DEFERRED_HEAD_BYTES = 12, /* place and types */
};

/* What lies in the payload for an argument, and how the producer's va_arg gets it. */
enum deferred_type {
    DEFERRED_NONE = 0,
    DEFERRED_INT = 1,  /* an int, whatever the conversion makes of it; sign-extended */
    DEFERRED_LONG = 2, /* 64 bits */
    DEFERRED_DOUBLE = 3,
    DEFERRED_TEXT = 4, /* no more of it than the precision asks for */
    DEFERRED_POINTER = 5,
    DEFERRED_ERRNO = 6, /* %m: errno at the call */
    DEFERRED_TYPE_BITS = 4,
    DEFERRED_TYPE_MASK = 15,
};

enum deferred_flag {
    DEFERRED_LEFT = 1 << 0,  /* - */
    DEFERRED_PLUS = 1 << 1,  /* + */
    DEFERRED_SPACE = 1 << 2, /* blank */
    DEFERRED_ALTER = 1 << 3, /* # */
    DEFERRED_ZERO = 1 << 4,  /* 0 */
};

/* Text as it stands, then a conversion. */
struct deferred_piece {
    uint16_t literal_at; /* in the format */
    uint16_t literal_bytes;
    uint16_t width;
    int16_t precision; /* -1: none given */
    uint8_t flags;     /* enum deferred_flag */
    uint8_t type;      /* enum deferred_type */
    uint8_t size;      /* of an integer, in bytes */
    char conversion;   /* its letter, d for i; NUL: none follows the text */
};

struct deferred_format {
    uint64_t types;
    uint32_t pieces_count;
    struct deferred_piece pieces[DEFERRED_CONVERSIONS_MAX + 1]; /* the last: text alone */
};

/* Whether a record with this format can be deferred. Any bytes may be given. */
YARDER_MUST_USE bool deferred_parse(struct deferred_format *out, struct yarder_text format);

enum deferred_result {
    DEFERRED_GOOD = 0,
    DEFERRED_CUT = 1,      /* there was not enough room: it is full */
    DEFERRED_MISMATCH = 2, /* these are no arguments of this format; what was written is nothing */
};

/*
 * The text of a payload behind its place (types and arguments, any bytes) by the parsed format, in
 * `room` bytes. Bounded by the limits above. Integers without a precision, texts
 * and pointers are made here, the rest by snprintf: what that takes longer than copying a text is
 * added to *work, in bytes of text that take as long.
 */
YARDER_MUST_USE enum deferred_result deferred_render(char *at, size_t room, size_t *used,
    uint64_t *work, const struct deferred_format *parsed, struct yarder_text format,
    struct yarder_text arguments);

#endif
