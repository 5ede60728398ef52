/* SPDX-License-Identifier: Apache-2.0 */
#include "inputs/ring_input.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/text.h"

#define LOST_AT_ONCE_MAX (UINT64_C(1) << 32)

static int place_find(struct ring_input *ring)
{
    struct hold *hold = ring->hold;
    uint32_t free_slot = HOLD_NONE;
    for (uint32_t i = 0; i < *hold->regions_used; i++) {
        const struct hold_region *region = hold_region_at(hold, i);
        if (region->id == ring->id) {
            ring->slot = i;
            return 1;
        }
        if (region->id == 0 && free_slot == HOLD_NONE) {
            free_slot = i;
        }
    }
    if (free_slot == HOLD_NONE) {
        if (*hold->regions_used == hold->shape.regions_max) {
            return -ENOSPC;
        }
        free_slot = (*hold->regions_used)++;
    }
    ring->slot = free_slot;
    struct hold_region *region = hold_region_at(hold, free_slot);
    *region = (struct hold_region){.id = ring->id, .pid = ring->pid};
    return 0;
}

/* Right before a commit: what was taken back by then is not counted. */
static void losses_count(struct ring_input *ring, struct hold_region *region)
{
    struct hold_input *counts = ring->input->counts;
    struct ring_losses losses;
    region_reader_losses(ring->reader, &losses);
    if (losses.lost > region->lost) { /* what a producer says: it may say anything */
        counts->lost_ring += yarder_min(losses.lost - region->lost, LOST_AT_ONCE_MAX);
        region->lost = losses.lost;
    }
    counts->received += losses.refused - ring->refused;
    counts->refused[HOLD_REFUSED_CORRUPT] += losses.refused - ring->refused;
    ring->refused = losses.refused;
    region->told = region_reader_told(ring->reader);
}

int ring_input_open(struct ring_input **out, struct input *input, struct hold *hold,
    const struct ring_process *process)
{
    YARDER_OWN_FD int region_own = process->region_fd;
    YARDER_OWN_FD int doorbell_own = process->doorbell_fd;
    YARDER_OWN_HEAP struct ring_input *ring = calloc(1, sizeof(*ring));
    if (ring == NULL) {
        return -ENOMEM;
    }
    *ring =
        (struct ring_input){.input = input, .hold = hold, .id = process->id, .pid = process->pid};
    (void)snprintf(ring->program, sizeof(ring->program), "%s",
        process->program == NULL ? "" : process->program);
    ring->tag = ring->program[0] != '\0' ? text_of(ring->program) : input->tag;
    const struct region_reader_options options = {
        .pid = ring->pid, .input = input->index, .tag = ring->tag};
    int r = region_reader_open(&ring->reader, region_own, &options);
    if (r < 0) {
        return r;
    }
    r = region_reader_rings(ring->reader) > hold->shape.rings_max ? -ENOSPC : place_find(ring);
    if (r < 0) {
        region_reader_close(ring->reader);
        return r;
    }
    if (r == 1) {
        struct hold_region *region = hold_region_at(hold, ring->slot);
        region_reader_resume(ring->reader, hold_region_cursors(region), region->told);
    } else {
        struct ring_losses before; /* of a region that came back: counted by another daemon */
        region_reader_losses(ring->reader, &before);
        hold_region_at(hold, ring->slot)->lost = before.lost;
    }
    ring_input_store(ring);
    /* A kill can leave a producer that waits for room which the stored commit has freed. */
    ring_input_publish(ring);
    region_reader_sleep(ring->reader, RING_AWAKE);
    ring->doorbell =
        (struct io_source){.fd = yarder_fd_take(&doorbell_own), .kind = IO_READY, .owner = ring};
    *out = yarder_heap_take(&ring);
    return 0;
}

void ring_input_close(struct ring_input *ring, bool forget)
{
    if (forget) {
        *hold_region_at(ring->hold, ring->slot) = (struct hold_region){0};
        while (*ring->hold->regions_used > 0 &&
               hold_region_at(ring->hold, *ring->hold->regions_used - 1)->id == 0) {
            (*ring->hold->regions_used)--;
        }
    }
    region_reader_close(ring->reader);
    yarder_fd_drop(&ring->doorbell.fd);
    free(ring);
}

void ring_input_answer(struct ring_input *ring)
{
    enum { BELLS_MAX = 512 }; /* more than a socket's queue holds; each is a message of its own */
    char byte;
    ssize_t r = 1;
    for (unsigned i = 0; i < BELLS_MAX && r > 0; i++) {
        r = recv(ring->doorbell.fd, &byte, sizeof(byte), MSG_DONTWAIT);
    }
    ring->doorbell_ended = r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR);
}

uint32_t ring_input_take(struct ring_input *ring, const struct ring_clock *clock,
    struct ring_take *take, uint32_t records_max, bool *more)
{
    struct ring_batch batch = {.records = take->records,
        .records_max = records_max,
        .scratch = take->scratch,
        .scratch_bytes = sizeof(take->scratch),
        .verbatim = take->verbatim};
    *more = false;
    take->work_bytes = 0;
    if (ring->dead) {
        return 0;
    }
    if (region_reader_take(ring->reader, clock, &batch) < 0) {
        ring->dead = true;
        ring->input->counts->received++;
        ring->input->counts->refused[HOLD_REFUSED_CORRUPT]++;
        return 0;
    }
    *more = batch.more;
    take->work_bytes = batch.work_bytes;
    ring->taken |= batch.count > 0 || batch.skipped; /* else the room would never be given back */
    return batch.count;
}

void ring_input_rewind(
    struct ring_input *ring, const struct ring_take *take, uint32_t placed, uint32_t count)
{
    for (uint32_t i = count; i > placed; i--) {
        region_reader_rewind(ring->reader, &take->records[i - 1]);
    }
}

void ring_input_store(struct ring_input *ring)
{
    struct hold_region *region = hold_region_at(ring->hold, ring->slot);
    uint64_t *cursors = hold_region_cursors(region);
    uint32_t rings = region_reader_rings(ring->reader);
    for (uint32_t i = 0; i < rings; i++) {
        cursors[i] = region_reader_cursor(ring->reader, i);
    }
    losses_count(ring, region);
}

void ring_input_publish(struct ring_input *ring)
{
    region_reader_publish(ring->reader);
    ring->taken = false;
}
