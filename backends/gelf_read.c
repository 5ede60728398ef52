/* SPDX-License-Identifier: Apache-2.0 */
#include "gelf_read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES_MAX = 64, DEPTH_MAX = 64, SEVERITIES = 8 };
static const int64_t second_ns = INT64_C(1000000000);

struct reader {
    char *at;
    char *end;
};

/* Any value: its text (decoded, or as it stands), and what it is. */
enum value_kind { VALUE_TEXT, VALUE_NUMBER, VALUE_TRUTH, VALUE_NULL, VALUE_NESTED };
struct value {
    enum value_kind kind;
    struct yarder_text text;
};

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end && (unsigned char)*reader->at <= ' ') {
        reader->at++;
    }
}

static bool take_byte(struct reader *reader, char byte)
{
    skip_blanks(reader);
    bool there = reader->at < reader->end && *reader->at == byte;
    reader->at += there;
    return there;
}

static int digit_of(char byte)
{
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
           : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                        : -1;
}

/* The four digits behind \u; false: they are none, and nothing is taken. */
static bool take_unit(struct reader *reader, uint32_t *unit)
{
    uint32_t value = 0;
    if (reader->end - reader->at < 4) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        int digit = digit_of(reader->at[i]);
        if (digit < 0) {
            return false;
        }
        value = value << 4 | (uint32_t)digit;
    }
    reader->at += 4;
    *unit = value;
    return true;
}

static char *put_point(char *to, uint32_t point)
{
    if (point < 0x80) {
        *to++ = (char)point;
        return to;
    }
    int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint8_t heads[] = {0, 0xC0, 0xE0, 0xF0};
    *to++ = (char)(heads[more] | point >> (6 * more));
    for (int i = more - 1; i >= 0; i--) {
        *to++ = (char)(0x80 | (point >> (6 * i) & 0x3F));
    }
    return to;
}

/* Behind "\u": a point, perhaps of two halves; half of one is U+FFFD. */
static char *take_point(struct reader *reader, char *to)
{
    uint32_t unit = 0;
    if (!take_unit(reader, &unit)) {
        *to++ = '\\';
        *to++ = 'u';
        return to;
    }
    bool high = unit >= 0xD800 && unit < 0xDC00;
    struct reader rest = *reader;
    uint32_t low = 0;
    if (high && rest.end - rest.at >= 6 && rest.at[0] == '\\' && rest.at[1] == 'u') {
        rest.at += 2;
        high = take_unit(&rest, &low) && low >= 0xDC00 && low < 0xE000;
        if (high) {
            *reader = rest;
            return put_point(to, 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
        }
    }
    return put_point(to, unit >= 0xD800 && unit < 0xE000 ? 0xFFFD : unit);
}

/* Behind its first quote; what it holds is written over it, which never is longer. */
static bool take_string(struct reader *reader, struct yarder_text *text)
{
    char *to = reader->at;
    text->at = to;
    while (reader->at < reader->end && *reader->at != '"') {
        char byte = *reader->at++;
        if (byte != '\\' || reader->at == reader->end) {
            *to++ = byte;
            continue;
        }
        static const char letters[] = "b\bf\fn\nr\rt\t";
        byte = *reader->at++;
        const char *letter = byte != '\0' ? strchr(letters, byte) : NULL;
        if (byte == 'u') {
            to = take_point(reader, to);
        } else {
            *to++ = letter != NULL && (letter - letters) % 2 == 0 ? letter[1] : byte;
        }
    }
    text->length = (size_t)(to - text->at);
    bool whole = reader->at < reader->end;
    reader->at += whole;
    return whole;
}

/* An array or object, up to its end; texts in it are passed over as they stand. */
static bool take_nested(struct reader *reader, struct yarder_text *text)
{
    const char *from = reader->at;
    int depth = 0;
    bool quoted = false;
    while (reader->at < reader->end) {
        char byte = *reader->at++;
        if (quoted) {
            reader->at += byte == '\\' && reader->at < reader->end;
            quoted = byte != '"';
            continue;
        }
        quoted = byte == '"';
        depth += byte == '{' || byte == '[';
        depth -= byte == '}' || byte == ']';
        if (depth > DEPTH_MAX) {
            return false;
        }
        if (depth == 0) {
            *text = (struct yarder_text){from, (size_t)(reader->at - from)};
            return true;
        }
    }
    return false;
}

static bool is_word(struct yarder_text text, const char *word)
{
    return text.length == strlen(word) && memcmp(text.at, word, text.length) == 0;
}

static bool take_plain(struct reader *reader, struct value *value)
{
    static const char bytes[] = "+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    value->text.at = reader->at;
    while (reader->at < reader->end && *reader->at != '\0' && strchr(bytes, *reader->at) != NULL) {
        reader->at++;
    }
    value->text.length = (size_t)(reader->at - value->text.at);
    bool truth = is_word(value->text, "true") || is_word(value->text, "false");
    value->kind = truth ? VALUE_TRUTH : is_word(value->text, "null") ? VALUE_NULL : VALUE_NUMBER;
    return value->text.length > 0;
}

static bool take_value(struct reader *reader, struct value *value)
{
    skip_blanks(reader);
    char first = reader->at < reader->end ? *reader->at : '\0';
    if (first == '"') {
        reader->at++;
        value->kind = VALUE_TEXT;
        return take_string(reader, &value->text);
    }
    if (first == '{' || first == '[') {
        value->kind = VALUE_NESTED;
        return take_nested(reader, &value->text);
    }
    return take_plain(reader, value);
}

static bool number_of(struct yarder_text text, double *real)
{
    char copy[NUMBER_BYTES_MAX];
    char *end = NULL;
    if (text.length == 0 || text.length >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.at, text.length);
    copy[text.length] = '\0';
    *real = strtod(copy, &end);
    return *end == '\0' && isfinite(*real);
}

static bool whole_of(struct yarder_text text, int64_t *whole)
{
    bool minus = text.length > 0 && text.at[0] == '-';
    int64_t value = 0;
    for (size_t i = minus; i < text.length; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, text.at[i] - '0', &value)) {
            return false;
        }
    }
    if (text.length == (size_t)minus || (!minus && value == INT64_MIN)) {
        return false;
    }
    *whole = minus ? value : -value;
    return true;
}

