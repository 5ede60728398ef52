/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a worker and telling it what there is. Its messages and its death: hear.c, death.c. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/supervisor_private.h"

enum { SEND_WAIT_MS = 5000, CHANNEL_BUFFER_BYTES = 1 << 20, NUMBER_BYTES = 12 };

int worker_tell(
    struct worker_process *process, enum channel_kind kind, uint32_t index, uint64_t number)
{
    const struct channel_message message = channel_message_of(kind, index, number);
    return channel_send(process->channel_fd, &message, SEND_WAIT_MS);
}

static int tell_fds(struct worker_process *process, enum channel_kind kind, uint32_t index,
    uint64_t number, int first, int second, int third)
{
    struct channel_message message = channel_message_of(kind, index, number);
    message.fds[0] = first;
    message.fds[1] = second;
    message.fds[2] = third;
    return channel_send(process->channel_fd, &message, SEND_WAIT_MS);
}

int worker_tell_region(struct worker_process *process, const struct region_view *region)
{
    struct channel_message message = channel_message_of(CHANNEL_REGION, region->gone, region->id);
    message.pid = region->pid;
    message.uid = region->uid;
    message.fds[0] = region->region_fd;
    message.fds[1] = region->socket_fd;
    (void)snprintf(message.text, sizeof(message.text), "%s", region->program);
    return channel_send(process->channel_fd, &message, SEND_WAIT_MS);
}

/*
 * The lowest number that is free, or ours: all that we open closes on exec. What does not was given
 * to the daemon, and goes on to the worker under its own number, for the outputs that name it.
 */
static int channel_place(void)
{
    int fd = STDERR_FILENO + 1;
    int flags = fcntl(fd, F_GETFD);
    while (flags >= 0 && (flags & FD_CLOEXEC) == 0) {
        fd++;
        flags = fcntl(fd, F_GETFD);
    }
    return fd;
}

struct worker_birth {
    int channel_fd;
    int place; /* where the worker finds it */
    char place_text[NUMBER_BYTES];
    struct processors_share share;
};

/* In the child, between fork and exec: only what is safe there. */
_Noreturn static void become_worker(const struct supervisor *supervisor,
    const struct deployment *deployment, struct worker_birth *birth)
{
    static char name[] = "yarder";
    static char word[] = "worker";
    char *const arguments[] = {name, word, birth->place_text, NULL};
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    int program = fcntl(deployment->program_fd, F_DUPFD_CLOEXEC, birth->place + 1);
    if (program < 0) {
        _exit(127);
    }
    if (birth->channel_fd == birth->place) {
        (void)fcntl(birth->channel_fd, F_SETFD, 0);
    } else if (dup2(birth->channel_fd, birth->place) < 0) {
        _exit(127);
    }
    processors_take(&birth->share); /* with our privileges; the worker says what it got */
    if (identity_assume(&supervisor->identity) < 0) {
        _exit(126);
    }
    (void)execveat(program, "", arguments, supervisor->options->environment, AT_EMPTY_PATH);
    _exit(127);
}

static int spawn(struct supervisor *supervisor, struct worker_process *process)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        return -errno;
    }
    for (int i = 0; i < 2; i++) {
        const int bytes = CHANNEL_BUFFER_BYTES;
        (void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    }
    struct worker_birth birth = {.channel_fd = pair[1],
        .place = channel_place(),
        .share = config_share(process->deployment->config)};
    (void)snprintf(birth.place_text, sizeof(birth.place_text), "%d", birth.place);
    pid_t pid = fork();
    if (pid == 0) {
        become_worker(supervisor, process->deployment, &birth);
    }
    (void)close(pair[1]);
    if (pid < 0) {
        (void)close(pair[0]);
        return -errno;
    }
    process->pid = pid;
    process->channel_fd = pair[0];
    process->started_ns = supervisor->now_ns;
    process->generation = deployment_generation(process->deployment);
    return 0;
}

static int tell_pipes(struct supervisor *supervisor, struct worker_process *process, bool next_set)
{
    int r = 0;
    uint32_t count = children_pipes_count(supervisor->children, next_set);
    for (uint32_t i = 0; i < count && r == 0; i++) {
        const struct children_pipe pipe = children_pipe(supervisor->children, next_set, i);
        r = tell_fds(process, CHANNEL_PIPE, i, pipe.place.stream, pipe.source, pipe.staging_read,
            pipe.staging_write);
        if (r == 0 && pipe.settled >= 0) {
            r = tell_fds(process, CHANNEL_SETTLED, i, 0, pipe.settled, -1, -1);
        }
    }
    return r;
}

static int tell_sockets(
    struct supervisor *supervisor, struct worker_process *process, bool next_set)
{
    int r = 0;
    for (uint32_t i = 0; i < process->deployment->config->inputs_count && r == 0; i++) {
        int fd = listeners_input(supervisor->listeners, next_set, i);
        if (fd >= 0 && process->deployment->config->inputs[i].kind != INPUT_SOURCE) {
            r = tell_fds(process, CHANNEL_LISTENER, i, 0, fd, -1, -1);
        }
    }
    int control = listeners_control(supervisor->listeners, next_set);
    if (r == 0 && control >= 0) {
        r = tell_fds(process, CHANNEL_CONTROL, 0, 0, control, -1, -1);
    }
    return r;
}

static int tell_regions(struct supervisor *supervisor, struct worker_process *process)
{
    int r = 0;
    for (const struct region_view *region = regions_after(supervisor->regions, NULL);
         region != NULL && r == 0; region = regions_after(supervisor->regions, region)) {
        r = worker_tell_region(process, region);
    }
    return r;
}

