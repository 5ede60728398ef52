/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a client chooses (a path, a User-Agent, a user's name) forges no line, in no format.
 * Method: hostile values in every text of a record but its message, through every format with every
 * rule for newlines; then as the text of a request, by the default rule.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "base/text.h"
#include "codec/encode.h"

static const char *const formats[] = {"text", "syslog", "rfc5424", "json",
    "${msg} ${host} ${peer} ${tag} ${logger} ${field.uagent} ${field.status} ${fields}",
    "${time:%F} ${field.uagent}", "python:%(name)s %(message)s %(uagent)s %(status)d %(tag)s",
    "python:%(uagent)-200s|%(uagent).3s"};

#define HOSTILE(bytes)                                                                             \
    {                                                                                              \
        bytes, sizeof(bytes) - 1                                                                   \
    }
static const struct yarder_text values[] = {
    HOSTILE("curl\n127.0.0.1 - - \"GET /forged HTTP/1.1\" 200"),
    HOSTILE("a\r\nb"),
    HOSTILE("\n"),
    HOSTILE("\"} {\"msg\":\"forged"),
    HOSTILE("x\"] forged [y z=\""),
    HOSTILE("\\\" \\n \\u0000 \\"),
    HOSTILE("\x1b[2J\x1b]0;title\x07\x1b[31m"),
    HOSTILE("nul\0nul\0"),
    HOSTILE("\xff\xfe\xc3(\xe2\x82\xf0\x90"),
    HOSTILE("\x01\x02\x03\x7f\x0b\x0c\x08"),
    HOSTILE("${msg} %(message)s %s %n"),
    HOSTILE("<13>1 2026-01-01T00:00:00Z h a - - - forged"),
    HOSTILE("\xe2\x80\xa8\xe2\x80\xa9\xc2\x85"),
};

static bool is_control(char byte)
{
    return ((unsigned char)byte < ' ' && byte != '\t') || byte == 127;
}

static void check_one_line(const char *format, const char *bytes, size_t length)
{
    assert_int_equal(bytes[length - 1], '\n');
    bool json = strcmp(format, "json") == 0 || strstr(format, "${fields}") != NULL;
    for (size_t i = 0; i + 1 < length; i++) {
        if (is_control(bytes[i]) && !(json && bytes[i] == 127)) {
            fail_msg("%s: byte %02x at %zu", format, (unsigned)bytes[i], i);
        }
    }
}

static void check_json(const char *bytes, size_t length, struct yarder_text value)
{
    const char *end = NULL;
    cJSON *object = cJSON_ParseWithLengthOpts(bytes, length, &end, false);
    assert_non_null(object);
    assert_ptr_equal(end, bytes + length - 1);
    const cJSON *fields = cJSON_GetObjectItemCaseSensitive(object, "fields");
    const cJSON *field = cJSON_GetObjectItemCaseSensitive(fields, "uagent");
    assert_true(cJSON_IsString(field));
    bool ascii = memchr(value.at, 0, value.length) == NULL;
    for (size_t i = 0; i < value.length; i++) {
        ascii = ascii && (unsigned char)value.at[i] < 128;
    }
    if (ascii) {
        assert_int_equal(strlen(field->valuestring), value.length);
        assert_memory_equal(field->valuestring, value.at, value.length);
    }
    cJSON_Delete(object);
}

static void check_record(
    const char *format, enum encode_newlines newlines, const struct yarder_record *record)
{
    char why[256] = "";
    struct encoder *encoder = NULL;
    assert_int_equal(encoder_open(&encoder, format, newlines, "vm", why, sizeof(why)), 0);
    size_t bound = encoder_bound(encoder, record);
    char *bytes = malloc(bound);
    assert_non_null(bytes);
    size_t length = encoder_run(encoder, record, bytes);
    assert_true(length <= bound);
    check_one_line(format, bytes, length);
    if (strcmp(format, "json") == 0) {
        check_json(bytes, length, record->fields[0].value);
    }
    free(bytes);
    encoder_close(encoder);
}

static struct yarder_record record_with(
    struct yarder_text value, struct yarder_field *fields, const uint64_t *status)
{
    fields[0] = (struct yarder_field){{"uagent", 6}, value, YARDER_FIELD_TEXT};
    fields[1] = (struct yarder_field){{"status", 6}, {(const char *)status, 8}, YARDER_FIELD_UINT};
    fields[2] = (struct yarder_field){value, value, YARDER_FIELD_TEXT};
    return (struct yarder_record){.text = {"message", 7},
        .host = value,
        .peer = value,
        .tag = value,
        .logger = value,
        .fields = fields,
        .fields_count = 3,
        .facility = YARDER_FACILITY_NONE};
}

static void values_forge_nothing(void **state)
{
    (void)state;
    static const uint64_t status = 200;
    struct yarder_field fields[3];
    for (size_t v = 0; v < YARDER_COUNT_OF(values); v++) {
        struct yarder_record record = record_with(values[v], fields, &status);
        for (size_t f = 0; f < YARDER_COUNT_OF(formats); f++) {
            /* A value of structured data may have newlines in it for whoever says keep: whoever
             * frames by counts. */
            bool counted = strcmp(formats[f], "rfc5424") == 0;
            check_record(formats[f], ENCODE_NEWLINES_AUTO, &record);
            check_record(formats[f], ENCODE_NEWLINES_ESCAPE, &record);
            if (!counted) {
                check_record(formats[f], ENCODE_NEWLINES_KEEP, &record);
                check_record(formats[f], ENCODE_NEWLINES_INDENT, &record);
            }
        }
    }
}

static void requests_forge_nothing(void **state)
{
    (void)state;
    static const uint64_t status = 200;
    struct yarder_field fields[3];
    for (size_t v = 0; v < YARDER_COUNT_OF(values); v++) {
        struct yarder_record record = record_with(values[v], fields, &status);
        record.text = values[v];
        record.kind = YARDER_KIND_REQUEST;
        assert_true(encode_is_foreign(&record));
        for (size_t f = 0; f < YARDER_COUNT_OF(formats); f++) {
            check_record(formats[f], ENCODE_NEWLINES_AUTO, &record);
        }
    }
}

/* Names are looked at by words: each control byte at each place of each short length. */
static void each_place_of_a_name(void **state)
{
    (void)state;
    static const char controls[] = "\0\n\r\x1b\x1f\x7f";
    for (size_t length = 1; length <= 33; length++) {
        for (size_t at = 0; at < length; at++) {
            for (size_t i = 0; i < sizeof(controls) - 1; i++) {
                char name[64];
                memset(name, at % 2 == 0 ? 'x' : '\t', sizeof(name));
                name[at] = controls[i];
                const struct yarder_record record = {
                    .tag = {name, length}, .facility = YARDER_FACILITY_NONE};
                check_record("${tag}", ENCODE_NEWLINES_KEEP, &record);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_forge_nothing),
        cmocka_unit_test(requests_forge_nothing),
        cmocka_unit_test(each_place_of_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
