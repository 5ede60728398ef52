/* SPDX-License-Identifier: Apache-2.0 */
/* Commands to the byte, slots of known keys, and what servers' words mean. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "redis_command.h"
#include "redis_reply.h"

static const struct yarder_record record = {.time_ns = 1700000000123456789,
    .logger = {"app.db", 6},
    .tag = {"t", 1},
    .level = YARDER_LEVEL_WARNING + 1,
    .pid = 42,
    .stream = YARDER_STREAM_STDERR};
static const struct yarder_item item = {.record = &record,
    .text = {"hello world", 11},
    .id = {.epoch_ns = 1700000000999999999, .number = 7},
    .newline = true};
static const struct redis_texts texts = {.host = {"vm", 2}};
static struct redis_command command;

static void expect(
    const char *words, bool literal, const struct redis_texts *with, const char *expected)
{
    char why[128] = "", at[2048];
    assert_int_equal(redis_command_compile(&command, words, literal, why, sizeof(why)), 0);
    char *end = redis_command_put(&command, &item, with, at);
    assert_true((size_t)(end - at) <= redis_command_bound(&command, &item, with));
    *end = '\0';
    assert_string_equal(at, expected);
}

static void test_uwsgi_bytes(void **state)
{
    (void)state;
    expect("publish uwsgi", true, &texts,
        "*3\r\n$7\r\npublish\r\n$5\r\nuwsgi\r\n$11\r\nhello world\r\n");
    struct redis_texts prefixed = {.host = {"vm", 2}, .prefix = {"example.com ", 12}};
    expect("rpush foo", true, &prefixed,
        "*3\r\n$5\r\nrpush\r\n$3\r\nfoo\r\n$23\r\nexample.com hello world\r\n");
    expect("a  b", true, &texts, "*4\r\n$1\r\na\r\n$0\r\n\r\n$1\r\nb\r\n$11\r\nhello world\r\n");
    expect(
        "a ${b} ", true, &texts, "*4\r\n$1\r\na\r\n$4\r\n${b}\r\n$0\r\n\r\n$11\r\nhello world\r\n");
}

static void test_variables(void **state)
{
    (void)state;
    expect("xadd {${logger}}:x ${id} msg", false, &texts,
        "*5\r\n$4\r\nxadd\r\n$10\r\n{app.db}:x\r\n$15\r\n1700000000999-7\r\n$3\r\nmsg\r\n"
        "$11\r\nhello world\r\n");
    assert_true(command.tells_doubles);
    char at[1024];
    char *end = redis_command_put_look(&command, &item, &texts, at);
    *end = '\0';
    assert_string_equal(at, "*4\r\n$6\r\nXRANGE\r\n$10\r\n{app.db}:x\r\n$15\r\n1700000000999-7\r\n"
                            "$15\r\n1700000000999-7\r\n");
    expect("x ${host}${peer} ${pid}${stream}-${level} ${unix}/${millis}/${micros} ${utc} $ $x",
        false, &texts,
        "*8\r\n$1\r\nx\r\n$2\r\nvm\r\n$16\r\n42stderr-warning\r\n"
        "$41\r\n1700000000/1700000000123/1700000000123456\r\n"
        "$27\r\n2023-11-14T22:13:20.123456Z\r\n$1\r\n$\r\n$2\r\n$x\r\n$11\r\nhello world\r\n");
    assert_false(command.tells_doubles);
    expect("xadd ${id} * msg", false, &texts,
        "*5\r\n$4\r\nxadd\r\n$15\r\n1700000000999-7\r\n$1\r\n*\r\n$3\r\nmsg\r\n"
        "$11\r\nhello world\r\n");
    assert_false(command.tells_doubles); /* the server's id, another one each time */
}

static void test_bad_commands(void **state)
{
    (void)state;
    static const char *const bad[] = {"", " rpush", "x ${nothing}", "x ${host", "x ${}"};
    char why[256];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why[0] = '\0';
        assert_int_equal(redis_command_compile(&command, bad[i], false, why, sizeof(why)), -EINVAL);
        assert_true(strlen(why) > 10);
    }
    char long_one[2 * REDIS_WORDS_MAX + 8];
    memset(long_one, 'x', sizeof(long_one));
    for (size_t i = 1; i < sizeof(long_one); i += 2) {
        long_one[i] = ' ';
    }
    long_one[sizeof(long_one) - 1] = '\0';
    assert_int_equal(redis_command_compile(&command, long_one, false, why, sizeof(why)), -EINVAL);
}

