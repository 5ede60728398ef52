/* SPDX-License-Identifier: Apache-2.0 */
/* The stamps of syslog. The minute last seen is remembered, so a stamp costs its seconds only. */
#include <string.h>

#include "codec/syslog_private.h"

enum {
    ISO_MINUTE_BYTES = 16, /* yyyy-mm-ddThh:mm */
    ISO_BYTES = 19,
    BSD_MINUTE_BYTES = 12, /* Mmm dd hh:mm */
    BSD_BYTES = 15,
    BSD_SHORTEST_BYTES = 14, /* a day without its space */
    YEARS_BACK = 8,          /* to the last 29th of February, also across 1900 or 2100 */
};

static int read_year(const char *at)
{
    int high = syslog_two_digits(at, 99);
    int low = syslog_two_digits(at + 2, 99);
    return high < 0 || low < 0 ? -1 : high * 100 + low;
}

/* A fraction of a second behind a point; `at` is moved behind it, digits past ns are ignored. */
static uint32_t read_fraction(const char **at, const char *end)
{
    const char *from = *at;
    if (end - from < 2 || *from != '.' || !syslog_digit(from[1])) {
        return 0;
    }
    uint32_t value = 0;
    uint32_t unit = CALENDAR_SECOND_NS;
    for (from++; from < end && syslog_digit(*from); from++) {
        unit /= 10;
        value += unit * (uint32_t)(*from - '0');
    }
    *at = from;
    return value;
}

/* Z, +hh:mm or +hhmm: 1 and the offset; 0: no zone there; -1: something broken. */
static int read_zone(const char **at, const char *end, int32_t *offset_s)
{
    const char *from = *at;
    *offset_s = 0;
    if (from < end && *from == 'Z') {
        *at = from + 1;
        return 1;
    }
    if (from == end || (*from != '+' && *from != '-')) {
        return 0;
    }
    size_t colon = end - from > 3 && from[3] == ':' ? 1 : 0;
    if ((size_t)(end - from) < 5 + colon) {
        return -1;
    }
    int hours = syslog_two_digits(from + 1, 23);
    int minutes = syslog_two_digits(from + 3 + colon, 59);
    if (hours < 0 || minutes < 0) {
        return -1;
    }
    *offset_s = (hours * 3600 + minutes * 60) * (*from == '-' ? -1 : 1);
    *at = from + 5 + colon;
    return 1;
}

/* The second at which the minute "yyyy-mm-ddThh:mm" begins, its zone not regarded. */
static bool read_iso_minute(struct syslog_parser *parser, const char *at)
{
    if (memcmp(parser->iso_memo, at, ISO_MINUTE_BYTES) == 0) {
        return true;
    }
    int year = read_year(at);
    int month = syslog_two_digits(at + 5, 12);
    int day = syslog_two_digits(at + 8, 31);
    int hour = syslog_two_digits(at + 11, 23);
    int minute = syslog_two_digits(at + 14, 59);
    bool shaped = at[4] == '-' && at[7] == '-' && at[10] == 'T' && at[13] == ':';
    /* Nanoseconds since 1970 in 64 bits end in 1677 and 2262. */
    if (!shaped || year < 1700 || year > 2200 || hour < 0 || minute < 0 || month < 0 || day < 0 ||
        !calendar_date_valid(year, (uint32_t)month, (uint32_t)day)) {
        return false;
    }
    memcpy(parser->iso_memo, at, ISO_MINUTE_BYTES);
    parser->iso_memo_s = calendar_days(year, (uint32_t)month, (uint32_t)day) * CALENDAR_DAY_S +
                         hour * 3600 + minute * 60;
    return true;
}

bool syslog_read_iso(struct syslog_work *work, bool zone_required)
{
    struct syslog_parser *parser = work->parser;
    const char *at = work->at;
    if (work->end - at < ISO_BYTES || at[16] != ':' || !read_iso_minute(parser, at)) {
        return false;
    }
    int second = syslog_two_digits(at + 17, 60); /* 60: a leap second, the next one's first */
    if (second < 0) {
        return false;
    }
    at += ISO_BYTES;
    int64_t fraction_ns = read_fraction(&at, work->end);
    int32_t offset_s = 0;
    int zone = read_zone(&at, work->end, &offset_s);
    if (zone < 0 || (zone == 0 && zone_required) || (at < work->end && *at != ' ')) {
        return false;
    }
    int64_t time_s = parser->iso_memo_s + second;
    time_s = zone == 0 ? calendar_utc_of_local(&parser->zone, time_s) : time_s - offset_s;
    work->record->time_ns = time_s * CALENDAR_SECOND_NS + fraction_ns;
    work->at = at;
    return true;
}

