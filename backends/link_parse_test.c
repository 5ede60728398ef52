/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: each shape, what it means, how it is shown, and what is refused with what words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "link.h"

static char cut[256];
static char why[256];
static struct link_address address;

static int parse(const char *text, const char *default_port)
{
    (void)snprintf(cut, sizeof(cut), "%s", text);
    why[0] = '\0';
    address = (struct link_address){0};
    const struct link_form form = {LINK_UDP, LINK_UNIX_DATAGRAM, LINK_ALL, default_port};
    return link_parse(cut, &form, &address, why, sizeof(why));
}

static void test_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum link_kind kind;
        const char *host, *port, *path, *shown;
    } rows[] = {
        {"logs.example:5140", LINK_UDP, "logs.example", "5140", NULL, "udp://logs.example:5140"},
        {"logs.example", LINK_UDP, "logs.example", "514", NULL, "udp://logs.example:514"},
        {"tcp://10.0.0.1:1", LINK_TCP, "10.0.0.1", "1", NULL, "tcp://10.0.0.1:1"},
        {"tls://h:65535", LINK_TLS, "h", "65535", NULL, "tls://h:65535"},
        {"udp://[::1]:99", LINK_UDP, "::1", "99", NULL, "udp://[::1]:99"},
        {"[fe80::1%lo]", LINK_UDP, "fe80::1%lo", "514", NULL, "udp://[fe80::1%lo]:514"},
        {"::1", LINK_UDP, "::1", "514", NULL, "udp://[::1]:514"},
        {"/dev/log", LINK_UNIX_DATAGRAM, NULL, NULL, "/dev/log", "/dev/log"},
        {"@abstract", LINK_UNIX_DATAGRAM, NULL, NULL, "@abstract", "@abstract"},
        {"unix:/a b", LINK_UNIX_DATAGRAM, NULL, NULL, "/a b", "/a b"},
        {"unix:///a", LINK_UNIX_DATAGRAM, NULL, NULL, "/a", "/a"},
        {"unix-stream:/a", LINK_UNIX_STREAM, NULL, NULL, "/a", "/a"},
        {"unix-dgram:rel", LINK_UNIX_DATAGRAM, NULL, NULL, "rel", "rel"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char shown[64];
        assert_int_equal(parse(rows[i].text, "514"), 0);
        assert_int_equal(address.kind, rows[i].kind);
        const char *got[] = {address.host, address.port, address.path};
        const char *want[] = {rows[i].host, rows[i].port, rows[i].path};
        for (int j = 0; j < 3; j++) {
            assert_int_equal(got[j] == NULL, want[j] == NULL);
            if (want[j] != NULL) {
                assert_string_equal(got[j], want[j]);
            }
        }
        assert_string_equal(link_show(&address, shown, sizeof(shown)), rows[i].shown);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } rows[] = {
        {"", "HOST"},
        {":514", "HOST:PORT"},
        {"h:", "1 to 65535"},
        {"h:0", "1 to 65535"},
        {"h:65536", "1 to 65535"},
        {"h:99999999999999999999", "1 to 65535"},
        {"h:5x", "1 to 65535"},
        {"h", "port is missing"},
        {"a:b:c", "[ADDRESS]:PORT"},
        {"[::1", "[ADDRESS]:PORT"},
        {"[::1]x:1", "[ADDRESS]:PORT"},
        {"ftp://h:1", "expected [udp://|tcp://|tls://]HOST:PORT or [unix:]PATH"},
        {"tcp:/h:1", "[ADDRESS]:PORT"},
        {"tcp://h:1/x", "1 to 65535"},
        {"h h:1", "HOST:PORT"},
        {"user@h:1", "HOST:PORT"},
        {"unix:", "path"},
        {"@", "path"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(parse(rows[i].text, NULL), -EINVAL);
        if (strstr(why, rows[i].word) == NULL) {
            fail_msg("%s: %s", rows[i].text, why);
        }
        assert_non_null(strstr(why, "expected"));
    }
    char longest[200];
    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    longest[107] = '\0';
    assert_int_equal(parse(longest, NULL), 0);
    longest[107] = 'a';
    longest[108] = '\0';
    assert_int_equal(parse(longest, NULL), -EINVAL);
    assert_non_null(strstr(why, "107"));
}

/* Whoever asks for a unix socket gets one, whatever the text looks like. */
static void test_kind_of_plain_text(void **state)
{
    (void)state;
    char text[] = "run/log";
    const struct link_form datagrams = {LINK_UNIX_DATAGRAM, LINK_UNIX_DATAGRAM, LINK_ALL, NULL};
    assert_int_equal(link_parse(text, &datagrams, &address, why, sizeof(why)), 0);
    assert_int_equal(address.kind, LINK_UNIX_DATAGRAM);
    assert_string_equal(address.path, "run/log");
    char stream[] = "/run/log";
    const struct link_form streams = {LINK_TCP, LINK_UNIX_STREAM, LINK_ALL, NULL};
    assert_int_equal(link_parse(stream, &streams, &address, why, sizeof(why)), 0);
    assert_int_equal(address.kind, LINK_UNIX_STREAM);
}

/* What a backend does not take is refused with what it does. */
static void test_only_what_is_taken(void **state)
{
    (void)state;
    static const struct link_form redis = {LINK_TCP, LINK_UNIX_STREAM,
        LINK_BIT(LINK_TCP) | LINK_BIT(LINK_TLS) | LINK_BIT(LINK_UNIX_STREAM), "6379"};
    static const struct link_form graylog = {LINK_UDP, LINK_UNIX_DATAGRAM,
        LINK_BIT(LINK_UDP) | LINK_BIT(LINK_TCP) | LINK_BIT(LINK_TLS), "12201"};
    static const char redis_takes[] = "expected [tcp://|tls://]HOST[:PORT] or [unix:]PATH";
    static const char graylog_takes[] = "expected [udp://|tcp://|tls://]HOST[:PORT]";
    static const struct {
        const struct link_form *form;
        const char *text, *want;
    } rows[] = {
        {&redis, "redis://127.0.0.1:26379", redis_takes},
        {&redis, "udp://127.0.0.1:26379", redis_takes},
        {&redis, "unix-dgram:/x", redis_takes},
        {&redis, "unix:/x", ""},
        {&redis, "tls://h", ""},
        {&graylog, "http://h:12201", graylog_takes},
        {&graylog, "/dev/log", graylog_takes},
        {&graylog, "@name", graylog_takes},
        {&graylog, "unix:/x", graylog_takes},
        {&graylog, "tcp://h", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)snprintf(cut, sizeof(cut), "%s", rows[i].text);
        why[0] = '\0';
        int r = link_parse(cut, rows[i].form, &address, why, sizeof(why));
        assert_int_equal(r, rows[i].want[0] == '\0' ? 0 : -EINVAL);
        assert_string_equal(why, rows[i].want);
    }
}

static void test_tls_options(void **state)
{
    (void)state;
    char name[] = "x";
    assert_int_equal(parse("tcp://h:1", NULL), 0);
    struct link_tls none = {0};
    assert_int_equal(link_check_tls(&address, &none, why, sizeof(why)), 0);
    struct link_tls ca = {.ca = name};
    assert_int_equal(link_check_tls(&address, &ca, why, sizeof(why)), -EINVAL);
    assert_string_equal(why, "ca= is for targets with tls://");
    struct link_tls verify = {.verify = LINK_VERIFY_NONE};
    assert_int_equal(link_check_tls(&address, &verify, why, sizeof(why)), -EINVAL);
    assert_int_equal(parse("tls://h:1", NULL), 0);
    struct link_tls key = {.key = name};
    assert_int_equal(link_check_tls(&address, &key, why, sizeof(why)), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_kind_of_plain_text),
        cmocka_unit_test(test_only_what_is_taken),
        cmocka_unit_test(test_tls_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
