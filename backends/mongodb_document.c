/* SPDX-License-Identifier: Apache-2.0 */
/*
 * {_id, node, ts, msg}, as uWSGI's mongodblog has them, and what fields=yes adds. BSON's texts are
 * UTF-8: what is not becomes U+FFFD, byte for byte.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mongodb_private.h"

enum { ID_BYTES = 24, NS_IN_MS = 1000000, KEY_SUFFIX_BYTES = 8 };
static const char replacement[] = "\xEF\xBF\xBD";
enum { REPLACEMENT_BYTES = sizeof(replacement) - 1 };

uint64_t mongodb_origin(const char *hostname, const char *output_name)
{
    const char *const texts[] = {hostname, output_name};
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < 2; i++) {
        for (const char *at = texts[i]; *at != '\0'; at++) {
            hash = (hash ^ (uint8_t)*at) * 0x100000001b3u;
        }
        hash *= 0x100000001b3u; /* the end of each text counts, too */
    }
    return hash;
}

void mongodb_shape_close(struct mongodb_shape *shape)
{
    free(shape->scratch);
    shape->scratch = NULL;
    shape->scratch_bytes = 0;
}

/* Bytes of the UTF-8 sequence at `at`; 0: it is none. */
static size_t sequence(const uint8_t *at, size_t room)
{
    uint8_t first = at[0];
    if (first < 0x80) {
        return 1;
    }
    size_t count = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || count > room) {
        return 0;
    }
    for (size_t i = 1; i < count; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (first == 0xE0 && at[1] < 0xA0) || (first == 0xF0 && at[1] < 0x90);
    bool beyond = (first == 0xED && at[1] > 0x9F) || (first == 0xF4 && at[1] > 0x8F);
    return overlong || beyond ? 0 : count;
}

/* How much from `from` on is plain ASCII, in whole words of 8 bytes. */
static size_t ascii_words(struct yarder_text text, size_t from)
{
    size_t at = from;
    uint64_t word = 0;
    while (text.length - at >= sizeof(word)) {
        memcpy(&word, text.at + at, sizeof(word));
        if ((word & 0x8080808080808080u) != 0) {
            break;
        }
        at += sizeof(word);
    }
    return at - from;
}

/* As sequence(), of what is there; a key has no NUL. */
static size_t sequence_in(struct yarder_text text, size_t from, bool key)
{
    uint8_t bytes[4] = {0};
    size_t rest = text.length - from < 4 ? text.length - from : 4;
    memcpy(bytes, text.at + from, rest);
    return key && bytes[0] == 0 ? 0 : sequence(bytes, rest);
}

/* libbson's own check lets an overlong NUL pass. */
static bool is_valid(struct yarder_text text, bool key)
{
    size_t at = 0;
    while (at < text.length) {
        size_t count = key ? 0 : ascii_words(text, at);
        count = count > 0 ? count : sequence_in(text, at, key);
        if (count == 0) {
            return false;
        }
        at += count;
    }
    return true;
}

/* Valid UTF-8 of a text, at *out: itself, or in the scratch memory. `key`: nor any NUL. */
static bool make_valid(
    struct mongodb_shape *shape, struct yarder_text text, bool key, struct yarder_text *out)
{
    *out = text.length == 0 ? (struct yarder_text){"", 0} : text;
    if (is_valid(text, key)) {
        return true;
    }
    size_t room = text.length * REPLACEMENT_BYTES;
    if (shape->scratch_bytes < room) {
        free(shape->scratch);
        shape->scratch = malloc(room);
        shape->scratch_bytes = shape->scratch == NULL ? 0 : room;
        if (shape->scratch == NULL) {
            return false;
        }
    }
    char *at = shape->scratch;
    for (size_t i = 0; i < text.length;) {
        size_t count = sequence_in(text, i, key);
        memcpy(at, count == 0 ? replacement : text.at + i, count == 0 ? REPLACEMENT_BYTES : count);
        at += count == 0 ? REPLACEMENT_BYTES : count;
        i += count == 0 ? 1 : count;
    }
    *out = (struct yarder_text){shape->scratch, (size_t)(at - shape->scratch)};
    return true;
}

static bool append_text(struct mongodb_shape *shape, bson_t *document, const char *key,
    int key_bytes, struct yarder_text text)
{
    struct yarder_text valid;
    return make_valid(shape, text, false, &valid) &&
           bson_append_utf8(document, key, key_bytes, valid.at, (int)valid.length);
}

