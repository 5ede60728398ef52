/* SPDX-License-Identifier: Apache-2.0 */
#include "bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FIRST_BYTES = 4096, REPLACEMENT = 0xFFFD, FLOAT_DIGITS_MAX = 17 };

char *bytes_reserve(struct bytes *bytes, size_t more)
{
    if (bytes->lacks || more > SIZE_MAX / 4 - bytes->length) {
        bytes->lacks = true;
        return NULL;
    }
    if (bytes->length + more > bytes->room) {
        size_t room = bytes->room < FIRST_BYTES ? FIRST_BYTES : bytes->room;
        while (room < bytes->length + more) {
            room *= 2;
        }
        char *grown = realloc(bytes->at, room);
        if (grown == NULL) {
            bytes->lacks = true;
            return NULL;
        }
        bytes->at = grown;
        bytes->room = room;
    }
    return bytes->at + bytes->length;
}

void bytes_free(struct bytes *bytes)
{
    free(bytes->at);
    *bytes = (struct bytes){0};
}

void bytes_put(struct bytes *bytes, const void *from, size_t length)
{
    char *at = length == 0 ? NULL : bytes_reserve(bytes, length);
    if (at != NULL) {
        memcpy(at, from, length);
        bytes->length += length;
    }
}

void bytes_put_words(struct bytes *bytes, const char *format, ...)
{
    char words[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    if (length > 0) {
        size_t whole = (size_t)length;
        bytes_put(bytes, words, whole < sizeof(words) ? whole : sizeof(words) - 1);
    }
}

static void put_float(struct bytes *bytes, double value)
{
    char digits[32];
    for (int precision = 15; precision <= FLOAT_DIGITS_MAX; precision++) {
        (void)snprintf(digits, sizeof(digits), "%.*g", precision, value);
        if (strtod(digits, NULL) >= value && strtod(digits, NULL) <= value) {
            break;
        }
    }
    bytes_put_word(bytes, digits);
}

void bytes_put_value(struct bytes *bytes, const struct yarder_field *field)
{
    union {
        int64_t integer;
        uint64_t natural;
        double real;
        uint8_t truth;
    } raw = {0};
    size_t length = field->value.length < sizeof(raw) ? field->value.length : sizeof(raw);
    if (field->type != YARDER_FIELD_TEXT && length > 0) {
        memcpy(&raw, field->value.at, length);
    }
    switch (field->type) {
    case YARDER_FIELD_INT:
        bytes_put_words(bytes, "%" PRId64, raw.integer);
        break;
    case YARDER_FIELD_UINT:
        bytes_put_words(bytes, "%" PRIu64, raw.natural);
        break;
    case YARDER_FIELD_FLOAT:
        put_float(bytes, raw.real);
        break;
    case YARDER_FIELD_BOOL:
        bytes_put_word(bytes, raw.truth != 0 ? "true" : "false");
        break;
    case YARDER_FIELD_TEXT:
        bytes_put_text(bytes, field->value);
        break;
    }
}

uint32_t bytes_code_point(const char *at, size_t left, size_t *taken)
{
    static const uint32_t lowest[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = (uint8_t)at[0];
    *taken = 1;
    if (first < 0x80) {
        return first;
    }
    size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || length > left) {
        return REPLACEMENT;
    }
    uint32_t point = first & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        uint8_t next = (uint8_t)at[i];
        if ((next & 0xC0) != 0x80) {
            return REPLACEMENT;
        }
        point = point << 6 | (next & 0x3F);
    }
    if (point < lowest[length] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) {
        return REPLACEMENT;
    }
    *taken = length;
    return point;
}

void bytes_put_code_point(struct bytes *bytes, uint32_t point)
{
    if (point < 0x80) {
        bytes_put_char(bytes, (char)point);
        return;
    }
    if (point >= 0x10000) {
        bytes_put_char(bytes, (char)(0xF0 | point >> 18));
        bytes_put_char(bytes, (char)(0x80 | (point >> 12 & 0x3F)));
    } else if (point >= 0x800) {
        bytes_put_char(bytes, (char)(0xE0 | point >> 12));
    }
    if (point >= 0x800) {
        bytes_put_char(bytes, (char)(0x80 | (point >> 6 & 0x3F)));
    } else {
        bytes_put_char(bytes, (char)(0xC0 | point >> 6));
    }
    bytes_put_char(bytes, (char)(0x80 | (point & 0x3F)));
}

/* How many bytes from `at` on stand for themselves in JSON, as nearly all do. */
static size_t plain_bytes(const char *at, size_t left)
{
    size_t length = 0;
    while (length < left && at[length] >= ' ' && at[length] < 0x7F && at[length] != '"' &&
           at[length] != '\\') {
        length++;
    }
    return length;
}

void bytes_put_json(struct bytes *bytes, struct yarder_text text)
{
    bytes_put_char(bytes, '"');
    for (size_t i = 0, taken; i < text.length; i += taken) {
        taken = plain_bytes(text.at + i, text.length - i);
        if (taken > 0) {
            bytes_put(bytes, text.at + i, taken);
            continue;
        }
        uint32_t point = bytes_code_point(text.at + i, text.length - i, &taken);
        if (point == '"' || point == '\\') {
            bytes_put_char(bytes, '\\');
            bytes_put_char(bytes, (char)point);
        } else if (point == '\n') {
            bytes_put_word(bytes, "\\n");
        } else if (point < 0x20 || point == 0x7F) {
            bytes_put_words(bytes, "\\u%04x", (unsigned)point);
        } else {
            bytes_put_code_point(bytes, point);
        }
    }
    bytes_put_char(bytes, '"');
}

unsigned level_severity(uint8_t level)
{
    static const struct {
        uint8_t lowest;
        uint8_t severity;
    } steps[] = {{YARDER_LEVEL_EMERG, 0}, {YARDER_LEVEL_ALERT, 1}, {YARDER_LEVEL_CRITICAL, 2},
        {YARDER_LEVEL_ERROR, 3}, {YARDER_LEVEL_WARNING, 4}, {YARDER_LEVEL_NOTICE, 5},
        {YARDER_LEVEL_INFO, 6}, {1, 7}};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (level >= steps[i].lowest) {
            return steps[i].severity;
        }
    }
    return 6;
}

uint64_t monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
