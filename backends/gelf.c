/* SPDX-License-Identifier: Apache-2.0 */
#include "gelf.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { JSON_FACTOR = 6, MEMBERS_OWN_MAX = 16 };
enum { MEMBERS_MAX = MEMBERS_OWN_MAX + GELF_EXTRA_MAX + YARDER_FIELDS_MAX };

/* Names that stand in the object: places in its bytes, which move when they grow. */
struct members {
    uint32_t count;
    struct {
        size_t at;
        size_t length;
    } name[MEMBERS_MAX];
};

#define PUT(bytes, words) bytes_put((bytes), (words), sizeof(words) - 1)

static bool is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
}

static char *put_code_point(char *at, const char *from, size_t taken, uint32_t point)
{
    static const char letters[32] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    if (point == 0xFFFD) {
        memcpy(at, "\xEF\xBF\xBD", 3);
        return at + 3;
    }
    if (point >= 0x80) {
        memcpy(at, from, taken);
        return at + taken;
    }
    *at++ = '\\';
    if (point == '"' || point == '\\' || (point < 0x20 && letters[point] != 0)) {
        *at = point < 0x20 ? letters[point] : (char)point;
        return at + 1;
    }
    memcpy(at, "u00", 3);
    at[3] = "0123456789abcdef"[point >> 4];
    at[4] = "0123456789abcdef"[point & 15];
    return at + 5;
}

/* A string with its quotes, by runs of what needs no look: this is where the time goes. */
static void put_string(struct bytes *bytes, struct yarder_text text)
{
    char *begin = bytes_reserve(bytes, 2 + JSON_FACTOR * text.length);
    if (begin == NULL) {
        return;
    }
    char *at = begin;
    *at++ = '"';
    for (size_t i = 0; i < text.length;) {
        if (is_plain((unsigned char)text.at[i])) {
            *at++ = text.at[i++];
            continue;
        }
        size_t taken = 0;
        uint32_t point = bytes_code_point(text.at + i, text.length - i, &taken);
        at = put_code_point(at, text.at + i, taken, point);
        i += taken;
    }
    *at++ = '"';
    bytes->length += (size_t)(at - begin);
}

/* As the caller has made sure, by bytes->lacks, that there is something to look at. */
static bool stands_there(const struct members *members, const struct bytes *bytes, size_t at)
{
    size_t length = bytes->length - at;
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->name[i].length == length &&
            memcmp(bytes->at + members->name[i].at, bytes->at + at, length) == 0) {
            return true;
        }
    }
    return false;
}

static void put_name_bytes(struct bytes *bytes, struct yarder_text name)
{
    char *at = bytes_reserve(bytes, name.length + 1);
    if (at == NULL) {
        return;
    }
    *at++ = '_';
    for (size_t i = 0; i < name.length; i++) {
        unsigned char byte = (unsigned char)name.at[i];
        bool good = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                    (byte >= 'A' && byte <= 'Z') || byte == '.' || byte == '-';
        at[i] = good ? name.at[i] : '_';
    }
    bytes->length += name.length + 1;
    if (name.length == 2 && memcmp(name.at, "id", 2) == 0) {
        PUT(bytes, "_");
    }
}

/* `,"_name":`; false when there is no way to write it only once. */
static bool put_name(struct bytes *bytes, struct members *members, struct yarder_text name)
{
    size_t before = bytes->length;
    assert(members->count < MEMBERS_MAX);
    PUT(bytes, ",\"");
    size_t at = bytes->length;
    put_name_bytes(bytes, name);
    if (!bytes->lacks && stands_there(members, bytes, at)) {
        bytes_put_words(bytes, ".%" PRIu32, members->count + 1);
        if (!bytes->lacks && stands_there(members, bytes, at)) {
            bytes->length = before;
            return false;
        }
    }
    members->name[members->count].at = at;
    members->name[members->count++].length = bytes->length - at;
    PUT(bytes, "\":");
    return true;
}

static void put_text_member(
    struct bytes *bytes, struct members *members, const char *name, struct yarder_text text)
{
    if (text.length > 0 && put_name(bytes, members, text_from(name))) {
        put_string(bytes, text);
    }
}

static void put_number_member(
    struct bytes *bytes, struct members *members, const char *name, uint32_t number)
{
    if (number > 0 && put_name(bytes, members, text_from(name))) {
        bytes_put_words(bytes, "%" PRIu32, number);
    }
}

static void put_value(struct bytes *bytes, const struct yarder_field *field)
{
    double number = 0;
    if (field->type == YARDER_FIELD_TEXT) {
        put_string(bytes, field->value);
        return;
    }
    bool integer = field->type == YARDER_FIELD_INT || field->type == YARDER_FIELD_UINT;
    bool real = field->type == YARDER_FIELD_FLOAT && field->value.length == sizeof(number);
    if (real) {
        memcpy(&number, field->value.at, sizeof(number));
    }
    bool quoted = !integer && !(real && isfinite(number));
    bytes_put(bytes, "\"", quoted);
    bytes_put_value(bytes, field);
    bytes_put(bytes, "\"", quoted);
}

