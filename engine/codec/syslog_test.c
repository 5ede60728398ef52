/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: what real senders write is read as they meant it. Method: a table of their lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/text.h"
#include "codec/syslog.h"

/* 2026-11-21 00:30:00 UTC, 01:30 in the zone of this test. */
static const int64_t now_s = 1795221000;
enum { NO_STAMP = 0, SCRATCH = 256 };

struct parsed {
    struct yarder_record record;
    struct yarder_field fields[YARDER_FIELDS_MAX];
    char scratch[SCRATCH];
};

static void parse_at(
    struct syslog_parser *parser, struct yarder_text line, int64_t at_s, struct parsed *out)
{
    *out = (struct parsed){.record.received_ns = at_s * CALENDAR_SECOND_NS + 7};
    syslog_parse(parser, line, out->scratch, SCRATCH, out->fields, &out->record);
}

static void assert_text(struct yarder_text text, const char *expected, const char *of)
{
    if (!text_is(text, expected)) {
        fail_msg("expected \"%s\", got \"%.*s\" of %s", expected, (int)text.length, text.at, of);
    }
}

struct line {
    const char *line;
    int pri;        /* -1: none stated */
    int64_t time_s; /* since now_s, NO_STAMP: received */
    const char *host;
    const char *tag;
    uint32_t pid;
    const char *text;
};

