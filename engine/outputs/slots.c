/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs/slots.h"

#include <stdarg.h>
#include <string.h>

enum { SLOTS_SPARE = 2 };
static const uint64_t complain_every_ns = 60ull * 1000 * 1000 * 1000;

void output_complain(struct output *output, uint64_t now_ns, const char *format, ...)
{
    char line[sizeof(output->complaint)];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    bool same = strcmp(line, output->complaint) == 0;
    if (same && now_ns - output->complained_ns < complain_every_ns) {
        return;
    }
    memcpy(output->complaint, line, sizeof(line));
    output->complained_ns = now_ns;
    char whole[sizeof(line) + YARDER_NAME_BYTES_MAX + 16];
    (void)snprintf(whole, sizeof(whole), "output %s: %s", output->config->name, line);
    output->services->complain(output->services->owner, whole);
}

void slot_submit(struct output *output, struct output_slot *slot, enum lane_request request)
{
    slot->job.request = request;
    slot->job.path = hold_queue_name(output->hold, slot->queue_index);
    slot->job.fd = slot->fd;
    slot->job.record_open = queue_record_open(slot->queue);
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
        return slot;
    }
    return NULL;
}

struct output_slot *slot_for(
    struct output *output, const struct yarder_record *record, uint64_t now_ns)
{
    struct output_slot *last = &output->slots[output->last_slot];
    if (output->path_is_constant && last->state != SLOT_FREE) {
        return last;
    }
    char path[YARDER_PATH_BYTES_MAX] = "";
    if (output->path != NULL && path_template_run(output->path, record, path, sizeof(path)) < 0) {
        return NULL;
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
    return slot;
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
        if (slot->state != SLOT_IDLE || !queue_is_empty(slot->queue) || slot->close_under_way) {
            continue;
        }
        if (now_ns - slot->queue->used_ns >= output->config->idle_close_ns) {
            slot->state = SLOT_CLOSING;
            slot_submit(output, slot, LANE_CLOSE);
        } else if (quietest == NULL || slot->queue->used_ns < quietest->queue->used_ns) {
            quietest = slot;
        }
    }
    if (free_slots < SLOTS_SPARE && quietest != NULL && output->slots_count > SLOTS_SPARE) {
        quietest->state = SLOT_CLOSING;
        slot_submit(output, quietest, LANE_CLOSE);
    }
}
