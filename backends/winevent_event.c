/* SPDX-License-Identifier: Apache-2.0 */
#include "winevent_event.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { FACILITY_USER = 1, FACILITIES = 24, EVENT_ID_MAX = 65535, NS_IN_TICK = 100 };
enum { LEVEL_CRITICAL = 1, LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFORMATION, LEVEL_VERBOSE };
static const int64_t ns_in_second = 1000000000;
static const char *const level_words[] = {
    "", "Critical", "Error", "Warning", "Information", "Verbose"};

/* What is found out of a record once, for all shapes. */
struct event {
    struct yarder_text source;
    struct yarder_text computer;
    struct yarder_text text; /* cut where Windows would not take more */
    bool cut;
    unsigned id, category, level;
    struct tm utc, local;
    unsigned ticks; /* of 100 ns, behind the second */
};

static bool is_named(struct yarder_text key, const char *name)
{
    return key.length == strlen(name) && memcmp(key.at, name, key.length) == 0;
}

/* A number of the sender's, where it is one that an event can have. */
static unsigned number_of(const struct yarder_record *record, const char *name, uint64_t otherwise)
{
    uint64_t number = otherwise;
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        uint64_t given = 0;
        bool is_number = false;
        if (!is_named(field->key, name)) {
            continue;
        }
        if ((field->type == YARDER_FIELD_INT || field->type == YARDER_FIELD_UINT) &&
            field->value.length == sizeof(given)) {
            memcpy(&given, field->value.at, sizeof(given)); /* a negative one is too large */
            is_number = true;
        } else if (field->type == YARDER_FIELD_TEXT) {
            for (size_t k = 0; k < field->value.length && given <= EVENT_ID_MAX; k++) {
                char c = field->value.at[k];
                is_number = (k == 0 || is_number) && c >= '0' && c <= '9';
                given = given * 10 + (uint64_t)(c - '0');
            }
        }
        number = is_number && given <= EVENT_ID_MAX ? given : number;
    }
    return (unsigned)number;
}

/*
 * NTEventLogHandler knows Python's five levels and takes any other number for an error; syslog's
 * notice, and records without a level, are as information here.
 */
static unsigned level_of(const struct winevent_style *style, uint8_t level)
{
    if (style->extended_levels) {
        return level >= YARDER_LEVEL_CRITICAL                               ? LEVEL_CRITICAL
               : level >= YARDER_LEVEL_ERROR                                ? LEVEL_ERROR
               : level >= YARDER_LEVEL_WARNING                              ? LEVEL_WARNING
               : level >= YARDER_LEVEL_INFO || level == YARDER_LEVEL_NOTSET ? LEVEL_INFORMATION
                                                                            : LEVEL_VERBOSE;
    }
    switch (level) {
    case YARDER_LEVEL_NOTSET:
    case YARDER_LEVEL_DEBUG:
    case YARDER_LEVEL_INFO:
    case YARDER_LEVEL_NOTICE:
        return LEVEL_INFORMATION;
    case YARDER_LEVEL_WARNING:
        return LEVEL_WARNING;
    default:
        return LEVEL_ERROR;
    }
}

static struct yarder_text cut_text(struct yarder_text text, bool *cut)
{
    size_t units = 0;
    *cut = false;
    if (text.length <= WINEVENT_TEXT_UNITS_MAX) {
        return text; /* a unit takes a byte at least */
    }
    for (size_t i = 0, taken; i < text.length; i += taken) {
        units += bytes_code_point(text.at + i, text.length - i, &taken) > 0xFFFF ? 2 : 1;
        if (units > WINEVENT_TEXT_UNITS_MAX) {
            *cut = true;
            return (struct yarder_text){text.at, i};
        }
    }
    return text;
}

