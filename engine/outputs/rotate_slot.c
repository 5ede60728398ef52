/* SPDX-License-Identifier: Apache-2.0 */
/* When a file is put aside, and which of an output's queues a record's time belongs to. */
#include "outputs/delivery_private.h"

#include <errno.h>
#include <string.h>

#include "os/crash.h"
#include "os/memory.h"
#include "outputs/sweep.h"

static const uint64_t again_after_ns = 1000ull * 1000 * 1000;
static const int64_t ahead_most_ns =
    CALENDAR_SECOND_NS; /* a sender's clock that is to be believed */

int rotate_open(struct output *output, const struct output_open_options *options)
{
    struct rotation *rotation = calloc(1, sizeof(*rotation));
    if (rotation == NULL) {
        return -ENOMEM;
    }
    rotation->config = options->config;
    (void)pthread_mutex_init(&rotation->names, NULL);
    output->rotation = rotation;
    output->size_limit = options->config->rotate.size_bytes;
    output->timed = output->periods = rotate_by_time(&options->config->rotate);
    if (sweeper_wanted(options->config)) {
        rotation->sweeper = options->sweeper;
        sweeper_watch(options->sweeper, rotation, output->counts->touched_ns);
    }
    return 0;
}

void rotate_close(struct output *output)
{
    if (output->rotation != NULL &&
        (output->rotation->sweeper == NULL || output->rotation->swept_out)) {
        (void)pthread_mutex_destroy(&output->rotation->names);
        free(output->rotation);
    }
}

/* The time that decides. */
static int64_t time_of(const struct yarder_record *record)
{
    int64_t most_ns = record->received_ns + ahead_most_ns;
    bool ahead = record->received_ns != 0 && record->time_ns > most_ns;
    return ahead ? record->received_ns : record->time_ns;
}

static bool is_in(const struct output_slot *slot, int64_t time_ns)
{
    return time_ns >= slot->turn.from_ns && time_ns < slot->turn.to_ns;
}

bool rotate_takes(const struct output_slot *slot, const struct yarder_record *record)
{
    return is_in(slot, time_of(record)) && !slot->turn.gives;
}

void rotate_taken_up(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    output->periods |= (slot->queue->flags & HOLD_QUEUE_PAST) != 0;
    rotate_resume(output, slot, now_ns);
    if (output->rotation != NULL) { /* what the worker before has left half done */
        sweeper_add(output->rotation->sweeper, output->rotation,
            hold_queue_name(output->hold, slot->queue_index));
    }
}

void rotate_resume(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct output_rotate *rotate = &output->config->rotate;
    slot->turn.gives = false;
    slot->turn.modified_s = 0;
    slot->turn.rotate_ns = 0;
    slot->turn.grace_ns = now_ns + rotate->grace_ns;
    slot->turn.from_ns = slot->turn.to_ns = 0;
    if (output->timed && slot->queue->period_s != 0) {
        int64_t end_s = rotate_period_end(rotate, &output->rotation->zone, slot->queue->period_s);
        slot->turn.from_ns = slot->queue->period_s * CALENDAR_SECOND_NS;
        slot->turn.to_ns = end_s * CALENDAR_SECOND_NS;
    }
}

static bool has_name(const struct output *output, const struct output_slot *slot, const char *path)
{
    return slot->state != SLOT_FREE && slot->state != SLOT_CLOSING &&
           strcmp(hold_queue_name(output->hold, slot->queue_index), path) == 0;
}

/* What stands in the file is of an earlier period than what is to come. */
static void note_stale(struct output *output, struct output_slot *slot)
{
    struct hold_queue *queue = slot->queue;
    if (slot->turn.modified_s == 0 || slot->turn.to_ns == 0 ||
        (queue->flags & HOLD_QUEUE_PAST) != 0) {
        return;
    }
    int64_t start_s =
        rotate_period(&output->config->rotate, &output->rotation->zone, slot->turn.modified_s);
    if (start_s < queue->period_s) {
        queue->file_s = start_s;
        queue->flags |= HOLD_QUEUE_ROTATE;
    }
    slot->turn.modified_s = 0;
}

static void set_period(struct output *output, struct output_slot *slot, int64_t time_ns)
{
    int64_t start_s =
        rotate_period(&output->config->rotate, &output->rotation->zone, calendar_second(time_ns));
    slot->queue->period_s = slot->queue->file_s = start_s;
    int64_t modified_s = slot->turn.modified_s;
    rotate_resume(output, slot, 0);
    slot->turn.modified_s = modified_s;
    note_stale(output, slot);
}

