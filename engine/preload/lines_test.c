/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to records, before a ring that keeps what it is given and can refuse. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "preload/lines.h"

enum { SAID_BYTES = 1 << 20 };
static const enum yarder_stream stream = YARDER_STREAM_STDOUT;

static const struct yarder_message like = {.level = 30, .stream = YARDER_STREAM_STDOUT};

static char said[SAID_BYTES]; /* "<piece" of a line with more to come, "<text>" of a whole one */
static size_t said_bytes;
static unsigned puts_left; /* then there is no room */
static int refusal;

/* In the place of libyarder's. */
int client_piece_put(struct client_line *line, const struct yarder_message *message, bool more)
{
    assert_true(message->text_bytes <= CLIENT_PIECE_BYTES_MAX);
    assert_int_equal(message->stream, stream);
    assert_int_equal(message->level, 30);
    if (puts_left == 0) {
        return refusal;
    }
    puts_left--;
    said_bytes += (size_t)snprintf(said + said_bytes, SAID_BYTES - said_bytes, "%s%.*s%s",
        line->parts == 0 ? "<" : "+", (int)message->text_bytes, message->text, more ? "" : ">");
    line->parts = more ? (uint16_t)(line->parts + 1) : 0;
    return 0;
}

static int begin(void **state)
{
    (void)state;
    said_bytes = 0;
    said[0] = '\0';
    puts_left = UINT32_MAX;
    refusal = -ENOTCONN;
    client_settings.block_ms = LINES_WAIT_MS;
    return 0;
}

static size_t put(struct line *line, const char *text)
{
    return lines_put(line, &like, text, strlen(text));
}

static void assert_said(const char *wanted)
{
    assert_string_equal(said, wanted);
}

static void whole_lines(void **state)
{
    (void)state;
    struct line line = {0};
    assert_int_equal(put(&line, "a\nbc\r\n\n\r\nd\n"), 11);
    assert_said("<a><bc><d>");
    assert_int_equal(put(&line, "\n"), 1);
    assert_said("<a><bc><d>");
}

static void a_line_in_pieces(void **state)
{
    (void)state;
    struct line line = {0};
    assert_int_equal(put(&line, "first\non"), 8);
    assert_int_equal(put(&line, "e"), 1);
    assert_int_equal(put(&line, "\ntwo"), 4);
    assert_int_equal(put(&line, "\n"), 1);
    assert_int_equal(put(&line, "three\n"), 6);
    assert_said("<first><on+e+><two+><three>");
}

static void a_long_line_is_several_records(void **state)
{
    (void)state;
    struct line line = {0};
    const size_t bytes = 3 * LINES_BYTES_MAX + 5;
    char *text = malloc(bytes);
    memset(text, 'x', bytes);
    assert_int_equal(lines_put(&line, &like, text, bytes), bytes);
    assert_int_equal(put(&line, "\ny\n"), 3);
    unsigned records = 0;
    size_t payload = 0;
    for (size_t i = 0; i < said_bytes; i++) {
        records += said[i] == '<';
        payload += said[i] == 'x';
    }
    assert_int_equal(records, 5);
    assert_int_equal(payload, bytes);
    assert_string_equal(said + said_bytes - 3, "<y>");
    free(text);
}

static void what_finds_no_room_is_not_taken(void **state)
{
    (void)state;
    struct line line = {0};
    puts_left = 1;
    assert_int_equal(put(&line, "a\nb\nc"), 2);
    assert_int_equal(put(&line, "c"), 0);
    puts_left = 1;
    assert_int_equal(put(&line, "c"), 1);
    assert_said("<a><c");
    assert_int_equal(put(&line, "d\n"), 0); /* its rest goes elsewhere: this record is ended */
    puts_left = 2;
    assert_int_equal(put(&line, "e\n"), 2);
    assert_said("<a><c+><e>");
}

static void a_record_keeps_its_newlines(void **state)
{
    (void)state;
    struct yarder_message message = like;
    message.text = "two\nlines";
    message.text_bytes = strlen(message.text);
    assert_true(lines_put_record(&message));
    assert_said("<two\nlines>");
    puts_left = 0;
    refusal = -ENOBUFS;
    assert_false(lines_put_record(&message));
    assert_int_equal(client_settings.block_ms, 0);
}

static void a_full_ring_is_waited_for_once(void **state)
{
    (void)state;
    struct line line = {0};
    puts_left = 0;
    refusal = -ENOBUFS;
    assert_int_equal(put(&line, "a\n"), 0);
    assert_int_equal(client_settings.block_ms, 0);
    puts_left = 1;
    assert_int_equal(put(&line, "a\n"), 2);
    assert_int_equal(client_settings.block_ms, LINES_WAIT_MS);
}

static void a_line_in_other_hands_is_left_alone(void **state)
{
    (void)state;
    struct line line = {.owner = 1, .under_way = 1};
    assert_int_equal(put(&line, "a\n"), 0);
    assert_int_equal(line.owner, 1);
    line = (struct line){.owner = 1}; /* between two lines nobody has to wait */
    assert_int_equal(put(&line, "a\nb"), 2);
    assert_said("<a>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(whole_lines, begin),
        cmocka_unit_test_setup(a_line_in_pieces, begin),
        cmocka_unit_test_setup(a_long_line_is_several_records, begin),
        cmocka_unit_test_setup(what_finds_no_room_is_not_taken, begin),
        cmocka_unit_test_setup(a_record_keeps_its_newlines, begin),
        cmocka_unit_test_setup(a_full_ring_is_waited_for_once, begin),
        cmocka_unit_test_setup(a_line_in_other_hands_is_left_alone, begin),
    };
    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
