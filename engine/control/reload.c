/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reload: everything that can fail is done beside the running worker, which notices nothing.
 *
 *   begin    sources read, checked; sockets bound, pipes made; a candidate starts
 *   ready    the candidate has parsed and compiled all: the worker is asked to be quiet
 *   quieted  its connections have come over: the candidate gets the lease, the worker leaves
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "control/supervisor_private.h"

static const uint64_t candidate_wait_ns = 30000000000ull;
static const uint64_t quiet_wait_ns = 15000000000ull; /* it sets itself 2 s */
enum { CANDIDATES_MAX = 3 };

static void finish(struct supervisor *supervisor, const char *error)
{
    struct board *board = supervisor->board;
    (void)snprintf(board->reload_error, sizeof(board->reload_error), "%s", error);
    board->reloads_failed += error[0] != '\0';
    /* release: the text stands before the count that announces it */
    __atomic_store_n(&board->reloads_done, board->reloads_begun, __ATOMIC_RELEASE);
    if (supervisor->stop_ns == 0) {
        notify_ready(&supervisor->notify);
    }
    if (error[0] != '\0') {
        supervisor_say("reload failed, nothing has changed: %s", error);
    } else {
        supervisor_say("reloaded");
    }
}

static void abandon(struct supervisor *supervisor, const char *error)
{
    listeners_cancel(supervisor->listeners);
    children_cancel(supervisor->children);
    deployment_close(supervisor->next);
    supervisor->next = NULL;
    supervisor->candidate_ns = 0;
    finish(supervisor, error);
}

/* The first errors of a report as one text. */
static void errors_text(const struct config_report *report, char *text, size_t room)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < report->entries_count && used < room; i++) {
        const struct report_entry *entry = &report->entries[i];
        if (entry->severity == REPORT_ERROR) {
            int n = snprintf(text + used, room - used, "%s%s%s%s", used > 0 ? "\n" : "",
                entry->where, entry->where[0] != '\0' ? ": " : "", entry->what);
            used += n > 0 ? (size_t)n : 0;
        }
    }
}

static int sockets_problem(const struct supervisor *supervisor, char *text, size_t room)
{
    bool error = false;
    const char *line = NULL;
    for (uint32_t i = 0; (line = listeners_problem(supervisor->listeners, i, &error)) != NULL;
         i++) {
        if (error) {
            (void)snprintf(text, room, "%s", line);
            return -EADDRINUSE;
        }
    }
    return 0;
}

static int prepare_around(struct supervisor *supervisor, char *error, size_t room)
{
    const struct daemon_config *config = supervisor->next->config;
    int r = listeners_prepare(supervisor->listeners, config->inputs, config->inputs_count,
        config->run_dir, &supervisor->identity);
    if (r > 0) {
        r = sockets_problem(supervisor, error, room);
    }
    if (r == 0) {
        r = children_prepare(supervisor->children, config->inputs, config->inputs_count);
    }
    if (r == 0) {
        r = worker_start(supervisor, &supervisor->candidate, supervisor->next, true);
    }
    if (r < 0 && error[0] == '\0') {
        (void)snprintf(error, room, "%s", strerror(-r));
    }
    return r;
}

static bool differ(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a != b : strcmp(a, b) != 0;
}

/*
 * What only a start can set. Who the daemon is, and where its lock and its children's pipes are,
 * holds for all workers; a reload that took half of it would leave two truths.
 */
static int check_fixed(const struct supervisor *supervisor, char *error, size_t room)
{
    const struct daemon_config *old = supervisor->current->config;
    const struct daemon_config *next = supervisor->next->config;
    const struct {
        const char *key;
        bool changed;
    } keys[] = {{"user", differ(old->user, next->user)}, {"group", differ(old->group, next->group)},
        {"run-dir", differ(old->run_dir, next->run_dir)},
        {"state-dir", differ(old->state_dir, next->state_dir)}};
    size_t used = 0;
    for (size_t i = 0; i < YARDER_COUNT_OF(keys); i++) {
        if (keys[i].changed) {
            used += (size_t)snprintf(
                error + used, room - used, "%s%s", used > 0 ? ", " : "", keys[i].key);
        }
    }
    if (used > 0) {
        (void)snprintf(error + used, room - used, ": changed, which needs a restart");
    }
    return used > 0 ? -EINVAL : 0;
}

