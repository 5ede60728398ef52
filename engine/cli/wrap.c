/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "api/yarder.h"
#include "cli/ask.h"
#include "codec/frame.h"

enum {
    READ_BYTES = 64 << 10,
    SPANS = 64,
    RING_WAIT_MS = 1000, /* a full ring holds the command up for so long, once */
    FLUSH_MS = 2000,
    STATUS_NOT_FOUND = 127,
    STATUS_NOT_RUN = 126,
};

static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGWINCH};

/* stdout or stderr of the command, on its way. */
struct flow {
    int source;         /* -1: at its end */
    int shown;          /* 1, 2, or -1: not shown */
    bool shown_at_once; /* a file takes any write without waiting */
    enum yarder_stream stream;
    struct framer framer;
    char *bytes;
    size_t at; /* [at, end) is still to be shown */
    size_t end;
    int left_bytes; /* once the command has ended: what of its own is still in the pipe */
};

struct wrap {
    const struct wrap_options *options;
    struct flow flows[2];
    int signals_fd;
    int child_fd;
    bool child_ended;
    bool waits; /* whether libyarder waits for room */
    uint64_t lines;
    uint64_t lost;
};

static void set_wait(struct wrap *wrap, bool waits)
{
    const struct yarder_options options = {.options_bytes = sizeof(options),
        .block_ms = waits ? RING_WAIT_MS : 0,
        .run_dir = wrap->options->run_dir,
        .program = wrap->options->tag};
    (void)yarder_configure(&options); /* the path was looked at before */
    wrap->waits = waits;
}

/* After one wait in vain the ring is only tried, until it takes a line again. */
static void log_line(struct wrap *wrap, const struct flow *flow, struct yarder_text line)
{
    const struct yarder_message message = {.text = line.at,
        .text_bytes = line.length,
        .level = wrap->options->level,
        .stream = (uint8_t)flow->stream};
    int r = yarder_put(&message);
    bool lost = r != YARDER_APPENDED && r != YARDER_FILTERED;
    wrap->lines++;
    wrap->lost += lost ? 1 : 0;
    if (lost == wrap->waits) {
        set_wait(wrap, !lost);
    }
}

static void log_bytes(struct wrap *wrap, struct flow *flow)
{
    struct frame_span spans[SPANS];
    size_t at = 0;
    int count = SPANS;
    while (at < flow->end || count == SPANS) {
        size_t used = 0;
        count = framer_take(&flow->framer, flow->bytes + at, flow->end - at, spans, SPANS, &used);
        at += used;
        for (int i = 0; i < count; i++) {
            log_line(wrap, flow, spans[i].text);
        }
    }
}

/* The last line needs no newline. */
static void end_flow(struct wrap *wrap, struct flow *flow)
{
    struct frame_span span;
    if (flow->source >= 0 && framer_finish(&flow->framer, true, &span) == 1) {
        log_line(wrap, flow, span.text);
    }
    yarder_fd_drop(&flow->source);
    flow->source = -1;
}

static void read_flow(struct wrap *wrap, struct flow *flow)
{
    size_t most = wrap->child_ended ? yarder_min((size_t)flow->left_bytes, READ_BYTES) : READ_BYTES;
    ssize_t got = most > 0 ? read(flow->source, flow->bytes, most) : 0;
    if (got < 0 && errno == EINTR) {
        return;
    }
    if (got <= 0) {
        end_flow(wrap, flow);
        return;
    }
    flow->left_bytes -= wrap->child_ended ? (int)got : 0;
    flow->at = 0;
    flow->end = (size_t)got;
    log_bytes(wrap, flow);
    if (flow->shown < 0) {
        flow->end = 0;
    }
}