static void put_origin(
    struct bytes *bytes, struct members *members, const struct yarder_record *record)
{
    static const char *const streams[] = {NULL, "stdout", "stderr"};
    static const char *const facilities[] = {"kern", "user", "mail", "daemon", "auth", "syslog",
        "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
        "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"};
    put_text_member(bytes, members, "logger", record->logger);
    put_text_member(bytes, members, "tag", record->tag);
    put_number_member(bytes, members, "pid", record->pid);
    put_number_member(bytes, members, "tid", record->tid);
    if (record->facility < sizeof(facilities) / sizeof(facilities[0])) {
        put_text_member(bytes, members, "facility", text_from(facilities[record->facility]));
    }
    if (record->stream <= YARDER_STREAM_STDERR) {
        put_text_member(bytes, members, "stream", text_from(streams[record->stream]));
    }
    put_text_member(
        bytes, members, "kind", text_from(record->kind == YARDER_KIND_REQUEST ? "request" : NULL));
    put_text_member(bytes, members, "peer", record->peer);
    put_number_member(bytes, members, "lost_before", record->lost_before);
    put_number_member(bytes, members, "truncated", (record->flags & YARDER_FLAG_TRUNCATED) != 0);
}

static void put_additional(
    struct bytes *bytes, const struct gelf_shape *shape, const struct yarder_record *record)
{
    struct members members;
    members.count = 0;
    if (shape->fields) {
        put_origin(bytes, &members, record);
    }
    assert(members.count <= MEMBERS_OWN_MAX && shape->extra.count <= GELF_EXTRA_MAX);
    for (uint32_t i = 0; i < shape->extra.count; i++) {
        const char *name = shape->extra.at[i];
        size_t length = strcspn(name, "=");
        if (put_name(bytes, &members, (struct yarder_text){name, length})) {
            put_string(bytes, text_from(name + length + 1));
        }
    }
    for (uint32_t i = 0; shape->fields && i < record->fields_count; i++) {
        if (put_name(bytes, &members, record->fields[i].key)) {
            put_value(bytes, &record->fields[i]);
        }
    }
}

static bool is_blank(struct yarder_text text)
{
    size_t i = 0;
    while (i < text.length && (unsigned char)text.at[i] <= ' ') {
        i++;
    }
    return i == text.length;
}

/* The first line, or what fits of it; no character is cut. */
static struct yarder_text shorten(struct yarder_text text, uint64_t limit, bool one_line)
{
    const char *newline = one_line && text.length > 0 ? memchr(text.at, '\n', text.length) : NULL;
    size_t length = newline != NULL ? (size_t)(newline - text.at) : text.length;
    if (newline != NULL && length > 0 && text.at[length - 1] == '\r') {
        length--;
    }
    if (length > limit) {
        length = limit;
        while (
            length > 0 && limit - length < 3 && ((unsigned char)text.at[length] & 0xC0) == 0x80) {
            length--;
        }
    }
    return (struct yarder_text){text.at, length};
}

static void put_messages(
    struct bytes *bytes, const struct gelf_shape *shape, struct yarder_text message)
{
    bool old = shape->facility != NULL;
    struct yarder_text first = shorten(message, shape->short_bytes, !old);
    bool blank = is_blank(first);
    PUT(bytes, ",\"short_message\":");
    put_string(bytes, blank ? text_from("-") : first);
    if (old || first.length < message.length || (blank && message.length > 0)) {
        PUT(bytes, ",\"full_message\":");
        put_string(bytes, message);
    }
}

static void put_time(struct bytes *bytes, int64_t time_ns)
{
    uint64_t magnitude = time_ns < 0 ? 0 - (uint64_t)time_ns : (uint64_t)time_ns;
    char digits[48];
    int length = snprintf(digits, sizeof(digits), ",\"timestamp\":%s%" PRIu64 ".%06" PRIu64,
        time_ns < 0 ? "-" : "", magnitude / 1000000000, magnitude % 1000000000 / 1000);
    bytes_put(bytes, digits, (size_t)length);
}

void gelf_put(struct bytes *bytes, const struct gelf_shape *shape,
    const struct yarder_record *record, struct yarder_text message)
{
    bool old = shape->facility != NULL;
    struct yarder_text host = is_blank(record->host) ? text_from(shape->host) : record->host;
    bytes_put_word(
        bytes, old ? "{\"version\":\"1.0\",\"host\":" : "{\"version\":\"1.1\",\"host\":");
    put_string(bytes, is_blank(host) ? text_from("localhost") : host);
    put_messages(bytes, shape, message);
    put_time(bytes, record->time_ns);
    PUT(bytes, ",\"level\":");
    bool unstated = old && record->level == YARDER_LEVEL_NOTSET;
    bytes_put_char(bytes, (char)('0' + (unstated ? 5 : level_severity(record->level))));
    if (old) {
        PUT(bytes, ",\"facility\":");
        put_string(bytes, text_from(shape->facility));
    } else {
        put_additional(bytes, shape, record);
    }
    PUT(bytes, "}");
}

bool gelf_is_extra(const char *text)
{
    size_t length =
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
    return length > 0 && text[length] == '=' && (length != 2 || memcmp(text, "id", 2) != 0);
}
