/* SPDX-License-Identifier: Apache-2.0 */
/* The way in: folders, lock, board, signals, sockets, children, the first worker. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/supervisor_private.h"
#include "os/memory.h"

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

void supervisor_show_problems(const struct supervisor *supervisor)
{
    bool error = false;
    const char *line = NULL;
    for (uint32_t i = 0; (line = listeners_problem(supervisor->listeners, i, &error)) != NULL;
         i++) {
        supervisor_say("%s", line);
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
    if (r == 0) {
        listeners_adopt(supervisor->listeners);
    }
    supervisor_show_problems(supervisor);
    if (r != 0) {
        return r < 0 ? r : -EADDRINUSE;
    }
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
    if (supervisor->lock_fd >= 0) {
        char path[YARDER_PATH_BYTES_MAX];
        (void)snprintf(path, sizeof(path), "%s/pid", supervisor->current->config->run_dir);
        (void)unlink(path);
    }
}
