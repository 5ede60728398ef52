/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dates and times of records: civil date arithmetic, local time's offset, and a strftime of our own
 * whose text is made once a second. Nothing here makes a system call; the zone is asked of libc
 * once for each quarter of an hour that is spoken of.
 */
#ifndef YARDER_CODEC_CALENDAR_H
#define YARDER_CODEC_CALENDAR_H

#include "base/base.h"

enum { CALENDAR_DAY_S = 86400, CALENDAR_SECOND_NS = 1000000000 };

struct calendar_time {
    int64_t year;
    uint32_t month; /* 1 to 12 */
    uint32_t day;   /* 1 to 31 */
    uint32_t hour;
    uint32_t minute;
    uint32_t second;
    uint32_t weekday;  /* 0 is Sunday */
    uint32_t year_day; /* 1 to 366 */
};

/* Days since 1970 of a date in the Gregorian calendar; a day beyond its month runs on. */
int64_t calendar_days(int64_t year, uint32_t month, uint32_t day);
bool calendar_date_valid(int64_t year, uint32_t month, uint32_t day);
void calendar_split(int64_t seconds, struct calendar_time *out);
/* 1 to 12 for "Jan" to "Dec", 0 for anything else; `at` has three bytes. */
uint32_t calendar_month(const char *at);

static inline int64_t calendar_second(int64_t time_ns)
{
    int64_t second = time_ns / CALENDAR_SECOND_NS;
    return second - (time_ns % CALENDAR_SECOND_NS < 0);
}
static inline uint32_t calendar_fraction_ns(int64_t time_ns)
{
    int64_t rest = time_ns % CALENDAR_SECOND_NS;
    return (uint32_t)(rest < 0 ? rest + CALENDAR_SECOND_NS : rest);
}

/* Local time's offset from UTC, remembered; zeroed to start. */
struct calendar_zone {
    int64_t slot;
    int32_t offset_s;
    bool known;
};
int32_t calendar_zone_offset(struct calendar_zone *zone, int64_t utc_s);
/* The hour that winter time repeats answers with one of its two; the one that is skipped, near it.
 */
int64_t calendar_utc_of_local(struct calendar_zone *zone, int64_t local_s);

/*
 * A time format whose text changes once a second: %Y %m %d %H %M %S %F %T %R %D %y %b %h %B %a %A
 * %e %j %I %p %u %w %z %:z %s %%, and other bytes as they are.
 */
enum { CALENDAR_TEXT_BYTES_MAX = 64, CALENDAR_TEXT_SLACK_BYTES = 32 };
struct calendar_text {
    int64_t second;
    bool known;
    bool utc;
    uint8_t length;
    char text[CALENDAR_TEXT_BYTES_MAX +
              CALENDAR_TEXT_SLACK_BYTES]; /* may be over-read by the slack */
    char format[CALENDAR_TEXT_BYTES_MAX];
    uint8_t format_length;
};
/* The most bytes that a format makes, or -EINVAL with the place of the unknown conversion. */
YARDER_MUST_USE int calendar_measure(const char *format, size_t length, size_t *bad_at);
void calendar_render(struct calendar_text *text, struct calendar_zone *zone, int64_t utc_s);

static inline void calendar_refresh(
    struct calendar_text *text, struct calendar_zone *zone, int64_t utc_s)
{
    if (YARDER_UNLIKELY(text->second != utc_s || !text->known)) {
        calendar_render(text, zone, utc_s);
    }
}

/* `digits` decimal digits of value, with zeros in front; returns the end. */
static inline char *calendar_digits(char *at, uint32_t value, uint32_t digits)
{
    for (uint32_t i = digits; i > 0; i--) {
        at[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + digits;
}

#endif