/* What a server would refuse of each record is refused before. */
static void test_xadd_needs_an_id(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        bool good;
    } rows[] = {
        {"xadd", false},
        {"xadd logs", false},
        {"XADD logs msg", false},
        {"xadd logs *", false},
        {"xadd logs ${id}", false},
        {"xadd * msg", false},
        {"xadd logs MAXLEN ~ 1000 msg", false},
        {"xadd logs * a b", false},
        {"xadd logs * msg", true},
        {"XADD logs ${id} msg", true},
        {"xadd logs ${millis}-* msg", true},
        {"xadd logs 0-* host ${host} msg", true},
        {"xadd logs nomkstream maxlen ~ 1000 limit 10 ${id} msg", true},
        {"xadd maxlen 5-1 msg", true},
        {"xadds msg", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char why[256] = "";
        int r = redis_command_compile(&command, rows[i].words, false, why, sizeof(why));
        assert_int_equal(r, rows[i].good ? 0 : -EINVAL);
        assert_string_equal(why, rows[i].good ? ""
                                              : "expected xadd KEY ID FIELD, and for ID * or "
                                                "${id}, such as xadd logs ${id} msg");
    }
    char why[256] = "";
    assert_int_equal(redis_command_compile(&command, "xadd l m", true, why, sizeof(why)), -EINVAL);
    assert_string_equal(why, "expected xadd KEY ID FIELD, and for ID *, such as xadd logs * msg");
}

static uint16_t slot(const char *key)
{
    return redis_slot_of((struct yarder_text){key, strlen(key)});
}

static void test_slots(void **state)
{
    (void)state;
    assert_int_equal(slot("123456789"), 0x31c3); /* of redis' own cluster specification */
    assert_int_equal(slot("foo"), 12182);
    assert_int_equal(slot("{foo}bar"), 12182);
    assert_int_equal(slot("x{foo}{bar}"), 12182);
    assert_int_equal(slot("foo{}{bar}"), slot("foo{}{bar}"));
    assert_int_not_equal(slot("foo{}{bar}"), slot("bar"));
    assert_int_equal(slot("foo{{bar}}zap"), slot("{bar"));
    assert_int_equal(slot("bar"), 5061);
    assert_int_equal(slot(""), 0);
    char why[128], at[256];
    assert_int_equal(redis_command_compile(&command, "eval x 1 foo", true, why, sizeof(why)), 0);
    assert_int_equal(redis_command_slot(&command, &item, &texts, at), 12182);
}

static enum redis_verdict judge(const char *error, struct redis_place *place)
{
    struct redis_reply reply = {.is_error = true, .text_count = (uint16_t)strlen(error)};
    (void)snprintf(reply.text, sizeof(reply.text), "%s", error);
    return redis_judge(&reply, place);
}

static void test_verdicts(void **state)
{
    (void)state;
    struct redis_place place;
    assert_int_equal(judge("MOVED 12182 127.0.0.1:17003", &place), REDIS_MOVED);
    assert_int_equal(place.slot, 12182);
    assert_string_equal(place.host, "127.0.0.1");
    assert_string_equal(place.port, "17003");
    assert_int_equal(judge("ASK 0 ::1:7000", &place), REDIS_ASK);
    assert_string_equal(place.host, "::1");
    assert_int_equal(judge("MOVED 1 ?:7000", &place), REDIS_MOVED);
    assert_string_equal(place.host, "");
    static const char *const nowhere[] = {"MOVED ", "MOVED x:1", "MOVED 16384 a:1", "MOVED 1 a",
        "MOVED 1 a:", "MOVED 1 a:123456", "MOVED 1 a:1x", "ASK 99999999999999999999 a:1"};
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
        assert_int_equal(judge(nowhere[i], &place), REDIS_LATER);
    }
    assert_int_equal(judge("OOM command not allowed", &place), REDIS_LATER);
    assert_int_equal(judge("READONLY You can't write", &place), REDIS_AWAY);
    assert_int_equal(judge("NOPERM this user", &place), REDIS_DENIED);
    assert_int_equal(judge("WRONGTYPE Operation", &place), REDIS_WRONG);
    assert_int_equal(judge("ERR unknown command", &place), REDIS_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uwsgi_bytes),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_bad_commands),
        cmocka_unit_test(test_xadd_needs_an_id),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_verdicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
