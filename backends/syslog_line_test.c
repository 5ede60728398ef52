/* SPDX-License-Identifier: Apache-2.0 */
/* Headers to the byte: RFC 5424 with structured data, RFC 3164, /dev/log; words; where texts are
 * cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "syslog_line.h"

static char made[4096];

static const char *head(struct syslog_style *style, const struct yarder_record *record)
{
    size_t bound = syslog_head_bound(style, record);
    assert_true(bound < sizeof(made));
    char *end = syslog_head(style, record, made);
    assert_true((size_t)(end - made) <= bound);
    *end = '\0';
    return made;
}

static struct yarder_record record(void)
{
    return (struct yarder_record){.time_ns = 1763730855000123456,
        .tag = text_from("app"),
        .pid = 42,
        .level = YARDER_LEVEL_ERROR,
        .facility = 16};
}

static struct syslog_style style(int header)
{
    return (struct syslog_style){
        .header = header, .facility = 1, .severity = 6, .sd_id = SYSLOG_OWN_ID, .hostname = "vm"};
}

static void test_words(void **state)
{
    (void)state;
    struct syslog_style modern = style(SYSLOG_RFC5424), old = style(SYSLOG_RFC3164),
                        local = style(SYSLOG_LOCAL), none = style(SYSLOG_NONE);
    struct yarder_record one = record();
    assert_string_equal(head(&modern, &one), "<131>1 2025-11-21T13:14:15.000123Z vm app 42 - - ");
    assert_string_equal(head(&old, &one), "<131>Nov 21 13:14:15 vm app[42]: ");
    assert_string_equal(head(&local, &one), "<131>Nov 21 13:14:15 app[42]: ");
    assert_string_equal(head(&none, &one), "");
    one.time_ns -= 20ll * 86400 * 1000000000;
    assert_string_equal(head(&old, &one), "<131>Nov  1 13:14:15 vm app[42]: ");
    one.time_ns = -1;
    assert_string_equal(head(&modern, &one), "<131>1 1969-12-31T23:59:59.999999Z vm app 42 - - ");
}

static void test_defaults(void **state)
{
    (void)state;
    struct syslog_style modern = style(SYSLOG_RFC5424);
    struct yarder_record one = record();
    one.tag = (struct yarder_text){0};
    one.logger = text_from("a.b");
    one.facility = YARDER_FACILITY_NONE;
    one.level = YARDER_LEVEL_NOTSET;
    one.pid = 0;
    one.host = text_from("far away");
    modern.facility = 3;
    modern.severity = 5;
    assert_string_equal(
        head(&modern, &one), "<29>1 2025-11-21T13:14:15.000123Z far_away a.b - - - ");
    one.logger = (struct yarder_text){0};
    assert_string_equal(head(&modern, &one), "<29>1 2025-11-21T13:14:15.000123Z far_away - - - - ");
    modern.ident = "me";
    assert_string_equal(
        head(&modern, &one), "<29>1 2025-11-21T13:14:15.000123Z far_away me - - - ");
}

static void test_whole(void **state)
{
    (void)state;
    struct syslog_style old = style(SYSLOG_RFC3164);
    struct yarder_record one = record();
    old.whole = "my host my tag";
    old.fixed = true;
    old.facility = 3;
    old.severity = 5;
    assert_string_equal(head(&old, &one), "<29>Nov 21 13:14:15 my host my tag: ");
}

static void test_structured(void **state)
{
    (void)state;
    struct syslog_style modern = style(SYSLOG_RFC5424);
    const int64_t minus = -5;
    const double half = 0.5;
    const uint8_t yes = 1;
    const struct yarder_field fields[] = {
        {text_from("user"), text_from("a\"b\\c]d\ne"), YARDER_FIELD_TEXT},
        {text_from("x@1.one"), text_from("1"), YARDER_FIELD_TEXT},
        {text_from("msgid"), text_from("ID47"), YARDER_FIELD_TEXT},
        {text_from("count"), {(const char *)&minus, sizeof(minus)}, YARDER_FIELD_INT},
        {text_from("x@1.two"), {(const char *)&half, sizeof(half)}, YARDER_FIELD_FLOAT},
        {text_from("http.status"), {(const char *)&yes, sizeof(yes)}, YARDER_FIELD_BOOL},
        {text_from("a b=c]d\"e"), text_from(""), YARDER_FIELD_TEXT},
        {text_from("origin.ip"), text_from("::1"), YARDER_FIELD_TEXT},
        {text_from("y@32473.1.4.deep.er"), text_from("z"), YARDER_FIELD_TEXT},
        {text_from("a_name_that_is_longer_than_thirty_two_bytes"), text_from(""),
            YARDER_FIELD_TEXT},
    };
    struct yarder_record one = record();
    one.fields = fields;
    one.fields_count = sizeof(fields) / sizeof(fields[0]);
    assert_string_equal(head(&modern, &one),
        "<131>1 2025-11-21T13:14:15.000123Z vm app 42 ID47 "
        "[yarder@32473 user=\"a\\\"b\\\\c\\]d\\ne\" count=\"-5\" http.status=\"true\" "
        "a_b_c_d_e=\"\" a_name_that_is_longer_than_thirt=\"\"]"
        "[x@1 one=\"1\" two=\"0.5\"][origin ip=\"::1\"][y@32473.1.4 deep.er=\"z\"] ");
    bytes_free(&modern.number);
}

/* The bound holds for values that are all escapes, and for the most fields of the longest names. */
static void test_bound(void **state)
{
    (void)state;
    struct syslog_style modern = style(SYSLOG_RFC5424);
    static struct yarder_field fields[YARDER_FIELDS_MAX];
    char keys[YARDER_FIELDS_MAX][96], value[16];
    memset(value, ']', sizeof(value));
    for (int i = 0; i < YARDER_FIELDS_MAX; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "id%026d@99.name%031d", i, i);
        fields[i] =
            (struct yarder_field){text_from(keys[i]), {value, sizeof(value)}, YARDER_FIELD_TEXT};
    }
    struct yarder_record one = record();
    one.fields = fields;
    one.fields_count = YARDER_FIELDS_MAX;
    char word[400];
    memset(word, 'w', sizeof(word));
    one.host = one.tag = (struct yarder_text){word, sizeof(word)};
    size_t bound = syslog_head_bound(&modern, &one);
    char *at = malloc(bound);
    char *end = syslog_head(&modern, &one, at);
    assert_true((size_t)(end - at) <= bound);
    assert_true((size_t)(end - at) > YARDER_FIELDS_MAX * (32 + 32 + 2 * sizeof(value)));
    free(at);
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(syslog_facility_of("LOCAL6"), 22);
    assert_int_equal(syslog_facility_of("23"), 23);
    assert_int_equal(syslog_facility_of("24"), -1);
    assert_int_equal(syslog_facility_of("-1"), -1);
    assert_int_equal(syslog_facility_of(""), -1);
    assert_int_equal(syslog_facility_of("security"), 4);
    assert_int_equal(syslog_severity_of("err"), 3);
    assert_int_equal(syslog_severity_of("7"), 7);
    assert_int_equal(syslog_severity_of("8"), -1);
    assert_int_equal(syslog_severity_of("5x"), -1);
}

static void test_cut(void **state)
{
    (void)state;
    assert_int_equal(syslog_cut("abc", 3, 3), 3);
    assert_int_equal(syslog_cut("abcd", 4, 3), 3);
    assert_int_equal(syslog_cut("ab\xc3\xa4", 4, 3), 2);
    assert_int_equal(syslog_cut("a\xf0\x9f\x98\x80", 5, 4), 1);
    assert_int_equal(syslog_cut("a\xf0\x9f\x98\x80z", 6, 5), 5);
    assert_int_equal(syslog_cut("\xf0\x9f\x98\x80", 4, 3), 3);             /* nowhere else to cut */
    assert_int_equal(syslog_cut("\x80\x80\x80\x80\x80\x80\x80", 7, 6), 6); /* no UTF-8 at all */
}

int main(void)
{
    (void)setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_structured),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
