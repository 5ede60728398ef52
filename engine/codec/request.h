/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of requests: recognises them by a template and makes their values fields of the record,
 * whose text stays what it is.
 *
 *   uwsgi             the line that uWSGI writes when it is told nothing else, with all of its
 *                     optional parts
 *   format:TEMPLATE   uWSGI's log-format: text with variables %(NAME) in it; a % before anything
 *                     but ( is text
 *
 * Nothing in such a line is escaped by who writes it, and clients choose a good part of it. So a
 * template is split at what has a fixed shape, the anchors: literals with the numbers and times
 * between them; all between two anchors is one value, whatever is in it.
 *
 *   127.0.0.1 () {26 vars in 344 bytes} [Sat Nov 21 00:59:12 2026] GET /a?b => generated 15 bytes
 *   [value  ][][ anchor                                          ][v ][][v ][ anchor ...
 *
 *   clean    each value ends at the first byte that could end it, and could not begin later: done
 *   else     anchors are looked for from the left, then from the right. Where both find the same
 *            there is one way to read the line. Where they differ, the readings count (the first
 *            anchors as found from the left, the others from the right) in which method, uri,
 * proto, addr, user and host look like such; if there is none, all do. The values on which these do
 * not agree are left out, and the record is flagged UNPARSED, and counted.
 *
 * Both ways take time that grows with the line's length alone. A value that is not there (uWSGI
 * writes - for it) is no field.
 */
#ifndef YARDER_CODEC_REQUEST_H
#define YARDER_CODEC_REQUEST_H

#include "api/record.h"
#include "base/base.h"
#include "codec/calendar.h"

struct request_format;

/* Memo between calls: the minute last seen. Zeroed to start; of one thread. */
struct request_memo {
    char ctime_minute[24]; /* with the seconds as they came first */
    char ltime_minute[26];
    int64_t ctime_s, ltime_s;
    struct calendar_zone zone;
};

/* A number's bytes for each field. */
enum { REQUEST_SCRATCH_BYTES = 8 * YARDER_FIELDS_MAX };

/* -EINVAL: `why` says what is wrong with it; -ENOMEM. Immutable afterwards. */
YARDER_MUST_USE int request_open(
    struct request_format **out, const char *what, char *why, size_t why_bytes);
void request_close(struct request_format *format);

/*
 * Whether the record's text is a request by this format. If so the record is of that kind, has its
 * time and process id if they are stated, and the fields behind those that it has: record->fields
 * is `fields`, with room for YARDER_FIELDS_MAX. Numbers lie in `scratch`, eight bytes for each
 * field added at the most. If not, nothing is changed.
 */
bool request_parse(const struct request_format *format, struct request_memo *memo, char *scratch,
    struct yarder_field *fields, struct yarder_record *record);

#endif
