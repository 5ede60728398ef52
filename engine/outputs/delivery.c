/* SPDX-License-Identifier: Apache-2.0 */
/* Opening an output, sealing what is due, handing it to the lane. What comes back: reap.c. */
#include "outputs/delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/limits.h"
#include "os/identity.h"
#include "os/memory.h"
#include "outputs/delivery_private.h"
#include "outputs/lane_offload.h"
#include "outputs/lane_spool.h"

static const uint64_t look_again_ns = 5000000;
enum { SCRATCH_FACTOR = 8, TURNS = HOLD_QUEUE_ROTATE | HOLD_QUEUE_PAST };

static int slots_open(struct output *output)
{
    const struct hold_shape_output *shape = &output->hold->shape.outputs[output->index];
    output->slots_count = shape->queues_count;
    output->slots = calloc(shape->queues_count, sizeof(*output->slots));
    if (output->slots == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < shape->queues_count; i++) {
        output->slots[i] = (struct output_slot){.fd = -1,
            .old_fd = -1,
            .queue_index = shape->first_queue + i,
            .queue = &output->hold->queues[shape->first_queue + i]};
    }
    output->scratch_bytes = SCRATCH_FACTOR * (size_t)YARDER_RECORD_BYTES_MAX;
    /* Virtual until a record is really that long. */
    output->scratch = malloc(output->scratch_bytes);
    return output->scratch == NULL ? -ENOMEM
                                   : queue_pool_open(&output->pool, output->hold, output->index);
}

static int encoders_open(
    struct output *output, const struct output_open_options *options, char *why, size_t why_bytes)
{
    const struct output_config *config = options->config;
    output->path_is_constant = output->one_file = true;
    if (output->packs && config->queue.disk_bytes > 0) {
        const struct lane_spool_options spool = {.config = config,
            .host = options->host,
            .state_dir = options->state_dir,
            .index = options->index,
            .event_fd = options->event_fd,
            .writer_sleeps = options->writer_sleeps};
        return lane_spool_open(&output->offload.spool, &spool, why, why_bytes);
    }
    if (output->packs) {
        return lane_offload_open(&output->offload.lane, config, options->host, why, why_bytes);
    }
    int r = encoder_open(&output->encoder, config->format, (enum encode_newlines)config->newlines,
        options->host, why, why_bytes);
    if (r < 0) {
        return r;
    }
    output->plain = encoder_is_plain(output->encoder);
    enum chain_dialect dialect = config->encode_uwsgi ? CHAIN_UWSGI : CHAIN_NATIVE;
    r = chain_open(&output->chains[YARDER_KIND_LOG], &config->encode, dialect, why, why_bytes);
    if (r == 0) {
        r = chain_open(&output->chains[YARDER_KIND_REQUEST], &config->encode_requests, dialect, why,
            why_bytes);
    }
    if (r < 0) {
        return r;
    }
    if (config->kind != OUTPUT_FILE) {
        return 0;
    }
    r = path_template_open(&output->path, config->target, options->host, why, why_bytes);
    if (r == 0) {
        output->path_is_constant = path_template_is_constant(output->path);
        output->one_file = output->path_is_constant && !rotate_by_time(&config->rotate);
    }
    return r;
}

int output_open(
    struct output *output, const struct output_open_options *options, char *why, size_t why_bytes)
{
    const struct output_config *config = options->config;
    *output = (struct output){.config = config,
        .index = options->index,
        .hold = options->hold,
        .counts = &options->hold->outputs[options->index],
        .services = options->services,
        .packs = config->kind == OUTPUT_OFFLOAD,
        .offload.epoch_ns = options->hold->header->epoch_ns + options->index,
        .block_limit_ns = options->block_limit_ns,
        .waiting_hurts = options->waiting_hurts};
    int r = encoders_open(output, options, why, why_bytes);
    if (r < 0 || config->kind == OUTPUT_NULL) {
        return r;
    }
    r = slots_open(output);
    if (r < 0) {
        return r;
    }
    output->offload.again_until =
        (struct yarder_id){output->offload.epoch_ns, output->counts->copies};
    output->offload.jitter =
        (output->offload.epoch_ns ^ (uint64_t)os_monotonic_ns() << 20) | 1; /* never 0 */
    struct lane_options lane = {.config = config,
        .index = options->index,
        .event_fd = options->event_fd,
        .writer_sleeps = options->writer_sleeps,
        .owner_uid = (uid_t)-1,
        .owner_gid = (gid_t)-1};
    if (output->offload.spool != NULL) {
        lane.ops = &lane_spool_ops;
        lane.self = output->offload.spool;
    } else if (output->packs) {
        lane.ops = &lane_offload_ops;
        lane.self = output->offload.lane;
    } else if (config->kind == OUTPUT_FILE) {
        r = rotate_open(output, options);
        if (r < 0) {
            return r;
        }
        lane.rotation = output->rotation;
    }
    r = config->owner == NULL ? 0 : identity_user(config->owner, &lane.owner_uid);
    if (r == 0 && config->group != NULL) {
        r = identity_group(config->group, &lane.owner_gid);
    }
    if (r == 0) {
        output->truncate = config->truncate && options->first_start;
        r = lane_open(&output->lane, &lane);
    }
    if (r < 0) {
        (void)snprintf(why, why_bytes, "owner, group or thread: %s", strerror(-r));
    }
    return r;
}

