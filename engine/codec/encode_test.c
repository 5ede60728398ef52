/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each format writes what it promises, into no more room than encoder_bound names. Method:
 * expected bytes for one full record and for an empty one, always in a buffer of exactly the bound
 * (a sanitizer sees the rest), and random bytes through json, read back by cJSON.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/test_random.h"
#include "base/text.h"
#include "codec/encode.h"

enum { WHY = 256, OUT = 4096, ROUNDS = 3000 };

static struct encoder *open_encoder(const char *format, enum encode_newlines newlines)
{
    char why[WHY] = "";
    struct encoder *encoder = NULL;
    if (encoder_open(&encoder, format, newlines, "vm", why, sizeof(why)) != 0) {
        fail_msg("%s: %s", format, why);
    }
    return encoder;
}

/* Into exactly the bound; returns the bytes, terminated, to be freed. */
static char *run_exact(struct encoder *encoder, const struct yarder_record *record, size_t *length)
{
    size_t bound = encoder_bound(encoder, record);
    char *room = malloc(bound);
    assert_non_null(room);
    *length = encoder_run(encoder, record, room);
    assert_true(*length <= bound);
    assert_int_equal(room[*length - 1], '\n');
    char *out = malloc(*length + 1);
    assert_non_null(out);
    memcpy(out, room, *length);
    out[*length] = '\0';
    free(room);
    return out;
}

static void check_as(const char *format, enum encode_newlines newlines,
    const struct yarder_record *record, const char *expected)
{
    size_t length = 0;
    struct encoder *encoder = open_encoder(format, newlines);
    char *out = run_exact(encoder, record, &length);
    assert_string_equal(out, expected);
    free(out);
    out = run_exact(encoder, record, &length); /* with caches filled */
    assert_string_equal(out, expected);
    free(out);
    encoder_close(encoder);
}

static void check(const char *format, const struct yarder_record *record, const char *expected)
{
    check_as(format, ENCODE_NEWLINES_AUTO, record, expected);
}

static const int64_t minus_five = -5;
static const uint64_t largest = UINT64_MAX;
static const double tenth = 0.1;
static const uint8_t yes = 1;

static const struct yarder_field fields[] = {
    {{"web.status", 10}, {(const char *)&minus_five, 8}, YARDER_FIELD_INT},
    {{"big", 3}, {(const char *)&largest, 8}, YARDER_FIELD_UINT},
    {{"web.path", 8}, {"a]\"\\\n", 5}, YARDER_FIELD_TEXT},
    {{"ratio", 5}, {(const char *)&tenth, 8}, YARDER_FIELD_FLOAT},
    {{"ok", 2}, {(const char *)&yes, 1}, YARDER_FIELD_BOOL},
    {{"msgid", 5}, {"ID7", 3}, YARDER_FIELD_TEXT},
    {{"broken", 6}, {"123", 3}, YARDER_FIELD_INT},
};

/* 2026-11-21 00:30:00.012345678 UTC, 01:30 in the zone of this test. */
static const struct yarder_record full = {.time_ns = 1795221000012345678,
    .received_ns = 1795221001500000000,
    .text = {"one\ntwo\r\x1b\t\xC3\xAB\xFFz", 14},
    .host = {"web1", 4},
    .peer = {"10.0.0.9", 8},
    .tag = {"ngx", 3},
    .logger = {"app.db", 6},
    .fields = fields,
    .fields_count = YARDER_COUNT_OF(fields),
    .flags = YARDER_FLAG_TRUNCATED | YARDER_FLAG_GAP,
    .pid = 4321,
    .tid = 4322,
    .lost_before = 9,
    .level = YARDER_LEVEL_WARNING,
    .kind = YARDER_KIND_REQUEST,
    .stream = YARDER_STREAM_STDERR,
    .facility = 16};
static const struct yarder_record bare = {
    .time_ns = -1, .text = {"hi", 2}, .facility = YARDER_FACILITY_NONE};

