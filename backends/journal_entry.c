/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_entry.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { FACILITIES = 24, NS_IN_US = 1000 };
static const int64_t ns_in_second = 1000000000;

/* What we say ourselves: a sender's field of such a name is kept under another one. */
static const char *const own_names[] = {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER",
    "SYSLOG_FACILITY", "SYSLOG_PID", "SYSLOG_TIMESTAMP", "LOGGER", "HOST", "PEER", "TID",
    "YARDER_ID", "MESSAGE_ID", "ERRNO"};

/* The journal's own words about a third process: of root they are believed, and `journalctl -u`
 * shows who says OBJECT_SYSTEMD_UNIT among that unit's entries. */
static const char object_prefix[] = "OBJECT_";

/* Names that the journal's own tools know, for what Python's records bring. */
static const struct {
    const char *key;
    const char *name;
} known[] = {{"pathname", "CODE_FILE"}, {"lineno", "CODE_LINE"}, {"funcName", "CODE_FUNC"},
    {"threadName", "THREAD_NAME"}, {"processName", "PROCESS_NAME"}};

static bool is_name_byte(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool journal_field_is_legal(const char *field)
{
    const char *end = strchr(field, '=');
    if (end == NULL || end == field || end - field > JOURNAL_NAME_BYTES_MAX || field[0] == '_' ||
        (field[0] >= '0' && field[0] <= '9')) {
        return false;
    }
    for (const char *at = field; at < end; at++) {
        if (!is_name_byte(*at)) {
            return false;
        }
    }
    return true;
}

static bool is_plain(struct yarder_text value)
{
    for (size_t i = 0; i < value.length; i++) {
        if ((uint8_t)value.at[i] < 0x20 && value.at[i] != '\t') {
            return false;
        }
    }
    return true;
}

static void put_field(struct bytes *bytes, const char *name, struct yarder_text value)
{
    bytes_put_word(bytes, name);
    if (is_plain(value)) {
        bytes_put_char(bytes, '=');
    } else {
        uint64_t length = htole64(value.length);
        bytes_put_char(bytes, '\n');
        bytes_put(bytes, &length, sizeof(length));
    }
    bytes_put_text(bytes, value);
    bytes_put_char(bytes, '\n');
}

static void put_given(struct bytes *bytes, const char *name, struct yarder_text value)
{
    if (value.length > 0) {
        put_field(bytes, name, value);
    }
}

static bool is_reserved(const char *name)
{
    bool own = strncmp(name, object_prefix, sizeof(object_prefix) - 1) == 0;
    for (size_t i = 0; i < sizeof(own_names) / sizeof(own_names[0]); i++) {
        own = own || strcmp(name, own_names[i]) == 0;
    }
    return own;
}

/* A legal name made of any key, in `at`; "" when nothing of it is left. */
static const char *make_name(struct yarder_text key, char at[JOURNAL_NAME_BYTES_MAX + 1])
{
    static const char prefix[] = "FIELD_";
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (key.length == strlen(known[i].key) && memcmp(key.at, known[i].key, key.length) == 0) {
            return known[i].name;
        }
    }
    size_t length = 0;
    for (size_t i = 0; i < key.length && length < JOURNAL_NAME_BYTES_MAX; i++) {
        char c = key.at[i];
        c = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        c = is_name_byte(c) ? c : '_';
        if (length > 0 || (c != '_' && (c < '0' || c > '9'))) {
            at[length++] = c;
        }
    }
    at[length] = '\0';
    if (is_reserved(at)) {
        const size_t prefix_bytes = sizeof(prefix) - 1;
        const size_t most = JOURNAL_NAME_BYTES_MAX - prefix_bytes;
        length = length < most ? length : most;
        memmove(at + prefix_bytes, at, length);
        memcpy(at, prefix, prefix_bytes);
        at[prefix_bytes + length] = '\0';
    }
    return at;
}

static void put_fields(struct bytes *bytes, const struct yarder_record *record)
{
    char name_room[JOURNAL_NAME_BYTES_MAX + 1];
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        const char *name = make_name(field->key, name_room);
        if (name[0] == '\0') {
            continue;
        }
        if (field->type == YARDER_FIELD_TEXT) {
            put_field(bytes, name, field->value);
            continue;
        }
        bytes_put_word(bytes, name);
        bytes_put_char(bytes, '=');
        bytes_put_value(bytes, field);
        bytes_put_char(bytes, '\n');
    }
}

/* When the record was made: the journal itself only knows when it got it. */
static void put_time(struct bytes *bytes, int64_t time_ns)
{
    time_t seconds = (time_t)(time_ns / ns_in_second);
    long rest_ns = (long)(time_ns % ns_in_second);
    if (rest_ns < 0) {
        rest_ns += (long)ns_in_second;
        seconds--;
    }
    struct tm parts;
    char day[64];
    if (gmtime_r(&seconds, &parts) != NULL &&
        strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &parts) > 0) {
        bytes_put_words(bytes, "SYSLOG_TIMESTAMP=%s.%06ldZ\n", day, rest_ns / NS_IN_US);
    }
}

static void put_identifier(
    struct bytes *bytes, const struct journal_style *style, const struct yarder_record *record)
{
    struct yarder_text name = text_from(style->identifier);
    if (name.length == 0) {
        name = record->tag.length > 0 ? record->tag : record->logger;
    }
    put_field(bytes, "SYSLOG_IDENTIFIER", name.length > 0 ? name : text_from("yarder"));
}

void journal_put_entry(struct bytes *bytes, const struct journal_style *style,
    const struct yarder_item *item, struct yarder_text text)
{
    const struct yarder_record *record = item->record;
    put_field(bytes, "MESSAGE", text);
    put_identifier(bytes, style, record);
    if (style->bare) {
        bytes_put_word(bytes, "PRIORITY=6\n");
        return;
    }
    bytes_put_words(bytes, "PRIORITY=%u\n", level_severity(record->level));
    if (record->facility < FACILITIES) {
        bytes_put_words(bytes, "SYSLOG_FACILITY=%u\n", record->facility);
    }
    if (record->pid != 0) {
        bytes_put_words(bytes, "SYSLOG_PID=%" PRIu32 "\n", record->pid);
    }
    if (record->tid != 0) {
        bytes_put_words(bytes, "TID=%" PRIu32 "\n", record->tid);
    }
    put_time(bytes, record->time_ns);
    put_given(bytes, "LOGGER", record->logger);
    put_given(bytes, "HOST", record->host);
    put_given(bytes, "PEER", record->peer);
    bytes_put_words(
        bytes, "YARDER_ID=%" PRIu64 "-%" PRIu64 "\n", item->id.epoch_ns, item->id.number);
    put_fields(bytes, record);
    for (uint32_t i = 0; i < style->own_fields.count; i++) {
        const char *field = style->own_fields.at[i];
        const char *equals = strchr(field, '=');
        char name[JOURNAL_NAME_BYTES_MAX + 1];
        (void)snprintf(name, sizeof(name), "%.*s", (int)(equals - field), field);
        put_field(bytes, name, text_from(equals + 1));
    }
}
