/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command with records on its standard input. It has a session of its own, and our standard error
 * for both its outputs: what it prints stands beside our own words and is never a record. Its input
 * is a pipe and no socket, for programs open /dev/stdin.
 *
 * What has gone into the pipe is kept until the command has read it: when it ends, the next one
 * begins with that. A batch that it ends with, unread, was not delivered; so that one that cannot
 * be run at all takes nothing, a new one is given a second to read before anything is.
 *
 *     kept:    [record][record][record][record][record]
 *                   ^ read by the command      ^ gone: what is behind has yet to be written
 *              (what is wholly read is cut off)
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lines.h"

enum { WORDS_BYTES = 96, PATH_BYTES = 32, FILES_SOFT = 1024, MS_IN_NS = 1000000 };
/* How long a command that has just started may read nothing before we believe that it will. */
static const uint64_t first_read_ns = 1000ull * MS_IN_NS;
/* How long we wait for a command that closed its input, was told to end, was killed. */
static const uint64_t close_grace_ns = 500ull * MS_IN_NS;
static const uint64_t term_grace_ns = 500ull * MS_IN_NS;
static const uint64_t kill_grace_ns = 1000ull * MS_IN_NS;

struct pipe_output {
    char *command;
    uint64_t stop_ns; /* option: how long it may work on after its input has ended */

    struct yarder_host *host;
    uint64_t deadline_ns; /* of what we are at */
    struct lines lines;   /* its fd: the pipe's write end; -1: no command runs */
    pid_t pid;
    int pid_fd;
    bool reads;           /* this one has read, or lives long enough to be believed */
    struct bytes kept;    /* records, as written */
    struct bytes lengths; /* of each record in kept, uint32_t */
    size_t gone;          /* bytes of kept that are in the pipe, or were read */
};

static int pipe_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct pipe_output *self = self_;
    self->command = text;
    if (text[strspn(text, " \t")] == '\0') {
        (void)snprintf(why, why_bytes, "expected a command, as in pipe:COMMAND");
        return -EINVAL;
    }
    return 0;
}

static int pipe_uwsgi(void *self, const char *name, char *argument, char *why, size_t why_bytes)
{
    static char nothing[] = "";
    (void)name;
    return pipe_target(self, argument == NULL ? nothing : argument, why, why_bytes);
}

/* What of kept the command has read, as far as whole records go, is cut off. */
static void forget_read(struct pipe_output *self, int pipe_fd)
{
    int unread = 0;
    if (ioctl(pipe_fd, FIONREAD, &unread) < 0 || unread < 0) {
        return;
    }
    size_t in_pipe = (size_t)unread;
    size_t written = self->gone + self->lines.part;
    size_t read = written > in_pipe ? written - in_pipe : 0;
    size_t records = 0;
    size_t cut = 0;
    for (; records < self->lengths.length / sizeof(uint32_t); records++) {
        uint32_t length;
        memcpy(&length, self->lengths.at + records * sizeof(length), sizeof(length));
        if (cut + length > read || cut + length > self->gone) {
            break;
        }
        cut += length;
    }
    if (records > 0) {
        size_t cut_lengths = records * sizeof(uint32_t);
        self->kept.length -= cut;
        self->lengths.length -= cut_lengths;
        self->gone -= cut;
        memmove(self->kept.at, self->kept.at + cut, self->kept.length);
        memmove(self->lengths.at, self->lengths.at + cut_lengths, self->lengths.length);
    }
}

static void keep(struct pipe_output *self, const struct yarder_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct yarder_item *item = &batch->items[i];
        uint32_t length = (uint32_t)(item->text.length + item->newline);
        if (item->result == YARDER_DELIVERED && bytes_reserve(&self->lengths, sizeof(length)) &&
            bytes_reserve(&self->kept, length)) {
            bytes_put(&self->kept, item->text.at, length);
            bytes_put(&self->lengths, &length, sizeof(length));
            self->gone += length;
        }
    }
}

/* What of this batch no command has read was not delivered. */
static void hand_back(struct pipe_output *self, struct yarder_batch *batch)
{
    for (uint32_t i = batch->count; i > 0 && self->lengths.length > 0; i--) {
        struct yarder_item *item = &batch->items[i - 1];
        if (item->result == YARDER_DELIVERED) {
            item->result = YARDER_LATER;
            self->kept.length -= item->text.length + item->newline;
            self->lengths.length -= sizeof(uint32_t);
        }
    }
}

