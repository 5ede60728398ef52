/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in a message, member by member; that it is JSON whatever comes is gelf_fuzz's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka needs the three above */
#include <cjson/cJSON.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "gelf.h"

static struct yarder_record record;
static struct gelf_shape shape;

static int set_up(void **state)
{
    (void)state;
    record = (struct yarder_record){.time_ns = INT64_C(1795222814123456789),
        .level = YARDER_LEVEL_WARNING,
        .facility = YARDER_FACILITY_NONE};
    shape = (struct gelf_shape){.host = "vm", .short_bytes = 16, .fields = true};
    return 0;
}

static void expect(const char *message, const char *json)
{
    struct bytes bytes = {0};
    gelf_put(&bytes, &shape, &record, text_from(message));
    bytes_put_char(&bytes, '\0');
    assert_string_equal(bytes.at, json);
    bytes_free(&bytes);
}

#define HEAD(level) "\"timestamp\":1795222814.123456,\"level\":" #level

static void test_short_and_full(void **state)
{
    (void)state;
    expect("one line",
        "{\"version\":\"1.1\",\"host\":\"vm\",\"short_message\":\"one line\"," HEAD(4) "}");
    expect("first\r\nsecond", "{\"version\":\"1.1\",\"host\":\"vm\",\"short_message\":\"first\","
                              "\"full_message\":\"first\\r\\nsecond\"," HEAD(4) "}");
    expect("12345678901234\xe2\x82\xac", /* the sign does not fit, and is not cut */
        "{\"version\":\"1.1\",\"host\":\"vm\",\"short_message\":\"12345678901234\","
        "\"full_message\":\"12345678901234\xe2\x82\xac\"," HEAD(4) "}");
    expect("", "{\"version\":\"1.1\",\"host\":\"vm\",\"short_message\":\"-\"," HEAD(4) "}");
    expect("\nbelow", "{\"version\":\"1.1\",\"host\":\"vm\",\"short_message\":\"-\","
                      "\"full_message\":\"\\nbelow\"," HEAD(4) "}");
    expect("\x1b[0m\x7f\xff\"\\", "{\"version\":\"1.1\",\"host\":\"vm\",\"short_message\":"
                                  "\"\\u001b[0m\\u007f\xef\xbf\xbd\\\"\\\\\"," HEAD(4) "}");
}

static void test_levels(void **state)
{
    (void)state;
    static const uint8_t levels[][2] = {{0, 6}, {1, 7}, {10, 7}, {19, 7}, {20, 6}, {25, 5}, {30, 4},
        {40, 3}, {50, 2}, {60, 1}, {70, 0}, {255, 0}};
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        struct bytes bytes = {0};
        record.level = levels[i][0];
        gelf_put(&bytes, &shape, &record, text_from("x"));
        cJSON *object = cJSON_ParseWithLength(bytes.at, bytes.length);
        assert_int_equal(cJSON_GetObjectItem(object, "level")->valueint, levels[i][1]);
        cJSON_Delete(object);
        bytes_free(&bytes);
    }
}

static void test_origin(void **state)
{
    (void)state;
    record.host = text_from("web");
    record.logger = text_from("app.db");
    record.tag = text_from("app");
    record.peer = text_from("192.0.2.1");
    record.pid = 42;
    record.tid = 4294967295;
    record.facility = 3;
    record.stream = YARDER_STREAM_STDERR;
    record.kind = YARDER_KIND_REQUEST;
    record.lost_before = 5;
    record.flags = YARDER_FLAG_TRUNCATED | YARDER_FLAG_GAP;
    expect("x", "{\"version\":\"1.1\",\"host\":\"web\",\"short_message\":\"x\"," HEAD(
                    4) ",\"_logger\":\"app.db\",\"_tag\":\"app\",\"_pid\":42,\"_tid\":4294967295,"
                       "\"_facility\":\"daemon\",\"_stream\":\"stderr\",\"_kind\":\"request\","
                       "\"_peer\":\"192.0.2.1\",\"_lost_before\":5,\"_truncated\":1}");
    shape.fields = false;
    expect("x", "{\"version\":\"1.1\",\"host\":\"web\",\"short_message\":\"x\"," HEAD(4) "}");
}

