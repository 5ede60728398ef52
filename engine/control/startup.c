/* SPDX-License-Identifier: Apache-2.0 */
/* The way in: board, signals, sockets, children, the first worker. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "control/supervisor_private.h"
#include "os/memory.h"

static int open_signals(struct supervisor *supervisor)
{
    sigset_t set;
    const int wanted[] = {
        SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD, SIGQUIT, SIGWINCH, SIGRTMIN};
    (void)sigemptyset(&set);
    for (size_t i = 0; i < YARDER_COUNT_OF(wanted); i++) {
        (void)sigaddset(&set, wanted[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a region over RLIMIT_FSIZE is refused, no reason to die */
    supervisor->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return supervisor->signal_fd < 0 ? -errno : 0;
}

static int open_board(struct supervisor *supervisor)
{
    int r = os_memfd_create(&supervisor->board_fd, "yarder-board", sizeof(struct board));
    if (r < 0) {
        return r;
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

static void raise_limits(struct supervisor *supervisor)
{
    (void)getrlimit(RLIMIT_NOFILE, &supervisor->files_given); /* cannot fail */
    struct rlimit files = supervisor->files_given;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

void supervisor_show_problems(const struct supervisor *supervisor)
{
    bool error = false;
    const char *line = NULL;
    for (uint32_t i = 0; (line = listeners_problem(supervisor->listeners, i, &error)) != NULL;
         i++) {
        supervisor_say("%s", line);
    }
}

/*
 * The worker of a daemon that was killed has the sockets open until it is gone as well, which takes
 * a moment: so long they are tried again.
 */
static int prepare_sockets(struct supervisor *supervisor)
{
    enum { TRIES = 100 };
    static const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    const struct daemon_config *config = supervisor->current->config;
    for (int try = 0;; try++) {
        int r = listeners_prepare(supervisor->listeners, config->inputs, config->inputs_count,
            config->run_dir, &supervisor->identity);
        if (r <= 0 || !supervisor->succeeds_killed || try == TRIES) {
            return r;
        }
        listeners_cancel(supervisor->listeners);
        (void)nanosleep(&pause, NULL);
    }
}

/* Whether anything can come in, and `yarder status` be answered. */
static bool is_of_use(const struct supervisor *supervisor)
{
    const struct daemon_config *config = supervisor->current->config;
    bool comes = false;
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        enum input_kind kind = config->inputs[i].kind;
        bool source = kind == INPUT_SOURCE && config->inputs[i].listens != INPUT_SOURCE;
        bool socket = kind == INPUT_UNIX || kind == INPUT_UDP || kind == INPUT_TCP || source;
        bool there = !socket || listeners_input(supervisor->listeners, false, i) >= 0;
        comes |= kind == INPUT_RING ? listeners_ring(supervisor->listeners, false) >= 0 : there;
    }
    return comes && listeners_control(supervisor->listeners, false) >= 0;
}

/* One socket that cannot be had is told, and no reason for the other inputs not to be served. */
static int open_sockets(struct supervisor *supervisor)
{
    const struct daemon_config *config = supervisor->current->config;
    int r = listeners_open(&supervisor->listeners);
    if (r == 0) {
        r = prepare_sockets(supervisor);
    }
    if (r >= 0) {
        listeners_adopt(supervisor->listeners);
    }
    supervisor_show_problems(supervisor);
    if (r < 0 || (r > 0 && !is_of_use(supervisor))) {
        return r < 0 ? r : -EADDRINUSE;
    }
    if (r > 0) {
        supervisor_say("the other inputs are served; `yarder reload` tries again");
    }
    const struct regions_options limits = {
        .ring_bytes = config->ring_bytes, .ring_bytes_total = config->ring_bytes_total};
    r = regions_open(&supervisor->regions, &limits);
    return r < 0
               ? r
               : regions_listen(supervisor->regions, listeners_ring(supervisor->listeners, false));
}

static int socket_of(void *context, uint32_t input)
{
    const struct supervisor *supervisor = context;
    return listeners_input(supervisor->listeners, false, input);
}

void supervisor_set_sources(struct supervisor *supervisor, const struct deployment *deployment)
{
    struct os_file_id program = {0};
    (void)!os_file_id(deployment->program_fd, &program);
    const struct children_sources sources = {.program_fd = deployment->program_fd,
        .settings_fd = deployment->settings_fd,
        .program = program.inode,
        .socket = socket_of,
        .context = supervisor};
    children_set_sources(supervisor->children, &sources);
}

static int open_children(struct supervisor *supervisor)
{
    const struct daemon_config *config = supervisor->current->config;
    const struct children_options options = {.environment = supervisor->options->environment,
        .preload = supervisor->options->preload,
        .identity = supervisor->identity,
        .files = &supervisor->files_given,
        .stdin_fd = STDIN_FILENO};
    int r = children_open(&supervisor->children, &options);
    if (r == 0) {
        r = children_prepare(supervisor->children, config->inputs, config->inputs_count);
    }
    return r;
}

/* A daemon started without them (yarder run <&-): a descriptor of ours must not become one. */
static bool was_closed[STDERR_FILENO + 1];

void supervisor_open_standard(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO) {
        was_closed[fd] = true;
        (void)fcntl(fd, F_SETFD, 0);
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    }
    yarder_fd_drop(&fd);
}

int supervisor_open(struct supervisor *supervisor)
{
    const struct daemon_config *config = supervisor->current->config;
    char why[256] = "";
    int r = identity_find(&supervisor->identity, config->user, config->group, why, sizeof(why));
    if (r == 0) {
        r = identity_try(&supervisor->identity, why, sizeof(why));
    }
    if (r < 0) {
        supervisor_say("%s", why);
        return r;
    }
    raise_limits(supervisor);
    r = place_open(supervisor);
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
        supervisor_set_sources(supervisor, supervisor->current);
        children_adopt(
            supervisor->children, supervisor->now_ns); /* their pipes wait for the worker */
        r = worker_start(supervisor, &supervisor->worker, supervisor->current, false);
    }
    return r;
}

int supervisor_check_standard(const struct daemon_config *config, struct config_report *report)
{
    int r = 0;
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        const struct output_config *output = &config->outputs[i];
        bool to_error = strcmp(output->target, "stderr") == 0;
        if (output->kind == OUTPUT_STDIO && was_closed[to_error ? STDERR_FILENO : STDOUT_FILENO]) {
            report_error(report, output->where, "output %s: standard %s is closed", output->name,
                to_error ? "error" : "output");
            r = -EINVAL;
        }
    }
    return r;
}

void supervisor_close(struct supervisor *supervisor)
{
    listeners_close(supervisor->listeners);
    regions_close(supervisor->regions);
    children_close(supervisor->children);
    place_close(supervisor);
}