/*
 * A late record whose period's file is closed, or never was: of the period before the current one,
 * and while others would still find it. Older ones would make a file each, again and again.
 */
static bool is_in_time(struct output *output, const struct output_slot *current,
    const struct yarder_record *record, int64_t time_ns)
{
    const struct output_rotate *rotate = &output->config->rotate;
    struct calendar_zone *zone = &output->rotation->zone;
    int64_t before_s = rotate_period(rotate, zone, current->queue->period_s - 1);
    return calendar_second(time_ns) >= before_s &&
           record->received_ns - current->turn.from_ns < (int64_t)rotate->grace_ns;
}

/*
 * The clock was far ahead when the current period began, and has been set right since: that period
 * may be years away, and what has its file is of the present one.
 */
static void set_right(
    struct output *output, struct output_slot *current, const struct yarder_record *record)
{
    const struct output_rotate *rotate = &output->config->rotate;
    int64_t before_s = current->queue->period_s - 1;
    bool earlier = record->received_ns != 0 && record->received_ns < current->turn.from_ns;
    if (earlier && current->fd >= 0 &&
        calendar_second(record->received_ns) <
            rotate_period(rotate, &output->rotation->zone, before_s)) {
        set_period(output, current, record->received_ns);
    }
}

static struct output_slot *take(
    struct output *output, const char *path, int64_t time_ns, uint64_t now_ns)
{
    struct output_slot *slot = slot_take(output, path, now_ns);
    if (slot == NULL) {
        output->slot_wanted = true;
        return NULL;
    }
    set_period(output, slot, time_ns);
    output->last_slot = (uint32_t)(slot - output->slots);
    return slot;
}

struct output_slot *rotate_slot_for(
    struct output *output, const char *path, const struct yarder_record *record, uint64_t now_ns)
{
    const int64_t time_ns = time_of(record);
    struct output_slot *current = NULL;
    for (uint32_t i = 0; i < output->slots_count; i++) {
        struct output_slot *slot = &output->slots[i];
        if (slot->turn.gives || !has_name(output, slot, path)) {
            continue;
        }
        if (is_in(slot, time_ns)) {
            output->last_slot = i;
            return slot;
        }
        bool past = (slot->queue->flags & HOLD_QUEUE_PAST) != 0;
        current = !past && (current == NULL || slot->turn.from_ns > current->turn.from_ns)
                      ? slot
                      : current;
    }
    if (current != NULL && current->turn.to_ns == 0) {
        set_period(output, current, time_ns);
        return current;
    }
    if (current == NULL) {
        return take(output, path, time_ns, now_ns);
    }
    set_right(output, current, record);
    bool late = time_ns < current->turn.from_ns;
    if (is_in(current, time_ns)) {
        return current;
    }
    if (late && !is_in_time(output, current, record, time_ns)) {
        return current;
    }
    struct output_slot *slot = take(output, path, time_ns, now_ns);
    if (slot != NULL && late) {
        slot->queue->flags |= HOLD_QUEUE_PAST | HOLD_QUEUE_ASIDE;
        slot->turn.grace_ns = now_ns + output->config->rotate.grace_ns;
    } else if (slot != NULL) {
        current->queue->flags |= HOLD_QUEUE_PAST;
        current->turn.grace_ns = now_ns + output->config->rotate.grace_ns;
    }
    return slot;
}

struct output_slot *rotate_slot_instead(struct output *output, const char *path)
{
    struct output_slot *newest = NULL;
    for (uint32_t i = 0; i < output->slots_count; i++) {
        struct output_slot *slot = &output->slots[i];
        if (has_name(output, slot, path) && !slot->turn.gives &&
            (newest == NULL || slot->turn.from_ns > newest->turn.from_ns)) {
            newest = slot;
        }
    }
    return newest;
}

/* Of the queues of one path the next one, by their periods, that has not been given its file. */
static struct output_slot *heir_of(struct output *output, const struct output_slot *slot)
{
    const char *path = hold_queue_name(output->hold, slot->queue_index);
    struct output_slot *heir = NULL;
    for (uint32_t i = 0; i < output->slots_count; i++) {
        struct output_slot *other = &output->slots[i];
        if (other != slot && other->state == SLOT_CLOSED && has_name(output, other, path) &&
            (other->queue->flags & HOLD_QUEUE_ASIDE) == 0 &&
            other->turn.from_ns > slot->turn.from_ns &&
            (heir == NULL || other->turn.from_ns < heir->turn.from_ns)) {
            heir = other;
        }
    }
    return heir;
}

