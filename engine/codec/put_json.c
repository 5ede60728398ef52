/* SPDX-License-Identifier: Apache-2.0 */
/* JSON, always valid: texts in UTF-8 and escaped, no key twice in an object. */
#include "codec/put.h"

#include <math.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/text.h"

size_t put_utf8_length(const char *at, size_t room)
{
    const unsigned char *byte = (const unsigned char *)at;
    if (byte[0] < 0x80) {
        return 1;
    }
    if (byte[0] < 0xC2 || byte[0] > 0xF4) {
        return 0;
    }
    size_t length = byte[0] < 0xE0 ? 2 : byte[0] < 0xF0 ? 3 : 4;
    if (room < length) {
        return 0;
    }
    /* The second byte's range shuts out overlong forms, surrogates, and what is past U+10FFFF. */
    unsigned lowest = byte[0] == 0xE0 ? 0xA0 : byte[0] == 0xF0 ? 0x90 : 0x80;
    unsigned highest = byte[0] == 0xED ? 0x9F : byte[0] == 0xF4 ? 0x8F : 0xBF;
    if (byte[1] < lowest || byte[1] > highest) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((byte[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return length;
}

/* One special byte or character at `from`; returns how far it went there. */
static size_t put_json_special(char **at, const char *from, const char *end)
{
    unsigned char byte = (unsigned char)*from;
    char *to = *at;
    if (byte >= 0x80) {
        size_t length = put_utf8_length(from, (size_t)(end - from));
        *at = length > 0 ? put_bytes(to, from, length) : put_bytes(to, "\xEF\xBF\xBD", 3);
        return length > 0 ? length : 1;
    }
    if (byte == '"' || byte == '\\') {
        to[0] = '\\';
        to[1] = (char)byte;
        *at = to + 2;
        return 1;
    }
    if (byte >= ' ') {
        *to = (char)byte; /* only when the text changed under our eyes */
        *at = to + 1;
        return 1;
    }
    static const char letters[32] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    if (letters[byte] != 0) {
        to[0] = '\\';
        to[1] = letters[byte];
        *at = to + 2;
        return 1;
    }
    to = put_bytes(to, "\\u00", 4);
    to[0] = byte < 16 ? '0' : '1';
    to[1] = "0123456789abcdef"[byte & 15];
    *at = to + 2;
    return 1;
}

static bool is_json_special(char byte)
{
    unsigned char value = (unsigned char)byte;
    return value < ' ' || value >= 0x80 || value == '"' || value == '\\';
}

#ifdef __SSE2__
/* Copies 16 bytes and says which of them are special. */
static uint32_t copy_and_test(char *at, const char *from)
{
    __m128i bytes = _mm_loadu_si128((const __m128i_u *)from);
    _mm_storeu_si128((__m128i_u *)at, bytes);
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(31)), bytes);
    __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    __m128i slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    __m128i special = _mm_or_si128(_mm_or_si128(control, bytes), _mm_or_si128(quote, slash));
    return (uint32_t)_mm_movemask_epi8(special); /* the sign bit of `bytes` itself: not ASCII */
}
#endif

char *put_json_text(char *at, struct yarder_text text)
{
    if (text.length == 0) {
        return at;
    }
    const char *from = text.at;
    const char *end = text.at + text.length;
    while (from < end) {
#ifdef __SSE2__
        if (end - from >= 16) {
            uint32_t mask = copy_and_test(at, from);
            size_t plain = mask == 0 ? 16 : (size_t)__builtin_ctz(mask);
            at += plain;
            from += plain;
            if (mask == 0) {
                continue;
            }
        }
#endif
        while (from < end && is_json_special(*from)) {
            from += put_json_special(&at, from, end);
        }
        while (from < end && end - from < 16 && !is_json_special(*from)) {
            *at++ = *from++;
        }
#ifndef __SSE2__
        while (from < end && !is_json_special(*from)) {
            *at++ = *from++;
        }
#endif
    }
    return at;
}

static bool is_float(const struct yarder_field *field, double *number)
{
    if (field->type != YARDER_FIELD_FLOAT || field->value.length != sizeof(*number)) {
        return false;
    }
    memcpy(number, field->value.at, sizeof(*number));
    return true;
}

char *put_json_value(char *at, const struct yarder_field *field)
{
    double number = 0;
    if (field->type == YARDER_FIELD_TEXT) {
        *at = '"';
        at = put_json_text(at + 1, field->value);
        *at = '"';
        return at + 1;
    }
    if (is_float(field, &number) && !isfinite(number)) {
        const char *word = isnan(number) ? "\"nan\"" : number < 0 ? "\"-inf\"" : "\"inf\"";
        return put_bytes(at, word, strlen(word)); /* JSON has no such numbers */
    }
    char *end = put_number(at, field);
    return end == at ? put_bytes(at, "null", 4) : end;
}

enum { KEY_NUMBER_BYTES = 3 }; /* ".64" */

/* The keys of an object as they stand in it. */
struct json_keys {
    uint32_t count;
    struct yarder_text at[YARDER_FIELDS_MAX];
};

static bool has_key(const struct json_keys *keys, struct yarder_text key)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        if (text_equal(keys->at[i], key)) {
            return true;
        }
    }
    return false;
}

/*
 * The key of field `number` (from 1). One that stands there already gets the number behind it;
 * NULL: that stands there, too.
 */
static char *put_json_key(
    char *at, struct json_keys *keys, struct yarder_text text, uint32_t number)
{
    char *end = put_json_text(at, text);
    if (YARDER_UNLIKELY(has_key(keys, (struct yarder_text){at, (size_t)(end - at)}))) {
        *end = '.';
        end = put_unsigned(end + 1, number);
        if (has_key(keys, (struct yarder_text){at, (size_t)(end - at)})) {
            return NULL;
        }
    }
    keys->at[keys->count++] = (struct yarder_text){at, (size_t)(end - at)};
    return end;
}

char *put_json_fields(char *at, const struct yarder_record *record)
{
    YARDER_ASSERT(record->fields_count <= YARDER_FIELDS_MAX);
    struct json_keys keys;
    keys.count = 0;
    *at++ = '{';
    for (uint32_t i = 0; i < record->fields_count; i++) {
        char *key = at + (keys.count > 0) + 1;
        char *end = put_json_key(key, &keys, record->fields[i].key, i + 1);
        if (end == NULL) {
            continue;
        }
        if (keys.count > 1) {
            *at = ',';
        }
        key[-1] = '"';
        end[0] = '"';
        end[1] = ':';
        at = put_json_value(end + 2, &record->fields[i]);
    }
    *at++ = '}';
    return at;
}

size_t put_json_fields_bound(const struct yarder_record *record)
{
    size_t bound = 2;
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        bound += 4 + KEY_NUMBER_BYTES + PUT_JSON_FACTOR * field->key.length;
        bound += field->type == YARDER_FIELD_TEXT ? 2 + PUT_JSON_FACTOR * field->value.length
                                                  : PUT_NUMBER_BYTES_MAX;
    }
    return bound;
}
