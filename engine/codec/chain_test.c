/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a chain makes, byte for byte, what uWSGI's encoders make of the same message; what uWSGI
 * makes wrong (JSON that is none) is right; what cannot be meant is refused, with words.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "codec/chain.h"

enum { WHY_BYTES = 256, OUT_BYTES = 1 << 20, STEPS_MAX = 33 };

static const int64_t noon_ns = 1795262400123456789; /* 2026-11-21 12:00:00.123456789 UTC */

/* Steps are separated by newlines. */
static int open_chain(struct chain **out, const char *steps, enum chain_dialect dialect, char *why)
{
    static char text[2048];
    char *at[STEPS_MAX];
    struct yarder_texts texts = {.at = at, .count = 1};
    assert_true(strlen(steps) < sizeof(text));
    memcpy(text, steps, strlen(steps) + 1);
    at[0] = text;
    for (char *end = strchr(text, '\n'); end != NULL; end = strchr(end + 1, '\n')) {
        assert_true(texts.count < STEPS_MAX);
        *end = '\0';
        at[texts.count++] = end + 1;
    }
    return chain_open(out, &texts, dialect, why, WHY_BYTES);
}

/* What the chain makes of a message: into `out`, its length. */
static size_t run(
    const char *steps, enum chain_dialect dialect, struct yarder_text message, char *out)
{
    char why[WHY_BYTES];
    struct chain *chain = NULL;
    int r = open_chain(&chain, steps, dialect, why);
    if (r != 0) {
        fail_msg("%s: %s", steps, why);
    }
    size_t bound = chain_bound(chain, message.length);
    assert_true(bound <= OUT_BYTES);
    memcpy(chain_input(chain), message.at, message.length);
    ssize_t bytes = chain_run(chain, noon_ns, message.length, out, bound);
    assert_true(bytes >= 0 && (size_t)bytes <= bound);
    chain_close(chain);
    return (size_t)bytes;
}

static char out[OUT_BYTES];

static void expect_bytes(
    const char *steps, struct yarder_text message, const char *bytes, size_t bytes_count)
{
    size_t length = run(steps, CHAIN_UWSGI, message, out);
    assert_int_equal(length, bytes_count);
    assert_memory_equal(out, bytes, bytes_count);
}

static const struct yarder_text hello = {"hello world\n", 12};
#define EXPECT(steps, bytes) expect_bytes(steps, hello, bytes, sizeof(bytes) - 1)

static void texts_are_uwsgis(void **state)
{
    (void)state;
    EXPECT("prefix [A] ", "[A] hello world\n");
    EXPECT("prefix  two", " twohello world\n");
    EXPECT("prefix", "hello world\n");
    EXPECT("suffix  SUF", "hello world\n SUF");
    EXPECT("nl", "hello world\n\n");
    EXPECT("prefix a\nformat b${msg}\nsuffix c", "bahello worldc");
    EXPECT("format ${msg}|${msgnl}|$x|$$|100%", "hello world|hello world\n|$x|$$|100%");
    EXPECT("format $$$${msg}${msg}$", "$$$${msg}hello world$");
    EXPECT("format $$$${msg}$", "$$$${msg}$");
    EXPECT("format a$$b${msg}$xabc", "a$$bhello world$xabc");
    EXPECT("format", "");
    EXPECT("json", "");
    EXPECT("format ${nope}x${msg}y${}", "xhello worldy");
    const struct yarder_text lines = {"\n\n", 2};
    expect_bytes("format <${msg}>", lines, "<\n>", 3);
    const struct yarder_text nothing = {"", 0};
    expect_bytes("format ${msg}${msgnl}", nothing, "", 0);
    expect_bytes("prefix x", nothing, "x", 1);
}