static struct event look_at(const struct winevent_style *style, const struct yarder_item *item)
{
    const struct yarder_record *record = item->record;
    struct event event = {.id = number_of(record, "winevent_id", style->event_id),
        .category = number_of(record, "winevent_category", 0),
        .level = level_of(style, record->level)};
    event.source = text_from(style->source);
    if (event.source.length == 0) {
        event.source = record->tag.length > 0 ? record->tag : record->logger;
    }
    if (event.source.length == 0) {
        event.source = text_from("yarder");
    }
    event.computer = text_from(style->computer);
    if (event.computer.length == 0) {
        event.computer = record->host.length > 0 ? record->host : text_from(style->hostname);
    }
    event.text = cut_text(item->text, &event.cut);
    int64_t rest_ns = record->time_ns % ns_in_second;
    time_t seconds = (time_t)(record->time_ns / ns_in_second) - (rest_ns < 0);
    event.ticks = (unsigned)((rest_ns < 0 ? rest_ns + ns_in_second : rest_ns) / NS_IN_TICK);
    (void)gmtime_r(&seconds, &event.utc);
    (void)localtime_r(&seconds, &event.local);
    return event;
}

/* How many bytes from `at` on stand for themselves in XML, as nearly all do. */
static size_t plain_bytes(const char *at, size_t left)
{
    size_t length = 0;
    while (length < left && at[length] >= ' ' && at[length] < 0x7F && at[length] != '&' &&
           at[length] != '<' && at[length] != '>' && at[length] != '"') {
        length++;
    }
    return length;
}

/* Only what XML 1.0 may hold; what ends a line, and tabs, as references. */
static void put_xml(struct bytes *bytes, struct yarder_text text)
{
    for (size_t i = 0, taken; i < text.length; i += taken) {
        taken = plain_bytes(text.at + i, text.length - i);
        if (taken > 0) {
            bytes_put(bytes, text.at + i, taken);
            continue;
        }
        uint32_t point = bytes_code_point(text.at + i, text.length - i, &taken);
        switch (point) {
        case '&':
            bytes_put_word(bytes, "&amp;");
            break;
        case '<':
            bytes_put_word(bytes, "&lt;");
            break;
        case '>':
            bytes_put_word(bytes, "&gt;");
            break;
        case '"':
            bytes_put_word(bytes, "&quot;");
            break;
        case '\t':
        case '\n':
        case '\r':
        case 0x85: /* some readers take these two for ends of lines, too */
        case 0x2028:
            bytes_put_words(bytes, "&#%u;", (unsigned)point);
            break;
        default:
            bytes_put_code_point(
                bytes, point < 0x20 || point == 0xFFFE || point == 0xFFFF ? 0xFFFD : point);
            break;
        }
    }
}

static void put_element(struct bytes *bytes, const char *name, struct yarder_text text)
{
    bytes_put_words(bytes, "<%s>", name);
    put_xml(bytes, text);
    bytes_put_words(bytes, "</%s>", name);
}

static void put_stamp(struct bytes *bytes, const struct event *event)
{
    char second[64] = "";
    (void)strftime(second, sizeof(second), "%Y-%m-%dT%H:%M:%S", &event->utc);
    bytes_put_words(bytes, "%s.%07uZ", second, event->ticks);
}

/* Fields that say something of the event itself are no data of it. */
static bool is_data(const struct winevent_style *style, const struct yarder_field *field)
{
    return style->named_data && !is_named(field->key, "winevent_id") &&
           !is_named(field->key, "winevent_category");
}

static void put_xml_data(struct bytes *bytes, const struct winevent_style *style,
    const struct event *event, const struct yarder_record *record)
{
    struct bytes value = {0};
    bytes_put_word(bytes, "<EventData>");
    put_element(bytes, "Data", event->text);
    for (uint32_t i = 0; i < record->fields_count; i++) {
        if (is_data(style, &record->fields[i])) {
            bytes_clear(&value);
            bytes_put_value(&value, &record->fields[i]);
            bytes_put_word(bytes, "<Data Name=\"");
            put_xml(bytes, record->fields[i].key);
            bytes_put_word(bytes, "\">");
            put_xml(bytes, (struct yarder_text){value.at, value.length});
            bytes_put_word(bytes, "</Data>");
        }
    }
    if (event->cut) {
        bytes_put_word(bytes, "<Data Name=\"truncated\">true</Data>");
    }
    bytes_put_word(bytes, "</EventData>");
    bytes->lacks = bytes->lacks || value.lacks;
    bytes_free(&value);
}