int output_close(struct output *output, uint64_t wait_ns)
{
    int r = output->lane == NULL ? 0 : lane_close(output->lane, wait_ns);
    if (r < 0) {
        return r; /* the thread is stuck in a call and still uses our memory */
    }
    for (uint32_t i = 0; i < output->slots_count; i++) {
        struct output_slot *slot = &output->slots[i];
        bool opened = slot->job.owner != NULL && /* answered, and nobody has reaped it */
                      ((slot->job.request == LANE_OPEN && slot->job.answer == LANE_DONE) ||
                          (slot->job.request == LANE_WRITE && slot->job.answer == LANE_MOVED) ||
                          (slot->job.request == LANE_ROTATE && slot->job.fd != slot->fd));
        if (opened) {
            yarder_fd_drop(&slot->job.fd);
        }
        if (slot->state != SLOT_CLOSING) {
            yarder_fd_drop(&slot->fd);
        }
        yarder_fd_drop(&slot->old_fd);
    }
    queue_pool_close(&output->pool);
    free(output->slots);
    free(output->scratch);
    lane_offload_close(output->offload.lane);
    lane_spool_close(output->offload.spool);
    encoder_close(output->encoder);
    chain_close(output->chains[YARDER_KIND_LOG]);
    chain_close(output->chains[YARDER_KIND_REQUEST]);
    path_template_close(output->path);
    rotate_close(output);
    *output = (struct output){0};
    return 0;
}

void output_resume_queue(struct output *output, uint32_t queue, int fd)
{
    struct output_slot *slot = &output->slots[queue - output->slots[0].queue_index];
    YARDER_ASSERT(slot->state == SLOT_FREE && slot->queue_index == queue);
    rotate_taken_up(output, slot, (uint64_t)os_monotonic_ns());
    slot->fd = fd;
    slot->state = fd < 0 ? SLOT_CLOSED : SLOT_IDLE;
    slot->due_ns = fd < 0 || !queue_is_empty(slot->queue) ? 1 : 0;
    slot_late(slot, queue_is_empty(slot->queue) ? 0 : (uint64_t)os_monotonic_ns());
    if (slot->queue->seal_bytes != 0) {
        if (fd >= 0 && output->config->kind == OUTPUT_FILE) {
            slot->state = SLOT_COMPARING;
            slot->due_ns = 1;
            return;
        }
        if (output->offload.spool != NULL) {
            queue_unseal(slot->queue); /* what was stored of it is known by its ids */
        } else {
            slot_give_again(output, slot);
        }
    }
    if (output->packs) { /* what a lane had gathered of a record went with it */
        queue_rewind(slot->queue);
    }
}

void output_start(struct output *output, uint64_t now_ns)
{
    spool_without(output);
    bool taken_up = false; /* not always the first: of one that is rotated by time these change */
    for (uint32_t i = 0; i < output->slots_count; i++) {
        taken_up |= output->slots[i].state != SLOT_FREE;
    }
    if (output->lane == NULL || !output->path_is_constant || taken_up) {
        return;
    }
    char path[YARDER_PATH_BYTES_MAX] = "";
    const struct yarder_record nothing = {0};
    if (output->path != NULL && path_template_run(output->path, &nothing, path, sizeof(path)) < 0) {
        return; /* told for each record that finds no file */
    }
    struct output_slot *slot = slot_take(output, path, now_ns);
    YARDER_ASSERT(slot == &output->slots[0]);
    slot->due_ns = now_ns;
}

