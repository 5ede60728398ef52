/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A format as a list of pieces, made by template_open (`${...}`) or template_open_python
 * (`%(...)s`) and run by encoders and path templates; private to the room.
 */
#ifndef YARDER_CODEC_TEMPLATE_H
#define YARDER_CODEC_TEMPLATE_H

#include "codec/calendar.h"
#include "codec/put.h"

enum template_kind {
    TEMPLATE_LITERAL,
    TEMPLATE_CLOCK, /* what changes once a second */
    TEMPLATE_FRACTION_MS,
    TEMPLATE_FRACTION_US,
    TEMPLATE_FRACTION_NS,
    TEMPLATE_UNIX,
    TEMPLATE_MILLIS,
    TEMPLATE_MICROS,
    TEMPLATE_LEVEL,
    TEMPLATE_LEVEL_UPPER,
    TEMPLATE_SEVERITY,
    TEMPLATE_PRI,
    TEMPLATE_FACILITY,
    TEMPLATE_PID,
    TEMPLATE_TID,
    TEMPLATE_STREAM,
    TEMPLATE_KIND,
    TEMPLATE_HOST, /* from here to FIELD: a text of the record */
    TEMPLATE_PEER,
    TEMPLATE_TAG,
    TEMPLATE_LOGGER,
    TEMPLATE_MSG,
    TEMPLATE_FIELD,
    TEMPLATE_FIELDS,
    TEMPLATE_LEVEL_PYTHON, /* from here: python formats only */
    TEMPLATE_LEVEL_NUMBER,
    TEMPLATE_ASCTIME,
    TEMPLATE_CREATED,
    TEMPLATE_MSECS,
    TEMPLATE_TRACEBACK,
    TEMPLATE_KINDS,
};

enum {
    TEMPLATE_OPS_MAX = 128,
    TEMPLATE_WIDTH_MAX = 255,
    TEMPLATE_SHORT_BYTES_MAX = 64, /* of every piece that is no text of the record and no literal */
};

/* How `%(...)-8.3s` shapes its piece. */
struct template_shape {
    bool shaped;
    bool left;
    bool zeros;
    bool cut; /* to `precision` characters */
    uint8_t width;
    uint8_t precision;
    char conversion; /* s d f */
};

struct template_op {
    enum template_kind kind;
    bool received; /* of the time received, not of the time stated */
    struct template_shape shape;
    uint32_t text_bytes;
    char *text;                  /* LITERAL (padded for put_padded), FIELD (its name); owned */
    struct calendar_text *clock; /* CLOCK, ASCTIME; owned */
};

struct template_list {
    struct template_op ops[TEMPLATE_OPS_MAX];
    uint32_t ops_count;
    uint32_t kind_counts[TEMPLATE_KINDS];
    size_t fixed_bytes; /* the most that all pieces but the record's texts and fields make */
    struct calendar_zone zone;
};

/* -EINVAL with why, or -ENOMEM; template_close in every case. `in_path`: no ${msg}, no ${fields}.
 */
YARDER_MUST_USE int template_open(
    struct template_list *list, const char *format, bool in_path, char *why, size_t why_bytes);
YARDER_MUST_USE int template_open_python(
    struct template_list *list, const char *format, char *why, size_t why_bytes);
void template_close(struct template_list *list);

/* For the compilers: adds a piece; the result's texts are the template's. */
YARDER_MUST_USE int template_add(struct template_list *list, struct template_op op);
YARDER_MUST_USE int template_add_literal(
    struct template_list *list, const char *text, size_t length);
YARDER_MUST_USE int template_add_clock(struct template_list *list, enum template_kind kind,
    bool received, bool utc, const char *format, size_t length);

/* The record's text that a piece stands for; false: the piece is none of those, or not a text. */
bool template_find_text(const struct template_op *op, const struct yarder_record *record,
    struct yarder_text host, struct yarder_text *out);
/* A piece that is no text: at most TEMPLATE_SHORT_BYTES_MAX, but for literals and FIELDS. */
char *template_put_short(struct template_list *list, const struct template_op *op,
    const struct yarder_record *record, char *at);

size_t template_bound(const struct template_list *list, const struct yarder_record *record,
    size_t host_bytes, enum put_policy policy);
char *template_run(struct template_list *list, const struct yarder_record *record,
    struct yarder_text host, enum put_policy policy, char *at);

#endif
