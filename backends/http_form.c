/* SPDX-License-Identifier: Apache-2.0 */
#include "http_form.h"

#include <inttypes.h>
#include <stdio.h>

enum { NAMES_MAX = 20, NUMBER_BYTES = 48, NS_IN_MS = 1000000 };
static const int64_t ns_in_second = 1000000000;

/* In Python's order. Those that a record has no member for are fields of the same name. */
enum attribute_source { SOURCE_FIELD, SOURCE_RECORD };
static const struct {
    const char *name;
    enum attribute_source source;
    const char *otherwise; /* what Python's str() says of an attribute that was not given */
} attributes[NAMES_MAX] = {
    {"name", SOURCE_RECORD, "root"},
    {"msg", SOURCE_RECORD, ""},
    {"args", SOURCE_RECORD, "None"}, /* merged into msg */
    {"levelname", SOURCE_RECORD, ""},
    {"levelno", SOURCE_RECORD, ""},
    {"pathname", SOURCE_FIELD, ""},
    {"filename", SOURCE_FIELD, ""},
    {"module", SOURCE_FIELD, ""},
    {"exc_info", SOURCE_RECORD, "None"},
    {"exc_text", SOURCE_FIELD, "None"},
    {"stack_info", SOURCE_FIELD, "None"},
    {"lineno", SOURCE_FIELD, "0"},
    {"funcName", SOURCE_FIELD, "None"},
    {"created", SOURCE_RECORD, ""},
    {"msecs", SOURCE_RECORD, ""},
    {"relativeCreated", SOURCE_FIELD, "0.0"},
    {"thread", SOURCE_RECORD, ""},
    {"threadName", SOURCE_FIELD, "None"},
    {"processName", SOURCE_FIELD, "None"},
    {"process", SOURCE_RECORD, ""},
};

/* quote_plus of Python */
static void put_quoted(struct bytes *bytes, struct yarder_text text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.length; i++) {
        uint8_t c = (uint8_t)text.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '.' || c == '-' || c == '~';
        if (plain || c == ' ') {
            bytes_put_char(bytes, plain ? (char)c : '+');
        } else {
            const char escaped[3] = {'%', digits[c >> 4], digits[c & 15]};
            bytes_put(bytes, escaped, sizeof(escaped));
        }
    }
}

static void put_pair(
    struct bytes *bytes, size_t begin, struct yarder_text name, struct yarder_text value)
{
    if (bytes->length > begin) {
        bytes_put_char(bytes, '&');
    }
    put_quoted(bytes, name);
    bytes_put_char(bytes, '=');
    put_quoted(bytes, value);
}

static const char *level_word(uint8_t level, char at[NUMBER_BYTES])
{
    switch (level) {
    case YARDER_LEVEL_NOTSET:
        return "NOTSET";
    case YARDER_LEVEL_DEBUG:
        return "DEBUG";
    case YARDER_LEVEL_INFO:
        return "INFO";
    case YARDER_LEVEL_WARNING:
        return "WARNING";
    case YARDER_LEVEL_ERROR:
        return "ERROR";
    case YARDER_LEVEL_CRITICAL:
        return "CRITICAL";
    default:
        (void)snprintf(at, NUMBER_BYTES, "Level %u", level);
        return at;
    }
}

/* An attribute that is a member of the record, in `at` or where it lies. */
static struct yarder_text member(
    const struct yarder_record *record, size_t which, char at[NUMBER_BYTES])
{
    const char *name = attributes[which].name;
    int64_t rest_ns = record->time_ns % ns_in_second;
    if (strcmp(name, "name") == 0 && record->logger.length > 0) {
        return record->logger;
    }
    if (strcmp(name, "msg") == 0) {
        return record->text;
    }
    if (strcmp(name, "levelname") == 0) {
        return text_from(level_word(record->level, at));
    }
    if (strcmp(name, "levelno") == 0) {
        (void)snprintf(at, NUMBER_BYTES, "%u", record->level);
    } else if (strcmp(name, "created") == 0) {
        (void)snprintf(at, NUMBER_BYTES, "%" PRId64 ".%06" PRId64, record->time_ns / ns_in_second,
            (rest_ns < 0 ? -rest_ns : rest_ns) / 1000);
    } else if (strcmp(name, "msecs") == 0) {
        (void)snprintf(at, NUMBER_BYTES, "%" PRId64 ".0", rest_ns / NS_IN_MS);
    } else if (strcmp(name, "thread") == 0) {
        (void)snprintf(at, NUMBER_BYTES, "%" PRIu32, record->tid);
    } else if (strcmp(name, "process") == 0) {
        (void)snprintf(at, NUMBER_BYTES, "%" PRIu32, record->pid);
    } else {
        return text_from(attributes[which].otherwise);
    }
    return text_from(at);
}

static bool is_named(struct yarder_text key, const char *name)
{
    return key.length == strlen(name) && memcmp(key.at, name, key.length) == 0;
}

/* A field's value as text: its own bytes, or put into `scratch`. */
static struct yarder_text value_of(const struct yarder_field *field, struct bytes *scratch)
{
    if (field->type == YARDER_FIELD_TEXT) {
        return field->value;
    }
    bytes_clear(scratch);
    bytes_put_value(scratch, field);
    if (field->type == YARDER_FIELD_BOOL && scratch->length > 0) {
        scratch->at[0] = (char)(scratch->at[0] - 'a' + 'A'); /* str() of Python: True */
    }
    return (struct yarder_text){scratch->at, scratch->length};
}

void http_put_form(struct bytes *bytes, const struct yarder_record *record)
{
    size_t begin = bytes->length;
    bool used[YARDER_FIELDS_MAX] = {false};
    struct bytes scratch = {0};
    char number[NUMBER_BYTES];
    uint32_t fields =
        record->fields_count < YARDER_FIELDS_MAX ? record->fields_count : YARDER_FIELDS_MAX;
    for (size_t i = 0; i < NAMES_MAX; i++) {
        struct yarder_text value = text_from(attributes[i].otherwise);
        if (attributes[i].source == SOURCE_RECORD) {
            value = member(record, i, number);
        }
        for (uint32_t k = 0; k < fields; k++) {
            if (!used[k] && is_named(record->fields[k].key, attributes[i].name)) {
                used[k] = true; /* one that would stand beside a member of that name is left out */
                if (attributes[i].source == SOURCE_FIELD) {
                    value = value_of(&record->fields[k], &scratch);
                }
                break;
            }
        }
        put_pair(bytes, begin, text_from(attributes[i].name), value);
    }
    for (uint32_t k = 0; k < fields; k++) {
        if (!used[k]) {
            put_pair(bytes, begin, record->fields[k].key, value_of(&record->fields[k], &scratch));
        }
    }
    bytes->lacks = bytes->lacks || scratch.lacks;
    bytes_free(&scratch);
}
