/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: dates and offsets as libc has them. Method: compare with gmtime, localtime and strftime. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "codec/calendar.h"

enum { ROUNDS = 20000 };

/* Called by pointer, because its formats stand in a table. */
static size_t (*const libc_strftime)(char *, size_t, const char *, const struct tm *) = strftime;

/* Seconds from 1700 to 2200, odd steps. */
static int64_t pick_second(unsigned round)
{
    return -8520336000 + (int64_t)round * 789123457LL % 15778476000;
}

static void test_split_is_gmtime(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        time_t second = pick_second(i);
        struct tm expected;
        struct calendar_time got;
        assert_non_null(gmtime_r(&second, &expected));
        calendar_split(second, &got);
        assert_int_equal(got.year, expected.tm_year + 1900);
        assert_int_equal(got.month, expected.tm_mon + 1);
        assert_int_equal(got.day, expected.tm_mday);
        assert_int_equal(got.hour, expected.tm_hour);
        assert_int_equal(got.minute, expected.tm_min);
        assert_int_equal(got.second, expected.tm_sec);
        assert_int_equal(got.weekday, expected.tm_wday);
        assert_int_equal(got.year_day, expected.tm_yday + 1);
        assert_true(calendar_date_valid(got.year, got.month, got.day));
        assert_int_equal(calendar_days(got.year, got.month, got.day) * CALENDAR_DAY_S +
                             got.hour * 3600 + got.minute * 60 + got.second,
            second);
    }
}

static void test_dates(void **state)
{
    (void)state;
    assert_true(calendar_date_valid(2024, 2, 29));
    assert_true(calendar_date_valid(2000, 2, 29));
    assert_false(calendar_date_valid(1900, 2, 29));
    assert_false(calendar_date_valid(2026, 2, 29));
    assert_false(calendar_date_valid(2026, 4, 31));
    assert_false(calendar_date_valid(2026, 13, 1));
    assert_false(calendar_date_valid(2026, 0, 1));
    assert_false(calendar_date_valid(2026, 1, 0));
    assert_int_equal(calendar_month("Jan"), 1);
    assert_int_equal(calendar_month("Dec"), 12);
    assert_int_equal(calendar_month("dec"), 0);
    assert_int_equal(calendar_second(-1), -1);
    assert_int_equal(calendar_fraction_ns(-1), 999999999);
    assert_int_equal(calendar_second(INT64_MIN), -9223372037);
}

static void use_zone(const char *name)
{
    assert_int_equal(setenv("TZ", name, 1), 0);
    tzset();
}

static void test_zone(void **state)
{
    (void)state;
    static const char *const zones[] = {
        "UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "NST3:30NDT,M3.2.0,M11.1.0", "NPT-5:45"};
    for (size_t z = 0; z < YARDER_COUNT_OF(zones); z++) {
        use_zone(zones[z]);
        struct calendar_zone zone = {0};
        for (unsigned i = 0; i < ROUNDS; i++) {
            time_t second = 1700000000 + (int64_t)i * 977;
            struct tm local;
            assert_non_null(localtime_r(&second, &local));
            assert_int_equal(calendar_zone_offset(&zone, second), local.tm_gmtoff);
            int64_t back = calendar_utc_of_local(&zone, second + local.tm_gmtoff);
            /* The hour that is there twice may answer with its other meaning. */
            if (back != second) {
                assert_int_equal(labs(back - second), 3600);
                assert_int_equal(
                    back + calendar_zone_offset(&zone, back), second + local.tm_gmtoff);
            }
        }
    }
}

static void test_text_is_strftime(void **state)
{
    (void)state;
    static const char *const formats[] = {"%F %T", "%Y-%m-%dT%H:%M:%S%z", "%b %e %j %a %p %I",
        "%A %B %y %u %w", "%D %R %h %%", "%s", "plain", ""};
    use_zone("CET-1CEST,M3.5.0,M10.5.0/3");
    for (size_t f = 0; f < YARDER_COUNT_OF(formats); f++) {
        struct calendar_text text = {.format_length = (uint8_t)strlen(formats[f])};
        struct calendar_zone zone = {0};
        size_t bad_at = 0;
        memcpy(text.format, formats[f], strlen(formats[f]));
        int most = calendar_measure(formats[f], strlen(formats[f]), &bad_at);
        assert_true(most >= 0);
        for (unsigned i = 0; i < 2000; i++) {
            time_t second = 1500000000 + (int64_t)i * 40009;
            struct tm local;
            char expected[128];
            calendar_refresh(&text, &zone, second);
            assert_non_null(localtime_r(&second, &local));
            size_t length = libc_strftime(expected, sizeof(expected), formats[f], &local);
            assert_int_equal(text.length, length);
            assert_memory_equal(text.text, expected, length);
            assert_true(text.length <= most);
        }
    }
}

static void test_bad_formats(void **state)
{
    (void)state;
    size_t bad_at = 0;
    assert_true(calendar_measure("%Q", 2, &bad_at) < 0);
    assert_int_equal(bad_at, 0);
    assert_true(calendar_measure("%F %", 4, &bad_at) < 0);
    assert_int_equal(bad_at, 3);
    assert_true(calendar_measure("a%:", 3, &bad_at) < 0);
    assert_int_equal(bad_at, 1);
    assert_int_equal(calendar_measure("%:z", 3, &bad_at), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_is_gmtime),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_zone),
        cmocka_unit_test(test_text_is_strftime),
        cmocka_unit_test(test_bad_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
