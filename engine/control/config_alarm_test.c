/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: alarm lines mean what they mean to uWSGI; what they cannot mean here is told. */
#include <signal.h>

#include "control/config_scene.h"

static void lines_are_taken(void **state)
{
    (void)state;
    struct scene scene;
    scene_run(&scene, "output = all file:/a\noutput = pager file:/b\n"
                      "alarm = one cmd:mail -s 'a b' root\nalarm = two signal:SIGHUP,run/pid\n"
                      "alarm = three output:pager\nalarm = four log:\nalarm = five signal:10,/p\n"
                      "log-alarm = one,two a b:c\nnot-log-alarm = one x\nalarm-log = three,four y\n"
                      "log-alarm = five z\nalarm-freq = 7\nalarm-msg-size = 2K\n"
                      "alarm-timeout = 250ms\n");
    assert_string_equal(scene.said, "");
    assert_int_equal(scene.result, 0);
    const struct alarms_config *alarms = &scene.config->alarms;
    assert_int_equal(alarms->count, 5);
    assert_int_equal(alarms->at[0].action, ALARM_COMMAND);
    assert_string_equal(alarms->at[0].argument, "mail -s 'a b' root");
    assert_int_equal(alarms->at[1].action, ALARM_SIGNAL);
    assert_int_equal(alarms->at[1].signal, SIGHUP);
    assert_string_equal(alarms->at[1].argument, "/work/run/pid");
    assert_int_equal(alarms->at[2].output, 1);
    assert_int_equal(alarms->outputs, 2);
    assert_string_equal(alarms->at[3].argument, "");
    assert_int_equal(alarms->at[4].signal, 10);
    assert_int_equal(alarms->rules_count, 4);
    assert_int_equal(alarms->rules[0].alarms, 3);
    assert_string_equal(alarms->rules[0].pattern, "a b:c");
    assert_true(alarms->rules[1].negative);
    assert_int_equal(alarms->rules[2].alarms, 12);
    assert_int_equal(alarms->quiet_ns, 7000000000);
    assert_int_equal(alarms->bytes_max, 2048);
    assert_int_equal(alarms->limit_ns, 250000000);
    assert_false(alarms->logs_only);
    scene_close(&scene);
}

