/* SPDX-License-Identifier: Apache-2.0 */
/* What a lane answers becomes true in the private state; the next commit stores it. */
#include <errno.h>
#include <string.h>

#include "os/crash.h"
#include "os/memory.h"
#include "outputs/backoff.h"
#include "outputs/delivery_private.h"

static const uint64_t backoff_first_ns = 50ull * 1000 * 1000;
static const uint64_t backoff_most_ns = 2000ull * 1000 * 1000;

void slot_back_off(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct output_retry *retry = &output->config->retry;
    uint64_t pause_ns = output->packs
                            ? backoff_next(slot->backoff_ns, retry->base_ns, retry->limit_ns)
                            : backoff_next(slot->backoff_ns, backoff_first_ns, backoff_most_ns);
    slot->backoff_ns = pause_ns;
    if (output->packs) {
        pause_ns = backoff_jitter(&output->offload.jitter, pause_ns);
    }
    slot->retry_ns = now_ns + pause_ns;
    slot->due_ns = now_ns;
}

bool slot_is_hopeless(const struct output_slot *slot)
{
    return slot->backoff_ns == backoff_most_ns;
}

/* Nobody reads it any more, nor ever will: what comes for it is dropped and holds nobody up. */
static void reader_left(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    output->gone = true;
    output->counts->dropped[HOLD_DROPPED_LEFT] += queue_drop_all(&output->pool, slot->queue);
    slot->due_ns = slot->retry_ns = 0;
    output_complain(output, now_ns, "nobody reads it any more; records for it are dropped");
}

static void failed(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct lane_job *job = &slot->job;
    output_tell_failure(output, slot->queue_index, job->failed_call, job->error, NULL);
    if (output->config->kind == OUTPUT_STDIO && job->error == -EPIPE) {
        reader_left(output, slot, now_ns);
        return;
    }
    slot_back_off(output, slot, now_ns);
    bool ours = job->locked_by == 0 || job->locked_by == getpid();
    if (job->locked_elsewhere && ours && slot->backoff_ns == backoff_first_ns) {
        return; /* most likely our own descriptor of it, on its way to be closed */
    }
    if (job->locked_elsewhere) {
        output_complain(output, now_ns, "%s is written by another process (pid %d); trying again",
            job->path, (int)job->locked_by);
    } else {
        output_complain(output, now_ns, "%s%s%s: %s; records wait, trying again", job->path,
            job->path[0] != '\0' ? ": " : "", job->failed_call, strerror(-job->error));
    }
}

void slot_follow(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    struct hold_queue *queue = slot->queue;
    const struct lane_job *job = &slot->job;
    uint64_t dev = job->regular ? job->dev : 0;
    uint64_t ino = job->regular ? job->ino : 0;
    output->counts->torn += job->line_closed;
    if (queue->dev != dev || queue->ino != ino || queue->expected_size != job->size) {
        slot_begin_again(output, slot);
    }
    slot->fd = job->fd;
    queue->dev = dev;
    queue->ino = ino;
    queue->expected_size = job->size;
    queue->flags &= ~(uint32_t)HOLD_QUEUE_REOPEN;
    if (job->owner_error != 0) {
        output_complain(output, now_ns, "%s: cannot be given to its owner: %s", job->path,
            strerror(-job->owner_error));
    }
    /* Before any byte is sealed for it: after a kill only this descriptor finds the file. */
    (void)slot_keep(output, slot, now_ns);
}

/* Failures that a record brings about by the name it gives to its file. */
static bool is_bad_name(int error)
{
    return error == -ENAMETOOLONG || error == -EISDIR || error == -ENOTDIR || error == -ELOOP ||
           error == -EINVAL || error == -EACCES || error == -EPERM || error == -ENXIO;
}

static void reap_open(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    if (output->offload.spool != NULL) {
        spool_reap_open(output, slot, now_ns);
        return;
    }
    if (output->packs) {
        offload_reap_open(output, slot, now_ns);
        return;
    }
    if (slot->job.answer != LANE_DONE) {
        slot->state = SLOT_CLOSED;
        failed(output, slot, now_ns);
        /* A name that a record made may be that of another output's file. */
        bool bad = is_bad_name(slot->job.error) || slot->job.locked_elsewhere;
        if (!output->path_is_constant && bad && slot_is_hopeless(slot)) {
            slot_give_up(output, slot);
        }
        return;
    }
    slot->state = SLOT_IDLE;
    slot->backoff_ns = slot->retry_ns = 0;
    slot->due_ns = queue_is_empty(slot->queue) ? 0 : now_ns;
    output->truncate = false;
    slot_follow(output, slot, now_ns);
    rotate_opened(output, slot);
}

void slot_moved(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    output_moves(output, now_ns);
    slot_late(slot, queue_is_empty(slot->queue) ? 0 : now_ns + output->config->flush_ns);
    output->counts->last_progress_ns = (uint64_t)os_realtime_ns();
}

