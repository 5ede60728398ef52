/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a syslog line, all that stands before the text:
 *
 *   RFC 5424         <PRI>1 2026-11-21T13:14:15.123456Z HOST APP PID MSGID [ID NAME="VALUE"]
 *   RFC 3164         <PRI>Nov 21 13:14:15 HOST APP[PID]:
 *   ... to /dev/log  <PRI>Nov 21 13:14:15 APP[PID]:
 *
 * APP is the record's tag, else its logger, else the default. A field with the key ID.NAME goes
 * into the element ID where that is somebody's ("x@32473") or one of IANA's, others into one of our
 * own; the fields procid and msgid are words of the header.
 */
#ifndef YARDER_BACKENDS_SYSLOG_LINE_H
#define YARDER_BACKENDS_SYSLOG_LINE_H

#include "bytes.h"

enum syslog_header {
    SYSLOG_HEADER_AUTO,
    SYSLOG_RFC5424,
    SYSLOG_RFC3164,
    SYSLOG_LOCAL,
    SYSLOG_NONE
};
enum { SYSLOG_STAMP_BYTES = 32, SYSLOG_PRIORITY_MAX = 191 };
#define SYSLOG_OWN_ID "yarder@32473"

struct syslog_style {
    int header;        /* enum syslog_header, but AUTO */
    uint8_t facility;  /* of records that state none */
    uint8_t severity;  /* of records that state no level */
    bool fixed;        /* facility and severity are those of all records */
    const char *ident; /* APP of records that have none; NULL: "-" */
    const char *whole; /* stands for HOST APP[PID] of all records; NULL: it does not */
    const char *sd_id; /* element of fields without one */
    const char *hostname;

    struct bytes number; /* of a field; whoever owns the style frees it */
    int64_t second;      /* of the stamp; with a length of 0 there is none yet */
    size_t stamp_bytes;
    char stamp[SYSLOG_STAMP_BYTES];
};

/* The most bytes that the header of this record may have. */
size_t syslog_head_bound(const struct syslog_style *style, const struct yarder_record *record);
/* Writes it, with the blank before the text: its end. */
char *syslog_head(struct syslog_style *style, const struct yarder_record *record, char *at);

/* 0 to 23 or a name; 0 to 7 or a name: -1 when it is neither. */
int syslog_facility_of(const char *word);
int syslog_severity_of(const char *word);

/*
 * Where to cut `length` bytes of text so that at most `room` stand before: between two characters
 * of UTF-8, unless there is no such place near.
 */
size_t syslog_cut(const char *text, size_t length, size_t room);

#endif
