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
    "1000000000,\"recent_ms\":%d,"
    "\"workers_crashed\":0,\"reload_error\":\"\",\"ring_clients\":2,"
    "\"inputs\":[{\"name\":\"net\",\"kind\":\"udp\",\"received\":1003,\"accepted\":1003,"
    "\"refused\":{\"limit\":0,\"quarantine\":0,\"corrupt\":0},\"lost\":{\"kernel\":%d,\"ring\":0},"
    "\"connections_refused\":%d,\"bytes\":100300,"
    "\"recent\":{\"lost\":{\"kernel\":%d,\"ring\":0},\"connections_refused\":%d}}],"
    "\"router\":{\"accepted\":1003,\"joined\":0,\"filtered\":{\"drop\":1,\"keep\":2},"
    "\"unmatched\":0,\"routed\":1000,\"patterns\":[{\"pattern\":\"(a+)+$\",\"where\":\"y.conf:3\","
    "\"undecided\":7,\"head_bytes\":512}]},"
    "\"outputs\":[{\"name\":\"events\",\"kind\":\"file\",\"to\":\"/x\",\"copies\":1000,"
    "\"delivered\":900,\"dropped\":{\"full\":%d,\"oldest\":0,\"path\":0,\"left\":0},\"dead\":0,"
    "\"held\":100,\"bytes\":1234567,\"torn\":0,\"foreign\":0,\"cut\":0,\"uncertain\":0,"
    "\"errors\":0,\"recent\":{\"dropped\":{\"full\":%d},\"dead\":0}%s}]}";

/* What was lost since the start, and of that in the last minute. */
struct lost {
    int kernel, full, connections;
};

static cJSON *answer(struct lost all, struct lost recent, int recent_ms, const char *more)
{
    char text[2000];
    (void)snprintf(text, sizeof(text), template_text, all.kernel + all.full, recent_ms, all.kernel,
        all.connections, recent.kernel, recent.connections, all.full, recent.full, more);
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    return json;
}

static const struct lost nothing;
static const uint64_t now_ns = (1 + 3 * 86400 + 4 * 3600) * SECOND;

static void assert_judged(cJSON *report, enum status_state state, const char *line)
{
    struct status_verdict verdict;
    status_judge(report, now_ns, &verdict);
    assert_string_equal(verdict.line, line);
    assert_int_equal(verdict.state, state);
    cJSON_Delete(report);
}

static void test_nothing_lost(void **state)
{
    (void)state;
    assert_judged(answer(nothing, nothing, 61000, ""), STATUS_HEALTHY,
        "healthy, nothing lost since start (3d 4h)");
}

static void test_lost_before_is_no_alarm(void **state)
{
    (void)state;
    assert_judged(answer((struct lost){3, 1204, 0}, nothing, 61000, ""), STATUS_LOST,
        "healthy now, 1207 lost since start (3d 4h): output events dropped 1204 (queue full)");
    assert_judged(answer((struct lost){0, 0, 9}, nothing, 61000, ""), STATUS_LOST,
        "healthy now, 0 lost, 9 connections refused since start (3d 4h): input net refused 9 "
        "connections");
}

static void test_lost_in_the_last_minute_is_losing(void **state)
{
    (void)state;
    const struct lost all = {5, 1204, 9};
    assert_judged(answer(all, (struct lost){.kernel = 2}, 64000, ""), STATUS_LOSING,
        "LOSING: input net lost 2 (the kernel's receive buffer was full) in the last minute; 1209 "
        "lost, 9 connections refused since start (3d 4h)");
    assert_judged(answer(all, (struct lost){1, 1000, 9}, 12345, ""), STATUS_LOSING,
        "LOSING: output events dropped 1000 (queue full) in the last 12s; 1209 lost, 9 connections "
        "refused since start (3d 4h)");
    assert_judged(answer(all, (struct lost){.connections = 9}, 60000, ""), STATUS_LOSING,
        "LOSING: input net refused 9 connections in the last minute; 1209 lost, 9 connections "
        "refused since start (3d 4h)");
}

