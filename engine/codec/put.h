/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How encoders write: pieces are put at `at`, the end is returned. Every put names the most that it
 * writes; encoder_bound adds these up, and PUT_SLACK_BYTES for pieces that are copied in fixed
 * steps and write past their end.
 */
#ifndef YARDER_CODEC_PUT_H
#define YARDER_CODEC_PUT_H

#include <string.h>

#include "api/record.h"
#include "base/base.h"

enum {
    PUT_STEP_BYTES = 32,  /* fixed copies go in steps of this; their sources are padded to it */
    PUT_SLACK_BYTES = 32, /* the most that a put may touch behind its end */
    PUT_ESCAPE_FACTOR = 4,
    PUT_INDENT_FACTOR = 2,
    PUT_JSON_FACTOR = 6,
    PUT_NUMBER_BYTES_MAX = 32, /* of any field that is not text */
};

/* What becomes of control bytes in texts. */
enum put_policy { PUT_KEEP, PUT_ESCAPE, PUT_INDENT };

/* From padded memory of our own: always whole steps. */
static inline char *put_padded(char *at, const char *from, size_t length)
{
    memcpy(at, from, PUT_STEP_BYTES);
    if (YARDER_UNLIKELY(length > PUT_STEP_BYTES)) {
        memcpy(at + PUT_STEP_BYTES, from + PUT_STEP_BYTES, length - PUT_STEP_BYTES);
    }
    return at + length;
}

/* Exactly length bytes, cheap for a short text. */
static inline char *put_bytes(char *at, const char *from, size_t length)
{
    if (length > 16) {
        memcpy(at, from, length);
    } else if (length >= 8) {
        memcpy(at, from, 8);
        memcpy(at + length - 8, from + length - 8, 8);
    } else if (length >= 4) {
        memcpy(at, from, 4);
        memcpy(at + length - 4, from + length - 4, 4);
    } else if (length > 0) {
        at[0] = from[0];
        at[length / 2] = from[length / 2];
        at[length - 1] = from[length - 1];
    }
    return at + length;
}
static inline char *put_text(char *at, struct yarder_text text)
{
    return put_bytes(at, text.at, text.length);
}

char *put_unsigned(char *at, uint64_t value); /* at most 20 bytes */
char *put_signed(char *at, int64_t value);    /* at most 20 bytes */

/* At most the policy's factor times the length. */
char *put_lines(char *at, struct yarder_text text, enum put_policy policy);
static inline size_t put_lines_bound(size_t length, enum put_policy policy)
{
    static const uint8_t factors[] = {1, PUT_ESCAPE_FACTOR, PUT_INDENT_FACTOR};
    return length * factors[policy];
}

/*
 * A number or truth value as text, in the fewest digits that read back the same; `at` itself when
 * its bytes are none. PUT_NUMBER_BYTES_MAX.
 */
char *put_number(char *at, const struct yarder_field *field);
/* A field's value as plain text; PUT_NUMBER_BYTES_MAX unless it is a text. */
char *put_field(char *at, const struct yarder_field *field, enum put_policy policy);

/* Inside a JSON string: always valid UTF-8 and escaped; at most PUT_JSON_FACTOR times the length.
 */
char *put_json_text(char *at, struct yarder_text text);
/* A value of JSON with its quotes if it is a text (then 2 bytes more). */
char *put_json_value(char *at, const struct yarder_field *field);
/* An object of all fields of the record; a key that comes again gets its field's number: "key.7".
 */
char *put_json_fields(char *at, const struct yarder_record *record);
size_t put_json_fields_bound(const struct yarder_record *record);

/* Bytes of the UTF-8 sequence at `at` (it has `room` > 0 bytes), or 0 when it is not valid. */
size_t put_utf8_length(const char *at, size_t room);

#endif