/* Seconds with a fraction, to the nanosecond: a double would lose the last of them. */
static int64_t time_of(struct yarder_text text)
{
    int64_t seconds = 0;
    double real = 0;
    const char *point = text.length > 0 ? memchr(text.at, '.', text.length) : NULL;
    size_t whole_length = point != NULL ? (size_t)(point - text.at) : text.length;
    if (!whole_of((struct yarder_text){text.at, whole_length}, &seconds)) {
        bool good = number_of(text, &real) && real > 0 && real < 9e9;
        return good ? (int64_t)(real * 1e9) : 0;
    }
    int64_t part = 0;
    int64_t unit = second_ns;
    for (size_t i = whole_length + 1; i < text.length && unit > 1; i++) {
        if (text.at[i] < '0' || text.at[i] > '9') {
            return 0;
        }
        unit /= 10;
        part += (text.at[i] - '0') * unit;
    }
    bool good = seconds > 0 && seconds < INT64_MAX / second_ns - 1;
    return good ? seconds * second_ns + part : 0;
}

static uint8_t level_of(struct yarder_text text)
{
    static const uint8_t levels[SEVERITIES] = {YARDER_LEVEL_EMERG, YARDER_LEVEL_ALERT,
        YARDER_LEVEL_CRITICAL, YARDER_LEVEL_ERROR, YARDER_LEVEL_WARNING, YARDER_LEVEL_NOTICE,
        YARDER_LEVEL_INFO, YARDER_LEVEL_DEBUG};
    bool good = text.length == 1 && text.at[0] >= '0' && text.at[0] < '0' + SEVERITIES;
    return good ? levels[text.at[0] - '0'] : YARDER_LEVEL_NOTSET;
}