/* Where nobody answers for what was sent, a failure may be a loss; where somebody does, none is. */
static void test_failures_of_a_stream_are_doubts(void **state)
{
    static const char failed[] =
        "{\"losses\":0,\"recent_ms\":60000,\"started_ns\":1,\"outputs\":[{\"name\":\"q\","
        "\"means\":\"%s\",\"errors\":9,\"recent\":{\"errors\":%d},"
        "\"last_error\":{\"call\":\"submit\",\"text\":\"nobody listens there\"}}]}";
    static const struct {
        const char *means;
        int recent;
        enum status_state state;
    } rows[] = {{"stream", 2, STATUS_FAILING}, {"sent", 1, STATUS_FAILING},
        {"stream", 0, STATUS_HEALTHY}, {"acknowledged", 2, STATUS_HEALTHY},
        {"", 2, STATUS_HEALTHY}};
    char text[300];
    struct status_verdict verdict;
    (void)state;
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        (void)snprintf(text, sizeof(text), failed, rows[i].means, rows[i].recent);
        cJSON *report = cJSON_Parse(text);
        assert_non_null(report);
        status_judge(report, now_ns, &verdict);
        assert_int_equal(verdict.state, rows[i].state);
        if (i == 0) {
            assert_non_null(strstr(verdict.line,
                "FAILING: output q failed 2 times (submit: nobody listens there) in the last "
                "minute, and what it had sent may not have arrived; nothing lost"));
        }
        cJSON_Delete(report);
    }
    assert_false(status_is_healthy(STATUS_FAILING));
}

/* One that a destination refused, with and without a file to be kept in. */
static void test_a_dead_letter_is_no_loss(void **state)
{
    static const char refused[] =
        "{\"losses\":%d,\"recent_ms\":60000,\"started_ns\":1,\"outputs\":[{"
        "\"name\":\"web\",\"dead\":3,\"recent\":{\"dead\":3}%s}]}";
    char text[256];
    struct status_verdict verdict;
    (void)state;
    for (int kept = 0; kept < 2; kept++) {
        (void)snprintf(
            text, sizeof(text), refused, kept ? 0 : 3, kept ? ",\"dead_letter\":\"/x\"" : "");
        cJSON *report = cJSON_Parse(text);
        status_judge(report, now_ns, &verdict);
        assert_int_equal(verdict.state, kept ? STATUS_FAILING : STATUS_LOSING);
        assert_non_null(strstr(verdict.line,
            kept ? "FAILING: output web had 3 records refused in the last minute, they are in /x; "
                   "nothing lost"
                 : "LOSING: output web lost 3 (refused by its destination, or given up) in the "
                   "last minute; 3 lost"));
        cJSON_Delete(report);
    }
}

static void test_an_output_that_does_not_get_on_holds_up(void **state)
{
    (void)state;
    assert_judged(answer(nothing, nothing, 61000, ",\"in_call\":\"fsync\",\"in_call_ms\":65000"),
        STATUS_HELD_UP,
        "HELD UP: output events has been in fsync for 1m 5s, 100 records wait; nothing lost since "
        "start (3d 4h)");
    assert_judged(
        answer(nothing, nothing, 61000,
            ",\"stalled_ms\":12000,\"last_error\":{\"call\":\"write\",\"errno\":\"ENOSPC\","
            "\"text\":\"No space left on device\",\"at_ns\":1}"),
        STATUS_HELD_UP,
        "HELD UP: output events has delivered nothing for 12s (write: No space left on device), "
        "100 records wait; nothing lost since start (3d 4h)");
    assert_judged(answer(nothing, nothing, 61000,
                      ",\"stalled_ms\":999,\"in_call\":\"fsync\",\"in_call_ms\":999"),
        STATUS_HEALTHY, "healthy, nothing lost since start (3d 4h)");
    assert_false(status_is_healthy(STATUS_HELD_UP) || status_is_healthy(STATUS_LOSING));
}

static char *printed(const cJSON *report)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    struct status_verdict verdict;
    assert_non_null(to);
    status_judge(report, now_ns, &verdict);
    status_print(report, now_ns, &verdict, to);
    assert_int_equal(fclose(to), 0);
    assert_memory_equal(text, verdict.line, strlen(verdict.line));
    assert_true(strlen(text) > strlen(verdict.line));
    return text;
}

static void assert_prints(const char *text, const char *line)
{
    if (strstr(text, line) == NULL) {
        fail_msg("'%s' is not in:\n%s", line, text);
    }
}

