/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the first line says what an operator must know, and no answer of any shape breaks it.
 * Method: answers as a daemon gave them, with the counts that matter changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cli/status_text.h"

#define SECOND UINT64_C(1000000000)

static const char template_text[] =
    "{\"version\":\"0.1.0\",\"pid\":4711,\"io\":\"io_uring\",\"losses\":%d,\"started_ns\":"
    "1000000000,"
    "\"workers_crashed\":%d,\"reload_error\":\"\",\"ring_clients\":2,"
    "\"inputs\":[{\"name\":\"net\",\"kind\":\"udp\",\"received\":1003,\"accepted\":1003,"
    "\"refused\":{\"limit\":0,\"quarantine\":0,\"corrupt\":0},\"lost\":{\"kernel\":%d,\"ring\":0},"
    "\"bytes\":100300}],"
    "\"router\":{\"accepted\":1003,\"joined\":0,\"filtered\":{\"drop\":1,\"keep\":2},"
    "\"unmatched\":0,\"routed\":1000},"
    "\"outputs\":[{\"name\":\"events\",\"kind\":\"file\",\"to\":\"/x\",\"copies\":1000,"
    "\"delivered\":900,\"dropped\":{\"full\":%d,\"oldest\":0,\"path\":0,\"left\":0},\"dead\":0,"
    "\"held\":100,\"bytes\":1234567,\"torn\":0,\"foreign\":0,\"cut\":0,\"uncertain\":0,"
    "\"errors\":0%s}]}";

static cJSON *answer(int kernel, int full, const char *more)
{
    char text[2000];
    (void)snprintf(text, sizeof(text), template_text, kernel + full, 0, kernel, full, more);
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    return json;
}

static struct status_verdict judge(cJSON *now, cJSON *before)
{
    struct status_verdict verdict;
    const struct status_look look = {now, (1 + 3 * 86400 + 4 * 3600) * SECOND};
    const struct status_look earlier = {before, look.at_ns - SECOND / 5};
    status_judge(&look, &earlier, &verdict);
    return verdict;
}

static void test_nothing_lost(void **state)
{
    (void)state;
    cJSON *now = answer(0, 0, "");
    struct status_verdict verdict = judge(now, NULL);
    assert_int_equal(verdict.state, STATUS_HEALTHY);
    assert_string_equal(verdict.line, "healthy, nothing lost since start (3d 4h)");
    cJSON_Delete(now);
}

static void test_lost_before_is_no_alarm(void **state)
{
    (void)state;
    cJSON *now = answer(3, 1204, "");
    cJSON *before = answer(3, 1204, "");
    struct status_verdict verdict = judge(now, before);
    assert_int_equal(verdict.state, STATUS_LOST);
    assert_string_equal(verdict.line, "healthy now, 1207 lost since start (3d 4h): output events "
                                      "dropped 1204 (queue full)");
    cJSON_Delete(now);
    cJSON_Delete(before);
}

static void test_a_growing_count_is_losing(void **state)
{
    (void)state;
    cJSON *now = answer(5, 1204, "");
    cJSON *before = answer(3, 1204, "");
    struct status_verdict verdict = judge(now, before);
    assert_int_equal(verdict.state, STATUS_LOSING);
    assert_string_equal(verdict.line,
        "LOSING: input net lost 2 (the kernel's receive buffer was full) in the last 200 ms; 1209 "
        "lost since start (3d 4h)");
    cJSON_Delete(before);
    before = answer(4, 204, "");
    verdict = judge(now, before);
    assert_non_null(strstr(verdict.line, "LOSING: output events dropped 1000 (queue full)"));
    cJSON_Delete(now);
    cJSON_Delete(before);
}

static void test_a_call_that_does_not_return_holds_up(void **state)
{
    (void)state;
    cJSON *now = answer(0, 0, ",\"in_call\":\"fsync\",\"in_call_ms\":65000");
    struct status_verdict verdict = judge(now, NULL);
    assert_int_equal(verdict.state, STATUS_HELD_UP);
    assert_string_equal(verdict.line, "HELD UP: output events has been in fsync for 1m 5s, 100 "
                                      "records wait; 0 lost since start (3d 4h)");
    cJSON_Delete(now);
    now = answer(0, 0, ",\"in_call\":\"fsync\",\"in_call_ms\":999");
    assert_int_equal(judge(now, NULL).state, STATUS_HEALTHY);
    cJSON_Delete(now);
}

static void test_an_output_that_came_by_reload_has_no_past(void **state)
{
    (void)state;
    cJSON *now = answer(0, 7, "");
    cJSON *before = cJSON_Parse("{\"losses\":7,\"inputs\":[],\"outputs\":[{\"name\":\"other\"}]}");
    assert_int_equal(judge(now, before).state, STATUS_LOST);
    cJSON_Delete(now);
    cJSON_Delete(before);
}

static char *printed(const cJSON *report, const struct status_verdict *verdict)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    assert_non_null(to);
    status_print(report, verdict, to);
    assert_int_equal(fclose(to), 0);
    return text;
}

static void test_the_table_holds_the_ledger(void **state)
{
    (void)state;
    cJSON *now = answer(5, 1204, "");
    struct status_verdict verdict = judge(now, NULL);
    char *text = printed(now, &verdict);
    assert_memory_equal(text, verdict.line, strlen(verdict.line));
    assert_non_null(strstr(text, "yarder 0.1.0, pid 4711, io_uring, 2 programs attached\n"));
    assert_non_null(strstr(
        text, "router: 1003 accepted = 0 joined + 3 filtered + 0 unmatched + 1000 routed\n"));
    assert_non_null(strstr(text, "events        1 000          900        1 204            0"
                                 "          100    1 234 567\n"));
    free(text);
    cJSON_Delete(now);
}

static void test_odd_answers_do_no_harm(void **state)
{
    (void)state;
    static const char *const answers[] = {"{}", "{\"inputs\":5,\"outputs\":\"x\",\"router\":[]}",
        ("{\"inputs\":[1,null,{}],\"outputs\":[{\"dropped\":{\"full\":-4,\"new\":\"x\"},\"dead\":"
         "1e300}]}"),
        "{\"losses\":1e300,\"started_ns\":1e300,\"outputs\":[{\"name\":7,\"in_call_ms\":1e19}]}"};
    for (size_t i = 0; i < YARDER_COUNT_OF(answers); i++) {
        cJSON *now = cJSON_Parse(answers[i]);
        assert_non_null(now);
        struct status_verdict verdict = judge(now, now);
        char *text = printed(now, &verdict);
        assert_true(strlen(text) > strlen(verdict.line));
        free(text);
        cJSON_Delete(now);
    }
}

static void test_spans(void **state)
{
    (void)state;
    char at[STATUS_SPAN_BYTES];
    assert_string_equal(status_span(0, at), "0s");
    assert_string_equal(status_span(59, at), "59s");
    assert_string_equal(status_span(60, at), "1m 0s");
    assert_string_equal(status_span(3599, at), "59m 59s");
    assert_string_equal(status_span(86399, at), "23h 59m");
    assert_string_equal(status_span(86400, at), "1d 0h");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_lost),
        cmocka_unit_test(test_lost_before_is_no_alarm),
        cmocka_unit_test(test_a_growing_count_is_losing),
        cmocka_unit_test(test_a_call_that_does_not_return_holds_up),
        cmocka_unit_test(test_an_output_that_came_by_reload_has_no_past),
        cmocka_unit_test(test_the_table_holds_the_ledger),
        cmocka_unit_test(test_odd_answers_do_no_harm),
        cmocka_unit_test(test_spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
