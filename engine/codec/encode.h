/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoders: a record's bytes for one output. A format is compiled once into a list of steps and
 * then run for each record of a batch without a callback.
 *
 *   presets    text (the text and a newline), syslog (RFC 3164 line), rfc5424, json
 *   template   ${time:%F %T} ${host} ${logger}[${pid}] ${level}: ${msg}   ${field.NAME}
 *   python     python:%(asctime)s %(levelname)s %(name)s %(message)s
 *
 * Each ends with a newline. newlines= decides what becomes of control bytes inside all that a
 * record brings: ESCAPE writes \n, \r and \xHH for them (a tab stays), INDENT begins each further
 * line with a tab, KEEP leaves them. JSON always escapes. A template writes '-' for what a record
 * does not have (but an empty message as nothing). There is no ${input}: encoders do not know the
 * inputs' names.
 *
 * json: time (UTC, microseconds), level, host, logger, tag, pid, tid, stream, kind, facility, peer,
 * message, fields {}, truncated, partial, unparsed, lost_before, in this order; a member that says
 * nothing (no tag, kind log, a flag not set) is left out, and levelno is there for a level without
 * a name of its own. A field whose key was there before gets its number behind it ("ip.2"). Bytes
 * that are no UTF-8 become U+FFFD. python: attributes that a record has no member for are fields of
 * that name; exc_text and stack_info follow the line, as Python's formatter has it.
 */
#ifndef YARDER_CODEC_ENCODE_H
#define YARDER_CODEC_ENCODE_H

#include "api/record.h"
#include "base/base.h"
#include "codec/encode_names.h"

/*
 * AUTO: escape what came from a network or as syslog and what is a request, keep the rest; the
 * formats syslog and rfc5424 are escaped always.
 */
enum encode_newlines {
    ENCODE_NEWLINES_AUTO,
    ENCODE_NEWLINES_KEEP,
    ENCODE_NEWLINES_ESCAPE,
    ENCODE_NEWLINES_INDENT
};

struct encoder;

/* Whether strangers chose bytes of its text. */
static inline bool encode_is_foreign(const struct yarder_record *record)
{
    return (record->flags & YARDER_FLAG_NETWORK) != 0 || record->kind == YARDER_KIND_REQUEST;
}

/*
 * Compiles a format. -EINVAL with `why` (an unknown variable, with a near name; an open brace, with
 * its column). `host` is this machine's name, for records that state none; copied.
 */
YARDER_MUST_USE int encoder_open(struct encoder **out, const char *format,
    enum encode_newlines newlines, const char *host, char *why, size_t why_bytes);
void encoder_close(struct encoder *encoder);

/* Room that encoder_run can need at the most for this record: cheap, computed from lengths. */
size_t encoder_bound(const struct encoder *encoder, const struct yarder_record *record);

/* Writes the record's bytes at `at` (encoder_bound bytes of room) and returns how many. */
size_t encoder_run(struct encoder *encoder, const struct yarder_record *record, char *at);

/*
 * Whether the bytes are the text and a newline, so that callers may copy without asking; with AUTO
 * this holds for records that are not encode_is_foreign.
 */
bool encoder_is_plain(const struct encoder *encoder);

/*
 * A path template: ${host} ${tag} ${logger} ${level} ${facility} ${pid} ${time:...} ${field.NAME}
 * inside a path. Each inserted part is sanitised: bytes other than letters, digits, . _ - @ + : and
 * high bytes become '_', a part of only dots or empty becomes '_', and it is cut to 64 bytes; so no
 * record can leave the folder that the configuration names. Slashes of a time format are the
 * configuration's and stay: ${time:%Y/%m}. ${msg} and ${fields} are refused.
 */
struct path_template;
YARDER_MUST_USE int path_template_open(
    struct path_template **out, const char *format, const char *host, char *why, size_t why_bytes);
void path_template_close(struct path_template *path);
bool path_template_is_constant(const struct path_template *path);
/* Writes the path with a NUL: its length, or -ENAMETOOLONG. */
YARDER_MUST_USE int path_template_run(
    struct path_template *path, const struct yarder_record *record, char *at, size_t room);

#endif
