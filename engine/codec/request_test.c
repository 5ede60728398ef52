/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of requests: uWSGI's own in all its forms, templates, and lines that somebody forged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <errno.h>

#include "base/text.h"
#include "codec/put.h"
#include "codec/request.h"

static const char combined[] = "format:%(addr) - %(user) [%(ltime)] \"%(method) %(uri) %(proto)\" "
                               "%(status) %(size) \"%(referer)\" \"%(uagent)\"";

/* Keys of fields are the format's: all live as long as the test. */
static struct request_format *formats[128];
static uint32_t formats_count;

struct parsed {
    struct yarder_record record;
    struct yarder_field fields[YARDER_FIELDS_MAX];
    char scratch[REQUEST_SCRATCH_BYTES];
    char shown[4096];
};

static struct request_format *open_format(const char *what)
{
    struct request_format *format = NULL;
    char why[256] = "";
    int r = request_open(&format, what, why, sizeof(why));
    if (r != 0) {
        fail_msg("%s: %s", what, why);
    }
    assert_true(formats_count < YARDER_COUNT_OF(formats));
    formats[formats_count++] = format;
    return format;
}

/* "key=value|key=value": fields in their order, text and numbers alike. */
static const char *show(struct parsed *parsed)
{
    char *at = parsed->shown;
    for (uint32_t i = 0; i < parsed->record.fields_count; i++) {
        const struct yarder_field *field = &parsed->fields[i];
        at = put_bytes(at, "|", i > 0);
        at = put_text(at, field->key);
        *at++ = '=';
        at = put_field(at, field, PUT_KEEP);
    }
    *at = '\0';
    return parsed->shown;
}

static bool parse(const char *what, const char *line, struct parsed *out)
{
    struct request_format *format = open_format(what);
    struct request_memo memo = {0};
    *out = (struct parsed){.record = {.text = text_of(line), .time_ns = 77, .received_ns = 77}};
    bool found = request_parse(format, &memo, out->scratch, out->fields, &out->record);
    assert_int_equal(out->record.kind, found ? YARDER_KIND_REQUEST : YARDER_KIND_LOG);
    assert_true(out->record.text.at == line);
    return found;
}

static void expect(const char *what, const char *line, const char *fields)
{
    struct parsed parsed;
    if (!parse(what, line, &parsed)) {
        fail_msg("no request: %s", line);
    }
    assert_string_equal(show(&parsed), fields);
}

static void expect_none(const char *what, const char *line)
{
    struct parsed parsed;
    if (parse(what, line, &parsed)) {
        fail_msg("a request: %s: %s", line, show(&parsed));
    }
    assert_int_equal(parsed.record.time_ns, 77);
    assert_int_equal(parsed.record.fields_count, 0);
}

#define TAIL                                                                                       \
    " => generated 15 bytes in 3 msecs (HTTP/1.1 200) 1 headers in 45 bytes (1 switches on core "  \
    "0)"
#define TIME        "[Sat Nov 21 00:59:12 2026]"
#define HEAD        "[pid: 14246|app: 0|req: 1/7] "
#define LINE        HEAD "127.0.0.1 () {26 vars in 344 bytes} " TIME " GET /?w=1" TAIL
#define HEAD_FIELDS "pid=14246|app=0|req=1|reqs=7"
#define TAIL_FIELDS "headers=1|hsize=45|switches=1|core=0"
#define ALL_FIELDS                                                                                 \
    HEAD_FIELDS "|addr=127.0.0.1|vars=26|pktsize=344|method=GET|uri=/?w=1|rsize=15|msecs=3|"       \
                "proto=HTTP/1.1|status=200|" TAIL_FIELDS

static void test_uwsgi_line(void **state)
{
    (void)state;
    struct parsed parsed;
    expect("uwsgi", LINE, ALL_FIELDS);
    assert_true(parse("uwsgi", LINE, &parsed));
    assert_int_equal(parsed.record.pid, 14246);
    assert_int_equal(parsed.record.flags, 0);
    assert_true(parsed.record.time_ns == 1795222752LL * 1000000000); /* 2026-11-21 00:59:12 UTC */
    assert_int_equal(parsed.fields[0].type, YARDER_FIELD_UINT);
}

