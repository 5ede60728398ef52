/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's death, and what comes after it. A new one starts when the old one is reaped: only
 * then is it certain that nothing more is written. One that cannot be reaped has a thread in a
 * call that does not return (a hung disk): its lanes that are still there tell which files; those
 * stay closed (fenced), the new worker serves the rest.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "control/supervisor_private.h"
#include "os/crash.h"

static const uint64_t second_ns = 1000000000ull;
static const uint64_t pause_first_ns = 1000000ull;
static const uint64_t pause_most_ns = 5000000000ull;
static const uint64_t fence_after_ns = 1000000000ull;
static const uint64_t calm_ns = 10000000000ull;
static const uint64_t look_every_ns = 250000000ull;
static const uint64_t look_at_rest_ns = 1000000000ull;

static void describe(int status, char *text, size_t text_bytes)
{
    if (WIFSIGNALED(status)) {
        (void)snprintf(text, text_bytes, "was killed by signal %d (%s)", WTERMSIG(status),
            strsignal(WTERMSIG(status)));
    } else {
        (void)snprintf(text, text_bytes, "left with status %d", WEXITSTATUS(status));
    }
}

/* Crashes in a row: a record may be the cause. A worker that lives on ends the row: calm_down. */
static void count_crash(struct deployment *deployment)
{
    deployment->hold->header->crash_count++;
}

static void calm_down(struct supervisor *supervisor)
{
    const struct worker_process *worker = &supervisor->worker;
    if (worker->stage == STAGE_RUNNING && supervisor->now_ns - worker->started_ns >= calm_ns) {
        worker->deployment->hold->header->crash_count = 0;
    }
}

/*
 * At once while workers get something done between their deaths, else with growing pauses: one that
 * is killed at each start, for want of memory say, is no crash of its own doing.
 */
static void plan_restart(struct supervisor *supervisor, const struct worker_process *dead)
{
    bool lived = deployment_generation(dead->deployment) != dead->generation ||
                 supervisor->now_ns - dead->started_ns >= second_ns;
    bool progress = lived && dead->deployment->hold->header->crash_count <= 1;
    bool first = progress || supervisor->restart_pause_ns == 0;
    supervisor->restart_pause_ns =
        first ? pause_first_ns : yarder_min(supervisor->restart_pause_ns * 2, pause_most_ns);
    supervisor->restart_ns = supervisor->now_ns + supervisor->restart_pause_ns;
}

static void forget(struct worker_process *process)
{
    yarder_fd_drop(&process->channel_fd);
    *process = (struct worker_process){.channel_fd = -1};
}

static bool is_reaped(struct supervisor *supervisor, pid_t pid, int status);

static void worker_died(struct supervisor *supervisor, int status)
{
    struct worker_process dead = supervisor->worker;
    worker_hear(supervisor, &supervisor->worker); /* descriptors it sent before it died */
    if (supervisor->worker.pid != dead.pid) {
        (void)is_reaped(supervisor, dead.pid, status); /* its last word was QUIETED */
        return;
    }
    forget(&supervisor->worker);
    bool late = supervisor->stop_ns != 0 && supervisor->now_ns >= supervisor->stop_ns;
    if (supervisor->stop_ns != 0 && dead.stage == STAGE_LEAVING && (status == 0 || late)) {
        supervisor->exit_status = status == 0 ? supervisor->exit_status : 1;
        return;
    }
    if (!supervisor->started) {
        supervisor_say("the worker cannot start");
        supervisor->exit_status = WIFEXITED(status) && WEXITSTATUS(status) == 2 ? 2 : 1;
        supervisor->stop_ns = 1;
        return;
    }
    char how[128];
    describe(status, how, sizeof(how));
    supervisor->board->workers_crashed++;
    bool by_others = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; /* no record can do that */
    if (!by_others) {
        count_crash(dead.deployment);
    }
    supervisor_say("the worker %s; a new one goes on from its last commit", how);
    plan_restart(supervisor, &dead);
}

static void candidate_died(struct supervisor *supervisor, int status)
{
    char how[128];
    char why[200];
    describe(status, how, sizeof(how));
    (void)snprintf(why, sizeof(why), "the new worker %s", how);
    forget(&supervisor->candidate);
    reload_failed(supervisor, why);
}

void deployment_release(struct supervisor *supervisor, struct deployment *deployment)
{
    bool used = deployment == supervisor->current || deployment == supervisor->next;
    for (int i = 0; i < WORKERS_LEAVING_MAX; i++) {
        used = used || supervisor->leaving[i].deployment == deployment;
    }
    if (!used && deployment != supervisor->before) {
        deployment_close(deployment);
    }
}

