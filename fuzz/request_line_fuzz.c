/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uWSGI's own line: anything at all, and lines made of values that are anything at all. Of these
 * each field that comes out is the value that went in, or the record says that it was in doubt.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "codec/request.h"

struct parsed {
    struct yarder_record record;
    struct yarder_field fields[YARDER_FIELDS_MAX];
    char scratch[REQUEST_SCRATCH_BYTES];
};

static bool parse(struct yarder_text line, struct parsed *out)
{
    static struct request_format *format;
    static struct request_memo memo;
    char why[256];
    if (format == NULL) {
        int r = request_open(&format, "uwsgi", why, sizeof(why));
        YARDER_ASSERT(r == 0);
    }
    *out = (struct parsed){.record = {.text = line}};
    bool found = request_parse(format, &memo, out->scratch, out->fields, &out->record);
    const struct yarder_record *record = &out->record;
    YARDER_ASSERT(text_equal(record->text, line));
    YARDER_ASSERT(found || (record->fields_count == 0 && record->kind == YARDER_KIND_LOG));
    for (uint32_t i = 0; i < record->fields_count; i++) {
        struct yarder_text value = out->fields[i].value;
        bool inside = value.at >= line.at && value.at + value.length <= line.at + line.length;
        bool number = value.at >= out->scratch &&
                      value.at + value.length <= out->scratch + sizeof(out->scratch);
        YARDER_ASSERT(out->fields[i].type == YARDER_FIELD_TEXT ? inside : number);
        YARDER_ASSERT(value.length > 0);
    }
    return found;
}

static const struct yarder_field *field_of(const struct parsed *parsed, const char *key)
{
    for (uint32_t i = 0; i < parsed->record.fields_count; i++) {
        if (text_is(parsed->fields[i].key, key)) {
            return &parsed->fields[i];
        }
    }
    return NULL;
}

static char *put(char *at, struct yarder_text text)
{
    if (text.length > 0) {
        memcpy(at, text.at, text.length);
    }
    return at + text.length;
}

enum { VALUES = 5 };
static const char *const keys[VALUES] = {"addr", "user", "method", "uri", "proto"};

/* One value is the client's choice, the others are what honest ones are. */
static void round_trip(struct yarder_text hostile, uint32_t which)
{
    static const char *const honest[VALUES] = {"127.0.0.1", "joe", "GET", "/a?b=c", "HTTP/1.1"};
    static const char *const between[VALUES + 1] = {"[pid: 7|app: 0|req: 1/2] ", " (",
        ") {2 vars in 30 bytes} [Sat Nov 21 00:59:12 2026] ", " ",
        " => generated 15 bytes in 3 msecs (",
        " 200) 1 headers in 45 bytes (1 switches on core 0)"};
    char *line = malloc(1024 + hostile.length);
    YARDER_ASSERT(line != NULL);
    char *at = put(line, text_of(between[0]));
    for (uint32_t i = 0; i < VALUES; i++) {
        at = put(at, i == which ? hostile : text_of(honest[i]));
        at = put(at, text_of(between[i + 1]));
    }
    static struct parsed parsed;
    bool found = parse((struct yarder_text){line, (size_t)(at - line)}, &parsed);
    YARDER_ASSERT(found);
    const struct yarder_field *status = field_of(&parsed, "status");
    uint64_t number = 0;
    YARDER_ASSERT(status != NULL);
    memcpy(&number, status->value.at, sizeof(number));
    YARDER_ASSERT(number == 200);
    bool plain = hostile.length > 0 && !text_is(hostile, "-") &&
                 memchr(hostile.at, ' ', hostile.length) == NULL;
    for (uint32_t i = 0; i < VALUES && plain; i++) {
        const struct yarder_field *field = field_of(&parsed, keys[i]);
        YARDER_ASSERT(field != NULL);
        YARDER_ASSERT(text_equal(field->value, i == which ? hostile : text_of(honest[i])));
    }
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    static struct parsed parsed;
    char *line = malloc(bytes_count + (bytes_count == 0));
    YARDER_ASSERT(line != NULL);
    memcpy(line, bytes, bytes_count);
    (void)parse((struct yarder_text){line, bytes_count}, &parsed);
    for (uint32_t i = 0; i < VALUES; i++) {
        round_trip((struct yarder_text){line, bytes_count}, i);
    }
    free(line);
    return 0;
}
