/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments to text. Formats and arguments come from a producer: the C library's printf is only
 * ever given a specification made here, of parsed and bounded numbers, and a number to print.
 */
#include <string.h>

#include "base/text.h"
#include "ring/deferred.h"

enum {
    /* Of one number: a sign, 309 digits of the largest double, a point, a precision; or a width. */
    NUMBER_BYTES_MAX = 1024,
    SPECIFICATION_BYTES = 24,
    DECIMAL_BYTES_MAX = 21,
    /* Of what the C library prints, in ns or so: in any case, and for each byte. %.0f of 1.7e308
     * takes 6.5 us. */
    WORK_PRINTED = 64,
    WORK_BYTE = 20,
};

struct out {
    char *at;
    size_t used;
    size_t room;
    bool cut;
    uint64_t work;
};

struct arguments {
    const char *at;
    const char *end;
};

static void put(struct out *out, const char *at, size_t bytes)
{
    if (YARDER_UNLIKELY(bytes > out->room - out->used)) {
        bytes = out->room - out->used;
        out->cut = true;
    }
    if (bytes > 0) {
        memcpy(out->at + out->used, at, bytes);
        out->used += bytes;
    }
}

static void put_blanks(struct out *out, size_t count)
{
    if (count > out->room - out->used) {
        count = out->room - out->used;
        out->cut = true;
    }
    memset(out->at + out->used, ' ', count);
    out->used += count;
}

/* In its width, to the right or to the left. */
static void put_aligned(
    struct out *out, const struct deferred_piece *piece, const char *at, size_t bytes)
{
    size_t blanks = piece->width > bytes ? piece->width - bytes : 0;
    bool left = (piece->flags & DEFERRED_LEFT) != 0;
    if (blanks > 0 && !left) {
        put_blanks(out, blanks);
    }
    put(out, at, bytes);
    if (blanks > 0 && left) {
        put_blanks(out, blanks);
    }
}

static size_t decimal_length(uint64_t value)
{
    static const uint64_t powers[] = {0, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000,
        1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000, 100000000000000,
        1000000000000000, 10000000000000000, 100000000000000000, 1000000000000000000,
        10000000000000000000u};
    size_t bits = 64 - (size_t)__builtin_clzll(value | 1);
    size_t less = bits * 1233 >> 12; /* 1233 / 4096 is log10(2), near enough for 64 bits */
    return less + (value >= powers[less]);
}

/* Two digits at a time, from the end: what is written is not read again. */
static void decimal_make(char *at, size_t length, uint64_t value)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233"
        "34353637383940414243444546474849505152535455565758596061626364656667"
        "6869707172737475767778798081828384858687888990919293949596979899";
    at += length;
    while (value >= 100) {
        at -= 2;
        memcpy(at, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        memcpy(at - 2, pairs + value * 2, 2);
    } else {
        at[-1] = (char)('0' + value);
    }
}

static void put_decimal(struct out *out, uint64_t value, bool negative)
{
    char text[DECIMAL_BYTES_MAX];
    bool fits = out->room - out->used >= sizeof(text);
    char *at = fits ? out->at + out->used : text;
    value = negative ? -value : value;
    size_t length = decimal_length(value);
    at[0] = '-';
    decimal_make(at + negative, length, value);
    if (fits) {
        out->used += length + negative;
    } else {
        put(out, text, length + negative);
    }
}

static size_t hex_make(char at[16], uint64_t value, char letter)
{
    const char *digits = letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    size_t bytes = value == 0 ? 1 : (67 - (size_t)__builtin_clzll(value)) / 4;
    for (size_t i = bytes; i > 0; i--) {
        at[i - 1] = digits[value & 15];
        value >>= 4;
    }
    return bytes;
}

/* A number's digits in their width, with blanks or zeros in front, or blanks behind. */
static void put_padded(
    struct out *out, const struct deferred_piece *piece, uint64_t value, bool negative)
{
    char text[DEFERRED_WIDTH_MAX + DECIMAL_BYTES_MAX];
    bool zeros = (piece->flags & (DEFERRED_ZERO | DEFERRED_LEFT)) == DEFERRED_ZERO;
    size_t zeros_max = zeros && piece->width > negative ? piece->width - negative : 0;
    char digits[DECIMAL_BYTES_MAX];
    size_t length;
    if (piece->conversion == 'd' || piece->conversion == 'u') {
        value = negative ? -value : value;
        length = decimal_length(value);
        decimal_make(digits, length, value);
    } else {
        length = hex_make(digits, value, piece->conversion);
    }
    size_t more = zeros_max > length ? zeros_max - length : 0;
    text[0] = '-';
    memset(text + negative, '0', more);
    memcpy(text + negative + more, digits, length);
    put_aligned(out, piece, text, negative + more + length);
}

static void put_pointer(struct out *out, const struct deferred_piece *piece, uint64_t value)
{
    char text[18] = "0x";
    if (value == 0) {
        put_aligned(out, piece, "(nil)", 5);
        return;
    }
    put_aligned(out, piece, text, 2 + hex_make(text + 2, value, 'x'));
}

/* "%", flags, width, precision, "j" for integers, letter. */
static void specification_make(char *at, const struct deferred_piece *piece)
{
    static const char letters[] = "-+ #0";
    *at++ = '%';
    for (unsigned i = 0; letters[i] != '\0'; i++) {
        if ((piece->flags & 1u << i) != 0) {
            *at++ = letters[i];
        }
    }
    at += piece->width > 0 ? text_from_u64(at, piece->width) : 0;
    if (piece->precision >= 0) {
        *at++ = '.';
        at += text_from_u64(at, (uint64_t)piece->precision);
    }
    if (piece->type != DEFERRED_DOUBLE) {
        *at++ = 'j';
    }
    *at++ = piece->conversion;
    *at = '\0';
}

