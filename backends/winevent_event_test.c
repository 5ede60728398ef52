/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: the XML's elements in the order of its schema, one line whatever the text holds, cut
 * where Windows would not take more; Snare's columns; JSON. The scene reads them back with readers
 * of others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "winevent_event.h"

static const struct winevent_style usual = {
    .channel = "Application", .hostname = "vm", .event_id = 1, .source = "app"};

static void make(struct bytes *bytes,
    void (*put)(struct bytes *, const struct winevent_style *, const struct yarder_item *),
    const struct winevent_style *style, const struct yarder_record *record)
{
    const struct yarder_item item = {.record = record, .text = record->text, .id = {1, 77}};
    bytes_clear(bytes);
    put(bytes, style, &item);
    assert_null(memchr(bytes->at, '\n', bytes->length));
    assert_null(memchr(bytes->at, '\0', bytes->length));
    bytes_put_char(bytes, '\0');
}

static void assert_has(const struct bytes *bytes, const char *what)
{
    if (strstr(bytes->at, what) == NULL) {
        fail_msg("no %s in %s", what, bytes->at);
    }
}

static void the_order_of_the_schema(void **state)
{
    (void)state;
    static const char *const order[] = {"<Provider ", "<EventID ", "<Version>", "<Level>3<",
        "<Task>5<", "<Opcode>", "<Keywords>",
        "<TimeCreated SystemTime=\"2023-11-14T22:13:20.1234567Z\"", "<EventRecordID>77<",
        "<Correlation/>", "<Execution ProcessID=\"8\" ThreadID=\"9\"", "<Channel>Application<",
        "<Computer>vm<", "<Security/></System>", "<EventData><Data>",
        "</EventData><RenderingInfo Culture=\"en-US\"><Message>", "<Level>Warning<"};
    uint64_t category = 5;
    const struct yarder_field fields[] = {
        {text_from("winevent_category"), {(const char *)&category, 8}, YARDER_FIELD_UINT},
        {text_from("winevent_id"), text_from("4242"), YARDER_FIELD_TEXT}};
    const struct yarder_record record = {.time_ns = 1700000000123456789,
        .text = text_from("a <b> & \"c\"\r\n\t\x01\xff\xef\xbf\xbf!"),
        .fields = fields,
        .fields_count = 2,
        .pid = 8,
        .tid = 9,
        .level = YARDER_LEVEL_WARNING};
    struct bytes xml = {0};
    make(&xml, winevent_put_xml, &usual, &record);
    const char *at = xml.at;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        const char *next = strstr(at, order[i]);
        if (next == NULL) {
            fail_msg("no %s behind %s", order[i], at);
        }
        at = next;
    }
    assert_has(&xml, ">4242</EventID>");
    assert_has(&xml, "<Data>a &lt;b&gt; &amp; "
                     "&quot;c&quot;&#13;&#10;&#9;\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!</Data>");
    bytes_free(&xml);
}

/* As NTEventLogHandler maps them. */
static void levels(void **state)
{
    (void)state;
    static const struct {
        uint8_t level;
        const char *usual, *extended;
    } rows[] = {{YARDER_LEVEL_NOTSET, "4", "4"}, {YARDER_LEVEL_DEBUG, "4", "5"},
        {YARDER_LEVEL_INFO, "4", "4"}, {YARDER_LEVEL_NOTICE, "4", "4"},
        {YARDER_LEVEL_WARNING, "3", "3"}, {YARDER_LEVEL_ERROR, "2", "2"},
        {YARDER_LEVEL_CRITICAL, "2", "1"}, {35, "2", "3"}};
    struct winevent_style extended = usual;
    extended.extended_levels = true;
    struct bytes xml = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct yarder_record record = {.text = text_from("x"), .level = rows[i].level};
        char element[32];
        (void)snprintf(element, sizeof(element), "<Level>%s</Level><Task>", rows[i].usual);
        make(&xml, winevent_put_xml, &usual, &record);
        assert_has(&xml, element);
        (void)snprintf(element, sizeof(element), "<Level>%s</Level><Task>", rows[i].extended);
        make(&xml, winevent_put_xml, &extended, &record);
        assert_has(&xml, element);
    }
    bytes_free(&xml);
}

