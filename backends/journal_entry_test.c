/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of the journal's native protocol: read back as journald does it, byte by byte, with
 * values that hold newlines and NULs, and names that are none.
 */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "journal_entry.h"

enum { FIELDS_MAX = 40 };
struct read_field {
    struct yarder_text name, value;
};

static struct yarder_text text(const char *word)
{
    return text_from(word);
}

/* The fields of one entry; every byte belongs to one. */
static size_t read_entry(const struct bytes *bytes, struct read_field fields[FIELDS_MAX])
{
    size_t count = 0;
    const char *at = bytes->at;
    const char *end = bytes->at + bytes->length;
    while (at < end) {
        const char *name = at;
        while (*at != '=' && *at != '\n') {
            at++;
            assert_true(at < end);
        }
        fields[count].name = (struct yarder_text){name, (size_t)(at - name)};
        if (*at == '=') {
            const char *newline = memchr(at, '\n', (size_t)(end - at));
            assert_non_null(newline);
            fields[count++].value = (struct yarder_text){at + 1, (size_t)(newline - at) - 1};
            at = newline + 1;
        } else {
            uint64_t length;
            memcpy(&length, at + 1, sizeof(length));
            length = le64toh(length);
            assert_true(length < (size_t)(end - at));
            fields[count++].value = (struct yarder_text){at + 1 + sizeof(length), length};
            at += 1 + sizeof(length) + length;
            assert_int_equal(*at++, '\n');
        }
        assert_true(count < FIELDS_MAX);
    }
    return count;
}

static void assert_field(
    const struct read_field *fields, size_t count, const char *name, struct yarder_text value)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i].name.length == strlen(name) &&
            memcmp(fields[i].name.at, name, fields[i].name.length) == 0 &&
            fields[i].value.length == value.length &&
            memcmp(fields[i].value.at, value.at, value.length) == 0) {
            return;
        }
    }
    fail_msg("no %s=%.*s", name, (int)value.length, value.at);
}

static void all_that_is_known(void **state)
{
    (void)state;
    int64_t number = -7;
    const struct yarder_field given[] = {
        {text("lineno"), {(const char *)&number, sizeof(number)}, YARDER_FIELD_INT},
        {text("user id"), text("x=y"), YARDER_FIELD_TEXT},
        {text("__9trusted"), text("no"), YARDER_FIELD_TEXT},
        {text("priority"), text("0"), YARDER_FIELD_TEXT},
        {text("_9_"), text("nameless"), YARDER_FIELD_TEXT},
        {text("a-very-long-name-that-goes-on-and-on-beyond-what-a-journal-will-take-as-one"),
            text("1"), YARDER_FIELD_TEXT},
    };
    const struct yarder_record record = {.time_ns = 1234567890123456789,
        .text = text("unused"),
        .host = text("web1"),
        .tag = text("nginx"),
        .logger = text("a.b"),
        .fields = given,
        .fields_count = 6,
        .pid = 42,
        .tid = 43,
        .level = YARDER_LEVEL_WARNING,
        .facility = 16};
    static char own[] = "SITE=north=1";
    char *own_fields[] = {own};
    const struct journal_style style = {.own_fields = {own_fields, 1}};
    const struct yarder_item item = {.record = &record, .id = {5, 6}};
    const struct yarder_text message = {"two\nlines\0NUL", 13};
    struct bytes bytes = {0};
    struct read_field fields[FIELDS_MAX];
    journal_put_entry(&bytes, &style, &item, message);
    size_t count = read_entry(&bytes, fields);
    assert_field(fields, count, "MESSAGE", message);
    assert_field(fields, count, "PRIORITY", text("4"));
    assert_field(fields, count, "SYSLOG_IDENTIFIER", text("nginx"));
    assert_field(fields, count, "SYSLOG_FACILITY", text("16"));
    assert_field(fields, count, "SYSLOG_PID", text("42"));
    assert_field(fields, count, "SYSLOG_TIMESTAMP", text("2009-02-13T23:31:30.123456Z"));
    assert_field(fields, count, "TID", text("43"));
    assert_field(fields, count, "LOGGER", text("a.b"));
    assert_field(fields, count, "HOST", text("web1"));
    assert_field(fields, count, "YARDER_ID", text("5-6"));
    assert_field(fields, count, "CODE_LINE", text("-7"));
    assert_field(fields, count, "USER_ID", text("x=y"));
    assert_field(fields, count, "TRUSTED", text("no"));
    assert_field(fields, count, "FIELD_PRIORITY", text("0"));
    assert_field(fields, count, "SITE", text("north=1"));
    assert_field(fields, count, "A_VERY_LONG_NAME_THAT_GOES_ON_AND_ON_BEYOND_WHAT_A_JOURNAL_WILL_",
        text("1"));
    assert_int_equal(count, 16); /* nameless is not among them */
    for (size_t i = 0; i < count; i++) {
        assert_true(fields[i].name.at[0] >= 'A' && fields[i].name.at[0] <= 'Z');
    }
    bytes_free(&bytes);
}

