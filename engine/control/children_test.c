/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children of exec inputs, with real processes and a clock that the test moves: what a program
 * inherits, when it is started again, what a reload does to it, and that nothing is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "control/children.h"

#define SECOND UINT64_C(1000000000)

static char *environment[] = {
    (char[]){"PATH=/usr/local/bin:/usr/bin:/bin"}, (char[]){"COLOUR=blue"}, NULL};

static struct children *open_children(void)
{
    struct children *children = NULL;
    struct children_options options = {.environment = environment, .stdin_fd = 0};
    assert_int_equal(children_open(&children, &options), 0);
    return children;
}

static struct input_config exec_input(const char *name, const char *command)
{
    return (struct input_config){.kind = INPUT_EXEC,
        .name = (char *)(uintptr_t)name,
        .target = (char *)(uintptr_t)command,
        .restart = INPUT_RESTART_NEVER,
        .restart_delay_ns = SECOND};
}

static void adopt(
    struct children *children, const struct input_config *inputs, uint32_t count, uint64_t now_ns)
{
    assert_int_equal(children_prepare(children, inputs, count), 0);
    children_adopt(children, now_ns);
}

static struct children_event next_event(struct children *children, enum children_event_kind kind)
{
    struct children_event event;
    assert_true(children_next_event(children, &event));
    assert_int_equal(event.kind, kind);
    return event;
}

/* Waits for the end of that process and tells the children of it. */
static void reap(struct children *children, pid_t pid, uint64_t now_ns)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(children_reaped(children, pid, status, now_ns));
}

/* The next event, once whoever else is in the group has gone. */
static struct children_event event_in_time(struct children *children, uint64_t now_ns)
{
    struct children_event event;
    for (unsigned turn = 0; !children_next_event(children, &event); turn++) {
        assert_true(turn < 10000);
        (void)usleep(1000);
        children_serve(children, now_ns);
    }
    return event;
}

/* Everything in a pipe now, terminated. */
static const char *take(int fd)
{
    static char bytes[8192];
    int there = 0;
    assert_int_equal(ioctl(fd, FIONREAD, &there), 0);
    assert_true((size_t)there < sizeof(bytes));
    assert_int_equal(there == 0 ? 0 : read(fd, bytes, (size_t)there), there);
    bytes[there] = '\0';
    return bytes;
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    (void)closedir(folder);
    return count;
}

static void pipe_numbers(void **state)
{
    (void)state;
    struct input_config inputs[] = {{.kind = INPUT_RING}, {.kind = INPUT_STDIN},
        {.kind = INPUT_UDP}, {.kind = INPUT_EXEC}, {.kind = INPUT_EXEC}};
    const uint32_t count = YARDER_COUNT_OF(inputs);
    assert_int_equal(pipes_count(inputs, count), 5);
    assert_int_equal(pipe_of(inputs, 1, YARDER_STREAM_NONE), 0);
    for (uint32_t pipe = 0; pipe < 5; pipe++) {
        struct pipe_place place = {0};
        assert_int_equal(pipe_place(inputs, count, pipe, &place), 0);
        assert_int_equal(pipe_of(inputs, place.input, place.stream), pipe);
        assert_int_equal(
            place.stream == YARDER_STREAM_NONE, inputs[place.input].kind == INPUT_STDIN);
    }
    struct pipe_place untouched = {.input = 77};
    assert_int_equal(pipe_place(inputs, count, 5, &untouched), -EINVAL);
    assert_int_equal(pipe_place(inputs, count, UINT32_MAX, &untouched), -EINVAL);
    assert_int_equal(pipe_place(NULL, 0, 0, &untouched), -EINVAL);
    assert_int_equal(untouched.input, 77);
}

