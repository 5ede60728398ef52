/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any record as what the kinds journal, winevent, smtp and http send: entries and forms come back
 * field by field, JSON is JSON, XML is well formed and one line, a mail is short lines of ASCII.
 *
 *   input: 8 bytes of options, then texts, each with its length (a byte, or two) before it
 */
#include <cjson/cJSON.h>
#include <endian.h>
#include <string.h>

#include "../backends/http_form.h"
#include "../backends/journal_entry.h"
#include "../backends/smtp_mail.h"
#include "../backends/winevent_event.h"
#include "input.h"

enum { FIELDS_MAX = 6 };

/* Names that the journal takes, values to their last byte; nothing is left over. */
static void check_entry(const struct bytes *entry)
{
    const char *end = entry->at + entry->length;
    const char *at = entry->at;
    while (at < end) {
        const char *name = at;
        at += strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
        YARDER_ASSERT(at > name && at - name <= JOURNAL_NAME_BYTES_MAX);
        YARDER_ASSERT(*name >= 'A' && *name <= 'Z');
        YARDER_ASSERT(*at == '=' || *at == '\n');
        if (*at == '=') {
            at = memchr(at, '\n', (size_t)(end - at));
            YARDER_ASSERT(at != NULL);
        } else {
            uint64_t length;
            memcpy(&length, at + 1, sizeof(length));
            length = le64toh(length);
            YARDER_ASSERT(length < (size_t)(end - at) - sizeof(length) - 1);
            at += 1 + sizeof(length) + length;
            YARDER_ASSERT(*at == '\n');
        }
        at++;
    }
}

/* Tags are ours and nest; nothing of the record's opens one, and entities are whole. */
static void check_xml(const struct bytes *xml)
{
    int depth = 0;
    int deepest = 0;
    for (size_t i = 0, taken; i < xml->length; i += taken) {
        uint32_t point = bytes_code_point(xml->at + i, xml->length - i, &taken);
        YARDER_ASSERT(point >= 0x20 && point != 0xFFFE && point != 0xFFFF);
        YARDER_ASSERT(point != 0xFFFD || taken == 3); /* valid UTF-8 throughout */
        if (point == '<') {
            const char *close = memchr(xml->at + i, '>', xml->length - i);
            YARDER_ASSERT(close != NULL);
            depth += xml->at[i + 1] == '/' ? -1 : close[-1] != '/';
            deepest = depth > deepest ? depth : deepest;
            YARDER_ASSERT(depth >= 0 && depth <= 5);
        } else if (point == '&') {
            size_t length = strcspn(xml->at + i, ";");
            YARDER_ASSERT(length >= 2 && length <= 6);
        }
    }
    YARDER_ASSERT(depth == 0 && deepest >= 3);
}

static void check_line(const struct bytes *line, uint32_t tabs)
{
    uint32_t count = 0;
    for (size_t i = 0; i < line->length; i++) {
        YARDER_ASSERT((uint8_t)line->at[i] >= 0x20 || line->at[i] == '\t');
        count += line->at[i] == '\t';
    }
    YARDER_ASSERT(count == tabs);
}

static void check_mail(const struct bytes *mail)
{
    size_t column = 0;
    for (size_t i = 0; i < mail->length; i++) {
        char c = mail->at[i];
        YARDER_ASSERT((c == '\n') == (i > 0 && mail->at[i - 1] == '\r'));
        YARDER_ASSERT((c >= 0x20 && c < 0x7F) || c == '\t' || c == '\r' || c == '\n');
        column = c == '\n' ? 0 : column + 1;
        YARDER_ASSERT(column < 998);
    }
}

/* Pairs without an empty name, each byte plain or escaped. */
static void check_form(const struct bytes *form)
{
    for (size_t i = 0; i < form->length; i++) {
        YARDER_ASSERT(strchr("%&=+_.-~", form->at[i]) != NULL ||
                      (form->at[i] >= '0' && form->at[i] <= '9') ||
                      ((form->at[i] | 32) >= 'a' && (form->at[i] | 32) <= 'z'));
    }
    YARDER_ASSERT(strncmp(form->at, "name=", 5) == 0);
}

