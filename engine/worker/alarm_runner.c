/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/alarm_runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "os/memory.h"
#include "os/thread.h"

enum {
    JOBS_MAX = 64,
    RUNNING_MAX = 8,
    STACK_BYTES = 64 << 10,
    STOP_MS = 2000,
    JOIN_MS = 3000,
    KILL_MS = 10,      /* between a kill and the next look */
    FILES_SOFT = 1024, /* of a command: the daemon's own limit is raised, select() knows no more */
};

struct alarm_job {
    uint32_t alarm;
    uint32_t bytes;
};

struct running {
    pid_t pid; /* 0: the place is free */
    int fd;    /* of the process */
    uint32_t alarm;
    uint64_t limit_ns;
    bool killed;
};

struct alarm_runner {
    const struct alarms_config *config;
    struct alarm_counts *counts;
    uint32_t put;   /* release in alarm_runner_put pairs with acquire in the thread */
    uint32_t taken; /* release in the thread pairs with acquire in alarm_runner_put */
    bool stops;     /* release in alarm_runner_close pairs with acquire in the thread */
    int wake_fd;
    pthread_t thread;
    struct running running[RUNNING_MAX]; /* the thread's */
    uint64_t stop_ns;                    /* the thread's: what runs then is killed; 0: not yet */
    struct alarm_job jobs[JOBS_MAX];
    char *messages; /* bytes_max for each job */
};

const char *alarm_trouble_words(int trouble, char at[ALARM_WORDS_BYTES])
{
    if (trouble < 0) {
        (void)snprintf(at, ALARM_WORDS_BYTES, "%s", strerrordesc_np(-trouble));
    } else if (trouble < ALARM_KILLED) {
        (void)snprintf(at, ALARM_WORDS_BYTES, "the command ended with status %d", trouble);
    } else if (trouble < ALARM_TOO_LONG) {
        const char *name = sigabbrev_np(trouble - ALARM_KILLED);
        (void)snprintf(at, ALARM_WORDS_BYTES, "the command was killed by %s%s (%d)",
            name != NULL ? "SIG" : "a signal", name != NULL ? name : "", trouble - ALARM_KILLED);
    } else if (trouble == ALARM_TOO_LONG) {
        (void)snprintf(at, ALARM_WORDS_BYTES, "the command was killed after alarm-timeout");
    } else if (trouble == ALARM_TOO_MANY) {
        (void)snprintf(at, ALARM_WORDS_BYTES, "too many wait for a command to end");
    } else {
        (void)snprintf(at, ALARM_WORDS_BYTES, "the file holds no process id");
    }
    return at;
}

static void fail(struct alarm_runner *runner, uint32_t alarm, int trouble)
{
    __atomic_store_n(&runner->counts[alarm].trouble, trouble, __ATOMIC_RELAXED);
    alarm_count(&runner->counts[alarm].failed);
}

void alarm_runner_put(struct alarm_runner *runner, uint32_t alarm, struct yarder_text message)
{
    const uint64_t one = 1;
    uint32_t taken = __atomic_load_n(&runner->taken, __ATOMIC_ACQUIRE);
    if (runner->put - taken == JOBS_MAX) {
        fail(runner, alarm, ALARM_TOO_MANY);
        return;
    }
    uint32_t place = runner->put % JOBS_MAX;
    size_t bytes = yarder_min(message.length, runner->config->bytes_max);
    runner->jobs[place] = (struct alarm_job){.alarm = alarm, .bytes = (uint32_t)bytes};
    if (bytes > 0) {
        memcpy(runner->messages + place * (runner->config->bytes_max + 1), message.at, bytes);
    }
    __atomic_store_n(&runner->put, runner->put + 1, __ATOMIC_RELEASE);
    (void)!write(runner->wake_fd, &one, sizeof(one));
}

/* Commands */