/* The specification is ours, of no literal: the compiler cannot check it. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static __attribute__((noinline)) void put_printed(
    struct out *out, const struct deferred_piece *piece, uint64_t value)
{
    char specification[SPECIFICATION_BYTES];
    char text[NUMBER_BYTES_MAX];
    int bytes;
    specification_make(specification, piece);
    if (piece->type == DEFERRED_DOUBLE) {
        double number;
        memcpy(&number, &value, sizeof(number));
        bytes = snprintf(text, sizeof(text), specification, number);
    } else {
        bytes = snprintf(text, sizeof(text), specification, (uintmax_t)value);
    }
    size_t length = yarder_min((uint64_t)(bytes < 0 ? 0 : bytes), sizeof(text) - 1);
    out->work += WORK_PRINTED + WORK_BYTE * length;
    put(out, text, length);
}
#pragma GCC diagnostic pop

static void put_errno(struct out *out, const struct deferred_piece *piece, uint64_t value)
{
    char unknown[sizeof("Unknown error -2147483648")];
    const char *text = strerrordesc_np((int)value); /* strerror would lock, translate, allocate */
    if (text == NULL) {
        (void)snprintf(unknown, sizeof(unknown), "Unknown error %d", (int)value);
        text = unknown;
    }
    size_t bytes = strlen(text);
    put_aligned(out, piece, text,
        piece->precision < 0 ? bytes : yarder_min(bytes, (size_t)piece->precision));
}

/* What the length modifier leaves of a value: of d with its sign. */
static uint64_t narrow(uint64_t value, unsigned size, bool is_signed)
{
    unsigned unused = 64 - size * 8;
    return is_signed ? (uint64_t)((int64_t)(value << unused) >> unused) : value << unused >> unused;
}

static void put_integer(struct out *out, const struct deferred_piece *piece, uint64_t value)
{
    if (piece->conversion == 'c') {
        char byte = (char)value;
        put_aligned(out, piece, &byte, 1);
        return;
    }
    value = narrow(value, piece->size, piece->conversion == 'd');
    bool negative = piece->conversion == 'd' && (int64_t)value < 0;
    bool printed = (piece->flags & ~(DEFERRED_LEFT | DEFERRED_ZERO)) != 0 ||
                   piece->precision >= 0 || piece->conversion == 'o';
    if (printed) {
        put_printed(out, piece, value);
    } else if (piece->width > 0 || piece->conversion == 'x' || piece->conversion == 'X') {
        put_padded(out, piece, value, negative);
    } else {
        put_decimal(out, value, negative);
    }
}

/* Of a text: its length and bytes. False: there are not so many. */
static bool put_text(struct out *out, const struct deferred_piece *piece, struct arguments *given)
{
    uint32_t bytes;
    if ((size_t)(given->end - given->at) < sizeof(bytes)) {
        return false;
    }
    memcpy(&bytes, given->at, sizeof(bytes));
    given->at += sizeof(bytes);
    if (bytes > (size_t)(given->end - given->at)) {
        return false;
    }
    put_aligned(out, piece, given->at, bytes);
    given->at += bytes;
    return piece->precision < 0 || bytes <= (uint32_t)piece->precision;
}

/* One conversion. False: the arguments are used up, or none of this kind. */
static bool put_conversion(
    struct out *out, const struct deferred_piece *piece, struct arguments *given)
{
    uint64_t value;
    if (piece->type == DEFERRED_TEXT) {
        return put_text(out, piece, given);
    }
    if ((size_t)(given->end - given->at) < sizeof(value)) {
        return false;
    }
    memcpy(&value, given->at, sizeof(value));
    given->at += sizeof(value);
    switch (piece->type) {
    case DEFERRED_INT:
    case DEFERRED_LONG:
        put_integer(out, piece, value);
        return true;
    case DEFERRED_DOUBLE:
        put_printed(out, piece, value);
        return true;
    case DEFERRED_POINTER:
        put_pointer(out, piece, value);
        return true;
    case DEFERRED_ERRNO:
        put_errno(out, piece, value);
        return true;
    default:
        return false;
    }
}

static enum deferred_result render(struct out *out, const struct deferred_format *parsed,
    struct yarder_text format, struct yarder_text arguments)
{
    struct arguments given = {arguments.at, arguments.at + arguments.length};
    uint64_t types;
    if (arguments.length < sizeof(types)) {
        return DEFERRED_MISMATCH;
    }
    memcpy(&types, given.at, sizeof(types));
    given.at += sizeof(types);
    if (types != parsed->types) {
        return DEFERRED_MISMATCH;
    }
    for (uint32_t i = 0; i < parsed->pieces_count; i++) {
        const struct deferred_piece *piece = &parsed->pieces[i];
        put(out, format.at + piece->literal_at, piece->literal_bytes);
        if (piece->conversion != '\0' && !put_conversion(out, piece, &given)) {
            return DEFERRED_MISMATCH;
        }
    }
    return given.at != given.end ? DEFERRED_MISMATCH : out->cut ? DEFERRED_CUT : DEFERRED_GOOD;
}

enum deferred_result deferred_render(char *at, size_t room, size_t *used, uint64_t *work,
    const struct deferred_format *parsed, struct yarder_text format, struct yarder_text arguments)
{
    struct out out = {.at = at, .room = room};
    enum deferred_result result = render(&out, parsed, format, arguments);
    *used = out.used;
    *work += out.work;
    return result;
}