static void end_with_nul(struct bytes *bytes)
{
    bytes_put_char(bytes, '\0');
    YARDER_ASSERT(!bytes->lacks);
    bytes->length--;
}

static void check_all(const struct yarder_item *item, const uint8_t options[8])
{
    static char to_one[] = "root";
    char *to[] = {to_one};
    const struct journal_style entry = {.bare = (options[0] & 1) != 0};
    const struct winevent_style event = {.channel = "Application",
        .hostname = "vm",
        .extended_levels = (options[0] & 2) != 0,
        .named_data = (options[0] & 4) != 0};
    const struct mail_style mail = {.from = "a@b",
        .to = {to, 1},
        .subject = "${level} ${host}${logger}${tag} ${msg} ${",
        .hostname = "vm",
        .output = "o"};
    struct bytes bytes = {0};
    journal_put_entry(&bytes, &entry, item, item->text);
    end_with_nul(&bytes);
    check_entry(&bytes);
    bytes_clear(&bytes);
    winevent_put_xml(&bytes, &event, item);
    end_with_nul(&bytes);
    check_xml(&bytes);
    bytes_clear(&bytes);
    winevent_put_snare(&bytes, &event, item);
    check_line(&bytes, 14);
    bytes_clear(&bytes);
    winevent_put_header(&bytes, &event, item, (options[0] & 8) != 0);
    check_line(&bytes, 0);
    bytes_clear(&bytes);
    winevent_put_json(&bytes, &event, item);
    cJSON *json = cJSON_ParseWithLength(bytes.at, bytes.length);
    YARDER_ASSERT(json != NULL && memchr(bytes.at, '\n', bytes.length) == NULL);
    cJSON_Delete(json);
    bytes_clear(&bytes);
    mail_put(&bytes, &mail, item, 1, 1700000000);
    check_mail(&bytes);
    bytes_clear(&bytes);
    http_put_form(&bytes, item->record);
    end_with_nul(&bytes);
    check_form(&bytes);
    bytes_free(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"winevent_id", "lineno", "MESSAGE", "k"};
    struct input input = {data, size};
    uint8_t options[8];
    for (size_t i = 0; i < sizeof(options); i++) {
        options[i] = take_byte(&input);
    }
    struct yarder_field fields[FIELDS_MAX];
    uint64_t numbers[FIELDS_MAX];
    uint32_t count = options[1] % (FIELDS_MAX + 1);
    for (uint32_t i = 0; i < count; i++) {
        unsigned type = 1 + take_byte(&input) % 5;
        const char *key = keys[type - 1 < 4 ? type - 1 : 3];
        fields[i].key =
            (options[0] & 16) != 0 ? take_text(&input) : (struct yarder_text){key, strlen(key)};
        fields[i].value = take_text(&input);
        fields[i].type = (enum yarder_field_type)type;
        if (fields[i].type != YARDER_FIELD_TEXT) {
            numbers[i] = 0;
            memcpy(&numbers[i], fields[i].value.at, yarder_min(fields[i].value.length, 8));
            fields[i].value = (struct yarder_text){
                (const char *)&numbers[i], type == YARDER_FIELD_BOOL ? 1 : sizeof(numbers[i])};
        }
    }
    struct yarder_record record = {.fields = fields,
        .fields_count = count,
        .level = options[2],
        .facility = options[3],
        .pid = options[4],
        .time_ns = (int64_t)((uint64_t)options[5] << 56 | (uint64_t)options[6] << 40)};
    record.host = take_text(&input);
    record.tag = take_text(&input);
    record.logger = take_text(&input);
    record.text = (struct yarder_text){(const char *)input.at, input.left};
    const struct yarder_item item = {.record = &record, .text = record.text, .id = {1, options[7]}};
    check_all(&item, options);
    return 0;
}
