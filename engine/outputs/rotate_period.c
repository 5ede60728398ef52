/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs/rotate.h"

enum { HOUR_S = 3600, WEEK_DAYS = 7, THURSDAY = 3 /* of 1970-01-01, Monday is 0 */ };

static int32_t offset_of(
    const struct output_rotate *rotate, struct calendar_zone *zone, int64_t utc_s)
{
    return rotate->utc ? 0 : calendar_zone_offset(zone, utc_s);
}

static int64_t floor_to(int64_t value, int64_t step)
{
    int64_t rest = value % step;
    return value - rest - (rest < 0 ? step : 0);
}

static bool has_days(const struct output_rotate *rotate)
{
    return rotate->when.unit >= ROTATE_DAY;
}

static int64_t length_s(const struct output_rotate *rotate)
{
    static const int64_t units_s[] = {[ROTATE_NEVER] = 1,
        [ROTATE_SECOND] = 1,
        [ROTATE_MINUTE] = 60,
        [ROTATE_HOUR] = HOUR_S,
        [ROTATE_DAY] = CALENDAR_DAY_S,
        [ROTATE_MIDNIGHT] = CALENDAR_DAY_S,
        [ROTATE_WEEK] = WEEK_DAYS * CALENDAR_DAY_S};
    return units_s[rotate->when.unit] * (int64_t)yarder_max(rotate->interval, 1);
}

/* The beginning on a clock that is never put forward or back. */
static int64_t local_start(const struct output_rotate *rotate, int64_t local_s)
{
    int64_t from_s = has_days(rotate) ? (int64_t)rotate->at.second : 0;
    if (rotate->when.unit == ROTATE_WEEK) { /* without a time it ends when that day does */
        uint32_t day = rotate->when.weekday + (rotate->at.given ? 0 : 1);
        from_s += (int64_t)((day + WEEK_DAYS - THURSDAY) % WEEK_DAYS) * CALENDAR_DAY_S;
    }
    return floor_to(local_s - from_s, length_s(rotate)) + from_s;
}

/* When the clock was put forward or back, between two times with different offsets. */
static int64_t change_between(
    const struct output_rotate *rotate, struct calendar_zone *zone, int64_t before, int64_t after)
{
    int32_t offset = offset_of(rotate, zone, after);
    while (after - before > 1) {
        int64_t middle = before + (after - before) / 2;
        if (offset_of(rotate, zone, middle) == offset) {
            after = middle;
        } else {
            before = middle;
        }
    }
    return after;
}

/*
 * Days and weeks begin when the local clock first shows that they do, however long they are. A
 * period of hours or less begins anew where the clock is changed within it: nothing goes back.
 */
int64_t rotate_period(
    const struct output_rotate *rotate, struct calendar_zone *zone, int64_t time_s)
{
    int32_t offset = offset_of(rotate, zone, time_s);
    int64_t local_s = local_start(rotate, time_s + offset);
    int64_t start_s = local_s - offset;
    int32_t then = offset_of(rotate, zone, start_s);
    if (!has_days(rotate)) {
        return then == offset ? start_s : change_between(rotate, zone, start_s, time_s);
    }
    if (then != offset) { /* the clock may have skipped the time */
        int64_t other_s = local_s - then;
        bool skipped = offset_of(rotate, zone, other_s) != then;
        start_s = skipped ? change_between(rotate, zone, start_s, time_s) : other_s;
    } else {
        int32_t before = offset_of(rotate, zone, start_s - 1);
        bool repeated = before > offset && offset_of(rotate, zone, local_s - before) == before;
        start_s = repeated ? local_s - before : start_s;
    }
    return start_s;
}

int64_t rotate_period_end(
    const struct output_rotate *rotate, struct calendar_zone *zone, int64_t start_s)
{
    int64_t end_s = start_s;
    for (int64_t at = start_s + length_s(rotate); end_s <= start_s; at += HOUR_S) {
        end_s = rotate_period(rotate, zone, at);
    }
    for (int64_t before = rotate_period(rotate, zone, end_s - 1); before > start_s;
         before = rotate_period(rotate, zone, end_s - 1)) {
        end_s = before;
    }
    return end_s;
}
