/* SPDX-License-Identifier: Apache-2.0 */
/* Words become pieces. */
#include "redis_command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const piece_names[] = {NULL, NULL, "id", "unix", "millis", "micros", "pid",
    "level", "stream", "utc", "time", "host", "peer", "tag", "logger"};
static const char names_shown[] =
    "id, unix, millis, micros, pid, level, stream, utc, time, host, peer, tag, logger";
enum { PIECE_KINDS = sizeof(piece_names) / sizeof(piece_names[0]) };

static struct redis_piece *add(struct redis_command *out, enum redis_piece_kind kind)
{
    if (out->pieces_count == REDIS_PIECES_MAX) {
        return NULL;
    }
    struct redis_piece *piece = &out->pieces[out->pieces_count++];
    *piece = (struct redis_piece){.kind = (uint16_t)kind, .from = out->bytes_count};
    return piece;
}

static bool add_constant(struct redis_command *out, const char *word, size_t count, bool is_key)
{
    struct redis_piece *piece = &out->pieces[out->pieces_count - 1];
    piece = piece->kind == REDIS_WORDS ? piece : add(out, REDIS_WORDS);
    if (piece == NULL) {
        return false;
    }
    char *end = redis_put_word(out->bytes + out->bytes_count, word, count);
    if (is_key) {
        size_t from = (size_t)(end - out->bytes) - 2 - count;
        out->key = (struct redis_piece){REDIS_LITERAL, (uint16_t)from, (uint16_t)count, true};
    }
    out->bytes_count = (uint16_t)(end - out->bytes);
    piece->count = (uint16_t)(out->bytes_count - piece->from);
    return true;
}

static bool add_literal(struct redis_command *out, const char *from, size_t count)
{
    struct redis_piece *piece = add(out, REDIS_LITERAL);
    if (piece == NULL) {
        return false;
    }
    memcpy(out->bytes + out->bytes_count, from, count);
    out->bytes_count = (uint16_t)(out->bytes_count + count);
    piece->count = (uint16_t)count;
    return true;
}

/* Returns the byte behind the variable at `at` ("${name}"), NULL with `why`. */
static const char *add_variable(
    struct redis_command *out, const char *at, const char *end, char *why, size_t why_bytes)
{
    const char *name = at + 2;
    const char *close = memchr(at, '}', (size_t)(end - at));
    size_t count = close == NULL ? 0 : (size_t)(close - name);
    for (unsigned kind = REDIS_ID; close != NULL && kind < PIECE_KINDS; kind++) {
        if (strlen(piece_names[kind]) == count && memcmp(piece_names[kind], name, count) == 0) {
            if (add(out, (enum redis_piece_kind)kind) == NULL) {
                (void)snprintf(why, why_bytes, "a command of too many parts");
                return NULL;
            }
            return close + 1;
        }
    }
    (void)snprintf(why, why_bytes, "%.*s is no variable of a command, there are %s",
        (int)(close == NULL ? end - at : close + 1 - at), at, names_shown);
    return NULL;
}

static int add_varying(
    struct redis_command *out, const char *word, const char *end, char *why, size_t why_bytes)
{
    const char *at = word;
    while (at < end) {
        const char *variable = memmem(at, (size_t)(end - at), "${", 2);
        const char *until = variable == NULL ? end : variable;
        if (until > at && !add_literal(out, at, (size_t)(until - at))) {
            (void)snprintf(why, why_bytes, "a command of too many parts");
            return -EINVAL;
        }
        at = variable == NULL ? end : add_variable(out, variable, end, why, why_bytes);
        if (at == NULL) {
            return -EINVAL;
        }
    }
    out->pieces[out->pieces_count - 1].ends_word = true;
    return 0;
}

/* Which word is the key: the first behind the command's name, but for those that run scripts. */
static unsigned key_index(const char *words)
{
    static const char *const scripts[] = {"eval", "evalsha", "fcall"};
    size_t count = strcspn(words, " ");
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        if (strlen(scripts[i]) == count && strncasecmp(words, scripts[i], count) == 0) {
            return 3;
        }
    }
    return 1;
}

static bool is_word(const char *at, const char *word)
{
    size_t count = strlen(word);
    return strcspn(at, " ") == count && strncasecmp(at, word, count) == 0;
}

/*
 * xadd KEY [MAXLEN ~ 1000 ...] ID [FIELD VALUE ...] FIELD. The id is `*`, or begins with a digit or
 * a variable and is no number that the word before it tells the meaning of.
 */
static bool xadd_is_whole(const char *words)
{
    static const char *const before_numbers[] = {"maxlen", "minid", "limit", "=", "~"};
    bool found = false, number = false;
    size_t behind = 0;
    const char *at = words;
    for (size_t index = 0; at != NULL; index++) {
        at += index > 0; /* the blank */
        bool begins = (*at >= '0' && *at <= '9') || strncmp(at, "${", 2) == 0;
        behind += found;
        found = found || (index > 1 && (is_word(at, "*") || (begins && !number)));
        number = false;
        for (size_t i = 0; i < sizeof(before_numbers) / sizeof(before_numbers[0]); i++) {
            number = number || (index > 1 && is_word(at, before_numbers[i]));
        }
        at = strchr(at, ' ');
    }
    return behind % 2 == 1;
}

int redis_command_compile(
    struct redis_command *out, const char *words, bool literal, char *why, size_t why_bytes)
{
    size_t words_count = 1;
    for (const char *at = words; *at != '\0'; at++) {
        words_count += *at == ' ';
    }
    if (*words == '\0' || *words == ' ' || strlen(words) > REDIS_COMMAND_BYTES_MAX ||
        words_count > REDIS_WORDS_MAX) {
        (void)snprintf(why, why_bytes, "expected a command of 1 to %d words and %d bytes",
            REDIS_WORDS_MAX, REDIS_COMMAND_BYTES_MAX);
        return -EINVAL;
    }
    bool is_xadd = is_word(words, "xadd");
    if (is_xadd && !xadd_is_whole(words)) {
        (void)snprintf(why, why_bytes, "expected xadd KEY ID FIELD, and for ID %s, such as xadd %s",
            literal ? "*" : "* or ${id}", literal ? "logs * msg" : "logs ${id} msg");
        return -EINVAL;
    }
    memset(out, 0, offsetof(struct redis_command, bytes));
    out->clock_s = INT64_MIN;
    (void)add(out, REDIS_WORDS);
    out->bytes_count = (uint16_t)(redis_put_count(out->bytes, '*', words_count + 1) - out->bytes);
    out->pieces[0].count = out->bytes_count;
    unsigned key_at = key_index(words);
    bool has_id = false;
    for (unsigned i = 0; i < words_count; i++) {
        const char *end = words + strcspn(words, " ");
        size_t count = (size_t)(end - words);
        bool varies = !literal && memmem(words, count, "${", 2) != NULL;
        uint16_t from = out->pieces_count;
        if (varies && add_varying(out, words, end, why, why_bytes) < 0) {
            return -EINVAL;
        }
        if (!varies && !add_constant(out, words, count, i == key_at)) {
            (void)snprintf(why, why_bytes, "a command of too many parts");
            return -EINVAL;
        }
        if (i == key_at) {
            out->has_key = true;
            out->key_from = from;
            out->key_pieces = varies ? (uint16_t)(out->pieces_count - from) : 0;
        }
        has_id = has_id || (i > key_at && varies && count == 5 && memcmp(words, "${id}", 5) == 0);
        words = end + 1;
    }
    out->tells_doubles = is_xadd && has_id;
    return 0;
}