/* Of a daemon that is root the journal believes what only it should say of another's unit. */
static void a_unit_of_somebody_else(void **state)
{
    (void)state;
    const struct yarder_field given[] = {
        {text("object_systemd_unit"), text("ssh.service"), YARDER_FIELD_TEXT},
        {text("_OBJECT_PID"), text("1"), YARDER_FIELD_TEXT},
        {text("object-that-has-a-name-as-long-as-the-journal-takes-one-and-longer"), text("cut"),
            YARDER_FIELD_TEXT},
        {text("objects"), text("2"), YARDER_FIELD_TEXT},
    };
    const struct yarder_record record = {.fields = given, .fields_count = 4};
    const struct journal_style style = {0};
    const struct yarder_item item = {.record = &record};
    struct bytes bytes = {0};
    struct read_field fields[FIELDS_MAX];
    journal_put_entry(&bytes, &style, &item, text("x"));
    size_t count = read_entry(&bytes, fields);
    assert_field(fields, count, "FIELD_OBJECT_SYSTEMD_UNIT", text("ssh.service"));
    assert_field(fields, count, "FIELD_OBJECT_PID", text("1"));
    assert_field(fields, count, "FIELD_OBJECT_THAT_HAS_A_NAME_AS_LONG_AS_THE_JOURNAL_TAKES_ONE_AN",
        text("cut"));
    assert_field(fields, count, "OBJECTS", text("2"));
    bytes_free(&bytes);
}

static void an_entry_of_uwsgi(void **state)
{
    (void)state;
    const struct yarder_record record = {.tag = text("x"), .level = YARDER_LEVEL_ERROR, .pid = 1};
    const struct journal_style style = {.identifier = "uwsgi", .bare = true};
    const struct yarder_item item = {.record = &record};
    struct bytes bytes = {0};
    static const char expected[] = "MESSAGE=hello world\nSYSLOG_IDENTIFIER=uwsgi\nPRIORITY=6\n";
    journal_put_entry(&bytes, &style, &item, text("hello world"));
    assert_int_equal(bytes.length, sizeof(expected) - 1);
    assert_memory_equal(bytes.at, expected, bytes.length);
    bytes_free(&bytes);
}

static void names_of_own_fields(void **state)
{
    (void)state;
    assert_true(journal_field_is_legal("A=1"));
    assert_true(journal_field_is_legal("A_9="));
    assert_false(journal_field_is_legal("A"));
    assert_false(journal_field_is_legal("=1"));
    assert_false(journal_field_is_legal("_A=1"));
    assert_false(journal_field_is_legal("9A=1"));
    assert_false(journal_field_is_legal("a=1"));
    assert_false(journal_field_is_legal("A B=1"));
    assert_false(journal_field_is_legal(
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_known),
        cmocka_unit_test(a_unit_of_somebody_else),
        cmocka_unit_test(an_entry_of_uwsgi),
        cmocka_unit_test(names_of_own_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
