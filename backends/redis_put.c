/* SPDX-License-Identifier: Apache-2.0 */
/* A compiled command for a record, and where in a cluster its key lies. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "redis_command.h"

enum { NS_IN_MS = 1000000, NS_IN_S = 1000000000, SHORT_BYTES_MAX = 64 };

static char *put(char *at, const char *from, size_t count)
{
    if (count > 0) {
        memcpy(at, from, count);
    }
    return at + count;
}

/* "$5\r\n", "*3\r\n" */
char *redis_put_count(char *at, char kind, size_t count)
{
    char digits[20];
    size_t at_digit = sizeof(digits);
    do {
        digits[--at_digit] = (char)('0' + count % 10);
        count /= 10;
    } while (count > 0);
    *at++ = kind;
    at = put(at, digits + at_digit, sizeof(digits) - at_digit);
    return put(at, "\r\n", 2);
}

char *redis_put_word(char *at, const char *from, size_t count)
{
    at = put(redis_put_count(at, '$', count), from, count);
    return put(at, "\r\n", 2);
}

char *redis_put_words(char *at, const char *const *words, size_t words_count)
{
    at = redis_put_count(at, '*', words_count);
    for (size_t i = 0; i < words_count; i++) {
        at = redis_put_word(at, words[i], strlen(words[i]));
    }
    return at;
}

static char *put_clock(struct redis_command *command, int64_t time_ns, bool local, char *at)
{
    int64_t rest = time_ns % NS_IN_S;
    int64_t second = time_ns / NS_IN_S - (rest < 0);
    if (second != command->clock_s) {
        command->clock_s = second;
        struct tm parts;
        time_t when = second;
        (void)gmtime_r(&when, &parts);
        (void)strftime(command->clocks[0], sizeof(command->clocks[0]), "%FT%T", &parts);
        (void)localtime_r(&when, &parts);
        (void)strftime(command->clocks[1], sizeof(command->clocks[1]), "%FT%T", &parts);
        long east_minutes = parts.tm_gmtoff / 60;
        long minutes = east_minutes < 0 ? -east_minutes : east_minutes;
        (void)snprintf(command->zone, sizeof(command->zone), "%c%02d:%02d",
            east_minutes < 0 ? '-' : '+', (int)(minutes / 60 % 100), (int)(minutes % 60));
    }
    int64_t micros = (rest < 0 ? rest + NS_IN_S : rest) / 1000;
    int count = snprintf(at, SHORT_BYTES_MAX, "%s.%06d%s", command->clocks[local], (int)micros,
        local ? command->zone : "Z");
    return at + count;
}

static const char *level_word(uint8_t level)
{
    static const struct {
        uint8_t from;
        const char *word;
    } words[] = {{YARDER_LEVEL_EMERG, "emerg"}, {YARDER_LEVEL_ALERT, "alert"},
        {YARDER_LEVEL_CRITICAL, "critical"}, {YARDER_LEVEL_ERROR, "error"},
        {YARDER_LEVEL_WARNING, "warning"}, {YARDER_LEVEL_NOTICE, "notice"},
        {YARDER_LEVEL_INFO, "info"}, {YARDER_LEVEL_DEBUG, "debug"}, {0, "notset"}};
    size_t i = 0;
    while (level < words[i].from) {
        i++;
    }
    return words[i].word;
}

static char *put_short(struct redis_command *command, enum redis_piece_kind kind,
    const struct yarder_item *item, char *at)
{
    const struct yarder_record *record = item->record;
    long long time_ns = record->time_ns;
    const char *word = record->stream == YARDER_STREAM_STDOUT   ? "stdout"
                       : record->stream == YARDER_STREAM_STDERR ? "stderr"
                                                                : "";
    int count = 0;
    if (kind == REDIS_ID) {
        count = snprintf(at, SHORT_BYTES_MAX, "%llu-%llu",
            (unsigned long long)(item->id.epoch_ns / NS_IN_MS),
            (unsigned long long)item->id.number);
    } else if (kind == REDIS_PID) {
        count = snprintf(at, SHORT_BYTES_MAX, "%u", record->pid);
    } else if (kind == REDIS_LEVEL) {
        word = level_word(record->level);
        count = (int)strlen(word);
        (void)put(at, word, (size_t)count);
    } else if (kind == REDIS_STREAM) {
        count = (int)strlen(word);
        (void)put(at, word, (size_t)count);
    } else if (kind == REDIS_UTC || kind == REDIS_TIME) {
        return put_clock(command, record->time_ns, kind == REDIS_TIME, at);
    } else {
        long long unit = kind == REDIS_UNIX ? NS_IN_S : kind == REDIS_MILLIS ? NS_IN_MS : 1000;
        count = snprintf(
            at, SHORT_BYTES_MAX, "%lld", time_ns / unit - (time_ns < 0 && time_ns % unit != 0));
    }
    return at + count;
}

