/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer's loop: pass, then wait as long as there is nothing to do.
 *
 *   more to take, or a batch to commit   look at the sockets without waiting
 *   taken something within 10 ms         nap 0.5 ms; producers ring only if a ring is half full
 *   quiet                                sleep deeply; the first record of a process rings
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "os/memory.h"
#include "worker/lines.h"

static const uint64_t nap_ns = 500ull * 1000;
static const uint64_t unfenced_ns = 5ull * 1000 * 1000;
static const uint64_t room_pause_most_ns = 8ull * 1000 * 1000;
/* Where it must be seen in time that a ring fills: for two seconds of a minute, at most. */
static const uint64_t room_pause_sparing_ns = 1ull * 1000 * 1000;
static const uint64_t quiet_after_ns = 10ull * 1000 * 1000;
/*
 * A sleep is as long as it has been quiet before, between these two. A client that could not
 * register for membarrier delays only itself, so long.
 */
static const uint64_t sleep_least_ns = 100ull * 1000 * 1000;
static const uint64_t sleep_most_ns = 1000ull * 1000 * 1000;

static uint64_t deadline_ns(const struct worker *worker)
{
    uint64_t deadline = lines_due_ns(worker);
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        deadline = yarder_min(deadline, output_deadline_ns(&worker->outputs[i]));
    }
    return deadline;
}

static uint64_t until(uint64_t deadline, uint64_t now_ns, uint64_t most_ns)
{
    return deadline <= now_ns ? 0 : yarder_min(deadline - now_ns, most_ns);
}

static void rings_sleep(struct worker *worker, enum ring_sleep state)
{
    for (struct ring_input *ring = worker->rings; ring != NULL; ring = ring->next) {
        region_reader_sleep(ring->reader, state);
    }
}

static bool rings_idle(const struct worker *worker)
{
    bool idle = true;
    for (const struct ring_input *ring = worker->rings; ring != NULL; ring = ring->next) {
        idle = idle && (ring->dead || region_reader_idle(ring->reader));
    }
    return idle;
}

static bool lanes_answered(struct worker *worker)
{
    bool answered = false;
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        answered |= output_reap(&worker->outputs[i], worker->now_ns);
    }
    worker->dirty |= answered;
    return answered;
}

/* Says to lanes and producers that we sleep, looks once more, and waits. */
static int sleep_until(struct worker *worker, uint64_t timeout_ns, enum ring_sleep state)
{
    __atomic_store_n(&worker->sleeps, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with the lanes' fence before they look */
    rings_sleep(worker, state);
    bool woken = lanes_answered(worker);
    if (state == RING_DEEP && worker->rings != NULL && worker->phase == WORKER_RUNNING) {
        /* Without it a producer's bell can be missed: it is not waited for long. */
        timeout_ns = ring_membarrier() < 0 ? yarder_min(timeout_ns, unfenced_ns) : timeout_ns;
        woken = !rings_idle(worker) || woken;
    }
    int r = io_wait(worker->io, woken ? 0 : timeout_ns, false);
    __atomic_store_n(&worker->sleeps, 0, __ATOMIC_RELAXED);
    rings_sleep(worker, RING_AWAKE);
    return r;
}

static int nap(struct worker *worker, uint64_t timeout_ns)
{
    rings_sleep(worker, RING_LIGHT);
    int r = io_wait(worker->io, timeout_ns, !worker->wait_for_first);
    rings_sleep(worker, RING_AWAKE); /* appends look no further than at this word */
    return r;
}

/* Whether a lane or the supervisor has something for us, this soon. */
static bool wait_for_lanes(struct worker *worker, uint64_t pause_ns)
{
    __atomic_store_n(&worker->sleeps, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* as in sleep_until */
    struct pollfd ready[] = {{.fd = worker->lanes_source.fd, .events = POLLIN},
        {.fd = worker->channel_fd, .events = POLLIN}};
    const struct timespec pause = {.tv_nsec = (long)pause_ns};
    bool woken = lanes_answered(worker) || ppoll(ready, YARDER_COUNT_OF(ready), &pause, NULL) > 0;
    if ((ready[0].revents & POLLIN) != 0) {
        uint64_t count = 0;
        (void)!read(ready[0].fd, &count, sizeof(count));
    }
    __atomic_store_n(&worker->sleeps, 0, __ATOMIC_RELAXED);
    return woken;
}

/*
 * A record waits for room, which a lane makes. Sources that nobody may read now stay readable: they
 * are no reason to wake. Time may also make room, by the output's policy: it is looked at again
 * soon, and less soon as long as nothing happens.
 */
static int wait_for_room(struct worker *worker)
{
    uint64_t most_ns = worker->sink.spares ? room_pause_sparing_ns : room_pause_most_ns;
    uint64_t pause_ns = worker->room_pause_ns;
    worker->room_pause_ns = yarder_min(pause_ns * 2, most_ns);
    if (wait_for_lanes(worker, pause_ns)) {
        worker->room_pause_ns = nap_ns;
    }
    return io_wait(worker->io, 0, false); /* the sockets' turn may be next */
}

/* Whether something is awaited that nobody wakes us for. */
static bool looks_often(const struct worker *worker)
{
    bool often = worker->phase != WORKER_RUNNING || worker->rest_ns != 0;
    for (const struct ring_input *ring = worker->rings; ring != NULL; ring = ring->next) {
        often = often || ring->doorbell_ended;
    }
    return often;
}

static uint64_t sleep_ns(const struct worker *worker)
{
    if (looks_often(worker)) {
        return sleep_least_ns;
    }
    uint64_t quiet_ns = worker->now_ns - worker->active_ns;
    return yarder_max(sleep_least_ns, yarder_min(quiet_ns, sleep_most_ns));
}

static int wait_for_more(struct worker *worker)
{
    uint64_t now_ns = worker->now_ns;
    if (worker->blocked && worker->sink.room_comes) {
        worker->sink.room_comes = false;
        return 0;
    }
    if (worker->blocked || (worker->left_some && !worker->more)) {
        return wait_for_room(worker);
    }
    worker->room_pause_ns = nap_ns;
    uint64_t deadline = deadline_ns(worker);
    bool last_call = worker->last_call && worker->phase == WORKER_RUNNING;
    if (worker->more || worker->dirty || last_call) {
        return io_wait(worker->io, 0, false);
    }
    if (worker->phase == WORKER_STOPPING) { /* sources that nobody reads any more stay readable */
        (void)wait_for_lanes(worker, until(deadline, now_ns, sleep_least_ns));
        return 0;
    }
    if (now_ns - worker->active_ns < quiet_after_ns && worker->phase == WORKER_RUNNING) {
        return nap(worker, until(deadline, now_ns, nap_ns));
    }
    return sleep_until(worker, until(deadline, now_ns, sleep_ns(worker)), RING_DEEP);
}

/*
 * Nothing waits for this output, or what does waits for a peer that has taken nothing for as long
 * as a stop would wait for it.
 */
static bool is_done_with(const struct worker *worker, const struct output *output)
{
    return !output_spool_moves(output, worker->now_ns) &&
           (output_is_idle(output) ||
               output_stands_still(output, worker->now_ns, worker->config->drain_ns));
}

/* Everything that could give records has ended, and outputs are done with: until_end. */
static bool all_ended(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->hold->shape.pipes_count; i++) {
        if (worker->pipe_is_open[i] && !worker->pipes[i].finished) {
            return false;
        }
    }
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        if (!is_done_with(worker, &worker->outputs[i])) {
            return false;
        }
    }
    return true;
}