static void uwsgi_lines_are_taken(void **state)
{
    (void)state;
    struct scene scene;
    scene_run(&scene, "[uwsgi]\nlogger = pager file:/b\nlogger = file:/a\nreq-logger = file:/r\n"
                      "alarm = three output:pager\nlog-alarm = three 50%%\nalarm-list = true\n"
                      "alarm-backlog = three\n");
    assert_int_equal(scene.result, 0);
    assert_string_equal(scene.said, "");
    const struct alarms_config *alarms = &scene.config->alarms;
    assert_string_equal(alarms->rules[0].pattern, "50%");
    assert_int_equal(alarms->at[0].output, 0);
    assert_true(alarms->logs_only);
    assert_int_equal(alarms->quiet_ns, 3000000000);
    assert_int_equal(alarms->bytes_max, 8192);
    assert_int_equal(alarms->limit_ns, 30000000000);
    scene_close(&scene);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        const char *said;
    } rows[] = {
        {"alarm = x\n", -EINVAL,
            "y.conf:2: alarm: expected NAME ACTION:ARGUMENT, a name without commas\n"},
        {"alarm = x,y cmd:z\n", -EINVAL,
            "y.conf:2: alarm: expected NAME ACTION:ARGUMENT, a name without commas\n"},
        {"alarm = x cmd:\nlog-alarm = x y\n", -EINVAL, "y.conf:2: alarm: expected cmd:COMMAND\n"},
        {"alarm = x cdm:z\nlog-alarm = x y\n", -EINVAL,
            "y.conf:2: alarm: no action 'cdm'; there are cmd, signal, output and log; did you mean "
            "cmd?\n"},
        {"alarm = x mule:1\nlog-alarm = x y\n", -EINVAL,
            "y.conf:2: alarm: there is no mule here: mules are inside uWSGI alone; use "
            "cmd:COMMAND\n"},
        {"alarm = x curl:http://y\nlog-alarm = x y\n", -EINVAL,
            "y.conf:2: alarm: there is no curl here: use an output of kind http or smtp, and "
            "output:OUTPUT\n"},
        {"alarm = x signal:17\nlog-alarm = x y\n", -EINVAL,
            "y.conf:2: alarm: signals of uWSGI's own are inside uWSGI alone; expected "
            "signal:SIGNAL,PIDFILE, for the process that the file names\n"},
        {"alarm = x signal:HUB,/p\nlog-alarm = x y\n", -EINVAL,
            "y.conf:2: alarm: expected a signal by name or number, 1 to 64, not 'HUB'\n"},
        {"alarm = x signal:65,/p\nlog-alarm = x y\n", -EINVAL,
            "y.conf:2: alarm: expected a signal by name or number, 1 to 64, not '65'\n"},
        {"alarm = x output:al\nlog-alarm = x y\n", -EINVAL,
            "y.conf:2: alarm: no output is named 'al'; did you mean all?\n"},
        {"alarm = x cmd:y\nalarm = x cmd:z\nlog-alarm = x y\n", -EINVAL,
            "y.conf:3: alarm: there is one of that name at y.conf:2\n"},
        {"alarm = mail cmd:y\nlog-alarm = mail,mial y\n", -EINVAL,
            "y.conf:3: log-alarm: no alarm is named 'mial'; did you mean mail?\n"},
        {"not-log-alarm = x y\n", -EINVAL, "y.conf:2: not-log-alarm: no alarm is named 'x'\n"},
        {"alarm = x cmd:y\nlog-alarm = x\n", -EINVAL,
            "y.conf:3: log-alarm: expected NAME[,NAME...] REGEX\n"
            "y.conf:2: warning: alarm 'x' is never raised: no log-alarm names it\n"},
        {"alarm = x cmd:y\nlog-alarm = x (\n", -EINVAL,
            "y.conf:3: log-alarm: pattern '(': missing closing parenthesis, at byte 1\n"},
        {"alarm = x cmd:y\n", 0,
            "y.conf:2: warning: alarm 'x' is never raised: no log-alarm names it\n"},
        {"alarm-freq = -1\n", -EINVAL,
            "y.conf:2: alarm-freq: expected a time such as 5ms, 2s, 15m, 1h or 7d, not '-1'\n"},
        {"alarm-msg-size = 65K\n", -EINVAL,
            "y.conf:2: alarm-msg-size: expected 1 to 64K, not '65K'\n"},
        {"alarm-freq = 1\nalarm-freq = 1\n", -EINVAL,
            "y.conf:3: alarm-freq is given twice, first at y.conf:2\n"},
        {"alarm-timeout = 0ms\n", -EINVAL,
            "y.conf:2: alarm-timeout: expected 1ms to 365d, not '0ms'\n"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        struct scene scene;
        char text[512];
        (void)snprintf(text, sizeof(text), "output = all file:/a\n%s", rows[i].text);
        scene_run(&scene, text);
        assert_string_equal(scene.said, rows[i].said);
        assert_int_equal(scene.result, rows[i].result);
        scene_close(&scene);
    }
}

static void there_is_a_most(void **state)
{
    (void)state;
    static char text[64 << 10];
    struct scene scene;
    (void)snprintf(text, sizeof(text), "output = all file:/a\nalarm = a log:\n");
    scene_repeat(text, sizeof(text), "log-alarm = a x\n", ALARM_RULES_MAX);
    scene_run(&scene, text);
    assert_int_equal(scene.result, 0);
    scene_close(&scene);
    scene_repeat(text, sizeof(text), "log-alarm = a x\n", 1);
    for (int i = 1; i <= ALARMS_MAX; i++) {
        size_t length = strlen(text);
        (void)snprintf(text + length, sizeof(text) - length, "alarm = a%d log:\n", i);
    }
    scene_run(&scene, text);
    assert_int_equal(scene.result, -EINVAL);
    assert_non_null(strstr(scene.said, "too many lines of log-alarm, at most 1024\n"));
    assert_non_null(strstr(scene.said, "alarm: there are 64 already\n"));
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_taken),
        cmocka_unit_test(uwsgi_lines_are_taken),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(there_is_a_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