static struct yarder_text record_text(
    enum redis_piece_kind kind, const struct yarder_record *record, const struct redis_texts *texts)
{
    return kind == REDIS_PEER        ? record->peer
           : kind == REDIS_TAG       ? record->tag
           : kind == REDIS_LOGGER    ? record->logger
           : record->host.length > 0 ? record->host
                                     : texts->host;
}

static char *put_piece(struct redis_command *command, const struct redis_piece *piece,
    const struct yarder_item *item, const struct redis_texts *texts, char *at)
{
    enum redis_piece_kind kind = (enum redis_piece_kind)piece->kind;
    if (kind <= REDIS_LITERAL) {
        return put(at, command->bytes + piece->from, piece->count);
    }
    if (kind < REDIS_HOST) {
        return put_short(command, kind, item, at);
    }
    struct yarder_text text = record_text(kind, item->record, texts);
    return put(at, text.at, text.length);
}

size_t redis_command_bound(const struct redis_command *command, const struct yarder_item *item,
    const struct redis_texts *texts)
{
    size_t bytes = texts->prefix.length + item->text.length + 8 * REDIS_WORD_BYTES;
    for (unsigned i = 0; i < command->pieces_count; i++) {
        const struct redis_piece *piece = &command->pieces[i];
        bytes += REDIS_WORD_BYTES + SHORT_BYTES_MAX + piece->count;
        if (piece->kind >= REDIS_HOST) {
            bytes += record_text((enum redis_piece_kind)piece->kind, item->record, texts).length;
        }
    }
    return bytes + 3 * SHORT_BYTES_MAX;
}

/* A word of known bytes is moved up to its length, which is known only then. */
static char *close_word(char *at, char *body, char *end)
{
    size_t count = (size_t)(end - body);
    at = redis_put_count(at, '$', count);
    memmove(at, body, count);
    return put(at + count, "\r\n", 2);
}

char *redis_command_put(struct redis_command *command, const struct yarder_item *item,
    const struct redis_texts *texts, char *at)
{
    enum { HEAD_BYTES = 24 };
    char *body = NULL; /* of the word that is open */
    char *end = at;
    for (unsigned i = 0; i < command->pieces_count; i++) {
        const struct redis_piece *piece = &command->pieces[i];
        if (piece->kind == REDIS_WORDS) {
            at = put_piece(command, piece, item, texts, at);
            continue;
        }
        if (body == NULL) {
            body = at + HEAD_BYTES;
            end = body;
        }
        end = put_piece(command, piece, item, texts, end);
        if (piece->ends_word) {
            at = close_word(at, body, end);
            body = NULL;
        }
    }
    at = redis_put_count(at, '$', texts->prefix.length + item->text.length);
    at = put(at, texts->prefix.at, texts->prefix.length);
    at = put(at, item->text.at, item->text.length);
    return put(at, "\r\n", 2);
}

static char *put_key(struct redis_command *command, const struct yarder_item *item,
    const struct redis_texts *texts, char *at)
{
    if (command->key_pieces == 0) {
        return put_piece(command, &command->key, item, texts, at);
    }
    for (unsigned i = 0; i < command->key_pieces; i++) {
        at = put_piece(command, &command->pieces[command->key_from + i], item, texts, at);
    }
    return at;
}

char *redis_command_put_look(struct redis_command *command, const struct yarder_item *item,
    const struct redis_texts *texts, char *at)
{
    enum { HEAD_BYTES = 24 };
    at = redis_put_word(redis_put_count(at, '*', 4), "XRANGE", 6);
    at = close_word(at, at + HEAD_BYTES, put_key(command, item, texts, at + HEAD_BYTES));
    char id[SHORT_BYTES_MAX];
    size_t id_count = (size_t)(put_short(command, REDIS_ID, item, id) - id);
    return redis_put_word(redis_put_word(at, id, id_count), id, id_count);
}

uint16_t redis_slot_of(struct yarder_text key)
{
    const char *open = key.length == 0 ? NULL : memchr(key.at, '{', key.length);
    size_t rest = open == NULL ? 0 : key.length - (size_t)(open + 1 - key.at);
    const char *close = rest == 0 ? NULL : memchr(open + 1, '}', rest);
    if (close != NULL && close > open + 1) {
        key = (struct yarder_text){open + 1, (size_t)(close - open - 1)};
    }
    uint16_t crc = 0; /* CRC16 of XMODEM, four bits at a time */
    static const uint16_t steps[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6,
        0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
    for (size_t i = 0; i < key.length; i++) {
        uint8_t byte = (uint8_t)key.at[i];
        crc = (uint16_t)((crc << 4) ^ steps[(crc >> 12) ^ (byte >> 4)]);
        crc = (uint16_t)((crc << 4) ^ steps[(crc >> 12) ^ (byte & 15)]);
    }
    return crc % REDIS_SLOTS;
}

uint16_t redis_command_slot(struct redis_command *command, const struct yarder_item *item,
    const struct redis_texts *texts, char *at)
{
    char *end = put_key(command, item, texts, at);
    return redis_slot_of((struct yarder_text){at, (size_t)(end - at)});
}