static int tell_kept(struct worker_process *process, const struct deployment *deployment, bool old)
{
    int r = 0;
    for (uint32_t i = 0; i < deployment->kept_count; i++) {
        const struct kept_file *kept = &deployment->kept[i];
        for (int k = 0; k < KEPT_EACH && r == 0; k++) {
            if (kept->fds[k] >= 0) {
                struct channel_message message = channel_message_of(CHANNEL_FILE, i, old);
                memcpy(message.text, &kept->files[k], sizeof(kept->files[k]));
                message.fds[0] = kept->fds[k];
                r = channel_send(process->channel_fd, &message, SEND_WAIT_MS);
            }
        }
    }
    return r;
}

static int start(
    struct supervisor *supervisor, struct worker_process *process, struct deployment *deployment)
{
    *process = (struct worker_process){
        .stage = STAGE_PREPARING, .channel_fd = -1, .deployment = deployment};
    int r = spawn(supervisor, process);
    if (r < 0) {
        process->stage = STAGE_NONE;
        return r;
    }
    supervisor->board->workers_started++;
    r = tell_fds(process, CHANNEL_SETTINGS, 0, 0, deployment->settings_fd, -1, -1);
    if (r == 0) {
        r = tell_fds(process, CHANNEL_HOLD, 0, 0, deployment->hold_fd, -1, -1);
    }
    return r < 0 ? r : tell_fds(process, CHANNEL_BOARD, 0, 0, supervisor->board_fd, -1, -1);
}

int worker_start(struct supervisor *supervisor, struct worker_process *process,
    struct deployment *deployment, bool next_set)
{
    int r = start(supervisor, process, deployment);
    if (r == 0) {
        r = tell_sockets(supervisor, process, next_set);
    }
    if (r == 0) {
        r = tell_pipes(supervisor, process, next_set);
    }
    if (r == 0) {
        r = tell_regions(supervisor, process);
    }
    return r < 0 ? r : worker_tell(process, CHANNEL_PREPARE, 0, 0);
}

/* The hold that the new one continues, until the new one has a commit of its own. */
static int tell_before(struct supervisor *supervisor, struct worker_process *process)
{
    const struct deployment *before = supervisor->before;
    bool fresh = deployment_generation(process->deployment) <= 1;
    if (before == NULL || !fresh) {
        return 0;
    }
    int r = tell_fds(process, CHANNEL_OLD_SETTINGS, 0, 0, before->settings_fd, -1, -1);
    if (r == 0) {
        r = tell_fds(process, CHANNEL_OLD_HOLD, 0, 0, before->hold_fd, -1, -1);
    }
    return r < 0 ? r : tell_kept(process, before, true);
}

/* Children that ended while nobody who could be told was at work. */
static int tell_ended_children(struct supervisor *supervisor, struct worker_process *process)
{
    const struct daemon_config *config = process->deployment->config;
    int r = 0;
    for (uint32_t i = 0; i < config->inputs_count && r == 0; i++) {
        if (config->inputs[i].kind != INPUT_EXEC && config->inputs[i].kind != INPUT_SOURCE) {
            continue;
        }
        enum child_state state = children_state(supervisor->children, i);
        bool final = state == CHILD_ENDED;
        if (!final && state != CHILD_WAITING) {
            continue;
        }
        uint32_t pipe = pipe_of(config->inputs, i, YARDER_STREAM_STDOUT);
        for (uint32_t k = 0; k < pipes_of_kind(config->inputs[i].kind) && r == 0; k++) {
            r = worker_tell(process, CHANNEL_CHILD_ENDED, pipe + k, final);
        }
    }
    return r;
}

int worker_go(struct supervisor *supervisor, struct worker_process *process)
{
    enum { CRASHES_BEFORE_CARE = 3 };
    const struct hold_header *header = process->deployment->hold->header;
    uint64_t how = supervisor->first_start ? 2 : 0;
    if (header->crash_count >= CRASHES_BEFORE_CARE || header->suspect != 0) {
        how = 1;
    }
    int r = tell_before(supervisor, process);
    if (r == 0) {
        r = tell_kept(process, process->deployment, false);
    }
    for (uint32_t i = 0; i < YARDER_OUTPUTS_MAX && r == 0; i++) {
        if ((supervisor->fence_mask >> i & 1) != 0) {
            r = worker_tell(process, CHANNEL_FENCE, i, 1);
        }
    }
    if (r == 0) {
        r = worker_tell(process, CHANNEL_GO, 0, how);
    }
    if (r == 0) {
        r = tell_ended_children(supervisor, process);
    }
    if (r == 0) {
        process->stage = STAGE_RUNNING;
        supervisor->first_start = false;
    }
    return r;
}

int worker_tell_left(const struct supervisor *supervisor, struct worker_process *process)
{
    uint64_t left_ns =
        process->kill_ns > supervisor->now_ns ? process->kill_ns - supervisor->now_ns : 0;
    struct channel_message stop = channel_message_of(CHANNEL_STOP, 0, left_ns);
    memcpy(stop.text, &process->left, sizeof(process->left));
    return channel_send(process->channel_fd, &stop, SEND_WAIT_MS);
}

int worker_start_heir(struct supervisor *supervisor, struct worker_process *process)
{
    const struct worker_process dead = *process;
    int r = start(supervisor, process, dead.deployment);
    process->left = dead.left;
    process->kill_ns = dead.kill_ns;
    return r < 0 ? r : worker_tell(process, CHANNEL_PREPARE, 0, 0);
}

int worker_go_heir(const struct supervisor *supervisor, struct worker_process *process)
{
    int r = tell_kept(process, process->deployment, false);
    if (r == 0) {
        r = worker_tell(process, CHANNEL_GO, 0, 3);
    }
    process->stage = STAGE_LEAVING;
    return r < 0 ? r : worker_tell_left(supervisor, process);
}