static void test_uwsgi_optional_parts(void **state)
{
    (void)state;
    expect("uwsgi", "www.example.org " LINE, "host=www.example.org|" ALL_FIELDS);
    expect("uwsgi", " " LINE, ALL_FIELDS);
    expect("uwsgi",
        "{address space usage: 65835008 bytes/62MB} {rss usage: 13754368 bytes/13MB} " LINE,
        "vsz=65835008|vszM=62|rss=13754368|rssM=13|" ALL_FIELDS);
    expect("uwsgi",
        "h {address space usage: 1 bytes/2MB} {rss usage: 3 bytes/4MB} {uss usage: 5 bytes/6MB} "
        "{pss usage: 7 bytes/8MB} " LINE,
        "host=h|vsz=1|vszM=2|rss=3|rssM=4|uss=5|ussM=6|pss=7|pssM=8|" ALL_FIELDS);
    expect("uwsgi",
        "[pid: 9|app: -1|req: -1/2] 10.0.0.1 (joe) {2 vars in 30 bytes} " TIME
        " HEAD /x => generated 0 bytes in 1044 micros via sendfile() (HTTP/1.0 404) 2 headers in "
        "8 bytes (0 switches on core 3)",
        "pid=9|app=-1|req=-1|reqs=2|addr=10.0.0.1|user=joe|vars=2|pktsize=30|method=HEAD|uri=/x|"
        "rsize=0|micros=1044|via=sendfile|proto=HTTP/1.0|status=404|headers=2|hsize=8|switches=0|"
        "core=3");
}

static void test_uwsgi_minimal_line(void **state)
{
    (void)state;
    expect("uwsgi",
        HEAD "0.0.0.0 () {26 vars in 4344 bytes} " TIME " - - => generated 15 bytes in 0 msecs "
             "via offload() (- 200) 1 headers in 45 bytes (1 switches on core 0)",
        HEAD_FIELDS "|vars=26|pktsize=4344|rsize=15|msecs=0|via=offload|status=200|" TAIL_FIELDS);
}

static void test_uwsgi_unusual_values(void **state)
{
    (void)state;
    /* log-x-forwarded-for, a user with spaces, an uri that an old nginx let pass */
    expect("uwsgi",
        HEAD "1.2.3.4, 5.6.7.8 (joe doe) {26 vars in 344 bytes} " TIME " GET /a b c" TAIL,
        HEAD_FIELDS "|addr=1.2.3.4, 5.6.7.8|user=joe doe|vars=26|pktsize=344|method=GET|"
                    "uri=/a b c|rsize=15|msecs=3|proto=HTTP/1.1|status=200|" TAIL_FIELDS);
    expect("uwsgi", HEAD " () {1 vars in 2 bytes} " TIME "  " TAIL,
        HEAD_FIELDS "|vars=1|pktsize=2|rsize=15|msecs=3|proto=HTTP/1.1|status=200|" TAIL_FIELDS);
    /* no such day: the time is kept as a text */
    struct parsed parsed;
    assert_true(parse(
        "uwsgi", HEAD "a () {1 vars in 2 bytes} [Xxx Foo 77 00:59:12 2026] GET /" TAIL, &parsed));
    assert_non_null(strstr(show(&parsed), "|ctime=Xxx Foo 77 00:59:12 2026|"));
    assert_true(parsed.record.time_ns == 77);
}

static void test_uwsgi_other_lines(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "[pid: ",
        "spawned uWSGI worker 1 (pid: 14246, cores: 1)",
        "[pid: 14246|app: 0|req: 1/7] 127.0.0.1 () {26 vars in 344 bytes}",
        LINE " ",
        "[pid: x|app: 0|req: 1/7] 127.0.0.1 () {26 vars in 344 bytes} " TIME " GET /" TAIL,
        "[pid: 99999999999999999999|app: 0|req: 1/7] a () {26 vars in 344 bytes} " TIME
        " GET /" TAIL,
        HEAD "127.0.0.1 () {26 vars in 344 bytes} [Sat Nov 21 00:59:12 202] GET /" TAIL,
        "(1 switches on core 0)",
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(lines); i++) {
        expect_none("uwsgi", lines[i]);
    }
}

/* What a client can choose makes no value that it did not choose. */
static void test_uwsgi_forged(void **state)
{
    (void)state;
    struct parsed parsed;
    /* A protocol, as uWSGI's own HTTP takes any: is it all of the last, or all of the first? */
    assert_true(parse("uwsgi",
        HEAD "127.0.0.1 () {26 vars in 344 bytes} " TIME " GET /real => generated 15 bytes in 3 "
             "msecs (x) {1 vars in 1 bytes} " TIME " GET /forged => generated 1 bytes in 1 msecs "
             "(HTTP/1.1 200) 1 headers in 45 bytes (1 switches on core 0)",
        &parsed));
    assert_string_equal(show(&parsed), HEAD_FIELDS "|status=200|" TAIL_FIELDS);
    assert_int_equal(parsed.record.flags, YARDER_FLAG_UNPARSED);
    /* The address of log-x-forwarded-for, likewise. */
    assert_true(parse("uwsgi",
        HEAD "6.6.6.6 () {1 vars in 1 bytes} " TIME " GET /forged" TAIL
             " {26 vars in 344 bytes} " TIME " GET /real" TAIL,
        &parsed));
    assert_null(strstr(show(&parsed), "/forged"));
    /* An uri alone: a method and a protocol have no spaces. */
    expect("uwsgi",
        HEAD "127.0.0.1 () {26 vars in 344 bytes} " TIME " GET /=>%20generated?){1%20vars" TAIL,
        HEAD_FIELDS "|addr=127.0.0.1|vars=26|pktsize=344|method=GET|"
                    "uri=/=>%20generated?){1%20vars|rsize=15|msecs=3|proto=HTTP/1.1|"
                    "status=200|" TAIL_FIELDS);
}