static const struct line lines[] = {
    /* glibc, nginx on a unix socket, nginx over UDP, haproxy, uWSGI's syslog and rsyslog */
    {"<13>Nov 21 01:14:02 su[77]: opened", 13, -958, "", "su", 77, "opened"},
    {"<30>Nov 21 01:14:02 uwsgi: hello world\n", 30, -958, "", "uwsgi", 0, "hello world"},
    {"<190>Nov 21 01:14:02 nginx: 127.0.0.1 - - \"GET / HTTP/1.1\" 200", 190, -958, "", "nginx", 0,
        "127.0.0.1 - - \"GET / HTTP/1.1\" 200"},
    {"<190>Nov 21 01:14:02 vm ngx: 1.2.3.4 - -", 190, -958, "vm", "ngx", 0, "1.2.3.4 - -"},
    {"<134>Nov 21 01:14:02 haproxy[881]: Connect from 1.2.3.4:80", 134, -958, "", "haproxy", 881,
        "Connect from 1.2.3.4:80"},
    {"<29>Nov 21 01:00:07 uwsgi1234: hello", 29, -1793, "", "uwsgi1234", 0, "hello"},
    {"<29>Nov 21 01:14:05 vm uwsgi: hello world", 29, -955, "vm", "uwsgi", 0, "hello world"},
    {"<134>Nov 21 01:00:07 my tag: hello", 134, -1793, "my", "tag", 0, "hello"},
    /* hosts that hold colons and points, no tag, and what cannot be told apart */
    {"<13>Nov 21 01:14:02 2001:db8::1 app[3]: x", 13, -958, "2001:db8::1", "app", 3, "x"},
    {"<13>Nov 21 01:14:02 10.0.0.1 sshd(pam_unix)[19939]: check", 13, -958, "10.0.0.1",
        "sshd(pam_unix)", 19939, "check"},
    {"<13>Nov 21 01:14:02 hello world", 13, -958, "", "", 0, "hello world"},
    {"<13>Nov 21 01:14:02 vm {\"a\": 1}", 13, -958, "", "", 0, "vm {\"a\": 1}"},
    {"<13>Nov 21 01:14:02 12:30 is no tag", 13, -958, "", "", 0, "12:30 is no tag"},
    {"<13>Nov 21 01:14:02  app: no host", 13, -958, "", "app", 0, "no host"},
    {"<13>Nov 21 01:14:02 - app: nil host", 13, -958, "", "app", 0, "nil host"},
    {"<13>Nov 21 01:14:02 app[3] no colon", 13, -958, "", "app", 3, "no colon"},
    {"<13>Nov 21 01:14:02 app:   kept", 13, -958, "", "app", 0, "  kept"},
    {"<13>Nov 21 01:14:02 app:", 13, -958, "", "app", 0, ""},
    {"<13>Nov 21 01:14:02", 13, -958, "", "", 0, ""},
    /* days with a space, a zero, nothing; years, fractions, ISO stamps, leap second */
    {"<13>Nov  1 01:14:02 app: x", 13, -1728958, "", "app", 0, "x"},
    {"<13>Nov 01 01:14:02 app: x", 13, -1728958, "", "app", 0, "x"},
    {"<13>Nov 1 01:14:02 app: x", 13, -1728958, "", "app", 0, "x"},
    {"<13>Nov 21 2026 01:14:02 vm app: x", 13, -958, "vm", "app", 0, "x"},
    {"<13>Nov 21 01:14:02.250 vm app: x", 13, -958, "vm", "app", 0, "x"},
    {"<13>2026-11-21T01:14:02+01:00 vm app: x", 13, -958, "vm", "app", 0, "x"},
    {"<13>2026-11-21T00:14:02.123456Z vm app: x", 13, -958, "vm", "app", 0, "x"},
    {"<13>2026-11-20T19:14:02-0500 vm app: x", 13, -958, "vm", "app", 0, "x"},
    {"<13>2026-11-21T01:14:02 vm app: x", 13, -958, "vm", "app", 0, "x"},
    {"<13>Nov 21 01:13:60 vm app: x", 13, -960, "vm", "app", 0, "x"},
    /* what is no stamp stays text */
    {"<13>Nov 31 01:14:02 x", 13, NO_STAMP, "", "", 0, "Nov 31 01:14:02 x"},
    {"<13>Nov 21 24:14:02 x", 13, NO_STAMP, "", "", 0, "Nov 21 24:14:02 x"},
    {"<13>Nov 21 01:14:0", 13, NO_STAMP, "", "", 0, "Nov 21 01:14:0"},
    {"<13>2026-02-29T01:14:02Z x", 13, NO_STAMP, "", "", 0, "2026-02-29T01:14:02Z x"},
    {"<13>2026-11-21 01:14:02,123 INFO x", 13, NO_STAMP, "", "", 0,
        "2026-11-21 01:14:02,123 INFO x"},
    /* Python's SysLogHandler (its NUL is in the other table), gunicorn */
    {"<14>py 1", 14, NO_STAMP, "", "", 0, "py 1"},
    {"<11>app[12]: Traceback:\n  File", 11, NO_STAMP, "", "app", 12, "Traceback:\n  File"},
    {"<14>gunicorn.app.error: [9] x", 14, NO_STAMP, "", "gunicorn.app.error", 0, "[9] x"},
    {"<14>http://x y", 14, NO_STAMP, "", "", 0, "http://x y"},
    {"<14>", 14, NO_STAMP, "", "", 0, ""},
    {"<0>x", 0, NO_STAMP, "", "", 0, "x"},
    {"<191>x", 191, NO_STAMP, "", "", 0, "x"},
    /* no priority */
    {"Nov 21 01:14:02 combo su[1]: x", -1, -958, "combo", "su", 1, "x"},
    /* RFC 5424 */
    {"<165>1 2026-11-21T00:14:02.003Z host.example evntslog - ID47 - hello", 165, -958,
        "host.example", "evntslog", 0, "hello"},
    {"<34>1 2026-11-21T00:14:02+00:00 - su 77 - - \xEF\xBB\xBF'su root'", 34, -958, "", "su", 77,
        "'su root'"},
    {"<34>1 - - - - - -", 34, NO_STAMP, "", "", 0, ""},
    {"<34>1 - - - - -", 34, NO_STAMP, "", "", 0, ""},
    {"<13>1 2026-11-21T01:14:02.1+01:00 vm root - - [timeQuality tzKnown=\"1\" isSynced=\"0\"] hi",
        13, -958, "vm", "root", 0, "hi"},
    {"<13>1 - h a - - [bad hello", 13, NO_STAMP, "h", "a", 0, "[bad hello"},
    {"<13>1 - h a - - [x y=\"1\"]z", 13, NO_STAMP, "h", "a", 0, "[x y=\"1\"]z"},
    {"<13>1 - h a - - -x", 13, NO_STAMP, "h", "a", 0, "-x"},
    {"<13>1 2026-11-21T00:14:02 h a - - - no zone", 13, NO_STAMP, "", "", 0,
        "1 2026-11-21T00:14:02 h a - - - no zone"},
    {"<13>1 apple", 13, NO_STAMP, "", "", 0, "1 apple"},
};

