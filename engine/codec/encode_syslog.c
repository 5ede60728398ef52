/* SPDX-License-Identifier: Apache-2.0 */
/* The presets syslog (RFC 3164) and rfc5424. */
#include "base/text.h"
#include "codec/encode_private.h"
#include "codec/level_word.h"
#include "codec/syslog.h"

enum {
    HEADER_BYTES_MAX = 1024, /* priority, time and the words below, which are cut to these */
    HOST_BYTES_MAX = 255,
    APP_BYTES_MAX = 48,
    PROCESS_BYTES_MAX = 128,
    MESSAGE_ID_BYTES_MAX = 32,
    FACILITY_USER = 1,
};

size_t encode_syslog_bound(
    const struct encoder *encoder, const struct yarder_record *record, enum put_policy policy)
{
    /* The end of line and, for a field in an element of its own: [ID KEY="VALUE"] */
    const size_t frame_bytes = sizeof(SYSLOG_OWN_ID) + 8;
    size_t value_factor = yarder_max(put_lines_bound(1, policy), 2);
    size_t bound = HEADER_BYTES_MAX + put_lines_bound(record->text.length, policy) + 1;
    if (encoder->preset == ENCODE_RFC5424) {
        for (uint32_t i = 0; i < record->fields_count; i++) {
            const struct yarder_field *field = &record->fields[i];
            bound += frame_bytes + field->key.length;
            bound += field->type == YARDER_FIELD_TEXT ? value_factor * field->value.length
                                                      : PUT_NUMBER_BYTES_MAX;
        }
    }
    return bound + PUT_SLACK_BYTES;
}

/* A word of the header: printable ASCII but `not_these`, others as '_'; nothing as '-'. */
static char *put_word(char *at, struct yarder_text word, size_t bytes_max, const char *not_these)
{
    size_t length = yarder_min(word.length, bytes_max);
    for (size_t i = 0; i < length; i++) {
        char byte = word.at[i];
        bool good = byte > ' ' && byte < 127 && strchr(not_these, byte) == NULL;
        at[i] = good ? byte : '_';
    }
    if (length == 0) {
        at[length++] = '-';
    }
    return at + length;
}

static char *put_priority(char *at, const struct yarder_record *record)
{
    unsigned facility = record->facility < 24 ? record->facility : FACILITY_USER;
    *at = '<';
    at = put_unsigned(at + 1, facility * 8 + level_word_severity(record->level));
    *at = '>';
    return at + 1;
}

static struct yarder_text name_of(const struct yarder_record *record)
{
    return record->tag.length > 0 ? record->tag : record->logger;
}

char *encode_syslog(
    struct encoder *encoder, const struct yarder_record *record, enum put_policy policy, char *at)
{
    at = put_priority(at, record);
    calendar_refresh(&encoder->clock, &encoder->zone, calendar_second(record->time_ns));
    at = put_padded(at, encoder->clock.text, encoder->clock.length);
    *at++ = ' ';
    at = put_word(at, encode_host(encoder, record), HOST_BYTES_MAX, "");
    *at++ = ' ';
    at = put_word(at, name_of(record), APP_BYTES_MAX, ":[]");
    if (record->pid != 0) {
        *at = '[';
        at = put_unsigned(at + 1, record->pid);
        *at++ = ']';
    }
    *at++ = ':';
    *at++ = ' ';
    return put_lines(at, record->text, policy);
}

/* ID and NAME of a field's key: at its first point, or all of it under our own id. */
struct key {
    struct yarder_text id;
    struct yarder_text name;
};

static struct key split_key(struct yarder_text key)
{
    const char *point = key.length == 0 ? NULL : memchr(key.at, '.', key.length);
    struct key split = {text_of(SYSLOG_OWN_ID), key};
    if (point == NULL || point == key.at || point == key.at + key.length - 1) {
        return split;
    }
    size_t id_bytes = (size_t)(point - key.at);
    if (text_is((struct yarder_text){key.at, id_bytes}, SYSLOG_OWN_ID)) {
        return split;
    }
    split.id = (struct yarder_text){key.at, id_bytes};
    split.name = (struct yarder_text){point + 1, key.length - id_bytes - 1};
    return split;
}

