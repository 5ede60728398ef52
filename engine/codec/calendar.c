/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/calendar.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

enum { ZONE_SLOT_S = 900 }; /* clocks are put forward and back at quarters of an hour */

static const char month_names[12][10] = {"January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December"};
static const char day_names[7][10] = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

static int64_t floor_divide(int64_t value, int64_t divisor)
{
    return value / divisor - (value % divisor < 0);
}

/* Years begin in March here, so that the leap day is a year's last; eras of 400 years repeat. */
int64_t calendar_days(int64_t year, uint32_t month, uint32_t day)
{
    int64_t shifted = year - (month <= 2);
    int64_t era = floor_divide(shifted, 400);
    int64_t year_of_era = shifted - era * 400;
    int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

bool calendar_date_valid(int64_t year, uint32_t month, uint32_t day)
{
    static const uint8_t lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || day < 1) {
        return false;
    }
    return day <= lengths[month - 1] + (month == 2 && is_leap(year) ? 1U : 0U);
}

static void split_days(int64_t days, struct calendar_time *out)
{
    int64_t shifted = days + 719468;
    int64_t era = floor_divide(shifted, 146097);
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    out->day = (uint32_t)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    out->month = (uint32_t)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    out->year = year_of_era + era * 400 + (out->month <= 2);
    out->weekday = (uint32_t)(days + 4 - floor_divide(days + 4, 7) * 7);
    out->year_day = (uint32_t)(days - calendar_days(out->year, 1, 1) + 1);
}

void calendar_split(int64_t seconds, struct calendar_time *out)
{
    int64_t days = floor_divide(seconds, CALENDAR_DAY_S);
    uint32_t rest = (uint32_t)(seconds - days * CALENDAR_DAY_S);
    split_days(days, out);
    out->hour = rest / 3600;
    out->minute = rest / 60 % 60;
    out->second = rest % 60;
}

uint32_t calendar_month(const char *at)
{
    for (uint32_t i = 0; i < YARDER_COUNT_OF(month_names); i++) {
        if (memcmp(month_names[i], at, 3) == 0) {
            return i + 1;
        }
    }
    return 0;
}

int32_t calendar_zone_offset(struct calendar_zone *zone, int64_t utc_s)
{
    int64_t slot = floor_divide(utc_s, ZONE_SLOT_S);
    if (YARDER_UNLIKELY(!zone->known || zone->slot != slot)) {
        time_t at = (time_t)utc_s;
        struct tm local;
        zone->offset_s = localtime_r(&at, &local) == NULL ? 0 : (int32_t)local.tm_gmtoff;
        zone->slot = slot;
        zone->known = true;
    }
    return zone->offset_s;
}

int64_t calendar_utc_of_local(struct calendar_zone *zone, int64_t local_s)
{
    int32_t last_s = zone->offset_s; /* nearly always still the one, and then one look-up does */
    int32_t offset_s = calendar_zone_offset(zone, local_s - last_s);
    if (offset_s != last_s) {
        offset_s = calendar_zone_offset(zone, local_s - offset_s);
    }
    return local_s - offset_s;
}

/* The widest text of a conversion; 0: not one of ours. */
static uint8_t conversion_bytes(char conversion)
{
    static const char names[] = "YmdHMSFTRDybhBaAejIpuwzs%";
    static const uint8_t widths[] = {
        4, 2, 2, 2, 2, 2, 10, 8, 5, 8, 2, 3, 3, 9, 3, 9, 2, 3, 2, 2, 1, 1, 5, 11, 1};
    static_assert(sizeof(names) - 1 == sizeof(widths), "a width for each");
    const char *found = conversion == '\0' ? NULL : strchr(names, conversion);
    return found == NULL ? 0 : widths[found - names];
}

static bool is_colon_zone(const char *format, size_t at, size_t length)
{
    return at + 2 < length && format[at + 1] == ':' && format[at + 2] == 'z';
}

int calendar_measure(const char *format, size_t length, size_t *bad_at)
{
    int total = 0;
    for (size_t i = 0; i < length; i++) {
        if (format[i] != '%') {
            total++;
        } else if (is_colon_zone(format, i, length)) {
            total += 6;
            i += 2;
        } else {
            uint8_t bytes = i + 1 < length ? conversion_bytes(format[i + 1]) : 0;
            if (bytes == 0) {
                *bad_at = i;
                return -EINVAL;
            }
            total += bytes;
            i++;
        }
    }
    return total;
}