void reload_begin(struct supervisor *supervisor, bool upgrade)
{
    if (supervisor->next != NULL || supervisor->stop_ns != 0 || !supervisor->started ||
        supervisor->worker.stage != STAGE_RUNNING) {
        supervisor->reload_again = supervisor->stop_ns == 0;
        supervisor->upgraded |= upgrade;
        return;
    }
    supervisor->reload_again = false;
    /* Before the sources are read: whoever asks from now on needs another one. Release: pairs with
     * the acquire in worker/status.c. */
    __atomic_store_n(
        &supervisor->board->reloads_begun, supervisor->board->reloads_begun + 1, __ATOMIC_RELEASE);
    notify_reloading(&supervisor->notify);
    struct config_report report;
    char error[BOARD_TEXT_BYTES] = "";
    if (workers_leaving_place(supervisor, WORKERS_LEAVING_MAX - LEAVING_OF_RELOADS_MAX) == NULL) {
        finish(supervisor, "the workers of the last reloads are still there: they deliver until "
                           "drain-timeout, or hang in a call on a file; reload when one has gone");
        return;
    }
    report_init(&report);
    supervisor->upgraded |= upgrade;
    int r = deployment_open(&supervisor->next, supervisor->options,
        supervisor->upgraded ? supervisor->program : "/proc/self/exe", &report);
    if (r < 0) {
        supervisor->next = NULL;
        errors_text(&report, error, sizeof(error));
        finish(supervisor, error[0] != '\0' ? error : strerror(-r));
        report_deinit(&report);
        return;
    }
    report_print(&report, false, stderr);
    report_deinit(&report);
    supervisor->candidate_ns = supervisor->now_ns + candidate_wait_ns;
    supervisor->candidates = 1;
    supervisor_settle_epoch(supervisor->next);
    if (check_fixed(supervisor, error, sizeof(error)) < 0) {
        abandon(supervisor, error);
    } else if (prepare_around(supervisor, error, sizeof(error)) < 0) {
        if (supervisor->candidate.pid != 0) {
            (void)kill(supervisor->candidate.pid, SIGKILL); /* its death ends the reload */
            return;
        }
        abandon(supervisor, error);
    }
}

void reload_ready(struct supervisor *supervisor)
{
    supervisor->candidate_ns = 0;
    if (supervisor->worker.stage == STAGE_RUNNING &&
        worker_tell(&supervisor->worker, CHANNEL_QUIET, 0, 0) == 0) {
        supervisor->worker.stage = STAGE_QUIETING;
        supervisor->worker.kill_ns = supervisor->now_ns + quiet_wait_ns;
    }
    /* A worker that is dead or dying tells by its death: see death.c. */
}

/* The old worker still delivers what the new configuration does not know. */
static void let_go(struct supervisor *supervisor, uint64_t busy)
{
    struct worker_process *old = &supervisor->worker;
    const struct daemon_config *config = supervisor->current->config;
    old->left = handover_left(config, supervisor->next->config);
    old->fences = handover_continued(config, supervisor->next->config, busy);
    old->kill_ns = supervisor->now_ns + config->drain_ns;
    old->stage = STAGE_LEAVING;
    (void)!worker_tell_left(supervisor, old);
    supervisor->fence_mask |= old->fences;
    struct worker_process *place = workers_leaving_place(supervisor, 0);
    YARDER_ASSERT(place != NULL); /* of those that hang none takes the last one */
    *place = *old;
    *old = (struct worker_process){.channel_fd = -1};
}

/* Fences are counted by the outputs of the current configuration, which is another one now. */
static void move_fences(struct supervisor *supervisor)
{
    supervisor->fence_mask = 0;
    for (int i = 0; i < WORKERS_LEAVING_MAX; i++) {
        uint64_t *fences = &supervisor->leaving[i].fences;
        *fences =
            handover_continued(supervisor->current->config, supervisor->next->config, *fences);
        supervisor->fence_mask |= *fences;
    }
}

void reload_quieted(struct supervisor *supervisor, uint64_t busy)
{
    move_fences(supervisor);
    let_go(supervisor, busy);
    (void)!regions_listen(supervisor->regions, listeners_ring(supervisor->listeners, true));
    listeners_adopt(supervisor->listeners);
    supervisor_show_problems(supervisor);
    supervisor_set_sources(supervisor, supervisor->next);
    children_adopt(supervisor->children, supervisor->now_ns);
    struct deployment *oldest = supervisor->before;
    supervisor->before = supervisor->current;
    if (oldest != NULL) {
        deployment_release(supervisor, oldest);
    }
    supervisor->current = supervisor->next;
    supervisor->next = NULL;
    supervisor->worker = supervisor->candidate;
    supervisor->candidate = (struct worker_process){.channel_fd = -1};
    supervisor->board->fenced_outputs = supervisor->fence_mask;
    const struct regions_options limits = {.ring_bytes = supervisor->current->config->ring_bytes,
        .ring_bytes_total = supervisor->current->config->ring_bytes_total};
    regions_limit(supervisor->regions, &limits);
    if (worker_go(supervisor, &supervisor->worker) < 0) {
        (void)kill(supervisor->worker.pid, SIGKILL); /* another one is started by its death */
    }
    finish(supervisor, "");
}

void reload_failed(struct supervisor *supervisor, const char *why)
{
    bool quieting = supervisor->worker.stage == STAGE_QUIETING;
    if (!quieting) {
        abandon(supervisor, why);
        return;
    }
    /* The worker cannot go back, and what it gives shall not be lost: the one that died had been
       ready, so another one of its kind takes it. */
    int r = -ECANCELED;
    if (supervisor->candidates < CANDIDATES_MAX) {
        supervisor->candidates++;
        supervisor->candidate_ns = supervisor->now_ns + candidate_wait_ns;
        r = worker_start(supervisor, &supervisor->candidate, supervisor->next, true);
    }
    if (r == 0) {
        supervisor_say("%s; another one takes its place", why);
        return;
    }
    if (supervisor->candidate.pid != 0) {
        (void)kill(supervisor->candidate.pid, SIGKILL); /* its death brings us here again */
        return;
    }
    abandon(supervisor, why);
    (void)kill(supervisor->worker.pid, SIGKILL); /* a fresh one goes on */
}
