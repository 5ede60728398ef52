/* SPDX-License-Identifier: Apache-2.0 */
/* A dead letter, as offload/dead_letter.h lays it out, back into the record that it is of. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "cli/spool.h"
#include "codec/pack.h"

/* A line that is read: its texts lie in the JSON, or in memory of `raw`. */
struct letter {
    struct yarder_record record;
    struct yarder_field fields[YARDER_FIELDS_MAX];
    char *raw, *raw_end; /* room for what base64 gives back: never more than the line has */
    bool bad;
};

static int digit_of(char byte)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = byte == '\0' ? NULL : strchr(digits, byte);
    return found == NULL ? -1 : (int)(found - digits);
}

static struct yarder_text decode(struct letter *letter, const char *from)
{
    char *begin = letter->raw_end;
    uint32_t bits = 0;
    unsigned have = 0;
    for (; *from != '\0' && *from != '='; from++) {
        int digit = digit_of(*from);
        letter->bad = letter->bad || digit < 0;
        bits = bits << 6 | (uint32_t)(digit & 63);
        have += 6;
        if (have >= 8) {
            have -= 8;
            *letter->raw_end++ = (char)(bits >> have);
        }
    }
    return (struct yarder_text){begin, (size_t)(letter->raw_end - begin)};
}

/* A JSON string, or {"base64":"..."}; nothing: empty. */
static struct yarder_text text_at(struct letter *letter, const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    const cJSON *raw = cJSON_GetObjectItemCaseSensitive(value, "base64");
    if (cJSON_IsString(value)) {
        return (struct yarder_text){value->valuestring, strlen(value->valuestring)};
    }
    if (cJSON_IsString(raw)) {
        return decode(letter, raw->valuestring);
    }
    letter->bad = letter->bad || value != NULL;
    return (struct yarder_text){0};
}

static uint32_t number_at(
    struct letter *letter, const cJSON *object, const char *name, uint32_t most, uint32_t missing)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    if (value == NULL) {
        return missing;
    }
    bool good = cJSON_IsNumber(value) && value->valuedouble >= 0 && value->valuedouble <= most;
    letter->bad = letter->bad || !good;
    return good ? (uint32_t)value->valuedouble : 0;
}

static int64_t time_at(struct letter *letter, const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    char *end = NULL;
    if (!cJSON_IsString(value)) {
        letter->bad = true;
        return 0;
    }
    long long time_ns = strtoll(value->valuestring, &end, 10);
    letter->bad = letter->bad || end == value->valuestring || *end != '\0';
    return time_ns;
}

static struct yarder_text keep_raw(struct letter *letter, const void *bytes, size_t count)
{
    char *begin = letter->raw_end;
    memcpy(begin, bytes, count);
    letter->raw_end += count;
    return (struct yarder_text){begin, count};
}

/* The raw bytes of a number that stands as text. */
static struct yarder_text value_of(struct letter *letter, const cJSON *field, int type)
{
    struct yarder_text text = text_at(letter, field, "value");
    bool raw = !cJSON_IsString(cJSON_GetObjectItemCaseSensitive(field, "value"));
    if (type == YARDER_FIELD_TEXT || raw || letter->bad) {
        return text;
    }
    uint8_t truth = strcmp(text.at, "true") == 0;
    int64_t whole = strtoll(text.at, NULL, 10);
    uint64_t natural = strtoull(text.at, NULL, 10);
    double real = strtod(text.at, NULL);
    switch (type) {
    case YARDER_FIELD_INT:
        return keep_raw(letter, &whole, sizeof(whole));
    case YARDER_FIELD_UINT:
        return keep_raw(letter, &natural, sizeof(natural));
    case YARDER_FIELD_FLOAT:
        return keep_raw(letter, &real, sizeof(real));
    default:
        return keep_raw(letter, &truth, sizeof(truth));
    }
}

static int type_of(const char *word)
{
    static const char *const words[] = {"text", "int", "uint", "float", "bool"};
    for (int i = 0; i < (int)YARDER_COUNT_OF(words); i++) {
        if (word != NULL && strcmp(words[i], word) == 0) {
            return i + YARDER_FIELD_TEXT;
        }
    }
    return 0;
}

static void read_fields(struct letter *letter, const cJSON *list)
{
    const cJSON *one = NULL;
    uint32_t count = 0;
    cJSON_ArrayForEach(one, list)
    {
        int type = type_of(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "type")));
        if (type == 0 || count == YARDER_FIELDS_MAX) {
            letter->bad = true;
            return;
        }
        letter->fields[count].key = text_at(letter, one, "key");
        letter->fields[count].type = (enum yarder_field_type)type;
        letter->fields[count].value = value_of(letter, one, type);
        count++;
    }
    letter->record.fields = letter->fields;
    letter->record.fields_count = count;
}

static void read_record(struct letter *letter, const cJSON *json)
{
    letter->record = (struct yarder_record){.time_ns = time_at(letter, json, "time_ns"),
        .received_ns = time_at(letter, json, "received_ns"),
        .text = text_at(letter, json, "text"),
        .host = text_at(letter, json, "host"),
        .peer = text_at(letter, json, "peer"),
        .tag = text_at(letter, json, "tag"),
        .logger = text_at(letter, json, "logger"),
        .flags = number_at(letter, json, "flags", UINT32_MAX, 0),
        .pid = number_at(letter, json, "pid", UINT32_MAX, 0),
        .tid = number_at(letter, json, "tid", UINT32_MAX, 0),
        .lost_before = number_at(letter, json, "lost_before", UINT32_MAX, 0),
        .input = (uint16_t)number_at(letter, json, "input", UINT16_MAX, 0),
        .level = (uint8_t)number_at(letter, json, "level", UINT8_MAX, 0),
        .kind = (uint8_t)number_at(letter, json, "kind", YARDER_KIND_REQUEST, 0),
        .stream = (uint8_t)number_at(letter, json, "stream", YARDER_STREAM_STDERR, 0),
        .facility = (uint8_t)number_at(letter, json, "facility", 23, YARDER_FACILITY_NONE)};
    read_fields(letter, cJSON_GetObjectItemCaseSensitive(json, "fields"));
}

int letter_pack(const char *line, char *at, size_t room, size_t *taken)
{
    *taken = 0;
    cJSON *json = cJSON_Parse(line);
    const cJSON *record = cJSON_GetObjectItemCaseSensitive(json, "record");
    struct letter letter = {0};
    /* A number takes 8 bytes, and at least 30 in the line. */
    YARDER_OWN_HEAP char *raw = malloc(strlen(line) + 1);
    int r = raw == NULL ? -ENOMEM : 0;
    letter.raw = letter.raw_end = raw;
    if (r == 0 && cJSON_IsObject(record)) {
        read_record(&letter, record);
        size_t bytes = letter.bad ? 0 : pack_bytes(&letter.record);
        if (bytes > room) {
            r = -EMSGSIZE;
        } else if (!letter.bad) {
            *taken = pack_record(&letter.record, (struct yarder_id){0}, at);
        }
    }
    cJSON_Delete(json);
    return r;
}