static char *put_quoted(char *at, struct yarder_text value, enum put_policy policy)
{
    if (value.length == 0) {
        return at;
    }
    const char *from = value.at;
    const char *end = from + value.length;
    while (from < end) {
        const char *plain = from;
        while (plain < end && *plain != '"' && *plain != '\\' && *plain != ']') {
            plain++;
        }
        at = put_lines(at, (struct yarder_text){from, (size_t)(plain - from)}, policy);
        from = plain;
        if (from < end) {
            *at++ = '\\';
            *at++ = *from++;
        }
    }
    return at;
}

static char *put_parameter(
    char *at, struct yarder_text name, const struct yarder_field *field, enum put_policy policy)
{
    *at++ = ' ';
    at = put_word(at, name, name.length, "=]\"");
    *at++ = '=';
    *at++ = '"';
    at = field->type == YARDER_FIELD_TEXT ? put_quoted(at, field->value, policy)
                                          : put_field(at, field, policy);
    *at = '"';
    return at + 1;
}

/* An id may stand once only, so each element gathers all fields that are its own. */
static char *put_structured(
    char *at, const struct yarder_record *record, uint64_t done, enum put_policy policy)
{
    const char *start = at;
    for (uint32_t i = 0; i < record->fields_count; i++) {
        if ((done >> i & 1) != 0) {
            continue;
        }
        struct yarder_text id = split_key(record->fields[i].key).id;
        *at++ = '[';
        at = put_word(at, id, id.length, "=]\"");
        for (uint32_t j = i; j < record->fields_count; j++) {
            struct key key = split_key(record->fields[j].key);
            if ((done >> j & 1) == 0 && text_equal(key.id, id)) {
                at = put_parameter(at, key.name, &record->fields[j], policy);
                done |= 1ULL << j;
            }
        }
        *at++ = ']';
    }
    if (at == start) {
        *at++ = '-';
    }
    return at;
}

static bool is_word(struct yarder_text text, size_t bytes_max)
{
    if (text.length == 0 || text.length > bytes_max || text_is(text, "-")) {
        return false;
    }
    for (size_t i = 0; i < text.length; i++) {
        if (text.at[i] <= ' ' || text.at[i] >= 127) {
            return false;
        }
    }
    return true;
}

/* The field that is a header word of its own name; its bit is set in *done. */
static struct yarder_text take_header_field(
    const struct yarder_record *record, const char *key, size_t bytes_max, uint64_t *done)
{
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        if (field->type == YARDER_FIELD_TEXT && text_is(field->key, key) &&
            is_word(field->value, bytes_max)) {
            *done |= 1ULL << i;
            return field->value;
        }
    }
    return (struct yarder_text){0};
}

char *encode_rfc5424(
    struct encoder *encoder, const struct yarder_record *record, enum put_policy policy, char *at)
{
    YARDER_ASSERT(record->fields_count <= YARDER_FIELDS_MAX);
    uint64_t done = 0;
    at = PUT_CONSTANT(put_priority(at, record), "1 ");
    calendar_refresh(&encoder->clock, &encoder->zone, calendar_second(record->time_ns));
    at = put_padded(at, encoder->clock.text, encoder->clock.length);
    *at++ = '.';
    at = calendar_digits(at, calendar_fraction_ns(record->time_ns) / 1000, 6);
    at = PUT_CONSTANT(at, "Z ");
    at = put_word(at, encode_host(encoder, record), HOST_BYTES_MAX, "");
    *at++ = ' ';
    at = put_word(at, name_of(record), APP_BYTES_MAX, "");
    *at++ = ' ';
    if (record->pid != 0) {
        at = put_unsigned(at, record->pid);
    } else {
        at = put_word(at, take_header_field(record, "procid", PROCESS_BYTES_MAX, &done),
            PROCESS_BYTES_MAX, "");
    }
    *at++ = ' ';
    at = put_word(at, take_header_field(record, "msgid", MESSAGE_ID_BYTES_MAX, &done),
        MESSAGE_ID_BYTES_MAX, "");
    *at++ = ' ';
    at = put_structured(at, record, done, policy);
    if (record->text.length > 0) {
        *at++ = ' ';
        at = put_lines(at, record->text, policy);
    }
    return at;
}
