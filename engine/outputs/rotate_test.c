/* SPDX-License-Identifier: Apache-2.0 */
/* Periods (zones, changes of the clock, leap days), names and what of them is ours, keep rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "outputs/output_private.h"
#include "outputs/sweep_path.h"

enum { HOUR = 3600, DAY = 86400 };

static struct output_rotate rotate_of(const char *when, uint64_t interval, const char *at, bool utc)
{
    struct output_rotate rotate = {.interval = interval, .utc = utc};
    char why[200];
    assert_int_equal(option_parse_rotate_when(&rotate.when, when, why, sizeof(why)), 0);
    if (at != NULL) {
        assert_int_equal(option_parse_rotate_at(&rotate.at, at, why, sizeof(why)), 0);
    }
    return rotate;
}

static void zone_is(const char *name)
{
    assert_int_equal(setenv("TZ", name, 1), 0);
    tzset();
}

/* "2026-03-29 01:30:00", UTC. */
static int64_t utc(const char *text)
{
    struct tm tm = {0};
    assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
    return timegm(&tm);
}

static void check(const struct output_rotate *rotate, const char *time, const char *start,
    const char *end, const char *suffix)
{
    struct calendar_zone zone = {0};
    char text[ROTATE_SUFFIX_BYTES];
    int64_t from = rotate_period(rotate, &zone, utc(time));
    int64_t to = rotate_period_end(rotate, &zone, from);
    if (from != utc(start) || to != utc(end)) {
        fail_msg("%s: [%lld, %lld), not [%lld, %lld)", time, (long long)from, (long long)to,
            (long long)utc(start), (long long)utc(end));
    }
    rotate_suffix(rotate, &zone, from, text);
    assert_string_equal(text, suffix);
}

static void test_units(void **state)
{
    (void)state;
    zone_is("Asia/Kathmandu"); /* +05:45 */
    const struct output_rotate second = rotate_of("s", 10, NULL, false);
    check(&second, "2026-11-21 16:38:56", "2026-11-21 16:38:50", "2026-11-21 16:39:00",
        ".2026-11-21_22-23-50");
    const struct output_rotate minute = rotate_of("M", 0, NULL, true);
    check(&minute, "2026-11-21 16:38:56", "2026-11-21 16:38:00", "2026-11-21 16:39:00",
        ".2026-11-21_16-38");
    const struct output_rotate hour = rotate_of("H", 1, NULL, false);
    check(&hour, "2026-11-21 16:38:56", "2026-11-21 16:15:00", "2026-11-21 17:15:00",
        ".2026-11-21_22");
    const struct output_rotate day = rotate_of("D", 1, NULL, false);
    check(&day, "2026-11-21 18:20:00", "2026-11-21 18:15:00", "2026-11-22 18:15:00", ".2026-11-22");
    const struct output_rotate leap = rotate_of("midnight", 1, NULL, true);
    check(
        &leap, "2028-02-29 00:00:00", "2028-02-29 00:00:00", "2028-03-01 00:00:00", ".2028-02-29");
    check(
        &leap, "1969-12-31 23:59:59", "1969-12-31 00:00:00", "1970-01-01 00:00:00", ".1969-12-31");
    const struct output_rotate at = rotate_of("MIDNIGHT", 1, "03:30", true);
    check(&at, "2026-11-21 03:29:59", "2026-11-20 03:30:00", "2026-11-21 03:30:00", ".2026-11-20");
    check(&at, "2026-11-21 03:30:00", "2026-11-21 03:30:00", "2026-11-22 03:30:00", ".2026-11-21");
}