bool rotate_may_open(const struct output *output, const struct output_slot *slot)
{
    const char *path = hold_queue_name(output->hold, slot->queue_index);
    for (uint32_t i = 0; i < output->slots_count; i++) {
        const struct output_slot *other = &output->slots[i];
        bool has_it =
            other->fd >= 0 || other->state != SLOT_CLOSED || !queue_is_empty(other->queue);
        if (other != slot && other->turn.from_ns < slot->turn.from_ns && has_it &&
            (other->queue->flags & HOLD_QUEUE_ASIDE) == 0 && has_name(output, other, path)) {
            return false;
        }
    }
    return true;
}

void rotate_opened(struct output *output, struct output_slot *slot)
{
    if (output->timed) {
        slot->turn.modified_s = slot->job.modified_s;
        note_stale(output, slot);
    }
}

enum turn rotate_turn(struct output_slot *slot, uint64_t now_ns)
{
    struct hold_queue *queue = slot->queue;
    bool empty = queue->expected_size == 0 && queue_is_empty(queue);
    if (slot->close_under_way || slot->old_fd >= 0) {
        return TURN_NONE;
    }
    if ((queue->flags & (HOLD_QUEUE_PAST | HOLD_QUEUE_ASIDE)) == HOLD_QUEUE_PAST) {
        if (slot->turn.gives || empty || queue->ino == 0) {
            return queue_is_empty(queue) ? TURN_GIVE : TURN_NONE;
        }
        return TURN_ASIDE;
    }
    if ((queue->flags & HOLD_QUEUE_ROTATE) == 0 || queue_record_open(queue) ||
        now_ns < slot->turn.rotate_ns) {
        return TURN_NONE;
    }
    if (queue->expected_size == 0 || queue->ino == 0) { /* nothing to put aside */
        queue->flags &= ~(uint32_t)HOLD_QUEUE_ROTATE;
        return TURN_NONE;
    }
    return TURN_ANEW;
}

bool rotate_give(struct output *output, struct output_slot *slot)
{
    struct output_slot *heir = heir_of(output, slot);
    if (heir == NULL) {
        slot->queue->flags |= HOLD_QUEUE_ASIDE; /* it is closed when its time is over */
        return true;
    }
    heir->fd = slot->fd;
    heir->state = SLOT_IDLE;
    heir->unkept = true; /* told before anything is sealed */
    heir->queue->dev = slot->queue->dev;
    heir->queue->ino = slot->queue->ino;
    heir->queue->expected_size = slot->queue->expected_size;
    heir->queue->flags |= slot->queue->flags & HOLD_QUEUE_HALF;
    slot->fd = -1;
    slot->state = SLOT_FREE;
    slot->just_freed = true;
    slot->unkept = slot->keeps_more = false;
    *slot->queue = (struct hold_queue){
        .output = output->index, .first_buffer = HOLD_NONE, .last_buffer = HOLD_NONE};
    return true;
}

uint64_t rotate_room(const struct output *output, const struct output_slot *slot, uint64_t now_ns)
{
    const struct hold_queue *queue = slot->queue;
    if (queue->ino == 0 || now_ns < slot->turn.rotate_ns) { /* it cannot be, or failed just now */
        return UINT64_MAX;
    }
    uint64_t taken = queue->expected_size + slot_follows_half(slot);
    return output->size_limit > taken ? output->size_limit - taken : 0;
}

void rotate_submit(struct output *output, struct output_slot *slot, enum turn turn)
{
    slot->job.rotate_open = turn == TURN_ANEW;
    slot->state = SLOT_ROTATING;
    slot_submit(output, slot, LANE_ROTATE);
}

static void failed(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct lane_job *job = &slot->job;
    struct hold_queue *queue = slot->queue;
    output->counts->rotation_failures++;
    slot->turn.rotate_ns = now_ns + again_after_ns;
    if (slot->fd < 0) {
        slot->state = SLOT_CLOSED; /* one more file of its period: its records wait for it */
        slot_back_off(output, slot, now_ns);
    } else if ((queue->flags & (HOLD_QUEUE_PAST | HOLD_QUEUE_ASIDE)) == HOLD_QUEUE_PAST) {
        slot->turn.gives = true;
    }
    output_tell_failure(output, slot->queue_index, job->failed_call, job->error, NULL);
    output_complain(output, now_ns, "%s cannot be rotated: %s; it goes on as it is, trying again",
        job->path, strerror(-job->error));
}