/* Who reads what is shown is gone: the command is told so by SIGPIPE, as it would be without us. */
static void show_flow(struct wrap *wrap, struct flow *flow)
{
    size_t most = flow->shown_at_once ? READ_BYTES : PIPE_BUF; /* a ready pipe takes so much */
    ssize_t put =
        write(flow->shown, flow->bytes + flow->at, yarder_min(flow->end - flow->at, most));
    if (put < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (put < 0) {
        end_flow(wrap, flow);
        flow->at = flow->end;
        return;
    }
    flow->at += (size_t)put;
}

/* A signal of the terminal goes to its whole foreground group: the command has it already. */
static void forward_signal(const struct wrap *wrap)
{
    struct signalfd_siginfo signal;
    if (read(wrap->signals_fd, &signal, sizeof(signal)) == (ssize_t)sizeof(signal) &&
        signal.ssi_code != SI_KERNEL) {
        (void)pidfd_send_signal(wrap->child_fd, (int)signal.ssi_signo, NULL, 0);
    }
}

static bool is_showing(const struct flow *flow)
{
    return flow->at < flow->end;
}

static struct pollfd watch(const struct flow *flow)
{
    return is_showing(flow) ? (struct pollfd){.fd = flow->shown, .events = POLLOUT}
                            : (struct pollfd){.fd = flow->source, .events = POLLIN};
}

/* Programs that it left behind may write on: what stands in the pipes now is read, no more. */
static void note_end(struct wrap *wrap)
{
    wrap->child_ended = true;
    for (size_t i = 0; i < YARDER_COUNT_OF(wrap->flows); i++) {
        struct flow *flow = &wrap->flows[i];
        if (flow->source >= 0 && ioctl(flow->source, FIONREAD, &flow->left_bytes) < 0) {
            flow->left_bytes = 0;
        }
    }
}

/* One round; false: the command has ended and what it wrote is through. */
static bool serve(struct wrap *wrap)
{
    struct flow *flows = wrap->flows;
    bool showing = is_showing(&flows[0]) || is_showing(&flows[1]);
    bool reading = flows[0].source >= 0 || flows[1].source >= 0;
    if (wrap->child_ended && !showing && !reading) {
        return false;
    }
    struct pollfd ready[] = {watch(&flows[0]), watch(&flows[1]),
        {.fd = wrap->signals_fd, .events = POLLIN},
        {.fd = wrap->child_ended ? -1 : wrap->child_fd, .events = POLLIN}};
    int r = poll(ready, YARDER_COUNT_OF(ready), wrap->child_ended && !showing ? 0 : -1);
    if (r < 0) {
        return errno == EINTR;
    }
    if (r == 0) {
        return false;
    }
    for (size_t i = 0; i < YARDER_COUNT_OF(wrap->flows); i++) {
        if (ready[i].revents != 0 && is_showing(&flows[i])) {
            show_flow(wrap, &flows[i]);
        } else if (ready[i].revents != 0) {
            read_flow(wrap, &flows[i]);
        }
    }
    if (ready[2].revents != 0) {
        forward_signal(wrap);
    }
    if (ready[3].revents != 0) {
        note_end(wrap);
    }
    return true;
}

/* Descriptors 0 to 2 exist from here on, so no pipe of ours becomes one of them. */
static int hold_standard(void)
{
    int fd = 0;
    while (fd >= 0 && fd <= STDERR_FILENO) {
        fd = open("/dev/null", O_RDWR);
    }
    return fd < 0 ? -errno : close(fd);
}

struct start {
    int pipes[2][2]; /* stdout, stderr: read end, write end */
    int report[2];   /* the errno of a failed exec; closed by a good one */
    char **environment;
    sigset_t mask_before;
    struct sigaction pipe_before;
};

/* Between fork and exec. */
static _Noreturn void become(const struct start *start, char *const *arguments)
{
    (void)sigaction(SIGPIPE, &start->pipe_before, NULL);
    (void)sigprocmask(SIG_SETMASK, &start->mask_before, NULL);
    int error = 0;
    if (dup2(start->pipes[0][1], STDOUT_FILENO) >= 0 &&
        dup2(start->pipes[1][1], STDERR_FILENO) >= 0) {
        (void)execvpe(arguments[0], arguments, start->environment);
    }
    error = errno;
    (void)!write(start->report[1], &error, sizeof(error));
    _exit(STATUS_NOT_FOUND);
}

static int open_start(struct start *start)
{
    int r = hold_standard();
    if (r < 0 || pipe2(start->report, O_CLOEXEC) < 0 || pipe2(start->pipes[0], O_CLOEXEC) < 0 ||
        pipe2(start->pipes[1], O_CLOEXEC) < 0) {
        return r < 0 ? r : -errno;
    }
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t blocked;
    (void)sigemptyset(&blocked);
    for (size_t i = 0; i < YARDER_COUNT_OF(forwarded); i++) {
        (void)sigaddset(&blocked, forwarded[i]);
    }
    (void)sigaction(SIGPIPE, &ignore, &start->pipe_before);
    (void)signal(SIGCHLD, SIG_DFL); /* ignored by our parent, it would hide the status */
    (void)sigprocmask(SIG_BLOCK, &blocked, &start->mask_before);
    r = signalfd(-1, &blocked, SFD_CLOEXEC);
    return r < 0 ? -errno : r;
}

/* 0 and the running command; or -errno, and *exec_failed says whether it was the command's own. */
static int start_child(struct wrap *wrap, pid_t *out, bool *exec_failed)
{
    struct start start;
    int r = open_start(&start);
    if (r < 0) {
        return r;
    }
    wrap->signals_fd = r;
    YARDER_OWN_HEAP char **preloaded = NULL;
    start.environment = environ;
    if (wrap->options->preload != NULL) {
        r = preload_environment(
            &preloaded, environ, wrap->options->preload, start.pipes[0][1], start.pipes[1][1]);
        if (r < 0) {
            return r;
        }
        start.environment = preloaded;
    }
    pid_t pid = fork();
    if (pid == 0) {
        become(&start, wrap->options->arguments);
    }
    int fork_error = pid < 0 ? -errno : 0;
    (void)close(start.report[1]);
    (void)close(start.pipes[0][1]);
    (void)close(start.pipes[1][1]);
    wrap->flows[0].source = start.pipes[0][0];
    wrap->flows[1].source = start.pipes[1][0];
    int error = 0;
    *exec_failed =
        fork_error == 0 && read(start.report[0], &error, sizeof(error)) == (ssize_t)sizeof(error);
    (void)close(start.report[0]);
    if (*exec_failed) {
        (void)waitpid(pid, NULL, 0);
        return -error;
    }
    wrap->child_fd = fork_error == 0 ? pidfd_open(pid, 0) : -1;
    if (wrap->child_fd < 0) {
        return fork_error < 0 ? fork_error : -errno;
    }
    *out = pid;
    return 0;
}

static int open_flows(struct wrap *wrap)
{
    for (int i = 0; i < 2; i++) {
        struct flow *flow = &wrap->flows[i];
        struct stat status;
        *flow = (struct flow){.source = -1,
            .shown = wrap->options->show ? i + 1 : -1,
            .stream = i == 0 ? YARDER_STREAM_STDOUT : YARDER_STREAM_STDERR,
            .bytes = malloc(READ_BYTES)};
        flow->shown_at_once = fstat(i + 1, &status) == 0 && S_ISREG(status.st_mode);
        framer_init(&flow->framer, FRAME_LF, YARDER_TEXT_BYTES_MAX);
        if (flow->bytes == NULL) {
            return -ENOMEM;
        }
    }
    return 0;
}

static int wait_child(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* To the command's end; its status. */
static int follow(const struct cli *cli, struct wrap *wrap, pid_t pid)
{
    const struct wrap_options *options = wrap->options;
    set_wait(wrap, true);
    if (yarder_attach() < 0 && !options->quiet) {
        char run_dir[ASK_PATH_BYTES];
        ask_run_dir(options->run_dir, run_dir, sizeof(run_dir));
        cli_say(cli, "no daemon%s in %s: lines are %s, not kept, until there is one",
            options->preload != NULL ? " with `input = ring`" : "", run_dir,
            options->show ? "shown" : "lost");
    }
    while (serve(wrap)) {
    }
    end_flow(wrap, &wrap->flows[0]);
    end_flow(wrap, &wrap->flows[1]);
    int status = wait_child(pid);
    bool taken = yarder_flush(FLUSH_MS) != -ETIMEDOUT;
    if (!options->quiet && wrap->lost > 0) {
        cli_say(cli, "%llu of %llu lines did not reach a daemon", (unsigned long long)wrap->lost,
            (unsigned long long)wrap->lines);
    } else if (!options->quiet && !taken) {
        cli_say(cli, "the daemon has not taken the last lines yet; they lie in the ring");
    }
    return status;
}

int wrap_run(const struct cli *cli, const struct wrap_options *options)
{
    struct wrap wrap = {.options = options, .signals_fd = -1, .child_fd = -1};
    pid_t pid = 0;
    bool exec_failed = false;
    int r = open_flows(&wrap);
    if (r == 0) {
        r = start_child(&wrap, &pid, &exec_failed);
    }
    int status = r == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUN;
    if (r == 0) {
        status = follow(cli, &wrap, pid);
    } else {
        cli_say(cli, "%s: %s", exec_failed ? options->arguments[0] : "cannot start a command",
            strerror(-r));
    }
    for (size_t i = 0; i < YARDER_COUNT_OF(wrap.flows); i++) {
        yarder_fd_drop(&wrap.flows[i].source);
        framer_deinit(&wrap.flows[i].framer);
        free(wrap.flows[i].bytes);
    }
    yarder_fd_drop(&wrap.signals_fd);
    yarder_fd_drop(&wrap.child_fd);
    return status;
}