static void inherits_nothing(void **state)
{
    (void)state;
    int leaky = fcntl(1, F_DUPFD, 200); /* without close-on-exec */
    assert_true(leaky >= 200);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    sigset_t some;
    sigset_t before;
    (void)sigemptyset(&some);
    (void)sigaddset(&some, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &some, &before);

    struct children *children = open_children();
    struct input_config input = exec_input("job",
        "echo $COLOUR; readlink /proc/self/fd/0; cd /proc/$$/fd; echo *; echo $HOME$USER;"
        "grep -E 'Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f1,5 /proc/$$/stat; echo oops >&2; "
        "exit 3");
    adopt(children, &input, 1, 0);
    pid_t pid = next_event(children, CHILDREN_STARTED).pid;
    assert_int_equal(children_running(children), 1);
    assert_int_equal(children_exit_status(children, 0), -1);
    reap(children, pid, 5 * SECOND);

    char expected[256]; /* 3: the shell's own, open while it reads the folder */
    (void)snprintf(expected, sizeof(expected),
        "blue\n/dev/null\n0 1 2 3\n\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n%d %d\n",
        pid, pid);
    assert_string_equal(take(children_pipe(children, false, 0).source), expected);
    assert_string_equal(take(children_pipe(children, false, 1).source), "oops\n");
    struct children_event event = next_event(children, CHILDREN_ENDED);
    assert_true(event.final);
    assert_string_equal(event.name, "job");
    assert_int_equal(WEXITSTATUS(event.status), 3);
    assert_int_equal(children_exit_status(children, 0), 3);
    assert_int_equal(children_state(children, 0), CHILD_ENDED);
    assert_true(children_deadline_ns(children) == UINT64_MAX);
    assert_false(children_reaped(children, pid, 0, 0));
    children_close(children);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)close(leaky);
}

static void argv_and_failures(void **state)
{
    (void)state;
    struct children *children = open_children();
    char *argv[] = {(char[]){"printf"}, (char[]){"%s|%s"}, (char[]){"a b"}, (char[]){"$X;"}, NULL};
    char *missing[] = {(char[]){"/nowhere/to/be found"}, NULL};
    char *folder[] = {(char[]){"/proc"}, NULL};
    struct input_config inputs[] = {
        exec_input("a", "x"), exec_input("b", "x"), exec_input("c", "x")};
    inputs[0].arguments = argv;
    inputs[1].arguments = missing;
    inputs[2].arguments = folder;
    inputs[2].restart = INPUT_RESTART_ALWAYS;
    adopt(children, inputs, 3, SECOND);
    pid_t pid = 0;
    for (int i = 0; i < 3; i++) {
        struct children_event event;
        assert_true(children_next_event(children, &event));
        if (event.kind == CHILDREN_STARTED) {
            assert_int_equal(event.input, 0);
            pid = event.pid;
            continue;
        }
        assert_int_equal(event.kind, CHILDREN_FAILED);
        assert_int_equal(event.error, event.input == 1 ? -ENOENT : -EACCES);
        assert_int_equal(event.final, event.input == 1);
    }
    reap(children, pid, 2 * SECOND);
    assert_string_equal(take(children_pipe(children, false, 0).source), "a b|$X;");
    assert_int_equal(children_exit_status(children, 0), 0);
    assert_int_equal(children_exit_status(children, 1), 127);
    assert_int_equal(children_exit_status(children, 2), 126);
    assert_true(children_deadline_ns(children) == 2 * SECOND); /* tried again after the pause */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);          /* what failed was reaped */
    children_stop_starting(children);
    assert_true(children_deadline_ns(children) == UINT64_MAX);
    children_close(children);
}

/* The pause after each end, for a run that takes run_ns each time. */
static uint64_t pause_after(struct children *children, uint64_t *now_ns, uint64_t run_ns)
{
    children_serve(children, *now_ns);
    pid_t pid = next_event(children, CHILDREN_STARTED).pid;
    *now_ns += run_ns;
    reap(children, pid, *now_ns);
    struct children_event event = next_event(children, CHILDREN_ENDED);
    assert_false(event.final);
    assert_true(children_deadline_ns(children) == *now_ns + event.restart_ns);
    children_serve(children, *now_ns + event.restart_ns - 1); /* not yet */
    assert_int_equal(children_state(children, 0), CHILD_WAITING);
    *now_ns += event.restart_ns;
    return event.restart_ns / (SECOND / 10);
}