/* Both numbers with the high byte first, so that _ids of one output grow with its records. */
static bool append_id(
    const struct mongodb_shape *shape, const struct yarder_id *id, bson_t *document)
{
    const uint64_t parts[] = {shape->origin, id->epoch_ns, id->number};
    uint8_t bytes[ID_BYTES];
    for (size_t i = 0; i < ID_BYTES; i++) {
        bytes[i] = (uint8_t)(parts[i / 8] >> (56 - 8 * (i % 8)));
    }
    return bson_append_binary(document, "_id", 3, BSON_SUBTYPE_BINARY, bytes, ID_BYTES);
}

/* "key", or "key.7" for field 7 whose key is another one's before it. */
static bool make_key(struct mongodb_shape *shape, const struct yarder_record *record,
    uint32_t index, char *at, size_t room, int *bytes)
{
    struct yarder_text key = record->fields[index].key, valid;
    bool again = false;
    for (uint32_t i = 0; i < index && !again; i++) {
        const struct yarder_text *other = &record->fields[i].key;
        again = other->length == key.length &&
                (key.length == 0 || memcmp(other->at, key.at, key.length) == 0);
    }
    if (!make_valid(shape, key, true, &valid) || valid.length + KEY_SUFFIX_BYTES > room) {
        return false;
    }
    memcpy(at, valid.at, valid.length);
    *bytes = (int)valid.length;
    if (again) {
        *bytes += snprintf(at + valid.length, KEY_SUFFIX_BYTES, ".%u", index);
    }
    return true;
}

static bool append_field(struct mongodb_shape *shape, bson_t *document, const char *key,
    int key_bytes, const struct yarder_field *field)
{
    union {
        int64_t number;
        uint64_t count;
        double real;
    } value = {0};
    size_t bytes = field->value.length < sizeof(value) ? field->value.length : sizeof(value);
    if (field->type != YARDER_FIELD_TEXT && bytes > 0) {
        memcpy(&value, field->value.at, bytes);
    }
    switch (field->type) {
    case YARDER_FIELD_INT:
        return bson_append_int64(document, key, key_bytes, value.number);
    case YARDER_FIELD_UINT: /* BSON has no number for the upper half but a double */
        return value.count > INT64_MAX
                   ? bson_append_double(document, key, key_bytes, (double)value.count)
                   : bson_append_int64(document, key, key_bytes, value.number);
    case YARDER_FIELD_FLOAT:
        return bson_append_double(document, key, key_bytes, value.real);
    case YARDER_FIELD_BOOL:
        return bson_append_bool(document, key, key_bytes, (value.count & 0xff) != 0);
    case YARDER_FIELD_TEXT:
    default:
        return append_text(shape, document, key, key_bytes, field->value);
    }
}

static bool append_fields(
    struct mongodb_shape *shape, const struct yarder_record *record, bson_t *document)
{
    enum { KEY_BYTES_MAX = 1024 }; /* 255 of a key, three bytes for each that is not UTF-8 */
    bson_t inner;
    bool good = bson_append_document_begin(document, "fields", 6, &inner);
    for (uint32_t i = 0; good && i < record->fields_count; i++) {
        char key[KEY_BYTES_MAX];
        int key_bytes = 0;
        good = make_key(shape, record, i, key, sizeof(key), &key_bytes) &&
               append_field(shape, &inner, key, key_bytes, &record->fields[i]);
    }
    return good && bson_append_document_end(document, &inner);
}

static bool append_stated(
    struct mongodb_shape *shape, bson_t *document, const char *key, struct yarder_text text)
{
    return text.length == 0 || append_text(shape, document, key, -1, text);
}

static bool append_extras(
    struct mongodb_shape *shape, const struct yarder_record *record, bson_t *document)
{
    bool good = bson_append_int32(document, "level", 5, record->level) &&
                append_stated(shape, document, "logger", record->logger) &&
                append_stated(shape, document, "tag", record->tag) &&
                append_stated(shape, document, "peer", record->peer);
    if (good && record->pid != 0) {
        good = bson_append_int64(document, "pid", 3, record->pid);
    }
    return good && (record->fields_count == 0 || append_fields(shape, record, document));
}

bool mongodb_document(struct mongodb_shape *shape, const struct yarder_item *item, bson_t *document)
{
    const struct yarder_record *record = item->record;
    struct yarder_text node = record->host;
    if (shape->node != NULL || node.length == 0) {
        const char *name = shape->node != NULL ? shape->node : shape->hostname;
        node = (struct yarder_text){name, strlen(name)};
    }
    struct yarder_text msg = item->text;
    msg.length += shape->newline && item->newline ? 1 : 0;
    int64_t ms = record->time_ns / NS_IN_MS - (record->time_ns % NS_IN_MS < 0);
    return append_id(shape, &item->id, document) && append_text(shape, document, "node", 4, node) &&
           bson_append_date_time(document, "ts", 2, ms) &&
           append_text(shape, document, "msg", 3, msg) &&
           (!shape->fields || append_extras(shape, record, document));
}
