/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A template, and behind its line end a line. What comes out lies in the line; both ways to look
 * for anchors agree on whether the line is one; what the clean way finds is found from the left.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "codec/request_private.h"

static void check_places(const struct request_program *program, struct yarder_text line, bool clean)
{
    struct request_places left;
    struct request_places right;
    bool from_left = request_from_left(program, line, &left);
    bool from_right = request_from_right(program, line, &right);
    YARDER_ASSERT(from_left == from_right);
    YARDER_ASSERT(from_left || !clean);
    for (uint32_t i = 0; i <= program->values_count && from_left; i++) {
        YARDER_ASSERT(left.at[i] <= right.at[i]);
        YARDER_ASSERT(left.at[i] <= left.end[i] && right.at[i] <= right.end[i]);
        /* A clean line can be read in one way only. */
        YARDER_ASSERT(!clean || left.at[i] == right.at[i]);
    }
}

static void check_line(const struct request_program *program, struct yarder_text line)
{
    static struct request_memo memo;
    static struct yarder_field fields[YARDER_FIELDS_MAX];
    static char scratch[REQUEST_SCRATCH_BYTES];
    struct yarder_record record = {.text = line};
    struct request_work work = {.program = program,
        .memo = &memo,
        .record = &record,
        .fields = fields,
        .scratch = scratch,
        .end = line.at + line.length};
    struct request_work again = work;
    bool clean = request_match_clean(&again);
    bool found = request_match(&work);
    YARDER_ASSERT(found || !clean);
    YARDER_ASSERT(!clean || work.fields_count == again.fields_count);
    check_places(program, line, clean);
    for (uint32_t i = 0; i < work.fields_count && found; i++) {
        struct yarder_text value = fields[i].value;
        YARDER_ASSERT(fields[i].type != YARDER_FIELD_TEXT ||
                      (value.at >= line.at && value.at + value.length <= work.end));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    const uint8_t *line_end = memchr(bytes, '\n', bytes_count);
    if (line_end == NULL) {
        return 0;
    }
    size_t format_bytes = (size_t)(line_end - bytes);
    size_t line_bytes = bytes_count - format_bytes - 1;
    char *format = calloc(1, format_bytes + 1);
    char *line = malloc(line_bytes + (line_bytes == 0));
    struct request_program *program = malloc(sizeof(*program));
    YARDER_ASSERT(format != NULL && line != NULL && program != NULL);
    memcpy(format, bytes, format_bytes);
    memcpy(line, line_end + 1, line_bytes);
    char why[256];
    if (request_compile(program, format, format_bytes % 2 == 0, why, sizeof(why)) == 0) {
        check_line(program, (struct yarder_text){line, line_bytes});
    }
    free(program->memory);
    free(program);
    free(line);
    free(format);
    return 0;
}