static void test_text(void **state)
{
    (void)state;
    struct yarder_record network = full;
    network.flags = YARDER_FLAG_NETWORK;
    struct yarder_record own = full;
    own.kind = YARDER_KIND_LOG;
    check("text", &full, "one\\ntwo\\r\\x1b\t\xC3\xAB\xFFz\n");
    check("text", &own, "one\ntwo\r\x1b\t\xC3\xAB\xFFz\n");
    check("text", &network, "one\\ntwo\\r\\x1b\t\xC3\xAB\xFFz\n");
    check_as("text", ENCODE_NEWLINES_KEEP, &network, "one\ntwo\r\x1b\t\xC3\xAB\xFFz\n");
    check_as("text", ENCODE_NEWLINES_INDENT, &full, "one\n\ttwo\r\x1b\t\xC3\xAB\xFFz\n");
    check_as("text", ENCODE_NEWLINES_ESCAPE, &full, "one\\ntwo\\r\\x1b\t\xC3\xAB\xFFz\n");
    struct encoder *encoder = open_encoder("text", ENCODE_NEWLINES_AUTO);
    assert_true(encoder_is_plain(encoder));
    encoder_close(encoder);
    encoder = open_encoder("text", ENCODE_NEWLINES_ESCAPE);
    assert_false(encoder_is_plain(encoder));
    encoder_close(encoder);
}

static void test_syslog(void **state)
{
    (void)state;
    check(
        "syslog", &full, "<132>Nov 21 01:30:00 web1 ngx[4321]: one\\ntwo\\r\\x1b\t\xC3\xAB\xFFz\n");
    check("syslog", &bare, "<14>Jan  1 00:59:59 vm -: hi\n");
    struct yarder_record hostile = bare;
    hostile.tag = (struct yarder_text){"a b:c[\n", 7};
    hostile.host = (struct yarder_text){"x\ny", 3};
    check("syslog", &hostile, "<14>Jan  1 00:59:59 x_y a_b_c__: hi\n");
    check("rfc5424", &full,
        "<132>1 2026-11-21T00:30:00.012345Z web1 ngx 4321 ID7 "
        "[web status=\"-5\" path=\"a\\]\\\"\\\\\\n\"]"
        "[yarder@32473 big=\"18446744073709551615\" ratio=\"0.1\" ok=\"true\" broken=\"-\"] "
        "one\\ntwo\\r\\x1b\t\xC3\xAB\xFFz\n");
    check("rfc5424", &bare, "<14>1 1969-12-31T23:59:59.999999Z vm - - - - hi\n");
}

static void test_json(void **state)
{
    (void)state;
    check("json", &full,
        "{\"time\":\"2026-11-21T00:30:00.012345Z\",\"level\":\"warning\",\"host\":\"web1\","
        "\"logger\":\"app.db\",\"tag\":\"ngx\",\"pid\":4321,\"tid\":4322,\"stream\":\"stderr\","
        "\"kind\":\"request\",\"facility\":\"local0\",\"peer\":\"10.0.0.9\","
        "\"message\":\"one\\ntwo\\r\\u001b\\t\xC3\xAB\xEF\xBF\xBDz\","
        "\"fields\":{\"web.status\":-5,\"big\":18446744073709551615,"
        "\"web.path\":\"a]\\\"\\\\\\n\",\"ratio\":0.1,\"ok\":true,\"msgid\":\"ID7\","
        "\"broken\":null},\"truncated\":true,\"lost_before\":9}\n");
    check("json", &bare,
        "{\"time\":\"1969-12-31T23:59:59.999999Z\",\"level\":\"notset\",\"host\":\"vm\","
        "\"message\":\"hi\"}\n");
    struct yarder_record custom = bare;
    custom.level = 35;
    custom.flags = YARDER_FLAG_PARTIAL | YARDER_FLAG_UNPARSED;
    check("json", &custom,
        "{\"time\":\"1969-12-31T23:59:59.999999Z\",\"level\":\"warning\",\"levelno\":35,"
        "\"host\":\"vm\",\"message\":\"hi\",\"partial\":true,\"unparsed\":true}\n");
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        const char *json;
    } cases[] = {
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},                                 /* overlong */
        {"\xE0\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},                 /* overlong */
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},                 /* surrogate */
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, /* beyond */
        {"\xE2\x82", "\xEF\xBF\xBD\xEF\xBF\xBD"},                                 /* cut */
        {"\xE2\x82\xAC", "\xE2\x82\xAC"},
        {"\xF0\x9F\xAA\xB5", "\xF0\x9F\xAA\xB5"},
        {"\x7F", "\x7F"},
        {"0123456789abcdef\"0123456789abcdef\\", "0123456789abcdef\\\"0123456789abcdef\\\\"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(cases); i++) {
        struct yarder_record record = bare;
        char expected[256];
        record.text = text_of(cases[i].bytes);
        (void)snprintf(expected, sizeof(expected),
            "{\"time\":\"1969-12-31T23:59:59.999999Z\",\"level\":\"notset\",\"host\":\"vm\","
            "\"message\":\"%s\"}\n",
            cases[i].json);
        check("json", &record, expected);
    }
}

