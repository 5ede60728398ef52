/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: what is a range and what a regular expression, and which values lie in one. */
#include "route/range.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static void test_what_is_a_range(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        const char *printed;
    } rows[] = {
        {"500..599", 1, " from 500 to 599"},
        {"1000..", 1, " from 1000"},
        {"..200", 1, " up to 200"},
        {"05..", 1, " from 5"},
        {"..5", 1, " up to 5"},
        {"5..5", 1, " from 5 to 5"},
        {"-5..-1", 1, " from -5 to -1"},
        {"-5..", 1, " from -5"},
        {"0.25..1.5", 1, " from 0.25 to 1.5"},
        {"0.5..", 1, " from 0.5"},
        {"0..18446744073709551615", 1, " from 0 to 18446744073709551615"},
        {"5..", 0, NULL}, /* three bytes: a class of status codes */
        {"50.", 0, NULL},
        {"5.", 0, NULL},
        {"..", 0, NULL},
        {"", 0, NULL},
        {"...", 0, NULL},
        {"200|201", 0, NULL},
        {"1...5", 0, NULL},
        {"1..5x", 0, NULL},
        {"a..b", 0, NULL},
        {"5[0-9]..", 0, NULL},
        {"1..-", 0, NULL},
        {"123456789012345678901..", 0, NULL},
        {"2..1", -EINVAL, NULL},
        {"0..-1", -EINVAL, NULL},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        struct range range = {0};
        char printed[128] = "";
        assert_int_equal(range_parse(rows[i].text, &range), rows[i].result);
        if (rows[i].result == 1) {
            FILE *to = fmemopen(printed, sizeof(printed), "w");
            assert_non_null(to);
            range_print(&range, to);
            assert_int_equal(fclose(to), 0);
            assert_string_equal(printed, rows[i].printed);
        }
    }
}

static bool holds(const char *text, enum yarder_field_type type, const void *bytes, size_t length)
{
    struct range range;
    const struct yarder_field field = {.key = text_of("k"), .value = {bytes, length}, .type = type};
    assert_int_equal(range_parse(text, &range), 1);
    return range_holds(&range, &field);
}

static bool holds_text(const char *text, const char *value)
{
    return holds(text, YARDER_FIELD_TEXT, value, strlen(value));
}

static void test_what_lies_in_it(void **state)
{
    (void)state;
    const int64_t below = -5;
    const uint64_t most = UINT64_MAX;
    const uint64_t status = 500;
    const double tenth = 0.1;
    const double none = __builtin_nan("");
    assert_true(holds("500..599", YARDER_FIELD_UINT, &status, 8));
    assert_true(holds("..500", YARDER_FIELD_UINT, &status, 8));
    assert_false(holds("501..", YARDER_FIELD_UINT, &status, 8));
    assert_false(holds("..499", YARDER_FIELD_UINT, &status, 8));
    assert_true(holds("-5..-5", YARDER_FIELD_INT, &below, 8));
    assert_false(holds("0..5", YARDER_FIELD_INT, &below, 8));
    assert_true(holds("18446744073709551615..", YARDER_FIELD_UINT, &most, 8));
    assert_true(holds("0.1..0.1", YARDER_FIELD_FLOAT, &tenth, 8));
    assert_false(holds("..100", YARDER_FIELD_FLOAT, &none, 8));
    assert_false(holds("00..", YARDER_FIELD_FLOAT, &none, 8));
    assert_false(holds("0..1", YARDER_FIELD_BOOL, "\1", 1));
    assert_false(holds("0..1", YARDER_FIELD_INT, "\1\1\1", 3));
    assert_true(holds_text("500..599", "503"));
    assert_true(holds_text("500..599", "503.5"));
    assert_true(holds_text("500..599", "0503"));
    assert_false(holds_text("500..599", "503 "));
    assert_false(holds_text("500..599", ""));
    assert_false(holds_text("500..599", "0x1f7"));
    assert_false(holds_text("500..599", "503,1"));
    assert_false(holds_text("..599", "nan"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_a_range),
        cmocka_unit_test(test_what_lies_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