void rotate_reap(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct lane_job *job = &slot->job;
    struct hold_queue *queue = slot->queue;
    slot->state = SLOT_IDLE;
    slot->due_ns = now_ns;
    crash_point("rotate-reaped");
    if (job->answer == LANE_FAILED) {
        failed(output, slot, now_ns);
        return;
    }
    output->counts->moved += job->answer == LANE_MOVED && !job->rotated;
    rotate_count(output, job);
    if (!job->rotate_open && !job->detached) {
        queue->flags |= HOLD_QUEUE_ASIDE;
        return;
    }
    queue->flags &= ~(uint32_t)HOLD_QUEUE_ROTATE;
    slot->old_fd = job->old_fd;
    slot_follow(output, slot, now_ns);
    queue->file_s = queue->period_s;
    slot->backoff_ns = slot->unkept ? slot->backoff_ns : 0;
}

void rotate_count(struct output *output, const struct lane_job *job)
{
    if (job->rotated) {
        output->counts->rotations++;
        output->counts->rotated_ns = (uint64_t)os_realtime_ns();
    }
}

/* A past one is closed when it gets nothing any more, or its place is wanted. */
static bool is_over(const struct output_slot *slot, bool wanted, uint64_t now_ns)
{
    return slot->state == SLOT_IDLE && (slot->queue->flags & HOLD_QUEUE_ASIDE) != 0 &&
           queue_is_empty(slot->queue) && !slot->close_under_way && slot->old_fd < 0 &&
           (wanted || now_ns >= slot->turn.grace_ns);
}

bool rotate_retire(struct output *output, uint64_t now_ns)
{
    uint32_t free_slots = 0;
    struct output_slot *oldest = NULL;
    bool retired = false;
    for (uint32_t i = 0; i < output->slots_count; i++) {
        struct output_slot *slot = &output->slots[i];
        bool unused = slot->state == SLOT_CLOSED && slot->fd < 0 && queue_is_empty(slot->queue) &&
                      (slot->queue->flags & HOLD_QUEUE_PAST) != 0;
        if (unused) {
            slot_give_up(output, slot);
            retired = true;
        }
        free_slots += slot->state == SLOT_FREE || slot->state == SLOT_CLOSING;
        if (is_over(slot, false, now_ns)) {
            slot_retire(output, slot);
            retired = true;
        } else if (is_over(slot, true, now_ns) &&
                   (oldest == NULL || slot->turn.from_ns < oldest->turn.from_ns)) {
            oldest = slot;
        }
    }
    if (oldest != NULL && !retired && free_slots == 0) {
        slot_retire(output, oldest);
        retired = true;
    }
    output->slot_wanted = output->slot_wanted && !output->path_is_constant;
    return retired;
}

static void ask_all(struct output *output, uint32_t flag)
{
    for (uint32_t i = 0; i < output->slots_count; i++) {
        struct output_slot *slot = &output->slots[i];
        uint32_t flags = slot->queue->flags;
        if ((flags & HOLD_QUEUE_ACTIVE) != 0 && (flags & HOLD_QUEUE_PAST) == 0) {
            slot->queue->flags |= flag;
        }
    }
}

bool rotate_reap_asked(struct output *output, uint64_t now_ns)
{
    struct rotation *rotation = output->rotation;
    uint32_t asked = __atomic_exchange_n(&rotation->asked, 0, __ATOMIC_RELAXED);
    if ((asked & ROTATE_ASKED_ROTATE) != 0) {
        ask_all(output, HOLD_QUEUE_ROTATE);
    }
    if ((asked & ROTATE_ASKED_REOPEN) != 0) {
        ask_all(output, HOLD_QUEUE_REOPEN);
    }
    for (uint32_t i = 0; i < YARDER_COUNT_OF(rotation->touched_ns); i++) {
        output->counts->touched_ns[i] = __atomic_load_n(&rotation->touched_ns[i], __ATOMIC_RELAXED);
    }
    if ((asked & ROTATE_ASKED_TOLD) != 0) {
        struct rotation_trouble trouble;
        sweeper_trouble(rotation->sweeper, rotation, &trouble);
        output_tell_failure(output, HOLD_NONE, trouble.call, trouble.error, NULL);
        output_complain(output, now_ns, "%s: %s: %s; it stays as it is", trouble.path, trouble.call,
            strerror(-trouble.error));
    }
    return true;
}

void output_ask_rotate(struct output *output)
{
    if (output->rotation != NULL) {
        __atomic_fetch_or(&output->rotation->asked, ROTATE_ASKED_ROTATE, __ATOMIC_SEQ_CST);
    }
}
