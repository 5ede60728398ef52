/* SPDX-License-Identifier: Apache-2.0 */
/* What a backend's lane answers becomes true in the private state; when it is wanted back. */
#include <errno.h>
#include <string.h>

#include "outputs/delivery_private.h"
#include "outputs/lane_spool.h"

static void failed(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    static const uint64_t wanted_pause_ns = 10ull * 1000 * 1000;
    const struct lane_job *job = &slot->job;
    if (job->error == -ECANCELED) { /* it was wanted back: that is no failure */
        slot->retry_ns = now_ns + wanted_pause_ns;
        slot->due_ns = now_ns;
        return;
    }
    char text[OUTPUT_FAILURE_BYTES];
    if (job->failed_text != NULL) {
        (void)snprintf(text, sizeof(text), "%s", job->failed_text);
    } else {
        (void)snprintf(text, sizeof(text), "%s: %s", job->failed_call, strerror(-job->error));
    }
    output_tell_failure(output, HOLD_NONE, job->failed_call, job->error, text);
    slot_back_off(output, slot, now_ns);
    output_complain(output, now_ns, "%s; records wait, trying again", text);
}

void offload_reap_open(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    if (slot->job.answer != LANE_DONE) {
        slot->state = SLOT_CLOSED;
        failed(output, slot, now_ns);
        return;
    }
    slot->state = SLOT_IDLE;
    slot->backoff_ns = slot->retry_ns = 0;
    slot->due_ns = queue_is_empty(slot->queue) ? 0 : now_ns;
}

void offload_complain_of_refusal(struct output *output, const char *reason, uint64_t now_ns)
{
    if (output->config->dead_letter != NULL) {
        output_complain(output, now_ns, "records are dead (%s) and kept in %s", reason,
            output->config->dead_letter);
    } else {
        output_complain(output, now_ns, "records are dead (%s): lost, and counted so", reason);
    }
    output_tell_failure(output, HOLD_NONE, "deliver", -EBADMSG, reason);
}

void offload_tell_note(struct output *output, const char *note, uint64_t now_ns)
{
    output_tell_failure(output, HOLD_NONE, "submit", -EIO, note);
    output_complain(output, now_ns, "%s", note);
}

/*
 * What is settled of the sealed records leaves the queue: how many these are the queue knows, how
 * many of them are delivered the lane; the others are dead.
 */
static void settle(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct lane_job *job = &slot->job;
    uint32_t records = queue_complete(&output->pool, slot->queue, job->written);
    uint64_t delivered = yarder_min(job->delivered, records);
    output->counts->delivered += delivered;
    output->counts->delivered_bytes += job->delivered_bytes;
    output->counts->dead += records - delivered;
    if (job->written > 0) {
        if (slot->backoff_ns != 0) {
            output_complain(output, now_ns, "delivers again");
        }
        slot->backoff_ns = slot->retry_ns = 0;
        slot_moved(output, slot, now_ns);
    }
    if (job->note != NULL) {
        offload_tell_note(output, job->note, now_ns);
    }
    if (job->refusal != NULL) {
        offload_complain_of_refusal(output, job->refusal, now_ns);
    }
}

void offload_reap_write(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct lane_job *job = &slot->job;
    slot->state = SLOT_IDLE;
    slot->due_ns = now_ns;
    slot->queue->flags &= ~(uint32_t)(job->reopen ? HOLD_QUEUE_REOPEN : 0);
    if (job->bytes_count > 0) {
        settle(output, slot, now_ns);
    }
    if (job->error < 0) {
        failed(output, slot, now_ns);
    }
}

void output_want(struct output *output, bool wanted, uint64_t now_ns)
{
    if (output->packs && wanted != (output->offload.wanted_ns != 0)) {
        output->offload.wanted_ns = wanted ? now_ns : 0;
        lane_want(output->lane, wanted);
    }
}

void output_hurry(struct output *output)
{
    for (uint32_t i = 0; i < output->slots_count && output->packs; i++) {
        output->slots[i].backoff_ns = output->slots[i].retry_ns = 0;
    }
    if (output->offload.spool != NULL) {
        lane_spool_hurry(output->offload.spool);
    }
}

bool output_stands_still(const struct output *output, uint64_t now_ns, uint64_t for_ns)
{
    uint64_t late_ns = output->packs ? output->slots[0].late_ns : 0;
    return late_ns != 0 && now_ns > late_ns && now_ns - late_ns >= for_ns;
}

uint64_t output_hangs_ns(const struct output *output, uint64_t now_ns)
{
    uint64_t stuck_ns = lane_stuck_ns(output->lane);
    return output->packs ? yarder_min(stuck_ns, now_ns - output->offload.wanted_ns) : stuck_ns;
}
