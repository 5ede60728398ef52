/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of request parsing share; private to the room. */
#ifndef YARDER_CODEC_REQUEST_PRIVATE_H
#define YARDER_CODEC_REQUEST_PRIVATE_H

#include "codec/request.h"

enum request_piece_kind {
    REQUEST_LITERAL,
    REQUEST_NUMBER,  /* digits, perhaps with a sign; or - for none */
    REQUEST_DECIMAL, /* digits with a point between them */
    REQUEST_CTIME,   /* Sat Nov 21 00:59:12 2026, local time */
    REQUEST_LTIME,   /* 21/Nov/2026:00:59:12 +0100 */
    REQUEST_UNIT,    /* msecs or micros: the name of the number before it */
    REQUEST_VIA,     /* nothing, or " via sendfile()" and its like */
    REQUEST_FREE,    /* whatever stands between two anchors */
};

/* Where a record's time is from; a higher one wins. */
enum request_clock {
    REQUEST_CLOCK_NONE,
    REQUEST_CLOCK_CTIME,
    REQUEST_CLOCK_LTIME,
    REQUEST_CLOCK_S,
    REQUEST_CLOCK_MS,
    REQUEST_CLOCK_US,
};

/* What no honest value of such a variable has in it; asked where a line can be read in two ways. */
enum request_shape { REQUEST_ANY, REQUEST_WORD, REQUEST_NAME, REQUEST_URI };

struct request_piece {
    uint8_t kind;  /* enum request_piece_kind */
    uint8_t clock; /* enum request_clock */
    uint8_t shape; /* enum request_shape */
    bool is_pid;
    bool is_unsigned;        /* a - before it is not its own */
    struct yarder_text text; /* a literal's; else the field's key. Of the program's memory */
};

struct request_anchor {
    uint32_t first, count; /* pieces */
};

enum { REQUEST_PIECES_MAX = 2 * YARDER_FIELDS_MAX + 1 };

/* anchor, value, anchor, value, ... anchor; the first and the last anchor may have no pieces. */
struct request_program {
    struct request_piece pieces[REQUEST_PIECES_MAX];
    uint32_t pieces_count;
    struct request_anchor anchors[YARDER_FIELDS_MAX + 1];
    uint32_t values[YARDER_FIELDS_MAX]; /* the piece that stands between two anchors */
    uint32_t values_count;
    char *memory; /* copy of the template, owned */
};

/* A program from a template; `own`: variables of our own are known, too. */
YARDER_MUST_USE int request_compile(
    struct request_program *program, const char *format, bool own, char *why, size_t why_bytes);

/* Where the anchors of a program stand in a line. */
struct request_places {
    const char *at[YARDER_FIELDS_MAX + 1];
    const char *end[YARDER_FIELDS_MAX + 1];
};

struct request_work {
    const struct request_program *program;
    struct request_memo *memo;
    struct yarder_record *record;
    struct yarder_field *fields;
    uint32_t fields_count;
    char *scratch;
    uint8_t clock;
    int64_t time_ns;
    uint32_t pid;
    const char *end; /* of the line */
};

bool request_match(struct request_work *work);
/* The two halves of the slow way, for tests: false when the line is none. */
bool request_from_left(
    const struct request_program *program, struct yarder_text line, struct request_places *out);
bool request_from_right(
    const struct request_program *program, struct yarder_text line, struct request_places *out);
bool request_match_clean(struct request_work *work);

/* A time's shape at `at`: its end, or NULL. Which bytes there are is asked, not which day. */
const char *request_ctime_shape(const char *at, const char *end);
const char *request_ltime_shape(const char *at, const char *end);
/* What a text of that shape says; false: there is no such time. */
bool request_ctime_read(struct request_memo *memo, const char *at, int64_t *time_ns);
bool request_ltime_read(struct request_memo *memo, const char *at, int64_t *time_ns);

enum { REQUEST_CTIME_BYTES = 24, REQUEST_LTIME_BYTES = 26 };

#endif