/* The files that it was in a call on are free again; who waited for that may go on. */
static void lift_fences(struct supervisor *supervisor, uint64_t fences)
{
    uint64_t others = 0;
    for (int i = 0; i < WORKERS_LEAVING_MAX; i++) {
        others |= supervisor->leaving[i].fences;
    }
    uint64_t lifted = fences & ~others;
    if (lifted == 0) {
        return;
    }
    supervisor_say("the old worker's last call has ended; its files are written again");
    for (uint64_t left = lifted; left != 0; left &= left - 1) {
        uint32_t output = (uint32_t)__builtin_ctzll(left);
        (void)!worker_tell(&supervisor->worker, CHANNEL_FENCE, output, 0);
    }
    supervisor->fence_mask &= ~lifted;
    supervisor->board->fenced_outputs = supervisor->fence_mask;
}

/* What the outputs of a leaving worker still hold, by its last commit. */
static uint64_t held_of(const struct worker_process *dead)
{
    if (dead->left == 0 || hold_load(dead->deployment->hold) < 0) {
        return 0;
    }
    uint64_t held = 0;
    for (uint64_t left = dead->left; left != 0; left &= left - 1) {
        held += hold_held(dead->deployment->hold, (uint32_t)__builtin_ctzll(left));
    }
    return held;
}

/* An heir delivers what a crashed one had left, if there is time and it does not crash as well. */
static bool takes_heir(struct supervisor *supervisor, struct worker_process *process,
    const struct worker_process *dead, int status)
{
    enum { CRASHES_MAX = 3 };
    if (!WIFSIGNALED(status) || supervisor->now_ns >= dead->kill_ns) {
        return false;
    }
    count_crash(dead->deployment);
    if (dead->deployment->hold->header->crash_count > CRASHES_MAX) {
        return false;
    }
    *process = (struct worker_process){.channel_fd = -1,
        .left = dead->left,
        .kill_ns = dead->kill_ns,
        .deployment = dead->deployment};
    if (worker_start_heir(supervisor, process) < 0 && process->pid != 0) {
        (void)kill(process->pid, SIGKILL); /* its death brings us here again */
    }
    return process->pid != 0;
}

static void say_lost(uint64_t held)
{
    supervisor_say("%llu records of outputs that left the configuration were not delivered in "
                   "time and are lost",
        (unsigned long long)held);
}

bool workers_say_left(const struct supervisor *supervisor)
{
    bool any = false;
    for (int i = 0; i < WORKERS_LEAVING_MAX; i++) {
        uint64_t held = held_of(&supervisor->leaving[i]);
        if (held > 0) {
            say_lost(held);
            any = true;
        }
    }
    return any;
}

static void leaving_died(struct supervisor *supervisor, struct worker_process *process, int status)
{
    worker_hear(supervisor, process);
    struct worker_process dead = *process;
    dead.channel_fd = -1;
    forget(process);
    lift_fences(supervisor, dead.fences);
    uint64_t held = held_of(&dead);
    if (held > 0 && takes_heir(supervisor, process, &dead, status)) {
        return;
    }
    if (held > 0) {
        say_lost(held);
    }
    forget(process);
    deployment_release(supervisor, dead.deployment);
}

static bool is_reaped(struct supervisor *supervisor, pid_t pid, int status)
{
    if (supervisor->worker.pid == pid) {
        worker_died(supervisor, status);
        return true;
    }
    if (supervisor->candidate.pid == pid) {
        candidate_died(supervisor, status);
        return true;
    }
    for (int i = 0; i < WORKERS_LEAVING_MAX; i++) {
        if (supervisor->leaving[i].pid == pid) {
            leaving_died(supervisor, &supervisor->leaving[i], status);
            return true;
        }
    }
    return false;
}

bool worker_reaped(struct supervisor *supervisor, pid_t pid, int status)
{
    bool was_worker = is_reaped(supervisor, pid, status);
    if (was_worker && WIFSIGNALED(status)) {
        crash_point_used(supervisor->options->environment);
    }
    return was_worker;
}

struct worker_process *workers_leaving_place(struct supervisor *supervisor, uint32_t spare)
{
    struct worker_process *place = NULL;
    uint32_t free_places = 0;
    for (int i = 0; i < WORKERS_LEAVING_MAX; i++) {
        if (supervisor->leaving[i].stage == STAGE_NONE) {
            place = &supervisor->leaving[i];
            free_places++;
        }
    }
    return free_places > spare ? place : NULL;
}

/* The state letter of a process's leader ('Z': dead, though threads may live), or 0. */
static char leader_state(pid_t pid)
{
    char path[64];
    char line[512];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    YARDER_OWN_FILE FILE *file = fopen(path, "re");
    if (file == NULL || fgets(line, sizeof(line), file) == NULL) {
        return 0;
    }
    const char *close = strrchr(line, ')');
    return close != NULL && close[1] == ' ' ? close[2] : 0;
}

