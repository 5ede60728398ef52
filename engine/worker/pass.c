/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass: reap, collect, seal, commit, publish, submit. The order is the promise: nothing is
 * visible before the store in hold_commit, and everything that the store frees or seals happens
 * after it.
 */
#include "os/crash.h"
#include "os/memory.h"
#include "worker/lines.h"

static void reap(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        worker->dirty |= output_reap(&worker->outputs[i], worker->now_ns);
    }
}

static void turn_pipes(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->hold->shape.pipes_count; i++) {
        if (worker->pipe_is_open[i] && !worker->pipes[i].finished) {
            worker->dirty |= pipe_turn(&worker->pipes[i]);
        }
    }
}

static void seal(struct worker *worker)
{
    /* On the way to quiet only what is under way is finished: the rest moves over, unless a record
     * that was taken already finds no room. */
    if (worker->phase == WORKER_QUIETING && !worker->blocked) {
        return;
    }
    bool drain = worker->phase != WORKER_RUNNING;
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        worker->dirty |= output_seal(&worker->outputs[i], worker->now_ns, drain);
    }
}

/*
 * On the way to quiet a backend's try is to end; not while a record that was taken already finds no
 * room, for that is what makes it.
 */
static void want_lanes(struct worker *worker, bool wanted)
{
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        output_want(&worker->outputs[i], wanted, worker->now_ns);
    }
}

static void publish(struct worker *worker)
{
    for (struct ring_input *ring = worker->rings; ring != NULL; ring = ring->next) {
        if (ring->taken) {
            ring_input_publish(ring);
        }
    }
    for (uint32_t i = 0; i < worker->hold->shape.pipes_count; i++) {
        pipe_settle(&worker->pipes[i]);
    }
}

/*
 * The supervisor may free a region once the commit says that all of it was taken. Its place in the
 * hold is given up by a later commit: until the supervisor knows, a new worker is offered the
 * region again and must find how far it was taken. One that cannot be told now is told later.
 */
static void give_regions_back(struct worker *worker)
{
    while (worker->retired != NULL) {
        struct ring_input *ring = worker->retired;
        const struct channel_message done = channel_message_of(CHANNEL_REGION_DONE, 0, ring->id);
        if (channel_send(worker->channel_fd, &done, 0) < 0) {
            return;
        }
        worker->retired = ring->next;
        ring_input_close(ring, true);
        worker->dirty = true;
    }
}

void worker_commit(struct worker *worker)
{
    for (struct ring_input *ring = worker->rings; ring != NULL; ring = ring->next) {
        if (ring->taken) {
            ring_input_store(ring);
        }
    }
    crash_point("before-commit");
    hold_commit(worker->hold);
    crash_point("after-commit");
    worker->dirty = false;
    careful_after_commit(worker);
    publish(worker);
    crash_point("after-publish");
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        output_settle(&worker->outputs[i]);
    }
    lines_settle(worker);
    join_settle(worker->hold);
    give_regions_back(worker);
}

void worker_pass(struct worker *worker)
{
    worker->now_ns = (uint64_t)os_monotonic_ns();
    worker->batch->now_ns = os_realtime_ns();
    taps_look(&worker->taps);
    reap(worker);
    crash_point("reaped");
    if (worker->dirty) { /* pipes turn only on a clean state; completions are booked first */
        worker_commit(worker);
    }
    if (worker->phase == WORKER_RUNNING) {
        turn_pipes(worker);
        lines_flush_due(worker);
        collect(worker);
        crash_point("collected");
    } else {
        worker->more = false;
        worker->blocked = false;
        if (worker->phase == WORKER_QUIETING) {
            worker->blocked = !feed_leftovers(worker) || worker->more || !lines_flush(worker);
            worker->quiet_passes++;
            want_lanes(worker, !worker->blocked);
        }
        worker_listen(worker);
    }
    seal(worker);
    if (worker->dirty) {
        worker_commit(worker);
    }
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        output_submit(&worker->outputs[i], worker->now_ns);
    }
    crash_point("submitted");
}

bool worker_delivered(const struct worker *worker, uint64_t outputs)
{
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        if ((outputs >> i & 1) != 0 && !output_is_idle(&worker->outputs[i])) {
            return false;
        }
    }
    return true;
}
