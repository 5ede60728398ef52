/* SPDX-License-Identifier: Apache-2.0 */
/* The preset json, by hand: the same keys in the same order, those that say nothing left out. */
#include "base/text.h"
#include "codec/encode_private.h"
#include "codec/level_word.h"

enum { KEYS_BYTES_MAX = 512 }; /* all keys, quotes, numbers, the time and the flags together */

size_t encode_json_bound(const struct encoder *encoder, const struct yarder_record *record)
{
    size_t texts = encode_host(encoder, record).length + record->logger.length +
                   record->tag.length + record->peer.length + record->text.length;
    size_t fields = record->fields_count > 0 ? put_json_fields_bound(record) : 0;
    return KEYS_BYTES_MAX + PUT_JSON_FACTOR * texts + fields + PUT_SLACK_BYTES;
}

/* `key` brings its comma, quotes and colon, and the opening quote of the value. */
static inline char *put_member(char *at, const char *key, size_t key_bytes, struct yarder_text text)
{
    if (text.length == 0) {
        return at;
    }
    at = put_json_text(put_bytes(at, key, key_bytes), text);
    *at = '"';
    return at + 1;
}
#define PUT_MEMBER(at, key, text) put_member((at), (key), sizeof(key) - 1, (text))

static char *put_time(struct encoder *encoder, int64_t time_ns, char *at)
{
    calendar_refresh(&encoder->clock, &encoder->zone, calendar_second(time_ns));
    at = put_padded(at, encoder->clock.text, encoder->clock.length);
    *at = '.';
    at = calendar_digits(at + 1, calendar_fraction_ns(time_ns) / 1000, 6);
    *at = 'Z';
    return at + 1;
}

static char *put_level(const struct yarder_record *record, char *at)
{
    const struct level_word *word = level_word_of(record->level);
    at = PUT_CONSTANT(at, "\",\"level\":\"");
    at = put_bytes(at, word->lower, word->length);
    *at++ = '"';
    if (YARDER_UNLIKELY(word->level != record->level)) {
        at = put_unsigned(PUT_CONSTANT(at, ",\"levelno\":"), record->level);
    }
    return at;
}

/* What most records do not have. */
static char *put_origin(const struct yarder_record *record, char *at)
{
    if (record->stream == YARDER_STREAM_STDOUT) {
        at = PUT_CONSTANT(at, ",\"stream\":\"stdout\"");
    } else if (record->stream == YARDER_STREAM_STDERR) {
        at = PUT_CONSTANT(at, ",\"stream\":\"stderr\"");
    }
    if (record->kind == YARDER_KIND_REQUEST) {
        at = PUT_CONSTANT(at, ",\"kind\":\"request\"");
    }
    if (record->facility < 24) {
        at = PUT_MEMBER(at, ",\"facility\":\"", text_of(facility_name(record->facility)));
    }
    return PUT_MEMBER(at, ",\"peer\":\"", record->peer);
}

static char *put_flags(const struct yarder_record *record, char *at)
{
    if ((record->flags & YARDER_FLAG_TRUNCATED) != 0) {
        at = PUT_CONSTANT(at, ",\"truncated\":true");
    }
    if ((record->flags & YARDER_FLAG_PARTIAL) != 0) {
        at = PUT_CONSTANT(at, ",\"partial\":true");
    }
    if ((record->flags & YARDER_FLAG_UNPARSED) != 0) {
        at = PUT_CONSTANT(at, ",\"unparsed\":true");
    }
    if ((record->flags & YARDER_FLAG_GAP) != 0) {
        at = put_unsigned(PUT_CONSTANT(at, ",\"lost_before\":"), record->lost_before);
    }
    return at;
}

char *encode_json(struct encoder *encoder, const struct yarder_record *record, char *at)
{
    at = put_time(encoder, record->time_ns, PUT_CONSTANT(at, "{\"time\":\""));
    at = put_level(record, at);
    at = PUT_MEMBER(at, ",\"host\":\"", encode_host(encoder, record));
    at = PUT_MEMBER(at, ",\"logger\":\"", record->logger);
    at = PUT_MEMBER(at, ",\"tag\":\"", record->tag);
    if (record->pid != 0) {
        at = put_unsigned(PUT_CONSTANT(at, ",\"pid\":"), record->pid);
    }
    if (record->tid != 0) {
        at = put_unsigned(PUT_CONSTANT(at, ",\"tid\":"), record->tid);
    }
    at = put_origin(record, at);
    at = put_json_text(PUT_CONSTANT(at, ",\"message\":\""), record->text);
    *at++ = '"';
    if (record->fields_count > 0) {
        at = put_json_fields(PUT_CONSTANT(at, ",\"fields\":"), record);
    }
    if (YARDER_UNLIKELY(record->flags != 0)) {
        at = put_flags(record, at);
    }
    *at = '}';
    return at + 1;
}
