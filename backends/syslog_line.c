/* SPDX-License-Identifier: Apache-2.0 */
#include "syslog_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
    WORDS_BYTES_MAX = 1024, /* priority, stamp and the words below, which are cut to these */
    HOST_BYTES_MAX = 255,
    APP_BYTES_MAX = 48,
    PROCESS_BYTES_MAX = 128,
    MESSAGE_ID_BYTES_MAX = 32,
    SD_NAME_BYTES_MAX = 32,
    FIELD_FRAME_BYTES = 2 * SD_NAME_BYTES_MAX + 8, /* [ID NAME=""] and a blank */
    NUMBER_BYTES_MAX = 32,
    FACILITIES = 24,
    SECOND_NS = 1000000000,
    MICROSECOND_NS = 1000
};

struct word {
    const char *name;
    uint8_t number;
};
static const struct word facilities[] = {{"kern", 0}, {"user", 1}, {"mail", 2}, {"daemon", 3},
    {"auth", 4}, {"syslog", 5}, {"lpr", 6}, {"news", 7}, {"uucp", 8}, {"cron", 9}, {"authpriv", 10},
    {"ftp", 11}, {"ntp", 12}, {"audit", 13}, {"alert", 14}, {"clock", 15}, {"local0", 16},
    {"local1", 17}, {"local2", 18}, {"local3", 19}, {"local4", 20}, {"local5", 21}, {"local6", 22},
    {"local7", 23}, {"security", 4}};
static const struct word severities[] = {{"emerg", 0}, {"panic", 0}, {"alert", 1}, {"crit", 2},
    {"critical", 2}, {"err", 3}, {"error", 3}, {"warning", 4}, {"warn", 4}, {"notice", 5},
    {"info", 6}, {"debug", 7}};

static int number_of(const char *word, const struct word *rows, size_t rows_count, long max)
{
    for (size_t i = 0; i < rows_count; i++) {
        if (strcasecmp(word, rows[i].name) == 0) {
            return rows[i].number;
        }
    }
    char *end = NULL;
    long number = strtol(word, &end, 10);
    bool plain = word[0] >= '0' && word[0] <= '9' && *end == '\0';
    return plain && number <= max ? (int)number : -1;
}

int syslog_facility_of(const char *word)
{
    return number_of(word, facilities, sizeof(facilities) / sizeof(facilities[0]), FACILITIES - 1);
}