static void check_line(struct syslog_parser *parser, const struct line *line)
{
    struct parsed got;
    char *exact = strndup(line->line, strlen(line->line));
    assert_non_null(exact);
    parse_at(parser, text_of(exact), now_s, &got);
    assert_text(got.record.host, line->host, line->line);
    assert_text(got.record.tag, line->tag, line->line);
    assert_text(got.record.text, line->text, line->line);
    assert_int_equal(got.record.pid, line->pid);
    assert_int_equal(got.record.flags, 0);
    if (line->pri < 0) {
        assert_int_equal(got.record.facility, YARDER_FACILITY_NONE);
        assert_int_equal(got.record.level, YARDER_LEVEL_NOTSET);
    } else {
        assert_int_equal(got.record.facility, line->pri / 8);
        assert_int_equal(level_to_severity(got.record.level), line->pri % 8);
    }
    int64_t time_s = calendar_second(got.record.time_ns);
    if (time_s != now_s + line->time_s) {
        fail_msg("time off by %lld: %s", (long long)(time_s - now_s - line->time_s), line->line);
    }
    free(exact);
}

static void test_lines(void **state)
{
    (void)state;
    struct syslog_parser parser = {0};
    for (int turn = 0; turn < 2; turn++) { /* the second time out of the memo */
        for (size_t i = 0; i < YARDER_COUNT_OF(lines); i++) {
            check_line(&parser, &lines[i]);
            check_line(&parser, &lines[i]);
        }
    }
}

static void test_unparsed_is_kept_whole(void **state)
{
    (void)state;
    static const struct yarder_text wholes[] = {{"hello\n", 6}, {"", 0}, {"<", 1}, {"<>x", 3},
        {"<192>x", 6}, {"<1000>x", 7}, {"<a>x", 4}, {"<13", 3}, {"\xff\0\xfe", 3},
        {"kernel: x", 9}};
    struct syslog_parser parser = {0};
    for (size_t i = 0; i < YARDER_COUNT_OF(wholes); i++) {
        struct parsed got;
        parse_at(&parser, wholes[i], now_s, &got);
        assert_int_equal(got.record.flags, YARDER_FLAG_UNPARSED);
        assert_true(text_equal(got.record.text, wholes[i]));
        assert_int_equal(got.record.time_ns, got.record.received_ns);
    }
}

static void test_ends_are_cut_once(void **state)
{
    (void)state;
    struct syslog_parser parser = {0};
    struct parsed got;
    parse_at(&parser, (struct yarder_text){"<14>a\n\n\0", 8}, now_s, &got);
    assert_text(got.record.text, "a\n", "one NUL, one newline");
    parse_at(&parser, (struct yarder_text){"<14>a\r\n", 7}, now_s, &got);
    assert_text(got.record.text, "a", "CR LF");
}