static char *put_name(char *at, const char *name, size_t length)
{
    memcpy(at, name, length);
    return at + length;
}

static char *put_clock(char *at, const struct calendar_time *time, bool seconds)
{
    at = calendar_digits(at, time->hour, 2);
    *at++ = ':';
    at = calendar_digits(at, time->minute, 2);
    if (seconds) {
        *at++ = ':';
        at = calendar_digits(at, time->second, 2);
    }
    return at;
}

static char *put_zone(char *at, int32_t offset_s, bool colon)
{
    uint32_t minutes = (uint32_t)(offset_s < 0 ? -offset_s : offset_s) / 60;
    *at++ = offset_s < 0 ? '-' : '+';
    at = calendar_digits(at, minutes / 60, 2);
    if (colon) {
        *at++ = ':';
    }
    return calendar_digits(at, minutes % 60, 2);
}

static char *put_date(char *at, const struct calendar_time *time, char conversion)
{
    bool american = conversion == 'D';
    if (!american) {
        at = calendar_digits(at, (uint32_t)time->year, 4);
        *at++ = '-';
    }
    at = calendar_digits(at, time->month, 2);
    *at++ = american ? '/' : '-';
    at = calendar_digits(at, time->day, 2);
    if (american) {
        *at++ = '/';
        at = calendar_digits(at, (uint32_t)time->year % 100, 2);
    }
    return at;
}

static char *put_signed(char *at, int64_t value)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (value < 0) {
        *at++ = '-';
    }
    return at + text_from_u64(at, magnitude);
}

static char *put_conversion(
    char *at, char conversion, const struct calendar_time *time, int64_t utc_s, int32_t offset_s)
{
    const char *month = month_names[time->month - 1];
    const char *day = day_names[time->weekday];
    switch (conversion) {
    case 'Y':
        return calendar_digits(at, (uint32_t)time->year, 4);
    case 'y':
        return calendar_digits(at, (uint32_t)time->year % 100, 2);
    case 'm':
        return calendar_digits(at, time->month, 2);
    case 'd':
        return calendar_digits(at, time->day, 2);
    case 'e':
        at[0] = time->day < 10 ? ' ' : (char)('0' + time->day / 10);
        at[1] = (char)('0' + time->day % 10);
        return at + 2;
    case 'j':
        return calendar_digits(at, time->year_day, 3);
    case 'H':
        return calendar_digits(at, time->hour, 2);
    case 'I':
        return calendar_digits(at, (time->hour + 11) % 12 + 1, 2);
    case 'M':
        return calendar_digits(at, time->minute, 2);
    case 'S':
        return calendar_digits(at, time->second, 2);
    case 'p':
        return put_name(at, time->hour < 12 ? "AM" : "PM", 2);
    case 'F':
    case 'D':
        return put_date(at, time, conversion);
    case 'T':
    case 'R':
        return put_clock(at, time, conversion == 'T');
    case 'b':
    case 'h':
        return put_name(at, month, 3);
    case 'B':
        return put_name(at, month, strlen(month));
    case 'a':
        return put_name(at, day, 3);
    case 'A':
        return put_name(at, day, strlen(day));
    case 'u':
        return calendar_digits(at, time->weekday == 0 ? 7 : time->weekday, 1);
    case 'w':
        return calendar_digits(at, time->weekday, 1);
    case 'z':
        return put_zone(at, offset_s, false);
    case 's':
        return put_signed(at, utc_s);
    default:
        *at = '%';
        return at + 1;
    }
}

void calendar_render(struct calendar_text *text, struct calendar_zone *zone, int64_t utc_s)
{
    int32_t offset_s = text->utc ? 0 : calendar_zone_offset(zone, utc_s);
    struct calendar_time time;
    calendar_split(utc_s + offset_s, &time);
    char *at = text->text;
    for (size_t i = 0; i < text->format_length; i++) {
        if (text->format[i] != '%') {
            *at++ = text->format[i];
        } else if (is_colon_zone(text->format, i, text->format_length)) {
            at = put_zone(at, offset_s, true);
            i += 2;
        } else {
            i++;
            at = put_conversion(at, text->format[i], &time, utc_s, offset_s);
        }
    }
    YARDER_ASSERT(at <= text->text + CALENDAR_TEXT_BYTES_MAX);
    text->length = (uint8_t)(at - text->text);
    text->second = utc_s;
    text->known = true;
}