#define APACHE "127.0.0.1 - joe [21/Nov/2026:01:59:12 +0100] "

static void test_format_combined(void **state)
{
    (void)state;
    struct parsed parsed;
    expect(combined, APACHE "\"GET /a?b=c HTTP/1.1\" 200 612 \"-\" \"Mozilla/5.0 (X11; Linux)\"",
        "addr=127.0.0.1|user=joe|method=GET|uri=/a?b=c|proto=HTTP/1.1|status=200|size=612|"
        "uagent=Mozilla/5.0 (X11; Linux)");
    assert_true(parse(combined, APACHE "\"GET / HTTP/1.1\" 200 612 \"http://r/\" \"x\"", &parsed));
    assert_true(parsed.record.time_ns == 1795222752LL * 1000000000);
    expect_none(combined, "Traceback (most recent call last):");
    expect_none(combined, APACHE "\"GET / HTTP/1.1\" 200 612 \"http://r/\"");
    expect_none(combined, APACHE "\"GET / HTTP/1.1\" abc 612 \"http://r/\" \"x\"");
}

static void test_format_forged(void **state)
{
    (void)state;
    struct parsed parsed;
    /* Quotes in the last value: there is one way to read them. */
    expect(combined, APACHE "\"GET / HTTP/1.1\" 404 15 \"http://r/\" \"a \"b\" c\"",
        "addr=127.0.0.1|user=joe|method=GET|uri=/|proto=HTTP/1.1|status=404|size=15|"
        "referer=http://r/|uagent=a \"b\" c");
    /* A referer, or an agent, that plays the status: a protocol has no spaces and no quotes. */
    assert_true(
        parse(combined, APACHE "\"GET / HTTP/1.1\" 500 15 \"x\" 200 5 \"r\" \"u\"", &parsed));
    assert_non_null(strstr(show(&parsed), "|status=500|size=15|referer=x\" 200 5 \"r|uagent=u"));
    /* A space in the uri: the last word is the protocol, or the last words are. */
    expect(combined, APACHE "\"GET /a b HTTP/1.1\" 404 15 \"-\" \"c\"",
        "addr=127.0.0.1|user=joe|method=GET|uri=/a b|proto=HTTP/1.1|status=404|size=15|uagent=c");
    /* Referer or agent: what cannot be told is left out and counted, the rest stands. */
    assert_true(parse(combined, APACHE "\"GET / HTTP/1.1\" 500 15 \"a\" \"b\" \"c\"", &parsed));
    assert_string_equal(show(&parsed),
        "addr=127.0.0.1|user=joe|method=GET|uri=/|proto=HTTP/1.1|status=500|size=15");
    assert_int_equal(parsed.record.flags, YARDER_FLAG_UNPARSED);
}

static void test_format_variables(void **state)
{
    (void)state;
    struct parsed parsed;
    expect("format:%(time) %(tmsecs) %(tmicros) %(secs) %(metric.worker.0.requests) "
           "%(var.HTTP_X) %(mine)",
        "1795222752 1795222752123 1795222752123456 0.000262 -12 x 300",
        "time=1795222752|tmsecs=1795222752123|tmicros=1795222752123456|secs=0.000262|"
        "metric.worker.0.requests=-12|var.HTTP_X=x|mine=300");
    assert_true(parse("format:%(time) %(tmsecs) %(tmicros)",
        "1795222752 1795222752123 1795222752123456", &parsed));
    assert_true(parsed.record.time_ns == 1795222752123456000);
    assert_true(parse("format:%(status) [%(ftime)]", "200 [21/Nov/2026:01:59:12 +0100]", &parsed));
    assert_true(parsed.record.time_ns == 1795222752LL * 1000000000);
    expect("format:%(status) [%(ftime)]", "200 [today]", "status=200|ftime=today");
    expect("format:100% %% a%(status)%", "100% %% a200%", "status=200");
    expect("format:%(status) a%(uri)", "- a/", "uri=/");
    expect(
        "format:%(ctime)%(status)x%(uri)\n", "Sat Nov 21 00:59:12 2026200x/", "status=200|uri=/");
    expect("format:%(pid)", "42", "pid=42");
    expect("format:%(uri)-%(status)", "a--", "uri=a");
    expect("format:%(uri)-%(status)", "a--5", "uri=a-|status=5");
    expect_none("format:%(pid)", "42 ");
    expect_none("format:%(secs)s", "1.s");
    expect_none("format:%(time)", "18446744073709551616");
}