/* Until a command that has just started has read something: 0; -EPIPE: it ended before. */
static int wait_first_read(struct pipe_output *self, uint64_t deadline_ns)
{
    uint64_t believed_ns = monotonic_ns() + first_read_ns;
    uint64_t end_ns = believed_ns < deadline_ns ? believed_ns : deadline_ns;
    uint64_t pause_ns = MS_IN_NS;
    while (!self->reads) {
        int unread = 0;
        size_t written = self->gone + self->lines.part;
        uint64_t now_ns = monotonic_ns();
        if (written == 0) {
            return 0;
        }
        self->reads = ioctl(self->lines.fd, FIONREAD, &unread) < 0 || (size_t)unread < written ||
                      now_ns >= believed_ns;
        if (self->reads || now_ns >= end_ns) {
            return 0;
        }
        int r = self->host->wait(self->host, self->pid_fd, POLLIN,
            now_ns + pause_ns < end_ns ? now_ns + pause_ns : end_ns);
        if (r != 0) {
            return r < 0 ? r : -EPIPE;
        }
        pause_ns = pause_ns < 32 * MS_IN_NS ? pause_ns * 2 : pause_ns;
    }
    return 0;
}

/* The command's end, in words. */
static void describe(char *at, size_t room, const siginfo_t *end)
{
    if (end->si_code == CLD_EXITED) {
        (void)snprintf(at, room, "ended with status %d", end->si_status);
    } else {
        const char *what = sigdescr_np(end->si_status);
        (void)snprintf(at, room, "was killed by signal %d (%s)", end->si_status,
            what == NULL ? "unknown" : what);
    }
}

/* Whether it has ended by then; it stays a zombie, so that its group's number is nobody else's. */
static bool has_ended(const struct pipe_output *self, uint64_t wait_ns)
{
    uint64_t end_ns = monotonic_ns() + wait_ns;
    end_ns = end_ns < self->deadline_ns ? end_ns : self->deadline_ns;
    struct pollfd ended = {.fd = self->pid_fd, .events = POLLIN};
    for (;;) {
        uint64_t now_ns = monotonic_ns();
        int left_ms = now_ns >= end_ns ? 0 : (int)((end_ns - now_ns) / MS_IN_NS) + 1;
        int r = poll(&ended, 1, left_ms);
        if (r >= 0 || errno != EINTR) {
            return r > 0;
        }
    }
}

/*
 * Ends the command: its input, and after the grace its group. What it has not read stays kept. How
 * it ended is in `words`; whether it did by itself is the answer.
 */
static bool end(struct pipe_output *self, uint64_t grace_ns, char *words, size_t words_bytes)
{
    char path[PATH_BYTES];
    (void)snprintf(words, words_bytes, "does not end");
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", self->lines.fd);
    int look = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* keeps what nobody has read */
    if (look < 0) {
        forget_read(self, self->lines.fd);
    }
    (void)close(self->lines.fd);
    self->lines.fd = -1;
    bool ended = has_ended(self, grace_ns);
    (void)kill(-self->pid, SIGTERM); /* also what an ended one has left of its group */
    if (!ended && !has_ended(self, term_grace_ns)) {
        (void)kill(-self->pid, SIGKILL);
        self->deadline_ns = UINT64_MAX; /* a moment: a zombie would stay for good */
        (void)has_ended(self, kill_grace_ns);
    }
    siginfo_t status = {.si_pid = 0};
    if (waitid(P_PID, (id_t)self->pid, &status, WEXITED | WNOHANG) < 0) {
        (void)snprintf(words, words_bytes, "ended");
    } else if (status.si_pid != 0) {
        describe(words, words_bytes, &status);
    }
    (void)close(self->pid_fd);
    self->pid_fd = -1;
    if (look >= 0) {
        forget_read(self, look);
        (void)close(look);
    }
    self->gone = 0;
    return ended;
}

static int spawn_shell(const char *command, int input, pid_t *pid)
{
    char shell[] = "sh";
    char option[] = "-c";
    char *text = (char *)(uintptr_t)command; /* exec's argument has no const */
    char *const words[] = {shell, option, text, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t every, none;
    (void)sigfillset(&every);
    (void)sigemptyset(&none);
    if (posix_spawn_file_actions_init(&files) != 0) {
        return -ENOMEM;
    }
    (void)posix_spawnattr_init(&how);
    (void)posix_spawnattr_setsigmask(&how, &none);
    (void)posix_spawnattr_setsigdefault(&how, &every);
    (void)posix_spawnattr_setflags(
        &how, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int r = posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
    if (r == 0) {
        r = posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    }
    if (r == 0) {
        r = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    }
    if (r == 0) {
        r = posix_spawn(pid, "/bin/sh", &files, &how, words, environ);
    }
    (void)posix_spawnattr_destroy(&how);
    (void)posix_spawn_file_actions_destroy(&files);
    return -r;
}

/* The daemon's own limit is raised, and select() knows no more. */
static void lower_limit(pid_t pid)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > FILES_SOFT) {
        files.rlim_cur = FILES_SOFT;
        (void)prlimit(pid, RLIMIT_NOFILE, &files, NULL);
    }
}

