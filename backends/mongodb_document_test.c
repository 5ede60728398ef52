/* SPDX-License-Identifier: Apache-2.0 */
/* Documents: uWSGI's shape, ids that tell apart, every kind of field, texts that are not UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "mongodb_private.h"

static struct mongodb_shape shape;

static void expect(const struct yarder_item *item, const char *expected)
{
    bson_t document = BSON_INITIALIZER;
    assert_true(mongodb_document(&shape, item, &document));
    assert_true(bson_validate(&document, BSON_VALIDATE_NONE, NULL));
    char *json = bson_as_relaxed_extended_json(&document, NULL);
    const char *behind_id = strstr(json, "\"node\"");
    assert_non_null(behind_id);
    assert_string_equal(behind_id, expected);
    bson_free(json);
    bson_destroy(&document);
}

static void test_shapes(void **state)
{
    (void)state;
    struct yarder_record record = {.time_ns = 1700000000123999999, .level = 30, .pid = 7};
    struct yarder_item item = {.record = &record, .text = {"hello\n", 5}, .newline = true};
    shape = (struct mongodb_shape){.hostname = "vm"};
    expect(&item,
        "\"node\" : \"vm\", \"ts\" : { \"$date\" : \"2023-11-14T22:13:20.123Z\" }, \"msg\" : "
        "\"hello\" }");
    record.host = (struct yarder_text){"web1", 4};
    shape.newline = true;
    expect(&item,
        "\"node\" : \"web1\", \"ts\" : { \"$date\" : \"2023-11-14T22:13:20.123Z\" }, \"msg\" : "
        "\"hello\\n\" }");
    record.time_ns = -1;
    shape.node = "node1";
    shape.fields = true;
    record.logger = (struct yarder_text){"app", 3};
    expect(&item, "\"node\" : \"node1\", \"ts\" : { \"$date\" : { \"$numberLong\" : \"-1\" } }, "
                  "\"msg\" : \"hello\\n\", \"level\" : 30, \"logger\" : \"app\", \"pid\" : 7 }");
    mongodb_shape_close(&shape);
}

static struct yarder_text bytes_of(const void *at, size_t length)
{
    return (struct yarder_text){at, length};
}

static void test_fields(void **state)
{
    (void)state;
    static const int64_t number = -5;
    static const uint64_t count = 5, large = UINT64_MAX;
    static const double real = 0.5;
    static const uint8_t yes = 1;
    const struct yarder_field fields[] = {
        {{"a", 1}, bytes_of(&number, 8), YARDER_FIELD_INT},
        {{"a", 1}, bytes_of(&count, 8), YARDER_FIELD_UINT},
        {{"", 0}, bytes_of(&large, 8), YARDER_FIELD_UINT},
        {{"r\0\xff", 3}, bytes_of(&real, 8), YARDER_FIELD_FLOAT},
        {{"b.$c", 4}, bytes_of(&yes, 1), YARDER_FIELD_BOOL},
        {{"t", 1}, {"x", 1}, YARDER_FIELD_TEXT},
    };
    struct yarder_record record = {.fields = fields, .fields_count = 6};
    struct yarder_item item = {.record = &record, .text = {NULL, 0}};
    shape = (struct mongodb_shape){.hostname = "vm", .fields = true};
    expect(&item,
        "\"node\" : \"vm\", \"ts\" : { \"$date\" : \"1970-01-01T00:00:00Z\" }, \"msg\" : \"\", "
        "\"level\" : 0, \"fields\" : { \"a\" : -5, \"a.1\" : 5, \"\" : 18446744073709551616.0, "
        "\"r\xEF\xBF\xBD\xEF\xBF\xBD\" : 0.5, \"b.$c\" : true, \"t\" : \"x\" } }");
    mongodb_shape_close(&shape);
}

/* What is not UTF-8 is replaced byte for byte; what is stays. */
static void test_texts(void **state)
{
    (void)state;
    static const struct {
        struct yarder_text in;
        const char *out;
        size_t out_count;
    } texts[] = {
        {{"a\0b", 3}, "a\0b", 3},
        {{"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", 9}, "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", 9},
        {{"\xff", 1}, "\xEF\xBF\xBD", 3},
        {{"a\xC3", 2}, "a\xEF\xBF\xBD", 4},
        {{"\xC0\x80", 2}, "\xEF\xBF\xBD\xEF\xBF\xBD", 6},
        {{"\xED\xA0\x80x", 4}, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDx", 10},
        {{"\xF4\x90\x80\x80", 4}, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", 12},
        {{"\xE2\x82z\xC3\xA4", 5}, "\xEF\xBF\xBD\xEF\xBF\xBDz\xC3\xA4", 9},
    };
    shape = (struct mongodb_shape){.hostname = "vm"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct yarder_record record = {0};
        struct yarder_item item = {.record = &record, .text = texts[i].in};
        bson_t document = BSON_INITIALIZER;
        bson_iter_t at;
        uint32_t length = 0;
        assert_true(mongodb_document(&shape, &item, &document));
        assert_true(bson_iter_init_find(&at, &document, "msg"));
        const char *msg = bson_iter_utf8(&at, &length);
        assert_int_equal(length, texts[i].out_count);
        assert_memory_equal(msg, texts[i].out, length);
        bson_destroy(&document);
    }
    mongodb_shape_close(&shape);
}

static void test_ids(void **state)
{
    (void)state;
    uint64_t origin = mongodb_origin("vm", "out");
    assert_int_not_equal(origin, mongodb_origin("vmo", "ut"));
    assert_int_not_equal(origin, mongodb_origin("vm", "other"));
    struct yarder_record record = {0};
    struct yarder_item item = {
        .record = &record, .id = {.epoch_ns = 0x0102030405060708, .number = 0x1112131415161718}};
    shape = (struct mongodb_shape){.hostname = "vm", .origin = 0x2122232425262728};
    bson_t document = BSON_INITIALIZER;
    bson_iter_t at;
    bson_subtype_t type = BSON_SUBTYPE_USER;
    uint32_t length = 0;
    const uint8_t *bytes = NULL;
    assert_true(mongodb_document(&shape, &item, &document));
    assert_true(bson_iter_init_find(&at, &document, "_id"));
    bson_iter_binary(&at, &type, &length, &bytes);
    static const uint8_t expected[] = {0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 1, 2, 3, 4,
        5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18};
    assert_int_equal(length, sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));
    bson_destroy(&document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