static void test_bad_formats(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *why;
    } cases[] = {
        {"nginx", "expected uwsgi or format:TEMPLATE, not 'nginx'"},
        {"format:", "there is no variable such as %(uri) in it, so nearly every line would be a "
                    "request"},
        {"format:%(method)%(uri) x",
            "nothing stands between %(method) and %(uri): where one ends cannot be told"},
        {"format:%(status)%(size)",
            "nothing stands between %(status) and %(size): where one ends cannot be told"},
        {"format:%(uri)%(ctime)",
            "nothing stands between %(uri) and %(ctime): where one ends cannot be told"},
        {"format:%(status)0 %(uri)", "the digit behind %(status) cannot be told from the number"},
        {"format:%(method) %(uri)",
            "there are neither numbers nor marks but spaces in it, so nearly every line would be a "
            "request"},
        {"format:%(uri) 5%(status)", "the digit before %(status) cannot be told from the number"},
        {"format:a %(uri", "%(uri has no )"},
        {"format:a %()", "%() names no variable"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(cases); i++) {
        struct request_format *format = NULL;
        char why[256] = "";
        assert_int_equal(request_open(&format, cases[i].what, why, sizeof(why)), -EINVAL);
        assert_string_equal(why, cases[i].why);
    }
    char many[1024] = "format:";
    for (int i = 0; i <= YARDER_FIELDS_MAX; i++) {
        size_t length = strlen(many);
        (void)snprintf(many + length, sizeof(many) - length, "%%(v%d)|", i);
    }
    struct request_format *format = NULL;
    char why[256] = "";
    assert_int_equal(request_open(&format, many, why, sizeof(why)), -EINVAL);
    assert_string_equal(why, "at most 64 variables");
}

/* Fields that a record has already stay; the ones that find no place are left out. */
static void test_fields_are_added(void **state)
{
    (void)state;
    struct request_format *format = open_format("uwsgi");
    struct request_memo memo = {0};
    struct parsed parsed = {.record = {.text = text_of(LINE), .fields_count = 60}};
    for (uint32_t i = 0; i < 60; i++) {
        parsed.fields[i] = (struct yarder_field){
            .key = text_of("k"), .value = text_of("v"), .type = YARDER_FIELD_TEXT};
    }
    assert_true(request_parse(format, &memo, parsed.scratch, parsed.fields, &parsed.record));
    assert_int_equal(parsed.record.fields_count, 64);
    assert_true(text_is(parsed.fields[59].key, "k"));
    assert_true(text_is(parsed.fields[60].key, "pid"));
}

/* A line that is made to be searched for as long as can be costs no more than its length. */
static void test_hostile_length(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    static char line[BYTES];
    static const char *const fillers[] = {
        " ", "\" ", ") {1 vars in 1 bytes} ", " => generated 1 bytes in 1 ", "\" 1 1 \"", " ("};
    static const char *const whats[] = {"uwsgi", combined};
    for (size_t k = 0; k < YARDER_COUNT_OF(fillers) * 2; k++) {
        const char *filler = fillers[k / 2];
        for (size_t i = 0; i < BYTES; i++) {
            line[i] = filler[i % strlen(filler)];
        }
        static const char head[] = HEAD;
        static const char tail[] = "(1 switches on core 0)";
        memcpy(line, head, sizeof(head) - 1);
        memcpy(line + BYTES - sizeof(tail), tail, sizeof(tail));
        line[BYTES - 2] = k % 2 == 0 ? ')' : '"';
        struct parsed parsed;
        clock_t before = clock();
        (void)parse(whats[k % 2], line, &parsed);
        assert_true(clock() - before < CLOCKS_PER_SEC / 2);
    }
}

int main(void)
{
    (void)setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uwsgi_line),
        cmocka_unit_test(test_uwsgi_optional_parts),
        cmocka_unit_test(test_uwsgi_minimal_line),
        cmocka_unit_test(test_uwsgi_unusual_values),
        cmocka_unit_test(test_uwsgi_other_lines),
        cmocka_unit_test(test_uwsgi_forged),
        cmocka_unit_test(test_format_combined),
        cmocka_unit_test(test_format_forged),
        cmocka_unit_test(test_format_variables),
        cmocka_unit_test(test_bad_formats),
        cmocka_unit_test(test_fields_are_added),
        cmocka_unit_test(test_hostile_length),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (uint32_t i = 0; i < formats_count; i++) {
        request_close(formats[i]);
    }
    return failed;
}
