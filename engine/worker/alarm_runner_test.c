/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a storm of alarms ends in commands that ran with their message whole, and counted
 * failures, never in waiting; what hangs is killed with its children, at the end too.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/memory.h"
#include "worker/alarm_runner.h"

enum { MESSAGE_BYTES = 5000, STORM = 300 };

static char folder[] = "/tmp/yarder-alarm-XXXXXX";
static char path[64];

struct scene {
    struct alarm_config alarm;
    struct alarms_config config;
    struct alarm_counts counts[1];
    struct alarm_runner *runner;
    char command[256];
};

static void begin(struct scene *scene, const char *command, uint64_t limit_ms)
{
    *scene = (struct scene){.alarm = {.action = ALARM_COMMAND, .argument = scene->command}};
    (void)snprintf(scene->command, sizeof(scene->command), "%s", command);
    scene->config = (struct alarms_config){.at = &scene->alarm,
        .count = 1,
        .limit_ns = limit_ms * 1000000,
        .bytes_max = MESSAGE_BYTES};
    (void)unlink(path);
    assert_int_equal(alarm_runner_open(&scene->runner, &scene->config, scene->counts), 0);
}

static off_t file_bytes(void)
{
    struct stat status;
    return stat(path, &status) < 0 ? 0 : status.st_size;
}

static void wait_failed(const struct scene *scene, uint64_t count)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 20000 && alarm_counted(&scene->counts[0].failed) < count; i++) {
        (void)nanosleep(&pause, NULL);
    }
    assert_int_equal(alarm_counted(&scene->counts[0].failed), count);
}

static void a_storm_is_done_or_counted(void **state)
{
    (void)state;
    struct scene scene;
    char message[MESSAGE_BYTES + 1];
    memset(message, 'x', sizeof(message));
    begin(&scene, "cat >> $OUT", 20000);
    for (int i = 0; i < STORM; i++) {
        alarm_runner_put(scene.runner, 0, (struct yarder_text){message, sizeof(message)});
    }
    alarm_runner_close(scene.runner);
    uint64_t failed = alarm_counted(&scene.counts[0].failed);
    assert_true(failed < STORM);
    assert_int_equal(file_bytes(), (STORM - (off_t)failed) * (MESSAGE_BYTES + 1));
}

static void what_hangs_is_killed(void **state)
{
    (void)state;
    struct scene scene;
    char words[ALARM_WORDS_BYTES];
    begin(&scene, "(sleep 1000; echo late >> $OUT) & wait", 30);
    for (int i = 0; i < 20; i++) {
        alarm_runner_put(scene.runner, 0, (struct yarder_text){NULL, 0});
    }
    wait_failed(&scene, 20);
    assert_string_equal(alarm_trouble_words(alarm_trouble(scene.counts), words),
        "the command was killed after alarm-timeout");
    alarm_runner_close(scene.runner);
    assert_int_equal(file_bytes(), 0);
}

static void the_end_waits_for_nobody_long(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene, "echo > $OUT; exec sleep 1000", 1000000);
    alarm_runner_put(scene.runner, 0, (struct yarder_text){"a", 1});
    int64_t before_ns = os_monotonic_ns();
    alarm_runner_close(scene.runner);
    assert_true(os_monotonic_ns() - before_ns < INT64_C(20000000000));
    assert_int_equal(file_bytes(), 1);
    assert_int_equal(alarm_counted(&scene.counts[0].failed), 1);
}

static void a_signal_needs_a_process(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        int trouble;
    } files[] = {{"", ALARM_NO_PROCESS}, {"x\n", ALARM_NO_PROCESS}, {"1\n", ALARM_NO_PROCESS},
        {"-5\n", ALARM_NO_PROCESS}, {"99999999999\n", ALARM_NO_PROCESS}, {"2147483647\n", -ESRCH}};
    struct scene scene;
    begin(&scene, path, 1000);
    scene.alarm.action = ALARM_SIGNAL;
    for (size_t i = 0; i < YARDER_COUNT_OF(files); i++) {
        YARDER_OWN_FILE FILE *file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(files[i].content, file) >= 0 && fflush(file) == 0);
        alarm_runner_put(scene.runner, 0, (struct yarder_text){"a", 1});
        wait_failed(&scene, i + 1);
        assert_int_equal(alarm_trouble(scene.counts), files[i].trouble);
    }
    YARDER_OWN_FILE FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fprintf(file, "%d \n", (int)getpid()) > 0 && fflush(file) == 0);
    sigset_t user;
    (void)sigemptyset(&user);
    (void)sigaddset(&user, SIGUSR1);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &user, NULL), 0);
    scene.alarm.signal = SIGUSR1;
    alarm_runner_put(scene.runner, 0, (struct yarder_text){"a", 1});
    const struct timespec most = {.tv_sec = 20};
    assert_int_equal(sigtimedwait(&user, NULL, &most), SIGUSR1);
    alarm_runner_close(scene.runner);
}

static int make_folder(void **state)
{
    (void)state;
    bool made = mkdtemp(folder) != NULL;
    (void)snprintf(path, sizeof(path), "%s/out", folder);
    return made && setenv("OUT", path, 1) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_storm_is_done_or_counted),
        cmocka_unit_test(what_hangs_is_killed),
        cmocka_unit_test(the_end_waits_for_nobody_long),
        cmocka_unit_test(a_signal_needs_a_process),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