/* 2026-11-21 is a Saturday. */
static void test_weeks(void **state)
{
    (void)state;
    const struct output_rotate sunday = rotate_of("W6", 1, NULL, true); /* ends with Sunday */
    check(&sunday, "2026-11-22 23:59:59", "2026-11-16 00:00:00", "2026-11-23 00:00:00",
        ".2026-11-16");
    const struct output_rotate monday = rotate_of("W0", 1, NULL, true);
    check(&monday, "2026-11-23 23:59:59", "2026-11-17 00:00:00", "2026-11-24 00:00:00",
        ".2026-11-17");
    const struct output_rotate at = rotate_of("w0", 1, "02:30", true); /* on Monday */
    check(&at, "2026-11-23 02:29:59", "2026-11-16 02:30:00", "2026-11-23 02:30:00", ".2026-11-16");
    const struct output_rotate two = rotate_of("W6", 2, NULL, true);
    check(&two, "2026-11-21 00:00:00", "2026-11-09 00:00:00", "2026-11-23 00:00:00", ".2026-11-09");
}

/* Days are as long as they are; hours that come twice are two periods. */
static void test_changes_of_the_clock(void **state)
{
    (void)state;
    zone_is("Europe/Stockholm");
    const struct output_rotate day = rotate_of("midnight", 1, NULL, false);
    check(&day, "2026-03-29 12:00:00", "2026-03-28 23:00:00", "2026-03-29 22:00:00", ".2026-03-29");
    check(&day, "2026-10-25 22:59:59", "2026-10-24 22:00:00", "2026-10-25 23:00:00", ".2026-10-25");
    const struct output_rotate hour = rotate_of("H", 1, NULL, false);
    check(&hour, "2026-10-25 00:30:00", "2026-10-25 00:00:00", "2026-10-25 01:00:00",
        ".2026-10-25_02");
    check(&hour, "2026-10-25 01:30:00", "2026-10-25 01:00:00", "2026-10-25 02:00:00",
        ".2026-10-25_02");
    const struct output_rotate six = rotate_of("H", 6, NULL, false);
    check(&six, "2026-10-25 00:30:00", "2026-10-24 22:00:00", "2026-10-25 01:00:00",
        ".2026-10-25_00");
    check(&six, "2026-10-25 01:30:00", "2026-10-25 01:00:00", "2026-10-25 05:00:00",
        ".2026-10-25_02");
    const struct output_rotate week = rotate_of("W6", 1, "02:30", false); /* which there is not */
    check(
        &week, "2026-03-28 12:00:00", "2026-03-22 01:30:00", "2026-03-29 01:00:00", ".2026-03-22");
    zone_is("America/Havana"); /* midnight comes twice, or never */
    check(&day, "2025-11-02 05:30:00", "2025-11-02 04:00:00", "2025-11-03 05:00:00", ".2025-11-02");
    check(&day, "2025-03-09 05:00:00", "2025-03-09 05:00:00", "2025-03-10 04:00:00", ".2025-03-09");
}

/* Every second of years lies in one period; these follow each other without a gap. */
static void test_periods_are_a_partition(void **state)
{
    (void)state;
    static const char *const zones[] = {"Europe/Stockholm", "America/Havana", "Australia/Lord_Howe",
        "Asia/Kathmandu", "Pacific/Apia", "UTC"};
    static const char *const times[] = {"01:10:05", "02:30", "00:10"};
    static const char *const whens[] = {"H", "D", "W3", "midnight"};
    for (size_t z = 0; z < YARDER_COUNT_OF(zones); z++) {
        zone_is(zones[z]);
        for (size_t w = 0; w < YARDER_COUNT_OF(whens); w++) {
            for (uint64_t interval = 1; interval <= 7; interval += 3) {
                const struct output_rotate rotate =
                    rotate_of(whens[w], interval, w % 2 == 1 ? times[z % 3] : NULL, false);
                const struct output_rotate *one = &rotate;
                struct calendar_zone zone = {0};
                int64_t at = rotate_period(one, &zone, 1300000000);
                for (unsigned i = 0; i < 3000 && at < 1700000000; i++) {
                    int64_t end = rotate_period_end(one, &zone, at);
                    assert_true(end > at);
                    assert_int_equal(rotate_period(one, &zone, at), at);
                    assert_int_equal(rotate_period(one, &zone, at + (end - at) / 2), at);
                    assert_int_equal(rotate_period(one, &zone, end - 1), at);
                    assert_int_equal(rotate_period(one, &zone, end), end);
                    at = end;
                }
            }
        }
    }
}

