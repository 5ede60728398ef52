/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any format compiles or is refused with a reason; what compiles keeps to its bound. The input up
 * to the first newline is the format, the rest is the record's texts. JSON must parse.
 */
#include <string.h>

#include <cjson/cJSON.h>

#include "codec/encode.h"

enum { WHY_BYTES = 200, PATH_ROOM = 300 };

static const int64_t number = INT64_MIN;
static const double ratio = -1.2345678901234567e-300;

static size_t run_exact(struct encoder *encoder, const struct yarder_record *record, char **out)
{
    size_t bound = encoder_bound(encoder, record);
    *out = malloc(bound);
    YARDER_ASSERT(*out != NULL);
    size_t length = encoder_run(encoder, record, *out);
    YARDER_ASSERT(length > 0 && length <= bound);
    YARDER_ASSERT((*out)[length - 1] == '\n');
    return length;
}

static void run_format(
    const char *format, const struct yarder_record *record, enum encode_newlines newlines)
{
    char why[WHY_BYTES] = "";
    struct encoder *encoder = NULL;
    if (encoder_open(&encoder, format, newlines, "vm", why, sizeof(why)) < 0) {
        YARDER_ASSERT(why[0] != '\0');
        return;
    }
    char *out = NULL;
    size_t length = run_exact(encoder, record, &out);
    if (newlines == ENCODE_NEWLINES_ESCAPE && strchr(format, '\n') == NULL) {
        YARDER_ASSERT(memchr(out, '\n', length) == out + length - 1);
    }
    free(out);
    encoder_close(encoder);
}

static void run_json(const struct yarder_record *record)
{
    char why[WHY_BYTES];
    struct encoder *encoder = NULL;
    int result = encoder_open(&encoder, "json", ENCODE_NEWLINES_AUTO, NULL, why, sizeof(why));
    YARDER_ASSERT(result == 0);
    char *out = NULL;
    size_t length = run_exact(encoder, record, &out);
    cJSON *json = cJSON_ParseWithLength(out, length);
    YARDER_ASSERT(json != NULL);
    cJSON_Delete(json);
    free(out);
    encoder_close(encoder);
}

static void run_path(const char *format, const struct yarder_record *record)
{
    char why[WHY_BYTES] = "";
    char at[PATH_ROOM];
    struct path_template *path = NULL;
    if (path_template_open(&path, format, "vm", why, sizeof(why)) < 0) {
        YARDER_ASSERT(why[0] != '\0');
        return;
    }
    int length = path_template_run(path, record, at, sizeof(at));
    if (length >= 0) {
        YARDER_ASSERT(strlen(at) == (size_t)length);
    }
    if (length >= 0 && strchr(format, '/') == NULL && strchr(format, '%') == NULL) {
        YARDER_ASSERT(memchr(at, '/', (size_t)length) == NULL);
    }
    path_template_close(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    const uint8_t *end = bytes_count == 0 ? NULL : memchr(bytes, '\n', bytes_count);
    size_t format_bytes = end == NULL ? bytes_count : (size_t)(end - bytes);
    size_t rest_bytes = end == NULL ? 0 : bytes_count - format_bytes - 1;
    char *format = calloc(1, format_bytes + 1);
    char *rest = malloc(rest_bytes + 1);
    YARDER_ASSERT(format != NULL && rest != NULL);
    memcpy(format, bytes, format_bytes);
    memcpy(rest, bytes + bytes_count - rest_bytes, rest_bytes);
    size_t third = rest_bytes / 3;
    const struct yarder_text text = {rest, rest_bytes};
    const struct yarder_text part = {rest + third, third};
    const struct yarder_field fields[] = {
        {{"a", 1}, text, YARDER_FIELD_TEXT},
        {part, text, YARDER_FIELD_TEXT},
        {{"n", 1}, {(const char *)&number, 8}, YARDER_FIELD_INT},
        {{"f", 1}, {(const char *)&ratio, 8}, YARDER_FIELD_FLOAT},
        {{"bad", 3}, {rest, yarder_min(rest_bytes, 3)}, YARDER_FIELD_UINT},
        {{"exc_text", 8}, part, YARDER_FIELD_TEXT},
    };
    struct yarder_record record = {.time_ns = (int64_t)(rest_bytes * 0x9E3779B97F4A7C15ULL),
        .received_ns = INT64_MIN,
        .text = text,
        .host = part,
        .peer = {rest, third},
        .tag = part,
        .logger = {rest, third},
        .fields = fields,
        .fields_count = YARDER_COUNT_OF(fields),
        .flags = (uint32_t)format_bytes & 31,
        .pid = UINT32_MAX,
        .tid = (uint32_t)third,
        .lost_before = UINT32_MAX,
        .level = (uint8_t)(rest_bytes * 7),
        .kind = (uint8_t)third,
        .stream = (uint8_t)third,
        .facility = (uint8_t)rest_bytes};
    for (unsigned newlines = ENCODE_NEWLINES_AUTO; newlines <= ENCODE_NEWLINES_INDENT; newlines++) {
        run_format(format, &record, (enum encode_newlines)newlines);
        run_format("text", &record, (enum encode_newlines)newlines);
        run_format("syslog", &record, (enum encode_newlines)newlines);
        run_format("rfc5424", &record, (enum encode_newlines)newlines);
    }
    run_json(&record);
    run_path(format, &record);
    free(format);
    free(rest);
    return 0;
}
