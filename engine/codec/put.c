/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/put.h"

#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/text.h"

char *put_unsigned(char *at, uint64_t value)
{
    return at + text_from_u64(at, value);
}

char *put_signed(char *at, int64_t value)
{
    if (value >= 0) {
        return put_unsigned(at, (uint64_t)value);
    }
    *at = '-';
    return put_unsigned(at + 1, 0 - (uint64_t)value);
}

static bool is_control(char byte)
{
    return ((unsigned char)byte < ' ' && byte != '\t') || byte == 127;
}

/* How many bytes from `at` on are no control bytes (a tab is none: it cannot forge a line). */
static size_t plain_bytes(const char *at, const char *end)
{
    const char *from = at;
#ifdef __SSE2__
    const __m128i highest_control = _mm_set1_epi8(31);
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i_u *)at);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, highest_control), bytes);
        control = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t')), control);
        control = _mm_or_si128(control, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(127)));
        int mask = _mm_movemask_epi8(control);
        if (mask != 0) {
            return (size_t)(at - from) + (size_t)__builtin_ctz((unsigned)mask);
        }
    }
#endif
    while (at < end && !is_control(*at)) {
        at++;
    }
    return (size_t)(at - from);
}

/* Whether there may be control bytes among these eight: a tab looks like one. */
static bool seem_control(uint64_t bytes)
{
    static const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t below = bytes - ones * ' ';            /* of a byte that borrows: its high bit */
    uint64_t deleted = (bytes ^ ones * 127) - ones; /* likewise of one that is 127 */
    return ((below | deleted) & ~bytes & ones * 128) != 0;
}

/* Names are short, and honest: 4 to 16 bytes, by words that overlap. */
static bool is_plain_name(struct yarder_text text)
{
    uint32_t narrow[2];
    uint64_t wide[2];
    if (text.length < 4 || text.length > 16) {
        return false;
    }
    if (text.length < 8) {
        memcpy(&narrow[0], text.at, sizeof(narrow[0]));
        memcpy(&narrow[1], text.at + text.length - sizeof(narrow[1]), sizeof(narrow[1]));
        return !seem_control(narrow[0] | (uint64_t)narrow[1] << 32);
    }
    memcpy(&wide[0], text.at, sizeof(wide[0]));
    memcpy(&wide[1], text.at + text.length - sizeof(wide[1]), sizeof(wide[1]));
    return !seem_control(wide[0]) && !seem_control(wide[1]);
}

static char *put_escape(char *at, char byte)
{
    static const char hex[] = "0123456789abcdef";
    *at++ = '\\';
    if (byte == '\n' || byte == '\r') {
        *at = byte == '\n' ? 'n' : 'r';
        return at + 1;
    }
    at[0] = 'x';
    at[1] = hex[(unsigned char)byte >> 4];
    at[2] = hex[(unsigned char)byte & 15];
    return at + 3;
}

static char *put_escaped(char *at, struct yarder_text text)
{
    const char *from = text.at;
    const char *end = text.at + text.length;
    while (from < end) {
        size_t plain = plain_bytes(from, end);
        at = put_bytes(at, from, plain);
        from += plain;
        if (from < end) {
            at = put_escape(at, *from++);
        }
    }
    return at;
}

static char *put_indented(char *at, struct yarder_text text)
{
    const char *from = text.at;
    const char *end = text.at + text.length;
    while (from < end) {
        const char *line_end = memchr(from, '\n', (size_t)(end - from));
        if (line_end == NULL) {
            return put_bytes(at, from, (size_t)(end - from));
        }
        at = put_bytes(at, from, (size_t)(line_end - from));
        *at++ = '\n';
        *at++ = '\t';
        from = line_end + 1;
    }
    return at;
}

char *put_lines(char *at, struct yarder_text text, enum put_policy policy)
{
    if (text.length == 0) {
        return at;
    }
    switch (policy) {
    case PUT_ESCAPE:
        return is_plain_name(text) ? put_text(at, text) : put_escaped(at, text);
    case PUT_INDENT:
        return put_indented(at, text);
    case PUT_KEEP:
    default:
        return put_text(at, text);
    }
}

/* A field's number, or false when its bytes are not what its type says. */
static bool load(const struct yarder_field *field, void *number, size_t number_bytes)
{
    if (field->value.length != number_bytes) {
        return false;
    }
    memcpy(number, field->value.at, number_bytes);
    return true;
}

/* The fewest digits that read back as the same number. */
static char *put_float(char *at, double value)
{
    char digits[PUT_NUMBER_BYTES_MAX];
    int length = 0;
    for (int precision = 15; precision <= 17; precision++) {
        length = snprintf(digits, sizeof(digits), "%.*g", precision, value);
        if (memcmp(&(double){strtod(digits, NULL)}, &value, sizeof(value)) == 0) {
            break;
        }
    }
    YARDER_ASSERT(length > 0 && length < (int)sizeof(digits));
    return put_bytes(at, digits, (size_t)length);
}

char *put_number(char *at, const struct yarder_field *field)
{
    union {
        int64_t i;
        uint64_t u;
        double f;
        uint8_t b;
    } number = {0};
    switch (field->type) {
    case YARDER_FIELD_INT:
        return load(field, &number.i, 8) ? put_signed(at, number.i) : at;
    case YARDER_FIELD_UINT:
        return load(field, &number.u, 8) ? put_unsigned(at, number.u) : at;
    case YARDER_FIELD_FLOAT:
        return load(field, &number.f, 8) ? put_float(at, number.f) : at;
    case YARDER_FIELD_BOOL:
        if (!load(field, &number.b, 1)) {
            return at;
        }
        return number.b != 0 ? put_bytes(at, "true", 4) : put_bytes(at, "false", 5);
    case YARDER_FIELD_TEXT:
    default:
        return at;
    }
}

char *put_field(char *at, const struct yarder_field *field, enum put_policy policy)
{
    if (field->type == YARDER_FIELD_TEXT) {
        return put_lines(at, field->value, policy);
    }
    char *end = put_number(at, field);
    if (end == at) {
        *end++ = '-';
    }
    return end;
}
