/* SPDX-License-Identifier: Apache-2.0 */
#include "control/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/spawn.h"
#include "control/supervisor_private.h"
#include "offload/source.h"
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

static void tell_children_to_end(struct supervisor *supervisor)
{
    supervisor->told_ns = supervisor->now_ns;
    children_stop_starting(supervisor->children);
    children_signal(supervisor->children, SIGTERM, false);
}

/* TERM: children first, then the worker drains what they wrote, then nothing is left to do. */
static void begin_stop(struct supervisor *supervisor)
{
    if (supervisor->stop_ns != 0) { /* a second TERM: now */
        supervisor->stop_ns = supervisor->now_ns;
        supervisor->stop_now = true;
        (void)!worker_tell(&supervisor->worker, CHANNEL_STOP, 0, 0);
        return;
    }
    notify_stopping(&supervisor->notify);
    supervisor->stop_ns = supervisor->now_ns + supervisor->current->config->drain_ns;
    tell_children_to_end(supervisor);
}

/* A lane with a backend may have a command to end (close_outputs of the worker), unless told now.
 */
static uint64_t grace_ns(const struct supervisor *supervisor)
{
    static const uint64_t usual_ns = 1000000000;
    static const uint64_t backends_ns = 7000000000;
    const struct daemon_config *config = supervisor->current->config;
    bool patient = false;
    for (uint32_t i = 0; i < config->outputs_count && !supervisor->stop_now; i++) {
        patient = patient || config->outputs[i].kind == OUTPUT_OFFLOAD;
    }
    return patient ? backends_ns : usual_ns;
}

static void serve_stop(struct supervisor *supervisor)
{
    static const uint64_t leave_after_ns = 1000000000ull;
    if (supervisor->stop_ns == 0) {
        return;
    }
    uint64_t kill_after_ns = grace_ns(supervisor);
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
    if (supervisor->worker.pid == 0 || supervisor->now_ns < supervisor->stop_ns + kill_after_ns) {
        return;
    }
    (void)kill(supervisor->worker.pid, SIGKILL);
    if (supervisor->now_ns >= supervisor->stop_ns + kill_after_ns + leave_after_ns) {
        supervisor_say(
            "the worker is stuck in a call on a file (a hung disk?): leaving without it");
        supervisor->worker.pid = 0;
        supervisor->exit_status = 1;
    }
}

/* What no output took in time goes with us; nobody shall have to guess that. */
static void say_undelivered(struct supervisor *supervisor)
{
    const struct deployment *current = supervisor->current;
    if (hold_load(current->hold) < 0) {
        return;
    }
    for (uint32_t i = 0; i < current->config->outputs_count; i++) {
        uint64_t held = hold_held(current->hold, i);
        if (held > 0) {
            supervisor_say("output %s: %llu records were not delivered in time and are lost",
                current->config->outputs[i].name, (unsigned long long)held);
            supervisor->exit_status = 1;
        }
    }
    supervisor->exit_status = workers_say_left(supervisor) ? 1 : supervisor->exit_status;
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
        bool program = children_running(supervisor->children) > 0;
        if (supervisor->options->leave_with_child && program && number != SIGCHLD) {
            /* it decides */
            children_signal(supervisor->children, number, info.ssi_code == SI_KERNEL);
        } else if (number == SIGTERM || number == SIGINT || number == SIGQUIT) {
            begin_stop(supervisor);
        } else if (number == SIGHUP) {
            reload_begin(supervisor, false);
            (void)!worker_tell(&supervisor->worker, CHANNEL_REOPEN, 0, 0);
        } else if (number == SIGUSR1) {
            (void)!worker_tell(&supervisor->worker, CHANNEL_REOPEN, 0, 0);
        } else if (number == SIGRTMIN) {
            (void)!worker_tell(&supervisor->worker, CHANNEL_ROTATE, 0, 0);
        } else if (number == SIGUSR2) {
            reload_begin(supervisor, true);
        }
    }
}

