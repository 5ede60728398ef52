/* SPDX-License-Identifier: Apache-2.0 */
/* What the two syslog formats share; private to the room. */
#ifndef YARDER_CODEC_SYSLOG_PRIVATE_H
#define YARDER_CODEC_SYSLOG_PRIVATE_H

#include <string.h>

#include "codec/syslog.h"

/* One call of syslog_parse: what is still unread, and where things go. */
struct syslog_work {
    struct syslog_parser *parser;
    struct yarder_record *record;
    struct yarder_field *fields;
    const char *at;
    const char *end;
    char *scratch;
    char *scratch_end;
};

static inline bool syslog_digit(char byte)
{
    return (unsigned char)(byte - '0') <= 9;
}

/* Two digits up to `limit`, or -1; `at` has two bytes. */
static inline int syslog_two_digits(const char *at, int limit)
{
    if (!syslog_digit(at[0]) || !syslog_digit(at[1])) {
        return -1;
    }
    int value = (at[0] - '0') * 10 + (at[1] - '0');
    return value <= limit ? value : -1;
}

static inline bool syslog_add_field(
    struct syslog_work *work, struct yarder_text key, struct yarder_text value)
{
    if (work->record->fields_count == YARDER_FIELDS_MAX) {
        return false;
    }
    work->fields[work->record->fields_count++] =
        (struct yarder_field){.key = key, .value = value, .type = YARDER_FIELD_TEXT};
    return true;
}

/* A process id: a plain number becomes the record's pid, anything else the field procid. */
void syslog_take_pid(struct syslog_work *work, struct yarder_text text);

/* Both move `at` behind the stamp and fill time_ns; false: no such stamp, nothing moved. */
bool syslog_read_iso(struct syslog_work *work, bool zone_required);
bool syslog_read_bsd(struct syslog_work *work);

/* What follows "<PRI>1 "; false: no RFC 5424 header, and the record is as it was. */
bool syslog_read_rfc5424(struct syslog_work *work);

#endif
