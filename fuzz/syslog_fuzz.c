/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever comes in: texts lie inside the line or the scratch, and what rfc5424 writes of it is
 * read back with the same fields, pid, level, facility and time.
 */
#include <string.h>

#include "base/text.h"
#include "codec/encode.h"
#include "codec/syslog.h"

enum { SCRATCH_BYTES = 512 };
static const int64_t received_ns = 1795221000123456000;

struct parsed {
    struct yarder_record record;
    struct yarder_field fields[YARDER_FIELDS_MAX];
    char scratch[SCRATCH_BYTES];
};

static void assert_inside(struct yarder_text text, struct yarder_text line, const char *scratch)
{
    static const char *const constants[] = {"msgid", "procid"};
    bool in_line = text.at >= line.at && text.at + text.length <= line.at + line.length;
    bool in_scratch = text.at >= scratch && text.at + text.length <= scratch + SCRATCH_BYTES;
    bool constant = text_is(text, constants[0]) || text_is(text, constants[1]);
    YARDER_ASSERT(text.length == 0 || in_line || in_scratch || constant);
}

static void parse(
    struct syslog_parser *parser, struct yarder_text line, size_t scratch_bytes, struct parsed *out)
{
    *out = (struct parsed){.record.received_ns = received_ns};
    struct yarder_record *record = &out->record;
    syslog_parse(parser, line, out->scratch, scratch_bytes, out->fields, record);
    assert_inside(record->text, line, out->scratch);
    assert_inside(record->host, line, out->scratch);
    assert_inside(record->tag, line, out->scratch);
    YARDER_ASSERT(record->fields_count <= YARDER_FIELDS_MAX);
    for (uint32_t i = 0; i < record->fields_count; i++) {
        assert_inside(out->fields[i].key, line, out->scratch);
        assert_inside(out->fields[i].value, line, out->scratch);
    }
    if ((record->flags & YARDER_FLAG_UNPARSED) != 0) {
        YARDER_ASSERT(text_equal(record->text, line));
    }
}

static bool has_field(const struct parsed *parsed, const struct yarder_field *wanted)
{
    for (uint32_t i = 0; i < parsed->record.fields_count; i++) {
        if (text_equal(parsed->fields[i].key, wanted->key) &&
            text_equal(parsed->fields[i].value, wanted->value)) {
            return true;
        }
    }
    return false;
}

static void round_trip(struct syslog_parser *parser, struct encoder *encoder, struct parsed *first)
{
    static struct parsed second;
    size_t bound = encoder_bound(encoder, &first->record);
    char *line = malloc(bound);
    YARDER_ASSERT(line != NULL);
    size_t length = encoder_run(encoder, &first->record, line);
    YARDER_ASSERT(length <= bound);
    parse(parser, (struct yarder_text){line, length}, SCRATCH_BYTES, &second);
    bool fits = true; /* keys and values may need more scratch than they had in the first line */
    size_t scratch_needed = 0;
    for (uint32_t i = 0; i < first->record.fields_count; i++) {
        scratch_needed += first->fields[i].key.length + 2 * first->fields[i].value.length;
    }
    fits = scratch_needed <= SCRATCH_BYTES;
    if (fits) {
        YARDER_ASSERT(second.record.fields_count == first->record.fields_count);
        for (uint32_t i = 0; i < first->record.fields_count; i++) {
            YARDER_ASSERT(has_field(&second, &first->fields[i]));
        }
    }
    YARDER_ASSERT(second.record.pid == first->record.pid);
    YARDER_ASSERT(second.record.time_ns / 1000 == first->record.time_ns / 1000);
    if (first->record.facility != YARDER_FACILITY_NONE) {
        YARDER_ASSERT(second.record.facility == first->record.facility);
        YARDER_ASSERT(second.record.level == first->record.level);
    }
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    static struct encoder *encoder;
    static struct syslog_parser parser;
    static struct parsed parsed;
    char why[256];
    if (encoder == NULL) {
        int result =
            encoder_open(&encoder, "rfc5424", ENCODE_NEWLINES_KEEP, "vm", why, sizeof(why));
        YARDER_ASSERT(result == 0);
    }
    char *line = malloc(bytes_count + (bytes_count == 0));
    YARDER_ASSERT(line != NULL);
    memcpy(line, bytes, bytes_count);
    parse(&parser, (struct yarder_text){line, bytes_count}, bytes_count % 37, &parsed);
    parse(&parser, (struct yarder_text){line, bytes_count}, SCRATCH_BYTES, &parsed);
    round_trip(&parser, encoder, &parsed);
    free(line);
    return 0;
}