void winevent_put_xml(
    struct bytes *bytes, const struct winevent_style *style, const struct yarder_item *item)
{
    const struct yarder_record *record = item->record;
    const struct event event = look_at(style, item);
    const struct yarder_text channel = text_from(style->channel);
    const struct yarder_text level = text_from(level_words[event.level]);
    bytes_put_word(bytes,
        "<Event xmlns=\"http://schemas.microsoft.com/win/2004/08/events/event\"><System>"
        "<Provider Name=\"");
    put_xml(bytes, event.source);
    bytes_put_word(bytes, "\" EventSourceName=\"");
    put_xml(bytes, event.source);
    bytes_put_words(bytes,
        "\"/><EventID Qualifiers=\"0\">%u</EventID><Version>0</Version><Level>%u</Level>"
        "<Task>%u</Task><Opcode>0</Opcode><Keywords>0x80000000000000</Keywords>"
        "<TimeCreated SystemTime=\"",
        event.id, event.level, event.category);
    put_stamp(bytes, &event);
    bytes_put_words(bytes,
        "\"/><EventRecordID>%" PRIu64 "</EventRecordID><Correlation/>"
        "<Execution ProcessID=\"%" PRIu32 "\" ThreadID=\"%" PRIu32 "\"/>",
        item->id.number, record->pid, record->tid);
    put_element(bytes, "Channel", channel);
    put_element(bytes, "Computer", event.computer);
    bytes_put_word(bytes, "<Security/></System>");
    put_xml_data(bytes, style, &event, record);
    bytes_put_word(bytes, "<RenderingInfo Culture=\"en-US\">");
    put_element(bytes, "Message", event.text);
    put_element(bytes, "Level", level);
    bytes_put_word(bytes, "<Task></Task><Opcode>Info</Opcode>");
    put_element(bytes, "Channel", channel);
    put_element(bytes, "Provider", event.source);
    bytes_put_word(
        bytes, "<Keywords><Keyword>Classic</Keyword></Keywords></RenderingInfo></Event>");
}

/* One column: tabs and newlines are what parts columns and lines. */
static void put_column(struct bytes *bytes, struct yarder_text text)
{
    for (size_t i = 0, taken; i < text.length; i += taken) {
        uint32_t point = bytes_code_point(text.at + i, text.length - i, &taken);
        bytes_put_code_point(bytes, point < 0x20 || point == 0x7F ? ' ' : point);
    }
    bytes_put_char(bytes, '\t');
}

void winevent_put_snare(
    struct bytes *bytes, const struct winevent_style *style, const struct yarder_item *item)
{
    static const unsigned criticalities[] = {0, 4, 3, 2, 1, 0};
    static const char *const types[] = {
        "", "Error", "Error", "Warning", "Information", "Information"};
    const struct event event = look_at(style, item);
    char when[64] = "";
    (void)strftime(when, sizeof(when), "%a %b %d %H:%M:%S %Y", &event.local);
    bytes_put_words(bytes, "MSWinEventLog\t%u\t", criticalities[event.level]);
    put_column(bytes, text_from(style->channel));
    bytes_put_words(bytes, "%" PRIu64 "\t%s\t%u\t", item->id.number, when, event.id);
    put_column(bytes, event.source);
    bytes_put_words(bytes, "N/A\tN/A\t%s\t", types[event.level]);
    put_column(bytes, event.computer);
    bytes_put_word(bytes, "None\t\t");
    put_column(bytes, event.text);
    bytes_put_words(bytes, "%" PRIu64, item->id.number);
}

static void put_member(struct bytes *bytes, const char *key, struct yarder_text value)
{
    bytes_put_words(bytes, "\"%s\":", key);
    bytes_put_json(bytes, value);
}

/* No object has a key twice. */
static bool is_second(const struct yarder_record *record, uint32_t which)
{
    const struct yarder_text key = record->fields[which].key;
    bool second = is_named(key, "param1") || is_named(key, "truncated");
    for (uint32_t i = 0; i < which && !second; i++) {
        const struct yarder_text other = record->fields[i].key;
        second = other.length == key.length && memcmp(other.at, key.at, key.length) == 0;
    }
    return second;
}