/* The one end of the pipe that is ours does not block, the command's does. */
static int adopt(struct pipe_output *self, int write_end)
{
    self->pid_fd = pidfd_open(self->pid, 0);
    if (self->pid_fd < 0 || fcntl(write_end, F_SETFL, O_NONBLOCK) < 0) {
        return -errno;
    }
    return lines_init(&self->lines, write_end);
}

static int start(struct pipe_output *self)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return self->host->fail(self->host, -errno, "pipe: %s", strerror(errno));
    }
    int r = spawn_shell(self->command, ends[0], &self->pid);
    (void)close(ends[0]);
    if (r < 0) {
        (void)close(ends[1]);
        return self->host->fail(self->host, r, "start sh: %s", strerror(-r));
    }
    lower_limit(self->pid);
    self->reads = false;
    r = adopt(self, ends[1]);
    if (r < 0) {
        (void)kill(-self->pid, SIGKILL);
        (void)waitid(P_PID, (id_t)self->pid, NULL, WEXITED);
        if (self->pid_fd >= 0) {
            (void)close(self->pid_fd);
        }
        (void)close(ends[1]);
        self->lines.fd = -1;
        return self->host->fail(self->host, r, "watch the command: %s", strerror(-r));
    }
    return 0;
}

/* What the one before has not read. */
static int write_kept(struct pipe_output *self, uint64_t deadline_ns)
{
    while (self->gone < self->kept.length) {
        struct yarder_item item = {
            .text = {self->kept.at + self->gone, self->kept.length - self->gone}};
        struct yarder_batch batch = {.items = &item, .count = 1};
        int r = lines_write(&self->lines, self->host, &batch, deadline_ns);
        self->gone += r == 0 ? item.text.length : self->lines.part;
        self->lines.part = 0;
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int pipe_open(void *self_, struct yarder_host *host)
{
    struct pipe_output *self = self_;
    self->host = host;
    self->lines.fd = -1;
    self->pid_fd = -1;
    lines_block_sigpipe();
    /* Of this thread alone, and hence of what it starts: rights are the daemon's. */
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return 0;
}

static int pipe_submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct pipe_output *self = self_;
    char words[WORDS_BYTES];
    self->deadline_ns = deadline_ns;
    int r = self->lines.fd < 0 ? start(self) : 0;
    if (self->lines.fd < 0) {
        return r;
    }
    if (has_ended(self, 0)) {
        r = -EPIPE;
    } else {
        r = write_kept(self, deadline_ns);
    }
    if (r == 0) {
        r = lines_write(&self->lines, self->host, batch, deadline_ns);
        keep(self, batch);
        r = r == 0 ? wait_first_read(self, deadline_ns) : r;
        forget_read(self, self->lines.fd);
    }
    if (r == -EPIPE) {
        bool by_itself = end(self, close_grace_ns, words, sizeof(words));
        hand_back(self, batch);
        return self->host->fail(self->host, r, "the command %s%s; it is started again",
            by_itself ? "" : "closed its input and ", words);
    }
    if (r < 0 && r != -ECANCELED) {
        return self->host->fail(
            self->host, r, "%s", r == -ETIMEDOUT ? "the command reads nothing" : strerror(-r));
    }
    return r;
}

static void pipe_close(void *self_)
{
    struct pipe_output *self = self_;
    char words[WORDS_BYTES];
    if (self->lines.fd >= 0) {
        self->deadline_ns = UINT64_MAX;
        bool by_itself = end(self, self->stop_ns, words, sizeof(words));
        /* One that ended before its input did leaves what it has not read to a last one. */
        if (by_itself && self->kept.length > 0 && start(self) == 0) {
            (void)write_kept(self, monotonic_ns() + self->stop_ns);
            (void)end(self, self->stop_ns, words, sizeof(words));
        }
    }
    bytes_free(&self->kept);
    bytes_free(&self->lengths);
}

static const struct yarder_option pipe_options[] = {
    {"stop", YARDER_OPTION_DURATION, offsetof(struct pipe_output, stop_ns), "5s", 0, 3600000000000,
        NULL, NULL, "TIME", "how long the command may work on when its input has ended"},
    {.kind = YARDER_OPTION_END},
};
static const char *const uwsgi_names[] = {"pipe", NULL};

YARDER_EXPORT const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "pipe",
    .help = "pipe:COMMAND: the standard input of a command, which is started again when it ends",
    .means = YARDER_MEANS_STREAM,
    .flags = YARDER_BACKEND_TEXT | YARDER_BACKEND_WHOLE,
    .self_bytes = sizeof(struct pipe_output),
    .options = pipe_options,
    .target = pipe_target,
    .uwsgi_names = uwsgi_names,
    .uwsgi = pipe_uwsgi,
    .open = pipe_open,
    .submit = pipe_submit,
    .close = pipe_close,
};
