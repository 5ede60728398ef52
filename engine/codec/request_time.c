/* SPDX-License-Identifier: Apache-2.0 */
/* The two times of uWSGI's lines. The minute last seen is remembered: a time costs its seconds. */
#include <assert.h>
#include <string.h>

#include "codec/request_private.h"

/* How a shape is written here: 0 a digit, _ a digit or a space, a a letter, + a sign. */
static const char ctime_shape[] = "aaa aaa _0 00:00:00 0000";
static const char ltime_shape[] = "00/aaa/0000:00:00:00 +0000";
static_assert(sizeof(ctime_shape) - 1 == REQUEST_CTIME_BYTES, "as long as it is");
static_assert(sizeof(ltime_shape) - 1 == REQUEST_LTIME_BYTES, "as long as it is");

enum { CTIME_SECOND_AT = 17, CTIME_YEAR_AT = 20, LTIME_SECOND_AT = 18, LTIME_ZONE_AT = 21 };

static bool is_digit(char byte)
{
    return (unsigned char)(byte - '0') <= 9;
}

static bool fits(char byte, char shape)
{
    switch (shape) {
    case '0':
        return is_digit(byte);
    case '_':
        return is_digit(byte) || byte == ' ';
    case 'a':
        return (unsigned char)((byte | 32) - 'a') < 26;
    case '+':
        return byte == '+' || byte == '-';
    default:
        return byte == shape;
    }
}

static const char *has_shape(const char *at, const char *end, const char *shape, size_t length)
{
    if ((size_t)(end - at) < length) {
        return NULL;
    }
    for (size_t i = 0; i < length; i++) {
        if (!fits(at[i], shape[i])) {
            return NULL;
        }
    }
    return at + length;
}

/* Whether these differ from what is remembered in nothing but their seconds. */
static bool is_remembered(const char *memo, const char *at, size_t second_at, size_t length)
{
    return memcmp(memo, at, second_at) == 0 &&
           memcmp(memo + second_at + 2, at + second_at + 2, length - second_at - 2) == 0;
}

const char *request_ctime_shape(const char *at, const char *end)
{
    return has_shape(at, end, ctime_shape, REQUEST_CTIME_BYTES);
}

const char *request_ltime_shape(const char *at, const char *end)
{
    return has_shape(at, end, ltime_shape, REQUEST_LTIME_BYTES);
}

static int two(const char *at)
{
    return (at[0] == ' ' ? 0 : at[0] - '0') * 10 + (at[1] - '0');
}

/* The beginning of a minute as the calendar of its place says it. */
static bool minute_of(
    const char *year, const char *month, const char *day, const char *clock, int64_t *minute_s)
{
    int64_t years = two(year) * 100 + two(year + 2);
    uint32_t months = calendar_month(month);
    /* Nanoseconds since 1970 in 64 bits end in 1677 and 2262. */
    if (years < 1700 || years > 2200 || months == 0 || two(clock) > 23 || two(clock + 3) > 59 ||
        !calendar_date_valid(years, months, (uint32_t)two(day))) {
        return false;
    }
    *minute_s = calendar_days(years, months, (uint32_t)two(day)) * CALENDAR_DAY_S +
                two(clock) * 3600 + two(clock + 3) * 60;
    return true;
}

bool request_ctime_read(struct request_memo *memo, const char *at, int64_t *time_ns)
{
    if (!is_remembered(memo->ctime_minute, at, CTIME_SECOND_AT, REQUEST_CTIME_BYTES)) {
        int64_t local_s = 0;
        if (!minute_of(at + CTIME_YEAR_AT, at + 4, at + 8, at + 11, &local_s)) {
            return false;
        }
        memo->ctime_s = calendar_utc_of_local(&memo->zone, local_s);
        memcpy(memo->ctime_minute, at, REQUEST_CTIME_BYTES);
    }
    *time_ns = (memo->ctime_s + two(at + CTIME_SECOND_AT)) * CALENDAR_SECOND_NS;
    return two(at + CTIME_SECOND_AT) <= 60;
}

bool request_ltime_read(struct request_memo *memo, const char *at, int64_t *time_ns)
{
    if (!is_remembered(memo->ltime_minute, at, LTIME_SECOND_AT, REQUEST_LTIME_BYTES)) {
        const char *zone = at + LTIME_ZONE_AT;
        int64_t local_s = 0;
        if (two(zone + 1) > 23 || two(zone + 3) > 59 ||
            !minute_of(at + 7, at + 3, at, at + 12, &local_s)) {
            return false;
        }
        int64_t offset_s = two(zone + 1) * 3600 + two(zone + 3) * 60;
        memo->ltime_s = local_s - (*zone == '-' ? -offset_s : offset_s);
        memcpy(memo->ltime_minute, at, REQUEST_LTIME_BYTES);
    }
    *time_ns = (memo->ltime_s + two(at + LTIME_SECOND_AT)) * CALENDAR_SECOND_NS;
    return two(at + LTIME_SECOND_AT) <= 60;
}