/* Seals as much as the file may take; false: it is put aside first. */
static bool seal_bytes(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    struct hold_queue *queue = slot->queue;
    const char *bytes = NULL;
    if (YARDER_LIKELY(output->size_limit == 0)) {
        bytes = queue_seal(&output->pool, queue);
    } else {
        bytes = queue_seal_within(
            &output->pool, queue, rotate_room(output, slot, now_ns), queue->expected_size == 0);
    }
    if (bytes == NULL) {
        queue->flags |= HOLD_QUEUE_ROTATE;
        slot->due_ns = now_ns + look_again_ns; /* unless it can be done right now */
        return false;
    }
    slot->job.bytes = bytes;
    slot->job.bytes_count = queue->seal_bytes;
    return true;
}

static bool seal_slot(struct output *output, struct output_slot *slot, uint64_t now_ns, bool drain)
{
    struct hold_queue *queue = slot->queue;
    if (slot->state != SLOT_IDLE || now_ns < slot->retry_ns) {
        return false;
    }
    if (slot->unkept && !slot_keep(output, slot, now_ns)) {
        return false;
    }
    if (YARDER_UNLIKELY((queue->flags & TURNS) != 0)) {
        enum turn turn = rotate_turn(slot, now_ns);
        if (turn != TURN_NONE) {
            return turn == TURN_GIVE && rotate_give(output, slot);
        }
    }
    if (queue_is_empty(queue)) {
        slot->due_ns = 0;
        slot_late(slot, 0);
        return false;
    }
    bool due = drain || now_ns >= slot->due_ns || queue_buffer_full(queue) ||
               queue_record_open(queue) || output->pool.free_count == 0;
    if (!due) {
        return false;
    }
    if ((queue->flags & HOLD_QUEUE_BROKEN) != 0) {
        slot_begin_again(output, slot);
    }
    queue->flags &= ~(uint32_t)HOLD_QUEUE_BROKEN;
    if (!seal_bytes(output, slot, now_ns)) {
        return false;
    }
    slot->state = SLOT_SEALED;
    slot->due_ns = 0;
    return true;
}

bool output_seal(struct output *output, uint64_t now_ns, bool drain)
{
    bool sealed = false;
    if (output->fenced) {
        return false;
    }
    for (uint32_t i = 0; i < output->slots_count; i++) {
        sealed |= seal_slot(output, &output->slots[i], now_ns, drain);
    }
    if (output->lane != NULL) {
        slots_retire(output, now_ns);
        if (YARDER_UNLIKELY(output->periods)) {
            sealed |= rotate_retire(output, now_ns);
        }
    }
    return sealed || output->pool.freed_count > 0;
}

void output_settle(struct output *output)
{
    const struct output_services *services = output->services;
    queue_pool_settle(&output->pool);
    spool_settle(output);
    for (uint32_t i = 0; i < output->slots_count; i++) {
        struct output_slot *slot = &output->slots[i];
        if (YARDER_UNLIKELY(slot->just_freed)) { /* the commit says so, too */
            slot->just_freed = services->forget(services->owner, slot->queue_index) < 0;
        }
        if (YARDER_UNLIKELY(slot->old_fd >= 0)) { /* the commit names the file after it */
            slot_submit_close(output, slot, slot->old_fd);
            slot->old_fd = -1;
            slot->keeps_more = true;
        }
        if (YARDER_UNLIKELY(slot->keeps_more && slot->state != SLOT_CLOSING) &&
            services->keep(services->owner, slot->queue_index, slot->fd, true) == 0) {
            slot->keeps_more = slot->unkept = false;
        }
    }
}

/* Asked to reopen, with nothing to write: whether the path names another file now. */
static void submit_look(struct output *output, struct output_slot *slot)
{
    slot->job.bytes_count = 0;
    slot->state = SLOT_WRITING;
    slot_submit(output, slot, LANE_WRITE);
}

static void add_ends(struct output *output, struct output_slot *slot)
{
    struct compare_batch *batch = &slot->job.batch;
    batch->ends =
        queue_sealed_ends(&output->pool, slot->queue, &batch->ends_count, &batch->ends_offset);
}

