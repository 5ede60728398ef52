/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs/delivery_private.h"

#include <stdarg.h>
#include <string.h>

enum { SLOTS_SPARE = 2, LINE_BYTES = 480 };
static const uint64_t stuck_after_ns = 500ull * 1000 * 1000;
static const uint64_t complain_every_ns = 60ull * 1000 * 1000 * 1000;

/* The place of this kind of complaint, or that of the one that was made longest ago. */
static struct output_complaint *complaint_of(struct output *output, const char *format)
{
    struct output_complaint *oldest = &output->complaints[0];
    for (uint32_t i = 0; i < OUTPUT_COMPLAINTS; i++) {
        struct output_complaint *complaint = &output->complaints[i];
        if (complaint->format == format) {
            return complaint;
        }
        oldest = complaint->at_ns < oldest->at_ns ? complaint : oldest;
    }
    return oldest;
}

static void say(struct output *output, const char *format, va_list arguments) YARDER_PRINTF(2, 0);
static void say(struct output *output, const char *format, va_list arguments)
{
    char line[LINE_BYTES];
    int named = snprintf(line, sizeof(line), "output %s: ", output->config->name);
    (void)vsnprintf(line + named, sizeof(line) - (size_t)named, format, arguments);
    output->services->complain(output->services->owner, line);
}

void output_say(struct output *output, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(output, format, arguments);
    va_end(arguments);
}

void output_complain(struct output *output, uint64_t now_ns, const char *format, ...)
{
    struct output_complaint *complaint = complaint_of(output, format);
    if (complaint->format == format && now_ns - complaint->at_ns < complain_every_ns) {
        return;
    }
    *complaint = (struct output_complaint){.format = format, .at_ns = now_ns};
    va_list arguments;
    va_start(arguments, format);
    say(output, format, arguments);
    va_end(arguments);
}

void slot_submit(struct output *output, struct output_slot *slot, enum lane_request request)
{
    slot->job.request = request;
    slot->job.path = hold_queue_name(output->hold, slot->queue_index);
    slot->job.fd = slot->fd;
    slot->job.record_open = queue_record_open(slot->queue);
    slot->job.close_line = slot_follows_half(slot);
    slot->job.detached = (slot->queue->flags & HOLD_QUEUE_ASIDE) != 0;
    slot->job.period_s = slot->queue->file_s;
    slot->job.reopen = (slot->queue->flags & HOLD_QUEUE_REOPEN) != 0;
    slot->job.expected_size = slot->queue->expected_size;
    slot->job.dev = slot->queue->dev;
    slot->job.ino = slot->queue->ino;
    slot->job.owner = slot;
    output->under_way++;
    lane_submit(output->lane, &slot->job);
}

void slot_submit_close(struct output *output, struct output_slot *slot, int fd)
{
    YARDER_ASSERT(!slot->close_under_way);
    slot->close_job = (struct lane_job){.request = LANE_CLOSE,
        .path = hold_queue_name(output->hold, slot->queue_index),
        .fd = fd,
        .owner = slot};
    slot->close_under_way = true;
    output->under_way++;
    lane_submit(output->lane, &slot->close_job);
}

bool slot_keep(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct output_services *services = output->services;
    int r = services->keep(services->owner, slot->queue_index, slot->fd, false);
    slot->unkept = r < 0;
    if (r == 0) {
        slot->backoff_ns = slot->retry_ns = 0;
        return true;
    }
    slot_back_off(output, slot, now_ns);
    if (slot_is_hopeless(slot)) {
        output_complain(output, now_ns, "%s: the supervisor does not take it: %s; records wait",
            hold_queue_name(output->hold, slot->queue_index), strerror(-r));
    }
    return false;
}

void slot_begin_again(struct output *output, struct output_slot *slot)
{
    if (queue_record_open(slot->queue)) {
        queue_rewind(slot->queue);
        slot->queue->flags |= HOLD_QUEUE_HALF;
        output->counts->torn++;
    }
}

void slot_give_again(struct output *output, struct output_slot *slot)
{
    output->counts->uncertain += queue_sealed_records(&output->pool, slot->queue);
    queue_unseal(slot->queue);
}

void slot_give_up(struct output *output, struct output_slot *slot)
{
    output->counts->dropped[HOLD_DROPPED_PATH] += queue_drop_all(&output->pool, slot->queue);
    slot->state = SLOT_FREE;
    slot->just_freed = true;
    slot->due_ns = 0;
    slot_late(slot, 0);
    slot->queue->flags = 0;
}

static bool slot_has_name(
    const struct output *output, const struct output_slot *slot, const char *path)
{
    return slot->state != SLOT_FREE && slot->state != SLOT_CLOSING &&
           strcmp(hold_queue_name(output->hold, slot->queue_index), path) == 0;
}

