/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command of redis with variables in its words, and the bytes (RESP) that it is for one record.
 *
 *     xadd logs:${host} ${id} msg      and, always the last argument, prefix and text
 *
 * Words stand between single spaces, as uWSGI's redislog has them: two make an empty word.
 */
#ifndef YARDER_BACKENDS_REDIS_COMMAND_H
#define YARDER_BACKENDS_REDIS_COMMAND_H

#include "api/backend.h"

enum {
    REDIS_COMMAND_BYTES_MAX = 4096, /* of the words */
    REDIS_WORDS_MAX = 64,
    REDIS_PIECES_MAX = 128,
    REDIS_SLOTS = 16384,
    REDIS_WORD_BYTES = 32, /* the most that a word costs beside its own bytes */
};

enum redis_piece_kind {
    REDIS_WORDS, /* constant words with their lengths */
    REDIS_LITERAL,
    REDIS_ID, /* from here to TIME: short ones, made when they are put */
    REDIS_UNIX,
    REDIS_MILLIS,
    REDIS_MICROS,
    REDIS_PID,
    REDIS_LEVEL,
    REDIS_STREAM,
    REDIS_UTC,
    REDIS_TIME,
    REDIS_HOST,
    REDIS_PEER,
    REDIS_TAG,
    REDIS_LOGGER,
};

/* What stays as it is, or one variable. A run of constant words is one piece, RESP and all. */
struct redis_piece {
    uint16_t kind;  /* enum redis_piece_kind */
    uint16_t from;  /* in `bytes` */
    uint16_t count; /* of bytes */
    bool ends_word; /* that variables are in */
};

struct redis_command {
    struct redis_piece pieces[REDIS_PIECES_MAX];
    uint16_t pieces_count;
    struct redis_piece key; /* when constant; else key_pieces from key_from on */
    uint16_t key_from, key_pieces;
    bool has_key;
    bool tells_doubles; /* xadd with ${id}: the second time is refused */
    int64_t clock_s;    /* the second that clocks tells; of UTC, and local */
    char clocks[2][32];
    char zone[8];
    uint16_t bytes_count;
    char bytes[REDIS_COMMAND_BYTES_MAX + (REDIS_WORDS_MAX + 1) * REDIS_WORD_BYTES];
};

/* What stands for records that state none, and before each text. */
struct redis_texts {
    struct yarder_text host, prefix;
};

/* `literal`: a `$` is a `$`. 0, or -EINVAL with what was expected in `why`. */
int redis_command_compile(
    struct redis_command *out, const char *words, bool literal, char *why, size_t why_bytes);

/* The most that any of the calls below writes for this item. */
size_t redis_command_bound(const struct redis_command *command, const struct yarder_item *item,
    const struct redis_texts *texts);
/* Writes the whole command at `at`, returns its end. */
char *redis_command_put(struct redis_command *command, const struct yarder_item *item,
    const struct redis_texts *texts, char *at);
/* Asks for the entry of an item: XRANGE key id id. */
char *redis_command_put_look(struct redis_command *command, const struct yarder_item *item,
    const struct redis_texts *texts, char *at);
/* The cluster's slot of an item's key; writes the key at `at`. */
uint16_t redis_command_slot(struct redis_command *command, const struct yarder_item *item,
    const struct redis_texts *texts, char *at);

/* "$5\r\n"; a word with it; neither checks room. Both return the end. */
char *redis_put_count(char *at, char kind, size_t count);
char *redis_put_word(char *at, const char *from, size_t count);
/* Plain words as a command: AUTH, SELECT. REDIS_WORD_BYTES for each word, and one, beside them. */
char *redis_put_words(char *at, const char *const *words, size_t words_count);
/* Of all of the key, or of what stands in its first {...}, unless that is empty. */
uint16_t redis_slot_of(struct yarder_text key);

#endif