static void times_are_the_records(void **state)
{
    (void)state;
    (void)setenv("TZ", "UTC-2", 1);
    tzset();
    EXPECT("format ${unix} ${millis} ${micros}", "1795262400 1795262400123 1795262400123456");
    EXPECT("format ${strftime:%d/%b/%Y:%H:%M:%S %z}", "21/Nov/2026:14:00:00 +0200");
    EXPECT("format ${strftime:}x", "x");
    EXPECT("format <${strftime:%A %A %A %A %A %A %A %A %A %A}>", "<>"); /* over 63 bytes */
    EXPECT("json {\"t\":\"${strftime:\"%Y\"}\"}", "{\"t\":\"\\\"2026\\\"\"}");
    EXPECT("msgpack unix|micros|strftime:%Y",
        "\xD2\x6B\x01\x87\xC0\xD3\x00\x06\x60\xC8\x19\xA3\x52\x40\xA4"
        "2026");
}

static void json_is_valid(void **state)
{
    (void)state;
    static const char all[] = "a\"b\\c\t\r\x01\x1f\x7f\xff\xc3\xa9\xe2\x82z\n";
    const struct yarder_text message = {all, sizeof(all) - 1};
    EXPECT("json {\"msg\":\"${msg}\"}\nnl", "{\"msg\":\"hello world\"}\n");
    expect_bytes("json \"${msgnl}\"", message,
        "\"a\\\"b\\\\c\\t\\r\\u0001\\u001f\x7f\xEF\xBF\xBD\xc3\xa9\xEF\xBF\xBD\xEF\xBF\xBDz\\n\"",
        40);
    size_t length = run("json {\"a\":\"${msg}\",\"b\":${unix}}", CHAIN_NATIVE, message, out);
    cJSON *json = cJSON_ParseWithLength(out, length);
    assert_non_null(json);
    assert_int_equal(cJSON_GetObjectItem(json, "b")->valuedouble, 1795262400);
    cJSON_Delete(json);
}

static bool has_zlib(void)
{
    char why[WHY_BYTES];
    struct chain *chain = NULL;
    bool good = open_chain(&chain, "gzip", CHAIN_NATIVE, why) == 0;
    chain_close(chain);
    if (!good) {
        assert_non_null(strstr(why, "zlib1g-dev"));
    }
    return good;
}

static void compressions_are_uwsgis(void **state)
{
    (void)state;
    if (!has_zlib()) {
        skip();
    }
    EXPECT("gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xca\x48\xcd\xc9\xc9\x57\x28\xcf\x2f"
                   "\xca\x49\xe1\x02\x00\x00\x00\xff\xff\x03\x00\x2d\x3b\x08\xaf\x0c\x00\x00\x00");
    EXPECT("compress", "\x78\x9c\xcb\x48\xcd\xc9\xc9\x57\x28\xcf\x2f\xca\x49\xe1\x02\x00\x1e\x72"
                       "\x04\x67");
    assert_int_equal(run("gzip\nprefix i am gzip encoded", CHAIN_UWSGI, hello, out), 17 + 38);
    assert_memory_equal(out, "i am gzip encoded\x1f\x8b", 19);
}

/* What cannot be compressed grows, within the bound. */
static void anything_is_compressed(void **state)
{
    (void)state;
    static char noise[1 << 19];
    uint64_t seed = 88172645463325252;
    if (!has_zlib()) {
        skip();
    }
    for (size_t i = 0; i < sizeof(noise); i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        noise[i] = (char)(seed & 255);
    }
    for (size_t bytes = 1; bytes <= sizeof(noise); bytes += 1 + bytes / 3) {
        const struct yarder_text text = {noise, bytes};
        assert_true(run("gzip", CHAIN_NATIVE, text, out) > bytes);
        assert_true(run("compress", CHAIN_NATIVE, text, out) > bytes);
    }
}