static void submit_write(struct output *output, struct output_slot *slot)
{
    slot->state = SLOT_WRITING;
    if (output->packs) {
        add_ends(output, slot);
        slot->job.again_until = output->offload.again_until;
    }
    slot_submit(output, slot, LANE_WRITE);
}

/* A compare needs the sealed bytes and the record ends of their buffer. */
static void submit_compare(struct output *output, struct output_slot *slot)
{
    struct lane_job *job = &slot->job;
    add_ends(output, slot);
    job->batch.bytes = queue_sealed(&output->pool, slot->queue);
    job->batch.bytes_count = slot->queue->seal_bytes;
    job->batch.continues = queue_record_open(slot->queue);
    job->batch.after_half = slot_follows_half(slot);
    job->batch.expected_size = slot->queue->expected_size;
    slot_submit(output, slot, LANE_COMPARE);
}

static void submit_open(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    if (YARDER_UNLIKELY((slot->queue->flags & HOLD_QUEUE_ASIDE) != 0)) {
        rotate_submit(output, slot, TURN_ANEW); /* one more file of a period that is over */
        return;
    }
    if (output->timed && !rotate_may_open(output, slot)) {
        slot->retry_ns = now_ns + look_again_ns; /* at the latest */
        return;
    }
    slot->state = SLOT_OPENING;
    slot->job.truncate = output->truncate;
    slot_submit(output, slot, LANE_OPEN);
}

void output_submit(struct output *output, uint64_t now_ns)
{
    if (output->fenced || output->lane == NULL) {
        return;
    }
    for (uint32_t i = 0; i < output->slots_count; i++) {
        struct output_slot *slot = &output->slots[i];
        if (slot->state == SLOT_SEALED) {
            submit_write(output, slot);
        } else if (now_ns < slot->retry_ns) {
            continue;
        } else if (slot->state == SLOT_COMPARING && slot->job.owner == NULL) {
            submit_compare(output, slot);
        } else if (slot->state == SLOT_CLOSED && slot->due_ns != 0) {
            submit_open(output, slot, now_ns);
        } else if (slot->state == SLOT_IDLE && (slot->queue->flags & TURNS) != 0 &&
                   rotate_turn(slot, now_ns) > TURN_GIVE) {
            rotate_submit(output, slot, rotate_turn(slot, now_ns));
        } else if (slot->state == SLOT_IDLE && (slot->queue->flags & HOLD_QUEUE_REOPEN) != 0 &&
                   queue_is_empty(slot->queue) && !slot->close_under_way) {
            submit_look(output, slot);
        }
    }
}

void output_reopen(struct output *output)
{
    for (uint32_t i = 0; i < output->slots_count; i++) {
        if ((output->slots[i].queue->flags & HOLD_QUEUE_ACTIVE) != 0) {
            output->slots[i].queue->flags |= HOLD_QUEUE_REOPEN;
        }
    }
}

uint64_t output_deadline_ns(const struct output *output)
{
    uint64_t deadline_ns = UINT64_MAX;
    for (uint32_t i = 0; i < output->slots_count && !output->fenced; i++) {
        const struct output_slot *slot = &output->slots[i];
        bool waits = slot->state == SLOT_IDLE || slot->state == SLOT_CLOSED ||
                     (slot->state == SLOT_COMPARING && slot->job.owner == NULL);
        if (slot->state == SLOT_IDLE && (slot->queue->flags & HOLD_QUEUE_ASIDE) != 0) {
            deadline_ns = yarder_min(deadline_ns, slot->turn.grace_ns);
        }
        if (waits && slot->due_ns != 0) {
            deadline_ns = yarder_min(deadline_ns, yarder_max(slot->due_ns, slot->retry_ns));
        } else if (slot->state == SLOT_IDLE && !output->path_is_constant &&
                   !slot->close_under_way) {
            deadline_ns =
                yarder_min(deadline_ns, slot->queue->used_ns + output->config->idle_close_ns);
        }
    }
    return deadline_ns;
}

bool output_is_idle(const struct output *output)
{
    bool idle = output->under_way == 0;
    for (uint32_t i = 0; i < output->slots_count; i++) {
        const struct output_slot *slot = &output->slots[i];
        idle = idle && (slot->state == SLOT_FREE || queue_is_empty(slot->queue)) &&
               slot->state != SLOT_SEALED;
    }
    return idle;
}