/* The message as a file that is read from its beginning: a descriptor, or -errno. */
static int message_file(const char *message, size_t bytes)
{
    YARDER_OWN_FD int fd = memfd_create("yarder-alarm", MFD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    ssize_t written = pwrite(fd, message, bytes, 0);
    if (written != (ssize_t)bytes) {
        return written < 0 ? -errno : -ENOSPC;
    }
    return yarder_fd_take(&fd);
}

/* 0 or -errno. Nothing of ours is left open in the child, no signal blocked or ignored. */
static int spawn_shell(pid_t *pid, char *command, int stdin_fd)
{
    char shell[] = "sh";
    char option[] = "-c";
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;
    char *const arguments[] = {shell, option, command, NULL};
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    int r = posix_spawn_file_actions_init(&files);
    r = r != 0 ? r : posix_spawn_file_actions_adddup2(&files, stdin_fd, STDIN_FILENO);
    r = r != 0 ? r : posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    r = r != 0 ? r : posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    r = r != 0 ? r : posix_spawn(pid, "/bin/sh", &files, &attributes, arguments, environ);
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&attributes);
    return -r;
}

static void lower_limit(pid_t pid)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > FILES_SOFT) {
        files.rlim_cur = FILES_SOFT;
        (void)prlimit(pid, RLIMIT_NOFILE, &files, NULL);
    }
}

