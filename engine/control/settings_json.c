/* SPDX-License-Identifier: Apache-2.0 */
/* {"uwsgi": {"key": "value", "key": ["value", ...]}}; what is no text stands as uWSGI takes it. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "control/settings_private.h"

/* The parser does not say where a key stood: keys come in their order, so the next one is it. */
struct places {
    const char *bytes;
    size_t bytes_count;
    size_t at;
    uint32_t line;
};

static uint32_t next_line(struct places *places, const char *key)
{
    char quoted[256];
    int length = snprintf(quoted, sizeof(quoted), "\"%s\"", key);
    const char *from = places->bytes + places->at;
    const char *found = length > 0 && (size_t)length < sizeof(quoted)
                            ? memmem(from, places->bytes_count - places->at, quoted, (size_t)length)
                            : NULL;
    if (found == NULL) {
        return places->line;
    }
    for (const char *at = from; at < found; at++) {
        places->line += *at == '\n' ? 1 : 0;
    }
    places->at = (size_t)(found - places->bytes);
    return places->line;
}

static void take_value(
    const struct settings_pairs *pairs, uint32_t line, const char *key, const cJSON *value)
{
    char number[64];
    struct yarder_text text = {number, 0};
    struct yarder_text name = {key, strlen(key)};
    if (cJSON_IsString(value)) {
        text = (struct yarder_text){value->valuestring, strlen(value->valuestring)};
    } else if (cJSON_IsNumber(value)) {
        bool whole =
            fabs(value->valuedouble) < 9e15 && floor(value->valuedouble) == value->valuedouble;
        text.length =
            (size_t)snprintf(number, sizeof(number), whole ? "%.0f" : "%g", value->valuedouble);
    } else if (cJSON_IsBool(value) || cJSON_IsNull(value)) {
        number[0] = cJSON_IsTrue(value) ? '1' : '0';
        text.length = 1;
    } else {
        return; /* an object below a key says nothing to uWSGI */
    }
    pairs->take(pairs->context, line, name, text);
}

static void take_all(
    const struct settings_pairs *pairs, const cJSON *section, struct places *places)
{
    for (const cJSON *item = section->child; item != NULL; item = item->next) {
        const char *key = item->string != NULL ? item->string : "";
        uint32_t line = next_line(places, key);
        if (!cJSON_IsArray(item)) {
            take_value(pairs, line, key, item);
            continue;
        }
        for (const cJSON *value = item->child; value != NULL; value = value->next) {
            take_value(pairs, line, key, value);
        }
    }
}

static uint32_t line_of(const char *bytes, const char *at)
{
    uint32_t line = 1;
    for (; bytes < at; bytes++) {
        line += *bytes == '\n' ? 1 : 0;
    }
    return line;
}

int settings_read_json(const struct settings_pairs *pairs, const char *bytes, size_t bytes_count,
    uint32_t *line, char why[SETTINGS_WHY_BYTES])
{
    const char *end = NULL;
    if (bytes_count == 0) {
        return SETTINGS_NO_SECTION;
    }
    cJSON *root = cJSON_ParseWithLengthOpts(bytes, bytes_count, &end, false);
    if (root == NULL) {
        bool known = end != NULL && end >= bytes && end <= bytes + bytes_count;
        *line = known ? line_of(bytes, end) : 1;
        (void)snprintf(why, SETTINGS_WHY_BYTES, "no JSON from here on");
        return -EINVAL;
    }
    const cJSON *section = cJSON_GetObjectItemCaseSensitive(root, pairs->section);
    bool found = cJSON_IsObject(section);
    if (found) {
        struct places places = {bytes, bytes_count, 0, 1};
        (void)next_line(&places, pairs->section);
        take_all(pairs, section, &places);
    }
    cJSON_Delete(root);
    return found ? 0 : SETTINGS_NO_SECTION;
}