static void test_words(void **state)
{
    (void)state;
    static const char *const bad_when[] = {"", "x", "SS", "W7", "W", "W00", "noon", "mid", "1"};
    static const char *const bad_at[] = {
        "", "1", "24:00", "12:60", "12:30:60", "12:", "12:30:", "12:30x", " 12:30", "12:30:00:00"};
    char why[200];
    struct rotate_when when;
    struct rotate_at at;
    for (size_t i = 0; i < YARDER_COUNT_OF(bad_when); i++) {
        assert_int_equal(option_parse_rotate_when(&when, bad_when[i], why, sizeof(why)), -EINVAL);
    }
    for (size_t i = 0; i < YARDER_COUNT_OF(bad_at); i++) {
        assert_int_equal(option_parse_rotate_at(&at, bad_at[i], why, sizeof(why)), -EINVAL);
    }
    assert_int_equal(option_parse_rotate_at(&at, "23:59:58", why, sizeof(why)), 0);
    assert_int_equal(at.second, DAY - 2);
    assert_int_equal(option_parse_rotate_at(&at, "1:05", why, sizeof(why)), 0);
    assert_int_equal(at.second, HOUR + 300);
}

static void test_names(void **state)
{
    (void)state;
    struct output_rotate numbers = {0};
    struct output_rotate hours = rotate_of("H", 1, NULL, true);
    struct output_rotate seconds = {.names = ROTATE_SECONDS};
    static char to[] = "/x/old";
    struct output_rotate fixed = {.to = to};
    const struct {
        const struct output_rotate *rotate;
        const char *base, *name;
        bool ours;
        uint64_t counter;
        enum rotate_compress compressed;
    } rows[] = {
        {&numbers, "log", "log.1", true, 1, ROTATE_RAW},
        {&numbers, "log", "log.120.gz", true, 120, ROTATE_GZIP},
        {&numbers, "log", "log.3.zst", true, 3, ROTATE_ZSTD},
        {&numbers, "log", "log", false, 0, 0},
        {&numbers, "log", "log.", false, 0, 0},
        {&numbers, "log", "log.0", false, 0, 0},
        {&numbers, "log", "log.01", false, 0, 0},
        {&numbers, "log", "log.1.bak", false, 0, 0},
        {&numbers, "log", "log.1.gz.gz", false, 0, 0},
        {&numbers, "log", "log.gz", false, 0, 0},
        {&numbers, "log", "log1", false, 0, 0},
        {&numbers, "log", "log.1234567890", false, 0, 0},
        {&numbers, "log", "log.2026-11-21_16", false, 0, 0},
        {&hours, "log", "log.2026-11-21_16", true, 0, ROTATE_RAW},
        {&hours, "log", "log.2026-11-21_16.12.gz", true, 12, ROTATE_GZIP},
        {&hours, "log", "log.2026-11-21", false, 0, 0},
        {&hours, "log", "log.2026-11-21_16-00", false, 0, 0},
        {&hours, "log", "log.2026-11-21_16x", false, 0, 0},
        {&hours, "log", "log.2026-11-21_16.", false, 0, 0},
        {&hours, "log", "log.1", false, 0, 0},
        {&seconds, "log", "log.1795276800", true, 0, ROTATE_RAW},
        {&seconds, "log", "log.1795276800.2", true, 2, ROTATE_RAW},
        {&seconds, "log", "log.17", false, 0, 0},
        {&fixed, "old", "old", true, 0, ROTATE_RAW},
        {&fixed, "old", "old.gz", true, 0, ROTATE_GZIP},
        {&fixed, "old", "old.7", true, 7, ROTATE_RAW},
        {&fixed, "old", "older", false, 0, 0},
    };
    struct rotate_name name;
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        bool ours = rotate_name_parse(rows[i].rotate, rows[i].base, rows[i].name, &name);
        if (ours != rows[i].ours) {
            fail_msg("%s", rows[i].name);
        }
        if (ours) {
            assert_false(name.temporary);
            assert_int_equal(name.counter, rows[i].counter);
            assert_int_equal(name.compressed, rows[i].compressed);
        }
    }
    assert_true(rotate_name_parse(&numbers, "log", "log.123.yarder-tmp", &name) && name.temporary);
    assert_false(rotate_name_parse(&numbers, "log", "log.x.yarder-tmp", &name));
    assert_false(rotate_name_parse(&numbers, "log", "log..yarder-tmp", &name));
    assert_false(rotate_name_parse(&numbers, "log", "log.yarder-tmp", &name));
}