static void pauses_grow_and_reset(void **state)
{
    (void)state;
    struct children *children = open_children();
    struct input_config input = exec_input("job", "exit 1");
    input.restart = INPUT_RESTART_ON_FAILURE;
    uint64_t now_ns = SECOND;
    assert_int_equal(children_prepare(children, &input, 1), 0);
    children_adopt(children, now_ns);
    struct children_event event = next_event(children, CHILDREN_STARTED);
    int source = children_pipe(children, false, 0).source;
    reap(children, event.pid, now_ns);
    event = next_event(children, CHILDREN_ENDED);
    assert_true(event.restart_ns == SECOND);
    now_ns += event.restart_ns;
    const uint64_t tenths[] = {20, 40, 80, 160, 320, 600, 600};
    for (size_t i = 0; i < YARDER_COUNT_OF(tenths); i++) {
        assert_int_equal(pause_after(children, &now_ns, SECOND / 2), tenths[i]);
    }
    assert_int_equal(pause_after(children, &now_ns, SECOND), 10); /* ran long enough */
    assert_int_equal(pause_after(children, &now_ns, 0), 10);
    assert_int_equal(pause_after(children, &now_ns, 0), 20);
    assert_int_equal(
        children_pipe(children, false, 0).source, source); /* the same pipes throughout */
    children_close(children);
}

static void no_pause_still_breathes(void **state)
{
    (void)state;
    struct children *children = open_children();
    struct input_config input = exec_input("job", "exit 0");
    input.restart = INPUT_RESTART_ALWAYS;
    input.restart_delay_ns = 0;
    uint64_t now_ns = 0;
    adopt(children, &input, 1, 0);
    struct children_event event = next_event(children, CHILDREN_STARTED);
    reap(children, event.pid, 0);
    now_ns += next_event(children, CHILDREN_ENDED).restart_ns;
    assert_int_equal(pause_after(children, &now_ns, 0), 1);
    assert_int_equal(pause_after(children, &now_ns, 0), 1); /* good ends never double it */
    children_close(children);

    children = open_children(); /* and on-failure leaves a good end alone */
    input.restart = INPUT_RESTART_ON_FAILURE;
    adopt(children, &input, 1, 0);
    event = next_event(children, CHILDREN_STARTED);
    reap(children, event.pid, 0);
    assert_true(next_event(children, CHILDREN_ENDED).final);
    children_close(children);
}

static void reload_keeps_what_is_the_same(void **state)
{
    (void)state;
    unsigned before = open_descriptors();
    struct children *children = open_children();
    struct input_config old[] = {exec_input("gone", "echo last; exec sleep 1000"),
        exec_input("kept", "exec sleep 1000"),
        {.kind = INPUT_STDIN, .name = (char[]){"stdin"}, .target = (char[]){""}}};
    adopt(children, old, 3, 0);
    pid_t gone = 0;
    pid_t kept = 0;
    for (int i = 0; i < 2; i++) {
        struct children_event event = next_event(children, CHILDREN_STARTED);
        *(event.input == 0 ? &gone : &kept) = event.pid;
    }
    assert_int_equal(children_pipe(children, false, 4).source, 0);
    struct children_pipe kept_pipe = children_pipe(children, false, 2);
    struct children_pipe stdin_pipe = children_pipe(children, false, 4);
    assert_int_equal(write(stdin_pipe.staging_write, "abc", 3), 3);
    char byte;
    assert_int_equal(
        read(children_pipe(children, false, 0).source, &byte, 1), 1); /* it has begun */

    struct input_config next[] = {{.kind = INPUT_RING},
        {.kind = INPUT_STDIN, .name = (char[]){"other"}, .target = (char[]){""}},
        exec_input("kept", "exec sleep 1000"), exec_input("new", "exec sleep 1000")};
    unsigned running = open_descriptors();
    assert_int_equal(children_prepare(children, next, 4), 0);
    children_cancel(children); /* the new configuration did not start: as if nothing had been */
    assert_int_equal(open_descriptors(), running);
    assert_int_equal(children_pipes_count(children, false), 5);
    assert_int_equal(children_running(children), 2);

    assert_int_equal(children_prepare(children, next, 4), 0);
    assert_int_equal(children_pipe(children, true, 0).staging_read, stdin_pipe.staging_read);
    assert_int_equal(children_pipe(children, true, 1).source, kept_pipe.source);
    assert_int_equal(children_running(children), 2);
    children_adopt(children, SECOND);
    assert_int_equal(next_event(children, CHILDREN_STARTED).input, 3);
    assert_int_equal(children_running(children), 3);
    reap(children, gone, SECOND);
    struct children_event event = next_event(children, CHILDREN_LEFT);
    assert_string_equal(event.name, "gone");
    assert_int_equal(event.unread_bytes, 4);
    assert_int_equal(WTERMSIG(event.status), SIGTERM);
    assert_int_equal(kill(kept, 0), 0);
    assert_string_equal(take(children_pipe(children, false, 0).staging_read), "abc");

    children_signal(children, SIGTERM, false);
    reap(children, kept, SECOND);
    assert_int_equal(next_event(children, CHILDREN_ENDED).input, 2);
    assert_int_equal(children_exit_status(children, 2), 128 + SIGTERM);

    next[2].restart = INPUT_RESTART_ALWAYS; /* kept, ended, and now to be started again */
    adopt(children, next, 3, 2 * SECOND);
    assert_int_equal(next_event(children, CHILDREN_STARTED).input, 2);
    children_signal(children, SIGKILL, false);
    while (waitpid(-1, NULL, 0) > 0) {
    }
    children_close(children);
    assert_int_equal(open_descriptors(), before);
}