#define S31 "sssssssssssssssssssssssssssssss"
#define B256                                                                                       \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"                             \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"                             \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"                             \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void msgpack_is_uwsgis(void **state)
{
    (void)state;
    EXPECT("msgpack map:2|str:message|msg|str:i|int:17", "\x82\xa7"
                                                         "message\xabhello world\xa1i\x11");
    EXPECT("msgpack array:6|int:0|int:1|int:127|int:-1|int:-31|int:-32",
        "\x96\xd0\x00\x01\x7f\xff\xe1\xd0\xe0");
    EXPECT("msgpack int:128|int:255|int:-128|int:-129|int:32767|int:32768|int:-33",
        "\xd1\x00\x80\xd1\x00\xff\xd0\x80\xd1\xff\x7f\xd1\x7f\xff\xd2\x00\x00\x80\x00\xd0\xdf");
    EXPECT("msgpack int:2147483647|int:2147483648|int:-2147483649|int:-9223372036854775808",
        "\xd2\x7f\xff\xff\xff\xd3\x00\x00\x00\x00\x80\x00\x00\x00\xd3\xff\xff\xff\xff\x7f\xff\xff"
        "\xff\xd3\x80\x00\x00\x00\x00\x00\x00\x00");
    EXPECT("msgpack float:17.3|float:-126|float:-126.5|float:127|float:1e300|float:-1.5",
        "\xca\x41\x8a\x66\x66\xca\xc2\xfc\x00\x00\xcb\xc0\x5f\xa0\x00\x00\x00\x00\x00\xca\x42\xfe"
        "\x00\x00\xcb\x7e\x37\xe4\x3c\x88\x00\x75\x9c\xca\xbf\xc0\x00\x00");
    EXPECT("msgpack nil|true|false", "\xc0\xc3\xc2");
    EXPECT("msgpack msg|msgnl|msgbin|msgbinnl", "\xabhello world\xachello world\n\xc4\x0bhello "
                                                "world\xc4\x0chello world\n");
    EXPECT("msgpack str:" S31 "|str:s" S31 "|str:|bin:ab",
        "\xbf" S31 "\xda\x00\x20s" S31 "\xa0\xc4\x02"
        "ab");
    EXPECT("msgpack bin:" B256, "\xc5\x01\x00" B256);
    EXPECT("msgpack array:0", "\x90");
    EXPECT("msgpack map:1|str:a|map:1|nil|array:2|nil|map:0", "\x81\xa1"
                                                              "a\x81\xc0\x92\xc0\x80");
    EXPECT("msgpack what|msg|x:y", "\xabhello world");
    EXPECT("msgpack |", "");
    static char long_one[70000];
    memset(long_one, 'x', sizeof(long_one));
    size_t length = run(
        "msgpack msg|msgbin", CHAIN_NATIVE, (struct yarder_text){long_one, sizeof(long_one)}, out);
    assert_int_equal(length, 2 * sizeof(long_one) + 10);
    assert_memory_equal(out, "\xdb\x00\x01\x11\x70", 5);
    assert_memory_equal(out + 5 + sizeof(long_one), "\xc6\x00\x01\x11\x70", 5);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *steps;
        const char *word;
        bool uwsgi_too;
    } wrong[] = {
        {"jsn {}", "did you mean json?", true},
        {"base64", "there are prefix", true},
        {"format ${msg", "column 1: \"${\" without", true},
        {"nl\nformat ab${unix} ${msg", "column 11", true},
        {"format ${mgs}", "did you mean msg?", false},
        {"json {\"a\":\"${milis}\"}", "did you mean millis?", false},
        {"json", "expected json TEMPLATE", false},
        {"prefix", "expected prefix TEXT", false},
        {"nl 9", "takes nothing", false},
        {"msgpack map:2|str:a|msg|str:b", "lacks 1", true},
        {"msgpack map:1|str:a|array:2|msg", "lacks 1", true},
        {"msgpack map:1|str:a|msg|str:b", "\"str:b\" is one value too many", true},
        {"msgpack array:1|msg|nil", "one value too many", true},
        {"msgpack array:0|nil", "one value too many", true},
        {"msgpack map", "expected how many pairs", true},
        {"msgpack array:-1", "expected how many values", true},
        {"msgpack array:65537", "at most 65536", true},
        {"msgpack int:", "whole number", true},
        {"msgpack int:1x", "whole number", true},
        {"msgpack int:9223372036854775808", "64 bits", true},
        {"msgpack float:nan", "expected a number", true},
        {"msgpack strr:a", "did you mean str?", false},
        {"msgpack array:1|array:1|array:1|array:1|array:1|array:1|array:1|array:1|array:1|array:1|"
         "array:1|array:1|array:1|array:1|array:1|array:1|array:1|array:1|array:1|array:1|array:1|"
         "array:1|array:1|array:1|array:1|array:1|array:1|array:1|array:1|array:1|array:1|array:1|"
         "array:1|nil",
            "32 deep", true},
        {"nl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl"
         "\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl\nnl",
            "more than 32", true},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(wrong); i++) {
        for (int dialect = CHAIN_NATIVE; dialect <= CHAIN_UWSGI; dialect++) {
            char why[WHY_BYTES] = "";
            struct chain *chain = NULL;
            int r = open_chain(&chain, wrong[i].steps, (enum chain_dialect)dialect, why);
            bool refused = dialect == CHAIN_NATIVE || wrong[i].uwsgi_too;
            if (r != (refused ? -EINVAL : 0) || (refused && strstr(why, wrong[i].word) == NULL)) {
                fail_msg("%s: %d, \"%s\"", wrong[i].steps, r, why);
            }
            chain_close(chain);
        }
    }
    char why[WHY_BYTES] = "";
    struct chain *chain = NULL;
    assert_int_equal(open_chain(&chain, "format ${mgs}", CHAIN_UWSGI, why), 0);
    assert_non_null(strstr(why, "is taken for nothing"));
    chain_close(chain);
}

