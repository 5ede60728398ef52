/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any record as GELF: it is JSON, its members are GELF's and none comes twice, and a message that
 * is valid UTF-8 comes back the same.
 *
 *   input: 16 bytes of options, then texts, each with its length (a byte, or two) before it
 */
#include <cjson/cJSON.h>
#include <string.h>

#include "../backends/gelf.h"
#include "input.h"

static bool is_utf8_without_nul(struct yarder_text text)
{
    for (size_t i = 0, taken; i < text.length; i += taken) {
        uint32_t point = bytes_code_point(text.at + i, text.length - i, &taken);
        if (point == 0 || (point == 0xFFFD && taken == 1)) {
            return false;
        }
    }
    return true;
}

static void check_members(const cJSON *object)
{
    for (const cJSON *one = object->child; one != NULL; one = one->next) {
        for (const cJSON *other = one->next; other != NULL; other = other->next) {
            YARDER_ASSERT(strcmp(one->string, other->string) != 0);
        }
        YARDER_ASSERT(cJSON_IsString(one) || cJSON_IsNumber(one));
        YARDER_ASSERT(strcmp(one->string, "_id") != 0);
        if (one->string[0] == '_') {
            size_t good = strspn(one->string, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                              "0123456789_.-");
            YARDER_ASSERT(one->string[good] == '\0');
        }
    }
}

static void check_message(const cJSON *object, struct yarder_text message)
{
    const cJSON *shorter = cJSON_GetObjectItemCaseSensitive(object, "short_message");
    const cJSON *full = cJSON_GetObjectItemCaseSensitive(object, "full_message");
    YARDER_ASSERT(cJSON_IsString(shorter));
    if (is_utf8_without_nul(message)) { /* cJSON's texts end at a NUL */
        YARDER_ASSERT(shorter->valuestring[0] != '\0');
        const char *whole = full != NULL ? full->valuestring : shorter->valuestring;
        YARDER_ASSERT(message.length == 0 || (strlen(whole) == message.length &&
                                                 memcmp(whole, message.at, message.length) == 0));
    }
}

static void check(
    const struct gelf_shape *shape, const struct yarder_record *record, struct yarder_text message)
{
    struct bytes bytes = {0};
    gelf_put(&bytes, shape, record, message);
    YARDER_ASSERT(!bytes.lacks);
    YARDER_ASSERT(memchr(bytes.at, '\0', bytes.length) == NULL);
    const char *end = NULL;
    cJSON *object = cJSON_ParseWithLengthOpts(bytes.at, bytes.length, &end, false);
    YARDER_ASSERT(object != NULL && end == bytes.at + bytes.length);
    for (size_t i = 0; i < bytes.length; i++) {
        YARDER_ASSERT((unsigned char)bytes.at[i] >= 0x20); /* cJSON would let them pass */
    }
    for (size_t i = 0, taken; i < bytes.length; i += taken) {
        uint32_t point = bytes_code_point(bytes.at + i, bytes.length - i, &taken);
        YARDER_ASSERT(point != 0xFFFD || taken == 3);
    }
    check_members(object);
    check_message(object, message);
    const cJSON *level = cJSON_GetObjectItemCaseSensitive(object, "level");
    YARDER_ASSERT(cJSON_IsNumber(level) && level->valueint >= 0 && level->valueint <= 7);
    cJSON_Delete(object);
    bytes_free(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    static char extra_text[] = "key=value";
    static char *extras[] = {extra_text};
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct input input = {bytes, bytes_count};
    uint8_t options = take_byte(&input);
    struct gelf_shape shape = {.host = "vm",
        .facility = (options & 1) != 0 ? "yarder" : NULL,
        .short_bytes = 16 + take_byte(&input),
        .extra = {extras, (options & 2) != 0},
        .fields = (options & 4) == 0};
    struct yarder_record record = {.level = take_byte(&input),
        .facility = take_byte(&input),
        .stream = take_byte(&input),
        .kind = take_byte(&input) & 1,
        .flags = take_byte(&input),
        .pid = take_byte(&input),
        .tid = take_byte(&input),
        .lost_before = take_byte(&input),
        .fields = fields};
    uint8_t time[8] = {0};
    for (size_t i = 0; i < sizeof(time); i++) {
        time[i] = take_byte(&input);
    }
    memcpy(&record.time_ns, time, sizeof(time));
    record.host = take_text(&input);
    record.peer = take_text(&input);
    record.tag = take_text(&input);
    record.logger = take_text(&input);
    struct yarder_text message = take_text(&input);
    while (input.left > 0 && record.fields_count < YARDER_FIELDS_MAX) {
        struct yarder_field *field = &fields[record.fields_count++];
        field->type = (enum yarder_field_type)(take_byte(&input) % 6);
        field->key = take_text(&input);
        field->value = take_text(&input);
    }
    check(&shape, &record, message);
    return 0;
}