static void who_does_not_leave_is_killed(void **state)
{
    (void)state;
    struct children *children = open_children();
    struct input_config input = exec_input("deaf", "trap '' TERM; echo; while :; do sleep 1; done");
    adopt(children, &input, 1, 0);
    pid_t pid = next_event(children, CHILDREN_STARTED).pid;
    char byte;
    assert_int_equal(read(children_pipe(children, false, 0).source, &byte, 1), 1); /* trap is set */
    adopt(children, NULL, 0, SECOND);
    assert_int_equal(children_pipes_count(children, false), 0);
    assert_true(children_deadline_ns(children) == 6 * SECOND);
    children_serve(children, 6 * SECOND - 1);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    children_serve(children, 6 * SECOND);
    assert_true(children_deadline_ns(children) == UINT64_MAX);
    reap(children, pid, 6 * SECOND);
    struct children_event event = event_in_time(children, 6 * SECOND);
    assert_int_equal(event.kind, CHILDREN_LEFT);
    assert_int_equal(WTERMSIG(event.status), SIGKILL);
    assert_int_equal(children_running(children), 0);
    children_close(children);
}

/* `a | b`: the shell dies of TERM at once, and what it had started goes on to the end of its work.
 */
static const char late[] = "(trap '' TERM; echo; read -r line; echo last) < fifo & wait";

