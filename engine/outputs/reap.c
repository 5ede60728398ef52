/* SPDX-License-Identifier: Apache-2.0 */
/* What a lane answers becomes true in the private state; the next commit stores it. */
#include <errno.h>
#include <string.h>

#include "os/memory.h"
#include "outputs/slots.h"

static const uint64_t backoff_first_ns = 50ull * 1000 * 1000;
static const uint64_t backoff_most_ns = 2000ull * 1000 * 1000;

static void back_off(struct output_slot *slot, uint64_t now_ns)
{
    slot->backoff_ns = slot->backoff_ns == 0 ? backoff_first_ns
                                             : yarder_min(slot->backoff_ns * 2, backoff_most_ns);
    slot->retry_ns = now_ns + slot->backoff_ns;
    slot->due_ns = now_ns;
}

static void failed(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct lane_job *job = &slot->job;
    output->counts->errors++;
    back_off(slot, now_ns);
    if (job->locked_elsewhere) {
        output_complain(output, now_ns, "%s is written by another process (pid %d); trying again",
            job->path, (int)job->locked_by);
    } else {
        output_complain(output, now_ns, "%s: %s: %s; records wait, trying again", job->path,
            job->failed_call, strerror(-job->error));
    }
}

/* The path's file is open as job->fd: from now on records go there. */
static void follow(struct output *output, struct output_slot *slot)
{
    struct hold_queue *queue = slot->queue;
    slot->fd = slot->job.fd;
    output->counts->torn += slot->job.line_closed;
    queue->dev = slot->job.regular ? slot->job.dev : 0;
    queue->ino = slot->job.regular ? slot->job.ino : 0;
    queue->expected_size = slot->job.size;
    queue->flags &= ~(uint32_t)HOLD_QUEUE_REOPEN;
    /* Before the commit that names it: after a kill only this descriptor finds the file. */
    if (output->services->keep(output->services->owner, slot->queue_index, slot->fd) < 0) {
        queue->dev = queue->ino = 0;
    }
}

static void reap_open(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    if (slot->job.answer != LANE_DONE) {
        slot->state = SLOT_CLOSED;
        failed(output, slot, now_ns);
        return;
    }
    slot->state = SLOT_IDLE;
    slot->backoff_ns = slot->retry_ns = 0;
    slot->due_ns = queue_is_empty(slot->queue) ? 0 : now_ns;
    output->truncate = false;
    follow(output, slot);
}

static void delivered(struct output *output, struct output_slot *slot, uint32_t bytes)
{
    output->counts->delivered += queue_complete(&output->pool, slot->queue, bytes);
    output->counts->delivered_bytes += bytes;
    output->blocked_ns = 0;
    if (bytes > 0) {
        output->counts->last_progress_ns = (uint64_t)os_realtime_ns();
    }
}

/* Others wrote behind us, or cut: an open record begins again. */
static void resized(struct output *output, struct output_slot *slot)
{
    struct hold_queue *queue = slot->queue;
    queue_unseal(queue);
    if (slot->job.size > queue->expected_size) {
        output->counts->foreign++;
    } else {
        output->counts->cut++;
    }
    if (queue_record_open(queue)) {
        queue_rewind(queue);
        output->counts->torn++;
    }
    queue->expected_size = slot->job.size;
}

static void reap_write(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    struct lane_job *job = &slot->job;
    slot->state = SLOT_IDLE;
    slot->due_ns = now_ns;
    switch (job->answer) {
    case LANE_DONE: {
        bool whole = job->written == slot->queue->seal_bytes;
        uint64_t ours_ends = slot->queue->expected_size + job->written;
        delivered(output, slot, job->written);
        if (slot->queue->ino != 0 && job->size != ours_ends) {
            output->counts->foreign++; /* another process appended before us */
        }
        slot->queue->expected_size = job->size;
        slot->due_ns = queue_is_empty(slot->queue) ? 0 : now_ns + output->config->flush_ns;
        if (whole) {
            slot->backoff_ns = slot->retry_ns = 0;
        }
        if (job->owner_error != 0) {
            output_complain(output, now_ns, "%s: cannot be given to its owner: %s", job->path,
                strerror(-job->owner_error));
        }
        if (job->sync_error != 0) {
            output->counts->errors++;
            output_complain(
                output, now_ns, "%s: fdatasync: %s", job->path, strerror(-job->sync_error));
        }
        return;
    }
    case LANE_MOVED:
        queue_unseal(slot->queue);
        output->counts->moved++;
        slot_submit_close(output, slot, job->old_fd);
        follow(output, slot);
        return;
    case LANE_RESIZED:
        resized(output, slot);
        return;
    case LANE_FAILED:
        queue_unseal(slot->queue);
        failed(output, slot, now_ns);
        return;
    }
}

/* Recovery: what stands is booked as a completion of so many bytes; nothing is written for it. */
static void reap_compare(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct lane_job *job = &slot->job;
    struct hold_queue *queue = slot->queue;
    if (job->answer != LANE_DONE) {
        failed(output, slot, now_ns); /* stays in COMPARING: asked again by output_submit */
        return;
    }
    slot->state = SLOT_IDLE;
    slot->due_ns = queue_is_empty(queue) ? 0 : now_ns;
    if (job->found.cut && job->found.standing < queue->seal_bytes) {
        output->counts->uncertain += queue_sealed_records(&output->pool, queue);
    }
    delivered(output, slot, job->found.standing);
    queue->expected_size = job->found.size;
    if (!job->found.at_end && queue_record_open(queue)) {
        queue->flags |= HOLD_QUEUE_BROKEN;
    }
}

static void reap_close(struct output *output, struct output_slot *slot)
{
    slot->state = SLOT_FREE;
    slot->just_freed = true;
    slot->fd = -1;
    slot->queue->flags = 0;
    slot->queue->dev = slot->queue->ino = 0;
    output->services->forget(output->services->owner, slot->queue_index);
}

static void reap_job(struct output *output, struct lane_job *job, uint64_t now_ns)
{
    struct output_slot *slot = job->owner;
    output->under_way--;
    if (job == &slot->close_job) {
        slot->close_under_way = false;
        return;
    }
    job->owner = NULL;
    switch (job->request) {
    case LANE_OPEN:
        reap_open(output, slot, now_ns);
        return;
    case LANE_WRITE:
        reap_write(output, slot, now_ns);
        return;
    case LANE_COMPARE:
        reap_compare(output, slot, now_ns);
        return;
    case LANE_CLOSE:
        reap_close(output, slot);
        return;
    }
}

void output_reap(struct output *output, uint64_t now_ns)
{
    if (output->under_way == 0) {
        return;
    }
    for (struct lane_job *job = lane_done(output->lane); job != NULL;
         job = lane_done(output->lane)) {
        reap_job(output, job, now_ns);
    }
}