/* A bound that is too large is no verdict: actual lengths are. And nothing is written past room. */
static void lengths_are_bounded(void **state)
{
    (void)state;
    char why[WHY_BYTES];
    struct chain *chain = NULL;
    assert_int_equal(
        open_chain(&chain, "json ${msg}\njson ${msg}\njson ${msg}\njson ${msg}", CHAIN_NATIVE, why),
        0);
    const size_t bytes = 100000;
    assert_true(chain_bound(chain, bytes) > CHAIN_BYTES_MAX);
    memset(chain_input(chain), 'a', bytes);
    static char large[CHAIN_BYTES_MAX];
    assert_int_equal(chain_run(chain, 0, bytes, large, sizeof(large)), bytes);
    memset(chain_input(chain), '\n', bytes); /* \n, \\n, \\\\n, ... and one newline less */
    assert_int_equal(chain_run(chain, 0, bytes, large, sizeof(large)), (bytes - 1) * 9);
    memset(chain_input(chain), 'a', bytes);
    assert_int_equal(chain_run(chain, 0, bytes, large, bytes), -EMSGSIZE);
    chain_close(chain);
    assert_int_equal(open_chain(&chain,
                         "format ${msg}${msg}\nformat ${msg}${msg}\n"
                         "format ${msg}${msg}\nformat ${msg}${msg}",
                         CHAIN_NATIVE, why),
        0);
    memset(chain_input(chain), 'a', 1 << 20);
    assert_int_equal(chain_run(chain, 0, 1 << 20, large, sizeof(large)), -EMSGSIZE);
    chain_close(chain);
}

static void newlines_are_kept_or_not(void **state)
{
    (void)state;
    static const struct {
        const char *steps;
        bool keeps;
    } chains[] = {{"prefix x", true}, {"suffix x", false}, {"suffix x\nnl", true}, {"nl", true},
        {"format ${msg}", false}, {"format a${msgnl}", true}, {"json ${msgnl}", false},
        {"suffix x\nformat ${msgnl}", false}, {"msgpack msg", false},
        {"msgpack msg\nprefix x", false}, {"json {}\nnl", true}};
    for (size_t i = 0; i < YARDER_COUNT_OF(chains); i++) {
        char why[WHY_BYTES];
        struct chain *chain = NULL;
        assert_int_equal(open_chain(&chain, chains[i].steps, CHAIN_NATIVE, why), 0);
        assert_int_equal(chain_keeps_lines(chain), chains[i].keeps);
        chain_close(chain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_uwsgis),
        cmocka_unit_test(times_are_the_records),
        cmocka_unit_test(json_is_valid),
        cmocka_unit_test(compressions_are_uwsgis),
        cmocka_unit_test(anything_is_compressed),
        cmocka_unit_test(msgpack_is_uwsgis),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(newlines_are_kept_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