static void test_json_of_noise(void **state)
{
    (void)state;
    struct encoder *encoder = open_encoder("json", ENCODE_NEWLINES_AUTO);
    char noise[600];
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct yarder_record record = full;
        uint32_t range = below(2) == 0 ? 256 : 128;
        for (size_t i = 0; i < sizeof(noise); i++) {
            noise[i] = (char)below(range);
        }
        uint32_t at = below(100);
        record.text = (struct yarder_text){noise + at, below(500)};
        record.tag = (struct yarder_text){noise + below(500), below(100)};
        record.host = (struct yarder_text){noise + below(500), below(100)};
        size_t length = 0;
        char *out = run_exact(encoder, &record, &length);
        assert_null(memchr(out, '\n', length - 1));
        cJSON *json = cJSON_ParseWithLength(out, length);
        assert_non_null(json);
        assert_non_null(cJSON_GetObjectItem(json, "message"));
        if (range == 128 && memchr(record.text.at, 0, record.text.length) == NULL) {
            const char *message = cJSON_GetObjectItem(json, "message")->valuestring;
            assert_int_equal(strlen(message), record.text.length);
            assert_memory_equal(message, record.text.at, record.text.length);
        }
        cJSON_Delete(json);
        free(out);
    }
    encoder_close(encoder);
}

static bool keys_differ(const cJSON *object)
{
    for (const cJSON *one = object->child; one != NULL; one = one->next) {
        for (const cJSON *other = one->next; other != NULL; other = other->next) {
            if (strcmp(one->string, other->string) == 0) {
                return false;
            }
        }
    }
    return true;
}

/* Strict readers refuse an object that has a key twice; alike is what is alike in the output. */
static void test_json_keys(void **state)
{
    (void)state;
#define KEY(key, value)                                                                            \
    {                                                                                              \
        {key, sizeof(key) - 1}, {value, sizeof(value) - 1}, YARDER_FIELD_TEXT                      \
    }
    const struct yarder_field twice[] = {KEY("k", "1"), KEY("k", "2"), KEY("x\xFF", "3"),
        KEY("k", "4"), KEY("x\xFE", "5"), KEY("k.2", "6"), KEY("k.6", "7"), KEY("k.2.6", "8"),
        KEY("", "9"), KEY("", "10")};
    struct yarder_record record = {.fields = twice, .fields_count = YARDER_COUNT_OF(twice)};
    check("${fields}", &record,
        "{\"k\":\"1\",\"k.2\":\"2\",\"x\xEF\xBF\xBD\":\"3\",\"k.4\":\"4\","
        "\"x\xEF\xBF\xBD.5\":\"5\",\"k.2.6\":\"6\",\"k.6\":\"7\",\"k.2.6.8\":\"8\",\"\":\"9\",\"."
        "10\":\"10\"}\n");
    /* The number stands there, too: the one field that is left out. */
    const struct yarder_field taken[] = {
        KEY("a.3", "1"), KEY("a", "2"), KEY("a", "3"), KEY("b", "4")};
    record = (struct yarder_record){.fields = taken, .fields_count = 4};
    check("${fields}", &record, "{\"a.3\":\"1\",\"a\":\"2\",\"b\":\"4\"}\n");
    struct encoder *encoder = open_encoder("json", ENCODE_NEWLINES_AUTO);
    for (unsigned round = 0; round < ROUNDS; round++) {
        static const char letters[] = "ab.12\xFF\xFE";
        char keys[YARDER_FIELDS_MAX][4];
        struct yarder_field many[YARDER_FIELDS_MAX];
        uint32_t count = below(YARDER_FIELDS_MAX + 1);
        for (uint32_t i = 0; i < count; i++) {
            for (size_t j = 0; j < sizeof(keys[i]); j++) {
                keys[i][j] = letters[below(sizeof(letters) - 1)];
            }
            many[i] = (struct yarder_field){.key = {keys[i], below(sizeof(keys[i]) + 1)},
                .value = {"v", 1},
                .type = YARDER_FIELD_TEXT};
        }
        record = (struct yarder_record){.fields = many, .fields_count = count};
        size_t length = 0;
        char *out = run_exact(encoder, &record, &length);
        cJSON *json = cJSON_ParseWithLength(out, length);
        assert_non_null(json);
        assert_true(count == 0 || keys_differ(cJSON_GetObjectItem(json, "fields")));
        cJSON_Delete(json);
        free(out);
    }
    encoder_close(encoder);
}