/* `yarder run | head`: what is still to come has nowhere to go. */
static bool readers_gone(const struct worker *worker)
{
    bool gone = worker->sink.outputs_count > 0;
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        gone = gone && worker->outputs[i].gone;
    }
    return gone;
}

static void tell_ended(struct worker *worker)
{
    if (!worker->config->until_end || worker->ended_told || worker->phase != WORKER_RUNNING) {
        return;
    }
    bool gone = readers_gone(worker);
    if (!gone && !all_ended(worker)) {
        return;
    }
    const struct channel_message ended = channel_message_of(CHANNEL_ENDED, 0, gone);
    worker->ended_told = channel_send(worker->channel_fd, &ended, 1000) == 0;
}

/* Outputs (a bit each) whose lane has a call under way. */
static uint64_t lanes_busy(const struct worker *worker)
{
    uint64_t busy = 0;
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        busy |= worker->outputs[i].under_way > 0 ? UINT64_C(1) << i : 0;
    }
    return busy;
}

/* Nothing that was taken waits, and every write has ended but those that hang. */
static bool quieted(const struct worker *worker, uint64_t busy)
{
    static const uint64_t hangs_ns = 250ull * 1000 * 1000;
    bool wait = worker->blocked || worker->quiet_passes == 0;
    for (uint64_t left = busy; left != 0; left &= left - 1) {
        const struct output *output = &worker->outputs[__builtin_ctzll(left)];
        wait = wait || output_hangs_ns(output, worker->now_ns) < hangs_ns;
    }
    return !wait || worker->now_ns >= worker->stop_ns;
}

/* STOP: two passes that found nothing more, or half of the time that is left for draining. */
static bool last_call_over(struct worker *worker)
{
    enum { QUIET_PASSES = 2 };
    bool found = worker->more || worker->blocked || worker->feed.source != NULL;
    worker->quiet_passes = found ? 0 : worker->quiet_passes + 1;
    return worker->quiet_passes >= QUIET_PASSES || worker->now_ns >= worker->last_call_ns;
}

/* Whether the phase's work is done; QUIETING becomes QUIET on the way. */
static bool may_leave(struct worker *worker)
{
    uint64_t busy = 0;
    switch (worker->phase) {
    case WORKER_PREPARING:
        return false;
    case WORKER_RUNNING:
        if (worker->last_call &&
            ((last_call_over(worker) && collect_unfinished(worker) && lines_flush(worker)) ||
                worker->now_ns >= worker->stop_ns)) {
            lines_give_up(worker);
            worker_stop_reading(worker, false);
            worker->phase = WORKER_STOPPING;
            worker->more = true; /* a pass at once, which may be the last */
        }
        return false;
    case WORKER_QUIETING:
        busy = lanes_busy(worker);
        if (quieted(worker, busy)) {
            handover_give(worker, busy);
            worker->phase = WORKER_QUIET;
            worker->stop_ns = UINT64_MAX;
        }
        return false;
    case WORKER_QUIET:
        return false; /* until STOP says which outputs are still ours */
    case WORKER_STOPPING:
        return worker_delivered(worker, worker->stop_outputs) || worker->now_ns >= worker->stop_ns;
    }
    return false;
}

int worker_loop(struct worker *worker)
{
    for (;;) {
        uint64_t generation = worker->hold->generation;
        worker_pass(worker);
        if (worker->hold->generation != generation) {
            worker->active_ns = worker->now_ns;
        }
        tell_ended(worker);
        if (worker->orphaned) {
            return -EPIPE;
        }
        if (may_leave(worker)) {
            return 0;
        }
        int r = wait_for_more(worker);
        if (r < 0) {
            worker_say(worker, "the event loop is broken: %s", strerror(-r));
            return r;
        }
    }
}