static void test_the_table_holds_the_ledger(void **state)
{
    (void)state;
    char more[400];
    (void)snprintf(more, sizeof(more),
        ",\"stalled_ms\":12000,\"blocked_ms\":5000,\"last_error\":{\"call\":\"write\",\"path\":\"/"
        "x\","
        "\"errno\":\"ENOSPC\",\"text\":\"No space left on device\",\"at_ns\":%llu}",
        (unsigned long long)(now_ns - 3 * SECOND));
    cJSON *now = answer((struct lost){5, 1204, 9}, nothing, 61000, more);
    char *text = printed(now);
    assert_prints(text, "yarder 0.1.0, pid 4711, io_uring, 2 programs attached\n");
    assert_prints(
        text, "router: 1003 accepted = 0 joined + 3 filtered + 0 unmatched + 1000 routed\n");
    assert_prints(text, "pattern (a+)+$ (y.conf:3): undecided on 7 records; slow, it looks at the "
                        "first 512 bytes of a record for now\n");
    assert_prints(text, "events        1 000          900        1 204            0"
                        "          100    1 234 567\n");
    assert_prints(text, "\ninput net:\n  9 connections were refused\n");
    assert_prints(text, "\noutput events:\n  what waits has waited for 12s\n"
                        "  its queue has been full for 5s\n"
                        "  last error 3s ago: write /x: No space left on device (ENOSPC)\n");
    free(text);
    cJSON_Delete(now);
}

/* What a backend says of its failure stands there as it is; there is no path. */
static void test_a_backend_says_what_fails(void **state)
{
    (void)state;
    char more[400];
    (void)snprintf(more, sizeof(more),
        ",\"stalled_ms\":12000,\"last_error\":{\"call\":\"submit\",\"errno\":\"ECONNREFUSED\","
        "\"text\":\"connect to 10.0.0.1:6379: Connection refused\",\"at_ns\":%llu}",
        (unsigned long long)(now_ns - 3 * SECOND));
    cJSON *now = answer((struct lost){0}, nothing, 61000, more);
    cJSON *output = cJSON_GetArrayItem(cJSON_GetObjectItem(now, "outputs"), 0);
    assert_true(cJSON_ReplaceItemInObject(output, "kind", cJSON_CreateString("redis")));
    assert_true(cJSON_ReplaceItemInObject(output, "errors", cJSON_CreateNumber(7)));
    char *text = printed(now);
    assert_prints(text, "HELD UP: output events has delivered nothing for 12s (submit: connect to "
                        "10.0.0.1:6379: Connection refused), 100 records wait");
    assert_prints(text, "\noutput events:\n  what waits has waited for 12s\n"
                        "  last error 3s ago: submit: connect to 10.0.0.1:6379: Connection refused "
                        "(ECONNREFUSED)\n  7 tries to deliver failed\n");
    free(text);
    cJSON_Delete(now);
}

static void test_odd_answers_do_no_harm(void **state)
{
    (void)state;
    static const char *const answers[] = {"{}", "{\"inputs\":5,\"outputs\":\"x\",\"router\":[]}",
        ("{\"inputs\":[1,null,{}],\"outputs\":[{\"dropped\":{\"full\":-4,\"new\":\"x\"},\"dead\":"
         "1e300,\"last_error\":5,\"recent\":[1]}]}"),
        "{\"losses\":1e300,\"started_ns\":1e300,\"outputs\":[{\"name\":7,\"in_call_ms\":1e19,"
        "\"recent\":{\"dead\":1e300}}],\"router\":{\"patterns\":[7,{}]}}"};
    for (size_t i = 0; i < YARDER_COUNT_OF(answers); i++) {
        cJSON *now = cJSON_Parse(answers[i]);
        assert_non_null(now);
        free(printed(now));
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
        cmocka_unit_test(test_lost_in_the_last_minute_is_losing),
        cmocka_unit_test(test_an_output_that_does_not_get_on_holds_up),
        cmocka_unit_test(test_the_table_holds_the_ledger),
        cmocka_unit_test(test_a_dead_letter_is_no_loss),
        cmocka_unit_test(test_failures_of_a_stream_are_doubts),
        cmocka_unit_test(test_a_backend_says_what_fails),
        cmocka_unit_test(test_odd_answers_do_no_harm),
        cmocka_unit_test(test_spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