/* The latest year in which the stamp is not over a day ahead of now; all of it in local time. */
static bool guess_year(
    int64_t now_local_s, uint32_t month, uint32_t day, int64_t of_day_s, int64_t *local_s)
{
    struct calendar_time now;
    calendar_split(now_local_s, &now);
    for (int64_t year = now.year + 1; year >= now.year - YEARS_BACK; year--) {
        int64_t candidate = calendar_days(year, month, day) * CALENDAR_DAY_S + of_day_s;
        if (calendar_date_valid(year, month, day) && candidate <= now_local_s + CALENDAR_DAY_S) {
            *local_s = candidate;
            return true;
        }
    }
    return false;
}

struct bsd {
    uint32_t month;
    uint32_t day;
    int year; /* -1: not stated */
    int64_t of_day_s;
    const char *end; /* behind the minute */
};

/* "Mmm dd [yyyy ]hh:mm", the day with a space, a zero or nothing in front. */
static bool read_bsd_minute(const char *at, const char *end, struct bsd *bsd)
{
    if (end - at < BSD_SHORTEST_BYTES || at[3] != ' ') {
        return false;
    }
    bsd->month = calendar_month(at);
    at += 4;
    at += *at == ' ';
    uint32_t day = 0;
    for (int i = 0; i < 2 && syslog_digit(*at); i++) {
        day = day * 10 + (uint32_t)(*at++ - '0');
    }
    if (bsd->month == 0 || day == 0 || *at++ != ' ') {
        return false;
    }
    bsd->day = day;
    bsd->year = -1;
    if (end - at >= 13 && at[4] == ' ') {
        bsd->year = read_year(at);
        at += bsd->year < 0 ? 0 : 5;
    }
    if (end - at < 8 || at[2] != ':') {
        return false;
    }
    int hour = syslog_two_digits(at, 23);
    int minute = syslog_two_digits(at + 3, 59);
    bsd->of_day_s = hour * 3600 + minute * 60;
    bsd->end = at + 5;
    return hour >= 0 && minute >= 0;
}

/* The minute of a stamp in UTC seconds, *behind moved to its end. */
static bool resolve_bsd_minute(struct syslog_work *work, int64_t *minute_s, const char **behind)
{
    struct syslog_parser *parser = work->parser;
    struct bsd bsd;
    if (!read_bsd_minute(work->at, work->end, &bsd)) {
        return false;
    }
    int64_t now_s = calendar_second(work->record->received_ns);
    int64_t local_s = 0;
    if (bsd.year >= 0) {
        if (bsd.year < 1700 || bsd.year > 2200 ||
            !calendar_date_valid(bsd.year, bsd.month, bsd.day)) {
            return false;
        }
        local_s = calendar_days(bsd.year, bsd.month, bsd.day) * CALENDAR_DAY_S + bsd.of_day_s;
    } else if (!guess_year(now_s + calendar_zone_offset(&parser->zone, now_s), bsd.month, bsd.day,
                   bsd.of_day_s, &local_s)) {
        return false;
    }
    *minute_s = calendar_utc_of_local(&parser->zone, local_s);
    *behind = bsd.end;
    if (bsd.end == work->at + BSD_MINUTE_BYTES) {
        memcpy(parser->bsd_memo, work->at, BSD_MINUTE_BYTES);
        parser->bsd_memo_s = *minute_s;
        parser->day_start_s = now_s - (now_s % CALENDAR_DAY_S);
    }
    return true;
}

bool syslog_read_bsd(struct syslog_work *work)
{
    struct syslog_parser *parser = work->parser;
    const char *at = work->at + BSD_MINUTE_BYTES;
    int64_t minute_s = parser->bsd_memo_s;
    int64_t day_s = calendar_second(work->record->received_ns) - parser->day_start_s;
    bool remembered = work->end - work->at >= BSD_BYTES &&
                      memcmp(parser->bsd_memo, work->at, BSD_MINUTE_BYTES) == 0 && day_s >= 0 &&
                      day_s < CALENDAR_DAY_S;
    if (!remembered && !resolve_bsd_minute(work, &minute_s, &at)) {
        return false;
    }
    int second = *at == ':' ? syslog_two_digits(at + 1, 60) : -1;
    if (second < 0) {
        return false;
    }
    at += 3;
    int64_t fraction_ns = read_fraction(&at, work->end);
    if (at < work->end && *at != ' ') {
        return false;
    }
    work->record->time_ns = (minute_s + second) * CALENDAR_SECOND_NS + fraction_ns;
    work->at = at;
    return true;
}