static struct yarder_field field(
    const char *key, enum yarder_field_type type, const void *value, size_t length)
{
    return (struct yarder_field){.key = text_from(key), .type = type, .value = {value, length}};
}

static void test_fields(void **state)
{
    (void)state;
    static const int64_t lowest = INT64_MIN;
    static const uint64_t highest = UINT64_MAX;
    static const double tenth = 0.1, large = 1e300;
    const double infinite = (double)INFINITY;
    static const uint8_t yes = 1;
    static char static_one[] = "env=prod=1";
    static char *extras[] = {static_one};
    const struct yarder_field fields[] = {
        field("a b", YARDER_FIELD_TEXT, "t\n", 2),
        field("id", YARDER_FIELD_TEXT, "1", 1),
        field("i", YARDER_FIELD_INT, &lowest, 8),
        field("u", YARDER_FIELD_UINT, &highest, 8),
        field("f", YARDER_FIELD_FLOAT, &tenth, 8),
        field("g", YARDER_FIELD_FLOAT, &large, 8),
        field("h", YARDER_FIELD_FLOAT, &infinite, 8),
        field("ok", YARDER_FIELD_BOOL, &yes, 1),
        field("logger", YARDER_FIELD_TEXT, "mine", 4), /* stands there */
        field("env", YARDER_FIELD_TEXT, "dev", 3),     /* too */
        field("a/b", YARDER_FIELD_TEXT, "u", 1),       /* the same after what GELF allows */
        field("", YARDER_FIELD_TEXT, "", 0),
    };
    record.logger = text_from("app");
    record.fields = fields;
    record.fields_count = sizeof(fields) / sizeof(fields[0]);
    shape.extra = (struct yarder_texts){extras, 1};
    expect("x", "{\"version\":\"1.1\",\"host\":\"vm\",\"short_message\":\"x\"," HEAD(
                    4) ",\"_logger\":\"app\",\"_env\":\"prod=1\",\"_a_b\":\"t\\n\",\"_id_\":\"1\","
                       "\"_i\":-9223372036854775808,\"_u\":18446744073709551615,\"_f\":0.1,"
                       "\"_g\":1e+300,\"_h\":\"inf\",\"_ok\":\"true\",\"_logger.11\":\"mine\","
                       "\"_env.12\":\"dev\",\"_a_b.13\":\"u\",\"_\":\"\"}");
}

static void test_as_uwsgi(void **state)
{
    (void)state;
    shape.facility = "yarder-1";
    shape.short_bytes = GELF_SHORT_BYTES_UWSGI;
    record.level = YARDER_LEVEL_NOTSET;
    record.logger = text_from("app");
    record.time_ns = -1500000000;
    expect("hello \"world\"\ttab",
        "{\"version\":\"1.0\",\"host\":\"vm\",\"short_message\":"
        "\"hello \\\"world\\\"\\ttab\",\"full_message\":\"hello \\\"world\\\"\\ttab\","
        "\"timestamp\":-1.500000,\"level\":5,\"facility\":\"yarder-1\"}");
}

static void test_extras(void **state)
{
    (void)state;
    assert_true(gelf_is_extra("a.b-c_D9=") && gelf_is_extra("idx=1") && gelf_is_extra("_id=1"));
    assert_false(gelf_is_extra("id=1") || gelf_is_extra("=1") || gelf_is_extra("a b=1") ||
                 gelf_is_extra("a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_short_and_full, set_up),
        cmocka_unit_test_setup(test_levels, set_up),
        cmocka_unit_test_setup(test_origin, set_up),
        cmocka_unit_test_setup(test_fields, set_up),
        cmocka_unit_test_setup(test_as_uwsgi, set_up),
        cmocka_unit_test(test_extras),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