/* The group as a whole is waited for, here at the way out and, after `leave`, at a reload. */
static void the_group_ends_not_its_leader(void **state)
{
    (void)state;
    char folder[] = "/tmp/yarder-group-XXXXXX";
    char command[200];
    char path[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    (void)snprintf(command, sizeof(command), "cd %s; %s", folder, late);
    int fifo = open(path, O_RDWR | O_CLOEXEC);
    for (int leave = 0; leave < 3; leave++) {
        struct children *children = open_children();
        struct input_config input = exec_input("job", command);
        adopt(children, &input, 1, 0);
        pid_t pid = next_event(children, CHILDREN_STARTED).pid;
        struct children_pipe source = children_pipe(children, false, 0);
        int fd = dup(source.source);
        char byte;
        assert_int_equal(read(fd, &byte, 1), 1); /* its trap is set */
        if (leave > 0) {
            adopt(children, NULL, 0, SECOND);
        } else {
            children_stop_starting(children);
            children_signal(children, SIGTERM, false);
        }
        reap(children, pid, SECOND);
        children_serve(children, SECOND);
        assert_int_equal(children_running(children), 1);
        struct children_event event;
        assert_false(children_next_event(children, &event));
        if (leave < 2) {
            assert_int_equal(write(fifo, "go\n", 3), 3);
        }
        event = event_in_time(children, (leave < 2 ? 1 : 6) * SECOND); /* 2: killed, for it stays */
        assert_int_equal(event.kind, leave > 0 ? CHILDREN_LEFT : CHILDREN_ENDED);
        assert_int_equal(WTERMSIG(event.status), SIGTERM);
        assert_string_equal(take(fd), leave < 2 ? "last\n" : "");
        assert_int_equal(children_running(children), 0);
        (void)close(fd);
        children_close(children);
    }
    assert_int_equal(close(fifo) + unlink(path) + rmdir(folder), 0);
}

/* In our place: our process group, and what the terminal told the group is not told once more. */
static void in_our_place(void **state)
{
    (void)state;
    struct children *children = open_children();
    struct input_config input = exec_input(
        "job", "trap 'exit 7' INT; cut -d' ' -f5 /proc/$$/stat; while :; do sleep 0.01; done");
    input.program_stdin = INPUT_STDIN_INHERIT;
    adopt(children, &input, 1, 0);
    pid_t pid = next_event(children, CHILDREN_STARTED).pid;
    int fd = children_pipe(children, false, 0).source;
    char expected[32];
    char line[32] = "";
    (void)snprintf(expected, sizeof(expected), "%d\n", (int)getpgrp());
    assert_true(read(fd, line, sizeof(line) - 1) > 0);
    assert_string_equal(line, expected);
    children_signal(children, SIGINT, true);
    assert_int_equal(usleep(50000), 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    children_signal(children, SIGINT, false);
    reap(children, pid, SECOND);
    assert_int_equal(children_exit_status(children, 0), 7);
    assert_int_equal(children_running(children), 0);
    children_close(children);
}

static void out_of_descriptors(void **state)
{
    (void)state;
    struct children *children = open_children();
    struct input_config inputs[] = {exec_input("a", "true"), exec_input("b", "true")};
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    unsigned before = open_descriptors();
    int next = dup(0);
    (void)close(next);
    for (rlim_t more = 0; more < 16; more++) { /* two inputs need 16: refused at each before */
        struct rlimit low = {.rlim_cur = (rlim_t)next + more, .rlim_max = limit.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        int prepared = children_prepare(children, inputs, 2);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_equal(prepared, -EMFILE);
        assert_int_equal(open_descriptors(), before);
    }
    children_close(children);
}

static void runs_as_another_user(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    struct children_options options = {.environment = environment, .stdin_fd = 0};
    char why[256];
    assert_int_equal(identity_find(&options.identity, "nobody", NULL, why, sizeof(why)), 0);
    struct children *children = NULL;
    assert_int_equal(children_open(&children, &options), 0);
    struct input_config input = exec_input("job", /* the shell alone: nothing else has to start */
        "while read -r key uid rest; do [ $key = Uid: ] && echo $uid; done < /proc/self/status;"
        "echo hello > /dev/stderr");
    char expected[32];
    (void)snprintf(expected, sizeof(expected), "%u\n", (unsigned)options.identity.uid);
    adopt(children, &input, 1, 0);
    reap(children, next_event(children, CHILDREN_STARTED).pid, 0);
    assert_string_equal(take(children_pipe(children, false, 0).source), expected);
    assert_string_equal(take(children_pipe(children, false, 1).source), "hello\n");
    children_close(children);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipe_numbers),
        cmocka_unit_test(inherits_nothing),
        cmocka_unit_test(argv_and_failures),
        cmocka_unit_test(pauses_grow_and_reset),
        cmocka_unit_test(no_pause_still_breathes),
        cmocka_unit_test(reload_keeps_what_is_the_same),
        cmocka_unit_test(who_does_not_leave_is_killed),
        cmocka_unit_test(the_group_ends_not_its_leader),
        cmocka_unit_test(in_our_place),
        cmocka_unit_test(out_of_descriptors),
        cmocka_unit_test(runs_as_another_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