/* A candidate learns of it when it gets the lease (worker_go): it counts pipes differently. */
static void child_ended(struct supervisor *supervisor, const struct children_event *event)
{
    const struct daemon_config *config = supervisor->current->config;
    const struct input_config *input = &config->inputs[event->input];
    uint32_t pipe = pipe_of(config->inputs, event->input, YARDER_STREAM_STDOUT);
    for (uint32_t i = 0; i < pipes_of_kind(input->kind); i++) {
        (void)!worker_tell(&supervisor->worker, CHANNEL_CHILD_ENDED, pipe + i, event->final);
    }
    if (supervisor->options->leave_with_child && event->final && input->kind == INPUT_EXEC) {
        supervisor->exit_status = children_exit_status(supervisor->children, event->input);
        bool is_the_one = input->program_stdin == INPUT_STDIN_INHERIT;
        if (is_the_one && !config->until_end && supervisor->stop_ns == 0) {
            begin_stop(supervisor); /* a ring has no end of its own */
        }
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
            if (!supervisor->options->leave_with_child && !event.renewed) {
                supervisor_say("input %s: its process has ended (pid %d, status 0x%x)%s",
                    event.name, (int)event.pid, (unsigned)event.status,
                    event.final ? "" : "; it is started again");
            }
            child_ended(supervisor, &event);
            break;
        case CHILDREN_LEFT:
            supervisor_say(
                "input %s has left the configuration; %llu bytes in its pipes were not read",
                event.name, (unsigned long long)event.unread_bytes);
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

/* When the worker is asked again whether it is alive; not while it is asked, or none is at work. */
static uint64_t watchdog_deadline_ns(const struct supervisor *supervisor)
{
    const struct worker_process *worker = &supervisor->worker;
    bool at_work = worker->stage == STAGE_RUNNING || worker->stage == STAGE_QUIETING;
    bool wanted = supervisor->notify.watchdog_ns != 0 && supervisor->stop_ns == 0;
    return wanted && at_work && !worker->asked ? supervisor->watchdog_ns : UINT64_MAX;
}

/*
 * The service manager's watchdog is fed by the writer of the worker, which answers between two
 * passes (hear.c); a supervisor that turns while nobody works would be no sign of life.
 */
static void serve_watchdog(struct supervisor *supervisor)
{
    if (supervisor->now_ns >= watchdog_deadline_ns(supervisor)) {
        supervisor->watchdog_ns = supervisor->now_ns + supervisor->notify.watchdog_ns;
        supervisor->worker.asked = worker_tell(&supervisor->worker, CHANNEL_ALIVE, 0, 0) == 0;
    }
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
    deadline = yarder_min(deadline, watchdog_deadline_ns(supervisor));
    uint64_t wait_ns = deadline > supervisor->now_ns ? deadline - supervisor->now_ns : 0;
    (void)poll(polled, POLL_COUNT, (int)((wait_ns + 999999) / 1000000));
    supervisor->now_ns = (uint64_t)os_monotonic_ns();
    worker_hear(supervisor, &supervisor->worker);
    worker_hear(supervisor, &supervisor->candidate);
    for (int i = 0; i < WORKERS_LEAVING_MAX; i++) {
        worker_hear(supervisor, &supervisor->leaving[i]);
    }
}

/* A worker died: its successor still drains, if there is time. */
static bool restarts(const struct supervisor *supervisor)
{
    return supervisor->restart_ns != 0 && supervisor->now_ns < supervisor->stop_ns;
}

static bool may_leave(const struct supervisor *supervisor)
{
    if (supervisor->stop_ns == 0) {
        return false;
    }
    bool done = supervisor->worker.pid == 0 && !restarts(supervisor);
    for (int i = 0; i < WORKERS_LEAVING_MAX && supervisor->now_ns < supervisor->stop_ns; i++) {
        done = done && supervisor->leaving[i].left == 0; /* of a reload right before */
    }
    return done || supervisor->stop_ns == 1;
}

static void loop(struct supervisor *supervisor)
{
    while (!may_leave(supervisor)) {
        wait_for_something(supervisor);
        serve_signals(supervisor);
        reap(supervisor);
        serve_regions(supervisor);
        serve_children(supervisor);
        if (supervisor->stop_ns == 0 || restarts(supervisor)) {
            workers_serve(supervisor);
        }
        if (supervisor->reload_again) {
            reload_begin(supervisor, false);
        }
        if (supervisor->ended && supervisor->stop_ns == 0) {
            begin_stop(supervisor);
        }
        if (supervisor->reader_gone && supervisor->stop_ns == 0) {
            supervisor->exit_status = 1; /* what came for it was not delivered */
            begin_stop(supervisor);
            supervisor->stop_ns = supervisor->now_ns; /* there is no use in draining */
        }
        serve_stop(supervisor);
        serve_watchdog(supervisor);
    }
}

/* Nobody outlives us. Who was told to end right before, for we leave in a hurry, has a moment. */
static void end_children(struct supervisor *supervisor)
{
    static const uint64_t moment_ns = 1000000000ull;
    if (supervisor->told_ns == 0) { /* no worker came to be */
        tell_children_to_end(supervisor);
    }
    while (children_running(supervisor->children) > 0 &&
           supervisor->now_ns < supervisor->told_ns + moment_ns) {
        struct pollfd none = {.fd = -1};
        (void)poll(&none, 1, 10);
        supervisor->now_ns = (uint64_t)os_monotonic_ns();
        reap(supervisor);
        serve_children(supervisor);
    }
    children_signal(supervisor->children, SIGKILL, false);
}

/* Where the binary stands, for an upgrade: by then another one may stand there. */
static void find_program(struct supervisor *supervisor)
{
    ssize_t length =
        readlink("/proc/self/exe", supervisor->program, sizeof(supervisor->program) - 1);
    supervisor->program[length < 0 ? 0 : length] = '\0';
}

int supervisor_run(const struct supervisor_options *options)
{
    static struct supervisor supervisor;
    supervisor = (struct supervisor){.options = options,
        .now_ns = (uint64_t)os_monotonic_ns(),
        .signal_fd = -1,
        .run_dir_fd = -1,
        .lock_fd = -1,
        .board_fd = -1,
        .first_start = true};
    supervisor.worker.channel_fd = supervisor.candidate.channel_fd = -1;
    for (int i = 0; i < WORKERS_LEAVING_MAX; i++) {
        supervisor.leaving[i].channel_fd = -1;
    }
    supervisor_open_standard();
    struct config_report report;
    report_init(&report);
    find_program(&supervisor);
    int r = deployment_open(&supervisor.current, options, "/proc/self/exe", &report);
    report_print(&report, false, stderr);
    report_deinit(&report);
    if (r < 0) {
        return r == -EINVAL ? 2 : 1;
    }
    r = supervisor_open(&supervisor);
    if (r == 0) {
        banner_show(&supervisor);
        loop(&supervisor);
        end_children(&supervisor);
        say_undelivered(&supervisor);
        r = supervisor.exit_status;
    } else {
        r = 1;
    }
    supervisor_close(&supervisor);
    return r;
}

/* The first thing that is wrong: what the supervisor could have, this user may not. */
static void tell_error(const struct config_report *report, int r, char *why, size_t why_bytes)
{
    const char *what = strerror(-r);
    for (uint32_t i = report->entries_count; i-- > 0;) {
        const struct report_entry *entry = &report->entries[i];
        what = entry->severity == REPORT_ERROR ? entry->what : what;
    }
    (void)snprintf(why, why_bytes, "settings: %s", what);
}

static struct daemon_config *config_of(int settings_fd, char *why, size_t why_bytes)
{
    struct stat facts;
    /* Both live as long as the process: a worker has its own configuration and, at a reload, the
       one before. */
    static struct settings *kept[4];
    static size_t kept_count;
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
        kept[kept_count++ % YARDER_COUNT_OF(kept)] = settings;
        r = config_load(&config, settings, &report);
    }
    if (r < 0) {
        tell_error(&report, r, why, why_bytes);
        config = NULL;
    }
    report_deinit(&report);
    return config;
}

int supervisor_worker(int channel_fd)
{
    (void)fcntl(channel_fd, F_SETFD, FD_CLOEXEC);
    const struct worker_options options = {.channel_fd = channel_fd, .config_of = config_of};
    return worker_run(&options);
}

int supervisor_source(uint32_t number)
{
    char why[512] = "";
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)prctl(PR_SET_NAME, "yarder-source");
    struct daemon_config *config = config_of(SPAWN_SETTINGS_FD, why, sizeof(why));
    if (config == NULL || number >= config->inputs_count ||
        config->inputs[number].kind != INPUT_SOURCE) {
        supervisor_say("source %u: %s", number, why);
        return 2;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max; /* connections, and nothing here uses select */
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    const struct input_config *input = &config->inputs[number];
    const struct source_options options = {.source = input->source,
        .self = input->settings,
        .input_name = input->name,
        .hostname = config->host,
        .record_bytes_max =
            input->record_bytes_max != 0 ? input->record_bytes_max : config->record_bytes_max,
        .pipe_fd = STDOUT_FILENO,
        .settled_fd = SPAWN_SETTLED_FD,
        .socket_fd = fcntl(SPAWN_SOCKET_FD, F_GETFD) < 0 ? -1 : SPAWN_SOCKET_FD};
    int status = source_run(&options);
    config_close(config);
    return status;
}