/* Lanes that are still there, by their threads' names: a bit for each output. */
static uint64_t stuck_lanes(pid_t pid)
{
    char path[64];
    uint64_t lanes = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return 0;
    }
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char name[32] = "";
        char comm[400];
        unsigned lane = 0;
        (void)snprintf(comm, sizeof(comm), "%s/%s/comm", path, entry->d_name);
        YARDER_OWN_FILE FILE *file = fopen(comm, "re");
        if (file != NULL && fgets(name, sizeof(name), file) != NULL &&
            sscanf(name, "lane-%u", &lane) == 1 && lane < YARDER_OUTPUTS_MAX) {
            lanes |= UINT64_C(1) << lane;
        }
    }
    (void)closedir(folder);
    return lanes;
}

/* The worker's leader is dead, but it cannot be reaped: go on without the files it is stuck in. */
static void look_for_stuck(struct supervisor *supervisor)
{
    struct worker_process *process = &supervisor->worker;
    if (process->pid == 0 || leader_state(process->pid) != 'Z') {
        process->zombie_ns = 0;
        return;
    }
    if (process->zombie_ns == 0) {
        process->zombie_ns = supervisor->now_ns;
    }
    if (supervisor->now_ns - process->zombie_ns < fence_after_ns) {
        return;
    }
    uint64_t lanes = stuck_lanes(process->pid);
    struct worker_process *place = workers_leaving_place(supervisor, 1);
    if (lanes == 0 || place == NULL) {
        return;
    }
    supervisor_say("the dead worker is stuck in a call on a file (a hung disk?); a new one "
                   "serves the other outputs");
    worker_hear(supervisor, process);
    *place = *process;
    place->stage = STAGE_LEAVING;
    place->fences = lanes;
    *process = (struct worker_process){.channel_fd = -1};
    supervisor->fence_mask |= lanes;
    supervisor->board->fenced_outputs = supervisor->fence_mask;
    supervisor->board->workers_crashed++;
    count_crash(place->deployment);
    plan_restart(supervisor, place);
}

/* From its first commit on nothing of the deployment before is asked for any more. */
static bool has_committed(const struct deployment *deployment)
{
    return deployment_generation(deployment) > 1;
}

void workers_serve(struct supervisor *supervisor)
{
    calm_down(supervisor);
    look_for_stuck(supervisor);
    if (supervisor->restart_ns != 0 && supervisor->now_ns >= supervisor->restart_ns) {
        supervisor->restart_ns = 0;
        int r = worker_start(supervisor, &supervisor->worker, supervisor->current, false);
        if (r < 0) {
            supervisor_say("a worker cannot be started: %s; trying again", strerror(-r));
            supervisor->restart_ns = supervisor->now_ns + second_ns;
        }
        if (r < 0 && supervisor->worker.pid != 0) { /* half told: its death brings the next */
            supervisor->restart_ns = 0;
            (void)kill(supervisor->worker.pid, SIGKILL);
        }
    }
    if (supervisor->worker.stage == STAGE_QUIETING && supervisor->worker.kill_ns != 0 &&
        supervisor->now_ns >= supervisor->worker.kill_ns) {
        supervisor_say("the worker does not become quiet; it is replaced");
        supervisor->worker.kill_ns = 0;
        (void)kill(supervisor->worker.pid, SIGKILL);
    }
    for (int i = 0; i < WORKERS_LEAVING_MAX; i++) {
        struct worker_process *process = &supervisor->leaving[i];
        if (process->stage == STAGE_LEAVING && process->kill_ns != 0 &&
            supervisor->now_ns >= process->kill_ns + second_ns) {
            (void)kill(process->pid, SIGKILL);
            process->kill_ns = 0;
        }
    }
    if (supervisor->before != NULL && has_committed(supervisor->current)) {
        struct deployment *before = supervisor->before;
        supervisor->before = NULL;
        deployment_release(supervisor, before);
    }
    if (supervisor->candidate_ns != 0 && supervisor->now_ns >= supervisor->candidate_ns) {
        supervisor->candidate_ns = 0;
        if (supervisor->candidate.pid != 0) {
            (void)kill(supervisor->candidate.pid, SIGKILL); /* its death ends the reload */
        }
    }
}

/* Nothing is on its way: only the leader of a worker that cannot be reaped is looked for. */
static bool at_rest(const struct supervisor *supervisor)
{
    bool rest = supervisor->worker.stage == STAGE_RUNNING && supervisor->worker.zombie_ns == 0 &&
                supervisor->candidate.stage == STAGE_NONE && supervisor->before == NULL &&
                supervisor->stop_ns == 0;
    for (int i = 0; i < WORKERS_LEAVING_MAX; i++) {
        rest = rest && supervisor->leaving[i].stage == STAGE_NONE;
    }
    return rest;
}

uint64_t workers_deadline_ns(const struct supervisor *supervisor)
{
    uint64_t deadline =
        supervisor->now_ns + (at_rest(supervisor) ? look_at_rest_ns : look_every_ns);
    if (supervisor->restart_ns != 0) {
        deadline = yarder_min(deadline, supervisor->restart_ns);
    }
    return deadline;
}