static void test_floats(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *json;
    } cases[] = {{0, "0"}, {1e300, "1e+300"}, {1.0 / 3, "0.3333333333333333"}, {-2.5, "-2.5"},
        {5e-324, "4.94065645841247e-324"}, {NAN, "\"nan\""}, {INFINITY, "\"inf\""},
        {-INFINITY, "\"-inf\""}};
    for (size_t i = 0; i < YARDER_COUNT_OF(cases); i++) {
        const struct yarder_field field = {
            {"f", 1}, {(const char *)&cases[i].value, 8}, YARDER_FIELD_FLOAT};
        struct yarder_record record = {.fields = &field, .fields_count = 1};
        char expected[64];
        (void)snprintf(expected, sizeof(expected), "{\"f\":%s}\n", cases[i].json);
        check("${fields}", &record, expected);
    }
}

static void test_templates(void **state)
{
    (void)state;
    check("${time:%F %T} ${host} ${logger}[${pid}] ${level}: ${msg}", &bare,
        "1970-01-01 00:59:59 vm -[-] notset: hi\n");
    check(
        "${time} ${utc}", &full, "2026-11-21T01:30:00.012345+01:00 2026-11-21T00:30:00.012345Z\n");
    check("${received:%s.%L} ${time:%N} ${unix} ${millis} ${micros} ${strftime:%d/%b}", &full,
        "1795221001.500 012345678 1795221000 1795221000012 1795221000012345 21/Nov\n");
    check("${level} ${LEVEL} ${severity} ${pri} ${facility} ${peer} ${tag} ${tid} ${stream} "
          "${kind}",
        &full, "warning WARNING 4 132 local0 10.0.0.9 ngx 4322 stderr request\n");
    check("${severity} ${pri} ${facility} ${peer} ${tag} ${tid} ${stream} ${kind}", &bare,
        "6 14 - - - - - log\n");
    check("${field.web.status}|${field.big}|${field.ratio}|${field.ok}|${field.no}|${field.broken}",
        &full, "-5|18446744073709551615|0.1|true|-|-\n");
    check("$$ $x ${msg}$", &bare, "$ $x hi$\n");
    check_as("a ${field.web.path}", ENCODE_NEWLINES_ESCAPE, &full, "a a]\"\\\\n\n");
    check("a literal that is much longer than thirty-two bytes, to be copied in two: ${msg}", &bare,
        "a literal that is much longer than thirty-two bytes, to be copied in two: hi\n");
}

