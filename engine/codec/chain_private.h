/* SPDX-License-Identifier: Apache-2.0 */
/* What the chain's files share; private to the room. */
#ifndef YARDER_CODEC_CHAIN_PRIVATE_H
#define YARDER_CODEC_CHAIN_PRIVATE_H

#include "base/text.h"
#include "codec/chain.h"
#include "codec/put.h"

enum { CHAIN_CLOCK_BYTES_MAX = 63, CHAIN_NUMBER_BYTES_MAX = 20, CHAIN_HEAD_BYTES_MAX = 5 };

enum chain_what {
    CHAIN_LITERAL,
    CHAIN_MSG,
    CHAIN_MSGNL,
    CHAIN_UNIX,
    CHAIN_MILLIS,
    CHAIN_MICROS,
    CHAIN_STRFTIME
};

/* How a variable is written. */
enum chain_form { CHAIN_PLAIN, CHAIN_JSON, CHAIN_PACKED, CHAIN_PACKED_BIN };

/* A time's text, made once a second. */
struct chain_clock {
    int64_t second;
    bool known;
    uint8_t length;
    char text[CHAIN_CLOCK_BYTES_MAX + 1];
    char *format;
};

struct chain_piece {
    enum chain_what what;
    enum chain_form form;
    char *text; /* LITERAL; owned */
    size_t text_bytes;
    struct chain_clock *clock; /* STRFTIME; owned */
};

enum chain_zlib_kind { CHAIN_GZIP, CHAIN_COMPRESS };
struct chain_zlib;

/* A step is its pieces, or a compression. */
struct chain_step {
    struct chain_piece *pieces;
    uint32_t pieces_count;
    struct chain_zlib *zlib;
};

enum { CHAIN_STEPS_MAX = 32, CHAIN_BUFFERS = 2 };
struct chain {
    uint32_t steps_count;
    bool keeps_lines;
    struct chain_step steps[CHAIN_STEPS_MAX];
    char *buffers[CHAIN_BUFFERS]; /* untouched, hence virtual, beyond the longest text so far */
};

/* Where a compiler stands, and where it says what is wrong. */
struct chain_build {
    struct chain_step *step;
    const char *name; /* of the encoder */
    enum chain_dialect dialect;
    char *why;
    size_t why_bytes;
};

YARDER_MUST_USE int chain_refuse(struct chain_build *build, const char *format, ...)
    YARDER_PRINTF(2, 3);
/* A variable or an item that there is not: refused, or, in uWSGI's lines, told and 0. */
YARDER_MUST_USE int chain_unknown(struct chain_build *build, const char *what,
    struct yarder_text name, const char *const *names, size_t names_count);

YARDER_MUST_USE int chain_add(
    struct chain_build *build, enum chain_what what, enum chain_form form);
/* Goes on with the literal before, if there is one. */
YARDER_MUST_USE int chain_add_literal(struct chain_build *build, const char *text, size_t length);
YARDER_MUST_USE int chain_add_clock(
    struct chain_build *build, struct yarder_text format, enum chain_form form);

/* chain_template.c */
YARDER_MUST_USE int chain_template(
    struct chain_build *build, const char *text, enum chain_form form);

/* chain_msgpack.c; the heads are at most CHAIN_HEAD_BYTES_MAX, an int 9 bytes. */
YARDER_MUST_USE int chain_msgpack(struct chain_build *build, const char *spec);
char *chain_put_str_head(char *at, size_t length);
char *chain_put_bin_head(char *at, size_t length);
char *chain_put_int(char *at, int64_t value);

/*
 * chain_zlib.c, or chain_zlib_none.c: then _open answers -ENOSYS. _run: bytes, of at most _bound.
 */
YARDER_MUST_USE int chain_zlib_open(struct chain_zlib **out, enum chain_zlib_kind kind);
void chain_zlib_close(struct chain_zlib *zlib);
size_t chain_zlib_bound(const struct chain_zlib *zlib, size_t bytes);
size_t chain_zlib_run(struct chain_zlib *zlib, struct yarder_text text, char *at);

#endif