static void put_field(struct gelf_message *out, struct yarder_text key, const struct value *value)
{
    uint32_t i = out->record.fields_count;
    if (i == YARDER_FIELDS_MAX) {
        out->record.flags |= YARDER_FLAG_TRUNCATED;
        return;
    }
    struct yarder_field *field = &out->fields[i];
    *field = (struct yarder_field){.key = key, .value = value->text, .type = YARDER_FIELD_TEXT};
    if (value->kind == VALUE_TRUTH) {
        out->numbers[i].truth = value->text.length == strlen("true");
        field->type = YARDER_FIELD_BOOL;
        field->value = (struct yarder_text){(const char *)&out->numbers[i], 1};
    } else if (value->kind == VALUE_NUMBER && whole_of(value->text, &out->numbers[i].whole)) {
        field->type = YARDER_FIELD_INT;
        field->value = (struct yarder_text){(const char *)&out->numbers[i], sizeof(int64_t)};
    } else if (value->kind == VALUE_NUMBER && number_of(value->text, &out->numbers[i].real)) {
        field->type = YARDER_FIELD_FLOAT;
        field->value = (struct yarder_text){(const char *)&out->numbers[i], sizeof(double)};
    }
    out->record.fields_count++;
}

static bool is_id(struct yarder_text text, uint32_t *id)
{
    int64_t whole = 0;
    bool good = whole_of(text, &whole) && whole > 0 && whole <= UINT32_MAX;
    *id = good ? (uint32_t)whole : *id;
    return good;
}

/* Members that are the record's own; false: it is a field. */
static bool put_own(struct gelf_message *out, struct yarder_text key, const struct value *value)
{
    struct yarder_record *record = &out->record;
    if (is_word(key, "host") && record->host.length == 0) {
        record->host = value->text;
    } else if (is_word(key, "timestamp")) {
        record->time_ns = time_of(value->text);
    } else if (is_word(key, "level")) {
        record->level = level_of(value->text);
    } else if (is_word(key, "_logger") && record->logger.length == 0) {
        record->logger = value->text;
    } else if (is_word(key, "_tag") && record->tag.length == 0) {
        record->tag = value->text;
    } else if (is_word(key, "_pid")) {
        return is_id(value->text, &record->pid);
    } else if (is_word(key, "_tid")) {
        return is_id(value->text, &record->tid);
    } else {
        return is_word(key, "version");
    }
    return true;
}

/* The full one, unless the short one says something else. 0 or -ENOMEM. */
static int set_text(
    struct gelf_message *out, struct yarder_text short_text, struct yarder_text full_text)
{
    bool begins =
        full_text.length >= short_text.length &&
        (short_text.length == 0 || memcmp(full_text.at, short_text.at, short_text.length) == 0);
    if (full_text.length == 0 || begins) {
        out->record.text = full_text.length == 0 ? short_text : full_text;
        return 0;
    }
    bytes_clear(&out->joined);
    bytes_put_text(&out->joined, short_text);
    bytes_put_char(&out->joined, '\n');
    bytes_put_text(&out->joined, full_text);
    out->record.text = (struct yarder_text){out->joined.at, out->joined.length};
    return out->joined.lacks ? -ENOMEM : 0;
}

/* `"name": value`; false: it is none. */
static bool take_member(struct reader *reader, struct yarder_text *key, struct value *value)
{
    return take_byte(reader, '"') && take_string(reader, key) && take_byte(reader, ':') &&
           take_value(reader, value);
}

int gelf_read(char *at, size_t length, struct gelf_message *out)
{
    struct reader reader = {at, at + length};
    struct yarder_text short_text = {0};
    struct yarder_text full_text = {0};
    bool more = take_byte(&reader, '{');
    bool object = more;
    out->record = (struct yarder_record){
        .fields = out->fields, .facility = YARDER_FACILITY_NONE, .flags = YARDER_FLAG_NETWORK};
    while (more && !take_byte(&reader, '}')) {
        struct yarder_text key;
        struct value value = {0};
        if (!take_member(&reader, &key, &value)) {
            return -EBADMSG;
        }
        if (is_word(key, "short_message")) {
            short_text = value.text;
        } else if (is_word(key, "full_message")) {
            full_text = value.text;
        } else if (value.kind != VALUE_NULL && !put_own(out, key, &value)) {
            size_t cut = key.length > 0 && key.at[0] == '_';
            put_field(out, (struct yarder_text){key.at + cut, key.length - cut}, &value);
        }
        more = take_byte(&reader, ',') || (reader.at < reader.end && *reader.at == '}');
        object = more;
    }
    if (!object || (short_text.at == NULL && full_text.at == NULL)) {
        return -EBADMSG;
    }
    return set_text(out, short_text, full_text);
}
