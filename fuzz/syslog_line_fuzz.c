/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any record as a line of RFC 5424, read by the daemon's own parser: the text, the facility, the
 * level and the value of each field come back. RFC 3164 keeps to its bound. A text that is cut into
 * packets is the same when they are put together.
 *
 *   input: facility, level, pid, room of a packet, then texts, each with its length before it
 */
#include <string.h>

#include "../backends/syslog_line.h"
#include "base/text.h"
#include "codec/syslog.h"
#include "input.h"

enum { FIELDS_MAX = 8, LINE_BYTES = 16 << 10 };

/* A newline of a value is written as two characters, which the parser leaves. */
static bool is_value(struct yarder_text came, struct yarder_text sent)
{
    size_t at = 0;
    for (size_t i = 0; i < sent.length; i++) {
        bool newline = sent.at[i] == '\n';
        size_t bytes = newline ? 2 : 1;
        if (came.length - at < bytes ||
            memcmp(came.at + at, newline ? "\\n" : sent.at + i, bytes)) {
            return false;
        }
        at += bytes;
    }
    return at == came.length;
}

static void check_fields(const struct yarder_record *sent, const struct yarder_record *came)
{
    uint64_t found = 0;
    YARDER_ASSERT(came->fields_count >= sent->fields_count);
    for (uint32_t i = 0; i < sent->fields_count; i++) {
        uint32_t k = 0;
        while (k < came->fields_count &&
               ((found >> k & 1) != 0 || !is_value(came->fields[k].value, sent->fields[i].value))) {
            k++;
        }
        YARDER_ASSERT(k < came->fields_count);
        found |= 1ULL << k;
    }
}

/* The parser takes a mark of byte order off, a NUL and a line end. */
static bool comes_back(struct yarder_text text)
{
    bool marked = text.length >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0;
    char last = text.length > 0 ? text.at[text.length - 1] : 'x';
    return !marked && last != '\0' && last != '\n' && last != '\r';
}

static void check_line(struct syslog_style *style, const struct yarder_record *record)
{
    static char line[LINE_BYTES];
    static char scratch[SYSLOG_SCRATCH_BYTES];
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct syslog_parser parser = {0};
    struct yarder_record came = {.received_ns = record->time_ns};
    YARDER_ASSERT(syslog_head_bound(style, record) + record->text.length <= sizeof(line));
    char *end = syslog_head(style, record, line);
    YARDER_ASSERT((size_t)(end - line) <= syslog_head_bound(style, record));
    memcpy(end, record->text.length > 0 ? record->text.at : "", record->text.length);
    size_t length = (size_t)(end - line) + record->text.length;
    if (style->header != SYSLOG_RFC5424) {
        return;
    }
    syslog_parse(
        &parser, (struct yarder_text){line, length}, scratch, sizeof(scratch), fields, &came);
    YARDER_ASSERT((came.flags & YARDER_FLAG_UNPARSED) == 0);
    YARDER_ASSERT(came.facility == (record->facility < 24 ? record->facility : style->facility));
    YARDER_ASSERT(level_to_severity(came.level) == level_to_severity(record->level));
    YARDER_ASSERT(came.time_ns / 1000 == record->time_ns / 1000);
    YARDER_ASSERT(came.pid == record->pid);
    check_fields(record, &came);
    if (comes_back(record->text)) {
        YARDER_ASSERT(text_equal(came.text, record->text));
    }
}

static void check_cuts(struct yarder_text text, size_t room)
{
    size_t at = 0;
    while (at < text.length) {
        size_t piece = syslog_cut(text.at + at, text.length - at, room);
        YARDER_ASSERT(piece > 0 && piece <= room && piece <= text.length - at);
        at += piece;
    }
    YARDER_ASSERT(at == text.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct yarder_field fields[FIELDS_MAX];
    struct yarder_record record = {.time_ns = 1763730855000123456, .fields = fields};
    struct syslog_style style = {
        .facility = 1, .severity = 6, .sd_id = SYSLOG_OWN_ID, .hostname = "vm"};
    record.facility = take_byte(&input);
    record.level = take_byte(&input);
    record.pid = take_byte(&input);
    size_t room = 1u + take_byte(&input);
    record.text = take_text(&input);
    record.host = take_text(&input);
    record.tag = take_text(&input);
    record.logger = take_text(&input);
    while (input.left > 0 && record.fields_count < FIELDS_MAX) {
        struct yarder_text key = take_text(&input);
        if (text_is(key, "procid")) { /* one that is a number comes back as the pid */
            key = text_of("process");
        }
        fields[record.fields_count++] = (struct yarder_field){
            .key = key, .value = take_text(&input), .type = YARDER_FIELD_TEXT};
    }
    static const int headers[] = {SYSLOG_RFC5424, SYSLOG_RFC3164, SYSLOG_LOCAL};
    for (size_t i = 0; i < YARDER_COUNT_OF(headers); i++) {
        style.header = headers[i];
        style.stamp_bytes = 0;
        check_line(&style, &record);
    }
    check_cuts(record.text, room);
    return 0;
}
