/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork and exec by hand: posix_spawn cannot change the user. The child reports what failed through
 * a pipe that a successful exec closes.
 */
#include "control/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KERNEL_SIGSET_BYTES = 8, KERNEL_ACTION_BYTES = 64 };

/*
 * libc keeps its hands off its own two signals, which a parent can ignore all the same. Only after
 * the last setuid: libc itself may need the second one for that.
 */
static void forget_hidden_signals(void)
{
    static const char by_default[KERNEL_ACTION_BYTES]; /* SIG_DFL is 0 */
    for (int number = 32; number <= 33; number++) {
        (void)syscall(SYS_rt_sigaction, number, by_default, NULL, KERNEL_SIGSET_BYTES);
    }
}

static int take_stdin(int fd)
{
    int opened = fd < 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : fd;
    return opened < 0 || dup2(opened, STDIN_FILENO) < 0 ? -1 : 0;
}

/* What the daemon was given, or took, for its own work. */
static int give_up_own(const struct spawn_request *request)
{
    if (!request->in_our_place &&
        (setpgid(0, 0) < 0 || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)) {
        return -1;
    }
    return request->files == NULL ? 0 : setrlimit(RLIMIT_NOFILE, request->files);
}

static int close_others(unsigned report)
{
    return (report > 3 && close_range(3, report - 1, 0) < 0) || close_range(report + 1, ~0U, 0) < 0
               ? -1
               : 0;
}

enum { OWN_FIRST = SPAWN_SETTINGS_FD, OWN_END = OWN_FIRST + SPAWN_FDS };

/*
 * Everything out of the way, then each descriptor to its number; what is above closes on exec, and
 * so does what is missing. *program_fd and *report_fd have other numbers from then on.
 */
static int take_own(const struct spawn_own *own, int *program_fd, int *report_fd)
{
    int moved[SPAWN_FDS];
    *report_fd = fcntl(*report_fd, F_DUPFD_CLOEXEC, OWN_END);
    *program_fd = fcntl(own->program_fd, F_DUPFD_CLOEXEC, OWN_END);
    if (*report_fd < 0 || *program_fd < 0) {
        return -1;
    }
    for (int i = 0; i < SPAWN_FDS; i++) {
        moved[i] = own->fds[i] < 0 ? -1 : fcntl(own->fds[i], F_DUPFD_CLOEXEC, OWN_END);
        if (moved[i] < 0 && own->fds[i] >= 0) {
            return -1;
        }
    }
    for (int i = 0; i < SPAWN_FDS; i++) {
        if (moved[i] < 0) {
            (void)close(OWN_FIRST + i);
        } else if (dup2(moved[i], OWN_FIRST + i) < 0) {
            return -1;
        }
    }
    return close_range(OWN_END, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* Between fork and exec: async-signal-safe calls only. Returns the errno that stopped it. */
static int become(const struct spawn_request *request, int *report_fd)
{
    int program_fd = -1;
    for (int number = 1; number < NSIG; number++) {
        (void)signal(number, SIG_DFL); /* refused for KILL and STOP: those are default anyway */
    }
    if (take_stdin(request->stdin_fd) < 0 || dup2(request->stdout_fd, STDOUT_FILENO) < 0 ||
        dup2(request->stderr_fd, STDERR_FILENO) < 0) {
        return errno;
    }
    if (request->own != NULL) {
        if (take_own(request->own, &program_fd, report_fd) < 0) {
            return errno;
        }
    } else if (close_others((unsigned)*report_fd) < 0) {
        return errno;
    }
    if (give_up_own(request) < 0) {
        return errno;
    }
    int assumed = identity_assume(request->identity);
    if (assumed < 0) {
        return -assumed;
    }
    forget_hidden_signals();
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (request->own != NULL) {
        (void)execveat(program_fd, "", request->arguments, request->environment, AT_EMPTY_PATH);
    } else if (request->arguments != NULL) {
        (void)execvpe(request->arguments[0], request->arguments, request->environment);
    } else {
        (void)execle("/bin/sh", "sh", "-c", request->command, (char *)NULL, request->environment);
    }
    return errno;
}

static int reported(int report_fd)
{
    int error = 0;
    ssize_t got;
    do {
        got = read(report_fd, &error, sizeof(error));
    } while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof(error) ? -error : 0;
}

int spawn(pid_t *out, const struct spawn_request *request)
{
    YARDER_ASSERT(request->stdout_fd > 2 && request->stderr_fd > 2);
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0) {
        return -errno;
    }
    YARDER_OWN_FD int report_read = report[0];
    YARDER_OWN_FD int report_write = report[1];
    YARDER_ASSERT(report_write > 2);

    /* No handler of ours may run in the child: it would speak through descriptors we share. */
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        int report_fd = report_write;
        int error = become(request, &report_fd);
        (void)!write(report_fd, &error, sizeof(error));
        _exit(127);
    }
    int error = pid < 0 ? -errno : 0;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (error < 0) {
        return error;
    }
    (void)close(yarder_fd_take(&report_write));
    error = reported(report_read);
    if (error < 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        return error;
    }
    *out = pid;
    return 0;
}