/* The year is the latest in which the stamp is not over a day ahead. */
static void test_years(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *now;
        const char *stated;
    } cases[] = {
        {"<13>Dec 31 23:59:59 a: x", "2027-01-01T00:00:05Z", "2026-12-31T22:59:59Z"},
        {"<13>Jan  1 00:00:03 a: x", "2026-12-31T22:59:58Z", "2026-12-31T23:00:03Z"},
        {"<13>Nov 22 01:00:00 a: x", "2026-11-21T00:30:00Z", "2026-11-22T00:00:00Z"},
        {"<13>Nov 23 01:00:00 a: x", "2026-11-21T00:30:00Z", "2025-11-23T00:00:00Z"},
        {"<13>Feb 29 12:00:00 a: x", "2026-11-21T00:30:00Z", "2024-02-29T11:00:00Z"},
        {"<13>Jul  1 12:00:00 a: x", "2026-11-21T00:30:00Z", "2026-07-01T10:00:00Z"},
    };
    struct syslog_parser parser = {0};
    for (size_t i = 0; i < YARDER_COUNT_OF(cases); i++) {
        static struct parsed now;
        static struct parsed stated;
        static struct parsed got;
        char line[64];
        (void)snprintf(line, sizeof(line), "<13>%s a: x", cases[i].now);
        parse_at(&parser, text_of(line), now_s, &now);
        (void)snprintf(line, sizeof(line), "<13>%s a: x", cases[i].stated);
        parse_at(&parser, text_of(line), now_s, &stated);
        parse_at(&parser, text_of(cases[i].line), calendar_second(now.record.time_ns), &got);
        assert_int_equal(got.record.time_ns, stated.record.time_ns);
    }
}

static void test_fractions(void **state)
{
    (void)state;
    struct syslog_parser parser = {0};
    struct parsed got;
    parse_at(&parser, text_of("<13>1 2026-11-21T00:30:00.123456789123Z - - - - - x"), now_s, &got);
    assert_int_equal(got.record.time_ns, now_s * CALENDAR_SECOND_NS + 123456789);
    parse_at(&parser, text_of("<13>Nov 21 01:30:00.5 a: x"), now_s, &got);
    assert_int_equal(got.record.time_ns, now_s * CALENDAR_SECOND_NS + 500000000);
}

static void assert_field(
    const struct parsed *got, uint32_t index, const char *key, const char *value)
{
    assert_true(index < got->record.fields_count);
    assert_int_equal(got->fields[index].type, YARDER_FIELD_TEXT);
    assert_text(got->fields[index].key, key, "a field's key");
    assert_text(got->fields[index].value, value, key);
}

static void test_structured_data(void **state)
{
    (void)state;
    struct syslog_parser parser = {0};
    struct parsed got;
    parse_at(&parser,
        text_of("<13>1 - - - main MSG1 [a@1 x=\"1\" y=\"q\\\"b\\\\c\\]d\\n\"][empty]"
                "[" SYSLOG_OWN_ID " plain=\"]\"] text"),
        now_s, &got);
    assert_int_equal(got.record.fields_count, 6);
    assert_field(&got, 0, "procid", "main");
    assert_field(&got, 1, "msgid", "MSG1");
    assert_field(&got, 2, "a@1.x", "1");
    assert_field(&got, 3, "a@1.y", "q\"b\\c]d\\n");
    assert_field(&got, 4, "empty", "");
    assert_field(&got, 5, "plain", "]");
    assert_text(got.record.text, "text", "structured data");
}

/* More than there is room for stays in the text, and then no field of it is there. */
static void test_structured_data_without_room(void **state)
{
    (void)state;
    struct syslog_parser parser = {0};
    struct parsed got;
    char line[4096] = "<13>1 - - - - - [a";
    char *at = line + strlen(line);
    for (int i = 0; i < 70; i++) {
        at = mempcpy(at, " b=\"\"", 5);
    }
    memcpy(at, "] x", 4);
    parse_at(&parser, text_of(line), now_s, &got);
    assert_int_equal(got.record.fields_count, 0);
    assert_text(got.record.text, strchr(line, '['), "too many fields");
    (void)snprintf(line, sizeof(line), "<13>1 - - - - - [a b=\"%0300d\\\\\"] x", 1);
    parse_at(&parser, text_of(line), now_s, &got);
    assert_int_equal(got.record.fields_count, 0);
    assert_text(got.record.text, strchr(line, '['), "scratch too small");
}

int main(void)
{
    if (setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1) != 0) {
        return 1;
    }
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_unparsed_is_kept_whole),
        cmocka_unit_test(test_ends_are_cut_once),
        cmocka_unit_test(test_years),
        cmocka_unit_test(test_fractions),
        cmocka_unit_test(test_structured_data),
        cmocka_unit_test(test_structured_data_without_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
