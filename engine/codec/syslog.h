/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses syslog as it is really sent. Fills a record's stated time, host, tag, pid, facility,
 * level, text and fields. Nothing is ever thrown away: what is not understood stays in the text.
 *
 *   RFC 5424   <PRI>1 TIME HOST APP PROCID MSGID [ID NAME="VALUE"] TEXT
 *              structured data become fields ID.NAME (an element without parameters: ID, empty),
 *              a message id the field msgid, a process id that is no number the field procid.
 *              Structured data that are malformed, or too many, are left in front of the text.
 *   RFC 3164   [<PRI>][STAMP ][HOST ][TAG[PID]: ]TEXT
 *              STAMP is "Mmm dd hh:mm:ss" (also with a year or a fraction) or an ISO 8601 stamp, in
 *              local time unless it names its zone; without a year the latest one is meant in which
 *              it is not over a day ahead of received_ns.
 *              TAG is a word directly before ": ", or before "[PID]". A word before the tag is the
 *              host. A first word without a tag after it cannot be told from the text (local
 *              senders name no host), so it stays in the text. Without a STAMP no HOST is read.
 *   no PRI     facility and level stay unstated. With neither PRI nor STAMP nothing could be read:
 *              the text is the line as it came, flagged YARDER_FLAG_UNPARSED.
 *
 * One NUL and then one line end are cut from the end of the line.
 */
#ifndef YARDER_CODEC_SYSLOG_H
#define YARDER_CODEC_SYSLOG_H

#include "api/record.h"
#include "base/base.h"
#include "codec/calendar.h"

/* The SD-ID under which encoders send fields without one; the parser takes it off again. */
#define SYSLOG_OWN_ID "yarder@32473"

/* Room for the keys of a usual line's structured data; with less, more of it stays in the text. */
enum { SYSLOG_SCRATCH_BYTES = 8 << 10 };

/* Memo between calls: minutes last seen, so that each is computed once. Zeroed to start. */
struct syslog_parser {
    char bsd_memo[12]; /* "Mmm dd hh:mm" */
    int64_t bsd_memo_s;
    int64_t day_start_s; /* the day of received_ns for which the memo's year was chosen */
    char iso_memo[16];   /* "yyyy-mm-ddThh:mm" */
    int64_t iso_memo_s;
    struct calendar_zone zone;
};

/*
 * Parses `line` (one record, unframed) into *record, whose received_ns is set and whose other
 * members are zero. Texts point into `line` and, for keys and unescaped values of structured data,
 * into `scratch`. fields has room for YARDER_FIELDS_MAX. Never fails: see above.
 */
void syslog_parse(struct syslog_parser *parser, struct yarder_text line, char *scratch,
    size_t scratch_bytes, struct yarder_field *fields, struct yarder_record *record);

#endif