int syslog_severity_of(const char *word)
{
    return number_of(word, severities, sizeof(severities) / sizeof(severities[0]), 7);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t syslog_head_bound(const struct syslog_style *style, const struct yarder_record *record)
{
    size_t bound = WORDS_BYTES_MAX + (style->whole != NULL ? strlen(style->whole) : 0);
    for (uint32_t i = 0; style->header == SYSLOG_RFC5424 && i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        bound += FIELD_FRAME_BYTES + NUMBER_BYTES_MAX + 2 * field->value.length;
    }
    return bound;
}

static char *put(char *at, const char *from, size_t length)
{
    if (length > 0) {
        memcpy(at, from, length);
    }
    return at + length;
}

static char *put_number(char *at, uint64_t number)
{
    char digits[24];
    size_t from = sizeof(digits);
    do {
        digits[--from] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put(at, digits + from, sizeof(digits) - from);
}

/* Printable ASCII but `not_these`, others as '_'; nothing as '-'. */
static char *put_word(char *at, struct yarder_text word, size_t bytes_max, const char *not_these)
{
    size_t length = least(word.length, bytes_max);
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

static char *put_priority(
    const struct syslog_style *style, const struct yarder_record *record, char *at)
{
    bool stated = !style->fixed && record->facility < FACILITIES;
    unsigned facility = stated ? record->facility : style->facility;
    bool level = !style->fixed && record->level != YARDER_LEVEL_NOTSET;
    unsigned severity = level ? level_severity(record->level) : style->severity;
    *at++ = '<';
    at = put_number(at, facility * 8 + severity);
    *at++ = '>';
    return at;
}

static int64_t second_of(int64_t time_ns)
{
    return time_ns / SECOND_NS - (time_ns % SECOND_NS < 0);
}

/* Made once a second: local time for RFC 3164, which has no zone. */
static char *put_stamp(struct syslog_style *style, int64_t time_ns, char *at)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t second = (time_t)second_of(time_ns);
    if (style->stamp_bytes == 0 || style->second != second) {
        struct tm when = {.tm_mday = 1};
        int length = 0;
        if (style->header == SYSLOG_RFC5424) {
            (void)gmtime_r(&second, &when);
            length = snprintf(style->stamp, sizeof(style->stamp), "%04d-%02d-%02dT%02d:%02d:%02d",
                when.tm_year + 1900, when.tm_mon + 1, when.tm_mday, when.tm_hour, when.tm_min,
                when.tm_sec);
        } else {
            (void)localtime_r(&second, &when);
            length = snprintf(style->stamp, sizeof(style->stamp), "%.3s %2d %02d:%02d:%02d",
                months + 3 * (when.tm_mon % 12), when.tm_mday, when.tm_hour, when.tm_min,
                when.tm_sec);
        }
        style->stamp_bytes = least((size_t)length, sizeof(style->stamp) - 1);
        style->second = second;
    }
    return put(at, style->stamp, style->stamp_bytes);
}

static char *put_fraction(char *at, int64_t time_ns)
{
    uint64_t rest = (uint64_t)(time_ns - second_of(time_ns) * SECOND_NS) / MICROSECOND_NS;
    at[0] = '.';
    for (int i = 6; i >= 1; i--) {
        at[i] = (char)('0' + rest % 10);
        rest /= 10;
    }
    at[7] = 'Z';
    return at + 8;
}

static struct yarder_text app_of(
    const struct syslog_style *style, const struct yarder_record *record)
{
    return record->tag.length > 0      ? record->tag
           : record->logger.length > 0 ? record->logger
                                       : text_from(style->ident);
}

static struct yarder_text host_of(
    const struct syslog_style *style, const struct yarder_record *record)
{
    return record->host.length > 0 ? record->host : text_from(style->hostname);
}

static char *head_rfc3164(struct syslog_style *style, const struct yarder_record *record, char *at)
{
    at = put_stamp(style, record->time_ns, put_priority(style, record, at));
    *at++ = ' ';
    if (style->whole != NULL) {
        at = put(at, style->whole, strlen(style->whole));
    } else {
        if (style->header == SYSLOG_RFC3164) {
            at = put_word(at, host_of(style, record), HOST_BYTES_MAX, "");
            *at++ = ' ';
        }
        at = put_word(at, app_of(style, record), APP_BYTES_MAX, ":[]");
    }
    if (style->whole == NULL && record->pid != 0) {
        *at++ = '[';
        at = put_number(at, record->pid);
        *at++ = ']';
    }
    *at++ = ':';
    *at++ = ' ';
    return at;
}

static bool is_text(struct yarder_text text, const char *word)
{
    return text.length == strlen(word) && memcmp(text.at, word, text.length) == 0;
}

/* ID and NAME of a field's key. */
struct key {
    struct yarder_text id;
    struct yarder_text name;
};

static struct key split_key(const struct syslog_style *style, struct yarder_text key)
{
    static const char *const registered[] = {"timeQuality", "origin", "meta"};
    struct key split = {text_from(style->sd_id), key};
    const char *point = key.length == 0 ? NULL : memchr(key.at, '.', key.length);
    const char *sign = key.length == 0 ? NULL : memchr(key.at, '@', key.length);
    if (point != NULL && sign != NULL &&
        sign < point) { /* "x@32473.1.4.name": numbers have points */
        for (const char *more = point; more != NULL && more + 1 < key.at + key.length;
             more = memchr(more + 1, '.', (size_t)(key.at + key.length - more - 1))) {
            point = more;
            if (more[1] < '0' || more[1] > '9') {
                break;
            }
        }
    }
    if (point == NULL || point == key.at || point == key.at + key.length - 1) {
        return split;
    }
    struct yarder_text id = {key.at, (size_t)(point - key.at)};
    bool theirs = sign != NULL && sign < point && id.length <= SD_NAME_BYTES_MAX;
    for (size_t i = 0; i < sizeof(registered) / sizeof(registered[0]); i++) {
        theirs = theirs || is_text(id, registered[i]);
    }
    if (theirs) {
        split.id = id;
        split.name = (struct yarder_text){point + 1, key.length - id.length - 1};
    }
    return split;
}

static char *put_quoted(char *at, struct yarder_text value)
{
    for (size_t i = 0; i < value.length; i++) {
        char byte = value.at[i];
        if (byte == '"' || byte == '\\' || byte == ']' || byte == '\n') {
            *at++ = '\\';
            byte = byte == '\n' ? 'n' : byte;
        }
        *at++ = byte;
    }
    return at;
}

static char *put_parameter(
    struct syslog_style *style, struct yarder_text name, const struct yarder_field *field, char *at)
{
    *at++ = ' ';
    at = put_word(at, name, SD_NAME_BYTES_MAX, "=]\"");
    at = put(at, "=\"", 2);
    if (field->type == YARDER_FIELD_TEXT) {
        at = put_quoted(at, field->value);
    } else {
        bytes_clear(&style->number);
        bytes_put_value(&style->number, field);
        at = put(at, style->number.at, least(style->number.length, NUMBER_BYTES_MAX));
    }
    *at++ = '"';
    return at;
}

static bool is_same(struct yarder_text a, struct yarder_text b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

/* An id may stand once only, so each element gathers all fields that are its own. */
static char *put_structured(
    struct syslog_style *style, const struct yarder_record *record, uint64_t done, char *at)
{
    const char *start = at;
    for (uint32_t i = 0; i < record->fields_count; i++) {
        if ((done >> i & 1) != 0) {
            continue;
        }
        struct yarder_text id = split_key(style, record->fields[i].key).id;
        *at++ = '[';
        at = put_word(at, id, SD_NAME_BYTES_MAX, "=]\"");
        for (uint32_t k = i; k < record->fields_count; k++) {
            struct key key = split_key(style, record->fields[k].key);
            if ((done >> k & 1) == 0 && is_same(key.id, id)) {
                at = put_parameter(style, key.name, &record->fields[k], at);
                done |= 1ULL << k;
            }
        }
        *at++ = ']';
    }
    if (at == start) {
        *at++ = '-';
    }
    return at;
}

/* The field that is a header word of its own name; its bit is set in *done. */
static struct yarder_text take_word(
    const struct yarder_record *record, const char *key, size_t bytes_max, uint64_t *done)
{
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        bool plain = field->type == YARDER_FIELD_TEXT && field->value.length <= bytes_max &&
                     is_text(field->key, key) && !is_text(field->value, "-");
        for (size_t k = 0; plain && k < field->value.length; k++) {
            plain = field->value.at[k] > ' ' && field->value.at[k] < 127;
        }
        if (plain && field->value.length > 0) {
            *done |= 1ULL << i;
            return field->value;
        }
    }
    return (struct yarder_text){0};
}

static char *head_rfc5424(struct syslog_style *style, const struct yarder_record *record, char *at)
{
    uint64_t done = 0;
    at = put(put_priority(style, record, at), "1 ", 2);
    at = put_fraction(put_stamp(style, record->time_ns, at), record->time_ns);
    *at++ = ' ';
    at = put_word(at, host_of(style, record), HOST_BYTES_MAX, "");
    *at++ = ' ';
    at = put_word(at, app_of(style, record), APP_BYTES_MAX, "");
    *at++ = ' ';
    if (record->pid != 0) {
        at = put_number(at, record->pid);
    } else {
        at = put_word(
            at, take_word(record, "procid", PROCESS_BYTES_MAX, &done), PROCESS_BYTES_MAX, "");
    }
    *at++ = ' ';
    at = put_word(
        at, take_word(record, "msgid", MESSAGE_ID_BYTES_MAX, &done), MESSAGE_ID_BYTES_MAX, "");
    *at++ = ' ';
    at = put_structured(style, record, done, at);
    *at++ = ' ';
    return at;
}

char *syslog_head(struct syslog_style *style, const struct yarder_record *record, char *at)
{
    switch ((enum syslog_header)style->header) {
    case SYSLOG_RFC5424:
        return head_rfc5424(style, record, at);
    case SYSLOG_RFC3164:
    case SYSLOG_LOCAL:
        return head_rfc3164(style, record, at);
    case SYSLOG_HEADER_AUTO:
    case SYSLOG_NONE:
        break;
    }
    return at;
}

size_t syslog_cut(const char *text, size_t length, size_t room)
{
    enum { CHARACTER_BYTES_MAX = 4 };
    if (length <= room) {
        return length;
    }
    size_t cut = room;
    for (int i = 1; i < CHARACTER_BYTES_MAX && cut > 0 && ((unsigned char)text[cut] & 0xC0) == 0x80;
         i++) {
        cut--;
    }
    return cut > 0 && ((unsigned char)text[cut] & 0xC0) != 0x80 ? cut : room;
}