static void test_keep(void **state)
{
    (void)state;
    static const char *const names[] = {
        "log.10", "log.2.gz", "log.1", "log.3", "log.9"}; /* oldest: 10 */
    struct output_rotate rotate = {0};
    struct sweep_file files[YARDER_COUNT_OF(names)] = {0};
    for (size_t i = 0; i < YARDER_COUNT_OF(names); i++) {
        (void)snprintf(files[i].entry, sizeof(files[i].entry), "%s", names[i]);
        assert_true(rotate_name_parse(&rotate, "log", names[i], &files[i].name));
        files[i].status.st_size = 100;
        files[i].status.st_mtim.tv_sec = 10 * DAY - (int64_t)files[i].name.counter * DAY;
    }
    sweep_sort(&rotate, files, YARDER_COUNT_OF(files));
    assert_string_equal(files[0].entry, "log.1");
    assert_string_equal(files[1].entry, "log.2.gz");
    assert_string_equal(files[4].entry, "log.10");
    assert_int_equal(sweep_kept(&rotate, files, 5, 10 * DAY), 5);
    rotate.keep = 2;
    assert_int_equal(sweep_kept(&rotate, files, 5, 10 * DAY), 2);
    assert_int_equal(sweep_kept(&rotate, files, 1, 10 * DAY), 1);
    rotate.keep = 0;
    rotate.keep_bytes = 399;
    assert_int_equal(sweep_kept(&rotate, files, 5, 10 * DAY), 3);
    rotate.keep_bytes = 400;
    assert_int_equal(sweep_kept(&rotate, files, 5, 10 * DAY), 4);
    rotate.keep_bytes = 0;
    rotate.keep_days = 3;
    assert_int_equal(sweep_kept(&rotate, files, 5, 10 * DAY), 2);
    assert_int_equal(sweep_kept(&rotate, files, 5, 10 * DAY - 1), 3);
}

/* Within one date by the time of change: counters that came free are given again. */
static void test_keep_dates(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t changed;
    } rows[] = {{"log.2026-11-21", 50}, {"log.2026-11-21.1", 10}, {"log.2026-11-20", 90},
        {"log.2026-11-21.2", 20}};
    static const char *const want[] = {
        "log.2026-11-21", "log.2026-11-21.2", "log.2026-11-21.1", "log.2026-11-20"};
    struct output_rotate rotate = rotate_of("D", 1, NULL, true);
    struct sweep_file files[YARDER_COUNT_OF(rows)] = {0};
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        (void)snprintf(files[i].entry, sizeof(files[i].entry), "%s", rows[i].name);
        assert_true(rotate_name_parse(&rotate, "log", rows[i].name, &files[i].name));
        files[i].status.st_mtim.tv_sec = rows[i].changed;
    }
    sweep_sort(&rotate, files, YARDER_COUNT_OF(files));
    for (size_t i = 0; i < YARDER_COUNT_OF(want); i++) {
        assert_string_equal(files[i].entry, want[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_weeks),
        cmocka_unit_test(test_changes_of_the_clock),
        cmocka_unit_test(test_periods_are_a_partition),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_keep_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
