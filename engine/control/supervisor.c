/* SPDX-License-Identifier: Apache-2.0 */
#include "control/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/workers.h"
#include "os/memory.h"

void supervisor_say(const char *format, ...)
{
    char line[4096];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "yarder: %s\n", line);
}

static int fail(const char *what, int error)
{
    supervisor_say("%s: %s", what, strerror(-error));
    return error;
}

static int make_folder(const char *path, mode_t mode)
{
    char part[YARDER_PATH_BYTES_MAX];
    (void)snprintf(part, sizeof(part), "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(part, 0755);
        *slash = '/';
    }
    return mkdir(part, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_folders(struct supervisor *supervisor)
{
    const struct daemon_config *config = supervisor->current->config;
    int r = make_folder(config->run_dir, 0755);
    if (r < 0) {
        return fail(config->run_dir, r);
    }
    r = make_folder(config->state_dir, 0750);
    if (r < 0) {
        return fail(config->state_dir, r);
    }
    if (supervisor->identity.change) {
        (void)!chown(config->state_dir, supervisor->identity.uid, supervisor->identity.gid);
    }
    return 0;
}

/* One daemon for a run directory. Its pid stands in the file, for people and scripts. */
static int take_lock(struct supervisor *supervisor)
{
    char path[YARDER_PATH_BYTES_MAX];
    char pid[32];
    (void)snprintf(path, sizeof(path), "%s/pid", supervisor->current->config->run_dir);
    supervisor->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (supervisor->lock_fd < 0) {
        return fail(path, -errno);
    }
    if (flock(supervisor->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = read(supervisor->lock_fd, pid, sizeof(pid) - 1);
        pid[n > 0 ? n : 0] = '\0';
        pid[strcspn(pid, "\n")] = '\0';
        supervisor_say("a daemon already runs in %s (pid %s); another one needs another --run-dir",
            supervisor->current->config->run_dir, pid);
        return -EBUSY;
    }
    int length = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(supervisor->lock_fd, 0) < 0 ||
        pwrite(supervisor->lock_fd, pid, (size_t)length, 0) != length) {
        return fail(path, -errno);
    }
    return 0;
}

static int open_signals(struct supervisor *supervisor)
{
    sigset_t set;
    const int wanted[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD, SIGQUIT, SIGWINCH};
    (void)sigemptyset(&set);
    for (size_t i = 0; i < YARDER_COUNT_OF(wanted); i++) {
        (void)sigaddset(&set, wanted[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    supervisor->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return supervisor->signal_fd < 0 ? -errno : 0;
}

static int open_board(struct supervisor *supervisor)
{
    supervisor->board_fd = memfd_create("yarder-board", MFD_CLOEXEC);
    if (supervisor->board_fd < 0 || ftruncate(supervisor->board_fd, sizeof(struct board)) < 0) {
        return -errno;
    }
    void *board = mmap(
        NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, supervisor->board_fd, 0);
    if (board == MAP_FAILED) {
        return -errno;
    }
    supervisor->board = board;
    supervisor->board->started_ns = (uint64_t)os_realtime_ns();
    return 0;
}

static void raise_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* Sockets: one that cannot be had is an error at the start; mere warnings are shown. */
static int open_sockets(struct supervisor *supervisor)
{
    const struct daemon_config *config = supervisor->current->config;
    int r = listeners_open(&supervisor->listeners);
    if (r == 0) {
        r = listeners_prepare(
            supervisor->listeners, config->inputs, config->inputs_count, config->run_dir);
    }
    bool error = false;
    const char *line = NULL;
    for (uint32_t i = 0;
         r >= 0 && (line = listeners_problem(supervisor->listeners, i, &error)) != NULL; i++) {
        supervisor_say("%s", line);
    }
    if (r != 0) {
        return r < 0 ? r : -EADDRINUSE;
    }
    listeners_adopt(supervisor->listeners);
    const struct regions_options limits = {
        .ring_bytes = config->ring_bytes, .ring_bytes_total = config->ring_bytes_total};
    r = regions_open(&supervisor->regions, &limits);
    return r < 0
               ? r
               : regions_listen(supervisor->regions, listeners_ring(supervisor->listeners, false));
}

static int open_children(struct supervisor *supervisor)
{
    const struct daemon_config *config = supervisor->current->config;
    const struct children_options options = {.environment = supervisor->options->environment,
        .identity = supervisor->identity,
        .stdin_fd = STDIN_FILENO};
    int r = children_open(&supervisor->children, &options);
    if (r == 0) {
        r = children_prepare(supervisor->children, config->inputs, config->inputs_count);
    }
    return r;
}

static int open_all(struct supervisor *supervisor)
{
    const struct daemon_config *config = supervisor->current->config;
    char why[256] = "";
    int r = identity_find(&supervisor->identity, config->user, config->group, why, sizeof(why));
    if (r < 0) {
        supervisor_say("%s", why);
        return r;
    }
    raise_limits();
    r = open_folders(supervisor);
    if (r == 0) {
        r = take_lock(supervisor);
    }
    if (r == 0) {
        r = open_board(supervisor);
    }
    if (r == 0) {
        r = open_signals(supervisor);
    }
    if (r == 0) {
        r = open_sockets(supervisor);
    }
    if (r == 0) {
        r = open_children(supervisor);
    }
    if (r == 0) {
        (void)!notify_open(&supervisor->notify);
        children_adopt(
            supervisor->children, supervisor->now_ns); /* their pipes wait for the worker */
        r = worker_start(supervisor, &supervisor->worker, supervisor->current, false);
    }
    return r;
}

/* TERM: children first, then the worker drains what they wrote, then nothing is left to do. */
static void begin_stop(struct supervisor *supervisor)
{
    if (supervisor->stop_ns != 0) { /* a second TERM: now */
        supervisor->stop_ns = supervisor->now_ns;
        (void)!worker_tell(&supervisor->worker, CHANNEL_STOP, 0, 0);
        return;
    }
    notify_stopping(&supervisor->notify);
    supervisor->stop_ns = supervisor->now_ns + supervisor->current->config->drain_ns;
    children_stop_starting(supervisor->children);
    if (!supervisor->ended) {
        children_signal(supervisor->children, SIGTERM);
    }
}

static void serve_stop(struct supervisor *supervisor)
{
    static const uint64_t kill_after_ns = 1000000000ull;
    if (supervisor->stop_ns == 0) {
        return;
    }
    uint64_t drain_ns = supervisor->current->config->drain_ns;
    bool children_late = supervisor->now_ns + drain_ns / 2 >= supervisor->stop_ns;
    bool children_gone = children_running(supervisor->children) == 0;
    if (supervisor->worker.pid != 0 && supervisor->worker.stage == STAGE_RUNNING &&
        (children_gone || children_late)) {
        uint64_t left =
            supervisor->stop_ns > supervisor->now_ns ? supervisor->stop_ns - supervisor->now_ns : 0;
        supervisor->worker.stage = STAGE_LEAVING;
        (void)!worker_tell(&supervisor->worker, CHANNEL_STOP, 0, left);
    }
    if (supervisor->now_ns >= supervisor->stop_ns + kill_after_ns) {
        if (supervisor->worker.pid != 0) {
            (void)kill(supervisor->worker.pid, SIGKILL);
        }
        supervisor->stop_sent = true;
    }
}

static void reap(struct supervisor *supervisor)
{
    int status = 0;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
        if (!worker_reaped(supervisor, pid, status)) {
            (void)children_reaped(supervisor->children, pid, status, supervisor->now_ns);
        }
    }
}

static void serve_signals(struct supervisor *supervisor)
{
    struct signalfd_siginfo info;
    while (read(supervisor->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        int number = (int)info.ssi_signo;
        if (supervisor->options->leave_with_child && number != SIGCHLD) {
            children_signal(supervisor->children, number); /* the program decides */
        } else if (number == SIGTERM || number == SIGINT || number == SIGQUIT) {
            begin_stop(supervisor);
        } else if (number == SIGHUP) {
            reload_begin(supervisor);
            (void)!worker_tell(&supervisor->worker, CHANNEL_REOPEN, 0, 0);
        } else if (number == SIGUSR1) {
            (void)!worker_tell(&supervisor->worker, CHANNEL_REOPEN, 0, 0);
        } else if (number == SIGUSR2) {
            reload_begin(supervisor); /* the new worker is the binary that stands on disk now */
        }
    }
}

static void child_ended(struct supervisor *supervisor, const struct children_event *event)
{
    const struct daemon_config *config = supervisor->current->config;
    for (int i = 0; i < 2; i++) {
        enum yarder_stream stream = i == 0 ? YARDER_STREAM_STDOUT : YARDER_STREAM_STDERR;
        uint32_t pipe = pipe_of(config->inputs, event->input, stream);
        (void)!worker_tell(&supervisor->worker, CHANNEL_CHILD_ENDED, pipe, event->final);
        if (supervisor->candidate.pid != 0) {
            (void)!worker_tell(&supervisor->candidate, CHANNEL_CHILD_ENDED, pipe, event->final);
        }
    }
    if (supervisor->options->leave_with_child && event->final) {
        supervisor->exit_status = children_exit_status(supervisor->children, event->input);
    }
}

static void serve_children(struct supervisor *supervisor)
{
    children_serve(supervisor->children, supervisor->now_ns);
    struct children_event event;
    while (children_next_event(supervisor->children, &event)) {
        switch (event.kind) {
        case CHILDREN_STARTED:
            break;
        case CHILDREN_FAILED:
            supervisor_say(
                "input %s: its command cannot be started: %s", event.name, strerror(-event.error));
            child_ended(supervisor, &event);
            break;
        case CHILDREN_ENDED:
            if (!supervisor->options->leave_with_child) {
                supervisor_say("input %s: its command has ended (pid %d, status 0x%x)%s",
                    event.name, (int)event.pid, (unsigned)event.status,
                    event.final ? "" : "; it is started again");
            }
            child_ended(supervisor, &event);
            break;
        case CHILDREN_LEFT:
            supervisor_say("input %s has left the configuration", event.name);
            break;
        }
    }
}

static void serve_regions(struct supervisor *supervisor)
{
    regions_serve(supervisor->regions);
    const struct region_view *region = NULL;
    enum regions_event_kind kind;
    while ((kind = regions_next_event(supervisor->regions, &region)) != REGIONS_NONE) {
        struct worker_process *to[] = {&supervisor->worker, &supervisor->candidate};
        for (size_t i = 0; i < YARDER_COUNT_OF(to); i++) {
            if (to[i]->pid == 0 || to[i]->channel_fd < 0) {
                continue;
            }
            int r = kind == REGIONS_NEW ? worker_tell_region(to[i], region)
                                        : worker_tell(to[i], CHANNEL_REGION_GONE, 0, region->id);
            if (r < 0 && r != -EPIPE) {
                supervisor_say("a ring client could not be told to the worker: %s", strerror(-r));
            }
        }
    }
    const struct regions_counts counts = regions_counts(supervisor->regions);
    supervisor->board->ring_clients = counts.open;
    supervisor->board->ring_bytes = counts.bytes;
    supervisor->board->ring_refused = counts.refused_memory;
}

enum {
    POLL_SIGNALS,
    POLL_REGIONS,
    POLL_WORKER,
    POLL_CANDIDATE,
    POLL_LEAVING,
    POLL_COUNT = POLL_LEAVING + WORKERS_LEAVING_MAX
};

static void wait_for_something(struct supervisor *supervisor)
{
    struct pollfd polled[POLL_COUNT];
    polled[POLL_SIGNALS] = (struct pollfd){.fd = supervisor->signal_fd, .events = POLLIN};
    polled[POLL_REGIONS] = (struct pollfd){.fd = regions_fd(supervisor->regions), .events = POLLIN};
    polled[POLL_WORKER] = (struct pollfd){.fd = supervisor->worker.channel_fd, .events = POLLIN};
    polled[POLL_CANDIDATE] =
        (struct pollfd){.fd = supervisor->candidate.channel_fd, .events = POLLIN};
    for (int i = 0; i < WORKERS_LEAVING_MAX; i++) {
        polled[POLL_LEAVING + i] =
            (struct pollfd){.fd = supervisor->leaving[i].channel_fd, .events = POLLIN};
    }
    uint64_t deadline =
        yarder_min(workers_deadline_ns(supervisor), children_deadline_ns(supervisor->children));
    uint64_t wait_ns = deadline > supervisor->now_ns ? deadline - supervisor->now_ns : 0;
    (void)poll(polled, POLL_COUNT, (int)((wait_ns + 999999) / 1000000));
    supervisor->now_ns = (uint64_t)os_monotonic_ns();
    worker_hear(supervisor, &supervisor->worker);
    worker_hear(supervisor, &supervisor->candidate);
    for (int i = 0; i < WORKERS_LEAVING_MAX; i++) {
        worker_hear(supervisor, &supervisor->leaving[i]);
    }
}

static bool may_leave(const struct supervisor *supervisor)
{
    if (supervisor->stop_ns == 0) {
        return false;
    }
    return supervisor->worker.pid == 0 || (supervisor->stop_sent && supervisor->worker.pid == 0) ||
           supervisor->stop_ns == 1;
}

static void loop(struct supervisor *supervisor)
{
    while (!may_leave(supervisor)) {
        wait_for_something(supervisor);
        serve_signals(supervisor);
        reap(supervisor);
        serve_regions(supervisor);
        serve_children(supervisor);
        if (supervisor->stop_ns == 0) {
            workers_serve(supervisor);
        }
        if (supervisor->reload_again) {
            reload_begin(supervisor);
        }
        if (supervisor->ended && supervisor->stop_ns == 0) {
            begin_stop(supervisor);
        }
        serve_stop(supervisor);
    }
}

static void close_all(struct supervisor *supervisor)
{
    listeners_close(supervisor->listeners);
    regions_close(supervisor->regions);
    children_close(supervisor->children);
    if (supervisor->lock_fd >= 0) {
        char path[YARDER_PATH_BYTES_MAX];
        (void)snprintf(path, sizeof(path), "%s/pid", supervisor->current->config->run_dir);
        (void)unlink(path);
    }
}

int supervisor_run(const struct supervisor_options *options)
{
    static struct supervisor supervisor;
    supervisor = (struct supervisor){.options = options,
        .now_ns = (uint64_t)os_monotonic_ns(),
        .signal_fd = -1,
        .lock_fd = -1,
        .first_start = true};
    supervisor.worker.channel_fd = supervisor.candidate.channel_fd = -1;
    for (int i = 0; i < WORKERS_LEAVING_MAX; i++) {
        supervisor.leaving[i].channel_fd = -1;
    }
    struct config_report report;
    report_init(&report);
    int r = deployment_open(&supervisor.current, options, &report);
    report_print(&report, false, stderr);
    report_deinit(&report);
    if (r < 0) {
        return r == -EINVAL ? 2 : 1;
    }
    r = open_all(&supervisor);
    if (r == 0) {
        banner_show(&supervisor);
        loop(&supervisor);
        r = supervisor.exit_status;
    } else {
        r = 1;
    }
    close_all(&supervisor);
    return r;
}

static struct daemon_config *config_of(int settings_fd, char *why, size_t why_bytes)
{
    struct stat facts;
    struct settings *settings = NULL;
    struct daemon_config *config = NULL;
    struct config_report report;
    report_init(&report);
    YARDER_OWN_HEAP void *bytes = NULL;
    if (fstat(settings_fd, &facts) == 0 && facts.st_size > 0) {
        bytes = malloc((size_t)facts.st_size);
    }
    int r = bytes == NULL ? -ENOMEM : 0;
    if (r == 0 && pread(settings_fd, bytes, (size_t)facts.st_size, 0) != facts.st_size) {
        r = -EIO;
    }
    if (r == 0) {
        r = settings_unpack(&settings, bytes, (size_t)facts.st_size);
    }
    if (r == 0) {
        r = config_load(&config, settings, &report);
    }
    if (r < 0) {
        (void)snprintf(why, why_bytes, "settings: %s", strerror(-r));
        config = NULL;
    }
    report_deinit(&report);
    return config; /* lives as long as the process, and so do its settings */
}

int supervisor_worker(int channel_fd)
{
    (void)fcntl(channel_fd, F_SETFD, FD_CLOEXEC);
    const struct worker_options options = {.channel_fd = channel_fd, .config_of = config_of};
    return worker_run(&options);
}
