/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of requests: the form against what Python's HTTPHandler sends, how many records go in one
 * body, and gzip read back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

#include "http_body.h"
#include "http_form.h"

static uint32_t refused;
static void refuse(struct yarder_host *host, struct yarder_item *item, const char *format, ...)
{
    (void)host;
    (void)format;
    item->result = YARDER_REFUSED;
    refused++;
}
static struct yarder_host host = {.refuse = refuse};

static struct yarder_text text(const char *word)
{
    return text_from(word);
}

static void assert_body(const struct bytes *body, const char *expected)
{
    assert_int_equal(body->length, strlen(expected));
    assert_memory_equal(body->at, expected, body->length);
}

/* Made by Python 3.11: urllib.parse.urlencode of such a record's __dict__. */
static void the_form_of_python(void **state)
{
    (void)state;
    int64_t line = 12;
    uint8_t truth = 1;
    double half = 0.5;
    const struct yarder_field fields[] = {
        {text("pathname"), text("/srv/app/views.py"), YARDER_FIELD_TEXT},
        {text("lineno"), {(const char *)&line, sizeof(line)}, YARDER_FIELD_INT},
        {text("funcName"), text("show"), YARDER_FIELD_TEXT},
        {text("user"), text("J\xc3\xb6rg & co"), YARDER_FIELD_TEXT},
        {text("cached"), {(const char *)&truth, 1}, YARDER_FIELD_BOOL},
        {text("share"), {(const char *)&half, sizeof(half)}, YARDER_FIELD_FLOAT},
        {text("msg"), text("a second one"), YARDER_FIELD_TEXT},
    };
    const struct yarder_record record = {.time_ns = 1700000000250000000,
        .text = text("50% of a=b\n~"),
        .logger = text("app.views"),
        .fields = fields,
        .fields_count = 7,
        .pid = 10,
        .tid = 11,
        .level = YARDER_LEVEL_WARNING};
    struct bytes body = {0};
    http_put_form(&body, &record);
    assert_body(&body,
        "name=app.views&msg=50%25+of+a%3Db%0A~&args=None&levelname=WARNING&levelno=30"
        "&pathname=%2Fsrv%2Fapp%2Fviews.py&filename=&module=&exc_info=None&exc_text=None"
        "&stack_info=None&lineno=12&funcName=show&created=1700000000.250000&msecs=250.0"
        "&relativeCreated=0.0&thread=11&threadName=None&processName=None&process=10"
        "&user=J%C3%B6rg+%26+co&cached=True&share=0.5");
    bytes_free(&body);
}

static void how_many_go_in_one(void **state)
{
    (void)state;
    const struct yarder_record record = {.text = text("x")};
    struct yarder_item items[] = {
        {.record = &record, .text = text("{\"a\":1}")},
        {.record = &record, .text = text("no object")},
        {.record = &record, .text = text("{}")},
        {.record = &record, .text = text("{\"b\":2}")},
    };
    struct yarder_batch batch = {.items = items, .count = 4};
    struct bytes body = {0};
    uint32_t put = 0;
    assert_int_equal(http_make_body(&body, HTTP_LINES, &host, &batch, 0, 9, 1000, &put), 4);
    assert_body(&body, "{\"a\":1}\nno object\n{}\n{\"b\":2}\n");
    assert_int_equal(http_make_body(&body, HTTP_LINES, &host, &batch, 1, 2, 1000, &put), 2);
    assert_body(&body, "no object\n{}\n");
    assert_int_equal(http_make_body(&body, HTTP_LINES, &host, &batch, 0, 9, 1, &put), 1);
    assert_body(&body, "{\"a\":1}\n"); /* one goes, however small a request may be */
    assert_int_equal(http_make_body(&body, HTTP_TEXT, &host, &batch, 3, 9, 1000, &put), 1);
    assert_body(&body, "{\"b\":2}");
    assert_int_equal(http_make_body(&body, HTTP_JSON, &host, &batch, 0, 9, 1000, &put), 4);
    assert_body(&body, "[{\"a\":1},{},{\"b\":2}]");
    assert_int_equal(put, 3);
    assert_int_equal(refused, 1);
    assert_int_equal(items[1].result, YARDER_REFUSED);
    assert_int_equal(http_make_body(&body, HTTP_JSON, &host, &batch, 1, 1, 1000, &put), 2);
    assert_body(&body, "[{}]"); /* one that is answered is passed over */
    bytes_free(&body);
}

static void gzip_comes_back(void **state)
{
    (void)state;
    enum { LONG = 200000 };
    struct bytes body = {0};
    static char back[LONG];
    for (uint32_t i = 0; i < LONG; i++) {
        bytes_put_char(&body, (char)(i * i >> 8));
    }
    char *kept = malloc(LONG);
    assert_non_null(kept);
    memcpy(kept, body.at, LONG);
    assert_int_equal(http_compress(&body), 0);
    z_stream stream = {.next_in = (Bytef *)body.at,
        .avail_in = (uInt)body.length,
        .next_out = (Bytef *)back,
        .avail_out = LONG};
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.total_out, LONG);
    assert_memory_equal(back, kept, LONG);
    (void)inflateEnd(&stream);
    free(kept);
    bytes_free(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_form_of_python),
        cmocka_unit_test(how_many_go_in_one),
        cmocka_unit_test(gzip_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