static void a_long_text_is_cut(void **state)
{
    (void)state;
    enum { CLEFS = 20000 };
    static char clefs[CLEFS * 4];
    for (size_t i = 0; i < CLEFS; i++) {
        memcpy(clefs + 4 * i, "\xf0\x9d\x84\x9e", 4); /* two units each */
    }
    const struct yarder_record record = {.text = {clefs, sizeof(clefs)}};
    struct bytes xml = {0};
    make(&xml, winevent_put_xml, &usual, &record);
    const char *begin = strstr(xml.at, "<Data>");
    const char *end = strstr(xml.at, "</Data>");
    assert_non_null(begin);
    assert_non_null(end);
    assert_int_equal(end - begin - 6, WINEVENT_TEXT_UNITS_MAX / 2 * 4);
    assert_has(&xml, "<Data Name=\"truncated\">true</Data>");
    bytes_free(&xml);
}

static void columns_of_snare(void **state)
{
    (void)state;
    const struct yarder_record record = {.time_ns = 1700000000000000000,
        .text = text_from("a\tb\nc"),
        .host = text_from("web1"),
        .facility = YARDER_FACILITY_NONE,
        .level = YARDER_LEVEL_CRITICAL};
    struct bytes line = {0};
    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    tzset();
    make(&line, winevent_put_snare, &usual, &record);
    assert_string_equal(line.at, "MSWinEventLog\t3\tApplication\t77\tTue Nov 14 22:13:20 "
                                 "2023\t1\tapp\tN/A\tN/A\tError\tweb1\t"
                                 "None\t\ta b c\t77");
    const struct yarder_item item = {.record = &record, .text = record.text};
    bytes_clear(&line);
    winevent_put_header(&line, &usual, &item, false);
    bytes_put_char(&line, '\0');
    assert_string_equal(line.at, "<10>Nov 14 22:13:20 web1 ");
    bytes_clear(&line);
    winevent_put_header(&line, &usual, &item, true);
    bytes_put_char(&line, '\0');
    assert_string_equal(line.at, "<10>1 2023-11-14T22:13:20.000000Z web1 app - - - ");
    bytes_free(&line);
}

static void json_of_winlogbeat(void **state)
{
    (void)state;
    struct winevent_style style = usual;
    style.named_data = true;
    const struct yarder_field fields[] = {{text_from("k"), text_from("1"), YARDER_FIELD_TEXT},
        {text_from("k"), text_from("2"), YARDER_FIELD_TEXT},
        {text_from("param1"), text_from("3"), YARDER_FIELD_TEXT}};
    const struct yarder_record record = {.time_ns = 1700000000123456789,
        .text = text_from("say \"x\"\n"),
        .fields = fields,
        .fields_count = 3,
        .pid = 8,
        .tid = 9,
        .level = YARDER_LEVEL_INFO};
    struct bytes json = {0};
    make(&json, winevent_put_json, &style, &record);
    assert_string_equal(json.at,
        "{\"@timestamp\":\"2023-11-14T22:13:20.1234567Z\",\"message\":\"say \\\"x\\\"\\n\","
        "\"log\":{\"level\":\"information\"},\"event\":{\"code\":\"1\",\"kind\":\"event\","
        "\"provider\":\"app\"},\"host\":{\"name\":\"vm\"},\"winlog\":{\"keywords\":[\"Classic\"],"
        "\"channel\":\"Application\",\"event_id\":\"1\",\"record_id\":77,\"provider_name\":\"app\","
        "\"computer_name\":\"vm\",\"process\":{\"pid\":8,\"thread\":{\"id\":9}},"
        "\"event_data\":{\"param1\":\"say \\\"x\\\"\\n\",\"k\":\"1\"}}}");
    bytes_free(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_the_schema),
        cmocka_unit_test(levels),
        cmocka_unit_test(a_long_text_is_cut),
        cmocka_unit_test(columns_of_snare),
        cmocka_unit_test(json_of_winlogbeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