struct output_slot *slot_take(struct output *output, const char *path, uint64_t now_ns)
{
    for (uint32_t i = 0; i < output->slots_count; i++) {
        struct output_slot *slot = &output->slots[i];
        if (slot->state != SLOT_FREE || slot->just_freed) {
            continue;
        }
        /* The name is written while the stored commit calls the queue free. */
        (void)snprintf(
            hold_queue_name(output->hold, slot->queue_index), YARDER_PATH_BYTES_MAX, "%s", path);
        *slot->queue = (struct hold_queue){.output = output->index,
            .flags = HOLD_QUEUE_ACTIVE,
            .first_buffer = HOLD_NONE,
            .last_buffer = HOLD_NONE,
            .used_ns = now_ns};
        slot->state = SLOT_CLOSED;
        slot->retry_ns = slot->backoff_ns = slot->due_ns = 0;
        rotate_resume(output, slot, now_ns);
        slot_late(slot, 0);
        return slot;
    }
    return NULL;
}

bool slot_takes(
    const struct output *output, const struct output_slot *slot, const struct yarder_record *record)
{
    char path[YARDER_PATH_BYTES_MAX];
    if (output->one_file) {
        return slot->state != SLOT_FREE;
    }
    if (output->timed && !rotate_takes(slot, record)) {
        return false;
    }
    if (output->path_is_constant) {
        return slot->state != SLOT_FREE && slot->state != SLOT_CLOSING;
    }
    return path_template_run(output->path, record, path, sizeof(path)) >= 0 &&
           slot_has_name(output, slot, path);
}

struct output_slot *slot_for(
    struct output *output, const struct yarder_record *record, uint64_t now_ns)
{
    struct output_slot *last = &output->slots[output->last_slot];
    if (output->one_file && last->state != SLOT_FREE) {
        return last;
    }
    char path[YARDER_PATH_BYTES_MAX] = "";
    output->no_path =
        output->path != NULL && path_template_run(output->path, record, path, sizeof(path)) < 0;
    if (output->no_path) {
        return NULL;
    }
    if (output->timed) {
        return rotate_slot_for(output, path, record, now_ns);
    }
    if (slot_has_name(output, last, path)) {
        return last;
    }
    for (uint32_t i = 0; i < output->slots_count; i++) {
        if (slot_has_name(output, &output->slots[i], path)) {
            output->last_slot = i;
            return &output->slots[i];
        }
    }
    struct output_slot *slot = slot_take(output, path, now_ns);
    if (slot != NULL) {
        output->last_slot = (uint32_t)(slot - output->slots);
    }
    output->slot_wanted |= slot == NULL;
    return slot;
}

struct output_slot *slot_instead(struct output *output, const struct yarder_record *record)
{
    char path[YARDER_PATH_BYTES_MAX] = "";
    bool good = path_template_run(output->path, record, path, sizeof(path)) >= 0;
    return good ? rotate_slot_instead(output, path) : NULL;
}

/* Its file was ours a moment ago, and is locked until the supervisor has closed it too. */
static bool is_being_freed(const struct output_slot *slot)
{
    static const uint64_t wait_ns = 400ull * 1000 * 1000;
    return slot->state == SLOT_CLOSED && slot->job.locked_elsewhere && slot->backoff_ns < wait_ns;
}

bool slot_comes(const struct output *output, uint64_t now_ns)
{
    if (lane_stuck_ns(output->lane) > stuck_after_ns || output->fenced) {
        return false;
    }
    for (uint32_t i = 0; i < output->slots_count; i++) {
        if (output->slots[i].retry_ns <= now_ns || is_being_freed(&output->slots[i])) {
            return true;
        }
    }
    return false;
}

void slot_retire(struct output *output, struct output_slot *slot)
{
    slot->state = SLOT_CLOSING;
    slot->queue->flags = 0;
    slot_submit(output, slot, LANE_CLOSE);
}

void slots_retire(struct output *output, uint64_t now_ns)
{
    if (output->path_is_constant) {
        return;
    }
    uint32_t free_slots = 0;
    struct output_slot *quietest = NULL;
    for (uint32_t i = 0; i < output->slots_count; i++) {
        struct output_slot *slot = &output->slots[i];
        free_slots += slot->state == SLOT_FREE || slot->state == SLOT_CLOSING;
        bool turns = (slot->queue->flags & (HOLD_QUEUE_PAST | HOLD_QUEUE_ROTATE)) != 0;
        if (slot->state != SLOT_IDLE || turns || !queue_is_empty(slot->queue) ||
            slot->close_under_way) {
            continue;
        }
        if (now_ns - slot->queue->used_ns >= output->config->idle_close_ns) {
            slot_retire(output, slot);
        } else if (quietest == NULL || slot->queue->used_ns < quietest->queue->used_ns) {
            quietest = slot;
        }
    }
    uint32_t spare = output->slots_count > SLOTS_SPARE ? SLOTS_SPARE : 0;
    bool wanted = free_slots < yarder_max(spare, output->slot_wanted);
    if (wanted && quietest != NULL) {
        slot_retire(output, quietest);
    }
    output->slot_wanted = false; /* who still waits asks again */
}