static void test_python(void **state)
{
    (void)state;
    struct yarder_record record = full;
    record.text = (struct yarder_text){"m", 1};
    check("python:%(asctime)s %(levelname)-8s|%(name)10s|%(name).3s|%(process)d %(thread)s "
          "%(message)s 100%%",
        &record, "2026-11-21 01:30:00,012 WARNING |    app.db|app|4321 4322 m 100%\n");
    check("python:%(levelno)03d %(created)f %(created).3f %(created)d %(msecs)03d %(msecs)6d",
        &record, "030 1795221000.012345 1795221000.012 1795221000 012     12\n");
    check("python:%(ok)s %(lineno)d %(field.ok)s %(funcName)s %(web.status)06d", &record,
        "true - true - -00005\n");
    record.level = 35;
    check("python:%(levelname)s", &record, "Level 35\n");
    const struct yarder_field trace[] = {
        {{"exc_text", 8}, {"Traceback\n  x", 13}, YARDER_FIELD_TEXT}};
    record.fields = trace;
    record.fields_count = 1;
    record.kind = YARDER_KIND_LOG;
    check("python:%(message)s", &record, "m\nTraceback\n  x\n");
    check_as("python:%(message)s", ENCODE_NEWLINES_ESCAPE, &record, "m\\nTraceback\\n  x\n");
    record.text = (struct yarder_text){"\xC3\xAB\xC3\xAB\xC3\xAB", 6};
    record.fields_count = 0;
    check("python:%(message)5s|%(message).2s|%(message)-4s|", &record,
        "  \xC3\xAB\xC3\xAB\xC3\xAB|\xC3\xAB\xC3\xAB|\xC3\xAB\xC3\xAB\xC3\xAB |\n");
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        const char *why; /* a part of it */
    } cases[] = {
        {"jsn", "did you mean \"json\""},
        {"", "no preset"},
        {"no variable", "expected text, syslog"},
        {"x ${levl}", "column 3: unknown variable \"levl\"; did you mean \"level\"?"},
        {"${zzzzzzzz}", "column 1: unknown variable \"zzzzzzzz\""},
        {"${}", "column 1: unknown variable"},
        {"${field.}", "column 1: unknown variable"},
        {"${msg", "column 1: \"${\" without"},
        {"${level:x}", "takes no format: \"level\""},
        {"a ${time:%F %Q}", "column 13: unknown time conversion \"%Q\""},
        {"${time:%}", "unknown time conversion"},
        {"${time:%A%A%A%A%A%A%A%A}", "too long"},
        {"python:x", "no variable"},
        {"python:%(mesage)s", "did you mean \"message\"?"},
        {"python:%(message)d", "takes %s only"},
        {"python:%(message", "without its \")\""},
        {"python:%(message)", "expected s, d or f"},
        {"python:%(message)x", "expected s, d or f"},
        {"python:%(message)999s", "expected s, d or f"},
        {"python:%s", "column 1: expected"},
        {"python:%(created).12f", "more than 9"},
        {"python:%()s", "expected a name"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(cases); i++) {
        char why[WHY] = "";
        struct encoder *encoder = NULL;
        assert_int_equal(
            encoder_open(&encoder, cases[i].format, ENCODE_NEWLINES_AUTO, "vm", why, sizeof(why)),
            -EINVAL);
        assert_null(encoder);
        if (strstr(why, cases[i].why) == NULL) {
            fail_msg("%s: %s", cases[i].format, why);
        }
    }
    char many[200 * 6 + 1] = "";
    for (size_t at = 0; at + 1 < sizeof(many); at += 6) {
        memcpy(many + at, "${msg}", 6);
    }
    char why[WHY] = "";
    struct encoder *encoder = NULL;
    assert_int_equal(
        encoder_open(&encoder, many, ENCODE_NEWLINES_AUTO, NULL, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "128 pieces"));
}

/* No record makes more than one line where lines are escaped, and each later one is indented. */
static void test_no_forged_lines(void **state)
{
    (void)state;
    static const char *const formats[] = {
        "${msg} ${tag} ${host} ${peer} ${logger} ${field.a} ${fields}", "syslog", "rfc5424", "text",
        "python:%(message)s %(name)s %(a)s"};
    char noise[256];
    for (size_t f = 0; f < YARDER_COUNT_OF(formats); f++) {
        struct encoder *escape = open_encoder(formats[f], ENCODE_NEWLINES_ESCAPE);
        struct encoder *indent = open_encoder(formats[f], ENCODE_NEWLINES_INDENT);
        for (unsigned round = 0; round < 500; round++) {
            for (size_t i = 0; i < sizeof(noise); i++) {
                noise[i] = (char)below(32);
            }
            struct yarder_text text = {noise, below(sizeof(noise))};
            const struct yarder_field field = {{"a", 1}, text, YARDER_FIELD_TEXT};
            const struct yarder_record record = {.text = text,
                .tag = text,
                .host = text,
                .peer = text,
                .logger = text,
                .fields = &field,
                .fields_count = 1};
            size_t length = 0;
            char *out = run_exact(escape, &record, &length);
            assert_null(memchr(out, '\n', length - 1));
            assert_null(memchr(out, '\r', length));
            assert_null(memchr(out, '\0', length));
            free(out);
            out = run_exact(indent, &record, &length);
            for (size_t i = 0; i + 1 < length; i++) {
                assert_true(out[i] != '\n' || out[i + 1] == '\t');
            }
            free(out);
        }
        encoder_close(escape);
        encoder_close(indent);
    }
}

int main(void)
{
    random_begin("ENCODE_SEED");
    if (setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1) != 0) {
        return 1;
    }
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_syslog),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_json_of_noise),
        cmocka_unit_test(test_json_keys),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_python),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_forged_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