static void delivered(
    struct output *output, struct output_slot *slot, uint32_t bytes, uint64_t now_ns)
{
    output->counts->delivered += queue_complete(&output->pool, slot->queue, bytes);
    output->counts->delivered_bytes += bytes;
    if (bytes > 0) {
        slot_moved(output, slot, now_ns);
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
    slot_begin_again(output, slot);
    queue->expected_size = slot->job.size;
}

/* The bytes stand in the file, but perhaps not on the disk. */
static void complain_of_sync(struct output *output, const struct output_slot *slot,
    const struct lane_job *job, uint64_t now_ns)
{
    if (job->sync_error != 0) {
        output_tell_failure(output, slot->queue_index, "fdatasync", job->sync_error, NULL);
        output_complain(output, now_ns, "%s: fdatasync: %s", job->path, strerror(-job->sync_error));
    }
}

/* Whether our bytes go on with a record, and a stranger's came right between it and them. */
static bool cut_in_two(const struct lane_job *job, bool foreign)
{
    return foreign && job->record_open && job->written > 0;
}

static void written(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct lane_job *job = &slot->job;
    struct hold_queue *queue = slot->queue;
    bool whole = job->written == queue->seal_bytes;
    uint64_t ours = (uint64_t)job->written + job->line_closed;
    bool foreign = queue->ino != 0 && job->size != queue->expected_size + ours;
    if (job->reopen) { /* the path was looked at since it was asked for */
        queue->flags &= ~(uint32_t)HOLD_QUEUE_REOPEN;
    }
    if (cut_in_two(job, foreign)) {
        queue_unseal(queue);
        slot_begin_again(output, slot);
    } else if (job->bytes_count > 0) {
        queue->flags &= ~(uint32_t)(job->written > 0 ? HOLD_QUEUE_HALF : 0);
        delivered(output, slot, job->written, now_ns);
    }
    output->counts->foreign += foreign; /* another process appended before us */
    if (foreign && !whole && queue_record_open(queue)) {
        queue->flags |= HOLD_QUEUE_BROKEN; /* or behind us: a short write does not tell which */
    }
    queue->expected_size = job->size;
    slot->due_ns = queue_is_empty(queue) ? 0 : now_ns + output->config->flush_ns;
    if (whole) {
        slot->backoff_ns = slot->retry_ns = 0;
    }
    complain_of_sync(output, slot, job, now_ns);
}

static void reap_write(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    struct lane_job *job = &slot->job;
    if (output->offload.spool != NULL) {
        spool_reap_write(output, slot, now_ns);
        return;
    }
    if (output->packs) {
        offload_reap_write(output, slot, now_ns);
        return;
    }
    slot->state = SLOT_IDLE;
    slot->due_ns = now_ns;
    switch (job->answer) {
    case LANE_DONE:
        written(output, slot, now_ns);
        return;
    case LANE_MOVED:
        queue_unseal(slot->queue);
        output->counts->moved++;
        slot->old_fd = job->old_fd; /* closed by output_settle */
        rotate_count(output, job);
        slot_follow(output, slot, now_ns);
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
    bool unreadable = job->answer == LANE_FAILED && job->error != -ENOMEM &&
                      (slot_is_hopeless(slot) || job->error == -EBADF || job->error == -ESPIPE);
    if (job->answer != LANE_DONE && !unreadable) {
        failed(output, slot, now_ns); /* stays in COMPARING: asked again by output_submit */
        return;
    }
    crash_point("compared");
    slot->state = SLOT_IDLE;
    slot->due_ns = now_ns;
    slot->backoff_ns = slot->retry_ns = 0;
    if (unreadable) { /* a file that we may only write to, or a disk that fails */
        slot_give_again(output, slot);
        return;
    }
    uint32_t sealed = queue_sealed_records(&output->pool, queue);
    uint64_t before = output->counts->delivered;
    delivered(output, slot, job->found.standing, now_ns);
    output->counts->uncertain += job->found.cut ? sealed - (output->counts->delivered - before) : 0;
    queue->expected_size = job->found.size;
    if (!job->found.at_end && queue_record_open(queue)) {
        queue->flags |= HOLD_QUEUE_BROKEN;
    }
}

static void reap_close(struct output_slot *slot)
{
    slot->state = SLOT_FREE;
    slot->just_freed = true;
    slot->fd = -1;
    slot->unkept = slot->keeps_more = false;
    slot->queue->dev = slot->queue->ino = 0;
}

static void reap_job(struct output *output, struct lane_job *job, uint64_t now_ns)
{
    struct output_slot *slot = job->owner;
    output->under_way--;
    if (job->request == LANE_CLOSE) {
        complain_of_sync(output, slot, job, now_ns);
    }
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
    case LANE_ROTATE:
        rotate_reap(output, slot, now_ns);
        return;
    case LANE_CLOSE:
        reap_close(slot);
        return;
    }
}

/* fsync=interval fails behind the back of any job. */
static void reap_sync(struct output *output, uint64_t now_ns)
{
    bool may = output->lane != NULL && output->config->fsync.policy == OUTPUT_SYNC_INTERVAL;
    int r = may ? lane_take_sync_error(output->lane) : 0;
    if (r < 0) {
        output_tell_failure(output, HOLD_NONE, "fdatasync", r, NULL);
        output_complain(output, now_ns, "fdatasync: %s", strerror(-r));
    }
}

bool output_reap(struct output *output, uint64_t now_ns)
{
    reap_sync(output, now_ns);
    bool reaped = spool_reap_news(output, now_ns);
    struct rotation *rotation = output->rotation;
    if (rotation != NULL && __atomic_load_n(&rotation->asked, __ATOMIC_RELAXED) != 0) {
        reaped |= rotate_reap_asked(output, now_ns);
    }
    if (output->under_way == 0) {
        return reaped;
    }
    for (struct lane_job *job = lane_done(output->lane); job != NULL;
         job = lane_done(output->lane)) {
        reap_job(output, job, now_ns);
        reaped = true;
    }
    return reaped;
}