static int start_command(struct alarm_runner *runner, struct running *place, uint32_t alarm,
    const char *message, size_t bytes)
{
    YARDER_OWN_FD int stdin_fd = message_file(message, bytes);
    if (stdin_fd < 0) {
        return stdin_fd;
    }
    pid_t pid = 0;
    int r = spawn_shell(&pid, runner->config->at[alarm].argument, stdin_fd);
    if (r < 0) {
        return r;
    }
    lower_limit(pid);
    int fd = pidfd_open(pid, 0);
    if (fd < 0) { /* nobody could watch it */
        r = -errno;
        (void)kill(-pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return r;
    }
    *place = (struct running){.pid = pid,
        .fd = fd,
        .alarm = alarm,
        .limit_ns = (uint64_t)os_monotonic_ns() + runner->config->limit_ns};
    return 0;
}

/* A command that may have ended. */
static void look_after(struct alarm_runner *runner, struct running *place, uint64_t now_ns)
{
    siginfo_t info = {.si_pid = 0};
    uint64_t until_ns =
        runner->stop_ns != 0 ? yarder_min(runner->stop_ns, place->limit_ns) : place->limit_ns;
    int r = waitid(P_PIDFD, (id_t)place->fd, &info, WEXITED | WNOHANG);
    if (r == 0 && info.si_pid == 0) {
        if (now_ns >= until_ns && !place->killed) {
            (void)kill(-place->pid, SIGKILL);
            place->killed = true;
        }
        return;
    }
    if (place->killed) {
        fail(runner, place->alarm, ALARM_TOO_LONG);
    } else if (r == 0 && info.si_code != CLD_EXITED) {
        fail(runner, place->alarm, ALARM_KILLED + info.si_status);
    } else if (r == 0 && info.si_status != 0) {
        fail(runner, place->alarm, ALARM_EXITED + info.si_status);
    }
    yarder_fd_drop(&place->fd);
    *place = (struct running){.pid = 0};
}

/* Signals */

/* 0, -errno, or ALARM_NO_PROCESS. */
static int send_signal(const struct alarm_config *alarm)
{
    char line[32] = "";
    uint64_t pid = 0;
    YARDER_OWN_FD int fd = open(alarm->argument, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t bytes = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
    if (bytes < 0) {
        return -errno;
    }
    line[strcspn(line, " \t\r\n")] = '\0';
    if (text_to_u64(text_of(line), &pid) < 0 || pid < 2 || pid > INT32_MAX) {
        return ALARM_NO_PROCESS;
    }
    return kill((pid_t)pid, alarm->signal) < 0 ? -errno : 0;
}

/* The thread */

static struct running *free_place(struct alarm_runner *runner)
{
    for (size_t i = 0; i < RUNNING_MAX; i++) {
        if (runner->running[i].pid == 0) {
            return &runner->running[i];
        }
    }
    return NULL;
}

/* Does the jobs that there are, as far as there are places. */
static void do_jobs(struct alarm_runner *runner)
{
    uint32_t put = __atomic_load_n(&runner->put, __ATOMIC_ACQUIRE);
    struct running *place = free_place(runner);
    for (uint32_t taken = runner->taken; taken != put && place != NULL; taken++) {
        const struct alarm_job *job = &runner->jobs[taken % JOBS_MAX];
        size_t room = runner->config->bytes_max + 1;
        char *message = runner->messages + taken % JOBS_MAX * room;
        message[job->bytes] = '\n';
        int r = runner->config->at[job->alarm].action == ALARM_COMMAND
                    ? start_command(runner, place, job->alarm, message, job->bytes + 1)
                    : send_signal(&runner->config->at[job->alarm]);
        if (r != 0) {
            fail(runner, job->alarm, r);
        }
        __atomic_store_n(&runner->taken, taken + 1, __ATOMIC_RELEASE);
        place = free_place(runner);
    }
}

/* Sleeps until a job or the end of a command comes, or one is to be killed. */
static void rest(struct alarm_runner *runner)
{
    struct pollfd ready[1 + RUNNING_MAX];
    uint64_t now_ns = (uint64_t)os_monotonic_ns();
    uint64_t until_ns = runner->stop_ns != 0 ? runner->stop_ns : UINT64_MAX;
    nfds_t count = 1;
    ready[0] = (struct pollfd){.fd = runner->wake_fd, .events = POLLIN};
    for (size_t i = 0; i < RUNNING_MAX; i++) {
        const struct running *place = &runner->running[i];
        if (place->pid != 0) {
            ready[count++] = (struct pollfd){.fd = place->fd, .events = POLLIN};
            until_ns = place->killed ? until_ns : yarder_min(until_ns, place->limit_ns);
        }
    }
    const uint64_t ms_ns = 1000000;
    uint64_t wait_ms = until_ns <= now_ns ? KILL_MS : (until_ns - now_ns) / ms_ns + 1;
    (void)poll(ready, count, until_ns == UINT64_MAX ? -1 : (int)yarder_min(wait_ms, 1 << 30));
    uint64_t woken = 0;
    if (ready[0].revents != 0) {
        (void)!read(runner->wake_fd, &woken, sizeof(woken));
    }
    now_ns = (uint64_t)os_monotonic_ns();
    for (size_t i = 0; i < RUNNING_MAX; i++) {
        if (runner->running[i].pid != 0) {
            look_after(runner, &runner->running[i], now_ns);
        }
    }
}

static bool is_done(const struct alarm_runner *runner)
{
    bool done = runner->taken == __atomic_load_n(&runner->put, __ATOMIC_ACQUIRE);
    for (size_t i = 0; i < RUNNING_MAX; i++) {
        done = done && runner->running[i].pid == 0;
    }
    return done;
}

static void *run(void *argument)
{
    static const uint64_t stop_wait_ns = STOP_MS * UINT64_C(1000000);
    struct alarm_runner *runner = argument;
    (void)pthread_setname_np(pthread_self(), "yarder-alarm");
    /* Of this thread alone, and hence of what it starts. */
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (;;) {
        do_jobs(runner);
        bool stops = __atomic_load_n(&runner->stops, __ATOMIC_ACQUIRE);
        if (stops && runner->stop_ns == 0) {
            runner->stop_ns = (uint64_t)os_monotonic_ns() + stop_wait_ns;
        }
        bool late = stops && (uint64_t)os_monotonic_ns() >= runner->stop_ns + stop_wait_ns / 4;
        if (stops && (is_done(runner) || late)) {
            return NULL;
        }
        rest(runner);
    }
}

static void runner_free(struct alarm_runner *runner)
{
    yarder_fd_drop(&runner->wake_fd);
    free(runner->messages);
    free(runner);
}

int alarm_runner_open(
    struct alarm_runner **out, const struct alarms_config *config, struct alarm_counts *counts)
{
    struct alarm_runner *runner = calloc(1, sizeof(*runner));
    if (runner == NULL) {
        return -ENOMEM;
    }
    runner->config = config;
    runner->counts = counts;
    runner->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    runner->messages = malloc(JOBS_MAX * (config->bytes_max + 1)); /* and a newline */
    int r = runner->messages == NULL ? -ENOMEM : runner->wake_fd < 0 ? -errno : 0;
    if (r == 0) {
        r = os_thread_start(&runner->thread, STACK_BYTES, run, runner);
    }
    if (r < 0) {
        runner_free(runner);
        return r;
    }
    *out = runner;
    return 0;
}

void alarm_runner_close(struct alarm_runner *runner)
{
    const uint64_t one = 1;
    if (runner == NULL) {
        return;
    }
    __atomic_store_n(&runner->stops, true, __ATOMIC_RELEASE);
    (void)!write(runner->wake_fd, &one, sizeof(one));
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += JOIN_MS / 1000;
    if (pthread_timedjoin_np(runner->thread, NULL, &until) == 0) { /* else stuck in a call */
        runner_free(runner);
    }
}