static void put_json_data(struct bytes *bytes, const struct winevent_style *style,
    const struct event *event, const struct yarder_record *record)
{
    struct bytes value = {0};
    put_member(bytes, "param1", event->text);
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        if (is_data(style, field) && !is_second(record, i)) {
            bytes_clear(&value);
            bytes_put_value(&value, field);
            bytes_put_char(bytes, ',');
            bytes_put_json(bytes, field->key);
            bytes_put_char(bytes, ':');
            bytes_put_json(bytes, (struct yarder_text){value.at, value.length});
        }
    }
    if (event->cut) {
        bytes_put_word(bytes, ",\"truncated\":\"true\"");
    }
    bytes->lacks = bytes->lacks || value.lacks;
    bytes_free(&value);
}

void winevent_put_json(
    struct bytes *bytes, const struct winevent_style *style, const struct yarder_item *item)
{
    static const char *const words[] = {
        "", "critical", "error", "warning", "information", "verbose"};
    const struct yarder_record *record = item->record;
    const struct event event = look_at(style, item);
    bytes_put_word(bytes, "{\"@timestamp\":\"");
    put_stamp(bytes, &event);
    bytes_put_word(bytes, "\",");
    put_member(bytes, "message", event.text);
    bytes_put_words(bytes,
        ",\"log\":{\"level\":\"%s\"},\"event\":{\"code\":\"%u\",\"kind\":\"event\",",
        words[event.level], event.id);
    put_member(bytes, "provider", event.source);
    bytes_put_word(bytes, "},\"host\":{");
    put_member(bytes, "name", event.computer);
    bytes_put_word(bytes, "},\"winlog\":{\"keywords\":[\"Classic\"],");
    put_member(bytes, "channel", text_from(style->channel));
    bytes_put_words(
        bytes, ",\"event_id\":\"%u\",\"record_id\":%" PRIu64 ",", event.id, item->id.number);
    put_member(bytes, "provider_name", event.source);
    bytes_put_char(bytes, ',');
    put_member(bytes, "computer_name", event.computer);
    bytes_put_words(bytes,
        ",\"process\":{\"pid\":%" PRIu32 ",\"thread\":{\"id\":%" PRIu32 "}},\"event_data\":{",
        record->pid, record->tid);
    put_json_data(bytes, style, &event, record);
    bytes_put_word(bytes, "}}}");
}

/* A word of a header: what a blank or a control byte would end is '_'. */
static void put_word(struct bytes *bytes, struct yarder_text text, size_t bytes_max)
{
    size_t length = text.length < bytes_max ? text.length : bytes_max;
    for (size_t i = 0; i < length; i++) {
        bytes_put_char(bytes, text.at[i] > ' ' && text.at[i] < 0x7F ? text.at[i] : '_');
    }
    if (length == 0) {
        bytes_put_char(bytes, '-');
    }
}

void winevent_put_header(struct bytes *bytes, const struct winevent_style *style,
    const struct yarder_item *item, bool rfc5424)
{
    const struct yarder_record *record = item->record;
    const struct event event = look_at(style, item);
    unsigned facility = record->facility < FACILITIES ? record->facility : FACILITY_USER;
    unsigned priority = facility * 8 + level_severity(record->level);
    char when[64] = "";
    if (!rfc5424) {
        (void)strftime(when, sizeof(when), "%b %e %H:%M:%S", &event.local);
        bytes_put_words(bytes, "<%u>%s ", priority, when);
        put_word(bytes, event.computer, 255);
        bytes_put_char(bytes, ' ');
        return;
    }
    (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &event.utc);
    bytes_put_words(bytes, "<%u>1 %s.%06uZ ", priority, when, event.ticks / 10);
    put_word(bytes, event.computer, 255);
    bytes_put_char(bytes, ' ');
    put_word(bytes, event.source, 48);
    bytes_put_words(bytes, record->pid != 0 ? " %" PRIu32 " - - " : " - - - ", record->pid);
}
